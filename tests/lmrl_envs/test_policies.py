from __future__ import annotations

import numpy as np
import pytest

from lmrl_envs.core import EpisodeKey, Turn
from lmrl_envs.policies import RandomPolicy, ScriptedPolicy

HISTORY = (Turn("env", "hello"), Turn("agent", "a"), Turn("env", "yes"), Turn("agent", "b"), Turn("env", "no"))


def test_random_policy_is_uniform_and_draws_from_its_rows():
    policy = RandomPolicy(["a", "b", "c"])
    keys = [EpisodeKey(index, np.random.default_rng(index)) for index in range(3000)]
    first = policy.act([()] * 3000, episodes=keys)
    again = policy.act([()] * 3000, episodes=[EpisodeKey(i, np.random.default_rng(i)) for i in range(3000)])
    assert first == again
    assert first != policy.act([()] * 3000, episodes=keys)
    for text in "abc":
        assert first.count(text) == pytest.approx(1000, abs=4 * np.sqrt(3000 * 2 / 9))


def test_random_policy_by_hand_without_keys():
    assert RandomPolicy(["a", "b"], seed=3).act([()] * 20) == RandomPolicy(["a", "b"], seed=3).act([()] * 20)
    assert set(RandomPolicy(["a", "b"]).act([()] * 20)) == {"a", "b"}


@pytest.mark.parametrize("texts", [[], "crane"])
def test_random_policy_needs_a_list(texts):
    with pytest.raises(ValueError, match="sequence of at least one text"):
        RandomPolicy(texts)


def test_scripted_policy():
    assert ScriptedPolicy("again").act([(), HISTORY]) == ["again", "again"]
    assert ScriptedPolicy(["x", "y", "z"]).act([(), HISTORY[:2], HISTORY]) == ["x", "y", "z"]
    assert ScriptedPolicy(["x", "y"]).act([HISTORY]) == ["y"]
    assert ScriptedPolicy(lambda history: history[-1].text).act([HISTORY]) == ["no"]
    with pytest.raises(ValueError, match="empty script"):
        ScriptedPolicy([])
