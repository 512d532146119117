from __future__ import annotations

import numpy as np
import pytest

from agents.batch import TokenRow, TokenStore
from agents.returns import FOLDS, ReturnMap, ReturnRegression, cross_fitted, returns_to_go


def row(agent: list[bool], turn: list[int], rewards: list[float], *, cut: bool = False) -> TokenRow:
    return TokenRow(list(range(len(agent))), agent, rewards, turn, cut, sum(rewards), 0)


A, E = True, False
STORE = TokenStore.from_rows(
    [
        row([E, A, A, E, A, A], [0, 0, 0, 0, 1, 1], [0, 0, -1, 0, 0, -2.5]),
        row([E, A, A, A, E], [0, 0, 1, 1, 0], [0, 3, 0, 4, 0], cut=True),  # turns side by side
        row([E, E, A], [0, 0, 0], [0, 0, 7]),
    ]
)


def test_turns_are_numbered_in_order():
    assert STORE.turn_starts().tolist() == [1, 4, 7, 8, 13]
    assert STORE.turn_of_tokens()[STORE.agent].tolist() == [0, 0, 1, 1, 2, 3, 3, 4]
    assert STORE.row_of_tokens()[STORE.turn_starts()].tolist() == [0, 0, 1, 1, 2]


def test_returns_to_go_by_hand():
    assert returns_to_go(STORE).tolist() == [-3.5, -2.5, 7, 4, 7]


def test_the_map_takes_the_range_of_the_data_to_0_and_1():
    to_unit = ReturnMap()
    to_unit.fit(np.array([-6.0, -2.0, -3.0]))
    assert to_unit(np.array([-6.0, -5.0, -2.0, 0.0, -9.0])).tolist() == [0, 0.25, 1, 1, 0]
    assert set(to_unit.state_dict()) == {"low", "high"}


@pytest.fixture(scope="module")
def noisy() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """States, the mean return of each, returns with noise of its own for each episode, and episodes of three turns."""
    rng = np.random.Generator(np.random.PCG64(0))
    states = rng.standard_normal((1_500, 4))
    truth = 2 * states[:, 0] + np.abs(states[:, 1])
    episode = np.repeat(np.arange(500), 3)
    return states, truth, truth + rng.standard_normal(500)[episode], episode


def test_values_come_near_the_mean_return(noisy):
    states, truth, returns, episode = noisy
    V = cross_fitted(states, returns, episode)
    assert np.mean((V - truth) ** 2) < 0.1 * np.var(truth)
    line = np.linalg.lstsq(np.c_[states, np.ones(len(states))], truth, rcond=None)[0]
    assert np.mean((V - truth) ** 2) < np.mean((np.c_[states, np.ones(len(states))] @ line - truth) ** 2)


def test_no_return_is_part_of_its_own_baseline(noisy):
    """A return that nobody could foresee moves no V of its own episode, whichever that is."""
    states, _, returns, episode = noisy
    V = cross_fitted(states, returns, episode)
    moved = 0
    for number in (0, 499):
        changed = returns + 1_000.0 * (episode == number)
        again = cross_fitted(states, changed, episode)
        assert again[episode == number] == pytest.approx(V[episode == number])
        moved += (np.abs(again - V)[episode != number] > 1e-6).mean() > 0.5  # of all other folds it does
    assert moved == 2


def test_states_that_say_nothing_give_the_other_folds_mean():
    returns = np.arange(20.0)
    V = cross_fitted(np.zeros((20, 3)), returns, np.arange(20))
    assert np.mean(V) == pytest.approx(np.mean(returns), abs=1.0)
    fold = np.random.Generator(np.random.PCG64(0)).permutation(20) % FOLDS
    for k in range(FOLDS):
        assert V[fold == k] == pytest.approx(returns[fold != k].mean(), abs=1e-6)


def test_sums_over_parts_are_sums_over_all(noisy, monkeypatch):
    states, _, returns, _ = noisy
    model = ReturnRegression(states)
    XX, Xy = model.sums(states, returns)
    X = model.features(states)
    assert pytest.approx(X.T @ X) == XX
    monkeypatch.setattr("agents.returns._AT_ONCE", 700)
    parts = model.sums(states, returns)
    assert parts[0] == pytest.approx(XX)
    assert parts[1] == pytest.approx(Xy)
    w = model.solve(XX, Xy)
    assert model.predict(states, w) == pytest.approx(X @ w)
    residual = X.T @ (returns - X @ w)  # the gradient of the squares is that of the penalty, and 0 for the constant
    assert residual[:-1] == pytest.approx(100.0 * w[:-1], rel=1e-6, abs=1e-6)
    assert residual[-1] == pytest.approx(0, abs=1e-6)


def test_too_few_episodes_are_refused():
    with pytest.raises(ValueError, match=r"in 5 folds of episodes, and there are 4 episodes; take more data"):
        cross_fitted(np.zeros((4, 2)), np.zeros(4), np.arange(4))
