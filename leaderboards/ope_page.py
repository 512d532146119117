"""The page's section on off-policy evaluation, from what `leaderboards.ope` wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ESTIMATORS = {"fqe": "FQE", "pdwis": "PDWIS", "dr": "doubly robust", "v_start": "V at the start"}
"""What estimators are called."""
SIDE = 200
"""Of a drawn square, in its own units."""


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


def records(results: Path) -> list[dict[str, Any]]:
    """What there is below a folder of results."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((results / "ope").glob("*.json"))]


def scatter(record: Mapping[str, Any], estimator: str) -> Scatter:
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
