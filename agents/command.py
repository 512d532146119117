"""The command line of an algorithm: `python -m agents.ilql --dataset wordle/human-v0 --out runs/mine`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from agents.algorithm import PRESETS, Algorithm, TrainConfig
from agents.checks import check_needs
from agents.tokenizers import tokenizer_for
from agents.trainer import train
from lmrl_envs.datasets import load_dataset
from lmrl_envs.errors import CheckpointError, LmrlError, UnfitDataError
from lmrl_envs.evaluate import evaluate


def main(*algorithms: type[Algorithm], argv: list[str] | None = None) -> None:
    """Trains one of `algorithms` on a dataset and plays with it; the first is the default."""
    by_name = {algorithm.name: algorithm for algorithm in algorithms}
    parser = argparse.ArgumentParser(description=algorithms[0].__doc__, allow_abbrev=False)
    parser.add_argument("--algorithm", choices=by_name, default=algorithms[0].name)
    parser.add_argument("--dataset", default="wordle/human-v0")
    parser.add_argument(
        "--variant", type=json.loads, default={"words": "common-40"}, help="JSON, as load_dataset takes it"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the agent and its curve")
    parser.add_argument("--preset", choices=PRESETS, help="a group of settings; options given beside it win")
    parser.add_argument("--episodes", type=int, default=512, help="episodes to play at the end; 0: none")
    parser.add_argument("--no-resume", action="store_true", help="start anew, replacing what --out holds")
    fields = {field.name: field for algorithm in algorithms for field in dataclasses.fields(algorithm.Config)}
    for field in fields.values():
        flag = "--" + field.name.replace("_", "-")
        kind = {"int": int, "float": float}.get(str(field.type), _value)
        parser.add_argument(flag, type=kind, default=argparse.SUPPRESS, help=f"default: {field.default}")
    given = vars(parser.parse_args(argv))

    algorithm = by_name[given.pop("algorithm")]
    given = PRESETS.get(given.pop("preset"), {}) | given
    options = {name: given.pop(name) for name in ("dataset", "variant", "out", "episodes", "no_resume")}
    try:
        config: TrainConfig = algorithm.Config(**given)
        data, validation = (
            load_dataset(options["dataset"], split=split, **options["variant"]) for split in ("train", "validation")
        )
        built = algorithm(config, tokenizer_for(data, config.model), seed=config.seed)
        check_needs(built, data)
    except (TypeError, ValueError, OSError, LmrlError) as error:
        parser.error(str(error))
    try:
        result = train(built, data, out=options["out"], validation=validation, resume=not options["no_resume"])
    except (CheckpointError, UnfitDataError) as error:
        parser.error(str(error))
    except FloatingPointError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print(f"stopped; the state is in {options['out']}, the same command goes on from there", file=sys.stderr)
        raise SystemExit(130) from None
    print(f"{algorithm.name}: {result.steps} steps, {result.tokens} tokens, {result.seconds:.0f} s; {result.curve[-1]}")
    if options["episodes"] and data.metadata.env_id is not None:
        for label, temperature in (("greedy", 0.0), ("sampled", 1.0)):
            score = evaluate(
                result.algorithm.policy(temperature=temperature),
                data.metadata.env_id,
                episodes=options["episodes"],
                env_kwargs=data.metadata.env_kwargs,
            )
            spread = score.standard_error or 0.0
            print(f"{label}: mean return {score.mean:.3f} +- {spread:.3f} over {len(score.returns)} episodes")


def _value(text: str) -> Any:
    """JSON where it is JSON (numbers, null, true, mappings), else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
