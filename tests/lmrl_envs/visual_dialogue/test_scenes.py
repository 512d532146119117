from __future__ import annotations

import hashlib
import json
from collections import Counter

import numpy as np
import pytest

from lmrl_envs.visual_dialogue.contents import DRAWN, KINDS, SETTINGS, Table
from lmrl_envs.visual_dialogue.entropy import scene_bits
from lmrl_envs.visual_dialogue.scenes import (
    ATTRIBUTES,
    CLASSES,
    GLOBALS,
    N_REGIONS,
    PARTS,
    Scene,
    Thing,
    box,
    caption,
    captions,
    global_labels,
    part,
    regions,
    scene,
    scene_class,
    scene_ids,
)

SCENES = [scene(id) for id in range(3000)]


def test_scenes_are_the_same_everywhere() -> None:
    text = json.dumps([one.to_json() | {"caption": caption(one), "part": part(one.scene_id)} for one in SCENES[:200]])
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "8f00345359def6dd"


def test_json_round_trip() -> None:
    for one in SCENES[:100]:
        assert Scene.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_scene_bits_of_a_world_counted_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """One class, one other thing, one attribute of two values: 2 places of the main thing, 5 of the other."""
    from lmrl_envs.visual_dialogue import entropy

    coin = {"color": Table({"red": 1, "blue": 1})}
    monkeypatch.setattr(entropy, "CLASSES", {("park", "day", "dog"): 1.0})
    monkeypatch.setattr(entropy, "WEATHERS", {"park": Table({"clear": 1})})
    monkeypatch.setattr(entropy, "OTHERS", Table({"1": 1}))
    monkeypatch.setattr(entropy, "OTHER_KINDS", {"park": Table({"dog": 1, "cat": 1})})
    monkeypatch.setattr(entropy, "COLUMN_CHANCES", Table({"left": 1, "right": 1}))
    monkeypatch.setattr(entropy, "KINDS", ("dog", "cat"))
    monkeypatch.setattr(entropy, "DRAWN", {("park", "dog"): coin, ("park", "cat"): coin})
    monkeypatch.setattr(entropy, "BACK", 0.5)
    places = np.array([1 / 6] * 3 + [1 / 4] * 2)
    expected = 1 + 1 + (1 + 1) - (places * np.log2(places)).sum() - np.log2(3)
    assert entropy.scene_bits() == pytest.approx(expected)


def test_scenes_have_twenty_bits() -> None:
    assert scene_bits() >= 20


def test_a_scene_has_two_to_six_things_in_cells_of_their_own() -> None:
    numbers = Counter(len(one.objects) for one in SCENES)
    assert sorted(numbers) == [2, 3, 4, 5, 6]
    for one in SCENES:
        assert len({thing.cell for thing in one.objects}) == len(one.objects) <= N_REGIONS
        assert one.setting == "room" or one.weather != "none"


def test_the_main_thing_is_the_first_of_its_kind_and_the_rest_are_in_order() -> None:
    for one in SCENES:
        main, *rest = one.objects
        assert main.row == "front"
        order = [(thing.row == "back", thing.cell) for thing in rest]
        assert order == sorted(order)
        same = [thing for thing in rest if thing.kind == main.kind]
        assert all((thing.row == "back", thing.cell) > (False, main.cell) for thing in same)


def test_everything_that_can_be_drawn_is_drawn() -> None:
    drawn = {
        (one.setting, thing.kind, name, getattr(thing, name))
        for one in SCENES
        for thing in one.objects
        for name in DRAWN[one.setting, thing.kind]
    }
    assert {kind for _, kind, _, _ in drawn} == set(KINDS)
    for setting in SETTINGS:
        wanted = {("dog", name, value) for name, table in DRAWN[setting, "dog"].items() for value in table}
        assert wanted <= {rest for where, *rest in drawn if where == setting for rest in [tuple(rest)]}


def test_classes_have_their_chances() -> None:
    assert sum(CLASSES.values()) == pytest.approx(1)
    counted = Counter(map(scene_class, SCENES))
    for of_class, share in CLASSES.items():
        assert abs(counted[of_class] - 3000 * share) < 5 * (3000 * share) ** 0.5


def test_parts_share_no_scene() -> None:
    shown: dict[tuple, str] = {}
    twins = 0
    for one in SCENES:
        key = (one.setting, one.time, one.weather, one.objects)
        twins += key in shown
        assert shown.setdefault(key, part(one.scene_id)) == part(one.scene_id)
    assert 0 < twins < 30  # there are twins, and those are of one part
    counted = Counter(part(one.scene_id) for one in SCENES)
    assert set(counted) == set(PARTS)
    assert min(counted.values()) > 650


def test_ids_of_a_part_and_of_a_class() -> None:
    ids = scene_ids("validation", 500)
    assert ids == sorted(set(ids))
    assert {part(id) for id in ids} == {"validation"}
    assert scene_ids("validation", 100) == ids[:100]
    bus = ("street", "night", "bus")
    pool = scene_ids("test", 100, bus)
    assert {(part(id), scene_class(scene(id))) for id in pool} == {("test", bus)}
    assert len({(scene(id).weather, scene(id).objects) for id in pool}) == 100
    assert scene_ids("test", 40, bus) == pool[:40]


@pytest.mark.parametrize("id", [-1, 2**63, 1.0, "7", True, None])
def test_ids_that_are_none_are_refused(id: object) -> None:
    with pytest.raises(ValueError, match="whole number from 0"):
        scene(id)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="whole number from 0"):
        part(id)  # type: ignore[arg-type]


def test_unknown_parts_and_classes_are_named() -> None:
    with pytest.raises(ValueError, match=r"unknown part 'tests'; did you mean 'test'"):
        scene_ids("tests", 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"unknown scene class 'park day bus'"):
        scene_ids("test", 1, ("park", "day", "bus"))


def test_captions_are_said_as_often_as_their_chance() -> None:
    shown = next(one for one in SCENES if len(one.objects) == 3 and one.time == "night")
    chances = captions(shown)
    assert sum(chances.values()) == pytest.approx(1)
    said = Counter(caption(Scene(id, shown.setting, shown.time, shown.weather, shown.objects)) for id in range(4000))
    assert set(said) <= set(chances)
    for text, chance in chances.items():
        assert abs(said[text] - 4000 * chance) < 5 * (4000 * chance) ** 0.5 + 1


def test_captions_are_those_that_a_person_would_give() -> None:
    man = Thing("man", "left", "front", shirt="orange", bottom="pants", bottom_color="blue", action="sitting")
    shown = Scene(1, "beach", "night", "clear", (man, Thing("umbrella", "right", "front", color="red", size="big")))
    said = captions(shown)
    assert "a man in an orange shirt on the beach at night" in said
    assert "there is a man and an umbrella on the beach" in said
    assert "a picture of a man sitting" in said
    assert not any("red" in text for text in said)
    assert said["a man and an umbrella on the beach"] == pytest.approx(0.5 * 0.2 * 0.85 * 0.4)


def test_regions_lie_in_the_picture_and_apart() -> None:
    for one in SCENES[:300]:
        found = regions(one)
        assert len(found) == len(one.objects)
        for thing, ((x0, y0, x1, y1), labels) in zip(one.objects, found, strict=True):
            assert 0 <= x0 < x1 <= 1
            assert 0 <= y0 < y1 <= 1
            assert {name: ATTRIBUTES[name][label] for name, label in labels.items()} == {
                name: getattr(thing, name) for name in ATTRIBUTES
            }
        boxes = [place for place, _ in found]
        for n, (x0, y0, x1, y1) in enumerate(boxes):
            for u0, v0, u1, v1 in boxes[:n]:
                assert min(x1, u1) <= max(x0, u0) + 1e-9 or min(y1, v1) <= max(y0, v0) + 1e-9


def test_small_and_far_things_take_less_of_the_picture() -> None:
    def height(size: str, row: str) -> float:
        _, y0, _, y1 = box(Thing("dog", "left", row, size=size))
        return y1 - y0

    assert height("small", "back") < height("big", "back") < height("big", "front")
    assert height("small", "front") < height("big", "front")


def test_labels_of_the_whole_picture() -> None:
    for one in SCENES[:50]:
        labels = global_labels(one)
        assert {name: GLOBALS[name][label] for name, label in labels.items()} == {
            "setting": one.setting,
            "time": one.time,
            "weather": one.weather,
        }


def test_a_table_picks_by_its_chances() -> None:
    table = Table({"a": 1, "b": 3})
    assert [table.pick(u) for u in (0.0, 0.2499, 0.25, 0.999999)] == ["a", "a", "b", "b"]
    assert table.bits == pytest.approx(0.25 * 2 - 0.75 * np.log2(0.75))
