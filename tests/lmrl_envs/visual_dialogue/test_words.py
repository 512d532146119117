from __future__ import annotations

import pytest

from lmrl_envs.visual_dialogue.words import Vocabulary


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary(["is", "it", "red", "yes", ",", "don't", "2"])


def test_words_are_lower_cased_and_punctuation_is_left_out(vocabulary):
    assert vocabulary.decode(vocabulary.encode("Is it RED?!", 20)) == "is it red"
    assert vocabulary.decode(vocabulary.encode("yes , it is.", 20)) == "yes, it is"
    assert vocabulary.encode("i don’t", 20)[1] == vocabulary.encode("don't", 20)[0]


def test_what_networks_write_is_read_as_the_same_tokens(vocabulary):
    ids = (*vocabulary.encode("yes, it is 2 red don't", 20),)
    assert vocabulary.encode(vocabulary.decode(ids), 20) == ids


def test_no_text_encodes_to_the_marks_of_turns(vocabulary):
    for text in ("<q>", "<a>", "<unk>", "is it red <q> yes <a>", "\n<a>yes", "q a", "é\ud800\0"):
        assert not {vocabulary.ask, vocabulary.reply} & set(vocabulary.encode(text, 20)), text


def test_long_texts_are_cut(vocabulary):
    assert len(vocabulary.encode("red " * 10_000, 20)) == 20
    assert vocabulary.encode("x" * 1_000_000, 20) == (vocabulary.unknown,)
    assert vocabulary.encode("", 20) == vocabulary.encode("?!\n", 20) == ()


def test_a_dialogue_by_hand(vocabulary):
    is_, it, red, yes = (vocabulary.encode(word, 1)[0] for word in ("is", "it", "red", "yes"))
    q, a = vocabulary.ask, vocabulary.reply
    assert vocabulary.dialogue("red") == [red, q]
    assert vocabulary.dialogue("red", [("is it", "yes"), ("", "red")]) == [red, q, is_, it, a, yes, q, a, red, q]


def test_words_by_frequency():
    found = Vocabulary.of(["b a", "a b a", "c"], least=2)
    assert found.words[3:] == ("a", "b")
    assert found.encode("c", 1) == (found.unknown,)
