"""What the page draws: games with their tokens' advantages, curves, values by turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from leaderboards.figures import number
from leaderboards.rows import GAMES_SHOWN, Row, Run
from leaderboards.tables import Table
from lmrl_envs.core import Episode

CURVE_WIDTH, CURVE_HEIGHT = 240, 90


def visible(text: str) -> str:
    """Text with what would change how a line is read, such as control characters and overrides of direction, spelt."""
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)


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
        values = [number(value) for value in (self.advantage, self.q, self.v)]
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
