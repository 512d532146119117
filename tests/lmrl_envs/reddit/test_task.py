from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from lmrl_envs import TASKS, Episode, Turn, register_task
from lmrl_envs.datasets import DatasetMetadata, write_dataset
from lmrl_envs.evaluate import evaluate, rollout
from lmrl_envs.policies import RandomPolicy, ScriptedPolicy
from lmrl_envs.reddit.corpus import comments
from lmrl_envs.reddit.linear import LinearScorer
from lmrl_envs.reddit.rewards import write_reward_model
from lmrl_envs.reddit.task import RedditTask, parents_of
from lmrl_envs.reddit.truth import true_chance, true_toxicity

KIND = ["thank you so much", "what a lovely day", "this is a lovely garden", "thank you", "good work"]
MILD = ["you are silly", "a silly idea", "how silly of you", "silly", "silly you"]
SEVERE = ["you vile scum", "vile people", "what vile scum", "scum", "vile"]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a judge that calls "silly" mild and "vile" severe, and likes what is neither."""
    folder = tmp_path_factory.mktemp("judge")
    texts, levels = KIND + MILD + SEVERE, np.repeat([0, 1, 2], 5)
    empty = [""] * len(texts)
    write_reward_model(folder, "toxicity", LinearScorer.fit(empty, texts, levels, strength=100))
    write_reward_model(folder, "upvotes", LinearScorer.fit(empty, texts, (levels == 0).astype(int), strength=100))
    return str(folder)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    if "Reddit-v0" in TASKS:
        yield
        return
    register_task("Reddit-v0", "lmrl_envs.reddit.task:RedditTask")
    yield
    del TASKS["Reddit-v0"], gym.registry["Reddit-v0"], gym.registry["lmrl/Reddit-v0"]


def test_an_episode_by_hand(judge: str) -> None:
    env = gym.make("Reddit-v0", reward_model=judge, render_mode="ansi")
    observation, info = env.reset(seed=0, options={"parent": "look at my garden"})
    assert observation == "look at my garden"
    assert info["turns"] == (Turn("env", "look at my garden"),)
    assert info["parent"] == "look at my garden"
    names = ("probabilities", "level", "true_toxicity", "true_chance", "true_reward")
    assert [info[name] for name in names] == [None] * 5
    observation, reward, terminated, truncated, info = env.step("you vile scum")
    assert observation == "look at my garden\nyou vile scum"
    assert (reward, terminated, truncated) == (-10.0, True, False)
    assert (info["level"], sum(info["probabilities"])) == (2, pytest.approx(1))
    assert info["true_toxicity"] == true_toxicity("you vile scum")
    assert info["true_chance"] == true_chance("look at my garden", "you vile scum")
    assert info["true_reward"] == -5.0 * info["true_toxicity"]
    assert env.render() == "> look at my garden\nyou vile scum  [-10]"


@pytest.mark.parametrize(
    ("reward", "paid"), [("toxicity", [0, -5, -10]), ("upvotes_model", [10, 0, 0]), ("noisy_toxicity", [0, None, -10])]
)
def test_rewards_follow_the_judge(judge: str, reward: str, paid: list[float | None]) -> None:
    task = RedditTask(reward=reward, reward_model=judge)
    rngs = [np.random.default_rng(seed) for seed in range(60)]
    states = [reply.state for reply in task.start(rngs)]
    for text, expected in zip(["thank you", "silly", "vile scum"], paid, strict=True):
        replies = task.reply(states, [text] * 60)
        assert all(reply.terminated for reply in replies)
        rewards = {reply.reward for reply in replies}
        assert rewards == ({expected} if expected is not None else {0.0, -10.0})
        for reply in replies:
            if expected is None:
                assert reply.reward == (-10.0 if reply.state.coin else 0.0)


def test_the_true_reward_is_that_of_a_model_that_is_right(judge: str) -> None:
    row = next(comment for comment in comments("test", 400) if comment.true_toxicity == 1)
    for reward, coin, expected in [
        ("toxicity", False, -5.0),
        ("noisy_toxicity", False, 0.0),
        ("noisy_toxicity", True, -10.0),
        ("upvotes_model", True, 10.0 * (row.true_chance > 0.5)),
    ]:
        task = RedditTask(reward=reward, reward_model=judge)
        (opening,) = task.start([np.random.default_rng(0)], {"parent": row.parent})
        (reply,) = task.reply([opening.state._replace(coin=coin)], [row.text])
        assert reply.info["true_reward"] == expected
        assert reply.info["true_chance"] == pytest.approx(row.true_chance)


def test_the_same_seed_meets_the_same_comment_whatever_the_reward(judge: str) -> None:
    openings = []
    for reward in ("toxicity", "noisy_toxicity", "upvotes_model"):
        task = RedditTask(reward=reward, reward_model=judge)
        openings.append([reply.state for reply in task.start([np.random.default_rng(seed) for seed in range(50)])])
    assert openings[0] == openings[1] == openings[2]
    assert len({state.parent for state in openings[0]}) > 30
    assert 10 < sum(state.coin for state in openings[0]) < 40


def test_the_agent_may_not_see_the_parent(judge: str) -> None:
    env = gym.make("Reddit-v0", reward_model=judge, include_parent=False)
    observation, info = env.reset(seed=0)
    assert (observation, info["turns"]) == ("", ())
    assert info["parent"] in parents_of("generated", "test")
    assert env.step("thank you")[0] == "thank you"
    assert "Write a comment" in info["instructions"]


def test_parts_share_no_comment(judge: str) -> None:
    test, validation = RedditTask(reward_model=judge), RedditTask(reward_model=judge, part="validation")
    assert min(len(test.parents), len(validation.parents)) > 200
    assert not set(test.parents) & set(validation.parents)
    assert not set(test.parents) & {comment.parent for comment in comments("train", 2000)}


def test_all_starts_are_played_once(judge: str) -> None:
    kwargs = {"reward_model": judge}
    result = evaluate(ScriptedPolicy("thank you"), "Reddit-v0", episodes="all", env_kwargs=kwargs, progress=False)
    assert len(result.returns) == len(parents_of("generated", "test"))
    assert result.mean == 0.0
    assert 0 < result.metrics["true_chance"] < 1
    starts = [episode.info["start"]["parent"] for episode in result.examples]
    assert starts == list(parents_of("generated", "test")[: len(starts)])


def test_a_corpus_of_ones_own(judge: str, tmp_path: Path) -> None:
    def logged(turns: tuple[Turn, ...]) -> Episode:
        return Episode(None, None, turns, True, False, {})

    reply = Turn("agent", "hello", 1.0)
    rows = [logged((Turn("env", text), reply)) for text in ("one", "two", "one")] + [logged((reply,))]
    path = tmp_path / "mine.parquet"
    write_dataset(path, rows, DatasetMetadata())
    task = RedditTask(reward_model=judge, corpus=str(path))
    assert task.parents == ("one", "two")
    (opening,) = task.start([np.random.default_rng(0)])
    info = task.reply([opening.state], ["hello"])[0].info
    assert (info["true_toxicity"], info["true_chance"], info["true_reward"]) == (None, None, None)
    assert info["level"] == 0
    write_dataset(path.with_name("none.parquet"), [logged((reply,))], DatasetMetadata())
    with pytest.raises(ValueError, match="no episode opens with a comment"):
        RedditTask(reward_model=judge, corpus=str(path.with_name("none.parquet")))
    with pytest.raises(FileNotFoundError, match="expected 'generated' or the path"):
        RedditTask(reward_model=judge, corpus="nowhere.parquet")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a" * 2**20,
        "\x00\x1b[31m\x07",
        "\u202eidiot\u202c",
        "<script>alert(1)</script>",
        "\ud800",
        "日本語 رسالة",
    ],
)
def test_any_reply_is_judged(judge: str, text: str) -> None:
    for reward in ("toxicity", "upvotes_model"):
        env = gym.make("Reddit-v0", reward=reward, reward_model=judge, render_mode="ansi")
        env.reset(seed=0)
        observation, paid, terminated, _, info = env.step(text)
        assert terminated
        assert paid in (0.0, -5.0, -10.0, 10.0)
        assert 0 <= info["true_chance"] <= 1
        assert len(observation) < 10_000
        assert not set(env.render()) & {"\x1b", "\x07", "\u202e", "\x00"}


def test_any_comment_is_answered(judge: str) -> None:
    env = gym.make("Reddit-v0", reward="upvotes_model", reward_model=judge)
    for parent in ("", "\x1b[31m\n\ud800", "x" * 2**20):
        observation, info = env.reset(options={"parent": parent})
        assert "\n" not in observation
        assert len(info["parent"]) <= 4096
        env.step("thank you")


def test_faces_and_rollout_agree(judge: str) -> None:
    assert check_env(gym.make("Reddit-v0", reward_model=judge, render_mode="ansi").unwrapped) is None
    texts = ["thank you", "silly", "vile scum", "a garden"]
    played = list(rollout(RandomPolicy(texts), "Reddit-v0", episodes=6, env_kwargs={"reward_model": judge}))
    envs = gym.make_vec("Reddit-v0", num_envs=6, reward_model=judge, autoreset_mode="SameStep")
    envs.reset(seed=[episode.seed for episode in played])
    _, rewards, *_, infos = envs.step([episode.turns[1].text for episode in played])
    assert rewards.tolist() == [episode.total_return for episode in played]
    assert infos["final_info"]["true_chance"].tolist() == [episode.info["true_chance"] for episode in played]


def test_states_are_plain(judge: str) -> None:
    task = RedditTask(reward_model=judge)
    (opening,) = task.start([np.random.default_rng(0)])
    assert pickle.loads(pickle.dumps(opening.state)) == opening.state  # noqa: S301
    assert task.reply([], []) == []


def test_upvotes_real_is_refused_with_the_alternative() -> None:
    with pytest.raises(ValueError, match=r"load_dataset\('reddit/comments-v0', reward='upvotes_real'\).*upvotes_model"):
        gym.make("Reddit-v0", reward="upvotes_real")


def test_arguments_are_checked(judge: str) -> None:
    with pytest.raises(ValueError, match="unknown reward 'toxic'; did you mean 'toxicity'"):
        RedditTask(reward="toxic")
    with pytest.raises(ValueError, match="unknown part 'tests'; did you mean 'test'"):
        RedditTask(reward_model=judge, part="tests")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown reward model 'bundeld'; did you mean 'bundled'"):
        gym.make("Reddit-v0", reward_model="bundeld")
    env = gym.make("Reddit-v0", reward_model=judge)
    with pytest.raises(ValueError, match="unknown reset option 'parents'; did you mean 'parent'"):
        env.reset(options={"parents": "hello"})
    with pytest.raises(ValueError, match="parent: expected a text, got 7"):
        env.reset(options={"parent": 7})
