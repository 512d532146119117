"""Generated scenes as small PNGs inside the page."""

from __future__ import annotations

import base64
from functools import lru_cache

import numpy as np

from lmrl_envs.png import png


def shrunk(pixels: np.ndarray, side: int) -> np.ndarray:
    """(height, width, 3) as a square of `side` pixels, each the mean of those it stands for; `side` divides both."""
    height, width, channels = pixels.shape
    blocks = pixels.reshape(side, height // side, side, width // side, channels)
    return blocks.mean((1, 3)).round().astype(np.uint8)


@lru_cache(maxsize=1024)
def scene_uri(scene: int, side: int) -> str:
    """A generated scene of Visual Dialogue as a `data:` address."""
    from lmrl_envs.visual_dialogue.rendering import picture  # noqa: PLC0415 - only pages with dialogues need it
    from lmrl_envs.visual_dialogue.scenes import scene as scene_of  # noqa: PLC0415

    return f"data:image/png;base64,{base64.b64encode(png(shrunk(picture(scene_of(scene)), side))).decode()}"
