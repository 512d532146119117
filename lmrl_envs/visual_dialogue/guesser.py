"""The learned guesser: ranks images by how well they go with a caption and a dialogue. It never reads the scene.

A transformer reads `caption <q> question <a> answer <q> ...`; at each `<q>` it gives a vector, the evidence of the
caption or of that round. An image's score is the product of its own vector with the sum of the evidence so far, which
has the form of a posterior: log-likelihoods of the rounds add up. Both sides are trained by contrast (InfoNCE) among
images of one class.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmrl_envs.generation import KeyValueRows
from lmrl_envs.visual_dialogue.networks import POSITIONS, Memory, Network, Regions, Shape, padded, trunk
from lmrl_envs.visual_dialogue.words import Vocabulary

Heard = tuple[str, tuple[tuple[str, str], ...]]
"""A caption, and questions with their answers."""


class Guesser(Network):
    """Scores images for dialogues: `image_vectors` once an image, `listen` after each round."""

    vocabulary: Vocabulary

    def __init__(self, shape: Shape, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.shape, self.vocabulary = shape, vocabulary
        self.trunk = trunk(shape, len(vocabulary))
        self.evidence = nn.Linear(shape.width, shape.embedding)
        self.regions = Regions(shape.features, shape.width)
        layer = nn.TransformerEncoderLayer(
            shape.width, shape.heads, 2 * shape.width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.looking = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.image = nn.Sequential(
            nn.Linear(shape.width, 2 * shape.width), nn.GELU(), nn.Linear(2 * shape.width, shape.embedding)
        )
        self._memory = Memory()

    def image_vectors(self, features: Tensor, boxes: Tensor) -> Tensor:
        """(n, regions, features) and (n, regions, 4) to (n, embedding)."""
        return self.image(self.looking(self.regions(features, boxes))).sum(1) / features.shape[1] ** 0.5

    def evidence_sums(self, dialogues: Sequence[Sequence[int]], generator: torch.Generator | None = None) -> Tensor:
        """B token rows with M `<q>` at most to (B, M, embedding): the evidence up to each; the last is repeated.

        With a generator, half of the rows begin at a later position than 0.
        """
        ids, real = padded(dialogues, self.evidence.weight.device)
        B, T = ids.shape
        positions = torch.arange(T, device=ids.device).expand(B, T)
        if generator is not None:
            start = torch.randint(POSITIONS - T + 1, (B, 1), generator=generator)
            start[: B // 2] = 0
            positions = positions + start.to(ids.device)
        hidden = self.trunk(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
        asks = (ids == self.vocabulary.ask) & real
        number = asks.cumsum(1) - 1
        row, place = asks.nonzero(as_tuple=True)
        said = hidden.new_zeros(B, int(number.max()) + 1, self.shape.embedding)
        said[row, number[row, place]] = self.evidence(hidden[row, place])
        return said.cumsum(1)

    def loss(
        self,
        features: Tensor,
        boxes: Tensor,
        dialogues: Sequence[Sequence[int]],
        true: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Mean over dialogues and rounds of the cross-entropy of the true image among all images of the batch.

        Args:
            features, boxes: of the n images, of one class.
            dialogues: B token rows with equally many rounds.
            true: (B,) places among the images.
        """
        scores = self.evidence_sums(dialogues, generator) @ self.image_vectors(features, boxes).T  # (B, M, n)
        return F.cross_entropy(scores.flatten(0, 1), true.repeat_interleave(scores.shape[1]))

    @torch.inference_mode()
    def listen(self, dialogues: Sequence[Heard]) -> Tensor:
        """(B, embedding) evidence of dialogues so far. What was read before of them is not read again."""
        device = self.evidence.weight.device

        def begin(places: list[int]) -> tuple[KeyValueRows, Tensor]:
            rows = KeyValueRows([self.trunk], len(places), device)
            return rows, torch.zeros(len(places), self.shape.embedding, device=device)

        before = [(caption, rounds[:-1] if rounds else None) for caption, rounds in dialogues]
        rows, sums = self._memory.recall(before, begin)
        read = rows.valid.sum(1).tolist()
        tokens = [self.vocabulary.dialogue(*one)[known:] for one, known in zip(dialogues, read, strict=True)]
        ids, real = padded(tokens, device)
        (hidden,) = rows.extend(ids, real, dense=bool(real.all()))
        asks = ((ids == self.vocabulary.ask) & real)[:, :, None]
        sums = sums + (self.evidence(hidden) * asks).sum(1)
        self._memory.keep(dialogues, rows, sums)
        return sums


def ranks_of(scores: Tensor, true: Tensor) -> Tensor:
    """(..., n) scores and (...,) places of the true image to its rank: those better, and half of the ties."""
    own = scores.gather(-1, true[..., None])
    return (scores > own).sum(-1) + ((scores == own).sum(-1) - 1) / 2
