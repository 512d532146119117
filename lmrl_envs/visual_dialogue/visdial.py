"""The files of VisDial v1.0, real or generated: one reader, one writer.

A file of dialogues is JSON with two string tables and, for each image, a caption and ten rounds that point into them:

    {"version": "1.0", "split": "val2018", "data": {"questions": [...], "answers": [...], "dialogs": [
        {"image_id": 1, "caption": "...", "dialog": [
            {"question": 7, "answer": 3, "answer_options": [100 indices], "gt_index": 42}, ...]}, ...]}}

In test files the last round lacks its answer, and the others their options. Dense annotations are a list of
`{"image_id": ..., "round_id": 1 to 10, "gt_relevance": [100 numbers]}`. Features of images are HDF5 (needs the extra
`visdial`) or `.npz`, with `image_id` (N,), `features` (N, regions, width) or (N, width), and, where known, `boxes`
(N, regions, 4), left, top, right and bottom in 0..1.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmrl_envs import files
from lmrl_envs.errors import DatasetError

VERSION = "1.0"
ROUNDS, OPTIONS = 10, 100
NONE = -1
"""Stands for what a file does not say."""


@dataclass(frozen=True)
class Dialogues:
    """The dialogues of a file as arrays; N dialogues, `NONE` where a round, an answer or an option is missing.

    Attributes:
        questions, answers: The string tables.
        image_ids: (N,) int64.
        captions: N texts.
        question, answer: (N, 10) int32, indices into the tables.
        options: (N, 10, 100) int32, indices into `answers`.
        truth: (N, 10) int32, the place of the true answer among the options (`gt_index`).
        relevance: (N, 10, 100) float32 dense relevance, NaN in rounds without it; None without annotations.
    """

    split: str
    questions: Sequence[str]
    answers: Sequence[str]
    image_ids: np.ndarray
    captions: Sequence[str]
    question: np.ndarray
    answer: np.ndarray
    options: np.ndarray
    truth: np.ndarray
    relevance: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.captions)

    def rounds(self, number: int) -> list[tuple[str, str]]:
        """The answered rounds of a dialogue as texts."""
        pairs = zip(self.question[number].tolist(), self.answer[number].tolist(), strict=True)
        return [(self.questions[q], self.answers[a]) for q, a in pairs if q != NONE and a != NONE]


@dataclass(frozen=True)
class ImageFeatures:
    """What networks see of images: (N, regions, width) float32 features and (N, regions, 4) boxes, zero if unknown."""

    image_ids: np.ndarray
    features: np.ndarray
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.image_ids)


def read_dialogues(path: Path | str, dense: Path | str | None = None) -> Dialogues:
    """Reads a file of dialogues and, where given, its dense annotations.

    Raises:
        DatasetError: a file is missing, cut short or has another form; the message names file, dialogue and field.
    """
    path = Path(path)
    with _reading(path):
        data = json.loads(path.read_bytes())
        if not isinstance(data, dict) or not isinstance(data.get("data"), dict):
            raise ValueError("expected an object with 'data', which holds 'questions', 'answers' and 'dialogs'")
        tables = data["data"]
        for name, kind in (("questions", str), ("answers", str), ("dialogs", dict)):
            items = tables.get(name)
            if not isinstance(items, list) or not all(isinstance(item, kind) for item in items):
                raise ValueError(f"data.{name}: expected a list of {'texts' if kind is str else 'objects'}")
        dialogues = _columns(str(data.get("split", "")), tables["questions"], tables["answers"], tables["dialogs"])
    return dialogues if dense is None else _with_relevance(dialogues, Path(dense))


def write_dialogues(path: Path | str, dialogues: Dialogues) -> None:
    """Writes a file of dialogues; `read_dialogues` is the inverse."""

    def rounds(n: int) -> Iterator[dict[str, Any]]:
        for question, answer, options, truth in zip(
            dialogues.question[n].tolist(),
            dialogues.answer[n].tolist(),
            dialogues.options[n].tolist(),
            dialogues.truth[n].tolist(),
            strict=True,
        ):
            if question == NONE:
                return
            spoken: dict[str, Any] = {"question": question}
            if answer != NONE:
                spoken["answer"] = answer
            if options[0] != NONE:
                spoken["answer_options"] = options
            if truth != NONE:
                spoken["gt_index"] = truth
            yield spoken

    entries = [
        {"image_id": int(image), "caption": caption, "dialog": list(rounds(n))}
        for n, (image, caption) in enumerate(zip(dialogues.image_ids, dialogues.captions, strict=True))
    ]
    tables = {"questions": list(dialogues.questions), "answers": list(dialogues.answers), "dialogs": entries}
    files.write_atomic(Path(path), json.dumps({"version": VERSION, "split": dialogues.split, "data": tables}))


def write_relevance(path: Path | str, dialogues: Dialogues) -> None:
    """Writes the dense annotations of every round that has them."""
    if dialogues.relevance is None:
        raise ValueError("expected dialogues with dense relevance, and these have none")
    known = np.argwhere(~np.isnan(dialogues.relevance[:, :, 0])).tolist()
    entries = [
        {
            "image_id": int(dialogues.image_ids[n]),
            "round_id": r + 1,
            "gt_relevance": np.round(dialogues.relevance[n, r].astype(float), 6).tolist(),
        }
        for n, r in known
    ]
    files.write_atomic(Path(path), json.dumps(entries))


def read_features(path: Path | str, image_ids: Sequence[int] | np.ndarray | None = None) -> ImageFeatures:
    """Reads the features of images, of all or of `image_ids` in that order.

    Raises:
        DatasetError: the file is missing, damaged, of a wrong shape, or lacks an image; the message names file and
            field, and the image.
        ImportError: the file is HDF5, and h5py is not installed.
    """
    path = Path(path)
    with _reading(path), _arrays(path) as arrays:
        for name in ("image_id", "features"):
            if name not in arrays:
                raise ValueError(f"expected an array {name!r}, and there is none")
        ids, features = np.asarray(arrays["image_id"]).astype(np.int64), arrays["features"]
        if ids.ndim != 1 or len(features.shape) not in (2, 3) or len(features) != len(ids):
            raise ValueError(
                f"features: expected (N, regions, width) or (N, width) for {len(ids)} ids, got {tuple(features.shape)}"
            )
        boxes = arrays.get("boxes")
        if boxes is not None and tuple(boxes.shape) != (*features.shape[:2], 4):
            raise ValueError(f"boxes: expected {(*features.shape[:2], 4)}, got {tuple(boxes.shape)}")
        wanted = ids if image_ids is None else np.asarray(image_ids, np.int64)
        rows = _places(ids, wanted, "image_id")
        # HDF5 reads rows in ascending order alone, each once.
        once, back = np.unique(rows, return_inverse=True)
        chosen = np.asarray(features[once], np.float32)[back].reshape(len(wanted), -1, features.shape[-1])
        if not np.isfinite(chosen).all():
            raise ValueError(f"features: a number of image {wanted[~np.isfinite(chosen).all((1, 2))][0]} is not finite")
        corners = np.zeros((*chosen.shape[:2], 4), np.float32)
        if boxes is not None:
            corners = np.asarray(boxes[once], np.float32)[back]
    return ImageFeatures(wanted, chosen, corners)


def write_features(path: Path | str, images: ImageFeatures) -> None:
    """Writes features as `.npz`, or as HDF5 where the name ends in `.h5`, in half precision."""
    arrays = {
        "image_id": images.image_ids,
        "features": images.features.astype(np.float16),
        "boxes": images.boxes.astype(np.float16),
    }
    with files.atomic_path(Path(path)) as temporary:
        if Path(path).suffix == ".h5":
            with _h5py().File(temporary, "w") as file:
                for name, array in arrays.items():
                    file[name] = array
        else:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]  # taken for its other keyword


def _columns(split: str, questions: list[str], answers: list[str], dialogs: list[dict]) -> Dialogues:
    """Checks the dialogues and lays them out as arrays; errors name dialogue, round and field."""
    N = len(dialogs)
    image_ids, captions = np.zeros(N, np.int64), []
    question, answer, truth = (np.full((N, ROUNDS), NONE, np.int32) for _ in range(3))
    options = np.full((N, ROUNDS, OPTIONS), NONE, np.int32)
    for n, entry in enumerate(dialogs):
        where = f"dialogue {n} (image {entry.get('image_id')!r})"
        image_ids[n] = _number(entry.get("image_id"), None, f"{where}: image_id")
        if not isinstance(entry.get("caption"), str):
            raise ValueError(f"{where}: caption: expected a text, got {entry.get('caption')!r:.80}")
        captions.append(entry["caption"])
        spoken = entry.get("dialog")
        if not isinstance(spoken, list) or not 1 <= len(spoken) <= ROUNDS:
            raise ValueError(f"{where}: dialog: expected a list of 1 to {ROUNDS} rounds, got {spoken!r:.80}")
        for r, said in enumerate(spoken):
            at = f"{where}, round {r + 1}"
            if not isinstance(said, dict):
                raise ValueError(f"{at}: expected an object, got {said!r:.80}")
            question[n, r] = _number(said.get("question"), len(questions), f"{at}: question")
            if "answer" in said or r + 1 < len(spoken):
                answer[n, r] = _number(said.get("answer"), len(answers), f"{at}: answer")
            if "answer_options" in said:
                options[n, r] = _options(said["answer_options"], len(answers), f"{at}: answer_options")
            if "gt_index" in said:
                truth[n, r] = _number(said["gt_index"], OPTIONS, f"{at}: gt_index")
                if "answer_options" not in said or options[n, r, truth[n, r]] != answer[n, r]:
                    raise ValueError(f"{at}: gt_index: expected the place of the answer among answer_options")
    return Dialogues(split, questions, answers, image_ids, captions, question, answer, options, truth)


def _number(value: Any, limit: int | None, where: str) -> int:
    if type(value) is not int:
        raise ValueError(f"{where}: expected a whole number, got {value!r:.80}")
    if limit is not None and not 0 <= value < limit:
        raise ValueError(f"{where}: expected 0 to {limit - 1}, got {value}")
    return value


def _options(value: Any, limit: int, where: str) -> np.ndarray:
    if not isinstance(value, list) or len(value) != OPTIONS or not all(type(item) is int for item in value):
        length = f"{len(value)} items" if isinstance(value, list) else f"{value!r:.80}"
        raise ValueError(f"{where}: expected {OPTIONS} whole numbers, got {length}")
    array = np.array(value, np.int64)
    if array.min() < 0 or array.max() >= limit:
        raise ValueError(f"{where}: expected 0 to {limit - 1}, got {array[(array < 0) | (array >= limit)][0]}")
    return array


def _with_relevance(dialogues: Dialogues, path: Path) -> Dialogues:
    relevance = np.full(dialogues.options.shape, np.nan, np.float32)
    place = {image: n for n, image in enumerate(dialogues.image_ids.tolist())}
    with _reading(path):
        entries = json.loads(path.read_bytes())
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError("expected a list of objects")
        for number, entry in enumerate(entries):
            where = f"entry {number} (image {entry.get('image_id')!r})"
            image = _number(entry.get("image_id"), None, f"{where}: image_id")
            if image not in place:
                raise ValueError(f"{where}: image_id: no dialogue has this image")
            r = _number(entry.get("round_id"), ROUNDS + 1, f"{where}: round_id") - 1
            values = entry.get("gt_relevance", entry.get("relevance"))  # the train annotations call it `relevance`
            if not isinstance(values, list) or len(values) != OPTIONS:
                raise ValueError(f"{where}: gt_relevance: expected {OPTIONS} numbers, got {values!r:.80}")
            if not all(type(value) in (int, float) and 0 <= value <= 1 for value in values):
                raise ValueError(f"{where}: gt_relevance: expected numbers from 0 to 1, got {values!r:.80}")
            if r < 0 or dialogues.question[place[image], r] == NONE:
                raise ValueError(f"{where}: round_id: the dialogue has no round {r + 1}")
            relevance[place[image], r] = values
    kept = {name: getattr(dialogues, name) for name in dialogues.__dataclass_fields__}
    return Dialogues(**{**kept, "relevance": relevance})


def _places(ids: np.ndarray, wanted: np.ndarray, where: str) -> np.ndarray:
    """Rows of the wanted ids."""
    order = np.argsort(ids, kind="stable")
    rows = order[np.searchsorted(ids, wanted, sorter=order).clip(max=max(len(ids) - 1, 0))] if len(ids) else wanted
    missing = wanted[ids[rows] != wanted] if len(ids) else wanted
    if len(missing):
        raise ValueError(f"{where}: {len(missing)} of {len(wanted)} images are missing, such as {missing[0]}")
    return rows


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Adds the file's name to what is wrong with it."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RecursionError, zipfile.BadZipFile) as error:
        problem = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise DatasetError(f"{path}: {problem}") from error


@contextmanager
def _arrays(path: Path) -> Iterator[Mapping[str, Any]]:
    """The arrays of a file by name; those of HDF5 are read as they are sliced."""
    if not path.is_file():
        raise FileNotFoundError(path)
    if path.suffix in (".h5", ".hdf5"):
        with _h5py().File(path, "r") as file:
            yield file
    else:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("expected the arrays 'image_id' and 'features' in an .npz file")
            yield {name: file[name] for name in file.files}


def _h5py() -> Any:
    try:
        import h5py  # noqa: PLC0415  (an extra, for HDF5 alone)
    except ImportError as error:
        raise ImportError("HDF5 files need h5py: pip install 'lmrl-envs[visdial]'") from error
    return h5py
