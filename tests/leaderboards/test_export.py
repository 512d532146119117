from __future__ import annotations

import json

import pytest

import agents
from leaderboards.export import export
from leaderboards.jobs import plan
from leaderboards.suite import Agent, Evaluation, Player, Suite, Task
from leaderboards.worker import perform
from lmrl_envs.core import Turn

WORDS = {"words": "common-40"}
SUITE = Suite(
    name="kept",
    summary="Two agents to keep, for tests.",
    tasks=(Task("wordle", "Wordle-v0", WORDS, "wordle/human-v0", {**WORDS, "games": 100}),),
    training={"model": "tiny", "tokens_per_batch": 512},
    tokens=1_024,
    agents=(Agent("bc", "bc"), Agent("ilql", "ilql", {"pi_beta": "@bc"})),
    references=(Player("random", "leaderboards.players:random_word"),),
    seeds=(5,),
    evaluation=Evaluation(episodes=4),
)


def test_what_has_not_been_trained_is_named_with_the_way_to_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"leaderboards\.run --suite kept"):
        export(SUITE, tmp_path, tmp_path / "out")


def test_exported_agents_act_as_those_of_the_suite_and_name_no_machine(tmp_path):
    for job in plan(SUITE, SUITE.agents, tmp_path, tmp_path / "results"):
        job.prepare()
        perform(job.folder)
    folders = export(SUITE, tmp_path, tmp_path / "out")
    assert folders == [tmp_path / "out" / "wordle" / name for name in ("bc", "ilql")]
    for folder in folders:
        run = tmp_path / "kept" / "wordle" / folder.name / "seed5"
        record = json.loads((run / "result.json").read_text())
        written = (folder / "agent.json").read_text()
        assert str(tmp_path) not in written
        facts = json.loads(written)
        assert (facts["trained"]["suite"], facts["trained"]["seed"]) == ("kept", 5)
        assert facts["config"] == record["run"]["config"]
        whole, small = agents.load(run / record["train"]["checkpoint"]), agents.load(folder)
        history = [[], [Turn("agent", "crane"), Turn("env", "bbygb")]]
        assert small.policy(temperature=0.0).act(history) == whole.policy(temperature=0.0).act(history)
    bc, ilql = (sum(path.stat().st_size for path in folder.iterdir()) for folder in folders)
    assert bc < 400_000 < ilql < 2 * 400_000 + 200_000
