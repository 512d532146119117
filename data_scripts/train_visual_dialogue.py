"""Trains the networks of Visual Dialogue: detector, answerer, guesser and the held-out guesser.

    python -m data_scripts.train_visual_dialogue --out lmrl_envs/visual_dialogue/weights   # the bundled ones
    python -m data_scripts.train_visual_dialogue --corpus <folder> --out <folder>/weights  # on the real VisDial files

Under half an hour on two cores; the bundled guesser is from a longer run (docs/visual-dialogue.md). A run that was
stopped goes on where it was: `--work` keeps its state. Every batch is drawn from its own seed, so a run that went on is
the run that was never stopped, with any number of `--workers`, which make batches ahead.

All networks learn from the part `models` alone: detector, answerer and guesser from one half of its images, the
held-out guesser from the other. Guessers learn from the dialogues of people and, so that they meet no new kind of
answer later, from dialogues in which the learned answerer answers. How good the networks are is measured by
`python -m data_scripts.measure_visual_dialogue`, which adds its figures to their JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from agents.checkpoints import load_training, save_training
from agents.optimizers import make_optimizer
from data_scripts.prefetch import ahead
from lmrl_envs import files
from lmrl_envs.devices import resolve_device, set_threads
from lmrl_envs.progress import progress_bar
from lmrl_envs.provenance import provenance
from lmrl_envs.visual_dialogue.answerer import Answerer, Asked
from lmrl_envs.visual_dialogue.corpora import Corpus, Rounds, SceneCorpus, open_corpus
from lmrl_envs.visual_dialogue.features import WIDTH, Detector, Labels, labels, pictures
from lmrl_envs.visual_dialogue.guesser import Guesser
from lmrl_envs.visual_dialogue.networks import Network, Shape, load_network, save_network
from lmrl_envs.visual_dialogue.words import Vocabulary

B = TypeVar("B")
ROUNDS = 10
GIBBERISH = 0.04
"""Share of questions without meaning, so that the answerer learns to say that it does not understand."""
SAVE_SECONDS = 60.0
WARMUP = 200
TALKING = 128
"""Dialogues with the learned answerer at once."""
PART = 500
"""Images whose features are made, and kept on the disk, together."""
LEARNED = 0.25
"""How often a guesser hears the learned answerer where there is such a dialogue about the image."""
MIXED_FIRST, MIXED_LATER = 0.6, 0.1
"""Share of a guesser's batches with images of all classes, in the first eighth and later: coarse differences come
first, and without them the fine ones within a class are not found."""


@dataclass(frozen=True)
class Plan:
    """How much is trained: half an hour on two cores."""

    images: int = 8_000
    """Images of each half."""
    guesser_images: int = 24_000
    """The same for guessers: of few images they learn by heart which one has which caption."""
    talks: int = 4_000
    """Dialogues with the learned answerer, of each half."""
    detector_steps: int = 1_200
    answerer_steps: int = 3_000
    guesser_steps: int = 2_000
    guesser_embedding: int = 1024
    """Of the space in which dialogues meet images."""
    misheard: float = 0.12
    """Share of the words that a guesser does not get to hear in training."""
    seed: int = 0


STAGES = ("detector", "answerer", "talks", "guesser", "guesser-held-out")


class Training:
    """One run: the corpus, the plan, and where things are."""

    def __init__(
        self, corpus: Corpus, plan: Plan, out: Path, work: Path, device: torch.device, workers: int = 0
    ) -> None:
        self.corpus, self.plan, self.out, self.work, self.device = corpus, plan, out, work, device
        self.workers = workers

    def rng(self, *place: int) -> np.random.Generator:
        """The generator of a place in the run, such as (stage, step)."""
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.plan.seed, spawn_key=place)))

    def fit(
        self,
        name: str,
        network: Network,
        batch: Callable[[int], B],
        loss: Callable[[B, torch.Generator], Tensor],
        *,
        steps: int,
        lr: float,
        matrices: Sequence[Tensor] = (),
    ) -> None:
        """Trains a network: Muon for trunk and `matrices`, AdamW, warm-up, cosine to zero; then writes it to `out`.

        Args:
            batch: makes a step's batch, on the CPU and from the step's number alone: workers make it ahead.
            loss: of a batch, on the device.
        """
        path = self.work / f"{name}.safetensors"
        network.to(self.device).train()  # before its optimiser, whose state follows it there
        decayed = [p for p in network.parameters() if p.ndim > 1]
        plain = [p for p in network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
        optimizer = make_optimizer("muon", network, groups, lr=lr, weight_decay=0.0, matrices=matrices)
        state: dict[str, Any] = {"step": 0, "seconds": 0.0, "curve": []}
        if path.exists():
            state = load_training(path, network, optimizer)
        began, saved = time.monotonic() - state["seconds"], time.monotonic()
        recent: list[float] = []
        left = range(state["step"], steps)
        with progress_bar(name, total=steps, start=state["step"]) as bar:
            for step, drawn in zip(left, ahead(batch, left, self.workers), strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = lr * min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / steps))
                optimizer.zero_grad()
                value = loss(drawn, torch.Generator().manual_seed(step))
                value.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                recent.append(value.item())
                bar.update(step + 1, loss=recent[-1])
                if len(recent) == max(steps // 20, 1) or step + 1 == steps:
                    state["curve"].append([step + 1, round(float(np.mean(recent)), 4)])
                    print(
                        f"{name} {step + 1}/{steps} {time.monotonic() - began:.0f} s loss {np.mean(recent):.4f}",
                        flush=True,
                    )
                    recent = []
                state["step"], state["seconds"] = step + 1, time.monotonic() - began
                if time.monotonic() - saved > SAVE_SECONDS or step + 1 == steps:
                    save_training(path, network, optimizer, state)
                    saved = time.monotonic()
        network.eval()
        made = {
            "steps": steps,
            "lr": lr,
            "seconds": round(state["seconds"]),
            "machine": provenance()["card" if self.device.type == "cuda" else "processor"],
            "plan": vars(self.plan),
        }
        save_network(self.out, name, network, {"made": made | {"curve": state["curve"]}})

    # Data

    @cached_property
    def halves(self) -> tuple[Half, Half]:
        return Half(self, 0, self.plan.images), Half(self, 1, self.plan.images)

    @cached_property
    def many(self) -> tuple[Half, Half]:
        """The halves for guessers, which begin with the images of `halves`."""
        return Half(self, 0, self.plan.guesser_images), Half(self, 1, self.plan.guesser_images)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of people's dialogues about the first half."""
        half, rng = self.halves[0], self.rng(0)
        texts: list[str] = []
        for image in half.images[:8000]:
            texts.append(self.corpus.caption(image))
            texts += [text for spoken in self.corpus.dialogue(image, rng)[1] for text in spoken]
        return Vocabulary.of(texts)

    # Stages

    def detector(self) -> None:
        images = self.halves[0].images
        shown, true = pictures(images), labels(images)

        def batch(step: int) -> Tensor:
            return torch.from_numpy(self.rng(1, step).integers(len(images), size=64))

        def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
            targets = Labels(*(x[rows].to(self.device) for x in true))
            return network.loss(shown[rows].to(self.device), targets, generator)

        torch.manual_seed(self.plan.seed)
        network = Detector(Shape(WIDTH, 64))
        self.fit("detector", network, batch, loss, steps=self.plan.detector_steps, lr=2e-3)

    def answerer(self) -> None:
        half = self.halves[0]

        def batch(step: int) -> tuple[np.ndarray, list[list[int]]]:
            rng = self.rng(2, step)
            rows = rng.integers(len(half.images), size=32)
            return rows, [half.tokens(row, rng) for row in rows.tolist()]

        def loss(drawn: tuple[np.ndarray, list[list[int]]], generator: torch.Generator) -> Tensor:
            rows, said = drawn
            return network.loss(*half.seen(rows), said, generator)

        shape, words = Shape(half.width), self.vocabulary  # which may draw numbers as they are made
        torch.manual_seed(self.plan.seed + 1)
        network = Answerer(shape, words)
        self.fit("answerer", network, batch, loss, steps=self.plan.answerer_steps, lr=3e-3)

    def talks(self) -> None:
        answerer, _ = load_network(self.out, "answerer", Answerer)
        answerer.to(self.device)
        for number, half in enumerate(self.halves):
            path = self.work / f"talks-{number}.json"
            if path.exists():
                continue
            talks = half.talk(answerer, self.rng(3, number), self.plan.talks)
            files.write_atomic(path, json.dumps(talks))

    def guess(self, name: str, number: int) -> None:
        half = self.many[number]
        talks = {row: rounds for row, rounds in json.loads((self.work / f"talks-{number}.json").read_text())}
        groups = [np.array(group) for group in self.corpus.groups(half.images)]
        groups = [group for group in groups if len(group) > 1]
        shares = np.cumsum([len(group) for group in groups]) / sum(map(len, groups))

        def batch(step: int) -> Heard:
            rng = self.rng(4 + number, step)
            group = groups[min(int(np.searchsorted(shares, rng.random(), side="right")), len(groups) - 1)]
            if rng.random() < (MIXED_FIRST if step < self.plan.guesser_steps / 8 else MIXED_LATER):
                group = np.arange(len(half.images))
            rows = group[np.argsort(rng.random(len(group)))[:128]]
            said = []
            for row in rows[:64].tolist():
                talk = talks.get(row) if rng.random() < LEARNED else None
                if talk is None:
                    said.append(half.tokens(row, rng))
                else:
                    said.append(self.vocabulary.dialogue(self.corpus.caption(half.images[row]), talk))
            said = [self.misheard(tokens, rng) for tokens in said]
            captions = [self.vocabulary.dialogue(self.corpus.retold(half.images[row], rng)) for row in rows.tolist()]
            return Heard(rows, said, captions)

        def loss(heard: Heard, generator: torch.Generator) -> Tensor:
            true = torch.arange(len(heard.said), device=self.device)
            return network.loss(*half.seen(heard.rows), heard.said, true, heard.captions, generator)

        shape = Shape(half.width, width=96, layers=2, embedding=self.plan.guesser_embedding)
        words = self.vocabulary
        torch.manual_seed(self.plan.seed + 2 + number)
        network = Guesser(shape, words)
        heads = (network.where, network.told, network.asked, network.what, network.keys, network.values)
        matrices = [layer.weight for layer in (*heads, network.together[0], network.together[2])]
        self.fit(name, network, batch, loss, steps=self.plan.guesser_steps, lr=5e-3, matrices=matrices)

    def misheard(self, tokens: list[int], rng: np.random.Generator) -> list[int]:
        """The tokens with a few words unknown, as some will be in phrasings that were never read."""
        lost, words = rng.random(len(tokens)) < self.plan.misheard, self.vocabulary
        return [words.unknown if gone and t > words.reply else t for t, gone in zip(tokens, lost, strict=True)]

    def run(self, stage: str) -> None:
        if stage == "detector" and not isinstance(self.corpus, SceneCorpus):
            return  # real images come with features
        if stage.startswith("guesser"):
            self.guess(stage, int(stage != "guesser"))
        else:
            getattr(self, stage)()


class Heard(NamedTuple):
    """A guesser's batch: the images' places in their half, what is said about the first of them, a caption of each."""

    rows: np.ndarray
    said: list[list[int]]
    captions: list[list[int]]


class Half:
    """The images of half of the part `models`, their features, and dialogues about them."""

    def __init__(self, training: Training, number: int, count: int) -> None:
        self.training, self.corpus = training, training.corpus
        self.images = self.corpus.models(number, count)

    @cached_property
    def _features(self) -> tuple[Tensor, Tensor]:
        """(images, regions, width) and (images, regions, 4) in half precision, which is how they are on the disk."""
        print(f"features of {len(self.images)} images", flush=True)

        def part(number: int) -> tuple[np.ndarray, np.ndarray]:
            found = self.corpus.features(self.images[number * PART : (number + 1) * PART])
            return found.features.astype(np.float16), found.boxes.astype(np.float16)

        parts = ahead(part, range(math.ceil(len(self.images) / PART)), self.training.workers)
        features, boxes = (np.concatenate(found) for found in zip(*parts, strict=True))
        where = self.training.device
        return torch.from_numpy(features).to(where), torch.from_numpy(boxes).to(where)

    @property
    def width(self) -> int:
        """Of the features."""
        return self._features[0].shape[-1]

    def seen(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Features and boxes of some images."""
        features, boxes = (x[torch.from_numpy(rows).to(x.device)].float() for x in self._features)
        return features, boxes

    def tokens(self, row: int, rng: np.random.Generator) -> list[int]:
        """A dialogue of people about an image, with any of its captions: no network learns one by heart."""
        image = self.images[row]
        caption = self.corpus.retold(image, rng)
        _, rounds = self.corpus.dialogue(image, rng, caption=caption, gibberish=GIBBERISH)
        return self.training.vocabulary.dialogue(caption, rounds)

    def talk(self, answerer: Answerer, rng: np.random.Generator, count: int) -> list[tuple[int, Rounds]]:
        """Dialogues in which people ask and the learned answerer answers."""
        done: list[tuple[int, Rounds]] = []
        rows = np.arange(min(count, len(self.images)))
        for batch in np.array_split(rows, max(len(rows) // TALKING, 1)):
            images = [self.images[row] for row in batch]
            askers = [self.corpus.asker(image, rng) for image in images]
            captions = [self.corpus.caption(image) for image in images]
            seen = self.seen(batch)
            rounds: list[Rounds] = [()] * len(batch)
            for _ in range(ROUNDS):
                questions = [ask(said) for ask, said in zip(askers, rounds, strict=True)]
                asked = [Asked(*one) for one in zip(images, captions, rounds, questions, strict=True)]
                answers = answerer.answer(*seen, asked)
                rounds = [(*said, (q, a)) for said, q, a in zip(rounds, questions, answers, strict=True)]
            done += zip(batch.tolist(), rounds, strict=True)
        return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="scenes", help="'scenes', or a folder with VisDial v1.0 and features")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--work", type=Path, help="folder for the state of the run (default: training in --out)")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="what to train (default: all)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches ahead, the same ones")
    for name, default in vars(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    given = parser.parse_args()
    set_threads(given.threads)
    corpus = SceneCorpus(given.out) if given.corpus == "scenes" else open_corpus(given.corpus)
    plan = Plan(**{name: getattr(given, name) for name in vars(Plan())})
    device = resolve_device(given.device)
    training = Training(corpus, plan, given.out, given.work or given.out / "training", device, given.workers)
    training.work.mkdir(parents=True, exist_ok=True)
    for stage in given.stages:
        training.run(stage)


if __name__ == "__main__":
    main()
