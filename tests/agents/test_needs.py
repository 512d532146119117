"""Every agent on data that lack what it needs, and with a loss that is not a number."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import agents
from agents import checkpoints
from agents.algorithm import Algorithm
from agents.alol import RLOL
from agents.bc import BC
from agents.command import main
from agents.likelihood import Likelihood
from agents.reward_weighted import Swift
from agents.trainer import train
from lmrl_envs.core import Episode, Turn
from lmrl_envs.datasets import DatasetMetadata, TextDataset, write_dataset
from tests.agents.games import NANO

SHORT = {"model": NANO, "steps": 4, "tokens_per_batch": 250, "save_every": 1, "warmup": 1, "device": "cpu"}
CLONES = {"bc", "iqlearn"}
"""Use no rewards."""
WITH_REFERENCE = {"psi", "alol", "alol_ref_free", "alol_seq", "alol_kl", "rlol"}


@pytest.fixture(scope="module")
def reference(games, tokenizer, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("bc")
    train(BC(BC.Config(**SHORT), tokenizer), games, out=folder)
    return str(folder)


def built(name: str, tokenizer, reference: str | None = None, **settings) -> Algorithm:
    cls = agents.algorithm_class(name)
    start = {"pi_ref" if issubclass(cls, Likelihood) else "pi_beta": reference}
    return cls(cls.Config(**{**SHORT, **start, **settings}), tokenizer)


def chats(path: Path, rewards: list[tuple[float, ...]]) -> TextDataset:
    """Chats of one start, whose turns earn these rewards."""
    episodes = [
        Episode(None, None, (Turn("env", "x"), *(Turn("agent", "crane", reward) for reward in row)), True, False, {})
        for row in rewards
    ]
    return write_dataset(path, episodes, DatasetMetadata(dataset_id="mine/chats"))


@pytest.mark.parametrize("name", agents.ALGORITHMS)
def test_rewards_are_asked_for_by_all_but_clones(name, games, tokenizer, reference, tmp_path):
    rewardless = games.select(np.flatnonzero(games.returns == 0))
    assert len(rewardless) >= 5
    agent = built(name, tokenizer, reference)
    if name in CLONES:
        assert train(agent, rewardless, out=tmp_path / "run").steps == 4
        return
    message = rf"^{name} learns from rewards, .* in the {len(rewardless)} episodes of wordle/human-v0 is 0; take .*bc"
    with pytest.raises(ValueError, match=message):
        train(agent, rewardless, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", agents.ALGORITHMS)
def test_a_reference_is_asked_for_by_those_that_have_ratios_or_v(name, games, tokenizer, tmp_path):
    agent = built(name, tokenizer)
    if name not in WITH_REFERENCE:
        assert "reference" not in agent.needs
        return
    option = "pi_beta" if name == "psi" else "pi_ref"
    message = rf"^{name} needs a reference model of the 300 episodes of wordle/human-v0, .*agents\.bc.* as {option}$"
    with pytest.raises(ValueError, match=message):
        train(agent, games, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", agents.ALGORITHMS)
def test_a_loss_that_is_not_a_number_stops_every_agent(name, games, tokenizer, reference, tmp_path, monkeypatch):
    settings = {"kl_budget": 1e6} if name == "alol_kl" else {}
    agent = built(name, tokenizer, reference, **settings)
    loss, calls = agent.loss, itertools.count(1)

    def broken(batch):
        value, terms = loss(batch)
        return (value if next(calls) < 3 else value * torch.nan), terms

    monkeypatch.setattr(agent, "loss", broken)
    with pytest.raises(FloatingPointError, match=rf"^{name}: .* at step 3, on the \d+ episodes \[\d+, ") as caught:
        train(agent, games, out=tmp_path)
    saved = tmp_path / checkpoints.TRAINING
    assert f"{saved} is as it was saved last" in str(caught.value)
    kept = built(name, tokenizer, reference, **settings)
    optimizer = torch.optim.AdamW([p for group in kept.parameter_groups() for p in group["params"]])
    assert checkpoints.load_training(saved, kept, optimizer)["step"] == 2
    assert all(tensor.isfinite().all() for tensor in checkpoints.weights(kept).values())


def test_what_preparing_refuses_names_agent_data_and_remedy(games, tokenizer, reference, tmp_path):
    level = chats(tmp_path / "level", [(2.0,)] * 6)
    refused = {
        "refit": (level, {}, r"every return is 2.0: there is nothing to weigh by; take bc"),
        "rlol": (
            chats(tmp_path / "falling", [(3.0, -1.0)] * 6),
            {"returns": "raw"},
            r"a turn has the return -1.0, .* take returns='mapped'",
        ),
        "alol": (level, {"value": "rollouts"}, "no environment produced these; take value='logged'"),
        "alol_ref_free": (
            chats(tmp_path / "two", [(1.0,), (2.0,)]),
            {},
            r"5 folds of episodes, .* are 2 .*take more",
        ),
        "swift": (
            games,
            {"instance": "word"},
            r"episode 0 has no info\['word'\]; take another instance, of \[.*'answer",
        ),
    }
    for name, (data, settings, message) in refused.items():
        named = rf"^{name} cannot learn from the [\d,]+ episodes of {data.metadata.dataset_id}: .*{message}"
        with pytest.raises(ValueError, match=named):
            train(built(name, tokenizer, reference, **settings), data, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_the_tables_of_needs_say_is_what_classes_say(tokenizer, reference):
    for name in agents.ALGORITHMS:
        needs = built(name, tokenizer, reference).needs
        assert ("rewards" in needs) == (name not in CLONES), name
        assert ("reference" in needs) == (name in WITH_REFERENCE), name
        assert ("groups" in needs) == (name == Swift.name), name
    assert "nonnegative_rewards" in built(RLOL.name, tokenizer, reference, returns="raw").needs


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ["reward_weighted", "--algorithm", "swift", "--instance", "word"],
            r"swift cannot learn from .*: .*info.*word",
        ),
        (["alol", "--algorithm", "rlol"], r"rlol needs a reference model of .*wordle/human-v0, .* as pi_ref"),
        (["bc", "--lr", "1e30"], r"bc: the loss or its gradient is not finite at step \d+, on the \d+ episodes \["),
    ],
)
def test_the_command_line_says_so_in_a_line(command, message, tmp_path, capsys):
    module, *arguments = command
    given = ["--out", str(tmp_path / "run"), "--variant", '{"words": "common-40", "games": 300}']
    settings = ["--model", json.dumps(NANO), "--tokens-per-batch", "250", "--warmup", "1", "--device", "cpu"]
    classes = [agents.algorithm_class(name) for name, spec in agents.ALGORITHMS.items() if f".{module}:" in spec]
    with pytest.raises(SystemExit):
        main(*classes, argv=[*given, *settings, *arguments])
    assert re.search(message, capsys.readouterr().err.splitlines()[-1])
