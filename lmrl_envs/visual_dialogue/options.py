"""The 100 answers that VisDial offers to each question, and how right each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from lmrl_envs.visual_dialogue.answers import relevance, say
from lmrl_envs.visual_dialogue.focus import History
from lmrl_envs.visual_dialogue.language import PHRASINGS, Meaning, parse
from lmrl_envs.visual_dialogue.lexicon import SAYINGS
from lmrl_envs.visual_dialogue.scenes import Scene, caption
from lmrl_envs.visual_dialogue.scenes import scene as scene_of
from lmrl_envs.visual_dialogue.truth import UNKNOWN, Claim, distribution, truth

OPTIONS = 100
PLAUSIBLE = 50
"""So many of the options are drawn as answers to the question itself, as far as it has so many."""
POPULAR = (
    *(
        "yes",
        "no",
        "yeah",
        "nope",
        "i think so",
        "i don't think so",
        "not that i can see",
        "i can't tell",
        "can't tell",
    ),
    *("white", "black", "red", "blue", "green", "brown", "1", "2", "3", "none", "nothing", "sunny", "cloudy", "day"),
    *("night", "standing", "sitting", "walking", "on the left", "on the right", "in the middle", "yes, it is"),
)
"""Answers that people give most."""


def options(
    rng: np.random.Generator, scene: Scene, question: str, answer: str, history: History = (), count: int = OPTIONS
) -> list[str]:
    """Answers to choose among, without repeats and in no order: the one that was given, others that people could give
    to the question, popular ones, and some to other questions. `rng` draws by `random` alone.

    Raises:
        ValueError: `count` is not from 1 to 200.
    """
    if not 1 <= count <= 200:
        raise ValueError(f"options: count must be from 1 to 200, got {count}")
    meaning = parse(question, caption(scene), history)
    found = {answer: None}  # a dict keeps the order, which must not change between runs
    if meaning is not None:
        claims = _claims(meaning, scene)
        for _ in range(4 * PLAUSIBLE):
            if len(found) > min(PLAUSIBLE, count - 1):
                break
            found[say(rng.random(), meaning, claims[int(rng.random() * len(claims))], rng.random())] = None
    for text in POPULAR:
        if len(found) < count:
            found[text] = None
    others = _others()
    while len(found) < count:
        found[others[int(rng.random() * len(others))]] = None
    texts = list(found)
    return [texts[at] for at in np.argsort([rng.random() for _ in texts], kind="stable")]


def relevances(
    scene: Scene, question: str, answer: str, options: Sequence[str], history: History = ()
) -> np.ndarray | None:
    """(options,) dense relevance: 1 for what is right, .5 for what is right but doubtful, else 0.

    Where the answer that was given is wrong, it counts 1 too, as it does for the people who judge VisDial. None where
    the question means nothing.
    """
    meaning = parse(question, caption(scene), history)
    if meaning is None:
        return None
    return np.array([1.0 if text == answer else relevance(meaning, scene, text) for text in options], np.float32)


def _claims(meaning: Meaning, scene: Scene) -> list[Claim]:
    """What could be answered to a meaning, right or wrong."""
    cores, _, wrong = truth(meaning, scene)
    return [*distribution(meaning, scene), *(Claim(core) for core in (*cores, *wrong)), Claim(UNKNOWN)]


@cache
def _others() -> tuple[str, ...]:
    """Answers to questions of all sorts."""
    texts = {
        say(uniform, meaning, claim, uniform): None
        for meaning in _OTHERS
        for shown in map(scene_of, range(20))
        for claim in _claims(meaning, shown)
        for uniform in (0.1, 0.4, 0.7, 0.9)
    }
    return tuple(texts)


_OTHERS = tuple(
    Meaning(intent, noun, detail)
    for noun in ("man", "woman", "dog", "car", "tree")
    for intent, detail in (
        *((intent, "") for intent in ("exist", "count", "color", "action", "clothes", "held", "where", "beside")),
        *((intent, "") for intent in ("which", "weather", "time", "setting", "else", "size", "age")),
        *(("is action", action) for action in SAYINGS["action"]),
        *(("wear color", wear) for wear in ("shirt", "hair")),
    )
    if intent in PHRASINGS
)
