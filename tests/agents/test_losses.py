from __future__ import annotations

import math

import pytest
import torch

from agents.losses import (
    conservatism,
    expectile,
    squared_error,
    td_target,
    token_log_probs,
    token_mean,
    trajectory_mean,
)

F64 = torch.float64


def test_weighted_likelihood_by_hand():
    logp = torch.tensor([-1.0, -2.0, -3.0, -4.0], dtype=F64)
    w = torch.tensor([1.0, 0.0, 2.0, -1.0], dtype=F64)
    assert token_mean(logp).item() == pytest.approx(2.5)
    assert token_mean(logp, w).item() == pytest.approx((1 + 0 + 6 - 4) / 4)
    assert trajectory_mean(logp, w, trajectories=2).item() == pytest.approx((1 + 0 + 6 - 4) / 2)


def test_token_log_probs_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])
    logp = token_log_probs(logits, torch.tensor([1, 1]))
    assert logp.tolist() == pytest.approx([math.log(0.75), math.log(0.2)])


def test_td_target_and_error_by_hand():
    V_next = torch.tensor([2.0, 5.0], dtype=F64, requires_grad=True)
    y = td_target(torch.tensor([-1.0, -1.0], dtype=F64), torch.tensor([0.5, 0.0], dtype=F64), V_next)
    assert y.tolist() == [0.0, -1.0]  # the second is terminal, whatever V says
    assert not y.requires_grad
    assert squared_error(torch.tensor([1.0, 1.0], dtype=F64), y).item() == (1 + 4) / 2


def test_expectile_by_hand():
    u = torch.tensor([2.0, -1.0], dtype=F64)
    assert expectile(u, 0.9).item() == pytest.approx((0.9 * 4 + 0.1 * 1) / 2)
    assert expectile(u, 0.5).item() == pytest.approx(0.5 * (4 + 1) / 2)


def test_the_expectile_of_two_points_is_where_the_gradient_vanishes():
    # tau = .8 of {0, 1}: .2 m = .8 (1 - m), so m = .8
    V = torch.tensor(0.8, dtype=F64, requires_grad=True)
    expectile(torch.tensor([0.0, 1.0], dtype=F64) - V, 0.8).backward()
    assert V.grad is not None
    assert V.grad.item() == pytest.approx(0.0, abs=1e-12)


def test_conservatism_by_hand():
    Q = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    assert conservatism(Q, torch.tensor([0, 1])).item() == pytest.approx((math.log(2) + math.log(4)) / 2)


@pytest.mark.parametrize("tau", [0.5, 0.9])
def test_gradients_agree_with_finite_differences(tau: float):
    u = torch.tensor([0.3, -0.7, 1.2], dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: expectile(x, tau), u)
    logp = torch.tensor([-0.3, -0.7], dtype=F64, requires_grad=True)
    w = torch.tensor([2.0, -1.0], dtype=F64)
    assert torch.autograd.gradcheck(lambda x: trajectory_mean(x, w, 2), logp)
