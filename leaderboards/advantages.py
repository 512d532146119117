"""What an agent thinks of each token of any text: `python -m leaderboards.advantages <checkpoint> <file>`.

A file of JSON lines holds chats, as `TextDataset.from_jsonl` reads them. Any other file, or `--text`, is a transcript,
in which the agent and the environment take turns, a line each. The terminal and `--out`, a page that loads nothing,
colour each token by its advantage, Q - V; of an agent without values they show the log-probabilities.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.style import Style
from rich.table import Table
from rich.text import Text

from leaderboards import drawing, render
from leaderboards.scores import scored_turns
from leaderboards.sources import our_agents
from lmrl_envs.core import Episode, Turn, clean
from lmrl_envs.datasets import TextDataset
from lmrl_envs.errors import LmrlError, unknown_name
from lmrl_envs.files import write_atomic

USAGE = 2
_BETTER, _WORSE, _PAPER = (43, 111, 179), (194, 85, 45), (30, 33, 37)
_PIECE = "·"
Scores = Sequence[Sequence[dict[str, list[Any]]]]


def typed(text: str, first: str = "agent") -> Episode:
    """A transcript as an episode without rewards; `first` is who says its first line.

    Raises:
        ValueError: the agent says nothing in it, or `first` is nobody.
    """
    roles = ("agent", "env")
    if first not in roles:
        raise unknown_name("role", first, roles)
    start = roles.index(first)
    lines = [clean(line, len(line)) for line in text.removesuffix("\n").split("\n")]
    turns = tuple(Turn(roles[(start + number) % 2], line) for number, line in enumerate(lines))  # type: ignore[arg-type]
    if not any(turn.role == "agent" for turn in turns):
        raise ValueError("the agent says nothing in this text: give a second line, or --first agent")
    return Episode(None, None, turns, True, False, {})


def read(path: Path, first: str = "agent", games: int = 8) -> list[Episode]:
    """The first episodes of a file of JSON lines, or the one that any other file is."""
    if path.suffix == ".jsonl":
        return list(TextDataset.from_jsonl(path)[:games])
    return [typed(path.read_text(encoding="utf-8", errors="replace"), first)]


def scale_of(scores: Scores) -> float:
    """The advantage that is drawn in full strength: only one token in ten has a larger one."""
    values = [abs(value) for game in scores for turn in game for value in turn["advantage"] if value is not None]
    return float(np.quantile(values, 0.9)) if values and any(values) else 1.0


def lines(episode: Episode, scores: Sequence[dict[str, list[Any]]]) -> list[drawing.Line]:
    """An episode's turns with their tokens; `scores` are those of the agent's turns, in order."""
    remaining, found = iter(scores), []
    for turn in episode.turns:
        of_turn = next(remaining) if turn.role == "agent" else {name: [] for name in drawing.Token._fields}
        tokens = tuple(map(drawing.Token, *(of_turn[name] for name in drawing.Token._fields)))
        shown = tuple(
            token._replace(text=_PIECE if _piece(token.text) else drawing.visible(token.text)) for token in tokens
        )
        found.append(drawing.Line(turn.role, drawing.visible(turn.text), tokens=shown))
    return found


def tables(episodes: Sequence[Episode], scores: Scores) -> list[Table]:
    """One for each episode: a line for each turn, and one for each token of the agent's."""
    scale, made = scale_of(scores), []
    for episode, of_episode in zip(episodes, scores, strict=True):
        table = Table("token", box=None, pad_edge=False)
        for heading in ("log-prob", "Q", "V", "advantage"):
            table.add_column(heading, justify="right")
        for line in lines(episode, of_episode):
            table.add_row(Text(line.text, style="dim" if line.role == "env" else "bold"))
            for token in line.tokens:
                table.add_row(Text(token.text or "⏎", style=_style(token, scale)), *map(_figure, token[1:]))
        made.append(table)
    return made


def page(episodes: Sequence[Episode], scores: Scores, agent: str) -> str:
    """The same as a self-contained page."""
    games = [lines(episode, of_episode) for episode, of_episode in zip(episodes, scores, strict=True)]
    return render.page("advantages.html.j2", agent=agent, games=games, scale=scale_of(scores))


def _piece(text: str) -> bool:
    """Whether a token is a part of a character: alone, it stands for a byte or half of one."""
    return len(text) == 1 and (unicodedata.category(text) == "Co" or text == "\N{REPLACEMENT CHARACTER}")


def _style(token: drawing.Token, scale: float) -> Style:
    if token.advantage is None:
        return Style()
    tone, strength = _BETTER if token.side == "better" else _WORSE, token.strength(scale)
    mixed = (round(strength * a + (1 - strength) * b) for a, b in zip(tone, _PAPER, strict=True))
    return Style(color="white", bgcolor="rgb({},{},{})".format(*mixed))


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def main(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a trained agent.")],
    source: Annotated[Path | None, typer.Argument(help="JSON lines of chats, or a transcript.")] = None,
    text: Annotated[str | None, typer.Option(help="A transcript, typed: a turn a line.")] = None,
    first: Annotated[str, typer.Option(help="Who says a transcript's first line: agent or env.")] = "agent",
    games: Annotated[int, typer.Option(min=1, help="Of a file of chats, so many.")] = 8,
    out: Annotated[Path | None, typer.Option(help="A page to write.")] = None,
) -> None:
    """Shows log-probability, Q, V and advantage of each token that an agent might have said."""
    console = Console(highlight=False)
    try:
        if (source is None) == (text is None):
            raise ValueError("give a file or --text, one of the two")
        algorithm = our_agents().load(checkpoint, device="cpu").eval()
        episodes = read(source, first, games) if source else [typed(text or "", first)]
        scores = scored_turns(algorithm, episodes)
        if [] in scores:
            raise ValueError(f"text {scores.index([])} is longer than the {algorithm.context_length} tokens it reads")
        for table in tables(episodes, scores):
            console.print(table, "")
        if out:
            write_atomic(out, page(episodes, scores, algorithm.name))
            console.print(f"page: {escape(str(out))}")
    except (ImportError, ValueError, OSError, LmrlError) as error:
        _stop(str(error))


def _stop(message: str) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/] {escape(message)}")
    raise typer.Exit(USAGE)


if __name__ == "__main__":
    typer.run(main)
