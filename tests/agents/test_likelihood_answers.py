"""Agents with a weighted likelihood on problems whose answer is known. Their networks are tables: see `tabular.py`."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp

from agents.alol import ALOL, ALOLKL, RLOL, ALOLRefFree, ALOLSeq
from agents.batch import TokenStore
from agents.bc import BC
from agents.data import encode_dataset
from agents.iqlearn import IQLearn
from agents.likelihood import Likelihood
from agents.returns import returns_to_go
from agents.reward_weighted import Refit, Swift
from agents.tokenizers import TurnTokenizer
from lmrl_envs.core import Episode, Turn
from lmrl_envs.datasets import DatasetMetadata, TextDataset, write_dataset
from tests.agents.tabular import NANO, Solved, episode, letters


class Weighed(Solved):
    """An agent of tables, fitted to episodes with the weights that it gives them when pi_ref and V are exact.

    pi_ref is the data's own frequencies, V the mean return from each history.
    """

    def __init__(self, agent: Likelihood, episodes: Sequence[Episode], folder: Path) -> None:
        super().__init__(agent, episodes)
        data = dataset(episodes, folder)
        store = encode_dataset(agent, data)
        frequencies, ids = self._frequencies(), np.asarray(store.ids)
        chosen = [
            frequencies[self.numbers[tuple(ids[start:at].tolist())], ids[at]].item()
            for start, at in ((store.offsets[row], at) for at, row in enumerate(store.row_of_tokens()))
            if store.agent[at]
        ]
        prepared = agent.annotate(data, store, V=mean_by_history(store), ref_logp=np.log(chosen))
        self.prepared = prepared
        self.batch = store.batch(np.arange(len(store)), prepared.columns)


def dataset(episodes: Sequence[Episode], folder: Path) -> TextDataset:
    return write_dataset(folder / "logs.parquet", episodes, DatasetMetadata())


def mean_by_history(store: TokenStore) -> np.ndarray:
    """(T,) the mean return to go over all turns that begin with the same tokens."""
    starts, R = store.turn_starts(), returns_to_go(store)
    histories = [
        store.ids[store.offsets[row] : at].tobytes()
        for at, row in zip(starts, store.row_of_tokens()[starts], strict=True)
    ]
    found = defaultdict(list)
    for history, value in zip(histories, R, strict=True):
        found[history].append(value)
    return np.array([np.mean(found[history]) for history in histories])


def agent_of(algorithm: type[Likelihood], tokenizer: TurnTokenizer, **settings) -> Likelihood:
    return algorithm(algorithm.Config(**{"model": NANO, **settings}), tokenizer)


# --- One state, three arms: pi0 = (.2, .3, .5), rewards 0, -1, -3, so V = -1.8 and [R - V]+ = (1.8, .8, 0).

PULLS = [episode(("a", 0.0))] * 20 + [episode(("b", -1.0))] * 30 + [episode(("c", -3.0))] * 50


@pytest.mark.parametrize(
    ("algorithm", "settings", "expected"),
    [
        (BC, {}, (0.2, 0.3, 0.5)),
        # pi0 r / sum, r = (1, 2/3, 0): .2 and .2
        (Refit, {}, (0.5, 0.5, 0.0)),
        # pi0 [R - V]+ / sum: .36 and .24
        (ALOLRefFree, {}, (0.6, 0.4, 0.0)),
        # a fixed point, w = [R - V]+ clip(pi / pi0): a is clipped, .36 * 1.9 = .684, b is not, .24 pi_b / .3 = .8 pi_b;
        # pi_b = .8 pi_b / (.684 + .8 pi_b) gives pi_b = .145, whose ratio of .48 is inside [.1, 1.9] indeed
        (ALOL, {}, (0.855, 0.145, 0.0)),
        (ALOLSeq, {}, (0.855, 0.145, 0.0)),  # one token chooses the arm, so that both ratios are the same
        (ALOL, {"eps": 0.5}, (0.675, 0.325, 0.0)),  # .36 * 1.5 = .54; pi_b = (.8 - .54) / .8, ratio 1.08
        (ALOL, {"eps": 0.0}, (0.6, 0.4, 0.0)),  # without ratios
        # w = r clip(pi / pi0): .2 * 1.9 = .38, and .2 pi_b / .3 = 2/3 pi_b; pi_b = (2/3 - .38) / (2/3)
        (RLOL, {}, (0.57, 0.43, 0.0)),
        # [R - V]+ - .1 where it is positive: .2 * 1.7 and .3 * .7
        (ALOLKL, {"positive": True}, (0.34 / 0.55, 0.21 / 0.55, 0.0)),
        # (R - mean) / sd where it is positive is [R - V]+ / sd
        (Swift, {"positive": True}, (0.6, 0.4, 0.0)),
        (BC, {"positive": True}, (0.4, 0.6, 0.0)),  # pi0 among arms better than expected
        (ALOLRefFree, {"max_weight": 0.9}, (0.18 / 0.42, 0.24 / 0.42, 0.0)),  # .2 * .9 and .3 * .8
    ],
)  # fmt: skip
def test_bandit(tmp_path, algorithm, settings, expected):
    solved = Weighed(agent_of(algorithm, letters("abc"), **settings), PULLS, tmp_path).fit()
    policy = solved.policy()
    assert [policy[arm] for arm in "abc"] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(
    ("priority", "expected"),
    [
        (True, (0.6, 0.4)),  # the factor [R - V]+ is in the sampling, and no more in w
        ("paper", (0.2 * 1.8**2 / 0.84, 0.3 * 0.8**2 / 0.84)),  # it is in both
    ],
)
def test_bandit_with_priority_sampling(tmp_path, priority, expected):
    """What is fitted is the expected loss over draws: w times how often an episode is drawn."""
    agent = agent_of(ALOLRefFree, letters("abc"), priority=priority)
    solved = Weighed(agent, PULLS, tmp_path)
    draws = solved.prepared.weights / solved.prepared.weights.mean()
    assert set(draws[50:]) == {0.0}  # never drawn
    column = solved.batch.columns["weight"]
    column *= torch.from_numpy(draws).to(column)[:, None]
    policy = solved.fit().policy()
    assert [policy[arm] for arm in "ab"] == pytest.approx(expected, abs=2e-3)


def test_bandit_cloning_with_priority_sampling_is_ref_free(tmp_path):
    solved = Weighed(agent_of(BC, letters("abc"), priority=True), PULLS, tmp_path)
    assert solved.prepared.weights.tolist() == pytest.approx([1.8] * 20 + [0.8] * 30 + [0.0] * 50)
    assert set(solved.batch.columns["weight"][solved.batch.action_mask].tolist()) == {1.0}


def test_swift_compares_within_what_is_seen_first(tmp_path):
    """Two starts. After x, a gets 1 and b gets 0; after y, both get 5, which is no reason to prefer one."""
    logs = [episode("x", ("a", 1.0)), episode("x", ("b", 0.0))] * 2
    logs += [episode("y", ("a", 5.0)), episode("y", ("b", 5.0))]
    solved = Weighed(agent_of(Swift, letters("abxy")), logs, tmp_path)
    first = solved.batch.columns["weight"][:, 2]  # <bos> x <eot_env>, then the letter
    assert first.tolist() == pytest.approx([1, -1, 1, -1, 0, 0])


# --- A choice between something safe and a branch that ends well for the few who know the way.


def walks(safe: float) -> list[Episode]:
    """Shares of goal, lava, safe: .09, .455, .455."""
    return (
        [episode(("b", 0.0), "x", ("g", 1.0))] * 18
        + [episode(("b", 0.0), "x", ("l", 0.0))] * 91
        + [episode(("s", safe))] * 91
    )


@pytest.mark.parametrize(
    ("algorithm", "safe", "branch"),
    [
        # r = R, whole episodes: .09 * 1 against .455 * .5, and lava weighs nothing: .09 / (.09 + .2275)
        (Refit, 0.5, 0.283),
        # V at the start = .09 + .455 * .5 = .3175: .09 * .6825 = .0614 against .455 * .1825 = .0830
        (ALOLRefFree, 0.5, 0.425),
        # V = .09 + .455 * .3 = .2265: .09 * .7735 = .0696 against .455 * .0735 = .0334
        (ALOLRefFree, 0.3, 0.675),
        # with ratios, P(s) falls until its ratio is clipped at .1: .00334 against .0696 p / .545 = .1277 p,
        # so P(s) = .00334 / .1277
        (ALOL, 0.3, 1 - 0.0262),
        (BC, 0.5, 0.545),
    ],
)  # fmt: skip
def test_branching(tmp_path, algorithm, safe: float, branch: float):
    solved = Weighed(agent_of(algorithm, letters("bglsx")), walks(safe), tmp_path).fit(steps=300)
    assert solved.policy()["b"] == pytest.approx(branch, abs=1.5e-3)


def test_each_turn_is_a_bandit_of_its_own(tmp_path):
    """After the branch V is 18 / 109: the goal has an advantage there, the lava none. Refit knows the way as well."""
    turns = [Turn("agent", "b"), Turn("env", "x")]
    for algorithm in (ALOLRefFree, ALOL, Refit):
        solved = Weighed(agent_of(algorithm, letters("bglsx")), walks(0.5), tmp_path).fit()
        assert solved.policy(*turns)["g"] > 0.99
    weights = Weighed(agent_of(ALOLRefFree, letters("bglsx")), walks(0.5), tmp_path).batch.columns["weight"]
    # <bos> b <eot> x <eot> g <eot>: the first turn weighs 1 - .3175, the second 1 - 18 / 109
    assert weights[0].tolist() == pytest.approx([0.6825, 0.6825, 0, 0, 1 - 18 / 109, 1 - 18 / 109])


# --- Two letters: all texts of at most two, and the exact optimum of each objective over them.

TEXTS = ["", "a", "b", "aa", "ab", "ba", "bb"]
COUNTS = dict(zip(TEXTS, (4, 7, 3, 9, 5, 6, 2), strict=True))
RETURNS = dict(zip(TEXTS, (-2.0, -1.0, -3.0, 0.0, -2.5, -0.5, -4.0), strict=True))
SPOKEN = [episode((text, RETURNS[text])) for text in TEXTS for _ in range(COUNTS[text])]
N = sum(COUNTS.values())
V = sum(COUNTS[text] * RETURNS[text] for text in TEXTS) / N
ADVANTAGE = {text: max(RETURNS[text] - V, 0.0) for text in TEXTS}
MAPPED = {text: (RETURNS[text] + 4) / 4 for text in TEXTS}

Tokens = Mapping[tuple[str, str], float]
"""A number for each token after each prefix; "|" ends the text."""


def steps(text: str) -> list[tuple[str, str]]:
    return [(text[:i], token) for i, token in enumerate(text + "|")]


def normalised(mass: Tokens) -> Tokens:
    totals = Counter[str]()
    for (prefix, _), value in mass.items():
        totals[prefix] += value
    return {
        (prefix, token): value / totals[prefix] if totals[prefix] else 0.0 for (prefix, token), value in mass.items()
    }


def optimum(weight: Callable[[str, int], float]) -> Tokens:
    """The maximum of sum over texts of count * weight * ln pi, token by token."""
    mass: dict[tuple[str, str], float] = defaultdict(float)
    for text in TEXTS:
        for place, step in enumerate(steps(text)):
            mass[step] += COUNTS[text] * weight(text, place)
    return normalised(mass)


def fixed_point(value: Mapping[str, float], *, sequence: bool, eps: float = 0.9) -> Tokens:
    """Where pi is the optimum for weights that its own clipped ratios make."""
    pi_ref = pi = optimum(lambda text, place: 1.0)
    for _ in range(2_000):
        ratio = {step: pi[step] / pi_ref[step] for step in pi_ref}

        def weight(text: str, place: int, ratio: Tokens = ratio) -> float:
            rho = math.prod(ratio[step] for step in steps(text)) if sequence else ratio[steps(text)[place]]
            return value[text] * min(max(rho, 1 - eps), 1 + eps)

        pi = optimum(weight)
    return pi


def texts(pi: Callable[[str], Mapping[str, float]]) -> dict[str, float]:
    """The probability of each text."""
    return {text: math.prod(pi(prefix)[token] for prefix, token in steps(text)) for text in TEXTS}


def said(pi: Tokens) -> dict[str, float]:
    return texts(lambda prefix: {token: p for (before, token), p in pi.items() if before == prefix})


@pytest.mark.parametrize(
    ("algorithm", "settings", "expected"),
    [
        (BC, {}, optimum(lambda text, place: 1.0)),
        (Refit, {}, optimum(lambda text, place: MAPPED[text])),
        (ALOLRefFree, {}, optimum(lambda text, place: ADVANTAGE[text])),
        (Swift, {"positive": True}, optimum(lambda text, place: ADVANTAGE[text])),
        (ALOLKL, {"positive": True, "kl_weight": 0.05}, optimum(lambda text, place: max(ADVANTAGE[text] - 0.05, 0))),
        (ALOL, {}, fixed_point(ADVANTAGE, sequence=True)),
        (ALOLSeq, {}, fixed_point(ADVANTAGE, sequence=False)),
        (RLOL, {"eps": 0.5}, fixed_point(MAPPED, sequence=True, eps=0.5)),
    ],
)  # fmt: skip
def test_every_text_of_two_letters(tmp_path, algorithm, settings, expected):
    assert min(abs(ADVANTAGE[text] - 0.05) for text in TEXTS if ADVANTAGE[text]) > 0.1
    solved = Weighed(agent_of(algorithm, letters("ab"), **settings), SPOKEN, tmp_path).fit(steps=250, lr=0.4)
    found = texts(lambda prefix: solved.policy(saying=prefix))
    assert found == pytest.approx(said(expected), abs=5e-3)
    if algorithm is BC:
        assert found == pytest.approx({text: COUNTS[text] / N for text in TEXTS}, abs=2e-3)


@pytest.mark.parametrize("td_weight", [0.2, 0.5])
def test_iqlearn_finds_the_optimum_of_its_objective(td_weight: float):
    """mean - ln pi(a | s) + lambda (Q(s, a) - gamma V(s'))^2 over tables of logits, by another optimiser.

    gamma is .9, and .45 at the end of a turn. Some texts "b" were cut from outside when they ended: V goes on there.
    """
    vocabulary = ["^", "/", "|", "a", "b"]
    states = ["", "a", "b", "aa", "ab", "ba", "bb", "b|"]
    said_and_cut = [(text, False) for text in TEXTS for _ in range(COUNTS[text])] + [("b", True)] * 4
    logged = Counter[tuple[str, str, str | None]]()
    for text, cut in said_and_cut:
        for prefix, token in steps(text):
            logged[prefix, token, prefix + token if token != "|" or cut else None] += 1

    def objective(flat: np.ndarray) -> float:
        Q = flat.reshape(len(states), len(vocabulary))
        V, loss = logsumexp(Q, axis=1), 0.0
        for (prefix, token, after), count in logged.items():
            q, v = Q[states.index(prefix), vocabulary.index(token)], V[states.index(prefix)]
            ahead = 0.0 if after is None else (0.45 if token == "|" else 0.9) * V[states.index(after)]
            loss += count * (v - q + td_weight * (q - ahead) ** 2)
        return loss / logged.total()

    start = np.zeros(len(states) * len(vocabulary))
    table = minimize(objective, start, method="BFGS", options={"gtol": 1e-7}).x.reshape(len(states), len(vocabulary))
    expected = np.exp(table - logsumexp(table, axis=1, keepdims=True))

    agent = agent_of(IQLearn, letters("ab"), td_weight=td_weight, td_warmup=0, gamma=0.9, gamma_turn=0.5)
    solved = Solved(agent, [episode((text, 0.0), cut=cut) for text, cut in said_and_cut]).fit(steps=500, lr=0.4)
    for prefix, row in zip(states[:-1], expected, strict=False):
        policy = solved.policy(saying=prefix)
        assert [policy[token] for token in vocabulary] == pytest.approx(row.tolist(), abs=2e-3)
    cloned = {text: (COUNTS[text] + 4 * (text == "b")) / len(said_and_cut) for text in TEXTS}
    found = texts(lambda prefix: solved.policy(saying=prefix))
    assert max(abs(found[text] - cloned[text]) for text in TEXTS) > 0.01  # it is not cloning


def test_iqlearn_without_its_second_term_clones():
    solved = Solved(agent_of(IQLearn, letters("ab"), td_weight=0.0), SPOKEN).fit(steps=250, lr=0.4)
    found = texts(lambda prefix: solved.policy(saying=prefix))
    assert found == pytest.approx({text: COUNTS[text] / N for text in TEXTS}, abs=2e-3)
