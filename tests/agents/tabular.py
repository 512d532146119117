"""Real agents whose networks are tables, one row for each history, so that what a loss converges to is exact.

Losses, packing, successors, discounts, target averages and decoding are the agents' own: a trunk gives the one-hot
number of the history, and each head is a matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from agents.algorithm import Algorithm
from agents.batch import collate
from agents.critics import Critic
from agents.model import ValueHead, frozen_copy
from agents.tokenizers import TurnTokenizer
from lmrl_envs.core import Episode, Turn

NANO = {"n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 64}
UNHEARD = 1e-12
"""The chance that a cloned pi_beta gives to tokens that nobody wrote."""


def letters(text: str) -> TurnTokenizer:
    """A tokenizer whose vocabulary is the three special tokens and the letters of `text`."""
    ids = {token: i for i, token in enumerate(["<bos>", "<eot_env>", "<eot_agent>", *text])}
    backend = Tokenizer(models.WordLevel(ids, unk_token="<bos>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    return TurnTokenizer(backend)


def episode(*turns: tuple[str, float] | str, cut: bool = False) -> Episode:
    """Agent turns are pairs of text and reward, the environment's are texts."""
    said = [Turn("env", turn) if isinstance(turn, str) else Turn("agent", *turn) for turn in turns]
    return Episode(None, None, tuple(said), terminated=not cut, truncated=cut, info={})


class HistoryTrunk(nn.Module):
    """Packed tokens (1, N) to (1, N, H): the one-hot number of the row's tokens so far."""

    def __init__(self, numbers: Mapping[tuple[int, ...], int]) -> None:
        super().__init__()
        self.numbers = numbers
        self.unused = nn.Embedding(1, 1)  # target averages expect parameters
        self._known: dict[bytes, Tensor] = {}

    def forward(self, input_ids: Tensor, position_ids: Tensor, **kwargs: Any) -> SimpleNamespace:
        key = input_ids.numpy().tobytes() + position_ids.numpy().tobytes()
        if key not in self._known:
            self._known[key] = torch.eye(len(self.numbers), dtype=torch.float64)[self._found(input_ids, position_ids)]
        return SimpleNamespace(last_hidden_state=self._known[key][None])

    def get_input_embeddings(self) -> nn.Module:
        """Asked by transformers before it tells the head."""
        return self.unused

    def _found(self, input_ids: Tensor, position_ids: Tensor) -> list[int]:
        found, history = [], ()
        for token, position in zip(input_ids[0].tolist(), position_ids[0].tolist(), strict=True):
            history = (token,) if position == 0 else (*history, token)
            found.append(self.numbers[history])
        return found


class Solved:
    """An agent of tables, and the episodes that it is fitted to, all at once."""

    def __init__(self, agent: Algorithm, episodes: Sequence[Episode], *, cloned: bool = False) -> None:
        """`cloned` makes pi_beta the data's own frequencies, and fixes it."""
        self.agent, self.batch = agent, collate([agent.encode(e) for e in episodes])
        rows = [ids[mask].tolist() for ids, mask in zip(self.batch.input_ids, self.batch.attention_mask, strict=True)]
        histories = dict.fromkeys(tuple(row[:n]) for row in rows for n in range(1, len(row) + 1))
        self.numbers = {history: number for number, history in enumerate(histories)}
        trunk = HistoryTrunk(self.numbers)
        agent.lm.transformer = trunk
        agent.lm.lm_head = self._table(len(agent.tokenizer))
        if cloned:
            agent.lm.lm_head.weight.data = self._frequencies().clamp(min=UNHEARD).log().T
            agent.lm.lm_head.requires_grad_(False)
        if isinstance(agent, Critic):
            agent.value_trunk = trunk
            for head in agent.q:
                self._tabulate(head)
            if agent.has_v:
                self._tabulate(agent.v)
            if agent.has_target:
                agent.target_trunk, agent.target_q = trunk, frozen_copy(agent.q)

    def _table(self, outputs: int) -> nn.Linear:
        table = nn.Linear(len(self.numbers), outputs, bias=False, dtype=torch.float64)
        nn.init.zeros_(table.weight)
        return table

    def _tabulate(self, head: ValueHead) -> None:
        head.hidden, head.out = nn.Identity(), self._table(head.out.out_features)

    def _frequencies(self) -> Tensor:
        """(H, vocabulary), how often each token followed each history."""
        counts = torch.zeros(len(self.numbers), len(self.agent.tokenizer), dtype=torch.float64)
        for row, t in self.batch.action_mask.nonzero().tolist():
            ids = self.batch.input_ids[row, : t + 2].tolist()
            counts[self.numbers[tuple(ids[:-1])], ids[-1]] += 1
        return counts / counts.sum(1, keepdim=True).clamp(min=1)

    def fit(self, steps: int = 300, lr: float = 0.2) -> Solved:
        """Adam, with a learning rate that falls to nothing."""
        trained = [p for p in self.agent.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=lr, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for step in range(steps):
            loss, _ = self.agent.loss(self.batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            self.agent.after_step(step)
            schedule.step()
        return self

    def logged(self, name: str) -> dict[str, float]:
        """What the agent's `score` says of each logged token, by the row's text up to and with it.

        `|` stands for the end of an agent's turn, `/` for that of the environment's.
        """
        scores, found = getattr(self.agent.score(self.batch), name), {}
        for row, t in self.batch.action_mask.nonzero().tolist():
            found["".join(map(self._sign, self.batch.input_ids[row, 1 : t + 2].tolist()))] = scores[row, t].item()
        return found

    def policy(self, *turns: Turn, saying: str = "", **decoding: Any) -> dict[str, float]:
        """The probability of each next token after some turns and the beginning of another."""
        agent, options = self.agent, self.agent.policy(**decoding).options
        history = (*agent.prompt(turns, options, room=64), *agent.tokenizer.encode(saying))
        one_hot = torch.eye(len(self.numbers), dtype=torch.float64)[self.numbers[history]][None]
        with torch.no_grad():
            logits = agent.next_logits([one_hot] * len(agent.acting_trunks(options)), options)
        return {self._sign(token): p for token, p in enumerate(logits.softmax(-1)[0].tolist())}

    def _sign(self, token: int) -> str:
        tokenizer = self.agent.tokenizer
        ends = {tokenizer.bos: "^", tokenizer.eot_env: "/", tokenizer.eot_agent: "|"}
        return ends.get(token) or tokenizer.decode([token])
