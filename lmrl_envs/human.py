"""HumanPolicy: a person as a policy, who reads histories and writes one line a turn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from lmrl_envs.core import Turn, transcript


class HumanPolicy:
    """Shows each history and reads a line of text as the turn.

    Args:
        lines: Where lines come from; None: the standard input.
        show: What shows a history before the line is read; None writes the transcript to the standard output.
    """

    name = "human"

    def __init__(self, lines: TextIO | None = None, show: Callable[[Sequence[Turn]], None] | None = None) -> None:
        self._lines = sys.stdin if lines is None else lines
        self._show = _write_transcript if show is None else show

    def act(self, histories: Sequence[Sequence[Turn]]) -> list[str]:
        """One line for each history, without its line break.

        Raises:
            EOFError: the lines have come to their end.
        """
        return [self._line(history) for history in histories]

    def _line(self, history: Sequence[Turn]) -> str:
        self._show(history)
        line = self._lines.readline()
        if not line:
            raise EOFError("the person's lines have come to their end")
        return line.rstrip("\r\n")


def _write_transcript(history: Sequence[Turn]) -> None:
    sys.stdout.write(f"{transcript(history)}\n> ")
    sys.stdout.flush()
