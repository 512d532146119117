"""The kinds of questioners: what each is apt to ask, of what it has in mind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from lmrl_envs.visual_dialogue.contents import COLORS, DRAWN, OTHER_KINDS, PEOPLE, PERSON, SETTINGS, Table
from lmrl_envs.visual_dialogue.focus import focus_after
from lmrl_envs.visual_dialogue.language import Meaning
from lmrl_envs.visual_dialogue.lexicon import ABSENT, CATEGORIES, FEATURES, ITEMS, SAYINGS, nouns, words

Draw = Callable[[], float]
"""Gives a new number from [0, 1)."""


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
    {"expert": 5, "open": 12, "clothes": 14, "animals": 12, "counter": 12, "yes or no": 14, "global": 16, "novice": 15}
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


def one_of(uniform: Draw, among: Sequence[str]) -> str:
    """One of some texts, each as likely as another."""
    return among[int(uniform() * len(among))]


def _target(uniform: Draw, talk: Talk) -> str:
    """A noun to ask about: the main one half of the time."""
    return talk.main if uniform() < 0.5 else one_of(uniform, talk.nouns())


def _is_person(noun: str) -> bool:
    return CATEGORIES[noun][0] in PEOPLE


def _attribute(uniform: Draw, talk: Talk) -> Meaning:
    noun = _target(uniform, talk)
    if not _is_person(noun):
        return Meaning("color", noun) if uniform() < 0.75 else Meaning("size", noun)
    garment = _GARMENTS.pick(uniform())
    return Meaning("clothes", noun) if garment == "clothes" else Meaning("wear color", noun, garment)


def _telling(uniform: Draw, talk: Talk) -> Meaning:
    """What differs most among pictures of the caption's setting with the same main thing, and was not asked yet."""
    meanings = _TELLING.get((talk.setting, talk.main), (Meaning("clothes", "person"),))
    return next((meaning for meaning in meanings if meaning not in talk.asked), meanings[0])


def _guess(uniform: Draw, talk: Talk) -> Meaning:
    noun, kind = _target(uniform, talk), uniform()
    if kind < 0.2:
        return Meaning("is at", noun, one_of(uniform, tuple(SAYINGS["place"])))
    if kind < 0.3:
        return Meaning("near", noun, _LIKELY[talk.setting].pick(uniform()))
    if not _is_person(noun):
        if kind < 0.7:
            return Meaning("is color", noun, one_of(uniform, COLORS))
        return Meaning("is size", noun, one_of(uniform, ("small", "big")))
    if kind < 0.55:
        garment = "hair" if uniform() < 0.35 else "shirt"
        colors = tuple(PERSON["hair" if garment == "hair" else "shirt"])
        return Meaning("wear is color", noun, f"{garment} {one_of(uniform, colors)}")
    if kind < 0.8:
        return Meaning("is action", noun, PERSON["action"].pick(uniform()))
    return Meaning("holds any", noun) if kind < 0.88 else Meaning("holds", noun, one_of(uniform, ITEMS))


def _wears(uniform: Draw, talk: Talk) -> Meaning:
    people = [noun for noun in talk.nouns() if _is_person(noun)]
    if not people:
        return Meaning("exist", "person")
    return Meaning("wears", one_of(uniform, people), one_of(uniform, ("hat", "glasses", "shorts", "pants", "skirt")))


def _held(uniform: Draw, talk: Talk) -> Meaning:
    people = [noun for noun in talk.nouns() if _is_person(noun)]
    return Meaning("held", one_of(uniform, people)) if people else Meaning("which", "animal")


def _count(uniform: Draw, talk: Talk) -> Meaning:
    if uniform() < 0.5:
        return Meaning("count", one_of(uniform, ("person", "animal", "vehicle", "child")))
    return Meaning("count", _LIKELY[talk.setting].pick(uniform()))


def _animal(uniform: Draw, talk: Talk) -> Meaning:
    kind = one_of(uniform, ("animal", "dog", "cat", "horse", "bird"))
    if kind in talk.focus.mentioned and kind != "animal":
        return Meaning("color" if uniform() < 0.5 else "action", kind)
    if uniform() < 0.6:
        return Meaning("exist", kind)
    return Meaning("which" if kind == "animal" and uniform() < 0.5 else "count", kind)


def _others(uniform: Draw, talk: Talk) -> Meaning:
    if _is_person(talk.main) and uniform() < 0.25:
        return Meaning("alone", talk.main)
    return Meaning("other", one_of(uniform, ("person", "person", "animal", talk.main)))


def _weather(uniform: Draw, talk: Talk) -> Meaning:
    return (
        Meaning("weather")
        if uniform() < 0.5
        else Meaning("is weather", "", one_of(uniform, ("clear", "rainy", "cloudy")))
    )


def _place(uniform: Draw, talk: Talk) -> Meaning:
    if uniform() < 0.5:
        return Meaning("is time", "", "day" if uniform() < 0.7 else "night")
    return Meaning("is setting", "", _PLACES.pick(uniform()))


def _settled(uniform: Draw, talk: Talk) -> Meaning:
    """Questions to which nearly every picture of a class has the same answer."""
    kind = uniform()
    if kind < 0.35:
        return Meaning("color", one_of(uniform, _FEATURES[talk.setting]))
    return Meaning("time") if kind < 0.7 else Meaning("setting")


def _feature(uniform: Draw, talk: Talk) -> Meaning:
    return Meaning("exist", one_of(uniform, _FEATURES[talk.setting if uniform() < 0.85 else ""]))


def _age(uniform: Draw, talk: Talk) -> Meaning:
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
TOPICS: Mapping[str, Callable[[Draw, Talk], Meaning]] = {
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
    "absent": lambda uniform, talk: Meaning("exist", one_of(uniform, ABSENT)),
    "feature": _feature,
}
