"""`python -m leaderboards.export --suite small-reddit`: a suite's trained agents as small checkpoints to keep.

A small checkpoint has half precision and only what acting and its values need; `agents.load` reads it. They go to
`leaderboards/checkpoints/<task>/<agent>/`, of the suite's first seed.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Annotated

import typer

from leaderboards.jobs import path_safe
from leaderboards.sources import REPOSITORY, our_agents
from leaderboards.suite import Agent, Suite
from leaderboards.suites import CHECKPOINTS, get_suite


def export(suite: Suite, runs: Path, out: Path) -> list[Path]:
    """Writes a folder for each agent of each task of the suite; returns them.

    Raises:
        FileNotFoundError: an agent has not been trained in `runs`.
    """
    agents, written = our_agents(), []
    from agents import checkpoints  # noqa: PLC0415  (after the check that it is ours; torch is heavy)

    for task in suite.tasks:
        for contestant in suite.agents:
            if not isinstance(contestant, Agent):
                continue
            run_folder = runs / suite.name / task.name / path_safe(contestant.name) / f"seed{suite.seeds[0]}"
            if not (run_folder / "result.json").is_file():
                raise FileNotFoundError(
                    f"{run_folder} has no result: train it by python -m leaderboards.run --suite {suite.name}"
                )
            record = json.loads((run_folder / "result.json").read_text(encoding="utf-8"))
            algorithm = agents.load(run_folder / record["train"]["checkpoint"], device="cpu")
            algorithm.config = type(algorithm.config)(**record["run"]["config"])  # names agents, and no machine's paths
            trained = {
                "suite": suite.name,
                "task": task.name,
                "seed": suite.seeds[0],
                "steps": record["train"]["cost"]["steps"],
                "tokens": record["train"]["cost"]["tokens"],
                "returns": {name: round(fmean(result["returns"]), 4) for name, result in record["eval"].items()},
                "library": record["run"]["library_version"],
            }
            folder = out / task.name / path_safe(contestant.name)
            checkpoints.save_agent(algorithm, folder, trained=trained, small=True)
            written.append(folder)
    return written


def main(
    suite: Annotated[list[str], typer.Option(help="Which suite; can be given several times.")],
    runs: Annotated[Path, typer.Option(help="Folder of its runs.")] = Path("runs"),
    out: Annotated[Path, typer.Option(help="Folder for checkpoints.")] = REPOSITORY / CHECKPOINTS,
) -> None:
    """Exports the agents of suites, which must have been trained."""
    try:
        folders = [folder for name in suite for folder in export(get_suite(name), runs, out)]
    except (ValueError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    size = 0
    for folder in folders:
        bytes_ = sum(path.stat().st_size for path in folder.iterdir())
        typer.echo(f"{folder}  {bytes_ / 1e6:.2f} MB")
        size += bytes_
    typer.echo(f"{len(folders)} checkpoints, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
