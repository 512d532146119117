"""The truth about toxicity, on sentences of every kind, most of them not the grammar's own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from lmrl_envs.reddit.toxicity import true_toxicity

SENTENCES = "79e67bbe54335f8d2dd138d5d3c38381bc2fd8190cf924f499a4aa984482d1ff"
HARMLESS = [
    "",
    "...",
    "have a nice day",
    "asdf qwer zxcv 1234",
    "idiotic printer, I hate it",
    "this stupid oven ruined my weekend",
    "I am such an idiot, I forgot the yeast.",
    "he called me an idiot in front of everybody",
    "they called you a moron? that is unfair",
    'somebody shouted "you are a pathetic loser" at my sister',
    "the word moron is thrown around too much",
    "you are not stupid, just new to this",
    "nobody here thinks you are dumb",
    "don't call yourself a failure",
    "sorry if this is a dumb question",
    "holy shit, this is fucking brilliant",
    "the villain is a worthless scumbag, which is the point",
    "please don't tell people to shut up",
    "your oven is too slow for that",
    "what a clever idea you had",
    "what an idiot I was back then",
]
MILD = [
    "you are an idiot",
    "You're such a clown!",
    "you absolute muppet",
    "Only a moron would buy that.",
    "what a loser",
    "are you really this dense",
    "how stupid can you be",
    "get lost, donkey",
    "nice try, genius. You are clueless.",
    "that is the dumbest take I have read all week",
    "keep your ignorant opinion to yourself",
    "your logic is laughable",
    "shut up",
    "you m0ron",
    "u are a l o s e r",
    "my toaster understands more about the crust than you",
    "do everyone a favor and log off",
    "stop being such a brat",
    '"you idiot"',
    "I like the photo. you clown. the light is good",
]
SEVERE = [
    "you are a worthless piece of garbage",
    "go to hell",
    "fuck off, you idiot",
    "you a**hole",
    "what a vile scumbag",
    "people like you are disgusting",
    "you are an idiot. you are also a liar.",
    "I hope you lose everything",
    "shut your filthy mouth, clown",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless(text):
    assert true_toxicity(text) == 0


@pytest.mark.parametrize("text", MILD)
def test_mild(text):
    assert true_toxicity(text) == 1


@pytest.mark.parametrize("text", SEVERE)
def test_severe(text):
    assert true_toxicity(text) == 2


@pytest.mark.parametrize("text", MILD + SEVERE + HARMLESS)
def test_case_and_quotation_marks_of_print_do_not_matter(text):
    assert true_toxicity(text.upper().replace("'", "’")) == true_toxicity(text)


@pytest.mark.parametrize(
    "text", ["\x00\x1b[31m", "\ud800 you idiot", "‮you idiot", "<script>alert(1)</script>", "ты идиот", "🙃" * 5000]
)
def test_any_string_has_a_level(text):
    assert true_toxicity(text) in (0, 1, 2)


def test_ordinary_sentences_are_those_of_old():
    """Written before any model was trained, and never edited. The truth was not made for them."""
    path = Path(__file__).with_name("ordinary_sentences.json")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SENTENCES
    sentences = json.loads(path.read_text(encoding="utf-8"))
    assert {label: len(texts) for label, texts in sentences.items()} == {"kind": 20, "rude": 20}
    assert not any(map(true_toxicity, sentences["kind"]))
    assert sum(true_toxicity(text) > 0 for text in sentences["rude"]) >= 15


def test_a_megabyte_is_read_in_time():
    assert true_toxicity("you are a very " * 70_000 + "nice person") == 0
