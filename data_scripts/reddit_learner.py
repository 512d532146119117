"""How the transformers of Reddit's reward models learn: batches, side tasks, and a loop that a kill does not hurt.

A score is mostly luck, so a network that learns from scores alone is slow to see what makes a comment liked. A model of
upvotes therefore learns three further things from the same comments: which of them answer which parent (some of a
batch's comments stand under the parent of another row), where that is known, in which community a text was written,
and, where people labelled it, how toxic it is. The heads for these are thrown away.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from agents import checkpoints
from agents.optimizers import OptimizerName, make_optimizer
from agents.trainer import stop_requests
from data_scripts.prefetch import ahead
from data_scripts.reddit_data import LabelledComments
from lmrl_envs.devices import resolve_device
from lmrl_envs.files import home
from lmrl_envs.progress import progress_bar
from lmrl_envs.reddit.network import COMMENT, CommentNetwork, Encoded, NetworkConfig, encode, ranges, to_tensors
from lmrl_envs.reddit.rewards import LEVELS, Target
from lmrl_envs.reddit.words import mark_features

SAVE_EVERY, LOG_EVERY = 200, 20
COMMON, COUNTED = 150, 5_000  # so many words, the most frequent of so many comments, are never strange
POOL = 50  # batches of like length are made of so many batches' comments
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """How a transformer is trained.

    `scrambled` is the share of words whose features are drawn anew at each step, as those of a word never met;
    `strange` the share of clauses of which a random share of words is taken for others, as in a phrase never met (see
    `estranged`); `forgotten` the share of features that are left out; `swapped` the share of comments that stand under
    another comment's parent, where parents are read, on average over the run: twice that at first, none at the end;
    `side_tasks` says whether what is thrown away afterwards is learnt, too; `dropout` is of what a row comes to;
    `averaged` is the decay of the running mean of the weights that the network ends with, 0 for the last weights.
    """

    steps: int
    batch: int = 64
    lr: float = 2e-3
    warmup: int = 200
    weight_decay: float = 0.05
    clip: float = 1.0
    scrambled: float = 0.1
    strange: float = 0.0
    forgotten: float = 0.0
    swapped: float = 0.35
    side_tasks: bool = True
    dropout: float = 0.1
    averaged: float = 0.0
    optimizer: OptimizerName = "muon"
    seed: int = 0


class Batch(NamedTuple):
    """B comments under parents; `own` says whether a comment stands under its own."""

    texts: Encoded
    labels: np.ndarray  # (B,) int64, as the next three
    own: np.ndarray
    toxicity: np.ndarray | None
    communities: np.ndarray | None  # (2, B), of comment and parent


class Batches:
    """The batch of each step, drawn from the step's own seed."""

    def __init__(self, data: LabelledComments, target: Target, shape: NetworkConfig, config: TrainingConfig) -> None:
        self.data, self.shape, self.config = data, shape, config
        self.labels = data.labels(target)
        self.lengths = np.array([len(one) + len(other) for one, other in zip(data.parents, data.comments, strict=True)])
        self.matches = shape.parent_words > 0 and any(data.parents)
        self.common = _common(data.comments[:COUNTED], shape)

    def __call__(self, step: int) -> Batch:
        data, config = self.data, self.config
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(config.seed, spawn_key=(step,))))
        rows = batch_rows(self.lengths, config, step)
        said = rows.copy()
        share = 2 * config.swapped * (1 - step / config.steps) if self.matches else 0.0
        swapped = rng.random(len(rows)) < share
        said[swapped] = np.roll(rows, 1)[swapped]
        texts = encode([data.parents[row] for row in rows], [data.comments[row] for row in said], self.shape)
        if config.strange:
            texts = estranged(texts, config.strange, self.common, rng)
        texts = scrambled(texts, config.scrambled, self.shape.buckets, rng)
        return Batch(
            forgetful(texts, config.forgotten, rng) if config.forgotten else texts,
            self.labels[rows],
            (~swapped).astype(np.int64),
            None if data.toxicity is None else data.toxicity[said],
            None if data.communities is None else data.communities[np.stack([said, rows])],
        )


class Learner(nn.Module):
    """A network with the heads of its side tasks and, where it is kept, the running mean of its weights."""

    def __init__(self, network: CommentNetwork, batches: Batches) -> None:
        super().__init__()
        self.network, self.config, data = network, batches.config, batches.data
        self.average = copy.deepcopy(network).requires_grad_(False) if self.config.averaged else None
        width = network.summary_width
        self.side = nn.ModuleDict()
        if batches.matches and self.config.side_tasks:
            self.side["match"] = nn.Linear(width, 2)
            if data.toxicity is not None:
                self.side["toxicity"] = nn.Linear(width, LEVELS["toxicity"])
            if data.communities is not None:
                self.side["community"] = nn.Linear(network.config.features, int(data.communities.max()) + 1)

    def loss(self, batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
        """Of a batch, with its side tasks and without."""
        seen = self.network.summary(*to_tensors(batch.texts, device))
        summary = nn.functional.dropout(seen.row, self.config.dropout, self.training)
        seen = seen._replace(row=summary)
        own = torch.from_numpy(batch.own).to(device)
        each = cross_entropy(self.network.logits(seen), torch.from_numpy(batch.labels).to(device), reduction="none")
        main = (each * own).sum() / own.sum().clamp(min=1)
        total = main
        if "match" in self.side:
            total = total + cross_entropy(self.side["match"](summary), own)
        if "toxicity" in self.side and batch.toxicity is not None:
            labels = torch.from_numpy(batch.toxicity).to(device)
            total = total + cross_entropy(self.side["toxicity"](summary), labels)
        if "community" in self.side and batch.communities is not None:
            for about, where in zip((seen.comment, seen.parent), torch.from_numpy(batch.communities), strict=True):
                total = total + 0.5 * cross_entropy(self.side["community"](about), where.to(device))
        return total, main

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Moves the mean of the weights towards them; that of the first steps forgets faster."""
        if self.average is not None:
            decay = min(self.config.averaged, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)


def train_network(
    data: LabelledComments,
    target: Target,
    shape: NetworkConfig,
    config: TrainingConfig,
    device: str,
    workers: int = 0,
    start: CommentNetwork | None = None,
) -> CommentNetwork:
    """Trains a network; a run of the same data and settings that was stopped goes on from its last save.

    Args:
        workers: processes that make batches ahead; the network is the same with any number of them.
        start: a network of that shape to begin with; it stays as it is.

    Raises:
        ValueError: the data have no labels of `target`.
    """
    torch.manual_seed(config.seed)
    where, batches = resolve_device(device), Batches(data, target, shape, config)
    network = CommentNetwork(shape)
    if start is not None:
        network.load_state_dict(start.state_dict())
    learner = Learner(network, batches).to(where).train()
    parameters = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    matrices = [p for p in learner.network.blocks.parameters() if p.ndim > 1]
    rates = {"lr": config.lr, "weight_decay": config.weight_decay}
    optimizer = make_optimizer(config.optimizer, learner, groups, **rates, matrices=matrices)
    identity: dict[str, object] = {"shape": asdict(shape), "config": asdict(config), "data": data.fingerprint(target)}
    if start is not None:
        identity["start"] = _digest(start)
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    state = home() / "reddit-rewards" / f"{name}.safetensors"
    state.parent.mkdir(exist_ok=True)
    step = checkpoints.load_training(state, learner, optimizer)["step"] if state.is_file() else 0
    with stop_requests() as stopping, progress_bar(f"train {target}", total=config.steps, start=step) as bar:
        for batch in ahead(batches, range(step, config.steps), workers):
            total, main = learner.loss(batch, where)
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(parameters, config.clip)
            for group in optimizer.param_groups:
                group["lr"] = config.lr * warmed(step, config)
            optimizer.step()
            learner.follow(step)
            step += 1
            if step % LOG_EVERY == 0:
                bar.update(step, loss=main.item())
            if step % SAVE_EVERY == 0 or stopping.is_set():
                checkpoints.save_training(state, learner, optimizer, {"step": step})
                _log.info("%s: step %d of %d, loss %.3f", target, step, config.steps, main.item())
            if stopping.is_set() and step < config.steps:
                raise KeyboardInterrupt
    return (learner.network if learner.average is None else learner.average).eval()


def _digest(network: CommentNetwork) -> str:
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def warmed(step: int, config: TrainingConfig) -> float:
    """The share of `config.lr` at a step: a linear rise, then a linear fall to zero, where noisy labels average out."""
    return min((step + 1) / config.warmup, (config.steps - step) / max(config.steps - config.warmup, 1))


def scrambled(texts: Encoded, share: float, buckets: int, rng: np.random.Generator) -> Encoded:
    """Texts in which a share of the words, drawn anew, have random features: words that nobody knows.

    So has the pair of the word after, by which they could be told.
    """
    lengths = np.diff(texts.words)
    read = lengths > 1  # not the beginning of a row
    chosen = (rng.random(len(lengths)) < share) & read
    noisy = np.repeat(chosen, lengths)
    noisy[texts.words[2:][chosen[:-1] & read[1:]] - 1] = True
    noise = rng.integers(buckets, size=len(texts.features), dtype=np.int32)
    return texts._replace(features=np.where(noisy, noise, texts.features))


def estranged(texts: Encoded, share: float, common: np.ndarray, rng: np.random.Generator) -> Encoded:
    """Texts in which a share of the clauses, drawn anew, have some of their words taken for words of other rows.

    How many of a chosen clause's words is uniform from none to all of them, but for common ones, which stay: they are
    what a phrase never met is told by. Neither pair of a word that is taken for another one is known.

    Args:
        common: (buckets,) bool, whether that is the first feature of a common word.
    """
    buckets = len(common)
    first = texts.features[texts.words[:-1]]
    begins = np.isin(first, mark_features(buckets))  # a mark, and what stands between it and the next
    begins[texts.rows[:-1]] = True
    clause = np.cumsum(begins) - 1
    count = clause[-1] + 1
    rate = rng.random(count) * (rng.random(count) < share)
    open_ones = ~begins & ~common[first] & (texts.segments >= COMMENT)
    chosen = (rng.random(len(clause)) < rate[clause]) & open_ones
    source = np.arange(len(clause))
    source[chosen] = rng.choice(np.flatnonzero(open_ones), int(chosen.sum()))
    lengths = np.diff(texts.words)[source]
    words = np.concatenate([[0], np.cumsum(lengths)])
    features = texts.features[ranges(texts.words[source], texts.words[source + 1])]
    strange = chosen.copy()
    strange[1:] |= chosen[:-1] & (texts.segments[1:] > 0)
    features[words[1:][strange] - 1] = rng.integers(buckets, size=int(strange.sum()), dtype=np.int32)
    return texts._replace(features=features, words=words)


def _common(comments: Sequence[str], shape: NetworkConfig) -> np.ndarray:
    """(buckets,) bool, whether that is the first feature of one of the most frequent words."""
    texts = encode([""] * len(comments), comments, shape)
    counts = np.bincount(texts.features[texts.words[:-1]], minlength=shape.buckets)
    common = np.zeros(shape.buckets, bool)
    common[np.argsort(-counts, kind="stable")[:COMMON]] = True
    return common


def forgetful(texts: Encoded, share: float, rng: np.random.Generator) -> Encoded:
    """Texts without a share of the features, drawn anew; a word that would have none keeps its first."""
    kept = rng.random(len(texts.features)) >= share
    kept[texts.words[:-1][np.add.reduceat(kept, texts.words[:-1]) == 0]] = True
    return texts._replace(features=texts.features[kept], words=np.concatenate([[0], np.cumsum(kept)])[texts.words])


def batch_rows(lengths: np.ndarray, config: TrainingConfig, step: int) -> np.ndarray:
    """The rows of a step, of like length: epochs of shuffled comments, sorted within pools of some batches.

    Args:
        lengths: (N,) of the comments with their parents.
    """
    per_epoch = max(len(lengths) // config.batch, 1)
    epoch, place = divmod(step, per_epoch)
    order = _epoch(len(lengths), config.seed, epoch)
    pool, offset = divmod(place, POOL)
    rows = order[pool * POOL * config.batch : min((pool + 1) * POOL, per_epoch) * config.batch]
    rows = rows[np.argsort(lengths[rows], kind="stable")]
    batches = np.array_split(rows, max(len(rows) // config.batch, 1))
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(config.seed, spawn_key=(epoch, pool))))
    return batches[rng.permutation(len(batches))[offset]]


@lru_cache(maxsize=2)
def _epoch(count: int, seed: int, epoch: int) -> np.ndarray:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(0, 0, epoch))))
    return rng.permutation(count)
