"""What results say: rows with their intervals, orderings, gaps closed, whether training had ended.

A row is one agent with one setting, a table one task of one suite. All figures are of mean undiscounted returns.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, repeat
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from leaderboards.suites import SUITES
from lmrl_envs.core import Episode
from lmrl_envs.evaluate import EvalResult
from lmrl_envs.registration import reference_scores
from lmrl_envs.statistics import (
    Estimate,
    Verdict,
    episode_difference,
    episode_mean,
    holm,
    seed_difference,
    seed_mean,
    verdicts,
)

DECODED = ("agent", "checkpoint", "chosen")
"""Kinds of runs in which greedy and sampled are two things; the others play one way."""
GAMES_SHOWN = 4
logger = logging.getLogger(__name__)


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
    """One agent's runs with one setting, one a training seed; `random` is the random player's run on the same task."""

    runs: Sequence[Run]
    headline: str
    random: Run | None = None
    bc: Run | None = None

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
    def decoded(self) -> bool:
        """Whether greedy and sampled are two things: a policy that is not a model plays one way."""
        return self.run.get("of", self.run["kind"]) in DECODED

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
        own, bc = self.first.metrics, self.bc.results[self.headline].metrics if self.bc else {}
        return any(own.get(key, 0) < bc[key] / 2 for key in ("distinct_2", "median_characters") if key in bc)

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


class Ordering(NamedTuple):
    """What can be said about two agents of a table; `p_value` after Holm's adjustment within it."""

    better: str
    worse: str
    difference: Estimate
    p_value: float
    verdict: Verdict


class Imitation(NamedTuple):
    """How well sampled BC imitates those who wrote the data: its return beside their exact one, and held-out losses."""

    bc_return: Estimate
    data_return: float
    bc_loss: float | None
    data_loss: float | None
    """In nats an agent token: what the writers themselves would score, the floor for any model."""


class Gap(NamedTuple):
    """Shares of the way to the best known return that an agent goes: from the data's return, and from BC's."""

    name: str
    from_data: Estimate | None
    from_bc: Estimate | None


@dataclass(frozen=True)
class Table:
    """All rows of one task of one suite, best first under the headline decoding."""

    suite: str
    task: Mapping[str, Any]
    headline: str
    decodings: Sequence[str]
    rows: Sequence[Row]

    @property
    def published(self) -> bool:
        """Whether any of it is; its other rows were made here."""
        return any(row.published for row in self.rows)

    @property
    def seeds(self) -> int:
        """Training seeds of the trained row that has fewest."""
        return min((len(row.runs) for row in self.rows if row.run["seeded"]), default=0)

    @property
    def basis(self) -> str:
        """What the intervals of trained rows are over."""
        if self.seeds > 1:
            return f"Student t over {self.seeds} training seeds"
        return "one training seed, so over the episodes of one model; they say nothing about another training run"

    @property
    def summary(self) -> str:
        """The suite in a sentence; nothing where this version has no such suite."""
        return SUITES[self.suite].summary if self.suite in SUITES else ""

    @property
    def margin(self) -> float:
        """The difference below which the suite counts two agents as tied."""
        suite = SUITES[self.suite]
        return suite.margins.get(self.task["name"], suite.margin)

    @cached_property
    def orderings(self) -> list[Ordering]:
        """Of the pairs that the suite names and that have two seeds or more on each side."""
        if self.suite not in SUITES:
            return []
        means = {name: row.means(self.headline) for name, row in self._by_name.items() if len(row.runs) > 1}
        pairs = [pair for pair in SUITES[self.suite].pairs if set(pair) <= means.keys()]
        differences = [seed_difference(means[a], means[b]) for a, b in pairs]
        p_values = holm([difference.p_value for difference in differences]).tolist()
        found = verdicts(differences, margin=self.margin)
        return [Ordering(*pair, *rest) for pair, *rest in zip(pairs, differences, p_values, found, strict=True)]

    @cached_property
    def data_return(self) -> float | None:
        """The exact expected return of those who wrote the data, where it is known."""
        return self._by_name["people"].expected_return if "people" in self._by_name else None

    @cached_property
    def imitation(self) -> Imitation | None:
        """None where BC, its sampled play or those who wrote the data are not in the table."""
        bc, people = self._by_name.get("bc"), self._by_name.get("people")
        if bc is None or people is None or people.expected_return is None or "sampled" not in self.decodings:
            return None
        return Imitation(bc.estimate("sampled"), people.expected_return, bc.validation_loss, people.runs[0].loss_floor)

    @cached_property
    def best(self) -> float | None:
        """The best known return."""
        try:
            scores = reference_scores(self.task["env_id"], self.task["env_kwargs"])
        except ValueError:  # a task that this process has not registered
            return None
        return None if scores is None else scores.best

    @cached_property
    def gaps(self) -> list[Gap]:
        """Of every trained agent, where either can be told."""
        bc = self._by_name.get("bc")
        gaps = [
            Gap(row.name, self._gap(row, self.data_return), self._gap_from(row, bc))
            for row in self.rows
            if row.decoded and not row.reference
        ]
        return [gap for gap in gaps if gap.from_data or gap.from_bc]

    def _gap(self, row: Row, base: float | None) -> Estimate | None:
        if base is None or self.best is None:
            return None
        way, estimate = self.best - base, row.estimate(self.headline)
        if way <= 0:
            return None  # nothing is left to close
        return Estimate(
            (estimate.value - base) / way, estimate.standard_error / abs(way), estimate.degrees, estimate.method
        )

    def _gap_from(self, row: Row, bc: Row | None) -> Estimate | None:
        """Seed by seed, since an agent starts from the BC of its seed."""
        if bc is None or row is bc or self.best is None:
            return None
        means = dict(zip(row.seeds, row.means(self.headline), strict=True))
        bases = dict(zip(bc.seeds, bc.means(self.headline), strict=True))
        common = sorted(means.keys() & bases.keys())
        if any(bases[seed] >= self.best for seed in common):
            return None
        if len(common) < 2:
            return self._gap(row, fmean(bases.values()))
        return seed_mean([(means[seed] - bases[seed]) / (self.best - bases[seed]) for seed in common])

    @cached_property
    def _by_name(self) -> dict[str, Row]:
        """Rows by name; of two settings the published one, then the one with more seeds."""
        return {row.name: row for row in sorted(self.rows, key=lambda row: (row.published, len(row.runs)))}

    @cached_property
    def scale(self) -> tuple[float, float]:
        """The range of returns that the table's drawn intervals span."""
        ends = [end for row in self.rows for name in self.decodings for end in row.estimate(name).interval()[:2]]
        margin = 0.04 * (max(ends) - min(ends)) or 1.0
        return min(ends) - margin, max(ends) + margin

    def place(self, value: float) -> float:
        """Where a return stands on the scale, in percent."""
        low, high = self.scale
        return round(100 * (value - low) / (high - low), 2)


def read(*folders: Path) -> list[Table]:
    """The tables of all results below folders, suites with published results first.

    A run that is published and here counts once. A result that cannot be read is logged and left out.
    """
    published = [path for folder in folders for path in sorted(folder.glob("*/*/*/seed*.json"))]
    here = [path for folder in folders for path in sorted(folder.glob("*/*/*/seed*/result.json"))]
    runs: dict[str, Run] = {}
    for path in [*published, *here]:
        try:
            run = Run.load(path)
        except ValueError as error:
            logger.warning("left out: %s", error)
        else:
            runs.setdefault(run.run["key"], run)
    by_task: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs.values():
        by_task[run.run["suite"], run.run["task"]["name"]].append(run)
    tables = [_table(suite, task_runs) for (suite, _), task_runs in by_task.items()]
    order = {name: place for place, name in enumerate(SUITES)}
    return sorted(tables, key=lambda table: (not table.published, order.get(table.suite, len(order))))


def _table(suite: str, runs: Sequence[Run]) -> Table:
    evaluation = runs[0].run["evaluation"]
    headline = evaluation["headline"]
    by_name = {run.run["agent"]: run for run in reversed(runs)}
    by_setting: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_setting[run.run["setting"]].append(run)
    rows = []
    for same in by_setting.values():  # compared only with runs that were scored on the same episodes
        scored_alike = {
            name: run for name, run in by_name.items() if run.run["evaluation"] == same[0].run["evaluation"]
        }
        rows.append(Row(same, headline, scored_alike.get("random"), scored_alike.get("bc")))
    rows.sort(key=lambda row: -row.mean(headline))
    return Table(suite, runs[0].run["task"], headline, list(evaluation["decodings"]), rows)


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
