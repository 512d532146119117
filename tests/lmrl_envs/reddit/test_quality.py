from __future__ import annotations

import numpy as np
import pytest

from lmrl_envs.reddit.quality import expected_calibration_error, fit_temperature, quality


def test_by_hand() -> None:
    found = quality([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    assert found["auc"] == pytest.approx(3 / 4)  # of four pairs, .35 against .4 is wrong
    assert found["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert found["brier"] == pytest.approx((0.01 + 0.16 + 0.65**2 + 0.04) / 4)
    assert (found["count"], found["base_rate"]) == (4, 0.5)
    assert quality([0.1, 0.2], [0, 0])["auc"] is None


def test_calibration_error_by_hand() -> None:
    p, y = [0.1, 0.3, 0.9, 0.7], [0, 1, 1, 1]
    assert expected_calibration_error(p, y, bins=2) == pytest.approx((abs(0.4 - 1) + abs(1.6 - 2)) / 4)
    assert expected_calibration_error([0.25] * 8, [1, 0, 0, 0] * 2, bins=2) == pytest.approx(0)


def test_a_perfect_forecast_has_little_calibration_error() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(50_000)
    assert expected_calibration_error(p, rng.random(50_000) < p) < 0.015
    assert expected_calibration_error(p**3, rng.random(50_000) < p) > 0.1


def test_the_temperature_that_spoilt_logits_is_found() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (rng.random(20_000)[:, None] > p.cumsum(1)).sum(1)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.05)
