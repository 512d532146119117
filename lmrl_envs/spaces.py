"""The space of any text."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from gymnasium.error import CustomSpaceError
from gymnasium.spaces import Text
from gymnasium.vector.utils import create_shared_memory

_SAMPLE_CHARS = 64
_PRINTABLE_ASCII = "".join(map(chr, range(32, 127)))


class FreeText(Text):
    """Any string of at most `max_length` characters, the empty one included.

    Samples are printable ASCII of at most 64 characters, drawn as `Text` draws them.
    """

    def __init__(self, max_length: int, *, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(max_length, min_length=0, charset=_PRINTABLE_ASCII, seed=seed)

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """Draws a string; `mask` and `probability` are those of `Text.sample`, a length of None is at most 64."""
        length = int(self.np_random.integers(0, min(self.max_length, _SAMPLE_CHARS), endpoint=True))
        if probability is None:
            mask = (length, None) if mask is None else (length if mask[0] is None else mask[0], mask[1])
        else:
            probability = (length if probability[0] is None else probability[0], probability[1])
        return super().sample(mask, probability)

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and len(x) <= self.max_length

    def __eq__(self, other: object, /) -> bool:
        return isinstance(other, FreeText) and self.max_length == other.max_length

    __hash__ = None  # type: ignore[assignment]  # mutable, as every space

    def __repr__(self) -> str:
        return f"FreeText({self.max_length})"


@create_shared_memory.register(FreeText)
def _refuse_shared_memory(space: FreeText, n: int = 1, ctx: Any = None) -> NoReturn:
    """Shared memory holds indices into a character set, so that `AsyncVectorEnv` would return garbled text.

    It turns this error into its own, at construction.
    """
    raise CustomSpaceError("text does not fit into shared memory; pass shared_memory=False to AsyncVectorEnv")
