"""`python -m leaderboards.render`: a markdown table and one self-contained page from the results of runs.

The page loads nothing, and a policy's words are shown, never run: the template escapes them, and the page's security
policy allows the one script whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import jinja2
import typer

from leaderboards import drawing, figures, instruments, sections
from leaderboards.jobs import RESULTS
from leaderboards.pictures import scene_uri
from leaderboards.rows import Row
from leaderboards.tables import Imitation, Table, read
from lmrl_envs.files import write_atomic
from lmrl_envs.statistics import Estimate

TEMPLATES = Path(__file__).parent / "templates"
_SIGNS = {">": "&gt;", "<": "&lt;"}
_ASKED_SIDE, _GUESSED_SIDE = 128, 64
OVERVIEW = ("bc", "filtered_bc", "sarsa", "ilql")
"""Agents of the overview, each by its setting that was chosen on other episodes where there is such a row."""
_MARKS = {"degenerate": "\N{DAGGER}", "not converged": "\N{DOUBLE DAGGER}"}
_FIGURES = ("normalised", "minus random", "seeds", "episodes", "tuning", "time", "parameters", "passes", "frozen")


def markdown(tables: Sequence[Table]) -> str:
    """One markdown table a task: mean returns with their 95 % intervals, best headline play first."""
    return "\n\n".join(_markdown_table(table, tables) for table in tables) + "\n"


def summary(tables: Sequence[Table]) -> str:
    """One markdown table, in a line each of `tables` the agents that the paper compares; then the orderings."""
    headings = ["task, suite", "play", *OVERVIEW, "best reference", "random", "seeds"]
    orderings = [f"- {_place(table)}: {_told_orderings(table)}" for table in tables if table.orderings]
    lines = _markdown_rows(headings, list(map(_overview, tables)))
    marks = [f"{mark} {label}" for label, mark in _MARKS.items() if any(mark in line for line in lines)]
    return "\n".join([*lines, "", *([f"{', '.join(marks)}.", ""] if marks else []), *orderings]) + "\n"


def _overview(table: Table) -> list[str]:
    rows = table.by_name
    standing = [rows.get(f"{name}-chosen", rows.get(name)) for name in OVERVIEW]
    best = next((row for row in table.rows if row.reference and row.kind != "best_of"), None)  # that sees rewards
    return [
        _place(table),
        table.headline,
        *(_standing(table, row) for row in standing),
        f"{_cell(best.name)} {figures.number(best.mean(table.headline))}" if best else "–",
        figures.number(rows["random"].mean(table.headline)) if "random" in rows else "–",
        str(min((len(row.runs) for row in standing if row), default=0)),
    ]


def _standing(table: Table, row: Row | None) -> str:
    if row is None:
        return "–"
    said = "".join(_MARKS[label] for label in labels(table, row) if label in _MARKS)
    return f"{figures.with_interval(row.estimate(table.headline))} {said}".rstrip()


def _place(table: Table) -> str:
    return f"{_cell(table.task['name'])}, `{_cell(table.suite)}`"


def _told_orderings(table: Table) -> str:
    """In a line, those that are decided first."""
    leads = {(">", "<"): "", ("tied",): f"tied within {table.margin:g}: ", ("undecided",): "undecided: "}
    told = []
    for verdicts, lead in leads.items():
        some = [ordering for ordering in table.orderings if ordering.verdict in verdicts]
        pairs = [f"{_cell(one.better)} {_SIGNS.get(one.verdict, 'and')} {_cell(one.worse)}" for one in some]
        told += [f"{lead}{', '.join(pairs)}"] if pairs else []
    return f"{'; '.join(told)}."


def _heading(table: Table) -> str:
    return f"**{_cell(table.task['name'])}**, suite `{_cell(table.suite)}`, by mean return ({table.headline})"


def _markdown_table(table: Table, tables: Sequence[Table]) -> str:
    lines = [
        _heading(table),
        "",
        *_markdown_rows(["agent", *table.decodings, *_FIGURES], [_markdown_figures(table, row) for row in table.rows]),
        "",
        f"95 % intervals in brackets: {table.basis}.",
    ]
    if table.orderings:
        rows = []
        for better, worse, difference, p_value, verdict in table.orderings:
            sign = _SIGNS.get(verdict, verdict)
            rows.append(
                [_cell(better), sign, _cell(worse), figures.with_interval(difference), figures.number(p_value, 3)]
            )
        lines += ["", *_markdown_rows(["", "verdict", "", "difference", "p (Holm)"], rows)]
        lines += ["", f"Tied: the difference's interval lies within ±{table.margin:g}."]
    if table.gaps:
        rows = [[_cell(gap.name), *map(figures.share_with_interval, gap[1:])] for gap in table.gaps]
        lines += ["", *_markdown_rows(["gap to the optimum closed", "from the data", "from bc"], rows)]
    if table.imitation:
        lines += ["", told_imitation(table.imitation)]
    for section in sections.sections(table, tables):
        rows = [[_cell(" ".join(filter(None, told(value)))) for value in row] for row in section.rows]
        lines += ["", f"{section.title}:", "", *_markdown_rows(section.headings, rows)]
    return "\n".join(lines)


def told_imitation(imitation: Imitation) -> str:
    """How well BC imitates, in a sentence or two."""
    returned = f"bc, sampled, returns {figures.with_interval(imitation.bc_return)}"
    text = f"{returned}; those who wrote the data {figures.number(imitation.data_return, 3)} exactly."
    if imitation.bc_loss is None or imitation.data_loss is None:
        return text
    own, theirs = figures.number(imitation.bc_loss, 3), figures.number(imitation.data_loss, 3)
    return f"{text} Its loss on held-out games is {own} nats an agent token; they themselves would score {theirs}."


def _markdown_figures(table: Table, row: Row) -> list[str]:
    return [
        _labelled(table, row),
        *_scores(table, row),
        figures.number(row.normalized),
        figures.with_interval(row.gain) if row.gain else "–",
        _seeds(row),
        figures.count(row.episodes),
        figures.tuning(row.tuning),
        figures.duration(row.seconds),
        figures.count(row.parameters),
        figures.count(row.forward_passes),
        figures.megabytes(row.extra_bytes),
    ]


def _labelled(table: Table, row: Row) -> str:
    return f"{_cell(row.name)}{''.join(f' ({label})' for label in labels(table, row))}"


def _scores(table: Table, row: Row) -> list[str]:
    """Under each decoding; a dot where a player has one way to play."""
    shown = [name for name in table.decodings if row.decoded or name == table.headline]
    return [figures.with_interval(row.estimate(name)) if name in shown else "·" for name in table.decodings]


def _seeds(row: Row) -> str:
    return str(len(row.runs)) if row.run["seeded"] else "–"


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


def told(value: sections.Cell) -> tuple[str, str]:
    """A cell's text, and its interval in brackets where it has one."""
    if isinstance(value, Estimate):
        interval = value.interval()
        return figures.number(value.value), f"[{figures.number(interval.low)}, {figures.number(interval.high)}]"
    return (value if isinstance(value, str) else figures.number(value)), ""


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


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": figures.number,
        "share": figures.share,
        "duration": figures.duration,
        "count": figures.count,
        "tuning": figures.tuning,
        "bytes": figures.megabytes,
        "visible": drawing.visible,
        "told": told,
    }
    environment.globals |= {
        "board": drawing.board,
        "curve": drawing.curve,
        "labels": labels,
        "told_imitation": told_imitation,
        "score_ends": drawing.score_ends,
        "q_by_turn": drawing.q_by_turn,
        "sections": sections.sections,
        "exploits": sections.exploits,
        "best_of": sections.best_of,
        "scenes_shown": sections.scenes_shown,
        "advantage_scale": drawing.advantage_scale,
        "scatter": instruments.scatter,
        "rankings_by_statistic": instruments.rankings_by_statistic,
        "spread_rows": instruments.spread_rows,
        "exact_shares": instruments.exact_shares,
        "estimators": instruments.ESTIMATORS,
        "levels": instruments.LEVELS,
        "side": instruments.SIDE,
        "width": drawing.CURVE_WIDTH,
        "height": drawing.CURVE_HEIGHT,
    }
    return environment


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
