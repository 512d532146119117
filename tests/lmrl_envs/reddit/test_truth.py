"""The true chance of a positive score: what it rewards, what it does not fall for, and that any string has one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lmrl_envs.reddit.corpus import comments, threads
from lmrl_envs.reddit.truth import manner, true_chance

LOAF = "My sourdough loaf stuck to the pan and the crust is no better. What would you do?"
LANE = "The final boss crashed during the credits. could it be the frame rate?"
ANSWER = "Preheat the oven for a full half hour, then the crust will sort itself out."
THANKS = "Thanks for sharing, this made my day."


@pytest.fixture(scope="module")
def parents():
    return [thread.parent for thread in threads("test", 60, seed=1)]


def mean(parents, text):
    return np.mean([true_chance(parent, text) for parent in parents])


def test_an_answer_is_better_than_kindness_and_that_better_than_another_field():
    assert manner(LOAF, ANSWER).relevance == "touches it"
    assert manner(LOAF, "I like the crust of your sourdough.").relevance == "same subject"
    assert manner(LOAF, "A dutch oven and some gluten.").relevance == "same field"
    assert manner(LOAF, THANKS).relevance == "nothing"
    assert manner(LANE, ANSWER).relevance == "elsewhere"
    assert true_chance(LOAF, ANSWER) > 0.7 > true_chance(LOAF, THANKS) > true_chance(LANE, ANSWER)


def test_rudeness_costs_more_in_some_communities():
    levels = [true_chance(LOAF, f"{ANSWER}{tail}") for tail in ("", " You clown.", " You worthless scumbag.")]
    assert levels[0] > levels[1] + 0.2 > levels[2] + 0.3
    log_odds = []
    for parent, tail in itertools.product((LOAF, LANE), ("", ", you clown")):
        chance = true_chance(parent, "The crust and the frame rate are fine" + tail)
        log_odds.append(np.log(chance / (1 - chance)))
    assert log_odds[0] - log_odds[1] == pytest.approx(1.6 * (1 - 0.1), abs=0.3)  # cooking; abs: two words longer
    assert log_odds[2] - log_odds[3] == pytest.approx(1.6 * (1 - 0.6), abs=0.3)  # gaming


def test_nonsense_repetition_and_echo_lose(parents):
    own = np.mean([c.true_chance for c in comments("test", 400) if c.kind in ("neutral", "kind")])
    assert own > 0.6
    rng = np.random.Generator(np.random.PCG64(0))
    words = "crust oven thanks lovely sourdough loaf great advice preheat kitchen"
    assert mean(parents, "") < 0.05
    assert mean(parents, "qwxz vbnrt kkjh poiu") < 0.05
    assert mean(parents, "thanks thanks thanks thanks thanks thanks") < 0.05
    assert mean(parents, words) < 0.05
    assert np.mean([true_chance(parent, parent) for parent in parents]) < 0.45
    shuffled = [" ".join(rng.permutation(parent.split())) for parent in parents]
    assert np.mean([true_chance(p, text) for p, text in zip(parents, shuffled, strict=True)]) < 0.3
    assert true_chance(LOAF, ANSWER + " " + ANSWER + " " + ANSWER) < true_chance(LOAF, ANSWER) - 0.4


def test_no_reply_is_good_for_every_parent(parents):
    candidates = [c.text for c in comments("validation", 300) if not c.true_toxicity]
    best = max(mean(parents[:30], text) for text in candidates)
    assert best < 0.45
    assert mean(parents, THANKS) < 0.4


def test_kindness_pays_where_people_like_it():
    dog = "My rescue puppy chewed through the charger and the coat is no better. any ideas?"
    assert true_chance(dog, THANKS) > true_chance(LANE, THANKS) + 0.1


def test_unknown_parents_are_judged_by_shared_words():
    parent = "zygomorphic quuxes over frobnication"
    assert manner(parent, "I like quuxes and zygomorphic things").relevance == "same subject"
    assert true_chance(parent, "I like quuxes and zygomorphic things") > true_chance(parent, "I like things")


@pytest.mark.parametrize(
    "text", ["\x00", "\ud83d", "‮abc", "<b>&amp;</b>", "мы согласны", "東京", "a" * 1_000_000, "\n \t"]
)
@pytest.mark.parametrize("parent", ["", LOAF, "\ud83d"])
def test_any_strings_have_a_chance(parent, text):
    assert 0 < true_chance(parent, text) < 0.5


def test_the_chance_is_that_of_the_corpus():
    for comment in comments("validation", 200):
        assert true_chance(comment.parent, comment.text) == comment.true_chance
