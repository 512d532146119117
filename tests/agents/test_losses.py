from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from agents import losses
from agents.losses import (
    expectile,
    linear_at,
    squared_error,
    td_target,
    token_log_probs,
    token_mean,
    trajectory_mean,
    weighted_likelihood,
    weighted_logsumexp,
)

F64 = torch.float64


def head_with(bias: list[float]) -> nn.Linear:
    """pi is softmax(bias) whatever the state."""
    head = nn.Linear(2, len(bias), dtype=F64)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor(bias))
    return head


def test_weighted_likelihood_by_hand():
    head, h = head_with([math.log(3.0), 0.0]), torch.randn(4, 2, dtype=F64)  # pi = (.75, .25)
    token = torch.tensor([0, 1, 1, 0])
    w = torch.tensor([1.0, 0.0, 2.0, -1.0], dtype=F64)
    high, low = -math.log(0.75), -math.log(0.25)
    total = 1 * high + 0 * low + 2 * low - 1 * high
    assert weighted_likelihood(h, head, token, w).item() == pytest.approx(total)
    assert token_mean(h, head, token).item() == pytest.approx((high + low) / 2)
    assert token_mean(h, head, token, w).item() == pytest.approx(total / 4)
    assert trajectory_mean(h, head, token, w, trajectories=2).item() == pytest.approx(total / 2)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("chunk", [1, 40, 10**6])
def test_logits_in_chunks_give_the_plain_loss_and_gradient(monkeypatch, bias: bool, chunk: int):
    monkeypatch.setattr(losses, "CHUNK", chunk)
    torch.manual_seed(0)
    head, h = nn.Linear(5, 11, bias=bias, dtype=F64), torch.randn(7, 5, dtype=F64, requires_grad=True)
    token, w = torch.randint(11, (7,)), torch.randn(7, dtype=F64)
    plain = (w * F.cross_entropy(head(h), token, reduction="none")).sum()
    expected = torch.autograd.grad(3 * plain, [h, *head.parameters()])
    value = weighted_likelihood(h, head, token, w)
    assert value.item() == pytest.approx(plain.item(), rel=1e-6)
    for one, other in zip(torch.autograd.grad(3 * value, [h, *head.parameters()]), expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-6)
    lse = weighted_logsumexp(h, head, w)
    assert lse.item() == pytest.approx((w * head(h).logsumexp(-1)).sum().item(), rel=1e-6)
    assert torch.allclose(linear_at(h, head, token), head(h)[torch.arange(7), token])


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


@pytest.mark.parametrize("tau", [0.5, 0.9])
def test_gradients_agree_with_finite_differences(tau: float):
    u = torch.tensor([0.3, -0.7, 1.2], dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: expectile(x, tau), u)
    head, h = nn.Linear(3, 4, dtype=F64), torch.randn(2, 3, dtype=F64, requires_grad=True)
    token, w = torch.tensor([1, 3]), torch.tensor([2.0, -1.0], dtype=F64)
    assert torch.autograd.gradcheck(lambda x: trajectory_mean(x, head, token, w, 2), h)
