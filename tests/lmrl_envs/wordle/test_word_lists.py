"""The bundled lists: what is in them, that they never change unseen, and that the script makes them."""

from __future__ import annotations

import hashlib
import re
import runpy
from pathlib import Path

import pytest

from lmrl_envs.files import file_hash
from lmrl_envs.wordle.words import load_words

REPOSITORY = Path(__file__).parents[3]
FOLDER = REPOSITORY / "lmrl_envs" / "wordle" / "words"
# A change of any of these changes scores, and so bumps Wordle-v0.
SHA256 = {
    "common-2315": "079956ca4ee73ce7705aca7ff1c58ef64624357191c576729ab68afa7545ee5f",
    "common-236": "8e5f3dfadbf72cb3824aa4022c6f09da625e16afd252d0b56e25580fa078b177",
    "common-40": "a3305e983140d12e0600efa786411e508f613a292019a9dece78ff4ea0470f1d",
    "common-guesses": "fc8f1c12673174075dcbc5497366f06e567a1f7997add0679ddde19dfe2850e8",
}
SIZES = {"common-2315": 2315, "common-236": 236, "common-40": 40, "common-guesses": 13_000}


@pytest.fixture(scope="module")
def script() -> dict:
    return runpy.run_path(str(REPOSITORY / "data_scripts" / "word_lists.py"))


@pytest.mark.parametrize("name", SHA256)
def test_lists_are_unchanged_and_recorded(name: str) -> None:
    assert file_hash(FOLDER / f"{name}.txt") == SHA256[name]
    assert f"| `{name}.txt` | {SIZES[name]:,} | `{SHA256[name]}` |" in (FOLDER / "SOURCES.md").read_text()


def test_every_list_is_recorded() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(SHA256)


def test_lists_are_sorted_and_nested() -> None:
    words = {name: load_words(name) for name in SIZES}
    for name, size in SIZES.items():
        assert len(words[name]) == size
        assert list(words[name]) == sorted(words[name])
    assert load_words("common") == words["common-2315"]
    nested = [set(words[name]) for name in ("common-40", "common-236", "common-2315", "common-guesses")]
    assert nested[0] < nested[1] < nested[2] < nested[3]


def test_blocked_words_are_in_no_list(script: dict) -> None:
    blocked = script["BLOCKED"]
    assert len(blocked) > 100
    for name in SIZES:
        assert not [word for word in load_words(name) if hashlib.sha256(word.encode()).hexdigest()[:8] in blocked]


def test_the_notice_holds_the_licence() -> None:
    notice = (REPOSITORY / "NOTICE").read_text()
    assert "Copyright 2000-2018 by Kevin Atkinson" in notice
    assert "Copyright (c) J Ross Beresford" in notice


@pytest.mark.parametrize(
    ("word", "inflected"),
    [
        ("tries", True),
        ("tried", True),
        ("asked", True),
        ("boxes", True),
        ("moved", True),
        ("class", False),
        ("lotus", False),
    ],
)
def test_inflections(script: dict, word: str, inflected: bool) -> None:
    assert script["is_inflected"](word, {"try", "ask", "box", "move", "clas", "lotto"}) is inflected


def test_lists_from_a_small_scowl(script: dict, tmp_path: Path) -> None:
    """Size class first, then words that start others, then the alphabet; no inflected answers."""
    (tmp_path / "english-words.10").write_text("crane\nadder\nAdam\nPeter\ntable\ntablet\nread\nreads\nasked\n")
    (tmp_path / "american-words.20").write_text("favor\nfiber\n")
    (tmp_path / "british-words.20").write_text("fibre\n")
    assert script["by_commonness"](tmp_path, ("english", "american")) == [
        "table",
        "adder",
        "asked",
        "crane",
        "reads",
        "favor",
        "fiber",
    ]
    lists = script["make_lists"](tmp_path)
    assert lists["common-2315"] == ["adder", "asked", "crane", "favor", "fiber", "table"]
    assert lists["common-guesses"] == ["adder", "asked", "crane", "favor", "fiber", "fibre", "reads", "table"]


def test_the_script_makes_the_lists(script: dict, tmp_path: Path) -> None:
    scowl = Path("/usr/share/dict/scowl")
    if not (scowl / "english-words.10").is_file():
        pytest.skip("Debian's package scowl is not installed")
    for name, words in script["make_lists"](scowl).items():
        assert tuple(words) == load_words(name)
        assert not re.search(r"[^a-z]", "".join(words))
