"""Published results: what `python -m leaderboards.run --publish` keeps in `leaderboards/results/`.

`python -m leaderboards.publish` writes from the results that are there the README's short tables and the whole ones of
`leaderboards/results/README.md`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from leaderboards import render
from leaderboards.jobs import RESULTS, Job
from leaderboards.sources import REPOSITORY
from leaderboards.tables import Table, read
from lmrl_envs.files import between_markers, write_atomic

README = REPOSITORY / "README.md"
REPORT = "README.md"
"""The whole tables, in the folder of results."""
LARGEST = 200_000
"""Bytes of one published result."""
GAMES, CURVE_POINTS, DIGITS = 4, 100, 5
SPEED = RESULTS / "speed" / "cpu.json"


def publish(job: Job) -> None:
    """Keeps the result of a finished run, and renews the README's tables where the result goes into this repository.

    Raises:
        ValueError: it is larger than `LARGEST` even without what is left out.
    """
    text = json.dumps(condensed(json.loads(job.result.read_text(encoding="utf-8"))), separators=(",", ":")) + "\n"
    if len(text) > LARGEST:
        raise ValueError(f"{job.result} is {len(text):,} bytes when condensed, and {LARGEST:,} are published at most")
    write_atomic(job.published, text)
    if RESULTS in job.published.parents:
        write_readme()


def condensed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A result file's content without most example games and points of the curve, its numbers rounded."""
    train = record["train"]
    results = {
        decoding: result
        | {"returns": [_rounded(value) for value in result["returns"]], "examples": result["examples"][:GAMES]}
        for decoding, result in record["eval"].items()
    }
    curve = [{name: _rounded(value) for name, value in point.items()} for point in _thinned(train["curve"])]
    return {**record, "train": {**train, "curve": curve}, "eval": results}


def _thinned(curve: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """At most about `CURVE_POINTS` points, evenly spread, and all at which more was measured than the loss."""
    step = -(-len(curve) // CURVE_POINTS) or 1
    last = len(curve) - 1
    measured = ("score", "validation_loss")
    return [
        point
        for number, point in enumerate(curve)
        if (last - number) % step == 0 or any(name in point for name in measured)
    ]


def _rounded(value: float) -> float:
    """Five significant digits; a whole number without its point."""
    short = float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
    return int(short) if short == int(short) else short


def with_speed(readme: str, measured: Path) -> str:
    """The README with the table that `leaderboards.speed` measured."""
    if not measured.is_file():
        return between_markers(readme, "speed", "`python -m leaderboards.speed` measures it on your machine.\n")
    record = json.loads(measured.read_text(encoding="utf-8"))
    lines = ["| what | asked | measured |", "|---|---|---|"]
    lines += [f"| {row['what']} | {row['wanted']} | {row['measured']} |" for row in record["rows"]]
    about = record["provenance"]
    machine = f"one thread of {about['processor'] or 'an unnamed processor'}, torch {about['packages']['torch']}"
    return between_markers(readme, "speed", "\n".join([*lines, "", f"Measured on {machine}.", ""]))


def with_results(readme: str, tables: Sequence[Table]) -> str:
    """The README with the scores of the published results, and what they were made with, between its markers."""
    none = "No results are kept yet: `make leaderboard` makes them.\n"
    text = f"{render.summary(tables)}\n{_made_on(tables)}" if tables else none
    return between_markers(readme, "results", text)


def report(tables: Sequence[Table]) -> str:
    """The whole tables of the published results."""
    about = "Written by `python -m leaderboards.publish`; `python -m leaderboards.render` draws all of it as a page."
    return f"# Published results\n\n{about}\n\n{render.markdown(tables)}\n{_made_on(tables)}"


def _made_on(tables: Sequence[Table]) -> str:
    """The machines that results come from, each once."""
    made = [run.results[table.headline].provenance for table in tables for row in table.rows for run in row.runs]
    machines = dict.fromkeys(map(_machine, made))  # in the order of the tables
    return f"Made on {'; '.join(machines)}.\n"


def _machine(made: Mapping[str, Any]) -> str:
    machine = made.get("card") or f"{made['processor'] or 'an unnamed processor'}, {made['cores']} cores"
    return f"{machine}, {made['platform']}, lmrl-envs {made['library']}"


def write_readme() -> None:
    """Writes the tables of the published results, and of the measured speed."""
    tables = read(RESULTS)
    write_atomic(README, with_speed(with_results(README.read_text(encoding="utf-8"), tables), SPEED))
    write_atomic(RESULTS / REPORT, report(tables))


if __name__ == "__main__":
    typer.run(write_readme)
