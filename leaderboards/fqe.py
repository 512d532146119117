"""FQE, fitted Q evaluation, of many policies at once.

Le, Voloshin & Yue, "Batch Policy Learning under Constraints", arXiv 1903.08738: regress

    y_pi = r + sum_a' pi(a' | s') Q_pi(s', a'),    Q_pi(s, a) ~ y_pi

on logged outcomes, and again with the new Q, as often as an episode has turns and more. V_pi(s) is the sum at s. Here
one network has all policies' Q as outputs, and states are bags of features, so that what is learned in one state holds
in those that share features with it. Undiscounted.

Legend: S states, F features of a state at most, A actions, P policies, M distinct logged pairs of state and action.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from lmrl_envs.progress import progress_bar

Chances = Callable[[np.ndarray], np.ndarray]
"""(n,) states to (n, A, P), the chance of each action under each policy."""
_CHUNK = 4096  # states whose values are computed at once


@dataclass(frozen=True)
class FQEConfig:
    """How the network is fitted."""

    width: int = 128
    steps: int = 3_000
    batch: int = 512
    lr: float = 3e-3
    refresh: int = 150
    """Steps between two looks at what Q says of the next states."""
    seed: int = 0


class Outcomes(NamedTuple):
    """What followed each distinct logged pair, on average."""

    state: np.ndarray
    """(M,)"""
    action: np.ndarray
    """(M,)"""
    times: np.ndarray
    """(M,) how often it was logged"""
    reward: np.ndarray
    """(M,)"""
    next: sparse.csr_array
    """(M, S) share of each next state; what a row lacks to 1 is the share of ends"""

    @classmethod
    def of(
        cls, state: np.ndarray, action: np.ndarray, reward: np.ndarray, following: np.ndarray, states: int
    ) -> Outcomes:
        """From logged transitions, (n,) each; `following` is -1 where the episode ended."""
        actions = int(action.max()) + 1
        pair, row, count = np.unique(state * actions + action, return_inverse=True, return_counts=True)
        goes_on = following >= 0
        shares = (1 / count)[row[goes_on]], (row[goes_on], following[goes_on])
        return cls(
            pair // actions,
            pair % actions,
            count,
            np.bincount(row, reward) / count,
            sparse.csr_array(shares, shape=(len(pair), states)),
        )


class QNetwork(nn.Module):
    """(n, F) features, 0 for none, to (n, A, P) values."""

    def __init__(self, features: int, actions: int, policies: int, width: int) -> None:
        super().__init__()
        self.shape = actions, policies
        self.embed = nn.EmbeddingBag(features, width, mode="sum", padding_idx=0)
        self.body = nn.Sequential(nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, actions * policies))
        with torch.no_grad():
            self.embed.weight.mul_(0.1)  # what is seldom seen says little

    def forward(self, features: Tensor) -> Tensor:
        return self.body(self.embed(features)).view(len(features), *self.shape)


class Fitted(NamedTuple):
    """Values of all policies: (S, P) V of every state, (M, P) Q of the pairs that were asked about."""

    v: np.ndarray
    q: np.ndarray


def fit(
    outcomes: Outcomes, features: np.ndarray, chances: Chances, asked: tuple[np.ndarray, np.ndarray], config: FQEConfig
) -> Fitted:
    """Fits Q, and says it of the pairs `asked`: their states and actions, (m,) each.

    Args:
        outcomes: of the log.
        features: (S, F) int64 of each state, from 1, in any order; 0 fills up.
        chances: of the policies; where they sum to less than 1, V is Q's mean over what they do sum to.
    """
    actions = 1 + max(int(outcomes.action.max()), int(asked[1].max()))
    probe = chances(np.zeros(1, np.int64))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = QNetwork(int(features.max()) + 1, max(actions, probe.shape[1]), probe.shape[2], config.width)
    bags = torch.from_numpy(features)
    weight = torch.from_numpy(outcomes.times / outcomes.times.mean()).float()[:, None]
    state, action = torch.from_numpy(outcomes.state), torch.from_numpy(outcomes.action)
    reward = torch.from_numpy(outcomes.reward).float()[:, None]
    y = reward.expand(-1, probe.shape[2])

    optimizer = torch.optim.Adam(network.parameters(), lr=config.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.lr, total_steps=config.steps, pct_start=max(0.05, 2 / config.steps)
    )
    generator = torch.Generator().manual_seed(config.seed)
    order, at = torch.randperm(len(state), generator=generator), 0
    reached = np.unique(outcomes.next.indices)
    following = outcomes.next[:, reached].astype(np.float32)
    with progress_bar("fitted Q evaluation", total=config.steps) as bar:
        for step in range(config.steps):
            if step and step % config.refresh == 0:
                y = reward + torch.from_numpy(following @ _values(network, bags, chances, reached))
            if at + config.batch > len(order):
                order, at = torch.randperm(len(state), generator=generator), 0
            rows = order[at : at + config.batch]
            at += config.batch
            q = network(bags[state[rows]])[torch.arange(len(rows)), action[rows]]
            loss = (weight[rows] * (q - y[rows]).square()).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.update()
    everywhere = np.arange(len(features))
    return Fitted(_values(network, bags, chances, everywhere), _at(network, bags, *map(torch.from_numpy, asked)))


@torch.no_grad()
def _values(network: QNetwork, bags: Tensor, chances: Chances, states: np.ndarray) -> np.ndarray:
    """(n,) states to (n, P) float32."""
    found = [np.empty((0, network.shape[1]), np.float32)]
    for start in range(0, len(states), _CHUNK):
        chunk = states[start : start + _CHUNK]
        pi = torch.from_numpy(chances(chunk))
        q = network(bags[torch.from_numpy(chunk)])
        found.append(((q * pi).sum(1) / pi.sum(1)).numpy())
    return np.concatenate(found)


@torch.no_grad()
def _at(network: QNetwork, bags: Tensor, state: Tensor, action: Tensor) -> np.ndarray:
    """(m, P) float32."""
    pairs = zip(state.split(_CHUNK), action.split(_CHUNK), strict=True)
    return torch.cat([network(bags[s])[torch.arange(len(s)), a] for s, a in pairs]).numpy()
