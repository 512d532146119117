from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lmrl_envs.wordle.rules import (
    PATTERN_CODES,
    PATTERNS,
    WIN,
    WIN_CODE,
    encode_words,
    feedback,
    pattern_codes,
    pattern_table,
)
from lmrl_envs.wordle.words import load_words

# guess, answer, official, paper; coloured by hand
COLOURED = [
    ("crane", "crane", "ggggg", "ggggg"),
    ("crane", "solid", "bbbbb", "bbbbb"),
    ("crane", "nacre", "yyyyg", "yyyyg"),
    ("geese", "elder", "byybb", "byyby"),
    ("elder", "geese", "ybbyb", "ybbyb"),
    ("speed", "abide", "bbyby", "bbyyy"),
    ("eerie", "geese", "ygbbg", "ygbbg"),
    ("eerie", "crepe", "ybybg", "yyybg"),  # the green at the end leaves one e for the two before
    ("allow", "llama", "ygybb", "ygybb"),
    ("llama", "allow", "ygybb", "ygyby"),
    ("aaaaa", "zazzz", "bgbbb", "ygyyy"),
    ("babab", "abbba", "yygyy", "yygyy"),
]


@pytest.mark.parametrize(("guess", "answer", "official", "paper"), COLOURED)
def test_feedback(guess: str, answer: str, official: str, paper: str) -> None:
    assert feedback(guess, answer) == official
    assert feedback(guess, answer, "official") == official
    assert feedback(guess, answer, "paper") == paper


@pytest.mark.parametrize("duplicates", ["official", "paper"])
def test_table_agrees_with_feedback(duplicates: str) -> None:
    letters = np.random.default_rng(0).integers(ord("a"), ord("f"), size=(400, 5))  # few letters: many repeat
    words = tuple(dict.fromkeys("".join(map(chr, row)) for row in letters))
    guesses, answers = words[:150], words[100:]
    table = pattern_table(guesses, answers, duplicates)
    expected = [[PATTERN_CODES[feedback(guess, answer, duplicates)] for answer in answers] for guess in guesses]
    np.testing.assert_array_equal(table, expected)
    np.testing.assert_array_equal(pattern_codes(encode_words(guesses), encode_words(answers), duplicates), expected)


def test_table_is_kept_and_read_only() -> None:
    table = pattern_table(("crane", "geese"), ("elder",))
    assert table is pattern_table(("crane", "geese"), ("elder",))
    assert table is not pattern_table(("crane", "geese"), ("elder",), "paper")
    assert table.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0] = 0


def test_codes_are_numbers_in_base_three() -> None:
    assert len(PATTERNS) == len(PATTERN_CODES) == 3**5
    assert (PATTERNS[0], PATTERNS[1], PATTERNS[3], PATTERNS[242]) == ("bbbbb", "bbbby", "bbbyb", "ggggg")
    assert PATTERN_CODES["byybb"] == 1 * 27 + 1 * 9
    assert PATTERNS[WIN_CODE] == WIN
    assert [PATTERN_CODES[pattern] for pattern in PATTERNS] == list(range(243))


def test_salet_on_the_original_answers(shared_data: Path) -> None:
    answers = load_words(shared_data / "wordle" / "wordle_official.txt")
    codes = pattern_table(("salet",), answers)[0]
    counts = np.bincount(codes, minlength=243)
    assert codes.tolist() == [PATTERN_CODES[feedback("salet", answer)] for answer in answers]
    assert counts[0] == counts.max() == sum(not set("salet") & set(answer) for answer in answers)
