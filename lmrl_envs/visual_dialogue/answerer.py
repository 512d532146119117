"""The learned answerer: a transformer that looks at an image's regions, reads the dialogue and writes an answer.

It reads `regions, caption, <q> question <a> answer <q> ...` as one causal sequence, the regions as vectors in front of
the words, and is trained on the words of every answer in one pass.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lmrl_envs.generation import KeyValueRows, Memory, generate
from lmrl_envs.visual_dialogue.networks import POSITIONS, Network, Regions, Shape, padded, trunk
from lmrl_envs.visual_dialogue.words import ANSWER_WORDS, Vocabulary

SPEECHLESS = "can't tell"
"""What is said where the network writes no word."""


class Asked(NamedTuple):
    """A question within its dialogue."""

    image: Hashable
    """A name of the image: equal for equal features."""
    caption: str
    rounds: tuple[tuple[str, str], ...]
    """Earlier questions and answers."""
    question: str


class Answerer(Network):
    """Answers questions about images; `answer` is batched and greedy."""

    vocabulary: Vocabulary
    unsayable: Tensor
    """(vocabulary,), -inf at what is never written: unknown words and `<a>`."""

    def __init__(self, shape: Shape, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.shape, self.vocabulary = shape, vocabulary
        self.regions = Regions(shape.features, shape.width)
        self.trunk = trunk(shape, len(vocabulary))
        unsayable = torch.zeros(len(vocabulary))
        unsayable[[vocabulary.unknown, vocabulary.reply]] = -torch.inf
        self.register_buffer("unsayable", unsayable, persistent=False)
        self._memory = Memory()

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., d) to (..., vocabulary), by the word embeddings."""
        return F.linear(hidden, self.trunk.wte.weight)

    def loss(
        self, features: Tensor, boxes: Tensor, dialogues: Sequence[Sequence[int]], generator: torch.Generator
    ) -> Tensor:
        """Mean cross-entropy of the words of all answers, and of the `<q>` that ends each.

        Half of the rows begin at a later position than 0, so that long dialogues meet no position for the first time.

        Args:
            features, boxes: (B, regions, features) and (B, regions, 4).
            dialogues: B token rows as `Vocabulary.dialogue` makes them.
        """
        ids, real = padded(dialogues, features.device)
        prefix = self.regions(features, boxes)
        B, T = ids.shape
        start = torch.randint(POSITIONS - prefix.shape[1] - T + 1, (B, 1), generator=generator)
        start[: B // 2] = 0
        positions = start.to(ids.device) + torch.arange(prefix.shape[1] + T, device=ids.device)
        inputs = torch.cat([prefix, self.trunk.wte(ids)], dim=1)
        hidden = self.trunk(inputs_embeds=inputs, position_ids=positions, use_cache=False).last_hidden_state
        target = ids[:, 1:]
        said = self._in_answers(ids)[:, :-1] & real[:, 1:] & (target != self.vocabulary.unknown)
        return F.cross_entropy(self.logits(hidden[:, prefix.shape[1] : -1][said]), target[said])

    def _in_answers(self, ids: Tensor) -> Tensor:
        """(B, T) bool, True where the next token is an answer's or the `<q>` that ends it."""
        asked = (ids == self.vocabulary.ask).cumsum(1)
        return (asked > 0) & (asked == (ids == self.vocabulary.reply).cumsum(1))

    @torch.inference_mode()
    def answer(self, features: Tensor, boxes: Tensor, asked: Sequence[Asked]) -> list[str]:
        """One answer a row, by greedy decoding. What was read before of these dialogues is not read again.

        Args:
            features, boxes: (B, regions, features) and (B, regions, 4), on the network's device.
        """
        recalled = self._memory.recall([self.trunk], [one[:3] for one in asked], features.device)
        rows, new = recalled.rows, recalled.owners[: recalled.new]
        if new:
            self._look(rows, features[new], boxes[new])
        vocabulary, asked = self.vocabulary, recalled.to_rows(asked)
        said = [[*vocabulary.dialogue(one.caption, one.rounds), *vocabulary.question(one.question)] for one in asked]
        known = (rows.lengths - features.shape[1]).tolist()
        written, places = generate(
            rows,
            [tokens[read:] for tokens, read in zip(said, known, strict=True)],
            lambda hidden: self.logits(hidden[0]) + self.unsayable,
            stop=vocabulary.ask,
            max_tokens=ANSWER_WORDS,
        )
        answers = [vocabulary.decode(tokens) or SPEECHLESS for tokens in written]
        # A row that wrote nothing has not read what was put into its mouth: it is read again from the beginning.
        heard = [
            (one.image, one.caption, (*one.rounds, (one.question, answer))) if tokens else None
            for one, answer, tokens in zip(asked, answers, written, strict=True)
        ]
        self._memory.keep([heard[place] for place in places])
        return recalled.to_owners(answers)

    @torch.inference_mode()
    def option_scores(self, features: Tensor, boxes: Tensor, asked: Asked, options: Sequence[str]) -> Tensor:
        """(options,) log-probabilities of answers to one question about the image (1, regions, ...)."""
        vocabulary = self.vocabulary
        said = [*vocabulary.dialogue(asked.caption, asked.rounds), *vocabulary.question(asked.question)]
        rows = KeyValueRows([self.trunk], 1, features.device)
        self._look(rows, features, boxes)
        ids, real = padded([said], features.device)
        first = rows.extend(ids, real, dense=True)[0][:, -1:]
        texts = [[*vocabulary.encode(option, ANSWER_WORDS), vocabulary.ask] for option in options]
        ids, real = padded(texts, features.device)
        rows.arrange([0] * len(texts))
        later = rows.extend(ids[:, :-1], real[:, :-1], dense=False)[0] if ids.shape[1] > 1 else first[:, :0]
        hidden = torch.cat([first.expand(len(texts), -1, -1), later.expand(len(texts), -1, -1)], dim=1)
        logp = self.logits(hidden).log_softmax(-1).gather(2, ids[:, :, None]).squeeze(2)
        return (logp * real).sum(1)

    def _look(self, rows: KeyValueRows, features: Tensor, boxes: Tensor) -> None:
        """The first rows, empty so far, read the regions of their images."""
        prefix = self.regions(features, boxes)
        rows.extend(prefix, torch.ones(prefix.shape[:2], dtype=torch.bool, device=prefix.device), dense=True)
