"""The registry of tasks: one call registers a task's two Gymnasium faces and what the evaluator knows about it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from lmrl_envs.core import TextTask
from lmrl_envs.errors import unknown_name
from lmrl_envs.gym_faces import TextEnv, TextVectorEnv

NAMESPACE = "lmrl"


class ReferenceScores(NamedTuple):
    """Mean undiscounted returns of the random policy (0 of the normalised scale) and of the best known one (1)."""

    random: float
    best: float


Factory = str | Callable[..., TextTask]
Scorer = str | Callable[[Mapping[str, Any]], ReferenceScores | None]


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A registered task. `datasets` are the ids of the datasets that were collected in it."""

    env_id: str
    factory: Factory
    reference_scores: Scorer | None
    datasets: tuple[str, ...]


TASKS: dict[str, TaskSpec] = {}
"""Registered tasks by bare id."""


def register_task(
    env_id: str, factory: Factory, *, reference_scores: Scorer | None = None, datasets: Sequence[str] = ()
) -> None:
    """Registers a task with Gymnasium, bare and under `lmrl/`, for `gym.make` and `gym.make_vec`.

    Args:
        env_id: The bare id, such as `"Wordle-v0"`.
        factory: What makes the task from `gym.make`'s keyword arguments, as `"module:Class"`, which keeps imports
            light and lets other processes find it, or the class itself.
        reference_scores: Called with the keyword arguments as plain JSON; a function or `"module:function"`.
        datasets: Ids of the datasets that were collected in the task.

    Raises:
        ValueError: `env_id` has a namespace.
    """
    if "/" in env_id:
        raise ValueError(f"expected a bare id such as 'Toy-v0' ({NAMESPACE}/ is added), got {env_id!r}")
    for registered_id in (env_id, f"{NAMESPACE}/{env_id}"):
        gymnasium.register(
            registered_id,
            entry_point=f"{__name__}:make_env",
            vector_entry_point=f"{__name__}:make_vector_env",
            kwargs={"factory": factory},
            order_enforce=False,  # the faces check the order themselves, at a fifth of a wrapper's cost
            disable_env_checker=True,  # tests run the checker once; as a wrapper it would watch every step
        )
    TASKS[env_id] = TaskSpec(env_id, factory, reference_scores, tuple(datasets))


def find_task(env_id: str) -> TaskSpec:
    """Finds a task by any id that `gym.make` takes: `Toy-v0`, `lmrl/Toy-v0`, or `module:Toy-v0` to import it first.

    Raises:
        UnknownNameError: no task has that id.
    """
    module, _, name = env_id.rpartition(":")
    if module:
        importlib.import_module(module)
    name = name.removeprefix(f"{NAMESPACE}/")
    if name not in TASKS:
        raise unknown_name("environment", env_id, TASKS)
    return TASKS[name]


def make_task(env_id: str, **env_kwargs: Any) -> TextTask:
    """Makes a task, without Gymnasium, from the keyword arguments of `gym.make` other than `render_mode`."""
    return load_attribute(find_task(env_id).factory)(**env_kwargs)


def reference_scores(env_id: str, env_kwargs: Mapping[str, Any]) -> ReferenceScores | None:
    """The scores that normalise returns of a task with these arguments, None where they are not known."""
    scorer = find_task(env_id).reference_scores
    return None if scorer is None else load_attribute(scorer)(plain_json(env_kwargs))


def make_env(factory: Factory, render_mode: str | None = None, **env_kwargs: Any) -> TextEnv:
    """Gymnasium's entry point for one environment."""
    return TextEnv(load_attribute(factory)(**env_kwargs), render_mode=render_mode)


def make_vector_env(
    factory: Factory,
    num_envs: int = 1,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    render_mode: str | None = None,
    **env_kwargs: Any,
) -> TextVectorEnv:
    """Gymnasium's entry point for many environments."""
    task = load_attribute(factory)(**env_kwargs)
    return TextVectorEnv(task, num_envs, autoreset_mode=autoreset_mode, render_mode=render_mode)


def load_attribute(where: str | Any) -> Any:
    """Imports what `"module:attribute"` names; anything but a string is returned as it is.

    Raises:
        ImportError: there is no such module, or no such attribute in it.
        ValueError: the string has another form.
    """
    if not isinstance(where, str):
        return where
    module_name, colon, attribute = where.partition(":")
    if not (module_name and colon and attribute):
        raise ValueError(f"expected 'module:attribute', got {where!r}")
    module = importlib.import_module(module_name)
    try:
        return getattr(module, attribute)
    except AttributeError:
        public = sorted(name for name in vars(module) if not name.startswith("_"))
        raise ImportError(f"{module_name} has no {attribute!r}; expected one of {public}") from None


def plain_json(value: Any) -> Any:
    """Turns arguments into what JSON can hold, so that they can be stored, compared and hashed.

    Paths become strings, sequences and arrays lists, numpy's numbers Python's; NaN, which says that a number is
    missing, becomes None.

    Raises:
        TypeError: a value, or a key that is not a string, has no such form.
        ValueError: a number is infinite.
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError(f"JSON has no {value}; use None for a number that is missing")
        return None if math.isnan(value) else float(value)
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, np.generic | np.ndarray):
        return plain_json(value.tolist())
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"expected a str as key, got {type(key).__name__}: {key!r}")
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    raise TypeError(f"expected a value that JSON can hold, got {type(value).__name__}: {value!r:.80}")
