"""The measurements of a card, on whatever device there is, at sizes that take a moment."""

from __future__ import annotations

import pytest
import torch

from agents.tokenizers import wordle_tokenizer
from leaderboards.card import acting_rows, flash_row, matrix_rate, training_rows, trunk_flops

SHAPE = {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 128}
CPU = torch.device("cpu")


def test_flops_by_hand():
    # 1 layer, d = 2, rows of 3 tokens: 24 d^2 = 96 a token, and 4 d = 8 for each of 1 + 2 + 3 pairs
    assert trunk_flops({"n_layer": 1, "n_embd": 2}, rows=5, length=3) == 5 * (3 * 96 + 6 * 8)


def test_training_and_acting_are_measured():
    tokenizer, rate = wordle_tokenizer(), matrix_rate(CPU, 64)
    rows = list(training_rows(tokenizer, SHAPE, CPU, rows=4, length=36, rate=rate))
    assert [row.what.split("`")[1] for row in rows] == ["bc", "ilql"]
    assert all(row.value > 0 for row in rows)
    games, comments = acting_rows(tokenizer, SHAPE, CPU, games=4, comments=3, tokens=5)
    assert games.value > 0
    assert comments.measured.endswith("tokens/s")


def test_packed_attention_in_half_precision_is_close():
    assert flash_row(wordle_tokenizer(), CPU).value < 0.1


@pytest.mark.device
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a card")
def test_flash_attention_on_a_card_is_close():
    assert flash_row(wordle_tokenizer(), torch.device("cuda")).value < 0.1
