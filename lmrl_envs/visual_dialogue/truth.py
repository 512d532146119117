"""Truth: the right answers to a meaning in a scene, and the chance of each claim that simulated people make.

People answer by a `Claim`: a core, such as "yes", "red" or "2", and sometimes something volunteered beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lmrl_envs.visual_dialogue.contents import PEOPLE, SETTINGS
from lmrl_envs.visual_dialogue.language import Meaning
from lmrl_envs.visual_dialogue.lexicon import CATEGORIES, FEATURES, ITEMS, SAYINGS
from lmrl_envs.visual_dialogue.scenes import COLUMNS, Scene, Thing

WRONG, UNSURE, VOLUNTEERED = 0.03, 0.01, 0.25
"""Chances that a person errs, cannot tell what can be told, and volunteers something where something can be."""

YES, NO, UNKNOWN, MISSING, NOTHING, SCENERY = "yes", "no", "unknown", "missing", "nothing", "scenery"
SEVERAL = "several"


class Claim(NamedTuple):
    """What an answer says: its core, a value of the intent's sort, and what it volunteers beside it, "" if nothing.

    Besides values, a core is "unknown" (cannot tell), "missing" (what was asked about is not there), "several" (more
    than one thing could be meant) or "nothing".
    """

    core: str
    extra: str = ""


class Truth(NamedTuple):
    """The right answers to a question in a scene.

    `cores` are the right cores with the chance that a person chooses each. `extras` are what may be volunteered beside
    a core, again with chances. `wrong` are the cores of those who err.
    """

    cores: Mapping[str, float]
    extras: Mapping[str, Mapping[str, float]] = {}
    wrong: tuple[str, ...] = ()


_POLAR = (YES, NO)
_ACTIONS = tuple(SAYINGS["action"])
_COLORS = tuple(SAYINGS["color"])
_HELD = (*ITEMS, NOTHING)
_GARMENTS = ("shirt", "hat", "pants", "shorts", "skirt")

# What belongs to a place, a time or the weather; a scene without any of it has not got the feature.
_SEEN_IN: Mapping[str, tuple[str, ...]] = {
    "grass": ("park",),
    "water": ("beach",),
    "sand": ("beach",),
    "snow": ("snow",),
    "building": ("street",),
    "road": ("street",),
    "mountain": ("snow",),
    "window": ("street", "room"),
    "floor": ("room",),
    "wall": ("room",),
    "sky": ("park", "beach", "street", "snow"),
}


def things(scene: Scene, noun: str) -> list[Thing]:
    """What a noun covers, the things first and then what people hold; the main thing comes first."""
    kinds = CATEGORIES.get(noun, ())
    found = [thing for thing in scene.objects if thing.kind in kinds]
    if any(kind in ITEMS for kind in kinds):
        found += [
            Thing(who.holding, who.column, who.row, who.item_color) for who in scene.objects if who.holding in kinds
        ]
    return found


def has_feature(scene: Scene, feature: str) -> bool:
    """Whether a scene has something of `FEATURES`."""
    if feature in _SEEN_IN:
        return scene.setting in _SEEN_IN[feature]
    if feature == "cloud":
        return scene.weather in ("cloudy", "rainy", "snowy")
    return scene.weather == "clear" and (feature == "sun") == (scene.time == "day")


def truth(meaning: Meaning, scene: Scene) -> Truth:
    """The right answers to a meaning in a scene."""
    intent, noun, _ = meaning
    if intent in _SCENE_WIDE:
        return _scene_wide(meaning, scene)
    found = things(scene, noun)
    if intent in _ABOUT_MANY:
        return _about_many(meaning, scene, found)
    if not found:
        if intent == "near":
            return _polar(False)
        if intent == "color" and noun in FEATURES and has_feature(scene, noun):
            return _feature_color(scene, noun)
        wrong = _POLAR if intent in POLAR_INTENTS else _COLORS if intent == "color" else ()
        return Truth({MISSING: 1.0}, wrong=wrong)
    main = found[0] is scene.objects[0]
    if len(found) > 1 and not main and len(CATEGORIES[noun]) > 1 and intent != "alone":
        return Truth({SEVERAL: 1.0}, wrong=_POLAR if intent in POLAR_INTENTS else ())
    return _about_one(meaning, scene, found[0])


def _scene_wide(meaning: Meaning, scene: Scene) -> Truth:
    intent, _, detail = meaning
    match intent:
        case "photo":
            return _polar(True)
        case "close up" | "professional":
            return _polar(False)
        case "weather" | "is weather" if scene.weather == "none":
            return Truth({UNKNOWN: 1.0}, wrong=tuple(SAYINGS["weather"]) if intent == "weather" else _POLAR)
        case "weather":
            return Truth({scene.weather: 1.0}, wrong=tuple(SAYINGS["weather"]))
        case "is weather":
            return _polar(scene.weather == detail, otherwise={scene.weather: 1.0})
        case "time":
            return Truth({scene.time: 1.0}, wrong=tuple(SAYINGS["time"]))
        case "is time":
            return _polar(scene.time == detail)
        case "setting":
            return Truth({scene.setting: 1.0}, wrong=SETTINGS)
        case "is setting":
            outside = scene.setting != "room"
            return _polar(outside if detail == "outside" else scene.setting == detail, otherwise={scene.setting: 1.0})
        case "else":
            return _one_kind([thing for thing in scene.objects if thing.kind not in detail.split()], scenery=0.4)
        case _:  # background
            return _one_kind([thing for thing in scene.objects if thing.row == "back"], scenery=0.4)


def _one_kind(found: list[Thing], scenery: float) -> Truth:
    """One kind among things, each kind as likely as another, or what every picture of the setting shows."""
    wrong = ("dog", "tree", "car", "man", "woman", "bird")
    if not found:
        return Truth({NOTHING: 1 - scenery, SCENERY: scenery} if scenery else {NOTHING: 1.0}, wrong=wrong)
    by_kind: dict[str, list[Thing]] = {}
    for thing in found:
        by_kind.setdefault(thing.kind, []).append(thing)
    cores = {kind: (1 - scenery) / len(by_kind) for kind in by_kind}
    extras = {
        kind: {str(len(group)): 1.0} if len(group) > 1 else {group[0].color: 1.0}
        for kind, group in by_kind.items()
        if len(group) > 1 or group[0].color != "none"
    }
    return Truth({**cores, SCENERY: scenery} if scenery else cores, extras, wrong)


def _about_many(meaning: Meaning, scene: Scene, found: list[Thing]) -> Truth:
    intent, noun, detail = meaning
    match intent:
        case "exist" if noun in FEATURES:
            return _polar(has_feature(scene, noun))
        case "exist":
            return _polar(bool(found), beside=_seen(found) if found else {})
        case "other":
            return _polar(len(found) > int(detail or 0))
        case "count":
            number = len(found)
            near = tuple(str(n) for n in (number - 1, number + 1) if n >= 0)
            return Truth({str(number): 0.8, "few": 0.2} if number > 2 else {str(number): 1.0}, wrong=near)
        case _:  # which
            wrong = tuple(kind for kind in CATEGORIES.get(noun, ()))
            if not found:
                return Truth({NOTHING: 1.0}, wrong=wrong)
            return _one_kind(found, scenery=0.0)._replace(wrong=wrong)


def _seen(found: list[Thing]) -> dict[str, float]:
    """What people add when they see something: how many there are, or the colour or place of the one."""
    if len(found) > 1:
        return {str(len(found)): 1.0}
    one = found[0]
    return {one.column: 1.0} if one.color == "none" else {one.color: 0.6, one.column: 0.4}


def _about_one(meaning: Meaning, scene: Scene, one: Thing) -> Truth:
    intent, _, detail = meaning
    person = one.kind in PEOPLE
    match intent:
        case "alone":
            return _polar(sum(thing.kind in PEOPLE for thing in scene.objects) - person < 1)
        case "is color" if not person:
            return _polar(one.color == detail, otherwise={one.color: 1.0})
        case "color" if not person:
            return Truth({one.color: 1.0}, wrong=_COLORS)
        case "wear is color" | "wear color" if person:
            wear, _, color = detail.partition(" ")
            real = _worn(one, wear)
            if real in ("", "none"):
                return Truth({MISSING: 1.0}, wrong=_POLAR if intent == "wear is color" else _COLORS)
            return _polar(real == color, otherwise={real: 1.0}) if color else Truth({real: 1.0}, wrong=_COLORS)
        case "wears" if person:
            real = _worn(one, detail)
            shown = {real: 1.0} if real in _COLORS else {}
            return _polar(real not in ("", "none"), beside=shown)
        case "holds" if person:
            return _polar(one.holding == detail, beside={one.item_color: 1.0}, otherwise=_instead(one.holding))
        case "holds any" if person:
            return _polar(one.holding != "none", beside={one.holding: 1.0})
        case "held" if person:
            if one.holding == "none":
                return Truth({NOTHING: 1.0}, wrong=_HELD)
            return Truth({one.holding: 1.0}, {one.holding: {one.item_color: 1.0}}, _HELD)
        case "clothes" if person:
            return _clothes(one)
        case "is action":
            return _polar(one.action == detail, otherwise=_instead(one.action))
        case "action" if one.action != "none":
            return Truth({one.action: 1.0}, wrong=_ACTIONS)
        case "is at":
            real = one.column if detail in COLUMNS else one.row
            return _polar(real == detail, otherwise={real: 1.0})
        case "where":
            return Truth({one.column: 0.65, one.row: 0.35}, wrong=tuple(SAYINGS["place"]))
        case "near":
            return _polar(any(_adjacent(one, other) for other in things(scene, detail)))
        case "beside":
            near = [thing for thing in scene.objects if _adjacent(one, thing)]
            return _one_kind(near, scenery=0.4)
        case "is size" if one.size != "none":
            return _polar(one.size == detail)
        case "size" if one.size != "none":
            return Truth({one.size: 1.0}, wrong=("small", "big"))
        case "age" | "is age" if person:
            age = "child" if one.kind in CATEGORIES["child"] else "adult"
            return Truth({age: 1.0}, wrong=("child", "adult")) if intent == "age" else _polar(age == detail)
    if intent in POLAR_INTENTS:
        return _polar(False)
    return Truth({UNKNOWN: 1.0})


def _feature_color(scene: Scene, feature: str) -> Truth:
    color = FEATURES[feature]
    if feature == "sky":
        color = "black" if scene.time == "night" else "blue" if scene.weather == "clear" else "gray"
    return Truth({color: 1.0}, wrong=_COLORS)


def _worn(who: Thing, wear: str) -> str:
    """The colour of what a person wears; "none" or "" where the person does not wear it."""
    if wear in ("pants", "shorts", "skirt"):
        return who.bottom_color if who.bottom == wear else "none"
    return getattr(who, wear, "none")


def _clothes(who: Thing) -> Truth:
    worn = {f"shirt {who.shirt}": 0.55, f"{who.bottom} {who.bottom_color}": 0.25}
    if who.hat != "none":
        worn[f"hat {who.hat}"] = 0.2
    total = sum(worn.values())
    cores = {garment: chance / total for garment, chance in worn.items()}
    extras = {core: _shares(worn, core) for core in cores}
    return Truth(cores, extras, tuple(f"shirt {color}" for color in _COLORS if color != "blond"))


def _shares(worn: Mapping[str, float], but: str) -> dict[str, float]:
    rest = {garment: chance for garment, chance in worn.items() if garment != but}
    return {garment: chance / sum(rest.values()) for garment, chance in rest.items()}


def _adjacent(one: Thing, other: Thing) -> bool:
    return one.row == other.row and abs(COLUMNS.index(one.column) - COLUMNS.index(other.column)) == 1


def _instead(value: str) -> dict[str, float]:
    return {} if value == "none" else {value: 1.0}


def _polar(
    holds: bool, *, beside: Mapping[str, float] | None = None, otherwise: Mapping[str, float] | None = None
) -> Truth:
    """Yes or no; `beside` may be volunteered with a yes, `otherwise` with a no."""
    extras = {YES: beside or {}} if holds else {NO: otherwise or {}}
    return Truth({YES if holds else NO: 1.0}, extras, _POLAR)


_SCENE_WIDE = frozenset(
    ("photo", "close up", "professional", "weather", "is weather", "time", "is time", "setting", "is setting")
) | {"else", "background"}
_ABOUT_MANY = frozenset(("exist", "other", "count", "which"))
POLAR_INTENTS = frozenset(
    (
        "exist",
        "other",
        "alone",
        "is color",
        "wear is color",
        "is action",
        "wears",
        "holds",
        "holds any",
        "is at",
        "near",
    )
) | {"is weather", "is time", "is setting", "is size", "is age", "photo", "close up", "professional"}
"""Intents that are answered by yes or no."""


def distribution(meaning: Meaning, scene: Scene) -> dict[Claim, float]:
    """The chance of every claim that a simulated person makes when asked; sums to 1."""
    cores, extras, wrong = truth(meaning, scene)
    wrong = tuple(core for core in wrong if core not in cores)
    unsure = 0.0 if UNKNOWN in cores else UNSURE
    erring = WRONG if wrong else 0.0
    chances: dict[Claim, float] = {}
    for core, chance in cores.items():
        right = chance * (1 - unsure - erring)
        beside = extras.get(core)
        chances[Claim(core)] = right * (1 - VOLUNTEERED) if beside else right
        for extra, share in (beside or {}).items():
            chances[Claim(core, extra)] = right * VOLUNTEERED * share
    if unsure:
        chances[Claim(UNKNOWN)] = unsure
    for core in wrong:
        chances[Claim(core)] = erring / len(wrong)
    return chances


def draw(uniforms: Sequence[float], meaning: Meaning, scene: Scene) -> Claim:
    """A claim from `distribution`, by four numbers from [0, 1)."""
    cores, extras, wrong = truth(meaning, scene)
    fate, choice, volunteer, which = uniforms
    if fate < WRONG:
        others = [core for core in wrong if core not in cores]
        if others:
            return Claim(others[int(choice * len(others))])
    elif fate < WRONG + UNSURE and UNKNOWN not in cores:
        return Claim(UNKNOWN)
    core = _pick(cores, choice)
    beside = extras.get(core)
    return Claim(core, _pick(beside, which)) if beside and volunteer < VOLUNTEERED else Claim(core)


def _pick(chances: Mapping[str, float], uniform: float) -> str:
    for value, chance in chances.items():
        uniform -= chance
        if uniform < 0:
            return value
    return value  # the chances sum to a little less than 1


def is_true(claim: Claim, meaning: Meaning, scene: Scene) -> bool:
    """Whether a claim is right in a scene, what it volunteers included."""
    cores, extras, _ = truth(meaning, scene)
    return claim.core in cores and (not claim.extra or claim.extra in extras.get(claim.core, ()))
