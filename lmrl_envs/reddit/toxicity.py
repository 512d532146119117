"""The truth about toxicity, for any text: whether a person is called something, sent away, or belittled.

Rude words alone decide nothing. What counts is at whom they are aimed: `you are an idiot` is toxic, and `he called me
an idiot`, `I am an idiot`, `you are not an idiot` and `this idiotic printer` are not. Phrases that need no rude word to
hurt are the lists `dismissal`, `curse` and `implied` of the lexicon, with anything in their slots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from lmrl_envs.reddit.disguise import MILD, SEVERE, rude_terms, unmask
from lmrl_envs.reddit.grammar import Phrase, Slot, cues, lexicon

_CUES = cues()
_ARTICLES = frozenset({"a", "an", "the"})
_BREAKS = frozenset(",.")
_TOKEN = re.compile(r"[.!?;]+|[,:]|[^\s.,;:!?]+")
_QUOTED = re.compile(r'"[^"]*"')
_LOOK_BACK = 4  # words before an attack in which a negation or a word of speech makes it harmless


class _Attack(NamedTuple):
    """A phrase that hurts without a rude word, and words of which a text must have one to be worth a look."""

    pattern: re.Pattern[str]
    severity: int


@lru_cache(maxsize=256)  # the truth about upvotes asks again
def true_toxicity(text: str) -> int:
    """The level of any text: 0 harmless, 1 mild, 2 severe. Two mild attacks are severe; nonsense is harmless."""
    read = unmask(text.replace("’", "'"))
    if '"' in read:
        outside = _QUOTED.sub(" ", read)
        if len(outside.split()) >= 3:  # a quotation within a sentence of one's own
            read = outside
    levels = [level for sentence in _sentences(read) if (level := _level(sentence))]
    return min(SEVERE, sum(levels))


def _sentences(text: str) -> Iterator[list[str]]:
    """The words of each sentence, rude groups of words as one, commas kept."""
    sentence: list[str] = []
    for token in _TOKEN.findall(_terms().sub(lambda found: found[0].replace(" ", "_"), text)):
        if token[0] in ".!?;":
            if sentence:
                yield sentence
            sentence = []
        else:
            sentence.append("," if token == ":" else token.strip("\"'()[]*") or token)
    if sentence:
        yield sentence


def _level(sentence: Sequence[str]) -> int:
    severity = _rude()
    rude = [place for place, word in enumerate(sentence) if word in severity]
    level = max((severity[sentence[place]] for place in rude if _aimed(sentence, place)), default=0)
    return max(level, _attacked(sentence))


def _aimed(sentence: Sequence[str], place: int) -> bool:
    """Whether the rude term at `place` is said of the person spoken to."""
    return (
        _linked(sentence, place)
        or _called(sentence, place)
        or _exclaimed(sentence, place)
        or _said_of_words(sentence, place)
    )


def _linked(sentence: Sequence[str], place: int) -> bool:
    """`you are such a {term}`, `you {term}`, `are you this {term}`: `you`, words that say nothing, the term."""
    article = link = False
    for before in range(place - 1, -1, -1):
        word = sentence[before]
        if word in _CUES["you"]:
            if _harmless_before(sentence, before):
                return False
            asked = before > 0 and sentence[before - 1] in ("are", "were")
            return not article or link or asked or word != "you"
        if word == "," and before and sentence[before - 1] == "you":
            continue
        if not (word in _CUES["between"] or word in _rude() or word in _intensifiers() or word.endswith("ly")):
            return False
        article |= word in _ARTICLES
        link |= word in _CUES["links"]
    return False


def _called(sentence: Sequence[str], place: int) -> bool:
    """A call: `..., {term}` at the end, `hey {term}`, or nothing but the term."""
    end = len(sentence)
    while end and sentence[end - 1] in ("please", "lol", "haha", "already"):
        end -= 1
    if place + 1 < end:
        return False
    start = place
    while start and sentence[start - 1] in _rude():
        start -= 1
    if start == 0:
        return sentence[place] in _names()
    if sentence[start - 1] == ",":
        return sentence[place] in _names()
    return all(word in _CUES["openers"] for word in sentence[:start]) and sentence[place] in _names()


def _exclaimed(sentence: Sequence[str], place: int) -> bool:
    """`what a {term}`, `only a {term} would`, `stop being such a {term}`, `how {term} are you`, `as {term} as you`."""
    start = place
    while start and (sentence[start - 1] in _rude() or sentence[start - 1] in _intensifiers()):
        start -= 1
    words = list(sentence[:start])
    if list(sentence[place + 1 : place + 3]) == ["as", "you"]:
        return True
    if words and words[0] == "how":
        return "you" in sentence[place + 1 : place + 5]
    if "being" in words and words[0] == "imagine":
        return all(word in _CUES["between"] or word in ("imagine", "actually") for word in words)
    if words in (["what", "a"], ["what", "an"]) and " ".join(sentence[-2:]) == "you are":
        return True
    lead = [word for word in words if word not in ("such", "so")]
    if lead[-1:] in (["a"], ["an"]) and sentence[place] in _names():
        after = sentence[place + 1 :]
        if lead[-2:-1] == ["what"] and len(lead) == 2:
            return not {"i", "me", "my"} & set(after)
        if lead[-2:-1] in (["only"], ["just"]):
            return bool(after) and after[0] in ("would", "could")
    return lead[:1] in (["don't"], ["stop"], ["quit"]) and lead[1:2] in (["be"], ["being"]) and len(lead) <= 3


def _said_of_words(sentence: Sequence[str], place: int) -> bool:
    """`your {term} opinion`, `your logic is {term}`, `the {term}est take`, `typical {term} question from a ...`."""
    after = list(sentence[place + 1 : place + 3])
    thoughts = _thoughts()
    before = place - 1
    while before >= 0 and (
        sentence[before] in _rude() or sentence[before] in _CUES["between"] or sentence[before] in _CUES["links"]
    ):
        before -= 1
    word = sentence[before] if before >= 0 else ""
    if any(noun in thoughts or noun in _CUES["mind"] for noun in after):
        if _harmless_before(sentence, place) or _CUES["hedges"] & set(sentence[max(0, place - 5) : place]):
            return False
        spoken = sentence[max(0, place - 5) : place]
        if word in _CUES["your"] or word in ("that's", "another", "typical"):
            return True
        return any(link in spoken for link in ("is", "that's")) and any(w in spoken for w in ("that", "this", "that's"))
    if (word in thoughts or word in _CUES["mind"]) and "is" in sentence[before:place]:
        return before > 0 and sentence[before - 1] in _CUES["your"]
    return word == "from" and before > 0 and sentence[before - 1] in thoughts


def _harmless_before(sentence: Sequence[str], place: int) -> bool:
    """Whether a negation or a word of speech stands shortly before, in the same clause."""
    for word in reversed(sentence[max(0, place - _LOOK_BACK) : place]):
        if word in _BREAKS:
            return False
        if word in _CUES["not"] or word in _CUES["speech"]:
            return True
    return False


def _attacked(sentence: Sequence[str]) -> int:
    text = " ".join([word for word in sentence if word != ","]).replace("_", " ")
    level = 0
    for attack in dict.fromkeys(attack for word in text.split() for attack in _attacks().get(word, ())):
        found = attack.pattern.search(text)
        if found and not _CUES["speech"] & set(text[: found.start()].split()[-_LOOK_BACK:]):
            level = max(level, attack.severity)
    return level


@cache
def _rude() -> Mapping[str, int]:
    """Severity of rude terms, groups of words joined by `_`."""
    return {term.replace(" ", "_"): severity for term, severity in rude_terms().items()}


@cache
def _terms() -> re.Pattern[str]:
    """The rude terms of several words."""
    groups = sorted((term for term in rude_terms() if " " in term), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, groups))})\b")


@cache
def _names() -> frozenset[str]:
    """Rude terms that one can be called."""
    return frozenset("".join(map(str, phrase)).replace(" ", "_")
                     for name in ("insult", "foul") for phrase, _ in lexicon()[name].all_of)  # fmt: skip


@cache
def _intensifiers() -> frozenset[str]:
    return frozenset(word for text in _texts("very") for word in text.split())


@cache
def _thoughts() -> frozenset[str]:
    """What people write and think: to call it stupid is rude, too."""
    return frozenset(_texts("thought"))


def _texts(name: str) -> Iterator[str]:
    """The texts of a list whose entries are groups of plain choices."""
    for phrase, _ in lexicon()[name].all_of:
        for node in phrase:
            yield from (node,) if isinstance(node, str) else ("".join(choice) for choice in node)


@cache
def _attacks() -> Mapping[str, Sequence[_Attack]]:
    """The phrases that hurt without a rude word, by words of which any text with the phrase has one."""
    table: dict[str, list[_Attack]] = {}
    for name, severity in (("dismissal", MILD), ("curse", SEVERE), ("implied", MILD)):
        for phrase, _ in lexicon()[name].all_of:
            spelled = re.sub(r"(?: \*)+", " *", _pattern(phrase))
            attack = _Attack(re.compile(rf"(?<!\S){spelled}(?!\S)"), severity)
            for word in _anchors(phrase):
                table.setdefault(word, []).append(attack)
    return table


def _pattern(phrase: Phrase) -> str:
    """A phrase as a regular expression over words without punctuation; a slot is one to six words."""
    pieces = []
    for node in phrase:
        if isinstance(node, Slot):
            pieces.append(r"\S+(?: \S+){0,5}?")
        elif isinstance(node, str):
            words = re.split(r"[\s.,;:!?]+", node.lower())
            pieces.append(" *".join(map(re.escape, words)))
        else:
            pieces.append(f"(?:{'|'.join(map(_pattern, node))})")
    return "".join(pieces)


def _anchors(phrase: Phrase) -> set[str]:
    """One word that every text with the phrase has, or a set of which it has at least one."""
    words = [word for node in phrase if isinstance(node, str) for word in _whole(node)]
    if words:
        return {max(words, key=len)}
    choices = next(node for node in phrase if isinstance(node, tuple) and not isinstance(node, Slot) and all(node))
    return {max(_whole(str(choice[0])), key=len) for choice in choices}


def _whole(text: str) -> list[str]:
    return re.findall(r"[a-z0-9/']+", text.lower())
