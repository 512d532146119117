from __future__ import annotations

import subprocess
import sys

import pytest

import lmrl_envs
from lmrl_envs.datasets import load_dataset
from lmrl_envs.files import home


@pytest.fixture(scope="module")
def printed() -> list[list[str]]:
    """The words of each line of the piped output."""
    load_dataset("wordle/human-v0", words="common-40", games=37)
    run = subprocess.run([sys.executable, "-m", "lmrl_envs.list"], capture_output=True, text=True, check=True)
    assert str(home()) not in run.stdout
    assert run.stdout.isascii()  # no frames, no colours
    assert run.stderr == ""
    return [line.split() for line in run.stdout.splitlines()]


@pytest.mark.parametrize("words", ["common-40", "common-236", "common-2315"])
def test_tasks_are_listed_with_their_reference_returns(printed, words):
    random, best = lmrl_envs.reference_scores("Wordle-v0", {"words": words})
    assert ["Wordle-v0", f"words={words}", f"{random:.3f}", f"{best:.3f}"] in printed


def test_datasets_are_listed_with_sizes_and_what_is_made(printed):
    sizes = ["100,000", "2,000", "2,000"]
    lines = [line for line in printed if line[:2] == ["wordle/human-v0", "words=common-40"]]
    assert len(lines) == 1
    assert lines[0][2:5] == sizes
    assert "train 37" in " ".join(lines[0][5:])
    assert ["wordle/expert-v0", "words=common-2315", "20,000", "2,000", "2,000", "no"] in printed
