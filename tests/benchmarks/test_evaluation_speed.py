"""Cost of evaluation: it must not rise with the number of games. `make benchmark` prints seconds a run."""

from __future__ import annotations

import pytest

from lmrl_envs.evaluate import evaluate
from lmrl_envs.policies import RandomPolicy
from lmrl_envs.wordle.words import load_words


@pytest.mark.parametrize("games", [64, 256, 1024, 4096])
def test_random_policy_on_wordle(benchmark, games):
    policy = RandomPolicy(load_words("common-2315"))
    result = benchmark.pedantic(
        evaluate, (policy, "Wordle-v0"), {"episodes": games}, rounds=3, iterations=1, warmup_rounds=1
    )
    benchmark.extra_info["microseconds_a_game"] = round(1e6 * benchmark.stats.stats.median / games, 1)
    assert len(result.returns) == games
