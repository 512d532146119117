"""How the transformers of Reddit's reward models learn: batches, side tasks, and a loop that a kill does not hurt.

A score is mostly luck, so a network that learns from scores alone is slow to see what makes a comment liked. A model of
upvotes therefore learns three further things from the same comments: which of them answer which parent (some of a
batch's comments stand under the parent of another row), where that is known, in which community a text was written,
and, where people labelled it, how toxic it is. The heads for these are thrown away.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from agents import checkpoints
from agents.optimizers import OptimizerName, make_optimizer
from agents.trainer import stop_requests
from data_scripts.reddit_data import LabelledComments
from lmrl_envs.devices import resolve_device
from lmrl_envs.files import home
from lmrl_envs.progress import progress_bar
from lmrl_envs.reddit.network import CommentNetwork, Encoded, NetworkConfig, encode, to_tensors
from lmrl_envs.reddit.rewards import LEVELS, Target

SAVE_EVERY, LOG_EVERY = 200, 20
POOL = 50  # batches of like length are made of so many batches' comments
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """How a transformer is trained.

    `scrambled` is the share of words whose features are drawn anew at each step, as those of a word never met;
    `swapped` the share of comments that stand under another comment's parent, where parents are read, on average over
    the run: twice that at first, none at the end; `dropout` is of what a row comes to.
    """

    steps: int
    batch: int = 64
    lr: float = 2e-3
    warmup: int = 200
    weight_decay: float = 0.05
    clip: float = 1.0
    scrambled: float = 0.1
    swapped: float = 0.35
    dropout: float = 0.1
    optimizer: OptimizerName = "muon"
    seed: int = 0


class Learner(nn.Module):
    """A network with the heads of its side tasks."""

    def __init__(self, network: CommentNetwork, data: LabelledComments, target: Target, config: TrainingConfig) -> None:
        super().__init__()
        self.network, self.data, self.config = network, data, config
        self.labels = data.labels(target)
        self.lengths = np.array([len(one) + len(other) for one, other in zip(data.parents, data.comments, strict=True)])
        self.matches = network.config.parent_words > 0 and any(data.parents)
        width = network.summary_width
        self.side = nn.ModuleDict()
        if self.matches:
            self.side["match"] = nn.Linear(width, 2)
            if data.toxicity is not None:
                self.side["toxicity"] = nn.Linear(width, LEVELS["toxicity"])
            if data.communities is not None:
                self.side["community"] = nn.Linear(network.config.features, int(data.communities.max()) + 1)

    def loss(
        self, rows: np.ndarray, step: int, rng: np.random.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Of a batch, with its side tasks and without."""
        data, config, shape, said = self.data, self.config, self.network.config, rows.copy()
        share = 2 * config.swapped * (1 - step / config.steps) if self.matches else 0.0
        swapped = rng.random(len(rows)) < share
        said[swapped] = np.roll(rows, 1)[swapped]
        texts = encode([data.parents[row] for row in rows], [data.comments[row] for row in said], shape)
        texts = scrambled(texts, config.scrambled, shape.buckets, rng)
        seen = self.network.summary(*to_tensors(texts, device))
        summary = nn.functional.dropout(seen.row, config.dropout, self.training)
        own = torch.from_numpy(~swapped).to(device)
        main = cross_entropy(self.network.out(summary)[own], torch.from_numpy(self.labels[rows]).to(device)[own])
        total = main
        if "match" in self.side:
            total = total + cross_entropy(self.side["match"](summary), own.long())
        if "toxicity" in self.side and data.toxicity is not None:
            labels = torch.from_numpy(data.toxicity[said]).to(device)
            total = total + cross_entropy(self.side["toxicity"](summary), labels)
        if "community" in self.side and data.communities is not None:
            for about, where in ((seen.comment, said), (seen.parent, rows)):
                labels = torch.from_numpy(data.communities[where]).to(device)
                total = total + 0.5 * cross_entropy(self.side["community"](about), labels)
        return total, main


def train_network(
    data: LabelledComments, target: Target, shape: NetworkConfig, config: TrainingConfig, device: str
) -> CommentNetwork:
    """Trains a network; a run of the same data and settings that was stopped goes on from its last save.

    Raises:
        ValueError: the data have no labels of `target`.
    """
    torch.manual_seed(config.seed)
    where = resolve_device(device)
    learner = Learner(CommentNetwork(shape), data, target, config).to(where).train()
    parameters = list(learner.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    matrices = [p for p in learner.network.blocks.parameters() if p.ndim > 1]
    rates = {"lr": config.lr, "weight_decay": config.weight_decay}
    optimizer = make_optimizer(config.optimizer, learner, groups, **rates, matrices=matrices)
    identity = {"shape": asdict(shape), "config": asdict(config), "data": data.fingerprint(target)}
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    state = home() / "reddit-rewards" / f"{name}.safetensors"
    state.parent.mkdir(exist_ok=True)
    step = checkpoints.load_training(state, learner, optimizer)["step"] if state.is_file() else 0
    with stop_requests() as stopping, progress_bar(f"train {target}", total=config.steps, start=step) as bar:
        while step < config.steps:
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(config.seed, spawn_key=(step,))))
            total, main = learner.loss(batch_rows(learner.lengths, config, step), step, rng, where)
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(parameters, config.clip)
            for group in optimizer.param_groups:
                group["lr"] = config.lr * warmed(step, config)
            optimizer.step()
            step += 1
            if step % LOG_EVERY == 0:
                bar.update(step, loss=main.item())
            if step % SAVE_EVERY == 0 or stopping.is_set():
                checkpoints.save_training(state, learner, optimizer, {"step": step})
                _log.info("%s: step %d of %d, loss %.3f", target, step, config.steps, main.item())
            if stopping.is_set() and step < config.steps:
                raise KeyboardInterrupt
    return learner.network.eval()


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
