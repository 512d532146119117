"""The generated world: what a picture shows, how scenes are drawn, and their four disjoint parts.

A scene is a setting, a time of day, weather and two to six things on a grid of three columns and two rows. Its class
(setting, time, main kind) and its part follow from hashes of its id, so that the images of a hard pool are found
without drawing any other; everything else is drawn from a Generator seeded with the id.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np

from lmrl_envs.errors import unknown_name
from lmrl_envs.visual_dialogue.contents import (
    BACK,
    COLUMN_CHANCES,
    DRAWN,
    ITEM_COLORS,
    KINDS,
    MAIN_KINDS,
    OTHER_KINDS,
    OTHERS,
    PEOPLE,
    PERSON,
    SETTINGS,
    TIMES,
    WEATHERS,
    Table,
)

Part = Literal["models", "train", "validation", "test"]
PARTS: tuple[str, ...] = get_args(Part)
SceneClass = tuple[str, str, str]
"""Setting, time, main kind: what the images of a hard pool share."""


CLASSES: Mapping[SceneClass, float] = {
    (setting, time, kind): share / len(SETTINGS) * TIMES[time]
    for setting in SETTINGS
    for time in TIMES
    for kind, share in MAIN_KINDS[setting].items()
}
"""Every class with its chance."""

COLUMNS = ("left", "middle", "right")
ROWS = ("back", "front")
N_REGIONS = len(COLUMNS) * len(ROWS)
"""Most things in a scene."""
PLACES = {"park": "in the park", "beach": "on the beach", "street": "on the street", "snow": "in the snow"} | {
    "room": "in a room"
}
FEET = {"back": 0.47, "front": 0.95}
"""Height of the ground that a row stands on; 0 is the picture's top, 1 its bottom."""
BACK_SCALE, SMALL = 0.8, 0.7
EXTENTS: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("man", "woman"), (0.17, 0.44)),
    **dict.fromkeys(("boy", "girl"), (0.15, 0.32)),
    "dog": (0.24, 0.22),
    "cat": (0.22, 0.2),
    "horse": (0.31, 0.36),
    "bird": (0.17, 0.14),
    "car": (0.32, 0.18),
    "bus": (0.33, 0.28),
    "truck": (0.33, 0.24),
    "bike": (0.27, 0.2),
    "boat": (0.3, 0.34),
    "tree": (0.28, 0.45),
    "plant": (0.16, 0.26),
    "bench": (0.28, 0.17),
    "chair": (0.16, 0.26),
    "table": (0.28, 0.19),
    "sofa": (0.31, 0.2),
    "lamp": (0.13, 0.36),
    "tv": (0.24, 0.22),
    "ball": (0.11, 0.11),
    "umbrella": (0.28, 0.38),
}
"""Width and height of a big thing in the front row, as shares of the picture."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One of a scene's things, in its own cell of the grid. People have clothes, everything else colour and size."""

    kind: str
    column: str
    row: str
    color: str = "none"
    size: str = "none"
    action: str = "none"
    hair: str = "none"
    shirt: str = "none"
    bottom: str = "none"
    bottom_color: str = "none"
    hat: str = "none"
    glasses: str = "none"
    holding: str = "none"
    item_color: str = "none"

    @property
    def cell(self) -> int:
        """0 .. 5: the back row from left to right, then the front row."""
        return ROWS.index(self.row) * len(COLUMNS) + COLUMNS.index(self.column)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture shows. `scene_id` also seeds the caption and the noise.

    `objects` begins with the main thing, the first of its kind; the rest go from left to right, the front row first.
    """

    scene_id: int
    setting: str
    time: str
    weather: str
    objects: tuple[Thing, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; attributes that are "none" are left out."""
        things = [{k: v for k, v in dataclasses.asdict(thing).items() if v != "none"} for thing in self.objects]
        return {**{k: getattr(self, k) for k in ("scene_id", "setting", "time", "weather")}, "objects": things}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scene:
        """The inverse of `to_json`."""
        return cls(**{**data, "objects": tuple(Thing(**thing) for thing in data["objects"])})


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "kind": ("none", *KINDS),
    **{
        name: ("none", *dict.fromkeys(v for drawn in DRAWN.values() for v in drawn.get(name, ()) if v != "none"))
        for name in ("color", "size", *PERSON, "bottom")
    },
    "item_color": ("none", *ITEM_COLORS),
}
"""Attribute of a region -> its classes, "none" first."""
GLOBALS: dict[str, tuple[str, ...]] = {
    "setting": SETTINGS,
    "time": tuple(TIMES),
    "weather": ("none", *dict.fromkeys(value for table in WEATHERS.values() for value in table if value != "none")),
}
"""Attribute of the whole picture -> its classes."""

_CLASS_LIST = tuple(CLASSES)
_CLASS_BOUNDS = np.cumsum(list(CLASSES.values()))[:-1]
_UNIFORMS = 2 + 3 * N_REGIONS + N_REGIONS * (len(PERSON) + 2)


@lru_cache(maxsize=8192, typed=True)
def scene(scene_id: int) -> Scene:
    """The scene of an id, the same on every machine.

    It is drawn again until the hash of what it shows is that of the id's part, so that no two parts share a scene.

    Raises:
        ValueError: the id is not a whole number from 0 to 2**63 - 1.
    """
    ids = _checked(scene_id)
    of_class, part = _CLASS_LIST[_class_indices(ids)[0]], _part_indices(ids)[0]
    generator = np.random.Generator(np.random.PCG64(scene_id))
    while True:
        weather, drawn = _draw(iter(generator.random(_UNIFORMS).tolist()).__next__, of_class)
        shown = " ".join([*of_class, weather, *(f"{cell}{'.'.join(thing.values())}" for cell, thing in drawn)])
        if zlib.crc32(shown.encode()) * len(PARTS) >> 32 == part:
            break
    things = [Thing(column=COLUMNS[cell % 3], row=ROWS[cell // 3], **thing) for cell, thing in drawn]
    things.sort(key=lambda thing: thing.row == "back")  # within a row they go from left to right
    main = next(thing for thing in things if thing.kind == of_class[2])
    setting, time, _ = of_class
    return Scene(scene_id, setting, time, weather, (main, *(thing for thing in things if thing is not main)))


def _draw(uniform: Callable[[], float], of_class: SceneClass) -> tuple[str, list[tuple[int, dict[str, str]]]]:
    """Weather and things, each with its cell, in the order of the cells."""
    setting, _, main = of_class
    weather = WEATHERS[setting].pick(uniform())
    back, front = list(range(len(COLUMNS))), list(range(len(COLUMNS), N_REGIONS))
    kinds, cells = [main], [front.pop(COLUMNS.index(COLUMN_CHANCES.pick(uniform())))]
    for _ in range(int(OTHERS.pick(uniform()))):
        kinds.append(OTHER_KINDS[setting].pick(uniform()))
        row, place = (back if uniform() < BACK else front) or back or front, uniform()
        cells.append(row.pop(int(place * len(row))))
    things = []
    for kind, cell in zip(kinds, cells, strict=True):
        thing = {"kind": kind} | {name: table.pick(uniform()) for name, table in DRAWN[setting, kind].items()}
        if thing.get("holding", "none") != "none":
            thing["item_color"] = ITEM_COLORS.pick(uniform())
        things.append((cell, thing))
    return weather, sorted(things, key=lambda placed: placed[0])


def part(scene_id: int) -> Part:
    """The part of the corpora that a scene belongs to, by a hash of its id and of what it shows. Raises as `scene`."""
    return PARTS[_part_indices(_checked(scene_id))[0]]


def scene_class(scene: Scene) -> SceneClass:
    """Setting, time and kind of the main thing."""
    return scene.setting, scene.time, scene.objects[0].kind


def scene_ids(part: Part, count: int, of_class: SceneClass | None = None) -> list[int]:
    """The first `count` ids of a part, or of a class in it.

    Of a class, ids whose scene shows what an earlier one shows are left out, so that the images of a pool differ; of a
    whole part, fewer than one in a hundred is such a twin.

    Raises:
        UnknownNameError: there is no such part or class.
    """
    if part not in PARTS:
        raise unknown_name("part", part, PARTS)
    if of_class is not None and of_class not in CLASSES:
        raise unknown_name("scene class", " ".join(of_class), map(" ".join, CLASSES))
    share = (1.0 if of_class is None else CLASSES[of_class]) / len(PARTS)
    start, block = 0, int(count / share * 1.2) + 64
    found: list[int] = []
    shown: set[tuple[str, tuple[Thing, ...]]] = set()
    while len(found) < count:
        ids = np.arange(start, start + block, dtype=np.uint64)
        ids = ids[_part_indices(ids) == PARTS.index(part)]
        if of_class is None:
            found += ids.tolist()
        else:
            for id in ids[_class_indices(ids) == _CLASS_LIST.index(of_class)].tolist():
                facts = (scene(id).weather, scene(id).objects)
                if facts not in shown:
                    shown.add(facts)
                    found.append(id)
        start += block
    return found[:count]


def regions(scene: Scene) -> list[tuple[tuple[float, float, float, float], dict[str, int]]]:
    """What a detector is to find: each thing's box (x0, y0, x1, y1 in 0..1, y down) and classes in `ATTRIBUTES`."""
    return [
        (box(thing), {name: labels.index(getattr(thing, name)) for name, labels in ATTRIBUTES.items()})
        for thing in scene.objects
    ]


def global_labels(scene: Scene) -> dict[str, int]:
    """The classes of the whole picture in `GLOBALS`."""
    return {name: labels.index(getattr(scene, name)) for name, labels in GLOBALS.items()}


def box(thing: Thing) -> tuple[float, float, float, float]:
    """Where a thing is in the picture: x0, y0, x1, y1 in 0..1, y down.

    It stands in the middle of its cell. Umbrellas and balloons stick out.
    """
    x = (COLUMNS.index(thing.column) + 0.5) / len(COLUMNS)
    front = thing.row == "front"
    scale = (1.0 if front else BACK_SCALE) * (SMALL if thing.size == "small" else 1.0)
    width, height = (scale * extent for extent in EXTENTS[thing.kind])
    foot = FEET[thing.row]
    return x - width / 2, foot - height, x + width / 2, foot


def a(noun: str) -> str:
    """A noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def captions(scene: Scene) -> dict[str, float]:
    """Every caption that people give to a scene, with its chance. It names the main thing and at most one fact more."""
    main, *others = scene.objects
    details = {f"a {main.kind}": 0.45}
    if main.kind in PEOPLE:
        details[f"a {main.kind} in {a(main.shirt)} shirt"] = 0.15
    else:
        details[f"{a(main.color)} {main.kind}"] = 0.15
    if main.action != "none":
        details[f"a {main.kind} {main.action}"] = 0.2
    for other in others:
        text = f"a {main.kind} and {'another ' + other.kind if other.kind == main.kind else a(other.kind)}"
        details[text] = details.get(text, 0.0) + 0.2 / len(others)
    places = {f" {PLACES[scene.setting]}": 0.85, "": 0.15}
    times = {" at night": 0.6, "": 0.4} if scene.time == "night" else {"": 1.0}
    openings = {"": 0.5, "there is ": 0.25, "a picture of ": 0.25}
    product = itertools.product(openings.items(), details.items(), places.items(), times.items())
    chances: dict[str, float] = {}
    for parts in product:
        text = "".join(text for text, _ in parts)
        chances[text] = chances.get(text, 0.0) + math.prod(chance for _, chance in parts)
    total = sum(chances.values())
    return {text: chance / total for text, chance in chances.items()}


@lru_cache(maxsize=8192)
def caption(scene: Scene) -> str:
    """What a person says of the picture, drawn from `captions` by a hash of the id."""
    chances = captions(scene)
    return Table(chances).pick(float(_hash(_checked(scene.scene_id), 3)[0]))


def _checked(scene_id: int) -> np.ndarray:
    """(1,) uint64."""
    if not isinstance(scene_id, int | np.integer) or isinstance(scene_id, bool) or not 0 <= scene_id < 2**63:
        raise ValueError(f"a scene's id is a whole number from 0 to 2**63 - 1, got {scene_id!r:.80}")
    return np.array([scene_id], np.uint64)


def _part_indices(ids: np.ndarray) -> np.ndarray:
    """(N,) ids to (N,) indices of `PARTS`."""
    return (_hash(ids, 1) * len(PARTS)).astype(np.intp)


def _class_indices(ids: np.ndarray) -> np.ndarray:
    """(N,) ids to (N,) indices of `CLASSES`."""
    return np.searchsorted(_CLASS_BOUNDS, _hash(ids, 2), side="right")


def _hash(ids: np.ndarray, salt: int) -> np.ndarray:
    """(N,) uint64 to (N,) float64 in [0, 1): the finaliser of SplitMix64, whose bits pass for independent."""
    x = ids + np.uint64(salt * 0x9E3779B97F4A7C15 % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
