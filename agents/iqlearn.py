"""IQLearn for language models: inverse soft Q-learning, which clones and keeps its own implied rewards small.

Wulfmeier et al., "Imitating Language via Scalable Inverse Reinforcement Learning", arXiv 2409.01369, eq. 14. With the
language model's logits as Q(s, .) and V(s) = ln sum_a exp Q(s, a), so that ln pi(a | s) = Q(s, a) - V(s),

    L(theta) = mean over agent tokens of  - ln pi(a | s) + lambda (Q(s, a) - gamma V(s'))^2

The bracket is the reward that Q implies. V(s') is 0 past a terminated end, read at the last state of a row that was cut
from outside, and elsewhere at the next agent token: what the environment says in between is skipped. Gradients run
through Q and through V(s'); there is no target network. lambda = 0 is cloning.

No reward of the data is used: this is an imitation learner, to be compared with bc (or, on filtered data, with %BC).

What differs from the paper, and why:
- Softmax does not see a constant added to all logits of a position, V does: a pretrained model's offsets would rule the
  first steps. lambda rises linearly over `td_warmup` steps.
- The paper weighs tokens equally, and so do we, although its derivation asks for gamma^t where gamma < 1.
- Between turns the environment is random, so that the square of one sample overstates the square of its mean. The paper
  has single turns.
- No official code exists. The settings are not in the paper's text; lambda = .1 is that of the one public attempt.
- Options that weigh turns apply to the likelihood, not to the second term.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agents.algorithm import TrainConfig
from agents.batch import TokenBatch, agent_tokens, pack
from agents.likelihood import Likelihood, LikelihoodConfig
from agents.losses import full_precision, linear_at, row_logsumexp, token_mean
from agents.model import hidden_states, trunk_of
from agents.tokenizers import TurnTokenizer


@dataclass(frozen=True)
class IQLearnConfig(LikelihoodConfig):
    """Of IQLearn."""

    td_weight: float = 0.1
    """The paper's lambda."""
    td_warmup: int = 500
    """Steps over which lambda rises from 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.td_weight < 0 or self.td_warmup < 0:
            raise ValueError(f"expected 0 or more, got td_weight={self.td_weight} and td_warmup={self.td_warmup}")


def implied_reward(Q: Tensor, V_next: Tensor, discount: Tensor) -> Tensor:
    """(K,) Q(s, a) - gamma V(s'); `discount` is gamma, and 0 where s' is terminal."""
    return Q - discount * V_next


class IQLearn(Likelihood):
    """Inverse soft Q-learning from logged text."""

    name = "iqlearn"
    Config: ClassVar[type[TrainConfig]] = IQLearnConfig
    config: IQLearnConfig
    per_episode = False
    td_now: Tensor

    def __init__(self, config: TrainConfig, tokenizer: TurnTokenizer, *, seed: int | None = 0) -> None:
        super().__init__(config, tokenizer, seed=seed)
        self.register_buffer("td_now", torch.zeros(()))  # a buffer, so that a run that goes on knows it
        self.after_step(-1)

    def after_step(self, step: int) -> None:
        """lambda of the next step."""
        c = self.config
        self.td_now.fill_(c.td_weight * min((step + 1) / max(c.td_warmup, 1), 1.0))

    def loss(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """mean - w ln pi(a | s) + lambda (Q(s, a) - gamma V(s'))^2"""
        c, packing = self.config, pack(batch)
        tokens = agent_tokens(batch, packing, gamma=c.gamma, gamma_turn=c.gamma_turn)
        h = hidden_states(trunk_of(self.lm), packing)
        h_s = h.index_select(0, tokens.at)
        likelihood = token_mean(h_s, self.head, tokens.token, self.weights(batch))
        if c.td_weight == 0:
            return likelihood, {}
        Q = full_precision(linear_at(h_s, self.head, tokens.token))
        V_next = row_logsumexp(h[tokens.states], self.head)[tokens.next]
        r = implied_reward(Q, V_next, tokens.discount)
        L_TD = r.square().mean()
        return likelihood + self.td_now * L_TD, {"L_BC": likelihood, "L_TD": L_TD, "reward": r.mean()}


if __name__ == "__main__":
    from agents.command import main

    main(IQLearn)
