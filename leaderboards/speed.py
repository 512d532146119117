"""`python -m leaderboards.speed`: how fast training, acting and evaluation are, against plain ways in the same process.

All figures are of one thread on a CPU. Each ratio is the median over rounds in which the two sides take turns, in
seconds of CPU time, so that other work on the machine does not decide it.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from agents.algorithm import TrainConfig
from agents.batch import TokenBatch
from agents.bc import BC
from agents.data import encode_dataset
from agents.ilql import ILQL, ILQLConfig
from agents.model import SHAPES
from agents.tokenizers import TurnTokenizer, wordle_tokenizer
from agents.trainer import train
from leaderboards.measuring import (
    ROWS,
    SHAPE,
    WORDS,
    Row,
    Sized,
    Training,
    budgeted,
    full_rows,
    in_turns,
    plain_training,
    random_batches,
    ratio,
    rows_of,
    steps_over,
)
from leaderboards.plain import PlainGenerate, parameters_of, plain_ilql_loss, plain_lm
from leaderboards.publish import SPEED, write_readme
from lmrl_envs.core import Policy
from lmrl_envs.datasets import TextDataset, load_dataset
from lmrl_envs.devices import peak_memory
from lmrl_envs.evaluate import evaluate
from lmrl_envs.files import write_atomic
from lmrl_envs.policies import RandomPolicy
from lmrl_envs.provenance import provenance

RUNS = Path("runs/speed.json")


def training_rows(data: TextDataset, tokenizer: TurnTokenizer, pi_beta: Path, rounds: int) -> Iterator[Row]:
    """Training against the plain loop, and ILQL against BC."""
    agent = BC(TrainConfig(model=SHAPE), tokenizer)
    store = encode_dataset(agent, data)
    padded, ours = random_batches(store, ROWS), budgeted(store, 4_096)
    plain, bc = plain_training(SHAPE, len(tokenizer)), Training.of(agent)
    share = statistics.mean(1 - next(padded).attention_mask.float().mean().item() for _ in range(50))
    rates = in_turns({"plain": lambda: plain.step(next(padded)), "bc": lambda: bc.step(next(ours))}, rounds=rounds)
    value = ratio(rates, "bc", "plain")
    yield Row(
        "`bc` step, Wordle games, real tokens/s against plain transformers on padded rows",
        ">= 1.8x",
        f"{value:.2f}x ({statistics.median(rates['bc']):,.0f} tokens/s; {share:.0%} of plain's tokens are padding)",
        value,
        {"rates": rates, "padding": share},
    )
    batch = full_rows(len(tokenizer), ROWS, 72)
    rates = in_turns({"plain": lambda: plain.step(batch), "bc": lambda: bc.step(batch)}, rounds=rounds)
    value = ratio(rates, "bc", "plain")
    yield Row("the same on rows without padding", ">= 1.15x", f"{value:.2f}x", value, {"rates": rates})

    variants = {
        "pi_beta trained jointly": (ILQLConfig(model=SHAPE), ">= .40 (operations allow .43)"),
        "pi_beta loaded": (ILQLConfig(model=SHAPE, pi_beta=str(pi_beta)), ">= .65 (operations allow .75)"),
        "shared trunk": (ILQLConfig(model=SHAPE, trunks="shared"), ">= .80"),
    }
    for name, (config, wanted) in variants.items():
        ilql = Training.of(ILQL(config, tokenizer))
        same = list(itertools.islice(budgeted(store, 4_096), rounds + 1))
        sides = {"bc": steps_over(bc, same), "ilql": steps_over(ilql, same)}
        rates = in_turns(sides, rounds=rounds)
        value = ratio(rates, "ilql", "bc")
        yield Row(f"`ilql` step, {name}, tokens/s by `bc`'s", wanted, f"{value:.2f}", value, {"rates": rates})


def large_vocabulary(kind: str, queue: Any) -> None:
    """In a process of its own: peak memory (bytes beyond what stood before) and CPU seconds of one ILQL step."""
    torch.set_num_threads(1)
    tokenizer = Sized(50_257)
    agent = ILQL(ILQLConfig(model={**SHAPES[SHAPE], "n_positions": 128}), tokenizer).train()
    batch = full_rows(50_257, 32, 72)
    losses: dict[str, Callable[[], torch.Tensor]] = {
        "fast": lambda: agent.loss(batch)[0],
        "plain": lambda: plain_ilql_loss(agent, batch),
        "agent tokens": lambda: plain_ilql_loss(agent, batch, everywhere=False),
    }
    for p in parameters_of(agent):
        p.grad = torch.zeros_like(p)  # both ways need these; only what comes on top is compared
    before = peak_memory()
    seconds = []
    for _ in range(3):
        begun = time.process_time()
        losses[kind]().backward()
        seconds.append(time.process_time() - begun)
    queue.put((peak_memory() - before, min(seconds)))


def vocabulary_rows() -> Iterator[Row]:
    """ILQL on a vocabulary of 50,257, against the plain ways."""
    context = multiprocessing.get_context("spawn")
    measured: dict[str, tuple[int, float]] = {}
    for kind in ("fast", "plain", "agent tokens"):
        queue = context.Queue()
        process = context.Process(target=large_vocabulary, args=(kind, queue))
        process.start()
        measured[kind] = queue.get(timeout=600)
        process.join()
    for kind, memory, seconds in (("plain", 0.5, 0.6), ("agent tokens", 0.5, 0.9)):
        m, s = (a / b for a, b in zip(measured["fast"], measured[kind], strict=True))
        against = "all heads everywhere" if kind == "plain" else "full target Q at agent tokens"
        yield Row(
            f"`ilql`, vocabulary 50,257, against {against}: memory, time",
            f"<= {memory}, <= {seconds}",
            f"{m:.2f}, {s:.2f}",
            max(m / memory, s / seconds),
            {"bytes": {k: v[0] for k, v in measured.items()}, "seconds": {k: v[1] for k, v in measured.items()}},
        )


def acting_rows(behaviour: BC, pi_beta: Path, rounds: int, games: int) -> Iterator[Row]:
    """Whole games at a batch of 64 against `generate`; all play by the same language model's weights."""
    tokenizer = behaviour.tokenizer
    plain = plain_lm(SHAPE, len(tokenizer))
    plain.load_state_dict(behaviour.lm.state_dict())
    shared = ILQL(ILQLConfig(model=SHAPE, trunks="shared"), tokenizer)
    shared.lm.load_state_dict(behaviour.lm.state_dict())
    separate = ILQL(ILQLConfig(model=SHAPE, pi_beta=str(pi_beta)), tokenizer)
    policies: dict[str, tuple[Any, str]] = {
        "generate": (PlainGenerate(plain, tokenizer, 6), ""),
        "bc": (behaviour.policy(temperature=0.0), ">= 2x"),
        "Q-guided, shared trunk": (shared.policy(temperature=0.0, max_tokens=6, beta=1e-3), ">= 2x"),
        "Q-guided, separate trunks": (separate.policy(temperature=0.0, max_tokens=6, beta=1e-3), ">= 1.2x"),
    }

    def play(policy: Any) -> float:
        result = evaluate(policy, "Wordle-v0", episodes=games, batch_size=ROWS, env_kwargs=WORDS, progress=False)
        return float(sum(result.lengths))

    rates = in_turns({name: partial(play, policy) for name, (policy, _) in policies.items()}, rounds=rounds)
    for name, (_, wanted) in policies.items():
        if wanted:
            value = ratio(rates, name, "generate")
            measured = f"{value:.2f}x ({statistics.median(rates[name]):,.0f} guesses/s)"
            yield Row(
                f"guesses/s in whole games, {name}, against `generate()`", wanted, measured, value, {"rates": rates}
            )


def evaluation_rows(tokenizer: TurnTokenizer) -> Iterator[Row]:
    """Cost of a game over the number of games."""
    bc = BC(TrainConfig(model="tiny"), tokenizer).policy(temperature=0.0, max_tokens=6)
    for name, policy in (("random player", RandomPolicy(["crane", "sloth"])), ("`bc`, tiny", bc)):

        def play(games: int, policy: Policy = policy) -> float:
            repeats = max(512 // games, 1)
            for _ in range(repeats):
                evaluate(policy, "Wordle-v0", episodes=games, env_kwargs=WORDS, progress=False)
            return games * repeats

        rates = in_turns({str(games): partial(play, games) for games in (64, 256, 1024, 4096)}, rounds=3)
        costs = {games: 1 / statistics.median(some) for games, some in rates.items()}
        spread = max(costs.values()) / min(costs.values()) - 1
        shown = " / ".join(f"{1e6 * cost:,.0f}" for cost in costs.values())
        yield Row(
            f"cost of a game from 64 to 4,096 games, {name}",
            "flat within 20 %",
            f"{shown} microseconds: {spread:.0%}",
            spread,
            {"seconds": costs},
        )


def growth(tokenizer: TurnTokenizer) -> dict[str, dict[str, float]]:
    """`bc` training throughput in tokens/s over batch size, row length, vocabulary and model size."""

    def rate(shape: Any, vocabulary: TurnTokenizer, batch: TokenBatch) -> float:
        training = Training.of(BC(TrainConfig(model=shape), vocabulary))
        return statistics.median(in_turns({"bc": lambda: training.step(batch)}, rounds=3)["bc"])

    sizes, size = {}, len(tokenizer)
    sizes["rows in a batch (72 tokens each)"] = {
        str(rows): rate(SHAPE, tokenizer, full_rows(size, rows, 72)) for rows in (1, 4, 16, 64, 256)
    }
    long = {**SHAPES[SHAPE], "n_positions": 1024}
    sizes["tokens in a row (4,608 in a batch)"] = {
        str(length): rate(long, tokenizer, full_rows(size, 4_608 // length, length)) for length in (24, 72, 288, 1024)
    }
    mixed = [24 + 3 * row // 2 for row in range(64)]
    sizes["tokens in a row (4,608 in a batch)"]["24 to 118, no two alike"] = rate(long, tokenizer, rows_of(size, mixed))
    sizes["vocabulary"] = {
        str(words): rate(SHAPE, Sized(words), full_rows(words, 16, 72)) for words in (64, 2_000, 10_000, 50_257)
    }
    shapes = {"tiny": SHAPES["tiny"], "small": SHAPES["small"]}
    shapes["6 layers of 256"] = {"n_layer": 6, "n_head": 8, "n_embd": 256, "n_positions": 512}
    sizes["model"] = {name: rate(shape, tokenizer, full_rows(size, 16, 72)) for name, shape in shapes.items()}
    return sizes


def floor_row(tokenizer: TurnTokenizer, rounds: int) -> Row:
    """`bc`'s step against its multiplications alone, at the rate that this machine multiplies such matrices."""
    shape, tokens = SHAPES[SHAPE], 64 * 72
    d, layers = shape["n_embd"], shape["n_layer"]
    x, w = torch.randn(tokens, d), torch.randn(d, 4 * d)

    def multiply() -> float:
        for _ in range(20):
            x @ w
        return 20 * 2.0 * tokens * d * 4 * d

    rate = statistics.median(in_turns({"mm": multiply}, rounds=5)["mm"])
    # weights, then scores and sums over 36 tokens on average, then the head at agent tokens
    multiplications = layers * (12 * d * d + 2 * d * 36) + d * len(tokenizer) / 2
    floor = 6 * multiplications / rate  # two operations each, forward once and backward twice
    training, batch = Training.of(BC(TrainConfig(model=SHAPE), tokenizer)), full_rows(len(tokenizer), 64, 72)
    measured = 1 / statistics.median(in_turns({"bc": lambda: training.step(batch)}, rounds=rounds)["bc"])
    return Row(
        "`bc` step: share of the time that its multiplications alone would take",
        "-",
        f"{floor / measured:.0%} (at {rate / 1e9:.0f} GFLOP/s)",
        floor / measured,
        {"flop_rate": rate, "floor_seconds_a_token": floor, "seconds_a_token": measured},
    )


def main(
    out: Annotated[Path, typer.Option(help="JSON; the README shows leaderboards/results/speed/cpu.json.")] = RUNS,
    rounds: Annotated[int, typer.Option(help="Rounds of each comparison.")] = 9,
    games: Annotated[int, typer.Option(help="Games a round of acting.")] = 256,
) -> None:
    """Measures speed and writes the table."""
    torch.set_num_threads(1)
    console, tokenizer = Console(highlight=False, soft_wrap=True), wordle_tokenizer()
    data = load_dataset("wordle/human-v0", mix="wide", games=20_000, words=WORDS["words"])
    pi_beta = Path("runs/speed-pi-beta")
    behaviour = BC(TrainConfig(model=SHAPE, steps=150, lr=2e-3, warmup=20, device="cpu"), tokenizer)
    train(behaviour, data, out=pi_beta)  # until it writes words
    rows: list[Row] = []
    for measured in (
        training_rows(data, tokenizer, pi_beta, rounds),
        vocabulary_rows(),
        acting_rows(behaviour, pi_beta, rounds, games),
        evaluation_rows(tokenizer),
        iter([floor_row(tokenizer, rounds)]),
    ):
        for row in measured:
            rows.append(row)
            console.print(f"{row.what}: [bold]{row.measured}[/] (asked: {row.wanted})")
    sizes = growth(tokenizer)
    for name, rates in sizes.items():
        console.print(f"tokens/s over {name}: " + ", ".join(f"{size}: {rate:,.0f}" for size, rate in rates.items()))
    record = {"rows": [dataclasses.asdict(row) for row in rows], "growth": sizes, "provenance": provenance()}
    write_atomic(out, json.dumps(record, indent=1) + "\n")
    console.print(f"written: {out}")
    if out.resolve() == SPEED:
        write_readme()


if __name__ == "__main__":
    typer.run(main)
