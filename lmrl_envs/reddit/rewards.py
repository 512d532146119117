"""Reward models of comments, and the rewards that follow from what they say.

Every reward model has one method, `score(parents, comments)`: probabilities of the levels of what it judges. A folder
of ours holds, for a target, `<target>.json` (kind, shape, how it was made, how good it is) and `<target>.safetensors`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from lmrl_envs.errors import CheckpointError, unknown_name
from lmrl_envs.files import atomic_path, file_hash, write_atomic
from lmrl_envs.progress import track
from lmrl_envs.recipes import Variant
from lmrl_envs.registration import load_attribute

Target = Literal["toxicity", "upvotes"]
Reward = Literal["toxicity", "noisy_toxicity", "upvotes_model", "upvotes_real"]
ModelSpec = str | Path | Mapping[str, Any]

LEVELS: dict[str, int] = {"toxicity": 3, "upvotes": 2}
"""Levels of each target: harmless, mild, severe; a score of 0 or less, a positive one."""
TARGETS: dict[str, Target] = {"toxicity": "toxicity", "noisy_toxicity": "toxicity", "upvotes_model": "upvotes"}
"""What the model of each reward judges; `upvotes_real`, a logged score's sign, has none."""

WEIGHTS = Path(__file__).parent / "weights"
BUNDLED = ("bundled", "held-out", "linear")
"""Models that the library brings: the transformer, its twin from other threads, the TF-IDF baseline."""
PROFANITY = "alt-profanity-check"
FORMAT = 1
_KINDS = {
    "transformer": "lmrl_envs.reddit.network:TransformerScorer",
    "linear": "lmrl_envs.reddit.linear:LinearScorer",
}
_PUBLISHED_CLASSIFIER = "lmrl_envs.reddit.published:Classifier"
_PUBLISHED_PROFANITY = "lmrl_envs.reddit.published:ProfanityCheck"
PAY: dict[str, tuple[float, ...]] = {"toxicity": (0.0, -5.0, -10.0), "upvotes": (0.0, 10.0)}
"""The reward of each level."""
_BATCH = 4096  # comments scored at a time, so that a whole dataset is never held as arrays


class RewardModel(Protocol):
    """Judges comments."""

    def score(self, parents: Sequence[str], comments: Sequence[str]) -> np.ndarray:
        """(N, K) float64 probabilities of the K levels; rows sum to 1. Takes any strings."""


def load_reward_model(spec: ModelSpec = "bundled", target: Target = "toxicity", *, device: str = "cpu") -> RewardModel:
    """Loads a reward model.

    Args:
        spec: A bundled one ("bundled", the transformer; "held-out", its twin, trained on other threads, for tests;
            "linear", the TF-IDF baseline), a folder that `data_scripts.train_reddit_rewards` wrote, the folder or hub
            id of any Hugging Face sequence classifier, or "alt-profanity-check". With what a classifier's labels mean:
            `{"path": "unitary/toxic-bert", "labels": {"toxic": 1, "severe_toxic": 2}}`.
        target: What it judges.

    Raises:
        ValueError: the name, the target, the device or a label is unknown.
        CheckpointError: the model is missing, does not load, or was made for something else.
        ImportError: "alt-profanity-check" is not installed.
    """
    if target not in LEVELS:
        raise unknown_name("target of reward models", target, LEVELS)
    if isinstance(spec, Path):
        spec = str(spec)
    if isinstance(spec, str):
        spec = {"path": spec}
    if not isinstance(spec, Mapping) or not isinstance(spec.get("path"), str):
        raise ValueError(f'reward_model: expected a name, or {{"path": ..., "labels": ...}}, got {spec!r:.80}')
    for name in spec:
        if name not in ("path", "labels"):
            raise unknown_name("field of reward_model", name, ("path", "labels"))
    labels = spec.get("labels")
    return _load(spec["path"], None if labels is None else tuple(sorted(labels.items())), target, device)


@lru_cache(maxsize=16)
def _load(path: str, labels: tuple[tuple[str, int], ...] | None, target: Target, device: str) -> RewardModel:
    names = (*BUNDLED, PROFANITY)
    if path == PROFANITY:
        return cast("RewardModel", load_attribute(_PUBLISHED_PROFANITY)(target))
    folder = _folder(path)
    ours = path in BUNDLED or any((folder / f"{known}.json").is_file() for known in LEVELS)
    if ours and labels is None:
        return read_reward_model(folder, target, device=device)
    if (folder / "config.json").is_file() or (path.count("/") == 1 and not folder.exists()):  # a hub id: owner/name
        classifier = load_attribute(_PUBLISHED_CLASSIFIER)
        return cast("RewardModel", classifier(path, target, labels=labels and dict(labels), device=device))
    if folder.exists():
        raise CheckpointError(
            f"{path} holds no reward model: expected {target}.json of data_scripts.train_reddit_rewards, or a Hugging "
            f"Face classifier's config.json. Bundled: {', '.join(map(repr, names))}"
        )
    raise unknown_name("reward model", path, names)


def read_card(folder: Path, target: Target) -> dict[str, Any]:
    """The checked JSON of a model that `write_reward_model` wrote: kind, shape, how it was made, how good it is.

    Raises:
        CheckpointError: it is not there, or it or the weights beside it are cut short or edited.
    """
    path = Path(folder) / f"{target}.json"
    if not path.is_file():
        raise CheckpointError(
            f"{path} is missing: this folder has no model of {target}; train one by "
            "python -m data_scripts.train_reddit_rewards, or take reward_model='bundled'"
        )
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        kind, expected = card["kind"], card["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: cut short or edited ({type(error).__name__}: {error})") from error
    weights = path.with_suffix(".safetensors")
    if card.get("format") != FORMAT or card.get("target") != target or kind not in _KINDS:
        raise CheckpointError(f"{path}: expected format {FORMAT} and target {target!r}, of a kind in {sorted(_KINDS)}")
    if not weights.is_file() or file_hash(weights) != expected:
        raise CheckpointError(
            f"{weights}: missing, cut short or edited: its SHA-256 is not {expected[:12]}... as {path.name} says; "
            "install again, or train again"
        )
    return card


def read_reward_model(folder: Path, target: Target, *, device: str = "cpu") -> RewardModel:
    """Reads what `write_reward_model` wrote; raises CheckpointError as `read_card` does."""
    card = read_card(folder, target)
    weights = Path(folder) / f"{target}.safetensors"
    try:
        return load_attribute(_KINDS[card["kind"]]).from_tensors(card["config"], load_file(weights), device=device)
    except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{weights} does not fit its {target}.json ({error}); train again") from error


def write_reward_model(folder: Path, target: Target, model: Any, **facts: Any) -> None:
    """Writes one of our own models; the JSON comes last. `facts` stand in the JSON."""
    weights, card = Path(folder) / f"{target}.safetensors", Path(folder) / f"{target}.json"
    with atomic_path(weights) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in model.tensors().items()}, temporary)
    (kind,) = [kind for kind, where in _KINDS.items() if where.endswith(f":{type(model).__name__}")]
    head = {"format": FORMAT, "target": target, "kind": kind, "sha256": file_hash(weights), "config": model.config()}
    write_atomic(card, json.dumps({**head, **facts}, indent=1, ensure_ascii=False) + "\n")


def settle(variant: Variant) -> Variant:
    """Names the judge that gives a dataset's rewards by its hash, where it is bundled or a folder of ours."""
    env_kwargs, _ = variant
    model, target, networks = env_kwargs["reward_model"], TARGETS.get(env_kwargs["reward"]), ""
    if isinstance(model, str) and target is not None:
        weights = _folder(model) / f"{target}.safetensors"
        networks = file_hash(weights)[:12] if weights.is_file() else ""
    return Variant(env_kwargs, {"networks": networks})


def _folder(path: str) -> Path:
    """Where a model of that name or path is."""
    return WEIGHTS / path if path in BUNDLED else Path(path).expanduser()


def rewards_of_levels(reward: str, levels: np.ndarray, coins: np.ndarray | None = None) -> np.ndarray:
    """(N,) levels to (N,) rewards: 0 / -5 / -10 for toxicity, 0 / 10 for upvotes.

    Args:
        coins: (N,) bool, for `noisy_toxicity` alone: whether a mild comment counts as severe rather than harmless.
    """
    target = TARGETS.get(reward, "upvotes")
    if reward == "noisy_toxicity":
        if coins is None:
            raise ValueError("noisy_toxicity needs coins, one draw a comment, to make mild comments harmless or severe")
        levels = np.where(levels == 1, np.where(coins, 2, 0), levels)
    return np.array(PAY[target])[levels]


def rewards_for(
    reward: Reward,
    parents: Sequence[str],
    comments: Sequence[str],
    *,
    coins: np.ndarray | None = None,
    scores: Sequence[int] | np.ndarray | None = None,
    reward_model: ModelSpec = "bundled",
    device: str = "cpu",
    progress: bool = False,
) -> np.ndarray:
    """(N,) rewards of logged comments; a model's level is its most probable one.

    Args:
        coins: (N,) bool, for `noisy_toxicity`, which draws once for each logged comment (see `rewards_of_levels`).
        scores: (N,) logged scores, for `upvotes_real`, which asks no model.

    Raises:
        ValueError: the reward is unknown, or what it needs is missing.
    """
    if reward not in get_args(Reward):
        raise unknown_name("reward", reward, get_args(Reward))
    if reward == "upvotes_real":
        if scores is None:
            raise ValueError("upvotes_real needs the logged scores")
        return rewards_of_levels(reward, (np.asarray(scores) > 0).astype(np.int64))
    model = load_reward_model(reward_model, TARGETS[reward], device=device)
    levels = np.empty(len(comments), np.int64)
    for start in track(range(0, len(comments), _BATCH), description=f"{reward} of comments", enabled=progress):
        part = slice(start, start + _BATCH)
        levels[part] = model.score(parents[part], comments[part]).argmax(1)
    return rewards_of_levels(reward, levels, coins)
