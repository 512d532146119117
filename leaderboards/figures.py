"""Numbers as the page and its markdown write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmrl_envs.statistics import Estimate


def number(value: float | None, digits: int = 2) -> str:
    """A signed number with a real minus; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def share(value: float) -> str:
    """A share in percent."""
    return f"{number(100 * value, 0)} %"


def share_with_interval(estimate: Estimate | None) -> str:
    """A share with its interval in brackets; a dash where there is none."""
    if estimate is None:
        return "–"
    interval = estimate.interval()
    return f"{share(estimate.value)} [{share(interval.low)}, {share(interval.high)}]"


def tuning(tuning: Mapping[str, Any]) -> str:
    """Trials, and the episodes that were played to choose among them."""
    return f"{tuning['trials']} trials, {count(tuning['episodes'])} episodes" if tuning else "–"


def duration(seconds: float) -> str:
    """A time in the units that people say."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def count(value: float | None) -> str:
    """A count in thousands or millions."""
    if value is None:
        return "–"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:g}"


def megabytes(value: float | None) -> str:
    """A size in megabytes."""
    return "–" if value is None else f"{value / 1e6:.1f} MB"


def with_interval(estimate: Estimate) -> str:
    """A number with its interval in brackets."""
    interval = estimate.interval()
    return f"{number(estimate.value)} [{number(interval.low)}, {number(interval.high)}]"
