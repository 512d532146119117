from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from lmrl_envs.visual_dialogue.behaviours import (
    CROWD,
    PERSONAS,
    accepts,
    answer,
    ask,
    dialogue,
    nonsense,
)
from lmrl_envs.visual_dialogue.language import HELD_OUT, PHRASINGS, Meaning, parse, wording
from lmrl_envs.visual_dialogue.measures import VISDIAL, Course, courses, language, summary
from lmrl_envs.visual_dialogue.scenes import caption, scene, scene_ids
from lmrl_envs.visual_dialogue.visdial import read_dialogues


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


class OnlyRandom:
    """A generator that has `random` alone."""

    def __init__(self, seed: int) -> None:
        self.random = generator(seed).random


SHOWN = [scene(id) for id in scene_ids("train", 2000)]
SAID = [dialogue(generator(at), shown) for at, shown in enumerate(SHOWN)]


def test_the_language_is_that_of_the_real_corpus() -> None:
    measured = language(SAID)
    for name, real in VISDIAL.items():
        assert measured[name] == pytest.approx(real, rel=0.2), name


def test_the_real_corpus_measures_as_stated(shared_data: Path) -> None:
    read = read_dialogues(shared_data / "visdial" / "visdial_1.0_val_50.json")
    measured = language([read.rounds(n) for n in range(len(read))])
    for name, real in VISDIAL.items():
        assert measured[name] == pytest.approx(real, abs=0.006), name


def test_language_is_counted_over_rounds() -> None:
    said = [[("is he tall", "yes"), ("any dogs", "yes, 2")], [("what is it", "no dog")]]
    assert language(said) == pytest.approx(
        {
            "exactly yes": 1 / 3,
            "exactly no": 0,
            "begins with a yes/no word": 2 / 3,
            "tokens a question": 8 / 3,
            "tokens an answer": 5 / 3,
            "questions with a pronoun": 2 / 3,
        }
    )


def test_people_err_in_three_to_five_answers_of_a_hundred() -> None:
    judged = [
        accepts(shown, *rounds[at], rounds[:at])
        for shown, rounds in zip(SHOWN[:600], SAID, strict=False)
        for at in range(len(rounds))
    ]
    understood = [right for right in judged if right is not None]
    assert len(understood) > 0.99 * len(judged)
    assert 0.03 <= 1 - sum(understood) / len(understood) <= 0.05


def test_people_sometimes_cannot_tell() -> None:
    share = np.mean(["can't tell" in said or "not sure" in said for rounds in SAID for _, said in rounds])
    assert 0.005 < share < 0.05


def test_a_dialogue_is_the_same_for_the_same_numbers_and_draws_by_random_alone() -> None:
    for at in range(50):
        again = dialogue(OnlyRandom(at), SHOWN[at])  # type: ignore[arg-type]
        assert again == SAID[at]
    for at in range(20):
        one, other = (
            dialogue(make(at), SHOWN[at], unseen=True, gibberish=0.3)  # type: ignore[arg-type]
            for make in (generator, OnlyRandom)
        )
        assert one == other


def test_questions_are_asked_without_the_picture() -> None:
    assert "scene" not in inspect.signature(ask).parameters
    history: list[tuple[str, str]] = []
    for at in range(10):
        asked = {ask(generator(at), "expert", "a man in the park", history) for _ in range(3)}
        assert len(asked) == 1
        history.append((asked.pop(), "yes"))


def test_asking_turn_by_turn_gives_a_dialogue() -> None:
    for persona in PERSONAS:
        shown, rng = scene(17), generator(3)
        history: list[tuple[str, str]] = []
        for _ in range(10):
            question = ask(rng, persona, caption(shown), history)
            history.append((question, answer(rng, shown, question, history)))
        assert len({question for question, _ in history}) == 10
        assert all(said for _, said in history)


def test_nobody_asks_the_same_twice() -> None:
    for shown, rounds in zip(SHOWN[:300], SAID, strict=False):
        meanings = [parse(rounds[at][0], caption(shown), rounds[:at]) for at in range(10)]
        asked = [meaning for meaning in meanings if meaning is not None and meaning.intent not in ("else", "other")]
        assert len(asked) - len(set(asked)) <= 1  # one may fall back on a question that was asked before


def test_slips_of_the_pen_are_read_all_the_same() -> None:
    unread = sum(
        parse(rounds[at][0], caption(shown), rounds[:at]) is None
        for shown, rounds in zip(SHOWN[:500], SAID, strict=False)
        for at in range(10)
    )
    assert unread <= 15  # of 5,000


def test_held_out_phrasings_are_heard_in_the_part_test_alone() -> None:
    def forms(rounds: list[tuple[str, str]]) -> set[str]:
        return {question for question, _ in rounds}

    held_out = {wording(way, Meaning("weather")) for way in HELD_OUT["weather"]}
    common = {wording(way, Meaning("weather")) for way in PHRASINGS["weather"]}
    seen = set().union(*(forms(rounds) for rounds in SAID))
    unseen = set().union(*(forms(dialogue(generator(at), scene(at), unseen=True)) for at in range(600)))
    assert not held_out & seen
    assert common <= seen
    assert held_out <= unseen
    assert common & unseen


def test_nonsense_means_nothing_and_is_not_understood() -> None:
    rng = generator(0)
    for _ in range(300):
        assert parse(nonsense(rng), "a dog and a woman") is None
    said = [
        pair
        for at in range(200)
        for pair in dialogue(generator(at), scene(at), gibberish=0.04)
        if "understand" in pair[1]
    ]
    assert 20 < len(said) < 80
    assert all(parse(question) is None for question, _ in said)


def test_kinds_of_questioners() -> None:
    assert set(CROWD) == set(PERSONAS)
    with pytest.raises(ValueError, match="unknown persona 'experts'; did you mean 'expert'"):
        ask(generator(0), "experts", "a dog")
    with pytest.raises(ValueError, match="unknown persona"):
        dialogue(generator(0), scene(0), persona="nobody")


def test_a_course_ends_when_half_of_the_gap_is_closed() -> None:
    course = Course(np.array([0.6, 0.5, 0.79, 0.8, 0.4]))
    assert course.ended == 3
    assert course.standard_return == -2
    never = Course(np.array([0.6, 0.5, 0.79]))
    assert never.ended is None
    assert never.standard_return == -1  # two questions, and the last one costs nothing
    figures = summary([Course(np.linspace(0.5, 1, 11)), Course(np.full(11, 0.5))])
    assert figures == pytest.approx(
        {"p0": 0.5, "p1": 0.525, "p3": 0.575, "p5": 0.625, "p10": 0.75, "ends early": 0.5, "return": (-4 - 9) / 2}
    )


@pytest.mark.slow
def test_good_questioners_gain_more_and_people_leave_room() -> None:
    measured = {persona: summary(list(courses(generator(1), 60, persona=persona))) for persona in PERSONAS}
    gain = {persona: figures["p10"] - figures["p0"] for persona, figures in measured.items()}
    assert gain["expert"] > gain["yes or no"] > gain["global"]
    assert measured["expert"]["return"] > measured["clothes"]["return"] > measured["novice"]["return"] + 2
    crowd = {name: sum(CROWD[kind] * measured[kind][name] for kind in PERSONAS) for name in measured["expert"]}
    assert 0.5 < crowd["p0"] < 0.8
    assert crowd["p10"] - crowd["p0"] > 0.15
    assert 0.6 < crowd["ends early"] < 0.85  # by the exact guesser, which no learned one reaches
    assert -5.5 < crowd["return"] < -3.5
