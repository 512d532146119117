"""The suites of texts, much smaller: from data to the page, with every kind of contestant that they have."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from leaderboards import playing, worker
from leaderboards.jobs import plan
from leaderboards.render import html, markdown
from leaderboards.suite import Agent, BestOf, Chosen, Suite
from leaderboards.suites import SUITES
from leaderboards.tables import read


def small(suite: Suite, rewards: tuple[str, str]) -> Suite:
    """Two of its tasks with little data, one seed, and those who learn as long as it takes to run."""
    tasks = [task for task in suite.tasks if task.variant["reward"] in rewards]
    agents = [
        replace(agent, tokens=4_000) if isinstance(agent, Agent) else replace(agent, episodes=4)
        for agent in suite.agents
        if isinstance(agent, Agent | Chosen)
    ]
    references = [
        replace(one, samples=2) if isinstance(one, BestOf) else one
        for one in suite.references
        if one.name not in ("best-list", "best-constant", "expert-bc")
    ]
    return replace(
        suite,
        tasks=tuple(replace(task, variant={**task.variant, "games": 120}) for task in tasks),
        training={**suite.training, "model": "tiny", "warmup": 2},
        agents=tuple(agents),
        references=tuple(references),
        seeds=(0,),
        evaluation=replace(suite.evaluation, episodes=6, looks=None),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rewards"),
    [("visual-dialogue", ("standard", "yn")), ("reddit-upvotes", ("upvotes_model", "upvotes_real"))],
)
def test_a_suite_of_texts_goes_from_data_to_the_page(name, rewards, tmp_path, monkeypatch):
    played: list[tuple[str, dict[str, Any]]] = []
    evaluate = playing.evaluate

    def spied(policy: Any, env_id: str, **how: Any) -> Any:
        played.append((job.title, how["env_kwargs"]))
        return evaluate(policy, env_id, **how)

    monkeypatch.setattr(playing, "evaluate", spied)
    suite = small(SUITES[name], rewards)
    records = {}
    for job in plan(suite, [*suite.agents, *suite.references], tmp_path, tmp_path / "results"):
        job.prepare()
        worker.perform(job.folder)
        records[job.run["task"]["name"], job.run["agent"]] = json.loads(job.result.read_text())

    first, second = (task.name for task in suite.tasks)
    shared = records[second, "bc"]
    assert shared["run"]["kind"] == "shared"
    for (task, agent), record in records.items():
        assert set(record["study"]) == set(suite.evaluation.decodings), (task, agent)
        assert len(record["eval"]["greedy"]["examples"]) <= playing.EXAMPLES
        assert record["eval"]["greedy"]["env_kwargs"] == record["run"]["task"]["env_kwargs"]
    if name == "visual-dialogue":
        assert not [title for title, _ in played if title.startswith(f"bc on {second}")]
        returns = records[first, "bc"]["study"]["greedy"]["rewards"]["yn"]["returns"]
        assert shared["eval"]["greedy"]["returns"] == returns
        choosing = [how for title, how in played if title.startswith("filtered_bc-chosen") and "part" in how]
        assert {how["part"] for how in choosing} == {"validation"}
        assert len(choosing) == 2 * 3  # tasks, candidates
    else:
        assert [title for title, _ in played if title.startswith(f"bc on {second}")]
        assert [point["n"] for point in shared["study"]["sampled"]["best_of_n"]] == [1, 2, 4, 8, 16, 32, 64]
        assert shared["study"]["greedy"]["best_of_n"] == []

    tables = read(tmp_path)
    page = html(tables)
    title = "Trained on one reward, scored on each" if name == "visual-dialogue" else "How much of the reward is real"
    assert title in page
    assert title in markdown(tables)
    assert ("data:image/png" in page) == (name == "visual-dialogue")
