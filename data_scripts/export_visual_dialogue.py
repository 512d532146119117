"""Writes the generated corpus as files in the layout of VisDial v1.0.

    python -m data_scripts.export_visual_dialogue --out scenes --train 10000 --val 1000 --test 1000

For each part, `visdial_1.0_<part>.json`, `visdial_1.0_<part>_dense_annotations.json` and `features_<part>.npz`, which
`lmrl_envs.visual_dialogue.visdial` reads as it reads the real ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lmrl_envs.visual_dialogue.corpora import SceneCorpus
from lmrl_envs.visual_dialogue.export import export


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
    parser.add_argument("--seed", type=int, default=0, help="of the dialogues")
    parts = {"train": "train", "val": "validation", "test": "test"}
    for name, part in parts.items():
        parser.add_argument(f"--{name}", type=int, default=0, help=f"images of the part {part!r} (default: none)")
    given = parser.parse_args()
    sizes = {part: getattr(given, name) for name, part in parts.items() if getattr(given, name)}
    if not sizes:
        parser.error("nothing to write: give --train, --val or --test a number of images")
    export(SceneCorpus(), given.out, sizes, seed=given.seed)


if __name__ == "__main__":
    main()
