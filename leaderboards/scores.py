"""What an agent with values thinks of the tokens of its games."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lmrl_envs.core import Episode

if TYPE_CHECKING:
    from agents.trainer import Algorithm


def token_scores(algorithm: Algorithm | None, episodes: Sequence[Episode]) -> list[list[dict[str, list[Any]]]]:
    """What an agent with values thinks of its games' tokens; empty for one without.

    For each episode, for each agent turn: `text` of its tokens (the last is the end of the turn), and `logp`, `q`, `v`,
    `advantage` of each, None where undefined. An episode longer than what the agent reads has no turns here.
    """
    if algorithm is None:
        return []
    scored = scored_turns(algorithm, episodes)
    valued = any(value is not None for game in scored for turn in game for value in turn["advantage"])
    return scored if valued else []


def scored_turns(algorithm: Algorithm, episodes: Sequence[Episode]) -> list[list[dict[str, list[Any]]]]:
    """As `token_scores`, of any agent: one without values knows `logp` alone."""
    from agents.batch import collate  # noqa: PLC0415  (brings torch, which an agent has loaded)

    rows = [algorithm.encode(episode) for episode in episodes]
    fitting = [place for place, row in enumerate(rows) if len(row.ids) <= algorithm.context_length]
    scored: list[list[dict[str, list[Any]]]] = [[] for _ in episodes]
    if not fitting:
        return scored
    batch = collate([rows[place] for place in fitting])
    scores = algorithm.score(batch.to(next(algorithm.parameters()).device))
    values = {name: tensor.cpu().numpy() for name, tensor in scores._asdict().items()}
    ids, mask, turn = batch.input_ids[:, 1:].numpy(), batch.action_mask.numpy(), batch.turn.numpy()
    for row, place in enumerate(fitting):
        scored[place] = [
            {
                "text": [algorithm.tokenizer.decode([token]) for token in ids[row, at]],
                **{name: [_rounded(value) for value in of[row, at]] for name, of in values.items()},
            }
            for at in _turns(mask[row], turn[row])
        ]
    return scored


def _turns(mask: np.ndarray, turn: np.ndarray) -> Iterator[np.ndarray]:
    """Positions of each agent turn's tokens in a row, (T,) each."""
    for number in np.unique(turn[mask]):
        yield np.flatnonzero(mask & (turn == number))


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None
