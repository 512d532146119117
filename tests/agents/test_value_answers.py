"""Agents with values, and DT, on problems whose answer is known. Their networks are tables: see `tabular.py`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp

from agents.batch import collate
from agents.cql import CQL
from agents.dt import DT
from agents.ilql import AWR, ILQL, SARSA
from agents.mc import MC
from agents.psi import Psi
from agents.tokenizers import wordle_tokenizer
from lmrl_envs.core import Turn
from lmrl_envs.wordle.tabular import expectiles
from tests.agents.tabular import NANO, Solved, episode, letters

FITTED = {"model": NANO, "gamma_turn": 1.0, "polyak": 0.5, "cql_weight": 0.0}


def expectile(values: list[float], counts: list[float], tau: float) -> float:
    return float(expectiles(np.array(values), np.array(counts), np.zeros(len(values), int), tau)[0])


def test_bandit_ilql_takes_the_best_arm_that_the_data_support():
    """Arms a, b, c. Nobody pulled c, of which a new table says 0, more than both others earned."""
    pulls = [episode(("a", -0.8))] * 50 + [episode(("b", -0.1))] * 5
    agent = ILQL(ILQL.Config(**{**FITTED, "cql_weight": 1e-3}, tau=0.999), letters("abc"))
    solved = Solved(agent, pulls).fit()
    assert solved.logged("v")["b"] == pytest.approx(expectile([-0.8, -0.1], [50, 5], 0.999), abs=5e-3)
    assert solved.logged("v")["b"] == pytest.approx(-0.1, abs=0.02)  # -> max over the arms that were pulled
    pulled = solved.policy(beta=50.0)
    assert pulled["b"] > 0.99
    assert solved.policy(beta=0.0)["b"] == pytest.approx(5 / 55, abs=1e-3)


# --- A choice between something safe and a branch that ends well for the few who know the way.

SHARES = {"goal": 18, "lava": 91, "safe": 91}  # of 200: .09, .455, .455
P = 18 / 109  # who branches, reaches the goal
WALKS = (
    [episode(("b", 0.0), "x", ("g", 1.0))] * SHARES["goal"]
    + [episode(("b", 0.0), "x", ("l", 0.0))] * SHARES["lava"]
    + [episode(("s", 0.5))] * SHARES["safe"]
)
CROSSROADS = letters("bglsx")


@pytest.mark.parametrize(
    ("agent", "branch"),
    [
        (SARSA(SARSA.Config(**FITTED), CROSSROADS), 0.165),
        (ILQL(ILQL.Config(**FITTED, tau=0.7), CROSSROADS), 0.316),
        (ILQL(ILQL.Config(**FITTED, tau=0.8), CROSSROADS), 0.442),
        (ILQL(ILQL.Config(**FITTED, tau=0.9), CROSSROADS), 0.640),
        (ILQL(ILQL.Config(**FITTED, tau=0.95), CROSSROADS), 0.790),
        (MC(MC.Config(**FITTED), CROSSROADS), 0.165),
        (CQL(CQL.Config(**FITTED), CROSSROADS), 1.0),
    ],
    ids=["sarsa", "ilql .7", "ilql .8", "ilql .9", "ilql .95", "mc", "cql"],
)  # fmt: skip
def test_branching_values(agent, branch: float):
    """The tau-expectile m of 1 with chance P and 0 else: tau P (1 - m) = (1 - tau) (1 - P) m. A maximum is 1."""
    solved = Solved(agent, WALKS).fit()
    Q = solved.logged("q")
    assert Q["b|"] == pytest.approx(branch, abs=1e-3)
    assert Q["b"] == pytest.approx(branch, abs=1e-3)  # saying b and then ending the turn are one way
    assert Q["s|"] == pytest.approx(0.5, abs=1e-3)
    assert (Q["b|x/g|"], Q["b|x/l|"]) == pytest.approx((1.0, 0.0), abs=1e-3)
    chosen = solved.policy(beta=100.0)
    assert max(chosen, key=chosen.__getitem__) == ("b" if branch > 0.5 else "s")


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "branch"), [(SARSA, 0.165), (ILQL, 0.640)])
def test_branching_values_of_a_network(algorithm, branch: float):
    """The same by a transformer: near it, since an expectile of .9 takes the noise of Q for good news."""
    shape = {"n_layer": 1, "n_head": 2, "n_embd": 32, "n_positions": 16}
    agent = algorithm(algorithm.Config(**{**FITTED, "model": shape, "polyak": 0.2}), CROSSROADS, seed=0)
    batch = collate([agent.encode(walk) for walk in WALKS])
    optimizer = torch.optim.Adam([p for p in agent.parameters() if p.requires_grad], lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    for step in range(300):
        agent.loss(batch)[0].backward()
        optimizer.step()
        optimizer.zero_grad()
        agent.after_step(step)
        schedule.step()
    Q = agent.score(batch).q
    assert Q[0, :2].tolist() == pytest.approx([branch] * 2, abs=0.06)
    assert Q[-1, :2].tolist() == pytest.approx([0.5] * 2, abs=0.03)


def test_branching_psi():
    """scale ln E exp(return / scale) under pi_beta, where SARSA has the mean and a maximum the best."""
    agent = Psi(Psi.Config(model=NANO, gamma_turn=1.0, polyak=0.5, scale=0.5), CROSSROADS)
    solved = Solved(agent, WALKS, cloned=True).fit()
    branch = math.log(P * math.exp(1 / 0.5) + (1 - P))
    weight = {"b": 109 * math.exp(branch), "s": 91 * math.exp(0.5 / 0.5)}
    assert solved.policy()["b"] == pytest.approx(weight["b"] / sum(weight.values()), abs=1e-3)
    assert solved.logged("q")["b"] == pytest.approx(0.5 * branch, abs=1e-3)
    assert solved.logged("v")["b"] == pytest.approx(0.5 * math.log(sum(weight.values()) / 200), abs=1e-3)


def test_branching_awr():
    """At the start, pi is proportional to n(a) min(exp(awr_beta u), clip), u from ILQL's values."""
    tau, awr_beta, clip = 0.9, 3.0, 1.4
    agent = AWR(AWR.Config(**FITTED, tau=tau, awr_beta=awr_beta, weight_clip=clip), CROSSROADS)
    solved = Solved(agent, WALKS).fit()
    Q = {"b": expectile([1.0, 0.0], [18, 91], tau), "s": 0.5}
    V = expectile([Q["b"], Q["s"]], [109, 91], tau)
    weight = {"b": 109 * min(math.exp(awr_beta * (Q["b"] - V)), clip), "s": 91 * math.exp(awr_beta * (Q["s"] - V))}
    assert solved.policy()["b"] == pytest.approx(weight["b"] / sum(weight.values()), abs=2e-3)
    advantage = 1.0 - Q["b"]
    assert math.exp(awr_beta * advantage) > clip  # so that the goal's weight is clipped
    after = solved.policy(Turn("agent", "b"), Turn("env", "x"))
    goal, lava = 18 * clip, 91 * math.exp(awr_beta * (0.0 - Q["b"]))
    assert after["g"] == pytest.approx(goal / (goal + lava), abs=2e-3)


# --- A chain: a earns 1, the environment says x, b earns 2. gamma = .9 a token, and .5 more at the end of a turn.

CHAIN = {"model": NANO, "gamma": 0.9, "gamma_turn": 0.5, "polyak": 0.5}
WHOLE = episode(("a", 1.0), "x", ("b", 2.0))
CUT = episode(("a", 1.0), "x", cut=True)
LOST = episode(("a", 1.0), "x")


@pytest.mark.parametrize("algorithm", [SARSA, ILQL, MC, CQL, Psi])
@pytest.mark.parametrize(("other", "after"), [(CUT, 1.81), (LOST, 1.405)], ids=["cut", "lost"])
def test_chain(algorithm, other, after: float):
    """b ends with 2, is worth .9 * 2 = 1.8 before that; a ends with 1 + .9 * .5 * 1.8 = 1.81.

    A row that was cut from outside after x goes on from there, and says 1.81 too; one that was lost there says 1, and
    (1 + 1.81) / 2 = 1.405. ILQL's targets are means too. (The prior of psi is certain here, so that its V is Q of what
    follows; its scale is 1.)
    """
    extra = {"scale": 1.0, "huber_delta": 10.0} if algorithm is Psi else {"cql_weight": 0.0}
    agent = algorithm(algorithm.Config(**CHAIN, **extra), letters("abx"))
    Q = Solved(agent, [WHOLE, other], cloned=True).fit().logged("q")
    exact = {"a": 0.9 * after, "a|": after, "a|x/b": 1.8, "a|x/b|": 2.0}
    assert exact == pytest.approx(Q, abs=1e-3)


# --- Every text of up to two letters of two, each with its count and reward; "ab" has two outcomes.

SPOKEN = [("", 0.5, 2), ("a", 1.0, 3), ("b", 2.0, 4), ("aa", 3.0, 1), ("ab", 0.2, 1), ("ab", 1.0, 1)]
SPOKEN += [("ba", 1.5, 3), ("bb", 2.5, 1)]
TEXTS = [episode((text, reward)) for text, reward, count in SPOKEN for _ in range(count)]
TWO = letters("ab")
GAMMA = 0.9
Backup = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, float]]


def solve(value: Backup) -> dict[str, float]:
    """Backward induction over the tree of texts: Q of each token that continues one, by the text up to and with it.

    `value` takes what the tokens of a state lead to, and their counts; it gives their Q and what V the state then has.
    """
    Q: dict[str, float] = {}

    def visit(said: str) -> float:
        counts, leads = [], []
        tokens = [token for token in "|ab" if any((text + "|").startswith(said + token) for text, _, _ in SPOKEN)]
        for token in tokens:
            logged = [(r, n) for text, r, n in SPOKEN if (text + "|").startswith(said + token)]
            counts.append(sum(n for _, n in logged))
            leads.append(sum(r * n for r, n in logged) / counts[-1] if token == "|" else GAMMA * visit(said + token))
        found, V = value(np.array(leads), np.array(counts))
        Q.update(zip([said + token for token in tokens], found, strict=True))
        return V

    visit("")
    return Q


@pytest.mark.parametrize("tau", [0.5, 0.8])
def test_every_text_ilql(tau: float):
    """Q and V by backward induction, and the policy pi_beta exp(beta (Q - V)) token by token."""
    exact = solve(lambda y, n: (y, expectile(y.tolist(), n.tolist(), tau)))
    agent = ILQL(ILQL.Config(**FITTED, gamma=GAMMA, tau=tau), TWO)
    solved = Solved(agent, TEXTS).fit()
    assert solved.logged("q") == pytest.approx(exact, abs=2e-3)
    for said, counts in (("", [2, 6, 8]), ("a", [3, 1, 2])):  # how often each of | a b follows
        weight = np.array(counts) * np.exp(3.0 * np.array([exact[said + token] for token in "|ab"]))
        chosen = solved.policy(saying=said, beta=3.0)
        assert [chosen[token] for token in "|ab"] == pytest.approx((weight / weight.sum()).tolist(), abs=3e-3)


def test_every_text_mc():
    """The mean discounted return: gamma^2, gamma or 1 times the reward, by how many tokens are still to come."""
    solved = Solved(MC(MC.Config(**FITTED, gamma=GAMMA), TWO), TEXTS).fit()
    Q = solved.logged("q")
    assert Q["ab|"] == pytest.approx((0.2 + 1.0) / 2, abs=1e-3)
    assert Q["b"] == pytest.approx((4 * 0.9 * 2.0 + 3 * 0.81 * 1.5 + 1 * 0.81 * 2.5) / 8, abs=1e-3)
    assert solved.logged("v")["b"] == pytest.approx(
        (2 * 0.5 + 3 * 0.9 + 4 * 1.8 + 0.81 * (3.0 + 0.2 + 1.0 + 3 * 1.5 + 2.5)) / 16, abs=1e-3
    )


@pytest.mark.parametrize("w", [0.0, 0.3])
def test_every_text_cql(w: float):
    """At each state the minimum of 2 sum_a p(a) (y - Q)^2 + 2 w (ln sum exp Q - sum_a p(a) Q), which scipy finds.

    Both heads are alike. Tokens that nobody wrote are pushed down without end, and so leave the sum; w = 0 is Q*.
    """

    def value(y: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, float]:
        p = n / n.sum()
        Q = minimize(lambda q: p @ (y - q) ** 2 + w * (logsumexp(q) - p @ q), y, method="BFGS", tol=1e-10).x
        return Q, float(Q.max())

    agent = CQL(CQL.Config(**{**FITTED, "cql_weight": w}, gamma=GAMMA), TWO)
    solved = Solved(agent, TEXTS).fit(300)
    assert solved.logged("q") == pytest.approx(solve(value), abs=5e-3)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_every_text_psi(scale: float):
    """The maximum of E r / scale - KL(pi || pi_beta) over all distributions of texts is pi_beta exp(r / scale)."""
    settings = {"gamma_turn": 1.0, "polyak": 0.5, "scale": scale, "huber_delta": 100.0}
    solved = Solved(Psi(Psi.Config(model=NANO, **settings), TWO), TEXTS, cloned=True).fit()
    weight = {}
    for text in {text for text, _, _ in SPOKEN}:
        count = sum(n for t, _, n in SPOKEN if t == text)
        weight[text] = count * math.exp(sum(r * n for t, r, n in SPOKEN if t == text) / count / scale)
    for text, exact in weight.items():
        chance = math.prod(solved.policy(saying=text[:i])[token] for i, token in enumerate(text + "|"))
        assert chance == pytest.approx(exact / sum(weight.values()), abs=2e-3)
    paper = solved.policy(decode="paper", beta=1.0)  # multiplies the prior in once more
    twice = {token: n * solved.policy()[token] for token, n in zip("|ab", (2, 6, 8), strict=True)}
    assert paper["b"] == pytest.approx(twice["b"] / sum(twice.values()), abs=1e-3)


@pytest.mark.parametrize("to_go", [False, True])
def test_dt_plays_as_those_who_got_the_target(to_go: bool):
    """P(first, second | R): of the four games that end with 2, three begin with a, and these go on with c."""
    games = [(("a", 1.0), ("c", 1.0))] * 3 + [(("c", 0.0), ("c", 2.0))] + [(("c", 0.0), ("a", 0.0))] * 2
    episodes = [episode(one, "y", two) for one, two in games]
    agent = DT(DT.Config(model=NANO, to_go=to_go), wordle_tokenizer())
    solved = Solved(agent, episodes).fit()
    assert solved.policy(target_return=2.0)["a"] == pytest.approx(0.75, abs=5e-3)
    assert solved.policy(target_return=0.0)["c"] == pytest.approx(1.0, abs=5e-3)
    began = (Turn("agent", "c", 0.0), Turn("env", "y"))
    assert solved.policy(*began, target_return=2.0)["c"] == pytest.approx(1.0, abs=5e-3)
    assert solved.policy(*began, target_return=0.0)["a"] == pytest.approx(1.0, abs=5e-3)
