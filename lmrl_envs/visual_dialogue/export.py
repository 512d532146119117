"""The generated corpus in the layout of VisDial v1.0: string tables, 100 answer options a round, dense relevance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np

from lmrl_envs.visual_dialogue.corpora import SceneCorpus
from lmrl_envs.visual_dialogue.options import options, relevances
from lmrl_envs.visual_dialogue.scenes import Part, caption, scene, scene_ids
from lmrl_envs.visual_dialogue.visdial import (
    OPTIONS,
    ROUNDS,
    Dialogues,
    write_dialogues,
    write_features,
    write_relevance,
)


def generated(corpus: SceneCorpus, part: Part, count: int, *, seed: int = 0) -> Dialogues:
    """Dialogues of simulated people about the first `count` images of a part, one about each.

    One round of each dialogue, a random one, has dense relevance, unless its question means nothing.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    images = scene_ids(part, count)
    shown = [scene(image) for image in images]
    talks = [corpus.dialogue(image, rng)[1] for image in images]
    offered = [
        [options(rng, seen, asked, said, talk[:r]) for r, (asked, said) in enumerate(talk)]
        for seen, talk in zip(shown, talks, strict=True)
    ]
    questions = {text: n for n, text in enumerate(sorted({asked for talk in talks for asked, _ in talk}))}
    texts = {text for rounds in offered for choices in rounds for text in choices}
    answers = {text: n for n, text in enumerate(sorted(texts))}

    relevance = np.full((count, ROUNDS, OPTIONS), np.nan, np.float32)
    for n, (seen, talk) in enumerate(zip(shown, talks, strict=True)):
        r = int(rng.random() * ROUNDS)
        found = relevances(seen, *talk[r], offered[n][r], talk[:r])
        if found is not None:
            relevance[n, r] = found
    return Dialogues(
        split=part,
        questions=list(questions),
        answers=list(answers),
        image_ids=np.array(images),
        captions=[caption(seen) for seen in shown],
        question=np.array([[questions[asked] for asked, _ in talk] for talk in talks], np.int32),
        answer=np.array([[answers[said] for _, said in talk] for talk in talks], np.int32),
        options=np.array([[[answers[text] for text in choices] for choices in rounds] for rounds in offered], np.int32),
        truth=np.array(
            [
                [rounds[r].index(said) for r, (_, said) in enumerate(talk)]
                for rounds, talk in zip(offered, talks, strict=True)
            ],
            np.int32,
        ),
        relevance=relevance,
    )


def export(corpus: SceneCorpus, folder: Path, sizes: Mapping[str, int], *, seed: int = 0) -> None:
    """Writes `visdial_1.0_<name>.json`, its dense annotations and `features_<name>.npz` for each part in `sizes`.

    The part `validation` is called val, as VisDial calls it.
    """
    for part, count in sizes.items():
        dialogues = generated(corpus, cast("Part", part), count, seed=seed)
        name = "val" if part == "validation" else part
        write_dialogues(folder / f"visdial_1.0_{name}.json", dialogues)
        write_relevance(folder / f"visdial_1.0_{name}_dense_annotations.json", dialogues)
        write_features(folder / f"features_{name}.npz", corpus.features(dialogues.image_ids.tolist()))
