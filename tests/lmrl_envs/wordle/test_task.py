from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from lmrl_envs import Turn
from lmrl_envs.wordle.rules import feedback
from lmrl_envs.wordle.task import WordleState, WordleTask

WORDS = ("crane", "slate", "geese", "elder", "abide", "speed", "nacre", "allow")


def play(env: gym.Env, answer: str, guesses: list[str]) -> list[tuple]:
    """Steps of a game, without observation and instructions."""
    env.reset(options={"answer": answer})
    steps = []
    for guess in guesses:
        _, reward, terminated, truncated, info = env.step(guess)
        steps.append((info["turns"][-1].text, reward, terminated, truncated, info["success"], info["answer"]))
    return steps


def test_a_game_by_hand() -> None:
    env = gym.make("Wordle-v0", words=WORDS)
    observation, info = env.reset(options={"answer": "elder"})
    assert observation == ""
    assert (info["success"], info["valid"], info["answer"], info["turns"]) == (False, None, None, ())
    assert "five-letter" in info["instructions"]

    observation, reward, terminated, truncated, info = env.step(" Geese ")
    assert observation == " Geese \nbyybb"
    assert (reward, terminated, truncated) == (-1.0, False, False)
    assert (info["success"], info["valid"], info["answer"]) == (False, True, None)
    assert info["turns"] == (Turn("agent", " Geese ", -1.0), Turn("env", "byybb"))

    observation, reward, terminated, truncated, info = env.step("gees")
    assert observation == " Geese \nbyybb\ngees\ninvalid"
    assert (reward, terminated, info["valid"]) == (-1.0, False, False)

    observation, reward, terminated, truncated, info = env.step("ELDER")
    assert observation.endswith("\nELDER\nggggg")
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert (info["success"], info["valid"], info["answer"]) == (True, True, "elder")


@pytest.mark.parametrize("guesses", range(1, 7))
def test_the_return_counts_wrong_guesses(guesses: int) -> None:
    env = gym.make("Wordle-v0", words=WORDS)
    steps = play(env, "crane", ["slate"] * (guesses - 1) + ["crane"])
    assert sum(step[1] for step in steps) == 1 - guesses
    assert [step[2] for step in steps] == [False] * (guesses - 1) + [True]
    assert steps[-1] == ("ggggg", 0.0, True, False, True, "crane")


def test_a_lost_game_terminates_with_minus_six() -> None:
    steps = play(gym.make("Wordle-v0", words=WORDS), "crane", ["slate", "12345", "slate", "slate", "", "slate"])
    assert sum(step[1] for step in steps) == -6
    assert steps[-1] == ("bbgbg", -1.0, True, False, False, "crane")
    assert [step[5] for step in steps[:-1]] == [None] * 5


@pytest.mark.parametrize(
    "guess",
    [
        *(
            "",
            "cran",
            "cranes",
            "cr4ne",
            "cran ",
            "cra ne",
            "élans",
            "crané",
            "\U0001f600" * 5,
            "a" * 100_000,
            "invalid",
        ),
        *("\u212arane", "crane\xa0", "cran\0", "\ud800" * 5, "crane\x1b", "\uff43rane", "\x1b[31m", "cra\nne"),
    ],
)
def test_an_invalid_guess_costs_a_turn(guess: str) -> None:
    env = gym.make("Wordle-v0", words=WORDS)
    env.reset(options={"answer": "crane"})
    observation, reward, terminated, _, info = env.step(guess)
    assert (info["valid"], info["turns"][1].text) == (False, "invalid")
    assert (reward, terminated) == (-1.0, False)
    assert observation.count("\n") == 1
    observation.encode("utf-8")


def test_guesses_may_be_limited_to_a_list() -> None:
    env = gym.make("Wordle-v0", words=WORDS[:2], guesses=WORDS)
    steps = play(env, "crane", ["geese", "elder", "zzzzz", "Crane"])
    assert [step[0] for step in steps] == ["bbbbg", "ybbby", "invalid", "ggggg"]


def test_paper_colours() -> None:
    assert play(gym.make("Wordle-v0", words=WORDS, duplicates="paper"), "elder", ["geese"])[0][0] == "byyby"


def test_one_guess() -> None:
    env = gym.make("Wordle-v0", words=WORDS, max_guesses=1)
    assert play(env, "crane", ["slate"]) == [("bbgbg", -1.0, True, False, False, "crane")]
    assert play(env, "crane", ["crane"]) == [("ggggg", 0.0, True, False, True, "crane")]


def test_hidden_words_are_uniform_and_seeded() -> None:
    task = WordleTask(WORDS)
    rng = np.random.default_rng(0)
    drawn = [reply.state.answer for reply in task.start([rng] * 8000)]
    counts = np.bincount(drawn, minlength=8)
    assert np.abs(counts - 1000).max() < 4 * np.sqrt(1000 * 7 / 8)  # four standard deviations
    rng = np.random.default_rng(0)
    assert [int(rng.integers(8)) for _ in range(100)] == drawn[:100]


def test_states_are_plain_data_and_replies_do_not_change_them() -> None:
    task = WordleTask(WORDS)
    (start,) = task.start([np.random.default_rng(3)])
    assert start.state == WordleState(start.state.answer, 0)
    first = task.reply([start.state] * 2, ["crane", "crane"])
    again = task.reply([pickle.loads(pickle.dumps(start.state))], ["crane"])  # noqa: S301
    assert first[0] == first[1] == again[0]
    assert first[0].info is not first[1].info
    assert first[0].state.guesses == 1
    assert start.state.guesses == 0
    assert first[0].info.keys() == start.info.keys()


def test_all_starts_lists_every_answer_once() -> None:
    task = WordleTask(WORDS)
    starts = task.all_starts()
    states = [task.start([np.random.default_rng()], options)[0].state for options in starts]
    assert [task.answers[state.answer] for state in states] == list(WORDS)


def test_candidates_agree_with_everything_said() -> None:
    for duplicates in ("official", "paper"):
        task = WordleTask("common-236", duplicates=duplicates)
        assert task.candidates(()) == list(task.answers)
        turns = (
            *(Turn("agent", "stare", -1.0), Turn("env", feedback("stare", "tease", duplicates))),
            *(Turn("agent", "sass", -1.0), Turn("env", "invalid")),
            *(Turn("agent", "EERIE ", -1.0), Turn("env", feedback("eerie", "tease", duplicates))),
        )
        by_hand = [
            word
            for word in task.answers
            if feedback("stare", word, duplicates) == turns[1].text
            and feedback("eerie", word, duplicates) == turns[5].text
        ]
        assert task.candidates(turns) == by_hand


def test_candidates_shrink_to_the_answer() -> None:
    task = WordleTask(WORDS)
    turns = (Turn("agent", "geese", -1.0), Turn("env", "byybb"))
    assert task.candidates(turns) == ["elder"]
    assert task.candidates((*turns, Turn("agent", "elder"), Turn("env", "ggggg"))) == ["elder"]
    assert task.candidates((Turn("agent", "zzzzz", -1.0), Turn("env", "yyyyy"))) == []


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"max_guesses": 0}, "max_guesses must be a whole number of at least 1, got 0"),
        ({"max_guesses": 2.5}, "got 2.5"),
        ({"max_guesses": True}, "got True"),
        ({"duplicates": "oficial"}, "unknown duplicates 'oficial'; did you mean 'official'.*'paper'"),
        ({"words": "common-41"}, "unknown word list 'common-41'; did you mean 'common-40'"),
        ({"words": ["crane", "cranes"]}, "item 2: expected five letters"),
        ({"guesses": "anny"}, "unknown word list 'anny'"),
        ({"words": WORDS, "guesses": WORDS[1:]}, "must have every word of the answers, and lacks 'crane'"),
        ({"render_mode": "rgb"}, "unknown render mode 'rgb'; did you mean 'rgb_array'"),
    ],
)
def test_bad_arguments(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gym.make("Wordle-v0", **kwargs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"anser": "crane"}, "unknown reset option 'anser'; did you mean 'answer'"),
        ({"answer": "crame"}, "unknown answer 'crame'; did you mean 'crane'"),
        ({"answer": "zzzzz"}, "unknown answer 'zzzzz'"),
        ({"answer": None}, "unknown answer None"),
        ({"answer": 3}, "unknown answer 3"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    env = gym.make("Wordle-v0", words=WORDS)
    with pytest.raises(ValueError, match=message):
        env.reset(options=options)


def test_an_unknown_answer_does_not_list_thousands() -> None:
    with pytest.raises(ValueError, match=r"did you mean .* and 2295 more$"):
        gym.make("Wordle-v0").reset(options={"answer": "crame"})


def test_the_original_list(shared_data: Path) -> None:
    folder = shared_data / "wordle"
    env = gym.make(
        "Wordle-v0",
        words=str(folder / "wordle_official.txt"),
        guesses=folder / "wordle_official_guess.txt",
    )
    task = env.unwrapped.task  # type: ignore[attr-defined]
    assert (len(task.answers), len(task.guesses)) == (2315, 12972)
    steps = play(env, "tiger", ["salet", "zzzzz", "aahed", "tiger"])
    assert [step[0] for step in steps] == ["bbbgy", "invalid", "bbbgb", "ggggg"]
    assert steps[-1][1:] == (0.0, True, False, True, "tiger")


# Drawing

GREEN, YELLOW, GREY, RED, EMPTY = (83, 141, 78), (181, 159, 59), (88, 88, 92), (120, 40, 40), (34, 34, 36)


def test_the_image_has_the_colours_of_the_game() -> None:
    env = gym.make("Wordle-v0", words=WORDS, render_mode="rgb_array")
    play(env, "elder", ["geese", "no", "elder"])
    image = env.render()
    assert isinstance(image, np.ndarray)
    assert (image.shape, image.dtype) == ((354, 296, 3), np.uint8)
    corners = image[8::58, 8::58]  # inside each tile's corner, where no letter is
    rows = [[tuple(pixel) for pixel in row] for row in corners.tolist()]
    assert rows[0] == [GREY, YELLOW, YELLOW, GREY, GREY]
    assert rows[1] == [RED] * 5
    assert rows[2] == [GREEN] * 5
    assert rows[3:] == [[EMPTY] * 5] * 3
    white = (image == 255).all(axis=2)
    inked = [[white[6 + 58 * y : 58 + 58 * y, 6 + 58 * x : 58 + 58 * x].any() for x in range(5)] for y in range(6)]
    assert inked == [[True] * 5, [True, True, False, False, False], [True] * 5] + [[False] * 5] * 3


def test_letters_differ_in_the_image() -> None:
    env = gym.make("Wordle-v0", words=WORDS, max_guesses=1, render_mode="rgb_array")
    pictures = set()
    for start in range(0, 26, 5):
        letters = "abcdefghijklmnopqrstuvwxyz"[start : start + 5].ljust(5, "z")
        play(env, "crane", [letters])
        ink = (env.render() == 255).all(axis=2)
        pictures |= {ink[:, 6 + 58 * x : 58 + 58 * x].tobytes() for x in range(5)}
    assert len(pictures) == 26


def test_the_terminal_board() -> None:
    env = gym.make("Wordle-v0", words=WORDS, max_guesses=3, render_mode="ansi")
    play(env, "elder", ["geese", "no"])
    lines = env.render().split("\n")
    assert len(lines) == 3
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line).split() for line in lines] == [[*"GEESE"], ["N", "O", "invalid"], []]
    assert [lines[0].count("48;2;{};{};{}m".format(*colour)) for colour in (GREY, YELLOW)] == [3, 2]
    assert all(line.endswith("\x1b[0m") or line.endswith("invalid") for line in lines)


@pytest.mark.parametrize(
    "guess", ["\x1b[2J", "\x1b]0;x\x07", "\u202eab", "ß\r\n\x9b3", "\ud800\0\x7f", "\U0001f600" * 9]
)
def test_hostile_guesses_never_reach_the_terminal(guess: str) -> None:
    for mode in ("ansi", "rgb_array"):
        env = gym.make("Wordle-v0", words=WORDS, render_mode=mode)
        play(env, "elder", [guess])
        drawn = env.render()
        if isinstance(drawn, str):
            rest = re.sub(r"\x1b\[(48;2;\d+;\d+;\d+|1;97|0)m", "", drawn)
            assert set(rest) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ? \ninvalid")


def test_words_reach_the_task_from_json_and_stay_in_the_spec() -> None:
    env = gym.make("Wordle-v0", words=list(WORDS), max_guesses=2)
    assert env.spec is not None
    twin = env.spec.make()
    assert (twin.unwrapped.task.answers, twin.unwrapped.task.max_guesses) == (WORDS, 2)  # type: ignore[attr-defined]
    answers = []
    for same in (env, twin):
        same.reset(seed=5)
        answers += [same.step("zzzzz")[4]["answer"], same.step("zzzzz")[4]["answer"]]
    assert answers[:2] == answers[2:]
    assert answers[1] in WORDS
