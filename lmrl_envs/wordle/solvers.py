"""Reference players and exact values of Wordle: what the other rooms use, in one place."""

from __future__ import annotations

from lmrl_envs.wordle.players import (
    Boards,
    Entropy,
    MarkovPlayer,
    Noisy,
    Player,
    PlayerPolicy,
    RandomConsistent,
    RandomWord,
    RepeatFirstTwo,
    Rules,
    Staller,
    play,
)

__all__ = [
    "Boards",
    "Entropy",
    "MarkovPlayer",
    "Noisy",
    "Player",
    "PlayerPolicy",
    "RandomConsistent",
    "RandomWord",
    "RepeatFirstTwo",
    "Rules",
    "Staller",
    "play",
]
