"""Branching datasets: which games there are, how each goes, and that they are the environment's games."""

from __future__ import annotations

import collections
import itertools

import gymnasium
import numpy as np
import pytest

from lmrl_envs.core import Turn
from lmrl_envs.datasets import DatasetMetadata, load_dataset, write_dataset
from lmrl_envs.recipes import SPLITS, find_recipe
from lmrl_envs.wordle import behaviours
from lmrl_envs.wordle.behaviours import expert_openers, held_out
from lmrl_envs.wordle.solvers import Entropy, Rules, play
from lmrl_envs.wordle.task import WordleTask
from lmrl_envs.wordle.words import load_words

BRANCHING, PAPER = "wordle/branching-v0", "wordle/branching-paper-v0"
OTHER = {BRANCHING: "staller", PAPER: "noisy(0.5)"}
BOTH = pytest.mark.parametrize("dataset_id", [BRANCHING, PAPER])


def episodes(dataset_id, games, split="train", **given):
    recipe = find_recipe(dataset_id)
    variant, _ = recipe.resolve(dataset_id, split, given)
    return list(recipe.episodes(dataset_id, split, variant, games))


def families(games):
    """The episodes of each expert game and its branches."""
    starts = [number for number, game in enumerate(games) if game.info["behaviour"] == "expert"]
    return [games[a:b] for a, b in itertools.pairwise([*starts, len(games)])]


def guesses(game):
    return [turn.text for turn in game.turns[::2]]


@pytest.fixture(scope="module", params=[BRANCHING, PAPER])
def made(request):
    return request.param, families(episodes(request.param, 200, words="common-40"))


@BOTH
def test_sizes_count_expert_games(dataset_id):
    assert [find_recipe(dataset_id).resolve(dataset_id, split, {})[1] for split in SPLITS] == [5_000, 250, 250]
    data = load_dataset(dataset_id, words="common-40", games=20)
    counts = collections.Counter(game.info["behaviour"] for game in data)
    assert counts["expert"] == 20
    assert counts[OTHER[dataset_id]] == 100
    assert 0 < counts["repeat"] < 100
    assert counts["repeat"] % 5 == 0
    assert len(data) == counts.total()
    assert data.to_pandas().behaviour.unique().tolist() == list(counts)


def test_each_expert_game_has_its_branches(made):
    dataset_id, found = made
    assert len(found) == 200
    for expert, *branches in found:
        repeats = 0 if len(guesses(expert)) <= 2 else 5
        assert [game.info["behaviour"] for game in branches] == ["repeat"] * repeats + [OTHER[dataset_id]] * 5
        for game in branches[:repeats]:
            first, second = guesses(expert)[:2]
            assert (game.seed, game.info["answer"]) == (expert.seed, expert.info["answer"])
            assert game.turns[:4] == expert.turns[:4]
            assert set(guesses(game)[2:]) <= {first, second}
            assert (len(guesses(game)), game.total_return) == (6, -6)
        assert len({game.seed for game in [expert, *branches[repeats:]]}) == 6


def test_repeated_words_are_drawn_anew_at_each_guess(made):
    first = [
        guess == guesses(game)[0]
        for family in made[1]
        for game in family
        if game.info["behaviour"] == "repeat"
        for guess in guesses(game)[2:]
    ]
    assert np.mean(first) == pytest.approx(0.5, abs=4 * 0.5 / len(first) ** 0.5)


def test_experts_are_entropy_players_with_five_openers(made):
    rules = Rules(load_words("common-40"))
    openers = Entropy(rules).openers(5)
    counts = collections.Counter(guesses(family[0])[0] for family in made[1])
    assert counts.keys() == set(openers)
    assert all(abs(n / 200 - 0.2) < 4 * (0.2 * 0.8 / 200) ** 0.5 for n in counts.values())
    for expert, *_ in made[1]:
        given = np.array([[rules.index[guesses(expert)[0]]]])
        answer = rules.answers.index(expert.info["answer"])
        if len(guesses(expert)) > 1:
            played = play(Entropy(rules), np.array([answer]), np.zeros((1, 6, 2)), given=given)
            assert guesses(expert) == [rules.guesses[guess] for guess in played[0] if guess >= 0]


def test_stallers_waste_two_guesses_and_then_are_consistent():
    task = WordleTask(words="common-40")
    games = [game for game in episodes(BRANCHING, 200, words="common-40") if game.info["behaviour"] == "staller"]
    assert {guesses(game)[0] for game in games} == set(task.answers) - set(expert_openers(task))
    for game in games:
        made = guesses(game)
        assert made[:3] == made[:1] * len(made[:3])
        for turn in range(3, len(made)):
            assert made[turn] in task.candidates(game.turns[: 2 * turn])


def test_the_paper_s_player_opens_with_any_word():
    games = [game for game in episodes(PAPER, 200, words="common-40") if game.info["behaviour"] == "noisy(0.5)"]
    assert {guesses(game)[0] for game in games} == set(load_words("common-40"))


@BOTH
@pytest.mark.parametrize("env_kwargs", [{"words": "common-40"}, {"words": "common-236", "max_guesses": 3}])
def test_games_replay_in_the_environment(dataset_id, env_kwargs):
    env = gymnasium.make("Wordle-v0", **env_kwargs)
    for game in episodes(dataset_id, 10, **env_kwargs):
        env.reset(seed=game.seed)
        turns = []
        for word in guesses(game):
            _, reward, terminated, _, info = env.step(word)
            turns += [Turn("agent", word, reward), info["turns"][-1]]
        assert tuple(turns) == game.turns
        assert terminated
        assert game.terminated
        assert {key: info[key] for key in ("success", "valid", "answer")} | {
            "behaviour": game.info["behaviour"]
        } == game.info


@BOTH
def test_a_smaller_dataset_is_the_beginning_of_a_larger_one(dataset_id, monkeypatch):
    games = episodes(dataset_id, 60, words="common-40")
    fewer = episodes(dataset_id, 25, words="common-40")
    assert fewer == games[: len(fewer)]
    monkeypatch.setattr(behaviours, "_BLOCK", 80)  # seven expert games
    assert episodes(dataset_id, 60, words="common-40") == games


@pytest.mark.parametrize(
    ("dataset_id", "words", "content_hash"),
    [
        (BRANCHING, "common-40", "7380091e219bf197fb6aa2663118d306121e9aed41ff4c4f4e3453804ed4ec1b"),
        (BRANCHING, "common-2315", "e6e5158b2eef2ab35081665873708bd110f47e254386cb23c27fc85ea8b06e97"),
        (PAPER, "common-40", "8889e265102962be947b6b59586bc23a6ed39872cd68ab96b126dbdf9d33f660"),
    ],
)
def test_content_is_the_same_on_every_machine(dataset_id, words, content_hash, tmp_path):
    games = episodes(dataset_id, 30, words=words)
    written = write_dataset(tmp_path / "games.parquet", games, DatasetMetadata(env_id="Wordle-v0"))
    assert written.metadata.content_hash == content_hash


def test_long_lists_have_twenty_openers():
    assert len(expert_openers(WordleTask(words="common-236"))) == 5
    assert len(expert_openers(WordleTask(words="common-2315"))) == 20


def test_splits_share_no_game_and_held_out_words_are_in_test_alone():
    withheld = held_out(load_words("common-40"))
    seeds, answers = {}, {}
    for split in SPLITS:
        games = episodes(BRANCHING, 60, split, words="common-40", answers="held-out")
        seeds[split] = {game.seed for game in games}
        answers[split] = {game.info["answer"] for game in games}
    assert len(set().union(*seeds.values())) == sum(map(len, seeds.values())) == 3 * 60 * 6
    assert answers["test"] <= withheld
    assert not (answers["train"] | answers["validation"]) & withheld


@BOTH
def test_games_too_short_to_branch_are_refused(dataset_id):
    with pytest.raises(ValueError, match="max_guesses must be at least 3, got 2"):
        episodes(dataset_id, 1, words="common-40", max_guesses=2)


def test_lists_without_a_word_for_the_staller_are_refused():
    with pytest.raises(ValueError, match=r"any of these 5 words.*at least 6 words"):
        episodes(BRANCHING, 1, words=load_words("common-40")[:5])
    assert episodes(PAPER, 1, words=load_words("common-40")[:5])
