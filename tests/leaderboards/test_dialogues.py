from __future__ import annotations

import json
from dataclasses import replace

import pytest

from leaderboards.dialogues import fined, measure, rescored, returned, rounds_of
from lmrl_envs.core import Episode, Turn
from lmrl_envs.datasets import load_dataset
from lmrl_envs.evaluate import EvalResult, evaluate
from lmrl_envs.policies import RandomPolicy

ROUNDS = (("is it day", "yes"), ("what color", "maybe red"), ("is there snow", "it is snow"))
EPISODE = Episode(
    "VisualDialogue-v0",
    1,
    (
        Turn("env", "a dog in a park"),
        *(turn for question, answer in ROUNDS for turn in (Turn("agent", question, -1.0), Turn("env", answer))),
    ),
    True,
    False,
    {"start": {"scene": 5}, "fined": None},
)


def test_one_dialogue_has_a_return_under_every_reward():
    assert rounds_of(EPISODE) == ROUNDS
    assert returned(ROUNDS, "standard") == -2.0
    assert returned(ROUNDS, "yn") == -4.0  # "yes"
    assert returned(ROUNDS, "conservative_yn") == -6.0  # "yes", "maybe red"
    assert returned(ROUNDS, "conservative_yn", "paper") == -8.0  # and the "no" of "snow"
    assert fined([ROUNDS, ROUNDS[1:2]], "yn") == 1 / 4
    assert fined([ROUNDS, ROUNDS[1:2]], "conservative_yn") == 3 / 4
    assert fined([ROUNDS], "standard") == 0.0


def test_results_under_another_reward_come_from_what_was_said(write_result, tmp_path):
    write_result("bc", [-2.0])
    record = json.loads(next(tmp_path.rglob("result.json")).read_text())
    played = replace(
        EvalResult.from_json(record["eval"]["greedy"]),
        env_id="VisualDialogue-v0",
        env_kwargs={"reward": "standard"},
        examples=(EPISODE,),
        metrics={"fined": 0.0, "turns": 3.0},
    )
    record["eval"] = {"greedy": played.to_json()}
    record["study"] = {"greedy": {"rewards": {"yn": {"returns": [-4.0], "fined": 1 / 3}}}}
    again = rescored({"task": {"env_kwargs": {"reward": "yn"}}}, record)["greedy"]
    assert again.returns == (-4.0,)
    assert again.env_kwargs == {"reward": "yn"}
    assert [turn.reward for turn in again.examples[0].turns if turn.role == "agent"] == [-3.0, -1.0, 0.0]
    assert again.metrics == {"turns": 3.0}  # the share of fined answers was that of another reward


def test_play_is_measured_by_both_guessers_and_under_every_reward():
    data = load_dataset("visual-dialogue/human-v0", games=40)
    policy = RandomPolicy.of(data)
    result = evaluate(policy, "VisualDialogue-v0", episodes=6, progress=False, keep_examples=6)
    study = measure({"agent": "random"}, result, (result,), None, data)
    assert study["rewards"]["standard"]["returns"] == list(result.returns)
    under_yn = evaluate(policy, "VisualDialogue-v0", episodes=6, progress=False, env_kwargs={"reward": "yn"})
    assert study["rewards"]["yn"]["returns"] == list(under_yn.returns)
    ends = [episode.info["percentile"] for episode in result.examples]
    assert study["guessers"]["default"]["end"] == pytest.approx(sum(ends) / 6, abs=1e-3)
    assert study["guessers"]["held-out"] != study["guessers"]["default"]
    for game, episode in zip(study["games"], result.examples, strict=False):
        assert game["scene"] == episode.info["start"]["scene"]
        assert len(game["percentiles"]) == 1 + len(rounds_of(episode))
        assert game["percentiles"][-1] == pytest.approx(episode.info["percentile"], abs=1e-3)
        assert len(set(game["guesses"])) == 3


def test_of_several_plays_each_reward_keeps_its_own_best():
    data = load_dataset("visual-dialogue/human-v0", games=40)
    policies = [RandomPolicy(RandomPolicy.of(data).texts[start::2]) for start in (0, 1)]
    plays = [evaluate(p, "VisualDialogue-v0", episodes=4, progress=False, keep_examples=4) for p in policies]
    study = measure({"agent": "best"}, plays[0], plays, None, data)
    alone = [measure({"agent": "one"}, play, (play,), None, data)["rewards"] for play in plays]
    for reward in ("standard", "yn", "conservative_yn"):
        best = [max(pair) for pair in zip(*(one[reward]["returns"] for one in alone), strict=True)]
        assert study["rewards"][reward]["returns"] == best
