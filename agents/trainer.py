"""`train`, the one training loop."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents import checkpoints
from agents.algorithm import Algorithm, Prepared, TokenScores, TrainConfig, spread
from agents.batch import TokenStore
from agents.checks import check_gradients, check_loss, check_needs, naming
from agents.data import Batches, Step, encode_dataset, steps
from agents.optimizers import make_optimizer
from lmrl_envs.datasets import TextDataset
from lmrl_envs.devices import resolve_device, set_threads
from lmrl_envs.errors import CheckpointError
from lmrl_envs.progress import progress_bar

__all__ = ["Algorithm", "Prepared", "TokenScores", "TrainConfig", "TrainResult", "spread", "train"]

METRICS = "metrics.jsonl"
LOG_EVERY = 50
"""Steps between two points of a curve, which are means over these steps."""
CHECKED_EACH_STEP = ("cpu",)
"""Devices whose losses are looked at after each step; others would have to be waited for: at points and saves."""


@dataclass(frozen=True)
class TrainResult:
    """What a training run gave: the agent, and how it went."""

    algorithm: Algorithm
    steps: int
    tokens: int
    seconds: float
    curve: list[dict[str, float]]
    checkpoint: Path


def train(
    algorithm: Algorithm,
    data: TextDataset,
    *,
    out: Path,
    validation: TextDataset | None = None,
    observe: Callable[[int], Mapping[str, float]] | None = None,
    resume: bool = True,
    progress: bool = True,
) -> TrainResult:
    """Trains an algorithm for `config.steps` steps, saving into `out` as it goes.

    A run that was stopped, or killed, goes on from its last save and gives the same losses and weights as one that was
    not (same machine, CPU, float32, same threads). SIGINT and SIGTERM save before they end the run. A finished run is
    not done again.

    Args:
        out: a folder: the trained agent, `training.safetensors`, `metrics.jsonl`.
        validation: a loss on these episodes stands in the curve as `validation_loss`.
        observe: called with the step at each point of the curve, where what it returns stands too.
        resume: False starts anew and replaces what `out` holds.

    Raises:
        UnfitDataError: the data lack what the algorithm needs, or an episode does not fit.
        ValueError: a parameter gets no gradient.
        FloatingPointError: a loss or gradient is not finite; the message has its step and episodes, and what was saved
            before stays.
        CheckpointError: the state in `out` is broken, or of another run.
    """
    config, out = algorithm.config, Path(out)
    set_threads(config.threads)
    device = resolve_device(config.device)
    algorithm.to(device).train()
    ready_trunks(algorithm)
    env = data.metadata
    check_needs(algorithm, data)
    identity = {
        "algorithm": algorithm.name,
        "config": json.loads(json.dumps(dataclasses.asdict(config))),
        "data": env.content_hash,
        "episodes": data.fingerprint,
        "tokenizer": algorithm.tokenizer.fingerprint,
    }
    saved = out / checkpoints.TRAINING
    if resume and not saved.is_file() and (finished := load_finished(algorithm, out, identity)) is not None:
        return finished
    with naming(algorithm, data):
        prepared = algorithm.prepare(data, env_id=env.env_id, env_kwargs=env.env_kwargs)
        store = encode_dataset(algorithm, prepared.data)
    algorithm.turn_tokens = store.longest_turn()
    held_out = None if validation is None else encode_dataset(algorithm, validation)
    batches = Batches(store.lengths, config.tokens_per_batch, seed=config.seed, weights=prepared.weights)
    groups = algorithm.parameter_groups()
    trained = [parameter for group in groups for parameter in group["params"]]
    optimizer = make_optimizer(config.optimizer, algorithm, groups, lr=config.lr, weight_decay=config.weight_decay)
    peaks = [group["lr"] for group in optimizer.param_groups]

    progressed = Progressed()
    if resume and saved.is_file():
        state = checkpoints.load_training(saved, algorithm, optimizer)
        if state.pop("identity") != identity:
            raise CheckpointError(f"{saved} belongs to another run; take another folder, or resume=False")
        progressed = Progressed(**state)
        batches.move(progressed.epoch, progressed.cursor)
    out.mkdir(parents=True, exist_ok=True)
    log = MetricsLog(out, progressed.curve)
    window = Window(device, progressed.sums)
    begun = time.monotonic() - progressed.seconds

    def save() -> None:
        window.check(algorithm, saved)
        progressed.seconds, progressed.sums = time.monotonic() - begun, window.totals()
        checkpoints.save_training(saved, algorithm, optimizer, {**vars(progressed), "identity": identity})

    with (
        stop_requests() as stopping,
        progress_bar(f"train {algorithm.name}", total=config.steps, start=progressed.step, enabled=progress) as bar,
        contextlib.closing(steps(store, batches, columns=prepared.columns, parts=config.accumulate)) as upcoming,
    ):
        while progressed.step < config.steps and progressed.stopped is None:
            step = next(upcoming)
            with memory_advice(config):
                terms = backward(algorithm, step, device)
            if progressed.step == 0:
                check_gradients(algorithm, trained)
            norm = torch.nn.utils.clip_grad_norm_(trained, config.clip)
            window.add(terms, norm, progressed.step + 1, step.rows)
            if device.type in CHECKED_EACH_STEP:
                window.check(algorithm, saved)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * learning_rate(progressed.step, config)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            algorithm.after_step(progressed.step)
            progressed.step += 1
            progressed.tokens += step.tokens
            progressed.epoch, progressed.cursor = step.position
            progressed.stopped = algorithm.stop(terms)

            last = progressed.step == config.steps or progressed.stopped is not None
            if progressed.step % LOG_EVERY == 0 or last:
                window.check(algorithm, saved)
                point = window.means()
                if held_out is not None and (last or (config.eval_every and progressed.step % config.eval_every == 0)):
                    point["validation_loss"] = validation_loss(algorithm, held_out, config.tokens_per_batch)
                if observe is not None:
                    point |= observe(progressed.step)
                    algorithm.train()  # playing leaves it in eval mode
                seconds = time.monotonic() - begun
                log.add({"step": progressed.step, "tokens": progressed.tokens, "seconds": seconds, **point})
                bar.update(progressed.step, loss=point["loss"], tokens_per_second=progressed.tokens / seconds)
            if last or progressed.step % config.save_every == 0 or stopping.is_set():
                save()
            if stopping.is_set() and not last:
                raise KeyboardInterrupt
    algorithm.eval()
    result = TrainResult(algorithm, progressed.step, progressed.tokens, progressed.seconds, progressed.curve, out)
    cost = {"steps": result.steps, "tokens": result.tokens, "seconds": result.seconds, "stopped": progressed.stopped}
    checkpoints.save_agent(algorithm, out, trained=identity | cost)
    return result


def load_finished(algorithm: Algorithm, out: Path, identity: dict[str, Any]) -> TrainResult | None:
    """The run of this identity in `out`, if it is finished."""
    log = out / METRICS
    facts = checkpoints.load_finished(algorithm, out, identity) if log.is_file() else None
    if facts is None:
        return None
    curve = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return TrainResult(algorithm.eval(), facts["steps"], facts["tokens"], facts["seconds"], curve, out)


def backward(algorithm: Algorithm, step: Step, device: torch.device) -> dict[str, Tensor]:
    """Adds the gradient of a step's loss; returns its terms, without waiting for them.

    Parts are weighted by what their losses are means over, so that any number of parts gives the same gradient.
    """
    shares = [algorithm.loss_weight(part) for part in step.parts]
    terms: dict[str, Tensor] = {}
    for part, share in zip(step.parts, shares, strict=True):
        share /= sum(shares)
        with torch.autocast(device.type, torch.bfloat16, enabled=algorithm.config.dtype == "bfloat16"):
            loss, metrics = check_loss(algorithm, algorithm.loss(part.to(device)))
        (loss * share).backward()
        for name, value in {"loss": loss, **metrics}.items():
            terms[name] = terms.get(name, 0.0) + value.detach().float() * share
    return terms


def ready_trunks(algorithm: Algorithm) -> None:
    """Turns on what the configuration asks of the trunks that are trained."""
    from transformers import PreTrainedModel  # noqa: PLC0415 - takes seconds to import

    for module in algorithm.modules():
        if isinstance(module, PreTrainedModel) and module is module.base_model:
            if algorithm.config.recompute and any(p.requires_grad for p in module.parameters()):
                module.activation_checkpointing_enable()
            if algorithm.config.compile:
                module.compile(dynamic=True)


@contextlib.contextmanager
def memory_advice(config: TrainConfig) -> Iterator[None]:
    """Says which settings to try where a batch does not fit into memory."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise MemoryError(
            f"a batch of tokens_per_batch={config.tokens_per_batch} in accumulate={config.accumulate} parts does not "
            "fit into memory; try a larger accumulate, recompute=True, dtype='bfloat16' on a card, or a smaller model"
        ) from error


@dataclass
class Progressed:
    """How far a run is: what a checkpoint holds beside weights and random states."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    epoch: int = 0
    cursor: int = 0
    stopped: str | None = None
    """Why the run ended before its last step."""
    sums: dict[str, Any] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)


class Window:
    """Sums of a run's terms since the last point of its curve, kept on the device."""

    def __init__(self, device: torch.device, totals: Mapping[str, Any]) -> None:
        self.steps = int(totals.get("steps", 0))
        self.sums = {name: torch.tensor(value, device=device) for name, value in totals.get("terms", {}).items()}
        self.batches: list[tuple[int, np.ndarray]] = []  # each step's number and episodes
        self.finite = torch.zeros((), dtype=torch.int64, device=device)  # batches before the first that is not

    def add(self, terms: Mapping[str, Tensor], norm: Tensor, step: int, rows: np.ndarray) -> None:
        good = terms["loss"].isfinite() & norm.isfinite()
        self.finite += good & (self.finite == len(self.batches))
        self.batches.append((step, rows))
        self.steps += 1
        for name, value in terms.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def totals(self) -> dict[str, Any]:
        """As plain numbers, from which the window can be made again."""
        return {"steps": self.steps, "terms": {name: value.item() for name, value in self.sums.items()}}

    def means(self) -> dict[str, float]:
        """The mean of each term; the window is empty afterwards."""
        means = {name: value.item() / self.steps for name, value in self.sums.items()}
        self.steps, self.sums, self.batches, self.finite = 0, {}, [], torch.zeros_like(self.finite)
        return means

    def check(self, algorithm: Algorithm, saved: Path) -> None:
        """Refuses to go on, and to save, after a loss or a gradient that is not finite."""
        finite = int(self.finite)
        if finite == len(self.batches):
            return
        step, rows = self.batches[finite]
        listed = f"{rows[:20].tolist()}{' and more' if len(rows) > 20 else ''}"
        raise FloatingPointError(
            f"{algorithm.name}: the loss or its gradient is not finite at step {step}, on the {len(rows)} episodes "
            f"{listed}; {f'{saved} is as it was saved last' if saved.is_file() else 'nothing was saved before'}. "
            "Try a smaller lr or clip"
        )


def learning_rate(step: int, config: TrainConfig) -> float:
    """The share of `config.lr` at a step: a linear rise, then a cosine from 1 to .1."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    done = (step - config.warmup) / max(config.steps - config.warmup, 1)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * min(done, 1.0)))


@torch.no_grad()
def validation_loss(algorithm: Algorithm, store: TokenStore, tokens_per_batch: int) -> float:
    """Mean of - ln pi over the agent tokens of a store, in nats."""
    device = next(algorithm.parameters()).device
    batches = Batches(store.lengths, max(tokens_per_batch, int(store.lengths.max())), seed=0)
    total, count = 0.0, 0
    algorithm.eval()
    while batches.cursor < len(store):
        logp = algorithm.score(store.batch(batches.next()).to(device)).logp
        total -= torch.nansum(logp.double()).item()
        count += int((~logp.isnan()).sum())
    algorithm.train()
    return total / count


@contextlib.contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, so that a step is never left half done; a second SIGINT ends at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # signals go to the main thread
        return

    def request(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class MetricsLog:
    """The curve as JSON lines, and in TensorBoard where that is installed."""

    def __init__(self, out: Path, curve: list[dict[str, float]]) -> None:
        self.path, self.curve = out / METRICS, curve
        self.path.write_text("".join(json.dumps(point) + "\n" for point in curve), encoding="utf-8")
        self.board: Any = None
        with contextlib.suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional

            self.board = SummaryWriter(str(out / "tensorboard"))

    def add(self, point: dict[str, float]) -> None:
        self.curve.append(point)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(point) + "\n")
        if self.board is not None:
            for name, value in point.items():
                self.board.add_scalar(name, value, int(point["step"]))
