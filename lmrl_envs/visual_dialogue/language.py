"""Questions: their meanings, the ways to ask them, and the parser that reads any text to a meaning or to nothing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from lmrl_envs.visual_dialogue.focus import PRONOUN_FORMS, Focus, History, focus_after
from lmrl_envs.visual_dialogue.lexicon import (
    CATEGORIES,
    MASSES,
    NOUNS,
    POSSESSIVES,
    PRONOUNS,
    SAYINGS,
    VALUES,
    WEAR,
    plural,
    words,
)
from lmrl_envs.visual_dialogue.scenes import a


class Meaning(NamedTuple):
    """What a question asks: an intent of `PHRASINGS`, the noun that it is about, and a value, garment or second noun.

    `detail` of "else" lists the nouns that were already spoken of, of "other" counts those that `noun` covers.
    """

    intent: str
    noun: str = ""
    detail: str = ""


# Slots: {thing} {things} {a thing} a noun; {subject} "the man" or "he"; {object} "the man" or "him"; {whose} "the
# man's" or "his"; {other} a second noun with its article; {wear} {a wear} a garment; the rest are values. What follows
# "|" is held out: simulated people use it in the part `test` alone.
_PHRASINGS: Mapping[str, str] = {
    "exist": "is there {a thing}; are there any {things}; do you see {a thing}; can you see any {things}; "
    "any {things}; is there {a thing} in the picture; can you see {a thing} | do you see any {things} in the picture; "
    "are any {things} visible",
    "other": "are there any other {things}; any other {things}; do you see other {things} | "
    "can you see any other {things} in the picture",
    "alone": "is {subject} alone; is {subject} by {self} | would you say {subject} is alone",
    "is color": "is {subject} {color}; does {subject} look {color} | would you say {subject} is {color}",
    "wear is color": "{is wear} {whose} {wear} {color}; is {subject} wearing {color wear} | "
    "would you say {whose} {wear} {is wear} {color}",
    "is action": "is {subject} {action}; does it look like {subject} is {action} | would you say {subject} is {action}",
    "wears": "is {subject} wearing {a wear}; does {subject} have {a wear} on; can you see {whose} {wear} | "
    "do you see {a wear} on {object}",
    "holds": "is {subject} holding {other}; does {subject} have {other}; is {subject} carrying {other} | "
    "do you see {subject} holding {other}",
    "holds any": "is {subject} holding anything; is {subject} carrying anything; is there anything in {whose} hand | "
    "does {subject} have anything in {whose} hand",
    "is at": "is {subject} {place}; is {subject} {place} of the picture | do you see {subject} {place}",
    "near": "is there {other} close to {object}; is {subject} next to {other}; is {subject} near {other} | "
    "do you see {other} close to {object}",
    "is weather": "is it {weather}; is it a {weather} day; does it look {weather} | would you say it is {weather}",
    "is time": "is it {time}; is it {time} time; does it look like {time} | would you say it is {time}",
    "is setting": "is this {setting}; is it {setting}; are they {setting} | would you say this is {setting}",
    "is size": "is {subject} {size}; does {subject} look {size} | would you say {subject} is {size}",
    "is age": "is {subject} {age}; does {subject} look {age} | would you say {subject} is {age}",
    "photo": "is the photo in color; is the picture in color; is it a color photo | color picture",
    "close up": "is this a close up; is it a close up; is the photo a close up | would you say this is a close up",
    "professional": "is it a professional photo; is this a professional photo | does it look like a professional photo",
    "count": "how many {things} are there; how many {things} do you see; how many {things} are in the picture; "
    "how many {things} | how many {things} can you see in the picture; how many {things} are visible",
    "color": "what color is {subject}; what is the color of {object} | do you see what color {subject} is; "
    "{subject} is what color",
    "wear color": "what color {is wear} {whose} {wear}; what color {wear} is {subject} wearing; "
    "what color {wear} does {subject} have | {whose} {wear} {is wear} what color; "
    "do you see what color {whose} {wear} {is wear}",
    "action": "what is {subject} doing; what does it look like {subject} is doing | {subject} is doing what; "
    "do you see what {subject} is doing",
    "clothes": "what is {subject} wearing; what is {subject} dressed in; what does {subject} wear | "
    "do you see what {subject} is wearing",
    "held": "what is {subject} holding; what is in {whose} hand; what does {subject} have in {whose} hand; "
    "what is {subject} carrying | {subject} is holding what",
    "where": "where is {subject}; where in the picture is {subject}; where is {subject} located | "
    "do you see where {subject} is",
    "beside": "what is next to {object}; what is {subject} next to; what is near {object} | "
    "do you see what is next to {object}",
    "size": "how big is {subject}; what size is {subject}; is {subject} big or small | {subject} is how big",
    "age": "how old is {subject}; how old does {subject} look; what age is {subject} | {subject} is how old",
    "which": "what kind of {thing} is there; what {things} do you see; what kind of {things} do you see | "
    "what {things} are there in the picture",
    "weather": "what is the weather like; how is the weather; what is the weather | how does the weather look",
    "time": "what time of day is it; is it day or night; what time is it | day or night",
    "setting": "where is this; where was this taken; what is the setting; is this inside or outside | "
    "where is the picture taken",
    "else": "what else do you see; what else is in the picture; what else is there; what else can you see; "
    "what else is visible | do you see what else is there; what else",
    "background": "what is in the background; what do you see in the background; what is in the back | "
    "do you see what is in the background",
}

PHRASINGS: dict[str, tuple[str, ...]] = {}
"""Intent -> ways to ask, as simulated people of every part do."""
HELD_OUT: dict[str, tuple[str, ...]] = {}
"""Intent -> ways to ask that only the part `test` meets."""
for _intent, _ways in _PHRASINGS.items():
    PHRASINGS[_intent], HELD_OUT[_intent] = (tuple(way.strip() for way in side.split(";")) for side in _ways.split("|"))

_PLURAL_WEAR = frozenset(("pants", "shorts", "glasses"))
_SORTS = ("color", "action", "place", "weather", "time", "setting", "size", "age")
_SELF = ("himself", "herself", "itself", "themselves")

# A question is read as a key: its words with nouns and values replaced by tags, words of no weight left out. Ways to
# ask are read by the same function, so that the parser knows them all, and what differs from them in small words.
_TAGS: dict[str, tuple[str, str]] = {
    **{word: (f"#{sort}", value) for sort in _SORTS for word, value in VALUES[sort].items()},
    **{word: ("#thing", noun) for word, noun in NOUNS.items()},
    **{word: ("#wear", wear) for word, wear in WEAR.items()},
    **{word: ("#subject", pronoun) for word, pronoun in PRONOUNS.items()},
    **{word: ("#whose", pronoun) for word, pronoun in POSSESSIVES.items()},
    **{word: ("#self", "") for word in _SELF},
    **{word: ("#color", word) for word in SAYINGS["color"]},
    **{"young": ("#age", "child"), "old": ("#age", "adult"), "outside": ("#setting", "outside")},
    **{"outdoors": ("#setting", "outside"), "snowy": ("#weather", "snowy"), "dark": ("#time", "night")},
}
_SAME = {
    **{"are": "is", "was": "is", "were": "is", "has": "have", "having": "have", "wear": "wearing", "wears": "wearing"},
    **{"photo": "picture", "image": "picture", "pic": "picture", "photograph": "picture", "colour": "color"},
    **{"carrying": "holding", "near": "next", "beside": "next", "hands": "hand", "else's": "else", "size": "big"},
}
_NO_WEIGHT = frozenset(
    words(
        "a an the any some please so ok okay and also really just there this that these those of to on in at by up all "
        "you i we can could do does did see would say like look looks visible"
    )
)
_SLOT = re.compile(r"\{([a-z ]+)\}")
_LONGEST = 24  # words


def parse(question: str, caption: str = "", history: History = ()) -> Meaning | None:
    """What a question means after a caption and a dialogue; None where it means nothing in this world.

    Total: any string gets an answer, fast.
    """
    meaning = read(question)
    return None if meaning is None else resolve(meaning, focus_after(caption, history))


def resolve(meaning: Meaning, focus: Focus) -> Meaning | None:
    """Puts nouns in the place of pronouns, and what was spoken of into the meanings that depend on it."""
    intent, noun, detail = meaning
    if noun in PRONOUN_FORMS or noun == "they":
        noun = focus.referent(noun)
        if not noun:
            return None
    if intent == "else":
        detail = " ".join(sorted(focus.mentioned))
    elif intent == "other":
        covered = CATEGORIES.get(noun, ())
        detail = str(sum(kind in covered for kind in focus.mentioned))
    return Meaning(intent, noun, detail)


def wording(way: str, meaning: Meaning, pronoun: str = "") -> str:
    """Asks for a meaning in one of the `PHRASINGS`; `pronoun`, "he", "she" or "it", stands for the noun if given."""
    text = _SLOT.sub(lambda slot: _fill(slot[1], meaning, pronoun), way)
    if meaning.noun in MASSES:
        return text.replace("are there any", "is there any").replace("are any", "is any")
    return text


def fits(way: str, pronoun: str) -> bool:
    """Whether a way to ask has a place for a pronoun, or none is given."""
    return not pronoun or any(slot in way for slot in ("{subject}", "{object}", "{whose}"))


def _fill(slot: str, meaning: Meaning, pronoun: str) -> str:
    _, noun, detail = meaning
    wear, _, color = detail.partition(" ")
    match slot:
        case "thing":
            return noun
        case "things":
            return plural(noun)
        case "a thing":
            return _an(noun)
        case "subject":
            return pronoun or f"the {noun}"
        case "object":
            return PRONOUN_FORMS[pronoun][0] if pronoun else f"the {noun}"
        case "whose":
            return PRONOUN_FORMS[pronoun][1] if pronoun else f"the {noun}'s"
        case "self":
            return PRONOUN_FORMS[pronoun][2] if pronoun else "itself"
        case "other":
            return _an(detail)
        case "wear":
            return wear
        case "a wear":
            return wear if wear in _PLURAL_WEAR else a(wear)
        case "color wear":
            return f"{color} {wear}" if wear in _PLURAL_WEAR else f"{a(color)} {wear}"
        case "is wear":
            return "are" if wear in _PLURAL_WEAR else "is"
        case "color":
            return color or detail
        case _:
            return SAYINGS[slot][detail][0] if detail in SAYINGS[slot] else detail


def _an(noun: str) -> str:
    return noun if noun in MASSES and noun != "moon" else a(noun)


def _tags(said: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word in said:
        word = _SAME.get(word, word)
        if word.endswith("'s") and word[:-2] in NOUNS:
            yield "#whose", NOUNS[word[:-2]]
        elif word in _TAGS:
            yield _TAGS[word]
        elif word not in _NO_WEIGHT:
            yield word, ""


class _Form(NamedTuple):
    """How a key is read: where it has the noun, the detail and the garment, -1 where it has none."""

    intent: str
    noun: int
    detail: int
    wear: int


def _forms() -> Iterator[tuple[tuple[str, ...], _Form]]:
    """Every way to ask as a key."""
    for intent in PHRASINGS:
        for way in PHRASINGS[intent] + HELD_OUT[intent]:
            slots = _SLOT.findall(way)
            choices = [_CHOICES.get(slot, (f"#{slot}",)) for slot in slots]
            for chosen in itertools.product(*choices):
                tags, roles = [], {"noun": -1, "detail": -1, "wear": -1}
                fillers = iter(zip(slots, chosen, strict=True))
                for piece in _SLOT.sub("\0", way).replace("\0", " \0 ").split():
                    if piece != "\0":
                        tags += [tag for tag, _ in _tags(words(piece))]
                        continue
                    slot, filler = next(fillers)
                    for tag in filler.split():
                        role = "wear" if tag == "#wear" else "noun" if slot in _NOUN_SLOTS else "detail"
                        if roles[role] < 0 and tag.startswith("#"):
                            roles[role] = len(tags)
                        tags.append(tag)
                yield tuple(tags), _Form(intent, **roles)


_NOUN_SLOTS = ("thing", "things", "a thing", "subject", "object", "whose")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("thing", "things", "a thing", "other"), ("#thing",)),
    "subject": ("#thing", "#subject"),
    "object": ("#thing", "#subject", "#whose"),  # "her" is read as a possessive
    "a wear": ("#wear",),
    "color wear": ("#color #wear",),
    "age": ("#age", "#thing"),  # "a child" is a thing too
    "is wear": ("is",),
}
_FORMS: dict[tuple[str, ...], _Form] = {}
for _key, _form in _forms():
    _FORMS.setdefault(_key, _form)


@lru_cache(maxsize=65536)
def read(question: str) -> Meaning | None:
    """The meaning of a question by itself, pronouns as they stand."""
    said = words(question)
    if not said or len(said) > _LONGEST:
        return None
    tagged = list(_tags(said))
    form = _FORMS.get(tuple(tag for tag, _ in tagged))
    if form is None:
        tagged = list(_tags([_spelled(word) for word in said]))
        form = _FORMS.get(tuple(tag for tag, _ in tagged))
        if form is None:
            return None
    noun, detail, wear = (tagged[at][1] if at >= 0 else "" for at in form[1:])
    if form.intent == "is age" and detail not in SAYINGS["age"]:
        return None
    return Meaning(form.intent, noun, f"{wear} {detail}".strip())


def _edits(word: str) -> Iterator[str]:
    for at in range(len(word)):
        yield word[:at] + word[at + 1 :]


_VOCABULARY = frozenset(_TAGS) | _NO_WEIGHT | set(_SAME) | {word for key in _FORMS for word in key}
_MISSPELLED: dict[str, str] = {}
for _word in sorted(_VOCABULARY, key=lambda word: (word not in _NO_WEIGHT, word)):
    if len(_word) > 3 and not _word.startswith("#"):
        for _edit in _edits(_word):
            _MISSPELLED.setdefault(_edit, _word)


def _spelled(word: str) -> str:
    """A word of four letters or more that is one letter away from a known one, as that one."""
    if word in _VOCABULARY or len(word) < 4:
        return word
    return next((_MISSPELLED[edit] for edit in (word, *_edits(word)) if edit in _MISSPELLED), word)
