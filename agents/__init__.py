"""Baseline agents. Run from a clone: `python -m agents.ilql --help`.

Names stand as strings, so that importing this package stays light; `algorithm_class` resolves them.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from lmrl_envs.errors import unknown_name

if TYPE_CHECKING:
    from agents.trainer import Algorithm

ALGORITHMS: dict[str, str] = {
    "bc": "agents.bc:BC",
    "filtered_bc": "agents.bc:FilteredBC",
    "ilql": "agents.ilql:ILQL",
    "sarsa": "agents.ilql:SARSA",
}


def algorithm_class(name: str) -> type[Algorithm]:
    """The class of a registered name, or of anybody's `"pkg.mod:Name"`.

    Raises:
        ValueError: the name is not registered; the message lists close matches.
        ImportError: the module or its attribute is not there.
    """
    spec = ALGORITHMS.get(name, name)
    if ":" not in spec:
        raise unknown_name("agent", name, ALGORITHMS)
    module, attribute = spec.split(":", 1)
    try:
        return getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        raise ImportError(f"module {module!r} has no {attribute!r}") from error


def load(path: str | Path, device: str = "auto") -> Algorithm:
    """Brings back a trained agent from the folder that `train` wrote.

    Raises:
        CheckpointError: a file is missing, cut short or edited; the message names it.
    """
    from agents.checkpoints import load_agent  # noqa: PLC0415 - imports torch

    return load_agent(Path(path), device=device)
