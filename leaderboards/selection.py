"""Choosing agents without playing: how well offline statistics rank checkpoints, against their true scores.

`python -m leaderboards.selection` reads whatever results there are. Statistics are those of the training curve (losses,
`validation_loss`, V), taken where agents were seen to play, and, where a run's checkpoint is at hand (`--games`), those
of its scores of held-out games:

    log-likelihood   mean ln pi of the logged tokens
    V at the start   mean V at each game's first token
    advantage        mean Q - V of the logged tokens
    TD error         mean (r + gamma V(s') - Q)^2, negated

and, of Wordle agents whose headline is greedy play, its return as off-policy estimators see it in these games: FQE,
PDWIS, doubly robust (`leaderboards.greedy_play`). Each is oriented so that more should be better: losses are negated.
Within a run, the looks in the course of its training are ranked; among runs, the trained agents of one algorithm, and
all of a task. Ties have their mean rank.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console
from rich.table import Table as Drawn
from scipy.stats import spearmanr

from leaderboards.game_tree import GameTree
from leaderboards.instruments import LEVELS
from leaderboards.jobs import LOOKED, RESULTS
from leaderboards.rows import Run
from leaderboards.sources import our_agents
from lmrl_envs.datasets import TextDataset, load_dataset
from lmrl_envs.devices import set_threads
from lmrl_envs.files import write_atomic
from lmrl_envs.provenance import provenance
from lmrl_envs.wordle.solvers import Rules
from lmrl_envs.wordle.task import WordleTask

if TYPE_CHECKING:
    from agents.algorithm import Algorithm

FEWEST = 4
"""Checkpoints that a ranking needs."""
WORDLE = "Wordle-v0"
FQE_STEPS = 2_000
"""Of fitted Q evaluation, fewer than `leaderboards.ope` takes, as there are fewer games."""
_NOT_STATISTICS = {"step", "tokens", "seconds", *LOOKED}


class Point(NamedTuple):
    """A checkpoint: what was known of it offline, and the mean return of its play."""

    group: str
    statistics: Mapping[str, float]
    score: float


class Ranking(NamedTuple):
    """How a statistic ranks the checkpoints of groups, mean over groups."""

    statistic: str
    groups: int
    checkpoints: int
    spearman: float
    regret: float
    """Return that the checkpoint of the highest statistic lacks to the best one."""


def oriented(statistics: Mapping[str, float]) -> dict[str, float]:
    """Losses and errors negated, so that more should be better; bookkeeping left out."""
    return {
        name: -value if name.startswith("L_") or "loss" in name else value
        for name, value in statistics.items()
        if name not in _NOT_STATISTICS
    }


def looks(run: Run, group: str) -> list[Point]:
    """The points of a run's curve at which its agent played."""
    return [Point(group, oriented(point), point["score"]) for point in run.train["curve"] if "score" in point]


def last(run: Run, group: str, more: Mapping[str, float]) -> Point:
    """A run's agent when training ended, with `more` statistics of it."""
    result = run.results[run.run["evaluation"]["headline"]]
    return Point(group, {**oriented(run.train["curve"][-1]), **more}, fmean(result.returns))


def rankings(points: Iterable[Point]) -> list[Ranking]:
    """Of every statistic that some group of `FEWEST` checkpoints has, best first; groups of one score say nothing."""
    columns: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for point in points:
        for name, value in point.statistics.items():
            if np.isfinite(value):
                columns[name, point.group].append((value, point.score))
    found: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    for (name, _), rows in columns.items():
        value, score = np.array(rows).T
        if len(rows) >= FEWEST and np.ptp(value) > 0 and np.ptp(score) > 0:
            chosen = score[value == value.max()].mean()
            found[name].append((len(rows), float(spearmanr(value, score).statistic), float(score.max() - chosen)))
    ranked = [
        Ranking(name, len(groups), sum(n for n, _, _ in groups), *(fmean(group[k] for group in groups) for k in (1, 2)))
        for name, groups in found.items()
    ]
    return sorted(ranked, key=lambda ranking: -ranking.spearman)


def of_scores(algorithm: Algorithm, games: TextDataset) -> dict[str, float]:
    """Statistics of an agent's scores of held-out games; NaN where it has no such notion."""
    import torch  # noqa: PLC0415  (heavy: results are read without it)

    from agents.batch import agent_tokens, collate, pack  # noqa: PLC0415

    algorithm.eval()
    parts: dict[str, list[torch.Tensor]] = defaultdict(list)
    device, config = next(algorithm.parameters()).device, algorithm.config
    for start in range(0, len(games), 64):
        batch = collate([algorithm.encode(game) for game in games[start : start + 64]]).to(device)
        scores = algorithm.score(batch)
        tokens = agent_tokens(batch, pack(batch), gamma=config.gamma, gamma_turn=config.gamma_turn)
        logp, q, v, advantage = (score[batch.action_mask] for score in scores)
        same = torch.zeros_like(tokens.row, dtype=torch.bool)
        same[:-1] = tokens.row[1:] == tokens.row[:-1]  # s' is the next of these tokens
        v_next = torch.where(same, v.roll(-1), torch.zeros_like(v))
        known = same | (tokens.discount == 0)  # not so where a game was cut from outside
        parts["log-likelihood"].append(logp)
        parts["V at the start"].append(v[~torch.cat([same.new_zeros(1), same[:-1]])])
        parts["advantage"].append(advantage)
        parts["TD error"].append(-(tokens.reward + tokens.discount * v_next - q).square()[known])
    return {name: float(torch.cat(values).mean()) for name, values in parts.items()}


def report(
    folders: Sequence[Path], games: int = 0, suites: Sequence[str] = (), *, steps: int = FQE_STEPS
) -> dict[str, Any]:
    """Rankings of what lies below folders, as plain JSON: `looks`, within runs; `algorithm` and `task`, among runs.

    `checkpoints` are all that was known of each run's last one.

    Args:
        games: held-out games that checkpoints at hand are scored on; 0 reads results alone.
        suites: only these; all where none is named.
        steps: of fitted Q evaluation.
    """
    runs = [(path, run) for path, run in _runs(folders) if not suites or run.run["suite"] in suites]
    scored = _scored(runs, games, steps) if games else {}
    within: list[Point] = []
    by_algorithm: list[Point] = []
    by_task: list[Point] = []
    checkpoints = []
    for _, run in runs:
        about = run.run
        task = f"{about['suite']}/{about['task']['name']}"
        within += looks(run, about["key"])
        point = last(run, task, scored.get(about["key"], {}))
        by_task.append(point)
        by_algorithm.append(point._replace(group=f"{task}/{about.get('source')}"))
        statistics = {name: value for name, value in point.statistics.items() if np.isfinite(value)}
        checkpoints.append(
            {
                "task": task,
                "agent": about["agent"],
                "seed": about["seed"],
                "score": point.score,
                "statistics": statistics,
            }
        )
    levels = dict(zip(LEVELS, (within, by_algorithm, by_task), strict=True))
    return {
        "suites": sorted({run.run["suite"] for _, run in runs}),
        "games": games,
        "fqe_steps": steps if games else None,
        "runs": len(runs),
        "scored": len(scored),
        **{level: [ranking._asdict() for ranking in rankings(points)] for level, points in levels.items()},
        "checkpoints": checkpoints,
        "provenance": provenance(),
    }


def _runs(folders: Sequence[Path]) -> Iterable[tuple[Path, Run]]:
    """Trained agents' results, each run once."""
    seen: set[str] = set()
    patterns = ("*/*/*/seed*/result.json", "*/*/*/seed*.json")
    for path in (path for folder in folders for pattern in patterns for path in sorted(folder.glob(pattern))):
        try:
            run = Run.load(path)
        except ValueError:
            continue  # the page says which cannot be read
        if run.run["kind"] == "agent" and run.train["curve"] and run.run["key"] not in seen:
            seen.add(run.run["key"])
            yield path, run


def _scored(runs: Sequence[tuple[Path, Run]], games: int, steps: int) -> dict[str, dict[str, float]]:
    """Statistics by run's key, of checkpoints that stand beside results, on so many held-out games of their task."""
    by_data: dict[str, list[tuple[Path, Run]]] = defaultdict(list)
    for path, run in runs:
        folder = path.parent / run.train.get("checkpoint", "nothing")
        if path.name == "result.json" and folder.is_dir():
            task = run.run["task"]
            by_data[json.dumps([task["dataset"], task["variant"]], sort_keys=True)].append((folder, run))
    found: dict[str, dict[str, float]] = {}
    for together in by_data.values():
        task = together[0][1].run["task"]
        held_out = load_dataset(task["dataset"], split="validation", **task["variant"])
        found |= _of_checkpoints(together, held_out[:games], steps)
    return found


def _of_checkpoints(
    together: Sequence[tuple[Path, Run]], held_out: TextDataset, steps: int
) -> dict[str, dict[str, float]]:
    """As `_scored`, of checkpoints whose task has these games."""
    from leaderboards import greedy_play  # noqa: PLC0415  (heavy, as torch)
    from leaderboards.fqe import FQEConfig  # noqa: PLC0415

    tree = None
    if held_out.metadata.env_id == WORDLE:
        rules = Rules.of(WordleTask(**held_out.metadata.env_kwargs))
        tree = GameTree(held_out, rules)
    found: dict[str, dict[str, float]] = {}
    words: dict[str, np.ndarray] = {}
    for folder, run in together:
        agent, key = our_agents().load(folder, device="cpu"), run.run["key"]
        found[key] = of_scores(agent, held_out)
        evaluation = run.run["evaluation"]
        if tree and evaluation["decodings"][evaluation["headline"]].get("temperature") == 0:
            words[key] = greedy_play.greedy_words(agent, tree, held_out)
    if tree and words:
        estimated = greedy_play.estimates(tree, np.column_stack(list(words.values())), FQEConfig(steps=steps))
        for key, values in zip(words, estimated, strict=True):
            found[key] |= {name: value for name, value in values.items() if value is not None}
    return found


def told(record: Mapping[str, Any]) -> list[Drawn]:
    """The report for the terminal."""
    tables = []
    for level, title in LEVELS.items():
        table = Drawn(title, box=None, pad_edge=False)
        for heading in ("rank correlation", "regret", "groups", "checkpoints"):
            table.add_column(heading, justify="right")
        for row in record[level]:
            figures = (f"{row['spearman']:.2f}", f"{row['regret']:.2f}", str(row["groups"]), str(row["checkpoints"]))
            table.add_row(row["statistic"], *figures)
        tables.append(table)
    return tables


def main(
    runs: Annotated[Path, typer.Option(help="Folder of runs.")] = Path("runs"),
    results: Annotated[Path, typer.Option(help="Folder of published results.")] = RESULTS,
    suite: Annotated[list[str] | None, typer.Option(help="Only runs of this suite.")] = None,
    games: Annotated[int, typer.Option(help="Held-out games to score checkpoints on; 0: results alone.")] = 0,
    steps: Annotated[int, typer.Option(help="Of fitted Q evaluation.")] = FQE_STEPS,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the report.")] = None,
) -> None:
    """Tells how well offline statistics rank checkpoints by their true scores."""
    set_threads(1)
    record = report([runs, results], games, suite or (), steps=steps)
    console = Console(highlight=False)
    for table in told(record):
        console.print(table, "")
    console.print(f"{record['runs']} runs, {record['scored']} checkpoints scored on {games} games")
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, json.dumps(record, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    typer.run(main)
