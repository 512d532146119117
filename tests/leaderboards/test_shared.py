"""Tasks that differ in rewards alone: what heeds no rewards is trained on the first of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leaderboards.jobs import Job, plan, unfinished
from leaderboards.suite import Agent, Checkpoint, Evaluation, Player, Suite, Task
from leaderboards.tables import read
from leaderboards.worker import perform

WORDS = {"words": "common-40"}


def task(name: str, **variant: Any) -> Task:
    return Task(name, "Wordle-v0", WORDS, "wordle/human-v0", {**WORDS, "games": 200, **variant})


SUITE = Suite(
    name="pair",
    summary="The same task twice, for tests.",
    tasks=(task("first"), task("second")),
    training={"model": "tiny", "tokens_per_batch": 512},
    tokens=1_024,
    agents=(Agent("bc", "bc", shared=True), Agent("ilql", "ilql", {"pi_beta": "@bc"})),
    references=(Player("random", "leaderboards.players:random_word"),),
    seeds=(0,),
    evaluation=Evaluation(episodes=8),
)


def planned(suite: Suite, out: Path) -> dict[tuple[str, str], Job]:
    jobs = plan(suite, [*suite.agents, *suite.references], out, out / "results")
    return {(job.run["task"]["name"], job.run["agent"]): job for job in jobs}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, str], Job]]:
    out = tmp_path_factory.mktemp("pair")
    jobs = planned(SUITE, out)
    for job in jobs.values():
        job.prepare()
        perform(job.folder)
    return out, jobs


def record(job: Job) -> dict[str, Any]:
    return json.loads(job.result.read_text())


def test_the_second_task_needs_the_run_of_the_first(done):
    _, jobs = done
    second = jobs["second", "bc"]
    assert (second.run["kind"], second.run["of"]) == ("shared", "agent")
    assert second.run["needs"] == {"first": jobs["first", "bc"].key}
    assert second.needs == (jobs["first", "bc"].folder,)
    assert jobs["second", "ilql"].run["needs"] == {"bc": second.key}
    assert jobs["first", "bc"].run["kind"] == "agent"
    assert "of" not in jobs["first", "bc"].run


def test_it_plays_with_what_the_first_has_learned_and_others_start_from_it(done):
    out, jobs = done
    first, second = record(jobs["first", "bc"]), record(jobs["second", "bc"])
    assert not (jobs["second", "bc"].folder / "train").exists()
    checkpoint = (jobs["second", "bc"].folder / second["train"]["checkpoint"]).resolve()
    assert checkpoint == (jobs["first", "bc"].folder / first["train"]["checkpoint"]).resolve()
    assert second["eval"]["greedy"]["returns"] == first["eval"]["greedy"]["returns"]
    assert second["train"]["cost"] == first["train"]["cost"]
    assert record(jobs["second", "ilql"])["eval"]["sampled"]["returns"]
    row = next(row for table in read(out) for row in table.rows if row.run["kind"] == "shared")
    assert row.decoded


def test_where_only_results_are_left_it_is_trained_again_with_what_it_starts_from(done):
    _, jobs = done
    listed = list(jobs.values())
    assert unfinished(listed) == []
    missing = jobs["second", "ilql"].result
    kept = missing.read_text()
    missing.unlink()
    try:
        assert unfinished(listed) == [jobs["second", "ilql"]]
    finally:
        missing.write_text(kept)


def test_tasks_that_differ_in_more_than_rewards_share_nothing(tmp_path):
    other = replace(SUITE, tasks=(task("first"), task("second", games=100)))
    assert planned(other, tmp_path)["second", "bc"].run["kind"] == "agent"


def test_players_of_one_environment_stay_out_of_others(tmp_path):
    player = replace(SUITE.references[0], name="stranger", env_id="Reddit-v0")
    suite = replace(SUITE, references=(*SUITE.references, player))
    assert {agent for _, agent in planned(suite, tmp_path)} == {"bc", "ilql", "random"}


def test_on_a_task_with_checkpoints_the_agents_are_played_and_not_trained(done, tmp_path):
    _, jobs = done
    folder = jobs["first", "bc"].folder / record(jobs["first", "bc"])["train"]["checkpoint"]
    kept = tmp_path / "kept" / "bc"
    kept.parent.mkdir()
    kept.symlink_to(folder.resolve())
    suite = replace(SUITE, agents=SUITE.agents[:1], checkpoints={"second": str(kept.parent)})
    job = planned(suite, tmp_path)["second", "bc"]
    assert (job.run["kind"], job.run["source"]) == ("checkpoint", str(kept))
    assert not job.run["reference"]
    job.prepare()
    perform(job.folder)
    assert record(job)["eval"]["greedy"]["returns"] == record(jobs["first", "bc"])["eval"]["greedy"]["returns"]
    assert Checkpoint("bc", str(kept)).needs == ()
    newcomer = Agent("pkg:New", "bc")
    tasks = [job.run["task"]["name"] for job in plan(suite, [newcomer], tmp_path, tmp_path)]
    assert tasks == ["first"]
