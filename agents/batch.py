"""Episodes as tokens: rows, the store of a whole dataset, and batches.

Legend for all of `agents`: B episodes; T + 1 the longest row's tokens; position t predicts token t + 1, so that what an
agent chooses at t is token t + 1. Batches are right-padded. K agent tokens in a batch, N real tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_ALIGNED = 16  # bytes, of each tensor within an upload


class TokenRow(NamedTuple):
    """One episode as L tokens."""

    ids: Sequence[int]
    """(L,) the tokens; the first is `<bos>`."""
    agent: Sequence[bool]
    """(L,) True for a token that the agent chose, its end-of-turn token included."""
    rewards: Sequence[float]
    """(L,) a turn's reward on its last agent token, 0 elsewhere."""
    turn: Sequence[int]
    """(L,) index of the agent turn that a token belongs to; unused on other tokens."""
    cut: bool
    """The episode was cut from outside, so its last state still has a value."""
    total_return: float
    context: int
    """Equal for episodes that share a start."""


class TokenBatch(NamedTuple):
    """B episodes, padded to the longest. See the module's legend."""

    input_ids: Tensor
    """(B, T + 1) int64"""
    attention_mask: Tensor
    """(B, T + 1) bool"""
    action_mask: Tensor
    """(B, T) bool, True where token t + 1 is an agent token"""
    rewards: Tensor
    """(B, T) float32, a turn's reward on its last agent token, 0 elsewhere"""
    next_state: Tensor
    """(B, T) int64 in 0..T, where s' of the action at t is read: the position that predicts the next agent token; for
    the last action of a row cut from outside, its last real token; -1 where s' is terminal or t is no action"""
    turn: Tensor
    """(B, T) int64, index of the agent turn"""
    returns: Tensor
    """(B,) float32, undiscounted"""
    context: Tensor
    """(B,) int64, episodes that share a start"""
    columns: Mapping[str, Tensor]
    """what `Algorithm.prepare` added, (B,) or (B, T)"""
    host: TokenBatch | None = None
    """the same batch in the host's memory, where this one is on a card, which would have to be waited for"""

    def to(self, device: torch.device | str) -> TokenBatch:
        """The same batch on another device."""
        fields = {name: field for name, field in self._asdict().items() if name not in ("columns", "host")}
        moved = uploaded([*fields.values(), *self.columns.values()], torch.device(device))
        columns = dict(zip(self.columns, moved[len(fields) :], strict=True))
        host = self if moved[0].is_cuda and not self.input_ids.is_cuda else None
        return TokenBatch(**dict(zip(fields, moved, strict=False)), columns=columns, host=host)


def uploaded(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Tensors on a device: from the host to a card by one copy, which nobody waits for."""
    if device.type != "cuda" or any(tensor.is_cuda for tensor in tensors):
        return [tensor.to(device, non_blocking=True) for tensor in tensors]
    starts = list(itertools.accumulate((-(-tensor.nbytes // _ALIGNED) * _ALIGNED for tensor in tensors), initial=0))
    sent = torch.empty(starts[-1], dtype=torch.uint8, pin_memory=True)
    for tensor, start in zip(tensors, starts, strict=False):
        _part(sent, start, tensor).copy_(tensor)
    there = sent.to(device, non_blocking=True)
    return [_part(there, start, tensor) for tensor, start in zip(tensors, starts, strict=False)]


def _part(buffer: Tensor, start: int, like: Tensor) -> Tensor:
    """A stretch of a buffer of bytes as a tensor like another."""
    return buffer[start : start + like.nbytes].view(like.dtype).view(like.shape)


class TokenStore:
    """Every row of a dataset in flat arrays, from which batches are cut without a loop over rows.

    Attributes:
        ids, agent, rewards, turn: (sum of L,) the rows' tokens, one after the other.
        offsets: (rows + 1,) int64, where each row begins.
        cut, returns, context: (rows,).
    """

    FIELDS = ("ids", "agent", "rewards", "turn", "offsets", "cut", "returns", "context")

    def __init__(self, **arrays: np.ndarray) -> None:
        self.ids, self.agent, self.rewards, self.turn = (arrays[name] for name in self.FIELDS[:4])
        self.offsets, self.cut, self.returns, self.context = (arrays[name] for name in self.FIELDS[4:])
        self.lengths = np.diff(self.offsets)

    @classmethod
    def from_rows(
        cls, rows: Iterable[TokenRow], *, max_length: int | None = None, truncate: bool = False
    ) -> TokenStore:
        """Collects rows.

        Args:
            max_length: the model's context in tokens; a longer row is refused, or cut and marked so with `truncate`.

        Raises:
            ValueError: a row has no agent token, or is longer than `max_length`; the message has its index.
        """
        flat: dict[str, list] = {name: [] for name in cls.FIELDS}
        flat["offsets"].append(0)
        for index, row in enumerate(rows):
            length, cut = len(row.ids), row.cut
            if max_length is not None and length > max_length:
                if not truncate:
                    raise ValueError(
                        f"episode {index} has {length} tokens, the model's context {max_length}; "
                        "take a longer context, or truncate=True to cut such episodes"
                    )
                length, cut = max_length, True
            if not any(row.agent[:length]):
                raise ValueError(f"episode {index} has no agent token in its {length} tokens: nothing to learn from")
            for name in ("ids", "agent", "rewards", "turn"):
                flat[name].extend(getattr(row, name)[:length])
            flat["offsets"].append(flat["offsets"][-1] + length)
            flat["cut"].append(cut)
            flat["returns"].append(row.total_return)
            flat["context"].append(row.context)
        types = (np.int32, np.bool_, np.float32, np.int16, np.int64, np.bool_, np.float32, np.int64)
        return cls(**{name: np.asarray(flat[name], dtype) for name, dtype in zip(cls.FIELDS, types, strict=True)})

    def __len__(self) -> int:
        return len(self.cut)

    def turn_starts(self) -> np.ndarray:
        """(turns,) int64, where each agent turn begins in `ids`: the dataset's agent turns in order."""
        fresh = self.agent.copy()
        fresh[1:] &= ~self.agent[:-1] | (self.turn[1:] != self.turn[:-1])  # turns stand side by side in silence
        fresh[self.offsets[:-1]] = self.agent[self.offsets[:-1]]
        return np.flatnonzero(fresh)

    def turn_of_tokens(self) -> np.ndarray:
        """(sum of L,) int64, which of the dataset's agent turns a token belongs to; meaningless on other tokens."""
        begins = np.zeros(len(self.ids), np.int64)
        begins[self.turn_starts()] = 1
        return begins.cumsum() - 1

    def row_of_tokens(self) -> np.ndarray:
        """(sum of L,) int64, which row a token belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def longest_turn(self) -> int:
        """Tokens of the longest agent turn, its end-of-turn token included."""
        return int(np.bincount(self.turn_of_tokens()[self.agent], minlength=1).max())

    def batch(self, rows: np.ndarray, columns: Mapping[str, np.ndarray] | None = None) -> TokenBatch:
        """Cuts the given rows out as one padded batch, in the order given.

        Args:
            rows: (B,) row indices.
            columns: (rows,) values of all rows, or (sum of L,) values aligned with `ids`, where the value of the action
                that chose a token stands at that token.
        """
        lengths = self.lengths[rows]
        position = np.arange(lengths.max())
        real = position < lengths[:, None]
        where = np.where(real, self.offsets[rows][:, None] + position, 0)
        action = (self.agent[where] & real)[:, 1:]
        # s' of each action: the first later position that is itself an action, found from the right
        T = action.shape[1]
        following = np.minimum.accumulate(np.where(action, position[:-1], T + 1)[:, ::-1], axis=1)[:, ::-1]
        following = np.concatenate([following[:, 1:], np.full((len(rows), 1), T + 1)], axis=1)
        end = np.where(self.cut[rows], lengths - 1, -1)[:, None]
        next_state = np.where(action, np.where(following <= T, following, end), -1)
        extra = {}
        for name, column in (columns or {}).items():
            per_token = len(column) == len(self.ids) and len(column) != len(self)
            extra[name] = torch.from_numpy(column[where[:, 1:]] * action if per_token else column[rows])
        return TokenBatch(
            input_ids=torch.from_numpy(np.where(real, self.ids[where], 0).astype(np.int64)),
            attention_mask=torch.from_numpy(real),
            action_mask=torch.from_numpy(action),
            rewards=torch.from_numpy(np.where(action, self.rewards[where[:, 1:]], np.float32(0))),
            next_state=torch.from_numpy(next_state),
            turn=torch.from_numpy(np.where(action, self.turn[where[:, 1:]], 0).astype(np.int64)),
            returns=torch.from_numpy(self.returns[rows]),
            context=torch.from_numpy(self.context[rows]),
            columns=extra,
        )


def collate(rows: Sequence[TokenRow], columns: Mapping[str, np.ndarray] | None = None) -> TokenBatch:
    """One batch of the given rows, in their order."""
    return TokenStore.from_rows(rows).batch(np.arange(len(rows)), columns)


class Packing(NamedTuple):
    """The real tokens of a batch side by side, without padding: what trunks run on.

    Rows of equal length that stand next to each other share one attention call, so collate sorted rows.
    """

    ids: Tensor
    """(1, N) int64"""
    positions: Tensor
    """(1, N) int64, 0 at each row's first token"""
    lengths: tuple[int, ...]
    """(B,) tokens of each row"""
    ends: Tensor
    """(B + 1,) int32, where each row begins, and the end"""
    where: Tensor
    """(B, T + 1) int64, where each real token stands in 0..N-1; meaningless on padding"""
    grid: Grid | None = None
    """the same tokens with padding again, on cards: there, many short calls cost more than padding"""
    host: Packing | None = None
    """the same packing in the host's memory, where this one is on a card"""


class Grid(NamedTuple):
    """Packed rows side by side, padded on the right."""

    ids: Tensor
    """(B, longest) int64"""
    positions: Tensor
    """(B, longest) int64"""
    cells: Tensor
    """(N,) int64, where each packed token stands in the flattened grid"""


def grid_of(packing: Packing) -> Grid:
    """Packed rows with padding, which repeats each row's last token."""
    lengths = packing.ends.diff().long()
    position = torch.arange(max(packing.lengths))
    tokens = packing.ends[:-1, None] + torch.minimum(position, lengths[:, None] - 1)
    cells = (position < lengths[:, None]).flatten().nonzero().squeeze(1)
    return Grid(packing.ids[0][tokens], packing.positions[0][tokens], cells)


def pack(batch: TokenBatch) -> Packing:
    """Drops the padding, wherever it is."""
    if batch.host is not None:
        packing = pack(batch.host)
        ids, positions, ends, where, *grid = uploaded(
            [packing.ids, packing.positions, packing.ends, packing.where, *grid_of(packing)], batch.input_ids.device
        )
        return Packing(ids, positions, packing.lengths, ends, where, Grid(*grid), packing)
    real = batch.attention_mask
    order = real.cumsum(1) - 1
    lengths = real.sum(1)
    index = (lengths.cumsum(0) - lengths)[:, None] + order
    ends = torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).int()
    return Packing(batch.input_ids[real][None], order[real][None], tuple(lengths.tolist()), ends, index)


class AgentTokens(NamedTuple):
    """The K agent tokens of a batch, row after row: where every loss is computed."""

    at: Tensor
    """(K,) int64, the packed position that predicts the token: its state s"""
    token: Tensor
    """(K,) int64, the token itself: the action a"""
    reward: Tensor
    """(K,) float32"""
    discount: Tensor
    """(K,) float32: gamma, times gamma_turn at the last token of a turn, and 0 where s' is terminal"""
    states: Tensor
    """(K + S,) int64, packed positions whose V is needed: `at`, then the S other places where an s' is read"""
    next: Tensor
    """(K,) int64, index into `states` of s'; 0 where s' is terminal"""
    row: Tensor
    """(K,) int64, which episode"""
    turn: Tensor
    """(K,) int64, which of the batch's agent turns, 0 for the first of the first episode"""


def agent_tokens(batch: TokenBatch, packing: Packing, *, gamma: float = 1.0, gamma_turn: float = 1.0) -> AgentTokens:
    """Lists a batch's agent tokens with their successor states and discounts."""
    if batch.host is not None and packing.host is not None:
        tokens = agent_tokens(batch.host, packing.host, gamma=gamma, gamma_turn=gamma_turn)
        return AgentTokens(*uploaded(tokens, batch.input_ids.device))
    row, t = batch.action_mask.nonzero(as_tuple=True)
    at = packing.where[row, t]
    next_state = batch.next_state[row, t]
    alive = next_state >= 0
    successor = packing.where[row, next_state.clamp(min=0)]

    slot = torch.full((packing.ids.shape[1],), -1, dtype=torch.int64, device=at.device)
    slot[at] = torch.arange(len(at), device=at.device)
    elsewhere = successor[alive & (slot[successor] < 0)]  # the last token of rows cut from outside
    slot[elsewhere] = torch.arange(len(at), len(at) + len(elsewhere), device=at.device)

    ends_turn = torch.ones_like(alive)
    ends_turn[:-1] = (row[1:] != row[:-1]) | (t[1:] != t[:-1] + 1) | (batch.turn[row, t][1:] != batch.turn[row, t][:-1])
    discount = torch.where(ends_turn, gamma * gamma_turn, gamma) * alive
    return AgentTokens(
        at=at,
        token=batch.input_ids[row, t + 1],
        reward=batch.rewards[row, t],
        discount=discount.float(),
        states=torch.cat([at, elsewhere]),
        next=torch.where(alive, slot[successor], 0),
        row=row,
        turn=torch.nn.functional.pad(ends_turn[:-1].cumsum(0), (1, 0)),
    )
