from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lmrl_envs.visual_dialogue.contents import ITEM_COLORS, KINDS, SETTINGS, TIMES, WEATHERS
from lmrl_envs.visual_dialogue.rendering import picture, render
from lmrl_envs.visual_dialogue.scenes import ATTRIBUTES, Scene, Thing, box, scene

MAN = Thing("man", "middle", "front", action="standing", hair="brown", shirt="red", bottom="pants", bottom_color="blue")
DOG = Thing("dog", "left", "front", color="brown", size="big", action="standing")


def shown(*things: Thing, setting: str = "park", time: str = "day", weather: str = "clear") -> np.ndarray:
    return render(Scene(7, setting, time, weather, things)).astype(int)


def differing(one: np.ndarray, other: np.ndarray) -> int:
    """Pixels that anybody sees to differ; noise is the same in both."""
    return int((np.abs(one - other).max(2) > 40).sum())


def test_a_picture_is_an_array_of_pixels_and_the_same_each_time() -> None:
    one = render(scene(3))
    assert one.shape == (64, 64, 3)
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, render(scene(3)))
    assert picture(scene(3)).shape == (256, 256, 3)
    assert render(scene(3), size=48).shape == (48, 48, 3)


def test_people_and_networks_see_the_same_picture() -> None:
    for id in range(20):
        large = picture(scene(id)).reshape(64, 4, 64, 4, 3).mean((1, 3))
        assert np.abs(large - render(scene(id))).mean() < 6


def test_scenes_with_the_same_contents_differ_by_noise_alone() -> None:
    clear = dataclasses.replace(scene(3), weather="clear")  # rain and snow fall elsewhere in each picture
    one, other = (render(dataclasses.replace(clear, scene_id=id)).astype(int) for id in (1, 2))
    difference = np.abs(one - other)
    assert difference.any()
    assert difference.max() <= 12


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (name, value)
        for name in ("action", "hair", "shirt", "bottom", "bottom_color", "hat", "glasses", "holding")
        for value in ATTRIBUTES[name]
        if value not in ("none", "lying", getattr(MAN, name))
    ],
)
@pytest.mark.parametrize("row", ["front", "back"])
def test_every_attribute_of_a_person_shows(attribute: str, value: str, row: str) -> None:
    man = dataclasses.replace(MAN, row=row)
    other = dataclasses.replace(man, **{attribute: value}, item_color="red" if attribute == "holding" else "none")
    least = 2 if attribute in ("glasses", "bottom", "hair") else 5
    assert differing(shown(man), shown(other)) >= least


@pytest.mark.parametrize("action", ["sitting", "lying", "running"])
@pytest.mark.parametrize("size", ["small", "big"])
def test_what_animals_do_shows(action: str, size: str) -> None:
    for kind in ("dog", "cat"):
        one = dataclasses.replace(DOG, kind=kind, size=size)
        assert differing(shown(one), shown(dataclasses.replace(one, action=action))) >= 8


@pytest.mark.parametrize("color", [color for color in ATTRIBUTES["color"] if color not in ("none", "brown")])
def test_colors_show(color: str) -> None:
    for time in TIMES:
        one, other = shown(DOG, time=time), shown(dataclasses.replace(DOG, color=color), time=time)
        assert (np.abs(one - other).max(2) > 15).sum() > 60


@pytest.mark.parametrize("color", ITEM_COLORS)
def test_what_is_held_has_its_color(color: str) -> None:
    held = dataclasses.replace(MAN, holding="balloon", item_color=color)
    other = dataclasses.replace(held, item_color="white" if color == "red" else "red")
    assert differing(shown(held), shown(other)) > 6


def test_kinds_look_different() -> None:
    pictures = {kind: shown(Thing(kind, "middle", "front", **plain(kind))) for kind in KINDS}
    empty = shown()
    for kind, one in pictures.items():
        assert differing(one, empty) > 15, kind
        for other_kind, other in pictures.items():
            assert kind == other_kind or differing(one, other) >= 8, (kind, other_kind)


def plain(kind: str) -> dict[str, str]:
    person = {"action": "standing", "hair": "brown", "shirt": "red", "bottom": "pants", "bottom_color": "blue"}
    return person if kind in ("man", "woman", "boy", "girl") else {"color": "red", "size": "big", "action": "standing"}


def test_things_are_drawn_in_their_boxes() -> None:
    empty = shown()
    for kind in KINDS:
        for row in ("front", "back"):
            thing = Thing(kind, "right", row, **plain(kind))
            x0, y0, x1, y1 = (64 * edge for edge in box(thing))
            rows, columns = np.nonzero(np.abs(shown(thing) - empty).max(2) > 30)
            assert columns.min() >= x0 - 3
            assert columns.max() <= x1 + 3
            assert rows.min() >= y0 - 5
            assert rows.max() <= y1 + 2


def test_settings_times_and_weather_look_different() -> None:
    views = {
        (setting, time, weather): shown(DOG, setting=setting, time=time, weather=weather)
        for setting in SETTINGS
        for time in TIMES
        for weather in WEATHERS[setting]
    }
    names = list(views)
    for n, name in enumerate(names):
        for other in names[:n]:
            assert differing(views[name], views[other]) > 20, (name, other)
