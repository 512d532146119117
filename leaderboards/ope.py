"""Off-policy evaluation of Wordle policies of known value: which estimates to believe, and where they fail.

`python -m leaderboards.ope` estimates the returns of the thirty policies of `targets.py` from the games of
`wordle/human-v0` and sets them beside their exact returns. Estimates are told how likely a policy is to say what; the
importance weights are told the same, exactly, of the people who wrote the games, so that they are seen at their best.

    fqe       fitted Q evaluation, the mean of two halves of the games
    pdwis     per-decision weighted importance sampling
    dr        weighted doubly robust, with the Q of the other half of the games
    v_start   V at the start by the people's own Q: the policy's first word alone, then people's play
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from leaderboards.estimators import doubly_robust, effective_games, importance_weights, per_decision
from leaderboards.fqe import Chances, Fitted, FQEConfig, Outcomes, fit
from leaderboards.game_tree import CrowdChances, GameTree
from leaderboards.instruments import ESTIMATORS
from leaderboards.jobs import RESULTS
from leaderboards.targets import Target, thirty
from lmrl_envs.datasets import TextDataset, load_dataset
from lmrl_envs.devices import set_threads
from lmrl_envs.files import write_atomic
from lmrl_envs.provenance import provenance
from lmrl_envs.recipes import MIXES
from lmrl_envs.wordle.behaviours import mixture
from lmrl_envs.wordle.solvers import Rules
from lmrl_envs.wordle.task import WordleTask

CLOSE = 0.15
"""An estimate this near to the true return counts as right."""
DATASET = "wordle/human-v0"
PUBLISHED = RESULTS / "ope" / "wordle-common-40.json"


def estimates(data: TextDataset, targets: Sequence[Target], config: FQEConfig) -> list[dict[str, Any]]:
    """What each estimator says of each target's return; None where it can say nothing.

    Beside it stand `effective_games`, of all the games, `fqe_halves`, and `outside`: the share of what the target would
    say at the logged histories that no game has.
    """
    rules = Rules.of(WordleTask(**data.metadata.env_kwargs))
    tree = GameTree(data, rules)
    crowds = [CrowdChances(tree, target.crowd) for target in targets]
    behaviour = CrowdChances(tree, mixture(rules, MIXES[data.metadata.variant["mix"]])).prefix()
    q, v, v_next, starts = cross_fitted(tree, _Stacked(tree, crowds), len(crowds), config)
    by_word = _mean_by_first_word(tree)
    rows = []
    for number, crowd in enumerate(crowds):
        weights = importance_weights(crowd.prefix(), behaviour)
        rows.append(
            {
                "fqe": float(starts[:, number].mean()),
                "pdwis": per_decision(weights, tree.reward),
                "dr": doubly_robust(weights, tree.reward, q[..., number], v[:, number], v_next[..., number]),
                "v_start": float(crowd.at(np.zeros(1, np.int64))[0] @ by_word),
                "effective_games": effective_games(weights),
                "fqe_halves": starts[:, number].tolist(),
                "outside": crowd.outside(),
            }
        )
    return rows


class CrossFitted(NamedTuple):
    """Values of P policies in N games of at most T turns, each game's by the fit to the other half of the games."""

    q: np.ndarray
    """(N, T, P) of the logged guesses"""
    v: np.ndarray
    """(N, P) at the start"""
    v_next: np.ndarray
    """(N, T, P) after each guess, 0 at an end"""
    starts: np.ndarray
    """(2, P) what each half says of the start"""


def cross_fitted(tree: GameTree, chances: Chances, policies: int, config: FQEConfig) -> CrossFitted:
    """Fits Q of so many policies on each half of a tree's games, and reads it on the other.

    Args:
        chances: of the tree's states, see `fqe.Chances`.
    """
    games, turns = tree.word.shape
    words = len(tree.rules.guesses)
    pair, row = np.unique(tree.state[tree.live] * words + tree.word[tree.live], return_inverse=True)
    q = np.zeros((games, turns, policies), np.float32)
    v_next, v = np.zeros_like(q), np.empty((games, policies), np.float32)
    starts = []
    half = np.arange(games) % 2
    for fold in (0, 1):
        read = tree.live & (half != fold)[:, None]
        outcomes = Outcomes.of(tree.state[read], tree.word[read], tree.reward[read], tree.next[read], len(tree))
        fitted: Fitted = fit(outcomes, tree.features, chances, (pair // words, pair % words), config)
        starts.append(fitted.v[0])
        scored = tree.live & (half == fold)[:, None]
        q[scored] = fitted.q[row[scored[tree.live]]]
        goes_on = scored & (tree.next >= 0)
        v_next[goes_on] = fitted.v[tree.next[goes_on]]
        v[half == fold] = fitted.v[0]
    return CrossFitted(q, v, v_next, np.array(starts))


class _Stacked:
    """What several crowds say, (n, A, P); players who play alone are looked up in one table."""

    def __init__(self, tree: GameTree, crowds: Sequence[CrowdChances]) -> None:
        self._crowds, self._key = crowds, tree.key
        self._alone = [number for number, crowd in enumerate(crowds) if len(crowd.tables) == 1]
        self._table = np.stack([crowds[number].at(tree.key_states) for number in self._alone], axis=-1)

    def __call__(self, states: np.ndarray) -> np.ndarray:
        table = self._table[self._key[states]]
        found = np.empty((*table.shape[:2], len(self._crowds)), np.float32)
        found[..., self._alone] = table
        for number, crowd in enumerate(self._crowds):
            if number not in self._alone:
                found[..., number] = crowd.at(states)
        return found


def _mean_by_first_word(tree: GameTree) -> np.ndarray:
    """(A,) mean return of the games that begin with each word: the people's Q at the start."""
    first, words = tree.word[:, 0], len(tree.rules.guesses)
    count = np.bincount(first, minlength=words)
    sums = np.bincount(first, tree.reward.sum(axis=1), minlength=words)
    return np.divide(sums, count, out=np.full(words, tree.reward.sum(axis=1).mean()), where=count > 0)


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each estimator: `given`, estimates that it gave; `close`, those within `CLOSE` of the exact return; root mean
    squared error and rank correlation of those given."""
    told = {}
    for name in ESTIMATORS:
        given = [(row[name], row["exact"]) for row in rows if row[name] is not None]
        estimate, exact = np.array(given).reshape(-1, 2).T
        errors = np.abs(estimate - exact)
        ranked = len(given) > 1 and np.ptp(estimate) > 0 and np.ptp(exact) > 0
        told[name] = {
            "given": len(given),
            "close": int((errors <= CLOSE).sum()),
            "rmse": float(np.sqrt(np.square(errors).mean())) if given else None,
            "spearman": float(spearmanr(estimate, exact).statistic) if ranked else None,
        }
    return told


def measure(data: TextDataset, config: FQEConfig) -> dict[str, Any]:
    """Estimates beside exact returns, as plain JSON."""
    begun = time.monotonic()
    targets = thirty(Rules.of(WordleTask(**data.metadata.env_kwargs)))
    rows = [
        {"policy": target.name, "family": target.family, "exact": target.expected_return, **row}
        for target, row in zip(targets, estimates(data, targets, config), strict=True)
    ]
    metadata = data.metadata
    return {
        "dataset": metadata.dataset_id,
        "variant": dict(metadata.variant),
        "dataset_hash": metadata.content_hash,
        "games": len(data),
        "config": asdict(config),
        "close": CLOSE,
        "policies": rows,
        "summary": summary(rows),
        "seconds": time.monotonic() - begun,
        "provenance": provenance(),
    }


def told(record: Mapping[str, Any]) -> list[Table]:
    """A record for the terminal: each policy's estimates, then how the estimators do."""
    rows = Table("policy", "exact", *ESTIMATORS.values(), "effective games", "outside", box=None, pad_edge=False)
    for row in sorted(record["policies"], key=lambda row: -row["exact"]):
        cells = [_estimate(row[name], row["exact"]) for name in ESTIMATORS]
        rows.add_row(
            row["policy"], f"{row['exact']:.2f}", *cells, f"{row['effective_games']:,.0f}", f"{row['outside']:.0%}"
        )
    scores = Table("estimator", f"within {record['close']:g}", "rmse", "rank correlation", box=None, pad_edge=False)
    for name, score in record["summary"].items():
        figures = ["–" if score[key] is None else f"{score[key]:.2f}" for key in ("rmse", "spearman")]
        scores.add_row(ESTIMATORS[name], f"{score['close']} of {len(record['policies'])}", *figures)
    return [rows, scores]


def _estimate(value: float | None, exact: float) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if abs(value - exact) <= CLOSE else f"[red]{value:.2f}[/]"


def main(
    games: Annotated[int, typer.Option(help="Games that estimates are made from.")] = 100_000,
    words: Annotated[str, typer.Option(help="The list; short enough to be solved.")] = "common-40",
    mix: Annotated[str, typer.Option(help="Who wrote the games.")] = "wide",
    steps: Annotated[int, typer.Option(help="Of fitted Q evaluation.")] = FQEConfig.steps,
    seed: Annotated[int, typer.Option(help="Of fitted Q evaluation.")] = 0,
    out: Annotated[Path, typer.Option(help="The result.")] = PUBLISHED,
) -> None:
    """Sets off-policy estimates of thirty Wordle policies beside their exact returns."""
    set_threads(1)
    data = load_dataset(DATASET, words=words, mix=mix, games=games)
    record = measure(data, FQEConfig(steps=steps, seed=seed))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, json.dumps(record, indent=1, allow_nan=False) + "\n")
    console = Console(highlight=False)
    for table in told(record):
        console.print(table, "")
    console.print(f"{record['games']:,} games, {record['seconds']:.0f} s; {out}")


if __name__ == "__main__":
    typer.run(main)
