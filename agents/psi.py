"""Psi-learning: KL-regularised soft Q-learning, with pi_beta as the prior.

Jaques et al., "Sequence Tutor", arXiv 1611.02796, and "Way Off-Policy Batch Deep Reinforcement Learning", arXiv
1907.00456, as Snell et al. (arXiv 2206.11871) compare it with ILQL. Reward is traded against the divergence from
pi_beta: maximise E sum r / scale - KL(pi || pi_beta). At each agent token a in state s, with target networks Q' that
follow Q as a Polyak average, and i = 1, 2:

    y   = r / scale + ln pi_beta(a | s) + gamma ln sum_a' exp min_i Q'_i(s', a')
    L_Q = sum_i mean Huber(y - Q_i(s, a))
    V(s) = ln sum_a exp min_i Q'_i(s, a),    policy(a | s) = softmax_a min_i Q'_i(s, a) = exp(min_i Q'_i(s, a) - V(s))

s' is the state of the next agent token. pi_beta is frozen: a trained BC agent.

What differs from the papers: Q holds the prior already, so that the policy is softmax(Q), as in the first paper; the
ILQL authors' release multiplies pi_beta in once more, pi_beta exp(beta (Q - V)), which `policy(decode="paper")` does.
The first paper's Q starts as pi_beta; here Q is ln pi_beta plus new heads, whose 0 is the same start. That release lets
new heads learn all of Q (`prior="learned"`): where rewards are negative, tokens that nobody wrote then begin as the
best, and values grow without end. The second paper's pessimism takes the least of dropout samples, here of two heads. V
is computed, not learned. Huber's bend at 1 makes Q of a token with random outcomes something between their mean and
their median, in the papers too; `huber_delta` moves it. That release's `scale` is .1; .5 here, for -1 a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.algorithm import TokenScores, TrainConfig, spread
from agents.batch import TokenBatch
from agents.critics import Critic, CriticConfig, Reading
from agents.decoding import Decoding, guided, policy_log_probs
from agents.losses import CHUNK, full_precision, td_target
from agents.model import hidden_states, trunk_of


@dataclass(frozen=True)
class PsiConfig(CriticConfig):
    """Of psi-learning."""

    scale: float = 0.5
    """What rewards are divided by: the weight of the divergence from pi_beta."""
    huber_delta: float = 1.0
    """Errors above it count linearly."""
    prior: Literal["added", "learned"] = "added"
    """Q is ln pi_beta plus what the heads say, or the heads learn all of it."""
    beta: float = 8.0
    """Weight of Q - V where `decode="paper"`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale <= 0 or self.huber_delta <= 0:
            raise ValueError(f"scale and huber_delta must be above 0, got {self.scale} and {self.huber_delta}")
        if self.prior not in ("added", "learned"):
            raise ValueError(f"prior must be 'added' or 'learned', got {self.prior!r}")
        if self.trunks == "shared":
            raise ValueError("psi's pi_beta stays as it is, so that its values need trunks='separate', got 'shared'")


@dataclass(frozen=True)
class PsiDecoding(Decoding):
    """Options of psi-learning's policy."""

    decode: Literal["softmax", "paper"] = "softmax"
    """The distribution softmax(Q), or the ILQL authors' ln pi_beta + beta (Q - V), with `beta` and `clip`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.decode not in ("softmax", "paper"):
            raise ValueError(f"decode must be 'softmax' or 'paper', got {self.decode!r}")


def psi_loss(
    *,
    Q: list[Tensor],
    V_next: Tensor,
    log_prior: Tensor,
    reward: Tensor,
    discount: Tensor,
    scale: float,
    huber_delta: float = 1.0,
) -> Tensor:
    """L_Q, on K agent tokens.

    Args:
        Q: (K,) of each head at the logged tokens. V_next: (K,) ln sum_a' exp min_i Q'_i(s', a').
        log_prior: (K,) ln pi_beta(a | s). discount: (K,) gamma, 0 where s' is terminal.
    """
    y = td_target(reward / scale + log_prior, discount, V_next)
    return torch.stack([F.huber_loss(Q_i, y, delta=huber_delta) for Q_i in Q]).sum()


class Psi(Critic):
    """Psi-learning."""

    name = "psi"
    Config: ClassVar[type[TrainConfig]] = PsiConfig
    Options: ClassVar[type[Decoding]] = PsiDecoding
    needs = frozenset({"rewards", "reference"})
    config: PsiConfig
    has_v = False

    def least_q(self, h_target: Tensor, h_prior: Tensor) -> tuple[Tensor, Tensor]:
        """(R, d), (R, d) to (R, vocabulary) min_i Q'_i and ln pi_beta."""
        Q, log_prior = full_precision(self.target_q.least(h_target)), full_precision(self.head(h_prior)).log_softmax(-1)
        return (Q + log_prior if self.config.prior == "added" else Q), log_prior

    @torch.no_grad()
    def prior_and_values(self, x: Reading) -> tuple[Tensor, Tensor]:
        """(K,) ln pi_beta of the logged tokens, and (K + S,) V where one is needed, the K first; in chunks of rows."""
        at, K = x.tokens.states, len(x.tokens.at)
        token = F.pad(x.tokens.token, (0, len(at) - K))
        h_prior = hidden_states(trunk_of(self.lm), x.packing)
        chunks = [s.split(max(CHUNK // len(self.tokenizer), 1)) for s in (x.h_target[at], h_prior[at], token)]
        logp, V = [], []
        for h_target, h_pi, a in zip(*chunks, strict=True):
            Q, log_prior = self.least_q(h_target, h_pi)
            logp.append(log_prior.gather(1, a[:, None]).squeeze(1))
            V.append(Q.logsumexp(-1))
        return torch.cat(logp)[:K], torch.cat(V)

    def loss(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """L_Q."""
        x = self.read(batch)
        log_prior, V = self.prior_and_values(x)
        Q = [full_precision(head.at(x.h_s, x.tokens.token)) for head in self.q]
        if self.config.prior == "added":
            Q = [log_prior + Q_i for Q_i in Q]
        L_Q = psi_loss(
            Q=Q,
            V_next=V[x.tokens.next],
            log_prior=log_prior,
            reward=x.tokens.reward,
            discount=x.tokens.discount,
            scale=self.config.scale,
            huber_delta=self.config.huber_delta,
        )
        return L_Q, {"L_Q": L_Q.detach(), "V": self.config.scale * V.mean()}

    @torch.no_grad()
    def score(self, batch: TokenBatch) -> TokenScores:
        """ln pi_beta; scale (min_i Q'_i - ln pi_beta), scale V and their difference, all in units of reward.

        Without the prior, Q is what the token leads to, as that of other agents; the policy is pi_beta exp(u / scale).
        """
        x, scale = self.read(batch), self.config.scale
        log_prior, V = self.prior_and_values(x)
        Q, V = self.target_q_at(x) - (log_prior if self.config.prior == "learned" else 0), V[: len(log_prior)]
        return TokenScores(*(spread(batch, values) for values in (log_prior, scale * Q, scale * V, scale * (Q - V))))

    def acting_trunks(self, decoding: Decoding) -> list[nn.Module]:
        """pi_beta's trunk and the target's."""
        return [trunk_of(self.lm), self.target_trunk]

    def next_logits(self, hidden: list[Tensor], decoding: Decoding) -> Tensor:
        """Q, after temperature, top-k and top-p; with `decode="paper"`, ln pi_beta + min(beta (Q - V), clip)."""
        Q, _ = self.least_q(hidden[1], hidden[0])
        if isinstance(decoding, PsiDecoding) and decoding.decode == "paper":
            return guided(policy_log_probs(self.head(hidden[0]), decoding), Q, Q.logsumexp(-1), decoding)
        return policy_log_probs(Q, decoding)

    def cost(self) -> dict[str, float]:
        """Value and target trunk, and pi_beta's, whose log-probabilities are in the loss."""
        return super().cost() | {"forward_passes": 3}


if __name__ == "__main__":
    from agents.command import main

    main(Psi)
