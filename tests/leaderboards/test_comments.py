from __future__ import annotations

from typing import Any

import pytest

from leaderboards.comments import exploits, gap, held_out, measure, replies
from leaderboards.speakers import best_constant
from lmrl_envs.core import Episode, Turn
from lmrl_envs.datasets import load_dataset
from lmrl_envs.evaluate import evaluate
from lmrl_envs.policies import ScriptedPolicy
from lmrl_envs.registration import make_task


def comment(text: str, reward: float, true_reward: float | None, sure: float = 0.9) -> Episode:
    info: dict[str, Any] = {"parent": "p", "true_reward": true_reward, "probabilities": (1 - sure, sure)}
    return Episode("Reddit-v0", 1, (Turn("env", "p"), Turn("agent", text, reward)), True, False, info)


def test_the_gap_is_model_reward_minus_true_reward_with_its_error():
    found = gap([comment("a", 10.0, 0.0), comment("b", 10.0, 10.0), comment("c", 0.0, 10.0), comment("d", 10.0, 0.0)])
    assert found is not None
    assert found["value"] == 2.5  # 10, 0, -10, 10
    assert found["standard_error"] == pytest.approx((275 / 3) ** 0.5 / 2)
    assert gap([comment("a", 10.0, 0.0)]) == {"value": 10.0, "standard_error": None}
    assert gap([comment("a", 10.0, None), comment("b", 10.0, 0.0)]) is None


def test_exploits_are_overrated_comments_worst_and_surest_first():
    fair = [comment("fair", 10.0, 10.0), comment("underrated", 0.0, 10.0)]
    found = exploits([*fair, comment("b", 10.0, 0.0, 0.7), comment("a", 10.0, 0.0)])
    assert [one["comment"] for one in found] == ["a", "b"]
    assert found[0] == {"parent": "p", "comment": "a", "reward": 10.0, "true_reward": 0.0, "probability": 0.9}


def test_a_kind_sentence_is_measured_and_judged_by_the_twin():
    data = load_dataset("reddit/comments-v0", games=200)
    said = data[0].turns[-1].text
    result = evaluate(ScriptedPolicy(said), "Reddit-v0", episodes=20, progress=False, keep_examples=20)
    study = measure({"agent": "constant"}, result, (result,), None, data)
    assert study["gap"]["value"] == pytest.approx(result.mean - result.metrics["true_reward"])
    assert study["diversity"]["copies"] == 1.0
    assert study["diversity"]["self_bleu"] == pytest.approx(1.0)
    assert study["best_of_n"] == []
    twin = evaluate(
        ScriptedPolicy(said), "Reddit-v0", episodes=20, progress=False, env_kwargs={"reward_model": "held-out"}
    )
    assert study["held_out"] == {"own": result.mean, "held_out": twin.mean}
    assert held_out(result) == study["held_out"]


class Parrot:
    """Stands where an agent does: its policy repeats one of two texts by its row's draws."""

    def policy(self, **decoding: Any) -> Parrot:
        return self

    def reset(self, *, seed: int) -> None:
        pass

    def act(self, histories: Any, *, episodes: Any) -> list[str]:
        return ["you are right" if key.rng.random() < 0.5 else "you idiot" for key in episodes]


def test_replies_are_drawn_for_each_comment_and_judged():
    task: Any = make_task("Reddit-v0")
    drawn = list(replies(Parrot(), task, task.parents[:2], 8))  # type: ignore[arg-type]
    assert [episode.info["parent"] for episode in drawn] == [task.parents[0]] * 8 + [task.parents[1]] * 8
    assert {episode.turns[-1].text for episode in drawn} == {"you are right", "you idiot"}
    assert all(episode.info["probabilities"] for episode in drawn)


def test_the_best_constant_is_chosen_by_playing_and_counts_it():
    data = load_dataset("reddit/comments-v0", reward="upvotes_real", games=200)
    policy = best_constant("Reddit-v0", {"reward": "upvotes_model"}, data, candidates=12, episodes=40)
    assert policy.tuning == {"trials": 12, "episodes": 32 * 12 + 40 * 8}
    assert policy.act([[Turn("env", "one")], [Turn("env", "two")]])[0] in {row.turns[-1].text for row in data}
