"""Trains reward models of comments: the bundled ones, and others from files of comments.

    python -m data_scripts.train_reddit_rewards                                  # all that the library bundles
    python -m data_scripts.train_reddit_rewards --device cuda --workers 4        # the same on a card
    python -m data_scripts.train_reddit_rewards --target upvotes --from lmrl_envs/reddit/weights --again  # go on
    python -m data_scripts.train_reddit_rewards --name bundled --target upvotes  # one of them
    python -m data_scripts.train_reddit_rewards --data jigsaw.parquet --target toxicity --out my_models
    python -m data_scripts.train_reddit_rewards --data davidson.parquet --target toxicity --kind linear --folds 5

Files are those that `data_scripts.read_reddit` writes. `Reddit-v0` takes the folder that comes out:
`reward_model="my_models"`. A run that was stopped goes on from its last save; a model that is there is left as it is.
With `--from` transformers start as trained ones, on comments that those have not met.

The bundled models learn from the part `models` of the generated corpus: `bundled` and `linear` from the threads of its
first half, `held-out` from the second. A tenth of the threads is kept from training to fit the temperature. Of networks
of several seeds the one is kept that is best on the part `validation`. Quality is measured on the part `test`, whose
held-out words and templates no model has met.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_scripts.reddit_data import LabelledComments, generated, quality_table, read_comments, split_file, with_report
from data_scripts.reddit_learner import TrainingConfig, train_network
from lmrl_envs.devices import resolve_device, set_threads
from lmrl_envs.errors import CheckpointError, DatasetError
from lmrl_envs.files import write_atomic
from lmrl_envs.provenance import library_version
from lmrl_envs.reddit.linear import LinearScorer
from lmrl_envs.reddit.network import CommentNetwork, NetworkConfig, TransformerScorer, encode
from lmrl_envs.reddit.quality import fit_temperature, quality
from lmrl_envs.reddit.rewards import (
    BUNDLED,
    LEVELS,
    WEIGHTS,
    RewardModel,
    Target,
    read_card,
    read_reward_model,
    rewards_of_levels,
    write_reward_model,
)
from lmrl_envs.reddit.task import parents_of

KINDS = {"bundled": "transformer", "held-out": "transformer", "linear": "linear"}
HALF = {"bundled": 0, "held-out": 1, "linear": 0}
HALVES = 2
CALIBRATION, FITTING = 10, 20_000  # every so manieth thread fits the temperature, by so many comments at most
CHOOSING = 20_000  # comments of the part `validation` by which a network is chosen
CHOICE = {"toxicity": "truth, held-out words and phrases", "upvotes": "labels"}  # whose AUC counts then
PAGE = Path(__file__).parents[1] / "docs" / "reddit.md"
COMMENTS = {"toxicity": 400_000, "upvotes": 1_600_000}  # of the part `models`, which has no end; both halves
FURTHER_COMMENTS = 600_000  # those after these are what `--from` learns from
SHAPES = {
    "toxicity": NetworkConfig(levels=LEVELS["toxicity"], clauses=True),
    "upvotes": NetworkConfig(levels=LEVELS["upvotes"], parent_words=48),
}
SETTINGS: dict[str, dict[str, Any]] = {
    # Muon knows the phrases that it has met better, others worse.
    "toxicity": {"steps": 3_000, "averaged": 0.998, "optimizer": "adamw"},
    "upvotes": {  # the labels are noise enough: no dropout of what a row comes to
        "steps": 3_000,
        "batch": 512,
        "lr": 4e-3,
        "scrambled": 0.05,
        "strange": 0.1,
        "forgotten": 0.1,
        "dropout": 0.0,
        "averaged": 0.998,
    },
}
FURTHER: dict[str, Any] = {  # instead, with `--from`: what helped to learn gives way to the target alone
    "steps": 800,
    "lr": 1e-3,
    "warmup": 50,
    "strange": 0.05,
    "forgotten": 0.0,
    "swapped": 0.0,
    "side_tasks": False,
    "averaged": 0.99,
}


def training_config(target: Target, given: argparse.Namespace) -> TrainingConfig:
    """The settings of a target, with what the command line says."""
    said = {name: value for name in ("steps", "batch", "seed") if (value := getattr(given, name)) is not None}
    return TrainingConfig(**SETTINGS[target] | (FURTHER if given.start else {}) | said)


def train_model(
    kind: str,
    target: Target,
    data: LabelledComments,
    config: TrainingConfig,
    device: str,
    workers: int = 0,
    start: CommentNetwork | None = None,
) -> LinearScorer | TransformerScorer:
    """Trains a model, from `start` on, on nine tenths of the threads and fits its temperature on the others."""
    kept = data.threads // HALVES % CALIBRATION == 0
    training, calibration = data.where(~kept), data.where(kept & (np.cumsum(kept) <= FITTING))
    if kind == "linear":
        model: Any = LinearScorer.fit(
            training.parents, training.comments, training.labels(target), read_parents=target == "upvotes"
        )
        logits = model.logits(calibration.parents, calibration.comments)
    else:
        shape = SHAPES[target] if start is None else start.config
        network = train_network(training, target, shape, config, device, workers, start)
        model = TransformerScorer(network, device=device)
        logits = model.logits(encode(calibration.parents, calibration.comments, shape)).numpy()
    model.temperature = fit_temperature(logits, calibration.labels(target))
    return model


def best_of_seeds(
    target: Target,
    data: LabelledComments,
    config: TrainingConfig,
    seeds: int,
    device: str,
    workers: int,
    start: CommentNetwork | None = None,
) -> tuple[TransformerScorer, TrainingConfig, dict[int, float]]:
    """The network that is best on the part `validation`, its settings, and how good that of each seed is."""
    validation = generated("validation", CHOOSING)
    found: dict[int, tuple[float, Any, TrainingConfig]] = {}
    for seed in range(config.seed, config.seed + seeds):
        own = replace(config, seed=seed)
        model = train_model("transformer", target, data, own, device, workers, start)
        found[seed] = (quality_table(model, target, validation)[CHOICE[target]]["auc"], model, own)
    _, model, own = max(found.values(), key=lambda trained: trained[0])
    return model, own, {seed: auc for seed, (auc, _, _) in found.items()}


def make(
    folder: Path,
    kind: str,
    target: Target,
    data: LabelledComments,
    test: LabelledComments,
    given: argparse.Namespace,
    start: Path | None = None,
) -> None:
    """Trains a model, from that in the folder `start` on, and writes it, measured; one that is there is left alone."""
    if (folder / f"{target}.json").exists() and not given.again:
        print(f"{folder.name}/{target} is there; --again makes it anew")
        return
    config, made, begun = training_config(target, given), facts_of(target, data, given), time.monotonic()
    model: LinearScorer | TransformerScorer
    network = None
    if start is not None:
        card, trained = read_card(start, target), read_reward_model(start, target)
        if not isinstance(trained, TransformerScorer):
            raise ValueError(f"--from {start}: expected a transformer, found {card['kind']!r}")
        network, made["from"] = trained.network, {"sha256": card["sha256"]} | card["made"]
    if kind == "transformer" and not given.data and given.seeds > 1:
        model, config, made["validation_auc"] = best_of_seeds(
            target, data, config, given.seeds, given.device, given.workers, network
        )
    else:
        model = train_model(kind, target, data, config, given.device, given.workers, network)
    if kind == "transformer":
        made |= {"training": asdict(config), "device": device_name(given.device)}
    write_measured(folder, target, model, test, made | {"seconds": round(time.monotonic() - begun)})


def facts_of(target: Target, data: LabelledComments, given: argparse.Namespace) -> dict[str, Any]:
    """What a model's JSON says of the comments that it is made of."""
    return {
        "by": "python -m data_scripts.train_reddit_rewards",
        "data": given.data.name if given.data else "generated, part models",
        "data_sha256": data.fingerprint(target),
        "comments": len(data),
        "library": library_version(),
    }


def device_name(device: str) -> str:
    """The name of a card, or "cpu"."""
    where = resolve_device(device)
    return torch.cuda.get_device_name(where) if where.type == "cuda" else where.type


def write_measured(
    folder: Path,
    target: Target,
    model: LinearScorer | TransformerScorer,
    test: LabelledComments,
    made: Mapping[str, Any],
) -> None:
    """Writes a model with how good it is on `test` and, `test` being generated, what replies at random get of it."""
    facts: dict[str, Any] = {"made": made, "quality": quality_table(model, target, test)}
    if test.true_chance is not None:
        facts["random_reply"] = random_reply(model, target)
    write_reward_model(folder, target, model, **facts)
    print(f"\n{folder.name}/{target} ({made['seconds']} s), quality:")
    print_table(facts["quality"])


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
        config = training_config(target, given)
        model = train_model(kind, target, data.where(~test), config, given.device, given.workers)
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
    parser.add_argument("--from", dest="start", type=Path, help="a folder as this writes: transformers go on from it")
    parser.add_argument("--kind", choices=["transformer", "linear"], default="transformer", help="with --data")
    parser.add_argument("--folds", type=int, help="with --data: print the quality of so many folds, write nothing")
    parser.add_argument("--comments", type=int, help="of the generated corpus, both halves; default: as bundled")
    parser.add_argument("--steps", type=int, help="of a transformer; default: as bundled")
    parser.add_argument("--batch", type=int, help="comments of a step; default: as bundled")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--seeds", type=int, default=1, help="so many networks, of which the best is kept; default: 1")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that make comments and batches; default: 0")
    parser.add_argument("--again", action="store_true", help="train models that are there, too")
    parser.add_argument("--report", action="store_true", help="write the table in docs/reddit.md, and train nothing")
    given = parser.parse_args(argv)
    if given.report:
        write_atomic(PAGE, with_report(PAGE.read_text(encoding="utf-8")))
        return
    targets: list[Target] = given.target or list(LEVELS)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    set_threads(1)
    if given.data is None:
        names = given.name or [name for name in BUNDLED if not (given.start and KINDS[name] == "linear")]
        if given.start and "linear" in names:
            parser.error("--from: the linear model is always made anew")
        test = generated("test")
        for target in targets:
            count, after = (FURTHER_COMMENTS, COMMENTS[target]) if given.start else (COMMENTS[target], 0)
            corpus = generated("models", given.comments or count, max(given.workers, 1), after=after)
            for name in names:
                half = corpus.where(corpus.threads % HALVES == HALF[name])
                start = given.start and given.start / name
                make((given.out or WEIGHTS) / name, KINDS[name], target, half, test, given, start)
        return
    if given.start and (given.kind == "linear" or given.folds):
        parser.error("--from: goes with --out, and with transformers")
    if bool(given.out) == bool(given.folds):
        parser.error("--data: give --out, the folder to write to, or --folds")
    try:
        data = read_comments(given.data)
        for target in targets:
            if given.folds:
                cross_validate(given.kind, target, data, given)
            else:
                make(given.out, given.kind, target, *split_file(data), given, given.start)
    except (ValueError, CheckpointError, DatasetError, FileNotFoundError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
