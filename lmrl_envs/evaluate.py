"""The one way to run a policy: `rollout` yields its episodes, `evaluate` sums them up in an `EvalResult`.

An episode is its index: from the run's seed and the index come the seed of its environment and the policy's generator
for it. So every policy meets the same episodes, and a policy that draws only from its rows' generators plays them the
same way at every batch size.
"""

from __future__ import annotations

import dataclasses
import inspect
import operator
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from gymnasium.utils import seeding

from lmrl_envs.core import Episode, EpisodeKey, Policy, TextTask, Turn, clean, exchange, opening
from lmrl_envs.errors import PolicyError, unknown_name
from lmrl_envs.progress import track
from lmrl_envs.provenance import provenance
from lmrl_envs.registration import find_task, make_task, plain_json
from lmrl_envs.results import SCHEMA, EvalResult, Summary

__all__ = ["EvalResult", "episode_seed", "evaluate", "policy_name", "rollout"]

OnError = Literal["raise", "record"]


def episode_seed(seed: int, index: int) -> int:
    """The environment's seed of episode `index` in a run with `seed`, 63 bits: `reset(seed=...)` starts it again."""
    return int(np.random.SeedSequence(seed, spawn_key=(index,)).generate_state(1, np.uint64)[0]) >> 1


def rollout(
    policy: Policy,
    env_id: str,
    *,
    episodes: int | Literal["all"],
    repeats: int = 1,
    seed: int = 0,
    batch_size: int = 64,
    env_kwargs: Mapping[str, Any] | None = None,
    on_error: OnError = "raise",
) -> Iterator[Episode]:
    """Plays episodes 0, 1, ... and yields them in that order.

    Args:
        policy: Anything with `act(histories) -> list[str]`. Found by name: `reset(*, seed, instructions)`, called once
            at the start, and the keyword `episodes: Sequence[EpisodeKey]` of `act`.
        env_id: A registered task.
        episodes: How many, or `"all"`: every start of the task once, so that a deterministic policy's mean has no
            sampling error. Then `Episode.info["start"]` holds the start's options.
        repeats: With `"all"`, how many times; index = repeat * (number of starts) + start.
        seed: Root of all episodes' seeds.
        batch_size: At most so many histories go to the policy at once.
        env_kwargs: The task's keyword arguments, as for `gym.make`.
        on_error: A policy may put an Exception in a row's place. `"raise"` raises it; `"record"` ends that episode,
            truncated, with `info["error"]` = "<type>: <text>".

    Raises:
        PolicyError: the policy returned something other than one text, or Exception, for each history.
        ValueError: an argument is out of its range, the task is unknown or refuses its arguments, or `"all"` was asked
            of a task with endless starts.
    """
    run = _Run(
        policy,
        env_id,
        episodes=episodes,
        repeats=repeats,
        seed=seed,
        batch_size=batch_size,
        env_kwargs=env_kwargs,
        on_error=on_error,
    )
    return iter(run)


def evaluate(
    policy: Policy,
    env_id: str,
    *,
    episodes: int | Literal["all"] = 1024,
    repeats: int = 1,
    seed: int = 0,
    batch_size: int = 64,
    env_kwargs: Mapping[str, Any] | None = None,
    on_error: OnError = "raise",
    progress: bool = True,
    keep_examples: int = 16,
) -> EvalResult:
    """Plays episodes (see `rollout`) and sums them up; the first `keep_examples` are kept whole.

    What the policy cannot know about itself (training seed, dataset, tuning) the caller adds with
    `dataclasses.replace(result, training_seed=3, ...)`.
    """
    began = time.perf_counter()
    run = _Run(
        policy,
        env_id,
        episodes=episodes,
        repeats=repeats,
        seed=seed,
        batch_size=batch_size,
        env_kwargs=env_kwargs,
        on_error=on_error,
    )
    name = policy_name(policy)
    decoding = plain_json(getattr(policy, "decoding", {}))
    returns: list[float] = []
    lengths: list[int] = []
    examples: list[Episode] = []
    summary = Summary()
    for index, episode in enumerate(track(run, description=f"{name} on {env_id}", enabled=progress)):
        if index in run.errors:
            continue
        returns.append(episode.total_return)
        lengths.append(summary.add(episode))
        if len(examples) < keep_examples:
            examples.append(dataclasses.replace(episode, info=plain_json(dict(episode.info))))
    return EvalResult(
        schema=SCHEMA,
        env_id=run.env_id,
        env_kwargs=run.env_kwargs,
        agent=name,
        evaluation_seed=run.seed,
        training_seed=None,
        dataset_id=None,
        dataset_hash=None,
        decoding=decoding,
        tuning={},
        returns=tuple(returns),
        lengths=tuple(lengths),
        metrics=summary.metrics(),
        examples=tuple(examples),
        errors=tuple(f"{index}: {error}" for index, error in sorted(run.errors.items())),
        provenance=provenance() | {"batch_size": batch_size},
        seconds=time.perf_counter() - began,
    )


def policy_name(policy: object) -> str:
    """The policy's `name`, else its class's."""
    return str(getattr(policy, "name", type(policy).__name__))


@dataclass(slots=True)
class _Row:
    """An episode that is being played."""

    index: int
    seed: int
    key: EpisodeKey | None
    start: Mapping[str, Any] | None
    state: Any
    turns: tuple[Turn, ...]
    info: dict[str, Any]
    agent_turns: int = 0

    def finish(self, env_id: str, *, terminated: bool, error: str | None = None) -> Episode:
        info = self.info
        if self.start is not None:
            info = {**info, "start": self.start}
        if error is not None:
            info = {**info, "error": error}
        return Episode(env_id, self.seed, self.turns, terminated, not terminated, info)


class _Run:
    """The episodes of one run; its arguments are those of `rollout`, checked here rather than at the first episode."""

    def __init__(
        self,
        policy: Policy,
        env_id: str,
        *,
        episodes: int | Literal["all"],
        repeats: int,
        seed: int,
        batch_size: int,
        env_kwargs: Mapping[str, Any] | None,
        on_error: OnError,
    ):
        if isinstance(policy, type) or not callable(getattr(policy, "act", None)):
            raise TypeError(f"expected a policy, an object with act(histories) -> list[str]; got {policy!r:.80}")
        if on_error not in get_args(OnError):
            raise unknown_name("value of on_error", on_error, get_args(OnError))
        self.policy, self.seed, self.on_error = policy, operator.index(seed), on_error
        self.batch_size = _positive("batch_size", batch_size)
        self.env_id = find_task(env_id).env_id
        self.env_kwargs = plain_json(env_kwargs or {})
        self.task: TextTask[Any] = make_task(env_id, **self.env_kwargs)
        self.errors: dict[int, str] = {}
        """What `on_error="record"` recorded so far, by index."""
        self.takes_keys = _takes_episodes(policy)
        self.starts: list[Mapping[str, Any]] | None = None
        if episodes == "all":
            self.starts = self.task.all_starts()
            if self.starts is None:
                raise ValueError(f"episodes='all': {env_id} has endless starts; give a number of episodes")
            self.total = len(self.starts) * _positive("repeats", repeats)
        else:
            self.total = _positive("episodes", episodes)
            if repeats != 1:
                raise ValueError(f"repeats={repeats} is for episodes='all'; with a number, ask for more episodes")

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[Episode]:
        if callable(reset := getattr(self.policy, "reset", None)):
            reset(seed=self.seed, instructions=self.task.instructions)
        rows: list[_Row] = []
        finished: dict[int, Episode] = {}  # those that wait for an episode of a lower index
        started = yielded = 0
        while rows or started < self.total:
            new = range(started, min(started + self.batch_size - len(rows), self.total))
            rows = self._step(rows + self._start(new), finished)
            started = new.stop
            while yielded in finished:
                yield finished.pop(yielded)
                yielded += 1

    def _start(self, indices: range) -> list[_Row]:
        seeds = [episode_seed(self.seed, index) for index in indices]
        rngs = [seeding.np_random(seed)[0] for seed in seeds]  # the generator that the faces would use
        options: list[Mapping[str, Any] | None] = [None] * len(indices)
        if self.starts is None:
            replies = self.task.start(rngs) if rngs else []
        else:
            options = [self.starts[index % len(self.starts)] for index in indices]
            replies = [self.task.start([rng], chosen)[0] for rng, chosen in zip(rngs, options, strict=True)]
        return [
            _Row(
                index,
                seed,
                EpisodeKey(index, _policy_generator(self.seed, index)) if self.takes_keys else None,
                chosen,
                reply.state,
                opening(reply),
                reply.info,
            )
            for index, seed, chosen, reply in zip(indices, seeds, options, replies, strict=True)
        ]

    def _step(self, rows: list[_Row], finished: dict[int, Episode]) -> list[_Row]:
        """Plays one turn of each row, moves those that end to `finished` and returns the others."""
        live, actions = [], []
        for row, action in zip(rows, self._act(rows), strict=True):
            if isinstance(action, Exception):
                if self.on_error == "raise":
                    raise action
                self.errors[row.index] = error = f"{type(action).__name__}: {action}"
                finished[row.index] = row.finish(self.env_id, terminated=False, error=error)
            else:
                live.append(row)
                actions.append(clean(action, self.task.max_action_chars))
        replies = self.task.reply([row.state for row in live], actions) if live else []
        going_on = []
        for row, action, reply in zip(live, actions, replies, strict=True):
            row.turns += exchange(action, reply)
            row.state, row.info = reply.state, reply.info
            row.agent_turns += 1
            if reply.terminated or row.agent_turns >= self.task.max_turns:
                finished[row.index] = row.finish(self.env_id, terminated=reply.terminated)
            else:
                going_on.append(row)
        return going_on

    def _act(self, rows: list[_Row]) -> Sequence[str | Exception]:
        """One text or Exception for each row, checked."""
        act: Any = self.policy.act
        histories = [row.turns for row in rows]
        texts = act(histories, episodes=[row.key for row in rows]) if self.takes_keys else act(histories)
        expected = f"policy {policy_name(self.policy)!r}: act must return {len(rows)} texts, one for each history"
        if isinstance(texts, str) or not isinstance(texts, Sequence):
            raise PolicyError(f"{expected}; got {type(texts).__name__}: {texts!r:.80}")
        if len(texts) != len(rows):
            raise PolicyError(f"{expected}; got {len(texts)}: {texts!r:.80}")
        for number, (row, text) in enumerate(zip(rows, texts, strict=True)):
            if not isinstance(text, str | Exception):
                got = f"{type(text).__name__}: {text!r:.80}"
                raise PolicyError(f"{expected}; row {number} (episode {row.index}) is {got}")
        return texts


def _positive(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        allowed = "a whole number of at least 1" + (" or 'all'" if name == "episodes" else "")
        raise ValueError(f"{name}: expected {allowed}, got {value!r}")
    return int(value)


def _takes_episodes(policy: Policy) -> bool:
    try:
        parameters = inspect.signature(policy.act).parameters
    except ValueError:  # a compiled function without a signature
        return False
    named = "episodes" in parameters and parameters["episodes"].kind is not inspect.Parameter.POSITIONAL_ONLY
    return named or any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())


def _policy_generator(seed: int, index: int) -> np.random.Generator:
    """The policy's own generator for an episode, independent of the environment's."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index, 1))))
