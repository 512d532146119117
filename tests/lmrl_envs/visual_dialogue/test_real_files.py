"""The environment on a folder in VisDial's layout, as for the real corpus."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lmrl_envs.errors import CheckpointError, DatasetError
from lmrl_envs.visual_dialogue.corpora import PoolName, VisDialCorpus, alike
from lmrl_envs.visual_dialogue.dialogues import human_dialogues
from lmrl_envs.visual_dialogue.scenes import PARTS
from lmrl_envs.visual_dialogue.task import VisualDialogueTask
from lmrl_envs.visual_dialogue.visdial import read_dialogues


@pytest.fixture
def copy(visdial_folder: Path, tmp_path: Path) -> Path:
    """A folder to damage."""
    return Path(shutil.copytree(visdial_folder, tmp_path / "copy"))


def start(folder: Path, **kwargs):
    task = VisualDialogueTask(corpus=folder, pool=8, **kwargs)
    return task, task.start([np.random.default_rng(seed) for seed in range(4)])


def test_a_dialogue_about_a_real_image(visdial_folder):
    task, replies = start(visdial_folder)
    dialogues = read_dialogues(visdial_folder / "visdial_1.0_val.json")
    captions = dict(zip(dialogues.image_ids.tolist(), dialogues.captions, strict=True))
    assert [reply.text for reply in replies] == [captions[reply.state.image] for reply in replies]
    answered = task.reply([reply.state for reply in replies], ["is it sunny"] * 4)
    for reply in answered:
        assert reply.text
        assert 0 <= reply.info["rank"] <= 7
        assert reply.info["percentile"] == pytest.approx(1 - reply.info["rank"] / 7)
        assert reply.info["parsed"] is reply.info["true_answer"] is reply.info["oracle_rank"] is None
    again = task.start([np.random.default_rng(9)], replies[0].info["start"])
    assert again[0] == replies[0]
    with pytest.raises(ValueError, match="the VisDial files hold no images"):
        task.render(replies[0].state, (), "rgb_array")
    assert task.render(answered[0].state, (), "ansi").splitlines()[1].endswith(f"is it sunny? {answered[0].text}")


def test_parts_are_disjoint_and_cover_the_files(visdial_folder):
    corpus = VisDialCorpus(visdial_folder)
    ids = {}
    for part in PARTS:
        count = corpus.pool_count(part, "random", 2)
        ids[part] = {image for n in range(count) for image in corpus.pool(PoolName(part, "random", n), 2)}
        for image in list(ids[part])[:5]:
            assert corpus.locate(image, "random", 2).part == part
    assert sum(map(len, ids.values())) == len(set().union(*ids.values())) >= 140 - len(PARTS)
    halves = [set(corpus.models(half, 1000)) for half in (0, 1)]
    assert halves[0] | halves[1] >= ids["models"]
    assert not halves[0] & halves[1]


def test_hard_pools_hold_images_with_similar_captions(visdial_folder):
    corpus = VisDialCorpus(visdial_folder)
    hard = [
        corpus.pool(PoolName("validation", "hard", n), 8) for n in range(corpus.pool_count("validation", "hard", 8))
    ]
    assert all(len(set(pool)) == 8 for pool in hard)
    captions = ["a dog in the park", "a red bus"] * 40
    groups = alike(captions, 20)
    assert sorted(np.concatenate(groups).tolist()) == list(range(80))
    assert all(len({captions[place] for place in group}) == 1 for group in groups)


def test_peoples_dialogues_are_the_data(visdial_folder):
    task = VisualDialogueTask(corpus=visdial_folder, pool=8, reward="yn")
    episodes = list(human_dialogues(task, np.random.SeedSequence(0), split="train", games=1000))
    corpus = VisDialCorpus(visdial_folder)
    images = [episode.info["start"]["scene"] for episode in episodes]
    assert len(set(images)) == len(images) > 20
    for episode in episodes:
        texts = [turn.text for turn in episode.turns]
        who, rounds = corpus.dialogue(episode.info["start"]["scene"], np.random.default_rng())
        assert texts[1:] == [text for spoken in rounds for text in spoken][: len(texts) - 1]
        assert episode.info["behaviour"] == who == "people"


def test_missing_files_are_named(copy):
    (copy / "visdial_1.0_val.json").unlink()
    with pytest.raises(DatasetError, match=r"expected a file visdial_1\.0_val\*\.json, and there is none"):
        start(copy)
    with pytest.raises(ValueError, match=r"corpus: expected 'scenes' or a folder with VisDial v1\.0"):
        VisualDialogueTask(corpus=copy / "nowhere")


def test_a_folder_without_networks_is_refused(copy):
    shutil.rmtree(copy / "weights")
    with pytest.raises(CheckpointError, match=r"the network 'answerer' cannot be read .*train_visual_dialogue"):
        VisualDialogueTask(corpus=copy)


def test_an_image_without_features_is_named(copy):
    path = copy / "features_val.npz"
    with np.load(path) as file:
        arrays = {name: file[name][:10] for name in file.files}
    np.savez(path, **arrays)
    with pytest.raises(DatasetError, match=r"features_val\.npz: image_id: \d+ of \d+ images are missing, such as \d+"):
        start(copy)


def test_damaged_dialogues_are_named(copy):
    path = copy / "visdial_1.0_val.json"
    data = json.loads(path.read_text())
    data["data"]["dialogs"][7]["dialog"][2]["question"] = 10**6
    path.write_text(json.dumps(data))
    with pytest.raises(DatasetError, match=r"visdial_1\.0_val\.json: dialogue 7 \(image \d+\), round 3: question: exp"):
        start(copy)


def test_an_unknown_image_and_the_exact_posterior_are_refused(visdial_folder):
    task, _ = start(visdial_folder)
    with pytest.raises(ValueError, match="is about the image -1"):
        task.start([np.random.default_rng(0)], {"scene": -1})
    with pytest.raises(ValueError, match="oracle=True needs corpus='scenes'"):
        VisualDialogueTask(corpus=visdial_folder, oracle=True)
