"""Simulated Wordle players: their choices, their shares, and that their games are the environment's games."""

from __future__ import annotations

import collections
import itertools

import gymnasium
import numpy as np
import pytest

from lmrl_envs.core import Turn
from lmrl_envs.datasets import DatasetMetadata, write_dataset
from lmrl_envs.recipes import MIXES, SPLITS, find_recipe
from lmrl_envs.wordle import behaviours
from lmrl_envs.wordle.behaviours import Casual, held_out, mixture
from lmrl_envs.wordle.solvers import Entropy, RandomConsistent, Rules, exact_value, play
from lmrl_envs.wordle.words import load_words

HUMAN, EXPERT = "wordle/human-v0", "wordle/expert-v0"
TWITTER = [0.0068, 0.0623, 0.2289, 0.3181, 0.2338, 0.1214, 0.0287]
WORDS = ("crane", "slate", "mouse", "house", "louse", "rouse")


def episodes(dataset_id, games, split="train", **given):
    recipe = find_recipe(dataset_id)
    variant, _ = recipe.resolve(dataset_id, split, given)
    return list(recipe.episodes(dataset_id, split, variant, games))


@pytest.mark.parametrize(
    ("dataset_id", "words", "content_hash"),
    [
        (HUMAN, "common-40", "da8371565f832ad3eb15116fa97c25dde98c776e5d139ca734baad4dcec308db"),
        (HUMAN, "common-236", "d55902d50254fe742def0d1cc7b3cd8caaacaeaeb33f3489d69a2ab1c033cbc9"),
        (HUMAN, "common-2315", "e8f930aead5d2c8083b460c255cefc1e7943e645c6141690349e3cd9130c2bd5"),
        (EXPERT, "common-40", "20ed6d48b42193c2b91833d6586998f1775e97fa66eddc6d9d69d3fc4d384c7d"),
        (EXPERT, "common-2315", "0d2bdbd0a1a665e597cd2795e9f360f814b1bf41ee2cf6affaca2f0330196e3e"),
    ],
)
def test_content_is_the_same_on_every_machine(dataset_id, words, content_hash, tmp_path):
    games = episodes(dataset_id, 200, words=words)
    written = write_dataset(tmp_path / "games.parquet", games, DatasetMetadata(env_id="Wordle-v0"))
    assert written.metadata.content_hash == content_hash


@pytest.mark.parametrize("dataset_id", [HUMAN, EXPERT])
@pytest.mark.parametrize(
    "env_kwargs",
    [
        {"words": "common-40"},
        {"words": "common-236", "duplicates": "paper", "max_guesses": 3},
        {"words": WORDS, "guesses": "common-guesses"},
        {"words": ["crane"], "max_guesses": 1},
    ],
)
def test_games_replay_in_the_environment(dataset_id, env_kwargs):
    env = gymnasium.make("Wordle-v0", **env_kwargs)
    for episode in episodes(dataset_id, 60, **env_kwargs):
        _, info = env.reset(seed=episode.seed)
        turns = []
        for turn in episode.turns[::2]:
            _, reward, terminated, truncated, info = env.step(turn.text)
            turns += [Turn("agent", turn.text, reward), info["turns"][-1]]
        assert tuple(turns) == episode.turns == info["turns"]
        assert (terminated, truncated) == (episode.terminated, episode.truncated) == (True, False)
        assert {key: info[key] for key in ("success", "valid", "answer")} | {
            "behaviour": episode.info["behaviour"]
        } == episode.info


def test_a_game_depends_on_its_own_draws_alone(monkeypatch):
    games = episodes(HUMAN, 300, words="common-40")
    assert episodes(HUMAN, 120, words="common-40") == games[:120]
    monkeypatch.setattr(behaviours, "_BLOCK", 7)
    assert episodes(HUMAN, 300, words="common-40") == games


def test_each_player_has_its_share_and_its_name():
    games = episodes(HUMAN, 4000, words="common-40")
    counts = collections.Counter(game.info["behaviour"] for game in games)
    shares = {player.name: weight for player, weight in mixture(Rules(load_words("common-40")), MIXES["wide"])}
    assert counts.keys() == shares.keys() == {"entropy", "consistent", "noisy(0.25)", "noisy(0.5)", "noisy(1)"}
    for name, share in shares.items():
        assert counts[name] / 4000 == pytest.approx(share, abs=4 * (share * (1 - share) / 4000) ** 0.5)


def test_twitter_mix_plays_like_twitter():
    games = episodes(HUMAN, 20_000, "validation")
    returns = np.array([game.total_return for game in games])
    shares = [(returns == -k).mean() for k in range(7)]
    np.testing.assert_allclose(shares, TWITTER, atol=0.02)


def test_wide_mix_on_common_40():
    players = mixture(Rules(load_words("common-40")), MIXES["wide"])
    exact = sum(weight * exact_value(player) for player, weight in players)
    assert exact == pytest.approx(-2.5, abs=0.001)
    returns = np.array([game.total_return for game in episodes(HUMAN, 4000, words="common-40")])
    assert returns.mean() == pytest.approx(exact, abs=4 * returns.std() / 4000**0.5)
    assert all((returns == -k).mean() > 0.02 for k in range(7))  # every return from 0 to -6 is there


def test_expert_is_the_entropy_player():
    games = episodes(EXPERT, 400, words="common-40")
    rules = Rules(load_words("common-40"))
    guesses = play(Entropy(rules), np.arange(40), np.zeros((40, 6, 2)))
    expected = {rules.answers[answer]: [rules.guesses[g] for g in row if g >= 0] for answer, row in enumerate(guesses)}
    for game in games:
        assert [turn.text for turn in game.turns[::2]] == expected[game.info["answer"]]
        assert game.info["behaviour"] == "entropy"
    assert len({game.info["answer"] for game in games}) == 40


@pytest.mark.parametrize("dataset_id", [HUMAN, EXPERT])
def test_held_out_answers_are_in_test_alone(dataset_id):
    words = load_words("common-40")
    withheld = held_out(words)
    assert len(withheld) == 4
    answers = {
        split: {game.info["answer"] for game in episodes(dataset_id, 500, split, words=words, answers="held-out")}
        for split in SPLITS
    }
    assert answers["test"] == withheld
    assert answers["train"] == answers["validation"] == set(words) - withheld


def test_held_out_words_do_not_depend_on_the_order_of_the_list():
    words = load_words("common-236")
    assert held_out(words) == held_out(words[::-1])
    assert len(held_out(words)) == 24
    assert len(held_out(words[:2])) == 1
    with pytest.raises(ValueError, match="at least two words; use answers='all'"):
        held_out(words[:1])


@pytest.fixture
def casual():
    return Casual(Rules(WORDS, max_guesses=4), until=3, openers=["crane", "slate"])


def test_casual_player_opens_errs_and_takes_care(casual):
    rules, mouse = casual.rules, WORDS.index("mouse")
    openers = np.array([[0.49, 0.0], [0.51, 0.0]])
    boards = rules.start(2)
    assert casual.choose(boards, openers).tolist() == [0, 1]
    np.testing.assert_allclose(casual.probabilities(boards.possible[0], 0), [0.5, 0.5, 0, 0, 0, 0])

    crane = np.zeros(2, np.int64)
    boards = rules.advance(boards, crane, rules.table[crane, mouse])
    assert np.flatnonzero(boards.possible[0]).tolist() == [2, 3, 4]  # e last, no c, r, a, n: mouse, house, louse
    draws = np.array([[0.0, 0.49], [0.99, 0.51]])
    assert casual.choose(boards, draws).tolist() == [2, 4]
    np.testing.assert_allclose(casual.probabilities(boards.possible[0], 1), [0, 0, 1 / 3, 1 / 3, 1 / 3, 0])

    boards = rules.advance(boards, crane, rules.table[crane, mouse])  # the third guess: half are any word
    assert casual.choose(boards, draws).tolist() == [0, 4]
    np.testing.assert_allclose(casual.probabilities(boards.possible[0], 2), np.array([1, 1, 3, 3, 3, 1]) / 12)

    boards = rules.advance(boards, crane, rules.table[crane, mouse])
    assert casual.choose(boards, draws).tolist() == [2, 4]
    np.testing.assert_allclose(casual.probabilities(boards.possible[0], 3), [0, 0, 1 / 3, 1 / 3, 1 / 3, 0])


def test_casual_player_s_exact_value_is_the_mean_of_its_games(casual):
    rng = np.random.Generator(np.random.PCG64(0))
    answers = rng.integers(6, size=20_000)
    guesses = play(casual, answers, rng.random((20_000, 4, 2)))
    returns = -((guesses >= 0) & (guesses != answers[:, None])).sum(axis=1)
    assert returns.mean() == pytest.approx(exact_value(casual), abs=4 * returns.std() / 20_000**0.5)


def test_casual_player_that_opens_with_any_word_and_never_errs_is_the_consistent_one():
    rules = Rules(WORDS)
    rng = np.random.Generator(np.random.PCG64(1))
    answers, draws = rng.integers(6, size=500), rng.random((500, 6, 2))
    casual = Casual(rules, until=2, openers=WORDS)
    np.testing.assert_array_equal(play(casual, answers, draws), play(RandomConsistent(rules), answers, draws))


def test_openers_are_those_of_highest_entropy():
    players = [player for player, _ in mixture(Rules(load_words("common-2315")), MIXES["twitter"])]
    draws = np.array(list(itertools.product(np.arange(0.1, 1, 0.2), [0.0])))
    words = load_words("common-2315")
    for player in (players[0], players[-1]):
        opened = [words[guess] for guess in player.choose(player.rules.start(5), draws)]
        assert opened == ["raise", "slate", "crate", "stare", "trace"]
