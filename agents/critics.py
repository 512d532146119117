"""Critic, what agents with values share: Q heads and V on trunks of their own beside pi_beta, and how these guide it.

Legend: K agent tokens in a batch, N real tokens, d the width of a trunk. s is the state that an agent token a is chosen
in, s' that of the next agent token, so that what the environment says in between is skipped. Each agent's file says
what Q and V are fitted to. Target networks Q' follow Q as a Polyak average, trunk and heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from agents import checkpoints
from agents.algorithm import Algorithm, TokenScores, TrainConfig, spread
from agents.batch import AgentTokens, Packing, TokenBatch, agent_tokens, pack
from agents.decoding import Decoding, guided
from agents.losses import full_precision, token_mean
from agents.model import ValueHead, ValueHeads, causal_lm, frozen_copy, hidden_states, trunk_of
from agents.tokenizers import TurnTokenizer


@dataclass(frozen=True)
class CriticConfig(TrainConfig):
    """Of every agent with values; the defaults are Wordle's."""

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
        if self.trunks not in ("separate", "shared"):
            raise ValueError(f"trunks must be 'separate' or 'shared', got {self.trunks!r}")
        if self.trunks == "shared" and self.pi_beta:
            raise ValueError(
                "a shared trunk is trained with its own pi_beta; leave pi_beta out, or take separate trunks"
            )


class Reading(NamedTuple):
    """What trunks made of a batch: what heads are applied to."""

    tokens: AgentTokens
    packing: Packing
    h: Tensor
    """(N, d) states that V and Q read"""
    h_s: Tensor
    """(K, d), those at s"""
    h_target: Tensor
    """(N, d) states that the target Q reads, without gradient"""

    @property
    def next(self) -> Tensor:
        """(K,) int64, the packed position of s'; arbitrary where s' is terminal."""
        return self.tokens.states[self.tokens.next]


class Critic(Algorithm):
    """A language model pi_beta, and values that guide it: `q`, `v`, and a target network's `target_q`.

    Where pi_beta is loaded, the value trunk starts from its trunk.
    """

    Config: ClassVar[type[TrainConfig]] = CriticConfig
    needs = frozenset({"rewards"})
    config: CriticConfig
    has_v: ClassVar[bool] = True
    """Whether V is a head; without, the class says what V is."""
    has_target: ClassVar[bool] = True
    """Whether there is a target network; without, Q itself is read when acting."""
    freezes_pi_beta: ClassVar[bool] = True
    """Whether a loaded pi_beta stays as it is; else it is where the policy starts."""

    def __init__(self, config: CriticConfig, tokenizer: TurnTokenizer, *, seed: int | None = 0) -> None:
        super().__init__(config, tokenizer, seed=seed)
        shared, vocabulary = config.trunks == "shared", len(tokenizer)
        width = self.lm.config.hidden_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed or 0)
            self.q = ValueHeads(width, vocabulary, heads=2)
            if self.has_v:
                self.v = ValueHead(width, 1)
        if self.has_target:
            self.target_q = frozen_copy(self.q)
        if not shared:
            self.value_trunk = trunk_of(causal_lm(config.model, tokenizer, seed=(seed or 0) + 1))
        if config.pi_beta:
            self.lm.requires_grad_(not self.freezes_pi_beta)
            if seed is not None:
                checkpoints.start_from(self, Path(config.pi_beta))
                self.value_trunk.load_state_dict(trunk_of(self.lm).state_dict())
        if not shared and self.has_target:
            self.target_trunk = frozen_copy(self.value_trunk)

    @property
    def stand_ins(self) -> dict[str, str]:  # type: ignore[override]
        """The online Q heads serve learning alone where a target acts."""
        return {"q": "target_q"} if self.has_target else {}

    @property
    def trains_policy(self) -> bool:
        """Whether the likelihood of the policy is a term of the loss."""
        return not (self.config.pi_beta and self.freezes_pi_beta)

    def read(self, batch: TokenBatch) -> Reading:
        """Runs the value and target trunks over a batch."""
        c = self.config
        packing = pack(batch)
        tokens = agent_tokens(batch, packing, gamma=c.gamma, gamma_turn=c.gamma_turn)
        h_target = None
        if c.trunks == "separate" and self.has_target:
            with torch.no_grad():
                h_target = hidden_states(self.target_trunk, packing)
        h = hidden_states(trunk_of(self.lm) if c.trunks == "shared" else self.value_trunk, packing)
        return Reading(tokens, packing, h, h.index_select(0, tokens.at), h.detach() if h_target is None else h_target)

    def q_at(self, x: Reading) -> tuple[list[Tensor], list[Tensor]]:
        """Of each head: (K,) Q at the logged tokens, and (), mean over s of ln sum_a exp Q(s, a)."""
        Q, logsumexp_Q = zip(*(head.at_and_logsumexp(x.h_s, x.tokens.token) for head in self.q), strict=True)
        return [full_precision(Q_i) for Q_i in Q], list(logsumexp_Q)

    def v_at(self, x: Reading, *, detach: bool = False) -> tuple[Tensor, Tensor]:
        """(K,) V at s and at s'; arbitrary where s' is terminal. `detach` keeps its gradient out of the trunk."""
        states = x.h.index_select(0, x.tokens.states)
        V = full_precision(self.v(states.detach() if detach else states).squeeze(1))
        return V[: len(x.tokens.at)], V.index_select(0, x.tokens.next)

    @torch.no_grad()
    def target_q_at(self, x: Reading) -> Tensor:
        """(K,) min_i Q'_i at the logged tokens."""
        return full_precision(self.acting_q.least_at(x.h_target[x.tokens.at], x.tokens.token))

    def likelihood(self, x: Reading, w: Tensor | None = None) -> Tensor:
        """- mean w ln pi of the logged tokens; w, (K,), is 1 where not given."""
        shared = self.config.trunks == "shared"
        h = x.h_s if shared else hidden_states(trunk_of(self.lm), x.packing).index_select(0, x.tokens.at)
        return token_mean(h, self.head, x.tokens.token, w)

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """target <- target + polyak (online - target), heads and trunk."""
        if not self.has_target:
            return
        pairs: list[tuple[nn.Module, nn.Module]] = [(self.target_q, self.q)]
        if self.config.trunks == "separate":
            pairs.append((self.target_trunk, self.value_trunk))
        for target, online in pairs:
            torch._foreach_lerp_(list(target.parameters()), list(online.parameters()), self.config.polyak)

    @torch.no_grad()
    def score(self, batch: TokenBatch) -> TokenScores:
        """ln pi_beta, min target Q, V and their difference at each logged token."""
        x = self.read(batch)
        Q, V = self.target_q_at(x), self.v_at(x)[0]
        return super().score(batch)._replace(q=spread(batch, Q), v=spread(batch, V), advantage=spread(batch, Q - V))

    @property
    def acting_q(self) -> ValueHeads:
        """The Q heads that guide: the target's, where there is one."""
        return self.target_q if self.has_target else self.q

    def acting_trunks(self, decoding: Decoding) -> list[nn.Module]:
        """pi_beta's trunk; the trunk under the guiding Q where values guide; the value trunk where a clip needs V."""
        trunks = [trunk_of(self.lm)]
        if decoding.beta > 0 and self.config.trunks == "separate":
            trunks.append(self.target_trunk if self.has_target else self.value_trunk)
            if decoding.clip is not None and self.has_target:
                trunks.append(self.value_trunk)
        return trunks

    def next_logits(self, hidden: list[Tensor], decoding: Decoding) -> Tensor:
        """ln pi_beta + min(beta (min_i Q'_i - V), clip)."""
        log_probs = super().next_logits(hidden[:1], decoding)
        if decoding.beta == 0:
            return log_probs
        h_target, h_value = (hidden[0], hidden[0]) if len(hidden) == 1 else (hidden[1], hidden[-1])
        Q = self.acting_q.least(h_target)
        V = self.v(h_value).squeeze(1) if decoding.clip is not None else None
        return guided(log_probs, Q, V, decoding)

    def policy(self, *, keep_cache: bool = True, **decoding: Any) -> Any:
        """Guided by the values, with `config.beta` unless `beta` is given."""
        return super().policy(keep_cache=keep_cache, **{"beta": self.config.beta, **decoding})

    def cost(self) -> dict[str, float]:
        """One pass for each trunk that a step runs: policy, value and target, or one under all."""
        separate = self.config.trunks == "separate"
        passes = 1 + (self.has_target + self.trains_policy) * separate
        return super().cost() | {"forward_passes": passes}
