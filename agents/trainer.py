"""Algorithm, the base of every agent, and `train`, the one training loop."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from agents import checkpoints
from agents.batch import AgentTokens, TokenBatch, TokenRow, TokenStore, agent_tokens, pack
from agents.decoding import Decoding, policy_log_probs
from agents.losses import token_log_probs
from agents.model import causal_lm, context_length, hidden_states, trunk_of
from agents.policy import LMPolicy
from agents.tokenizers import TurnTokenizer, encode_episode
from lmrl_envs.core import Episode, Policy
from lmrl_envs.datasets import TextDataset
from lmrl_envs.devices import resolve_device, set_threads
from lmrl_envs.progress import ProgressBar, progress_bar

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LOG_EVERY = 50
"""Steps between two points of a curve, which are means over these steps."""


@dataclass(frozen=True)
class TrainConfig:
    """What every agent has; each adds its own fields."""

    model: str | Mapping[str, Any] = "small"
    """A shape in `agents.model.SHAPES`, the fields of a transformers config, or the path or hub id of a causal LM."""
    lr: float = 3e-4
    steps: int = 10_000
    tokens_per_batch: int = 4_096
    """Real tokens in a step, at most."""
    warmup: int = 100
    """Steps over which the learning rate rises; it then falls as a cosine to a tenth."""
    weight_decay: float = 0.0
    clip: float = 1.0
    """The largest norm of a gradient."""
    gamma: float = 1.0
    """Discount per agent token."""
    gamma_turn: float = 0.95
    """Discount once more at the last token of a turn."""
    seed: int = 0
    device: str = "auto"
    dtype: str = "float32"
    """`"bfloat16"` runs the trunks under autocast; losses stay float32."""
    threads: int = 1
    """CPU threads of torch."""
    save_every: int = 1_000
    eval_every: int = 0
    """Steps between two looks at the validation loss; 0 looks once, at the end."""
    truncate: bool = False
    """Cut episodes that are longer than the model's context, instead of refusing them."""


class Prepared(NamedTuple):
    """What an algorithm makes of its data before the first step."""

    data: TextDataset
    columns: Mapping[str, np.ndarray] | None = None
    """More columns of a batch, (episodes,) or (tokens,)."""
    weights: np.ndarray | None = None
    """(episodes,) sampling weights; None: every episode once an epoch."""


class TokenScores(NamedTuple):
    """What an agent thinks of each logged token: (B, T) float32, NaN where it has no such notion or no agent token."""

    logp: Tensor
    q: Tensor
    v: Tensor
    advantage: Tensor


class Algorithm(nn.Module, ABC):
    """An agent: its networks, its loss, and its policy.

    A likelihood method defines `loss` alone: `self.lm` is the language model, and `log_probs(batch)` runs it.

    Args:
        config: of the class's own `Config`.
        tokenizer: see `agents.tokenizers.tokenizer_for`.
        seed: of the initial weights; None where weights are about to be loaded.
    """

    name: ClassVar[str]
    Config: ClassVar[type[TrainConfig]] = TrainConfig
    needs: ClassVar[frozenset[str]] = frozenset()
    """Of {"rewards", "groups", "nonnegative_rewards", "reference"}; `train` checks them before the first step."""
    decoding: ClassVar[Mapping[str, Any]] = {}
    """Options of `policy` that differ from `Decoding`'s."""

    def __init__(self, config: TrainConfig, tokenizer: TurnTokenizer, *, seed: int | None = 0) -> None:
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.turn_tokens = 64  # the longest agent turn in the training data, once there is some
        self.lm: PreTrainedModel = causal_lm(config.model, tokenizer, seed=seed or 0)

    @property
    def context_length(self) -> int:
        """The most tokens that the model reads."""
        return context_length(self.lm)

    def model_config(self) -> dict[str, Any]:
        """The language model's shape, from which it can be built again without its origin."""
        return json.loads(self.lm.config.to_json_string(use_diff=False))

    def encode(self, episode: Episode) -> TokenRow:
        """An episode as tokens."""
        return encode_episode(episode, self.tokenizer)

    def prepare(
        self, data: TextDataset, *, env_id: str | None = None, env_kwargs: Mapping[str, Any] | None = None
    ) -> Prepared:
        """Chooses and annotates the data before the first step."""
        return Prepared(data)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """For the optimiser: all that require a gradient, as one group."""
        return [{"params": [parameter for parameter in self.parameters() if parameter.requires_grad]}]

    @abstractmethod
    def loss(self, batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and scalars worth a curve. Pure: no optimiser inside, no `.item()`."""

    def after_step(self, step: int) -> None:
        """Called after each optimiser step: Polyak averages."""

    def log_probs(self, batch: TokenBatch) -> tuple[AgentTokens, Tensor]:
        """The batch's agent tokens and (K,) ln pi of each."""
        packing = pack(batch)
        tokens = agent_tokens(batch, packing, gamma=self.config.gamma, gamma_turn=self.config.gamma_turn)
        h = hidden_states(trunk_of(self.lm), packing)[tokens.at]
        return tokens, token_log_probs(self.lm.get_output_embeddings()(h), tokens.token)

    @torch.no_grad()
    def score(self, batch: TokenBatch) -> TokenScores:
        """What the agent thinks of each logged token; a likelihood method knows log-probabilities alone."""
        _, logp = self.log_probs(batch)
        return TokenScores(spread(batch, logp), *(spread(batch, None) for _ in range(3)))

    def acting_trunks(self, decoding: Decoding) -> list[nn.Module]:
        """The trunks that must read each token when acting."""
        return [trunk_of(self.lm)]

    def next_logits(self, hidden: list[Tensor], decoding: Decoding) -> Tensor:
        """Each acting trunk's (R, d) last hidden state to the (R, vocabulary) logits of the next token."""
        return policy_log_probs(self.lm.get_output_embeddings()(hidden[0]), decoding)

    def policy(self, *, keep_cache: bool = True, **decoding: Any) -> Policy:
        """The agent as a policy; `decoding` are fields of `agents.decoding.Decoding`."""
        return LMPolicy(self, Decoding(**{**self.decoding, **decoding}), keep_cache=keep_cache)

    def cost(self) -> dict[str, float]:
        """Parameters that are trained, all parameters, and trunk passes in a step."""
        counts = {parameter: parameter.numel() for parameter in self.parameters()}
        trained = sum(count for parameter, count in counts.items() if parameter.requires_grad)
        return {"trained_parameters": trained, "parameters": sum(counts.values()), "forward_passes": 1}


def spread(batch: TokenBatch, values: Tensor | None) -> Tensor:
    """(K,) values of agent tokens to (B, T), NaN elsewhere; None gives NaN everywhere."""
    out = torch.full(batch.action_mask.shape, torch.nan, device=batch.action_mask.device)
    if values is not None:
        out[batch.action_mask] = values.float()
    return out


class Batches:
    """Which rows make up each step: a new order each epoch, cut where the budget of tokens is full.

    The position (`epoch`, `cursor`) says everything that is to come, so a run can stop and go on.
    """

    def __init__(
        self, lengths: np.ndarray, tokens_per_batch: int, *, seed: int, weights: np.ndarray | None = None
    ) -> None:
        if tokens_per_batch < lengths.max():
            raise ValueError(
                f"tokens_per_batch={tokens_per_batch} is smaller than the longest episode, "
                f"{lengths.max()} tokens; take at least that"
            )
        self.lengths, self.budget, self.seed = lengths, tokens_per_batch, seed
        self.weights = None if weights is None else weights / weights.sum()
        self.epoch, self.cursor = 0, 0
        self._shuffle()

    def _shuffle(self) -> None:
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=(self.epoch,))))
        n = len(self.lengths)
        self.order = rng.permutation(n) if self.weights is None else rng.choice(n, size=n, p=self.weights)
        self.ends = self.lengths[self.order].cumsum()

    def move(self, epoch: int, cursor: int) -> None:
        """Goes to a position that was noted earlier."""
        self.epoch, self.cursor = epoch, cursor
        self._shuffle()

    def next(self) -> np.ndarray:
        """The rows of the next step, shortest first, so that rows of equal length stand together."""
        if self.cursor == len(self.order):
            self.move(self.epoch + 1, 0)
        before = self.ends[self.cursor - 1] if self.cursor else 0
        stop = int(np.searchsorted(self.ends, before + self.budget, side="right"))
        rows = self.order[self.cursor : stop]
        self.cursor = stop
        return rows[np.argsort(self.lengths[rows], kind="stable")]


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
    resume: bool = True,
    progress: bool = True,
) -> TrainResult:
    """Trains an algorithm for `config.steps` steps, saving into `out` as it goes.

    A run that was stopped, or killed, goes on from its last save and gives the same losses and weights as one that was
    not (same machine, CPU, float32, same threads). SIGINT and SIGTERM save before they end the run.

    Args:
        out: a folder: the trained agent, `training.safetensors`, `metrics.jsonl`.
        validation: a loss on these episodes stands in the curve as `validation_loss`.
        resume: False starts anew and replaces what `out` holds.

    Raises:
        ValueError: the data lack what the algorithm needs, an episode does not fit, or a parameter gets no gradient.
        FloatingPointError: the loss is not finite.
        CheckpointError: the state in `out` is broken, or of another run.
    """
    config, out = algorithm.config, Path(out)
    set_threads(config.threads)
    device = resolve_device(config.device)
    algorithm.to(device).train()
    env = data.metadata
    prepared = algorithm.prepare(data, env_id=env.env_id, env_kwargs=env.env_kwargs)
    check_needs(algorithm, prepared.data)
    store = encode_dataset(algorithm, prepared.data)
    algorithm.turn_tokens = store.longest_turn()
    held_out = None if validation is None else encode_dataset(algorithm, validation)
    batches = Batches(store.lengths, config.tokens_per_batch, seed=config.seed, weights=prepared.weights)
    groups = algorithm.parameter_groups()
    optimizer = torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    peaks = [group["lr"] for group in optimizer.param_groups]

    identity = {
        "algorithm": algorithm.name,
        "config": json.loads(json.dumps(dataclasses.asdict(config))),
        "data": env.content_hash,
        "tokenizer": algorithm.tokenizer.fingerprint,
    }
    state: dict[str, Any] = {"step": 0, "tokens": 0, "seconds": 0.0, "epoch": 0, "cursor": 0, "sums": {}, "curve": []}
    saved = out / checkpoints.TRAINING
    if resume and saved.is_file():
        restored = checkpoints.load_training(saved, algorithm, optimizer)
        if restored.pop("identity") != identity:
            raise checkpoints.CheckpointError(f"{saved} belongs to another run; take another folder, or resume=False")
        state = restored
        batches.move(state["epoch"], state["cursor"])
    out.mkdir(parents=True, exist_ok=True)
    log = MetricsLog(out, state["curve"])
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.dtype == "bfloat16")
    sums: dict[str, Tensor] = {name: torch.tensor(value, device=device) for name, value in state["sums"].items()}
    begun = time.monotonic() - state["seconds"]

    def save() -> None:
        state.update(epoch=batches.epoch, cursor=batches.cursor, seconds=time.monotonic() - begun)
        state["sums"] = {name: value.item() for name, value in sums.items()}
        checkpoints.save_training(saved, algorithm, optimizer, {**state, "identity": identity})

    with (
        stop_requests() as stopping,
        progress_bar(f"train {algorithm.name}", total=config.steps, start=state["step"], enabled=progress) as bar,
    ):
        while state["step"] < config.steps:
            batch = store.batch(batches.next(), prepared.columns)
            state["tokens"] += int(batch.attention_mask.sum())
            with autocast:
                loss, metrics = algorithm.loss(batch.to(device))
            loss.backward()
            if state["step"] == 0:
                check_gradients(algorithm, groups)
            torch.nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], config.clip)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * learning_rate(state["step"], config)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            algorithm.after_step(state["step"])
            state["step"] += 1

            for name, value in {"loss": loss, **metrics}.items():
                sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach().float()
            last = state["step"] == config.steps
            if state["step"] % LOG_EVERY == 0 or last:
                since = state["step"] - (state["curve"][-1]["step"] if state["curve"] else 0)
                point = {name: value.item() / since for name, value in sums.items()}
                sums = {}
                if not math.isfinite(point["loss"]):
                    raise FloatingPointError(
                        f"{algorithm.name}: the loss is {point['loss']} near step {state['step']}; "
                        f"terms: {point}. Try a smaller lr or clip"
                    )
                if held_out is not None and (last or (config.eval_every and state["step"] % config.eval_every == 0)):
                    point["validation_loss"] = validation_loss(algorithm, held_out, config.tokens_per_batch)
                log.add(
                    {"step": state["step"], "tokens": state["tokens"], "seconds": time.monotonic() - begun, **point}
                )
                _show(bar, state, point["loss"], time.monotonic() - begun)
            if last or state["step"] % config.save_every == 0 or stopping.is_set():
                save()
            if stopping.is_set() and not last:
                raise KeyboardInterrupt
    trained = {**identity, "steps": state["step"], "tokens": state["tokens"], "seconds": state["seconds"]}
    checkpoints.save_agent(algorithm, out, trained=trained)
    return TrainResult(algorithm.eval(), state["step"], state["tokens"], state["seconds"], state["curve"], out)


def learning_rate(step: int, config: TrainConfig) -> float:
    """The share of `config.lr` at a step: a linear rise, then a cosine from 1 to .1."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    done = (step - config.warmup) / max(config.steps - config.warmup, 1)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * min(done, 1.0)))


def encode_dataset(algorithm: Algorithm, data: TextDataset) -> TokenStore:
    """A dataset as tokens."""
    rows = (algorithm.encode(episode) for episode in data)
    return TokenStore.from_rows(rows, max_length=algorithm.context_length, truncate=algorithm.config.truncate)


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


def check_needs(algorithm: Algorithm, data: TextDataset) -> None:
    """Refuses data that lack what an algorithm needs."""
    returns = data.returns
    if "rewards" in algorithm.needs and not np.any(returns != 0):
        raise ValueError(f"{algorithm.name} learns from rewards, and every return in these {len(data)} episodes is 0")
    if "nonnegative_rewards" in algorithm.needs and returns.min() < 0:
        raise ValueError(f"{algorithm.name} needs returns of at least 0, and the least here is {returns.min()}")


def check_gradients(algorithm: Algorithm, groups: list[dict[str, Any]]) -> None:
    """After the first backward pass: every parameter that is to be trained must have a gradient."""
    trained = {id(parameter) for group in groups for parameter in group["params"]}
    without = [name for name, p in algorithm.named_parameters() if id(p) in trained and p.grad is None]
    if without:
        raise ValueError(
            f"{algorithm.name}: {len(without)} parameters get no gradient from the loss, the first is {without[0]!r}; "
            "freeze them (requires_grad_(False)) or leave them out of parameter_groups()"
        )


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
        self.path, self.curve = out / "metrics.jsonl", curve
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


def _show(bar: ProgressBar, state: Mapping[str, Any], loss: float, seconds: float) -> None:
    bar.update(state["step"], loss=loss, tokens_per_second=state["tokens"] / max(seconds, 1e-9))
