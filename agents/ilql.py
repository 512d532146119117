"""ILQL, implicit language Q-learning; SARSA; and ILQL (AWR), whose policy is weighted cloning.

Snell et al., "Offline RL for Natural Language Generation with Implicit Language Q Learning", arXiv 2206.11871. At each
agent token a in state s, with target networks Q' that follow Q as a Polyak average, and i = 1, 2:

    u     = min_i Q'_i(s, a) - V(s)
    L_V   = mean |tau - 1[u < 0]| u^2
    L_Q   = sum_i mean (r + gamma V(s') - Q_i(s, a))^2
    L_CQL = sum_i mean ( ln sum_a' exp Q_i(s, a') - Q_i(s, a) )
    L     = L_V + L_Q + w L_CQL  ( - mean ln pi_beta(a | s), where pi_beta is trained jointly )

s' is the state of the next agent token: what the environment says in between is skipped. The policy is, normalised,
pi_beta(a | s) exp(beta (min_i Q'_i(s, a) - V(s))). SARSA is tau = 1/2, where V is the mean of Q over the data. AWR
(Peng et al., arXiv 1910.00177) fits the policy itself, from pi_beta on, and acts without values:

    L     = L_V + L_Q + w L_CQL - mean min(exp(awr_beta u), weight_clip) ln pi(a | s)

What differs from the authors' release: gamma is 1 within a turn and `gamma_turn` across turns (theirs: .99 a token);
where pi_beta is loaded, value trunks start from its trunk; `trunks="shared"` puts all heads on one trunk; likelihood is
a mean over agent tokens (theirs divides by the environment's tokens too); AWR's weights are clipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from agents.algorithm import TrainConfig
from agents.batch import TokenBatch
from agents.critics import Critic, CriticConfig
from agents.losses import conservative, expectile, squared_error, td_target


@dataclass(frozen=True)
class ILQLConfig(CriticConfig):
    """Of ILQL; the defaults are Wordle's."""

    tau: float = 0.9
    """Expectile of V."""
    cql_weight: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.tau < 1:
            raise ValueError(f"tau must lie between 0 and 1, got {self.tau}")


class ILQLTerms(NamedTuple):
    """The terms of the value loss."""

    L_V: Tensor
    L_Q: Tensor
    L_CQL: Tensor


def ilql_loss(
    *,
    Q: list[Tensor],
    logsumexp_Q: list[Tensor],
    target_Q: Tensor,
    V: Tensor,
    V_next: Tensor,
    reward: Tensor,
    discount: Tensor,
    tau: float,
) -> ILQLTerms:
    """The terms, on K agent tokens.

    Args:
        Q: (K,) of each head at the logged tokens. logsumexp_Q: () of each head, mean over s of ln sum_a exp Q_i(s, a).
        target_Q: (K,), the least of the target heads at the logged tokens. V, V_next: (K,) at s and s', online.
        discount: (K,) gamma, 0 where s' is terminal.
    """
    y = td_target(reward, discount, V_next)
    L_V = expectile(target_Q.detach() - V, tau)
    L_Q = torch.stack([squared_error(Q_i, y) for Q_i in Q]).sum()
    return ILQLTerms(L_V, L_Q, conservative(Q, logsumexp_Q))


class ILQL(Critic):
    """Implicit language Q-learning."""

    name = "ilql"
    Config: ClassVar[type[TrainConfig]] = ILQLConfig
    config: ILQLConfig

    def loss(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """L_V + L_Q + w L_CQL, plus the likelihood of the policy where it is trained."""
        x = self.read(batch)
        V, V_next = self.v_at(x)
        Q, logsumexp_Q = self.q_at(x)
        target_Q = self.target_q_at(x)
        terms = ilql_loss(
            Q=Q,
            logsumexp_Q=logsumexp_Q,
            target_Q=target_Q,
            V=V,
            V_next=V_next,
            reward=x.tokens.reward,
            discount=x.tokens.discount,
            tau=self.config.tau,
        )
        loss = terms.L_V + terms.L_Q + self.config.cql_weight * terms.L_CQL
        metrics = terms._asdict() | {"V": V.detach().mean()}
        if self.trains_policy:
            metrics["L_BC"] = self.likelihood(x, self.policy_weights(target_Q - V.detach()))
            loss = loss + metrics["L_BC"]
        return loss, metrics

    def policy_weights(self, u: Tensor) -> Tensor | None:
        """(K,) w of the policy's likelihood, from the advantages of the logged tokens; None: 1."""
        return None


@dataclass(frozen=True)
class SARSAConfig(ILQLConfig):
    """Of SARSA: ILQL's, with V as the mean of Q over the data."""

    tau: float = 0.5


class SARSA(ILQL):
    """One-step improvement over the behaviour policy: ILQL with tau = 1/2."""

    name = "sarsa"
    Config: ClassVar[type[TrainConfig]] = SARSAConfig


@dataclass(frozen=True)
class AWRConfig(ILQLConfig):
    """Of ILQL (AWR); `pi_beta` is where its policy starts."""

    awr_beta: float = 4.0
    """Weight of the advantage in the exponent of a token's weight."""
    weight_clip: float = 20.0
    """The largest weight of a token."""
    beta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.awr_beta < 0 or self.weight_clip <= 0:
            raise ValueError(
                f"awr_beta must be at least 0 and weight_clip above it, got {self.awr_beta} and {self.weight_clip}"
            )


def awr_weights(u: Tensor, awr_beta: float, weight_clip: float) -> Tensor:
    """(K,) advantages to (K,) min(exp(awr_beta u), weight_clip)."""
    return (awr_beta * u).exp().clamp(max=weight_clip)


class AWR(ILQL):
    """ILQL's critics, and a policy by advantage-weighted cloning that acts alone."""

    name = "awr"
    Config: ClassVar[type[TrainConfig]] = AWRConfig
    config: AWRConfig
    freezes_pi_beta = False

    def policy_weights(self, u: Tensor) -> Tensor:
        """min(exp(awr_beta u), weight_clip)."""
        return awr_weights(u, self.config.awr_beta, self.config.weight_clip)


if __name__ == "__main__":
    from agents.command import main

    main(ILQL, SARSA, AWR)
