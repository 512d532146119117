"""Real results that people tweeted, as games: rows of coloured squares, and words put to them.

A tweet shows colours alone. As in the release of Snell et al. (arXiv 2206.11871), a game gets a hidden word of the
task's list, drawn anew, and each row a word, drawn from those whose colours against the hidden word are the row's. With
`answers`, the hidden word is the one that people really looked for.
"""

from __future__ import annotations

import csv
import logging
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lmrl_envs.core import Episode, Turn
from lmrl_envs.errors import DatasetError
from lmrl_envs.wordle.players import Rules
from lmrl_envs.wordle.rules import PATTERNS, WIN, WIN_CODE
from lmrl_envs.wordle.task import WordleTask
from lmrl_envs.wordle.words import WORD_LENGTH

_log = logging.getLogger(__name__)

FIRST_PUZZLE = 210
"""The puzzle whose hidden word stands first in `answers`."""
ROWS = 6
COLUMNS = ("wordle_id", "tweet_id", "tweet_text")
"""What a file must have; more columns do no harm."""
NO_GRID = "no grid of 1 to 6 rows of five squares"
NOT_WHOLE = "not a whole game: it goes on after the win, or ends before"
NO_ROW = "another number of columns than the header"
NO_ANSWER = "no word in answers for its wordle_id"
NOT_IN_WORDS = "its word is not among words"
NO_GUESSES = "colours that no words of the list give"

_DIGITS = "\ue000\ue001\ue002"  # for b, y, g: characters that no tweet has, so that its letters are not taken for them
_CODES = {pattern.translate(str.maketrans("byg", _DIGITS)): code for code, pattern in enumerate(PATTERNS)}
_SAID = [Turn("env", pattern) for pattern in PATTERNS]
_SQUARES = str.maketrans({"⬛": _DIGITS[0], "⬜": _DIGITS[0], "🟨": _DIGITS[1], "🟦": _DIGITS[1],
                          "🟩": _DIGITS[2], "🟧": _DIGITS[2], "\ufe0f": None})  # fmt: skip  # the last picks a glyph
_GRID = re.compile(rf"(?:^[{_DIGITS}]{{{WORD_LENGTH}}}[ \t\r]*(?:\n|\Z))+", re.MULTILINE)
_HELD_OUT = {0: "validation", 1: "test"}  # by the hash of a tweet's id, of 50; all others train
_TRIES = 8  # words drawn for a game before all are looked at
_BLOCK = 1024  # games in memory at once


def read_tweets(path: Path | str, split: str) -> tuple[np.ndarray, np.ndarray, Counter[str]]:
    """The whole games of a CSV of tweets that belong to a split.

    Returns:
        (N,) int64, the puzzles' numbers, -1 where the file has none; (N, 6) int64, the rows' pattern codes, -1 after
        the end; and how many of the split's tweets were left out, by reason.

    Raises:
        DatasetError: there is no such file, it lacks a column, or it is not CSV in UTF-8.
    """
    puzzles: list[int] = []
    games: list[list[int]] = []
    dropped: Counter[str] = Counter()
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            if missing := [name for name in COLUMNS if name not in header]:
                raise DatasetError(f"{path}: expected the columns {', '.join(COLUMNS)}; it lacks {', '.join(missing)}")
            puzzle, tweet, text = map(header.index, COLUMNS)
            for row in filter(None, rows):
                whole = len(row) == len(header)
                if split != (_split(row[tweet]) if whole else "train"):
                    continue
                codes = _decode(row[text]) if whole else []
                if reason := NO_ROW if not whole else _fault(codes):
                    dropped[reason] += 1
                    continue
                puzzles.append(_number(row[puzzle]))
                games.append(codes + [-1] * (ROWS - len(codes)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from error
    return np.array(puzzles, np.int64), np.array(games, np.int64).reshape(-1, ROWS), dropped


def tweeted_games(
    task: WordleTask,
    seeds: np.random.SeedSequence,
    *,
    split: str,
    games: int | None,
    path: Mapping[str, str] | None,
    answers: Sequence[str] | None,
    dropped: Counter[str],
) -> Iterator[Episode]:
    """One game for each whole one in the file, in its order; at most `games`.

    No environment played them, so they have no seed; `reset(options={"answer": info["answer"]})` starts one again.

    Args:
        path: The file as `{"file": ..., "sha256": ...}`.
        answers: The hidden words of the puzzles from 210 on; None: a uniform word of those that allow the colours.
        dropped: Gets the number of tweets left out, by reason.

    Raises:
        ValueError: there is no `path`.
        DatasetError: the file cannot be read, or holds no game for this split.
    """
    if path is None:
        raise ValueError("wordle/tweets-v0 reads a file that you have: give path=, a CSV of tweets")
    puzzles, codes, faults = read_tweets(path["file"], split)
    dropped.update(faults)
    rules = Rules.of(task)
    choices = _Choices.of(rules.table)
    given = None if answers is None else _given(puzzles, answers, task.answers)
    rng = np.random.Generator(np.random.PCG64(seeds))

    wrong, right = ([Turn("agent", word, reward) for word in rules.guesses] for reward in (-1.0, 0.0))
    kept = 0
    for start in range(0, len(codes), _BLOCK):
        rows = codes[start : start + _BLOCK]
        uniforms = rng.random((len(rows), ROWS + _TRIES + 1))  # a game has its own fixed share of the stream
        if given is None:
            hidden = choices.hide(rows, uniforms[:, ROWS:])
        else:
            hidden = given[start : start + _BLOCK]
            dropped.update(_UNGIVEN[index] for index in hidden[hidden < 0].tolist())
        fits = choices.fit(hidden[:, None], rows)[:, 0]
        if lost := int(np.count_nonzero(~fits & (hidden >= 0))):
            dropped[NO_GUESSES] += lost
        drawn = choices.draw(hidden, rows, uniforms[:, :ROWS]).tolist()
        for row in np.flatnonzero(fits & (hidden >= 0)).tolist():
            if kept == games:
                return
            turns: list[Turn] = []
            for guess, code in zip(drawn[row], rows[row].tolist(), strict=True):
                if code < 0:
                    break
                turns += (right if code == WIN_CODE else wrong)[guess], _SAID[code]
            success = turns[-1].text == WIN
            info = {"success": success, "valid": True, "answer": task.answers[hidden[row]], "behaviour": "people"}
            yield Episode("Wordle-v0", None, tuple(turns), True, False, info)
            kept += 1
    report = ", ".join(f"{count:,} with {reason}" for reason, count in sorted(dropped.items())) or "none"
    if not kept:
        raise DatasetError(f"{path['file']}: holds no game for {split!r}; left out: {report}")
    _log.info("%s: %s games for %s; left out: %s", path["file"], f"{kept:,}", split, report)


class _Choices(NamedTuple):
    """Which guesses give which colours: `order[a, starts[a, c] : starts[a, c] + counts[a, c]]` for answer a, code c.

    The last code, -1, stands for a row that was not played.
    """

    order: np.ndarray  # (A, G) int32
    starts: np.ndarray  # (A, 244) int64
    counts: np.ndarray  # (A, 244) int64
    given: np.ndarray  # (244, A) bool, whether some guess gives a code against an answer

    @classmethod
    def of(cls, table: np.ndarray) -> _Choices:
        columns = np.ascontiguousarray(table.T)
        order = np.stack([np.argsort(column, kind="stable").astype(np.int32) for column in columns])
        counts = np.stack([np.bincount(column, minlength=len(PATTERNS) + 1) for column in columns])
        starts = np.cumsum(counts, axis=1) - counts
        counts[:, -1], starts[:, -1] = 1, 0
        return cls(order, starts, counts, np.ascontiguousarray(counts.T > 0))

    def fit(self, hidden: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """(N, k) bool, whether guesses give a game's codes, (N, 6), against each of k hidden words, (N, k)."""
        return self.given[codes[:, None, :], hidden[:, :, None]].all(2)

    def hide(self, codes: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """(N,) hidden words, each uniform over those that fit a game's codes; any word where none does.

        Some tries mostly find one; games for which they do not look at all words, with the last of `uniforms`, (N, T).
        """
        tries = (uniforms[:, :-1] * len(self.counts)).astype(np.int64)
        fits = self.fit(tries, codes)
        hidden = tries[np.arange(len(tries)), np.argmax(fits, axis=1)]
        rest = np.flatnonzero(~fits.any(1))
        possible = self.given[codes[rest, 0]]
        for row in codes[rest, 1:].T:
            possible &= self.given[row]
        rest, possible = rest[possible.any(1)], possible[possible.any(1)]
        found = np.count_nonzero(possible, axis=1)
        nth = np.cumsum(found) - found + (uniforms[rest, -1] * found).astype(np.int64)
        hidden[rest] = np.nonzero(possible)[1][nth]
        return hidden

    def draw(self, hidden: np.ndarray, codes: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """(N, 6) guesses, each uniform over those that give its code against `hidden`, (N,)."""
        answer = hidden[:, None]
        nth = (uniforms * self.counts[answer, codes]).astype(np.int64)
        last = self.order.shape[1] - 1  # a game that fits nothing draws something, which nobody looks at
        return self.order[answer, np.minimum(self.starts[answer, codes] + nth, last)]


_UNGIVEN = {-1: NO_ANSWER, -2: NOT_IN_WORDS}


def _given(puzzles: np.ndarray, answers: Sequence[str], words: Sequence[str]) -> np.ndarray:
    """(N,) int64, the index in `words` of each puzzle's answer; a key of `_UNGIVEN` where there is none."""
    index = {word: place for place, word in enumerate(words)}
    places = np.array([*(index.get(word, -2) for word in answers), -1])
    offset = puzzles - FIRST_PUZZLE
    return places[np.where((offset >= 0) & (offset < len(answers)), offset, -1)]


@lru_cache  # few puzzles, many tweets
def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"\s*\d{1,9}\s*", text) else -1


def _split(tweet: str) -> str:
    return _HELD_OUT.get(zlib.crc32(tweet.encode()) % 50, "train")


def _decode(text: str) -> list[int]:
    """The pattern codes of the first grid in a tweet; empty where there is none."""
    grid = _GRID.search(text.translate(_SQUARES))
    if grid is None:
        return []
    return [_CODES[line.strip()] for line in grid[0].split("\n") if line]


def _fault(codes: Sequence[int]) -> str | None:
    if not 1 <= len(codes) <= ROWS:
        return NO_GRID
    won = WIN_CODE in codes
    if WIN_CODE in codes[:-1] or not (won or len(codes) == ROWS):
        return NOT_WHOLE
    return None
