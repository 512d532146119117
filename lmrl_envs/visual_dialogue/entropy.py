"""How many bits a scene has."""

from __future__ import annotations

import math

from lmrl_envs.visual_dialogue.contents import (
    BACK,
    COLUMN_CHANCES,
    DRAWN,
    ITEM_COLORS,
    KINDS,
    OTHER_KINDS,
    OTHERS,
    WEATHERS,
    Table,
)
from lmrl_envs.visual_dialogue.scenes import CLASSES, COLUMNS, N_REGIONS


def scene_bits() -> float:
    """Bits that a picture shows of its scene, at least: which thing of the front row is the main one is not counted."""
    expected = sum(share * _bits_given(*of_class) for of_class, share in CLASSES.items())
    return Table({" ".join(key): share for key, share in CLASSES.items()}).bits + expected - math.log2(len(COLUMNS))


def _bits_given(setting: str, time: str, main: str) -> float:
    """Bits left once the class is known."""
    of_kind = {kind: _thing_bits(setting, kind) for kind in KINDS}
    other = OTHER_KINDS[setting].bits + sum(p * of_kind[kind] for kind, p in OTHER_KINDS[setting].items())
    bits = WEATHERS[setting].bits + OTHERS.bits + COLUMN_CHANCES.bits + of_kind[main]
    for number, share in ((int(value), share) for value, share in OTHERS.items()):
        bits += share * (number * other + _places_bits(number))
    return bits


def _places_bits(number: int) -> float:
    """Bits of the cells that things beside the main one take, whichever came first."""
    chances = {frozenset[int](): 1.0}
    for _ in range(number):
        grown: dict[frozenset[int], float] = {}
        for taken, chance in chances.items():
            back = [cell for cell in range(len(COLUMNS)) if cell not in taken]
            front = [cell for cell in range(len(COLUMNS), N_REGIONS - 1) if cell not in taken]
            in_back = 0.0 if not back else BACK if front else 1.0
            for cells, share in ((back, in_back), (front, 1 - in_back)):
                for cell in cells:
                    more = taken | {cell}
                    grown[more] = grown.get(more, 0.0) + chance * share / len(cells)
        chances = grown
    return -sum(chance * math.log2(chance) for chance in chances.values())


def _thing_bits(setting: str, kind: str) -> float:
    drawn = DRAWN[setting, kind]
    held = 1 - drawn["holding"]["none"] if "holding" in drawn else 0.0
    return sum(table.bits for table in drawn.values()) + held * ITEM_COLORS.bits
