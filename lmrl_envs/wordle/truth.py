"""Exact values of the words in games of `wordle/human-v0`, and how well other values of them agree."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.stats import spearmanr

from lmrl_envs.datasets import TextDataset
from lmrl_envs.wordle.behaviours import people
from lmrl_envs.wordle.solvers import CrowdTable, ExactTable, Optimal, Rules
from lmrl_envs.wordle.task import WordleTask


class Truth(NamedTuple):
    """Of each of N logged turns, in the order of the games: exact values of its word at its history."""

    turn: np.ndarray
    """(N,) int64, the turn's number in its game, from 1."""
    optimum: np.ndarray
    """(N,) Q*: the best play follows."""
    people: np.ndarray
    """(N,) Q of the people who played: one of them goes on, of whom the history tells who it may be."""
    distinct: int
    """How many different pairs of history and word there are."""


def truth(data: TextDataset, *, gamma_turn: float) -> Truth:
    """Exact values, discounted by `gamma_turn` from one turn to the next.

    Raises:
        ValueError: the data are not of the people with all answers, whose exact values are known.
    """
    crowd = crowd_of(data, gamma_turn=gamma_turn)
    task = WordleTask(**data.metadata.env_kwargs)
    best = ExactTable(task, Optimal(Rules.of(task), gamma_turn=gamma_turn))
    exact: dict[tuple[str, ...], tuple[float, float]] = {}
    rows = []
    for episode in data:
        for turn, action in enumerate(episode.turns[::2]):
            history, guess = episode.turns[: 2 * turn], action.text
            key = (*(said.text for said in history), guess)
            if key not in exact:
                exact[key] = best.q(history, guess), crowd.q(history, guess)
            rows.append((turn + 1, *exact[key]))
    turn, optimum, behaviour = np.array(rows).T
    return Truth(turn.astype(np.int64), optimum, behaviour, len(exact))


def crowd_of(data: TextDataset, *, gamma_turn: float = 1.0) -> CrowdTable:
    """The people who wrote a dataset.

    Raises:
        ValueError: they are not known, or did not have all answers to guess.
    """
    about = data.metadata
    if about.dataset_id != "wordle/human-v0" or about.variant["answers"] != "all":
        raise ValueError(
            "exact values are known of wordle/human-v0 with answers='all', "
            f"got {about.dataset_id} with {dict(about.variant)}"
        )
    return people(WordleTask(**about.env_kwargs), about.variant["mix"], gamma_turn=gamma_turn)


def agreement(q: np.ndarray, exact: np.ndarray) -> dict[str, Any]:
    """Of (N,) values beside exact ones: the mean of these, `q`, and the others' `rmse` and `spearman`.

    `spearman` is None where either side is constant.
    """
    constant = np.ptp(q) == 0 or np.ptp(exact) == 0
    return {
        "q": float(exact.mean()),
        "rmse": float(np.sqrt(np.square(q - exact).mean())),
        "spearman": None if constant else float(spearmanr(q, exact).statistic),
    }
