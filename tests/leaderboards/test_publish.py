from __future__ import annotations

import json
from pathlib import Path

import pytest

from leaderboards import publish
from leaderboards.jobs import Job


def job(tmp_path: Path, name: str = "bc") -> Job:
    folder = tmp_path / "runs" / "quick" / "Wordle-v0-common-40" / name / "seed0"
    published = tmp_path / "results" / "quick" / "Wordle-v0-common-40" / name / "seed0.json"
    run = json.loads((folder / "result.json").read_text())["run"]
    return Job(folder, run, (), published, seconds=0.0)


CURVE = [{"step": 50 * n, "tokens": 1000 * n, "loss": 1 / 3 + n} for n in range(1, 1001)]


def test_a_published_result_is_small_and_has_all_that_the_tables_need(tmp_path, write_result):
    curve = [point | ({"score": -2.0} if n % 300 == 0 else {}) for n, point in enumerate(CURVE)]
    write_result("bc", [-1.0, -2.0] * 1000, [-1 / 3, -2.0], curve=curve, scores=[[{"text": ["a"]}]])
    done = job(tmp_path)
    publish.publish(done)
    assert done.published.stat().st_size < 40_000
    kept, whole = (json.loads(path.read_text()) for path in (done.published, done.result))
    assert kept["run"] == whole["run"]
    assert kept["scores"] == whole["scores"]
    assert kept["eval"]["greedy"]["returns"] == whole["eval"]["greedy"]["returns"]
    assert kept["eval"]["sampled"]["returns"] == [-0.33333, -2]
    points = kept["train"]["curve"]
    assert len(points) == 103 or len(points) == 104  # every tenth up to the last, and where there is a score
    assert points[-1] == {"step": 50_000, "tokens": 1_000_000, "loss": 1000.3}
    assert sum("score" in point for point in points) == 4
    (row,) = publish.read(tmp_path / "results")[0].rows
    assert row.published
    assert row.mean("greedy") == -1.5


def test_four_example_games_are_published(tmp_path, write_result):
    write_result("bc", [-1.0])
    done = job(tmp_path)
    record = json.loads(done.result.read_text())
    record["eval"]["greedy"]["examples"] *= 9
    assert len(publish.condensed(record)["eval"]["greedy"]["examples"]) == 4


def test_a_result_that_is_too_large_is_refused(tmp_path, write_result):
    write_result("bc", [-1.0] * 100_000)
    with pytest.raises(ValueError, match="bytes when condensed, and 200,000 are published at most"):
        publish.publish(job(tmp_path))
    assert not (tmp_path / "results").exists()


def test_results_of_this_repository_go_into_its_readme(tmp_path, write_result, monkeypatch):
    readme = tmp_path / "README.md"
    marked = "Before.\n<!-- results: by a script -->\nold\n<!-- end of results -->\nAfter.\n"
    readme.write_text(f"{marked}<!-- speed: by another -->\n<!-- end of speed -->\n")
    monkeypatch.setattr(publish, "README", readme)
    monkeypatch.setattr(publish, "SPEED", tmp_path / "never measured.json")
    write_result("bc", [-1.0, -2.0])
    publish.publish(job(tmp_path))
    assert "old" in readme.read_text()  # these results are no part of the repository
    monkeypatch.setattr(publish, "RESULTS", tmp_path / "results")
    publish.publish(job(tmp_path))
    text = readme.read_text()
    assert text.startswith("Before.\n<!-- results: by a script -->\n| task, suite | play | bc |")
    assert "| Wordle-v0-common-40, `quick` | greedy | \N{MINUS SIGN}1.50 [" in text
    assert text.endswith(
        "Made on a processor, 2 cores, Linux, lmrl-envs 0.1.0.\n<!-- end of results -->\nAfter.\n"
        "<!-- speed: by another -->\n"
        "`python -m leaderboards.speed` measures it on your machine.\n<!-- end of speed -->\n"
    )
