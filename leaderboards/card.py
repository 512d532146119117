"""`python -m leaderboards.card`: how close training and acting come to a card's limit, in bfloat16.

Model FLOPs are those of the multiplications alone: 2 a weight and token forward and 4 backward, and 4 d a pair of
tokens that attend to each other, likewise; what is computed twice counts once. They are set against the rate of a large
matrix product, measured in the same run. Results go to `leaderboards/results/speed/`, named by the card.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from agents.algorithm import Algorithm, TrainConfig
from agents.bc import BC
from agents.ilql import ILQL, ILQLConfig
from agents.tokenizers import TurnTokenizer, wordle_tokenizer
from leaderboards.measuring import Row, Sized, Training, full_rows
from lmrl_envs.core import Turn
from lmrl_envs.devices import resolve_device
from lmrl_envs.evaluate import evaluate
from lmrl_envs.files import write_atomic
from lmrl_envs.provenance import provenance

GPT2_SMALL = {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024}


def seconds(work: Callable[[], Any], device: torch.device, *, repeats: int = 5) -> float:
    """The least wall time of one call, the device's work included."""
    times = []
    for _ in range(repeats + 1):  # the first warms up
        begun = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return min(times[1:])


def matrix_rate(device: torch.device, size: int) -> float:
    """FLOP/s of a square bfloat16 matrix product."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / seconds(lambda: a @ b, device)


def trunk_flops(shape: Mapping[str, int], rows: int, length: int) -> float:
    """Multiplications and additions of one forward pass of a trunk over full rows."""
    d, layers = shape["n_embd"], shape["n_layer"]
    return rows * length * layers * (2 * 12 * d * d + 4 * d * (length + 1) / 2)


def training_rows(
    tokenizer: TurnTokenizer, shape: Mapping[str, int], device: torch.device, *, rows: int, length: int, rate: float
) -> Iterator[Row]:
    """Model FLOP utilisation of `bc` and of `ilql` with three trunks."""
    batch = full_rows(len(tokenizer), rows, length).to(device)
    forward = trunk_flops(shape, rows, length)
    d, size, K = shape["n_embd"], len(tokenizer), int(batch.action_mask.sum())
    lm_head, value_heads = 2 * K * d * size, 2 * K * (3 * 2 * d * d + 2 * 2 * d * size + 2 * d)
    bc_flops = 3 * (forward + lm_head)
    work: dict[str, tuple[Algorithm, float, str]] = {
        "bc": (BC(TrainConfig(model=dict(shape)), tokenizer), bc_flops, ">= 40 %"),
        "ilql": (
            ILQL(ILQLConfig(model=dict(shape)), tokenizer),
            bc_flops + 3 * (forward + value_heads) + forward,
            ">= 30 %",
        ),
    }
    for name, (algorithm, flops, wanted) in work.items():
        training = Training.of(algorithm.to(device))

        def step(training: Training = training) -> None:
            with torch.autocast(device.type, torch.bfloat16):
                loss = training.loss(batch)
            training.descend(loss)

        took = seconds(step, device)
        share = flops / took / rate
        measured = f"{share:.0%} ({rows * length / took:,.0f} tokens/s)"
        details = {"flops": flops, "seconds": took}
        yield Row(f"`{name}` training, share of the matrix rate", wanted, measured, share, details)


def acting_rows(
    tokenizer: TurnTokenizer, shape: Mapping[str, int], device: torch.device, *, games: int, comments: int, tokens: int
) -> Iterator[Row]:
    """Wordle games with Q-guidance, and long texts."""
    agent = ILQL(ILQLConfig(model=dict(shape)), tokenizer).to(device)
    policy = agent.policy(temperature=1.0, max_tokens=6)

    def play() -> None:
        evaluate(policy, "Wordle-v0", episodes=games, batch_size=policy.fitting_rows(), progress=False)

    took = seconds(play, device, repeats=1)
    yield Row(f"{games:,} Wordle games, Q-guided", "< 10 s", f"{took:.1f} s", took, {})
    writer = BC(TrainConfig(model=dict(shape)), tokenizer).to(device).policy(temperature=1.0, max_tokens=tokens)
    took = seconds(lambda: writer.act([[Turn("env", "what do you think")]] * comments), device, repeats=2)
    rate = comments * tokens / took
    yield Row(f"{tokens}-token comments at batch {comments}", ">= 20,000 tokens/s", f"{rate:,.0f} tokens/s", rate, {})


def flash_row(tokenizer: TurnTokenizer, device: torch.device) -> Row:
    """The largest difference between states by flash attention over packed rows and states in float32 on the CPU."""
    agent, batch = BC(TrainConfig(model="small"), tokenizer, seed=1), full_rows(len(tokenizer), 8, 72)
    with torch.no_grad():
        plain = agent.states(batch)[1]
        with torch.autocast(device.type, torch.bfloat16):
            fast = agent.to(device).states(batch.to(device))[1]
    error = (fast.float().cpu() - plain).abs().max().item()
    what = "packed attention in bfloat16 against float32, largest error of a state"
    return Row(what, "< .1", f"{error:.3f}", error, {})


def main(
    out: Annotated[Path, typer.Option(help="Folder for the JSON.")] = Path("leaderboards/results/speed"),
) -> None:
    """Measures this machine's card."""
    device, console = resolve_device("auto"), Console(highlight=False, soft_wrap=True)
    if device.type != "cuda":
        console.print("no card here; on a machine with one, this command measures it")
        raise typer.Exit(2)
    card, rate = torch.cuda.get_device_name(device), matrix_rate(device, 8192)
    console.print(f"{card}: {rate / 1e12:.0f} TFLOP/s in bfloat16 products")
    words = wordle_tokenizer()
    rows = [flash_row(words, device)]
    rows += training_rows(Sized(50_257), GPT2_SMALL, device, rows=64, length=512, rate=rate)
    rows += acting_rows(words, GPT2_SMALL, device, games=1024, comments=512, tokens=64)
    for row in rows:
        console.print(f"{row.what}: [bold]{row.measured}[/] (asked: {row.wanted})")
    path = out / f"{re.sub(r'[^A-Za-z0-9]+', '-', card).strip('-').lower()}.json"
    record = {"card": card, "matrix_rate": rate, "rows": [dataclasses.asdict(row) for row in rows]}
    write_atomic(path, json.dumps({**record, "provenance": provenance()}, indent=1) + "\n")
    console.print(f"written: {path}")


if __name__ == "__main__":
    typer.run(main)
