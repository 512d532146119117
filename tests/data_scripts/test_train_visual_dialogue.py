from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from data_scripts.train_visual_dialogue import STAGES, Plan, Training
from lmrl_envs.visual_dialogue.corpora import Corpus, SceneCorpus, open_corpus
from lmrl_envs.visual_dialogue.export import export
from lmrl_envs.visual_dialogue.features import WIDTH, Detector
from lmrl_envs.visual_dialogue.networks import Shape, save_network
from lmrl_envs.visual_dialogue.task import VisualDialogueTask

TINY = Plan(images=24, guesser_images=32, talks=4, detector_steps=2, answerer_steps=4, guesser_steps=2)


def trained(corpus: Corpus, out: Path, plan: Plan = TINY, stages=STAGES, workers: int = 0) -> Training:
    training = Training(corpus, plan, out, out / "training", torch.device("cpu"), workers)
    training.work.mkdir(parents=True, exist_ok=True)
    for stage in stages:
        training.run(stage)
    return training


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files in VisDial's layout, without networks."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    save_network(folder / "detector", "detector", Detector(Shape(WIDTH, 8)).eval(), {})
    export(SceneCorpus(folder / "detector"), folder, {"train": 80, "validation": 60})
    return folder


@pytest.mark.slow
def test_the_networks_of_the_generated_corpus(tmp_path):
    trained(SceneCorpus(tmp_path), tmp_path)
    names = {path.name for path in tmp_path.iterdir()} - {"training"}
    assert names == {f"{name}.{kind}" for name in STAGES if name != "talks" for kind in ("json", "safetensors")}


def test_the_networks_of_a_users_files(folder):
    trained(open_corpus(folder), folder / "weights")
    task = VisualDialogueTask(corpus=folder, pool=8)
    (reply,) = task.start([np.random.default_rng(0)])
    assert task.reply([reply.state], ["is it sunny"])[0].text


def test_a_run_that_goes_on_is_the_run_that_was_never_stopped(folder, tmp_path, monkeypatch):
    corpus = open_corpus(folder)
    whole, parts = (tmp_path / name for name in ("whole", "parts"))
    trained(corpus, whole, stages=["answerer"])

    monkeypatch.setattr("data_scripts.train_visual_dialogue.SAVE_SECONDS", -1.0)  # save at every step
    original = Training.rng

    def rng(self, *place):
        if place == (2, 2):
            raise KeyboardInterrupt
        return original(self, *place)

    monkeypatch.setattr(Training, "rng", rng)
    with pytest.raises(KeyboardInterrupt):
        trained(corpus, parts, stages=["answerer"])
    monkeypatch.setattr(Training, "rng", original)
    trained(corpus, parts, stages=["answerer"])
    assert (parts / "answerer.safetensors").read_bytes() == (whole / "answerer.safetensors").read_bytes()


def test_workers_change_nothing(folder, tmp_path):
    corpus = open_corpus(folder)
    for workers in (0, 2):
        trained(corpus, tmp_path / str(workers), stages=["answerer", "talks", "guesser"], workers=workers)
    for name in ("answerer", "guesser"):
        alone, helped = ((tmp_path / str(workers) / f"{name}.safetensors").read_bytes() for workers in (0, 2))
        assert alone == helped
