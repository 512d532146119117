"""Model shapes by name."""

from __future__ import annotations

SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"n_layer": 2, "n_head": 2, "n_embd": 64, "n_positions": 512},
    "mini": {"n_layer": 3, "n_head": 4, "n_embd": 96, "n_positions": 512},
    "small": {"n_layer": 4, "n_head": 4, "n_embd": 128, "n_positions": 512},
}
"""GPT-2 shapes trained from scratch, by name."""
