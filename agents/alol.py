"""A-LoL, advantage-leftover-lunch reinforcement learning, and its variants.

Baheti et al., "Leftover Lunch: Advantage-based Offline Reinforcement Learning for Language Models", arXiv 2305.14718. A
whole answer y to a context x is one action. With pi_ref the frozen clone of the data,

    gradient = - E [ [R - V_ref(x)]+  clip(rho)  grad ln pi(y | x) ],   rho = pi(y | x) / pi_ref(y | x), detached

    alol           w = [R - V]+ clip(rho)
    alol_ref_free  w = [R - V]+
    alol_seq       w = [R - V]+ clip(rho_t)         one ratio for each token
    alol_kl        w = [R - V]+ - kl_weight         the paper's [R - V]+ grad ln pi - beta grad ln(pi / pi_ref)
    rlol           w = R clip(rho)                  R mapped to [0, 1]

clip(z) keeps z in [1 - eps, 1 + eps]. It bounds a weight; unlike PPO's, it never stops a gradient.

What differs from the paper, and why:
- Several turns. Each agent turn is a bandit: x is its history, R the undiscounted return from there, rho the product
  over the turn's tokens. In one turn that is the paper's.
- V is ridge regression on the states of pi_ref, fitted to logged returns of other episodes in five folds, so that it
  needs no environment; the paper's is a network fitted to rewards of pi_ref's own answers (`value="rollouts"`). These
  are the same but for how well pi_ref clones the data, and returns need not lie in [0, max].
- Sampling is uniform. `priority=True` draws by [R - V]+ and drops that factor; the published code keeps it, which
  squares the advantage (`priority="paper"`). It draws R-LoL by R, ours by [R - V]+ as all others.
- alol_kl: pi_ref cancels out of the gradient, since ln pi_ref is a constant: what is left is a weight that is negative
  and unbounded wherever [R - V]+ < kl_weight. So training ends when KL(pi_ref || pi) passes `kl_budget`. It is
  estimated as the mean of ln pi_ref - ln pi over logged turns, which pi_ref was fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from torch import Tensor

from agents.algorithm import TrainConfig
from agents.batch import TokenBatch
from agents.likelihood import Likelihood, LikelihoodConfig, Turns
from agents.losses import reweighted_likelihood
from agents.returns import ReturnMap
from agents.tokenizers import TurnTokenizer
from lmrl_envs.datasets import TextDataset


def clip(rho: Tensor, eps: float) -> Tensor:
    """(K,) to (K,): rho within [1 - eps, 1 + eps]."""
    return rho.clamp(1 - eps, 1 + eps)


def turn_ratio(log_ratio: Tensor, turn: Tensor) -> Tensor:
    """(K,) ln pi - ln pi_ref, (K,) number of the turn, to (K,): at each token, the product over its whole turn."""
    total = log_ratio.new_zeros(int(turn[-1]) + 1).index_add(0, turn, log_ratio)
    return total.exp()[turn]


@dataclass(frozen=True)
class ALOLConfig(LikelihoodConfig):
    """Of the variants with ratios."""

    eps: float = 0.9
    """Ratios are clipped to [1 - eps, 1 + eps]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.eps <= 1:
            raise ValueError(f"eps must lie between 0 and 1, got {self.eps}")


class ALOLRefFree(Likelihood):
    """A-LoL with all ratios taken for 1."""

    name = "alol_ref_free"
    needs = frozenset({"rewards", "reference"})
    uses_values = True

    def turn_weights(self, turns: Turns, data: TextDataset) -> np.ndarray:
        """[R - V]+"""
        return turns.positive_advantage


class ALOL(ALOLRefFree):
    """A-LoL."""

    name = "alol"
    Config: ClassVar[type[TrainConfig]] = ALOLConfig
    config: ALOLConfig
    uses_ratios = True

    def ratio(self, log_ratio: Tensor, turn: Tensor) -> Tensor:
        """(K,) rho of each token."""
        return turn_ratio(log_ratio, turn)

    def loss(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """- (1 / B) sum_k w clip(rho) ln pi(a_k | s_k), w and rho without gradient."""
        tokens, h = self.states(batch)
        w, ln_ref = batch.columns["weight"][batch.action_mask], batch.columns["ref_logp"][batch.action_mask]
        terms = {"weight": w.mean()}

        def weigh(logp: Tensor) -> Tensor:
            rho = self.ratio(logp - ln_ref, tokens.turn)
            clipped = clip(rho, self.config.eps)
            terms["ratio"], terms["clipped"] = clipped.mean(), (rho != clipped).float().mean()
            return w * clipped

        return reweighted_likelihood(h, self.head, tokens.token, weigh) / len(batch.returns), terms


class ALOLSeq(ALOL):
    """A-LoL with one ratio for each token."""

    name = "alol_seq"

    def ratio(self, log_ratio: Tensor, turn: Tensor) -> Tensor:
        """(K,) rho_t of each token alone."""
        return log_ratio.exp()


@dataclass(frozen=True)
class ALOLKLConfig(LikelihoodConfig):
    """Of A-LoL with a KL penalty."""

    kl_weight: float = 0.1
    """The paper's beta."""
    kl_budget: float = 1.0
    """Training ends when KL(pi_ref || pi) is more than this, in nats a turn."""


class ALOLKL(ALOLRefFree):
    """A-LoL without ratios, with a penalty on ln(pi / pi_ref)."""

    name = "alol_kl"
    Config: ClassVar[type[TrainConfig]] = ALOLKLConfig
    config: ALOLKLConfig
    uses_ratios = True

    def turn_weights(self, turns: Turns, data: TextDataset) -> np.ndarray:
        """[R - V]+ - kl_weight"""
        return turns.positive_advantage - self.config.kl_weight

    def loss(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """- (1 / B) sum_k w ln pi(a_k | s_k), and the estimated KL(pi_ref || pi) in nats a turn."""
        tokens, h = self.states(batch)
        w, ln_ref = batch.columns["weight"][batch.action_mask], batch.columns["ref_logp"][batch.action_mask]
        terms = {"weight": w.mean()}

        def weigh(logp: Tensor) -> Tensor:
            terms["kl"] = (ln_ref - logp).sum() / (tokens.turn[-1] + 1)
            return w

        return reweighted_likelihood(h, self.head, tokens.token, weigh) / len(batch.returns), terms

    def stop(self, terms: Mapping[str, Tensor]) -> str | None:
        """Ends the run where the budget is spent."""
        kl, budget = terms["kl"].item(), self.config.kl_budget
        return f"KL(pi_ref || pi) of {kl:.3f} nats a turn passed the budget of {budget}" if kl > budget else None


@dataclass(frozen=True)
class RLOLConfig(ALOLConfig):
    """Of R-LoL."""

    returns: Literal["mapped", "raw"] = "mapped"
    """Mapped to [0, 1] by the range of the data, or as they are, which must then be at least 0."""


class RLOL(ALOL):
    """R-LoL: the return itself where A-LoL has the advantage."""

    name = "rlol"
    Config: ClassVar[type[TrainConfig]] = RLOLConfig
    config: RLOLConfig
    uses_values = False

    def __init__(self, config: TrainConfig, tokenizer: TurnTokenizer, *, seed: int | None = 0) -> None:
        super().__init__(config, tokenizer, seed=seed)
        self.map = ReturnMap()
        if self.config.returns == "raw":
            self.needs = self.needs | {"nonnegative_rewards"}

    def turn_weights(self, turns: Turns, data: TextDataset) -> np.ndarray:
        """R, mapped to [0, 1] by the range of all turns' returns."""
        if self.config.returns == "raw":
            if turns.R.min() < 0:  # of a turn, where that of the whole episode is not
                raise ValueError(f"a turn has the return {turns.R.min()}, and raw ones weigh; take returns='mapped'")
            return turns.R
        self.map.fit(turns.R)
        return self.map(turns.R)


if __name__ == "__main__":
    from agents.command import main

    main(ALOL, ALOLRefFree, ALOLSeq, ALOLKL, RLOL)
