from __future__ import annotations

import json
import pickle
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import lmrl_envs
from lmrl_envs import TASKS, ReferenceScores, Reply, TextTask, make_task, reference_scores, register_task
from lmrl_envs.errors import UnknownNameError
from lmrl_envs.registration import find_task, load_attribute, plain_json
from lmrl_envs.wordle.task import WordleTask


class Echo(TextTask[int]):
    """Ten lines are a task: wants to hear its word."""

    instructions, max_turns, max_action_chars = "Say the word.", 3, 20

    def __init__(self, word: str = "hello") -> None:
        self.word = word

    def start(self, rngs: Sequence[np.random.Generator], options: Mapping | None = None) -> list[Reply[int]]:
        return [Reply(0, f"say {self.word}", {"heard": None}) for _ in rngs]

    def reply(self, states: Sequence[int], actions: Sequence[str]) -> list[Reply[int]]:
        return [Reply(0, None, {"heard": a}, float(a == self.word), a == self.word) for a in actions]


def echo_scores(env_kwargs: Mapping[str, Any]) -> ReferenceScores | None:
    return None if env_kwargs.get("word") is None else ReferenceScores(0.0, 1.0)


@pytest.fixture
def strangers_module() -> Iterator[str]:
    """A module of somebody else's that registers its task as it is imported, by strings alone."""
    module = types.ModuleType("strangers_module")
    module.Echo, module.echo_scores = Echo, echo_scores  # type: ignore[attr-defined]
    sys.modules["strangers_module"] = module
    register_task(
        "Echo-v0",
        "strangers_module:Echo",
        reference_scores="strangers_module:echo_scores",
        datasets=["echo/all-v0"],
    )
    yield "strangers_module"
    del sys.modules["strangers_module"], TASKS["Echo-v0"], gym.registry["Echo-v0"], gym.registry["lmrl/Echo-v0"]


def test_a_strangers_task_gets_both_faces(strangers_module: str) -> None:
    for env_id in ("Echo-v0", "lmrl/Echo-v0", f"{strangers_module}:Echo-v0"):
        env = gym.make(env_id, word="bye")
        assert env.reset()[0] == "say bye"
        assert env.step("bye")[1:4] == (1.0, True, False)
        vector = gym.make_vec(env_id, num_envs=2, word="bye")
        assert vector.reset()[0] == ("say bye", "say bye")
        assert vector.step(("bye", "hello"))[1].tolist() == [1.0, 0.0]
        assert make_task(env_id, word="bye").word == "bye"  # type: ignore[attr-defined]
        assert find_task(env_id).datasets == ("echo/all-v0",)


def test_specs_are_plain(strangers_module: str) -> None:
    env = gym.make("Echo-v0", word="bye")
    assert env.spec is not None
    assert pickle.loads(pickle.dumps(env.spec)) == env.spec  # noqa: S301
    twin = gym.envs.registration.EnvSpec.from_json(env.spec.to_json()).make()
    assert twin.reset()[0] == "say bye"
    assert env.spec.max_episode_steps is None


def test_a_class_of_the_moment_is_a_factory() -> None:
    register_task("Moment-v0", Echo, reference_scores=echo_scores)
    try:
        assert gym.make("Moment-v0").reset()[0] == "say hello"
        assert gym.make_vec("Moment-v0", num_envs=2).reset()[0] == ("say hello",) * 2
        assert reference_scores("Moment-v0", {"word": "bye"}) == (0.0, 1.0)
    finally:
        del TASKS["Moment-v0"], gym.registry["Moment-v0"], gym.registry["lmrl/Moment-v0"]


def test_reference_scores(strangers_module: str) -> None:
    assert reference_scores("lmrl/Echo-v0", {"word": "bye"}) == ReferenceScores(random=0.0, best=1.0)
    assert reference_scores("Echo-v0", {}) is None
    assert reference_scores("Echo-v0", {"word": float("nan")}) is None  # the scorer meets plain JSON


def test_wordle_is_registered() -> None:
    names = ("human", "expert", "branching", "branching-paper", "tweets")
    assert TASKS["Wordle-v0"].datasets == tuple(f"wordle/{name}-v0" for name in names)
    assert isinstance(make_task("Wordle-v0", words="common-40"), WordleTask)
    assert set(lmrl_envs.__all__) <= set(dir(lmrl_envs))


def test_unknown_ids_list_close_matches() -> None:
    for call in (make_task, find_task):
        with pytest.raises(UnknownNameError, match="unknown environment 'Wordel-v0'; did you mean 'Wordle-v0'"):
            call("Wordel-v0")
    with pytest.raises(ValueError, match="did you mean"):
        reference_scores("lmrl/Wordle-v9", {})
    with pytest.raises(gym.error.NameNotFound, match="Did you mean: `Wordle`"):
        gym.make("Wordel-v0")
    with pytest.raises(TypeError, match="wrods"):
        gym.make("Wordle-v0", wrods="common-40")


def test_ids_are_bare() -> None:
    with pytest.raises(ValueError, match="expected a bare id"):
        register_task("mine/Echo-v0", Echo)
    with pytest.raises(gym.error.Error, match="Malformed"):
        register_task("no id at all", Echo)
    assert "no id at all" not in TASKS


def test_load_attribute() -> None:
    assert load_attribute("lmrl_envs.wordle.task:WordleTask") is WordleTask
    assert load_attribute(Echo) is Echo
    with pytest.raises(ImportError, match=r"lmrl_envs\.wordle\.task has no 'WordelTask'"):
        load_attribute("lmrl_envs.wordle.task:WordelTask")
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        load_attribute("nowhere_at_all:Thing")
    with pytest.raises(ValueError, match="expected 'module:attribute', got 'lmrl_envs'"):
        load_attribute("lmrl_envs")


def test_plain_json() -> None:
    given = {
        "path": Path("words/list.txt"),
        "words": ("crane", np.str_("slate")),
        "numbers": np.array([[1, 2], [3, 4]]),
        "scalar": [np.int64(3), np.float32(0.5), np.bool_(True)],
        "missing": [None, float("nan"), np.array([np.nan, 1.0])],
        "nested": {"flag": True, "count": 3, "share": 0.25},
    }
    plain = plain_json(given)
    assert plain == {
        "path": "words/list.txt",
        "words": ["crane", "slate"],
        "numbers": [[1, 2], [3, 4]],
        "scalar": [3, 0.5, True],
        "missing": [None, None, [None, 1.0]],
        "nested": {"flag": True, "count": 3, "share": 0.25},
    }
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain_json(plain) == plain
    assert type(plain_json(np.str_("a"))) is str


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (float("inf"), ValueError),
        ({1: "a"}, TypeError),
        ({"a": {1, 2}}, TypeError),
        (b"bytes", TypeError),
        (Echo, TypeError),
    ],
)
def test_plain_json_refuses_the_rest(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"JSON|key"):
        plain_json(value)
