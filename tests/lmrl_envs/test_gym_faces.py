"""The faces over every registered task, and over a task made to be awkward."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from lmrl_envs import TASKS, Reply, TextTask, Turn, make_task, register_task
from lmrl_envs.gym_faces import TextEnv, TextVectorEnv

HOSTILE = [
    *("", " ", "\n", "\0", "\ud800", "\udfff\ud800", "\U0001f600" * 50, "\u202e\u200b\ufeff", "é" * 3, "\x1b[2J\x07"),
    *("a" * 100_000, "line\u2028separator\x85\x0b\x0c\x1c", "crane\nggggg", "{}%s\\", "None", "\r\n" * 40),
]


class Riddle(TextTask[tuple[int, int]]):
    """Says a number, wants it back, has no end of its own but that, and tells all kinds of info."""

    instructions = "Say the number."
    max_turns = 3
    max_action_chars = 8

    def __init__(self, top: int = 10, silent: bool = False) -> None:
        self.top = top
        self.silent = silent

    def start(
        self, rngs: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> list[Reply[tuple[int, int]]]:
        numbers = [int(rng.integers(self.top)) for rng in rngs]
        return [Reply((n, 0), None if self.silent else f"what is {n}?", self._info(n, None)) for n in numbers]

    def reply(self, states: Sequence[tuple[int, int]], actions: Sequence[str]) -> list[Reply[tuple[int, int]]]:
        return [self._reply(n, said + 1, action) for (n, said), action in zip(states, actions, strict=True)]

    def _reply(self, n: int, said: int, action: str) -> Reply[tuple[int, int]]:
        right = action == str(n)
        text = None if right else f"no, {action!r} is wrong"
        return Reply((n, said), text, self._info(n, action), 1.5 if right else -0.5, right)

    def _info(self, n: int, action: str | None) -> dict[str, Any]:
        return {
            **{"count": n, "share": n / self.top, "small": n < 5, "said": action, "pair": (n, n), "list": [n]},
            **{
                "array": np.arange(3) + n,
                "scalar": np.float32(n),
                "nested": {"twice": 2 * n, "deep": {"said": action}},
            },
            **{"close": None if action is None else action.isdigit()},
        }


@pytest.fixture(scope="module", autouse=True)
def _riddle() -> Iterator[None]:
    register_task("Riddle-v0", Riddle)
    yield
    for env_id in ("Riddle-v0", "lmrl/Riddle-v0"):
        del gym.registry[env_id]
    del TASKS["Riddle-v0"]


EVERY_TASK = [*TASKS, "Riddle-v0"]


def raw(env: gym.Env) -> TextEnv:
    assert isinstance(env.unwrapped, TextEnv)
    return env.unwrapped


@pytest.mark.parametrize("env_id", EVERY_TASK)
@pytest.mark.parametrize("prefix", ["", "lmrl/", "lmrl_envs:"])
def test_gymnasium_finds_no_fault(env_id: str, prefix: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(f"{prefix}{env_id}", disable_env_checker=True)
        assert env is env.unwrapped  # nothing is wrapped around it, so nothing slows it
        check_env(env)
        checked = gym.make(f"{prefix}{env_id}", render_mode="ansi", disable_env_checker=False)
        checked.reset(seed=0)
        checked.step("crane")
        assert isinstance(checked.render(), str)
        checked.close()


@pytest.mark.parametrize("env_id", EVERY_TASK)
def test_any_text_is_an_action(env_id: str) -> None:
    env = gym.make(env_id)
    env.action_space.seed(0)
    limit = raw(env).task.max_action_chars
    for seed in range(3):
        for action in [*HOSTILE, *(env.action_space.sample() for _ in range(20))]:
            if seed == 0 or raw(env)._running is None or raw(env)._running.over:
                env.reset(seed=seed)
            observation, reward, terminated, truncated, info = env.step(action)
            assert observation in env.observation_space
            observation.encode("utf-8")
            assert "\0" not in observation
            said = [turn for turn in info["turns"] if turn.role == "agent"][-1]
            assert len(said.text) <= limit
            assert said.text.splitlines() in ([said.text], [])
            assert said.reward == reward
            assert np.isfinite(reward)
            assert (type(terminated), type(truncated)) == (bool, bool)
            assert observation == "\n".join(turn.text for turn in info["turns"])


@pytest.mark.parametrize("env_id", EVERY_TASK)
def test_info_has_the_same_keys_throughout(env_id: str) -> None:
    env = gym.make(env_id)
    _, info = env.reset(seed=0)
    keys = set(info)
    assert {"turns", "instructions"} < keys
    over = False
    while not over:
        *_, terminated, truncated, info = env.step("5")
        assert set(info) == keys
        assert info["instructions"] == raw(env).task.instructions
        over = terminated or truncated


@pytest.mark.parametrize("env_id", EVERY_TASK)
def test_states_survive_pickling(env_id: str) -> None:
    task = make_task(env_id)
    (reply,) = task.start([seeding.np_random(1)[0]])
    for action in ("crane", "5", "slate"):
        state = reply.state
        copy = pickle.loads(pickle.dumps(state))  # noqa: S301
        (reply,), (again,) = task.reply([state], [action]), task.reply([copy], [action])
        assert copy == state
        assert (reply.text, reply.reward, reply.terminated) == (again.text, again.reward, again.terminated)
        if reply.terminated:
            break


@pytest.mark.parametrize("env_id", EVERY_TASK)
@pytest.mark.parametrize("action", [None, 3, b"crane", ["crane"], np.array("crane")])
def test_only_strings_are_actions(env_id: str, action: Any) -> None:
    env = gym.make(env_id)
    env.reset(seed=0)
    with pytest.raises(TypeError, match="must be a str"):
        env.step(action)
    assert len([turn for turn in env.step("crane")[4]["turns"] if turn.role == "agent"]) == 1  # it cost no turn


def test_order_is_enforced() -> None:
    env = gym.make("Riddle-v0", top=1, render_mode="ansi")
    with pytest.raises(ResetNeeded, match="reset"):
        env.step("0")
    with pytest.raises(ResetNeeded, match="reset"):
        env.render()
    env.reset()
    assert env.step("0")[2]
    assert env.render() == "what is 0?\n0"
    with pytest.raises(ResetNeeded, match="reset"):
        env.step("0")


def test_a_step_by_hand() -> None:
    env = gym.make("Riddle-v0", top=1)
    assert env.reset(seed=0)[0] == "what is 0?"
    observation, reward, terminated, truncated, info = env.step("two\nlines")
    assert observation == "what is 0?\ntwo line\nno, 'two line' is wrong"  # cut to eight characters
    assert (reward, terminated, truncated) == (-0.5, False, False)
    observation, reward, terminated, truncated, info = env.step("0")
    assert (reward, terminated, truncated) == (1.5, True, False)
    assert info["turns"] == (
        Turn("env", "what is 0?"),
        Turn("agent", "two line", -0.5),
        Turn("env", "no, 'two line' is wrong"),
        Turn("agent", "0", 1.5),
    )


def test_the_guard_truncates_and_an_end_at_the_guard_terminates() -> None:
    env = gym.make("Riddle-v0", top=1)
    env.reset()
    assert [env.step("1")[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]
    env.reset()
    assert [env.step(said)[2:4] for said in "110"] == [(False, False), (False, False), (True, False)]


def test_seeds_start_the_same_episode_as_the_generator_of_gymnasium() -> None:
    env = gym.make("Wordle-v0")
    big = 2**63 - 1
    for seed in (0, 1, big):
        env.reset(seed=seed)
        (reply,) = raw(env).task.start([seeding.np_random(seed)[0]])
        assert raw(env)._running is not None
        assert raw(env)._running.state == reply.state
    env.reset(seed=7)
    answers = [raw(env)._running.state for _ in range(20) if env.reset()]  # without a seed the generator goes on
    assert len(set(answers)) > 15


def test_rendering_without_a_mode_warns() -> None:
    env = gym.make("Riddle-v0")
    env.reset()
    with pytest.warns(UserWarning, match="render_mode="):
        assert env.render() is None
    with pytest.raises(ValueError, match="unknown render mode 'rgb_array'"):
        gym.make("Riddle-v0", render_mode="rgb_array")


# The vector face


def assert_same(first: Any, second: Any) -> None:
    """Equal in value, type and dtype, all the way down."""
    assert type(first) is type(second)
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, np.ndarray):
        assert first.dtype == second.dtype
        assert first.shape == second.shape
        for one, other in zip(first.flat, second.flat, strict=True):
            assert_same(one, other)
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    else:
        assert first == second


def both(env_id: str, rows: int, mode: AutoresetMode, **kwargs: Any) -> tuple[VectorEnv, VectorEnv]:
    ours = gym.make_vec(env_id, num_envs=rows, autoreset_mode=mode, **kwargs)
    theirs = gym.make_vec(
        env_id, num_envs=rows, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **kwargs
    )
    assert isinstance(ours, TextVectorEnv)
    assert isinstance(theirs, SyncVectorEnv)
    return ours, theirs


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [("Wordle-v0", {"words": "common-40", "max_guesses": 3}), ("Riddle-v0", {}), ("Riddle-v0", {"silent": True})],
)
def test_many_rows_are_what_gymnasium_makes_of_single_ones(mode: AutoresetMode, env_id: str, kwargs: dict) -> None:
    ours, theirs = both(env_id, 5, mode, **kwargs)
    rng = np.random.default_rng(0)
    words = ["crane", "1", "2", "3", "no", *make_task("Wordle-v0", words="common-40").answers[:12]]
    for seed in (3, [11, 12, 13, 14, 15], None):
        assert_same(ours.reset(seed=seed), theirs.reset(seed=seed))
        for _ in range(30):
            actions = rng.choice(words, size=5).tolist()
            mine = ours.step(actions)
            assert_same(mine, theirs.step(actions))
            over = mine[2] | mine[3]
            if mode is AutoresetMode.DISABLED and over.any():
                new = int(rng.integers(1000)) if rng.random() < 0.5 else None
                for_mine, for_theirs = {"reset_mask": over}, {"reset_mask": over.copy()}
                assert_same(ours.reset(seed=new, options=for_mine), theirs.reset(seed=new, options=for_theirs))
                assert for_mine == {"reset_mask": over}
    assert_same(ours.np_random_seed, theirs.np_random_seed)
    assert_same(
        [generator.bit_generator.state for generator in ours.np_random],
        [generator.bit_generator.state for generator in theirs.np_random],
    )


def test_one_row_and_spaces_are_those_of_gymnasium() -> None:
    ours, theirs = both("Wordle-v0", 2, AutoresetMode.NEXT_STEP, render_mode="ansi")
    for name in ("single_observation_space", "single_action_space", "observation_space", "action_space"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.metadata == theirs.metadata
    assert ours.render_mode == theirs.render_mode
    with pytest.raises(ResetNeeded, match="reset"):
        ours.render()
    for vector in (ours, theirs):
        vector.reset(seed=1, options={"answer": "about"})
        vector.step(("about", "crane"))
    assert ours.render() == theirs.render()
    assert gym.make_vec("Wordle-v0").num_envs == 1


def test_next_step_ignores_the_actions_of_ended_rows() -> None:
    vector = gym.make_vec("Riddle-v0", num_envs=2, top=1)
    vector.reset()
    vector.step(["0", "1"])
    observations, rewards, terminated, _, infos = vector.step([None, "0"])
    assert observations == ("what is 0?", "what is 0?\n1\nno, '1' is wrong\n0")
    assert rewards.tolist() == [0.0, 1.5]
    assert terminated.tolist() == [False, True]
    assert infos["said"].tolist() == [None, "0"]


def test_same_step_shows_the_end_in_final() -> None:
    vector = gym.make_vec("Riddle-v0", num_envs=2, top=1, autoreset_mode="SameStep")
    vector.reset()
    observations, rewards, terminated, _, infos = vector.step(["0", "1"])
    assert observations == ("what is 0?", "what is 0?\n1\nno, '1' is wrong")
    assert (rewards.tolist(), terminated.tolist()) == ([1.5, -0.5], [True, False])
    assert infos["final_obs"].tolist() == ["what is 0?\n0", None]
    assert infos["_final_info"].tolist() == [True, False]
    assert infos["final_info"]["turns"][0] == (Turn("env", "what is 0?"), Turn("agent", "0", 1.5))
    assert infos["turns"][0] == (Turn("env", "what is 0?"),)


def test_disabled_names_the_rows_that_ended() -> None:
    vector = gym.make_vec("Riddle-v0", num_envs=3, top=1, autoreset_mode=AutoresetMode.DISABLED)
    vector.reset()
    vector.step(["0", "1", "0"])
    with pytest.raises(ResetNeeded, match=r"rows \[0, 2\].*reset_mask"):
        vector.step(["1", "1", "1"])
    vector.reset(options={"reset_mask": np.array([True, False, True])})
    assert vector.step(["1", "0", "1"])[2].tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("actions", "error", "message"),
    [
        ("ab", TypeError, "expected 2 actions, one a row, got str: 'ab'"),
        (7, TypeError, "expected 2 actions, one a row, got int"),
        (["a"], ValueError, "expected 2 actions, one a row, got 1"),
        (["a", "b", "c"], ValueError, "got 3"),
        (["a", 5], TypeError, "must be a str, got int: 5"),
    ],
)
def test_bad_batches(actions: Any, error: type[Exception], message: str) -> None:
    vector = gym.make_vec("Riddle-v0", num_envs=2)
    with pytest.raises(ResetNeeded):
        vector.step(["a", "b"])
    vector.reset(seed=0)
    with pytest.raises(error, match=message):
        vector.step(actions)
    _, _, _, _, infos = vector.step(np.array(["a", "b"]))  # nothing was said before
    assert [[turn.text for turn in turns if turn.role == "agent"] for turns in infos["turns"]] == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seed": [1]}, ValueError, "expected an int or 2 seeds, one a row, got 1"),
        ({"options": {"reset_mask": np.array([True])}}, ValueError, "reset_mask of 2 bools"),
        ({"options": {"reset_mask": np.array([False, False])}}, ValueError, "with a True one"),
        ({"options": {"reset_mask": np.array([1, 0])}}, ValueError, "bools"),
        ({"options": {"reset_mask": np.array([True, False])}}, ResetNeeded, "reset all rows once"),
        ({"options": {"anser": "crane"}}, ValueError, "did you mean 'answer'"),
    ],
)
def test_bad_resets(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        gym.make_vec("Wordle-v0", num_envs=2).reset(**arguments)


def test_bad_vectors() -> None:
    with pytest.raises(ValueError, match="num_envs must be at least 1, got 0"):
        gym.make_vec("Riddle-v0", num_envs=0)
    with pytest.raises(ValueError, match="unknown autoreset mode 'NextStp'; did you mean 'NextStep'"):
        gym.make_vec("Riddle-v0", num_envs=2, autoreset_mode="NextStp")


def test_asynchronous_rows_need_shared_memory_off() -> None:
    functions = [lambda: gym.make("lmrl_envs:Wordle-v0")] * 2
    with pytest.raises(ValueError, match="shared_memory=False"):
        AsyncVectorEnv(functions)
    # not by fork, which may hang where this process has threads
    vector = AsyncVectorEnv(functions, shared_memory=False, context="spawn")
    try:
        single = gym.make("Wordle-v0")
        vector.reset(seed=4)
        single.reset(seed=4)
        assert vector.step(("crane", "slate"))[0][0] == single.step("crane")[0]
    finally:
        vector.close()
