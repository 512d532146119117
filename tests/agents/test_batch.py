from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.batch import TokenRow, TokenStore, agent_tokens, collate, pack

A, E = True, False  # whose token: agent, environment


def row(agent: list[bool], turn: list[int], rewards: list[float] | None = None, *, cut: bool = False) -> TokenRow:
    rewards = rewards or [0.0] * len(agent)
    return TokenRow(list(range(10, 10 + len(agent))), agent, rewards, turn, cut, sum(rewards), 0)


#     position  0  1  2  3  4  5  6
FULL = row([E, A, A, E, E, A, A], [0, 0, 0, 0, 0, 1, 1], [0, 0, -1.0, 0, 0, 0, -2.0])
CUT = row([E, A, E, E], [0, 0, 0, 0], [0, -1.0, 0, 0], cut=True)
TWO_TURNS = row([E, A, A, A, E], [0, 0, 0, 1, 0], [0, 0, -1.0, -1.0, 0])  # the environment was silent in between


def test_batch_by_hand():
    batch = collate([FULL, CUT])
    assert batch.input_ids.tolist() == [[10, 11, 12, 13, 14, 15, 16], [10, 11, 12, 13, 0, 0, 0]]
    assert batch.attention_mask.tolist() == [[True] * 7, [True] * 4 + [False] * 3]
    assert batch.action_mask.tolist() == [[A, A, E, E, A, A], [A, E, E, E, E, E]]
    assert batch.rewards.tolist() == [[0, -1, 0, 0, 0, -2], [-1, 0, 0, 0, 0, 0]]
    # after token 2 the next agent token is 5, which position 4 predicts; the last action ends the first row, and the
    # cut row goes on from its last real token
    assert batch.next_state.tolist() == [[1, 4, -1, -1, 5, -1], [3, -1, -1, -1, -1, -1]]
    assert batch.turn[0].tolist() == [0, 0, 0, 0, 1, 1]
    assert batch.returns.tolist() == [-3, -1]
    for field, dtype in (("input_ids", torch.int64), ("rewards", torch.float32), ("next_state", torch.int64)):
        assert getattr(batch, field).dtype == dtype


def test_agent_tokens_by_hand():
    batch = collate([FULL, CUT, TWO_TURNS])
    packing = pack(batch)
    assert packing.lengths == (7, 4, 5)
    assert packing.ids[0].tolist() == [*range(10, 17), *range(10, 14), *range(10, 15)]
    assert packing.positions[0].tolist() == [*range(7), *range(4), *range(5)]
    tokens = agent_tokens(batch, packing, gamma=0.9, gamma_turn=0.5)
    assert tokens.at.tolist() == [0, 1, 4, 5, 7, 11, 12, 13]
    assert tokens.token.tolist() == [11, 12, 15, 16, 11, 11, 12, 13]
    assert tokens.reward.tolist() == [0, -1, 0, -2, -1, 0, -1, -1]
    # gamma within a turn, gamma * gamma_turn at its last token, 0 at a terminal end; the cut row is not terminal
    expected = [0.9, 0.45, 0.9, 0.0, 0.45, 0.9, 0.45, 0.0]
    assert torch.allclose(tokens.discount, torch.tensor(expected))
    assert tokens.states.tolist() == [0, 1, 4, 5, 7, 11, 12, 13, 10]  # the last: where the cut row goes on
    assert tokens.states[tokens.next].tolist()[:5] == [1, 4, 5, 0, 10]
    assert tokens.row.tolist() == [0, 0, 0, 0, 1, 2, 2, 2]
    assert tokens.turn.tolist() == [0, 0, 1, 1, 2, 3, 3, 4]


def test_columns_follow_rows_and_tokens():
    store = TokenStore.from_rows([FULL, CUT])
    columns = {"weight": np.array([2.0, 3.0]), "logp": np.arange(len(store.ids), dtype=np.float32)}
    batch = store.batch(np.array([1, 0]), columns)
    assert batch.columns["weight"].tolist() == [3.0, 2.0]
    assert batch.columns["logp"].tolist() == [[8, 0, 0, 0, 0, 0], [1, 2, 0, 0, 5, 6]]


def test_longest_turn_counts_turns_side_by_side_apart():
    assert TokenStore.from_rows([CUT]).longest_turn() == 1
    assert TokenStore.from_rows([FULL]).longest_turn() == 2
    assert TokenStore.from_rows([TWO_TURNS, CUT]).longest_turn() == 2


def test_rows_that_cannot_be_learned_from_are_refused_with_their_index():
    silent = row([E, E], [0, 0])
    with pytest.raises(ValueError, match=r"episode 1 has no agent token in its 2 tokens"):
        TokenStore.from_rows([FULL, silent])
    with pytest.raises(ValueError, match=r"episode 0 has 7 tokens, the model's context 5"):
        TokenStore.from_rows([FULL, CUT], max_length=5)


def test_a_row_that_was_cut_to_the_context_goes_on_from_its_last_token():
    store = TokenStore.from_rows([FULL], max_length=5, truncate=True)
    batch = store.batch(np.array([0]))
    assert batch.input_ids.shape == (1, 5)
    assert batch.next_state.tolist() == [[1, 4, -1, -1]]
    tokens = agent_tokens(batch, pack(batch))
    assert tokens.discount.tolist() == [1.0, 1.0]
