"""Model shapes by name."""

from __future__ import annotations

from typing import Any

_ROTARY = {"model_type": "llama", "max_position_embeddings": 512, "tie_word_embeddings": True}
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"n_layer": 2, "n_head": 2, "n_embd": 64, "n_positions": 512},
    "mini": {"n_layer": 3, "n_head": 4, "n_embd": 96, "n_positions": 512},
    "tiny-rotary": _ROTARY
    | {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 64, "intermediate_size": 172},
    "mini-rotary": _ROTARY
    | {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 96, "intermediate_size": 256},
    "small": {"n_layer": 4, "n_head": 4, "n_embd": 128, "n_positions": 512},
}
"""Shapes trained from scratch, by name: GPT-2's, or a `model_type`'s of transformers.

With rotary positions a model learns to take up words that it has read from about half the tokens that it needs with
learned ones (agents/README.md).
"""
