"""CQL, conservative Q-learning, over tokens.

Kumar et al., "Conservative Q-Learning for Offline Reinforcement Learning", arXiv 2006.04779, as Snell et al. (arXiv
2206.11871) use it beside ILQL: Q-learning with a maximum over the next token, and Q held down where there are no data.
At each agent token a in state s, with target networks Q' that follow Q as a Polyak average, and i = 1, 2:

    y     = r + gamma max_a' min_i Q'_i(s', a')
    L_Q   = sum_i mean (y - Q_i(s, a))^2
    L_CQL = sum_i mean ( ln sum_a' exp Q_i(s, a') - Q_i(s, a) )
    L_V   = mean 1/2 (min_i Q'_i(s, a) - V(s))^2
    L     = L_Q + w L_CQL + L_V  ( - mean ln pi_beta(a | s), where pi_beta is trained jointly )

s' is the state of the next agent token. The policy is that of ILQL: pi_beta(a | s) exp(beta (min_i Q'_i - V)).

What differs from the papers: tokens are discrete, so that the policy in the first paper's penalty is the maximum in
closed form (its CQL(H)), with weight w on squared errors that are not halved. The maximum is over all tokens, as in the
ILQL authors' release; LMRL-Gym's agent of the same name takes the logged next token instead, which is `sarsa` with a
larger `cql_weight`. Their release bootstraps with 0 where an episode was cut from outside, here with its last state. V
is for the advantage at acting time alone: its gradient stays out of the trunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from agents.algorithm import TrainConfig
from agents.batch import TokenBatch
from agents.critics import Critic, CriticConfig, Reading
from agents.losses import conservative, expectile, squared_error, td_target


@dataclass(frozen=True)
class CQLConfig(CriticConfig):
    """Of CQL."""

    cql_weight: float = 0.1


class CQLTerms(NamedTuple):
    """The terms of the loss."""

    L_V: Tensor
    L_Q: Tensor
    L_CQL: Tensor


def cql_loss(
    *,
    Q: list[Tensor],
    logsumexp_Q: list[Tensor],
    target_Q: Tensor,
    target_max_next: Tensor,
    V: Tensor,
    reward: Tensor,
    discount: Tensor,
) -> CQLTerms:
    """The terms, on K agent tokens.

    Args:
        Q: (K,) of each head at the logged tokens. logsumexp_Q: () of each head, mean over s of ln sum_a exp Q_i(s, a).
        target_Q: (K,) min_i Q'_i at the logged tokens. target_max_next: (K,) max_a' min_i Q'_i(s', a').
        V: (K,) at s. discount: (K,) gamma, 0 where s' is terminal.
    """
    y = td_target(reward, discount, target_max_next)
    L_V = expectile(target_Q.detach() - V, tau=0.5)
    L_Q = torch.stack([squared_error(Q_i, y) for Q_i in Q]).sum()
    return CQLTerms(L_V, L_Q, conservative(Q, logsumexp_Q))


class CQL(Critic):
    """Conservative Q-learning."""

    name = "cql"
    Config: ClassVar[type[TrainConfig]] = CQLConfig
    config: CQLConfig

    def loss(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """L_Q + w L_CQL + L_V, plus the likelihood of pi_beta where it is trained jointly."""
        x = self.read(batch)
        V, _ = self.v_at(x, detach=True)
        Q, logsumexp_Q = self.q_at(x)
        terms = cql_loss(
            Q=Q,
            logsumexp_Q=logsumexp_Q,
            target_Q=self.target_q_at(x),
            target_max_next=self.target_max_next(x),
            V=V,
            reward=x.tokens.reward,
            discount=x.tokens.discount,
        )
        loss = terms.L_V + terms.L_Q + self.config.cql_weight * terms.L_CQL
        metrics = terms._asdict() | {"V": V.detach().mean()}
        if self.trains_policy:
            metrics["L_BC"] = self.likelihood(x)
            loss = loss + metrics["L_BC"]
        return loss, metrics

    @torch.no_grad()
    def target_max_next(self, x: Reading) -> Tensor:
        """(K,) max_a' min_i Q'_i(s', a'), over the whole vocabulary."""
        return self.target_q.least_over(x.h_target[x.next], lambda Q: Q.amax(-1))


if __name__ == "__main__":
    from agents.command import main

    main(CQL)
