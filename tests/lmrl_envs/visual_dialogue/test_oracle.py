from __future__ import annotations

import numpy as np
import pytest

from lmrl_envs.visual_dialogue.behaviours import dialogue
from lmrl_envs.visual_dialogue.measures import courses
from lmrl_envs.visual_dialogue.oracle import SLIP, Pool, posterior, ranks
from lmrl_envs.visual_dialogue.scenes import Scene, Thing, caption, captions, scene, scene_ids
from lmrl_envs.visual_dialogue.truth import UNSURE, WRONG


def dog(color: str, id: int = 0) -> Scene:
    things = (Thing("dog", "left", "front", color=color, size="big", action="standing"),)
    return Scene(id, "park", "day", "clear", (*things, Thing("tree", "right", "back", color="green", size="big")))


BROWN, BLACK, WHITE = dog("brown", 1), dog("black", 2), dog("white", 3)
POOL = [BROWN, BLACK, WHITE, dog("brown", 4)]


def test_an_even_start() -> None:
    np.testing.assert_allclose(np.exp(posterior(POOL, "a dog in the park")), 0.25)


def test_the_caption_weighs_by_its_chance() -> None:
    text = "a brown dog in the park"
    chance = captions(BROWN)[text]
    assert text not in captions(BLACK)
    weights = np.array([chance, 0, 0, chance]) + 1e-6
    np.testing.assert_allclose(np.exp(posterior(POOL, text)), weights / weights.sum())


def test_an_answer_weighs_by_the_chance_that_people_give_it() -> None:
    history = [("what color is the dog", "it is brown")]
    right = 1 - WRONG - UNSURE
    wrong = WRONG / 10  # eleven colours are said, one of them is right
    weights = np.array([right, wrong, wrong, right]) + SLIP
    np.testing.assert_allclose(np.exp(posterior(POOL, "a dog in the park", history)), weights / weights.sum())


def test_answers_multiply_and_order_does_not_matter() -> None:
    one = [("what color is the dog", "brown"), ("is there a cat", "no"), ("is the dog black", "no")]
    first = posterior(POOL, "a dog", one)
    second = posterior(POOL, "a dog", [one[2], one[1], one[0]])
    np.testing.assert_allclose(first, second)


def test_what_cannot_be_read_changes_nothing() -> None:
    before = posterior(POOL, "a dog", [("what color is the dog", "brown")])
    for question, said in [("dog dog dog", "yes"), ("is there a cat", "banana"), ("", ""), ("is there a cat", "")]:
        after = posterior(POOL, "a dog", [("what color is the dog", "brown"), (question, said)])
        np.testing.assert_array_equal(before, after)


def test_cannot_tell_tells_nothing_where_all_could_tell() -> None:
    np.testing.assert_allclose(np.exp(posterior(POOL, "a dog", [("what color is the dog", "can't tell")])), 0.25)


def test_pronouns_are_followed() -> None:
    history = [("is there a tree", "yes"), ("what color is it", "green"), ("what color is the dog", "black")]
    assert np.argmax(posterior(POOL, "a dog", history)) == 1


def test_an_answer_that_nobody_gives_leaves_all_as_they_were() -> None:
    np.testing.assert_allclose(np.exp(posterior(POOL, "a dog", [("is there a tree", "yes, 3")])), 0.25)


def test_ranks_take_half_of_the_ties() -> None:
    rows = np.log(np.array([[0.25, 0.25, 0.25, 0.25], [0.4, 0.1, 0.4, 0.1], [0.1, 0.2, 0.3, 0.4]]))
    assert ranks(rows, 0).tolist() == [1.5, 0.5, 3.0]
    assert ranks(rows, 3).tolist() == [1.5, 2.5, 0.0]
    assert ranks(rows[1] + 1e-12 * np.arange(4), 0) == 0.5  # rounding makes no order


def test_a_pool_gives_a_row_for_the_caption_and_each_answer() -> None:
    pool = Pool([scene(id) for id in scene_ids("test", 30, ("park", "day", "dog"))])
    shown = pool.scenes[4]
    rounds = dialogue(np.random.Generator(np.random.PCG64(0)), shown)
    rows = pool.posteriors(caption(shown), rounds)
    assert rows.shape == (11, 30)
    np.testing.assert_allclose(np.exp(rows).sum(1), 1)
    for at in range(11):
        np.testing.assert_allclose(rows[at], posterior(pool.scenes, caption(shown), rounds[:at]))


def test_the_posterior_means_what_it_says() -> None:
    """It is exact: over dialogues, the chance that it gives to the true scene is on average the sum of its squares."""
    rng = np.random.Generator(np.random.PCG64(0))
    pool = Pool([scene(id) for id in scene_ids("validation", 40, ("street", "day", "man"))])
    own, squares = [], []
    for _ in range(400):
        at = int(rng.random() * 40)
        shown = pool.scenes[at]
        rows = np.exp(pool.posteriors(caption(shown), dialogue(rng, shown)))[[1, 3, 10]]
        own.append(rows[:, at])
        squares.append((rows**2).sum(1))
    difference = np.array(own) - np.array(squares)
    error = difference.std(0) / len(own) ** 0.5
    assert (np.abs(difference.mean(0)) < 4 * error + 0.01).all()
    assert np.mean(own, 0)[2] > np.mean(own, 0)[1] > np.mean(own, 0)[0]


def test_courses_leave_out_what_the_caption_gives_away() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    followed = list(courses(rng, 8, part="validation", size=20))
    assert len(followed) == 8
    assert all(course.percentiles.shape == (11,) for course in followed)
    assert all(course.percentiles[0] <= 0.98 for course in followed)


def test_an_empty_dialogue_is_the_caption_alone() -> None:
    pool = Pool(POOL)
    np.testing.assert_array_equal(posterior(pool, "a dog"), pool.start("a dog"))
    assert posterior(pool, "no caption of this world") == pytest.approx(np.log(0.25))
