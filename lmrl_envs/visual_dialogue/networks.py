"""What answerer and guesser are made of, a GPT-2 trunk and a way to read regions, and their files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from transformers import GPT2Config, GPT2Model

from lmrl_envs import files
from lmrl_envs.errors import CheckpointError
from lmrl_envs.visual_dialogue.words import Vocabulary

N = TypeVar("N", bound="Network")
POSITIONS = 512
"""Context of a trunk: 36 regions, a caption and ten rounds of the greatest length fit."""


@dataclass(frozen=True)
class Shape:
    """Width, layers and heads of a trunk, and the width of the image features that come in."""

    features: int
    width: int = 128
    layers: int = 3
    heads: int = 4
    embedding: int = 1024
    """Of the guesser: the space in which dialogues meet images."""


def trunk(shape: Shape, vocabulary: int) -> GPT2Model:
    """A GPT-2 without its head."""
    return GPT2Model(
        GPT2Config(
            vocab_size=vocabulary,
            n_positions=POSITIONS,
            n_embd=shape.width,
            n_layer=shape.layers,
            n_head=shape.heads,
            activation_function="gelu_pytorch_tanh",  # one operation, where "gelu_new" is eight
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            resid_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


class Regions(nn.Module):
    """Regions of images to vectors: what they show and where they are."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.features = nn.Linear(features, width)
        self.boxes = nn.Linear(8, width)
        self.out = nn.Linear(width, width)

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """(B, regions, features) and (B, regions, 4) boxes to (B, regions, width)."""
        return self.out(nn.functional.gelu(self.features(features) + self.boxes(placed(boxes))))


def placed(boxes: Tensor) -> Tensor:
    """(..., 4) boxes to (..., 8): their corners, size and middle."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([boxes, high - low, (low + high) / 2], dim=-1)


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ragged rows of tokens to (B, T) ids, padded on the right by 0, and (B, T) bool, True where a token is."""
    width = max(map(len, rows))
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    return ids.to(device), (torch.arange(width) < lengths[:, None]).to(device)


# Files


class Network(nn.Module):
    """A network that files can describe."""

    shape: Shape
    vocabulary: Vocabulary | None = None
    """None where it reads no words."""


def save_network(folder: Path, name: str, network: Network, about: dict[str, Any]) -> None:
    """Writes `<name>.safetensors`, in half precision, and `<name>.json` with its hash, what makes it, and `about`."""
    tensors = {key: value.detach().cpu().half().contiguous() for key, value in network.state_dict().items()}
    data = save(tensors)
    files.write_atomic(folder / f"{name}.safetensors", data)
    words = network.vocabulary
    manifest = {
        "network": type(network).__name__,
        "sha256": files.file_hash(folder / f"{name}.safetensors"),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "shape": asdict(network.shape),
        "words": None if words is None else list(words.words[words.reply + 1 :]),
        **about,
    }
    files.write_atomic(folder / f"{name}.json", json.dumps(manifest, indent=1) + "\n")


def load_network(folder: Path, name: str, make: Callable[..., N]) -> tuple[N, dict[str, Any]]:
    """Reads what `save_network` wrote: the network, in float32 and frozen, and the JSON beside it.

    Raises:
        CheckpointError: a file is missing, damaged, or not the one that its JSON names; the message says which.
    """
    path, described = folder / f"{name}.safetensors", folder / f"{name}.json"
    try:
        manifest = json.loads(described.read_text(encoding="utf-8"))
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{folder}: the network {name!r} cannot be read ({error}); expected {path.name} and {described.name}, "
            "as python -m data_scripts.train_visual_dialogue writes them"
        ) from error
    found = files.file_hash(path)
    if found != manifest.get("sha256"):
        raise CheckpointError(
            f"{path}: its SHA-256 is {found}, but {described.name} says {manifest.get('sha256')}: one of the two is "
            "damaged or of another training run; install the package again, or train the networks again"
        )
    try:
        words = manifest["words"]
        shape = Shape(**manifest["shape"])
        network = make(shape) if words is None else make(shape, Vocabulary(words))
        network.load_state_dict({key: value.float() for key, value in load(data).items()})
    except (KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{described}: describes another network than {name!r} ({error})") from error
    return network.requires_grad_(False).eval(), manifest
