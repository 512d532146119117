"""DT, Decision Transformer: cloning that is told how well the episode ended, and then asked to play as well as that.

Chen et al., "Decision Transformer: Reinforcement Learning via Sequence Modeling", arXiv 2106.01345. With R the
undiscounted return of the logged episode, and s the history before an agent token a:

    L(theta) = - mean over agent tokens of ln pi_theta(a | R, s)

At acting time R is a target: a quantile of the data's returns. That is best chosen by playing validation episodes
(`quantile_scores`), and the highest return is often a bad target: one that luck decides, or that is out of reach after
the first turn, leaves the model outside its data.

What differs from the paper: R is the return of the whole episode, said once, in front, as in the DT of Snell et al.
(arXiv 2206.11871); the paper's return-to-go before each action is `to_go=True`, one number a turn and not one a token.
It is said in words, as a turn of the environment ("-3.5"), so that any tokenizer knows it and pretrained models know
what it means, where both papers embed the number by a layer of its own. There are no embeddings of time steps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from agents.algorithm import Prepared, TrainConfig
from agents.batch import TokenBatch, TokenRow
from agents.decoding import Decoding
from agents.likelihood import Likelihood, LikelihoodConfig
from agents.losses import token_mean
from agents.tokenizers import TurnTokenizer, context_of, encode_episode, newest
from lmrl_envs.core import Episode, Turn
from lmrl_envs.datasets import TextDataset
from lmrl_envs.evaluate import evaluate

QUANTILES = (0.5, 0.8, 0.9, 0.95, 1.0)
"""Targets to choose among."""


@dataclass(frozen=True)
class DTConfig(LikelihoodConfig):
    """Of DT."""

    quantile: float = 0.9
    """Of the data's returns, the target when acting, unless `policy(quantile=...)` says otherwise."""
    to_go: bool = False
    """Say what is left of the return before each agent turn, instead of all of it once."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_quantile(self.quantile)


@dataclass(frozen=True)
class DTDecoding(Decoding):
    """Options of DT's policy: a target return as it is, or the `quantile` of the data's returns that it is."""

    quantile: float | None = None
    target_return: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isfinite(self.target_return):
            raise ValueError(f"target_return must be a finite number, got {self.target_return}")


class DT(Likelihood):
    """Decision Transformer. Keeps its data's returns at 0, 1, ... 100 % as `returns`, with its weights."""

    name = "dt"
    Config: ClassVar[type[TrainConfig]] = DTConfig
    Options: ClassVar[type[Decoding]] = DTDecoding
    needs = frozenset({"rewards"})
    config: DTConfig
    per_episode = False
    returns: Tensor

    def __init__(self, config: TrainConfig, tokenizer: TurnTokenizer, *, seed: int | None = 0) -> None:
        super().__init__(config, tokenizer, seed=seed)
        self.register_buffer("returns", torch.zeros(101))

    def prepare(
        self, data: TextDataset, *, env_id: str | None = None, env_kwargs: Mapping[str, Any] | None = None
    ) -> Prepared:
        """Notes the returns that can be asked for: at each per cent, one that an episode has."""
        quantiles = np.quantile(data.returns, np.linspace(0, 1, 101), method="inverted_cdf")
        self.returns.copy_(torch.from_numpy(quantiles))
        return super().prepare(data, env_id=env_id, env_kwargs=env_kwargs)

    def conditioned(self, turns: Sequence[Turn], R: float, *, acting: bool) -> list[Turn]:
        """The turns with R said in front; with `to_go`, before each agent turn, and before the one to come if `acting`.

        What an agent turn earned is taken off what is left.
        """
        if not self.config.to_go:
            return [_said(R), *turns]
        told: list[Turn] = []
        for turn in turns:
            told += [_said(R), turn] if turn.role == "agent" else [turn]
            R -= turn.reward
        return [*told, _said(R)] if acting else told

    def encode(self, episode: Episode) -> TokenRow:
        """An episode as tokens, its own return said in it."""
        turns = tuple(self.conditioned(episode.turns, episode.total_return, acting=False))
        row = encode_episode(dataclasses.replace(episode, turns=turns), self.tokenizer)
        return row._replace(context=context_of(episode))

    def loss(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """- mean ln pi over the batch's agent tokens, in nats."""
        tokens, h = self.states(batch)
        return token_mean(h, self.head, tokens.token, self.weights(batch)), {}

    def prompt(self, turns: Sequence[Turn], decoding: Decoding, room: int) -> list[int]:
        """What the policy reads: the target return, and the newest tokens of the history."""
        R = decoding.target_return if isinstance(decoding, DTDecoding) else self.return_at(self.config.quantile)
        ids = self.tokenizer.encode_history(self.conditioned(turns, R, acting=True))
        kept = 1 if self.config.to_go else 1 + len(self.tokenizer.encode_turn(_said(R)))
        return newest(ids, room, kept=kept)

    def return_at(self, quantile: float) -> float:
        """The data's return at a quantile, to the nearest per cent."""
        return self.returns[round(100 * _check_quantile(quantile))].item()

    def policy(self, *, keep_cache: bool = True, **decoding: Any) -> Any:
        """Plays for `target_return`, or for the data's return at `quantile`; for that of the configuration by default.

        Raises:
            ValueError: both are given, or the quantile is not from 0 to 1.
        """
        if "target_return" not in decoding:
            quantile = decoding.get("quantile", self.config.quantile)
            decoding |= {"quantile": quantile, "target_return": self.return_at(quantile)}
        elif decoding.get("quantile") is not None:
            raise ValueError("give policy() a target_return or a quantile, not both")
        return super().policy(keep_cache=keep_cache, **decoding)


def quantile_scores(
    agent: DT, env_id: str, *, episodes: int, seed: int, env_kwargs: Mapping[str, Any] | None = None, **decoding: Any
) -> dict[float, float | None]:
    """Mean return of playing for each of `QUANTILES`; the best is the one to take. This is tuning by playing.

    Args:
        seed: of the episodes; another one than that of the evaluation.
    """
    return {
        quantile: evaluate(
            agent.policy(quantile=quantile, **decoding),
            env_id,
            episodes=episodes,
            seed=seed,
            env_kwargs=env_kwargs,
            progress=False,
        ).mean
        for quantile in QUANTILES
    }


def _said(R: float) -> Turn:
    return Turn("env", f"{R + 0.0:.3g}")  # never "-0"


def _check_quantile(quantile: float) -> float:
    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile must be from 0 to 1, got {quantile}")
    return quantile


if __name__ == "__main__":
    from agents.command import main

    main(DT)
