"""How long players and solvers take. Run with `make benchmark`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from lmrl_envs.wordle.solvers import Entropy, Noisy, Optimal, Player, RandomConsistent, Rules, exact_value, play
from lmrl_envs.wordle.words import load_words

GAMES = 100_000
COMMON = Rules(load_words("common"))
COMMON_40 = Rules(load_words("common-40"))


@pytest.mark.parametrize(
    "kind", [RandomConsistent, lambda rules: Noisy(rules, 0.2), Entropy], ids=["consistent", "noisy", "entropy"]
)
def test_100_000_games_of_2315_answers(benchmark: BenchmarkFixture, kind: Callable[[Rules], Player]) -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    answers, uniforms = rng.integers(len(COMMON.answers), size=GAMES), rng.random((GAMES, COMMON.max_guesses, 2))
    COMMON.table  # noqa: B018  # made before the clock starts

    def games() -> np.ndarray:
        player = kind(COMMON)  # anew, for a player that remembers would only look up
        return play(player, answers, uniforms)

    assert (benchmark.pedantic(games, rounds=3)[:, 0] >= 0).all()


def test_entropy_over_12972_guesses(benchmark: BenchmarkFixture, shared_data: Path) -> None:
    folder = shared_data / "wordle"
    rules = Rules(load_words(folder / "wordle_official.txt"), load_words(folder / "wordle_official_guess.txt"))
    rules.table  # noqa: B018
    answers, uniforms = np.arange(2315), np.zeros((2315, 6, 2))
    guesses = benchmark.pedantic(lambda: play(Entropy(rules, "guesses"), answers, uniforms), rounds=3)
    assert np.count_nonzero(guesses >= 0) == 8020


@pytest.mark.parametrize("words", ["common-40", "common-236"])
def test_optimum(benchmark: BenchmarkFixture, words: str) -> None:
    rules = Rules(load_words(words))
    rules.table  # noqa: B018
    assert benchmark(lambda: Optimal(rules).value()) < 0


def test_search_of_2315_answers(benchmark: BenchmarkFixture) -> None:
    COMMON.table  # noqa: B018
    value = benchmark.pedantic(lambda: Optimal(COMMON, width=4).value(), rounds=3)
    assert value == pytest.approx(-5660 / 2315)


def test_exact_value_of_a_random_player(benchmark: BenchmarkFixture) -> None:
    assert benchmark.pedantic(lambda: exact_value(Noisy(COMMON_40, 0.3)), rounds=3) < 0
