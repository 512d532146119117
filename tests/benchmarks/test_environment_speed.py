"""How fast the environment is. Run by `make benchmark`; figures are one core's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import lmrl_envs  # noqa: F401  # registers Wordle-v0
from lmrl_envs.wordle.rules import pattern_table

STEPS = 25_600


def fresh_guesses() -> Iterator[list[str]]:
    """Random legal guesses, new ones each time, so that nothing can be remembered."""
    rng = np.random.default_rng(0)
    while True:
        letters = rng.integers(ord("a"), ord("z"), size=(STEPS, 5), dtype=np.uint8, endpoint=True)
        yield letters.view("S5")[:, 0].astype(str).tolist()


def test_single_face(benchmark: BenchmarkFixture) -> None:
    env, guesses = gym.make("Wordle-v0"), fresh_guesses()

    def play(guesses: list[str]) -> None:
        env.reset(seed=0)
        for guess in guesses:
            _, _, terminated, truncated, _ = env.step(guess)
            if terminated or truncated:
                env.reset()

    benchmark.pedantic(play, setup=lambda: ((next(guesses),), {}), rounds=10)
    benchmark.extra_info["steps_per_second"] = STEPS / benchmark.stats.stats.median


@pytest.mark.parametrize("autoreset_mode", ["NextStep", "SameStep"])
def test_vector_face(benchmark: BenchmarkFixture, autoreset_mode: str) -> None:
    env, guesses = gym.make_vec("Wordle-v0", num_envs=256, autoreset_mode=autoreset_mode), fresh_guesses()

    def play(batches: list[list[str]]) -> None:
        env.reset(seed=0)
        for batch in batches:
            env.step(batch)

    def setup() -> tuple:
        flat = next(guesses)
        return ([flat[start : start + 256] for start in range(0, STEPS, 256)],), {}

    benchmark.pedantic(play, setup=setup, rounds=10)
    benchmark.extra_info["steps_per_second"] = STEPS / benchmark.stats.stats.median


def test_pattern_table(benchmark: BenchmarkFixture) -> None:
    letters = np.random.default_rng(0).integers(ord("a"), ord("z"), size=(12_972, 5), endpoint=True)
    guesses = tuple("".join(map(chr, row)) for row in letters)
    table = benchmark.pedantic(pattern_table.__wrapped__, args=(guesses, guesses[:2315]), rounds=3)
    assert table.shape == (12_972, 2315)


def test_import_and_make(benchmark: BenchmarkFixture) -> None:
    """In a fresh process, the interpreter's own start included."""
    code = "import gymnasium, lmrl_envs, sys; gymnasium.make('Wordle-v0'); sys.exit('torch' in sys.modules)"
    benchmark.pedantic(subprocess.run, args=([sys.executable, "-c", code],), kwargs={"check": True}, rounds=5)
