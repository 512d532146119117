"""What is checked before and around a run: that the data have what an agent needs, and that its loss is one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from agents.algorithm import Algorithm
from lmrl_envs.datasets import TextDataset
from lmrl_envs.errors import UnfitDataError


def described(data: TextDataset) -> str:
    """A dataset in words."""
    return f"the {len(data):,} episodes of {data.metadata.dataset_id or data.metadata.env_id or 'these logs'}"


@contextlib.contextmanager
def naming(algorithm: Algorithm, data: TextDataset) -> Iterator[None]:
    """Says with whatever is wrong with the data who was to learn from which."""
    try:
        yield
    except ValueError as error:
        raise UnfitDataError(f"{algorithm.name} cannot learn from {described(data)}: {error}") from error


def check_needs(algorithm: Algorithm, data: TextDataset) -> None:
    """Refuses data that lack what an algorithm needs.

    Raises:
        UnfitDataError: names the algorithm, the dataset and what to do.
    """
    needs, returns = algorithm.needs, data.returns
    where = described(data)
    reference = "pi_beta" if hasattr(algorithm.config, "pi_beta") else "pi_ref"
    if "reference" in needs and not getattr(algorithm.config, reference, None):
        raise UnfitDataError(
            f"{algorithm.name} needs a reference model of {where}, and has none; train one by `python -m agents.bc` "
            f"with the same dataset and model, and give its folder as {reference}"
        )
    if "rewards" in needs and not np.any(returns != 0):
        raise UnfitDataError(
            f"{algorithm.name} learns from rewards, and every return in {where} is 0; take logs with rewards, "
            "or an agent that uses none (bc, iqlearn)"
        )
    if "nonnegative_rewards" in needs and returns.min() < 0:
        raise UnfitDataError(
            f"{algorithm.name} needs returns of at least 0, and the least in {where} is {returns.min()}; "
            "let it map them to [0, 1] (returns='mapped')"
        )
    if "groups" in needs:
        with naming(algorithm, data):
            counts = np.unique(algorithm.groups(data), return_counts=True)[1]
        if 2 * (counts < 2).sum() >= len(counts):
            raise UnfitDataError(
                f"{algorithm.name} compares episodes that share a start, and of {len(counts):,} starts in {where} "
                f"{(counts < 2).sum():,} have one episode; take data with several episodes a start, a hidden instance "
                "that they share (instance=...), or refit, which needs no groups"
            )


def check_loss(algorithm: Algorithm, result: Any) -> tuple[Tensor, Mapping[str, Tensor]]:
    """What `loss` returned: a scalar with a gradient, and its terms; refuses anything else."""
    match result:
        case (Tensor(shape=()) as loss, Mapping() as terms) if all(isinstance(t, Tensor) for t in terms.values()):
            if not loss.requires_grad:
                raise ValueError(f"{algorithm.name}: no parameter gets a gradient, the loss depends on none of them")
            return loss, terms
    raise TypeError(
        f"{algorithm.name}: expected loss(batch) to return a scalar tensor and a dict of scalar tensors, "
        f"got {result!r:.200}"
    )


def check_gradients(algorithm: Algorithm, trained: list[nn.Parameter]) -> None:
    """After the first backward pass: every parameter that is to be trained must have a gradient."""
    wanted = set(map(id, trained))
    without = [name for name, p in algorithm.named_parameters() if id(p) in wanted and p.grad is None]
    if without:
        raise ValueError(
            f"{algorithm.name}: {len(without)} parameters get no gradient from the loss, the first is {without[0]!r}; "
            "freeze them (requires_grad_(False)) or leave them out of parameter_groups()"
        )
