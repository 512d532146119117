"""Tools for measuring speed: sides that take turns, training steps, batches of known shape."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from agents.algorithm import Algorithm
from agents.batch import TokenBatch, TokenRow, TokenStore
from agents.data import Batches
from agents.tokenizers import TurnTokenizer
from leaderboards.plain import parameters_of, plain_lm, plain_lm_loss

SHAPE = "small"
ROWS = 64
WORDS = {"words": "common-40"}


@dataclasses.dataclass
class Row:
    """One line of the table: what was asked, and what was measured."""

    what: str
    wanted: str
    measured: str
    value: float
    details: dict[str, Any]


def in_turns(sides: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, list[float]]:
    """Each side's rate (units a second) in each round; a side returns how many units it did."""
    for side in sides.values():
        side()  # warm-up
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            begun = time.process_time()
            units = side()
            rates[name].append(units / (time.process_time() - begun))
    return rates


def ratio(rates: dict[str, list[float]], one: str, other: str) -> float:
    """Median over rounds of one side's rate by the other's."""
    return statistics.median(a / b for a, b in zip(rates[one], rates[other], strict=True))


class Training:
    """Training steps of some algorithm or plain loss, with its optimiser."""

    def __init__(
        self,
        module: torch.nn.Module,
        loss: Callable[[TokenBatch], torch.Tensor],
        parameters: list[torch.nn.Parameter],
        *,
        fused: bool,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self.module, self.loss, self.parameters, self.after = module.train(), loss, parameters, after
        self.optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=fused or None)

    @classmethod
    def of(cls, algorithm: Algorithm) -> Training:
        """An algorithm's own step."""
        loss, after = lambda batch: algorithm.loss(batch)[0], lambda: algorithm.after_step(0)
        return cls(algorithm, loss, parameters_of(algorithm), fused=True, after=after)

    def step(self, batch: TokenBatch) -> int:
        """One step; returns the real tokens read."""
        self.descend(self.loss(batch))
        return int(batch.attention_mask.sum())

    def descend(self, loss: torch.Tensor) -> None:
        """What follows the loss."""
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.after()


def steps_over(training: Training, batches: Iterable[TokenBatch]) -> Callable[[], float]:
    """A side of a comparison that takes one step on each of these batches."""
    upcoming = iter(batches)
    return lambda: training.step(next(upcoming))


def plain_training(shape: str, vocabulary: int) -> Training:
    """A plain `GPT2LMHeadModel` and `AdamW` loop."""
    lm = plain_lm(shape, vocabulary)
    return Training(lm, lambda batch: plain_lm_loss(lm, batch), list(lm.parameters()), fused=False)


def full_rows(vocabulary: int, rows: int, length: int, seed: int = 0) -> TokenBatch:
    """Random rows of one length, see `rows_of`."""
    return rows_of(vocabulary, [length] * rows, seed)


def rows_of(vocabulary: int, lengths: Sequence[int], seed: int = 0) -> TokenBatch:
    """Random rows of these lengths, made like Wordle's: six tokens of the agent, six of the environment, in turn."""
    rng = np.random.Generator(np.random.PCG64(seed))
    made = []
    for length in lengths:
        agent = [position % 12 in range(1, 7) for position in range(length)]
        turn = [position // 12 for position in range(length)]
        made.append(TokenRow(rng.integers(0, vocabulary, length).tolist(), agent, [0.0] * length, turn, False, -1.0, 0))
    return TokenStore.from_rows(made).batch(np.arange(len(made)))


def random_batches(store: TokenStore, rows: int) -> Iterator[TokenBatch]:
    """Uniform batches of so many rows, padded to their longest."""
    rng = np.random.Generator(np.random.PCG64(0))
    while True:
        yield store.batch(rng.integers(0, len(store), rows))


def budgeted(store: TokenStore, tokens: int) -> Iterator[TokenBatch]:
    """The trainer's own batches."""
    batches = Batches(store.lengths, tokens, seed=0)
    while True:
        yield store.batch(batches.next())


class Sized(TurnTokenizer):
    """A vocabulary of a given size: speed does not depend on what its tokens are."""

    def __init__(self, size: int) -> None:
        self._size, self.bos, self.eot_env, self.eot_agent = size, 0, 1, 2

    def __len__(self) -> int:
        return self._size
