"""What one result file says, and one row of a table: an agent's runs with one setting, a training seed each.

All figures are of mean undiscounted returns.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, repeat
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from lmrl_envs.core import Episode
from lmrl_envs.evaluate import EvalResult
from lmrl_envs.statistics import Estimate, episode_difference, episode_mean, seed_mean

DECODED = ("agent", "checkpoint", "chosen")
"""Kinds of runs in which greedy and sampled are two things; the others play one way."""
GAMES_SHOWN = 4


@dataclass(frozen=True)
class Run:
    """One result file. `scores` are what a worker's `token_scores` gave for the first example games."""

    run: Mapping[str, Any]
    train: Mapping[str, Any]
    results: Mapping[str, EvalResult]
    expected_return: float | None = None
    loss_floor: float | None = None
    scores: Sequence[Sequence[Mapping[str, Sequence[Any]]]] = ()
    critics: Mapping[str, Any] = field(default_factory=dict)
    study: Mapping[str, Any] = field(default_factory=dict)
    published: bool = False

    @classmethod
    def load(cls, path: Path) -> Run:
        """Reads what a worker wrote, or what was published of it.

        Raises:
            ValueError: the file is cut short or holds something else.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                data["run"],
                data["train"],
                {key: EvalResult.from_json(value) for key, value in data["eval"].items()},
                data.get("expected_return"),
                data.get("loss_floor"),
                data.get("scores", ()),
                data.get("critics") or {},
                data.get("study") or {},
                published=path.name != "result.json",
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a result of leaderboards.run ({error!r})") from error


@dataclass(frozen=True)
class Row:
    """One agent's runs with one setting, one a training seed.

    `random` is the random player's run on the same task, `bc` are BC's.
    """

    runs: Sequence[Run]
    headline: str
    random: Run | None = None
    bc: Sequence[Run] = ()

    @property
    def run(self) -> Mapping[str, Any]:
        return self.runs[0].run

    @property
    def name(self) -> str:
        return self.run["agent"]

    @property
    def reference(self) -> bool:
        return self.run["reference"]

    @property
    def published(self) -> bool:
        return all(run.published for run in self.runs)

    @property
    def kind(self) -> str:
        """What kind of run it is; where another run counts here too, that one's."""
        return self.run.get("of", self.run["kind"])

    @property
    def decoded(self) -> bool:
        """Whether greedy and sampled are two things: a policy that is not a model plays one way."""
        return self.kind in DECODED

    @property
    def seeds(self) -> list[int]:
        return [run.run["seed"] for run in self.runs]

    @property
    def episodes(self) -> int:
        return len(self.first.returns)

    @property
    def first(self) -> EvalResult:
        """The first seed's result under the headline decoding."""
        return self.runs[0].results[self.headline]

    def means(self, decoding: str) -> list[float]:
        """Mean undiscounted return of each training seed."""
        return [fmean(run.results[decoding].returns) for run in self.runs]

    def mean(self, decoding: str) -> float:
        """Over seeds."""
        return fmean(self.means(decoding))

    def estimate(self, decoding: str) -> Estimate:
        """Student t over training seeds; with one seed, over its episodes."""
        if len(self.runs) > 1:
            return seed_mean(self.means(decoding))
        return episode_mean(self.runs[0].results[decoding].returns)

    @property
    def expected_return(self) -> float | None:
        """The exact one, of a player for which it is known."""
        return self.runs[0].expected_return

    @cached_property
    def normalized(self) -> float | None:
        """0 is the random policy, 1 the best known one; under the headline decoding."""
        scores = [run.results[self.headline].normalized for run in self.runs]
        known = [score for score in scores if score is not None]
        return fmean(known) if len(known) == len(scores) else None

    @cached_property
    def gain(self) -> Estimate | None:
        """Difference from the random player on the same episodes, under the headline decoding."""
        if self.random is None or self.random is self.runs[0]:
            return None
        base = self.random.results[self.headline]
        if len(self.runs) > 1:
            return seed_mean([mean - fmean(base.returns) for mean in self.means(self.headline)])
        return episode_difference(*_by_start(self.first, base))

    @property
    def degenerate(self) -> bool:
        """Whether it says the same to everybody: by the words' variety, length and emptiness, against `bc`'s."""
        if self.reference:
            return False
        if any(run.results[self.headline].metrics.get("empty", 0) > 0.01 for run in self.runs):
            return True
        measures = ("distinct_2", "median_characters")
        return any(self._measured(self.runs, key) < self._measured(self.bc, key) / 2 for key in measures)

    def _measured(self, runs: Sequence[Run], key: str) -> float:
        """The mean of a measure of what was said, over seeds; 0 where a seed has none, such as no pair of words."""
        return fmean([run.results[self.headline].metrics.get(key, 0.0) for run in runs] or [0.0])

    @cached_property
    def late_change(self) -> float | None:
        """How much the score changed in the last fifth of training, mean over seeds; None where nobody looked."""
        changes = []
        for run in self.runs:
            looks = [(point["step"], point["score"]) for point in run.train["curve"] if "score" in point]
            earlier = [score for step, score in looks if step <= 0.8 * looks[-1][0]]
            if not earlier:
                return None
            changes.append(looks[-1][1] - earlier[-1])
        return fmean(changes)

    @property
    def not_converged(self) -> bool:
        """Whether the score still changed by more than its interval's half width when training ended."""
        if self.late_change is None:
            return False
        estimate = self.estimate(self.headline)
        return abs(self.late_change) > estimate.interval().high - estimate.value

    @property
    def tuning(self) -> Mapping[str, Any]:
        """Trials made, and episodes played, to choose among settings."""
        return self.first.tuning

    @cached_property
    def critics(self) -> Mapping[str, Any]:
        """How its values compare with exact ones, as `leaderboards.critics` says it, mean over seeds."""
        return _mean([run.critics for run in self.runs])

    @property
    def seconds(self) -> float:
        """Training and playing, mean over seeds."""
        shown = list(self.runs[0].results) if self.decoded else [self.headline]
        return fmean(
            run.train["cost"].get("seconds", 0) + sum(run.results[name].seconds for name in shown) for run in self.runs
        )

    @property
    def parameters(self) -> int | None:
        return self.runs[0].train["cost"].get("parameters")

    @property
    def forward_passes(self) -> int | None:
        """Trunk passes in a step of training."""
        return self.runs[0].train["cost"].get("forward_passes")

    @property
    def extra_bytes(self) -> int | None:
        """Memory that training holds besides the trained parameters and their optimiser: frozen networks."""
        return self.runs[0].train["cost"].get("extra_bytes")

    @property
    def validation_loss(self) -> float | None:
        """In nats an agent token when training ended, mean over seeds."""
        losses = [run.train["curve"][-1].get("validation_loss") for run in self.runs if run.train["curve"]]
        known = [loss for loss in losses if loss is not None]
        return fmean(known) if known else None

    @property
    def validated(self) -> bool:
        """Whether its validation loss was seen in the course of training."""
        return sum("validation_loss" in point for point in self.runs[0].train["curve"]) > 1

    @property
    def watched_openers(self) -> bool:
        """Whether its preference among openers was seen in the course of training."""
        return any("opener_share" in point for point in self.runs[0].train["curve"])

    @property
    def scored(self) -> bool:
        """Whether the tokens of its games have values."""
        return bool(self.runs[0].scores)

    @property
    def games(self) -> list[tuple[Episode, Sequence[Mapping[str, Sequence[Any]]]]]:
        """The first example games, each with the scores of its agent turns' tokens."""
        return list(zip(self.first.examples[:GAMES_SHOWN], chain(self.runs[0].scores, repeat(())), strict=False))


def _mean(values: Sequence[Any]) -> Any:
    """Plain JSON of one form as the same with the mean of each number; None where one is missing."""
    first = values[0]
    if isinstance(first, Mapping):
        return {key: _mean([value[key] for value in values]) for key in first if all(key in value for value in values)}
    if isinstance(first, list):
        return [_mean(items) for items in zip(*values, strict=False)]
    return None if None in values else fmean(values)


def _by_start(a: EvalResult, b: EvalResult) -> tuple[np.ndarray, np.ndarray]:
    """Returns on the same starts, of which one side may have played each several times, as means of each start.

    Starts that a side gave up each time are left out.
    """
    starts = min(len(result.returns) + len(result.errors) for result in (a, b))
    of_a, of_b = _start_means(a, starts), _start_means(b, starts)
    both = sorted(of_a.keys() & of_b.keys())
    return np.array([of_a[start] for start in both]), np.array([of_b[start] for start in both])


def _start_means(result: EvalResult, starts: int) -> dict[int, float]:
    given_up = {int(error.partition(":")[0]) for error in result.errors}
    finished = (index for index in range(len(result.returns) + len(given_up)) if index not in given_up)
    returns = defaultdict(list)
    for index, value in zip(finished, result.returns, strict=True):
        returns[index % starts].append(value)
    return {start: fmean(values) for start, values in returns.items()}
