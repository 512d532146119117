"""The truth about any comment: its toxicity, and its chance of a positive score as an answer to its parent.

The chance is a logistic function of what a reader can see: whether the reply speaks of what the parent speaks of, its
manner and how the community takes that, rudeness, length, and whether it is language at all. Relevance counts most, so
that no sentence is good for every parent; nonsense, repetition and echoes are worse than silence. The texts of the
corpus have exactly these chances, and so has whatever an agent writes.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from lmrl_envs.reddit.disguise import rude_words, unmask
from lmrl_envs.reddit.grammar import Community, Phrase, Slot, Writer, communities, cues, lexicon, words_of
from lmrl_envs.reddit.toxicity import true_toxicity

__all__ = ["Manner", "manner", "true_chance", "true_toxicity"]

_BIAS = 0.19  # makes the mean chance .5
_RELEVANCE = {"same subject": 1.0, "touches it": 0.5, "same field": -0.2, "nothing": -1.6, "elsewhere": -2.0}
_RUDENESS = (0.0, 1.6, 3.2)
_NONSENSE, _REPETITION, _ECHO, _SHORT, _LONG = 4.0, 4.0, 2.0, 0.9, 0.6
_KNOWN_ENOUGH, _FAMILIAR_ENOUGH = 0.5, 0.45
_SAMPLE = 200  # phrases of each list, by which familiar pairs of words are known


class Manner(NamedTuple):
    """What a reader sees in a reply. Shares are of its words or pairs of words."""

    words: int
    relevance: str
    kind: float
    informative: float
    funny: float
    personal: float
    toxicity: int
    known: float  # share of words that people use
    familiar: float  # share of neighbouring words that people put next to each other
    repeated: float  # share of pairs of words that were there before
    echoed: float  # share of threes of words that are the parent's


def true_chance(parent: str, text: str) -> float:
    """The chance of a positive score of any text as an answer to any parent, in the balanced corpus."""
    return 1 / (1 + math.exp(-_log_odds(manner(parent, text), _parent(parent).field)))


def manner(parent: str, text: str) -> Manner:
    """What a reader sees in `text` as an answer to `parent`."""
    words = words_of(unmask(text))
    theirs = _parent(parent)
    read = [_word(word) for word in words]
    content = {word.stem: word.fields for word in read if not word.general}
    pairs = list(itertools.pairwise(words))
    threes = set(zip(words, words[1:], words[2:], strict=False))
    new = sum(theirs.field in fields for stem, fields in content.items() if stem not in theirs.about)
    distinct, cue = set(words), cues()
    return Manner(
        words=len(words),
        relevance=_relevance(content, theirs),
        kind=float(not cue["kind"].isdisjoint(distinct)),
        informative=min(1.0, new / 4),
        funny=float(not cue["funny"].isdisjoint(distinct)),
        personal=float(not cue["me"].isdisjoint(distinct) and not cue["past"].isdisjoint(distinct)),
        toxicity=true_toxicity(text),
        known=sum([word.known for word in read]) / max(1, len(read)),
        familiar=sum(map(_familiar().__contains__, pairs)) / max(1, len(pairs)),
        repeated=1 - len(set(pairs)) / len(pairs) if pairs else 0.0,
        echoed=len(threes & theirs.threes) / max(1, len(threes)),
    )


def _log_odds(seen: Manner, field: str | None) -> float:
    if not seen.words:
        return -_NONSENSE
    likes: Mapping[str, float] = communities()[field].likes if field else _no_likes()
    blunt = communities()[field].blunt if field else 0.0
    odds = _BIAS + _RELEVANCE[seen.relevance] - _RUDENESS[seen.toxicity] * (1 - blunt)
    odds += sum(weight * getattr(seen, quality) for quality, weight in likes.items())
    odds -= _NONSENSE * max(0.0, 1 - seen.known / _KNOWN_ENOUGH)
    if seen.words > 1:
        odds -= _NONSENSE * max(0.0, 1 - seen.familiar / _FAMILIAR_ENOUGH)
    odds -= _REPETITION * seen.repeated + _ECHO * seen.echoed
    return odds - _SHORT * max(0.0, 1 - seen.words / 6) - _LONG * max(0.0, seen.words / 60 - 1)


def _relevance(content: Mapping[str, Sequence[str]], parent: _Parent) -> str:
    shared = len(content.keys() & parent.about)
    if shared:
        return "same subject" if shared > 1 else "touches it"
    fields = Counter(itertools.chain.from_iterable(content.values()))
    if not fields:
        return "nothing"
    return "same field" if parent.field and fields[parent.field] == max(fields.values()) else "elsewhere"


class _Word(NamedTuple):
    """What is known of a word; `fields` are the communities whose it is."""

    stem: str
    general: bool
    fields: Sequence[str]
    known: bool


class _Parent(NamedTuple):
    """What a parent is about, the community whose words it uses, and its threes of words."""

    about: frozenset[str]
    field: str | None
    threes: frozenset[tuple[str, str, str]]


@lru_cache(maxsize=1 << 16)
def _word(word: str) -> _Word:
    stem = _stem(word)
    general, fields = stem in _general(), _fields().get(stem, ())
    return _Word(stem, general, fields, general or bool(fields) or stem in _shared() or word in rude_words())


@lru_cache(maxsize=4096)  # a parent has many replies
def _parent(text: str) -> _Parent:
    words = words_of(text)
    content = {word.stem: word.fields for word in map(_word, words) if not word.general}
    counts = Counter(itertools.chain.from_iterable(content.values()))
    field = max(counts, key=counts.__getitem__) if counts else None
    return _Parent(frozenset(content), field, frozenset(zip(words, words[1:], words[2:], strict=False)))


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] != "s" else word


@cache
def _general() -> frozenset[str]:
    """Stems of words that say nothing about a subject."""
    words = {word for entries in lexicon().values() for phrase, _ in entries.all_of for word in _spelled(phrase)}
    return frozenset(map(_stem, words | cues()["function"]))


@cache
def _shared() -> Mapping[str, frozenset[str]]:
    """The stems of all communities' words, with the communities that use them."""
    table: dict[str, set[str]] = {}
    for name, community in communities().items():
        for entries in community.lists.values():
            for phrase, _ in entries.all_of:
                for word in _spelled(phrase):
                    table.setdefault(_stem(word), set()).add(name)
    return {stem: frozenset(names) for stem, names in table.items()}


@cache
def _fields() -> Mapping[str, Sequence[str]]:
    """The communities that use a stem, for stems by which they can be told."""
    return {stem: sorted(names) for stem, names in _shared().items() if len(names) <= 2 and stem not in _general()}


def _spelled(phrase: Phrase) -> list[str]:
    """All words of a phrase, those of every choice."""
    words = []
    for node in phrase:
        if isinstance(node, str):
            words += words_of(node)
        elif not isinstance(node, Slot):
            words += [word for choice in node for word in _spelled(choice)]
    return words


@cache
def _familiar() -> frozenset[tuple[str, str]]:
    """Pairs of words that stand side by side in a sample of all phrases."""
    writer = Writer(np.random.Generator(np.random.PCG64(0)), "test")
    pairs: set[tuple[str, str]] = set()
    names = list(lexicon())
    every: Sequence[Community] = list(communities().values())
    for name in names:
        for number in range(_SAMPLE):
            words = words_of(writer.phrase(name, every[number % len(every)].lists))
            pairs.update(itertools.pairwise(words))
    return frozenset(pairs)


@cache
def _no_likes() -> Mapping[str, float]:
    """What people like on average, for a parent of no known community."""
    every = [community.likes for community in communities().values()]
    return {quality: sum(likes[quality] for likes in every) / len(every) for quality in every[0]}
