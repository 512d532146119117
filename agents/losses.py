"""The two loss cores that every agent is made of, on the K agent tokens of a batch.

(a) *Weighted likelihood*: minus the sum of w ln pi(token), w detached. `token_mean` divides by the K agent tokens (bc);
    `trajectory_mean` sums over each trajectory's agent tokens and divides by the number of trajectories (every agent
    that weights whole trajectories).
(b) *Temporal difference* on Q and V. All terms are means over the K agent tokens. `discount` is gamma, times gamma_turn
    at the last token of a turn, and 0 where s' is terminal; s' of a row cut from outside is its last state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CHUNK = 2**22
"""The most logits that stand in memory at once."""


def full_precision(x: Tensor) -> Tensor:
    """At least float32, so that losses never run in half precision."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def token_log_probs(logits: Tensor, token: Tensor) -> Tensor:
    """(K, vocabulary), (K,) to (K,): ln pi(token), in float32."""
    return -F.cross_entropy(full_precision(logits), token, reduction="none")


@torch.no_grad()
def log_probs_at(h: Tensor, head: nn.Linear, token: Tensor) -> Tensor:
    """(K, d), (K,) to (K,): ln pi(token), without gradient and in chunks of rows."""
    rows = max(CHUNK // head.out_features, 1)
    parts = zip(h.split(rows), token.split(rows), strict=True)
    return torch.cat([token_log_probs(head(part), chosen) for part, chosen in parts])


def weighted_likelihood(h: Tensor, head: nn.Linear, token: Tensor, w: Tensor) -> Tensor:
    """Core (a): - sum_k w_k ln pi(token_k | h_k).

    Args:
        h: (K, d) states; head: d to the vocabulary; token, w: (K,), w without gradient.
    """
    if len(h) * head.out_features <= CHUNK:
        return -(w * token_log_probs(head(h), token)).sum()
    chosen = full_precision(linear_at(h, head, token))
    return weighted_logsumexp(h, head, w) - (w * chosen).sum()


def reweighted_likelihood(h: Tensor, head: nn.Linear, token: Tensor, weigh: Callable[[Tensor], Tensor]) -> Tensor:
    """Core (a) where w depends on pi: `weigh` makes w of the (K,) ln pi, and no gradient runs through it."""
    if len(h) * head.out_features <= CHUNK:
        logp = token_log_probs(head(h), token)
        return -(weigh(logp.detach()) * logp).sum()
    return weighted_likelihood(h, head, token, weigh(log_probs_at(h, head, token)))


def linear_at(h: Tensor, head: nn.Linear, token: Tensor) -> Tensor:
    """`head(h)[arange(K), token]`, (K,), computing no other output."""
    chosen = torch.linalg.vecdot(h, head.weight[token])
    return chosen if head.bias is None else chosen + head.bias[token]


def weighted_logsumexp(h: Tensor, head: nn.Linear, w: Tensor) -> Tensor:
    """sum_k w_k ln sum_a exp head(h_k)_a; a large (K, vocabulary) of logits never stands in memory whole."""
    if len(h) * head.out_features <= CHUNK:
        return (w * full_precision(head(h)).logsumexp(-1)).sum()
    bias = head.weight.new_zeros(head.out_features) if head.bias is None else head.bias
    return _WeightedLogSumExp.apply(h, head.weight, bias, w.detach())


class _WeightedLogSumExp(torch.autograd.Function):
    """The gradient of each chunk of rows is computed beside its value, so that its logits are needed once."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, W: Tensor, b: Tensor, w: Tensor) -> Tensor:
        total = full_precision(h.new_zeros(()))
        dh, dW, db = torch.empty_like(h), torch.zeros_like(W), torch.zeros_like(b)
        rows = max(CHUNK // len(W), 1)
        for start in range(0, len(h), rows):
            part = slice(start, start + rows)
            logits = full_precision(F.linear(h[part], W, b))
            lse = logits.logsumexp(-1)
            total += (w[part] * lse).sum()
            G = logits.sub_(lse[:, None]).exp_().mul_(w[part, None])  # d total / d logits
            dh[part] = G @ W
            dW += G.T @ h[part]
            db += G.sum(0)
        ctx.save_for_backward(dh, dW, db)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradient * grads[0].to(gradient.dtype) for gradient in ctx.saved_tensors), None


def row_logsumexp(h: Tensor, head: nn.Linear) -> Tensor:
    """(K, d) to (K,): ln sum_a exp head(h)_a with its gradient, in float32; logits are computed again in backward."""
    if len(h) * head.out_features <= CHUNK:
        return full_precision(head(h)).logsumexp(-1)

    def of(part: Tensor) -> Tensor:
        return full_precision(head(part)).logsumexp(-1)

    rows = max(CHUNK // head.out_features, 1)
    return torch.cat([checkpoint(of, part, use_reentrant=False) for part in h.split(rows)])


def token_mean(h: Tensor, head: nn.Linear, token: Tensor, w: Tensor | None = None) -> Tensor:
    """Core (a) over agent tokens: - mean_k w_k ln pi(token_k | h_k); w is 1 where not given."""
    w = torch.ones(len(h), device=h.device) if w is None else w
    return weighted_likelihood(h, head, token, w / len(h))


def trajectory_mean(h: Tensor, head: nn.Linear, token: Tensor, w: Tensor, trajectories: int) -> Tensor:
    """Core (a) over trajectories: - (1 / B) sum_k w_k ln pi(token_k | h_k)."""
    return weighted_likelihood(h, head, token, w / trajectories)


def td_target(reward: Tensor, discount: Tensor, next_value: Tensor) -> Tensor:
    """Core (b): r + gamma V(s'), detached; past a terminal end the discount is 0."""
    return (reward + discount * next_value).detach()


def squared_error(Q: Tensor, target: Tensor) -> Tensor:
    """Core (b): mean (target - Q)^2."""
    return (target - Q).square().mean()


def expectile(u: Tensor, tau: float) -> Tensor:
    """Core (b): mean |tau - 1[u < 0]| u^2, which pulls V towards the tau-expectile of Q (u = Q - V)."""
    return (torch.where(u < 0, 1 - tau, tau) * u.square()).mean()


def conservative(Q: Sequence[Tensor], logsumexp_Q: Sequence[Tensor]) -> Tensor:
    """L_CQL: sum_i mean ( ln sum_a' exp Q_i(s, a') - Q_i(s, a) ), which is Q's cross-entropy with the logged tokens.

    Args:
        Q: (K,) of each head at the logged tokens; logsumexp_Q: () of each head, mean over s of ln sum_a exp Q_i(s, a).
    """
    return torch.stack([lse_i - Q_i.mean() for Q_i, lse_i in zip(Q, logsumexp_Q, strict=True)]).sum()


def discounted_sums(reward: Tensor, discount: Tensor) -> Tensor:
    """(K,), (K,) to (K,): G_k = reward_k + discount_k G_{k+1}; a discount of 0 ends a row.

    Each pass doubles how far every G_k has looked ahead, so that their number is the logarithm of the longest row's.
    """
    G, ahead, step = reward.clone(), discount.clone(), 1
    while step < len(G):
        G[:-step] += ahead[:-step] * G[step:]
        ahead = torch.cat([ahead[:-step] * ahead[step:], ahead.new_zeros(step)])
        step *= 2
    return G
