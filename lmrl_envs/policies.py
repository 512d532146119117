"""Small policies for reference rows, tests and first steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lmrl_envs.core import EpisodeKey, Turn

if TYPE_CHECKING:
    from lmrl_envs.datasets import TextDataset


class RandomPolicy:
    """Says a uniform choice of `texts` at each turn; with Wordle's answers it is the task's "random" reference.

    It draws from its rows' generators. Called without `episodes`, it draws from its own, made from `seed`.
    """

    def __init__(self, texts: Sequence[str], *, name: str = "random", seed: int = 0):
        if isinstance(texts, str) or not texts:
            raise ValueError(f"expected a sequence of at least one text, got {texts!r:.80}")
        self.texts = tuple(texts)
        self.name = name
        self._rng = np.random.default_rng(seed)

    @classmethod
    def of(cls, data: TextDataset) -> RandomPolicy:
        """Says what agents said in the data, each turn as often as it stands there."""
        turns = data.columns()
        return cls(turns.texts.filter(turns.is_agent).to_pylist())

    def act(self, histories: Sequence[Sequence[Turn]], *, episodes: Sequence[EpisodeKey] | None = None) -> list[str]:
        rngs = [self._rng] * len(histories) if episodes is None else [key.rng for key in episodes]
        count = len(self.texts)
        return [self.texts[int(rng.random() * count)] for rng in rngs]


class ScriptedPolicy:
    """Says what a script says: one text always, text k at its turn k (the last one from then on), or f(history)."""

    def __init__(self, script: str | Sequence[str] | Callable[[Sequence[Turn]], str], *, name: str = "scripted"):
        if not callable(script):
            texts = (script,) if isinstance(script, str) else tuple(script)
            if not texts:
                raise ValueError("expected at least one text, got an empty script")
            script = _reader(texts)
        self.script = script
        self.name = name

    def act(self, histories: Sequence[Sequence[Turn]]) -> list[str]:
        return [self.script(history) for history in histories]


def _reader(texts: tuple[str, ...]) -> Callable[[Sequence[Turn]], str]:
    def read(history: Sequence[Turn]) -> str:
        spoken = sum(turn.role == "agent" for turn in history)
        return texts[min(spoken, len(texts) - 1)]

    return read
