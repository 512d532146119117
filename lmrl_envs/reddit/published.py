"""Reward models that others published: any Hugging Face sequence classifier, and `alt-profanity-check`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lmrl_envs.devices import resolve_device
from lmrl_envs.errors import CheckpointError, unknown_name
from lmrl_envs.reddit.rewards import LEVELS
from lmrl_envs.reddit.words import plain

_TOXICITY_LABELS = {
    # The labels of Detoxify's models (unitary/toxic-bert and its kin), and of the usual two-way classifiers.
    "toxic": 1,
    "toxicity": 1,
    "obscene": 1,
    "insult": 1,
    "sexual_explicit": 1,
    "offensive": 1,
    "severe_toxic": 2,
    "severe_toxicity": 2,
    "threat": 2,
    "identity_hate": 2,
    "identity_attack": 2,
    "hate": 2,
    "non-toxic": 0,
    "not_toxic": 0,
    "neutral": 0,
    "normal": 0,
}
_ROWS = 64
_MAX_CHARS = 16_384
_REMEDY = "reward_model='bundled' needs nothing, a path to a folder needs no network"


class Classifier:
    """A Hugging Face sequence classifier whose labels are mapped to levels.

    A model that gives each label a probability of its own (multi-label) finds a comment at least at a level as probable
    as the likeliest label of that level or above; one that chooses among its labels, as their sum. Models of upvotes
    read parent and comment as a pair, models of toxicity the comment alone.

    Args:
        path: A folder or a hub id.
        labels: The level of each label; those left out are harmless (level 0). None: known names of labels.

    Raises:
        CheckpointError: the model does not load.
        ValueError: a label is unknown, or `labels` is needed.
    """

    def __init__(self, path: str, target: str, *, labels: Mapping[str, int] | None = None, device: str = "cpu") -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: PLC0415 - takes seconds

        self.device, self.levels = resolve_device(device), LEVELS[target]
        self.pairs = target == "upvotes"
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(path)
            self.model = AutoModelForSequenceClassification.from_pretrained(path).to(self.device).eval()
        except Exception as error:  # OSError, ValueError, KeyError and those of several libraries
            reason = str(error).strip().split("\n")[0][:200]
            raise CheckpointError(f"{path} does not load as a sequence classifier ({reason}); {_REMEDY}") from error
        config = self.model.config
        names = [str(config.id2label[number]) for number in range(config.num_labels)]
        self.level_of = np.array(_levels(path, names, labels, self.levels))
        self.multi_label = config.problem_type == "multi_label_classification" or bool((self.level_of > 0).all())
        self.max_tokens = min(self.tokenizer.model_max_length, getattr(config, "max_position_embeddings", 512) - 2)

    def score(self, parents: Sequence[str], comments: Sequence[str]) -> np.ndarray:
        """(N, K) float64."""
        import torch  # noqa: PLC0415 - heavy, as in __init__

        said = [_encodable(comment) for comment in comments]
        first = [_encodable(parent) for parent in parents] if self.pairs else said
        order = np.argsort([len(comment) for comment in said], kind="stable")
        probabilities = np.empty((len(said), self.levels))
        for start in range(0, len(order), _ROWS):
            rows = order[start : start + _ROWS]
            pair = {"text_pair": [said[row] for row in rows]} if self.pairs else {}
            limits = {"padding": True, "truncation": True, "max_length": self.max_tokens}
            encoded = self.tokenizer([first[row] for row in rows], **pair, **limits, return_tensors="pt")
            with torch.inference_mode():
                logits = self.model(**encoded.to(self.device)).logits.double().cpu()
            labels = logits.sigmoid() if self.multi_label else logits.softmax(-1)
            probabilities[rows] = self._by_level(labels.numpy())
        return probabilities

    def _by_level(self, labels: np.ndarray) -> np.ndarray:
        """(R, labels) to (R, K)."""
        if not self.multi_label:
            return np.stack([labels[:, self.level_of == level].sum(1) for level in range(self.levels)], axis=1)
        masked = [np.where(self.level_of >= level, labels, 0.0).max(1) for level in range(1, self.levels)]
        at_least = np.stack([np.ones(len(labels)), *masked, np.zeros(len(labels))], axis=1)
        return at_least[:, :-1] - at_least[:, 1:]


class ProfanityCheck:
    """`alt-profanity-check`, a published linear model: what it finds offensive is mild. Known to be easily misled.

    Raises:
        ImportError: it is not installed.
        ValueError: asked to judge anything but toxicity.
    """

    def __init__(self, target: str) -> None:
        if target != "toxicity":
            raise ValueError(f"alt-profanity-check judges toxicity, not {target}; take reward_model='bundled'")
        try:
            from profanity_check import predict_prob  # noqa: PLC0415 - optional
        except ImportError as error:
            raise ImportError(
                "reward_model='alt-profanity-check' needs that package: pip install 'lmrl-envs[profanity]' "
                f"(it pins one version of scikit-learn); {_REMEDY}"
            ) from error
        self._predict: Any = predict_prob

    def score(self, parents: Sequence[str], comments: Sequence[str]) -> np.ndarray:
        """(N, 3) float64."""
        if not comments:
            return np.empty((0, 3))
        offensive = np.asarray(self._predict([_encodable(comment) for comment in comments]), np.float64)
        return np.stack([1 - offensive, offensive, np.zeros_like(offensive)], axis=1)


def _levels(path: str, names: Sequence[str], labels: Mapping[str, int] | None, levels: int) -> list[int]:
    """The level of each of a model's labels."""
    given: Mapping[str, int] = _TOXICITY_LABELS if labels is None and levels == 3 else labels or {}
    if labels is None:
        if any(name.lower() not in given for name in names):
            raise ValueError(
                f"{path}: say which level (0 to {levels - 1}) its labels {names} stand for: "
                f'reward_model={{"path": {path!r}, "labels": {{"{names[-1]}": {levels - 1}}}}}'
            )
        return [given[name.lower()] for name in names]
    for name, level in labels.items():
        if name not in names:
            raise unknown_name(f"label of {path}", name, names)
        if type(level) is not int or not 0 <= level < levels:
            raise ValueError(f"label {name!r}: expected a level from 0 to {levels - 1}, got {level!r}")
    if not any(labels.values()):
        raise ValueError(f"labels: expected at least one of {names} above level 0, got {dict(labels)}")
    return [labels.get(name, 0) for name in names]


def _encodable(text: str) -> str:
    """Text as these models read it: without control characters and lone surrogates, and not endless."""
    return plain(text[:_MAX_CHARS])
