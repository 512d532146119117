"""Draws some scenes of Visual Dialogue side by side into one PNG: the picture in the README.

python -m data_scripts.draw_scenes --out docs/scenes.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from lmrl_envs import files
from lmrl_envs.png import png
from lmrl_envs.visual_dialogue.rendering import picture
from lmrl_envs.visual_dialogue.scenes import CLASSES, caption, scene, scene_ids

GAP = 8
"""White pixels between two pictures."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--size", type=int, default=192, help="side of a picture in pixels")
    given = parser.parse_args()
    classes = list(CLASSES)
    ids = [scene_ids("test", 1, classes[i * len(classes) // given.count])[0] for i in range(given.count)]
    shown = [scene(id) for id in ids]
    blank = np.full((given.size, GAP, 3), 255, np.uint8)
    strip = [part for one in shown for part in (picture(one, given.size), blank)][:-1]
    files.write_atomic(given.out, png(np.concatenate(strip, axis=1)))
    for id, one in zip(ids, shown, strict=True):
        print(f"{id}: {caption(one)}")


if __name__ == "__main__":
    main()
