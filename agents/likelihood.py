"""Likelihood, what agents share whose loss is a weighted likelihood: their weights, and options that all of them have.

Such an agent says what an agent turn weighs (`turn_weights`), and no more where its loss is

    L(theta) = - (1 / B) sum over episodes, sum over agent tokens of  w_turn ln pi_theta(a | s)

LoL-RL (Baheti et al., arXiv 2305.14718) gives its own agents three tricks that its baselines lack: bounded weights, a
filter for positive advantages, and sampling by them. Here each is an option of every agent, cloning included.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from torch import Tensor

from agents import checkpoints
from agents.algorithm import Algorithm, Prepared, TrainConfig
from agents.batch import TokenBatch, TokenStore
from agents.data import encode_dataset
from agents.losses import trajectory_mean
from agents.reference import Reference
from agents.returns import ReturnRegression, cross_fitted, returns_to_go
from agents.tokenizers import TurnTokenizer
from lmrl_envs.datasets import TextDataset
from lmrl_envs.errors import unknown_name


@dataclass(frozen=True)
class LikelihoodConfig(TrainConfig):
    """Of every agent with a weighted likelihood."""

    pi_ref: str | None = None
    """Folder of a trained BC agent: the policy starts from it, and ratios and V are read off it."""
    positive: bool = False
    """Learn only from turns with R > V: their own return-to-go exceeds what was to be expected."""
    priority: bool | Literal["paper"] = False
    """Draw episodes in proportion to [R - V]+, summed over their turns. An agent whose weight is [R - V]+ then drops
    that factor, so that its expected loss stays the same; with "paper" it stays, which squares it."""
    max_weight: float | None = None
    """The most that a turn weighs, in either direction."""
    value: Literal["logged", "rollouts"] = "logged"
    """V is fitted to logged returns, cross-fitted; or to those of episodes that pi_ref plays, which needs the
    environment and is not offline any more."""
    rollouts: int = 2_000
    """Episodes that pi_ref plays for V."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.priority not in (False, True, "paper"):
            raise ValueError(f"priority must be False, True or 'paper', got {self.priority!r}")
        if self.value not in ("logged", "rollouts"):
            raise unknown_name("value", self.value, ("logged", "rollouts"))
        if self.max_weight is not None and self.max_weight <= 0:
            raise ValueError(f"max_weight must be above 0, got {self.max_weight}")
        if self.rollouts < 1:
            raise ValueError(f"rollouts must be at least 1, got {self.rollouts}")


class Turns(NamedTuple):
    """The T agent turns of a dataset, in order."""

    row: np.ndarray
    """(T,) int64, each turn's episode"""
    R: np.ndarray
    """(T,) float64, undiscounted return from the turn's start"""
    V: np.ndarray | None
    """(T,) float64, V of the history where the turn begins; None where nothing needs it"""

    @property
    def positive_advantage(self) -> np.ndarray:
        """(T,) [R - V]+"""
        if self.V is None:
            raise ValueError("V was not fitted; set `uses_values` on the agent's class")
        return np.maximum(self.R - self.V, 0.0)


class Likelihood(Algorithm):
    """An agent whose loss is a weighted likelihood.

    A subclass gives `turn_weights`, and `loss` where its weights depend on pi or its mean is another one.
    """

    Config: ClassVar[type[TrainConfig]] = LikelihoodConfig
    config: LikelihoodConfig
    per_episode: ClassVar[bool] = True
    """Whether `loss` is a mean over episodes, of sums over their agent tokens; else it is one over agent tokens."""
    uses_values: ClassVar[bool] = False
    """Whether `turn_weights` reads V. It is then fitted on the states of pi_ref."""
    uses_ratios: ClassVar[bool] = False
    """Whether `loss` reads the column `ref_logp`, ln pi_ref of each agent token."""

    def __init__(self, config: TrainConfig, tokenizer: TurnTokenizer, *, seed: int | None = 0) -> None:
        if not isinstance(config, LikelihoodConfig):  # plain settings are those of an agent without options
            config = self.Config(**{field.name: getattr(config, field.name) for field in dataclasses.fields(config)})
        super().__init__(config, tokenizer, seed=seed)
        if self.config.pi_ref and seed is not None:
            checkpoints.start_from(self, Path(self.config.pi_ref))
        if self.reads_values:
            self.needs = self.needs | {"rewards", "reference"}
        self.kept_bytes = 0

    @property
    def reads_values(self) -> bool:
        """Whether V must be fitted."""
        return self.uses_values or self.config.positive or bool(self.config.priority)

    def turn_weights(self, turns: Turns, data: TextDataset) -> np.ndarray:
        """(T,) what each agent turn weighs, before the options."""
        return np.ones(len(turns.R))

    def prepare(
        self, data: TextDataset, *, env_id: str | None = None, env_kwargs: Mapping[str, Any] | None = None
    ) -> Prepared:
        """Adds the columns `weight` and, for agents with ratios, `ref_logp`."""
        weighs = type(self).turn_weights is not Likelihood.turn_weights or self.config.max_weight is not None
        if not (weighs or self.reads_values or self.uses_ratios):
            return Prepared(data)
        store = encode_dataset(self, data)
        if not (self.reads_values or self.uses_ratios):
            return self.annotate(data, store)
        reference = Reference(Path(str(self.config.pi_ref)), self)
        reading = reference.read(data)
        if len(reading.logp) != np.count_nonzero(store.agent):
            raise ValueError("agent and pi_ref read episodes that are cut at different places; take a longer context")
        V = self._values(reference, reading.states, store, env_id, env_kwargs) if self.reads_values else None
        return self.annotate(data, store, V=V, ref_logp=reading.logp)

    def annotate(
        self, data: TextDataset, store: TokenStore, *, V: np.ndarray | None = None, ref_logp: np.ndarray | None = None
    ) -> Prepared:
        """The data with a weight for each agent token, from what pi_ref says of them.

        Args:
            V: (T,), of each agent turn. ref_logp: (agent tokens,), ln pi_ref.
        """
        turns = Turns(store.row_of_tokens()[store.turn_starts()], returns_to_go(store), V)
        w, sampling = self._with_options(turns, self.turn_weights(turns, data))
        columns = {"weight": np.where(store.agent, w[store.turn_of_tokens()], 0.0).astype(np.float32)}
        if self.uses_ratios:
            columns["ref_logp"] = np.zeros(len(store.ids), np.float32)
            columns["ref_logp"][store.agent] = ref_logp
        self.kept_bytes = sum(column.nbytes for column in columns.values())
        return Prepared(data, columns, sampling)

    def _values(
        self,
        reference: Reference,
        states: np.ndarray,
        store: TokenStore,
        env_id: str | None,
        env_kwargs: Mapping[str, Any] | None,
    ) -> np.ndarray:
        seed, starts = self.config.seed, store.turn_starts()
        if self.config.value == "logged":
            return cross_fitted(states, returns_to_go(store), store.row_of_tokens()[starts], seed=seed)
        if env_id is None:
            raise ValueError(
                "with value='rollouts' pi_ref plays in the environment of the data, and no environment produced these; "
                "take value='logged'"
            )
        played, seen = reference.play(env_id, env_kwargs, episodes=self.config.rollouts, seed=seed)
        model = ReturnRegression(seen.states, seed=seed)
        return model.predict(states, model.solve(*model.sums(seen.states, returns_to_go(played))))

    def _with_options(self, turns: Turns, w: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """(T,) weights after the options, and (episodes,) sampling weights or None."""
        c = self.config
        if c.positive:
            w = np.where(turns.positive_advantage > 0, w, 0.0)
        if c.max_weight is not None:
            w = np.clip(w, -c.max_weight, c.max_weight)
        if not c.priority:
            return w, None
        drawn = np.bincount(turns.row, weights=turns.positive_advantage)
        if not drawn.any():
            raise ValueError("no turn has R > V, so that priority=True has nothing to draw; leave it out")
        if self.uses_values and c.priority is True:
            w = w * (drawn.mean() / np.maximum(drawn, 1e-12))[turns.row]
        return w, drawn

    def weights(self, batch: TokenBatch) -> Tensor | None:
        """(K,) the weight of each agent token's turn; None where all weigh 1."""
        column = batch.columns.get("weight")
        return None if column is None else column[batch.action_mask]

    def loss(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """- (1 / B) sum_k w_k ln pi(a_k | s_k)."""
        tokens, h = self.states(batch)
        w = self.weights(batch)
        if w is None:
            w = h.new_ones(len(h))
        return trajectory_mean(h, self.head, tokens.token, w, len(batch.returns)), {"weight": w.mean()}

    def loss_weight(self, batch: TokenBatch) -> float:
        """What `loss` averages over: episodes, or agent tokens."""
        return float(len(batch.returns)) if self.per_episode else super().loss_weight(batch)

    def cost(self) -> dict[str, float]:
        """One trunk pass a step; log-probabilities and weights that are kept beside the data."""
        return super().cost() | {"extra_bytes": super().cost()["extra_bytes"] + self.kept_bytes}
