"""`python -m leaderboards.render`: a markdown table and one self-contained page from the results of runs.

The page loads nothing, and a policy's words are shown, never run: the template escapes them, and the page's security
policy allows the one script whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jinja2
import numpy as np
import typer

from leaderboards import instruments, sections
from leaderboards.jobs import RESULTS
from leaderboards.pictures import scene_uri
from leaderboards.tables import GAMES_SHOWN, Imitation, Row, Run, Table, read
from lmrl_envs.core import Episode
from lmrl_envs.files import write_atomic
from lmrl_envs.statistics import Estimate

TEMPLATES = Path(__file__).parent / "templates"
CURVE_WIDTH, CURVE_HEIGHT = 240, 90
_ASKED_SIDE, _GUESSED_SIDE = 128, 64
_FIGURES = ("normalised", "minus random", "seeds", "episodes", "tuning", "time", "parameters", "passes", "frozen")


def markdown(tables: Sequence[Table]) -> str:
    """One markdown table a task: mean returns with their 95 % intervals, best headline play first."""
    return "\n\n".join(_markdown_table(table, tables) for table in tables) + "\n"


def _markdown_table(table: Table, tables: Sequence[Table]) -> str:
    lines = [
        f"**{_cell(table.task['name'])}**, suite `{_cell(table.suite)}`, by mean return ({table.headline})",
        "",
        *_markdown_rows(["agent", *table.decodings, *_FIGURES], [_markdown_figures(table, row) for row in table.rows]),
        "",
        f"95 % intervals in brackets: {table.basis}.",
    ]
    if table.orderings:
        rows = []
        for better, worse, difference, p_value, verdict in table.orderings:
            sign = {">": "&gt;", "<": "&lt;"}.get(verdict, verdict)
            rows.append([_cell(better), sign, _cell(worse), _with_interval(difference), _number(p_value, 3)])
        lines += ["", *_markdown_rows(["", "verdict", "", "difference", "p (Holm)"], rows)]
        lines += ["", f"Tied: the difference's interval lies within ±{table.margin:g}."]
    if table.gaps:
        rows = [[_cell(gap.name), *map(_share_with_interval, gap[1:])] for gap in table.gaps]
        lines += ["", *_markdown_rows(["gap to the optimum closed", "from the data", "from bc"], rows)]
    if table.imitation:
        lines += ["", told_imitation(table.imitation)]
    for section in sections.sections(table, tables):
        rows = [[_cell(" ".join(filter(None, told(value)))) for value in row] for row in section.rows]
        lines += ["", f"{section.title}:", "", *_markdown_rows(section.headings, rows)]
    return "\n".join(lines)


def told_imitation(imitation: Imitation) -> str:
    """How well BC imitates, in a sentence or two."""
    returned = f"bc, sampled, returns {_with_interval(imitation.bc_return)}"
    text = f"{returned}; those who wrote the data {_number(imitation.data_return, 3)} exactly."
    if imitation.bc_loss is None or imitation.data_loss is None:
        return text
    losses = f"{_number(imitation.bc_loss, 3)} nats an agent token"
    return (
        f"{text} Its loss on held-out games is {losses}; they themselves would score {_number(imitation.data_loss, 3)}."
    )


def _markdown_figures(table: Table, row: Row) -> list[str]:
    shown = [name for name in table.decodings if row.decoded or name == table.headline]
    return [
        f"{_cell(row.name)}{''.join(f' ({label})' for label in labels(table, row))}",
        *[_with_interval(row.estimate(name)) if name in shown else "·" for name in table.decodings],
        _number(row.normalized),
        _with_interval(row.gain) if row.gain else "–",
        str(len(row.runs)) if row.run["seeded"] else "–",
        _count(row.episodes),
        _tuning(row.tuning),
        _duration(row.seconds),
        _count(row.parameters),
        _count(row.forward_passes),
        _bytes(row.extra_bytes),
    ]


def labels(table: Table, row: Row) -> list[str]:
    """What stands beside a row's name."""
    said = {
        "reference": row.reference,
        "degenerate": row.degenerate,
        "not converged": row.not_converged,
        "run here": table.published and not row.published,
    }
    return [label for label, holds in said.items() if holds]


def _markdown_rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return [_markdown_row(cells) for cells in (headings, rule, *rows)]


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _with_interval(estimate: Estimate) -> str:
    interval = estimate.interval()
    return f"{_number(estimate.value)} [{_number(interval.low)}, {_number(interval.high)}]"


def told(value: sections.Cell) -> tuple[str, str]:
    """A cell's text, and its interval in brackets where it has one."""
    if isinstance(value, Estimate):
        interval = value.interval()
        return _number(value.value), f"[{_number(interval.low)}, {_number(interval.high)}]"
    return (value if isinstance(value, str) else _number(value)), ""


def pictures(tables: Sequence[Table]) -> dict[int, str]:
    """The generated scenes on the page as `data:` addresses: those asked about, and smaller ones that were guessed."""
    games = [
        game
        for table in tables
        if table.task["env_kwargs"].get("corpus", "scenes") == "scenes"
        for row in table.rows
        for game in sections.scenes_shown(row)
    ]
    asked = {game["scene"] for game in games}
    guessed = {scene for game in games for scene in game["guesses"]} - asked
    sizes = dict.fromkeys(sorted(guessed), _GUESSED_SIDE) | dict.fromkeys(sorted(asked), _ASKED_SIDE)
    return {scene: scene_uri(scene, side) for scene, side in sizes.items()}


def visible(text: str) -> str:
    """Text with what would change how a line is read, such as control characters and overrides of direction, spelt."""
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)


def html(tables: Sequence[Table], records: Mapping[str, Sequence[instruments.Record]] | None = None) -> str:
    """The page; `records` are those of `leaderboards.instruments`."""
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    return page(
        "page.html.j2",
        tables=tables,
        records=dict.fromkeys(instruments.INSTRUMENTS, ()) if records is None else records,
        pictures=pictures(tables),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def page(template: str, **values: Any) -> str:
    """A self-contained page of one of `templates/`, which has the pages' common style as `style`."""
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    return _templates().get_template(template).render(style=style, **values)


def write(runs: Path, page: Path, results: Path | None = None) -> list[Table]:
    """Writes the page of a folder of runs, and of published results, and its markdown tables beside it."""
    folders = [runs] if results is None else [results, runs]
    tables = read(*folders)
    write_atomic(page, html(tables, instruments.records(*folders)))
    write_atomic(page.with_suffix(".md"), markdown(tables))
    return tables


class Token(NamedTuple):
    """A token of an agent's turn and what the agent thought of it: numbers of `agents.trainer.TokenScores`."""

    text: str
    logp: float | None
    q: float | None
    v: float | None
    advantage: float | None

    def strength(self, scale: float) -> float:
        """How strongly its advantage is drawn, 0 to 1; `scale` is what is drawn in full."""
        return round(min(abs(self.advantage or 0.0) / scale, 1.0), 2)

    @property
    def side(self) -> str:
        """Whether it is better or worse than what the agent expects."""
        return "better" if (self.advantage or 0.0) > 0 else "worse"

    @property
    def told(self) -> str:
        """Its numbers in words."""
        chance = "" if self.logp is None else f", chance {np.exp(self.logp):.2f}"
        values = [_number(value) for value in (self.advantage, self.q, self.v)]
        return f"{self.text or 'end of turn'}: advantage {values[0]}, Q {values[1]}, V {values[2]}{chance}"


class Line(NamedTuple):
    """One line of a drawn game. `tiles` are a guess's letters with their colours, `label` says them in words."""

    role: str
    text: str
    tiles: tuple[tuple[str, str], ...] = ()
    label: str = ""
    tokens: tuple[Token, ...] = ()


def board(episode: Episode, scores: Sequence[Mapping[str, Sequence[Any]]] = ()) -> list[Line]:
    """An episode's turns for drawing: a guess that was answered with its colours becomes tiles, all else is text.

    `scores` are those of its agent turns' tokens, in order.
    """
    lines: list[Line] = []
    remaining = iter(scores)
    for turn, after in zip_longest(episode.turns, episode.turns[1:]):
        if turn.role == "env" and lines and lines[-1].tiles:
            continue  # drawn as the colours of the guess before it
        guess, label = turn.text.strip(), ""
        tiles: tuple[tuple[str, str], ...] = ()
        if turn.role == "agent" and after and len(after.text) == len(guess) and set(after.text) <= set(_COLOURS):
            label = f"{guess}: {', '.join(_COLOURS[colour] for colour in after.text)}"
            tiles = tuple(zip(guess, after.text, strict=True))
        of_turn = next(remaining, {}) if turn.role == "agent" else {}
        tokens = tuple(map(Token, *(of_turn[name] for name in Token._fields))) if of_turn else ()
        tokens = tuple(token._replace(text=visible(token.text)) for token in tokens)
        lines.append(Line(turn.role, visible(turn.text), tiles, label, tokens))
    return lines


_COLOURS = {"g": "right place", "y": "elsewhere", "b": "absent"}


def advantage_scale(run: Run) -> float:
    """The advantage that is drawn in full strength: only one token in ten has a larger one."""
    turns = [turn for game in run.scores[:GAMES_SHOWN] for turn in game]
    advantages = [abs(value) for turn in turns for value in turn["advantage"] if value is not None]
    return float(np.quantile(advantages, 0.9)) if advantages and any(advantages) else 1.0


def curve(runs: Sequence[Run], key: str = "loss", ends: tuple[float, float] | None = None) -> dict[str, Any] | None:
    """Points of a curve over training for SVG, one line a seed, with the axes' ends; None where there is none.

    `ends` are those of the vertical axis; without them the curve spans it.
    """
    lines = [
        [(point["tokens"], point[key]) for point in run.train["curve"] if point.get(key) is not None] for run in runs
    ]
    lines = [line for line in lines if len(line) > 1]
    if not lines:
        return None
    last = max(x for line in lines for x, _ in line)
    low, high = ends or (min(y for line in lines for _, y in line), max(y for line in lines for _, y in line))
    height = high - low or 1.0
    points = [
        " ".join(f"{CURVE_WIDTH * x / last:.1f},{CURVE_HEIGHT * (1 - (y - low) / height):.1f}" for x, y in line)
        for line in lines
    ]
    return {"lines": points, "low": low, "high": high, "tokens": last}


def q_by_turn(rows: Sequence[Row]) -> dict[str, Any]:
    """Mean Q at each turn for SVG, for each row the agent's and the exact ones; all from 0 down to one `low`."""
    series = {
        row.name: {
            "agent": [turn["q"] for turn in row.critics["by_turn"]],
            **{name: [turn[name]["q"] for turn in row.critics["by_turn"]] for name in ("optimum", "people")},
        }
        for row in rows
    }
    low = min(q for lines in series.values() for line in lines.values() for q in line)
    drawn = {
        name: {
            label: " ".join(
                f"{CURVE_WIDTH * turn / max(len(line) - 1, 1):.1f},{CURVE_HEIGHT * q / (low or -1.0):.1f}"
                for turn, q in enumerate(line)
            )
            for label, line in lines.items()
        }
        for name, lines in series.items()
    }
    return {"low": low, "turns": max(len(lines["agent"]) for lines in series.values()), "rows": drawn}


def score_ends(table: Table) -> tuple[float, float] | None:
    """The range of all scores that were seen during training, and of the best known return."""
    scores = [
        point["score"] for row in table.rows for run in row.runs for point in run.train["curve"] if "score" in point
    ]
    return (min(scores), max([*scores, *([] if table.best is None else [table.best])])) if scores else None


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "share": _share,
        "duration": _duration,
        "count": _count,
        "tuning": _tuning,
        "bytes": _bytes,
        "visible": visible,
        "told": told,
    }
    environment.globals |= {
        "board": board,
        "curve": curve,
        "labels": labels,
        "told_imitation": told_imitation,
        "score_ends": score_ends,
        "q_by_turn": q_by_turn,
        "sections": sections.sections,
        "exploits": sections.exploits,
        "best_of": sections.best_of,
        "scenes_shown": sections.scenes_shown,
        "advantage_scale": advantage_scale,
        "scatter": instruments.scatter,
        "rankings_by_statistic": instruments.rankings_by_statistic,
        "spread_rows": instruments.spread_rows,
        "estimators": instruments.ESTIMATORS,
        "levels": instruments.LEVELS,
        "side": instruments.SIDE,
        "width": CURVE_WIDTH,
        "height": CURVE_HEIGHT,
    }
    return environment


def _number(value: float | None, digits: int = 2) -> str:
    """A signed number with a real minus; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _share(value: float) -> str:
    """A share in percent."""
    return f"{_number(100 * value, 0)} %"


def _share_with_interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    interval = estimate.interval()
    return f"{_share(estimate.value)} [{_share(interval.low)}, {_share(interval.high)}]"


def _tuning(tuning: Mapping[str, Any]) -> str:
    """Trials, and the episodes that were played to choose among them."""
    return f"{tuning['trials']} trials, {_count(tuning['episodes'])} episodes" if tuning else "–"


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


def _bytes(value: float | None) -> str:
    """A size in megabytes."""
    return "–" if value is None else f"{value / 1e6:.1f} MB"


def _cell(text: str) -> str:
    """Text inside a markdown table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    runs: Annotated[Path, typer.Option(help="Folder of runs.")] = Path("runs"),
    out: Annotated[Path, typer.Option(help="The page; its table goes beside it as .md.")] = Path("leaderboard.html"),
    results: Annotated[Path, typer.Option(help="Folder of published results.")] = RESULTS,
) -> None:
    """Writes the page of the published results and of the runs in a folder."""
    print(markdown(write(runs, out, results)))


if __name__ == "__main__":
    app()
