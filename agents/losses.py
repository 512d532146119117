"""The two loss cores that every agent is made of, on the K agent tokens of a batch.

(a) *Weighted likelihood*: minus the sum of w ln pi(token), w detached. `token_mean` divides by the K agent tokens (bc);
    `trajectory_mean` sums over each trajectory's agent tokens and divides by the number of trajectories (every agent
    that weights whole trajectories).
(b) *Temporal difference* on Q and V. All terms are means over the K agent tokens. `discount` is gamma, times gamma_turn
    at the last token of a turn, and 0 where s' is terminal; s' of a row cut from outside is its last state.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def token_log_probs(logits: Tensor, token: Tensor) -> Tensor:
    """(K, vocabulary), (K,) to (K,): ln pi(token), in float32."""
    return -F.cross_entropy(logits.float(), token, reduction="none")


def token_mean(logp: Tensor, w: Tensor | float = 1.0) -> Tensor:
    """Core (a) over agent tokens: - mean_k w_k ln pi_k."""
    return -(w * logp).mean()


def trajectory_mean(logp: Tensor, w: Tensor | float, trajectories: int) -> Tensor:
    """Core (a) over trajectories: - (1 / B) sum_k w_k ln pi_k."""
    return -(w * logp).sum() / trajectories


def td_target(reward: Tensor, discount: Tensor, next_value: Tensor) -> Tensor:
    """Core (b): r + gamma V(s'), detached; past a terminal end the discount is 0."""
    return (reward + discount * next_value).detach()


def squared_error(Q: Tensor, target: Tensor) -> Tensor:
    """Core (b): mean (target - Q)^2."""
    return (target - Q).square().mean()


def expectile(u: Tensor, tau: float) -> Tensor:
    """Core (b): mean |tau - 1[u < 0]| u^2, which pulls V towards the tau-expectile of Q (u = Q - V)."""
    return (torch.where(u < 0, 1 - tau, tau) * u.square()).mean()


def conservatism(Q: Tensor, token: Tensor) -> Tensor:
    """L_CQL: mean of ln sum_a exp Q(s, a) - Q(s, token), the cross-entropy of (K, vocabulary) Q and (K,) tokens."""
    return F.cross_entropy(Q.float(), token)
