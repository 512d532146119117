"""The coloured board, for a terminal and as an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmrl_envs.wordle.rules import INVALID
from lmrl_envs.wordle.words import WORD_LENGTH

Row = tuple[str, str]
"""A guess, which may be any text where it is invalid, and what the environment said."""

_INVALID_TILE, _EMPTY_TILE = "x", "."
_COLOURS = {
    "g": (83, 141, 78),
    "y": (181, 159, 59),
    "b": (88, 88, 92),
    _INVALID_TILE: (120, 40, 40),
    _EMPTY_TILE: (34, 34, 36),
}
_BACKGROUND, _INK = (18, 18, 19), (255, 255, 255)
_SCALE, _TILE, _GAP = 5, 52, 6  # pixels: a font's dot, a tile's side, the space between tiles

# Five dots by seven, a letter a line, rows from the top as five bits in hex.
_FONT = {
    "A": "0e 11 11 1f 11 11 11",
    "B": "1e 11 11 1e 11 11 1e",
    "C": "0e 11 10 10 10 11 0e",
    "D": "1e 11 11 11 11 11 1e",
    "E": "1f 10 10 1e 10 10 1f",
    "F": "1f 10 10 1e 10 10 10",
    "G": "0e 11 10 17 11 11 0f",
    "H": "11 11 11 1f 11 11 11",
    "I": "0e 04 04 04 04 04 0e",
    "J": "07 02 02 02 02 12 0c",
    "K": "11 12 14 18 14 12 11",
    "L": "10 10 10 10 10 10 1f",
    "M": "11 1b 15 15 11 11 11",
    "N": "11 19 15 13 11 11 11",
    "O": "0e 11 11 11 11 11 0e",
    "P": "1e 11 11 1e 10 10 10",
    "Q": "0e 11 11 11 15 12 0d",
    "R": "1e 11 11 1e 14 12 11",
    "S": "0f 10 10 0e 01 01 1e",
    "T": "1f 04 04 04 04 04 04",
    "U": "11 11 11 11 11 11 0e",
    "V": "11 11 11 11 11 0a 04",
    "W": "11 11 11 15 15 15 0a",
    "X": "11 11 0a 04 0a 11 11",
    "Y": "11 11 0a 04 04 04 04",
    "Z": "1f 01 02 04 08 10 1f",
    "?": "0e 11 01 02 04 00 04",
    " ": "00 00 00 00 00 00 00",
}


def ansi_board(rows: Sequence[Row], height: int) -> str:
    """The board as text with ANSI colours, a guess a line; nothing of a guess but letters and `?` is printed."""
    lines = []
    for letters, tiles in _board(rows, height):
        cells = [
            "\x1b[48;2;{};{};{}m\x1b[1;97m {} \x1b[0m".format(*_COLOURS[tile], letter)
            for letter, tile in zip(letters, tiles, strict=True)
        ]
        lines.append(" ".join(cells) + (f" {INVALID}" if _INVALID_TILE in tiles else ""))
    return "\n".join(lines)


def rgb_board(rows: Sequence[Row], height: int) -> np.ndarray:
    """The board as an image, (pixels down, pixels across, 3) uint8."""
    step = _TILE + _GAP
    image = np.full((height * step + _GAP, WORD_LENGTH * step + _GAP, 3), _BACKGROUND, np.uint8)
    for down, (letters, tiles) in enumerate(_board(rows, height)):
        for across, (letter, tile) in enumerate(zip(letters, tiles, strict=True)):
            top, left = _GAP + down * step, _GAP + across * step
            square = image[top : top + _TILE, left : left + _TILE]
            square[:] = _COLOURS[tile]
            glyph = _glyph(letter)
            y, x = (_TILE - glyph.shape[0]) // 2, (_TILE - glyph.shape[1]) // 2
            square[y : y + glyph.shape[0], x : x + glyph.shape[1]][glyph] = _INK
    return image


def _board(rows: Sequence[Row], height: int) -> list[tuple[str, str]]:
    """Letters (A-Z, `?`, space) and tiles of every line, those not yet played included."""
    board = []
    for guess, said in rows:
        shown = "".join(letter.upper() if letter.upper() in _FONT else "?" for letter in guess[:WORD_LENGTH])
        board.append((shown.ljust(WORD_LENGTH), _INVALID_TILE * WORD_LENGTH if said == INVALID else said))
    return board + [(" " * WORD_LENGTH, _EMPTY_TILE * WORD_LENGTH)] * (height - len(rows))


def _glyph(letter: str) -> np.ndarray:
    bits = [[int(row, 16) >> (4 - dot) & 1 for dot in range(5)] for row in _FONT[letter].split()]
    return np.kron(np.array(bits, np.bool_), np.ones((_SCALE, _SCALE), np.bool_))
