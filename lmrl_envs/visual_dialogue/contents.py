"""What scenes are made of: every value that can be drawn, with its chance."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate


class Table(dict[str, float]):
    """Values with their chances, which sum to 1."""

    def __init__(self, chances: Mapping[str, float]) -> None:
        total = sum(chances.values())
        super().__init__({value: chance / total for value, chance in chances.items()})
        self._values, self._bounds = list(self), list(accumulate(self.values()))[:-1]

    def pick(self, uniform: float) -> str:
        """The value at a number from [0, 1)."""
        return self._values[bisect_right(self._bounds, uniform)]

    @property
    def bits(self) -> float:
        """Entropy."""
        return -sum(p * math.log2(p) for p in self.values())


SETTINGS = ("park", "beach", "street", "snow", "room")
TIMES = Table({"day": 0.7, "night": 0.3})
WEATHERS: Mapping[str, Table] = {
    "park": Table({"clear": 0.7, "cloudy": 0.18, "rainy": 0.12}),
    "beach": Table({"clear": 0.75, "cloudy": 0.15, "rainy": 0.1}),
    "street": Table({"cloudy": 0.68, "clear": 0.2, "rainy": 0.12}),
    "snow": Table({"snowy": 0.7, "clear": 0.2, "cloudy": 0.1}),
    "room": Table({"none": 1.0}),
}
COLUMN_CHANCES = Table({"left": 0.18, "middle": 0.64, "right": 0.18})
"""Where the main thing is, in the front row."""
BACK = 0.8
"""Chance that another thing is in the back row, while it has a free place."""
PEOPLE = ("man", "woman", "boy", "girl")
ANIMALS = ("dog", "cat", "horse", "bird")
VEHICLES = ("car", "bus", "truck", "bike", "boat")
_FURNITURE = ("bench", "chair", "table", "sofa")

_ANYONE = {"man": 18, "woman": 18, "boy": 10, "girl": 10}
MAIN_KINDS: Mapping[str, Table] = {
    "park": Table({**_ANYONE, "dog": 24, "horse": 10, "bike": 10}),
    "beach": Table({**_ANYONE, "dog": 20, "horse": 10, "boat": 14}),
    "street": Table({**_ANYONE, "dog": 10, "car": 14, "bus": 10, "bike": 10}),
    "snow": Table({**_ANYONE, "dog": 26, "horse": 18}),
    "room": Table({**_ANYONE, "dog": 20, "cat": 24}),
}
_OTHERS = dict.fromkeys(PEOPLE, 5)
OTHER_KINDS: Mapping[str, Table] = {
    "park": Table(
        {**_OTHERS, "tree": 42, "dog": 10, "bench": 8, "bird": 6, "bike": 5, "cat": 3, "horse": 3, "ball": 3}
    ),
    "beach": Table({**_OTHERS, "umbrella": 40, "boat": 12, "bird": 9, "dog": 7, "chair": 6, "ball": 4, "horse": 2}),
    "street": Table({**_OTHERS, "car": 42, "truck": 8, "bus": 7, "bike": 7, "dog": 6, "tree": 4, "cat": 3, "bird": 3}),
    "snow": Table({**_OTHERS, "tree": 44, "dog": 11, "bird": 9, "horse": 6, "car": 5, "truck": 5}),
    "room": Table({**_OTHERS, "chair": 38, "sofa": 9, "table": 9, "plant": 8, "cat": 5, "dog": 4, "lamp": 4, "tv": 3}),
}
OTHERS = Table({"1": 0.3, "2": 0.35, "3": 0.2, "4": 0.1, "5": 0.05})
"""How many things a scene has beside the main one."""

_CLOTHES = ("red", "orange", "yellow", "green", "blue", "pink", "black", "white")
PERSON = {
    "action": Table(
        {"standing": 0.3, "walking": 0.25, "sitting": 0.15, "running": 0.1, "jumping": 0.08, "waving": 0.12}
    ),
    "hair": Table({"black": 0.3, "brown": 0.35, "blond": 0.25, "red": 0.1}),
    "hat": Table({"none": 0.3, "red": 0.15, "blue": 0.15, "black": 0.15, "white": 0.15, "green": 0.1}),
    "glasses": Table({"none": 0.7, "glasses": 0.3}),
    "shirt": Table(dict.fromkeys(_CLOTHES, 1)),
    "bottom_color": Table({"blue": 0.35, "black": 0.3, "brown": 0.15, "white": 0.1, "gray": 0.1}),
    "holding": Table({"none": 0.3, "umbrella": 0.17, "balloon": 0.16, "bag": 0.19, "ball": 0.18}),
}
ITEM_COLORS = Table({"red": 0.25, "yellow": 0.2, "green": 0.15, "blue": 0.25, "white": 0.15})
_SIZES = Table({"big": 0.5, "small": 0.5})
_FUR = Table({"brown": 0.3, "black": 0.2, "white": 0.2, "gray": 0.15, "orange": 0.15})
_PAINT = Table({"red": 0.25, "blue": 0.2, "yellow": 0.15, "black": 0.15, "white": 0.15, "green": 0.1})
_WOOD = Table({"brown": 0.3, "red": 0.15, "green": 0.15, "blue": 0.15, "white": 0.15, "gray": 0.1})
_ANIMAL_ACTIONS = Table({"standing": 0.35, "sitting": 0.25, "lying": 0.2, "running": 0.2})

_ANIMAL = {"color": _FUR, "size": _SIZES, "action": _ANIMAL_ACTIONS}

_FREELY: Mapping[str, Mapping[str, Table]] = {
    "man": {**PERSON, "bottom": Table({"pants": 0.75, "shorts": 0.25})},
    "woman": {**PERSON, "bottom": Table({"pants": 0.45, "shorts": 0.1, "skirt": 0.45})},
    "boy": {**PERSON, "bottom": Table({"pants": 0.5, "shorts": 0.5})},
    "girl": {**PERSON, "bottom": Table({"pants": 0.35, "shorts": 0.2, "skirt": 0.45})},
    "dog": _ANIMAL,
    "cat": _ANIMAL,
    "horse": {**_ANIMAL, "action": Table({"standing": 0.45, "running": 0.3, "lying": 0.25})},
    "bird": {"color": Table({"black": 0.3, "white": 0.3, "blue": 0.2, "yellow": 0.2}), "size": _SIZES},
    **{kind: {"color": _PAINT, "size": _SIZES} for kind in VEHICLES},
    "tree": {"color": Table({"green": 0.6, "orange": 0.25, "yellow": 0.15}), "size": _SIZES},
    **{kind: {"color": _WOOD, "size": _SIZES} for kind in _FURNITURE},
    "plant": {"color": Table({"green": 0.7, "red": 0.15, "yellow": 0.15}), "size": _SIZES},
    "lamp": {"color": Table({"yellow": 0.4, "white": 0.3, "red": 0.3}), "size": _SIZES},
    "tv": {"color": Table({"black": 0.7, "gray": 0.3}), "size": _SIZES},
    "ball": {"color": ITEM_COLORS, "size": _SIZES},
    "umbrella": {"color": ITEM_COLORS, "size": _SIZES},
}
KINDS = tuple(_FREELY)

_BARE = {"hat": "none", "glasses": "none", "holding": "none"}
USUAL: Mapping[str, Mapping[tuple[str, ...], Mapping[str, str]]] = {
    "park": {
        PEOPLE: {"action": "walking", "hair": "brown", "shirt": "green", "bottom_color": "blue"}
        | {"hat": "none", "glasses": "none"},
        ANIMALS: {"color": "brown", "size": "big"},
        VEHICLES: {"color": "red"},
    },
    "beach": {
        PEOPLE: {"action": "standing", "hair": "blond", "bottom_color": "blue", **_BARE},
        ANIMALS: {"action": "running", "size": "big"},
        VEHICLES: {"size": "big"},
    },
    "street": {
        PEOPLE: {"hair": "black", "shirt": "black", "bottom_color": "black", **_BARE, "holding": "bag"},
        ANIMALS: {"color": "black", "size": "small"},
        VEHICLES: {"size": "big"},
    },
    "snow": {
        PEOPLE: {"action": "standing", "hair": "brown", "shirt": "red", "bottom_color": "black", "glasses": "none"}
        | {"holding": "none"},
        ANIMALS: {"action": "standing", "size": "big"},
        VEHICLES: {"color": "white"},
    },
    "room": {
        PEOPLE: {"action": "sitting", "shirt": "blue", **_BARE},
        ANIMALS: {"action": "lying", "size": "small"},
        VEHICLES: {},
    },
}
"""What is usual in a setting. What is not named here varies freely, so that what is worth asking depends on it."""
HABIT = 0.75
"""Chance of what is usual, beside its chance among the rest."""


def _drawn(setting: str, kind: str) -> dict[str, Table]:
    usual = next((usual for kinds, usual in USUAL[setting].items() if kind in kinds), None)
    drawn = {}
    for name, table in _FREELY[kind].items():
        value = next(iter(table)) if usual is None else usual.get(name, "")
        shares = {v: (1 - HABIT) * share for v, share in table.items()}
        drawn[name] = Table(shares | {value: shares[value] + HABIT}) if value in table else table
    return drawn


DRAWN: Mapping[tuple[str, str], Mapping[str, Table]] = {
    (setting, kind): _drawn(setting, kind) for setting in SETTINGS for kind in KINDS
}
"""Setting and kind -> attribute -> values. Where a person holds something, it has a colour too, of `ITEM_COLORS`."""
COLORS = ("red", "orange", "yellow", "green", "blue", "pink", "brown", "gray", "black", "white")
