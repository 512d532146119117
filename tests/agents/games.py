"""Small Wordle games and models that the tests of agents share."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from agents.batch import TokenBatch, TokenRow, collate
from lmrl_envs.core import Episode, Turn

NANO = {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 128}


def make_episode(guesses: Sequence[str], *, won: bool = True, truncated: bool = False) -> Episode:
    """A Wordle game with made-up feedback; -1 a guess, 0 for the last where it is won."""
    turns: list[Turn] = []
    for number, guess in enumerate(guesses, start=1):
        last = won and number == len(guesses)
        turns += [Turn("agent", guess, 0.0 if last else -1.0), Turn("env", "ggggg" if last else "bybgb")]
    return Episode("Wordle-v0", None, tuple(turns), terminated=not truncated, truncated=truncated, info={})


def left_padded(batch: TokenBatch) -> TokenBatch:
    """The same rows with the padding on the left."""
    shift = (~batch.attention_mask).sum(1)
    T = batch.action_mask.shape[1]

    def roll(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.roll(row, int(s)) for row, s in zip(x, shift, strict=True)])

    next_state = torch.where(batch.next_state >= 0, batch.next_state + shift[:, None], -1)
    assert int(next_state.max()) <= T
    return batch._replace(
        input_ids=roll(batch.input_ids),
        attention_mask=roll(batch.attention_mask),
        action_mask=roll(batch.action_mask),
        rewards=roll(batch.rewards),
        next_state=roll(next_state),
        turn=roll(batch.turn),
    )


def batch_of(rows: Sequence[TokenRow], order: Sequence[int] | None = None) -> TokenBatch:
    chosen = rows if order is None else [rows[i] for i in order]
    return collate(list(chosen))
