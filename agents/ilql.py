"""ILQL, implicit language Q-learning, and SARSA.

Snell et al., "Offline RL for Natural Language Generation with Implicit Language Q Learning", arXiv 2206.11871. At each
agent token a in state s, with target networks Q' that follow Q as a Polyak average, and i = 1, 2:

    u     = min_i Q'_i(s, a) - V(s)
    L_V   = mean |tau - 1[u < 0]| u^2
    L_Q   = sum_i mean (r + gamma V(s') - Q_i(s, a))^2
    L_CQL = sum_i mean ( ln sum_a' exp Q_i(s, a') - Q_i(s, a) )
    L     = L_V + L_Q + w L_CQL  ( - mean ln pi_beta(a | s), where pi_beta is trained jointly )

s' is the state of the next agent token: what the environment says in between is skipped. The policy is, normalised,
pi_beta(a | s) exp(beta (min_i Q'_i(s, a) - V(s))). SARSA is tau = 1/2, where V is the mean of Q over the data.

What differs from the authors' release: gamma is 1 within a turn and `gamma_turn` across turns (theirs: .99 a token);
where pi_beta is loaded, value trunks start from its trunk; `trunks="shared"` puts all heads on one trunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from agents import checkpoints
from agents.algorithm import Algorithm, TokenScores, TrainConfig, spread
from agents.batch import Packing, TokenBatch, agent_tokens, pack
from agents.decoding import Decoding, guided
from agents.losses import expectile, full_precision, squared_error, td_target, token_mean
from agents.model import ValueHead, ValueHeads, causal_lm, frozen_copy, hidden_states, trunk_of
from agents.tokenizers import TurnTokenizer


@dataclass(frozen=True)
class ILQLConfig(TrainConfig):
    """Of ILQL; the defaults are Wordle's."""

    tau: float = 0.9
    """Expectile of V."""
    cql_weight: float = 1e-4
    polyak: float = 0.005
    """Rate of the target average, a step."""
    trunks: Literal["separate", "shared"] = "separate"
    """Three trunks (policy, value, target), or one under all heads, as later libraries do."""
    pi_beta: str | None = None
    """Folder of a trained BC agent, loaded and frozen; None: pi_beta is trained jointly."""
    beta: float = 16.0
    """Weight of the advantage when acting, unless `policy(beta=...)` says otherwise."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.tau < 1:
            raise ValueError(f"tau must lie between 0 and 1, got {self.tau}")
        if self.trunks not in ("separate", "shared"):
            raise ValueError(f"trunks must be 'separate' or 'shared', got {self.trunks!r}")
        if self.trunks == "shared" and self.pi_beta:
            raise ValueError(
                "a shared trunk is trained with its own pi_beta; leave pi_beta out, or take separate trunks"
            )


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
    L_CQL = torch.stack([lse_i - Q_i.mean() for Q_i, lse_i in zip(Q, logsumexp_Q, strict=True)]).sum()
    return ILQLTerms(L_V, L_Q, L_CQL)


class ILQL(Algorithm):
    """Implicit language Q-learning."""

    name = "ilql"
    Config: ClassVar[type[TrainConfig]] = ILQLConfig
    needs = frozenset({"rewards"})
    config: ILQLConfig

    def __init__(self, config: ILQLConfig, tokenizer: TurnTokenizer, *, seed: int | None = 0) -> None:
        super().__init__(config, tokenizer, seed=seed)
        shared, vocabulary = config.trunks == "shared", len(tokenizer)
        width = self.lm.config.hidden_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed or 0)
            self.q = ValueHeads(width, vocabulary, heads=2)
            self.v = ValueHead(width, 1)
        self.target_q = frozen_copy(self.q)
        if not shared:
            self.value_trunk = trunk_of(causal_lm(config.model, tokenizer, seed=(seed or 0) + 1))
        if config.pi_beta:
            self.lm.requires_grad_(False)
            if seed is not None:
                self._take_pi_beta(Path(config.pi_beta))
        if not shared:
            self.target_trunk = frozen_copy(self.value_trunk)

    def _take_pi_beta(self, folder: Path) -> None:
        behaviour = checkpoints.load_agent(folder, device="cpu")
        if behaviour.tokenizer.fingerprint != self.tokenizer.fingerprint:
            raise ValueError(f"{folder}: pi_beta has another tokenizer")
        try:
            self.lm.load_state_dict(behaviour.lm.state_dict())
        except RuntimeError as error:
            raise ValueError(f"{folder}: pi_beta has another shape than model={self.config.model!r}") from error
        self.value_trunk.load_state_dict(trunk_of(behaviour.lm).state_dict())

    def value_states(self, packing: Packing) -> tuple[Tensor, Tensor]:
        """(N, d) states that V and Q read, and (N, d) states that the target Q reads, without gradient."""
        if self.config.trunks == "shared":
            h = hidden_states(trunk_of(self.lm), packing)
            return h, h.detach()
        with torch.no_grad():
            h_target = hidden_states(self.target_trunk, packing)
        return hidden_states(self.value_trunk, packing), h_target

    def loss(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """L_V + L_Q + w L_CQL, plus the likelihood of pi_beta where it is trained jointly."""
        c = self.config
        packing = pack(batch)
        tokens = agent_tokens(batch, packing, gamma=c.gamma, gamma_turn=c.gamma_turn)
        h, h_target = self.value_states(packing)
        h_s, K = h[tokens.at], len(tokens.at)
        V = full_precision(self.v(h[tokens.states]).squeeze(1))
        Q, logsumexp_Q = zip(*(head.at_and_logsumexp(h_s, tokens.token) for head in self.q), strict=True)
        with torch.no_grad():
            target_Q = self.target_q.least_at(h_target[tokens.at], tokens.token)
        terms = ilql_loss(
            Q=[full_precision(Q_i) for Q_i in Q],
            logsumexp_Q=list(logsumexp_Q),
            target_Q=full_precision(target_Q),
            V=V[:K],
            V_next=V[tokens.next],
            reward=tokens.reward,
            discount=tokens.discount,
            tau=c.tau,
        )
        loss = terms.L_V + terms.L_Q + c.cql_weight * terms.L_CQL
        metrics = terms._asdict() | {"V": V.detach().mean()}
        if not c.pi_beta:
            h_pi = h_s if c.trunks == "shared" else hidden_states(trunk_of(self.lm), packing)[tokens.at]
            metrics["L_BC"] = token_mean(h_pi, self.head, tokens.token)
            loss = loss + metrics["L_BC"]
        return loss, metrics

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """target <- target + polyak (online - target), heads and trunk."""
        pairs: list[tuple[nn.Module, nn.Module]] = [(self.target_q, self.q)]
        if self.config.trunks == "separate":
            pairs.append((self.target_trunk, self.value_trunk))
        for target, online in pairs:
            torch._foreach_lerp_(list(target.parameters()), list(online.parameters()), self.config.polyak)

    @torch.no_grad()
    def score(self, batch: TokenBatch) -> TokenScores:
        """ln pi_beta, min target Q, V and their difference at each logged token."""
        packing = pack(batch)
        tokens = agent_tokens(batch, packing)
        h, h_target = self.value_states(packing)
        Q, V = self.target_q.least_at(h_target[tokens.at], tokens.token), self.v(h[tokens.at]).squeeze(1)
        return super().score(batch)._replace(q=spread(batch, Q), v=spread(batch, V), advantage=spread(batch, Q - V))

    def acting_trunks(self, decoding: Decoding) -> list[nn.Module]:
        """pi_beta's trunk; the target trunk where values guide; the value trunk where a clip needs V."""
        trunks = [trunk_of(self.lm)]
        if decoding.beta > 0 and self.config.trunks == "separate":
            trunks += [self.target_trunk, *([self.value_trunk] if decoding.clip is not None else [])]
        return trunks

    def next_logits(self, hidden: list[Tensor], decoding: Decoding) -> Tensor:
        """ln pi_beta + min(beta (min_i target Q_i - V), clip)."""
        log_probs = super().next_logits(hidden[:1], decoding)
        if decoding.beta == 0:
            return log_probs
        h_target, h_value = (hidden[0], hidden[0]) if len(hidden) == 1 else (hidden[1], hidden[-1])
        Q = self.target_q.least(h_target)
        V = self.v(h_value).squeeze(1) if decoding.clip is not None else None
        return guided(log_probs, Q, V, decoding)

    def policy(self, *, keep_cache: bool = True, **decoding: Any) -> Any:
        """Guided by the values, with `config.beta` unless `beta` is given."""
        return super().policy(keep_cache=keep_cache, **{"beta": self.config.beta, **decoding})

    def cost(self) -> dict[str, float]:
        """Policy, value and target trunk, or one."""
        passes = 1 if self.config.trunks == "shared" else 2 if self.config.pi_beta else 3
        return super().cost() | {"forward_passes": passes}


@dataclass(frozen=True)
class SARSAConfig(ILQLConfig):
    """Of SARSA: ILQL's, with V as the mean of Q over the data."""

    tau: float = 0.5


class SARSA(ILQL):
    """One-step improvement over the behaviour policy: ILQL with tau = 1/2."""

    name = "sarsa"
    Config: ClassVar[type[TrainConfig]] = SARSAConfig


if __name__ == "__main__":
    from agents.command import main

    main(ILQL, SARSA)
