"""The generated corpus in the layout of VisDial v1.0: string tables, 100 answer options a round, dense relevance.

Options are chosen as VisDial's: the true answer, 50 that people gave to questions of the same kind, 30 of the most
popular answers of all, and random ones. Dense relevance, for one round of each dialogue, is 1 for an option that is
true of the scene, .5 for one that is true but doubtful, 0 else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lmrl_envs.visual_dialogue.answers import relevance
from lmrl_envs.visual_dialogue.corpora import SceneCorpus
from lmrl_envs.visual_dialogue.language import parse
from lmrl_envs.visual_dialogue.scenes import Part, caption, scene, scene_ids
from lmrl_envs.visual_dialogue.visdial import (
    OPTIONS,
    ROUNDS,
    Dialogues,
    write_dialogues,
    write_features,
    write_relevance,
)

PLAUSIBLE, POPULAR = 50, 30


def generated(corpus: SceneCorpus, part: Part, count: int, *, seed: int = 0) -> Dialogues:
    """Dialogues of simulated people about the first `count` images of a part, one about each, with relevance.

    Raises:
        ValueError: so few dialogues have not as many different answers as a round has options.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    images = scene_ids(part, count)
    talks = [corpus.dialogue(image, rng)[1] for image in images]
    intents = [_intents(image, talk) for image, talk in zip(images, talks, strict=True)]
    of_intent: dict[str, Counter[str]] = defaultdict(Counter)
    for talk, kinds in zip(talks, intents, strict=True):
        for (_, said), intent in zip(talk, kinds, strict=True):
            of_intent[intent][said] += 1
    overall = sum(of_intent.values(), Counter[str]())
    answers, questions = sorted(overall), sorted({question for talk in talks for question, _ in talk})
    if len(answers) < OPTIONS:
        raise ValueError(f"{count} dialogues have {len(answers)} different answers; {OPTIONS} are needed, so take more")
    answer_index, question_index = ({text: n for n, text in enumerate(texts)} for texts in (answers, questions))
    popular = [answer_index[text] for text, _ in _most_common(overall)][:POPULAR]
    plausible = {
        intent: [answer_index[text] for text, _ in _most_common(counts)] for intent, counts in of_intent.items()
    }

    question, answer, truth = (np.zeros((count, ROUNDS), np.int32) for _ in range(3))
    options = np.zeros((count, ROUNDS, OPTIONS), np.int32)
    dense = np.full((count, ROUNDS, OPTIONS), np.nan, np.float32)
    for n, (image, talk) in enumerate(zip(images, talks, strict=True)):
        for r, (asked, said) in enumerate(talk):
            question[n, r], answer[n, r] = question_index[asked], answer_index[said]
            options[n, r] = _options(rng, int(answer[n, r]), plausible[intents[n][r]], popular, len(answers))
            truth[n, r] = int(np.flatnonzero(options[n, r] == answer[n, r])[0])
        r = int(rng.random() * ROUNDS)
        dense[n, r] = _relevance(image, talk, r, [answers[option] for option in options[n, r]], int(truth[n, r]))
    captions = [caption(scene(image)) for image in images]
    return Dialogues(part, questions, answers, np.array(images), captions, question, answer, options, truth, dense)


def export(corpus: SceneCorpus, folder: Path, sizes: dict[str, int], *, seed: int = 0) -> None:
    """Writes `visdial_1.0_<name>.json`, its dense annotations and `features_<name>.npz` for each part in `sizes`.

    The part `validation` is called val, as VisDial calls it.
    """
    for part, count in sizes.items():
        dialogues = generated(corpus, part, count, seed=seed)  # type: ignore[arg-type]
        name = "val" if part == "validation" else part
        write_dialogues(folder / f"visdial_1.0_{name}.json", dialogues)
        write_relevance(folder / f"visdial_1.0_{name}_dense_annotations.json", dialogues)
        write_features(folder / f"features_{name}.npz", corpus.features(dialogues.image_ids.tolist()))


def _intents(image: int, talk: Sequence[tuple[str, str]]) -> list[str]:
    """What kind of question each is, "" where it means nothing."""
    said = caption(scene(image))
    meanings = [parse(question, said, talk[:r]) for r, (question, _) in enumerate(talk)]
    return ["" if meaning is None else meaning.intent for meaning in meanings]


def _most_common(counts: Counter[str]) -> list[tuple[str, int]]:
    """Ties in alphabetical order, so that every machine makes the same file."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _options(
    rng: np.random.Generator, true: int, plausible: Sequence[int], popular: Sequence[int], answers: int
) -> list[int]:
    """100 different answers in random order."""
    chosen = dict.fromkeys([true, *plausible[:PLAUSIBLE], *popular])
    while len(chosen) < OPTIONS:
        chosen[int(rng.random() * answers)] = None
    options = list(chosen)[:OPTIONS]
    return [options[place] for place in np.argsort(rng.random(OPTIONS), kind="stable").tolist()]


def _relevance(image: int, talk: Sequence[tuple[str, str]], r: int, options: Sequence[str], truth: int) -> list[float]:
    """How well each option answers; what was said counts as true where the question means nothing."""
    meaning = parse(talk[r][0], caption(scene(image)), talk[:r])
    if meaning is None:
        return [float(number == truth) for number in range(len(options))]
    shown = scene(image)
    values = [relevance(meaning, shown, option) for option in options]
    return values if any(values) else [float(number == truth) for number in range(len(options))]
