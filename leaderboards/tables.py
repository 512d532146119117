"""Tables of results: orderings, gaps closed, which runs stand together.

A row (`leaderboards.rows`) is one agent with one setting, a table one task of one suite. All figures are of mean
undiscounted returns.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from leaderboards.rows import Row, Run
from leaderboards.suites import SUITES
from lmrl_envs.registration import reference_scores
from lmrl_envs.statistics import Estimate, Verdict, holm, seed_difference, seed_mean, verdicts

logger = logging.getLogger(__name__)


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
        return SUITES[self.suite].margin

    @cached_property
    def orderings(self) -> list[Ordering]:
        """Of the pairs that the suite names and that can be compared, see `_difference`."""
        if self.suite not in SUITES:
            return []
        found = {pair: self._difference(*pair) for pair in SUITES[self.suite].pairs}
        differences = {pair: difference for pair, difference in found.items() if difference is not None}
        p_values = holm([difference.p_value for difference in differences.values()]).tolist()
        said = verdicts(list(differences.values()), margin=self.margin)
        return [
            Ordering(*pair, difference, p_value, verdict)
            for (pair, difference), p_value, verdict in zip(differences.items(), p_values, said, strict=True)
        ]

    def _difference(self, better: str, worse: str) -> Estimate | None:
        """Over training seeds; a player that has none counts by its mean on the same episodes.

        None where a row is missing or has one seed of several, or where neither has any.
        """
        rows = [self.by_name[name] for name in (better, worse) if name in self.by_name]
        if len(rows) < 2 or any(row.run["seeded"] and len(row.runs) < 2 for row in rows):
            return None
        a, b = (row.means(self.headline) for row in rows)
        if not any(row.run["seeded"] for row in rows):
            return None
        if len(a) > 1 and len(b) > 1:
            return seed_difference(a, b)
        return seed_mean([x - y for x in a for y in b])

    @cached_property
    def data_return(self) -> float | None:
        """The exact expected return of those who wrote the data, where it is known."""
        return self.by_name["people"].expected_return if "people" in self.by_name else None

    @cached_property
    def imitation(self) -> Imitation | None:
        """None where BC, its sampled play or those who wrote the data are not in the table."""
        bc, people = self.by_name.get("bc"), self.by_name.get("people")
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
        bc = self.by_name.get("bc")
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
    def by_name(self) -> dict[str, Row]:
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
    by_setting: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_setting[run.run["setting"]].append(run)
    rows = []
    for same in by_setting.values():  # compared only with runs that were scored on the same episodes
        alike = [group for group in by_setting.values() if group[0].run["evaluation"] == same[0].run["evaluation"]]
        by_name = {group[0].run["agent"]: group for group in reversed(alike)}
        random = by_name.get("random")
        rows.append(Row(same, headline, random[0] if random else None, by_name.get("bc", ())))
    rows.sort(key=lambda row: -row.mean(headline))
    return Table(suite, runs[0].run["task"], headline, list(evaluation["decodings"]), rows)
