"""How agents choose tokens: the language model's log-probabilities, and the guidance of values on top.

    logits = ln pi_beta (after temperature, top-k, top-p) + min(beta (min_i targetQ_i - V), clip)

as in Snell et al., arXiv 2206.11871, section 4. V is the same for every token, so it only matters with a clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Decoding:
    """Options of a policy. `temperature=0` takes the most likely token; 1 samples from the distribution as it is."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    beta: float = 0.0
    """Weight of the advantage."""
    clip: float | None = None
    """The most that `beta * advantage` adds to a token."""
    max_tokens: int | None = None
    """The most tokens in a turn, end-of-turn included; None: as many as the longest turn in the training data."""

    def __post_init__(self) -> None:
        checks = {
            "temperature": self.temperature >= 0,
            "top_k": self.top_k is None or self.top_k >= 1,
            "top_p": self.top_p is None or 0 < self.top_p <= 1,
            "beta": self.beta >= 0,
            "max_tokens": self.max_tokens is None or self.max_tokens >= 1,
        }
        for name, good in checks.items():
            if not good:
                raise ValueError(f"decoding option {name}={getattr(self, name)!r} is out of range")

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is taken."""
        return self.temperature == 0


def policy_log_probs(logits: Tensor, decoding: Decoding) -> Tensor:
    """(R, vocabulary) logits of pi_beta to its log-probabilities after temperature, top-k and top-p; -inf where cut."""
    logits = logits.float()
    if not decoding.greedy and decoding.temperature != 1:
        logits = logits / decoding.temperature
    if decoding.top_k is not None and decoding.top_k < logits.shape[-1]:
        least = logits.topk(decoding.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if decoding.top_p is not None and decoding.top_p < 1:
        ordered, order = logits.softmax(-1).sort(descending=True)
        before = ordered.cumsum(-1) - ordered  # the smallest set whose mass reaches top_p stays
        cut = torch.zeros_like(before, dtype=torch.bool).scatter(-1, order, before >= decoding.top_p)
        logits = logits.masked_fill(cut, -torch.inf)
    return logits.log_softmax(-1)


def guided(log_probs: Tensor, Q: Tensor, V: Tensor | None, decoding: Decoding) -> Tensor:
    """Adds min(beta (Q - V), clip) to (R, vocabulary) log-probabilities; V (R,) may be None where no clip is set."""
    bonus = decoding.beta * (Q.float() if V is None else Q.float() - V.float()[:, None])
    return log_probs + (bonus if decoding.clip is None else bonus.clamp(max=decoding.clip))
