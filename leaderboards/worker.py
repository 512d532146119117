"""One run in a process of its own: trains where there is something to train, plays, writes `result.json`.

`python -m leaderboards.worker <folder>` does what the folder's `run.json` says. Exit codes: 0 done; 1 broken, with the
traceback in `error.txt`; 130 interrupted, with the state of the training saved.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leaderboards.jobs import SCHEMA, named, named_parameters, our_agents, path_safe
from lmrl_envs.core import Policy
from lmrl_envs.datasets import TextDataset, load_dataset
from lmrl_envs.evaluate import EvalResult, evaluate
from lmrl_envs.files import write_atomic


def perform(folder: Path) -> None:
    """Does the run of `folder/run.json` and writes `folder/result.json`."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))["run"]
    match run["kind"]:
        case "agent":
            train, results = _agent(run, folder)
        case "checkpoint":
            algorithm = our_agents().load(Path(run["source"]))
            train, results = {"curve": [], "cost": algorithm.cost()}, _play_decoded(run, algorithm)
        case _:
            train, results = {"curve": [], "cost": {}}, _play_once(run)
    record = {
        "schema": SCHEMA,
        "run": run,
        "train": train,
        "eval": {decoding: result.to_json() for decoding, result in results.items()},
    }
    write_atomic(folder / "result.json", json.dumps(record, allow_nan=False))


def _agent(run: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], dict[str, EvalResult]]:
    agents = our_agents()
    from agents import tokenizers, trainer  # noqa: PLC0415  (after the check that it is ours; torch is heavy)

    data = _data(run)
    cls = agents.algorithm_class(run["source"])
    config = cls.Config(**{field: _checkpoint_of(value, folder) for field, value in run["config"].items()})
    algorithm = cls(config, tokenizers.tokenizer_for(data, config.model), seed=config.seed)
    trained = trainer.train(algorithm, data, out=folder / "train")
    cost = {**algorithm.cost(), "steps": trained.steps, "tokens": trained.tokens, "seconds": trained.seconds}
    return {
        "curve": trained.curve,
        "cost": cost,
        "checkpoint": os.path.relpath(trained.checkpoint, folder),
    }, _play_decoded(run, trained.algorithm)


def _checkpoint_of(value: Any, folder: Path) -> Any:
    """Turns `"@bc"` into the path of that agent's checkpoint with the same task and seed; leaves all else."""
    if not (isinstance(value, str) and value.startswith("@")):
        return value
    name, seed = value[1:], folder.name
    needed = folder.parents[1] / path_safe(name) / seed
    return str(needed / json.loads((needed / "result.json").read_text(encoding="utf-8"))["train"]["checkpoint"])


def _play_decoded(run: Mapping[str, Any], algorithm: Any) -> dict[str, EvalResult]:
    return {name: _play(run, algorithm.policy(**decoding)) for name, decoding in run["evaluation"]["decodings"].items()}


def _play_once(run: Mapping[str, Any]) -> dict[str, EvalResult]:
    """A policy that is not decoded from a model plays one way: every decoding holds that result, its own one empty."""
    factory, task = named(run["source"]), run["task"]
    offers = {
        "env_id": lambda: task["env_id"],
        "env_kwargs": lambda: task["env_kwargs"],
        "data": lambda: _data(run),
        "seed": lambda: run["seed"],
    }
    result = _play(run, factory(**{name: offers[name]() for name in named_parameters(factory, list(offers))}))
    return dict.fromkeys(run["evaluation"]["decodings"], result)


def _play(run: Mapping[str, Any], policy: Policy) -> EvalResult:
    task, evaluation = run["task"], run["evaluation"]
    result = evaluate(
        policy,
        task["env_id"],
        env_kwargs=task["env_kwargs"],
        progress=False,
        **{name: evaluation[name] for name in ("episodes", "repeats", "seed", "batch_size")},
    )
    return dataclasses.replace(
        result,
        agent=run["agent"],
        training_seed=run["seed"] if run["seeded"] else None,
        dataset_id=task["dataset"],
        dataset_hash=run["dataset_hash"],
    )


def _data(run: Mapping[str, Any]) -> TextDataset:
    return load_dataset(run["task"]["dataset"], **run["task"]["variant"])


def _stop_with(parent: int) -> None:
    """Interrupts this process when the one that started it is gone, so that a kill leaves nothing running."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGINT)


def main(folder: Path) -> int:
    """Runs and returns the exit code."""
    threading.Thread(target=_stop_with, args=(os.getppid(),), daemon=True).start()
    try:
        perform(folder)
    except KeyboardInterrupt:
        return 130
    except Exception:  # whatever a run raises is reported, and the others go on
        write_atomic(folder / "error.txt", traceback.format_exc())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
