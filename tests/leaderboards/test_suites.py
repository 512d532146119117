from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agents import ALGORITHMS, load
from leaderboards.jobs import RESULTS, plan
from leaderboards.publish import LARGEST
from leaderboards.sources import REPOSITORY, named, named_parameters
from leaderboards.speakers import best_constant, best_list
from leaderboards.suites import SUITES, Agent, BestOf, Chosen, Player, get_suite
from lmrl_envs import TASKS
from lmrl_envs.datasets import load_dataset
from lmrl_envs.errors import UnknownNameError
from lmrl_envs.provenance import library_version
from lmrl_envs.registration import make_task


def test_an_unknown_suite_names_close_ones():
    with pytest.raises(UnknownNameError, match="did you mean 'quick'"):
        get_suite("quik")


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_names_are_unique_and_agents_stand_after_what_they_start_from(suite):
    names = [contestant.name for contestant in (*suite.agents, *suite.references)]
    assert len(set(names)) == len(names)
    for position, contestant in enumerate((*suite.agents, *suite.references)):
        assert set(contestant.needs) <= set(names[:position])
    assert {name for pair in suite.pairs for name in pair} <= set(names)
    assert suite.references[0].name == "random"


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_reference_players_can_be_made_for_every_task(suite):
    if missing := {task.env_id for task in suite.tasks} - TASKS.keys():
        pytest.skip(f"not registered: {missing}")
    for task in suite.tasks:
        make_task(task.env_id, **task.env_kwargs)
        data = load_dataset(task.dataset, **{**task.variant, "games": 10})
        offered = {"env_id": task.env_id, "env_kwargs": task.env_kwargs, "data": data}
        for player in suite.references:
            if isinstance(player, Player) and player.env_id in (None, task.env_id):
                factory = named(player.factory)
                if factory in (best_list, best_constant):
                    continue  # they play to choose what to say; their own tests make them
                wanted = {name: offered[name] for name in named_parameters(factory, list(offered))}
                assert callable(factory(**wanted, **player.arguments).act)


@pytest.mark.parametrize("suite", [suite for suite in SUITES.values() if suite.frozen], ids=lambda suite: suite.name)
def test_frozen_suites_take_at_most_twelve_core_hours_in_runs_of_at_most_one(suite, tmp_path):
    small = [replace(task, variant={**task.variant, "games": 10}) for task in suite.tasks]  # the time is by tokens
    jobs = plan(replace(suite, tasks=small), [*suite.agents, *suite.references], tmp_path, tmp_path)
    assert sum(job.seconds for job in jobs) <= 12 * 3600
    assert max(job.seconds for job in jobs) <= 3600


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_published_results_of_this_version_are_of_the_suite_as_it_stands(suite, tmp_path):
    results = {path: json.loads(path.read_text())["run"] for path in RESULTS.glob(f"{suite.name}/*/*/*.json")}
    if not results:
        pytest.skip("nothing of it is published")
    assert suite.frozen
    keys = {job.published: job.key for job in plan(suite, [*suite.agents, *suite.references], tmp_path)}
    same = {path: run["key"] for path, run in results.items() if run["library_version"] == library_version()}
    assert same == {path: keys.get(path) for path in same}
    assert max(path.stat().st_size for path in results) <= LARGEST


def test_an_agent_needs_the_agents_that_its_values_name():
    assert Agent("ilql", "ilql", {"pi_beta": "@bc", "tau": 0.9}).needs == ("bc",)
    assert Agent("bc", "bc").needs == ()
    assert Chosen("chosen", ("a", "b"), episodes=10).needs == ("a", "b")
    assert BestOf("best", "bc").needs == ("bc",)


def test_smoke_has_every_agent_and_fifty_steps_of_each(tmp_path):
    smoke = SUITES["smoke"]
    assert {agent.algorithm for agent in smoke.agents} == set(ALGORITHMS)
    jobs = plan(smoke, smoke.agents, tmp_path)
    assert {(job.run["config"]["steps"], job.run["config"]["tokens_per_batch"]) for job in jobs} == {(50, 512)}


def test_quick_is_planned_with_every_setting_and_steps_from_its_budget(tmp_path):
    quick = SUITES["quick"]
    suite = replace(quick, tasks=[replace(task, variant={**task.variant, "games": 100}) for task in quick.tasks[:1]])
    jobs = {job.run["agent"]: job for job in plan(suite, [*suite.agents, *suite.references], tmp_path)}
    assert list(jobs) == [
        "bc",
        "filtered_bc",
        "ilql",
        "sarsa",
        "cql",
        "dt",
        "random",
        "random-consistent",
        "entropy-greedy",
        "optimum",
    ]
    config = jobs["sarsa"].run["config"]
    assert config["tau"] == 0.5
    assert config["steps"] * config["tokens_per_batch"] >= jobs["sarsa"].run["tokens"]
    assert (config["steps"] - 1) * config["tokens_per_batch"] < jobs["sarsa"].run["tokens"]
    assert jobs["ilql"].run["needs"] == {"bc": jobs["bc"].key}
    assert jobs["ilql"].needs == (jobs["bc"].folder,)
    assert jobs["ilql"].folder == tmp_path / "quick" / "Wordle-v0-common-40" / "ilql" / "seed0"
    assert jobs["optimum"].run["reference"]
    assert len({job.key for job in jobs.values()}) == 10


def test_quick_plays_kept_checkpoints_of_all_its_agents_which_take_at_most_25_megabytes(tmp_path):
    quick = SUITES["quick"]
    if not quick.checkpoints:
        pytest.skip("no checkpoints are kept")
    folders = [REPOSITORY / folder / agent.name for folder in quick.checkpoints.values() for agent in quick.agents]
    for folder in folders:
        assert load(folder, device="cpu").name == folder.name
        assert not any(Path(value).is_absolute() for value in configured(folder).values() if isinstance(value, str))
    assert sum(path.stat().st_size for folder in folders for path in folder.iterdir()) <= 25e6
    suite = replace(quick, tasks=[replace(task, variant={**task.variant, "games": 20}) for task in quick.tasks])
    kinds = {(job.run["task"]["name"], job.run["kind"]) for job in plan(suite, suite.agents, tmp_path)}
    assert kinds == {("Wordle-v0-common-40", "agent"), *((name, "checkpoint") for name in quick.checkpoints)}


def configured(folder: Path) -> dict[str, object]:
    return json.loads((folder / "agent.json").read_text())["config"]
