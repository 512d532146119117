"""A ten-line task gets both Gymnasium faces, evaluation and a dataset from one call of `register_task`."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from lmrl_envs import Reply, TextTask, register_task, transcript
from lmrl_envs.datasets import DatasetMetadata, TextDataset, write_dataset
from lmrl_envs.evaluate import evaluate, rollout
from lmrl_envs.policies import RandomPolicy, ScriptedPolicy
from lmrl_envs.registration import TASKS, ReferenceScores


class EchoTask(TextTask[str]):
    instructions = "Repeat what is said."
    max_turns = 1
    max_action_chars = 10

    def __init__(self, words=("yes", "no")):
        self.words = words

    def start(self, rngs, options=None):
        return [Reply(word := self.words[rng.integers(len(self.words))], word, {"right": None}) for rng in rngs]

    def reply(self, states, actions):
        rights = [state == action for state, action in zip(states, actions, strict=True)]
        return [Reply("", None, {"right": right}, float(right), True) for right in rights]


@pytest.fixture(scope="module", autouse=True)
def _echo():
    register_task("Echo-v0", EchoTask, reference_scores=lambda env_kwargs: ReferenceScores(0.5, 1.0))
    yield
    del TASKS["Echo-v0"], gymnasium.registry["Echo-v0"], gymnasium.registry["lmrl/Echo-v0"]


@pytest.mark.parametrize("env_id", ["Echo-v0", "lmrl/Echo-v0"])
def test_one_environment(env_id):
    env = gymnasium.make(env_id, words=["maybe"])
    observation, info = env.reset(seed=0)
    assert observation == "maybe"
    assert info["instructions"] == EchoTask.instructions
    observation, reward, terminated, truncated, info = env.step("maybe")
    assert (observation, reward, terminated, truncated) == ("maybe\nmaybe", 1.0, True, False)
    assert info["right"] is True


def test_many_environments():
    envs = gymnasium.make_vec("Echo-v0", num_envs=20)
    observations, _ = envs.reset(seed=0)
    assert set(observations) == {"yes", "no"}
    _, rewards, terminations, *_ = envs.step(list(observations))
    np.testing.assert_array_equal(rewards, np.ones(20))
    assert terminations.all()


def test_evaluation():
    perfect = evaluate(ScriptedPolicy(lambda history: history[-1].text, name="echo"), "Echo-v0", episodes=50)
    assert (perfect.agent, perfect.mean, perfect.standard_error, perfect.normalized) == ("echo", 1.0, 0.0, 1.0)
    assert perfect.metrics["right"] == 1.0
    random = evaluate(RandomPolicy(["yes", "no"]), "Echo-v0", episodes=1000)
    assert random.mean == pytest.approx(0.5, abs=4 * 0.5 / 1000**0.5)
    assert random.normalized == pytest.approx((random.mean - 0.5) / 0.5)


def test_dataset(tmp_path):
    episodes = list(rollout(RandomPolicy(["yes", "no"]), "Echo-v0", episodes=40))
    written = write_dataset(tmp_path / "echo.parquet", episodes, DatasetMetadata(env_id="Echo-v0"))
    read = TextDataset.read(tmp_path / "echo.parquet")
    assert list(read) == list(written) == episodes
    assert read.metadata.episodes == 40
    np.testing.assert_array_equal(read.returns, [episode.total_return for episode in episodes])
    env = read.make_env()
    for episode in read[:5]:
        observation, _ = env.reset(seed=episode.seed)
        assert observation == episode.turns[0].text
        observation, reward, *_ = env.step(episode.turns[1].text)
        assert observation == transcript(episode.turns)
        assert reward == episode.total_return
