"""Fitted Q evaluation on a problem solved by hand; the tree of logged games; estimates on three words."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from leaderboards import instruments
from leaderboards.estimators import effective_games, importance_weights
from leaderboards.fqe import FQEConfig, Outcomes, fit
from leaderboards.game_tree import CrowdChances, GameTree
from leaderboards.ope import ESTIMATORS, estimates, summary, told
from leaderboards.render import write
from leaderboards.targets import Drawn, Opening, Outsider, Softened, Target, thirty
from lmrl_envs.datasets import load_dataset
from lmrl_envs.recipes import MIXES
from lmrl_envs.wordle.behaviours import mixture, people
from lmrl_envs.wordle.exact import exact_value
from lmrl_envs.wordle.solvers import Noisy, Optimal, RandomConsistent, Rules
from lmrl_envs.wordle.task import WordleTask
from lmrl_envs.wordle.words import load_words

THREE = ["fight", "light", "might"]


@pytest.fixture(scope="module")
def games():
    torch.set_num_threads(1)
    return load_dataset("wordle/human-v0", words=THREE, mix="wide", games=600)


@pytest.fixture(scope="module")
def rules() -> Rules:
    return Rules(tuple(THREE))


def test_fitted_q_evaluation_by_hand():
    """From s0, a ends half of the time for 0 and else goes to s1 for -1, b always goes to s2 for -1.

    In s1, a earns 0 and b -1; in s2, a earns -2 and b -1.
    """
    torch.set_num_threads(1)
    transitions = [(0, 0, 0, -1), (0, 0, -1, 1), (0, 1, -1, 2), (0, 1, -1, 2)]
    transitions += [(1, 0, 0, -1), (1, 1, -1, -1), (2, 0, -2, -1), (2, 1, -1, -1)]
    state, action, reward, following = np.array(transitions).T
    outcomes = Outcomes.of(state, action, reward.astype(float), following, states=3)
    assert outcomes.times.tolist() == [2, 2, 1, 1, 1, 1]
    assert outcomes.reward.tolist() == [-0.5, -1, 0, -1, -2, -1]
    assert outcomes.next.toarray()[:2].tolist() == [[0, 0.5, 0], [0, 0, 1]]
    always_a, uniform = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    pi = np.stack([always_a, uniform], axis=-1).astype(np.float32)  # (A, P)
    fitted = fit(
        outcomes,
        np.array([[1], [2], [3]]),
        lambda states: np.broadcast_to(pi, (len(states), 2, 2)).copy(),
        (np.array([0, 0, 2]), np.array([0, 1, 1])),
        FQEConfig(width=16, steps=500, batch=8, lr=0.01, refresh=50),
    )
    np.testing.assert_allclose(fitted.v, [[-0.5, -1.625], [0, -0.5], [-2, -1.5]], atol=0.03)
    np.testing.assert_allclose(fitted.q, [[-0.5, -0.75], [-3, -2.5], [-1, -1]], atol=0.03)


def test_the_tree_holds_each_history_once(games, rules):
    tree = GameTree(games, rules)
    histories = {
        tuple(turn.text for turn in game.turns[:end]) for game in games for end in range(0, len(game.turns), 2)
    }
    assert len(tree) == len(histories)
    assert tree.live.sum() == sum(len(game.turns) // 2 for game in games)
    np.testing.assert_allclose(tree.reward.sum(1), games.returns)
    assert ((tree.next >= 0) == np.column_stack([tree.live[:, 1:], np.zeros(len(games), bool)])).all()
    # as many features as guesses made, and one that counts these
    assert ((tree.features > 0).sum(1) == tree.depth + 1).all()


def test_a_crowd_says_at_each_state_what_the_exact_one_says(games, rules):
    tree = GameTree(games, rules)
    crowd = CrowdChances(tree, mixture(rules, MIXES["wide"]))
    exact = people(WordleTask(words=THREE), "wide")
    for game in range(30):
        prefix = 1.0
        for turn, action in enumerate(games[game].turns[::2]):
            chances = exact.probabilities(games[game].turns[: 2 * turn])
            np.testing.assert_allclose(crowd.at(tree.state[game, turn : turn + 1])[0], chances, atol=1e-6)
            prefix *= chances[rules.index[action.text]]
            assert crowd.prefix()[game, turn] == pytest.approx(prefix)
    weights = importance_weights(crowd.prefix(), crowd.prefix())
    assert effective_games(weights) == pytest.approx(len(games))
    assert crowd.outside() == pytest.approx(0)


def test_thirty_policies_choose_by_their_chances():
    rules = Rules(load_words("common-40"))
    targets = thirty(rules)
    assert len(targets) == len({target.name for target in targets}) == 30
    rng = np.random.Generator(np.random.PCG64(0))
    boards = rules.advance(rules.start(400), np.zeros(400, np.int64), np.repeat(rules.table[0, 7], 400))
    for target in targets:
        assert sum(weight for _, weight in target.crowd) == pytest.approx(1)
        for player, _ in target.crowd:
            chances = player.probabilities(boards.possible[0], 1)
            assert chances.sum() == pytest.approx(1)
            if isinstance(player, Drawn):
                chosen = np.bincount(player.choose(boards, rng.random((400, 2))), minlength=len(chances)) / 400
                assert np.abs(chosen - chances).max() < 0.12
                assert not chosen[chances == 0].any()


def test_exact_returns_by_hand(rules):
    best = Optimal(rules)  # -1 after two guesses more at most: 0, -1 and -2 for the three words
    assert exact_value(best) == -1
    assert exact_value(Opening("fight", best, again=True)) == pytest.approx(-6 * 2 / 3)
    wider = Rules(tuple(THREE), (*THREE, "zebra"))
    assert exact_value(Outsider(wider, 1.0)) == -6
    # the first guess is none of the three and tells nothing
    assert exact_value(Opening("zebra", RandomConsistent(wider))) == pytest.approx(-2)
    assert exact_value(Softened(RandomConsistent(rules), 0.5)) == pytest.approx(exact_value(Noisy(rules, 0.5)))


def test_estimates_come_near_and_outsiders_have_none(games, rules):
    wider = Rules(tuple(THREE), (*THREE, "zebra"))
    players = [RandomConsistent(rules), Noisy(rules, 0.5), Outsider(wider, 1.0)]
    targets = [Target(player.name, "", [(player, 1.0)]) for player in players]
    rows = estimates(games, targets, FQEConfig(width=32, steps=600, batch=128, refresh=75))
    for player, row in zip(players[:2], rows, strict=False):
        for name in ("fqe", "pdwis", "dr"):
            assert row[name] == pytest.approx(exact_value(player), abs=0.2), name
        assert 50 < row["effective_games"] <= 600
        assert row["outside"] == pytest.approx(0)
    assert (rows[2]["pdwis"], rows[2]["dr"], rows[2]["effective_games"]) == (None, None, 0)
    assert rows[2]["outside"] == 1
    # the first word alone is judged, so that all words alike get people's return
    assert rows[0]["v_start"] == pytest.approx(games.returns.mean(), abs=0.2)


def test_the_summary_counts_what_is_close_of_all():
    rows = [
        {"policy": "x", "exact": -1.0, "fqe": -1.1, "pdwis": None, "dr": -1.0, "v_start": -2.0},
        {"policy": "y", "exact": -2.0, "fqe": -2.3, "pdwis": -2.0, "dr": -2.0, "v_start": -1.0},
    ]
    report = summary(rows)
    assert list(report) == list(ESTIMATORS)
    assert report["fqe"] == {
        "given": 2, "close": 1, "rmse": pytest.approx(np.sqrt(0.05)), "spearman": pytest.approx(1.0)
    }  # fmt: skip
    assert (report["pdwis"]["given"], report["pdwis"]["close"], report["pdwis"]["spearman"]) == (1, 1, None)
    assert report["v_start"]["spearman"] == pytest.approx(-1)
    json.dumps(report, allow_nan=False)
    record = {
        "policies": [{**row, "effective_games": 5.0, "outside": 0.0} for row in rows],
        "summary": report,
        "close": 0.15,
    }
    assert [table.row_count for table in told(record)] == [2, 4]


def test_estimates_stand_on_the_page(tmp_path):
    rows = [
        {"policy": "<b>x", "exact": -1.0, "fqe": -1.1, "pdwis": None, "dr": -1.0, "v_start": -3.0},
        {"policy": "y", "exact": -2.0, "fqe": -2.5, "pdwis": -2.0, "dr": -2.0, "v_start": -1.0},
    ]
    policies = [{**row, "effective_games": 5.0, "outside": 0.25} for row in rows]
    about = {"dataset": "wordle/human-v0", "variant": {"mix": "wide"}, "games": 2000, "close": 0.15}
    (tmp_path / "ope").mkdir()
    (tmp_path / "ope" / "some.json").write_text(json.dumps({**about, "policies": policies, "summary": summary(rows)}))
    (record,) = instruments.records(tmp_path)["ope"]
    drawn = instruments.scatter(record, "fqe")  # axes from -3 to -1, 100 units a point of return
    assert (drawn.low, drawn.high, drawn.band) == (-3.0, -1.0, 15.0)
    assert [(dot.x, dot.y, dot.close) for dot in drawn.dots] == [(200.0, 10.0, True), (100.0, 150.0, False)]
    assert instruments.scatter(record, "pdwis").missing == ["<b>x"]
    page = tmp_path / "page.html"
    write(tmp_path, page)
    text = page.read_text()
    assert '<circle cx="100.0" cy="150.0" r="3.2" class="missed">' in text
    assert text.count("<circle ") == 7
    assert "nothing to say of &lt;b&gt;x" in text
    assert "<b>x" not in text
    assert '<td class="n">1 of 2</td>' in text
