"""How each kind of thing is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lmrl_envs.visual_dialogue.canvas import RGB, Canvas, Pen
from lmrl_envs.visual_dialogue.contents import PEOPLE
from lmrl_envs.visual_dialogue.scenes import Thing, box

_PAINT: Mapping[str, RGB] = {
    "red": (214, 38, 38),
    "orange": (245, 140, 28),
    "yellow": (250, 222, 50),
    "green": (36, 150, 52),
    "blue": (40, 86, 210),
    "pink": (250, 130, 190),
    "brown": (128, 76, 36),
    "gray": (138, 138, 142),
    "black": (26, 26, 30),
    "white": (246, 246, 246),
}
_HAIR: Mapping[str, RGB] = {
    "black": (24, 20, 20),
    "brown": (104, 62, 28),
    "blond": (238, 206, 104),
    "red": (196, 72, 24),
}
_SKIN, _INK, _WHEEL, _GLASS, _TRUNK = (236, 190, 154), (34, 34, 38), (40, 40, 44), (178, 218, 236), (112, 74, 40)
_METAL, _TIRE_HUB = (90, 92, 98), (190, 190, 194)


def draw(canvas: Canvas, thing: Thing) -> None:
    """Paints a thing with its shadow where `box` says."""
    x0, _, x1, y1 = box(thing)
    canvas.ellipse((x0 + x1) / 2, y1, (x1 - x0) * 0.46, 0.012, (84, 84, 80))
    _DRAW[thing.kind](Pen(canvas, box(thing)), thing)


def _person(pen: Pen, who: Thing) -> None:
    shirt, bottom, hair = _PAINT[who.shirt], _PAINT[who.bottom_color], _HAIR[who.hair]
    grown = who.kind in ("man", "woman")
    lift = 0.1 if who.action == "jumping" else 0.0
    hip, top = 0.44 + lift, 0.76 + lift
    if who.action == "sitting":
        hip, top = 0.24, 0.58
        pen.rectangle(-0.24, 0.0, 0.2, 0.2, (120, 104, 92))  # a box to sit on
    _legs(pen, who, hip, bottom)
    feminine = who.kind in ("woman", "girl")
    head, radius = top + (0.12 if grown else 0.13), 0.21 if grown else 0.26
    if feminine:
        pen.ellipse(0, head - 0.05, radius * 1.35, 0.16, hair)
    # arms, then the trunk over their roots
    left = (-0.44, top + 0.2) if who.action in ("waving", "jumping") else (-0.4, hip + 0.02)
    free = who.holding == "none"
    right = (0.44, top + 0.2) if who.action == "jumping" and free else (0.42, hip + 0.04)
    for shoulder, hand in ((-0.24, left), (0.24, right)):
        pen.line(shoulder, top - 0.05, *hand, 0.15, shirt)
        pen.circle(*hand, 0.085, _SKIN)
    pen.rectangle(-0.3, hip, 0.3, top, shirt)
    pen.ellipse(0, top - 0.01, 0.3, 0.035, shirt)
    pen.circle(0, head, radius, _SKIN)
    if feminine:
        pen.rectangle(-radius * 1.25, head - 0.02, -radius * 0.75, head + 0.05, hair)
        pen.rectangle(radius * 0.75, head - 0.02, radius * 1.25, head + 0.05, hair)
    for side in (-1, 1):
        pen.ellipse(side * radius * 0.92, head + 0.015, radius * 0.3, 0.05, hair)
    pen.ellipse(0, head + 0.06, radius * 1.06, 0.05, hair)
    if who.kind == "man":
        pen.rectangle(-0.12, head - 0.075, 0.12, head - 0.045, hair)  # a beard
    for x in (-0.09, 0.09):
        pen.circle(x, head + 0.005, 0.03, _INK)
    if who.glasses != "none":
        pen.rectangle(-radius, head - 0.012, radius, head + 0.022, _INK)
        for x in (-0.1, 0.1):
            pen.circle(x, head + 0.005, 0.06, (120, 200, 235))
    if who.hat != "none":
        hat = _PAINT[who.hat]
        pen.rectangle(-radius * 1.5, head + 0.055, radius * 1.5, head + 0.085, hat)
        pen.rectangle(-radius * 0.95, head + 0.07, radius * 0.95, head + 0.16, hat)
    _held(pen, who, right)


def _legs(pen: Pen, who: Thing, hip: float, color: RGB) -> None:
    knees_bare = who.bottom in ("shorts", "skirt")
    feet = {
        "walking": ((-0.32, 0.02), (0.3, 0.0)),
        "running": ((-0.46, 0.14), (0.4, 0.0)),
        "jumping": ((-0.3, 0.14), (0.3, 0.14)),
        "sitting": ((0.34, 0.0), (0.46, 0.0)),
    }.get(who.action, ((-0.14, 0.0), (0.14, 0.0)))
    for root, (x, y) in zip((-0.14, 0.14), feet, strict=True):
        knee = (x, hip - 0.04) if who.action == "sitting" else ((root + x) / 2, (hip + y) / 2)
        pen.line(root, hip, *knee, 0.22, color)
        pen.line(*knee, x, y + 0.04, 0.13 if knees_bare else 0.2, _SKIN if knees_bare else color)
        pen.ellipse(x + 0.05, y + 0.02, 0.13, 0.025, _INK)
    if who.bottom == "skirt" and who.action != "sitting":
        pen.polygon((-0.28, hip + 0.02), (0.28, hip + 0.02), (0.42, hip - 0.24), (-0.42, hip - 0.24), color=color)
    elif who.bottom == "skirt":
        pen.polygon((-0.28, hip + 0.03), (0.3, hip + 0.03), (0.52, hip - 0.12), (-0.28, hip - 0.12), color=color)


def _held(pen: Pen, who: Thing, hand: tuple[float, float]) -> None:
    if who.holding == "none":
        return
    (x, y), color = hand, _PAINT[who.item_color]
    if who.holding == "umbrella":
        up = y + 0.66
        pen.line(x, y, x, up, 0.06, _INK)
        for dx, width in ((-0.3, 0.24), (0.0, 0.3), (0.3, 0.24)):
            pen.ellipse(x + dx, up - 0.03, width, 0.06, color)
        pen.ellipse(x, up, 0.46, 0.07, color)
    elif who.holding == "balloon":
        pen.line(x, y, x + 0.16, y + 0.42, 0.04, _INK)
        pen.circle(x + 0.18, y + 0.52, 0.27, color)
        pen.circle(x + 0.1, y + 0.56, 0.06, (255, 255, 255))
    elif who.holding == "bag":
        pen.ring(x, y - 0.04, 0.12, 0.05, _INK)
        pen.rectangle(x - 0.22, y - 0.24, x + 0.26, y - 0.06, color)
    else:
        pen.circle(x + 0.14, y, 0.23, color)
        pen.line(x + 0.14 - 0.16, y, x + 0.14 + 0.16, y, 0.05, _INK)


def _four_legs(pen: Pen, what: Thing) -> None:
    """Dogs, cats and horses: their shapes differ in head, ears and tail."""
    fur, dark = _PAINT[what.color], _darker(_PAINT[what.color])
    kind, action = what.kind, what.action
    horse = kind == "horse"
    body = {"lying": 0.2, "sitting": 0.36}.get(action, 0.5 if not horse else 0.52)
    thick, leg = (0.16, 0.1) if horse else (0.17, 0.1)
    if action in ("standing", "running"):
        spread = 0.16 if action == "running" else 0.0
        for x, foot in ((-0.3, -0.3 - spread), (-0.2, -0.2 + spread), (0.16, 0.16 - spread), (0.26, 0.26 + spread)):
            pen.line(x, body, foot, 0.04, leg, dark)
    # tail
    if kind == "cat":
        pen.line(-0.34, body, -0.46, body + 0.24, 0.06, dark)
        pen.line(-0.46, body + 0.24, -0.36, body + 0.42, 0.06, dark)
    elif kind == "dog":
        pen.line(-0.34, body + 0.06, -0.48, body + 0.26, 0.08, dark)
    else:
        pen.line(-0.36, body + 0.04, -0.47, body - 0.26, 0.09, dark)
    # trunk
    if action == "sitting":
        pen.ellipse(-0.1, 0.22, 0.28, 0.22, fur)
        pen.line(-0.06, 0.3, 0.14, 0.62, 0.26, fur)
        pen.line(0.16, 0.5, 0.2, 0.05, leg, dark)
        chest = 0.62
    else:
        pen.ellipse(-0.02, body, 0.36, thick, fur)
        chest = body + 0.06
        if action == "lying":
            pen.line(0.1, 0.07, 0.42, 0.07, leg, dark)
            pen.line(-0.3, 0.07, -0.05, 0.07, leg, dark)
    x, y = (0.3, min(chest + 0.24, 0.84)) if not horse else (0.34, min(chest + 0.32, 0.86))
    if horse:
        pen.line(0.2, chest - 0.04, x, y, 0.2, fur)
        pen.line(0.12, chest + 0.04, x - 0.1, y + 0.04, 0.07, dark)
        pen.line(x, y, x + 0.1, y - 0.08, 0.14, fur)
        pen.polygon((x - 0.08, y + 0.03), (x + 0.0, y + 0.03), (x - 0.03, y + 0.13), color=dark)
        pen.circle(x + 0.03, y, 0.02, _eye(what.color))
        return
    pen.line(0.2, chest, x, y, 0.2, fur)
    pen.circle(x, y, 0.15, fur)
    if kind == "dog":
        pen.ellipse(x + 0.13, y - 0.05, 0.11, 0.07, fur)
        pen.circle(x + 0.22, y - 0.03, 0.035, _INK)
        pen.ellipse(x - 0.1, y - 0.03, 0.06, 0.15, dark)
    else:
        for side in (-0.1, 0.1):
            pen.polygon((x + side - 0.06, y + 0.08), (x + side + 0.06, y + 0.08), (x + side, y + 0.27), color=dark)
        pen.circle(x + 0.02, y - 0.06, 0.03, (240, 130, 150))
    pen.circle(x + 0.04, y + 0.04, 0.03, _eye(what.color))


def _bird(pen: Pen, what: Thing) -> None:
    color = _PAINT[what.color]
    for x in (-0.06, 0.08):
        pen.line(x, 0.3, x, 0.02, 0.05, (230, 140, 30))
    pen.polygon((-0.5, 0.62), (-0.2, 0.5), (-0.2, 0.32), color=_darker(color))
    pen.ellipse(-0.02, 0.45, 0.32, 0.24, color)
    pen.ellipse(-0.08, 0.46, 0.18, 0.13, _darker(color))
    pen.circle(0.24, 0.74, 0.18, color)
    pen.polygon((0.38, 0.82), (0.38, 0.66), (0.54, 0.72), color=(240, 150, 30))
    pen.circle(0.27, 0.78, 0.045, _eye(what.color))


def _car(pen: Pen, what: Thing) -> None:
    color = _PAINT[what.color]
    pen.polygon((-0.3, 0.56), (0.28, 0.56), (0.16, 0.96), (-0.18, 0.96), color=color)
    pen.polygon((-0.22, 0.58), (-0.03, 0.58), (-0.03, 0.88), (-0.14, 0.88), color=_GLASS)
    pen.polygon((0.03, 0.58), (0.2, 0.58), (0.12, 0.88), (0.03, 0.88), color=_GLASS)
    pen.rectangle(-0.49, 0.2, 0.49, 0.58, color)
    pen.rectangle(0.43, 0.4, 0.49, 0.52, (255, 246, 170))
    pen.rectangle(-0.49, 0.4, -0.45, 0.52, (190, 20, 20))
    _wheels(pen, (-0.28, 0.28), 0.12)


def _bus(pen: Pen, what: Thing) -> None:
    pen.rectangle(-0.49, 0.12, 0.49, 0.98, _PAINT[what.color])
    for left in (-0.44, -0.25, -0.06, 0.13):
        pen.rectangle(left, 0.56, left + 0.15, 0.86, _GLASS)
    pen.rectangle(0.33, 0.2, 0.45, 0.86, _GLASS)
    pen.rectangle(-0.49, 0.4, 0.3, 0.45, _darker(_PAINT[what.color]))
    _wheels(pen, (-0.28, 0.2), 0.095)


def _truck(pen: Pen, what: Thing) -> None:
    color = _PAINT[what.color]
    pen.rectangle(-0.5, 0.22, 0.16, 0.98, (214, 206, 190))
    pen.rectangle(-0.5, 0.22, 0.16, 0.28, _METAL)
    pen.rectangle(0.18, 0.16, 0.5, 0.78, color)
    pen.rectangle(0.3, 0.46, 0.47, 0.7, _GLASS)
    pen.rectangle(-0.5, 0.56, 0.16, 0.7, color)
    _wheels(pen, (-0.32, -0.08, 0.34), 0.1)


def _wheels(pen: Pen, places: tuple[float, ...], radius: float) -> None:
    height = radius * pen.w / pen.h
    for x in places:
        pen.circle(x, height, radius, _WHEEL)
        pen.circle(x, height, radius * 0.45, _TIRE_HUB)


def _bike(pen: Pen, what: Thing) -> None:
    color, y = _PAINT[what.color], 0.23 * pen.w / pen.h
    for x in (-0.27, 0.27):
        pen.ring(x, y, 0.19, 0.05, _WHEEL)
    for x0, y0, x1, y1 in (
        (-0.27, y, -0.12, 0.72),
        (-0.12, 0.72, 0.2, 0.72),
        (0.2, 0.72, 0.0, y),
        (0.0, y, -0.27, y),
        (0.0, y, -0.14, 0.8),
        (0.27, y, 0.18, 0.9),
    ):
        pen.line(x0, y0, x1, y1, 0.07, color)
    pen.line(-0.22, 0.84, -0.06, 0.84, 0.07, _INK)
    pen.line(0.1, 0.94, 0.26, 0.94, 0.06, _INK)


def _boat(pen: Pen, what: Thing) -> None:
    color = _PAINT[what.color]
    pen.ellipse(0, 0.03, 0.5, 0.05, (70, 140, 200))
    pen.polygon((-0.5, 0.3), (0.5, 0.3), (0.34, 0.04), (-0.34, 0.04), color=color)
    pen.rectangle(-0.02, 0.28, 0.03, 1.0, _TRUNK)
    pen.polygon((0.06, 0.36), (0.42, 0.36), (0.06, 0.98), color=(250, 248, 240))
    pen.polygon((-0.06, 0.36), (-0.32, 0.36), (-0.06, 0.86), color=(226, 222, 210))


def _tree(pen: Pen, what: Thing) -> None:
    color = _PAINT[what.color]
    pen.rectangle(-0.1, 0.0, 0.1, 0.5, _TRUNK)
    for x, y, radius in (
        (-0.26, 0.52, 0.24),
        (0.26, 0.52, 0.24),
        (0.0, 0.56, 0.3),
        (-0.14, 0.74, 0.25),
        (0.14, 0.74, 0.25),
    ):
        pen.circle(x, y, radius, _darker(color) if y < 0.55 else color)
    pen.circle(0.0, 0.84, 0.22, color)


def _plant(pen: Pen, what: Thing) -> None:
    pen.polygon((-0.26, 0.32), (0.26, 0.32), (0.18, 0.0), (-0.18, 0.0), color=(176, 92, 52))
    for x in (-0.3, -0.12, 0.12, 0.3):
        pen.line(0, 0.3, x, 0.78, 0.14, (46, 130, 56))
        pen.circle(x, 0.8, 0.15, _PAINT[what.color])
    pen.circle(0, 0.88, 0.16, _PAINT[what.color])


def _bench(pen: Pen, what: Thing) -> None:
    color = _PAINT[what.color]
    for x in (-0.4, 0.34):
        pen.rectangle(x, 0.0, x + 0.06, 0.95, _INK)
    for y in (0.38, 0.6, 0.8):
        pen.rectangle(-0.49, y, 0.49, y + 0.14, color)


def _chair(pen: Pen, what: Thing) -> None:
    color = _PAINT[what.color]
    for x in (-0.36, 0.26):
        pen.rectangle(x, 0.0, x + 0.1, 0.45, _darker(color))
    pen.rectangle(-0.38, 0.45, -0.2, 1.0, color)
    pen.rectangle(-0.38, 0.4, 0.42, 0.54, color)


def _table(pen: Pen, what: Thing) -> None:
    color = _PAINT[what.color]
    for x in (-0.4, 0.3):
        pen.rectangle(x, 0.0, x + 0.1, 0.75, _darker(color))
    pen.rectangle(-0.49, 0.72, 0.49, 0.95, color)


def _sofa(pen: Pen, what: Thing) -> None:
    color = _PAINT[what.color]
    pen.rectangle(-0.42, 0.4, 0.42, 0.98, color)
    pen.rectangle(-0.42, 0.16, 0.42, 0.5, _darker(color))
    pen.rectangle(-0.01, 0.16, 0.01, 0.5, color)
    for x in (-0.5, 0.34):
        pen.rectangle(x, 0.08, x + 0.16, 0.66, color)


def _lamp(pen: Pen, what: Thing) -> None:
    pen.rectangle(-0.28, 0.0, 0.28, 0.05, _INK)
    pen.rectangle(-0.05, 0.0, 0.05, 0.7, _METAL)
    pen.polygon((-0.48, 0.66), (0.48, 0.66), (0.24, 1.0), (-0.24, 1.0), color=_PAINT[what.color])


def _tv(pen: Pen, what: Thing) -> None:
    pen.rectangle(-0.3, 0.0, 0.3, 0.2, _TRUNK)
    pen.rectangle(-0.49, 0.2, 0.49, 0.98, _PAINT[what.color])
    pen.rectangle(-0.41, 0.3, 0.41, 0.89, (86, 150, 190))
    pen.polygon((-0.3, 0.84), (-0.12, 0.84), (-0.34, 0.5), (-0.38, 0.5), color=(170, 214, 234))


def _ball(pen: Pen, what: Thing) -> None:
    pen.circle(0, 0.5, 0.48, _PAINT[what.color])
    pen.line(-0.4, 0.5, 0.4, 0.5, 0.08, _INK)
    pen.line(0, 0.1, 0, 0.9, 0.08, _INK)


def _umbrella(pen: Pen, what: Thing) -> None:
    color = _PAINT[what.color]
    pen.rectangle(-0.025, 0.0, 0.025, 0.9, _INK)
    pen.ellipse(0, 0.72, 0.5, 0.26, color)
    pen.polygon((-0.16, 0.74), (0.16, 0.74), (0.0, 0.99), color=_darker(color))


def _darker(color: RGB) -> RGB:
    """A shade for what is behind or below; black gets lighter, so that it shows."""
    return tuple(0.72 * part if sum(color) > 150 else part + 34 for part in color)  # type: ignore[return-value]


def _eye(color: str) -> RGB:
    return (240, 240, 240) if color == "black" else _INK


_DRAW: dict[str, Callable[[Pen, Thing], None]] = {
    **dict.fromkeys(PEOPLE, _person),
    **dict.fromkeys(("dog", "cat", "horse"), _four_legs),
    "bird": _bird,
    "car": _car,
    "bus": _bus,
    "truck": _truck,
    "bike": _bike,
    "boat": _boat,
    "tree": _tree,
    "plant": _plant,
    "bench": _bench,
    "chair": _chair,
    "table": _table,
    "sofa": _sofa,
    "lamp": _lamp,
    "tv": _tv,
    "ball": _ball,
    "umbrella": _umbrella,
}
