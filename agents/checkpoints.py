"""What stands on the disk: agents as safetensors plus JSON, and the whole state of a training run in one file.

An agent's folder holds `agent.json` (name, configuration, hashes of the other two), `tokenizer.json` and
`model.safetensors`, target networks included; a small one has half precision and less than training needs.
`training.safetensors` beside them holds weights, optimiser and random states, with the rest of the state as JSON in its
header, so that a kill leaves the old state or the new one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from agents import ALGORITHMS, algorithm_class
from agents.tokenizers import TurnTokenizer
from lmrl_envs.devices import resolve_device
from lmrl_envs.errors import CheckpointError
from lmrl_envs.files import atomic_path, file_hash, write_atomic

if TYPE_CHECKING:
    from agents.algorithm import Algorithm

FORMAT = 1
AGENT, TOKENIZER, MODEL, TRAINING = "agent.json", "tokenizer.json", "model.safetensors", "training.safetensors"


def weights(algorithm: torch.nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer once; tied ones under their first name."""
    tensors = dict(algorithm.named_parameters()) | dict(algorithm.named_buffers())
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def save_agent(algorithm: Algorithm, folder: Path, *, trained: dict[str, Any], small: bool = False) -> None:
    """Writes an agent's folder; `agent.json` comes last, so that a half-written folder is never taken for an agent.

    Args:
        trained: Facts about the training, as plain JSON.
        small: In half precision, and without what acting does not need (the algorithm's `stand_ins`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors, stand_ins = weights(algorithm), dict(algorithm.stand_ins) if small else {}
    if small:
        learned = dict(algorithm.named_parameters())
        kept = {name: tensor for name, tensor in tensors.items() if name.partition(".")[0] not in stand_ins}
        tensors = {name: tensor.half() if name in learned else tensor for name, tensor in kept.items()}
    with atomic_path(folder / TOKENIZER) as temporary:
        algorithm.tokenizer.save(temporary)
    with atomic_path(folder / MODEL) as temporary:
        save_file(tensors, temporary)
    content = {
        "format": FORMAT,
        "algorithm": algorithm.name,
        "config": dataclasses.asdict(algorithm.config),
        "model": algorithm.model_config(),
        "turn_tokens": algorithm.turn_tokens,
        "trained": trained,
        "stand_ins": stand_ins,
        "files": {name: file_hash(folder / name) for name in (TOKENIZER, MODEL)},
    }
    write_atomic(folder / AGENT, json.dumps(content, indent=1) + "\n")


def load_agent(folder: Path, *, device: str = "auto", algorithm: type[Algorithm] | None = None) -> Algorithm:
    """Reads an agent's folder; `algorithm` is the class of an agent that is not registered."""
    content = read_agent(folder)
    name = content["algorithm"]
    if algorithm is None:
        if name not in ALGORITHMS:
            raise CheckpointError(
                f"{folder / AGENT}: {name!r} is not registered; agents.load(folder, algorithm=its class) brings it back"
            )
        algorithm = algorithm_class(name)
    try:
        config = algorithm.Config(**content["config"])
    except TypeError as error:
        raise CheckpointError(f"{folder / AGENT}: the configuration does not fit {name!r} ({error})") from error
    shaped = dataclasses.replace(config, model=content["model"])  # needs no hub and no path to the model it began with
    built = algorithm(shaped, TurnTokenizer.load(folder / TOKENIZER), seed=None)
    built.config, built.turn_tokens = config, int(content["turn_tokens"])
    tensors = load_file(folder / MODEL)
    for module, other in content.get("stand_ins", {}).items():  # left out to save space
        copies = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{other}.")}
        tensors |= {f"{module}{name.removeprefix(other)}": tensor for name, tensor in copies.items()}
    _copy_weights(built, tensors, folder / MODEL)
    return built.to(resolve_device(device)).eval()


def load_finished(algorithm: Algorithm, folder: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """Gives an algorithm the weights of the finished run in `folder` and returns the facts about it.

    None where `folder` holds no trained agent, or one of another identity.
    """
    try:
        content = read_agent(folder)
    except CheckpointError:
        return None
    if {name: content["trained"].get(name) for name in identity} != identity or content.get("stand_ins"):
        return None
    _copy_weights(algorithm, load_file(folder / MODEL), folder / MODEL)
    algorithm.turn_tokens = int(content["turn_tokens"])
    return content["trained"]


def start_from(algorithm: Algorithm, folder: Path) -> Algorithm:
    """Gives an agent's language model the weights of the trained agent in `folder`, and returns that one.

    Raises:
        ValueError: its tokenizer or the shape of its model is another.
    """
    trained = load_agent(folder, device="cpu")
    if trained.tokenizer.fingerprint != algorithm.tokenizer.fingerprint:
        raise ValueError(f"{folder}: the agent to start from has another tokenizer; train one on the same data")
    try:
        algorithm.lm.load_state_dict(trained.lm.state_dict())
    except RuntimeError as error:
        raise ValueError(
            f"{folder}: the agent to start from has another shape than model={algorithm.config.model!r}"
        ) from error
    return trained


def read_agent(folder: Path) -> dict[str, Any]:
    """The checked content of `agent.json`."""
    path = folder / AGENT
    if not path.is_file():
        raise CheckpointError(f"{folder} holds no trained agent: {AGENT} is missing")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        files, known = dict(content["files"]), content["format"]
        for key in ("algorithm", "config", "model", "turn_tokens", "trained"):
            content[key]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: cut short or edited ({type(error).__name__}: {error})") from error
    if known != FORMAT:
        raise CheckpointError(f"{path}: format {known}, this version reads {FORMAT}")
    for name, expected in files.items():
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name} is missing")
        if (found := file_hash(folder / name)) != expected:
            raise CheckpointError(
                f"{folder / name}: cut short or edited: its SHA-256 is {found[:12]}..., {AGENT} says {expected[:12]}..."
            )
    return content


def save_training(
    path: Path, algorithm: torch.nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Writes the whole state of a run as one file."""
    tensors = {f"model.{name}": tensor for name, tensor in weights(algorithm).items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value.contiguous() for key, value in values.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    header = {"state": json.dumps(state), "sha256": _digest(tensors)}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=header)


def load_training(path: Path, algorithm: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Restores what `save_training` wrote into the given modules; returns the rest of the state.

    Raises:
        CheckpointError: the file is cut short, edited, or of another model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
        tensors = load_file(path)
        state = json.loads(header["state"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: cut short or edited ({error})") from error
    if _digest(tensors) != header.get("sha256"):
        raise CheckpointError(f"{path}: edited: the tensors' SHA-256 is not the one in its header")
    _copy_weights(algorithm, {k[6:]: v for k, v in tensors.items() if k.startswith("model.")}, path)
    groups = optimizer.state_dict()["param_groups"]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            moments.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    torch.set_rng_state(tensors["random.cpu"])
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return state


def _copy_weights(algorithm: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    own = dict(algorithm.named_parameters()) | dict(algorithm.named_buffers())
    if own.keys() != tensors.keys():
        odd = sorted(own.keys() ^ tensors.keys())
        raise CheckpointError(f"{path}: weights of another model; {len(odd)} names differ, the first is {odd[0]!r}")
    with torch.no_grad():
        for name, tensor in tensors.items():
            if own[name].shape != tensor.shape:
                raise CheckpointError(
                    f"{path}: {name} has shape {tuple(tensor.shape)}, expected {tuple(own[name].shape)}"
                )
            own[name].copy_(tensor)


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
