"""The one way to run a policy (`rollout`) and the one artefact of a run (`EvalResult`).

An episode is its index: from the run's seed and the index come the seed of its environment and the policy's generator
for it. So every policy meets the same episodes, and a policy that draws only from its rows' generators plays them the
same way at every batch size.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import operator
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args

import numpy as np
from gymnasium.utils import seeding

from lmrl_envs.core import Episode, EpisodeKey, Policy, TextTask, Turn, clean, exchange, opening
from lmrl_envs.errors import PolicyError, unknown_name
from lmrl_envs.files import write_atomic
from lmrl_envs.progress import track
from lmrl_envs.provenance import provenance
from lmrl_envs.registration import find_task, make_task, plain_json, reference_scores

SCHEMA = 1
"""Version of `EvalResult`'s JSON."""
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
    summary = _Summary()
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


@dataclass(frozen=True)
class EvalResult:
    """What a policy scored in one run. `from_json(result.to_json()) == result`.

    Attributes:
        returns: Undiscounted return of each episode, in order, without those in `errors`.
        lengths: Agent turns of the same episodes.
        metrics: `turns` (mean), `truncated` (share of episodes); over all agent turns `empty` (share that is blank),
            `median_characters`, and `distinct_2`: distinct word pairs over all word pairs, where a pair is two words in
            a row of what the agent says in an episode (absent if no episode has two words). Further the mean over
            episodes of each number or truth value in the last info (such as `success`), where known.
        decoding: How texts were chosen: the policy's own `decoding`, if it has one.
        tuning: Trials made, and environment episodes spent on choosing among them.
        errors: "<index>: <type>: <text>" of the episodes that the policy gave up.
        provenance: See `lmrl_envs.provenance`.
        seconds: Wall-clock time of the run.
    """

    schema: int
    env_id: str
    env_kwargs: Mapping[str, Any]
    agent: str
    evaluation_seed: int
    training_seed: int | None
    dataset_id: str | None
    dataset_hash: str | None
    decoding: Mapping[str, Any]
    tuning: Mapping[str, Any]
    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    metrics: Mapping[str, float]
    examples: tuple[Episode, ...]
    errors: tuple[str, ...]
    provenance: Mapping[str, Any]
    seconds: float

    def __post_init__(self) -> None:
        for name, kinds in _KINDS.items():
            if not isinstance(getattr(self, name), kinds):
                expected = " or ".join(kind.__name__ for kind in kinds)
                raise ValueError(f"EvalResult.{name}: expected {expected}, got {getattr(self, name)!r:.80}")
        for name, kinds in _ITEM_KINDS.items():
            expected = " or ".join(kind.__name__ for kind in kinds)
            for position, item in enumerate(getattr(self, name)):
                if not isinstance(item, kinds) or (isinstance(item, float) and not math.isfinite(item)):
                    raise ValueError(f"EvalResult.{name}[{position}]: expected {expected}, got {item!r:.80}")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.returns) != len(self.lengths):
            raise ValueError(f"EvalResult: {len(self.returns)} returns but {len(self.lengths)} lengths")
        for name in ("env_kwargs", "decoding", "tuning", "metrics", "provenance"):
            object.__setattr__(self, name, plain_json(getattr(self, name)))

    @property
    def mean(self) -> float | None:
        """Mean return; None where no episode was finished."""
        return math.fsum(self.returns) / len(self.returns) if self.returns else None

    @property
    def standard_error(self) -> float | None:
        """Of the mean over these episodes, by the sample variance (n - 1); None for n < 2.

        It says nothing about other training seeds: see `lmrl_envs.statistics`.
        """
        n = len(self.returns)
        if self.mean is None or n < 2:
            return None
        return math.sqrt(math.fsum((value - self.mean) ** 2 for value in self.returns) / (n - 1) / n)

    @property
    def normalized(self) -> float | None:
        """(mean - random) / (best - random) with the task's reference scores; None where these are unknown."""
        try:
            scores = reference_scores(self.env_id, self.env_kwargs)
        except ValueError:  # a result of a task that this process has not registered
            return None
        if self.mean is None or scores is None or scores.best == scores.random:
            return None
        return (self.mean - scores.random) / (scores.best - scores.random)

    def to_json(self) -> dict[str, Any]:
        """All fields as plain JSON; floats keep every digit."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return plain_json(plain | {"examples": [_episode_to_json(episode) for episode in self.examples]})

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | str) -> EvalResult:
        """Reads what `to_json` made, or its text.

        Raises:
            ValueError: it is no such JSON; the message names the field.
        """
        values = json.loads(data) if isinstance(data, str) else data
        if not isinstance(values, Mapping):
            raise ValueError(f"EvalResult: expected a JSON object, got {values!r:.80}")
        if (schema := values.get("schema")) != SCHEMA:
            raise ValueError(f"EvalResult.schema: this version reads {SCHEMA}, got {schema!r:.80}; evaluate again")
        names = [field.name for field in dataclasses.fields(cls)]
        if missing := [name for name in names if name not in values]:
            raise ValueError(f"EvalResult: missing {', '.join(missing)}")
        if unknown := [name for name in values if name not in names]:
            raise unknown_name("field of EvalResult", unknown[0], names)
        if isinstance(values["examples"], list):
            values = {**values, "examples": [_episode_from_json(data, n) for n, data in enumerate(values["examples"])]}
        return cls(**values)

    def save(self, path: Path | str) -> None:
        """Writes the JSON as one line; readers see the old file or the new one."""
        write_atomic(Path(path), json.dumps(self.to_json(), allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path | str) -> EvalResult:
        """Reads what `save` wrote.

        Raises:
            ValueError: the file is cut short or holds something else; the message names file and field.
        """
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:  # JSON and UTF-8 errors are ValueErrors too
            raise ValueError(f"{path}: {error}") from error


_KINDS: dict[str, tuple[type, ...]] = {
    "schema": (int,),
    "env_id": (str,),
    "env_kwargs": (Mapping,),
    "agent": (str,),
    "evaluation_seed": (int,),
    "training_seed": (int, NoneType),
    "dataset_id": (str, NoneType),
    "dataset_hash": (str, NoneType),
    "decoding": (Mapping,),
    "tuning": (Mapping,),
    "returns": (list, tuple),
    "lengths": (list, tuple),
    "metrics": (Mapping,),
    "examples": (list, tuple),
    "errors": (list, tuple),
    "provenance": (Mapping,),
    "seconds": (int, float),
}
_ITEM_KINDS: dict[str, tuple[type, ...]] = {
    "returns": (int, float),
    "lengths": (int,),
    "examples": (Episode,),
    "errors": (str,),
}


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


class _Summary:
    """Adds up `EvalResult.metrics` episode by episode, so that no episode need be kept."""

    def __init__(self) -> None:
        self.episodes = 0
        self.truncated = 0
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.known: Counter[str] = Counter()
        self.characters: list[int] = []
        self.empty = 0
        self.pairs = 0
        self.distinct: set[tuple[str, str]] = set()

    def add(self, episode: Episode) -> int:
        """Returns the episode's agent turns."""
        self.episodes += 1
        self.truncated += episode.truncated
        for key, value in episode.info.items():
            if isinstance(value, int | float | np.bool_ | np.number) and math.isfinite(value):  # a bool is an int
                self.sums[key] += float(value)
                self.known[key] += 1
        texts = [turn.text for turn in episode.turns if turn.role == "agent"]
        self.characters += map(len, texts)
        self.empty += sum(not text.strip() for text in texts)
        words = " ".join(texts).split()
        self.pairs += max(len(words) - 1, 0)
        self.distinct.update(pairwise(words))
        return len(texts)

    def metrics(self) -> dict[str, float]:
        if not self.episodes:
            return {}
        metrics = {key: self.sums[key] / self.known[key] for key in self.known}
        metrics["turns"] = len(self.characters) / self.episodes
        metrics["truncated"] = self.truncated / self.episodes
        metrics["empty"] = self.empty / len(self.characters)
        metrics["median_characters"] = float(np.median(self.characters))
        if self.pairs:
            metrics["distinct_2"] = len(self.distinct) / self.pairs
        return metrics


def _episode_to_json(episode: Episode) -> dict[str, Any]:
    fields = {field.name: getattr(episode, field.name) for field in dataclasses.fields(episode)}
    return fields | {"turns": [turn._asdict() for turn in episode.turns]}


def _episode_from_json(data: Any, place: int) -> Episode:
    try:
        return Episode(**{**data, "turns": tuple(Turn(**turn) for turn in data["turns"])})
    except (TypeError, KeyError) as error:
        raise ValueError(f"EvalResult.examples[{place}]: not an episode ({error})") from error
