"""`reddit/comments-v0`: episodes of the generated corpus, and their rewards."""

from __future__ import annotations

import numpy as np
import pytest

from lmrl_envs.datasets import content_hash, load_dataset
from lmrl_envs.reddit.corpus import threads
from lmrl_envs.reddit.grammar import part_of
from lmrl_envs.reddit.linear import LinearScorer
from lmrl_envs.reddit.logs import comment_episodes
from lmrl_envs.reddit.rewards import write_reward_model
from lmrl_envs.reddit.truth import true_chance, true_toxicity

ID = "reddit/comments-v0"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of linear models, fitted to a few words."""
    folder = tmp_path_factory.mktemp("models")
    texts = ["you idiot", "what a fool", "thank you", "the crust is fine", "go to hell"]
    levels = np.array([1, 1, 0, 0, 2])
    write_reward_model(folder, "toxicity", LinearScorer.fit([""] * 5, texts, levels))
    write_reward_model(folder, "upvotes", LinearScorer.fit([""] * 5, texts, (levels == 0).astype(np.int64)))
    return str(folder)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="module")
def real(root):
    return load_dataset(ID, split="validation", root=root, games=600, reward="upvotes_real")


def test_rows_hold_labels_and_truth(real):
    assert len(real) == 600
    assert real.metadata.env_id == "Reddit-v0"
    for episode in real[:100]:
        parent, said = episode.turns
        assert (parent.role, said.role, parent.reward) == ("env", "agent", 0.0)
        assert episode.terminated
        assert episode.seed is None
        info = episode.info
        assert parent.text == info["parent"]
        assert info["true_toxicity"] == true_toxicity(said.text)
        assert info["true_chance"] == true_chance(parent.text, said.text)
        assert said.reward == (10.0 if info["score"] > 0 else 0.0)
        assert info["behaviour"] == "people"
        assert info["toxicity"] in (0, 1, 2)


def test_people_s_votes_are_balanced(real):
    assert real.returns.mean() == pytest.approx(5.0, abs=0.6)
    assert 0.4 < np.mean([episode.info["coin"] for episode in real]) < 0.6


def test_replies_of_a_parent_stand_together(real):
    ids = [episode.info["thread"] for episode in real]
    starts = [place for place in range(1, len(ids)) if ids[place] != ids[place - 1]]
    sizes = np.diff([0, *starts])
    assert sizes.min() >= 4
    assert len(set(ids)) == len(sizes) + 1


def test_a_split_is_of_its_part_and_content_is_fixed(real, root):
    assert {part_of(episode.turns[-1].text) for episode in real} == {"validation"}
    assert real.metadata.content_hash == "543db50c732560bb244d08df023de676be924131ff055168354e38c8c24b7c73"
    less = load_dataset(ID, split="validation", root=root, games=100, reward="upvotes_real")
    assert [episode.turns for episode in less] == [episode.turns for episode in real[:100]]


def test_other_rewards_relabel_the_same_rows(real, root, models, monkeypatch):
    monkeypatch.setattr("lmrl_envs.reddit.logs.threads", None)  # nothing is generated again
    options = {"split": "validation", "root": root, "games": 600, "reward_model": models}
    toxicity, noisy, upvotes = (
        load_dataset(ID, reward=reward, **options) for reward in ("toxicity", "noisy_toxicity", "upvotes_model")
    )
    for data in (toxicity, noisy, upvotes):
        assert data.metadata.content_hash == real.metadata.content_hash
        assert data.metadata.learned_hash != real.metadata.learned_hash
        assert [episode.info for episode in data] == [episode.info for episode in real]
    assert set(toxicity.returns) == {0.0, -5.0, -10.0}
    assert set(upvotes.returns) == {0.0, 10.0}
    coins = np.array([episode.info["coin"] for episode in real])
    expected = np.where(toxicity.returns == -5.0, np.where(coins, -10.0, 0.0), toxicity.returns)
    assert noisy.returns.tolist() == expected.tolist()


def test_the_hash_is_told_without_asking_a_judge(tmp_path, monkeypatch):
    part = {"split": "validation", "root": tmp_path, "games": 20}
    with monkeypatch.context() as patch:
        patch.setattr("lmrl_envs.reddit.rewards.load_reward_model", None)
        told = content_hash(ID, reward="noisy_toxicity", **part)
    assert told == load_dataset(ID, reward="noisy_toxicity", **part).metadata.content_hash
    assert told != content_hash(ID, reward="noisy_toxicity", include_parent=False, **part)


def test_the_hash_of_what_is_not_declared_is_refused():
    with pytest.raises(ValueError, match="reward of reddit/comments-v0"):
        content_hash(ID, reward="upvote")


def test_without_parents(real, root):
    data = load_dataset(ID, split="validation", root=root, games=20, reward="upvotes_real", include_parent=False)
    assert all([turn.role for turn in episode.turns] == ["agent"] for episode in data)
    assert [episode.info["parent"] for episode in data] == [episode.info["parent"] for episode in real[:20]]


def test_streams_of_splits_differ():
    seeds = np.random.SeedSequence(0)
    env_kwargs = {"reward": "upvotes_real", "reward_model": "bundled", "include_parent": True}
    first = next(comment_episodes(env_kwargs, seeds, split="test", games=1))
    assert first.info["thread"] != next(threads("test")).id
