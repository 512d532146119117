"""Trains reward models of comments: the bundled ones, and others from files of comments.

    python -m data_scripts.train_reddit_rewards                                  # all that the library bundles
    python -m data_scripts.train_reddit_rewards --name bundled --target upvotes  # one of them
    python -m data_scripts.train_reddit_rewards --data jigsaw.parquet --target toxicity --out my_models
    python -m data_scripts.train_reddit_rewards --data davidson.parquet --target toxicity --kind linear --folds 5

Files are those that `data_scripts.read_reddit` writes. `Reddit-v0` takes the folder that comes out:
`reward_model="my_models"`. A run that was stopped goes on from its last save; a model that is there is left as it is.

The bundled models learn from the part `models` of the generated corpus: `bundled` and `linear` from the threads of its
first half, `held-out` from the second. A tenth of the threads is kept from training to fit the temperature. Quality is
measured on the part `test`, whose held-out words and templates no model has met.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents import checkpoints
from agents.trainer import learning_rate, stop_requests
from data_scripts.reddit_data import LabelledComments, generated, quality_table, read_comments, split_file
from lmrl_envs.devices import resolve_device, set_threads
from lmrl_envs.errors import DatasetError
from lmrl_envs.files import home
from lmrl_envs.progress import progress_bar
from lmrl_envs.provenance import library_version
from lmrl_envs.reddit.linear import LinearScorer
from lmrl_envs.reddit.network import CommentNetwork, Encoded, NetworkConfig, TransformerScorer, encode, to_tensors
from lmrl_envs.reddit.quality import fit_temperature, quality
from lmrl_envs.reddit.rewards import (
    BUNDLED,
    LEVELS,
    WEIGHTS,
    RewardModel,
    Target,
    rewards_of_levels,
    write_reward_model,
)
from lmrl_envs.reddit.task import parents_of

KINDS = {"bundled": "transformer", "held-out": "transformer", "linear": "linear"}
HALF = {"bundled": 0, "held-out": 1, "linear": 0}
HALVES = 2
PARENT_WORDS = 48  # that a model of upvotes reads; one of toxicity reads none
CALIBRATION = 10  # every so manieth thread fits the temperature
SAVE_EVERY, POOL = 200, 50
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """How a transformer is trained.

    `scrambled` is the share of words whose features are drawn anew at each step, as those of a word never met.
    """

    steps: int = 4_000
    batch: int = 64
    lr: float = 2e-3
    warmup: int = 200
    weight_decay: float = 0.05
    clip: float = 1.0
    scrambled: float = 0.1
    seed: int = 0


def train_network(
    data: LabelledComments, target: Target, shape: NetworkConfig, config: TrainingConfig, device: str
) -> CommentNetwork:
    """Trains a network by cross-entropy; a run of the same data and settings that was stopped goes on."""
    torch.manual_seed(config.seed)
    where = resolve_device(device)
    network = CommentNetwork(shape).to(where).train()
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=config.lr, fused=True)
    labels = data.labels(target)
    identity = {"shape": asdict(shape), "config": asdict(config), "data": data.fingerprint(target)}
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    state = home() / "reddit-rewards" / f"{name}.safetensors"
    step, loss = 0, float("nan")
    if state.is_file():
        step = checkpoints.load_training(state, network, optimizer)["step"]
        _log.info("%s: going on from step %d", target, step)
    state.parent.mkdir(parents=True, exist_ok=True)
    with (
        stop_requests() as stopping,
        progress_bar(f"train {target}", total=config.steps, start=step) as bar,
    ):
        while step < config.steps:
            rows = _batch(data, config, step)
            texts = encode([data.parents[row] for row in rows], [data.comments[row] for row in rows], shape)
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(config.seed, spawn_key=(step,))))
            texts = scrambled(texts, config.scrambled, shape.buckets, rng)
            logits = network(*to_tensors(texts, where))
            loss_now = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels[rows]).to(where))
            optimizer.zero_grad(set_to_none=True)
            loss_now.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
            for group in optimizer.param_groups:
                group["lr"] = config.lr * learning_rate(step, config)
            optimizer.step()
            step += 1
            if step % 20 == 0:
                loss = loss_now.item()
                bar.update(step, loss=loss)
            if step % SAVE_EVERY == 0 or stopping.is_set():
                checkpoints.save_training(state, network, optimizer, {"step": step})
                _log.info("%s: step %d of %d, loss %.3f", target, step, config.steps, loss)
            if stopping.is_set() and step < config.steps:
                raise KeyboardInterrupt
    return network.eval()


def scrambled(texts: Encoded, share: float, buckets: int, rng: np.random.Generator) -> Encoded:
    """Texts in which a share of the words, drawn anew, have random features: words that nobody knows."""
    lengths = np.diff(texts.words)
    chosen = np.repeat((rng.random(len(lengths)) < share) & (lengths > 1), lengths)  # punctuation has one feature
    noise = rng.integers(buckets, size=len(texts.features), dtype=np.int32)
    return texts._replace(features=np.where(chosen, noise, texts.features))


def _batch(data: LabelledComments, config: TrainingConfig, step: int) -> np.ndarray:
    """The rows of a step, of like length: epochs of shuffled comments, sorted within pools of some batches."""
    per_epoch = max(len(data) // config.batch, 1)
    epoch, place = divmod(step, per_epoch)
    order = _epoch(len(data), config.seed, epoch)
    pool, offset = divmod(place, POOL)
    rows = order[pool * POOL * config.batch : min((pool + 1) * POOL, per_epoch) * config.batch]
    rows = rows[np.argsort([len(data.parents[row]) + len(data.comments[row]) for row in rows], kind="stable")]
    batches = np.array_split(rows, max(len(rows) // config.batch, 1))
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(config.seed, spawn_key=(epoch, pool))))
    return batches[rng.permutation(len(batches))[offset]]


@lru_cache(maxsize=2)
def _epoch(count: int, seed: int, epoch: int) -> np.ndarray:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(0, 0, epoch))))
    return rng.permutation(count)


def train_model(
    kind: str, target: Target, data: LabelledComments, config: TrainingConfig, device: str
) -> LinearScorer | TransformerScorer:
    """Trains a model on nine tenths of the threads and fits its temperature on the others."""
    kept = data.threads // HALVES % CALIBRATION == 0
    training, calibration = data.where(~kept), data.where(kept)
    if kind == "linear":
        model: Any = LinearScorer.fit(
            training.parents, training.comments, training.labels(target), read_parents=target == "upvotes"
        )
        logits = model.logits(calibration.parents, calibration.comments)
    else:
        parent_words = PARENT_WORDS if target == "upvotes" else 0
        shape = NetworkConfig(levels=LEVELS[target], parent_words=parent_words)
        model = TransformerScorer(train_network(training, target, shape, config, device), device=device)
        logits = model.logits(encode(calibration.parents, calibration.comments, shape)).numpy()
    model.temperature = fit_temperature(logits, calibration.labels(target))
    return model


def make(
    folder: Path, kind: str, target: Target, data: LabelledComments, test: LabelledComments, given: argparse.Namespace
) -> None:
    """Trains a model, measures it, and writes it with what is known about it; one that is there is left alone."""
    if (folder / f"{target}.json").exists() and not given.again:
        print(f"{folder.name}/{target} is there; --again makes it anew")
        return
    config = TrainingConfig(steps=given.steps, seed=given.seed)
    begun = time.monotonic()
    model = train_model(kind, target, data, config, given.device)
    seconds = time.monotonic() - begun
    table = quality_table(model, target, test)
    made: dict[str, Any] = {
        "by": "python -m data_scripts.train_reddit_rewards",
        "data": given.data.name if given.data else "generated, part models",
        "data_sha256": data.fingerprint(target),
        "comments": len(data),
        "training": asdict(config) if kind == "transformer" else None,
        "seconds": round(seconds),
        "library": library_version(),
    }
    facts: dict[str, Any] = {"made": made, "quality": table}
    if not given.data:
        facts["random_reply"] = random_reply(model, target)
    write_reward_model(folder, target, model, **facts)
    print(f"\n{folder.name}/{target} ({kind}, {seconds:.0f} s), quality:")
    print_table(table)


def random_reply(model: RewardModel, target: Target) -> float:
    """Mean reward of comments of the part `train` as replies to the comments of the part `test`."""
    parents = parents_of("generated", "test")
    replies = generated("train", len(parents)).comments
    levels = model.score(parents, replies).argmax(1)
    return float(rewards_of_levels("toxicity" if target == "toxicity" else "upvotes_model", levels).mean())


def cross_validate(kind: str, target: Target, data: LabelledComments, given: argparse.Namespace) -> None:
    """Prints the quality of predictions for folds that the model did not train on."""
    labels, p = data.labels(target) > 0, np.empty(len(data))
    fold_of = np.random.Generator(np.random.PCG64(given.seed)).permutation(len(data)) % given.folds
    for fold in range(given.folds):
        test = fold_of == fold
        config = TrainingConfig(steps=given.steps, seed=given.seed)
        model = train_model(kind, target, data.where(~test), config, given.device)
        held = data.where(test)
        p[test] = 1 - model.score(held.parents, held.comments)[:, 0]
        print_table({f"fold {fold}": quality(p[test], labels[test])})
    print_table({f"all {given.folds} folds": quality(p, labels)})


def print_table(table: Mapping[str, Mapping[str, Any]]) -> None:
    for name, row in table.items():
        numbers = "  ".join(f"{key} {'-' if value is None else f'{value:.4g}'}" for key, value in row.items())
        print(f"  {name:48} {numbers}", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--name", action="append", choices=BUNDLED, help="a bundled model; default: all of them")
    parser.add_argument("--target", action="append", choices=list(LEVELS), help="default: both")
    parser.add_argument("--data", type=Path, help="a file of comments; default: the generated corpus")
    parser.add_argument("--out", type=Path, help="with --data: the folder to write to")
    parser.add_argument("--kind", choices=["transformer", "linear"], default="transformer", help="with --data")
    parser.add_argument("--folds", type=int, help="with --data: print the quality of so many folds, write nothing")
    parser.add_argument("--steps", type=int, default=TrainingConfig.steps, help="of a transformer (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--again", action="store_true", help="train models that are there, too")
    given = parser.parse_args(argv)
    targets: list[Target] = given.target or list(LEVELS)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    set_threads(1)
    if given.data is None:
        corpus, test = generated("models"), generated("test")
        for name in given.name or BUNDLED:
            half = corpus.where(corpus.threads % HALVES == HALF[name])
            for target in targets:
                make((given.out or WEIGHTS) / name, KINDS[name], target, half, test, given)
        return
    if bool(given.out) == bool(given.folds):
        parser.error("--data: give --out, the folder to write to, or --folds")
    try:
        data = read_comments(given.data)
        for target in targets:
            if given.folds:
                cross_validate(given.kind, target, data, given)
            else:
                make(given.out, given.kind, target, *split_file(data), given)
    except (ValueError, DatasetError, FileNotFoundError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
