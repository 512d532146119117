"""How a run plays: with which data, policies and episodes."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from leaderboards.studies import STUDIES
from lmrl_envs.core import EpisodeKey, Turn
from lmrl_envs.datasets import TextDataset, load_dataset
from lmrl_envs.evaluate import EvalResult, evaluate
from lmrl_envs.registration import find_task, load_attribute

if TYPE_CHECKING:
    from agents.trainer import Algorithm

EXAMPLES = 16
"""Episodes of a result that are kept whole."""
PLAYERS_ON_CARD = 1024
"""Rows of a player that is no network, in a task whose networks are on a card."""


def play_decoded(run: Mapping[str, Any], algorithm: Algorithm, **options: Any) -> dict[str, EvalResult]:
    """Plays under each of the evaluation's decodings, with more `options` of the policy."""
    results = {}
    for name, decoding in run["evaluation"]["decodings"].items():
        repeats = {"repeats": 1} if decoding.get("temperature") == 0 else {}
        results[name] = play(run, algorithm.policy(**decoding, **options), **repeats)
    return results


def play(run: Mapping[str, Any], policy: Any, **changed: Any) -> EvalResult:
    """Plays as the run's evaluation says, but for what is `changed`."""
    task = run["task"]
    how = {name: run["evaluation"][name] for name in ("episodes", "repeats", "seed", "batch_size")} | changed
    if fitting := getattr(policy, "fitting_rows", None):  # a card has room for more; draws do not depend on it
        how["batch_size"] = fitting(on_cpu=how["batch_size"])
    elif on_card():
        how["batch_size"] = max(how["batch_size"], PLAYERS_ON_CARD)
    how["keep_examples"] = sys.maxsize if task["env_id"] in STUDIES else EXAMPLES
    env_kwargs = placed(task["env_id"], task["env_kwargs"])
    result = evaluate(policy, task["env_id"], env_kwargs=env_kwargs, on_error="record", progress=False, **how)
    if not result.returns:
        raise RuntimeError(f"the policy gave up all {len(result.errors)} episodes, the first with {result.errors[0]}")
    return labelled(run, result)


def on_card() -> bool:
    """Whether networks run on a card here."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_available()


def placed(env_id: str, env_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A task's arguments, with its networks on the card where there is one.

    A result is the same run wherever it was made, so that its `env_kwargs` do not say so.
    """
    task = load_attribute(find_task(env_id).factory)
    choices = {"device": "auto"} if "device" in inspect.signature(task).parameters else {}
    return {**choices, **env_kwargs}


def labelled(run: Mapping[str, Any], result: EvalResult) -> EvalResult:
    """The result with who played, and what that was trained on."""
    task = run["task"]
    return dataclasses.replace(
        result,
        env_kwargs=task["env_kwargs"],
        agent=run["agent"],
        training_seed=run["seed"] if run["seeded"] else None,
        dataset_id=task["dataset"],
        dataset_hash=run["dataset_hash"],
    )


def data_of(run: Mapping[str, Any], split: Literal["train", "validation"] = "train") -> TextDataset:
    """The task's dataset, or what the behaviours wrote that the agent learns from."""
    data = load_dataset(run["task"]["dataset"], split=split, **run["task"]["variant"])
    wanted = run.get("behaviours")
    if not wanted:
        return data
    written = [episode.info.get("behaviour") for episode in data]
    chosen = data.select([row for row, behaviour in enumerate(written) if behaviour in wanted])
    if not len(chosen):
        names = sorted(map(str, set(written)))
        raise ValueError(f"no episode of {run['task']['dataset']} is by {wanted}, they are by {names}")
    return chosen


class Again:
    """A policy that draws other numbers in each trial, in the same episodes."""

    def __init__(self, policy: Any, trial: int) -> None:
        self.policy, self.trial, self.name = policy, trial, policy.name
        self.fitting_rows = getattr(policy, "fitting_rows", None)
        self._keys: dict[int, EpisodeKey] = {}

    def reset(self, *, seed: int, instructions: str) -> None:
        """Forgets every episode."""
        self.policy.reset(seed=seed, instructions=instructions)
        self._keys = {}

    def act(self, histories: Sequence[Sequence[Turn]], *, episodes: Sequence[EpisodeKey]) -> list[str]:
        """One text for each history."""
        for index, _ in episodes:
            if index not in self._keys:
                seeds = np.random.SeedSequence(self.trial, spawn_key=(index, 2))
                self._keys[index] = EpisodeKey(index, np.random.Generator(np.random.PCG64(seeds)))
        return self.policy.act(histories, episodes=[self._keys[index] for index, _ in episodes])
