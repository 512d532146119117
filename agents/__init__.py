"""Baseline agents. Run from a clone: `python -m agents.ilql --help`.

Names stand as strings, so that importing this package stays light; `algorithm_class` resolves them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lmrl_envs.errors import unknown_name
from lmrl_envs.registration import load_attribute

if TYPE_CHECKING:
    from agents.trainer import Algorithm

ALGORITHMS: dict[str, str] = {
    "bc": "agents.bc:BC",
    "filtered_bc": "agents.bc:FilteredBC",
    "ilql": "agents.ilql:ILQL",
    "sarsa": "agents.ilql:SARSA",
    "awr": "agents.ilql:AWR",
    "alol": "agents.alol:ALOL",
    "alol_ref_free": "agents.alol:ALOLRefFree",
    "alol_seq": "agents.alol:ALOLSeq",
    "alol_kl": "agents.alol:ALOLKL",
    "rlol": "agents.alol:RLOL",
    "refit": "agents.reward_weighted:Refit",
    "swift": "agents.reward_weighted:Swift",
    "iqlearn": "agents.iqlearn:IQLearn",
    "cql": "agents.cql:CQL",
    "mc": "agents.mc:MC",
    "psi": "agents.psi:Psi",
    "dt": "agents.dt:DT",
}


def algorithm_class(name: str) -> type[Algorithm]:
    """The class of a registered name, or of anybody's `"pkg.mod:Name"`.

    Raises:
        ValueError: the name is not registered (the message lists close matches), or it names no class of algorithms.
        ImportError: the module or its attribute is not there, or importing it fails.
    """
    spec = ALGORITHMS.get(name, name)
    if ":" not in spec:
        raise unknown_name("agent", name, ALGORITHMS)
    try:
        found = load_attribute(spec)
    except Exception as error:  # anybody's module may raise anything
        raise ImportError(f"cannot import {spec!r} ({type(error).__name__}: {error})") from error
    from agents.algorithm import Algorithm  # noqa: PLC0415 - imports torch

    if not (isinstance(found, type) and issubclass(found, Algorithm)):
        raise ValueError(f"{spec!r}: expected a subclass of agents.algorithm.Algorithm, got {found!r:.80}")
    if found.__abstractmethods__:
        raise ValueError(f"{spec!r} lacks the method {', '.join(sorted(found.__abstractmethods__))}(batch)")
    return found


def load(path: str | Path, device: str = "auto", *, algorithm: type[Algorithm] | None = None) -> Algorithm:
    """Brings back a trained agent from the folder that `train` wrote.

    Args:
        algorithm: the class of an agent that is not in `ALGORITHMS`.

    Raises:
        CheckpointError: a file is missing, cut short or edited; the message names it.
    """
    from agents.checkpoints import load_agent  # noqa: PLC0415 - imports torch

    return load_agent(Path(path), device=device, algorithm=algorithm)
