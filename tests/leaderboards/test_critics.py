"""Critics with known Q against values by hand on three words."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from agents import algorithm_class
from agents.batch import collate
from agents.bc import BC
from agents.ilql import ILQL, ILQLConfig
from agents.tokenizers import wordle_tokenizer
from leaderboards.critics import compare, end_of_turn_q, openers
from lmrl_envs.datasets import load_dataset
from lmrl_envs.wordle.tabular import opener_share

THREE = ["fight", "light", "might"]
NANO = {"n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 96}


def critic(**config) -> ILQL:
    torch.set_num_threads(1)
    return ILQL(ILQLConfig(model=NANO, **config), wordle_tokenizer(), seed=3)


def constant_critic(q: float, **config) -> ILQL:
    """Its heads say q and q + 5 of every end of a turn, and 99 of every letter."""
    agent = critic(**config)
    with torch.no_grad():
        for head, value in zip(agent.target_q, (q, q + 5), strict=True):
            head.out.weight.zero_()
            head.out.bias.fill_(99.0)
            head.out.bias[agent.tokenizer.eot_agent] = value
    return agent


@pytest.fixture(scope="module")
def validation():
    return load_dataset("wordle/human-v0", words=THREE, mix="wide", split="validation", games=120)


def best_q(turns, word, gamma_turn):
    """Q* on the three words, any of which tells itself from the others and nothing else."""

    def value(left, guesses):
        if guesses == 0 or left <= 1:
            return 0.0
        return (left - 1) / left * (-1 + gamma_turn * value(left - 1, guesses - 1))

    missed = {turn.text for turn in turns[::2]}
    left, guesses = 3 - len(missed), 6 - len(turns) // 2
    if word in missed:
        return -1 + (gamma_turn * value(left, guesses - 1) if guesses > 1 else 0.0)
    return (left - 1) / left * (-1 + (gamma_turn * value(left - 1, guesses - 1) if guesses > 1 else 0.0))


@pytest.mark.parametrize(
    ("config", "gamma_turn"), [({"gamma_turn": 0.5}, 0.5), ({"gamma": 0.9, "gamma_turn": 1.0}, 0.9**6)]
)
def test_a_constant_critic_by_hand(validation, config, gamma_turn):
    report = compare(constant_critic(-0.7, **config), validation)
    exact = [
        best_q(game.turns[: 2 * turn], action.text, gamma_turn)
        for game in validation
        for turn, action in enumerate(game.turns[::2])
    ]
    assert report["gamma_turn"] == pytest.approx(gamma_turn)
    assert report["turns"] == len(exact) == sum(len(game.turns) // 2 for game in validation)
    assert report["q"] == pytest.approx(-0.7)
    assert report["optimum"]["q"] == pytest.approx(np.mean(exact))
    assert report["optimum"]["rmse"] == pytest.approx(np.sqrt(np.mean((-0.7 - np.array(exact)) ** 2)))
    assert report["optimum"]["spearman"] is None
    assert report["people"]["q"] < report["optimum"]["q"]
    first = report["by_turn"][0]
    assert (first["turn"], first["turns"]) == (1, 120)
    assert first["optimum"]["q"] == pytest.approx(2 / 3 * (-1 - gamma_turn / 2))
    assert sum(row["turns"] for row in report["by_turn"]) == report["turns"]
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_regrets_in_own_games_sum_to_what_is_lost(validation):
    """An untrained agent writes no words: six invalid guesses, where -1 is the best."""
    regret = compare(critic(), validation)["regret"]
    assert regret["return"] == -6
    assert sum(regret["own"]) == pytest.approx(-1 - regret["return"])
    assert regret["own"][:3] == pytest.approx([1, 1, 1])  # after which three guesses are left, as many as needed
    assert len(regret["own"]) == 6
    assert regret["logged"][0] == pytest.approx(1)


def test_q_is_read_at_each_word_s_end(validation):
    agent = critic()
    games = list(validation[:20])
    for game, Q in zip(games, end_of_turn_q(agent, games), strict=True):
        row = agent.encode(game)
        ends = [t - 1 for t, token in enumerate(row.ids) if token == agent.tokenizer.eot_agent]
        expected = agent.score(collate([row])).q[0, ends]
        assert len(Q) == len(game.turns) // 2
        np.testing.assert_allclose(Q, expected.numpy(), atol=1e-5)


def test_openers_of_branching_data():
    data = load_dataset("wordle/branching-v0", words="common-40", games=20)
    report = openers(critic(), data)
    assert set(report["q"]) == {game.turns[0].text for game in data}
    assert len(set(report["q"].values())) == len(report["q"])
    assert report["share"] == opener_share(report["q"], data)
    assert 0 <= report["share"] <= 1
    assert json.loads(json.dumps(report, allow_nan=False)) == report


@pytest.mark.parametrize(
    ("dataset_id", "given"), [("wordle/expert-v0", {}), ("wordle/human-v0", {"answers": "held-out"})]
)
def test_other_data_have_no_exact_values(dataset_id, given):
    data = load_dataset(dataset_id, words=THREE, games=3, **given)
    with pytest.raises(
        ValueError, match=f"exact values are known of wordle/human-v0 with answers='all', got {dataset_id}"
    ):
        compare(critic(), data)


VALUE_AGENTS = ("ilql", "sarsa", "awr", "cql", "mc", "psi")


@pytest.mark.parametrize("name", VALUE_AGENTS)
def test_every_agent_with_values_says_q_at_a_word_s_end(validation, name):
    """Its guiding heads say -.7 and 4.3 there; of psi they are rewards divided by its scale."""
    torch.set_num_threads(1)
    cls = algorithm_class(name)
    agent = cls(cls.Config(model=NANO, gamma_turn=0.5), wordle_tokenizer(), seed=3)
    with torch.no_grad():
        for head, value in zip(agent.acting_q, (-0.7, 4.3), strict=True):
            head.out.weight.zero_()
            head.out.bias.fill_(99.0)
            head.out.bias[agent.tokenizer.eot_agent] = value
    expected = -0.7 * getattr(agent.config, "scale", 1.0)
    games = validation[:10]
    for game, Q in zip(games, end_of_turn_q(agent, games), strict=True):
        np.testing.assert_allclose(Q, [expected] * (len(game.turns) // 2), atol=1e-5)
    report = compare(agent, games)
    assert report["q"] == pytest.approx(expected)
    assert report["gamma_turn"] == 0.5
    assert sum(report["regret"]["own"]) == pytest.approx(-1 - report["regret"]["return"])
    preferred = openers(agent, load_dataset("wordle/branching-v0", words="common-40", games=4))
    assert list(preferred["q"].values()) == pytest.approx([expected] * len(preferred["q"]), abs=1e-5)


def test_agents_without_a_critic_are_refused(validation):
    agent = BC(BC.Config(model=NANO), wordle_tokenizer())
    with pytest.raises(ValueError, match="bc has no critic"):
        compare(agent, validation)
