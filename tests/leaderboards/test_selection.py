"""Rankings of checkpoints by offline statistics, on numbers worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.algorithm import TrainConfig
from agents.bc import BC
from agents.checkpoints import save_agent
from agents.ilql import ILQL, ILQLConfig
from agents.tokenizers import wordle_tokenizer
from leaderboards import greedy_play
from leaderboards.fqe import FQEConfig
from leaderboards.game_tree import GameTree
from leaderboards.instruments import rankings_by_statistic
from leaderboards.render import write
from leaderboards.scores import scored_turns
from leaderboards.selection import Point, of_scores, oriented, rankings, report, told
from lmrl_envs.core import Episode, Turn
from lmrl_envs.datasets import DatasetMetadata, TextDataset, load_dataset, write_dataset
from lmrl_envs.wordle.solvers import Rules
from lmrl_envs.wordle.task import WordleTask

NANO = {"n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 96}
THREE = ["fight", "light", "might"]


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


def game(*words: str) -> Episode:
    """A game of three words that differ in their first letter, so that every wrong guess is answered `bgggg`."""
    won = words[-1] == "might"
    turns = []
    for turn, word in enumerate(words, 1):
        last = won and turn == len(words)
        turns += [Turn("agent", word, 0.0 if last else -1.0), Turn("env", "ggggg" if last else "bgggg")]
    return Episode("Wordle-v0", None, tuple(turns), True, False, {})


@pytest.fixture
def logged(tmp_path) -> TextDataset:
    """Four games for `might`: two begin with `light`, one of them goes on with `fight`."""
    games = [game("might"), game("light", "might"), game("light", "fight", "might"), game("fight", "light", "might")]
    metadata = DatasetMetadata(env_id="Wordle-v0", env_kwargs={"words": THREE})
    return write_dataset(tmp_path / "games", games, metadata)


def test_words_are_followed_through_logged_games(logged):
    tree = GameTree(logged, Rules.of(WordleTask(words=THREE)))
    light, might = (tree.rules.index[word] for word in THREE[1:])
    histories = [[turn.text for turn in history[::2]] for history in greedy_play.histories_of(tree, logged)]
    assert sorted(histories) == [[], ["fight"], ["fight", "light"], ["light"], ["light", "fight"]]
    shares = greedy_play.logged_shares(tree)
    np.testing.assert_allclose(shares[:, :3], [[0.25] * 3, [0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.25] * 3])
    words = np.array([[light if not said else might, greedy_play.OTHER] for said in histories])
    follows = greedy_play.followed(tree, words)
    assert follows[:, 1:, 0].tolist() == [[0] * 5, [1] * 5, [0] * 5, [0] * 5]
    assert not follows[..., 1].any()
    chances = greedy_play.one_word(words, 3)(np.arange(len(tree)))
    assert chances[0, :, 0].tolist() == np.eye(3)[light].tolist()
    assert (chances[..., 1] == np.float32(1 / 3)).all()
    config = FQEConfig(width=16, steps=400, batch=4, lr=0.01, refresh=50)
    followed, outside = greedy_play.estimates(tree, words, config)
    # `light` earned -1 in half of all games' weight each; the one that is followed goes on with `might`
    assert followed["PDWIS"] == pytest.approx(-1)
    assert followed["doubly robust"] is not None
    assert outside["PDWIS"] is outside["doubly robust"] is None
    assert np.isfinite(outside["FQE"])


@pytest.fixture
def cloned(tmp_path, write_result) -> Path:
    """Four untrained agents with results, as a worker leaves them; the folder of runs."""
    torch.set_num_threads(1)
    task = {"name": "Wordle-v0-common-40", "env_id": "Wordle-v0", "env_kwargs": {"words": THREE},
            "dataset": "wordle/human-v0", "variant": {"words": THREE, "mix": "wide", "games": 300}}  # fmt: skip
    for seed in range(4):
        write_result("bc", [-3.0 - seed], seed=seed, curve=[{"step": 1, "loss": 1.0 + seed}])
        path = tmp_path / f"runs/quick/Wordle-v0-common-40/bc/seed{seed}/result.json"
        record = json.loads(path.read_text())
        record["run"] |= {"task": task, "source": "bc"}
        record["run"]["evaluation"]["decodings"]["greedy"] = {"temperature": 0.0}
        record["train"]["checkpoint"] = "train"
        path.write_text(json.dumps(record))
        save_agent(BC(TrainConfig(model=NANO), wordle_tokenizer(), seed=seed), path.parent / "train", trained={})
    return tmp_path / "runs"


def test_checkpoints_at_hand_are_scored_and_stand_on_the_page(cloned, tmp_path):
    assert report([cloned], games=30, suites=["another"])["runs"] == 0
    record = report([cloned], games=30, steps=20)
    assert (record["runs"], record["scored"], record["suites"]) == (4, 4, ["quick"])
    assert [row["score"] for row in record["checkpoints"]] == [-3, -4, -5, -6]
    assert all({"loss", "log-likelihood", "FQE"} <= row["statistics"].keys() for row in record["checkpoints"])
    (by_loss,) = [row for row in record["task"] if row["statistic"] == "loss"]
    assert by_loss["spearman"] == pytest.approx(1)

    kept = tmp_path / "results" / "selection" / "some.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps(record, allow_nan=False))
    named = rankings_by_statistic(record)
    assert next(iter(named)) == record["task"][0]["statistic"]
    looks, among, of_task = named["loss"]
    assert (looks, among["checkpoints"], of_task["checkpoints"]) == (None, 4, 4)
    page = tmp_path / "page.html"
    write(tmp_path / "nothing", page, tmp_path / "results")
    text = page.read_text()
    assert "Choosing without playing" in text
    assert '<th scope="row">loss</th><td class="n">–</td><td class="n">1.00<span>0.00 given away' in text
    assert "4 checkpoints scored on 30 held-out games" in text
