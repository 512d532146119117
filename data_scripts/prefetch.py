"""Batches made ahead of the training that takes them, by other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

T = TypeVar("T")
AHEAD = 4
"""Batches that a worker makes before they are taken."""


def ahead(make: Callable[[int], T], steps: range, workers: int = 0) -> Iterator[T]:
    """The batches `make(step)` of `steps`, in order, the same with any number of workers.

    Args:
        make: draws all that is random from the step's own seed, and touches no card: workers are forks of this process.
            What it returns must be picklable; large tensors and arrays are best.
        workers: processes that make them, of one thread each; 0 makes each batch where and when it is taken.

    Raises:
        ValueError: `workers` is negative.
        Exception: what `make` raised, of the same type.
    """
    if workers < 0:
        raise ValueError(f"expected 0 workers or more, got {workers}")
    if not workers or not steps:
        return map(make, steps)
    loader = DataLoader(
        _Made(make),
        batch_size=None,
        sampler=steps,
        num_workers=min(workers, len(steps)),
        prefetch_factor=AHEAD,
        collate_fn=_as_made,
        multiprocessing_context="fork",
        generator=torch.Generator(),  # else the loader draws a seed from the generator that drop-out draws from
    )
    return iter(loader)


class _Made(Dataset[T], Generic[T]):
    def __init__(self, make: Callable[[int], T]) -> None:
        self.make = make

    def __getitem__(self, step: int) -> T:
        return self.make(step)


def _as_made(batch: T) -> T:
    return batch
