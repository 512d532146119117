"""`python -m leaderboards.render`: a markdown table and one self-contained page from the results of runs.

The page loads nothing, and a policy's words are shown, never run: the template escapes them, and the page's security
policy allows the one script whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, NamedTuple

import jinja2
import typer

from lmrl_envs.core import Episode
from lmrl_envs.evaluate import EvalResult
from lmrl_envs.files import write_atomic
from lmrl_envs.statistics import Estimate, episode_difference, episode_mean, seed_mean

TEMPLATES = Path(__file__).parent / "templates"
GAMES_SHOWN = 4
CURVE_WIDTH, CURVE_HEIGHT = 240, 90
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """One result file."""

    run: Mapping[str, Any]
    train: Mapping[str, Any]
    results: Mapping[str, EvalResult]

    @classmethod
    def load(cls, path: Path) -> Run:
        """Reads what a worker wrote.

        Raises:
            ValueError: the file is cut short or holds something else.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(data["run"], data["train"], {key: EvalResult.from_json(v) for key, v in data["eval"].items()})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a result of leaderboards.run ({error!r})") from error


@dataclass(frozen=True)
class Row:
    """One agent's runs with one setting, one a training seed; `random` is the random player's run on the same task."""

    runs: Sequence[Run]
    headline: str
    random: Run | None = None
    bc: Run | None = None

    @property
    def run(self) -> Mapping[str, Any]:
        return self.runs[0].run

    @property
    def name(self) -> str:
        return self.run["agent"]

    @property
    def reference(self) -> bool:
        return self.run["reference"]

    @property
    def decoded(self) -> bool:
        """Whether greedy and sampled are two things: a policy that is not a model plays one way."""
        return self.run["kind"] != "player"

    @property
    def episodes(self) -> int:
        return len(self.first.returns)

    @property
    def first(self) -> EvalResult:
        """The first seed's result under the headline decoding."""
        return self.runs[0].results[self.headline]

    def means(self, decoding: str) -> list[float]:
        """Mean undiscounted return of each training seed."""
        return [fmean(run.results[decoding].returns) for run in self.runs]

    def mean(self, decoding: str) -> float:
        """Over seeds."""
        return fmean(self.means(decoding))

    def estimate(self, decoding: str) -> Estimate:
        """Student t over training seeds; with one seed, over its episodes."""
        if len(self.runs) > 1:
            return seed_mean(self.means(decoding))
        return episode_mean(self.runs[0].results[decoding].returns)

    @cached_property
    def normalized(self) -> float | None:
        """0 is the random policy, 1 the best known one; under the headline decoding."""
        scores = [run.results[self.headline].normalized for run in self.runs]
        known = [score for score in scores if score is not None]
        return fmean(known) if len(known) == len(scores) else None

    @cached_property
    def gain(self) -> Estimate | None:
        """Difference from the random player on the same episodes, under the headline decoding."""
        if self.random is None or self.random is self.runs[0]:
            return None
        base = self.random.results[self.headline].returns
        if len(self.runs) > 1:
            return seed_mean([mean - fmean(base) for mean in self.means(self.headline)])
        return episode_difference(self.first.returns, base)

    @property
    def degenerate(self) -> bool:
        """Whether it says the same to everybody: by the words' variety, length and emptiness, against `bc`'s."""
        if self.reference:
            return False
        if any(run.results[self.headline].metrics.get("empty", 0) > 0.01 for run in self.runs):
            return True
        own, bc = self.first.metrics, self.bc.results[self.headline].metrics if self.bc else {}
        return any(own.get(key, 0) < bc[key] / 2 for key in ("distinct_2", "median_characters") if key in bc)

    @property
    def seconds(self) -> float:
        """Training and playing, mean over seeds."""
        shown = list(self.runs[0].results) if self.decoded else [self.headline]
        return fmean(
            run.train["cost"].get("seconds", 0) + sum(run.results[name].seconds for name in shown) for run in self.runs
        )

    @property
    def parameters(self) -> int | None:
        return self.runs[0].train["cost"].get("parameters")

    @property
    def games(self) -> list[Episode]:
        return list(self.first.examples[:GAMES_SHOWN])


@dataclass(frozen=True)
class Table:
    """All rows of one task of one suite, best first under the headline decoding."""

    suite: str
    task: Mapping[str, Any]
    headline: str
    decodings: Sequence[str]
    rows: Sequence[Row]

    @property
    def seeds(self) -> int:
        """Training seeds of the trained row that has fewest."""
        return min((len(row.runs) for row in self.rows if row.run["seeded"]), default=0)

    @property
    def basis(self) -> str:
        """What the intervals of trained rows are over."""
        if self.seeds > 1:
            return f"Student t over {self.seeds} training seeds"
        return "one training seed, so over the episodes of one model; they say nothing about another training run"

    @cached_property
    def scale(self) -> tuple[float, float]:
        """The range of returns that the table's drawn intervals span."""
        ends = [end for row in self.rows for name in self.decodings for end in row.estimate(name).interval()[:2]]
        margin = 0.04 * (max(ends) - min(ends)) or 1.0
        return min(ends) - margin, max(ends) + margin

    def place(self, value: float) -> float:
        """Where a return stands on the scale, in percent."""
        low, high = self.scale
        return round(100 * (value - low) / (high - low), 2)


def read(folder: Path) -> list[Table]:
    """The tables of all results below a folder; a result that cannot be read is logged and left out."""
    runs = []
    for path in sorted([*folder.glob("*/*/*/seed*/result.json"), *folder.glob("*/*/*/seed*.json")]):
        try:
            runs.append(Run.load(path))
        except ValueError as error:
            logger.warning("left out: %s", error)
    by_task: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        by_task[run.run["suite"], run.run["task"]["name"]].append(run)
    return [_table(suite, task_runs) for (suite, _), task_runs in by_task.items()]


def _table(suite: str, runs: Sequence[Run]) -> Table:
    evaluation = runs[0].run["evaluation"]
    headline = evaluation["headline"]
    by_name = {run.run["agent"]: run for run in reversed(runs)}
    by_setting: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_setting[run.run["setting"]].append(run)
    rows = []
    for same in by_setting.values():  # compared only with runs that were scored on the same episodes
        scored_alike = {
            name: run for name, run in by_name.items() if run.run["evaluation"] == same[0].run["evaluation"]
        }
        rows.append(Row(same, headline, scored_alike.get("random"), scored_alike.get("bc")))
    rows.sort(key=lambda row: -row.mean(headline))
    return Table(suite, runs[0].run["task"], headline, list(evaluation["decodings"]), rows)


def markdown(tables: Sequence[Table]) -> str:
    """One markdown table a task: mean returns with their 95 % intervals, best headline play first."""
    return "\n\n".join(map(_markdown_table, tables)) + "\n"


def _markdown_table(table: Table) -> str:
    figures = ["normalised", "minus random", "seeds", "episodes", "time", "parameters"]
    lines = [
        f"**{_cell(table.task['name'])}**, suite `{_cell(table.suite)}`, by mean return ({table.headline})",
        "",
        _markdown_row(["agent", *table.decodings, *figures]),
        _markdown_row(["---", *["---:"] * (len(table.decodings) + len(figures))]),
    ]
    for row in table.rows:
        label = " (reference)" if row.reference else " (degenerate)" if row.degenerate else ""
        shown = [name for name in table.decodings if row.decoded or name == table.headline]
        lines.append(
            _markdown_row(
                [
                    _cell(row.name) + label,
                    *[_with_interval(row.estimate(name)) if name in shown else "·" for name in table.decodings],
                    _number(row.normalized),
                    _with_interval(row.gain) if row.gain else "–",
                    str(len(row.runs)) if row.run["seeded"] else "–",
                    str(row.episodes),
                    _duration(row.seconds),
                    _count(row.parameters),
                ]
            )
        )
    return "\n".join([*lines, "", f"95 % intervals in brackets: {table.basis}."])


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _with_interval(estimate: Estimate) -> str:
    interval = estimate.interval()
    return f"{_number(estimate.value)} [{_number(interval.low)}, {_number(interval.high)}]"


def html(tables: Sequence[Table]) -> str:
    """The page."""
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    return (
        _templates()
        .get_template("page.html.j2")
        .render(
            tables=tables,
            style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def write(runs: Path, page: Path) -> str:
    """Writes the page of a folder of results, and its markdown tables beside it; returns the markdown."""
    tables = read(runs)
    write_atomic(page, html(tables))
    write_atomic(page.with_suffix(".md"), markdown(tables))
    return markdown(tables)


class Line(NamedTuple):
    """One line of a drawn game. `tiles` are a guess's letters with their colours, `label` says them in words."""

    role: str
    text: str
    tiles: tuple[tuple[str, str], ...] = ()
    label: str = ""


def board(episode: Episode) -> list[Line]:
    """An episode's turns for drawing: a guess that was answered with its colours becomes tiles, all else is text."""
    lines: list[Line] = []
    for turn, after in zip_longest(episode.turns, episode.turns[1:]):
        if turn.role == "env" and lines and lines[-1].tiles:
            continue  # drawn as the colours of the guess before it
        guess = turn.text.strip()
        if turn.role == "agent" and after and len(after.text) == len(guess) and set(after.text) <= set(_COLOURS):
            label = f"{guess}: {', '.join(_COLOURS[colour] for colour in after.text)}"
            lines.append(Line(turn.role, turn.text, tuple(zip(guess, after.text, strict=True)), label))
        else:
            lines.append(Line(turn.role, turn.text))
    return lines


_COLOURS = {"g": "right place", "y": "elsewhere", "b": "absent"}


def curve(runs: Sequence[Run], key: str = "loss") -> dict[str, Any] | None:
    """Points of a training curve for SVG, one line a seed, with the axes' ends; None where nothing was learnt."""
    lines = [
        [(point["tokens"], point[key]) for point in run.train["curve"] if point.get(key) is not None] for run in runs
    ]
    lines = [line for line in lines if len(line) > 1]
    if not lines:
        return None
    last = max(x for line in lines for x, _ in line)
    values = [y for line in lines for _, y in line]
    low, high = min(values), max(values)
    height = high - low or 1.0
    points = [
        " ".join(f"{CURVE_WIDTH * x / last:.1f},{CURVE_HEIGHT * (1 - (y - low) / height):.1f}" for x, y in line)
        for line in lines
    ]
    return {"lines": points, "low": low, "high": high, "tokens": last}


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "duration": _duration, "count": _count, "cell": _cell}
    environment.globals |= {"board": board, "curve": curve, "width": CURVE_WIDTH, "height": CURVE_HEIGHT}
    return environment


def _number(value: float | None, digits: int = 2) -> str:
    """A signed number with a real minus; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _count(value: float | None) -> str:
    """A count in thousands or millions."""
    if value is None:
        return "–"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:g}"


def _cell(text: str) -> str:
    """Text inside a markdown table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    runs: Annotated[Path, typer.Option(help="Folder of results.")] = Path("runs"),
    out: Annotated[Path, typer.Option(help="The page; its table goes beside it as .md.")] = Path("leaderboard.html"),
) -> None:
    """Writes the page of the results in a folder."""
    print(write(runs, out))


if __name__ == "__main__":
    app()
