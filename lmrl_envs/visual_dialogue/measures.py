"""What is measured on dialogues: their language beside the real corpus, and how much they tell the exact guesser."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lmrl_envs.visual_dialogue.behaviours import dialogue
from lmrl_envs.visual_dialogue.contents import Table
from lmrl_envs.visual_dialogue.focus import History
from lmrl_envs.visual_dialogue.lexicon import words
from lmrl_envs.visual_dialogue.oracle import Pool, ranks
from lmrl_envs.visual_dialogue.scenes import CLASSES, Part, caption, scene, scene_ids

VISDIAL: Mapping[str, float] = {
    "exactly yes": 0.214,
    "exactly no": 0.198,
    "begins with a yes/no word": 0.486,
    "tokens a question": 5.088,
    "tokens an answer": 2.85,
    "questions with a pronoun": 0.33,
}
"""`language` of 50 dialogues of VisDial v1.0 val (500 questions)."""
_YES_NO = frozenset(("yes", "no", "yeah", "nope"))
_PRONOUNS = frozenset(("he", "she", "it", "they", "him", "her", "them", "his", "hers", "its", "their", "theirs"))
_DRAWN_ABOVE = 0.98  # images that the caption ranks higher are not played


def language(dialogues: Iterable[History]) -> dict[str, float]:
    """Shares and means over all rounds, under the names of `VISDIAL`. A token is what spaces separate."""
    rounds = [one for rounds in dialogues for one in rounds]
    questions, answers = [question for question, _ in rounds], [answer for _, answer in rounds]
    return {
        "exactly yes": _mean(answer == "yes" for answer in answers),
        "exactly no": _mean(answer == "no" for answer in answers),
        "begins with a yes/no word": _mean(answer.split(" ")[0] in _YES_NO for answer in answers),
        "tokens a question": _mean(len(question.split()) for question in questions),
        "tokens an answer": _mean(len(answer.split()) for answer in answers),
        "questions with a pronoun": _mean(not _PRONOUNS.isdisjoint(words(question)) for question in questions),
    }


class Course(NamedTuple):
    """How the exact guesser ranked an image: percentiles (1 + rounds,), after the caption and after each answer."""

    percentiles: np.ndarray

    @property
    def ended(self) -> int | None:
        """The question that closed half of the gap between the caption's percentile and 1; None where none did."""
        first = self.percentiles[0]
        closed = np.flatnonzero(self.percentiles[1:] - first >= 0.5 * (1 - first) - 1e-9)
        return int(closed[0]) + 1 if len(closed) else None

    @property
    def standard_return(self) -> float:
        """What the dialogue earns under the reward "standard"."""
        return -float((self.ended or len(self.percentiles) - 1) - 1)


def courses(
    rng: np.random.Generator, number: int, *, persona: str | None = None, part: Part = "test", size: int = 100
) -> Iterator[Course]:
    """Dialogues of simulated people about images of hard pools, ranked by the exact posterior.

    Images that the caption alone ranks above .98 are left out, as the task does. Slow at first: pools are made as they
    are met.
    """
    pools: dict[str, Pool] = {}
    drawn = Table({" ".join(of_class): share for of_class, share in CLASSES.items()})
    while number:
        name = drawn.pick(rng.random())
        if name not in pools:
            setting, time, kind = name.split()
            pools[name] = Pool([scene(id) for id in scene_ids(part, size, (setting, time, kind))])
        pool, at = pools[name], int(rng.random() * size)
        shown = pool.scenes[at]
        rounds = dialogue(rng, shown, persona=persona, unseen=part == "test")
        course = Course(1 - ranks(pool.posteriors(caption(shown), rounds), at) / (size - 1))
        if course.percentiles[0] <= _DRAWN_ABOVE:
            number -= 1
            yield course


def summary(measured: Sequence[Course]) -> dict[str, float]:
    """Means over dialogues: percentiles after the caption and some questions, share that ends early, return."""
    percentiles = np.stack([course.percentiles for course in measured])
    after = {f"p{n}": float(percentiles[:, n].mean()) for n in (0, 1, 3, 5, percentiles.shape[1] - 1)}
    early = _mean(course.ended is not None for course in measured)
    return {**after, "ends early": early, "return": _mean(course.standard_return for course in measured)}


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(np.fromiter(values, np.float64)))
