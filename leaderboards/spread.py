"""How much an agent's score depends on its settings: `python -m leaderboards.spread --grid visual-dialogue-yn`.

As in the ablation of the ILQL paper, every agent gets the same number of trials, each with settings written down here
before anything is trained. A trial is trained once and plays validation episodes; the best one of each agent is trained
again with fresh seeds and plays test episodes, so that its score there owes nothing to the choice. Finished runs are
kept: the same command goes on from where it was stopped.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Annotated, Any

import typer
from filelock import FileLock
from rich.console import Console
from rich.table import Table as Drawn

from leaderboards.instruments import spread_rows
from leaderboards.jobs import RESULTS, Job, plan
from leaderboards.rows import Run
from leaderboards.run import CORES, FAILED, execute
from leaderboards.suite import Agent, Evaluation, Player, Suite, Task
from lmrl_envs.errors import unknown_name
from lmrl_envs.files import write_atomic

Settings = Mapping[str, Any]
RUNS = Path("runs", "spread")
"""Apart from the runs of suites, whose page draws the report beside their tables, and not the trials one by one."""
PRIOR = "bc-1"
"""The trial of BC that others start from: `"@bc-1"`."""


@dataclass(frozen=True)
class Grid:
    """Trials of several agents on one task.

    `trials` maps each agent, a name in `agents.ALGORITHMS`, to its settings, as many for each, on top of `training`.
    `trial_task` and `trial_episodes` choose, with seed 0; `final_task`, `final_episodes` and `final_seeds` score.
    `tokens` is a trial's budget, `tokens_per_second` and `episodes_per_second` what one core does, a low guess.
    """

    name: str
    trial_task: Task
    final_task: Task
    training: Settings
    tokens: int
    trials: Mapping[str, Sequence[Settings]]
    random: Player
    trial_episodes: int
    final_episodes: int
    final_seeds: tuple[int, ...] = (1, 2, 3)
    tokens_per_second: float = 10_000
    episodes_per_second: float = 10.0
    paper: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    """Best score and standard deviation of agents as published, on other data."""

    def __post_init__(self) -> None:
        counts = {len(settings) for settings in self.trials.values()}
        if len(counts) != 1:
            raise ValueError(f"every agent gets as many trials as the others, got {sorted(counts)} in {self.name}")

    def suite(self, stage: str, agents: Sequence[Agent]) -> Suite:
        """The trials, or what is trained again, as a suite."""
        trying = stage == "trials"
        return Suite(
            name=f"{self.name}-{stage}",
            summary="Trials on validation episodes." if trying else "The best trials, with fresh seeds.",
            tasks=(self.trial_task if trying else self.final_task,),
            training=self.training,
            tokens=self.tokens,
            agents=tuple(agents),
            references=(self.random,),
            seeds=(0,) if trying else self.final_seeds,
            evaluation=Evaluation(  # other seeds, where the task has no parts
                episodes=self.trial_episodes if trying else self.final_episodes, seed=1 if trying else 0
            ),
        )

    def all_trials(self) -> list[Agent]:
        """Trial k of an agent is called `<agent>-<k>`, k from 1."""
        return [
            Agent(f"{name}-{k}", name, settings, tokens_per_second=self.tokens_per_second)
            for name, some in self.trials.items()
            for k, settings in enumerate(some, 1)
        ]

    def hours(self) -> dict[str, float]:
        """Core-hours of the trials and of what is trained again: a guess."""
        training, decodings = self.tokens / self.tokens_per_second, 2
        trial = training + decodings * self.trial_episodes / self.episodes_per_second
        final = training + decodings * self.final_episodes / self.episodes_per_second
        trained = {name for name in self.trials} | {PRIOR}
        return {
            "trials": len(self.all_trials()) * trial / 3600,
            "fresh seeds": len(trained) * len(self.final_seeds) * final / 3600,
        }


def chosen(grid: Grid, scores: Mapping[str, float]) -> dict[str, Agent]:
    """Of each agent the trial that plays best, by `scores` of trials; of equal ones the first."""
    trials = {trial.name: trial for trial in grid.all_trials()}
    return {
        name: trials[max((f"{name}-{k}" for k in range(1, len(some) + 1)), key=lambda trial: scores[trial])]
        for name, some in grid.trials.items()
    }


def spread(scores: Sequence[float]) -> dict[str, float]:
    """Best, median and standard deviation (n - 1) of an agent's trials."""
    return {"best": max(scores), "median": median(scores), "sd": stdev(scores) if len(scores) > 1 else 0.0}


def report(
    grid: Grid,
    trials: Mapping[str, float],
    finals: Mapping[str, Sequence[float]],
    sampled: Mapping[str, Sequence[float]],
) -> dict[str, Any]:
    """Plain JSON: for each agent its trials' settings and scores, their spread, the chosen trial and its fresh scores.

    Args:
        trials: mean return of each trial.
        finals, sampled: mean returns of each agent's fresh seeds, in headline and in sampled play; none where not yet
            run.
    """
    best = chosen(grid, trials)
    return {
        "grid": grid.name,
        "task": grid.final_task.name,
        "training": dict(grid.training),
        "tokens": grid.tokens,
        "trial_count": len(next(iter(grid.trials.values()))),
        "trial_episodes": grid.trial_episodes,
        "final_episodes": grid.final_episodes,
        "paper": {name: list(scores) for name, scores in grid.paper.items()},
        "agents": {
            name: {
                "trials": [dict(settings) for settings in some],
                "scores": [trials[f"{name}-{k}"] for k in range(1, len(some) + 1)],
                **spread([trials[f"{name}-{k}"] for k in range(1, len(some) + 1)]),
                "chosen": best[name].name,
                "fresh": list(finals.get(name, ())),
                "sampled": list(sampled.get(name, ())),
            }
            for name, some in grid.trials.items()
        },
    }


def run(grid: Grid, out: Path, processes: int, console: Console) -> tuple[dict[str, Any], list[Job]]:
    """Does what is left of a grid; the report, and the runs that broke.

    Raises:
        RuntimeError: a trial broke, so that nothing can be chosen.
    """
    trials = grid.all_trials()
    tried = _done(grid.suite("trials", trials), out, processes, console)
    if tried.failed:
        raise RuntimeError(f"{len(tried.failed)} of {len(trials)} trials broke, so that none is chosen; see {out}")
    scores = {name: means[0] for name, means in tried.headline.items()}
    best = chosen(grid, scores)
    again = [replace(best[name], name=f"{name}-best") for name in grid.trials]
    prior = [trial for trial in trials if trial.name == PRIOR]
    final = _done(grid.suite("best", [*prior, *again]), out, processes, console)
    finals, sampled = (
        {name: means.get(f"{name}-best", []) for name in grid.trials} for means in (final.headline, final.sampled)
    )
    return report(grid, scores, finals, sampled), final.failed


@dataclass(frozen=True)
class _Done:
    headline: Mapping[str, list[float]]
    """Returns of each contestant, a mean a seed."""
    sampled: Mapping[str, list[float]]
    failed: list[Job]


def _done(suite: Suite, out: Path, processes: int, console: Console) -> _Done:
    jobs = plan(suite, [*suite.references, *suite.agents], out, out / "published")
    failed = execute(jobs, processes, console)
    results = [(job.run["agent"], Run.load(job.result).results) for job in jobs if job.done_here()]

    def means(decoding: str) -> dict[str, list[float]]:
        of: dict[str, list[float]] = {}
        for name, result in results:
            of.setdefault(name, []).append(fmean(result[decoding].returns))
        return of

    return _Done(means(suite.evaluation.headline), means("sampled"), failed)


def told(record: Mapping[str, Any]) -> Drawn:
    """The report for the terminal, best agent first."""
    table = Drawn("agent", box=None, pad_edge=False)
    for heading in ("best", "median", "sd", "trials", "fresh seeds", "95 %", "sampled"):
        table.add_column(heading, justify="right")
    for row in spread_rows(record):
        ends = row.fresh.interval() if row.fresh else None
        table.add_row(
            row.agent,
            *(f"{value:.2f}" for value in (row.best, row.median, row.sd)),
            str(len(row.scores)),
            f"{row.fresh.value:.2f}" if row.fresh else "–",
            f"{ends.low:.2f} … {ends.high:.2f}" if ends else "–",
            f"{row.sampled.value:.2f}" if row.sampled else "–",
        )
    return table


def _product(**choices: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Every combination of the choices."""
    return (dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values()))


def _with(more: Settings, settings: Iterator[dict[str, Any]]) -> tuple[Settings, ...]:
    return tuple({**more, **some} for some in settings)


_LR = (1e-3, 3e-3)
_VALUES = {"pi_beta": f"@{PRIOR}", "polyak": 0.3}


def _visual_dialogue(part: str) -> Task:
    return Task(
        name=f"VisualDialogue-v0-yn-{part}",
        env_id="VisualDialogue-v0",
        env_kwargs={"reward": "yn", "part": part},
        dataset="visual-dialogue/human-v0",
        variant={"reward": "yn"},
    )


def _visual_dialogue_yn(
    name: str,
    training: Settings,
    tokens_per_second: float,
    *,
    clips: Sequence[float],
    fractions: Sequence[float],
    betas: Sequence[float],
    awr_betas: Sequence[float],
    quantiles: Sequence[float],
    scales: Sequence[float],
) -> Grid:
    """The ablation of the paper, on the reward `yn`; the lists say how fine each agent's grid is."""
    return Grid(
        name=name,
        trial_task=_visual_dialogue("validation"),
        final_task=_visual_dialogue("test"),
        training=training,
        tokens=3_500_000,
        trials={
            "bc": tuple(_product(lr=(3e-3, 1e-3), weight_decay=(0.0, 0.1), clip=clips)),
            "filtered_bc": tuple(_product(lr=_LR, fraction=fractions)),
            "ilql": _with(_VALUES | {"lr": 1e-3}, _product(tau=(0.7, 0.9), cql_weight=(0.1, 1.0), beta=betas)),
            "sarsa": _with(_VALUES, _product(lr=_LR, cql_weight=(0.1, 1.0), beta=betas)),
            "awr": _with(_VALUES | {"lr": 1e-3}, _product(tau=(0.7, 0.9), awr_beta=awr_betas)),
            "cql": _with(_VALUES, _product(lr=_LR, cql_weight=(0.1, 1.0), beta=betas)),
            "dt": tuple(_product(lr=_LR, quantile=quantiles)),
            "psi": _with(_VALUES, _product(lr=_LR, scale=scales)),
        },
        random=Player("random", "leaderboards.speakers:uniform"),
        trial_episodes=256,
        final_episodes=512,
        tokens_per_second=tokens_per_second,
        episodes_per_second=4.0,
        paper={  # arXiv 2206.11871, its ablation on this reward
            "ilql": (-5.69, 0.42),
            "awr": (-5.96, 2.82),
            "sarsa": (-6.19, 0.27),
            "dt": (-6.70, 1.15),
            "cql": (-7.32, 1.98),
            "filtered_bc": (-7.48, 0.72),
            "psi": (-10.05, 0.60),
            "bc": (-10.85, None),
        },
    )


GRIDS: dict[str, Callable[[], Grid]] = {
    "visual-dialogue-yn": lambda: _visual_dialogue_yn(
        "visual-dialogue-yn",
        {"model": "tiny", "optimizer": "muon", "tokens_per_batch": 4096, "warmup": 100, "save_every": 500},
        12_000,
        clips=(1.0, 0.5),
        fractions=(0.1, 0.2, 0.3, 0.5),
        betas=(2.0, 8.0),
        awr_betas=(0.5, 1.0, 2.0, 4.0),
        quantiles=(0.5, 0.8, 0.95, 1.0),
        scales=(0.5, 1.0, 2.0, 4.0),
    ),
    # For a card: the model of the suite `visual-dialogue`, all settings of the grid above and half as many more.
    "visual-dialogue-yn-mini": lambda: _visual_dialogue_yn(
        "visual-dialogue-yn-mini",
        {"model": "mini", "optimizer": "muon", "tokens_per_batch": 2048, "warmup": 200, "save_every": 500},
        8_000,
        clips=(1.0, 0.5, 0.25),
        fractions=(0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
        betas=(2.0, 4.0, 8.0),
        awr_betas=(0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
        quantiles=(0.5, 0.7, 0.8, 0.9, 0.95, 1.0),
        scales=(0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
    ),
}


def get_grid(name: str) -> Grid:
    """The grid of that name.

    Raises:
        UnknownNameError: there is none; the message lists close matches.
    """
    if name not in GRIDS:
        raise unknown_name("grid", name, GRIDS)
    return GRIDS[name]()


def main(
    grid: Annotated[str, typer.Option(help="Which grid.")] = "visual-dialogue-yn",
    out: Annotated[Path, typer.Option(help="Folder for runs and the report.")] = RUNS,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at once; the number of cores by default.")] = CORES,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell the trials and how long they take.")] = False,
    keep: Annotated[bool, typer.Option("--publish", help="Keep the report in the repository.")] = False,
) -> None:
    """Tries an equal number of settings of each agent, and the best ones again with fresh seeds."""
    console = Console(highlight=False, soft_wrap=True)
    found = get_grid(grid)
    hours = found.hours()
    if dry_run:
        for trial in found.all_trials():
            console.print(f"{trial.name:<16}{json.dumps(dict(trial.config))}", markup=False)
    console.print(
        f"{len(found.all_trials())} trials, {len(found.trials)} agents; about {hours['trials']:.1f} core-hours, and "
        f"{hours['fresh seeds']:.1f} for {len(found.final_seeds)} fresh seeds; "
        f"{math.fsum(hours.values()) / jobs:.1f} hours with {jobs} at once"
    )
    if dry_run:
        return
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / ".lock", timeout=0):
        record, failed = run(found, out, jobs, console)
    for folder in (out, *([RESULTS / "spread"] if keep else [])):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / f"{found.name}.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    console.print(told(record))
    if failed:
        raise typer.Exit(FAILED)


if __name__ == "__main__":
    typer.run(main)
