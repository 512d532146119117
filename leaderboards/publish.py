"""`python -m leaderboards.publish`: keeps the results of `runs/` in `leaderboards/results/`, and in the README's table.

A kept result is the run's JSON without example games and training curve, as `<suite>/<task>/<agent>/seed<k>.json`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from leaderboards.jobs import REPOSITORY
from leaderboards.render import markdown, read
from lmrl_envs.files import write_atomic

RESULTS = REPOSITORY / "leaderboards" / "results"
README = REPOSITORY / "README.md"
_MARKED = re.compile(r"(<!-- results: [^>]*-->\n).*?(<!-- end of results -->)", re.DOTALL)


def keep(runs: Path, results: Path) -> None:
    """Copies every result below `runs` to `results`, without what is large."""
    for path in sorted(runs.glob("*/*/*/seed*/result.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        record["train"]["curve"] = []
        for result in record["eval"].values():
            result["examples"] = []
        seed = path.parent.relative_to(runs)
        write_atomic(results / seed.with_name(f"{seed.name}.json"), json.dumps(record) + "\n")


def with_results(readme: str, results: Path) -> str:
    """The README with the table of the kept results, and what they were made with, between its markers."""
    tables = read(results)
    parts = ["No results are kept yet: `make leaderboard` makes them on your machine.\n"]
    if tables:
        made = tables[0].rows[0].first.provenance
        machine = f"{made['processor'] or 'an unnamed processor'}, {made['cores']} cores, {made['platform']}"
        parts = [markdown(tables), f"\nMade by `make leaderboard` on {machine}, lmrl-envs {made['library']}.\n"]
    return _MARKED.sub(lambda match: match[1] + "".join(parts) + match[2], readme)


def main(runs: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs")) -> None:
    """Keeps the results of a folder in the repository and writes the README's table."""
    keep(runs, RESULTS)
    write_atomic(README, with_results(README.read_text(encoding="utf-8"), RESULTS))


if __name__ == "__main__":
    typer.run(main)
