from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lmrl_envs.errors import CheckpointError
from lmrl_envs.reddit.linear import LinearScorer
from lmrl_envs.reddit.network import CommentNetwork, NetworkConfig, TransformerScorer
from lmrl_envs.reddit.rewards import (
    load_reward_model,
    read_card,
    rewards_for,
    rewards_of_levels,
    write_reward_model,
)

KIND, RUDE = ["what a lovely day", "thank you so much", "lovely work"], ["what an idiot", "so dumb", "you dumb idiot"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a linear model of upvotes that likes kind comments, and a transformer of toxicity, untrained."""
    folder = tmp_path_factory.mktemp("models")
    likes = LinearScorer.fit([""] * 6, KIND + RUDE, np.array([1, 1, 1, 0, 0, 0]))
    write_reward_model(folder, "upvotes", likes, quality={"auc": 1.0})
    torch.manual_seed(0)
    network = CommentNetwork(NetworkConfig(levels=3, buckets=64, features=4, width=8, heads=2))
    write_reward_model(folder, "toxicity", TransformerScorer(network, temperature=2.0))
    return folder


def test_a_folder_is_read_back(folder: Path) -> None:
    likes = load_reward_model(str(folder), "upvotes")
    assert isinstance(likes, LinearScorer)
    assert likes.score(["", ""], ["lovely", "dumb"]).argmax(1).tolist() == [1, 0]
    judge = load_reward_model(folder, "toxicity")
    assert isinstance(judge, TransformerScorer)
    assert judge.temperature == 2.0
    assert load_reward_model(str(folder), "upvotes") is likes  # read once a process
    card = read_card(folder, "upvotes")
    assert (card["kind"], card["quality"]) == ("linear", {"auc": 1.0})
    assert sorted(path.name for path in folder.iterdir()) == [
        "toxicity.json",
        "toxicity.safetensors",
        "upvotes.json",
        "upvotes.safetensors",
    ]


def test_rewards_follow_from_levels() -> None:
    levels, coins = np.array([0, 1, 2, 1]), np.array([True, True, False, False])
    assert rewards_of_levels("toxicity", levels).tolist() == [0, -5, -10, -5]
    assert rewards_of_levels("noisy_toxicity", levels, coins).tolist() == [0, -10, -10, 0]
    assert rewards_of_levels("upvotes_model", np.array([0, 1])).tolist() == [0, 10]
    with pytest.raises(ValueError, match="needs coins"):
        rewards_of_levels("noisy_toxicity", levels)


def test_rewards_of_logged_comments(folder: Path) -> None:
    texts = KIND + RUDE
    rewards = rewards_for("upvotes_model", texts, texts, reward_model=str(folder))
    assert rewards.tolist() == [10, 10, 10, 0, 0, 0]
    assert rewards_for("upvotes_real", texts[:4], texts[:4], scores=[1, 0, -3, 250]).tolist() == [10, 0, 0, 10]
    toxicity = rewards_for("toxicity", texts, texts, reward_model=str(folder))
    levels = load_reward_model(str(folder), "toxicity").score(texts, texts).argmax(1)
    assert toxicity.tolist() == (-5.0 * levels).tolist()
    assert rewards_for("toxicity", [], [], reward_model=str(folder)).shape == (0,)


def test_what_is_missing_is_said(folder: Path) -> None:
    with pytest.raises(ValueError, match="needs the logged scores"):
        rewards_for("upvotes_real", [""], [""])
    with pytest.raises(ValueError, match="unknown reward 'upvotes'; did you mean"):
        rewards_for("upvotes", [""], [""])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown target of reward models 'toxic'; did you mean 'toxicity'"):
        load_reward_model("bundled", "toxic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown reward model 'bundeld'; did you mean 'bundled'"):
        load_reward_model("bundeld", "toxicity")
    with pytest.raises(ValueError, match="expected a name, or"):
        load_reward_model({"labels": {}}, "toxicity")
    with pytest.raises(ValueError, match="device 'gpu' cannot be used"):
        load_reward_model(str(folder), "toxicity", device="gpu")


def test_broken_folders_are_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no reward model"):
        load_reward_model(str(tmp_path), "toxicity")
    for name in ("upvotes.json", "upvotes.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(CheckpointError, match=r"no model of toxicity; train one .* reward_model='bundled'"):
        load_reward_model(str(tmp_path), "toxicity")
    weights, card = tmp_path / "upvotes.safetensors", tmp_path / "upvotes.json"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="cut short or edited"):
        load_reward_model(str(tmp_path), "upvotes")
    weights.write_bytes((folder / "toxicity.safetensors").read_bytes())
    content = json.loads(card.read_text()) | {"sha256": json.loads((folder / "toxicity.json").read_text())["sha256"]}
    card.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="does not fit"):
        load_reward_model(str(tmp_path), "upvotes")
    card.write_text(json.dumps(content | {"kind": "oracle"}))
    with pytest.raises(CheckpointError, match="of a kind in"):
        load_reward_model(str(tmp_path), "upvotes")
    card.write_text("{")
    with pytest.raises(CheckpointError, match="cut short or edited"):
        load_reward_model(str(tmp_path), "upvotes")
