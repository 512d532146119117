"""The learned guesser: ranks images by how well they go with a caption and a dialogue. It never reads the scene.

A transformer reads `caption <q> question <a> answer <q> ...`; at each `<q>` it gives a vector, the evidence of the
caption or of that round. An image's score is the product of its own vector with the sum of the evidence so far, which
has the form of a posterior: log-likelihoods of the rounds add up.

Both vectors are sums of outer products, which is attention to the image's regions without its softmax: in each head
the question says which regions it is about (`where`, the query to a region's key), question and answer say what they
should look like (`what`, to a region's value), and

    score = sum over heads h and regions r of (where_h . key_rh) (what_h . value_rh) = evidence . image vector.

What no sum over regions tells, such as that there are exactly two, a network of all regions adds to the image vector.
Training is by contrast: among the images of a batch for each dialogue and for each single round, and among the answers
of the batch for each question about its image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmrl_envs.generation import Memory
from lmrl_envs.visual_dialogue.networks import POSITIONS, Network, Shape, padded, placed, trunk
from lmrl_envs.visual_dialogue.words import Vocabulary

Heard = tuple[str, tuple[tuple[str, str], ...]]
"""A caption, and questions with their answers."""
KEYS, VALUES = 8, 8
"""Width of a head's keys and values; `Shape.embedding` is the number of heads times both."""


class Guesser(Network):
    """Scores images for dialogues: `image_vectors` once an image, `listen` after each round."""

    vocabulary: Vocabulary

    def __init__(self, shape: Shape, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.shape, self.vocabulary = shape, vocabulary
        self.heads = shape.embedding // (KEYS * VALUES)
        self.trunk = trunk(shape, len(vocabulary))
        self.words = nn.Embedding(len(vocabulary), shape.width)
        nn.init.normal_(self.words.weight, std=0.5)
        self.where = nn.Linear(shape.width, self.heads * KEYS)
        self.told = nn.Linear(shape.width, self.heads * VALUES)
        self.asked = nn.Linear(shape.width, self.heads * VALUES)
        self.what = nn.Linear(shape.width, self.heads * VALUES)
        nn.init.zeros_(self.what.weight)
        nn.init.zeros_(self.what.bias)
        self.regions = nn.Sequential(nn.Linear(shape.features + 8, 2 * shape.width), nn.GELU())
        self.keys = nn.Linear(2 * shape.width, self.heads * KEYS)
        self.values = nn.Linear(2 * shape.width, self.heads * VALUES)
        inner = 2 * shape.width
        last = nn.Linear(inner, shape.embedding)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.together = nn.Sequential(nn.Linear(inner, inner), nn.GELU(), last)
        self.log_scale = nn.Parameter(torch.tensor(0.1).log())
        self._memory = Memory()  # beside each dialogue's row, its evidence so far

    def image_vectors(self, features: Tensor, boxes: Tensor) -> Tensor:
        """(n, regions, features) and (n, regions, 4) to (n, embedding)."""
        seen = self.regions(torch.cat([features, placed(boxes)], dim=-1))
        keys = self.keys(seen).sigmoid().unflatten(-1, (self.heads, KEYS))
        values = self.values(seen).unflatten(-1, (self.heads, VALUES))
        return torch.einsum("nrhk,nrhv->nhkv", keys, values).flatten(1) + self.together(seen.sum(1))

    def evidence_sums(self, dialogues: Sequence[Sequence[int]], generator: torch.Generator | None = None) -> Tensor:
        """B token rows with M `<q>` at most to (B, M, embedding): the evidence up to each; the last is repeated.

        With a generator, an eighth of the rows begin at a later position than 0.
        """
        return self._evidence(*self._read(dialogues, generator)[:3]).cumsum(1)

    def loss(
        self,
        features: Tensor,
        boxes: Tensor,
        dialogues: Sequence[Sequence[int]],
        true: Tensor,
        captions: Sequence[Sequence[int]],
        generator: torch.Generator,
    ) -> Tensor:
        """The sum of four mean cross-entropies.

        1. The true image among all of the batch, by the dialogue up to each round.
        2. The same by each round alone, which teaches single rounds while their sums are still noise.
        3. For each question about its image, the answer among all of the batch (those with the same first word count
           as one), by the words of the answer alone: what an answer means for which question.
        4. Each image among all of the batch by its caption, which is little among ten rounds and goes before all.

        Args:
            features, boxes: of the n images.
            dialogues: B token rows with equally many rounds.
            true: (B,) places among the images.
            captions: token rows of the captions of the n images, in order.
        """
        heard, asked, words, firsts = self._read(dialogues, generator)
        images = self.image_vectors(features, boxes)
        single = self._evidence(heard, asked, words) @ images.T  # (B, M, n)
        target = true.repeat_interleave(single.shape[1])
        found = F.cross_entropy(single.cumsum(1).flatten(0, 1), target) + F.cross_entropy(single.flatten(0, 1), target)
        told = self.evidence_sums(captions, generator)[:, 0] @ images.T
        found = found + F.cross_entropy(told, torch.arange(len(images), device=told.device))
        if single.shape[1] < 2:
            return found
        own = images[true].unflatten(1, (self.heads, KEYS, VALUES))
        looked = torch.einsum("bmhk,bhkv->bmhv", self._where(asked), own).flatten(2) * self.asked(asked)
        answers = self.log_scale.exp() * looked[:, 1:].flatten(0, 1) @ self.told(words)[:, 1:].flatten(0, 1).T
        same = firsts.flatten()[:, None] == firsts.flatten()
        return found - answers.log_softmax(-1).masked_fill(~same, -torch.inf).logsumexp(-1).mean()

    @torch.inference_mode()
    def listen(self, dialogues: Sequence[Heard]) -> Tensor:
        """(B, embedding) evidence of dialogues so far. What was read before of them is not read again."""
        device = self.where.weight.device
        before = [(caption, rounds[:-1] if rounds else None) for caption, rounds in dialogues]
        recalled = self._memory.recall([self.trunk], before, device)
        rows, dialogues = recalled.rows, recalled.to_rows(dialogues)
        nothing = torch.zeros(self.shape.embedding, device=device)
        sums = torch.stack([nothing if kept is None else kept for kept in recalled.kept])
        said = [self.vocabulary.dialogue(*one) for one in dialogues]
        begun = rows.lengths > 0
        ids, real = padded([row[read:] for row, read in zip(said, rows.lengths.tolist(), strict=True)], device)
        (hidden,) = rows.extend(ids, real, dense=bool(real.all()))
        sums = sums + self._evidence(*self._rounds(hidden, ids, real, begun)).sum(1)
        self._memory.keep(dialogues, sums.unbind())
        return torch.stack(recalled.to_owners(sums.unbind()))

    def _read(
        self, dialogues: Sequence[Sequence[int]], generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What `_rounds` gives of whole dialogues, and the first word of every answer, (answers,)."""
        ids, real = padded(dialogues, self.where.weight.device)
        B, T = ids.shape
        positions = torch.arange(T, device=ids.device).expand(B, T)
        if generator is not None:
            start = torch.randint(POSITIONS - T + 1, (B, 1), generator=generator)
            start[: B - B // 8] = 0
            positions = positions + start.to(ids.device)
        hidden = self.trunk(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
        begun = torch.zeros(B, dtype=torch.bool, device=ids.device)
        firsts = ids[:, 1:][((ids == self.vocabulary.reply) & real)[:, :-1]]
        return *self._rounds(hidden, ids, real, begun), firsts

    def _rounds(self, hidden: Tensor, ids: Tensor, real: Tensor, begun: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What there is to the caption and to each round, up to M of them a row; zeros where there is none.

        Args:
            hidden: (B, T, width) of the trunk at `ids` (B, T), of which those are read that are `real`.
            begun: (B,) bool, whether a row goes on after its caption.

        Returns:
            (B, M, width) each: the trunk at the `<q>` that ends the round; at the `<a>` that ends its question, which
            a caption has not, so that its `<q>` takes that place; the sum of its answer's, or the caption's, words.
        """
        asks, replies = (ids == self.vocabulary.ask) & real, (ids == self.vocabulary.reply) & real
        turn = asks.cumsum(1) - asks.long()
        spoken = (replies.cumsum(1) == turn + begun[:, None]) & real & ~asks & ~replies
        numbers = torch.arange(int(asks.sum(1).max()), device=ids.device)
        member = turn[:, None] == numbers[:, None]  # (B, M, T)

        def gathered(where: Tensor, x: Tensor) -> Tensor:
            return (member & where[:, None]).to(x.dtype) @ x

        heard, question = gathered(asks, hidden), gathered(replies, hidden)
        answered = (member & replies[:, None]).any(2, keepdim=True)
        return heard, torch.where(answered, question, heard), gathered(spoken, self.words(ids))

    def _where(self, asked: Tensor) -> Tensor:
        """(B, M, width) to the queries (B, M, heads, KEYS)."""
        return self.where(asked).sigmoid().unflatten(-1, (self.heads, KEYS))

    def _evidence(self, heard: Tensor, asked: Tensor, words: Tensor) -> Tensor:
        """(B, M, width) each, as `_rounds` gives them, to (B, M, embedding); zeros where there is no round."""
        what = self.told(words) * self.asked(asked) + self.what(heard)
        evidence = torch.einsum(
            "bmhk,bmhv->bmhkv", self._where(asked), what.unflatten(-1, (self.heads, VALUES))
        ).flatten(2)
        return evidence * self.log_scale.exp() * heard.any(2, keepdim=True)


def ranks_of(scores: Tensor, true: Tensor) -> Tensor:
    """(..., n) scores and (...,) places of the true image to its rank: those better, and half of the ties."""
    own = scores.gather(-1, true[..., None])
    return (scores > own).sum(-1) + ((scores == own).sum(-1) - 1) / 2
