from __future__ import annotations

import pytest

from lmrl_envs.errors import UnknownNameError
from lmrl_envs.visual_dialogue.rewards import MATCHES, PHRASES, REWARDS, ends, penalty, percentile, turn_reward


@pytest.mark.parametrize("answer", ["yes", "no", " Yes ", "NO\t"])
def test_yn_fines_exactly_yes_and_no(answer):
    assert penalty(answer, "yn", "word") == penalty(answer, "yn", "paper") == -2.0
    assert penalty(answer, "conservative_yn", "word") == -2.0
    assert penalty(answer, "standard", "word") == 0.0


@pytest.mark.parametrize("answer", ["yes, it is", "nope", "", "yeah", "no.", "red"])
def test_yn_fines_nothing_else(answer):
    assert penalty(answer, "yn", "word") == penalty(answer, "yn", "paper") == 0.0


@pytest.mark.parametrize(
    ("answer", "word", "paper"),
    [
        ("it is snow", 0, -2),
        ("i know", 0, -2),
        ("nothing", 0, -2),
        ("yes, it is", -2, -2),
        ("No, two", -2, -2),
        ("i can't tell", -2, -2),
        ("i can’t say", -2, -2),
        ("i can't say", -2, -2),
        ("i cannot say", -2, -2),
        ("i don't see one", -2, -2),
        ("another chair", 0, -2),
        ("he looks happy", -2, -2),
        ("overlooks the sea", 0, -2),
        ("mostly just grass", -2, -2),
        ("mostly grass", 0, 0),
        ("i think so", -2, -2),
        ("i think it is red", 0, 0),
        ("yes'm", 0, -2),
        ("two people", 0, 0),
        ("", 0, 0),
    ],
)
def test_conservative_phrases(answer, word, paper):
    assert penalty(answer, "conservative_yn", "word") == word
    assert penalty(answer, "conservative_yn", "paper") == paper


def test_every_phrase_is_fined_alone_and_inside():
    for phrase in PHRASES:
        for answer in (phrase, f"well {phrase.upper()}, then"):
            assert [penalty(answer, "conservative_yn", match) for match in MATCHES] == [-2, -2], phrase
        assert penalty(f"x{phrase}x", "conservative_yn", "word") == 0
        assert penalty(f"x{phrase}x", "conservative_yn", "paper") == -2


def test_a_dialogue_by_hand():
    """The caption ranks the image 41st of 100; three questions bring it to the 21st, which halves the rank."""
    ranks, answers = [40, 44.5, 21, 20], ["no", "it is snow", "yes, two"]
    assert percentile(40, 100) == pytest.approx(1 - 40 / 99)
    over = [ends(ranks[: t + 1]) for t in (1, 2, 3)]
    assert over == [False, False, True]
    p = [percentile(rank, 100) for rank in ranks]
    assert [(p[t] - p[0]) / (1 - p[0]) >= 0.5 - 1e-12 for t in (1, 2, 3)] == over
    earned = {
        (reward, match): [turn_reward(a, last, reward, match) for a, last in zip(answers, over, strict=True)]
        for reward in REWARDS
        for match in MATCHES
    }
    assert earned == {
        ("standard", "word"): [-1, -1, 0],
        ("standard", "paper"): [-1, -1, 0],
        ("yn", "word"): [-3, -1, 0],
        ("yn", "paper"): [-3, -1, 0],
        ("conservative_yn", "word"): [-3, -1, -2],
        ("conservative_yn", "paper"): [-3, -3, -2],
    }


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="unknown reward 'yna'; did you mean 'yn'"):
        penalty("yes", "yna", "word")
    with pytest.raises(UnknownNameError, match="unknown match 'words'; did you mean 'word'"):
        penalty("yes", "yn", "words")
