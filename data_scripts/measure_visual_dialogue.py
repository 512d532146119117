"""Measures the networks of Visual Dialogue on the part `test`, and writes the figures into their JSON.

    python -m data_scripts.measure_visual_dialogue --weights lmrl_envs/visual_dialogue/weights

Scenes and a half of the phrasings are new to the networks. Truth accuracy is the share of freely decoded answers that
are true of the scene, among questions that mean something; the people who are simulated reach about .97. Ranks of
options and NDCG are VisDial's. Guessers are compared with the exact posterior on the same dialogues.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from lmrl_envs import files
from lmrl_envs.datasets import load_dataset
from lmrl_envs.devices import set_threads
from lmrl_envs.evaluate import rollout
from lmrl_envs.policies import RandomPolicy
from lmrl_envs.visual_dialogue import metrics
from lmrl_envs.visual_dialogue.answerer import Answerer, Asked
from lmrl_envs.visual_dialogue.behaviours import accepts
from lmrl_envs.visual_dialogue.bundled import WEIGHTS
from lmrl_envs.visual_dialogue.corpora import SceneCorpus
from lmrl_envs.visual_dialogue.dialogues import Spoken, ranked
from lmrl_envs.visual_dialogue.export import generated
from lmrl_envs.visual_dialogue.features import Detector, labels, pictures
from lmrl_envs.visual_dialogue.language import parse
from lmrl_envs.visual_dialogue.networks import load_network
from lmrl_envs.visual_dialogue.oracle import Pool as ExactPool
from lmrl_envs.visual_dialogue.oracle import ranks as exact_ranks
from lmrl_envs.visual_dialogue.pools import Pools, load_guesser
from lmrl_envs.visual_dialogue.rewards import MATCHES, REWARDS, ends, name_of, returned
from lmrl_envs.visual_dialogue.scenes import ATTRIBUTES, GLOBALS, Part, caption, scene, scene_ids
from lmrl_envs.visual_dialogue.task import POOL_SIZE

BATCH = 64


def detector(corpus: SceneCorpus, count: int) -> dict[str, Any]:
    """Accuracy of each attribute at the true things' centres, and of the whole picture; share of things found."""
    network, _ = load_network(corpus.weights, "detector", Detector)
    right: dict[str, list[float]] = defaultdict(list)
    ids = scene_ids("test", count)
    for start in range(0, count, BATCH):
        images = ids[start : start + BATCH]
        true = labels(images)
        with torch.inference_mode():
            shown = pictures(images)
            cells, whole = network(shown)
            row, number = (true.cells >= 0).nonzero(as_tuple=True)
            found = cells[row, true.cells[row, number]]
            seen = network.look(shown[row], found[:, 1:])
        right["present"] += (found[:, 0] > 0).float().tolist()
        parts = seen.split([len(values) for values in ATTRIBUTES.values()], dim=1)
        for i, (name, part) in enumerate(zip(ATTRIBUTES, parts, strict=True)):
            target = true.attributes[row, number, i]
            told = (target > 0) | (name == "kind")  # "none" is easy
            right[name] += (part.argmax(1) == target)[told].float().tolist()
        parts = whole.split([len(values) for values in GLOBALS.values()], dim=1)
        for i, (name, part) in enumerate(zip(GLOBALS, parts, strict=True)):
            right[name] += (part.argmax(1) == true.whole[:, i]).float().tolist()
    return {name: round(float(np.mean(values)), 4) for name, values in right.items()}


def answerer(corpus: SceneCorpus, count: int, *, options: int, show: int = 0) -> dict[str, Any]:
    """Truth accuracy in all and by kind of question, people's own beside it; ranks of the options of some dialogues."""
    network, _ = load_network(corpus.weights, "answerer", Answerer)
    dialogues = generated(corpus, "test", count, seed=1)
    right: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    said: dict[str, list[bool]] = defaultdict(list)
    wrong: list[str] = []
    confused = [0, 0]
    for start in range(0, count, BATCH):
        rows = range(start, min(start + BATCH, count))
        images = dialogues.image_ids[start : start + BATCH].tolist()
        seen = _seen(corpus, images)
        for r in range(10):
            talks = [tuple(dialogues.rounds(n)) for n in rows]
            asked = [
                Asked(image, dialogues.captions[n], talk[:r], talk[r][0])
                for n, image, talk in zip(rows, images, talks, strict=True)
            ]
            for one, answer, talk in zip(asked, network.answer(*seen, asked), talks, strict=True):
                shown = scene(one.image)
                good = accepts(shown, one.question, answer, one.rounds)
                if good is None:
                    confused[0] += 1
                    confused[1] += "understand" in answer or "can't tell" in answer
                    continue
                human = bool(accepts(shown, one.question, talk[r][1], one.rounds))
                meaning = parse(one.question, one.caption, one.rounds)
                right[meaning.intent if meaning else ""].append((good, human))
                if talk[r][1] in ("yes", "no"):
                    said[talk[r][1]].append(good)
                if not good:
                    wrong.append(f"{meaning} | {one.question} -> {answer} (people: {talk[r][1]})")
    everything = np.array([pair for pairs in right.values() for pair in pairs])
    kinds = {
        kind: {"questions": len(pairs), "network": _share(pairs, 0), "people": _share(pairs, 1)}
        for kind, pairs in sorted(right.items(), key=lambda item: -len(item[1]))
    }
    for line in wrong[:show]:
        print(line)
    return {
        "questions": len(everything),
        "truth accuracy": _share(everything, 0),
        "people's truth accuracy": _share(everything, 1),
        "where people say yes": round(float(np.mean(said["yes"])), 4),
        "where people say no": round(float(np.mean(said["no"])), 4),
        "meaningless questions": confused[0],
        "of these answered as such": confused[1],
        "by kind of question": kinds,
        "options": _options(corpus, network, dialogues, min(options, count)),
    }


def _options(corpus: SceneCorpus, network: Answerer, dialogues: Any, count: int) -> dict[str, float]:
    scores, truth, dense, relevance = [], [], [], []
    for n in range(count):
        image = int(dialogues.image_ids[n])
        seen, talk = _seen(corpus, [image]), tuple(dialogues.rounds(n))
        for r in range(10):
            asked = Asked(image, dialogues.captions[n], talk[:r], talk[r][0])
            texts = [dialogues.answers[option] for option in dialogues.options[n, r]]
            scores.append(network.option_scores(*seen, asked, texts).numpy())
            truth.append(dialogues.truth[n, r])
            if not np.isnan(dialogues.relevance[n, r, 0]):
                dense.append(scores[-1])
                relevance.append(dialogues.relevance[n, r])
    found = metrics.retrieval(metrics.ranks(np.stack(scores), np.array(truth)))
    found["NDCG"] = metrics.ndcg(np.stack(dense), np.stack(relevance))
    return {"questions": len(scores), **{name: round(value, 4) for name, value in found.items()}}


def guesser(corpus: SceneCorpus, name: str, count: int, part: Part = "test") -> dict[str, Any]:
    """Percentiles on people's dialogues beside those of the exact posterior, and what the dialogues would return."""
    cpu = torch.device("cpu")
    pools = Pools(corpus, load_guesser(corpus.weights, name, cpu), "hard", POOL_SIZE, cpu)
    rng = np.random.Generator(np.random.PCG64(7))
    talks = []
    for _ in range(count):
        where, image = pools.draw(part, rng)
        who, rounds = corpus.dialogue(image, rng)
        talks.append(Spoken(where, image, who, rounds))
    exact_pools: dict[Any, ExactPool] = {}
    learned, exact = [], []
    for start in range(0, count, 256):
        learned += ranked(pools, talks[start : start + 256])
    for talk in talks:
        pool = pools.around(talk.pool, talk.image)
        if talk.pool not in exact_pools:
            exact_pools[talk.pool] = ExactPool([scene(image) for image in pool.images])
        rows = exact_pools[talk.pool].posteriors(caption(scene(talk.image)), talk.rounds)
        exact.append(exact_ranks(rows, pool.place[talk.image]))
    p, q = (1 - np.array(ranks) / (POOL_SIZE - 1) for ranks in (learned, exact))
    gain, best = p[:, -1].mean() - p[:, 0].mean(), q[:, -1].mean() - q[:, 0].mean()
    last = [next((t for t in range(1, 11) if ends(row[: t + 1])), 10) for row in learned]
    early = [ends(row[: t + 1]) and t < 10 for row, t in zip(learned, last, strict=True)]
    by_persona: dict[str, list[int]] = defaultdict(list)
    for talk, t in zip(talks, last, strict=True):
        by_persona[talk.behaviour].append(t)
    return {
        "dialogues": count,
        "percentile after each round": p.mean(0).round(4).tolist(),
        "exact percentile after each round": q.mean(0).round(4).tolist(),
        "gain": round(float(gain), 4),
        "exact gain": round(float(best), 4),
        "share of the exact gain": round(float(gain / best), 4),
        "Spearman with exact rank, last round": round(float(spearmanr(p[:, -1], q[:, -1]).statistic), 4),
        "Spearman with exact rank, all rounds": round(float(spearmanr(p.ravel(), q.ravel()).statistic), 4),
        "end early": round(float(np.mean(early)), 4),
        "mean standard return": round(float(1 - np.mean(last)), 4),
        "mean standard return by persona": {
            who: round(float(1 - np.mean(turns)), 2) for who, turns in sorted(by_persona.items())
        },
    }


def random_questions(count: int) -> dict[str, float]:
    """Mean returns under each reward of uniform questions of people about images of the part `train`.

    Of the bundled networks alone, since it plays the registered task.
    """
    policy = RandomPolicy.of(load_dataset("visual-dialogue/human-v0"))
    named = {name_of(*pair): pair for pair in itertools.product(REWARDS, MATCHES)}
    returns: dict[str, list[float]] = defaultdict(list)
    for episode in rollout(policy, "VisualDialogue-v0", episodes=count):
        texts = [turn.text for turn in episode.turns]
        rounds = list(zip(texts[1::2], texts[2::2], strict=True))
        for name, (reward, match) in named.items():
            returns[name].append(returned(rounds, reward, match))
    return {name: round(float(np.mean(values)), 4) for name, values in returns.items()}


def _seen(corpus: SceneCorpus, images: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    seen = corpus.features(images)
    return torch.from_numpy(seen.features), torch.from_numpy(seen.boxes)


def _share(pairs: Any, column: int) -> float:
    return round(float(np.mean(np.array(pairs)[:, column])), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the networks (default: bundled)")
    parser.add_argument("--dialogues", type=int, default=1000, help="of people, in the part `test`")
    parser.add_argument("--options", type=int, default=100, help="dialogues whose 100 options a round are ranked")
    parser.add_argument("--show", type=int, default=0, help="print so many wrong answers")
    parser.add_argument(
        "--validation",
        action="store_true",
        help="print what guessers do on that part, to choose one, and write nothing",
    )
    parser.add_argument("--only", nargs="+", default=["detector", "answerer", "guesser", "guesser-held-out"])
    given = parser.parse_args()
    set_threads(1)
    corpus = SceneCorpus(given.weights)
    part: Part = "validation" if given.validation else "test"
    measures = {
        "detector": lambda: detector(corpus, given.dialogues),
        "answerer": lambda: answerer(corpus, given.dialogues, options=given.options, show=given.show),
        "guesser": lambda: guesser(corpus, "default", given.dialogues, part),
        "guesser-held-out": lambda: guesser(corpus, "held-out", given.dialogues, part),
    }
    measured = [name for name in given.only if name.startswith("guesser") or not given.validation]
    for name in measured:
        figures = measures[name]()
        print(name, json.dumps(figures, indent=1), flush=True)
        if given.validation:
            continue
        path = given.weights / f"{name}.json"
        about = json.loads(path.read_text()) | {"quality": figures}
        if name == "guesser" and given.weights.resolve() == WEIGHTS.resolve():
            about["random questions"] = random_questions(given.dialogues)
            print("random questions", about["random questions"])
        files.write_atomic(path, json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
