"""Comments of Pushshift dumps: one JSON object a line, compressed, and each parent somewhere else in the dump.

Two passes, in constant memory. The first decompresses, parses and filters, and puts every comment into a table on disk,
those that cannot be used without their text. The second goes through the table and finds the parents in it.
"""

from __future__ import annotations

import bz2
import gzip
import html
import itertools
import json
import lzma
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from lmrl_envs.core import Episode
from lmrl_envs.errors import DatasetError
from lmrl_envs.reddit.readers import BROKEN, NO_SCORE, REMOVED, comment_episode, fault

DELETED_AUTHOR = "deleted author"
BOT = "written by a bot"
TWICE = "there already"
PARENT_MISSING = "parent is not in the dump"
PARENT_REMOVED = "parent was removed, or its author deleted"
PARENT_POST = "parent is a post, and no dump of posts was given"

_COMMENT, _POST = 0, 1  # a key is twice the number that an id is in base 36, plus this: both have the same ids
_PREFIXES = {"t1_": _COMMENT, "t3_": _POST}
_LARGEST = 1 << 62  # numbers that the table can hold
_CHUNK = 1 << 22  # bytes decompressed at a time
_LONGEST_LINE = 1 << 24
_ROWS = 10_000  # put into the table at a time
_WINDOW = 2**31  # dumps are compressed with --long=31
_BOTS = frozenset({"automoderator", "bot"})
_TABLE = "CREATE TABLE comments (key INTEGER PRIMARY KEY, parent INTEGER, score INTEGER, community TEXT, text TEXT)"
_JOIN = """
SELECT replies.parent, replies.score, replies.community, replies.text, parents.key, parents.text
FROM comments AS replies LEFT JOIN comments AS parents ON parents.key = replies.parent
WHERE replies.text IS NOT NULL AND replies.parent IS NOT NULL ORDER BY replies.key
"""
_PRAGMAS = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA cache_size = -65536",  # 64 MiB
)


@dataclass
class Passes:
    """What the two passes did. Filled while the episodes are read: lines seen, and seconds."""

    lines: int = 0
    first_seconds: float = 0.0
    joined: int = 0
    second_seconds: float = 0.0
    dropped: Counter[str] = field(default_factory=Counter)


def read_pushshift(
    comments: Path | Sequence[Path],
    passes: Passes,
    *,
    posts: Path | Sequence[Path] = (),
    communities: Iterable[str] = (),
    folder: Path | None = None,
) -> Iterator[Episode]:
    """The replies in dumps of comments whose parents are in the same dumps, by their ids' order.

    Args:
        comments: Files of comments (RC_*), `.zst`, `.xz`, `.bz2`, `.gz` or plain.
        passes: Gets what was done and how long it took.
        posts: Files of posts (RS_*); without them comments that answer a post have no parent.
        communities: Subreddits to keep, all where there is none.
        folder: Where the table is while it is needed; by default where temporary files are.

    Raises:
        DatasetError: a file cannot be read.
        ImportError: a file is `.zst`, and zstandard is not installed.
    """
    kept = frozenset(name.lower() for name in communities)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="lmrl-pushshift-") as place,
        closing(sqlite3.connect(Path(place) / "comments.sqlite")) as table,
    ):
        for statement in (*_PRAGMAS, _TABLE):
            table.execute(statement)
        started = time.perf_counter()
        for path in _paths(posts):
            _fill(table, _posts(path, passes), passes)
        for path in _paths(comments):
            _fill(table, _comments(path, passes, kept), passes)
        passes.first_seconds = time.perf_counter() - started
        yield from _joined(table, passes, with_posts=bool(_paths(posts)))


def _joined(table: sqlite3.Connection, passes: Passes, *, with_posts: bool) -> Iterator[Episode]:
    started = time.perf_counter()
    for parent_key, score, community, text, found, parent in table.execute(_JOIN):
        if parent is not None:
            if episode := comment_episode(text, passes.dropped, parent=parent, score=score, community=community):
                passes.joined += 1
                yield episode
        elif found is not None:
            passes.dropped[PARENT_REMOVED] += 1
        elif parent_key % 2 == _POST and not with_posts:
            passes.dropped[PARENT_POST] += 1
        else:
            passes.dropped[PARENT_MISSING] += 1
        passes.second_seconds = time.perf_counter() - started


def _fill(table: sqlite3.Connection, rows: Iterator[tuple], passes: Passes) -> None:
    """Puts rows into the table, and counts those whose key is there already."""
    while block := list(itertools.islice(rows, _ROWS)):
        before = table.total_changes
        table.executemany("INSERT OR IGNORE INTO comments VALUES (?, ?, ?, ?, ?)", block)
        if twice := len(block) - (table.total_changes - before):
            passes.dropped[TWICE] += twice
    table.commit()


def _comments(path: Path, passes: Passes, kept: frozenset[str]) -> Iterator[tuple]:
    """A row of the table for each comment: without text where that cannot be used."""
    dropped, decode = passes.dropped, json.JSONDecoder().decode
    for line in _lines(path, passes):
        passes.lines += 1
        try:
            comment = decode(line.decode())
            key = _key(comment["id"], _COMMENT)
            text, community, author = comment["body"], comment["subreddit"], comment["author"]
            parent, score = comment["parent_id"], comment["score"]
            parent_key = _key(parent[3:], _PREFIXES[parent[:3]])
            if kept and community.lower() not in kept:
                continue
            text, community = _plain(text).strip(), _plain(community)
            reason = DELETED_AUTHOR if author == "[deleted]" else fault(text)
            if reason is None and _is_bot(author):
                reason = BOT
            if reason is None and not (type(score) is int and abs(score) < _LARGEST):
                reason = NO_SCORE
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            dropped[BROKEN] += 1
            continue
        if reason is not None:
            dropped[reason] += 1
            yield key, None, None, None, None
        else:
            yield key, parent_key, score, community, text


def _posts(path: Path, passes: Passes) -> Iterator[tuple]:
    """A row of the table for each post: a parent alone, with its title and text."""
    for line in _lines(path, passes):
        try:
            post = json.loads(line)
            key = _key(post["id"], _POST)
            text = f"{post['title']} {post.get('selftext') or ''}".strip()
            gone = fault((post.get("selftext") or "x").strip()) == REMOVED
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            passes.dropped[BROKEN] += 1
            continue
        yield key, None, None, None, None if gone else _plain(text)


def _key(name: str, kind: int) -> int:
    number = int(name, 36)
    if not 0 <= number < _LARGEST:
        raise ValueError(f"no id: {name!r}")
    return 2 * number + kind


def _is_bot(author: str) -> bool:
    name = author.lower()
    return name in _BOTS or name.endswith(("_bot", "-bot")) or (name.endswith("bot") and author.endswith("Bot"))


def _plain(text: str) -> str:
    """Undoes the dumps' HTML escapes; a lone surrogate, which no table can hold, becomes U+FFFD."""
    if "&" in text:
        text = html.unescape(text)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _paths(paths: Path | str | Sequence[Path]) -> list[Path]:
    return [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]


def _lines(path: Path, passes: Passes) -> Iterator[bytes]:
    """The lines of a file that are not empty, however it is compressed."""
    rest = b""
    try:
        with _opened(path) as file:
            while chunk := file.read(_CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from filter(None, lines)
                if len(rest) > _LONGEST_LINE:
                    passes.dropped[BROKEN] += 1
                    rest = b""
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); fetch it again, or leave it out") from error
    if rest:
        yield rest


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes] | Any]:
    openers: dict[str, Callable[[Path, str], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    if path.suffix != ".zst":
        with openers.get(path.suffix, open)(path, "rb") as file:
            yield file
        return
    try:
        import zstandard  # noqa: PLC0415  # an extra, for these dumps alone
    except ImportError as error:
        raise ImportError(f"{path}: .zst files need zstandard: pip install 'lmrl-envs[reddit]'") from error
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    with path.open("rb") as raw, decompressor.stream_reader(raw, read_across_frames=True) as file:
        try:
            yield file
        except zstandard.ZstdError as error:
            raise OSError(str(error)) from error
