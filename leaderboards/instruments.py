"""The page's sections on instruments, from the records that their commands wrote.

`ope`, `selection`, `spread` and the tabular backups of branching data each keep JSON files in a folder of that name,
below the published results or a folder of runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from leaderboards.rows import Run
from lmrl_envs.statistics import Estimate, seed_mean

INSTRUMENTS = ("ope", "selection", "spread", "tabular")
ESTIMATORS = {"fqe": "FQE", "pdwis": "PDWIS", "dr": "doubly robust", "v_start": "V at the start"}
"""What estimators are called."""
LEVELS = {
    "looks": "within runs, over their training",
    "algorithm": "among runs of one algorithm",
    "task": "among all runs of a task",
}
"""Among what checkpoints are ranked."""
SIDE = 200
"""Of a drawn square, in its own units."""

Record = Mapping[str, Any]


def records(*folders: Path) -> dict[str, list[Record]]:
    """What there is of each instrument below folders; of two files with one name, that of the first folder."""
    found: dict[str, list[Record]] = {}
    for instrument in INSTRUMENTS:
        paths = {path.name: path for folder in reversed(folders) for path in (folder / instrument).glob("*.json")}
        found[instrument] = [json.loads(paths[name].read_text(encoding="utf-8")) for name in sorted(paths)]
    return found


def exact_shares(records: Sequence[Record], runs: Sequence[Run]) -> dict[str, float]:
    """By the names of agents with an expectile, the share of openers that exact backups of their data come to.

    Only of runs on data that were backed up, with the same discount.
    """
    exact = {
        (record["dataset_hash"], record["gamma_turn"], row["tau"]): row["share"]
        for record in records
        for row in record["backups"]
    }
    trained = [(run.run["agent"], run.run["dataset_hash"], run.run["config"] or {}) for run in runs]
    keys = {agent: (data, config.get("gamma_turn"), config.get("tau")) for agent, data, config in trained}
    return {agent: exact[key] for agent, key in keys.items() if key in exact}


class Dot(NamedTuple):
    """A policy in a plot of estimates against exact returns; `close` where the estimate counts as right."""

    x: float
    y: float
    close: bool
    policy: str
    estimate: float
    exact: float


class Scatter(NamedTuple):
    """An estimator's plot: both axes run from `low` to `high`, `band` is the drawn height of what counts as right."""

    dots: list[Dot]
    low: float
    high: float
    band: float
    missing: list[str]
    """Policies of which it could say nothing."""


def scatter(record: Record, estimator: str) -> Scatter:
    """An estimator's estimates for SVG; all estimators of a record have the same axes."""
    rows = record["policies"]
    values = [row[name] for row in rows for name in ("exact", *record["summary"]) if row[name] is not None]
    low, high = min(values), max(values)
    unit = SIDE / ((high - low) or 1.0)
    dots = [
        Dot(
            round((row["exact"] - low) * unit, 1),
            round((high - row[estimator]) * unit, 1),
            abs(row[estimator] - row["exact"]) <= record["close"],
            row["policy"],
            row[estimator],
            row["exact"],
        )
        for row in rows
        if row[estimator] is not None
    ]
    missing = [row["policy"] for row in rows if row[estimator] is None]
    return Scatter(dots, low, high, round(record["close"] * unit, 1), missing)


def rankings_by_statistic(record: Record) -> dict[str, list[Record | None]]:
    """Of each statistic its ranking at each of `LEVELS`; best first by the widest level, which compares all agents."""
    found: dict[str, list[Record | None]] = {}
    for level in reversed(LEVELS):
        for ranking in record[level]:
            found.setdefault(ranking["statistic"], [])
    for name, row in found.items():
        row += [next((one for one in record[level] if one["statistic"] == name), None) for level in LEVELS]
    return found


class SpreadRow(NamedTuple):
    """An agent of a grid. `places` are where its trials stand on the grid's scale, in percent."""

    agent: str
    best: float
    median: float
    sd: float
    scores: list[float]
    places: list[float]
    chosen: str
    settings: Mapping[str, Any]
    """Of the chosen trial, beside those that all share."""
    fresh: Estimate | None
    """Over fresh seeds, on test episodes; None of fewer than two."""
    fresh_place: float | None
    sampled: Estimate | None
    """The same in sampled play."""
    paper: Sequence[float | None] | None
    """Best score and standard deviation as published, on other data."""


def spread_rows(record: Record) -> list[SpreadRow]:
    """The agents of a grid, best first: by fresh seeds, which owe nothing to the choice, else by the best trial."""
    agents = record["agents"]
    fresh = {name: _over_seeds(row["fresh"]) for name, row in agents.items()}
    shown = [score for row in agents.values() for score in row["scores"]]
    shown += [estimate.value for estimate in fresh.values() if estimate]
    low, high = min(shown), max(shown)

    def place(value: float) -> float:
        return round(2 + 96 * (value - low) / ((high - low) or 1.0), 2)

    rows = [
        SpreadRow(
            name,
            row["best"],
            row["median"],
            row["sd"],
            row["scores"],
            [place(score) for score in row["scores"]],
            row["chosen"],
            row["trials"][int(row["chosen"].rpartition("-")[2]) - 1],
            estimate,
            place(estimate.value) if estimate else None,
            _over_seeds(row["sampled"]),
            record["paper"].get(name),
        )
        for (name, row), estimate in zip(agents.items(), fresh.values(), strict=True)
    ]
    return sorted(rows, key=lambda row: -(row.fresh.value if row.fresh else row.best))


def _over_seeds(scores: Sequence[float]) -> Estimate | None:
    """Their mean; None of fewer than two."""
    return seed_mean(scores) if len(scores) > 1 else None
