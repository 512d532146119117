"""Muon beside AdamW: who updates what, the size of a step, and a state that comes back whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agents.bc import BC
from agents.ilql import ILQL
from agents.optimizers import BatchedMuon, make_optimizer, trunk_matrices
from agents.tokenizers import tokenizer_for
from agents.trainer import train
from lmrl_envs.datasets import load_dataset

MODEL = {"n_layer": 1, "n_head": 1, "n_embd": 16, "n_positions": 128}


@pytest.fixture(scope="module")
def games():
    return load_dataset("wordle/human-v0", words="common-40", split="validation")[:200]


def test_muon_takes_the_matrices_of_trained_trunks_and_adamw_the_rest(games) -> None:
    agent = ILQL(ILQL.Config(model=MODEL), tokenizer_for(games))
    optimizer = make_optimizer("muon", agent, agent.parameter_groups(), lr=1e-3, weight_decay=0.0)
    names = {id(parameter): name for name, parameter in agent.named_parameters()}
    muon, adamw = ([names[id(p)] for p in group["params"]] for group in optimizer.param_groups)
    layers = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert sorted(muon) == sorted(
        f"{trunk}.h.0.{layer}.weight" for trunk in ("lm.transformer", "value_trunk") for layer in layers
    )
    trained = {name for name, parameter in agent.named_parameters() if parameter.requires_grad}
    assert sorted(muon + adamw) == sorted(trained)


def test_a_step_of_muon_is_orthogonal_and_as_large_as_a_step_of_adamw(games) -> None:
    """Its matrices have singular values near lr * .2 * sqrt(max side), the root mean square .2 lr of an AdamW step."""
    agent = BC(BC.Config(model=MODEL), tokenizer_for(games))
    optimizer = make_optimizer("muon", agent, agent.parameter_groups(), lr=0.01, weight_decay=0.0)
    before = [matrix.detach().clone() for matrix in trunk_matrices(agent)]
    generator = torch.Generator().manual_seed(0)
    for parameter in agent.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.step()
    for old, new in zip(before, trunk_matrices(agent), strict=True):
        singular = torch.linalg.svdvals(new.detach() - old) / (0.01 * 0.2 * max(old.shape) ** 0.5)
        assert singular.min() > 0.3
        assert singular.max() < 1.3


def test_a_batch_of_matrices_moves_as_each_would_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 24), (8, 8), (8, 32), (32, 8), (8, 24)]
    first = [torch.randn(shape, generator=generator) for shape in shapes]
    alone, batched = ([torch.nn.Parameter(matrix.clone()) for matrix in first] for _ in range(2))
    settings = {"lr": 0.01, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
    optimizers = torch.optim.Muon(alone, **settings), BatchedMuon(batched, **settings)
    for _ in range(4):
        for one, other in zip(alone, batched, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other, before in zip(alone, batched, first, strict=True):
        torch.testing.assert_close(other, one, atol=1e-4, rtol=0)
        assert (one - before).abs().max() > 0.01
    assert optimizers[1].state_dict()["state"].keys() == optimizers[0].state_dict()["state"].keys()


def test_training_with_muon_resumes_to_the_bit(games, tmp_path: Path) -> None:
    def agent() -> BC:
        config = BC.Config(
            model=MODEL,
            optimizer="muon",
            steps=20,
            tokens_per_batch=512,
            warmup=2,
            save_every=10,
            lr=5e-3,
            device="cpu",
        )
        return BC(config, tokenizer_for(games))

    whole = train(agent(), games, out=tmp_path / "whole", progress=False)

    interrupted = agent()

    def after_step(step: int) -> None:
        if step == 14:
            raise KeyboardInterrupt

    interrupted.after_step = after_step  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        train(interrupted, games, out=tmp_path / "cut", progress=False)
    again = train(agent(), games, out=tmp_path / "cut", progress=False)
    assert again.curve[-1]["loss"] == whole.curve[-1]["loss"]
    for one, other in zip(whole.algorithm.parameters(), again.algorithm.parameters(), strict=True):
        assert torch.equal(one, other)


def test_an_unknown_optimizer_is_named() -> None:
    with pytest.raises(ValueError, match="adamw, muon, got 'sgd'"):
        BC.Config(optimizer="sgd")  # type: ignore[arg-type]
