"""The rules of Wordle on strings, and the table of all patterns for solvers.

A pattern is five letters: `g` (right place), `y` (elsewhere), `b` (absent). Its code reads them as a number in base 3
with b = 0, y = 1, g = 2 and the first letter most significant, so that 242 is the win.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from lmrl_envs.wordle.words import WORD_LENGTH

Duplicates = Literal["official", "paper"]
DUPLICATES: tuple[str, ...] = get_args(Duplicates)
PATTERNS: tuple[str, ...] = tuple("".join(letters) for letters in itertools.product("byg", repeat=WORD_LENGTH))
"""PATTERNS[code] is the pattern as text."""
PATTERN_CODES: dict[str, int] = {pattern: code for code, pattern in enumerate(PATTERNS)}
WIN = "g" * WORD_LENGTH
WIN_CODE = PATTERN_CODES[WIN]
INVALID = "invalid"
"""What the environment says to a guess that is not a word."""


def feedback(guess: str, answer: str, duplicates: str = "official") -> str:
    """Colours a guess.

    Repeated letters follow the official game: greens first, then yellows from left to right while unmatched copies
    remain in the answer. `duplicates="paper"` colours each letter by itself, as the ILQL release did.

    >>> feedback("geese", "elder"), feedback("geese", "elder", "paper")
    ('byybb', 'byyby')
    """
    if duplicates == "paper":
        return "".join(["g" if g == a else "y" if g in answer else "b" for g, a in zip(guess, answer, strict=True)])
    unmatched, pattern = "", ""
    for g, a in zip(guess, answer):  # noqa: B905  # strict takes a third of the time of this function
        if g != a:
            unmatched += a
    for g, a in zip(guess, answer):  # noqa: B905
        if g == a:
            pattern += "g"
        elif g in unmatched:
            unmatched = unmatched.replace(g, "", 1)
            pattern += "y"
        else:
            pattern += "b"
    return pattern


def encode_words(words: Sequence[str]) -> np.ndarray:
    """(N, 5) uint8, the letters' ASCII codes."""
    return np.frombuffer("".join(words).encode("ascii"), np.uint8).reshape(len(words), WORD_LENGTH)


@lru_cache(maxsize=16)
def pattern_table(guesses: tuple[str, ...], answers: tuple[str, ...], duplicates: str = "official") -> np.ndarray:
    """(len(guesses), len(answers)) uint8, the code of each guess's pattern against each answer; read-only.

    Kept once a process for each pair of lists.
    """
    G, A = encode_words(guesses), encode_words(answers)
    table = np.empty((len(G), len(A)), np.uint8)
    for rows in range(0, len(G), 64):  # a block's temporaries stay in the cache
        table[rows : rows + 64] = pattern_codes(G[rows : rows + 64], A, duplicates)
    table.setflags(write=False)
    return table


def pattern_codes(G: np.ndarray, A: np.ndarray, duplicates: str = "official") -> np.ndarray:
    """(len(G), len(A)) uint8, the code of each encoded guess's pattern against each encoded answer."""
    same = [[(G[:, i, None] == A[None, :, j]) for j in range(WORD_LENGTH)] for i in range(WORD_LENGTH)]
    missed = [~same[i][i] for i in range(WORD_LENGTH)]
    code = np.zeros((len(G), len(A)), np.uint8)
    for i in range(WORD_LENGTH):
        if duplicates == "paper":
            yellow = np.logical_or.reduce(same[i])
        else:  # copies of the letter that no green took, against the guess's own earlier claims on them
            copies = sum((same[i][j] & missed[j]).view(np.uint8) for j in range(WORD_LENGTH) if j != i)
            claims = sum((G[:, h] == G[:, i])[:, None] & missed[h] for h in range(i)) if i else 0
            yellow = copies > claims
        code = code * np.uint8(3) + np.where(missed[i], yellow, np.uint8(2)).astype(np.uint8)
    return code
