"""Contestants resolved to every setting: what to import or load, and the configuration with its defaults."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from leaderboards.suite import Agent, BestOf, Checkpoint, Chosen, Contestant, Player, Suite
from lmrl_envs.files import file_hash
from lmrl_envs.registration import load_attribute, plain_json

REPOSITORY = Path(__file__).resolve().parents[1]
_OURS = ("agents", "leaderboards", "lmrl_envs")


def resolve(suite: Suite, contestant: Contestant) -> dict[str, Any]:
    """Kind, source and configuration of a contestant, with defaults filled in, as plain JSON.

    `source` is what to import or load, `source_hash` the hash of its file, so that an edited policy is played again
    (None for the code of this library, which its version covers). `seeded` says whether the seed makes a difference.
    """
    match contestant:
        case Agent(algorithm=source):
            tokens = contestant.tokens or suite.tokens
            config = _config(source, {**suite.training, **contestant.config}, tokens)
            return {
                "kind": "agent",
                "source": source,
                "source_hash": _source_hash(source),
                "config": config,
                "tokens": tokens,
                "behaviours": list(contestant.behaviours),
                "seeded": True,
            }
        case Chosen(among=among, episodes=episodes, options=options):
            tried = {"options": [dict(option) for option in options]} if options else {}
            return _untrained("chosen", {"among": list(among), "episodes": episodes, **tried})
        case BestOf(agent=agent, samples=samples):
            return _untrained("best_of", {"agent": agent, "samples": samples})
        case Player(factory=source, arguments=arguments):
            factory = named(source)
            if not callable(factory):
                raise ValueError(f"{source!r}: expected a class or function that makes a policy, got {factory!r:.80}")
            return {
                "kind": "player",
                "source": source,
                "source_hash": _source_hash(source),
                "config": plain_json(dict(arguments)),
                "seeded": bool(named_parameters(factory, ["seed"])),
            }
        case Checkpoint(path=source):
            folder = checkpoint_folder(source)
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            if not files:
                raise FileNotFoundError(f"expected a checkpoint's folder, got {source!r}, which holds no file")
            return {
                "kind": "checkpoint",
                "source": source,
                "source_hash": hash_of([[path.relative_to(folder).as_posix(), file_hash(path)] for path in files]),
                "config": {},
                "seeded": False,
            }
    raise TypeError(f"expected a contestant of leaderboards.suite, got {contestant!r:.80}")


def _untrained(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """What plays with the checkpoints of the same seed's agents."""
    return {"kind": kind, "source": None, "source_hash": None, "config": config, "seeded": True}


def _config(algorithm: str, fields: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    """Every field of the algorithm's `Config`, its steps set by the budget of tokens."""
    config_class = our_agents().algorithm_class(algorithm).Config
    try:
        config = config_class(**fields)
    except TypeError as error:
        raise ValueError(f"the configuration of {algorithm!r} does not fit its Config: {error}") from error
    return dataclasses.asdict(dataclasses.replace(config, steps=math.ceil(tokens / config.tokens_per_batch)))


def _source_hash(spec: str) -> str | None:
    if spec.partition(".")[0] in _OURS:
        return None
    file = getattr(sys.modules.get(spec.partition(":")[0]), "__file__", None)
    return None if file is None else file_hash(file)


def named(spec: str) -> Any:
    """What `"pkg.mod:Name"` names; the current folder is searched first.

    Raises:
        ImportError: there is no such module, importing it fails, or it holds no such name.
    """
    try:
        return load_attribute(spec)
    except Exception as error:  # a stranger's module may raise anything
        raise ImportError(
            f"cannot import {spec!r} ({type(error).__name__}: {error}); expected 'package.module:Name', "
            "and to be started from the folder that holds it"
        ) from error


def named_parameters(factory: Callable[..., Any], offered: Sequence[str]) -> list[str]:
    """Those of the `offered` names that `factory` takes as keyword arguments."""
    parameters = inspect.signature(factory).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return list(offered)
    return [parameter.name for parameter in parameters if parameter.name in offered]


def our_agents() -> ModuleType:
    """The package `agents` of this repository.

    Raises:
        ImportError: another package of that name (openai-agents installs one) comes first.
    """
    import agents  # noqa: PLC0415  (checked at the moment of use; brings torch with its first class)

    if Path(agents.__file__ or "").resolve().parent != REPOSITORY / "agents":
        raise ImportError(
            f"expected the package 'agents' of {REPOSITORY}, got {agents.__file__}: another package of that name comes "
            "first. Use the clone's own environment (.venv), or start from the clone's folder"
        )
    return agents


def checkpoint_folder(source: str) -> Path:
    """The folder of a checkpoint, which is looked for here and in the repository."""
    return Path(source) if Path(source).exists() else REPOSITORY / source


def hash_of(value: Any) -> str:
    """SHA-256 of plain JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
