"""`EvalResult`, the one artefact of a run: every return, and what else is worth keeping of the episodes."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from lmrl_envs.core import Episode, Turn
from lmrl_envs.errors import unknown_name
from lmrl_envs.files import write_atomic
from lmrl_envs.registration import plain_json, reference_scores

SCHEMA = 1
"""Version of `EvalResult`'s JSON."""


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


class Summary:
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
