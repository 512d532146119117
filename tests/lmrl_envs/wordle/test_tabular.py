"""Tabular backups by hand, against scipy, and the figures that branching data are made for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import expectile

from data_scripts import tabular_backup
from lmrl_envs.core import Episode, Turn
from lmrl_envs.datasets import DatasetMetadata, load_dataset, write_dataset
from lmrl_envs.wordle.rules import feedback
from lmrl_envs.wordle.tabular import STATES, LoggedStates, backups, expectiles, fits, opener_share
from lmrl_envs.wordle.task import WordleTask
from lmrl_envs.wordle.truth import truth

WORDS = ("fight", "light", "might")


def game(answer, *guesses, behaviour="expert"):
    turns = []
    for guess in guesses:
        turns += [Turn("agent", guess, -float(guess != answer)), Turn("env", feedback(guess, answer))]
    return Episode("Wordle-v0", 0, tuple(turns), True, False, {"behaviour": behaviour})


@pytest.fixture
def logged(tmp_path):
    """Opened with fight: found once, then light found twice and missed once. Opened with light: found once of two."""
    games = [
        game("fight", "fight"),
        game("light", "fight", "light"),
        game("light", "fight", "light"),
        game("might", "fight", "light", "might"),
        game("might", "fight", "might", behaviour="repeat"),
        game("light", "light", behaviour="staller"),
        game("fight", "light", "fight", behaviour="staller"),
    ]
    return write_dataset(tmp_path / "games.parquet", games, DatasetMetadata("Wordle-v0", {"words": WORDS}))


def test_expectiles_by_hand():
    # Of 0 and 1: tau (1 - v) = (1 - tau) v. Of -3, three times, and -1: tau (-1 - v) = (1 - tau) 3 (v + 3).
    values, counts, group = np.array([0.0, 1.0, -3.0, -1.0, -2.0]), np.array([1, 1, 3, 1, 7]), np.array([0, 0, 1, 1, 2])
    np.testing.assert_allclose(expectiles(values, counts, group, 0.5), [0.5, -2.5, -2.0], atol=1e-12)
    np.testing.assert_allclose(expectiles(values, counts, group, 0.8), [0.8, -2.6 / 1.4, -2.0], atol=1e-12)


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.7, 0.99])
def test_expectiles_are_scipy_s(tau):
    rng = np.random.Generator(np.random.PCG64(0))
    values, counts, group = rng.normal(size=500), rng.integers(1, 20, size=500), rng.integers(20, size=500)
    expected = [expectile(values[group == g], tau, weights=counts[group == g]) for g in range(20)]
    np.testing.assert_allclose(expectiles(values, counts, group, tau), expected, atol=1e-9)


@pytest.mark.parametrize("tau", [0.0, 1.0, 1.5])
def test_expectiles_lie_between_0_and_1(tau):
    with pytest.raises(ValueError, match=f"tau must lie between 0 and 1, got {tau}"):
        expectiles(np.zeros(1), np.ones(1), np.zeros(1, np.int64), tau)


def test_what_was_logged_is_counted(logged):
    tree = LoggedStates(logged)
    assert tree.words == ["fight", "light", "might", "might", "light", "fight"]
    assert tree.state.tolist() == [0, 1, 2, 1, 0, 3]
    assert tree.count.tolist() == [5, 3, 1, 1, 2, 1]
    assert tree.reward.tolist() == [-4, -1, 0, 0, -1, 0]
    assert tree.depth.tolist() == [0, 1, 2, 1]
    assert list(zip(tree.pair, tree.following, tree.times, strict=True)) == [(0, 1, 4), (1, 2, 1), (4, 3, 1)]
    assert tree.pairs([*game("might", "fight", "light", "might").turns]) == [0, 1, 2]
    assert tree.pairs([*game("might", "fight", "fight", "might").turns]) == [0, -1, -1]


def test_backups_by_hand(logged):
    tree = LoggedStates(logged)
    # After fight: Q(light) = -1/3, three times, and Q(might) = 0, once: tau (0 - v) = (1 - tau) 3 (v + 1/3).
    for tau, gamma_turn in ((0.5, 1.0), (0.9, 0.95)):
        v = -(1 - tau) / (3 - 2 * tau)
        expected = [(-4 + gamma_turn * 4 * v) / 5, -1 / 3, 0, 0, -1 / 2, 0]
        np.testing.assert_allclose(tree.backup(tau, gamma_turn), expected, atol=1e-12)
    assert tree.openers(tree.backup(0.5, 1.0)) == pytest.approx({"fight": -1.0, "light": -0.5})


def test_a_backup_by_letters_by_hand(tmp_path):
    """light and liked share their first two letters, might has its own; of all, fuzzy says the same: nothing."""
    guesses = [("light", "light"), ("liked", "light", "liked"), ("liked", "liked")]
    guesses += [("might", "light", "might"), ("light", "might", "light"), ("light", "liked", "light")]
    games = [game(answer, "fuzzy", *rest) for answer, *rest in guesses]
    about = DatasetMetadata("Wordle-v0", {"words": [*WORDS, "fuzzy", "liked"]})
    tree = LoggedStates(write_dataset(tmp_path / "games.parquet", games, about))
    (fuzzy,) = np.flatnonzero(tree.state == 0)
    light, liked, might = -2 / 3, -1 / 2, -1
    li = expectile([light, liked], 0.9, weights=[3, 2])
    by_letters, by_words = (tree.backup(0.9, 1.0, letters=letters)[fuzzy] for letters in (True, False))
    assert by_letters == pytest.approx(-1 + expectile([li, might], 0.9, weights=[5, 1]))
    assert by_words == pytest.approx(-1 + expectile([light, liked, might], 0.9, weights=[3, 2, 1]))
    assert by_letters > by_words


def test_states_that_the_hints_leave_the_same_are_one(tmp_path):
    """Neither order of two wrong words matters to what is left of four; the number of guesses does."""
    words = ["fight", "light", "might", "night"]
    games = [
        game("night", "fight", "light", "might", "night"),
        game("night", "light", "fight", "night"),
        game("might", "light", "fight", "night", "might"),
    ]
    about = DatasetMetadata("Wordle-v0", {"words": words})
    data = write_dataset(tmp_path / "games.parquet", games, about)
    by_board = LoggedStates(data, STATES["board"](data))
    assert len(by_board.depth) == 1 + 2 + 1 + 2
    assert len(LoggedStates(data).depth) == 1 + 2 + 2 + 2
    # With might and night left, might was wrong once, night right once and wrong once.
    two_left = by_board.state_of(games[0].turns[:4])
    assert two_left == by_board.state_of(games[1].turns[:4])
    Q = by_board.backup(0.5, 1.0)
    found = {by_board.words[pair]: Q[pair] for pair in np.flatnonzero(by_board.state == two_left)}
    assert found == {"might": -1.0, "night": -0.5}
    # light, then fight: two lost turns and V = -2/3 of the two words that were tried there three times.
    assert Q[by_board.pairs(games[1].turns)[0]] == pytest.approx(-2 - 2 / 3)


def test_a_table_s_agreement_with_exact_values_on_three_words():
    data = load_dataset("wordle/human-v0", words=WORDS, mix="wide", games=4000)
    other = load_dataset("wordle/human-v0", words=WORDS, mix="wide", split="validation", games=200)
    rows = fits(data, other, truth(other, gamma_turn=0.9), (0.5, 0.99), gamma_turn=0.9)
    assert [(row.states, row.letters, row.tau) for row in rows] == [
        (states, letters, tau) for states in STATES for letters in (False, True) for tau in (0.5, 0.99)
    ]
    by = {(row.states, row.letters, row.tau): row for row in rows}
    assert by["board", False, 0.5].known == 1 > by["history", False, 0.5].known > 0.9
    assert by["board", True, 0.99].optimum["rmse"] < 0.1 < by["board", True, 0.99].people["rmse"]
    assert by["board and player", False, 0.5].people["rmse"] < 0.1 < by["board and player", False, 0.5].optimum["rmse"]
    assert by["board and player", False, 0.5].people["spearman"] > by["board", False, 0.5].people["spearman"]
    assert by["board", True, 0.5].optimum == by["board", False, 0.5].optimum  # the mean of means is the mean


def test_the_greedy_policy_of_a_table(logged):
    tree, task = LoggedStates(logged), WordleTask(words=WORDS)
    policy = tree.policy(tree.backup(0.5, 1.0), task)
    missed = [Turn("agent", "fight", -1.0), Turn("env", "bgggg")]
    elsewhere = [Turn("agent", "might", -1.0), Turn("env", "bgggg")]
    assert policy.act([[], missed, elsewhere, [*missed, *elsewhere]]) == ["light", "might", "fight", "light"]


def test_ties_go_to_the_word_logged_more_often(tmp_path):
    games = [game("fight", "fight"), game("light", "light"), game("light", "light")]
    data = write_dataset(tmp_path / "games.parquet", games, DatasetMetadata("Wordle-v0", {"words": WORDS}))
    tree = LoggedStates(data)
    assert tree.policy(tree.backup(0.5, 1.0), WordleTask(words=WORDS)).act([[]]) == ["light"]


def test_opener_share_by_hand(logged):
    extra = [game("might", "might", behaviour="staller"), game("light", "light", behaviour="expert")]
    games = [*logged, *extra]
    # Experts: fight 4, light 1; others: light 2, might 1. Pairs of one word aside: 4*2 + 4*1 + 1*1 = 13.
    assert opener_share({"fight": -1.0, "light": -2.0, "might": -1.0}, games) == pytest.approx(8 / 13)
    assert opener_share({"fight": -1.0, "light": -0.5, "might": -1.0}, games) == pytest.approx(1 / 13)


def test_backups_separate_one_step_and_multi_step_methods_on_common_40():
    data = load_dataset("wordle/branching-v0", words="common-40", games=1500)
    rows = backups(data)
    assert [row.tau for row in rows] == [0.5, 0.7, 0.8, 0.9, 0.95]
    assert [row.share for row in rows] == sorted(row.share for row in rows)
    assert rows[0].share == 0
    assert rows[3].share == rows[4].share == 1
    assert rows[0].mean_return < -3
    assert rows[4].mean_return >= -1.4
    openers = {game.turns[0].text for game in data if game.info["behaviour"] == "expert"}
    assert [row.opener in openers for row in (rows[0], rows[4])] == [False, True]


@pytest.mark.slow
def test_backups_on_the_original_40_words(shared_data):
    """On another draw of such data, shares 0, 0, .71, 1, 1 and returns -3.5 and -1.33 are known."""
    data = load_dataset("wordle/branching-v0", words=shared_data / "wordle" / "tweet_words.txt")
    rows = backups(data)
    assert [row.share for row in rows] == pytest.approx([0, 0, 0.6, 1, 1], abs=0.15)
    assert rows[0].mean_return == pytest.approx(-3.5, abs=0.2)
    assert rows[4].mean_return == pytest.approx(-1.33, abs=0.03)


def test_the_command_prints_one_row_for_each_tau(capsys):
    tabular_backup.main(["--words", "common-40", "--games", "30", "--gamma-turn", "1"])
    head, columns, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("wordle/branching-v0, common-40: ")
    assert columns.split() == ["tau", "share", "return", "opener"]
    assert [row.split()[0] for row in rows] == ["0.5", "0.7", "0.8", "0.9", "0.95"]
    with pytest.raises(SystemExit, match="2"):
        tabular_backup.main(["--words", "comon-40"])
    assert "did you mean 'common-40'" in capsys.readouterr().err


def test_the_command_prints_agreement_with_exact_values_for_games_of_people(capsys):
    tabular_backup.main(
        ["--dataset", "wordle/human-v0", "--words", "common-40", "--games", "300", "--taus", ".5", ".9"]
    )
    head, _, columns, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("wordle/human-v0, common-40: 300 games")
    assert columns.split()[:4] == ["states", "by", "tau", "known"]
    assert len(rows) == 3 * 2 * 2
    assert rows[0].split()[:3] == ["history", "words", "0.5"]
