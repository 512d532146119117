"""pi_ref, a frozen BC agent: what it thinks of a whole dataset, read once and kept on the disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from agents import checkpoints
from agents.algorithm import Algorithm
from agents.batch import TokenStore
from agents.data import encode_dataset, kept_arrays
from agents.losses import log_probs_at
from lmrl_envs.core import Episode
from lmrl_envs.datasets import TextDataset
from lmrl_envs.evaluate import rollout

_CACHE_VERSION = 1
_TOKENS_AT_ONCE = 16_384
_ROLLOUT_ROOT = 1 << 40
"""Root of the seeds of rollouts, far from those of evaluations."""


class ReferenceReading(NamedTuple):
    """What pi_ref thinks of the agent tokens and turns of a dataset, in order."""

    logp: np.ndarray
    """(agent tokens,) float32, ln pi_ref"""
    states: np.ndarray
    """(turns, d) float16, the last hidden state at the history where each agent turn begins"""


class Reference:
    """A trained agent as a frozen reference.

    Args:
        folder: of the agent.
        algorithm: who needs it: the device, the tokenizer and whether to cut long episodes are its own.

    Raises:
        CheckpointError: the folder holds no whole agent.
    """

    def __init__(self, folder: Path, algorithm: Algorithm) -> None:
        content = checkpoints.read_agent(folder)
        known = json.dumps([content["files"], content["model"]], sort_keys=True)
        self.hash = hashlib.sha256(known.encode()).hexdigest()
        self.agent = checkpoints.load_agent(folder, device="cpu").to(next(algorithm.parameters()).device)
        self.truncate = algorithm.config.truncate

    def read(self, data: TextDataset) -> ReferenceReading:
        """Log-probabilities and states on `data`.

        They are kept under `$LMRL_HOME/reference`, in a folder named by the hashes of the data and of the reference.
        """
        store, longest = self.encode(data), self.agent.context_length
        identity = f"{_CACHE_VERSION} {data.fingerprint} {self.hash} {longest} {self.truncate}"
        limit = f"{'cut' if self.truncate else 'max'}{longest}"
        name = f"{data.fingerprint[:16]}-{self.hash[:16]}-{limit}-v{_CACHE_VERSION}"
        return ReferenceReading(
            **kept_arrays("reference", name, identity, lambda: read_store(self.agent, store)._asdict())
        )

    def encode(self, data: TextDataset) -> TokenStore:
        """The data as the reference reads them."""
        return encode_dataset(self.agent, data, truncate=self.truncate)

    def play(
        self, env_id: str, env_kwargs: Mapping[str, Any] | None, *, episodes: int, seed: int
    ) -> tuple[TokenStore, ReferenceReading]:
        """Plays episodes, sampled at temperature 1, and reads them."""
        played: Iterable[Episode] = rollout(
            self.agent.policy(temperature=1.0),
            env_id,
            episodes=episodes,
            seed=_ROLLOUT_ROOT + seed,
            env_kwargs=env_kwargs,
        )
        store = TokenStore.from_rows(
            map(self.agent.encode, played), max_length=self.agent.context_length, truncate=True
        )
        return store, read_store(self.agent, store)


@torch.no_grad()
def read_store(agent: Algorithm, store: TokenStore) -> ReferenceReading:
    """One pass over all rows, without a cache."""
    device = next(agent.parameters()).device
    ids = len(store.ids)
    token_number = store.agent.cumsum() - 1
    turn_number = np.full(ids, -1)
    turn_number[store.turn_starts()] = np.arange(len(store.turn_starts()))
    logp = np.empty(token_number[-1] + 1, np.float32)
    states = np.empty((len(store.turn_starts()), agent.lm.config.hidden_size), np.float16)
    order = np.argsort(store.lengths, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(store.lengths[order].cumsum() // _TOKENS_AT_ONCE)) + 1):
        batch = store.batch(rows, {"at": np.arange(ids)}).to(device)
        at = batch.columns["at"][batch.action_mask].cpu().numpy()
        tokens, h = agent.states(batch)
        logp[token_number[at]] = log_probs_at(h, agent.head, tokens.token).cpu().numpy()
        begins = turn_number[at] >= 0
        states[turn_number[at[begins]]] = h[torch.from_numpy(begins).to(device)].cpu().numpy()
    return ReferenceReading(logp, states)
