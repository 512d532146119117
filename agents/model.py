"""The language model, run without padding, and the value heads on top of it.

A *trunk* is a Hugging Face causal LM without its head: tokens in, hidden states of width d out. Any causal LM whose
attention is plain causal attention will do, from a shape, a path or a hub id.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn

from agents.batch import Packing
from agents.losses import CHUNK, full_precision, linear_at, weighted_logsumexp
from agents.shapes import SHAPES
from agents.tokenizers import TurnTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

M = TypeVar("M", bound=nn.Module)

ATTENTION = "lmrl_packed"


def causal_lm(model: str | Mapping[str, Any], tokenizer: TurnTokenizer, *, seed: int = 0) -> PreTrainedModel:
    """A Hugging Face causal LM for a tokenizer's vocabulary.

    Args:
        model: a name in `SHAPES`, a mapping with the fields of a transformers config (`model_type` is "gpt2" where not
            said), or the path or hub id of a pretrained model.
        seed: of the initial weights.

    Raises:
        ValueError: the model's attention is not plain causal attention over the whole context.
    """
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415 - takes seconds to import
    from transformers.modeling_utils import AttentionInterface  # noqa: PLC0415

    AttentionInterface.register(ATTENTION, packed_attention)
    shape: Mapping[str, Any] | None = SHAPES.get(model) if isinstance(model, str) else model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if shape is None:
            lm = AutoModelForCausalLM.from_pretrained(str(model), attn_implementation=ATTENTION)
            if lm.config.vocab_size < len(tokenizer):
                lm.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        else:
            defaults = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}  # harmless to models that have none
            shape = {"model_type": "gpt2", **defaults, **shape, "vocab_size": len(tokenizer)}
            shape |= {"bos_token_id": tokenizer.bos, "eos_token_id": tokenizer.eot_agent, "pad_token_id": None}
            config = AutoConfig.for_model(**shape)
            lm = AutoModelForCausalLM.from_config(config, attn_implementation=ATTENTION)
    if getattr(lm.config, "sliding_window", None) and getattr(lm.config, "use_sliding_window", True):
        raise ValueError(f"{model}: sliding-window attention is not supported; take a model with full causal attention")
    _fuse_gelu(lm)
    return lm


def trunk_of(lm: PreTrainedModel) -> nn.Module:
    """The model below the language-model head."""
    return lm.base_model


def context_length(lm: PreTrainedModel) -> int:
    """The most tokens that the model reads."""
    return int(lm.config.max_position_embeddings)


def frozen_copy(module: M) -> M:
    """A copy that no optimiser moves: a target network."""
    return copy.deepcopy(module).requires_grad_(False).eval()


def hidden_states(trunk: nn.Module, packing: Packing) -> Tensor:
    """(N, d), the last hidden state at each real token of a batch."""
    rows: dict[str, Any] = {"row_lengths": packing.lengths}
    if packing.ids.is_cuda and torch.is_autocast_enabled("cuda"):  # flash kernels take half precision alone
        rows = {"row_ends": packing.ends, "longest": max(packing.lengths)}
    elif packing.grid is not None:
        ids, positions, cells = packing.grid
        out = trunk(input_ids=ids, position_ids=positions, use_cache=False, return_dict=True)
        return out.last_hidden_state.flatten(0, 1).index_select(0, cells)
    out = trunk(input_ids=packing.ids, position_ids=packing.positions, use_cache=False, return_dict=True, **rows)
    return out.last_hidden_state[0]


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    row_lengths: tuple[int, ...] | None = None,
    row_ends: Tensor | None = None,
    longest: int = 0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each row of a packed batch.

    With `row_lengths`, one SDPA call for each run of rows of equal length; with `row_ends`, one flash-attention call
    for all rows, on a card in half precision.

    Args:
        query, key, value: (1, heads, N, head width), rows side by side. With neither, any shape that transformers' own
            SDPA function takes, with a mask.

    Returns:
        (1, N, heads, head width), None.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward  # noqa: PLC0415 - see causal_lm

    if row_ends is not None:
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # (N, heads, head width)
        grouped, causal = q.shape[1] != k.shape[1], (-1, 0)
        scale = kwargs.get("scaling")
        more: dict[str, Any] = {"enable_gqa": True} if grouped else {}  # torch 2.11 has no such argument
        out = varlen_attn(q, k, v, row_ends, row_ends, longest, longest, scale=scale, window_size=causal, **more)
        return cast("Tensor", out)[None], None
    if row_lengths is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    runs = [(length, sum(1 for _ in run)) for length, run in itertools.groupby(row_lengths)]
    # split, not slices: the gradient of each slice would be a tensor as large as the whole batch
    sizes, outputs = [length * rows for length, rows in runs], []
    for (length, rows), *part in zip(runs, *(x[0].split(sizes, dim=1) for x in (query, key, value)), strict=True):
        q, k, v = (x.unflatten(1, (rows, length)).transpose(0, 1) for x in part)  # (rows, heads, length, head width)
        out, _ = sdpa_attention_forward(module, q, k, v, None, **kwargs)
        outputs.append(out.flatten(0, 1))
    return torch.cat(outputs)[None], None


def _fuse_gelu(lm: PreTrainedModel) -> None:
    """GPT-2 spells its GELU out in eight elementwise operations; the same function exists as one."""
    for module in lm.modules():
        for name, child in module.named_children():
            if type(child).__name__ == "NewGELUActivation":
                setattr(module, name, nn.GELU(approximate="tanh"))


class ValueHead(nn.Module):
    """Linear, ReLU, Linear on a trunk's hidden states: V with one output, Q with one for each token."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, 2 * width)
        self.out = nn.Linear(2 * width, outputs)

    def forward(self, h: Tensor) -> Tensor:
        """(K, d) to (K, outputs)."""
        return self.out(torch.relu(self.hidden(h)))

    def at(self, h: Tensor, token: Tensor) -> Tensor:
        """(K, d), (K,) to (K,): `forward(h)[arange(K), token]`, computing no other output."""
        return linear_at(torch.relu(self.hidden(h)), self.out, token)

    def at_and_logsumexp(self, h: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
        """(K, d), (K,) to (K,) and (): the outputs at `token`, and mean_k ln sum exp of all outputs."""
        x, K = torch.relu(self.hidden(h)), len(h)
        if K * self.out.out_features <= CHUNK:
            y = full_precision(self.out(x))
            return y.gather(1, token[:, None]).squeeze(1), y.logsumexp(-1).mean()
        return linear_at(x, self.out, token), weighted_logsumexp(x, self.out, x.new_full((K,), 1 / K))


class ValueHeads(nn.ModuleList):
    """Q heads on the same states."""

    def __init__(self, width: int, outputs: int, *, heads: int) -> None:
        super().__init__(ValueHead(width, outputs) for _ in range(heads))

    def __iter__(self) -> Iterator[ValueHead]:
        return cast("Iterator[ValueHead]", super().__iter__())

    def least(self, h: Tensor) -> Tensor:
        """(K, d) to (K, outputs): the least of the heads' values."""
        return torch.stack([head(h) for head in self]).amin(0)

    def least_over(self, h: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
        """(K, d) to (K,): `reduce` of the least of the heads' values, (rows, outputs) to (rows,), in chunks of rows."""
        rows = max(CHUNK // next(iter(self)).out.out_features, 1)
        return torch.cat([reduce(full_precision(self.least(part))) for part in h.split(rows)])

    def least_at(self, h: Tensor, token: Tensor) -> Tensor:
        """(K, d), (K,) to (K,): the same at one token, computing no other."""
        return torch.stack([head.at(h, token) for head in self]).amin(0)
