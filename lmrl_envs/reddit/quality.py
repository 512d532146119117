"""How good a reward model is: discrimination and calibration of one probability against one outcome."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

BINS = 15


def quality(probabilities: ArrayLike, outcomes: ArrayLike) -> dict[str, float | int | None]:
    """Measures (N,) probabilities against (N,) outcomes, 0 or 1.

    Returns:
        `count`; `base_rate`, the mean outcome; `auc` and `average_precision` (None where all outcomes are equal);
        `brier`; and `ece`, see `expected_calibration_error`.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score  # noqa: PLC0415 - takes a second

    p, y = np.asarray(probabilities, np.float64), np.asarray(outcomes, np.float64)
    both = 0 < y.mean() < 1
    return {
        "count": len(y),
        "base_rate": float(y.mean()),
        "auc": float(roc_auc_score(y, p)) if both else None,
        "average_precision": float(average_precision_score(y, p)) if both else None,
        "brier": float(np.mean((p - y) ** 2)),
        "ece": expected_calibration_error(p, y),
    }


def expected_calibration_error(probabilities: ArrayLike, outcomes: ArrayLike, bins: int = BINS) -> float:
    """Mean distance of a bin's mean probability from its mean outcome, over bins of equal numbers of texts."""
    p, y = np.asarray(probabilities, np.float64), np.asarray(outcomes, np.float64)
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(abs(p[part].sum() - y[part].sum()) for part in parts) / len(p))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What (N, K) logits are to be divided by so that the likelihood of (N,) labels is highest, from .05 to 20."""
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - see quality
    from scipy.special import log_softmax  # noqa: PLC0415

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scaled[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded").x))
