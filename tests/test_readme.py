from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leaderboards import new, run, suites
from leaderboards.publish import README, REPORT, RESULTS, SPEED, report, with_results, with_speed
from leaderboards.rows import Row
from leaderboards.tables import read

TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def block_with(word: str) -> str:
    (found,) = [block for block in BLOCKS if word in block]
    return found


def python(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_table_is_what_the_script_writes():
    tables = read(RESULTS)
    assert with_speed(with_results(TEXT, tables), SPEED) == TEXT
    assert TEXT.count("<!-- results:") == TEXT.count("<!-- end of results -->") == 1
    assert report(tables) == (RESULTS / REPORT).read_text(encoding="utf-8")


def test_the_environment_is_used_as_shown(tmp_path):
    assert "crane" in re.sub(r"\x1b\[[\d;]*m|\s", "", python(block_with("gym.make"), tmp_path)).lower()


def test_the_dataset_is_loaded_as_shown(tmp_path):
    assert "Turn(role='agent'" in python(block_with("load_dataset"), tmp_path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder outside the clone, and suite `quick` with few games and little training."""
    quick = suites.SUITES["quick"]
    task = quick.tasks[0]
    small = replace(
        quick,
        tasks=(replace(task, variant={**task.variant, "games": 300}),),
        training={**quick.training, "model": "tiny", "tokens_per_batch": 1_000},
        tokens=5_000,
        evaluation=replace(quick.evaluation, episodes=64),
    )
    monkeypatch.setitem(suites.SUITES, "quick", small)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def row_of(name: str, folder: Path) -> Row:
    """The row that the README's command gives to `name`."""
    line = next(line for line in TEXT.splitlines() if line.startswith("<clone>") and line.endswith(name))
    _, _, module, *arguments = line.split()
    assert module == "leaderboards.run"
    done = CliRunner().invoke(run.app, arguments)
    assert done.exit_code == 0, done.output
    assert (folder / "leaderboard.html").exists()
    (row,) = [row for row in read(folder / "runs")[0].rows if row.name == name]
    return row


def test_a_strangers_policy_of_under_fifteen_lines_gets_its_row(folder):
    policy = block_with("class FirstConsistent")
    assert len(policy.splitlines()) < 15
    (folder / "my_policy.py").write_text(policy)
    row = row_of("my_policy:FirstConsistent", folder)
    assert row.episodes == 64
    assert row.gain.interval().low > 2
    assert -3 < row.mean("greedy") < -1


def test_a_strangers_algorithm_of_under_forty_lines_gets_its_row(folder):
    algorithm = block_with("class MyAlgorithm")
    assert len(algorithm.splitlines()) < 40
    (folder / "my_algorithm.py").write_text(algorithm)
    row = row_of("my_algorithm:MyAlgorithm", folder)
    assert row.episodes == 64
    assert row.run["config"]["temperature"] == 1.0
    assert row.run["config"]["lr"] == suites.SUITES["quick"].training["lr"]
    (trained,) = row.runs
    assert trained.train["cost"]["steps"] == row.run["config"]["steps"] == 5
    assert 0 < trained.train["curve"][-1]["weight"] < 1  # returns are 0 at most, so weights are 1 at most
    assert [trained.results[name].decoding["temperature"] for name in ("greedy", "sampled")] == [0.0, 1.0]


def test_the_algorithm_shown_is_the_one_that_new_writes():
    assert new.files("my_algorithm")["my_algorithm.py"] == block_with("class MyAlgorithm")


def test_links_point_at_files():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert targets
    assert [target for target in targets if not (README.parent / target).exists()] == []
