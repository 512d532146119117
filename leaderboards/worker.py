"""A process that does runs: each trains where there is something to train, plays, writes `result.json`.

`python -m leaderboards.worker` reads folders, one a line, and does what each one's `run.json` says, one after the
other; it says a dot when one has ended. A broken one has its traceback in `error.txt`; what else a run says stands in
its `log.txt`. A run's result does not depend on what the process did before. Exit codes: 0 where its input ends, 130
interrupted, with the state of the training saved.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import gc
import json
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from leaderboards.jobs import SCHEMA, path_safe, without_looks
from leaderboards.players import Crowd, expected_return, validation_loss
from leaderboards.playing import EXAMPLES, Again, data_of, labelled, play, play_decoded
from leaderboards.scores import token_scores
from leaderboards.sources import checkpoint_folder, named, named_parameters, our_agents
from leaderboards.studies import STUDIES
from lmrl_envs.datasets import TextDataset
from lmrl_envs.evaluate import EvalResult
from lmrl_envs.files import write_atomic
from lmrl_envs.registration import load_attribute

if TYPE_CHECKING:
    from agents.trainer import Algorithm

GAMES_SCORED = 4
"""Example games whose tokens are scored."""
_HUMAN, _BRANCHING = "wordle/human-v0", "wordle/branching-v0"


def perform(folder: Path) -> None:
    """Does the run of `folder/run.json` and writes `folder/result.json`."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))["run"]
    done = _KINDS[run["kind"]](run, folder)
    evaluation = run["evaluation"]
    scores = token_scores(done.algorithm, done.results[evaluation["headline"]].examples[:GAMES_SCORED])
    study = done.study if done.study is not None else _study(run, done)
    record = {
        "schema": SCHEMA,
        "run": run,
        "train": {"curve": [], "cost": {}, **done.train},
        "eval": {
            decoding: dataclasses.replace(result, examples=result.examples[:EXAMPLES]).to_json()
            for decoding, result in done.results.items()
        },
        "expected_return": done.expected_return,
        "scores": scores,
        "critics": critics_report(run, done.algorithm) if evaluation["critics"] and done.algorithm and scores else {},
        "loss_floor": done.loss_floor,
        "study": study,
    }
    write_atomic(folder / "result.json", json.dumps(record, allow_nan=False))


@dataclasses.dataclass(frozen=True)
class Done:
    """What a run gave: results by decoding, how training went, the agent; of players, what is known exactly.

    `trials` are the plays that the results were chosen from, where there were several; `study` what another run has
    measured.
    """

    results: Mapping[str, EvalResult]
    train: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    algorithm: Algorithm | None = None
    expected_return: float | None = None
    loss_floor: float | None = None
    trials: Sequence[EvalResult] = ()
    study: Mapping[str, Any] | None = None


def _study(run: Mapping[str, Any], done: Done) -> dict[str, Any]:
    """What `leaderboards.studies` has measured of the episodes under each decoding."""
    if run["task"]["env_id"] not in STUDIES:
        return {}
    measure = load_attribute(STUDIES[run["task"]["env_id"]].measure)
    data = data_of(run)
    measured: dict[int, Any] = {}  # a player's decodings are one result
    for result in done.results.values():
        if id(result) not in measured:
            measured[id(result)] = measure(run, result, done.trials or (result,), done.algorithm, data)
    return {decoding: measured[id(result)] for decoding, result in done.results.items()}


def _agent(run: Mapping[str, Any], folder: Path) -> Done:
    agents = our_agents()
    from agents import tokenizers, trainer  # noqa: PLC0415  (after the check that it is ours; torch is heavy)

    data, validation = data_of(run), data_of(run, split="validation")
    cls = agents.algorithm_class(run["source"])
    fields = {
        name: str(_needed(folder, value[1:])[0]) if isinstance(value, str) and value.startswith("@") else value
        for name, value in run["config"].items()
    }
    config = cls.Config(**fields)
    algorithm = cls(config, tokenizers.tokenizer_for(data, config.model), seed=config.seed)
    trained = trainer.train(
        algorithm,
        data,
        out=folder / "train",
        validation=validation,
        observe=_looks(run, algorithm, validation, trainer.LOG_EVERY),
    )
    cost = {**algorithm.cost(), "steps": trained.steps, "tokens": trained.tokens, "seconds": trained.seconds}
    checkpoint = os.path.relpath(trained.checkpoint, folder)
    return Done(
        play_decoded(run, trained.algorithm),
        {"curve": trained.curve, "cost": cost, "checkpoint": checkpoint},
        algorithm=trained.algorithm,
    )


def _looks(
    run: Mapping[str, Any], algorithm: Algorithm, validation: TextDataset, spacing: int
) -> Callable[[int], dict[str, float]] | None:
    """What plays in the course of training, at some of the points of the curve, which are `spacing` steps apart.

    On branching data it also says how often an agent's values prefer the expert's opener.
    """
    looks, steps = run["evaluation"]["looks"], run["config"]["steps"]
    if looks is None:
        return None
    every = spacing * math.ceil(steps / looks["count"] / spacing)
    decoding = run["evaluation"]["decodings"][run["evaluation"]["headline"]]

    branching = run["evaluation"]["critics"] and run["task"]["dataset"] == _BRANCHING
    valued = branching and bool(token_scores(algorithm, [validation[0]]))

    def look(step: int) -> dict[str, float]:
        if step % every and step != steps:
            return {}
        result = play(run, algorithm.policy(**decoding), episodes=looks["episodes"], repeats=1)
        return {"score": fmean(result.returns), **(_opener_share(algorithm, validation) if valued else {})}

    return look


def _opener_share(algorithm: Algorithm, branching: TextDataset) -> dict[str, float]:
    from leaderboards import critics  # noqa: PLC0415  (brings torch)

    return {"opener_share": critics.openers(algorithm, branching)["share"]}


def _checkpoint(run: Mapping[str, Any], folder: Path) -> Done:
    algorithm = our_agents().load(checkpoint_folder(run["source"]))
    return Done(play_decoded(run, algorithm), {"cost": algorithm.cost()}, algorithm=algorithm)


def _shared(run: Mapping[str, Any], folder: Path) -> Done:
    """Plays with what was trained on a task that differs in rewards alone, or scores its play by these rewards."""
    (task,) = run["needs"]
    other = folder.parents[2] / task / folder.parent.name / folder.name
    record = json.loads((other / "result.json").read_text(encoding="utf-8"))
    train = dict(record["train"])
    train["curve"] = without_looks(train["curve"])
    algorithm = None
    if "checkpoint" in train:
        train["checkpoint"] = os.path.relpath(other / train["checkpoint"], folder)
        algorithm = our_agents().load(folder / train["checkpoint"])
    if rescore := STUDIES[run["task"]["env_id"]].rescore if run["task"]["env_id"] in STUDIES else None:
        results = {name: labelled(run, result) for name, result in load_attribute(rescore)(run, record).items()}
        return Done(results, train, algorithm=algorithm, study=record["study"])
    if algorithm is None:
        raise ValueError(f"{run['agent']}: what is no trained agent is shared only where rewards follow from the words")
    return Done(play_decoded(run, algorithm), train, algorithm=algorithm)


def _chosen(run: Mapping[str, Any], folder: Path) -> Done:
    """Plays the candidates on other episodes than the evaluation's, and the best of them on these."""
    evaluation, config, task = run["evaluation"], run["config"], run["task"]
    apart = STUDIES[task["env_id"]].validation if task["env_id"] in STUDIES else {}
    trying = {**run, "task": {**task, "env_kwargs": {**task["env_kwargs"], **apart}}}
    decoding = evaluation["decodings"][evaluation["headline"]]
    needed = {name: _needed(folder, name) for name in config["among"]}
    candidates = {name: our_agents().load(checkpoint) for name, (checkpoint, _) in needed.items()}
    episodes, seed = config["episodes"], evaluation["seed"] + 1
    tried = [
        (name, option, play(trying, algorithm.policy(**decoding, **option), episodes=episodes, repeats=1, seed=seed))
        for name, algorithm in candidates.items()
        for option in config.get("options", [{}])
    ]
    best, option, _ = max(tried, key=lambda trial: fmean(trial[2].returns))
    tuning = {"trials": len(tried), "episodes": len(tried) * episodes, "chosen": best, **option}
    results = {
        name: dataclasses.replace(result, tuning=tuning)
        for name, result in play_decoded(run, candidates[best], **option).items()
    }
    spent = sum(record["train"]["cost"]["seconds"] for _, record in needed.values())
    cost = {**candidates[best].cost(), "seconds": spent + sum(result.seconds for *_, result in tried)}
    return Done(results, {"cost": cost}, algorithm=candidates[best])


def _best_of(run: Mapping[str, Any], folder: Path) -> Done:
    """Plays every episode again and again, sampled, and keeps each one's best return."""
    config = run["config"]
    algorithm = our_agents().load(_needed(folder, config["agent"])[0])
    policy = algorithm.policy(temperature=1.0)
    results = [play(run, Again(policy, trial), repeats=1) for trial in range(config["samples"])]
    best = np.argmax([result.returns for result in results], axis=0)

    def chosen(field: str) -> tuple[Any, ...]:
        return tuple(values[trial] for trial, *values in zip(best, *(getattr(r, field) for r in results), strict=False))

    result = dataclasses.replace(
        results[0],
        returns=chosen("returns"),
        lengths=chosen("lengths"),
        examples=chosen("examples"),
        metrics={},
        decoding={**policy.decoding, "best_of": config["samples"]},
        seconds=sum(result.seconds for result in results),
    )
    decoded = dict.fromkeys(run["evaluation"]["decodings"], result)
    return Done(decoded, {"cost": algorithm.cost()}, trials=results)


def _player(run: Mapping[str, Any], folder: Path) -> Done:
    """A policy that is not decoded from a model plays one way: every decoding holds that result, its own one empty."""
    factory, task = named(run["source"]), run["task"]
    offers: dict[str, Callable[[], Any]] = {
        "env_id": lambda: task["env_id"],
        "env_kwargs": lambda: task["env_kwargs"],
        "data": lambda: data_of(run),
        "seed": lambda: run["seed"],
    }
    offered = {name: offers[name]() for name in named_parameters(factory, list(offers))}
    policy = factory(**offered, **run["config"])
    result = dataclasses.replace(play(run, policy), tuning=getattr(policy, "tuning", {}))
    return Done(
        dict.fromkeys(run["evaluation"]["decodings"], result),
        expected_return=expected_return(policy),
        loss_floor=validation_loss(policy, data_of(run, split="validation")) if isinstance(policy, Crowd) else None,
    )


_KINDS: Mapping[str, Callable[[Mapping[str, Any], Path], Done]] = {
    "agent": _agent,
    "checkpoint": _checkpoint,
    "shared": _shared,
    "chosen": _chosen,
    "best_of": _best_of,
    "player": _player,
}


def _needed(folder: Path, agent: str) -> tuple[Path, dict[str, Any]]:
    """Checkpoint and result of another agent's run with the same task and seed."""
    other = folder.parents[1] / path_safe(agent) / folder.name
    record = json.loads((other / "result.json").read_text(encoding="utf-8"))
    return other / record["train"]["checkpoint"], record


def critics_report(run: Mapping[str, Any], algorithm: Algorithm) -> dict[str, Any]:
    """What `leaderboards.critics` says of an agent's values on the task's data; nothing on data it does not know."""
    from leaderboards import critics  # noqa: PLC0415  (brings torch)

    if run["task"]["dataset"] == _BRANCHING:
        return critics.openers(algorithm, data_of(run))
    if run["task"]["dataset"] == _HUMAN:
        return critics.compare(algorithm, data_of(run, split="validation"))
    return {}


def _stop_with(parent: int) -> None:
    """Interrupts this process when the one that started it is gone, so that a kill leaves nothing running."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGINT)


def begin_afresh() -> None:
    """Sets what one run could leave to the next as it is in a new process, and gives memory back."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return
    torch.seed()
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _write_into(log: Path) -> None:
    """Sends what this process says from now on, and what libraries in it say, to the end of a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def main() -> int:
    """Does the runs that the standard input names and returns the exit code."""
    faulthandler.enable()  # a crash in a library says where
    threading.Thread(target=_stop_with, args=(os.getppid(),), daemon=True).start()
    folders, answers = os.fdopen(os.dup(0), encoding="utf-8"), os.dup(1)
    with open(os.devnull) as nothing:  # to be read by what a run brings along
        os.dup2(nothing.fileno(), 0)
    try:
        for line in folders:
            folder = Path(line.rstrip("\n"))
            _write_into(folder / "log.txt")
            try:
                perform(folder)
            except Exception:  # whatever a run raises is reported, and the others go on
                write_atomic(folder / "error.txt", traceback.format_exc())
            begin_afresh()
            os.write(answers, b".")
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
