"""Simulated people: questioners of mixed skill who never see the picture, and answerers who do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from lmrl_envs.errors import unknown_name
from lmrl_envs.visual_dialogue.answers import CONFUSED, say, true_claim, understand
from lmrl_envs.visual_dialogue.contents import COLORS, DRAWN, OTHER_KINDS, PEOPLE, PERSON, SETTINGS, Table
from lmrl_envs.visual_dialogue.language import (
    HELD_OUT,
    PHRASINGS,
    History,
    Meaning,
    fits,
    focus_after,
    parse,
    resolve,
    wording,
)
from lmrl_envs.visual_dialogue.lexicon import ABSENT, CATEGORIES, FEATURES, ITEMS, SAYINGS, nouns, words
from lmrl_envs.visual_dialogue.scenes import Scene, caption
from lmrl_envs.visual_dialogue.truth import draw, is_true

PRONOUN, TYPO, UNSEEN = 0.85, 0.015, 0.5
"""Chances of a pronoun where one can stand, of a slip of the pen, and in the part `test` of a held-out phrasing."""


class Persona(NamedTuple):
    """A kind of questioner: topics with their chances, and whether what the caption told is left unasked."""

    topics: Table
    attentive: bool = False


PERSONAS: Mapping[str, Persona] = {
    "expert": Persona(
        Table({"telling": 62, "attribute": 12, "other things": 10, "count": 6, "beside": 6, "held": 4}), attentive=True
    ),
    "open": Persona(Table({"other things": 20, "action": 16, "weather": 8, "where": 12, "settled": 24, "age": 20})),
    "clothes": Persona(Table({"attribute": 18, "wears": 24, "guess": 14, "age": 24, "feature": 20})),
    "animals": Persona(Table({"animal": 30, "attribute": 10, "guess": 10, "age": 14, "settled": 20, "feature": 16})),
    "counter": Persona(Table({"count": 20, "others": 14, "likely": 12, "count main": 18, "photo": 14, "settled": 22})),
    "yes or no": Persona(Table({"guess": 26, "likely": 12, "absent": 10, "feature": 32, "photo": 20})),
    "global": Persona(Table({"photo": 16, "weather": 4, "place": 18, "feature": 24, "settled": 38})),
    "novice": Persona(Table({"photo": 12, "feature": 20, "absent": 6, "age": 20, "settled": 32, "count main": 10})),
}
"""Kinds of questioners by name, from good to bad."""
CROWD = Table(
    {"expert": 10, "open": 12, "clothes": 14, "animals": 12, "counter": 12, "yes or no": 12, "global": 14, "novice": 14}
)
"""Shares of the kinds among the people who wrote the data."""


class Talk:
    """What a questioner has in mind: the focus, the nouns that can be asked about, and what was asked."""

    def __init__(self, persona: Persona, scene_caption: str) -> None:
        self.persona = persona
        self.focus = focus_after(scene_caption, ())
        self.asked: set[Meaning] = set()
        said = words(scene_caption)
        named = nouns(scene_caption)
        self.main = named[0] if named else "person"
        self.setting = next((setting for setting in SETTINGS if setting in said), "")
        if persona.attentive:
            self._heed(said)

    def heard(self, meaning: Meaning | None, question: str, answer: str) -> None:
        if meaning is not None:
            self.asked.add(meaning)
        self.focus = self.focus.answered(question, answer)

    def _heed(self, said: list[str]) -> None:
        """Marks as asked what the caption tells."""
        if "shirt" in said:
            self.asked |= {Meaning("wear color", self.main, "shirt"), Meaning("clothes", self.main)}
        elif any(color in said for color in COLORS):
            self.asked.add(Meaning("color", self.main))
        if any(action in said for action in SAYINGS["action"]):
            self.asked.add(Meaning("action", self.main))

    def nouns(self) -> list[str]:
        return sorted(self.focus.mentioned) or [self.main]


_Draw = Callable[[], float]
"""Gives a new number from [0, 1)."""


def ask(
    rng: np.random.Generator, persona: str, scene_caption: str, history: History = (), *, unseen: bool = False
) -> str:
    """The next question of a questioner, who sees caption and dialogue alone.

    `unseen=True` lets phrasings in that people use in the part `test` alone.

    Raises:
        UnknownNameError: there is no such persona.
    """
    talk = Talk(_persona(persona), scene_caption)
    for at, (question, answer) in enumerate(history):
        talk.heard(parse(question, scene_caption, history[:at]), question, answer)
    return _question(rng.random, talk, unseen)[1]


def answer(rng: np.random.Generator, scene: Scene, question: str, history: History = ()) -> str:
    """What a person who sees the picture answers; sometimes wrong, sometimes unsure."""
    return _answer(rng.random, scene, parse(question, caption(scene), history))


def dialogue(
    rng: np.random.Generator,
    scene: Scene,
    rounds: int = 10,
    *,
    persona: str | None = None,
    unseen: bool = False,
    gibberish: float = 0.0,
) -> list[tuple[str, str]]:
    """Questions and answers of two people about a scene.

    Args:
        rng: Draws by `random` alone.
        scene: What the answerer sees; the questioner knows its caption.
        rounds: Questions.
        persona: Name of the questioner; None draws one from `CROWD`.
        unseen: Lets held-out phrasings in, as in the part `test`.
        gibberish: Chance that a question is none, for the training of answerers.

    Raises:
        UnknownNameError: there is no such persona.
    """
    uniform = rng.random
    talk = Talk(_persona(persona or CROWD.pick(uniform())), caption(scene))
    history: list[tuple[str, str]] = []
    for _ in range(rounds):
        if gibberish and uniform() < gibberish:
            meaning, question = None, nonsense(rng)
        else:
            meaning, question = _question(uniform, talk, unseen)
        reply = _answer(uniform, scene, meaning)
        talk.heard(meaning, question, reply)
        history.append((question, reply))
    return history


def true_answer(scene: Scene, question: str, history: History = ()) -> str | None:
    """The right answer to a question; None where the question means nothing in this world."""
    meaning = parse(question, caption(scene), history)
    return None if meaning is None else say(0.0, meaning, true_claim(meaning, scene))


def accepts(scene: Scene, question: str, answer: str, history: History = ()) -> bool | None:
    """Whether a text is a right answer, what it volunteers included; None where the question means nothing."""
    meaning = parse(question, caption(scene), history)
    if meaning is None:
        return None
    claim = understand(meaning, answer)
    return claim is not None and is_true(claim, meaning, scene)


def nonsense(rng: np.random.Generator) -> str:
    """A text that is no question: known words in no order, or letters."""
    while True:
        number = 1 + int(rng.random() * 6)
        if rng.random() < 0.7:
            text = " ".join(_SALAD[int(rng.random() * len(_SALAD))] for _ in range(number))
        else:
            text = " ".join(
                "".join("abcdefghijklmnopqrstuvwxyz"[int(rng.random() * 26)] for _ in range(2 + int(rng.random() * 7)))
                for _ in range(number)
            )
        if parse(text, "a man and a woman and a dog") is None:
            return text


def _persona(name: str) -> Persona:
    if name not in PERSONAS:
        raise unknown_name("persona", name, PERSONAS)
    return PERSONAS[name]


def _answer(uniform: _Draw, scene: Scene, meaning: Meaning | None) -> str:
    if meaning is None:
        return CONFUSED[int(uniform() * len(CONFUSED))]
    claim = draw((uniform(), uniform(), uniform(), uniform()), meaning, scene)
    return say(uniform(), meaning, claim, uniform())


def _question(uniform: _Draw, talk: Talk, unseen: bool) -> tuple[Meaning, str]:
    for _ in range(8):
        topic = talk.persona.topics.pick(uniform())
        meaning = resolve(_TOPICS[topic](uniform, talk), talk.focus)
        if meaning is not None and meaning not in talk.asked:
            break
    else:
        meaning = Meaning("exist", _one(uniform, (*ABSENT, *CATEGORIES)))
    ways = PHRASINGS[meaning.intent]
    if unseen and uniform() < UNSEEN:
        ways = HELD_OUT[meaning.intent]
    way = _one(uniform, ways)
    pronoun = talk.focus.pronoun(meaning.noun) if uniform() < PRONOUN else ""
    text = wording(way, meaning, pronoun if fits(way, pronoun) else "")
    return meaning, _mistyped(uniform, text) if uniform() < TYPO else text


def _mistyped(uniform: _Draw, text: str) -> str:
    """Leaves a letter out of a long word."""
    long = [word for word in text.split() if len(word) > 4]
    if not long:
        return text
    word = _one(uniform, long)
    at = 1 + int(uniform() * (len(word) - 1))
    return text.replace(word, word[:at] + word[at + 1 :], 1)


def _one(uniform: _Draw, among: tuple[str, ...] | list[str]) -> str:
    return among[int(uniform() * len(among))]


def _target(uniform: _Draw, talk: Talk) -> str:
    """A noun to ask about: the main one half of the time."""
    return talk.main if uniform() < 0.5 else _one(uniform, talk.nouns())


def _is_person(noun: str) -> bool:
    return CATEGORIES[noun][0] in PEOPLE


def _attribute(uniform: _Draw, talk: Talk) -> Meaning:
    noun = _target(uniform, talk)
    if not _is_person(noun):
        return Meaning("color", noun) if uniform() < 0.75 else Meaning("size", noun)
    garment = _GARMENTS.pick(uniform())
    return Meaning("clothes", noun) if garment == "clothes" else Meaning("wear color", noun, garment)


def _telling(uniform: _Draw, talk: Talk) -> Meaning:
    """What differs most among pictures of the caption's setting with the same main thing, and was not asked yet."""
    meanings = _TELLING.get((talk.setting, talk.main), (Meaning("clothes", "person"),))
    return next((meaning for meaning in meanings if meaning not in talk.asked), meanings[0])


def _guess(uniform: _Draw, talk: Talk) -> Meaning:
    noun, kind = _target(uniform, talk), uniform()
    if kind < 0.2:
        return Meaning("is at", noun, _one(uniform, tuple(SAYINGS["place"])))
    if kind < 0.3:
        return Meaning("near", noun, _LIKELY[talk.setting].pick(uniform()))
    if not _is_person(noun):
        if kind < 0.7:
            return Meaning("is color", noun, _one(uniform, COLORS))
        return Meaning("is size", noun, _one(uniform, ("small", "big")))
    if kind < 0.55:
        garment = "hair" if uniform() < 0.35 else "shirt"
        colors = tuple(PERSON["hair" if garment == "hair" else "shirt"])
        return Meaning("wear is color", noun, f"{garment} {_one(uniform, colors)}")
    if kind < 0.8:
        return Meaning("is action", noun, PERSON["action"].pick(uniform()))
    return Meaning("holds any", noun) if kind < 0.88 else Meaning("holds", noun, _one(uniform, ITEMS))


def _wears(uniform: _Draw, talk: Talk) -> Meaning:
    people = [noun for noun in talk.nouns() if _is_person(noun)]
    if not people:
        return Meaning("exist", "person")
    return Meaning("wears", _one(uniform, people), _one(uniform, ("hat", "glasses", "shorts", "pants", "skirt")))


def _held(uniform: _Draw, talk: Talk) -> Meaning:
    people = [noun for noun in talk.nouns() if _is_person(noun)]
    return Meaning("held", _one(uniform, people)) if people else Meaning("which", "animal")


def _count(uniform: _Draw, talk: Talk) -> Meaning:
    if uniform() < 0.5:
        return Meaning("count", _one(uniform, ("person", "animal", "vehicle", "child")))
    return Meaning("count", _LIKELY[talk.setting].pick(uniform()))


def _animal(uniform: _Draw, talk: Talk) -> Meaning:
    kind = _one(uniform, ("animal", "dog", "cat", "horse", "bird"))
    if kind in talk.focus.mentioned and kind != "animal":
        return Meaning("color" if uniform() < 0.5 else "action", kind)
    return Meaning(_one(uniform, ("exist", "exist", "exist", "count", "which" if kind == "animal" else "exist")), kind)


def _others(uniform: _Draw, talk: Talk) -> Meaning:
    if _is_person(talk.main) and uniform() < 0.25:
        return Meaning("alone", talk.main)
    return Meaning("other", _one(uniform, ("person", "person", "animal", talk.main)))


def _weather(uniform: _Draw, talk: Talk) -> Meaning:
    return (
        Meaning("weather")
        if uniform() < 0.5
        else Meaning("is weather", "", _one(uniform, ("clear", "rainy", "cloudy")))
    )


def _place(uniform: _Draw, talk: Talk) -> Meaning:
    if uniform() < 0.5:
        return Meaning("is time", "", "day" if uniform() < 0.7 else "night")
    return Meaning("is setting", "", _PLACES.pick(uniform()))


def _settled(uniform: _Draw, talk: Talk) -> Meaning:
    """Questions to which nearly every picture of a class has the same answer."""
    kind = uniform()
    if kind < 0.35:
        return Meaning("color", _one(uniform, _FEATURES[talk.setting]))
    return Meaning("time") if kind < 0.7 else Meaning("setting")


def _feature(uniform: _Draw, talk: Talk) -> Meaning:
    return Meaning("exist", _one(uniform, _FEATURES[talk.setting if uniform() < 0.85 else ""]))


def _age(uniform: _Draw, talk: Talk) -> Meaning:
    noun = _target(uniform, talk)
    if not _is_person(noun):
        return Meaning("size", noun) if uniform() < 0.6 else Meaning("is size", noun, "big")
    likely = "child" if noun in CATEGORIES["child"] else "adult"
    return Meaning("age", noun) if uniform() < 0.6 else Meaning("is age", noun, likely)


_PHOTO = Table({"photo": 0.76, "close up": 0.14, "professional": 0.1})
_PLACES = Table({"outside": 0.5, "room": 0.2, "park": 0.1, "beach": 0.1, "street": 0.1})
_FEATURES: Mapping[str, tuple[str, ...]] = {
    "park": ("grass", "sky", "sun", "grass", "building"),
    "beach": ("water", "sand", "sky", "sun"),
    "street": ("road", "building", "sky", "window", "grass"),
    "snow": ("snow", "mountain", "sky", "sun"),
    "room": ("window", "floor", "wall"),
    "": tuple(FEATURES),
}
"""What people expect to see in a setting; "" where they do not know it."""
_GARMENTS = Table({"shirt": 40, "hair": 18, "hat": 8, "pants": 8, "clothes": 26})
_LIKELY: Mapping[str, Table] = {
    **OTHER_KINDS,
    "": Table({kind: kinds[kind] for kinds in OTHER_KINDS.values() for kind in kinds}),
}
_ASKED_BY: Mapping[str, tuple[str, str]] = {
    **{wear: ("wear color", wear) for wear in ("shirt", "hair", "hat")},
    **{"color": ("color", ""), "size": ("size", ""), "action": ("action", ""), "holding": ("held", "")},
    "bottom_color": ("clothes", ""),
}
_TELLING: Mapping[tuple[str, str], tuple[Meaning, ...]] = {
    (setting, kind): tuple(
        Meaning(_ASKED_BY[name][0], kind, _ASKED_BY[name][1])
        for name in sorted(drawn, key=lambda name: -drawn[name].bits)
        if name in _ASKED_BY
    )
    for (setting, kind), drawn in DRAWN.items()
}
_TOPICS: Mapping[str, Callable[[_Draw, Talk], Meaning]] = {
    "telling": _telling,
    "attribute": _attribute,
    "guess": _guess,
    "wears": _wears,
    "held": _held,
    "count": _count,
    "animal": _animal,
    "others": _others,
    "weather": _weather,
    "place": _place,
    "settled": _settled,
    "age": _age,
    "count main": lambda uniform, talk: Meaning("count", talk.main),
    "other things": lambda uniform, talk: Meaning("else") if uniform() < 0.6 else Meaning("background"),
    "action": lambda uniform, talk: Meaning("action", _target(uniform, talk)),
    "where": lambda uniform, talk: Meaning("where", _target(uniform, talk)),
    "beside": lambda uniform, talk: Meaning("beside", _target(uniform, talk)),
    "photo": lambda uniform, talk: Meaning(_PHOTO.pick(uniform())),
    "likely": lambda uniform, talk: Meaning("exist", _LIKELY[talk.setting].pick(uniform())),
    "absent": lambda uniform, talk: Meaning("exist", _one(uniform, ABSENT)),
    "feature": _feature,
}
_SALAD = (
    "is",
    "the",
    "what",
    "how",
    "many",
    "color",
    "dog",
    "man",
    "shirt",
    "red",
    "left",
    "of",
    "banana",
    "purple",
    "he",
)
