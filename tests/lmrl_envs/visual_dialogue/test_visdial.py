from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmrl_envs.errors import DatasetError
from lmrl_envs.visual_dialogue.visdial import (
    NONE,
    ImageFeatures,
    read_dialogues,
    read_features,
    write_dialogues,
    write_features,
    write_relevance,
)


def small() -> dict[str, Any]:
    """Two dialogues of two and one rounds; each round's options are the answers in turn, from its own on."""

    def spoken(question: int, answer: int) -> dict[str, Any]:
        options = [(answer + 3 + n) % 120 for n in range(100)]
        options[97] = answer
        return {"question": question, "answer": answer, "answer_options": options, "gt_index": 97}

    return {
        "version": "1.0",
        "split": "val2018",
        "data": {
            "questions": ["is it sunny", "any people", "what color is it"],
            "answers": [f"answer {n}" for n in range(120)],
            "dialogs": [
                {"image_id": 30, "caption": "a man", "dialog": [spoken(0, 5), spoken(2, 7)]},
                {"image_id": 10, "caption": "a dog", "dialog": [spoken(1, 119)]},
            ],
        },
    }


def saved(folder: Path, data: Any, name: str = "dialogues.json") -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_a_small_file(tmp_path):
    dialogues = read_dialogues(saved(tmp_path, small()))
    assert (len(dialogues), dialogues.split, dialogues.captions) == (2, "val2018", ["a man", "a dog"])
    assert dialogues.image_ids.tolist() == [30, 10]
    assert dialogues.rounds(0) == [("is it sunny", "answer 5"), ("what color is it", "answer 7")]
    assert dialogues.rounds(1) == [("any people", "answer 119")]
    assert dialogues.options[0, 0, 97] == dialogues.answer[0, 0] == 5
    assert (dialogues.question[:, 2:] == NONE).all()
    assert dialogues.relevance is None


def test_what_is_written_is_read_again(tmp_path):
    first = read_dialogues(saved(tmp_path, small()))
    relevance = np.full((2, 10, 100), np.nan, np.float32)
    relevance[0, 1] = np.linspace(0, 1, 100).round(3)
    full = type(first)(**{**{n: getattr(first, n) for n in first.__dataclass_fields__}, "relevance": relevance})
    write_dialogues(tmp_path / "again.json", full)
    write_relevance(tmp_path / "dense.json", full)
    assert json.loads((tmp_path / "again.json").read_text()) == small()
    again = read_dialogues(tmp_path / "again.json", tmp_path / "dense.json")
    for name in ("image_ids", "question", "answer", "options", "truth", "relevance"):
        np.testing.assert_array_equal(getattr(again, name), getattr(full, name))
    with pytest.raises(ValueError, match="these have none"):
        write_relevance(tmp_path / "none.json", first)


@pytest.mark.parametrize(("split", "rounds"), [("val", 500), ("test", 207)])
def test_the_real_files(shared_data, tmp_path, split, rounds):
    path = shared_data / "visdial" / f"visdial_1.0_{split}_50.json"
    dialogues = read_dialogues(path)
    assert (len(dialogues), len(dialogues.questions), len(dialogues.answers)) == (50, 45_237, 34_821)
    assert sum(len(dialogues.rounds(n)) for n in range(50)) == rounds
    write_dialogues(tmp_path / "again.json", dialogues)
    original = json.loads(path.read_text())
    assert json.loads((tmp_path / "again.json").read_text()) == original
    last = (dialogues.question != NONE).sum(axis=1) - 1
    if split == "val":
        assert dialogues.rounds(0)[0] == ("is the photo in color", "yes")
        assert dialogues.captions[0] == "a bedroom is filled with lots of posters and a busy computer desk"
        assert (last == 9).all()
        found = np.take_along_axis(dialogues.options, dialogues.truth[:, :, None].astype(np.int64), axis=2)
        assert (found[:, :, 0] == dialogues.answer).all()
    else:
        assert (dialogues.answer[np.arange(50), last] == NONE).all()
        assert (dialogues.options[np.arange(50), last] != NONE).all()
        assert (dialogues.truth == NONE).all()


def damaged(change):
    data = copy.deepcopy(small())
    change(data, data["data"]["dialogs"])
    return data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data, d: data.pop("data"), "expected an object with 'data'"),
        (lambda data, d: data["data"].pop("answers"), "data.answers: expected a list of texts"),
        (lambda data, d: data["data"]["questions"].append(3), "data.questions: expected a list of texts"),
        (lambda data, d: d.append([]), "data.dialogs: expected a list of objects"),
        (
            lambda data, d: d[1].pop("image_id"),
            r"dialogue 1 \(image None\): image_id: expected a whole number, got None",
        ),
        (lambda data, d: d[1].update(image_id="10"), r"dialogue 1 \(image '10'\): image_id: expected a whole number"),
        (lambda data, d: d[0].pop("caption"), r"dialogue 0 \(image 30\): caption: expected a text, got None"),
        (lambda data, d: d[0].pop("dialog"), r"dialogue 0 \(image 30\): dialog: expected a list of 1 to 10 rounds"),
        (lambda data, d: d[1].update(dialog=[]), r"dialogue 1 \(image 10\): dialog: expected a list of 1 to 10"),
        (lambda data, d: d[1]["dialog"].extend(d[1]["dialog"] * 10), "dialog: expected a list of 1 to 10 rounds"),
        (
            lambda data, d: d[0]["dialog"][1].update(question=3),
            r"dialogue 0 \(image 30\), round 2: question: expected 0 to 2, got 3",
        ),
        (lambda data, d: d[0]["dialog"][1].update(question=-1), "round 2: question: expected 0 to 2, got -1"),
        (lambda data, d: d[0]["dialog"][1].update(question=True), "round 2: question: expected a whole number"),
        (lambda data, d: d[1]["dialog"][0].update(answer=120), "round 1: answer: expected 0 to 119, got 120"),
        (lambda data, d: d[0]["dialog"][0].pop("answer"), "round 1: answer: expected a whole number, got None"),
        (
            lambda data, d: d[0]["dialog"][0]["answer_options"].pop(),
            "round 1: answer_options: expected 100 whole numbers, got 99 items",
        ),
        (
            lambda data, d: d[0]["dialog"][0]["answer_options"].__setitem__(4, 120),
            "round 1: answer_options: expected 0 to 119, got 120",
        ),
        (lambda data, d: d[0]["dialog"][0].update(answer_options=None), "answer_options: expected 100 whole numbers"),
        (lambda data, d: d[0]["dialog"][0].update(gt_index=100), "round 1: gt_index: expected 0 to 99, got 100"),
        (lambda data, d: d[0]["dialog"][0].update(gt_index=5), "gt_index: expected the place of the answer among"),
        (lambda data, d: d[0]["dialog"].__setitem__(1, "what"), r"dialogue 0 \(image 30\), round 2: expected an obj"),
    ],
)
def test_damage_is_named(tmp_path, change, message):
    path = saved(tmp_path, damaged(change))
    with pytest.raises(DatasetError, match=message) as caught:
        read_dialogues(path)
    assert str(path) in str(caught.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere\.json: there is no such file"):
        read_dialogues(tmp_path / "nowhere.json")
    with pytest.raises(DatasetError, match=r"dialogues\.json: "):
        read_dialogues(saved(tmp_path, json.dumps(small())[:-20]))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"image_id": 31}, r"entry 0 \(image 31\): image_id: no dialogue has this image"),
        ({"round_id": 0}, "round_id: the dialogue has no round 0"),
        ({"round_id": 3}, "round_id: the dialogue has no round 3"),
        ({"round_id": 11}, "round_id: expected 0 to 10, got 11"),
        ({"gt_relevance": [0.5] * 99}, "gt_relevance: expected 100 numbers"),
        ({"gt_relevance": [1.5] * 100}, "gt_relevance: expected numbers from 0 to 1"),
        ({"gt_relevance": [None] * 100}, "gt_relevance: expected numbers from 0 to 1"),
    ],
)
def test_damaged_relevance_is_named(tmp_path, entry, message):
    whole = {"image_id": 30, "round_id": 2, "gt_relevance": [0.0] * 99 + [1.0]}
    path = saved(tmp_path, small())
    assert read_dialogues(path, saved(tmp_path, [whole], "dense.json")).relevance[0, 1, 99] == 1.0
    with pytest.raises(DatasetError, match=message) as caught:
        read_dialogues(path, saved(tmp_path, [{**whole, **entry}], "dense.json"))
    assert "dense.json" in str(caught.value)


@pytest.mark.parametrize("name", ["features.npz", "features.h5"])
def test_features(tmp_path, name):
    if name.endswith("h5"):
        pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    images = ImageFeatures(np.array([30, 10, 20]), rng.random((3, 4, 5), np.float32), rng.random((3, 4, 4), np.float32))
    write_features(tmp_path / name, images)
    whole = read_features(tmp_path / name)
    assert whole.image_ids.tolist() == [30, 10, 20]
    np.testing.assert_allclose(whole.features, images.features, atol=1e-3)
    some = read_features(tmp_path / name, [20, 30, 20])
    np.testing.assert_array_equal(some.features, whole.features[[2, 0, 2]])
    np.testing.assert_array_equal(some.boxes, whole.boxes[[2, 0, 2]])
    with pytest.raises(DatasetError, match=rf"{name}: image_id: 2 of 3 images are missing, such as 11"):
        read_features(tmp_path / name, [10, 11, 12])


def test_features_without_regions_or_boxes(tmp_path):
    np.savez(tmp_path / "fc7.npz", image_id=[1, 2], features=np.ones((2, 7)))
    images = read_features(tmp_path / "fc7.npz")
    assert (images.features.shape, images.boxes.shape) == ((2, 1, 7), (2, 1, 4))
    assert not images.boxes.any()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"features": np.ones((2, 3, 4))}, "expected an array 'image_id'"),
        ({"image_id": [1, 2]}, "expected an array 'features'"),
        ({"image_id": [1, 2], "features": np.ones((3, 3, 4))}, r"features: expected .* for 2 ids, got \(3, 3, 4\)"),
        ({"image_id": [1, 2], "features": np.ones(2)}, r"features: expected .*, got \(2,\)"),
        (
            {"image_id": [1, 2], "features": np.ones((2, 3, 4)), "boxes": np.ones((2, 3))},
            r"boxes: expected \(2, 3, 4\), got \(2, 3\)",
        ),
        (
            {"image_id": [1, 2], "features": np.array([[[1.0]], [[np.nan]]])},
            "features: a number of image 2 is not finite",
        ),
    ],
)
def test_damaged_features_are_named(tmp_path, arrays, message):
    np.savez(tmp_path / "features.npz", **arrays)
    with pytest.raises(DatasetError, match=message) as caught:
        read_features(tmp_path / "features.npz")
    assert "features.npz" in str(caught.value)


def test_feature_files_that_are_none(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere\.h5: there is no such file"):
        read_features(tmp_path / "nowhere.h5")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DatasetError, match=r"cut\.npz"):
        read_features(tmp_path / "cut.npz")
