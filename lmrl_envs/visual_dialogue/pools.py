"""Pools as the guesser sees them: features, vectors, and each image's rank from its caption alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lmrl_envs.visual_dialogue.answerer import Answerer
from lmrl_envs.visual_dialogue.bundled import GUESSERS
from lmrl_envs.visual_dialogue.corpora import Corpus, PoolName
from lmrl_envs.visual_dialogue.guesser import Guesser, ranks_of
from lmrl_envs.visual_dialogue.networks import load_network
from lmrl_envs.visual_dialogue.rewards import percentile

TOO_EASY = 0.98
"""An image whose caption alone gives it a higher percentile than this is not drawn."""


@dataclass(frozen=True)
class Pool:
    """n images of one part, in the order of their pool.

    Attributes:
        images: n ids.
        features, boxes: (n, regions, width) and (n, regions, 4).
        vectors: (n, embedding), the guesser's.
        first_ranks: (n,) float32, each image's rank when its own caption alone is known.
    """

    images: tuple[int, ...]
    features: Tensor
    boxes: Tensor
    vectors: Tensor
    first_ranks: Tensor

    @cached_property
    def place(self) -> dict[int, int]:
        """Where each image stands."""
        return {image: place for place, image in enumerate(self.images)}

    @cached_property
    def drawable(self) -> np.ndarray:
        """(n,) bool, the images that episodes may begin with."""
        return np.array([percentile(rank, len(self.images)) <= TOO_EASY for rank in self.first_ranks.tolist()])

    def ranks(self, evidence: Tensor, images: Sequence[int]) -> Tensor:
        """(B, ..., embedding) evidence of dialogues, each about its image, to the images' ranks (B, ...)."""
        scores = evidence @ self.vectors.T
        places = torch.tensor([self.place[image] for image in images], device=scores.device)
        return ranks_of(scores, places.view(-1, *[1] * (scores.ndim - 2)).expand(scores.shape[:-1]))


class Pools:
    """The pools of a corpus under one guesser, made at first use and kept."""

    def __init__(self, corpus: Corpus, guesser: Guesser, kind: str, size: int, device: torch.device) -> None:
        self.corpus, self.guesser, self.kind, self.size, self.device = corpus, guesser, kind, size, device
        self._made: dict[tuple[PoolName, int | None], Pool] = {}

    def get(self, name: PoolName) -> Pool:
        """A pool by its name."""
        return self._get(name, None)

    def around(self, name: PoolName, image: int) -> Pool:
        """The pool of that name with the image in it: one that is not listed takes the last one's place."""
        pool = self.get(name)
        return pool if image in pool.place else self._get(name, image)

    def draw(self, part: str, rng: np.random.Generator) -> tuple[PoolName, int]:
        """A uniform image of a part's pools whose caption does not tell too much."""
        count = self.corpus.pool_count(part, self.kind, self.size)
        for _ in range(1000):
            name = PoolName(part, self.kind, int(rng.integers(count)))
            pool = self.get(name)
            place = int(rng.integers(len(pool.images)))
            if pool.drawable[place]:
                return name, pool.images[place]
        raise ValueError(f"pool: nearly every caption of the part {part!r} gives its image away; take a larger pool")

    def _get(self, name: PoolName, guest: int | None) -> Pool:
        if (name, guest) not in self._made:
            images = self.corpus.pool(name, self.size)
            self._made[name, guest] = self._make(images, guest)
        return self._made[name, guest]

    @torch.inference_mode()
    def _make(self, images: Sequence[int], guest: int | None) -> Pool:
        seen = self.corpus.features(images)
        features, boxes = seen.features.copy(), seen.boxes.copy()
        if guest is not None:
            new = self.corpus.features([guest])
            features[-1], boxes[-1], images = new.features[0], new.boxes[0], [*images[:-1], guest]
        looked = torch.from_numpy(features).to(self.device), torch.from_numpy(boxes).to(self.device)
        vectors = self.guesser.image_vectors(*looked)
        vocabulary = self.guesser.vocabulary
        said = [vocabulary.dialogue(self.corpus.caption(image)) for image in images]
        scores = self.guesser.evidence_sums(said)[:, 0] @ vectors.T
        first_ranks = ranks_of(scores, torch.arange(len(images), device=self.device))
        return Pool(tuple(images), *looked, vectors, first_ranks)


@lru_cache(maxsize=8)
def open_pools(corpus: Corpus, guesser: Guesser, kind: str, size: int, device: torch.device) -> Pools:
    """The pools of a corpus under one guesser, shared by the tasks of a process: making them takes seconds."""
    return Pools(corpus, guesser, kind, size, device)


def ranks_in(pools: Sequence[Pool], images: Sequence[int], evidence: Tensor) -> list:
    """Each image's ranks in its own pool, evidence (B, ..., embedding), as plain numbers: one look at the device."""
    rows: dict[int, list[int]] = {}
    for row, pool in enumerate(pools):
        rows.setdefault(id(pool), []).append(row)
    found = [pools[of[0]].ranks(evidence[of], [images[row] for row in of]) for of in rows.values()]
    order = [row for of in rows.values() for row in of]
    ranks = torch.cat(found).tolist()
    return [rank for _, rank in sorted(zip(order, ranks, strict=True))]


@cache
def load_answerer(folder: Path, device: torch.device) -> Answerer:
    """The answerer of a folder of weights; one object a process."""
    return load_network(folder, "answerer", Answerer)[0].to(device)


@cache
def load_guesser(folder: Path, name: str, device: torch.device) -> Guesser:
    """A guesser of a folder of weights by a name in `GUESSERS`; one object a process."""
    return load_network(folder, GUESSERS[name], Guesser)[0].to(device)
