"""Behavioural cloning, and %BC: cloning of the best part of the data.

    L(theta) = - mean over agent tokens of ln pi_theta(a | s)

BC does so on all episodes; %BC on the fraction with the highest returns (ties broken by a seeded shuffle), as in Snell
et al., arXiv 2206.11871, who take 10, 20 or 30 %. Options of `agents.likelihood` may weigh turns or draw episodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from agents.algorithm import Prepared, TrainConfig
from agents.batch import TokenBatch
from agents.likelihood import Likelihood, LikelihoodConfig
from agents.losses import token_mean
from lmrl_envs.datasets import TextDataset


class BC(Likelihood):
    """Behavioural cloning."""

    name = "bc"
    per_episode = False

    def loss(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """- mean ln pi over the batch's agent tokens, in nats."""
        tokens, h = self.states(batch)
        return token_mean(h, self.head, tokens.token, self.weights(batch)), {}


@dataclass(frozen=True)
class FilteredBCConfig(LikelihoodConfig):
    """Of %BC."""

    fraction: float = 0.2
    """Share of the episodes that is kept, the best by return."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction must be above 0 and at most 1, got {self.fraction}")


class FilteredBC(BC):
    """%BC."""

    name = "filtered_bc"
    Config: ClassVar[type[TrainConfig]] = FilteredBCConfig
    needs = frozenset({"rewards"})
    config: FilteredBCConfig

    def prepare(
        self, data: TextDataset, *, env_id: str | None = None, env_kwargs: Mapping[str, Any] | None = None
    ) -> Prepared:
        """Keeps the best episodes."""
        best = data.top(self.config.fraction, seed=self.config.seed)
        return super().prepare(best, env_id=env_id, env_kwargs=env_kwargs)


if __name__ == "__main__":
    from agents.command import main

    main(BC, FilteredBC)
