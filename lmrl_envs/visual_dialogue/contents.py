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
_OUTDOORS = Table({"clear": 0.45, "cloudy": 0.3, "rainy": 0.25})
WEATHERS: Mapping[str, Table] = {
    **dict.fromkeys(("park", "beach", "street"), _OUTDOORS),
    "snow": Table({"clear": 0.4, "cloudy": 0.3, "snowy": 0.3}),
    "room": Table({"none": 1.0}),
}
PEOPLE = ("man", "woman", "boy", "girl")
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
_OTHERS = dict.fromkeys(PEOPLE, 9)
OTHER_KINDS: Mapping[str, Table] = {
    "park": Table(
        {**_OTHERS, "dog": 12, "cat": 4, "horse": 4, "bird": 9, "bike": 7, "tree": 16, "bench": 9, "ball": 3}
    ),
    "beach": Table({**_OTHERS, "dog": 10, "horse": 4, "bird": 10, "boat": 12, "chair": 9, "umbrella": 11, "ball": 8}),
    "street": Table(
        {**_OTHERS, "dog": 7, "cat": 4, "bird": 5, "car": 17, "bus": 7, "truck": 9, "bike": 8, "tree": 4, "bench": 3}
    ),
    "snow": Table({**_OTHERS, "dog": 13, "horse": 8, "bird": 10, "tree": 17, "car": 8, "truck": 8}),
    "room": Table({**_OTHERS, "dog": 6, "cat": 8, "plant": 9, "chair": 11, "table": 9, "sofa": 9, "lamp": 7, "tv": 5}),
}
OTHERS = Table({"1": 0.22, "2": 0.3, "3": 0.25, "4": 0.15, "5": 0.08})
"""How many things a scene has beside the main one."""

_CLOTHES = ("red", "orange", "yellow", "green", "blue", "pink", "black", "white")
PERSON = {
    "action": Table(
        {"standing": 0.3, "walking": 0.25, "sitting": 0.15, "running": 0.1, "jumping": 0.08, "waving": 0.12}
    ),
    "hair": Table({"black": 0.3, "brown": 0.35, "blond": 0.25, "red": 0.1}),
    "hat": Table({"none": 0.55, "red": 0.1, "blue": 0.1, "black": 0.1, "white": 0.1, "green": 0.05}),
    "glasses": Table({"none": 0.7, "glasses": 0.3}),
    "shirt": Table(dict.fromkeys(_CLOTHES, 1)),
    "bottom_color": Table({"blue": 0.35, "black": 0.3, "brown": 0.15, "white": 0.1, "gray": 0.1}),
    "holding": Table({"none": 0.5, "umbrella": 0.12, "balloon": 0.1, "bag": 0.15, "ball": 0.13}),
}
ITEM_COLORS = Table({"red": 0.25, "yellow": 0.2, "green": 0.15, "blue": 0.25, "white": 0.15})
_SIZES = Table({"small": 0.5, "big": 0.5})
_FUR = Table({"brown": 0.3, "black": 0.2, "white": 0.2, "gray": 0.15, "orange": 0.15})
_PAINT = Table({"red": 0.25, "blue": 0.2, "yellow": 0.15, "black": 0.15, "white": 0.15, "green": 0.1})
_WOOD = Table({"brown": 0.3, "red": 0.15, "green": 0.15, "blue": 0.15, "white": 0.15, "gray": 0.1})
_ANIMAL_ACTIONS = Table({"standing": 0.35, "sitting": 0.25, "lying": 0.2, "running": 0.2})

_ANIMAL = {"color": _FUR, "size": _SIZES, "action": _ANIMAL_ACTIONS}

DRAWN: Mapping[str, Mapping[str, Table]] = {
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
"""Kind -> attribute -> values. Where a person holds something, it has a colour too, of `ITEM_COLORS`."""
KINDS = tuple(DRAWN)
COLORS = ("red", "orange", "yellow", "green", "blue", "pink", "brown", "gray", "black", "white")
