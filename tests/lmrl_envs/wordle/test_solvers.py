"""Players against hand-made games, known totals and simulation; the optimum against enumeration."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from lmrl_envs.core import EpisodeKey, Turn
from lmrl_envs.evaluate import evaluate, rollout
from lmrl_envs.registration import reference_scores
from lmrl_envs.wordle.rules import PATTERN_CODES, WIN_CODE, feedback
from lmrl_envs.wordle.solvers import (
    Boards,
    Entropy,
    MarkovPlayer,
    Noisy,
    Optimal,
    Player,
    PlayerPolicy,
    RandomConsistent,
    RandomWord,
    RepeatFirstTwo,
    Rules,
    Staller,
    exact_value,
    play,
)
from lmrl_envs.wordle.task import WordleTask
from lmrl_envs.wordle.words import load_words

THREE = ("fight", "light", "might")
FOUR = (*THREE, "night")
HELPED = (*FOUR, "flume")  # flume tells the four apart
COMMON_40 = Rules(load_words("common-40"))


def code(pattern: str) -> int:
    return PATTERN_CODES[pattern]


def uniforms(games: int, rules: Rules, seed: int = 0) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).random((games, rules.max_guesses, 2))


def wrong_guesses(rules: Rules, guesses: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """(N,) minus the returns."""
    return np.count_nonzero((guesses >= 0) & (guesses != rules.guess_of_answer[answers][:, None]), axis=1)


def returns(player: Player, games: int, seed: int = 0) -> np.ndarray:
    rules = player.rules
    answers = np.random.Generator(np.random.PCG64(seed)).integers(len(rules.answers), size=games)
    return -wrong_guesses(rules, play(player, answers, uniforms(games, rules, seed + 1)), answers)


def cost_of_all(player: Player) -> int:
    """Wrong guesses of a deterministic player over all answers."""
    answers = np.arange(len(player.rules.answers))
    return int(wrong_guesses(player.rules, play(player, answers, uniforms(len(answers), player.rules)), answers).sum())


# Rules and boards


def test_rules_default_to_guesses_from_the_answers() -> None:
    rules = Rules(THREE)
    assert rules.guesses == THREE
    assert rules.table.tolist() == [[WIN_CODE if i == j else code("bgggg") for j in range(3)] for i in range(3)]
    with pytest.raises(ValueError, match="lacks 'fight'"):
        Rules(THREE, ("light", "might"))


def test_rules_of_a_task() -> None:
    assert Rules.of(WordleTask(words=THREE, duplicates="paper", max_guesses=4)) == Rules(THREE, THREE, "paper", 4)
    assert Rules.of(WordleTask(words=FOUR, guesses=HELPED)) == Rules(FOUR, HELPED)


def test_boards_advance() -> None:
    rules = Rules(FOUR, HELPED)
    boards = rules.advance(rules.start(2), np.array([4, 0]), np.array([code("bybbb"), code("bgggg")]))
    assert boards.possible.tolist() == [[False, True, False, False], [False, True, True, True]]
    assert boards.played.tolist() == [[4], [0]]


# Players


def test_entropy_prefers_words_that_can_be_the_answer_among_ties() -> None:
    """slate and flume tell fight from light as well as either does, and stand before them."""
    rules = Rules(("fight", "light"), ("slate", "flume", "light", "fight"))
    assert Entropy(rules, "guesses").choose(rules.start(1), np.zeros((1, 2))).tolist() == [2]


def test_entropy_goes_beyond_the_answers_where_it_may() -> None:
    rules = Rules(FOUR, HELPED)
    start, zeros = rules.start(1), np.zeros((1, 2))
    assert Entropy(rules, "guesses").choose(start, zeros).tolist() == [HELPED.index("flume")]  # 2 bits
    assert Entropy(rules).choose(start, zeros).tolist() == [0]  # .81 bits, as any of the four


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("tweet_words", 93),
        ("wordle_official_200", 646),
        ("wordle_official_400", 1266),
        ("wordle_official_800", 2571),
        ("wordle_official", 8092),
    ],
)
def test_entropy_totals_on_the_original_lists(shared_data: Path, name: str, total: int) -> None:
    rules = Rules(load_words(shared_data / "wordle" / f"{name}.txt"))
    assert cost_of_all(Entropy(rules)) + len(rules.answers) == total


def test_entropy_total_with_all_guesses(shared_data: Path) -> None:
    folder = shared_data / "wordle"
    rules = Rules(load_words(folder / "wordle_official.txt"), load_words(folder / "wordle_official_guess.txt"))
    player = Entropy(rules, "guesses")
    assert cost_of_all(player) + 2315 == 8020
    assert player.openers(1) == ("soare",)


def test_entropy_openers_are_drawn_uniformly() -> None:
    player = Entropy(COMMON_40)
    best = player.openers(5)
    assert best[0] == COMMON_40.guesses[player.choose(COMMON_40.start(1), np.zeros((1, 2)))[0]]
    draws = np.column_stack([(np.arange(1000) + 0.5) / 1000, np.zeros(1000)])
    chosen = Entropy(COMMON_40, openers=best).choose(COMMON_40.start(1000), draws)
    assert {COMMON_40.guesses[i]: n for i, n in enumerate(np.bincount(chosen)) if n} == dict.fromkeys(best, 200)


@pytest.mark.parametrize(
    "player",
    [
        RandomWord(COMMON_40),
        RandomConsistent(COMMON_40),
        Noisy(COMMON_40, 0.3),
        Entropy(COMMON_40),
        Entropy(COMMON_40, openers=COMMON_40.answers[:3]),
        Optimal(COMMON_40),
    ],
    ids=lambda player: player.name,
)
@pytest.mark.parametrize("guesses", [0, 1])
def test_choices_have_their_probabilities(player: MarkovPlayer, guesses: int) -> None:
    n = 20_000
    boards = COMMON_40.start(n)
    if guesses:
        first = np.zeros(n, np.int64)
        boards = COMMON_40.advance(boards, first, COMMON_40.table[first, 7])
        assert 1 < boards.possible[0].sum() < 40
    chosen = player.choose(boards, np.random.Generator(np.random.PCG64(3)).random((n, 2)))
    p = player.probabilities(boards.possible[0], guesses)
    assert p.sum() == pytest.approx(1)
    assert np.abs(np.bincount(chosen, minlength=40) / n - p).max() <= 5 * np.sqrt((p * (1 - p)).max() / n)


def test_random_consistent_never_contradicts_what_it_knows() -> None:
    answers = np.arange(40)
    guesses = play(RandomConsistent(COMMON_40), answers, uniforms(40, COMMON_40))
    for answer, row in zip(answers, guesses, strict=True):
        made = [COMMON_40.guesses[guess] for guess in row if guess >= 0]
        for turn, word in enumerate(made):
            assert all(
                feedback(earlier, word) == feedback(earlier, COMMON_40.answers[answer]) for earlier in made[:turn]
            )


def test_repeat_first_two() -> None:
    answers = np.arange(40).repeat(50)
    guesses = play(RepeatFirstTwo(COMMON_40), answers, uniforms(2000, COMMON_40))
    lost = guesses[guesses[:, 2] >= 0]
    assert len(lost) == np.sum(wrong_guesses(COMMON_40, guesses, answers) == 6)
    repeats_first = lost[:, 2:] == lost[:, :1]
    assert np.all(repeats_first | (lost[:, 2:] == lost[:, 1:2]))
    assert repeats_first.mean() == pytest.approx(0.5, abs=0.03)


def test_repeat_first_two_goes_on_from_another_players_guesses() -> None:
    given = np.array([[0, 1], [2, 3]])
    guesses = play(RepeatFirstTwo(COMMON_40), np.array([20, 30]), uniforms(2, COMMON_40), given)
    assert guesses[:, :2].tolist() == given.tolist()
    assert {*guesses[0].tolist()} <= {0, 1}
    assert {*guesses[1].tolist()} <= {2, 3}
    assert guesses.min() >= 0


def test_staller() -> None:
    avoid = COMMON_40.answers[:10]
    answers = np.arange(40).repeat(50)
    guesses = play(Staller(COMMON_40, avoid), answers, uniforms(2000, COMMON_40))
    assert set(guesses[:, 0].tolist()) == set(range(10, 40))
    later = guesses[guesses[:, 1] >= 0]
    assert np.array_equal(later[:, 1], later[:, 0])
    assert np.array_equal(later[:, 2], later[:, 0])
    assert np.all(later[:, 3] != later[:, 0])
    assert wrong_guesses(COMMON_40, guesses, answers).mean() == pytest.approx(
        -returns(RandomConsistent(COMMON_40), 4000).mean() + 2, abs=0.15
    )


def test_players_refuse_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        Noisy(COMMON_40, 1.5)
    with pytest.raises(ValueError, match="avoid"):
        Staller(COMMON_40, COMMON_40.answers)
    with pytest.raises(ValueError, match="did you mean 'about'"):
        Entropy(COMMON_40, openers=["abot"])
    with pytest.raises(ValueError, match="did you mean 'answers'"):
        Entropy(COMMON_40, over="answer")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="width"):
        Optimal(COMMON_40, width=0)


def test_a_game_depends_on_its_own_row_alone() -> None:
    """2,500 games are three blocks; the same games in other company are the same."""
    answers = np.arange(2500) % 40
    draws = uniforms(2500, COMMON_40)
    whole = play(Noisy(COMMON_40, 0.5), answers, draws)
    some = np.arange(2499, 0, -7)
    assert np.array_equal(play(Noisy(COMMON_40, 0.5), answers[some], draws[some]), whole[some])


def test_games_end_at_the_answer() -> None:
    guesses = play(Entropy(Rules(THREE)), np.arange(3), np.zeros((3, 6, 2)))
    assert guesses.tolist() == [[0, -1, -1, -1, -1, -1], [0, 1, -1, -1, -1, -1], [0, 1, 2, -1, -1, -1]]


# Exact values


@pytest.mark.parametrize(
    ("rules", "cost"),
    [
        (Rules(("crane",)), 0),
        (Rules(("crane", "slate")), 1),  # 0 + 1
        (Rules(THREE), 3),  # one after another: 0 + 1 + 2
        (Rules(FOUR), 6),  # 0 + 1 + 2 + 3
        (Rules(FOUR, HELPED), 4),  # flume first: 1 + 1 + 1 + 1
        (Rules(FOUR, max_guesses=1), 3),
        (Rules(FOUR, max_guesses=2), 5),  # 0 + 1 + 2 + 2
        (Rules(FOUR, HELPED, max_guesses=2), 4),
        (Rules(("geese", "elder"), ("geese", "elder", "eeeee"), "paper"), 1),
    ],
)
def test_optimum_by_hand(rules: Rules, cost: int) -> None:
    player = Optimal(rules)
    assert -player.value() * len(rules.answers) == pytest.approx(cost)
    assert cost_of_all(player) == cost


def enumerated_cost(rules: Rules) -> int:
    """The least cost over every policy: all guesses tried at every state."""

    @cache
    def cost(possible: tuple[int, ...], left: int) -> int:
        if left == 0:
            return 0
        costs = []
        for row in rules.table.tolist():
            parts: dict[int, list[int]] = {}
            for answer in possible:
                parts.setdefault(row[answer], []).append(answer)
            costs.append(sum(len(part) + cost(tuple(part), left - 1) for c, part in parts.items() if c != WIN_CODE))
        return min(costs)

    return cost(tuple(range(len(rules.answers))), rules.max_guesses)


@pytest.mark.parametrize("seed", range(12))
def test_optimum_by_enumeration(seed: int) -> None:
    rng = np.random.Generator(np.random.PCG64(seed))
    words = [load_words("common-236")[i] for i in rng.permutation(236)[: rng.integers(3, 12)]]
    kin = ["fight", "light", "might", "night", "sight", "eight"][: rng.integers(0, 7)]
    answers = tuple(words[: len(words) // 2 + 1] + kin)
    rules = Rules(answers, tuple(words + kin), max_guesses=int(rng.integers(1, 6)))
    assert -Optimal(rules).value() * len(answers) == pytest.approx(enumerated_cost(rules))


def test_optimum_of_common_40() -> None:
    player = Optimal(COMMON_40)
    assert player.value() == -1.3
    assert cost_of_all(player) == 52
    assert exact_value(player) == pytest.approx(-1.3)
    assert exact_value(Optimal(COMMON_40, width=1)) <= -1.3


@pytest.mark.parametrize(("name", "cost"), [("tweet_words", 53), ("wordle_official_200", 410)])
def test_optimum_of_original_lists_is_no_worse_than_entropy(shared_data: Path, name: str, cost: int) -> None:
    rules = Rules(load_words(shared_data / "wordle" / f"{name}.txt"))
    assert -Optimal(rules).value() * len(rules.answers) == pytest.approx(cost)
    assert cost_of_all(Entropy(rules)) == cost  # greedy is optimal on these two


@pytest.mark.slow
def test_narrow_search_comes_within_one_guess_of_the_proven_optimum(shared_data: Path) -> None:
    folder = shared_data / "wordle"
    rules = Rules(load_words(folder / "wordle_official.txt"), load_words(folder / "wordle_official_guess.txt"))
    assert 2315 - round(2315 * Optimal(rules, width=4).value()) == 7921  # the optimum is 7,920


def test_optimal_plays_on_from_any_board() -> None:
    """After a wasted guess four words of one family are left, and five guesses."""
    rules = Rules(FOUR, HELPED)
    boards = Boards(np.array([[True, True, True, True], [False, True, False, True]]), np.array([[-1], [4]]))
    assert Optimal(rules).choose(boards, np.zeros((2, 2))).tolist() == [4, 1]


def test_exact_values_by_hand() -> None:
    two, three = Rules(("crane", "slate")), Rules(THREE)
    assert exact_value(RandomConsistent(two)) == pytest.approx(-1 / 2)
    # One of three at a time: returns 0, -1 and -1 - gamma, each in a third of the games.
    assert exact_value(RandomConsistent(three)) == pytest.approx(-1)
    assert exact_value(RandomConsistent(three), gamma_turn=0.5) == pytest.approx(-2.5 / 3)
    assert exact_value(RandomWord(two)) == pytest.approx(-sum(0.5**t for t in range(1, 7)))
    assert exact_value(RandomWord(two), gamma_turn=0.9) == pytest.approx(
        -sum(0.5**t * 0.9 ** (t - 1) for t in range(1, 7))
    )
    # After a miss the careful know the word, and the careless miss again in e/2 of the games.
    assert exact_value(Noisy(two, 0.4)) == pytest.approx(-0.5 * sum(0.2**t for t in range(6)))
    assert exact_value(RandomWord(Rules(THREE, max_guesses=1))) == pytest.approx(-2 / 3)


@pytest.mark.parametrize(
    "player",
    [RandomWord(COMMON_40), RandomConsistent(COMMON_40), Noisy(COMMON_40, 0.3), Entropy(COMMON_40)],
    ids=lambda player: player.name,
)
def test_exact_values_agree_with_simulation(player: MarkovPlayer) -> None:
    sample = returns(player, 40_000)
    assert abs(sample.mean() - exact_value(player)) <= 4 * sample.std() / len(sample) ** 0.5


# Policies


@pytest.mark.parametrize("batch_size", [1, 16])
def test_a_policy_plays_as_its_player_does(batch_size: int) -> None:
    player = Noisy(COMMON_40, 0.5)
    episodes = list(
        rollout(
            PlayerPolicy(player),
            "Wordle-v0",
            episodes=50,
            seed=5,
            batch_size=batch_size,
            env_kwargs={"words": "common-40"},
        )
    )
    answers = np.array([COMMON_40.answers.index(episode.info["answer"]) for episode in episodes])
    draws = np.stack(
        [
            np.random.Generator(np.random.PCG64(np.random.SeedSequence(5, spawn_key=(index, 1)))).random((6, 2))
            for index in range(50)
        ]
    )
    for episode, row in zip(episodes, play(player, answers, draws), strict=True):
        said = [turn.text for turn in episode.turns if turn.role == "agent"]
        assert said == [COMMON_40.guesses[guess] for guess in row if guess >= 0]


def test_the_optimal_policy_scores_the_optimum() -> None:
    result = evaluate(
        PlayerPolicy(Optimal(COMMON_40)), "Wordle-v0", episodes="all", env_kwargs={"words": "common-40"}, progress=False
    )
    assert result.agent == "optimal"
    assert result.mean == pytest.approx(-1.3)
    assert result.normalized == pytest.approx(1)


class Spy(Player):
    """Keeps the boards that it is shown."""

    name = "spy"

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self.boards: list[Boards] = []

    def choose(self, boards: Boards, uniforms: np.ndarray) -> np.ndarray:
        self.boards.append(boards)
        return np.zeros(len(boards.possible), np.int64)


@pytest.mark.parametrize(
    ("turns", "played", "possible"),
    [
        ([], [], FOUR),
        ([("agent", "fight"), ("env", "bgggg")], [0], ("light", "might", "night")),
        ([("agent", " FIGHT "), ("env", "bgggg")], [0], ("light", "might", "night")),
        ([("agent", "flumes"), ("env", "invalid")], [-1], FOUR),
        ([("agent", "flume")], [4], FOUR),  # no answer yet
        ([("agent", "mnstz"), ("env", "bybyb")], [-1], ("night",)),  # not in the list; its n and t are
        ([("agent", "light"), ("env", "bgggg"), ("agent", "flume"), ("env", "bbbbb")], [1, 4], ("night",)),
        ([("agent", "fight"), ("env", "ggggb")], [0], FOUR),  # no word agrees
    ],
)
def test_policies_read_histories(turns: list[tuple], played: list[int], possible: tuple[str, ...]) -> None:
    spy = Spy(Rules(FOUR, HELPED))
    assert PlayerPolicy(spy).act([[Turn(role, text) for role, text in turns]]) == ["fight"]
    (boards,) = spy.boards
    assert boards.played.tolist() == [played]
    assert tuple(np.array(FOUR)[boards.possible[0]]) == possible


def test_policies_take_histories_of_any_lengths_at_once() -> None:
    policy = PlayerPolicy(Entropy(COMMON_40))
    long = [Turn("agent", "about"), Turn("env", feedback("about", "windy"))]
    assert policy.act([]) == []
    assert policy.act([long, [], long]) == policy.act([long]) + policy.act([[]]) + policy.act([long])


def test_policies_draw_from_keys_or_from_reset() -> None:
    policy = PlayerPolicy(RandomWord(COMMON_40))
    keys = [EpisodeKey(i, np.random.Generator(np.random.PCG64(i))) for i in range(4)]
    expected = [COMMON_40.answers[int(40 * np.random.Generator(np.random.PCG64(i)).random())] for i in range(4)]
    assert policy.act([[]] * 4, episodes=keys) == expected
    runs = []
    for seed in (1, 1, 2):
        policy.reset(seed=seed, instructions="")
        runs.append(policy.act([[]] * 20))
    assert runs[0] == runs[1] != runs[2]


# Reference scores


def test_reference_scores_of_the_bundled_lists() -> None:
    scores = reference_scores("Wordle-v0", {"words": "common-40"})
    assert scores.best == -1.3
    assert scores.random == pytest.approx(-sum(0.975**t for t in range(1, 7)))
    assert scores.random == pytest.approx(exact_value(RandomWord(COMMON_40)))
    assert reference_scores("Wordle-v0", {"words": "common-40", "guesses": "common-40"}) == scores
    assert reference_scores("Wordle-v0", {"words": "common-236"}).best == pytest.approx(-415 / 236)
    assert reference_scores("Wordle-v0", {}).best == pytest.approx(-5660 / 2315)
    assert reference_scores("Wordle-v0", {"words": "common"}) == reference_scores("Wordle-v0", {})
    with_all = reference_scores("Wordle-v0", {"guesses": "common-guesses"})
    assert with_all.best > -5660 / 2315


def test_reference_scores_of_other_lists() -> None:
    assert reference_scores("Wordle-v0", {"words": list(FOUR), "max_guesses": 2}) == pytest.approx(
        (-(0.75 + 0.75**2), -1.25)
    )
    assert reference_scores("Wordle-v0", {"words": "common-guesses"}) is None


def test_search_has_the_optimum_of_common() -> None:
    assert round(-2315 * Optimal(Rules(load_words("common")), width=4).value()) == 5660


@pytest.mark.slow
def test_reference_score_of_common_is_proven() -> None:
    """Takes two to four minutes."""
    assert -2315 * Optimal(Rules(load_words("common"))).value() == pytest.approx(5660)


@pytest.mark.slow
def test_reference_score_of_common_with_all_guesses() -> None:
    rules = Rules(load_words("common"), load_words("common-guesses"))
    best = reference_scores("Wordle-v0", {"guesses": "common-guesses"}).best
    assert Optimal(rules, width=16).value() == pytest.approx(best)
