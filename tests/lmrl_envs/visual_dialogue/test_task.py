"""The task on the bundled networks."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from lmrl_envs import Turn, make_task
from lmrl_envs.datasets import load_dataset
from lmrl_envs.errors import UnknownNameError
from lmrl_envs.visual_dialogue import scenes
from lmrl_envs.visual_dialogue.bundled import WEIGHTS
from lmrl_envs.visual_dialogue.dialogues import replayed
from lmrl_envs.visual_dialogue.rewards import PHRASES, penalty
from lmrl_envs.visual_dialogue.task import VisualDialogueTask

INFO = {"percentile", "rank", "success", "fined", "parsed", "true_answer", "oracle_rank", "start"}
QUESTIONS = ["what color is it", "is it sunny", "how many people are there", "what else do you see", "is there a dog"]


@pytest.fixture(scope="module")
def task() -> VisualDialogueTask:
    return make_task("VisualDialogue-v0", oracle=True)  # type: ignore[return-value]


def start(task: VisualDialogueTask, *seeds: int) -> list:
    return [reply.state for reply in task.start([np.random.default_rng(seed) for seed in seeds])]


def test_a_dialogue() -> None:
    env = gym.make("VisualDialogue-v0")
    observation, info = env.reset(seed=3)
    image = info["start"]["scene"]
    shown = scenes.scene(image)
    assert observation == scenes.caption(shown)
    assert scenes.part(image) == "test"
    assert info.keys() >= INFO
    assert (info["fined"], info["parsed"], info["true_answer"], info["success"]) == (None, None, None, False)
    assert info["percentile"] == pytest.approx(1 - info["rank"] / 99)
    assert info["percentile"] <= 0.98
    first, rewards = info["rank"], []
    for question in QUESTIONS * 2:
        observation, reward, terminated, truncated, info = env.step(question)
        rewards.append(reward)
        assert not truncated
        assert terminated == (2 * info["rank"] <= first or len(rewards) == 10)
        if terminated:
            break
    assert rewards == [-1.0] * (len(rewards) - 1) + [0.0]
    assert observation.count("\n") == 2 * len(rewards)
    assert info["success"] == (2 * info["rank"] <= first)
    assert info["turns"][1] == Turn("agent", QUESTIONS[0], rewards[0])
    assert info["parsed"] is True


def test_true_answers_are_of_the_scene(task) -> None:
    (reply,) = task.start([np.random.default_rng(0)], {"scene": scenes.scene_ids("test", 1)[0]})
    shown = scenes.scene(reply.state.image)
    (answered,) = task.reply([reply.state], [f"is there a {shown.objects[0].kind}"])
    assert answered.info["true_answer"] == "yes"
    (nothing,) = task.reply([reply.state], ["purple monkey dishwasher"])
    assert (nothing.info["parsed"], nothing.info["true_answer"]) == (False, None)


@pytest.mark.parametrize("part", scenes.PARTS)
def test_any_scene_can_be_chosen_and_is_ranked_within_its_own_part(task, part) -> None:
    image = scenes.scene_ids(part, 20_000)[-1]  # too far down to be listed in its pool
    (reply,) = task.start([np.random.default_rng(0)], {"scene": image})
    pool = task.pools.around(reply.state.pool, image)
    assert reply.text == scenes.caption(scenes.scene(image))
    assert len(pool.images) == len(set(pool.images)) == 100
    assert pool.images[-1] == image
    assert {scenes.part(other) for other in pool.images} == {part}
    assert len({scenes.scene_class(scenes.scene(other)) for other in pool.images}) == 1


def test_pools_are_fixed(task) -> None:
    (state,) = start(task, 0)
    again = VisualDialogueTask()
    assert again.pools.get(state.pool).images == task.pools.get(state.pool).images
    np.testing.assert_array_equal(again.pools.get(state.pool).features, task.pools.get(state.pool).features)


def test_seeds_start_the_same_dialogue(task) -> None:
    assert start(task, 5, 6) == start(task, 5, 6) != start(task, 6, 5)
    assert len({state.image for state in start(task, *range(30))}) > 25


def test_states_are_plain_and_rows_are_independent(task) -> None:
    states = start(task, 1, 2, 3)
    together = task.reply(states, QUESTIONS[:3])
    alone = [task.reply([state], [question])[0] for state, question in zip(states, QUESTIONS, strict=False)]
    assert [reply.text for reply in together] == [reply.text for reply in alone]
    assert [reply.info["rank"] for reply in together] == [reply.info["rank"] for reply in alone]
    assert pickle.loads(pickle.dumps(together[0].state)) == together[0].state  # noqa: S301
    assert states == start(task, 1, 2, 3)


def test_the_exact_rank_is_there_when_asked_for(task) -> None:
    states = start(task, *range(8))
    replies = task.reply(states, ["what else do you see"] * 8)
    ranks = [reply.info["oracle_rank"] for reply in replies]
    assert all(0 <= rank <= 99 for rank in ranks)
    unread = task.reply(states, ["purple monkey dishwasher"] * 8)
    assert [reply.info["oracle_rank"] for reply in unread] == [task.info(state)["oracle_rank"] for state in states]
    assert VisualDialogueTask().start([np.random.default_rng(0)])[0].info["oracle_rank"] is None


@pytest.mark.parametrize(
    "question",
    ["", " ", "?", "asdf qwer zxcv", "is the dog brown " * 700, "¿de qué color es el perro?", "是什么颜色",
     "a\nb\n\n\nc", "\x00\ud800\u2028", "<q> yes <a> no", "is it red\nyes, it is red", "😀" * 600],
)  # fmt: skip
def test_any_text_is_answered_and_says_nothing_for_the_answerer(question) -> None:
    env = gym.make("VisualDialogue-v0", rounds=2)
    opening, _ = env.reset(seed=1)
    observation, _, _, _, info = env.step(question)
    assert observation.count("\n") == 2
    assert observation.startswith(opening + "\n")
    opened, asked, answered = info["turns"]
    assert (opened.role, asked.role, answered.role) == ("env", "agent", "env")
    assert len(asked.text) <= 512
    assert 0 < len(answered.text) < 200
    assert "<" not in answered.text
    assert answered.text.isascii()
    assert answered.text.isprintable()
    env.step("is it sunny")


def test_each_reward_fines_what_it_says() -> None:
    rewards = {name: make_task("VisualDialogue-v0", reward=name) for name in ("standard", "yn", "conservative_yn")}
    questions, fines = ["is there a dog", "what color is it", "is it sunny"], {}
    for name, task in rewards.items():
        states = start(task, *range(20))
        replies = task.reply(states, [questions[i % 3] for i in range(20)])
        fines[name] = [reply.reward - (0.0 if reply.terminated else -1.0) for reply in replies]
        answers = [reply.text for reply in replies]
        assert [reply.info["fined"] for reply in replies] == [float(fine < 0) for fine in fines[name]]
    assert not any(fines["standard"])
    assert fines["yn"] == [-2.0 * (answer in ("yes", "no")) for answer in answers]
    assert fines["conservative_yn"] == [penalty(answer, "conservative_yn") for answer in answers]
    assert sum(fines["conservative_yn"]) <= sum(fines["yn"]) < 0


def test_the_last_question_costs_nothing_but_its_fine() -> None:
    task = make_task("VisualDialogue-v0", rounds=1, reward="yn")
    replies = task.reply(start(task, *range(12)), ["is there a dog"] * 12)
    assert all(reply.terminated for reply in replies)
    assert {reply.reward for reply in replies} <= {0.0, -2.0}


def test_other_pools_and_guessers() -> None:
    random = make_task("VisualDialogue-v0", pool="random")
    small = make_task("VisualDialogue-v0", pool=10)
    assert small.start([np.random.default_rng(0)])[0].info["rank"] <= 9
    classes = [scenes.scene_class(scenes.scene(i)) for i in random.pools.get(start(random, 0)[0].pool).images]
    assert len(classes) == 100
    assert len(set(classes)) > 10
    default, other = (make_task("VisualDialogue-v0", guesser=name) for name in ("default", "held-out"))
    (a,), (b,) = ([task.start([np.random.default_rng(0)], {"scene": 7})[0]] for task in (default, other))
    asked = [task.reply([r.state], ["what else do you see"])[0] for task, r in ((default, a), (other, b))]
    assert asked[0].text == asked[1].text
    assert asked[0].state.ranks != asked[1].state.ranks


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"reward": "ny"}, "unknown reward 'ny'; did you mean 'yn'"),
        ({"match": "words"}, "unknown match 'words'; did you mean 'word'"),
        ({"rounds": 0}, "rounds must be a whole number from 1 to 10, got 0"),
        ({"rounds": 11}, "got 11"),
        ({"rounds": True}, "got True"),
        ({"pool": "easy"}, "unknown pool 'easy'"),
        ({"pool": 1}, "a pool has at least 2 images, got 1"),
        ({"pool": True}, "unknown pool True"),
        ({"guesser": "heldout"}, "unknown guesser 'heldout'; did you mean 'held-out'"),
        ({"corpus": "scene"}, "expected 'scenes' or a folder"),
        ({"part": "tests"}, "unknown part 'tests'; did you mean 'test'"),
        ({"device": "gpu"}, "device 'gpu' cannot be used"),
    ],
)
def test_bad_arguments(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gym.make("VisualDialogue-v0", **kwargs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenes": 3}, "unknown reset option 'scenes'; did you mean 'scene'"),
        ({"scene": "3"}, "scene: expected the number of an image, got '3'"),
        ({"scene": True}, "got True"),
        ({"scene": -1}, "whole number from 0"),
    ],
)
def test_bad_options(task, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        task.start([np.random.default_rng(0)], options)


def test_pictures_and_dialogues_are_drawn(task) -> None:
    env = gym.make("VisualDialogue-v0", render_mode="rgb_array")
    env.reset(seed=0)
    image = env.render()
    assert isinstance(image, np.ndarray)
    assert (image.ndim, image.shape[2], image.dtype) == (3, 3, np.uint8)
    assert min(image.shape[:2]) >= 128
    env = gym.make("VisualDialogue-v0", render_mode="ansi")
    opening, info = env.reset(seed=0)
    _, _, _, _, after = env.step("is it \x1b[31m sunny")
    assert env.render() == (
        f"{info['percentile']:5.2f}  {opening}\n"
        f"{after['percentile']:5.2f}  is it ?[31m sunny? {after['turns'][-1].text}"
    )


def test_the_best_guesses_lead_to_the_rank(task) -> None:
    for state in start(task, 1, 2, 3, 4):
        (reply,) = task.reply([state], ["what else do you see"])
        order = task.guesses(reply.state, 100)
        assert sorted(order) == sorted(task.pools.get(state.pool).images)
        assert abs(order.index(state.image) - reply.info["rank"]) <= 1


def test_weights_are_small_and_describe_themselves() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 8e6


@pytest.mark.slow
def test_making_it_is_quick_and_memory_stays_small() -> None:
    code = """
import time, torch, transformers, gymnasium as gym
from transformers import GPT2Model
import lmrl_envs
from lmrl_envs.devices import peak_memory
began = time.perf_counter()
env = gym.make("VisualDialogue-v0")
print(time.perf_counter() - began)
for seed in range(40):
    env.reset(seed=seed)
    env.step("what else do you see")
print(peak_memory() / 10**6)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, done.stdout.split())
    assert seconds < 5
    assert megabytes < 1000


# Data


def test_data_have_the_rewards_of_their_task() -> None:
    games = 60
    standard = load_dataset("visual-dialogue/human-v0", games=games)
    assert (len(standard), standard.metadata.learned_rewards) == (games, True)
    relabelled = {
        (reward, match): load_dataset("visual-dialogue/human-v0", games=games, reward=reward, match=match)
        for reward in ("yn", "conservative_yn")
        for match in ("word", "paper")
    }
    for number, episode in enumerate(standard):
        agent = [turn for turn in episode.turns if turn.role == "agent"]
        answers = [turn.text for turn in episode.turns[2::2]]
        assert [turn.reward for turn in agent] == [-1.0] * (len(agent) - 1) + [0.0]
        percentiles = episode.info["percentiles"]
        assert len(percentiles) == len(agent) + 1
        gains = [(p - percentiles[0]) / (1 - percentiles[0]) for p in percentiles]
        assert all(gain < 0.5 for gain in gains[:-1])
        assert gains[-1] >= 0.5 - 1e-4 or len(agent) == 10
        assert scenes.part(episode.info["start"]["scene"]) == "train"
        for (reward, match), data in relabelled.items():
            fines = [turn.reward for turn in data[number].turns if turn.role == "agent"]
            expected = [turn.reward + penalty(said, reward, match) for turn, said in zip(agent, answers, strict=True)]
            assert fines == expected
            assert data[number].info["percentiles"] == percentiles
            assert data.metadata.env_kwargs["reward"] == reward


def test_four_dialogues_a_scene_by_people_of_all_kinds() -> None:
    data = load_dataset("visual-dialogue/human-v0", games=60)
    images = [episode.info["start"]["scene"] for episode in data]
    assert images == [image for image in dict.fromkeys(images) for _ in range(4)]
    assert len({episode.info["behaviour"] for episode in data}) >= 5
    assert len({episode.seed for episode in data}) == 60
    assert any(phrase in turn.text for phrase in PHRASES for episode in data for turn in episode.turns)


def test_a_logged_episode_is_started_again() -> None:
    data = load_dataset("visual-dialogue/human-v0", games=60)
    env = data.make_env()
    for episode in data[:12:4]:
        observation, info = env.reset(seed=episode.seed, options=episode.info["start"])
        assert observation == episode.turns[0].text
        assert info["percentile"] == pytest.approx(episode.info["percentiles"][0], abs=0.011)


def test_episodes_are_ranked_again_as_they_were_and_by_the_other_guesser(task) -> None:
    episodes = list(load_dataset("visual-dialogue/human-v0", games=60))
    same = replayed(task.pools, episodes)
    for episode, percentiles in zip(episodes, same, strict=True):
        assert percentiles == pytest.approx(episode.info["percentiles"], abs=0.011)  # rounding may move a rank by one
    other = replayed(make_task("VisualDialogue-v0", guesser="held-out").pools, episodes)  # type: ignore[attr-defined]
    assert [len(row) for row in other] == [len(row) for row in same]
    assert other != same


def test_unknown_variants_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown reward of visual-dialogue/human-v0 'y'"):
        load_dataset("visual-dialogue/human-v0", reward="y")
    with pytest.raises(UnknownNameError, match="unknown variant of visual-dialogue/human-v0 'guessr'"):
        load_dataset("visual-dialogue/human-v0", guessr="held-out")
