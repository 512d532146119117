"""Exact values at any history: by hand on a few words, by enumeration, and against games."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from lmrl_envs.core import Episode, Turn
from lmrl_envs.datasets import load_dataset
from lmrl_envs.wordle.behaviours import people
from lmrl_envs.wordle.rules import WIN_CODE, feedback
from lmrl_envs.wordle.solvers import (
    Boards,
    CrowdTable,
    Entropy,
    ExactTable,
    Noisy,
    Optimal,
    Player,
    PlayerPolicy,
    PlayerValues,
    RandomConsistent,
    RandomWord,
    RepeatFirstTwo,
    Rules,
    Staller,
    exact_value,
    loss_floor,
    play,
    playout_values,
)
from lmrl_envs.wordle.task import WordleTask
from lmrl_envs.wordle.words import load_words

TWO, THREE = ("crane", "slate"), ("fight", "light", "might")
COMMON_40 = WordleTask(words="common-40")
RULES_40 = Rules.of(COMMON_40)


def history(answer: str, *guesses: str) -> tuple[Turn, ...]:
    return tuple(
        turn for guess in guesses for turn in (Turn("agent", guess, -1.0), Turn("env", feedback(guess, answer)))
    )


def table(task: WordleTask, player: type[Player] | None = None, *, gamma_turn: float = 1.0) -> ExactTable:
    rules = Rules.of(task)
    if player is None:
        return ExactTable(task, Optimal(rules, gamma_turn=gamma_turn))
    return ExactTable(task, PlayerValues(player(rules), gamma_turn=gamma_turn))


@pytest.fixture(scope="module")
def three() -> WordleTask:
    return WordleTask(words=THREE)


# The best player


@pytest.mark.parametrize("gamma_turn", [1.0, 0.5])
def test_best_values_by_hand(three: WordleTask, gamma_turn: float) -> None:
    best, missed = table(three, gamma_turn=gamma_turn), history("might", "fight")
    # Any word wins a third of the games; of the two that are left, any wins half.
    value = 2 / 3 * (-1 - gamma_turn / 2)
    assert best.v(()) == pytest.approx(value)
    assert best.q((), "light") == pytest.approx(value)
    assert best.v(missed) == best.q(missed, "light") == pytest.approx(-1 / 2)
    assert best.q(missed, "fight") == pytest.approx(-1 - gamma_turn / 2)  # tells nothing new
    assert best.v(history("might", "fight", "light")) == 0
    assert best.v(history("might", "might")) == 0  # the game is over
    assert best.v(history("might", *["fight"] * 6)) == 0
    assert best.q(history("might", *["fight"] * 5), "fight") == -1  # the last guess


def test_guesses_outside_the_list_are_put_to_the_task(three: WordleTask) -> None:
    best = table(three, gamma_turn=0.5)
    assert best.q((), "flume") == -1  # gbbbb, bybbb or bbbyb: it tells the three apart
    assert best.q((), "flumes") == pytest.approx(-1 + 0.5 * best.v(()))  # invalid
    assert best.q((), " LIGHT ") == pytest.approx(best.q((), "light"))
    strict = WordleTask(words=THREE, guesses=THREE)
    assert table(strict, gamma_turn=0.5).q((), "flume") == pytest.approx(-1 + 0.5 * best.v(()))


def test_histories_with_guesses_outside_the_list(three: WordleTask) -> None:
    best = table(three)
    assert best.v(history("might", "flume")) == 0
    invalid = (Turn("agent", "flumes", -1.0), Turn("env", "invalid"))
    assert best.v(invalid) == pytest.approx(best.v(()))
    with pytest.raises(ValueError, match="no answer agrees with this history"):
        best.v((Turn("agent", "fight"), Turn("env", "ggggb")))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gamma_turn", [0.95, 0.6])
def test_discounted_optimum_by_enumeration(seed: int, gamma_turn: float) -> None:
    rng = np.random.Generator(np.random.PCG64(seed))
    words = [load_words("common-236")[i] for i in rng.permutation(236)[: rng.integers(2, 9)]]
    kin = ["fight", "light", "might", "night", "sight", "eight"][: rng.integers(0, 7)]
    rules = Rules((*words[: len(words) // 2 + 1], *kin), (*words, *kin), max_guesses=int(rng.integers(1, 6)))

    @cache
    def value(possible: tuple[int, ...], left: int) -> float:
        if left == 0:
            return 0.0
        values = []
        for row in rules.table.tolist():
            parts: dict[int, list[int]] = {}
            for answer in possible:
                parts.setdefault(row[answer], []).append(answer)
            later = (
                len(part) * (gamma_turn * value(tuple(part), left - 1) - 1)
                for code, part in parts.items()
                if code != WIN_CODE
            )
            values.append(sum(later) / len(possible))
        return max(values)

    optimal = Optimal(rules, gamma_turn=gamma_turn)
    assert optimal.value() == pytest.approx(value(tuple(range(len(rules.answers))), rules.max_guesses), abs=1e-12)
    assert exact_value(optimal, gamma_turn=gamma_turn) == pytest.approx(optimal.value(), abs=1e-12)


def test_the_best_value_is_that_of_the_best_guess() -> None:
    best = table(COMMON_40, gamma_turn=0.95)
    for turns in ((), history("about", "windy"), history("crush", "windy", "windy")):
        assert best.v(turns) == pytest.approx(max(best.q(turns, word) for word in COMMON_40.answers))


@pytest.mark.parametrize("gamma_turn", [0.0, 1.1])
def test_discounts_that_make_no_sense_are_refused(gamma_turn: float) -> None:
    with pytest.raises(ValueError, match="gamma_turn must be above 0 and at most 1"):
        Optimal(Rules(THREE), gamma_turn=gamma_turn)


# Players


def test_values_of_random_players_by_hand(three: WordleTask) -> None:
    careful, missed = table(three, RandomConsistent, gamma_turn=0.5), history("might", "fight")
    assert careful.v(()) == pytest.approx(-2.5 / 3)
    assert careful.v(missed) == pytest.approx(-1 / 2)
    assert careful.q(missed, "fight") == pytest.approx(-1 + 0.5 * (-1 / 2))
    careless = table(WordleTask(words=TWO), RandomWord)
    assert careless.v(history("crane", "slate")) == pytest.approx(-sum(0.5**t for t in range(1, 6)))  # five guesses


def test_values_of_a_staller_by_hand() -> None:
    task = WordleTask(words=TWO)
    staller = table(task, Staller, gamma_turn=0.5)
    assert staller.v(()) == pytest.approx(0.5 * -1.75)  # a miss is repeated twice: -1 - .5 - .25
    assert staller.v(history("crane", "slate")) == pytest.approx(-1.5)
    assert staller.v(history("crane", "slate", "slate", "slate")) == 0
    assert ExactTable(task, PlayerValues(Staller(Rules(TWO), avoid=["crane"]))).v(()) == pytest.approx(-1.5)


def test_values_of_a_repeating_player_by_hand(three: WordleTask) -> None:
    repeating = table(three, RepeatFirstTwo)
    # Won at the first or the second guess in a third of the games each, else lost.
    assert repeating.v(()) == pytest.approx(-(0 + 1 + 6) / 3)
    assert repeating.v(history("might", "fight", "light")) == -4
    assert repeating.q(history("might", "fight"), "light") == pytest.approx(-5 / 2)  # now or never
    assert repeating.v(history("might", "fight", "fight")) == -4


@pytest.mark.parametrize(
    "player",
    [Staller(RULES_40, avoid=Entropy(RULES_40).openers(5)), RepeatFirstTwo(RULES_40)],
    ids=lambda player: player.name,
)
def test_players_with_a_memory_against_games(player: Player) -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    answers = rng.integers(40, size=20_000)
    guesses = play(player, answers, rng.random((20_000, 6, 2)))
    wrong = (guesses >= 0) & (guesses != answers[:, None])
    for gamma_turn in (1.0, 0.5):
        returns = -(wrong * gamma_turn ** np.arange(6)).sum(axis=1)
        value = exact_value(player, gamma_turn=gamma_turn)
        assert returns.mean() == pytest.approx(value, abs=4 * returns.std() / 20_000**0.5)


@pytest.mark.parametrize("played", [[], [3], [3, 9], [3, 9, 3], [-1], [-1, 9], [3, 9, 3, 9]], ids=str)
@pytest.mark.parametrize("player", [Staller(RULES_40), RepeatFirstTwo(RULES_40)], ids=lambda player: player.name)
def test_choices_of_players_with_a_memory_have_their_chances(player: Player, played: list[int]) -> None:
    possible = RULES_40.table[12] == RULES_40.table[12, 20]
    n = 5_000
    boards = Boards(np.tile(possible, (n, 1)), np.tile(np.array(played, np.int64), (n, 1)))
    chosen = player.choose(boards, np.random.Generator(np.random.PCG64(1)).random((n, 2)))
    chances = player.chances(possible, played)
    assert chances.sum() == pytest.approx(1)
    assert (
        np.abs(np.bincount(chosen, minlength=40) / n - chances).max()
        <= 5 * (chances * (1 - chances)).max() ** 0.5 / n**0.5
    )


def test_players_whose_chances_are_unknown_have_no_values() -> None:
    class Shy(Player):
        name = "shy"

        def choose(self, boards: Boards, uniforms: np.ndarray) -> np.ndarray:
            return np.zeros(len(boards.possible), np.int64)

    with pytest.raises(NotImplementedError, match="shy has no exact values"):
        exact_value(Shy(Rules(THREE)))


# Crowds


@pytest.fixture(scope="module")
def two_kinds() -> CrowdTable:
    """Half careful, half careless, on two words."""
    rules = Rules(TWO)
    return CrowdTable(WordleTask(words=TWO), [(RandomConsistent(rules), 0.5), (RandomWord(rules), 0.5)])


def test_what_was_guessed_tells_who_plays(two_kinds: CrowdTable) -> None:
    missed = history("slate", "crane")
    assert two_kinds.posterior(()).tolist() == [0.5, 0.5]
    assert two_kinds.posterior(missed).tolist() == [0.5, 0.5]
    # The careful now know the word; half of the careless find it, too.
    np.testing.assert_allclose(two_kinds.probabilities(missed), [0.25, 0.75])
    np.testing.assert_allclose(two_kinds.posterior([*missed, Turn("agent", "slate")]), [2 / 3, 1 / 3])
    np.testing.assert_allclose(two_kinds.posterior([*missed, Turn("agent", "crane")]), [0, 1])
    # Who misses again is careless: -1, and four more guesses at a half.
    assert two_kinds.q(missed, "crane") == pytest.approx(-1 - sum(0.5**t for t in range(1, 5)))
    assert two_kinds.q(missed, "slate") == 0
    assert two_kinds.v(missed) == pytest.approx(0.25 * two_kinds.q(missed, "crane"))


def test_a_crowd_s_value_is_the_mean_of_its_q() -> None:
    rules = RULES_40
    avoid = Entropy(rules).openers(5)
    players = [(Entropy(rules), 0.2), (Staller(rules, avoid=avoid), 0.5), (RandomConsistent(rules), 0.3)]
    crowd = CrowdTable(COMMON_40, players, gamma_turn=0.95)
    assert crowd.v(()) == pytest.approx(sum(w * exact_value(player, gamma_turn=0.95) for player, w in players))
    for turns in (
        (),
        history("about", "windy"),
        history("about", "windy", "windy"),
        history("about", "windy", "crush"),
    ):
        if "crush" in [turn.text for turn in turns]:
            assert crowd.posterior(turns)[1] == 0  # a staller would have repeated windy
        chances = crowd.probabilities(turns)
        assert chances.sum() == pytest.approx(1)
        mean = sum(p * crowd.q(turns, word) for p, word in zip(chances, rules.guesses, strict=True) if p)
        assert crowd.v(turns) == pytest.approx(mean)


def test_histories_that_no_player_has_are_refused(two_kinds: CrowdTable) -> None:
    with pytest.raises(ValueError, match="no player of the crowd guesses 'flume'"):
        two_kinds.q((), "flume")
    careful = CrowdTable(WordleTask(words=TWO), [(RandomConsistent(Rules(TWO)), 1.0)])
    with pytest.raises(ValueError, match=r"guesses 'crane' after \('crane', 'bbgbg'\)"):
        careful.v(history("slate", "crane", "crane"))


# The least loss


def test_loss_floor_by_hand(two_kinds: CrowdTable) -> None:
    """One game of one turn; one of two, the second at chances 1/4 and 3/4."""
    games = [
        Episode("Wordle-v0", 0, history("crane", "crane"), True, False, {}),
        Episode("Wordle-v0", 1, history("slate", "crane", "slate"), True, False, {}),
    ]
    first, second = np.log(2), 0.25 * np.log(4) + 0.75 * np.log(4 / 3)
    floor = loss_floor(two_kinds, games)
    assert floor.entropy == pytest.approx((2 * first + second) / 3 / 6)
    assert floor.loss == pytest.approx((2 * first + np.log(4 / 3)) / 3 / 6)
    # Ratio of sums: the first game is (first - m) off, the second minus that.
    m = (2 * first + second) / 3
    assert floor.standard_error == pytest.approx(2**0.5 * (first - m) / 3 / 6)
    assert loss_floor(two_kinds, games, tokens_per_turn=1).entropy == pytest.approx(6 * floor.entropy)


def test_loss_floor_of_simulated_people() -> None:
    """Chances are the players' own: entropy and surprisal have the same mean."""
    games = load_dataset("wordle/human-v0", words="common-40", split="validation", games=300)
    floor = loss_floor(people(COMMON_40, "wide"), games)
    assert floor.entropy == pytest.approx(0.476, abs=4 * floor.standard_error)
    assert floor.loss == pytest.approx(floor.entropy, abs=0.03)
    assert floor.standard_error < 0.01


# Deterministic agents


def test_playing_out_gives_the_values_of_the_player() -> None:
    rules = RULES_40
    exact = ExactTable(COMMON_40, PlayerValues(Entropy(rules), gamma_turn=0.9))
    histories = [(), history("about", "windy"), history("crush", "windy", "windy"), history("crush", "zebra")]
    policy = PlayerPolicy(Entropy(rules))
    values = playout_values(policy, COMMON_40, histories, gamma_turn=0.9)
    np.testing.assert_allclose(values, [exact.v(turns) for turns in histories])
    guesses = ["panic", "panic", "zebra", "no word"]
    values = playout_values(policy, COMMON_40, histories, guesses, gamma_turn=0.9)
    np.testing.assert_allclose(values, [exact.q(*pair) for pair in zip(histories, guesses, strict=True)])


def test_playing_out_asks_about_each_history_once(three: WordleTask) -> None:
    class Counting:
        """Plays the words in the order of the list, and counts histories."""

        asked = 0

        def act(self, histories: list) -> list[str]:
            self.asked += len(histories)
            return [THREE[len(turns) // 2] for turns in histories]

    policy = Counting()
    np.testing.assert_allclose(playout_values(policy, three, [()]), [-1])
    assert policy.asked == 3  # the start, after one miss, after two


def test_a_crowd_of_one_is_its_player() -> None:
    player = Noisy(Rules(THREE), 0.4)
    crowd = CrowdTable(WordleTask(words=THREE), [(player, 1.0)], gamma_turn=0.7)
    alone = ExactTable(WordleTask(words=THREE), PlayerValues(player, gamma_turn=0.7))
    for turns in ((), history("might", "fight"), history("might", "fight", "fight")):
        assert crowd.v(turns) == pytest.approx(alone.v(turns))
        assert crowd.q(turns, "light") == pytest.approx(alone.q(turns, "light"))
