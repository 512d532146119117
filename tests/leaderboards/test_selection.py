"""Rankings of checkpoints by offline statistics, on numbers worked out by hand."""

from __future__ import annotations

import json

import pytest
import torch

from agents.ilql import ILQL, ILQLConfig
from agents.tokenizers import wordle_tokenizer
from leaderboards.scores import scored_turns
from leaderboards.selection import Point, of_scores, oriented, rankings, report, told
from lmrl_envs.datasets import load_dataset

NANO = {"n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 96}


def test_losses_are_negated_and_bookkeeping_is_left_out():
    point = {"step": 50, "tokens": 9, "seconds": 1.0, "score": -2.0, "loss": 0.5, "L_Q": 0.25, "V": -1.5}
    assert oriented(point) == {"loss": -0.5, "L_Q": -0.25, "V": -1.5}
    assert oriented({"validation_loss": 0.4}) == {"validation_loss": -0.4}


def test_ranks_and_regret_by_hand():
    scores = [-4.0, -3.0, -2.0, -1.0]
    v, loss = [1.0, 2.0, 4.0, 3.0], [5.0, 5.0, 5.0, 5.0]
    points = [Point("a", {"V": x, "loss": y}, score) for x, y, score in zip(v, loss, scores, strict=True)]
    (ranking,) = rankings(points)  # a constant statistic ranks nothing
    # one swap of neighbours in four: 1 - 6 * 2 / (4 * 15); the highest V has -2, the best is -1
    assert ranking == ("V", 1, 4, pytest.approx(0.8), 1.0)
    reverse = [Point("b", {"V": -x}, x) for x in scores]
    (both,) = rankings([*points, *reverse])
    assert (both.groups, both.checkpoints) == (2, 8)
    assert both.spearman == pytest.approx((0.8 - 1) / 2)
    assert both.regret == pytest.approx((1 + 3) / 2)
    assert rankings(points[:3]) == []  # too few
    assert rankings([point._replace(score=-1.0) for point in points]) == []


def test_results_are_ranked_within_runs_and_among_them(tmp_path, write_result):
    write_result("random", [-6.0, -5.0], kind="player")
    for seed, (loss, score) in enumerate([(0.9, -3.0), (0.8, -2.5), (0.7, -2.0), (0.6, -2.2)]):
        curve = [
            {"step": step, "tokens": step, "loss": 2.0 - step + loss, "score": score + step / 10}
            for step in range(1, 6)
        ]
        write_result("bc", [score] * 2, seed=seed, curve=curve)
    record = report([tmp_path / "runs"])
    assert (record["runs"], record["scored"]) == (4, 0)
    (within,) = record["looks"]
    assert (within["statistic"], within["groups"], within["checkpoints"]) == ("loss", 4, 20)
    assert within["spearman"] == pytest.approx(1)
    (among,) = record["algorithm"]
    assert among["spearman"] == pytest.approx(0.8)
    assert among["regret"] == pytest.approx(0.2)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert [table.row_count for table in told(record)] == [1, 1, 1]
    assert report([tmp_path / "nothing"])["task"] == []


def test_statistics_of_scores_are_those_of_their_tokens():
    torch.set_num_threads(1)
    agent = ILQL(ILQLConfig(model=NANO, gamma_turn=0.5), wordle_tokenizer(), seed=3).eval()
    games = load_dataset("wordle/human-v0", words=["fight", "light", "might"], mix="wide", games=70)
    found = of_scores(agent, games)
    turns = [scored_turns(agent, [game])[0] for game in games]
    errors, starts, advantages = [], [], []
    for game, scored in zip(games, turns, strict=True):
        q, v = ([value for turn in scored for value in turn[name]] for name in ("q", "v"))
        starts.append(v[0])
        advantages += [a - b for a, b in zip(q, v, strict=True)]
        rewards = [reward for turn in game.turns[::2] for reward in (0, 0, 0, 0, 0, turn.reward)]
        discounts = [discount for _ in scored for discount in (1, 1, 1, 1, 1, 0.5)]
        following = [*v[1:], 0.0]
        errors += [-((r + g * n - x) ** 2) for r, g, n, x in zip(rewards, discounts, following, q, strict=True)]
    assert found["V at the start"] == pytest.approx(sum(starts) / 70, abs=1e-3)
    assert found["advantage"] == pytest.approx(sum(advantages) / len(advantages), abs=1e-3)
    assert found["TD error"] == pytest.approx(sum(errors) / len(errors), abs=1e-3)
    assert found["log-likelihood"] < 0
