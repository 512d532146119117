"""Batches made ahead are those made when they are taken."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from data_scripts.prefetch import ahead


def batch(step: int) -> tuple[np.ndarray, torch.Tensor, int, int]:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(0, spawn_key=(step,))))
    return rng.random(1000), torch.full((2, 3), step), torch.get_num_threads(), os.getpid()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_are_the_same_with_any_number_of_workers(workers: int) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    found = list(ahead(batch, range(5, 25), workers))
    assert len(found) == 20
    for step, (numbers, tensor, threads, process) in zip(range(5, 25), found, strict=True):
        assert np.array_equal(numbers, batch(step)[0])
        assert isinstance(numbers, np.ndarray)
        assert tensor.tolist() == [[step] * 3] * 2
        assert (process == os.getpid()) == (workers == 0)
        assert threads == 1 or not workers
    assert torch.equal(torch.rand(3), expected)


def test_what_fails_in_a_worker_fails_here() -> None:
    def failing(step: int) -> int:
        if step == 3:
            raise KeyError("no such row")
        return step

    for workers in (0, 2):
        batches = ahead(failing, range(5), workers)
        assert [next(batches) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(KeyError, match="no such row"):
            next(batches)


def test_nothing_to_make() -> None:
    assert list(ahead(batch, range(3, 3), 2)) == []
    with pytest.raises(ValueError, match="0 workers or more"):
        ahead(batch, range(3), -1)
