from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from agents import reference as reading
from agents.batch import pack
from agents.bc import BC
from agents.data import encode_dataset
from agents.model import hidden_states, trunk_of
from agents.reference import Reference
from agents.returns import returns_to_go
from agents.trainer import train
from lmrl_envs.errors import CheckpointError
from tests.agents.games import NANO

SHORT = {"model": NANO, "steps": 3, "tokens_per_batch": 600, "device": "cpu"}


@pytest.fixture(scope="module")
def folder(games, tokenizer, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bc")
    train(BC(BC.Config(**SHORT), tokenizer, seed=3), games, out=path)
    return path


@pytest.fixture
def agent(tokenizer) -> BC:
    return BC(BC.Config(**SHORT), tokenizer)


def test_it_reads_every_agent_token_and_turn(games, agent, folder, monkeypatch):
    """Against `score` and the trunk's states, row by row; rows of all lengths, several batches."""
    monkeypatch.setattr(reading, "_TOKENS_AT_ONCE", 500)
    reference, store = Reference(folder, agent), encode_dataset(agent, games)
    logp, states = reading.read_store(reference.agent, store)
    token = turn = 0
    for index in range(0, 60):
        batch = store.batch(np.array([index]))
        expected = reference.agent.score(batch).logp[batch.action_mask].numpy()
        assert logp[token : token + len(expected)] == pytest.approx(expected, abs=1e-5)
        token += len(expected)
        with torch.no_grad():
            h = hidden_states(trunk_of(reference.agent.lm), pack(batch)).numpy()
        for start in np.flatnonzero(
            np.diff(np.r_[0, store.agent[store.offsets[index] : store.offsets[index + 1]]]) == 1
        ):
            assert states[turn] == pytest.approx(h[start - 1], abs=2e-3)  # the position that predicts its first token
            turn += 1
    assert (len(logp), len(states)) == (store.agent.sum(), len(store.turn_starts()))


def test_what_it_thinks_is_kept_under_the_hashes_of_data_and_reference(
    games, agent, folder, tokenizer, tmp_path, monkeypatch
):
    monkeypatch.setenv("LMRL_HOME", str(tmp_path))
    reference = Reference(folder, agent)
    first = reference.read(games)
    (kept,) = [path for path in (tmp_path / "reference").iterdir() if path.is_dir()]
    assert kept.name == f"{games.fingerprint[:16]}-{reference.hash[:16]}-max128-v1"
    passes = []
    monkeypatch.setattr(reading, "read_store", lambda *arguments: passes.append(arguments))
    again = reference.read(games)
    assert passes == []
    assert isinstance(again.logp, np.memmap)
    assert np.array_equal(first.logp, again.logp)
    monkeypatch.undo()
    monkeypatch.setenv("LMRL_HOME", str(tmp_path))
    reference.read(games[:100])  # other episodes
    other = tmp_path / "other"
    train(BC(BC.Config(**SHORT), tokenizer, seed=4), games, out=other)
    assert not np.array_equal(Reference(other, agent).read(games).logp, first.logp)  # another reference
    assert len([path for path in (tmp_path / "reference").iterdir() if path.is_dir()]) == 3


def test_it_plays_sampled_and_the_same_again(agent, folder, games):
    reference = Reference(folder, agent)
    words = games.metadata.env_kwargs
    store, seen = reference.play("Wordle-v0", words, episodes=12, seed=0)
    assert len(store) == 12
    assert len(seen.states) == len(returns_to_go(store)) == len(store.turn_starts())
    assert np.array_equal(reference.play("Wordle-v0", words, episodes=12, seed=0)[1].logp, seen.logp)
    other = reference.play("Wordle-v0", words, episodes=12, seed=1)[0]
    assert not np.array_equal(other.ids[:40], store.ids[:40])


def test_a_folder_without_an_agent_is_named(agent, tmp_path):
    with pytest.raises(CheckpointError, match=f"{tmp_path} holds no trained agent"):
        Reference(tmp_path, agent)
