"""Refit and Swift: fine-tuning weighted by the reward of a whole conversation.

"Offline RL by Reward-Weighted Fine-Tuning for Conversation Optimization", arXiv 2506.06964. For a context x, a
trajectory tau = (a_1, y_1, ..., a_n, y_n) and its return R(x, tau) >= 0,

    J(theta) = E_{x, tau ~ pi_0} [ r(x, tau) sum_t ln pi_theta(a_t | x, tau_{<t}) ]

    refit   r = R
    swift   r = (R - mean_x) / sd_x        mean and standard deviation over the trajectories with the same context x

Refit's J is, up to a constant, a lower bound of the expected return, which Swift's is not: its weights may be negative.

What differs from the paper, and why:
- Refit needs R >= 0 and is not indifferent to a shift: returns of 9 to 10 would be cloning. Returns here are mostly
  negative. They are mapped to [0, 1] by the range of the training data, and that map is stored with the agent.
- Negative weights make Swift's loss unbounded below, and the paper does nothing about it: it trains for few passes with
  a small learning rate. `max_weight` and `positive` are options here, as for every likelihood agent.
- A context is what the agent sees first. With `instance`, it is what `Episode.info` holds under that key, such as the
  hidden word ("answer" on Wordle): privileged information, which no policy has; it is used in training only.
- Wordle begins with nothing to see, so all games have one context: there Swift is Refit with weights standardised over
  the whole data set, which is no test of its idea, unless `instance="answer"`.
- sd is that of the context's own trajectories (divided by their number, not one less); a context in which all returns
  are equal weighs 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from agents.algorithm import TrainConfig
from agents.likelihood import Likelihood, LikelihoodConfig, Turns
from agents.returns import ReturnMap
from agents.tokenizers import TurnTokenizer
from lmrl_envs.datasets import TextDataset


def standardised(R: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(N,) returns, (N,) groups, to (N,): (R - mean) / sd within the group, 0 where sd is 0."""
    _, group, n = np.unique(group, return_inverse=True, return_counts=True)
    centred = R - (np.bincount(group, weights=R) / n)[group]
    sd = np.sqrt(np.bincount(group, weights=centred**2) / n)[group]
    level = sd > 1e-9 * np.maximum(np.abs(R), 1.0)  # what rounding leaves of equal returns is no difference
    return np.divide(centred, sd, out=np.zeros_like(centred), where=level)


@dataclass(frozen=True)
class RefitConfig(LikelihoodConfig):
    """Of Refit."""

    returns: Literal["mapped", "raw"] = "mapped"
    """Mapped to [0, 1] by the range of the data, or as they are, which must then be at least 0."""


class Refit(Likelihood):
    """Reward-weighted fine-tuning."""

    name = "refit"
    Config: ClassVar[type[TrainConfig]] = RefitConfig
    config: RefitConfig
    needs = frozenset({"rewards"})

    def __init__(self, config: TrainConfig, tokenizer: TurnTokenizer, *, seed: int | None = 0) -> None:
        super().__init__(config, tokenizer, seed=seed)
        self.map = ReturnMap()
        if self.config.returns == "raw":
            self.needs = self.needs | {"nonnegative_rewards"}

    def turn_weights(self, turns: Turns, data: TextDataset) -> np.ndarray:
        """R of the whole episode, mapped to [0, 1]."""
        if self.config.returns == "raw":
            return data.returns[turns.row]
        self.map.fit(data.returns)
        return self.map(data.returns)[turns.row]


@dataclass(frozen=True)
class SwiftConfig(LikelihoodConfig):
    """Of Swift."""

    instance: str | None = None
    """Key of `Episode.info` under which episodes are compared with each other: privileged information. None: they are
    compared with those that begin with the same text."""


class Swift(Likelihood):
    """Reward-weighted fine-tuning with returns standardised within their context."""

    name = "swift"
    Config: ClassVar[type[TrainConfig]] = SwiftConfig
    config: SwiftConfig
    needs = frozenset({"rewards", "groups"})

    def groups(self, data: TextDataset) -> np.ndarray:
        """(N,) int64, equal for episodes that are compared with each other."""
        key = self.config.instance
        if key is None:
            return super().groups(data)
        infos = [episode.info for episode in data]
        for index, info in enumerate(infos):
            if info.get(key) is None:
                raise ValueError(
                    f"episode {index} has no info[{key!r}]; take another instance, of {sorted(info)}, or none"
                )
        return np.unique([str(info[key]) for info in infos], return_inverse=True)[1]

    def turn_weights(self, turns: Turns, data: TextDataset) -> np.ndarray:
        """R of the whole episode, standardised within its group."""
        return standardised(data.returns, self.groups(data))[turns.row]


if __name__ == "__main__":
    from agents.command import main

    main(Refit, Swift)
