from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from lmrl_envs.progress import progress_bar, track

CODE = """
from lmrl_envs.progress import progress_bar, track
with progress_bar("train [bold]", total=30, start=10, enabled={enabled}) as bar:
    for step in range(11, 31):
        bar.update(step, loss=1.23456, tokens_per_second=12345.6)
assert list(track("abc", description="play", enabled={enabled})) == ["a", "b", "c"]
"""


def on_a_terminal(code: str) -> str:
    """Runs code with a pseudo-terminal as stderr and returns what it drew, without escape codes."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    environment.pop("NO_COLOR", None)
    run = subprocess.run([sys.executable, "-c", code], stderr=theirs, stdout=subprocess.PIPE, env=environment)
    os.close(theirs)
    drawn = b""
    try:
        while block := os.read(ours, 4096):
            drawn += block
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert run.returncode == 0
    assert run.stdout == b""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn.decode())


def test_draws_on_a_terminal():
    drawn = on_a_terminal(CODE.format(enabled=True))
    assert "train [bold]" in drawn
    assert "30/30" in drawn
    assert "loss 1.23  tokens per second 12,346" in drawn
    assert "3/3" in drawn


def test_silent_when_disabled():
    assert on_a_terminal(CODE.format(enabled=False)) == ""


def test_silent_without_a_terminal(capfd):
    with progress_bar("train", total=2) as bar:
        bar.update(loss=1.0)
    assert list(track(iter([1, 2]), description="play")) == [1, 2]
    assert capfd.readouterr() == ("", "")
