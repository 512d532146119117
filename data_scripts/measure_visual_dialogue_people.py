"""Measures the simulated people of Visual Dialogue: their language beside VisDial's, their errors, and how much their
questions tell the exact guesser.

Run: python -m data_scripts.measure_visual_dialogue_people [--dialogues 2000] [--courses 200] [--visdial FILE]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from lmrl_envs.visual_dialogue.behaviours import CROWD, PERSONAS, accepts, dialogue
from lmrl_envs.visual_dialogue.entropy import scene_bits
from lmrl_envs.visual_dialogue.measures import VISDIAL, Course, courses, language, summary
from lmrl_envs.visual_dialogue.scenes import scene, scene_ids
from lmrl_envs.visual_dialogue.visdial import read_dialogues


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogues", type=int, default=2000, help="dialogues whose language is measured")
    parser.add_argument("--courses", type=int, default=200, help="dialogues a persona that the exact guesser follows")
    parser.add_argument("--visdial", type=Path, help="a VisDial v1.0 file to measure beside")
    asked = parser.parse_args(arguments)
    rng = np.random.Generator(np.random.PCG64(0))

    print(f"a scene's picture shows {scene_bits():.1f} bits\n")
    shown = [scene(id) for id in scene_ids("train", asked.dialogues)]
    began = time.process_time()
    said = [dialogue(rng, one) for one in shown]
    speed = len(said) / (time.process_time() - began)
    real = VISDIAL
    if asked.visdial:
        read = read_dialogues(asked.visdial)
        real = language([read.rounds(n) for n in range(len(read))])
    for name, value in language(said).items():
        print(f"{name:28} {value:6.3f}  VisDial {real[name]:6.3f}  ratio {value / real[name]:.2f}")
    right = [
        accepts(one, *talk[at], talk[:at])
        for one, talk in zip(shown[:500], said[:500], strict=True)
        for at in range(len(talk))
    ]
    print(f"{'right answers':28} {sum(map(bool, right)) / len(right):6.3f}")
    print(f"{'dialogues a second':28} {speed:6.0f}\n")

    crowd: list[tuple[float, dict[str, float]]] = []
    for persona in PERSONAS:
        measured: list[Course] = list(courses(rng, asked.courses, persona=persona))
        crowd.append((CROWD[persona], summary(measured)))
        print(_row(persona, crowd[-1][1]))
    print(_row("crowd", {name: sum(share * row[name] for share, row in crowd) for name in crowd[0][1]}))


def _row(name: str, figures: dict[str, float]) -> str:
    return f"{name:12}" + "  ".join(f"{key} {value:6.3f}" for key, value in figures.items())


if __name__ == "__main__":
    main()
