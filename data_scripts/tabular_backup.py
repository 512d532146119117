"""Prints what exact expectile backups of branching data come to: the curve that networks are compared with.

    python -m data_scripts.tabular_backup --words common-40

For each tau: the share of pairs of an expert's and a staller's first word in which the expert's has the larger Q, and
the return and first word of the greedy policy. tau = 1/2 is SARSA. `--out` keeps them for the page of results:

    python -m data_scripts.tabular_backup --words common-40 --out leaderboards/results/tabular/wordle-branching.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from lmrl_envs.datasets import load_dataset
from lmrl_envs.files import write_atomic
from lmrl_envs.wordle.tabular import backups


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--dataset", default="wordle/branching-v0", help="or wordle/branching-paper-v0")
    parser.add_argument("--words", default="common-40", help="a bundled list, or the path of a list")
    parser.add_argument("--games", type=int, default=5_000, help="expert games")
    parser.add_argument("--gamma-turn", type=float, default=0.95, help="discount from one turn to the next")
    parser.add_argument("--out", type=Path, help="a JSON file to write too")
    given = parser.parse_args(argv)
    try:
        data = load_dataset(given.dataset, words=given.words, games=given.games)
    except ValueError as error:
        parser.error(str(error))
    print(f"{given.dataset}, {given.words}: {len(data):,} games, mean return {data.returns.mean():.3f}")
    print(f"{'tau':>5} {'share':>6} {'return':>7}  opener")
    rows = backups(data, gamma_turn=given.gamma_turn)
    for row in rows:
        print(f"{row.tau:5g} {row.share:6.3f} {row.mean_return:7.3f}  {row.opener}")
    if given.out is not None:
        record = {
            "dataset_hash": data.metadata.content_hash,
            "gamma_turn": given.gamma_turn,
            "backups": [row._asdict() for row in rows],
        }
        write_atomic(given.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
