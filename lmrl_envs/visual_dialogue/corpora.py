"""Images to ask about: generated scenes, or a folder with the real VisDial files.

A corpus gives each image's part, caption, features and pool. A pool is a fixed list of images of one part. *Hard* pools
hold images that a caption hardly tells apart: scenes of one class (setting, time, main kind), or images of similar
captions. Episodes draw their images from the pools.
"""

from __future__ import annotations

import logging
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np

from lmrl_envs import files
from lmrl_envs.errors import DatasetError
from lmrl_envs.visual_dialogue import behaviours, scenes
from lmrl_envs.visual_dialogue.bundled import WEIGHTS
from lmrl_envs.visual_dialogue.contents import Table
from lmrl_envs.visual_dialogue.features import Detector, scene_features
from lmrl_envs.visual_dialogue.networks import load_network
from lmrl_envs.visual_dialogue.rendering import picture
from lmrl_envs.visual_dialogue.scenes import PARTS, Part
from lmrl_envs.visual_dialogue.visdial import Dialogues, ImageFeatures, read_dialogues, read_features, write_features

_log = logging.getLogger(__name__)

Rounds = tuple[tuple[str, str], ...]
PoolKind = Literal["hard", "random"]
RANDOM_POOLS = 32
"""Random pools of generated scenes in each part."""
_LEAST_POOL = 2


class PoolName(NamedTuple):
    """Which pool: together with its size, this is all that its images follow from."""

    part: str
    kind: str
    number: int


class Truth(NamedTuple):
    """What a scene says to a question: whether it is understood, and the true answer, None where nobody knows."""

    parsed: bool | None
    answer: str | None


class Corpus(ABC):
    """Images by number, their captions, features and pools."""

    weights: Path
    """The folder of the networks trained on this corpus."""
    dialogues_an_image: int
    """How many dialogues data have about an image; 1: `dialogue` always gives the same one."""

    @abstractmethod
    def pool_count(self, part: str, kind: str, size: int) -> int:
        """How many pools a part has."""

    @abstractmethod
    def pool(self, name: PoolName, size: int) -> list[int]:
        """The images of a pool."""

    @abstractmethod
    def locate(self, image: int, kind: str, size: int) -> PoolName:
        """The pool that an image belongs to, whether it is listed there or takes the last one's place.

        Raises:
            ValueError: there is no such image.
        """

    @abstractmethod
    def caption(self, image: int) -> str: ...

    def retold(self, image: int, rng: np.random.Generator) -> str:
        """A caption as anybody might give it; real images have one."""
        return self.caption(image)

    @abstractmethod
    def features(self, images: Sequence[int]) -> ImageFeatures: ...

    @abstractmethod
    def models(self, half: int, count: int) -> list[int]:
        """At most `count` images to train networks on: half 0 of the part `models`, or half 1, for held-out ones."""

    @abstractmethod
    def groups(self, images: Sequence[int]) -> list[list[int]]:
        """Places of images that are alike as those of a hard pool are, for training by contrast."""

    @abstractmethod
    def dialogue(
        self, image: int, rng: np.random.Generator, *, caption: str | None = None, gibberish: float = 0.0
    ) -> tuple[str, Rounds]:
        """Who asked, and ten questions about an image with people's answers; `rng` draws by `random` alone.

        Where dialogues are simulated, `caption` is what it opens with, if not the image's own, and `gibberish` the
        share of questions that are none.
        """

    @abstractmethod
    def asker(self, image: int, rng: np.random.Generator) -> Callable[[Rounds], str]:
        """A person who asks about an image, whatever the answers so far."""

    def truth(self, image: int, question: str, rounds: Rounds) -> Truth:
        """What is true; unknown where images are real."""
        return Truth(None, None)

    def picture(self, image: int) -> np.ndarray | None:
        """The image for people, (height, width, 3) uint8; None where there is none."""
        return None


class SceneCorpus(Corpus):
    """Generated scenes, seen through the bundled detector."""

    dialogues_an_image = 4

    def __init__(self, weights: Path = WEIGHTS) -> None:
        self.weights = weights

    def pool_count(self, part: str, kind: str, size: int) -> int:
        return len(scenes.CLASSES) if kind == "hard" else RANDOM_POOLS

    def pool(self, name: PoolName, size: int) -> list[int]:
        part = cast("Part", name.part)
        if name.kind == "hard":
            return scenes.scene_ids(part, size, list(scenes.CLASSES)[name.number])
        return _first_ids(part, size * RANDOM_POOLS)[name.number * size :][:size]

    def locate(self, image: int, kind: str, size: int) -> PoolName:
        part = scenes.part(image)
        if kind == "hard":
            of_class = scenes.scene_class(scenes.scene(image))
            return PoolName(part, kind, list(scenes.CLASSES).index(of_class))
        place = int(np.searchsorted(_first_ids(part, size * RANDOM_POOLS), image)) // size
        return PoolName(part, kind, min(place, RANDOM_POOLS - 1))

    def caption(self, image: int) -> str:
        return scenes.caption(scenes.scene(image))

    def retold(self, image: int, rng: np.random.Generator) -> str:
        return Table(scenes.captions(scenes.scene(image))).pick(rng.random())

    def features(self, images: Sequence[int]) -> ImageFeatures:
        """Kept on the disk, by detector and images, and therefore in half precision always."""
        detector, hash = self._detector
        name = zlib.crc32(np.asarray(images, np.int64).tobytes())
        path = files.home() / "visual_dialogue" / f"features-{hash[:12]}" / f"{images[0]}-{len(images)}-{name:08x}.npz"
        if len(images) < _LEAST_POOL:
            return _halved(scene_features(detector, images))
        if path.is_file():
            try:
                return read_features(path, images)
            except DatasetError as error:
                _log.warning("made again: %s", error)
        found = scene_features(detector, images)
        write_features(path, found)
        return _halved(found)

    def models(self, half: int, count: int) -> list[int]:
        return scenes.scene_ids("models", 2 * count)[half::2]

    def groups(self, images: Sequence[int]) -> list[list[int]]:
        found: dict[scenes.SceneClass, list[int]] = {}
        for place, image in enumerate(images):
            found.setdefault(scenes.scene_class(scenes.scene(image)), []).append(place)
        return list(found.values())

    def dialogue(
        self, image: int, rng: np.random.Generator, *, caption: str | None = None, gibberish: float = 0.0
    ) -> tuple[str, Rounds]:
        """In the part `test`, people use phrasings too that they use nowhere else."""
        persona, unseen = behaviours.CROWD.pick(rng.random()), scenes.part(image) == "test"
        rounds = behaviours.dialogue(
            rng, scenes.scene(image), persona=persona, scene_caption=caption, unseen=unseen, gibberish=gibberish
        )
        return persona, tuple(rounds)

    def asker(self, image: int, rng: np.random.Generator) -> Callable[[Rounds], str]:
        persona, caption = behaviours.CROWD.pick(rng.random()), self.caption(image)
        return lambda rounds: behaviours.ask(rng, persona, caption, rounds)

    def truth(self, image: int, question: str, rounds: Rounds) -> Truth:
        answer = behaviours.true_answer(scenes.scene(image), question, rounds)
        return Truth(answer is not None, answer)

    def picture(self, image: int) -> np.ndarray:
        return picture(scenes.scene(image))

    @cached_property
    def _detector(self) -> tuple[Detector, str]:
        detector, manifest = load_network(self.weights, "detector", Detector)
        return detector, manifest["sha256"]


class VisDialCorpus(Corpus):
    """A folder with VisDial v1.0: `visdial_1.0_{train,val}*.json` and `*features*_{train,val}.{h5,npz}`.

    The parts `models` and `train` are halves of the train file, `validation` and `test` of the val file, by a hash of
    the image's id; the real test file has no complete dialogues. Networks are those in the folder `weights`.
    """

    dialogues_an_image = 1

    def __init__(self, folder: Path) -> None:
        """Looks at the folder; files are read when they are needed.

        Raises:
            ValueError: there is no such folder.
        """
        if not folder.is_dir():
            raise ValueError(f"corpus: expected 'scenes' or a folder with VisDial v1.0, and {str(folder)!r} is none")
        self.folder, self.weights = folder, folder / "weights"

    def pool_count(self, part: str, kind: str, size: int) -> int:
        return len(self._pools(part, kind, size))

    def pool(self, name: PoolName, size: int) -> list[int]:
        return self._pools(name.part, name.kind, size)[name.number].tolist()

    def locate(self, image: int, kind: str, size: int) -> PoolName:
        split, _ = self._find(image)
        part = next(part for part in PARTS if _SPLITS[part] == split and image in self._ids(part))
        pools = self._pools(part, kind, size)
        return PoolName(part, kind, next((n for n, ids in enumerate(pools) if image in ids), len(pools) - 1))

    def caption(self, image: int) -> str:
        split, n = self._find(image)
        return self.dialogues(split).captions[n]

    def features(self, images: Sequence[int]) -> ImageFeatures:
        split, _ = self._find(images[0])
        return read_features(self._file(f"*features*_{split}.*"), images)

    def models(self, half: int, count: int) -> list[int]:
        return [id for id in self._ids("models").tolist() if zlib.crc32(f"half {id}".encode()) % 2 == half][:count]

    def groups(self, images: Sequence[int]) -> list[list[int]]:
        return [group.tolist() for group in alike([self.caption(image) for image in images], min(64, len(images)))]

    def dialogue(
        self, image: int, rng: np.random.Generator, *, caption: str | None = None, gibberish: float = 0.0
    ) -> tuple[str, Rounds]:
        """The one that people had."""
        split, n = self._find(image)
        return "people", tuple(self.dialogues(split).rounds(n))

    def asker(self, image: int, rng: np.random.Generator) -> Callable[[Rounds], str]:
        """Asks what people asked."""
        asked = [question for question, _ in self.dialogue(image, rng)[1]]
        return lambda rounds: asked[min(len(rounds), len(asked) - 1)]

    @cache  # noqa: B019  (a corpus lives as long as the process)
    def dialogues(self, split: str) -> Dialogues:
        """The dialogues of `"train"` or `"val"`."""
        path = self._file(f"visdial_1.0_{split}*.json")
        dialogues = read_dialogues(path)
        if split == "train" or len(dialogues) >= 2 * _LEAST_POOL:
            return dialogues
        raise DatasetError(f"{path}: expected at least {2 * _LEAST_POOL} dialogues, got {len(dialogues)}")

    @cache  # noqa: B019
    def _index(self, split: str) -> dict[int, int]:
        return {image: n for n, image in enumerate(self.dialogues(split).image_ids.tolist())}

    def _find(self, image: int) -> tuple[str, int]:
        """An image's file and its place there."""
        for split in ("val", "train"):
            if any(self._files(f"visdial_1.0_{split}*.json")) and image in self._index(split):
                return split, self._index(split)[image]
        raise ValueError(f"scene: no dialogue in {self.folder} is about the image {image!r}")

    @cache  # noqa: B019
    def _ids(self, part: str) -> np.ndarray:
        """The images of a part, ascending."""
        split = _SPLITS[part]
        ids = np.unique(self.dialogues(split).image_ids)
        first = np.array([zlib.crc32(str(id).encode()) % 2 == 0 for id in ids.tolist()])
        return ids[first if part in ("models", "validation") else ~first]

    @cache  # noqa: B019
    def _pools(self, part: str, kind: str, size: int) -> list[np.ndarray]:
        ids = self._ids(part)
        if len(ids) < size:
            _log.warning("%s: the part %s has %d images, so its pool is that small", self.folder, part, len(ids))
            return [ids]
        if kind == "random":
            order = np.argsort([zlib.crc32(f"pool {id}".encode()) for id in ids.tolist()], kind="stable")
            return [ids[order[start : start + size]] for start in range(0, len(ids) - size + 1, size)]
        index, captions = self._index(_SPLITS[part]), self.dialogues(_SPLITS[part]).captions
        return [ids[group] for group in alike([captions[index[id]] for id in ids.tolist()], size)]

    def _file(self, pattern: str) -> Path:
        found = self._files(pattern)
        if not found:
            raise DatasetError(
                f"{self.folder}: expected a file {pattern}, and there is none; see docs/visual-dialogue.md"
            )
        return found[0]

    def _files(self, pattern: str) -> list[Path]:
        return sorted(path for path in self.folder.glob(pattern) if "dense" not in path.name)


_SPLITS = {"models": "train", "train": "train", "validation": "val", "test": "val"}


def alike(captions: Sequence[str], size: int) -> list[np.ndarray]:
    """Groups of `size` texts that are most alike, as arrays of places; fewer than `size` texts are left over.

    Texts are tf-idf vectors in 32 principal dimensions; a group is halved along its longest axis until it is small.
    """
    from sklearn.decomposition import TruncatedSVD  # noqa: PLC0415  (takes a second, and real files alone need it)
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415

    words = TfidfVectorizer(sublinear_tf=True).fit_transform(captions)
    points = TruncatedSVD(min(32, words.shape[1] - 1), random_state=0).fit_transform(words)
    groups, waiting = [], [np.arange(len(captions))]
    while waiting:
        group = waiting.pop()
        if len(group) < 2 * size:
            groups.append(group[:size])
            continue
        centred = points[group] - points[group].mean(axis=0)
        axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
        order = group[np.argsort(centred @ axis, kind="stable")]
        half = len(order) // size // 2 * size
        waiting += [order[half:], order[:half]]
    return groups


def open_corpus(name: str | Path) -> Corpus:
    """The generated scenes (`"scenes"`), or the VisDial files of a folder; one object a process for each.

    Raises:
        ValueError: there is no such folder.
    """
    return _opened(None if str(name) == "scenes" else str(Path(name).expanduser().resolve()))


@cache
def _opened(folder: str | None) -> Corpus:
    return SceneCorpus() if folder is None else VisDialCorpus(Path(folder))


@cache
def _first_ids(part: Part, count: int) -> list[int]:
    return scenes.scene_ids(part, count)


def _halved(images: ImageFeatures) -> ImageFeatures:
    """As they would be read from the disk again."""
    rounded = (x.astype(np.float16).astype(np.float32) for x in (images.features, images.boxes))
    return ImageFeatures(images.image_ids, *rounded)
