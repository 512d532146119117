"""CSV files of real comments: what becomes an episode, and what is counted as left out."""

from __future__ import annotations

import csv
from collections import Counter

import pytest

from lmrl_envs.datasets import DatasetMetadata, TextDataset, write_dataset
from lmrl_envs.errors import DatasetError
from lmrl_envs.reddit import readers
from lmrl_envs.reddit.readers import read_davidson, read_ilql, read_jigsaw

JIGSAW = ["id", "comment_text", "toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
DAVIDSON = ["", "count", "hate_speech", "offensive_language", "neither", "class", "tweet"]


def table(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def ilql_row(text, score, parent):
    row = [str(place) for place in range(11)]
    row[4], row[5], row[10] = text, score, parent
    return row


def read(reader, path):
    dropped = Counter()
    return list(reader(path, dropped)), dropped


def test_the_layout_of_the_ilql_release(tmp_path):
    path = table(
        tmp_path / "comments.csv",
        [
            ilql_row("text", "score", "parent_text"),
            ilql_row("Nice,\nreally", "12", " What do you think? "),
            ilql_row("bad", "-3", "parent"),
            ilql_row("no", "0", "parent"),
            ilql_row("[removed]", "5", "parent"),
            ilql_row("  ", "5", "parent"),
            ilql_row("x" * 4097, "5", "parent"),
            ilql_row("orphan", "5", "[deleted]"),
            ilql_row("orphan", "5", ""),
            ilql_row("what score", "many", "parent"),
            ["too", "short"],
        ],
    )
    episodes, dropped = read(read_ilql, path)
    assert [[(turn.role, turn.text, turn.reward) for turn in episode.turns] for episode in episodes] == [
        [("env", "What do you think?", 0.0), ("agent", "Nice, really", 10.0)],
        [("env", "parent", 0.0), ("agent", "bad", 0.0)],
        [("env", "parent", 0.0), ("agent", "no", 0.0)],
    ]
    assert [episode.info["score"] for episode in episodes] == [12, -3, 0]
    assert episodes[0].info["parent"] == "What do you think?"
    assert all(episode.terminated and episode.env_id is None for episode in episodes)
    assert dropped == {
        readers.REMOVED: 1,
        readers.EMPTY: 1,
        readers.TOO_LONG: 1,
        readers.NO_PARENT: 2,
        readers.NO_SCORE: 1,
        readers.BROKEN: 1,
    }


def test_the_layout_of_jigsaw(tmp_path):
    path = table(
        tmp_path / "train.csv",
        [
            JIGSAW,
            ["1", "a fine\nedit", *"000000"],
            ["2", "you fool", *"100010"],
            ["3", "I will find you", *"100100"],
            ["4", "unscored", *["-1"] * 6],
            ["5", "short"],
        ],
    )
    episodes, dropped = read(read_jigsaw, path)
    assert [(e.turns[0].text, e.info["toxicity"], e.total_return) for e in episodes] == [
        ("a fine edit", 0, 0.0),
        ("you fool", 1, -5.0),
        ("I will find you", 2, -10.0),
    ]
    assert episodes[0].info["parent"] is None
    assert episodes[0].info["score"] is None
    assert dropped == {readers.UNLABELLED: 1, readers.BROKEN: 1}


def test_the_layout_of_davidson(tmp_path):
    rows = [["0", "3", "3", "0", "0", "0", "hateful"], ["1", "3", "0", "3", "0", "1", "rude"]]
    rows += [["2", "3", "0", "0", "3", "2", "nice"], ["3", "3", "0", "0", "3", "7", "what"]]
    episodes, dropped = read(read_davidson, table(tmp_path / "labeled_data.csv", [DAVIDSON, *rows]))
    assert [(e.turns[0].text, e.info["toxicity"]) for e in episodes] == [("hateful", 2), ("rude", 1), ("nice", 0)]
    assert dropped == {readers.UNLABELLED: 1}


@pytest.mark.parametrize(("reader", "column"), [(read_jigsaw, "comment_text"), (read_davidson, "class, tweet")])
def test_other_files_are_refused(tmp_path, reader, column):
    path = table(tmp_path / "other.csv", [["text", "label"], ["a", "1"]])
    with pytest.raises(DatasetError, match=rf"other\.csv: expected the columns .*it lacks {column}"):
        read(reader, path)
    with pytest.raises(DatasetError, match=r"missing\.csv: cannot be read"):
        read(reader, tmp_path / "missing.csv")


def test_bytes_fields_and_surrogates_that_csv_does_not_like(tmp_path):
    path = tmp_path / "labeled_data.csv"
    head = ",".join(DAVIDSON).encode() + b"\n"
    huge = b"1,3,0,0,3,2," + b"x" * 200_000 + b"\n"
    path.write_bytes(head + b"0,3,0,0,3,2,caf\xe9 \x00 ok\n" + huge + "2,3,0,0,3,2,\u202eabc\n".encode())
    episodes, dropped = read(read_davidson, path)
    assert [e.turns[0].text for e in episodes] == ["caf\ufffd \ufffd ok", "\u202eabc"]
    assert dropped == {readers.BROKEN: 1}
    data = write_dataset(tmp_path / "out.parquet", episodes, DatasetMetadata(dropped=dropped))
    assert TextDataset.read(tmp_path / "out.parquet").metadata.dropped == {readers.BROKEN: 1}
    assert len(data) == 2


def test_coins_are_fair_and_a_text_s_own(tmp_path):
    rows = [[str(n), "3", "0", "3", "0", "1", f"rude remark {n}"] for n in range(1000)]
    path = table(tmp_path / "labeled_data.csv", [DAVIDSON, *rows])
    coins = [e.info["coin"] for e in read(read_davidson, path)[0]]
    assert 430 < sum(coins) < 570
    assert coins == [e.info["coin"] for e in read(read_davidson, path)[0]]


def test_genuine_jigsaw_rows(shared_data):
    episodes, dropped = read(read_jigsaw, shared_data / "reddit" / "jigsaw_rows.csv")
    assert len(episodes) + sum(dropped.values()) == 282
    assert dropped == {readers.TOO_LONG: 1}
    assert sum(e.info["toxicity"] > 0 for e in episodes) == 29  # 28 of them toxic, one insulting alone


def test_genuine_davidson_rows(shared_data):
    episodes, dropped = read(read_davidson, shared_data / "reddit" / "davidson_labeled_data.csv")
    assert not dropped
    assert Counter(e.info["toxicity"] for e in episodes) == {2: 1430, 1: 19190, 0: 4163}
