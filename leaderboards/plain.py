"""The plain ways of doing things, against which speed is measured and fast paths are tested.

Padded rows, every head at every position, logits in one tensor, the whole history read again at each turn: what one
gets from transformers with a few lines of one's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.algorithm import Algorithm
from agents.batch import TokenBatch
from agents.ilql import ILQL, ilql_loss
from agents.losses import full_precision
from agents.model import SHAPES, trunk_of
from agents.tokenizers import TurnTokenizer
from lmrl_envs.core import Turn

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel


def plain_lm(shape: str, vocabulary: int) -> GPT2LMHeadModel:
    """transformers' own GPT-2 with its defaults, dropout aside, which would slow it down further."""
    from transformers import GPT2Config, GPT2LMHeadModel  # noqa: PLC0415 - takes seconds to import

    sizes: dict[str, Any] = {**SHAPES[shape], "vocab_size": vocabulary, "bos_token_id": 0, "eos_token_id": 2}
    return GPT2LMHeadModel(GPT2Config(**sizes, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))


def plain_lm_loss(lm: GPT2LMHeadModel, batch: TokenBatch) -> Tensor:
    """Cross-entropy of agent tokens on padded rows, by the model's own `labels`."""
    labels = batch.input_ids.clone()
    labels[:, 1:][~batch.action_mask] = -100
    labels[:, 0] = -100
    return lm(input_ids=batch.input_ids, attention_mask=batch.attention_mask.long(), labels=labels).loss


def causal_mask(batch: TokenBatch) -> Tensor:
    """(B, 1, T + 1, T + 1) bool: a token sees the real ones up to itself, and itself."""
    length = batch.input_ids.shape[1]
    seen = batch.attention_mask[:, None, :].expand(-1, length, -1).tril()
    return (seen | torch.eye(length, dtype=torch.bool, device=seen.device))[:, None]


def plain_ilql_loss(agent: ILQL, batch: TokenBatch, *, everywhere: bool = True) -> Tensor:
    """ILQL's loss by all heads and the whole target Q over every position, each with its logits in one tensor.

    Args:
        everywhere: False computes the heads at agent tokens only, still with the target's whole vocabulary.
    """
    c = agent.config

    positions = batch.attention_mask.cumsum(1).sub(1).clamp(min=0)

    def states(trunk: nn.Module) -> Tensor:
        read = {"input_ids": batch.input_ids, "attention_mask": causal_mask(batch), "position_ids": positions}
        return trunk(**read, use_cache=False).last_hidden_state

    shared = c.trunks == "shared"
    h_pi = states(trunk_of(agent.lm)) if shared or not c.pi_beta else None
    h = h_pi if h_pi is not None and shared else states(agent.value_trunk)
    with torch.no_grad():
        h_target = h.detach() if shared else states(agent.target_trunk)
    mask, token = batch.action_mask, batch.input_ids[:, 1:]

    def logits(head: nn.Module, states: Tensor) -> Tensor:
        """(K, vocabulary)"""
        if everywhere:
            return full_precision(head(states))[:, :-1][mask]
        return full_precision(head(states[:, :-1][mask]))

    def logged(values: Tensor) -> Tensor:
        return values.gather(1, token[mask][:, None]).squeeze(1)

    V = full_precision(agent.v(h).squeeze(-1))
    Q = [logits(head, h) for head in agent.q]
    with torch.no_grad():
        target = torch.stack([logits(head, h_target) for head in agent.target_q]).amin(0)
    same_turn = F.pad(mask[:, 1:], (0, 1)) & (F.pad(batch.turn[:, 1:], (0, 1)) == batch.turn)
    discount = c.gamma * torch.where(same_turn, 1.0, c.gamma_turn) * (batch.next_state >= 0)
    terms = ilql_loss(
        Q=[logged(Q_i) for Q_i in Q],
        logsumexp_Q=[Q_i.logsumexp(-1).mean() for Q_i in Q],
        target_Q=logged(target),
        V=V[:, :-1][mask],
        V_next=V.gather(1, batch.next_state.clamp(min=0))[mask],
        reward=batch.rewards[mask],
        discount=discount[mask],
        tau=c.tau,
    )
    loss = terms.L_V + terms.L_Q + c.cql_weight * terms.L_CQL
    if h_pi is not None:
        loss = loss + F.cross_entropy(logits(agent.head, h_pi), token[mask])
    return loss


class PlainGenerate:
    """A policy by transformers' `generate`: left padding, and the whole history read again at each turn."""

    name = "generate"

    def __init__(self, lm: GPT2LMHeadModel, tokenizer: TurnTokenizer, max_tokens: int) -> None:
        self.lm, self.tokenizer, self.max_tokens = lm.eval(), tokenizer, max_tokens

    def act(self, histories: Sequence[Sequence[Turn]]) -> list[str]:
        """One greedy turn for each history."""
        prompts = [self.tokenizer.encode_history(history) for history in histories]
        width = max(map(len, prompts))
        ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        written = self.lm.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=self.max_tokens,
            do_sample=False,
            pad_token_id=0,
            eos_token_id=self.tokenizer.eot_agent,
        )[:, width:].tolist()
        stop = self.tokenizer.eot_agent
        return [self.tokenizer.decode(row[: row.index(stop)] if stop in row else row) for row in written]


def parameters_of(algorithm: Algorithm) -> list[nn.Parameter]:
    """What an optimiser moves."""
    return [p for group in algorithm.parameter_groups() for p in group["params"]]
