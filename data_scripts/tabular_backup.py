"""Prints what exact expectile backups of Wordle games come to: what networks are compared with.

    python -m data_scripts.tabular_backup --words common-40

Of branching data, for each tau: the share of pairs of an expert's and a staller's first word in which the expert's has
the larger Q, and the return and first word of the greedy policy. tau = 1/2 is SARSA. `--out` keeps them for the page of
results:

    python -m data_scripts.tabular_backup --words common-40 --out leaderboards/results/tabular/wordle-branching.json

Of games of people, how well the backups agree with exact values, as `leaderboards.critics` measures it of networks, for
each kind of states that `lmrl_envs.wordle.tabular` knows:

    python -m data_scripts.tabular_backup --dataset wordle/human-v0 --words common-40
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from lmrl_envs.datasets import TextDataset, load_dataset
from lmrl_envs.files import write_atomic
from lmrl_envs.wordle.tabular import TAUS, backups, fits
from lmrl_envs.wordle.truth import truth


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--dataset", default="wordle/branching-v0", help="wordle/branching-paper-v0, wordle/human-v0")
    parser.add_argument("--words", default="common-40", help="a bundled list, or the path of a list")
    parser.add_argument("--games", type=int, help="of people, or of the expert")
    parser.add_argument("--gamma-turn", type=float, default=0.95, help="discount from one turn to the next")
    parser.add_argument("--taus", type=float, nargs="+", default=TAUS, help="expectiles")
    parser.add_argument("--out", type=Path, help="a JSON file to write the backups of branching data to")
    given = parser.parse_args(argv)
    peoples = given.dataset == "wordle/human-v0"
    if peoples and given.out is not None:
        parser.error("--out is for branching data, whose backups stand on the page of results")
    variant = {"words": given.words}
    try:
        data = load_dataset(given.dataset, **variant, **({} if given.games is None else {"games": given.games}))
    except ValueError as error:
        parser.error(str(error))
    print(f"{given.dataset}, {given.words}: {len(data):,} games, mean return {data.returns.mean():.3f}")
    if peoples:
        print_fits(data, load_dataset(given.dataset, split="validation", **variant), given.taus, given.gamma_turn)
        return
    print(f"{'tau':>5} {'share':>6} {'return':>7}  opener")
    rows = backups(data, given.taus, gamma_turn=given.gamma_turn)
    for row in rows:
        print(f"{row.tau:5g} {row.share:6.3f} {row.mean_return:7.3f}  {row.opener}")
    if given.out is not None:
        record = {
            "dataset_hash": data.metadata.content_hash,
            "gamma_turn": given.gamma_turn,
            "backups": [row._asdict() for row in rows],
        }
        write_atomic(given.out, json.dumps(record, indent=1) + "\n")


def print_fits(data: TextDataset, validation: TextDataset, taus: Sequence[float], gamma_turn: float) -> None:
    """One row for each kind of states, by words and by letters, for each tau."""
    exact = truth(validation, gamma_turn=gamma_turn)
    print(f"{'':40}{'with Q*':>16}{'with the Q of people':>24}")
    print(f"{'states':18}{'by':8}{'tau':>5}{'known':>9}{'Spearman':>10}{'RMSE':>6}{'Spearman':>18}{'RMSE':>6}")
    for fit in fits(data, validation, exact, taus, gamma_turn=gamma_turn):
        print(
            f"{fit.states:18}{'letters' if fit.letters else 'words':8}{fit.tau:5g}{fit.known:9.3f}"
            f"{fit.optimum['spearman']:10.3f}{fit.optimum['rmse']:6.2f}"
            f"{fit.people['spearman']:18.3f}{fit.people['rmse']:6.2f}"
        )


if __name__ == "__main__":
    main()
