"""Real corpora of comments as episodes, one comment each: what stands in a file becomes turns and labels.

Every reader streams its file, skips what it cannot use and counts that in `dropped`, by reason. An episode's info has
`parent` (None where the corpus has none), `score` and `toxicity` (0 harmless, 1 mild, 2 severe; None where nobody
said), `community`, and `coin`, which settles a mildly toxic comment where the reward is noisy. Rewards are those of the
labels: 10 for a positive score and 0 for another; without scores 0, -5, -10 by toxicity.
"""

from __future__ import annotations

import csv
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lmrl_envs.core import Episode, Turn, clean
from lmrl_envs.errors import DatasetError

MAX_CHARS = 4096
"""Longer comments are left out, longer parents cut: the task's limit."""
BROKEN = "broken line"
REMOVED = "removed or deleted text"
EMPTY = "empty text"
TOO_LONG = f"more than {MAX_CHARS:,} characters"
UNLABELLED = "no label, or none that is known"
NO_SCORE = "score is not a whole number"
NO_PARENT = "no parent"
GONE = frozenset({"[deleted]", "[removed]", "[ removed by reddit ]"})

Reader = Callable[[Path, Counter[str]], Iterator[Episode]]
_ILQL_TEXT, _ILQL_SCORE, _ILQL_PARENT = 4, 5, 10
_JIGSAW_SEVERE = ("severe_toxic", "threat", "identity_hate")
_JIGSAW_MILD = ("toxic", "obscene", "insult")
_DAVIDSON_LEVELS = {"0": 2, "1": 1, "2": 0}  # hate speech, offensive language, neither
_PAY = (0.0, -5.0, -10.0)


def read_ilql(path: Path, dropped: Counter[str]) -> Iterator[Episode]:
    """The CSV of the ILQL release (arXiv 2206.11871): column 4 is the comment, 5 its score, 10 the parent, from 0.

    A first row whose score is no number is a header.
    """
    for number, row in enumerate(_rows(path, dropped)):
        if len(row) <= _ILQL_PARENT:
            dropped[BROKEN] += 1
            continue
        score = whole_number(row[_ILQL_SCORE])
        if score is None:
            dropped[NO_SCORE] += number > 0
            continue
        parent = row[_ILQL_PARENT]
        if parent.strip().lower() in GONE or not parent.strip():
            dropped[NO_PARENT] += 1
            continue
        if episode := comment_episode(row[_ILQL_TEXT], dropped, parent=parent, score=score):
            yield episode


def read_jigsaw(path: Path, dropped: Counter[str]) -> Iterator[Episode]:
    """The CSV of the Jigsaw toxic comment challenge.

    Severely toxic comments, threats and hate of who somebody is are severe; others that are toxic, obscene or insulting
    are mild. Labels of -1, which that challenge's test set has, count as none.

    Raises:
        DatasetError: the file cannot be read, or lacks a column.
    """
    labels = (*_JIGSAW_SEVERE, *_JIGSAW_MILD)
    for row in _records(path, ("comment_text", *labels), dropped):
        values = {name: row[name] for name in labels}
        if not {"0", "1"}.issuperset(values.values()):
            dropped[UNLABELLED] += 1
            continue
        severe, mild = ("1" in [values[name] for name in names] for names in (_JIGSAW_SEVERE, _JIGSAW_MILD))
        if episode := comment_episode(row["comment_text"], dropped, toxicity=2 if severe else int(mild)):
            yield episode


def read_davidson(path: Path, dropped: Counter[str]) -> Iterator[Episode]:
    """The CSV of Davidson et al. (arXiv 1703.04009): tweets with hate speech severe, offensive language mild.

    Raises:
        DatasetError: the file cannot be read, or lacks a column.
    """
    for row in _records(path, ("class", "tweet"), dropped):
        if row["class"] not in _DAVIDSON_LEVELS:
            dropped[UNLABELLED] += 1
        elif episode := comment_episode(row["tweet"], dropped, toxicity=_DAVIDSON_LEVELS[row["class"]]):
            yield episode


def comment_episode(
    text: str,
    dropped: Counter[str],
    *,
    parent: str | None = None,
    score: int | None = None,
    toxicity: int | None = None,
    community: str | None = None,
) -> Episode | None:
    """The episode of a comment, None and a reason counted where there is nothing to learn from."""
    said = clean(text, len(text)).strip()
    if reason := fault(said):
        dropped[reason] += 1
        return None
    reward = 10.0 * (score > 0) if score is not None else _PAY[toxicity or 0]
    before = () if parent is None else (Turn("env", clean(parent.strip(), MAX_CHARS)),)
    info = {
        "parent": before[0].text if before else None,
        "score": score,
        "toxicity": toxicity,
        "community": community,
        "coin": bool(zlib.crc32(said.encode()) & 1),
        "behaviour": "people",
    }
    return Episode(None, None, (*before, Turn("agent", said, reward)), True, False, info)


def fault(text: str) -> str | None:
    """Why a comment's text cannot be used, None where it can."""
    if len(text) > MAX_CHARS:
        return TOO_LONG
    if not text:
        return EMPTY
    return REMOVED if text[0] == "[" and text.lower() in GONE else None


def whole_number(text: str) -> int | None:
    """A number as people write it, None where the text is something else."""
    digits = text.strip()
    return int(digits) if digits.removeprefix("-").isdecimal() and len(digits) < 12 else None


def _records(path: Path, columns: Sequence[str], dropped: Counter[str]) -> Iterator[Mapping[str, str]]:
    """The rows of a CSV by the names in its header."""
    rows = iter(_rows(path, dropped))
    header = next(rows, [])
    if missing := [name for name in columns if name not in header]:
        raise DatasetError(f"{path}: expected the columns {', '.join(columns)}; it lacks {', '.join(missing)}")
    for row in rows:
        if len(row) == len(header):
            yield dict(zip(header, row, strict=True))
        else:
            dropped[BROKEN] += 1


def _rows(path: Path, dropped: Counter[str]) -> Iterable[list[str]]:
    """The rows of a CSV that are not empty; bytes that are no UTF-8 become U+FFFD."""
    try:
        with Path(path).open(encoding="utf-8-sig", errors="replace", newline="") as file:
            reader = csv.reader(file)
            while True:
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except csv.Error:  # a field of more than 128 KB; the next row is read as usual
                    dropped[BROKEN] += 1
                    continue
                if row:
                    yield row
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from error
