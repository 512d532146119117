from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lmrl_envs.visual_dialogue.answerer import Answerer
from lmrl_envs.visual_dialogue.corpora import SceneCorpus
from lmrl_envs.visual_dialogue.export import export
from lmrl_envs.visual_dialogue.features import WIDTH, Detector
from lmrl_envs.visual_dialogue.guesser import Guesser
from lmrl_envs.visual_dialogue.networks import Shape, save_network
from lmrl_envs.visual_dialogue.visdial import read_dialogues
from lmrl_envs.visual_dialogue.words import Vocabulary


@pytest.fixture(scope="session")
def visdial_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as somebody with the real files has it: VisDial's layout, features, networks (with random weights)."""
    folder = tmp_path_factory.mktemp("visdial")
    torch.manual_seed(0)
    save_network(folder / "weights", "detector", Detector(Shape(WIDTH, 8)).eval(), {})
    export(SceneCorpus(folder / "weights"), folder, {"train": 80, "validation": 60})
    dialogues = read_dialogues(folder / "visdial_1.0_train.json")
    vocabulary = Vocabulary.of([*dialogues.captions, *dialogues.questions, *dialogues.answers], least=1)
    shape = Shape(WIDTH, width=16, layers=1, heads=2, embedding=64)
    save_network(folder / "weights", "answerer", Answerer(shape, vocabulary), {})
    for name in ("guesser", "guesser-held-out"):
        save_network(folder / "weights", name, Guesser(shape, vocabulary), {})
    return folder
