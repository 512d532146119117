"""Estimators on problems whose answers are worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from leaderboards.estimators import doubly_robust, effective_games, importance_weights, per_decision

# Two turns at most. Game 1: actions a, then b; game 2: b, which ends it; game 3: a, then a.
# The behaviour says a and b with chance .5 each; the target a with .8 at the first turn, .25 at the second.
BEHAVIOUR = np.array([[0.5, 0.25], [0.5, 0.5], [0.5, 0.25]])
TARGET = np.array([[0.8, 0.6], [0.2, 0.2], [0.8, 0.2]])
REWARDS = np.array([[-1.0, 0.0], [-2.0, 0.0], [-1.0, -4.0]])
WEIGHTS = np.array([[1.6, 2.4], [0.4, 0.4], [1.6, 0.8]])


def test_weights_are_ratios_of_whole_prefixes():
    np.testing.assert_allclose(importance_weights(TARGET, BEHAVIOUR), WEIGHTS)
    with pytest.raises(ValueError, match="episode 1"):
        importance_weights(TARGET, BEHAVIOUR * [[1], [0], [1]])


def test_per_decision_weighted_importance_sampling_by_hand():
    # turn 1: (1.6 * -1 + .4 * -2 + 1.6 * -1) / 3.6; turn 2: .8 * -4 / 3.6
    assert per_decision(WEIGHTS, REWARDS) == pytest.approx(-4.0 / 3.6 - 3.2 / 3.6)


def test_equal_policies_have_the_mean_return():
    ones = np.ones((3, 2))
    assert per_decision(ones, REWARDS) == pytest.approx(REWARDS.sum(1).mean())
    assert effective_games(ones) == 3


def test_doubly_robust_by_hand():
    q = np.array([[-1.5, -0.5], [-2.0, 0.0], [-1.5, -3.0]])
    v, v_next = np.full(3, -1.6), np.array([[-0.7, 0.0], [0.0, 0.0], [-0.7, 0.0]])
    # r + v' - q: game 1: -1 - .7 + 1.5 = -.2, .5; game 2: 0, 0; game 3: -.2, -4 + 3 = -1
    expected = -1.6 + (1.6 * -0.2 + 1.6 * -0.2) / 3.6 + (2.4 * 0.5 + 0.8 * -1.0) / 3.6
    assert doubly_robust(WEIGHTS, REWARDS, q, v, v_next) == pytest.approx(expected)


def test_without_values_doubly_robust_is_importance_sampling_and_with_true_ones_it_has_no_noise():
    nothing = np.zeros((3, 2))
    assert doubly_robust(WEIGHTS, REWARDS, nothing, np.zeros(3), nothing) == pytest.approx(
        per_decision(WEIGHTS, REWARDS)
    )
    # outcomes that q and v foresee: whatever the weights, the estimate is v at the start
    v_next = np.array([[-3.0, 0.0], [0.0, 0.0], [-3.0, 0.0]])
    q = REWARDS + v_next
    for weights in (WEIGHTS, WEIGHTS[::-1], np.array([[0, 0], [5.0, 5.0], [1.0, 0.1]])):
        assert doubly_robust(weights, REWARDS, q, np.full(3, -2.5), v_next) == pytest.approx(-2.5)


def test_policies_outside_the_data_have_no_estimate():
    nothing = np.zeros((3, 2))
    assert per_decision(nothing, REWARDS) is None
    assert doubly_robust(nothing, REWARDS, nothing, np.zeros(3), nothing) is None
    assert effective_games(nothing) == 0
    only = np.array([[0.0, 0.0], [0.0, 0.0], [7.0, 7.0]])
    assert effective_games(only) == 1
    assert per_decision(only, REWARDS) == -5


def test_both_are_consistent_on_a_chain_of_known_value():
    """A game of two turns: a (right with chance .7) or b (.2); a miss costs 1, and after one miss a second try."""
    rng = np.random.Generator(np.random.PCG64(0))
    games, p_behaviour, p_target = 20_000, 0.5, 0.9
    a = rng.random((games, 2)) < p_behaviour
    hit = rng.random((games, 2)) < np.where(a, 0.7, 0.2)
    ended = hit[:, 0]
    rewards = -(~hit).astype(float)
    rewards[ended, 1] = 0.0
    of_target, of_behaviour = np.where(a, p_target, 1 - p_target), np.where(a, p_behaviour, 1 - p_behaviour)
    of_target[ended, 1] = of_behaviour[ended, 1] = 1.0
    weights = importance_weights(of_target.cumprod(1), of_behaviour.cumprod(1))
    miss = 1 - (p_target * 0.7 + (1 - p_target) * 0.2)  # .35
    exact = -miss - miss**2
    assert per_decision(weights, rewards) == pytest.approx(exact, abs=0.02)
    v_last = -miss
    q_last = np.where(a[:, 1], -0.3, -0.8)
    q = np.column_stack([np.where(a[:, 0], 0.3, 0.8) * (-1 + v_last), np.where(ended, 0.0, q_last)])
    v_next = np.column_stack([np.where(ended, 0.0, v_last), np.zeros(games)])
    assert doubly_robust(weights, rewards, q, np.full(games, exact), v_next) == pytest.approx(exact, abs=0.01)
    # wrong values are put right by the weights
    assert doubly_robust(weights, rewards, 3 * q, np.full(games, 3 * exact), 3 * v_next) == pytest.approx(
        exact, abs=0.05
    )
