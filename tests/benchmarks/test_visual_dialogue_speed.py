"""How fast Visual Dialogue is, its networks on one CPU thread. Run by `make benchmark`; figures are one core's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from lmrl_envs import make_task
from lmrl_envs.visual_dialogue.behaviours import CROWD, ask
from lmrl_envs.visual_dialogue.dialogues import human_dialogues
from lmrl_envs.visual_dialogue.task import DialogueState, VisualDialogueTask


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def questions(states: Sequence[DialogueState], rng: np.random.Generator) -> list[str]:
    """What simulated people would ask next."""
    return [ask(rng, CROWD.pick(rng.random()), state.caption, state.rounds) for state in states]


@pytest.mark.parametrize(("rows", "oracle"), [(64, False), (64, True), (1, False)])
def test_answers_and_ranks(benchmark: BenchmarkFixture, rows: int, oracle: bool) -> None:
    """Whole dialogues, rows refilled as they end; pools are made before and questions thought of outside the clock."""
    task: VisualDialogueTask = make_task("VisualDialogue-v0", oracle=oracle)  # type: ignore[assignment]
    for number in range(task.corpus.pool_count("test", "hard", 100)):
        task.pools.draw("test", np.random.default_rng(number))
    rng = np.random.default_rng(0)
    states = [reply.state for reply in task.start([rng] * rows)]

    def setup() -> tuple:
        return (states[:], questions(states, rng)), {}

    def step(now: Sequence[DialogueState], asked: Sequence[str]) -> None:
        replies = task.reply(now, asked)
        states[:] = [reply.state for reply in replies if not reply.terminated]
        states.extend(reply.state for reply in task.start([rng] * (rows - len(states))))

    step(*setup()[0])
    benchmark.pedantic(step, setup=setup, rounds=40 if rows > 1 else 200)
    benchmark.extra_info["questions_per_second"] = rows / benchmark.stats.stats.mean


def test_percentiles_of_logged_dialogues(benchmark: BenchmarkFixture) -> None:
    task = make_task("VisualDialogue-v0")
    games = 2_000

    def log() -> None:
        for _ in human_dialogues(task, np.random.SeedSequence(0), split="train", games=games):  # type: ignore[arg-type]
            pass

    benchmark.pedantic(log, rounds=1)
    benchmark.extra_info["seconds_for_10000"] = benchmark.stats.stats.mean * 10_000 / games
