from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest

from leaderboards.speakers import Gibberish, best_constant, best_list, uniform
from lmrl_envs import TASKS, register_task
from lmrl_envs.core import Episode, EpisodeKey, Reply, TextTask, Turn
from lmrl_envs.datasets import DatasetMetadata, TextDataset, load_dataset, write_dataset
from lmrl_envs.evaluate import evaluate

WORTH = {"what color": 3, "how many": 2, "is it day": 1, "hm": 0}


class _State(tuple):
    """(ranks,), as a dialogue about an image has them."""

    @property
    def ranks(self) -> tuple[float, ...]:
        return tuple(self)


class Ranks(TextTask[Any]):
    """Good questions bring an image forward, each once; a reply earns its letters. Part `test` is never looked at."""

    max_turns, max_action_chars, instructions = 3, 64, "Ask."

    def __init__(self, part: str = "test") -> None:
        self.part, self.asked = part, Counter[str]()
        PARTS.append(part)

    def start(self, rngs: Any, options: Any = None) -> list[Reply[Any]]:
        return [Reply(_State((31.0,)), "a picture", {}) for _ in rngs]

    def reply(self, states: Any, actions: Any) -> list[Reply[Any]]:
        made = []
        for state, action in zip(states, actions, strict=True):
            ranks = _State((*state, (state[-1] + 1) / 2 ** (WORTH.get(action, 0) / 8) - 1))
            made.append(Reply(ranks, "yes", {}, float(len(action)) / 100, len(ranks) > 3))
        return made

    def render(self, state: Any, turns: Any, mode: str) -> str:
        return ""


PARTS: list[str] = []


@pytest.fixture
def toy(tmp_path) -> Iterator[TextDataset]:
    register_task("Ranks-v0", Ranks)
    PARTS.clear()
    asked = [*["hm"] * 3, *["is it day"] * 4, *["how many"] * 2, *["what color"] * 5, "rare"]
    logs = (Episode(None, None, (Turn("agent", text, 1.0),), True, False, {}) for text in asked)
    yield write_dataset(tmp_path / "logs.parquet", logs, DatasetMetadata())
    del TASKS["Ranks-v0"]
    for name in ("Ranks-v0", "lmrl/Ranks-v0"):
        gymnasium.registry.pop(name)


def test_the_best_list_has_the_questions_that_bring_the_image_forward_best_first(toy):
    policy = best_list("Ranks-v0", {}, toy, candidates=4, episodes=5)
    said = [Turn("env", "a picture")]
    asked = []
    for _ in range(3):
        asked.append(policy.act([said])[0])
        said += [Turn("agent", asked[-1]), Turn("env", "yes")]
    assert asked == ["what color", "how many", "is it day"]
    assert policy.tuning == {"trials": 4 + 3 + 2, "episodes": 5}
    assert PARTS == ["validation"]


def test_the_best_constant_earns_most_among_logged_comments(toy):
    policy = best_constant("Ranks-v0", {}, toy, candidates=15, episodes=5)
    assert policy.act([[], []]) == ["what color"] * 2
    assert policy.tuning["trials"] == 5
    assert PARTS == ["validation"]


def test_a_uniform_turn_is_as_frequent_as_in_the_data(toy):
    policy = uniform("Ranks-v0", {}, toy)
    keys = [EpisodeKey(n, np.random.default_rng(n)) for n in range(3000)]
    counts = Counter(policy.act([[]] * 3000, episodes=keys))
    assert counts["what color"] / 3000 == pytest.approx(5 / 15, abs=0.04)
    assert counts["rare"] / 3000 == pytest.approx(1 / 15, abs=0.03)


def test_on_wordle_the_random_player_is_that_of_its_answers():
    data = load_dataset("wordle/human-v0", words="common-40", games=5)
    result = evaluate(uniform("Wordle-v0", {"words": "common-40"}, data), "Wordle-v0", episodes=200, progress=False,
                      env_kwargs={"words": "common-40"})  # fmt: skip
    assert result.metrics["valid"] == 1.0
    assert result.mean == pytest.approx(-5.5, abs=0.3)


def test_gibberish_is_two_to_six_words_of_its_rows_own_letters():
    def said(n: int) -> str:
        return Gibberish().act([[]], episodes=[EpisodeKey(n, np.random.default_rng(n))])[0]

    texts = [said(n) for n in range(200)]
    assert {len(text.split()) for text in texts} == {2, 3, 4, 5, 6}
    assert all(text.replace(" ", "").isalpha() for text in texts)
    assert len(set(texts)) == 200
    assert said(3) == texts[3]
