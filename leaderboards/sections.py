"""What the page and its markdown say of a task beside the main table: tables of what `leaderboards.studies` found.

A cell is a text, a number, or an estimate with its interval, which both write in their own way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from leaderboards.rows import Row
from leaderboards.tables import Table
from lmrl_envs.statistics import Estimate, seed_mean

Cell = str | float | Estimate | None

REWARDS = ("standard", "yn", "conservative_yn")


class Section(NamedTuple):
    """A table with its title and what it means; the first cell of each row names it."""

    title: str
    note: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def sections(table: Table, tables: Sequence[Table]) -> list[Section]:
    """Those of a table; `tables` are all that there are, since some compare the tasks of a suite."""
    made = [make(table, tables) for make in _OF.get(table.task["env_id"], ())]
    return [section for section in made if section is not None and section.rows]


def found(row: Row, *path: str) -> list[Any]:
    """What the study of each seed's headline play has at `path`; empty where one has nothing there."""
    values = []
    for run in row.runs:
        value: Any = run.study.get(row.headline)
        for name in path:
            value = value.get(name) if value else None
        if value is None:
            return []
        values.append(value)
    return values


def over_seeds(values: Sequence[float]) -> Cell:
    """The mean with its interval over seeds; of one seed the number alone."""
    if not values:
        return None
    return seed_mean(values) if len(values) > 1 else float(values[0])


def _share(values: Sequence[float]) -> Cell:
    return f"{100 * fmean(values):.1f} %" if values else None


def _agents(table: Table) -> list[Row]:
    return [row for row in table.rows if row.decoded and not row.reference]


def cross_rewards(table: Table, tables: Sequence[Table]) -> Section | None:
    """Agents by the reward they learned from, scored under each; in the first table of a suite that has them."""
    same = [other for other in tables if (other.suite, other.task["env_id"]) == (table.suite, table.task["env_id"])]
    if same[0] is not table:
        return None
    rows: list[list[Cell]] = []
    names = dict.fromkeys(row.name for other in same for row in _agents(other))
    for name in names:
        for other in same:
            learned = str(other.task["env_kwargs"].get("reward", "standard"))
            for row in [row for row in _agents(other) if row.name == name and found(row, "rewards")]:
                if row.run["kind"] == "shared":
                    continue  # it heeds no reward and stands here once
                label = "any" if name == "bc" else learned
                returns = [
                    over_seeds([fmean(values) for values in found(row, "rewards", reward, "returns")])
                    for reward in REWARDS
                ]
                fines = [_share(found(row, "rewards", reward, "fined")) for reward in REWARDS[1:]]
                rows.append([name, label, *returns, *fines])
    note = (
        "Each agent by the reward that it learned from, scored under every one: episodes end the same way under all "
        "three, so one play has a return under each. On the right, the share of all its answers that the two stricter "
        "rewards fine."
    )
    headings = ["agent", "learned from", *REWARDS, *(f"fined by {reward}" for reward in REWARDS[1:])]
    return Section("Trained on one reward, scored on each", note, headings, rows)


def two_guessers(table: Table, tables: Sequence[Table]) -> Section:
    """How far the image came forward, by the guesser that agents learned from and by one that they never met."""
    rows: list[list[Cell]] = []
    for row in table.rows:
        gains = {
            name: [guesser["end"] - guesser["caption"] for guesser in found(row, "guessers", name)]
            for name in ("default", "held-out")
        }
        if gains["default"] and gains["held-out"]:
            gaps = [own - other for own, other in zip(*gains.values(), strict=True)]
            rows.append([row.name, *map(over_seeds, gains.values()), over_seeds(gaps)])
    note = (
        "How much further forward the image stands in its pool at the end than after the caption, as a share of the "
        "pool, by the guesser that ends the episodes and by one that was trained on other dialogues. Where an agent "
        "misleads the first, the difference is larger than those of other rows."
    )
    headings = ["agent", "the guesser", "held-out guesser", "difference"]
    return Section("What another guesser makes of it", note, headings, rows)


def real_rewards(table: Table, tables: Sequence[Table]) -> Section:
    """Model reward beside true reward."""
    rows: list[list[Cell]] = []
    for row in table.rows:
        gaps = found(row, "gap")
        if not gaps:
            continue
        gap = over_seeds([one["value"] for one in gaps])
        if len(gaps) == 1 and gaps[0]["standard_error"] is not None:
            gap = Estimate(gaps[0]["value"], gaps[0]["standard_error"], row.episodes - 1, "t over episodes")
        model = row.means(row.headline)
        true = [mean - one["value"] for mean, one in zip(model, gaps, strict=True)]
        held_out = [one["held_out"] - one["own"] for one in found(row, "held_out")]
        rows.append([row.name, over_seeds(model), over_seeds(true), gap, over_seeds(held_out)])
    note = (
        "The reward that the model gives, the one that it would give were it always right, which the generated corpus "
        "knows of any text, and the difference: what an agent gains by the model’s mistakes. The last column is what a "
        "model trained on other threads gives the same comments, minus what this one gives."
    )
    headings = ["agent", "model reward", "true reward", "model − true", "held-out model − model"]
    return Section("How much of the reward is real", note, headings, rows)


def variety(table: Table, tables: Sequence[Table]) -> Section:
    """How various the comments are."""
    names = ("distinct_1", "distinct_2", "distinct_3", "self_bleu", "words", "copies")
    rows: list[list[Cell]] = []
    for row in table.rows:
        measured = [found(row, "diversity", name) for name in names]
        if any(measured):
            means: list[Cell] = [fmean(values) if values else None for values in measured]
            rows.append([row.name, *means])
    note = (
        "Distinct n-grams over all n-grams of words, self-BLEU (1 where everybody is told the same), mean length in "
        "words, and the share of comments that stand in the training data word for word."
    )
    headings = ["agent", "distinct-1", "distinct-2", "distinct-3", "self-BLEU", "words", "copies"]
    return Section("How various the comments are", note, headings, rows)


def exploits(table: Table) -> list[tuple[str, Sequence[dict[str, Any]]]]:
    """Of each agent of the first seed, comments that the model rewards more than they deserve."""
    shown = []
    for row in _agents(table):
        overrated = found(row, "exploits")
        if overrated and overrated[0]:
            shown.append((row.name, overrated[0]))
    return shown


def best_of(table: Table) -> dict[str, Any] | None:
    """The best-of-n curve, mean over seeds: model and true reward by `sizes`; None where nobody drew one.

    `at` are the logarithms of the sizes to base 2, `ends` the range of the rewards.
    """
    for row in table.rows:
        curves = [run.study.get("sampled", {}).get("best_of_n") for run in row.runs]
        if curves and all(curves):
            break
    else:
        return None
    sizes = [point["n"] for point in curves[0]]
    lines = {
        label: [fmean(curve[place][name] for curve in curves) for place in range(len(sizes))]
        for label, name in (("model", "reward"), ("true", "true_reward"))
        if all(point[name] is not None for curve in curves for point in curve)
    }
    values = [value for line in lines.values() for value in line]
    low, high = min(values), max(values)
    return {"name": row.name, "sizes": sizes, "at": [math.log2(n) for n in sizes], "lines": lines, "ends": (low, high)}


def scenes_shown(row: Row) -> list[dict[str, Any]]:
    """Of the first seed's first dialogues: the image, its percentiles, and the guesser's best guesses."""
    games = found(row, "games")
    return games[0] if games else []


_OF: dict[str, tuple[Callable[[Table, Sequence[Table]], Section | None], ...]] = {
    "VisualDialogue-v0": (cross_rewards, two_guessers),
    "Reddit-v0": (real_rewards, variety),
}
