"""Tweets: which squares are a game, which words are put to them, and the report of what was left out."""

from __future__ import annotations

import csv
import time
import zlib
from collections import Counter

import numpy as np
import pytest

from lmrl_envs.datasets import load_dataset
from lmrl_envs.errors import DatasetError
from lmrl_envs.registration import make_task
from lmrl_envs.wordle import tweets
from lmrl_envs.wordle.rules import PATTERNS, feedback
from lmrl_envs.wordle.tweets import read_tweets

HEADER = ["wordle_id", "tweet_id", "tweet_date", "tweet_username", "tweet_text"]
SQUARES = str.maketrans("gyb", "🟩🟨⬛")
OTHERS = str.maketrans("gyb", "🟧🟦⬜")  # high contrast and light mode
TRAIN = [number for number in range(1000, 9000) if zlib.crc32(str(number).encode()) % 50 > 1]
# elder, geese, those, other: geese is byybb against elder, ygbgg has no guess.
WORDS = ["elder", "geese", "those", "other"]


def tweet(*rows, squares=SQUARES, head="Wordle 210 3/6\n\n", tail=""):
    return head + "\n".join(rows).translate(squares) + tail


def table(path, *texts, puzzles=None, ids=None):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for row, text in enumerate(texts):
            puzzle = 210 if puzzles is None else puzzles[row]
            writer.writerow([puzzle, TRAIN[row] if ids is None else ids[row], "2022-01-16", "someone", text])
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tweets.csv"


def load(path, **variant):
    return load_dataset("wordle/tweets-v0", path=path, root=path.parent / "root", **{"words": WORDS, **variant})


def patterns(path, split="train"):
    _, games, dropped = read_tweets(path, split)
    return [[PATTERNS[code] for code in game if code >= 0] for game in games], dropped


def test_squares_are_read(path):
    table(
        path,
        tweet("byybb", "ggggg"),
        tweet("byybb", "ggggg", squares=OTHERS),
        tweet("byybb", "ggggg", head="", tail="\n\nhard today #wordle\nbbbbb"),
        tweet("byybb ", "ggggg\t", tail=" \r\n"),
        tweet("byybb", "ggggg").replace("⬛", "⬛\ufe0f"),
        tweet("bbbbb", "bbbbb", "bbbbb", "bbbbb", "bbbbb", "bbbbb"),
        tweet("ggggg"),
        tweet("bbbbb", "ggggg", tail="\n\nnot " + tweet("yyyyy", head="\n", tail="\n")),
    )
    games, dropped = patterns(path)
    assert games == [["byybb", "ggggg"]] * 5 + [["bbbbb"] * 6, ["ggggg"], ["bbbbb", "ggggg"]]
    assert dropped == {}


def test_what_is_no_game_is_counted(path):
    table(
        path,
        tweet("ggggg"),
        "no squares",
        "bbbbb\nggggg",  # letters are not squares
        tweet("bbbbbb", "ggggg", head="in a row: "),
        tweet("bbbb", "bbbbbb"),
        tweet(*["bbbbb"] * 6, "ggggg"),
        tweet("bbbbb", "byybb"),
        tweet("bbbbb", "ggggg", "ggggg"),
    )
    games, dropped = patterns(path)
    # The fourth is read from its second row on: the first shares its line with words.
    assert games == [["ggggg"], ["ggggg"]]
    assert dropped == {tweets.NO_GRID: 4, tweets.NOT_WHOLE: 2}
    data = load(path)
    assert data.metadata.dropped == {tweets.NO_GRID: 4, tweets.NOT_WHOLE: 2}
    assert load(path).metadata.dropped == data.metadata.dropped  # it stays with the file


def test_columns_may_stand_in_any_order_and_rows_be_torn(path):
    text = tweet("byybb", "ggggg").replace("\n", "\r\n")
    path.write_text(f'\ufefftweet_text,wordle_id,tweet_id\n"{text}",210,{TRAIN[0]}\n\na,b\n"{text}",x,{TRAIN[1]}\n')
    puzzles, games, dropped = read_tweets(path, "train")
    assert puzzles.tolist() == [210, -1]
    assert len(games) == 2
    assert dropped == {tweets.NO_ROW: 1}


def test_words_have_the_colours_that_were_tweeted(path):
    rows = [["bbbbb", "ggggg"], ["byybb", "bbybb", "ggggg"], ["ggggg"], ["bbbbb"] * 6]
    table(path, *(tweet(*row) for row in rows * 20))
    data = load(path, words="common-236")
    task = make_task("Wordle-v0", words="common-236")
    assert len(data) > 40
    for episode in data:
        answer, turns = episode.info["answer"], episode.turns
        assert [turn.text for turn in turns[1::2]] in rows
        assert [feedback(turn.text, answer) for turn in turns[::2]] == [turn.text for turn in turns[1::2]]
        states = [reply.state for reply in task.start([np.random.default_rng(0)], {"answer": answer})]
        for guess, said in zip(turns[::2], turns[1::2], strict=True):
            (reply,) = task.reply(states, [guess.text])
            assert (guess.reward, said.text) == (reply.reward, reply.text)
            states = [reply.state]
        assert reply.terminated
        assert episode.info == {**reply.info, "behaviour": "people"}
        assert (episode.seed, episode.terminated, episode.truncated) == (None, True, False)
    env = data.make_env()
    env.reset(options={"answer": data[0].info["answer"]})
    assert [env.step(turn.text)[1] for turn in data[0].turns[::2]][-1] == 0


def test_hidden_words_and_guesses_are_uniform_over_those_that_fit(path, monkeypatch):
    pattern = feedback("geese", "elder")
    fitting = [(a, g) for a in WORDS for g in WORDS if feedback(g, a) == pattern]
    assert fitting == [("elder", "geese")]
    table(path, *[tweet(pattern, "ggggg")] * 200, *[tweet("ggggg")] * 2000)
    for tries in (8, 1):  # by trying, and mostly by looking at all
        monkeypatch.setattr(tweets, "_TRIES", tries)
        data = load_dataset("wordle/tweets-v0", path=path, words=WORDS, root=path.parent / f"tries {tries}")
        assert {(episode.info["answer"], episode.turns[0].text) for episode in data[:200]} == set(fitting)
        counts = Counter(episode.info["answer"] for episode in data[200:])
        # 2,000 draws of 4 words: 500 each, give or take 4 standard deviations of 19.4.
        assert all(abs(counts[word] - 500) < 78 for word in WORDS)


def test_repeated_letters_follow_the_rules_of_the_task(path):
    table(path, tweet("byybb", "ggggg"), tweet("byyby", "ggggg"))
    official, paper = (load(path, words=["elder", "geese"], duplicates=name) for name in ("official", "paper"))
    assert [episode.turns[1].text for episode in official] == ["byybb"]
    assert [episode.turns[1].text for episode in paper] == ["byyby"]
    assert official.metadata.dropped == paper.metadata.dropped == {tweets.NO_GUESSES: 1}


def test_the_words_that_were_looked_for(path, tmp_path):
    pattern = feedback("geese", "elder")
    table(path, *[tweet(pattern, "ggggg")] * 5, tweet("ggggg"), puzzles=[211, 210, 212, 213, "?", 212])
    (tmp_path / "answers.txt").write_text("geese\nelder\nabbey\n")
    for answers in (["geese", "elder", "abbey"], tmp_path / "answers.txt"):
        data = load(path, answers=answers)
        assert [[turn.text for turn in episode.turns[::2]] for episode in data] == [["geese", "elder"]]
        assert data.metadata.dropped == {tweets.NO_GUESSES: 1, tweets.NOT_IN_WORDS: 2, tweets.NO_ANSWER: 2}
        assert data.metadata.variant["answers"] == ["geese", "elder", "abbey"]


def test_every_tweet_is_in_one_part(path):
    ids = [str(number) for number in range(3000)]
    table(path, *[tweet("ggggg")] * 3000, ids=ids)
    counts = {split: len(load(path, split=split)) for split in ("train", "validation", "test")}
    assert sum(counts.values()) == 3000
    assert all(30 < counts[split] < 90 for split in ("validation", "test"))  # 60 expected


CONTENT = "0887c4ce4859bb8aa2ed12d9d31052dabe58ae7ed20a7d698bc8588c1f42e26c"


def test_smaller_is_the_beginning_and_content_is_the_same_everywhere(path):
    table(path, *[tweet("bbbbb", "byybb", "ggggg"), tweet("bgbbb", "ggggg")] * 30)
    data = load(path, words="common-236")
    assert list(load(path, words="common-236", games=7)) == list(data[:7])
    assert data.metadata.content_hash == CONTENT


def test_a_changed_file_is_another_dataset(path):
    assert len(load(table(path, tweet("ggggg")))) == 1
    assert len(load(table(path, tweet("ggggg"), tweet("ggggg")))) == 2


def test_errors(path, tmp_path):
    with pytest.raises(ValueError, match="reads a file that you have: give path="):
        load_dataset("wordle/tweets-v0", words=WORDS, root=tmp_path)
    with pytest.raises(ValueError, match=r"there is no file '.*none\.csv'"):
        load(tmp_path / "none.csv")
    path.write_text("tweet_id,text\n1,a\n")
    with pytest.raises(DatasetError, match=r"expected the columns wordle_id, .*; it lacks wordle_id, tweet_text"):
        load(path)
    path.write_bytes(b"wordle_id,tweet_id,tweet_text\n1,1,\xff\n")
    with pytest.raises(DatasetError, match="cannot be read as CSV in UTF-8"):
        load(path)
    with pytest.raises(DatasetError, match="holds no game for 'train'; left out: 2 with no grid of 1 to 6 rows"):
        load(table(path, "a", "b"))
    with pytest.raises(ValueError, match="unknown variant of wordle/tweets-v0 'max_guesses'"):
        load(path, max_guesses=5)
    assert not list((path.parent / "root").rglob("*.parquet"))


def test_speed(path):
    # 200,000 rows must take less than 10 s on a quiet core; a tenth of them, in time of this process alone.
    rows = [tweet("bbbbb", "bybbb", "byybb", "ggggg"), tweet("bgbbb", "ggggg"), "no game"]
    ids = range(20_000)
    table(path, *(rows[number % 3] for number in ids), ids=ids)
    began = time.process_time()
    data = load(path, words="common-236")
    assert time.process_time() - began < 2
    assert len(data) + sum(data.metadata.dropped.values()) > 19_000


def test_the_tweeted_answers(path, shared_data):
    answers = shared_data / "wordle" / "tweet_words.txt"
    words = answers.read_text().split()
    games = [[feedback(guess, word), "ggggg"] for word in words for guess in words if guess != word]
    puzzles = [210 + number for number, word in enumerate(words) for _ in words[1:]]
    table(path, *(tweet(*game) for game in games), puzzles=puzzles)
    data = load(path, words=answers, answers=answers)
    assert len(data) == len(games) == 40 * 39
    assert [episode.info["answer"] for episode in data] == [words[puzzle - 210] for puzzle in puzzles]
    assert data.metadata.dropped == {}
