"""Pushshift dumps: parents found, everything else counted, in memory that does not grow."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sys

import pytest

from lmrl_envs.errors import DatasetError
from lmrl_envs.reddit import pushshift, readers
from lmrl_envs.reddit.pushshift import Passes, read_pushshift

ROWS = [
    {"id": "a1", "parent_id": "t3_p1", "body": "The best bread is rye.", "score": 5},
    {"id": "a2", "parent_id": "t1_a1", "body": "No, it is\nwheat &amp; spelt.", "score": 1},
    {"id": "a3", "parent_id": "t1_a2", "body": "You are both wrong.", "score": -4},
    {"id": "a4", "parent_id": "t1_zz", "body": "To nobody.", "score": 2},
    {"id": "a5", "parent_id": "t1_a1", "body": "[removed]", "score": 1},
    {"id": "a6", "parent_id": "t1_a5", "body": "Why was it removed?", "score": 3},
    {"id": "a7", "parent_id": "t1_a1", "body": "Gone.", "score": 3, "author": "[deleted]"},
    {"id": "a8", "parent_id": "t1_a1", "body": "I am a bot.", "score": 1, "author": "AutoModerator"},
    {"id": "a9", "parent_id": "t1_a1", "body": "What score?", "score": None},
    {"id": "aa", "parent_id": "t1_a1", "body": "lone \ud800 half", "score": 7},
    {"id": "a2", "parent_id": "t1_a1", "body": "No, it is wheat.", "score": 1},
    {"id": "ab", "parent_id": "t3_p2", "body": "To a removed post.", "score": 1},
]
ODD = [
    {"id": "z" * 20, "parent_id": "t1_a1", "body": "No such id.", "score": 1},
    {"id": "-5", "parent_id": "t1_a1", "body": "Nor this.", "score": 1},
    {"id": "d1", "parent_id": "t5_a1", "body": "Nor such a parent.", "score": 1},
    {"id": "d2", "parent_id": "t1_a1", "body": ["no", "text"], "score": 1},
    {"id": "d3", "parent_id": 7, "body": "no text", "score": 1},
    {"id": "d4", "parent_id": "t1_a1", "body": "no author", "score": 1, "author": None},
    {"id": "d5", "parent_id": "t1_a1", "body": "no community", "score": 1, "subreddit": None},
]
BROKEN = [b'{"id": "b1", "body": ', b"[1, 2]", b'{"id": "b2"}', b"null", b"\xff\xfe", b"[" * 100_000]
POSTS = [
    {"id": "p1", "title": "Which bread?", "selftext": "I like bread."},
    {"id": "p2", "title": "Gone", "selftext": "[deleted]"},
]


def lines(rows):
    common = {"author": "somebody", "subreddit": "Cooking"}
    return b"\n".join(row if isinstance(row, bytes) else json.dumps(common | row).encode() for row in rows) + b"\n"


def read(path, **options):
    passes = Passes()
    return list(read_pushshift(path, passes, **options)), passes


@pytest.fixture
def dump(tmp_path):
    path = tmp_path / "RC_2012-01"
    path.write_bytes(lines([*ROWS[:5], *BROKEN, *ROWS[5:]]))
    return path


def test_replies_find_their_parents(dump):
    episodes, passes = read(dump)
    assert [tuple(turn.text for turn in e.turns) for e in episodes] == [
        ("The best bread is rye.", "No, it is wheat & spelt."),
        ("No, it is wheat & spelt.", "You are both wrong."),
        ("The best bread is rye.", "lone ? half"),
    ]
    assert [(e.info["score"], e.total_return) for e in episodes] == [(1, 10.0), (-4, 0.0), (7, 10.0)]
    assert episodes[0].info["community"] == "Cooking"
    assert passes.dropped == {
        readers.BROKEN: len(BROKEN),
        readers.REMOVED: 1,
        readers.NO_SCORE: 1,
        pushshift.DELETED_AUTHOR: 1,
        pushshift.BOT: 1,
        pushshift.TWICE: 1,
        pushshift.PARENT_MISSING: 1,
        pushshift.PARENT_REMOVED: 1,
        pushshift.PARENT_POST: 2,
    }
    assert passes.joined == 3
    assert passes.lines == len(ROWS) + len(BROKEN) == passes.joined + sum(passes.dropped.values())


def test_odd_values_are_broken_lines(tmp_path):
    path = tmp_path / "RC"
    large = {"id": "d6", "parent_id": "t1_a1", "body": "to the moon", "score": 10**30}
    lone = {"id": "d7", "parent_id": "t1_a1", "body": "nul \x00", "score": 1, "subreddit": "\udc00"}
    path.write_bytes(lines([ROWS[0], *ODD, large, lone]))
    episodes, passes = read(path)
    assert [(e.turns[-1].text, e.info["community"]) for e in episodes] == [("nul \ufffd", "?")]
    assert passes.dropped == {readers.BROKEN: len(ODD), readers.NO_SCORE: 1, pushshift.PARENT_POST: 1}


def test_posts_are_parents_too(dump, tmp_path):
    posts = tmp_path / "RS_2012-01"
    posts.write_bytes(lines(POSTS))
    episodes, passes = read(dump, posts=posts)
    assert [turn.text for turn in episodes[0].turns] == ["Which bread? I like bread.", "The best bread is rye."]
    assert passes.dropped[pushshift.PARENT_REMOVED] == 2
    assert pushshift.PARENT_POST not in passes.dropped


def test_a_parent_may_be_in_another_file(dump, tmp_path):
    later = tmp_path / "RC_2012-02"
    later.write_bytes(lines([{"id": "c1", "parent_id": "t1_a1", "body": "Late to this.", "score": 1}]))
    assert read(later)[0] == []
    episodes, _ = read([later, dump])  # in any order
    assert ("The best bread is rye.", "Late to this.") in [tuple(turn.text for turn in e.turns) for e in episodes]


def test_communities_can_be_chosen(dump):
    assert len(read(dump, communities=["cooking"])[0]) == 3
    assert read(dump, communities=["history"])[0] == []


@pytest.mark.parametrize(("suffix", "opened"), [(".gz", gzip.open), (".bz2", bz2.open), (".xz", lzma.open)])
def test_compressed_files(dump, tmp_path, suffix, opened):
    path = tmp_path / f"RC_2012-01{suffix}"
    with opened(path, "wb") as file:
        file.write(dump.read_bytes())
    assert read(path)[0] == read(dump)[0]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=f"RC_2012-01{suffix}: cannot be read"):
        read(path)


def test_zstandard_with_a_long_window(dump, tmp_path):
    zstandard = pytest.importorskip("zstandard")
    path = tmp_path / "RC_2012-01.zst"
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    text = dump.read_bytes()
    frames = [
        zstandard.ZstdCompressor(compression_params=parameters).compress(part) for part in (text[:500], text[500:])
    ]
    path.write_bytes(b"".join(frames))
    assert read(path)[0] == read(dump)[0]
    path.write_bytes(b"no zstandard")
    with pytest.raises(DatasetError, match="cannot be read"):
        read(path)


def test_without_zstandard(dump, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = tmp_path / "RC_2012-01.zst"
    path.write_bytes(b"")
    with pytest.raises(ImportError, match=r"pip install 'lmrl-envs\[reddit\]'"):
        read(path)


def test_lines_longer_than_a_chunk(dump, monkeypatch):
    monkeypatch.setattr(pushshift, "_CHUNK", 7)
    monkeypatch.setattr(pushshift, "_ROWS", 2)
    episodes, passes = read(dump)
    assert len(episodes) == 3
    assert passes.dropped[readers.BROKEN] == len(BROKEN)


def test_the_table_is_removed(dump, tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    passes = Passes()
    episodes = read_pushshift(dump, passes, folder=folder)
    next(episodes)
    assert list(folder.iterdir())
    episodes.close()
    assert not list(folder.iterdir())
