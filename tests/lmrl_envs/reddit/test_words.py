from __future__ import annotations

import time

import pytest

from lmrl_envs.reddit.words import MAX_WORD, feature_names, pair_feature, plain, split_words, word_features


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\n ", []),
        ("Nice work, m0ron!!", ["Nice", "work", ",", "m0ron", "!!"]),
        ("you a**hole, f***ing $tupid sh!t!", ["you", "a**hole", ",", "f***ing", "$tupid", "sh!t", "!"]),
        ("what an i.d.i.o.t", ["what", "an", "idiot"]),
        ("a well-known *really* good don't", ["a", "well", "known", "really", "good", "don't"]),
        ("<b>hi</b>", ["<", "b", ">", "hi", "</", "b", ">"]),
        ("x\u200by \u202eidiot ｉｄｉｏｔ", ["xy", "idiot", "idiot"]),
        ("\ud800 日本語 été", ["\ufffd", "日本語", "été"]),
    ],
)
def test_words_keep_their_masks_and_lose_their_disguise(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_plain_leaves_nothing_that_breaks_later() -> None:
    text = plain("".join(map(chr, range(0x3000))) + "\ud800\udfff\U0001f600")
    text.encode()
    assert not any(ord(character) < 32 for character in text)


def test_a_masked_word_looks_like_the_word() -> None:
    names, masked = feature_names("moron"), feature_names("M0RON")
    assert set(names) < set(masked)
    assert set(masked) - set(names) == {"*", "!CAPITALS"}
    assert "a..e7" in feature_names("a**hole")
    assert feature_names("looooser") == feature_names("loser")
    assert "*" not in feature_names("don't") + feature_names("don’t") + feature_names("1984")


def test_features_are_the_same_on_every_machine() -> None:
    assert word_features("moron", 8192)[:3] == (1648, 3269, 1561)
    assert (
        pair_feature("You", "moron", 8192) == pair_feature("you", "MORON", 8192) != pair_feature("moron", "you", 8192)
    )
    assert all(0 <= feature < 100 for feature in word_features("\ufffd日", 100))
    assert len(word_features("x" * 100_000, 8192)) < 3 * MAX_WORD


def test_a_long_text_takes_no_time() -> None:
    begun = time.process_time()
    for text in ("*" * 10**5, "a." * 10**5, "a!" * 10**5, "\u202e" * 10**5, "a" * 10**6):
        split_words(text)
    assert time.process_time() - begun < 5
