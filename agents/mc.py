"""MC: values fitted to what actually followed, without bootstrapping.

At each agent token a in state s, with G the discounted return from there to the end of the logged episode, i = 1, 2:

    G_k   = r_k + gamma_k G_{k+1},   and past the end of an episode cut from outside  G = V(its last state)
    L_Q   = sum_i mean (G - Q_i(s, a))^2
    L_V   = mean (G - V(s))^2
    L_CQL = sum_i mean ( ln sum_a' exp Q_i(s, a') - Q_i(s, a) )
    L     = L_Q + L_V + w L_CQL  ( - mean ln pi_beta(a | s), where pi_beta is trained jointly )

The policy is that of ILQL, pi_beta(a | s) exp(beta (min_i Q_i(s, a) - V(s))): one step of improvement over the
behaviour policy, as SARSA's: without the wait for values to travel from token to token, and with the variance of whole
returns.

No one paper's: LMRL-Gym (arXiv 2311.18232) has a baseline of this name, with Q on returns and the same penalty. What
differs: two heads, of which the least guides; V, for the advantage; `gamma_turn`. Nothing is bootstrapped, so there is
no target network, and one trunk less is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from agents.algorithm import TrainConfig
from agents.batch import AgentTokens, TokenBatch
from agents.critics import Critic, CriticConfig
from agents.losses import conservative, discounted_sums, squared_error, td_target


@dataclass(frozen=True)
class MCConfig(CriticConfig):
    """Of MC; `polyak` is not used."""

    cql_weight: float = 1e-4


class MCTerms(NamedTuple):
    """The terms of the loss."""

    L_V: Tensor
    L_Q: Tensor
    L_CQL: Tensor


def mc_loss(*, Q: list[Tensor], logsumexp_Q: list[Tensor], V: Tensor, G: Tensor) -> MCTerms:
    """The terms, on K agent tokens.

    Args:
        Q: (K,) of each head at the logged tokens. logsumexp_Q: () of each head, mean over s of ln sum_a exp Q_i(s, a).
        V: (K,) at s. G: (K,) discounted returns to go.
    """
    L_Q = torch.stack([squared_error(Q_i, G) for Q_i in Q]).sum()
    return MCTerms(squared_error(V, G), L_Q, conservative(Q, logsumexp_Q))


def returns_to_go(tokens: AgentTokens, V_next: Tensor) -> Tensor:
    """(K,) G of each agent token, detached; V_next, (K,), counts past the last token of a row cut from outside."""
    last = torch.ones_like(tokens.row, dtype=torch.bool)
    last[:-1] = tokens.row[1:] != tokens.row[:-1]
    r = torch.where(last, td_target(tokens.reward, tokens.discount, V_next), tokens.reward)
    return discounted_sums(r, torch.where(last, 0.0, tokens.discount))


class MC(Critic):
    """Monte-Carlo values."""

    name = "mc"
    Config: ClassVar[type[TrainConfig]] = MCConfig
    config: MCConfig
    has_target = False

    def loss(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """L_Q + L_V + w L_CQL, plus the likelihood of pi_beta where it is trained jointly."""
        x = self.read(batch)
        V, V_next = self.v_at(x)
        Q, logsumexp_Q = self.q_at(x)
        terms = mc_loss(Q=Q, logsumexp_Q=logsumexp_Q, V=V, G=returns_to_go(x.tokens, V_next))
        loss = terms.L_V + terms.L_Q + self.config.cql_weight * terms.L_CQL
        metrics = terms._asdict() | {"V": V.detach().mean()}
        if self.trains_policy:
            metrics["L_BC"] = self.likelihood(x)
            loss = loss + metrics["L_BC"]
        return loss, metrics


if __name__ == "__main__":
    from agents.command import main

    main(MC)
