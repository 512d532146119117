"""The reward models that the library brings: as good as their page says, and as the task needs them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from data_scripts.reddit_data import LabelledComments, generated, quality_table, with_report
from lmrl_envs import TASKS, reference_scores
from lmrl_envs.evaluate import evaluate
from lmrl_envs.policies import RandomPolicy
from lmrl_envs.reddit.corpus import comments
from lmrl_envs.reddit.rewards import BUNDLED, LEVELS, WEIGHTS, load_reward_model, read_card
from lmrl_envs.reddit.task import parents_of

SENTENCES = json.loads(Path(__file__).with_name("ordinary_sentences.json").read_text(encoding="utf-8"))
PAGE = Path(__file__).parents[3] / "docs" / "reddit.md"


@pytest.fixture(scope="module")
def test_part() -> LabelledComments:
    return generated("test")


def test_the_task_is_registered() -> None:
    assert "reddit/comments-v0" in TASKS["Reddit-v0"].datasets
    env = gym.make("Reddit-v0")
    env.reset(seed=0)
    assert env.step("You are an idiot.")[1] < 0
    env.reset(seed=0)
    assert env.step("Thank you, that is a great idea.")[1] == 0


def test_ordinary_sentences_are_judged_right() -> None:
    """Forty sentences that were written before any model was trained."""
    model = load_reward_model("bundled", "toxicity")
    texts = [*SENTENCES["kind"], *SENTENCES["rude"]]
    judged = model.score(texts, texts).argmax(1) > 0
    expected = np.repeat([False, True], [len(SENTENCES["kind"]), len(SENTENCES["rude"])])
    assert len(texts) == 40
    assert np.mean(judged == expected) >= 0.9, [text for text, bad in zip(texts, judged != expected) if bad]  # noqa: B905


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.parametrize("target", LEVELS)
def test_the_page_says_what_the_models_do(name: str, target: str, test_part: LabelledComments) -> None:
    """The stored quality is measured again, on a part of the comments, within its sampling error."""
    card = read_card(WEIGHTS / name, target)
    part = test_part.where(np.arange(len(test_part)) % 4 == 0)
    found = quality_table(load_reward_model(name, target), target, part)
    assert found.keys() == card["quality"].keys()
    assert found["labels"]["auc"] == pytest.approx(card["quality"]["labels"]["auc"], abs=0.03)
    assert card["quality"]["labels"]["count"] == len(test_part)
    assert {"by", "data", "data_sha256", "comments", "library"} <= card["made"].keys()


def test_the_models_reach_what_was_asked() -> None:
    bundled, linear = (read_card(WEIGHTS / name, "toxicity")["quality"] for name in ("bundled", "linear"))
    for row in ("truth", "truth, held-out words and phrases"):
        assert bundled[row]["auc"] >= 0.95
    for kind in ("masked", "implied"):
        assert bundled[f"truth, {kind}"]["auc"] > linear[f"truth, {kind}"]["auc"]
    for name in ("bundled", "held-out"):
        upvotes = read_card(WEIGHTS / name, "upvotes")["quality"]
        assert upvotes["labels"]["auc"] >= upvotes["labels, ceiling"]["auc"] - 0.02
        assert upvotes["labels"]["ece"] <= 0.05


def test_the_twin_learnt_from_other_threads() -> None:
    for target in LEVELS:
        made = [read_card(WEIGHTS / name, target)["made"] for name in BUNDLED]
        one, twin, linear = (facts.get("from", facts)["data_sha256"] for facts in made)
        assert one == linear != twin


def test_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < 6 * 2**20


def test_the_page_has_the_table_of_the_models() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_report(page) == page


def test_random_scores_are_those_of_comments_of_other_threads() -> None:
    assert reference_scores("Reddit-v0", {"reward_model": "elsewhere/model"}) is None
    assert reference_scores("Reddit-v0", {"corpus": "mine.parquet"}) is None
    texts = [comment.text for comment in comments("train", len(parents_of("generated", "test")))]
    for reward, best in [("toxicity", 0.0), ("noisy_toxicity", 0.0), ("upvotes_model", 10.0)]:
        scores = reference_scores("Reddit-v0", {"reward": reward})
        assert scores is not None
        assert scores.best == best
        played = evaluate(RandomPolicy(texts), "Reddit-v0", episodes=600, env_kwargs={"reward": reward}, progress=False)
        assert played.standard_error is not None
        assert abs(played.mean - scores.random) < 5 * played.standard_error  # type: ignore[operator]


def test_making_the_task_takes_seconds() -> None:
    """Beyond the import of torch."""
    code = (
        "import time, torch, gymnasium, lmrl_envs; begun = time.process_time(); "
        "gymnasium.make('Reddit-v0').reset(seed=0); print(time.process_time() - begun)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert float(done.stdout) < 5


def test_many_rows_are_judged_fast() -> None:
    texts = [comment.text for comment in comments("validation", 2304)]
    for reward in ("toxicity", "upvotes_model"):
        envs = gym.make_vec("Reddit-v0", num_envs=256, reward=reward, autoreset_mode="SameStep")
        envs.reset(seed=0)
        envs.step(texts[:256])
        begun = time.process_time()
        for start in range(256, len(texts), 256):
            envs.step(texts[start : start + 256])
        assert (len(texts) - 256) / (time.process_time() - begun) >= 1000
