from __future__ import annotations

import json

import torch

import agents
from agents.bc import BC
from agents.checkpoints import save_agent
from agents.dt import DT
from agents.ilql import ILQL
from agents.tokenizers import wordle_tokenizer
from lmrl_envs.core import Turn

SHAPE = {"n_layer": 1, "n_head": 2, "n_embd": 32, "n_positions": 64}
HISTORIES = [[], [Turn("agent", "crane"), Turn("env", "bbygb")]]


def saved(algorithm, folder):
    save_agent(algorithm, folder / "whole", trained={})
    save_agent(algorithm, folder / "small", trained={"suite": "s"}, small=True)
    sizes = [(folder / name / "model.safetensors").stat().st_size for name in ("whole", "small")]
    return agents.load(folder / "small", device="cpu"), sizes


def test_a_small_checkpoint_is_half_as_large_and_acts_as_the_agent_does(tmp_path):
    bc = BC(BC.Config(model=SHAPE, device="cpu"), wordle_tokenizer(), seed=1)
    loaded, (whole, small) = saved(bc, tmp_path)
    assert small < 0.6 * whole
    assert loaded.policy(temperature=0.0).act(HISTORIES) == bc.policy(temperature=0.0).act(HISTORIES)
    for name, parameter in loaded.named_parameters():
        torch.testing.assert_close(parameter, dict(bc.named_parameters())[name].half().float(), rtol=0, atol=0)


def test_heads_that_serve_learning_alone_are_left_out_and_replaced_by_those_that_act(tmp_path):
    ilql = ILQL(ILQL.Config(model=SHAPE, device="cpu"), wordle_tokenizer(), seed=1)
    with torch.no_grad():
        for parameter in ilql.q.parameters():
            parameter += 1.0
    loaded, (whole, small) = saved(ilql, tmp_path)
    assert small < 0.5 * whole
    for online, target in zip(loaded.q.parameters(), loaded.target_q.parameters(), strict=True):
        assert torch.equal(online, target)
    assert loaded.policy(temperature=0.0).act(HISTORIES) == ilql.policy(temperature=0.0).act(HISTORIES)
    assert json.loads((tmp_path / "small" / "agent.json").read_text())["stand_ins"] == {"q": "target_q"}


def test_numbers_that_are_not_learned_keep_every_digit(tmp_path):
    dt = DT(DT.Config(model=SHAPE, device="cpu"), wordle_tokenizer(), seed=1)
    dt.returns.copy_(torch.linspace(-2.34567, 0.98765, len(dt.returns)))
    loaded, _ = saved(dt, tmp_path)
    assert torch.equal(loaded.returns, dt.returns)
