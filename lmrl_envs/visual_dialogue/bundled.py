"""Where the networks are and what they are called, for those who do not run them."""

from __future__ import annotations

from pathlib import Path

from lmrl_envs.files import file_hash
from lmrl_envs.recipes import Variant

WEIGHTS = Path(__file__).parent / "weights"
GUESSERS = {"default": "guesser", "held-out": "guesser-held-out"}
"""Guessers by the task's name for them, and their files."""


def settle(variant: Variant) -> Variant:
    """Names the corpus's folder in full, and the networks that rank its images by their hashes."""
    env_kwargs, _ = variant
    corpus, weights = env_kwargs["corpus"], WEIGHTS
    if corpus != "scenes":
        corpus = str(Path(corpus).expanduser().resolve())
        weights = Path(corpus) / "weights"
    files = [weights / f"{name}.safetensors" for name in ("detector", GUESSERS[env_kwargs["guesser"]])]
    networks = "-".join(file_hash(path)[:12] for path in files if path.is_file())
    return Variant(env_kwargs | {"corpus": corpus}, {"networks": networks})
