"""Training steps and whole games, beside the plain ways. `python -m leaderboards.speed` prints the ratios."""

from __future__ import annotations

import itertools
from functools import partial

import pytest
import torch

from agents.algorithm import TrainConfig
from agents.bc import BC
from agents.data import encode_dataset
from agents.ilql import ILQL, ILQLConfig
from agents.tokenizers import wordle_tokenizer
from agents.trainer import train
from leaderboards.measuring import ROWS, SHAPE, WORDS, Training, budgeted, plain_training, random_batches
from leaderboards.plain import PlainGenerate, plain_lm
from lmrl_envs.datasets import load_dataset
from lmrl_envs.evaluate import evaluate


@pytest.fixture(scope="module")
def data():
    torch.set_num_threads(1)
    return load_dataset("wordle/human-v0", mix="wide", games=20_000, **WORDS)


@pytest.fixture(scope="module")
def behaviour(data, tmp_path_factory):
    """A clone that writes words."""
    config = TrainConfig(model=SHAPE, steps=150, lr=2e-3, warmup=20, device="cpu")
    out = tmp_path_factory.mktemp("bc")
    return train(BC(config, wordle_tokenizer()), data, out=out).algorithm, out


VARIANTS = {
    "bc": (BC, {}),
    "ilql, pi_beta jointly": (ILQL, {}),
    "ilql, shared trunk": (ILQL, {"trunks": "shared"}),
}


@pytest.mark.parametrize("name", ["plain", *VARIANTS])
def test_a_training_step(benchmark, name, data):
    tokenizer = wordle_tokenizer()
    store = encode_dataset(BC(TrainConfig(model=SHAPE), tokenizer), data)
    if name == "plain":
        training, batches = plain_training(SHAPE, len(tokenizer)), random_batches(store, ROWS)
    else:
        algorithm, settings = VARIANTS[name]
        training = Training.of(algorithm(algorithm.Config(model=SHAPE, **settings), tokenizer))
        batches = budgeted(store, 4_096)
    step = list(itertools.islice(batches, 6))
    tokens = benchmark.pedantic(lambda: sum(map(training.step, step)), rounds=3, iterations=1, warmup_rounds=1)
    benchmark.extra_info["tokens_a_second"] = round(tokens / benchmark.stats.stats.median)
    assert tokens > 0


@pytest.mark.parametrize("name", ["generate", "bc", "shared", "separate"])
def test_whole_games(benchmark, name, behaviour):
    bc, out = behaviour
    if name == "generate":
        plain = plain_lm(SHAPE, len(bc.tokenizer))
        plain.load_state_dict(bc.lm.state_dict())
        policy = PlainGenerate(plain, bc.tokenizer, 6)
    elif name == "bc":
        policy = bc.policy(temperature=0.0)
    else:
        kind = {"trunks": "shared"} if name == "shared" else {"pi_beta": str(out)}
        agent = ILQL(ILQLConfig(model=SHAPE, **kind), bc.tokenizer)
        agent.lm.load_state_dict(bc.lm.state_dict())
        policy = agent.policy(temperature=0.0, max_tokens=6, beta=1e-3)
    play = partial(
        evaluate, policy, "Wordle-v0", episodes=128, batch_size=ROWS, env_kwargs=WORDS, progress=False, keep_examples=0
    )
    result = benchmark.pedantic(play, rounds=3, iterations=1, warmup_rounds=1)
    benchmark.extra_info["guesses_a_second"] = round(sum(result.lengths) / benchmark.stats.stats.median)
    assert len(result.returns) == 128
