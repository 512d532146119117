"""Answers as text: the ways in which people word a claim, and the reader of any text to the claim that it makes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from lmrl_envs.visual_dialogue.contents import Table
from lmrl_envs.visual_dialogue.language import Meaning
from lmrl_envs.visual_dialogue.lexicon import CATEGORIES, ITEMS, NOUNS, SAYINGS, VALUES, WEAR, plural, words
from lmrl_envs.visual_dialogue.scenes import Scene, a
from lmrl_envs.visual_dialogue.truth import (
    MISSING,
    NO,
    NOTHING,
    POLAR_INTENTS,
    SCENERY,
    SEVERAL,
    UNKNOWN,
    YES,
    Claim,
    is_true,
    truth,
)

CONFUSED = ("i don't understand", "i can't tell", "i don't understand the question", "can't tell")
"""What people say to a question that means nothing to them."""

# {is} "he is", "there is" or "it is"; {not} the same with "not"; {core} and {extra} as phrases.
_YES = Table(
    {"yes": 0.855, "yeah": 0.02, "yep": 0.01, "yes {is}": 0.035, "yes, {is}": 0.025, "{is}, yes": 0.005}
    | {**{"i think so": 0.025, "yes, i think so": 0.01, "it looks like it": 0.015}}
)
_NO = Table(
    {"no": 0.81, "nope": 0.01, "no {not}": 0.04, "no, {not}": 0.03, "not that i can see": 0.06, "not really": 0.01}
    | {"i don't think so": 0.03, "it doesn't look like it": 0.01}
)
_UNKNOWN = Table({"i can't tell": 0.55, "can't tell": 0.3, "i'm not sure": 0.15})
_MISSING = Table({"there is no {missing}": 0.5, "i don't see {a missing}": 0.3, "i see no {missing}": 0.2})
_SEVERAL = Table({"which one": 0.5, "there is more than one": 0.3, "which {missing}": 0.2})
_NOTHING = Table({"nothing": 0.5, "nothing that i can see": 0.3, "i see nothing": 0.2})
_SCENERY = Table({"not much else": 0.4, "just the background": 0.3, "nothing special": 0.3})
_PLAIN = Table(
    {
        "{core}": 0.24,
        "{is} {core}": 0.4,
        "i would say {core}": 0.15,
        "i would say {is} {core}": 0.15,
        "looks {core}": 0.03,
        "{core}, i think": 0.03,
    }
)
_PHRASE = Table(
    {
        "{core}": 0.2,
        "{is} {core}": 0.5,
        "i would say {core}": 0.1,
        "i would say {is} {core}": 0.14,
        "looks like {core}": 0.03,
        "{core}, i think": 0.03,
    }
)
_NUMBER = Table(
    {"{core}": 0.2, "just {core}": 0.15, "i can see {core}": 0.3, "there are {core}": 0.1}
    | {"i can see {core} of them": 0.25}
)
_SEEN = Table(
    {"{core}": 0.2, "i can see {core}": 0.35, "there is {core}": 0.2, "just {core}": 0.1}
    | {"there is {core} in the picture": 0.15}
)

_SORTS: Mapping[str, str] = {
    **{"color": "color", "wear color": "color", "action": "action", "clothes": "garment", "held": "kind"},
    **{"where": "place", "beside": "kind", "size": "size", "age": "age", "which": "kind", "weather": "weather"},
    **{"time": "time", "setting": "setting", "else": "kind", "background": "kind", "count": "number"},
}
"""Intent that is not answered by yes or no -> the sort of its cores."""
_VOLUNTEERED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("exist", YES): ("color", "place", "number"),
    ("is color", NO): ("color",),
    ("wear is color", NO): ("color",),
    ("is action", NO): ("action",),
    ("wears", YES): ("color",),
    ("holds", YES): ("color",),
    ("holds", NO): ("kind",),
    ("holds any", YES): ("kind",),
    ("is weather", NO): ("weather",),
    ("is at", NO): ("place",),
    ("is setting", NO): ("setting",),
}
"""Intent and core -> sorts of what is volunteered beside it."""
_PLURALS = ("pants", "shorts", "glasses")
_SAYS_YES = frozenset(("yes", "yeah", "yep", "yup", "sure", "definitely", "correct"))
_SAYS_NO = frozenset(("no", "nope", "not", "none", "nothing", "neither"))
_AFFIRMS = (
    "i think so",
    "i believe so",
    "looks like it",
    "there is",
    "there are",
    "it is",
    "he is",
    "she is",
    "they are",
)
_DENIES = ("don't think so", "doesn't look like it", "don't see", "not see", "can't see", "is not", "are not")
_UNSURE = ("can't tell", "cannot tell", "not sure", "don't know", "hard to tell", "don't understand", "hard to say")
_ABSENCE = ("there is no ", "there are no ", "don't see", "not see", "see no ", "no such")
_HEDGES = frozenset(
    ("think", "maybe", "looks", "look", "appears", "seems", "probably", "possibly", "might", "could", "believe")
)


def say(uniform: float, meaning: Meaning, claim: Claim, aside: float = 0.0) -> str:
    """Words a claim in one of the ways of simulated people. Numbers from [0, 1) choose the way and the synonym."""
    core, extra = claim
    if core == UNKNOWN:
        way = _UNKNOWN.pick(uniform)
    elif core == MISSING:
        way = _MISSING.pick(uniform)
    elif core == SEVERAL:
        way = _SEVERAL.pick(uniform)
    elif core == NOTHING:
        way = _NOTHING.pick(uniform)
    elif core == SCENERY:
        way = _SCENERY.pick(uniform)
    elif core in (YES, NO) and meaning.intent in POLAR_INTENTS:
        way = f"{core}, {_extra(meaning, extra)}" if extra else (_YES if core == YES else _NO).pick(uniform)
    else:
        sort = _SORTS[meaning.intent]
        ways = _NUMBER if sort == "number" else _SEEN if sort in ("kind", "garment") else _PLAIN
        ways = _PHRASE if sort in ("place", "setting", "age") else ways
        way = ways.pick(uniform)
        if core == "0":
            way = "none" if aside < 0.5 else "i don't see any"
        if extra.isdigit() and way.startswith("there is"):
            way = way.replace("is", "are")
        way = way.replace("{core}", _phrase(sort, core, extra, aside))
    if "{" not in way:
        return way
    subject = _subject(meaning)
    missing = meaning.detail.split()[0] if meaning.intent.startswith("wear") else meaning.noun or "thing"
    return (
        way.replace("{is}", subject)
        .replace("{not}", f"{subject} not")
        .replace("{missing}", missing)
        .replace("{a missing}", missing if missing in _PLURALS else a(missing))
    )


def _subject(meaning: Meaning) -> str:
    intent, noun, detail = meaning
    if intent in ("exist", "other", "near"):
        return "there is"
    if intent in ("wear color", "wear is color") and detail.split()[0] in _PLURALS:
        return "they are"
    if intent.startswith("wear "):
        return "it is"
    return {"man": "he is", "boy": "he is", "woman": "she is", "girl": "she is"}.get(noun, "it is")


def _phrase(sort: str, core: str, extra: str, aside: float) -> str:
    if sort == "garment":
        return " and ".join(_garment(part) for part in (core, extra) if part)
    if sort == "kind":
        if extra.isdigit():
            return f"{extra} {plural(core)}"
        return a(f"{extra} {core}".strip())
    sayings = SAYINGS[sort][core]
    return (
        sayings[0] if len(sayings) == 1 or aside < 0.7 else sayings[1 + int((aside - 0.7) / 0.3 * (len(sayings) - 1))]
    )


def _garment(part: str) -> str:
    wear, _, color = part.partition(" ")
    return f"{color} {wear}" if wear in _PLURALS else f"{a(color)} {wear}"


def _extra(meaning: Meaning, extra: str) -> str:
    """What is volunteered after yes or no, as a phrase."""
    intent = meaning.intent
    if extra.isdigit():
        return extra
    if intent == "exist":
        return f"{a(extra)} one" if extra in SAYINGS["color"] else SAYINGS["place"][extra][0]
    if intent in ("holds", "holds any") and extra in ITEMS:
        return a(extra)
    sort = _VOLUNTEERED[intent, YES if intent == "wears" or intent == "holds" else NO][0]
    said = SAYINGS[sort][extra][0] if extra in SAYINGS[sort] else extra
    return f"{_subject(meaning)} {said}" if sort in ("action", "weather", "place", "setting") else said


def hedged(answer: str) -> bool:
    """Whether an answer is given with doubt."""
    return not _HEDGES.isdisjoint(words(answer))


@lru_cache(maxsize=262144)
def understand(meaning: Meaning, answer: str) -> Claim | None:
    """The claim that a text makes as an answer to a meaning; None where it makes none. Total: any string is read."""
    said = words(answer)
    if not said:
        return None
    line = f"{' '.join(said)} "
    if any(phrase in line for phrase in _UNSURE):
        return Claim(UNKNOWN)
    if said[0] == "which" or "more than one" in line:
        return Claim(SEVERAL)
    if meaning.intent not in ("exist", "other", "near", "count") and any(phrase in line for phrase in _ABSENCE):
        return Claim(MISSING)
    if meaning.intent in POLAR_INTENTS:
        core = _polarity(said, line)
        if core is None:
            return None
        for sort in _VOLUNTEERED.get((meaning.intent, core), ()):
            value = _value(sort, said[1:])
            if value:
                return Claim(core, value)
        return Claim(core)
    return _open(_SORTS[meaning.intent], said, line)


def _polarity(said: list[str], line: str) -> str | None:
    if said[0] in _SAYS_YES or said[-1] == YES:
        return YES
    if said[0] in _SAYS_NO or any(phrase in line for phrase in _DENIES) or any(phrase in line for phrase in _ABSENCE):
        return NO
    if any(phrase in line for phrase in _AFFIRMS) or said[0] in ("maybe", "probably", "possibly"):
        return YES
    return None


def _open(sort: str, said: list[str], line: str) -> Claim | None:
    if sort == "kind":
        if "special" in said or "background" in said or "not much" in line:
            return Claim(SCENERY)
        if said[0] in ("nothing", "none", "no") or "nothing" in said:
            return Claim(NOTHING)
        core = _value("kind", said)
        if not core:
            return None
        return Claim(core, _value("color", said) or _value("number", said[:-1]))
    if sort == "garment":
        parts = [
            f"{WEAR[word]} {VALUES['color'][said[at - 1]]}"
            for at, word in enumerate(said)
            if word in WEAR and at and said[at - 1] in VALUES["color"]
        ]
        return Claim(parts[0], parts[1] if len(parts) > 1 else "") if parts else None
    if sort == "number" and (said[0] in ("no", "none") or "don't see" in line or "nobody" in said):
        return Claim("0")
    core = _value(sort, said)
    return Claim(core) if core else None


def _value(sort: str, said: list[str]) -> str:
    """The first value of a sort among words, "" where there is none."""
    if sort == "kind":
        return next((NOUNS[word] for word in said if NOUNS.get(word) in CATEGORIES), "")
    table = VALUES[sort]
    return next((table[word] for word in said if word in table), "")


def true_claim(meaning: Meaning, scene: Scene) -> Claim:
    """The right answer, the likeliest where several are right."""
    cores = truth(meaning, scene).cores
    return Claim(max(cores, key=cores.__getitem__))


def relevance(meaning: Meaning, scene: Scene, answer: str) -> float:
    """How well a text answers: 1 if it is right, .5 if it is right but doubtful, else 0."""
    claim = understand(meaning, answer)
    if claim is None or not is_true(claim, meaning, scene):
        return 0.0
    return 0.5 if hedged(answer) else 1.0
