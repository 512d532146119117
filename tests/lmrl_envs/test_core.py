from __future__ import annotations

import pickle

import pytest

from lmrl_envs import Episode, Turn, clean, transcript

# What `str.splitlines` breaks on.
LINE_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


def test_every_line_break_becomes_a_space() -> None:
    assert clean(f"a{LINE_BREAKS}b", 64) == "a" + " " * len(LINE_BREAKS) + "b"
    for code in range(0x110000):  # and there is no other
        if code not in range(0xD800, 0xE000) and len(f"a{chr(code)}b".splitlines()) > 1:
            assert chr(code) in LINE_BREAKS


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("crane", "crane"),
        ("", ""),
        ("nul\0", "nul\ufffd"),
        ("half \ud800 a pair", "half \ufffd a pair"),
        ("two halves \ud83d\ude00", "two halves \ufffd\ufffd"),
        ("emoji \U0001f600 and é stay", "emoji \U0001f600 and é stay"),
        ("tab\tand\x1b[31m stay", "tab\tand\x1b[31m stay"),
        ("\r\n", "  "),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text, 64) == cleaned
    assert clean(cleaned, 64) == cleaned
    cleaned.encode("utf-8")


def test_clean_cuts_by_characters() -> None:
    assert clean("\U0001f600" * 100, 7) == "\U0001f600" * 7
    assert len(clean("a" * 100_000, 64)) == 64


def test_clean_returns_a_plain_string() -> None:
    class Loud(str):
        def __str__(self) -> str:
            return "LOUD"

    assert type(clean(Loud("soft"), 64)) is str
    assert clean(Loud("soft"), 64) == "soft"


@pytest.mark.parametrize("action", [None, 3, b"crane", ["crane"]])
def test_clean_refuses_what_is_not_a_string(action: object) -> None:
    with pytest.raises(TypeError, match="must be a str"):
        clean(action, 64)  # type: ignore[arg-type]


def test_transcript_is_one_line_a_turn() -> None:
    assert transcript(()) == ""
    assert transcript([Turn("agent", "crane", -1.0), Turn("env", "bbgyb")]) == "crane\nbbgyb"


def test_episode_sums_its_rewards_and_survives_pickling() -> None:
    turns = (Turn("agent", "crane", -1.0), Turn("env", "bbgyb"), Turn("agent", "stale", 0.5))
    episode = Episode("Wordle-v0", 7, turns, True, False, {"success": True})
    assert episode.total_return == -0.5
    assert pickle.loads(pickle.dumps(episode)) == episode  # noqa: S301
    with pytest.raises(AttributeError):
        episode.seed = 8  # type: ignore[misc]
