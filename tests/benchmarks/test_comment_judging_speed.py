"""How fast the vector face of Reddit-v0 judges comments: with 256 rows at least 1,000 a second on one core."""

from __future__ import annotations

import gymnasium as gym
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import lmrl_envs  # noqa: F401  # registers Reddit-v0
from lmrl_envs.reddit.corpus import comments

ROWS, COMMENTS = 256, 5_120


@pytest.mark.parametrize("reward", ["toxicity", "upvotes_model"])
def test_vector_face(benchmark: BenchmarkFixture, reward: str) -> None:
    texts = [comment.text for comment in comments("validation", ROWS + COMMENTS)]
    envs = gym.make_vec("Reddit-v0", num_envs=ROWS, reward=reward, autoreset_mode="SameStep")
    envs.reset(seed=0)
    envs.step(texts[:ROWS])

    def play() -> None:
        for start in range(ROWS, len(texts), ROWS):
            envs.step(texts[start : start + ROWS])

    benchmark.pedantic(play, rounds=1)  # a second time they would be remembered
    benchmark.extra_info["comments_per_second"] = COMMENTS / benchmark.stats.stats.median
