from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lmrl_envs.core import Episode, Turn
from lmrl_envs.evaluate import EvalResult

WriteResult = Callable[..., None]

GAME = (Turn("agent", "geese", -1.0), Turn("env", "byybb"), Turn("agent", "elder", 0.0), Turn("env", "ggggg"))

COST = {"parameters": 1_234_567, "seconds": 60.0}


def eval_result(
    returns: Sequence[float], turns: Sequence[Turn], metrics: Mapping[str, float], tuning: Mapping[str, Any]
) -> EvalResult:
    return EvalResult(
        schema=1,
        env_id="Wordle-v0",
        env_kwargs={"words": "common-40"},
        agent="whoever",
        evaluation_seed=0,
        training_seed=None,
        dataset_id=None,
        dataset_hash=None,
        decoding={},
        tuning=dict(tuning),
        returns=tuple(returns),
        lengths=(2,) * len(returns),
        metrics=dict(metrics),
        examples=(Episode("Wordle-v0", 1, tuple(turns), True, False, {"answer": "elder"}),),
        errors=(),
        provenance={"processor": "a processor", "cores": 2, "card": None, "platform": "Linux", "python": "3.11",
                    "library": "0.1.0", "commit": None, "dirty": None},
        seconds=1.5,
    )  # fmt: skip


@pytest.fixture
def write_result(tmp_path: Path) -> WriteResult:
    """Writes a result as a worker does, with the returns that a test gives, below `tmp_path / "runs"`.

    `published` writes it below `tmp_path / "results"` instead, as a published one; `more` are further keys of the file.
    """

    def write(
        agent: str,
        greedy: Sequence[float],
        sampled: Sequence[float] | None = None,
        *,
        seed: int = 0,
        kind: str = "agent",
        turns: Sequence[Turn] = GAME,
        metrics: Mapping[str, float] | None = None,
        setting: str = "a",
        curve: Sequence[Mapping[str, float]] = (),
        tuning: Mapping[str, Any] | None = None,
        published: bool = False,
        cost: Mapping[str, float] | None = None,
        config: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        run: dict[str, Any] = {
            "key": f"{agent}-{seed}-{setting}",
            "setting": f"{agent}-{setting}",
            "reference": kind in ("player", "best_of"),
            "command": f"python -m leaderboards.run --suite quick --agent {agent}",
            "suite": "quick",
            "task": {"name": "Wordle-v0-common-40", "env_id": "Wordle-v0", "env_kwargs": {"words": "common-40"},
                     "dataset": "wordle/human-v0", "variant": {"words": "common-40"}},
            "dataset_hash": "0" * 64,
            "agent": agent,
            "kind": kind,
            "config": ({"lr": 0.001} | dict(config or {})) if kind == "agent" else {},
            "seeded": kind == "agent",
            "evaluation": {"headline": "greedy", "decodings": {"greedy": {}, "sampled": {}}},
            "seed": seed,
        }  # fmt: skip
        results = {"greedy": greedy, "sampled": sampled or greedy}
        record = {
            "schema": 1,
            "run": run,
            "train": {
                "curve": list(curve),
                "cost": cost or ({"parameters": 1_234_567, "seconds": 60.0} if curve else {}),
            },
            "eval": {
                name: eval_result(values, turns, metrics or {}, tuning or {}).to_json()
                for name, values in results.items()
            },
            **more,
        }
        name = agent.replace(":", ".") if setting == "a" else f"{agent}-{setting}"
        place = Path("quick", "Wordle-v0-common-40", name, f"seed{seed}")
        path = tmp_path / "results" / f"{place}.json" if published else tmp_path / "runs" / place / "result.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))

    return write
