"""What networks see of a generated picture: regions that a small convolutional detector finds, and where they are.

The detector looks twice, as detectors do. First at cells of 8 by 8 pixels: each says whether a thing has its centre
there, and the thing's box. Then into each box, where it says how likely each value of each attribute is. The features
of a region are these probabilities, weighed by the cell's own; one more region, the whole picture, has setting, time
and weather. No network reads the scene itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmrl_envs.visual_dialogue.networks import Network, Shape
from lmrl_envs.visual_dialogue.rendering import render
from lmrl_envs.visual_dialogue.scenes import ATTRIBUTES, GLOBALS, N_REGIONS, regions, scene
from lmrl_envs.visual_dialogue.visdial import ImageFeatures

SIZE = 64
"""Side of a picture in pixels."""
_CELL = 8
_CELLS = SIZE // _CELL
_LOCAL = sum(map(len, ATTRIBUTES.values()))
_GLOBAL = sum(map(len, GLOBALS.values()))
WIDTH = 1 + _LOCAL + _GLOBAL
"""Width of a region's features: presence, attributes, and attributes of the whole picture."""
_BATCH = 64
_CROP = (32, 16)
"""Height and width of what is seen of a box; people are tall."""
_MARGIN, _JITTER = 1.3, 0.02
"""How much more than its box is seen of a thing, and how far boxes are off in training, as a share of the picture."""
_UNLIKELY = 0.05
"""A region less sure than this is none."""


class Labels(NamedTuple):
    """What is true of B pictures, for training and testing the detector."""

    cells: Tensor  # (B, N_REGIONS) int64, the cell of each thing's centre, -1 where there is no thing
    boxes: Tensor  # (B, N_REGIONS, 4) left, top, right, bottom in 0..1
    attributes: Tensor  # (B, N_REGIONS, attributes) int64
    whole: Tensor  # (B, globals) int64


class Detector(Network):
    """Pictures (B, 64, 64, 3) uint8 to N_REGIONS regions and the whole picture."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        w = shape.width
        self.body = nn.Sequential(
            *_convolution(3, w // 2, 2),
            *_convolution(w // 2, w, 2),
            *_convolution(w, w, 1),
            *_convolution(w, w, 2),
            *_convolution(w, w, 1),
        )
        self.cell = nn.Conv2d(w, 1 + 4, 1)
        self.whole = nn.Linear(w, _GLOBAL)
        height, width = _CROP
        self.crop = nn.Sequential(
            *_convolution(3, 24, 1),
            *_convolution(24, 48, 2),
            *_convolution(48, w, 1),
            *_convolution(w, 96, 2),
            nn.Flatten(),
            nn.Linear(96 * height // 4 * width // 4, 2 * w),
            nn.ReLU(),
        )
        self.attributes = nn.Linear(2 * w + 4, _LOCAL)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """To (B, cells, 5), presence as logits and the box; and (B, globals) logits."""
        x = self.body(_scaled(pictures))
        cells = self.cell(x).flatten(2).transpose(1, 2)
        return torch.cat([cells[..., :1], cells[..., 1:].sigmoid()], dim=-1), self.whole(x.mean((2, 3)))

    def look(self, pictures: Tensor, boxes: Tensor) -> Tensor:
        """Pictures (K, 64, 64, 3) and a box in each (K, 4) to (K, attribute values) logits."""
        middle, half = boxes[:, :2] + boxes[:, 2:] - 1, _MARGIN * (boxes[:, 2:] - boxes[:, :2])  # in -1..1
        zoom = torch.stack(
            [
                torch.stack([half[:, 0], torch.zeros_like(half[:, 0]), middle[:, 0]], dim=1),
                torch.stack([torch.zeros_like(half[:, 0]), half[:, 1], middle[:, 1]], dim=1),
            ],
            dim=1,
        )
        grid = F.affine_grid(zoom, [len(boxes), 3, *_CROP], align_corners=False)
        crops = F.grid_sample(_scaled(pictures), grid, align_corners=False)
        return self.attributes(torch.cat([self.crop(crops), boxes], dim=1))

    def loss(self, pictures: Tensor, labels: Labels, generator: torch.Generator) -> Tensor:
        """Cross-entropies of presence, attributes and the whole picture, and the boxes' error, added up.

        Attributes are learned from true boxes that are a little off, as found ones will be.
        """
        cells, whole = self(pictures)
        row, number = (labels.cells >= 0).nonzero(as_tuple=True)
        place, true = labels.cells[row, number], labels.boxes[row, number]
        present = torch.zeros(cells.shape[:2], device=cells.device)
        present[row, place] = 1.0
        presence = F.binary_cross_entropy_with_logits(cells[:, :, 0], present) * _CELLS
        boxes = F.l1_loss(cells[row, place, 1:], true)
        jitter = (torch.rand(true.shape, generator=generator) * 2 - 1) * _JITTER
        seen = self.look(pictures[row], true + jitter.to(true.device))
        kinds = [
            F.cross_entropy(part, labels.attributes[row, number, i]) for i, part in enumerate(_split(seen, ATTRIBUTES))
        ]
        scenery = [F.cross_entropy(part, labels.whole[:, i]) for i, part in enumerate(_split(whole, GLOBALS))]
        return presence + 5 * boxes + torch.stack(kinds).sum() + torch.stack(scenery).sum()

    @torch.inference_mode()
    def detect(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """To features (B, N_REGIONS + 1, WIDTH) and boxes (B, N_REGIONS + 1, 4), surest first, the whole last."""
        cells, whole = self(pictures)
        B = len(cells)
        presence = cells[:, :, 0].sigmoid()
        grid = presence.view(B, 1, _CELLS, _CELLS)
        peak = (F.max_pool2d(grid, 3, 1, 1) == grid).flatten(1)  # a thing between two cells counts once
        score, place = (presence * peak).topk(N_REGIONS, dim=1)
        found = cells[:, :, 1:].gather(1, place[:, :, None].expand(-1, -1, 4))
        likely = score > _UNLIKELY
        seen = found.new_zeros(B, N_REGIONS, _LOCAL)
        seen[likely] = self.look(pictures[likely.nonzero()[:, 0]], found[likely])
        values = torch.cat([part.softmax(-1) for part in _split(seen, ATTRIBUTES)], dim=-1)
        score = score * likely
        features = values.new_zeros(B, N_REGIONS + 1, WIDTH)
        features[:, :-1, 0] = score
        features[:, :-1, 1 : 1 + _LOCAL] = values * score[:, :, None]
        features[:, -1, 1 + _LOCAL :] = torch.cat([part.softmax(-1) for part in _split(whole, GLOBALS)], dim=-1)
        boxes = torch.cat([found * score[:, :, None], found.new_zeros(B, 1, 4)], dim=1)
        boxes[:, -1, 2:] = 1.0
        return features, boxes


def _scaled(pictures: Tensor) -> Tensor:
    """(B, 64, 64, 3) uint8 to (B, 3, 64, 64) in -1..1."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


def _convolution(channels: int, out: int, stride: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()


def _split(x: Tensor, attributes: dict[str, tuple[str, ...]]) -> tuple[Tensor, ...]:
    return x.split([len(values) for values in attributes.values()], dim=-1)


def pictures(scene_ids: Sequence[int]) -> Tensor:
    """(n, 64, 64, 3) uint8."""
    return torch.from_numpy(np.stack([render(scene(id), SIZE) for id in scene_ids]))


def labels(scene_ids: Sequence[int]) -> Labels:
    """What is true of scenes."""
    B = len(scene_ids)
    cells = np.full((B, N_REGIONS), -1, np.int64)
    boxes = np.zeros((B, N_REGIONS, 4), np.float32)
    attributes = np.zeros((B, N_REGIONS, len(ATTRIBUTES)), np.int64)
    whole = np.zeros((B, len(GLOBALS)), np.int64)
    for row, id in enumerate(scene_ids):
        shown = scene(id)
        whole[row] = [values.index(getattr(shown, name)) for name, values in GLOBALS.items()]
        for number, (box, values) in enumerate(regions(shown)):
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            cells[row, number] = min(int(y * _CELLS), _CELLS - 1) * _CELLS + min(int(x * _CELLS), _CELLS - 1)
            boxes[row, number] = box
            attributes[row, number] = [values[name] for name in ATTRIBUTES]
    return Labels(*map(torch.from_numpy, (cells, boxes, attributes, whole)))


def scene_features(detector: Detector, scene_ids: Sequence[int]) -> ImageFeatures:
    """What the detector finds in the pictures of scenes."""
    device = detector.whole.weight.device
    features = np.zeros((len(scene_ids), N_REGIONS + 1, WIDTH), np.float32)
    boxes = np.zeros((len(scene_ids), N_REGIONS + 1, 4), np.float32)
    for start, stop in pairwise([*range(0, len(scene_ids), _BATCH), len(scene_ids)]):
        found = detector.detect(pictures(scene_ids[start:stop]).to(device))
        features[start:stop], boxes[start:stop] = (x.cpu().numpy() for x in found)
    return ImageFeatures(np.asarray(scene_ids, np.int64), features, boxes)


def attribute_slices() -> dict[str, slice]:
    """Where in a region's features the probabilities of each attribute's values stand."""
    names = [*ATTRIBUTES, *GLOBALS]
    ends = list(accumulate((len(values) for values in (*ATTRIBUTES.values(), *GLOBALS.values())), initial=1))
    return {name: slice(start, stop) for name, start, stop in zip(names, ends, ends[1:], strict=False)}
