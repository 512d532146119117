"""The language of the generated comments: lists of phrases with slots, and the writer that fills them.

The lists stand in `lexicon/`. A phrase is text with slots: `{name}` stands for an entry of another list, `[a|b|]` for
one of some texts, perhaps none. Entries of tone lists and subjects may be *held out*: the part `models`, from which
reward models learn, never draws them, all others do, so that what these models make of new words can be measured.
"""

from __future__ import annotations

import re
import tomllib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar, get_args

import numpy as np

Part = Literal["models", "train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
SHARES: Mapping[Part, float] = {"models": 0.3, "train": 0.5, "validation": 0.1, "test": 0.1}
"""The share of all possible texts that belongs to a part; how many of them are drawn is another matter."""
HELD_TONES, HELD_SUBJECTS = 5, 12
"""One in so many entries is held out."""

T = TypeVar("T")
Phrase = tuple  # of nodes: text, a Slot, or a tuple of phrases of which one is drawn
_FOLDER = Path(__file__).parent / "lexicon"
_BUFFER = 4096  # uniforms drawn at a time


class Slot(NamedTuple):
    """A place in a phrase for an entry of the list `name`."""

    name: str


class PhraseList(NamedTuple):
    """Entries of a list: `all_of` them with whether each is held out, and those that are not."""

    all_of: tuple[tuple[Phrase, bool], ...]
    open_ones: tuple[tuple[Phrase, bool], ...]


Scope = Mapping[str, PhraseList]


@dataclass(frozen=True)
class Community:
    """A forum: the lists `subject`, `aspect`, `tip`, `problem`, `gear` and `fact`, and its manners.

    `likes` maps a quality of a reply to its weight in the log-odds of an upvote, `blunt` is the share of the penalty
    for rudeness that is forgiven, `rude` the share of replies that are rude.
    """

    name: str
    lists: Scope
    likes: Mapping[str, float]
    blunt: float
    rude: float


class Writer:
    """Draws phrases for one part, by `Generator.random` alone, so that texts are the same on every machine.

    `held_out` says whether a phrase written since it was last cleared had an entry that reward models never see.
    """

    def __init__(self, rng: np.random.Generator, part: Part):
        self._uniforms = _uniforms(rng)
        self.part = part
        self.held_out = False

    def draw(self) -> float:
        """A uniform number in [0, 1)."""
        return next(self._uniforms)

    def pick(self, items: Sequence[T]) -> T:
        """A uniform one of `items`."""
        return items[int(next(self._uniforms) * len(items))]

    def phrase(self, name: str, scope: Scope) -> str:
        """An entry of the list `name`, of `scope` where it has that list, with its slots filled."""
        pieces: list[str] = []
        self._fill(name, scope, pieces)
        return with_article(" ".join("".join(pieces).split()))

    def _fill(self, name: str, scope: Scope, pieces: list[str]) -> None:
        entries = scope.get(name) or lexicon()[name]
        phrase, held = self.pick(entries.open_ones if self.part == "models" else entries.all_of)
        self.held_out |= held
        self._write(phrase, scope, pieces)

    def _write(self, phrase: Phrase, scope: Scope, pieces: list[str]) -> None:
        for node in phrase:
            if type(node) is str:
                pieces.append(node)
            elif type(node) is Slot:
                self._fill(node.name, scope, pieces)
            else:
                self._write(self.pick(node), scope, pieces)


def part_of(text: str) -> Part:
    """The part that a text belongs to: case and punctuation do not matter."""
    return part_of_words(" ".join(words_of(text)))


def part_of_words(words: str) -> Part:
    """The part that a text belongs to whose words, joined by single spaces, are `words`: by their hash."""
    place = zlib.crc32(words.encode()) / 2**32
    for part in PARTS:
        place -= SHARES[part]
        if place < 0:
            return part
    return PARTS[-1]


def words_of(text: str) -> list[str]:
    """The words of a text, lower case, without punctuation: what two spellings of one text share."""
    return _WORD.findall(text.lower())


def fixed(text: str) -> PhraseList:
    """A list with one entry, for a scope that settles a slot."""
    entry = (((text,), False),)
    return PhraseList(entry, entry)


def with_article(text: str) -> str:
    """Writes `a` as `an` before a vowel's sound."""
    return _ARTICLE.sub(r"\1n ", text)


@cache
def lexicon() -> Scope:
    """The lists that all communities share, by name."""
    talk, tone = (tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8")) for name in ("talk", "tone"))
    lists = {name: _compiled(re.split("\n" if "[" in text else ",|\n", text)) for name, text in talk.items()}
    return lists | {name: _compiled(text.split("\n"), held=HELD_TONES) for name, text in tone.items()}


@cache
def communities() -> Mapping[str, Community]:
    """The communities by name."""
    table = tomllib.loads((_FOLDER / "communities.toml").read_text(encoding="utf-8"))
    return {name: _community(name, fields) for name, fields in table.items()}


@cache
def cues() -> Mapping[str, frozenset[str]]:
    """The sets of words by which the truth reads a text, by name."""
    table = tomllib.loads((_FOLDER / "cues.toml").read_text(encoding="utf-8"))
    return {name: frozenset(words.split()) for name, words in table.items()}


def _community(name: str, fields: Mapping) -> Community:
    names = {"aspects": "aspect", "tips": "tip", "problems": "problem", "gear": "gear", "facts": "fact"}
    lists = {name: _compiled(re.split(",|\n", fields[key])) for key, name in names.items()}
    lists["subject"] = _compiled(re.split(",|\n", fields["subjects"]), held=HELD_SUBJECTS)
    lists |= {"aspect2": lists["aspect"], "tip2": lists["tip"], "my": fixed(fields["own"]), "one": fixed(fields["one"])}
    return Community(name, lists, fields["likes"], fields["blunt"], fields["rude"])


def _compiled(lines: Sequence[str], *, held: int | None = None) -> PhraseList:
    """Parses a list's entries; of `held`, one in so many is held out."""
    entries = []
    for line in filter(None, map(str.strip, lines)):
        is_held = held is not None and zlib.crc32(line.encode()) % held == 0
        entries.append((_parsed(line), is_held))
    return PhraseList(tuple(entries), tuple(entry for entry in entries if not entry[1]) or tuple(entries))


def _parsed(text: str) -> Phrase:
    nodes: list = []
    for choices, slot, literal in _NODE.findall(text):
        if slot:
            nodes.append(Slot(slot))
        elif literal:
            nodes.append(literal)
        else:
            nodes.append(tuple(map(_parsed, choices.split("|"))))
    return tuple(nodes)


def _uniforms(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.random(_BUFFER).tolist()


_NODE = re.compile(r"\[([^\]]*)\]|\{(\w+)\}|([^\[\]{}]+)")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeio]|u(?!s|ni)|hour|honest)")
