from __future__ import annotations

import numpy as np
import pytest

from lmrl_envs.visual_dialogue.behaviours import dialogue
from lmrl_envs.visual_dialogue.options import options, relevances
from lmrl_envs.visual_dialogue.scenes import Scene, Thing, scene

DOG = Scene(
    *(0, "park", "day", "clear"),
    (
        Thing("dog", "left", "front", color="brown", size="big", action="standing"),
        Thing("tree", "left", "back", color="green", size="big"),
    ),
)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_a_hundred_different_answers_with_the_one_that_was_given() -> None:
    for id in range(12):
        shown = scene(id)
        rounds = dialogue(generator(id), shown, gibberish=0.1)
        for at, (question, said) in enumerate(rounds):
            offered = options(generator(at), shown, question, said, rounds[:at])
            assert len(offered) == len(set(offered)) == 100
            assert said in offered
            assert offered == options(generator(at), shown, question, said, rounds[:at])


def test_options_are_in_no_order() -> None:
    places = [options(generator(seed), DOG, "is there a dog", "yes").index("yes") for seed in range(100)]
    assert 40 < np.mean(places) < 60


def test_relevance_of_options() -> None:
    said = ["yes", "yeah", "i think so", "no", "brown", "it is not"]
    assert relevances(DOG, "is there a dog", "yes", said).tolist() == [1, 1, 0.5, 0, 0, 0]  # type: ignore[union-attr]
    wrong = relevances(DOG, "is there a dog", "no", said)  # what was answered counts, though it is wrong
    assert wrong is not None
    assert wrong.tolist() == [1, 1, 0.5, 1, 0, 0]
    assert relevances(DOG, "dog dog dog", "i don't understand", said) is None


def test_some_option_is_right_and_most_are_not() -> None:
    right = []
    for id in range(10):
        shown = scene(id)
        for question, said in dialogue(generator(id), shown, rounds=3):
            graded = relevances(shown, question, said, options(generator(id), shown, question, said))
            if graded is not None:
                right.append((graded > 0).sum())
    assert min(right) >= 1
    assert np.mean(right) < 40


@pytest.mark.parametrize("count", [0, -1, 201])
def test_counts_out_of_range_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="count must be from 1 to 200"):
        options(generator(), DOG, "is there a dog", "yes", count=count)
