from __future__ import annotations

import numpy as np
import pytest

from lmrl_envs.reddit.disguise import mask, rude_terms, rude_words, unmask
from lmrl_envs.reddit.grammar import Writer


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("you m0r0n", "you moron"),
        ("such an a**hole!", "such an asshole!"),
        ("you i d i o t", "you idiot"),
        ("a c.l.o.w.n, really", "a clown, really"),
        ("you moooooron", "you moron"),
        ("you foooool", "you fool"),
        ("what a !diot.", "what a idiot."),
        ("l*ser", "loser"),
        ("you p***y toad", "you phony toad"),  # not party, which is half of a party pooper
        ("STUP1D", "stupid"),
        ("p a t h e t i c take", "pathetic take"),
    ],
)
def test_masked_words_are_read(text, read):
    assert unmask(text) == read


@pytest.mark.parametrize(
    "text",
    [
        "my 2 cents, 100% of it",
        "10/10, would do it again at 6 a.m.",
        "i am a b c kind of person",
        "soooo good",
        "e.g. x*y = 3",
        "$5 for #1",
    ],
)
def test_other_words_stay(text):
    assert unmask(text) == text


def test_any_mask_of_any_rude_word_is_read():
    writer = Writer(np.random.Generator(np.random.PCG64(0)), "test")
    words = sorted(word for word in rude_words() if len(word) > 3)
    assert len(words) > 150
    for word in words:
        for _ in range(12):
            masked = mask(f"you {word}.", writer)
            assert masked != f"you {word}."
            assert unmask(masked).removeprefix("you ").removesuffix(".") in rude_words(), masked


def test_what_has_no_rude_word_is_not_masked():
    writer = Writer(np.random.Generator(np.random.PCG64(0)), "test")
    assert mask("have a nice day", writer) == "have a nice day"


def test_severities():
    terms = rude_terms()
    assert (terms["idiot"], terms["stupid"], terms["asshole"], terms["vile"]) == (1, 1, 2, 2)
