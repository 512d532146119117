"""Algorithm, the base of every agent, and TrainConfig, the settings that all share."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from agents.batch import AgentTokens, TokenBatch, TokenRow, agent_tokens, pack
from agents.decoding import Decoding, policy_log_probs
from agents.losses import log_probs_at, token_log_probs
from agents.model import causal_lm, context_length, hidden_states, trunk_of
from agents.optimizers import OptimizerName
from agents.policy import LMPolicy
from agents.tokenizers import TurnTokenizer, context_of, encode_episode, newest
from lmrl_envs.core import Episode, Policy, Turn
from lmrl_envs.datasets import TextDataset

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class TrainConfig:
    """What every agent has; each adds its own fields."""

    model: str | Mapping[str, Any] = "small"
    """A shape in `agents.model.SHAPES`, the fields of a transformers config, or the path or hub id of a causal LM."""
    lr: float = 3e-4
    optimizer: OptimizerName = "adamw"
    """`"muon"` for the trunks' matrices, AdamW for the rest: fewer tokens to the same loss, on batches of some size."""
    steps: int = 10_000
    tokens_per_batch: int = 4_096
    """Real tokens in a step, at most."""
    warmup: int = 100
    """Steps over which the learning rate rises; it then falls as a cosine to a tenth."""
    weight_decay: float = 0.0
    clip: float = 1.0
    """The largest norm of a gradient."""
    gamma: float = 1.0
    """Discount per agent token."""
    gamma_turn: float = 0.95
    """Discount once more at the last token of a turn."""
    seed: int = 0
    device: str = "auto"
    dtype: str = "float32"
    """`"bfloat16"` runs the trunks under autocast; losses stay float32."""
    threads: int = 1
    """CPU threads of torch."""
    save_every: int = 1_000
    eval_every: int = 0
    """Steps between two looks at the validation loss; 0 looks once, at the end."""
    accumulate: int = 1
    """Batches that a step's tokens are computed in, one after the other; more need less memory."""
    recompute: bool = False
    """Gradient checkpointing: activations are computed again in the backward pass instead of kept."""
    compile: bool = False
    """`torch.compile` of the trunks; worth its minutes in long runs on a card."""
    truncate: bool = False
    """Cut episodes that are longer than the model's context, instead of refusing them."""

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype must be 'float32' or 'bfloat16', got {self.dtype!r}")
        if self.optimizer not in get_args(OptimizerName):
            raise ValueError(f"optimizer must be one of {', '.join(get_args(OptimizerName))}, got {self.optimizer!r}")
        for name in ("steps", "tokens_per_batch", "accumulate", "threads", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}")


PRESETS: dict[str, dict[str, Any]] = {"paper": {"gamma": 0.99, "gamma_turn": 1.0}}
"""Fields of a configuration by name: `paper` discounts each token, as the ILQL paper did, instead of each turn."""


class Prepared(NamedTuple):
    """What an algorithm makes of its data before the first step."""

    data: TextDataset
    columns: Mapping[str, np.ndarray] | None = None
    """More columns of a batch, (episodes,) or (tokens,)."""
    weights: np.ndarray | None = None
    """(episodes,) sampling weights; None: every episode once an epoch."""


class TokenScores(NamedTuple):
    """What an agent thinks of each logged token: (B, T) float32, NaN where it has no such notion or no agent token."""

    logp: Tensor
    q: Tensor
    v: Tensor
    advantage: Tensor


class Algorithm(nn.Module, ABC):
    """An agent: its networks, its loss, and its policy.

    A likelihood method defines `loss` alone: `self.lm` is the language model, and `log_probs(batch)` runs it.

    Args:
        config: of the class's own `Config`.
        tokenizer: see `agents.tokenizers.tokenizer_for`.
        seed: of the initial weights; None where weights are about to be loaded.
    """

    name: ClassVar[str]
    """Stands in checkpoints and results; the class's own where it gives none."""
    Config: ClassVar[type[TrainConfig]] = TrainConfig
    needs: frozenset[str] = frozenset()
    """Of {"rewards", "groups", "nonnegative_rewards", "reference"}; `train` checks them before the first step."""
    decoding: ClassVar[Mapping[str, Any]] = {}
    """Options of `policy` that differ from `Decoding`'s."""
    stand_ins: Mapping[str, str] = {}
    """Submodules that acting does not need, each with one of its shape that takes its place in small checkpoints."""
    Options: ClassVar[type[Decoding]] = Decoding
    """The options of `policy`; an agent with more of them derives its own."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "name" not in vars(cls):  # a parent's name would bring the parent back from a checkpoint
            cls.name = cls.__name__

    def __init__(self, config: TrainConfig, tokenizer: TurnTokenizer, *, seed: int | None = 0) -> None:
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.turn_tokens = 64  # the longest agent turn in the training data, once there is some
        self.lm: PreTrainedModel = causal_lm(config.model, tokenizer, seed=seed or 0)

    @property
    def context_length(self) -> int:
        """The most tokens that the model reads."""
        return context_length(self.lm)

    def model_config(self) -> dict[str, Any]:
        """The language model's shape, from which it can be built again without its origin."""
        return json.loads(self.lm.config.to_json_string(use_diff=False))

    def encode(self, episode: Episode) -> TokenRow:
        """An episode as tokens."""
        return encode_episode(episode, self.tokenizer)

    def prepare(
        self, data: TextDataset, *, env_id: str | None = None, env_kwargs: Mapping[str, Any] | None = None
    ) -> Prepared:
        """Chooses and annotates the data before the first step."""
        return Prepared(data)

    def groups(self, data: TextDataset) -> np.ndarray:
        """(episodes,) int64, equal for episodes that share a start: here, for those that begin with the same text."""
        return np.fromiter(map(context_of, data), np.int64, len(data))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """For the optimiser: all that require a gradient, as one group."""
        return [{"params": [parameter for parameter in self.parameters() if parameter.requires_grad]}]

    @abstractmethod
    def loss(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and scalars worth a curve. Pure: no optimiser inside, no `.item()`."""

    def loss_weight(self, batch: TokenBatch) -> float:
        """How much of a step's loss a batch is: the number of items that `loss` averages over, here agent tokens."""
        return float(batch.action_mask.sum())

    def after_step(self, step: int) -> None:
        """Called after each optimiser step: Polyak averages."""

    def stop(self, terms: Mapping[str, Tensor]) -> str | None:
        """Called after each step with its terms; a reason ends the run there, as if its last step had been done."""
        return None

    @property
    def head(self) -> nn.Linear:
        """The language model's head, (d) to (vocabulary)."""
        return cast("nn.Linear", self.lm.get_output_embeddings())

    def states(self, batch: TokenBatch) -> tuple[AgentTokens, Tensor]:
        """The batch's agent tokens and the language model's (K, d) states that predict them."""
        packing = pack(batch)
        tokens = agent_tokens(batch, packing, gamma=self.config.gamma, gamma_turn=self.config.gamma_turn)
        return tokens, hidden_states(trunk_of(self.lm), packing).index_select(0, tokens.at)

    def log_probs(self, batch: TokenBatch) -> tuple[AgentTokens, Tensor]:
        """The batch's agent tokens and (K,) ln pi of each, with its gradient.

        A loss that is a weighted sum of these is cheaper as `losses.weighted_likelihood` of `states`.
        """
        tokens, h = self.states(batch)
        return tokens, token_log_probs(self.head(h), tokens.token)

    @torch.no_grad()
    def score(self, batch: TokenBatch) -> TokenScores:
        """What the agent thinks of each logged token; a likelihood method knows log-probabilities alone."""
        tokens, h = self.states(batch)
        logp = log_probs_at(h, self.head, tokens.token)
        return TokenScores(spread(batch, logp), *(spread(batch, None) for _ in range(3)))

    def acting_trunks(self, decoding: Decoding) -> list[nn.Module]:
        """The trunks that must read each token when acting."""
        return [trunk_of(self.lm)]

    def next_logits(self, hidden: list[Tensor], decoding: Decoding) -> Tensor:
        """Each acting trunk's (R, d) last hidden state to the (R, vocabulary) logits of the next token."""
        return policy_log_probs(self.head(hidden[0]), decoding)

    def prompt(self, turns: Sequence[Turn], decoding: Decoding, room: int) -> list[int]:
        """What the policy reads of a history before it writes: the newest tokens, at most `room`."""
        return newest(self.tokenizer.encode_history(turns), room)

    def policy(self, *, keep_cache: bool = True, **decoding: Any) -> Policy:
        """The agent as a policy; `decoding` are fields of its `Options`."""
        return LMPolicy(self, self.Options(**{**self.decoding, **decoding}), keep_cache=keep_cache)

    def cost(self) -> dict[str, float]:
        """Parameters that are trained, all parameters, trunk passes in a step, and bytes that training holds besides
        the trained parameters and their optimiser: frozen networks."""
        counts = {parameter: parameter.numel() for parameter in self.parameters()}
        trained = sum(count for parameter, count in counts.items() if parameter.requires_grad)
        frozen = sum(parameter.nbytes for parameter in counts if not parameter.requires_grad)
        return {
            "trained_parameters": trained,
            "parameters": sum(counts.values()),
            "forward_passes": 1,
            "extra_bytes": frozen,
        }


def spread(batch: TokenBatch, values: Tensor | None) -> Tensor:
    """(K,) values of agent tokens to (B, T), NaN elsewhere; None gives NaN everywhere."""
    out = torch.full(batch.action_mask.shape, torch.nan, device=batch.action_mask.device)
    if values is not None:
        out[batch.action_mask] = values.float()
    return out
