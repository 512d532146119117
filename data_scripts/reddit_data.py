"""Comments with labels, from the generated corpus or from a file, and tables of how good models are on them."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import multiprocessing
import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmrl_envs.datasets import TextDataset
from lmrl_envs.files import between_markers
from lmrl_envs.reddit.corpus import SIZES, Part, comments
from lmrl_envs.reddit.grammar import communities
from lmrl_envs.reddit.quality import quality
from lmrl_envs.reddit.rewards import BUNDLED, LEVELS, WEIGHTS, RewardModel, Target, read_card

_COLUMNS = ("toxicity", "scores", "threads", "communities", "true_toxicity", "true_chance", "kinds", "held_out")
HELD_BACK = 5  # every so manieth thread of a file measures quality
SHARD = 50_000
"""Comments of the generated corpus that come from one seed."""


@dataclass(frozen=True)
class LabelledComments:
    """N comments with what people made of them and, on the generated corpus, the truth.

    Attributes:
        toxicity: (N,) levels 0 to 2, None where nobody labelled it.
        scores: (N,), None where nobody voted.
        threads: (N,), what is split keeps these together.
        communities: (N,) numbers of where each was written, None where that is not known.
        true_toxicity, true_chance, kinds, held_out: (N,), None where no truth is known.
    """

    parents: Sequence[str]
    comments: Sequence[str]
    toxicity: np.ndarray | None
    scores: np.ndarray | None
    threads: np.ndarray
    communities: np.ndarray | None = None
    true_toxicity: np.ndarray | None = None
    true_chance: np.ndarray | None = None
    kinds: np.ndarray | None = None
    held_out: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.comments)

    def labels(self, target: Target) -> np.ndarray:
        """(N,) int64 levels of a target.

        Raises:
            ValueError: the comments have none.
        """
        if target == "toxicity" and self.toxicity is not None:
            return self.toxicity
        if target == "upvotes" and self.scores is not None:
            return (self.scores > 0).astype(np.int64)
        raise ValueError(f"these comments have no labels of {target}; try the other --target, or another file")

    def where(self, chosen: np.ndarray) -> LabelledComments:
        """The comments at which (N,) bool `chosen` is True."""
        index = np.flatnonzero(chosen)
        arrays = {name: None if (array := getattr(self, name)) is None else array[index] for name in _COLUMNS}
        return LabelledComments([self.parents[i] for i in index], [self.comments[i] for i in index], **arrays)

    def fingerprint(self, target: Target) -> str:
        """SHA-256 of texts and labels."""
        digest = hashlib.sha256(self.labels(target).tobytes())
        for text in (*self.parents, *self.comments):
            digest.update(text.encode() + b"\n")
        return digest.hexdigest()


def generated(part: Part, count: int | None = None, processes: int = 1, *, after: int = 0) -> LabelledComments:
    """A part of the generated corpus; of more than `SHARD` comments, every `SHARD` have a seed of their own.

    Args:
        processes: that write them; the comments are the same with any number.
        after: the first comments are left out, so many, a multiple of `SHARD`.
    """
    total = SIZES[part] if count is None else count
    shards = [(part, min(SHARD, total - start), (after + start) // SHARD) for start in range(0, total, SHARD)]
    if processes == 1 or len(shards) == 1:
        return _together([_shard(*shard) for shard in shards])
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        return _together(list(pool.map(_shard, *zip(*shards, strict=True))))


def _shard(part: Part, count: int, number: int) -> LabelledComments:
    """Comments from the seed of that number; the first is the corpus's own."""
    rows = comments(part, count, np.random.SeedSequence(0, spawn_key=(number,)) if number else 0)

    def column(name: str) -> np.ndarray:
        return np.array([getattr(row, name) for row in rows])

    arrays = {name: column(name) for name in ("toxicity", "true_toxicity", "true_chance", "held_out")}
    texts = [row.parent for row in rows], [row.text for row in rows]
    arrays |= {"scores": column("score"), "threads": column("thread"), "kinds": column("kind")}
    names = sorted(communities())
    return LabelledComments(*texts, communities=np.searchsorted(names, column("community")), **arrays)


def _together(shards: Sequence[LabelledComments]) -> LabelledComments:
    parents = [text for shard in shards for text in shard.parents]
    said = [text for shard in shards for text in shard.comments]
    arrays = {name: np.concatenate([getattr(shard, name) for shard in shards]) for name in _COLUMNS}
    return LabelledComments(parents, said, **arrays)


def read_comments(path: Path) -> LabelledComments:
    """The comments of a file that `data_scripts.read_reddit` wrote; one without a parent is a thread of its own."""
    parents, said, infos = [], [], []
    for episode in TextDataset.read(path):
        before = [turn.text for turn in episode.turns if turn.role == "env"]
        parents.append(episode.info.get("parent") or (before[0] if before else ""))
        said.append(next(turn.text for turn in episode.turns if turn.role == "agent"))
        infos.append(episode.info)

    def column(name: str) -> np.ndarray | None:
        values = [info.get(name) for info in infos]
        return None if None in values else np.array(values, np.int64)

    names = [parent or comment for parent, comment in zip(parents, said, strict=True)]
    threads = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1 for name in names]
    return LabelledComments(parents, said, column("toxicity"), column("score"), np.array(threads))


def split_file(data: LabelledComments) -> tuple[LabelledComments, LabelledComments]:
    """What trains, and what measures quality."""
    measures = data.threads % HELD_BACK == 0
    return data.where(~measures), data.where(measures)


def quality_table(model: RewardModel, target: Target, data: LabelledComments) -> dict[str, dict[str, Any]]:
    """Rows of `quality` of P(toxic) or P(positive score) on `data`.

    On the generated corpus also against the truth, on the comments with held-out words or phrases, on masked and
    implied toxicity (among all harmless comments), and the ceiling: what the truth itself scores against the labels.
    """
    p = 1 - model.score(data.parents, data.comments)[:, 0]
    labels = data.labels(target) > 0
    rows = {"labels": quality(p, labels)}
    if data.true_chance is None or data.true_toxicity is None or data.kinds is None or data.held_out is None:
        return rows
    truth = data.true_toxicity > 0 if target == "toxicity" else data.true_chance
    rows["labels, ceiling"] = quality(truth, labels)
    typed = 1 - model.score(data.parents, badly_typed(data).comments)[:, 0]
    rows["labels, badly typed"] = quality(typed, labels)
    rows["labels, held-out words and phrases"] = quality(p[data.held_out], labels[data.held_out])
    rows["labels, held-out words and phrases, ceiling"] = quality(truth[data.held_out], labels[data.held_out])
    if target == "upvotes":
        return rows
    rows["truth"] = quality(p, truth)
    rows["truth, held-out words and phrases"] = quality(p[data.held_out], truth[data.held_out])
    rows["truth, badly typed"] = quality(typed, truth)
    for kind in ("masked", "implied"):
        chosen = (data.kinds == kind) | ~truth
        rows[f"truth, {kind}"] = quality(p[chosen], truth[chosen])
        chosen &= data.held_out
        rows[f"truth, {kind}, held-out words and phrases"] = quality(p[chosen], truth[chosen])
    return rows


def report() -> str:
    """The quality of the bundled models as a table in Markdown."""
    lines = ["| model | of | against | texts | AUC | AP | Brier | ECE |", "|---|---|---|---:|---:|---:|---:|---:|"]
    for target, name in itertools.product(LEVELS, BUNDLED):
        for against, row in read_card(WEIGHTS / name, target)["quality"].items():
            numbers = " | ".join(f"{row[key]:.3f}" for key in ("auc", "average_precision", "brier", "ece"))
            lines.append(f"| `{name}` | {target} | {against} | {row['count']:,} | {numbers} |")
    return "\n".join(lines)


def with_report(page: str) -> str:
    """A page whose table is that of the bundled models."""
    return between_markers(page, "quality", f"{report()}\n")


def badly_typed(data: LabelledComments, seed: int = 0) -> LabelledComments:
    """The same comments as people in a hurry type them; labels and truth stay.

    Of a third of the words of five letters or more two neighbouring letters are swapped; a third of the comments lose
    their punctuation and a sixth are all capitals.
    """
    rng = np.random.Generator(np.random.PCG64(seed))

    def typed(text: str) -> str:
        words = [_swapped(word, rng) if len(word) > 4 and rng.random() < 1 / 3 else word for word in text.split(" ")]
        text, style = " ".join(words), rng.random()
        if style < 1 / 3:
            return re.sub(r"[^\w\s*@$'-]", "", text)
        return text.upper() if style < 1 / 2 else text

    return dataclasses.replace(data, comments=[typed(text) for text in data.comments])


def _swapped(word: str, rng: np.random.Generator) -> str:
    place = 1 + int(rng.random() * (len(word) - 3))
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
