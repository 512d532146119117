from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from leaderboards.publish import README, RESULTS, with_results
from leaderboards.render import read

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
    assert with_results(TEXT, RESULTS) == TEXT
    assert TEXT.count("<!-- results:") == TEXT.count("<!-- end of results -->") == 1


def test_the_environment_is_used_as_shown(tmp_path):
    assert "crane" in re.sub(r"\x1b\[[\d;]*m|\s", "", python(block_with("gym.make"), tmp_path)).lower()


def test_the_dataset_is_loaded_as_shown(tmp_path):
    assert "Turn(role='agent'" in python(block_with("load_dataset"), tmp_path)


def test_a_strangers_policy_of_under_fifteen_lines_gets_its_row(tmp_path):
    policy = block_with("class FirstConsistent")
    assert len(policy.splitlines()) < 15
    (tmp_path / "my_policy.py").write_text(policy)
    line = next(line for line in TEXT.splitlines() if line.startswith("<clone>"))
    arguments = line.removeprefix("<clone>/.venv/bin/python").split()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr + done.stdout
    rows = {row.name: row for row in read(tmp_path / "runs")[0].rows}
    mine = rows["my_policy:FirstConsistent"]
    assert mine.episodes == 512
    assert mine.gain.interval().low > 2
    assert -3 < mine.mean("greedy") < -1
    assert (tmp_path / "leaderboard.html").exists()


def test_an_algorithm_of_ones_own_weighs_a_game_by_its_return():
    pytest.importorskip("torch")
    import torch

    from agents.algorithm import TrainConfig
    from agents.batch import collate
    from agents.tokenizers import encode_episode, tokenizer_for
    from lmrl_envs.datasets import load_dataset

    scope: dict = {}
    exec(block_with("class Favoured"), scope)
    data = load_dataset("wordle/human-v0", words="common-40", games=40)
    tokenizer = tokenizer_for(data)
    algorithm = scope["Favoured"](TrainConfig(model="tiny"), tokenizer)
    pair = [data[int(data.returns.argmin())], data[int(data.returns.argmax())]]
    batch = collate([encode_episode(episode, tokenizer) for episode in pair])
    loss, _ = algorithm.loss(batch)
    _, logp = algorithm.log_probs(batch)
    counts = batch.action_mask.sum(1)
    weights = torch.cat([torch.full((int(n),), float(r)).exp() for n, r in zip(counts, batch.returns, strict=True)])
    assert loss.item() == pytest.approx(-(weights * logp).mean().item(), rel=1e-5)


def test_links_point_at_files():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert targets
    assert [target for target in targets if not (README.parent / target).exists()] == []
