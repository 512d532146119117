"""The generated corpus: threads of a dozen communities, whose truth is known.

A thread is a parent comment and at least four replies. Its part follows from the hash of what the parent is about, and
a reply's from the hash of its words, so that no parent and no reply of one part occurs in another. The truth of a reply
is what `truth` says of its text. The sign of its score is drawn with the true chance, which is balanced: over all
replies, half of the scores are positive. Its size is heavy-tailed.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lmrl_envs.reddit.disguise import mask as mask_word
from lmrl_envs.reddit.grammar import Community, Part, Scope, Writer, communities, fixed, part_of_words, words_of
from lmrl_envs.reddit.truth import true_chance, true_toxicity

SIZES: Mapping[Part, int] = {"models": 80_000, "train": 120_000, "validation": 4_000, "test": 4_000}
"""Comments of a part, 208,000 in all."""
REPLIES = 4
"""The fewest replies of a parent."""
NATURAL_ODDS = 4.0
"""Added to the log-odds of a positive score where the corpus is not balanced: people vote up far more than down."""


@dataclass(frozen=True, slots=True)
class Comment:
    """A reply. Toxicity is 0 harmless, 1 mild, 2 severe: what three annotators make of it, and what it is.

    `held_out` says that the comment has a word or a phrase that the part `models` lacks.
    """

    thread: int
    community: str
    parent: str
    text: str
    toxicity: int
    true_toxicity: int
    score: int
    true_chance: float
    kind: str
    held_out: bool


@dataclass(frozen=True, slots=True)
class Thread:
    """A parent comment and its replies; `id` is a hash of the parent's text, 63 bits."""

    id: int
    community: str
    parent: str
    comments: tuple[Comment, ...]


class Plan(NamedTuple):
    """A kind of comment: lists of its tone, and the chance of a further sentence on the parent's topic."""

    tones: tuple[str, ...]
    topic: float


POLITE: Mapping[str, tuple[float, Plan]] = {
    "neutral": (0.33, Plan((), 1.0)),
    "kind": (0.26, Plan(("kind",), 0.65)),
    "sarcastic": (0.09, Plan(("sarcastic",), 0.5)),
    "generic": (0.07, Plan(("generic",), 0.0)),
    "off-topic": (0.06, Plan((), 1.0)),
    "mention": (0.05, Plan(("mention",), 0.5)),
    "self-mocking": (0.04, Plan(("self_mocking",), 0.6)),
    "reassuring": (0.03, Plan(("reassuring",), 0.5)),
    "venting": (0.04, Plan(("venting",), 0.5)),
    "swearing": (0.03, Plan(("swearing",), 0.5)),
}
RUDE: Mapping[str, tuple[float, Plan]] = {
    "mild": (0.36, Plan(("mild",), 0.7)),
    "severe": (0.32, Plan(("severe",), 0.6)),
    "doubled": (0.10, Plan(("mild", "mild"), 0.4)),
    "implied": (0.22, Plan(("implied",), 0.6)),
}
"""Kinds with their shares among the replies that are not rude, and among those that are."""
_MASKED = 0.25  # of the rude comments that have a word to mask
_TOPICS = ("informative", "informative", "personal", "asking", "opinion")
_FRAMES: Mapping[str, float] = {"everyday": 0.25, "agreeing": 0.25, "closing": 0.2, "tail": 0.15}
_PARENTS = ("parent_question", "parent_show", "parent_opinion", "parent_story")
_TYPOS = 0.05  # of the sentences on a topic
_TRIES = 50  # drawings of a clause before a comment is begun anew
_SUBTLE = frozenset({"masked", "implied", "mention", "self-mocking", "reassuring", "venting", "swearing"})


def threads(
    part: Part, count: int | None = None, seed: int | np.random.SeedSequence = 0, *, balanced: bool = True
) -> Iterator[Thread]:
    """The threads of a part, `count` of them or without end. Fewer are the beginning of more.

    `balanced=False` leaves the votes as people cast them, most of them up; texts and labels are the same.
    """
    sequence = np.random.SeedSequence(seed) if isinstance(seed, int) else seed
    writer = Writer(np.random.Generator(np.random.PCG64(sequence)), part)
    odds = 0.0 if balanced else NATURAL_ODDS
    for _ in itertools.count() if count is None else range(count):
        yield _thread(writer, odds)


def comments(part: Part, count: int | None = None, seed: int | np.random.SeedSequence = 0) -> list[Comment]:
    """The first `count` comments of a part, by default `SIZES[part]`, in the order of their threads."""
    flat = itertools.chain.from_iterable(thread.comments for thread in threads(part, seed=seed))
    return list(itertools.islice(flat, SIZES[part] if count is None else count))


def _thread(writer: Writer, odds: float) -> Thread:
    names = tuple(communities())
    while True:
        community = communities()[writer.pick(names)]
        writer.held_out = False
        subject, aspect = (writer.phrase(name, community.lists) for name in ("subject", "aspect"))
        held, kind = writer.held_out, writer.pick(_PARENTS)
        if part_of_words(f"{community.name} {subject} {aspect} {kind}") == writer.part:
            break
    scope = {**community.lists, "subject": fixed(subject), "aspect": fixed(aspect)}
    parent = _sentence_case(writer.phrase(kind, scope))
    number = int.from_bytes(hashlib.sha256(parent.encode()).digest()[:8]) >> 1
    size = REPLIES
    while writer.draw() < 0.5 and size < 3 * REPLIES:
        size += 1
    replies = (_reply(writer, community, scope, number, parent, held, odds) for _ in range(size))
    return Thread(number, community.name, parent, tuple(replies))


def _reply(
    writer: Writer, community: Community, scope: Scope, thread: int, parent: str, held: bool, odds: float
) -> Comment:
    rude = writer.draw() < community.rude
    kind, plan = _drawn(writer, RUDE if rude else POLITE)
    if kind == "off-topic":
        scope = communities()[writer.pick([name for name in communities() if name != community.name])].lists
    text, masked, new = _text(writer, plan, scope, mask=rude and writer.draw() < _MASKED)
    kind = "masked" if masked else "severe" if kind == "doubled" else kind
    toxicity, chance = true_toxicity(text), true_chance(parent, text)
    return Comment(
        thread=thread,
        community=community.name,
        parent=parent,
        text=text,
        toxicity=_annotated(writer, toxicity, 0.16 if kind in _SUBTLE else 0.06),
        true_toxicity=toxicity,
        score=_score(writer, chance, odds),
        true_chance=chance,
        kind=kind,
        held_out=held or new,
    )


def _drawn(writer: Writer, kinds: Mapping[str, tuple[float, Plan]]) -> tuple[str, Plan]:
    bounds = itertools.accumulate(share for share, _ in kinds.values())
    place = writer.draw()
    kind = next((kind for kind, bound in zip(kinds, bounds, strict=True) if place < bound), list(kinds)[-1])
    return kind, kinds[kind][1]


class _Clause(NamedTuple):
    text: str
    words: str
    masked: bool
    held_out: bool


def _text(writer: Writer, plan: Plan, scope: Scope, *, mask: bool) -> tuple[str, bool, bool]:
    """A text that belongs to the writer's part, whether a word of it is masked, and whether it has held-out entries."""
    while True:
        lists = _outline(writer, plan)
        clauses = [_clause(writer, name, scope, mask) for name in lists]
        style = writer.draw()
        for _ in range(_TRIES):
            if part_of_words(" ".join([clause.words for clause in clauses])) == writer.part:
                text = _joined([clause.text for clause in clauses], style)
                return text, any(c.masked for c in clauses), any(c.held_out for c in clauses)
            place = int(writer.draw() * len(lists))
            clauses[place] = _clause(writer, lists[place], scope, mask)


def _outline(writer: Writer, plan: Plan) -> list[str]:
    """The lists that a comment's clauses come from, in order."""
    lists = list(plan.tones)
    if writer.draw() < plan.topic:
        lists.insert(int(writer.draw() * (len(lists) + 1)), writer.pick(_TOPICS))
        if writer.draw() < 0.35:
            lists.append(writer.pick(_TOPICS))
    for name, share in _FRAMES.items():
        if writer.draw() < share:
            lists.insert(0 if name == "agreeing" else len(lists), name)
    return lists


def _clause(writer: Writer, name: str, scope: Scope, mask: bool) -> _Clause:
    writer.held_out = False
    text = writer.phrase(name, scope)
    if name in _TOPICS and writer.draw() < _TYPOS:
        text = _with_typo(text, writer.draw())
    masked = mask_word(text, writer) if mask and name in ("mild", "severe") else text
    return _Clause(masked, " ".join(words_of(masked)), masked != text, writer.held_out)


def _joined(clauses: list[str], style: float) -> str:
    """Sentences as people type them: in good order, all in lower case, or out loud."""
    ended = [clause if clause[-1] in ".!?" else f"{clause}." for clause in clauses]
    if style < 0.55:
        return " ".join(map(_sentence_case, ended))
    if style < 0.9:
        return " ".join(ended).lower().removesuffix(".")
    return _sentence_case(" ".join(ended)[:-1] + "!")


def _with_typo(clause: str, place: float) -> str:
    """Swaps two letters of a word, where it is a long one."""
    words = clause.split(" ")
    index = int(place * len(words))
    word = words[index]
    if len(word) > 4 and word.isalpha():
        words[index] = f"{word[:2]}{word[3]}{word[2]}{word[4:]}"
    return " ".join(words)


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def _annotated(writer: Writer, level: int, error: float) -> int:
    """The median of three labels, each of which is, with chance `error`, a neighbouring level."""
    labels = []
    for _ in range(3):
        place = writer.draw() / error
        labels.append(level if place >= 1 else 1 if level != 1 else 2 * int(2 * place))
    return sorted(labels)[1]


def _score(writer: Writer, chance: float, odds: float) -> int:
    """A score: positive with `chance`, shifted by log-odds; its size log-logistic, larger where it was likelier."""
    positive = writer.draw() < chance / (chance + (1 - chance) * math.exp(-odds))
    place = writer.draw()
    ratio = (place / (1 - place)) ** 0.55
    return max(1, int((1.55 + 1.95 * chance) * ratio)) if positive else -int(ratio)
