from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from lmrl_envs.errors import CheckpointError
from lmrl_envs.reddit.rewards import load_reward_model

TEXTS = ["", "you idiot", "thank you so much", "\ud800\x00\u202e", "<b>", "日本語", "idiot " * 5_000, "x" * 2**20]


def classifier(folder: Path, names: list[str], problem: str | None = None) -> str:
    """A classifier of the usual kind, three words long, in which "idiot" raises the last label."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "idiot", "thank", "you"]
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
        problem_type=problem,
    )
    torch.manual_seed(0)
    BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("problem", [None, "single_label_classification"])
def test_a_classifier_that_chooses(tmp_path: Path, problem: str | None) -> None:
    path = classifier(tmp_path, ["neutral", "toxic", "threat"], problem)
    model = load_reward_model(path, "toxicity")
    p = model.score(TEXTS, TEXTS)
    assert p.shape == (len(TEXTS), 3)
    assert p.sum(1) == pytest.approx(1)
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(path)("you idiot", return_tensors="pt")
    logits = AutoModelForSequenceClassification.from_pretrained(path).eval()(**tokens).logits
    assert p[1] == pytest.approx(logits.softmax(-1)[0].detach().numpy(), abs=1e-5)
    swapped = load_reward_model({"path": path, "labels": {"toxic": 2, "threat": 1}}, "toxicity")
    assert swapped.score(TEXTS, TEXTS) == pytest.approx(p[:, [0, 2, 1]], abs=1e-6)


def test_a_classifier_with_a_probability_for_each_label(tmp_path: Path) -> None:
    path = classifier(tmp_path, ["toxic", "severe_toxic", "insult"], "multi_label_classification")
    p = load_reward_model(path, "toxicity").score(["", ""], TEXTS[1:3])
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(path)("you idiot", return_tensors="pt")
    toxic, severe, insult = (
        AutoModelForSequenceClassification.from_pretrained(path).eval()(**tokens).logits.sigmoid()[0].tolist()
    )
    worst = max(toxic, severe, insult)
    assert p[0] == pytest.approx([1 - worst, worst - severe, severe], abs=1e-5)
    assert (p >= 0).all()


def test_upvotes_read_the_pair(tmp_path: Path) -> None:
    path = classifier(tmp_path, ["down", "up"])
    model = load_reward_model({"path": path, "labels": {"up": 1}}, "upvotes")
    p = model.score(["idiot", "you", "idiot " * 999], ["thank you", "thank you", "thank " * 999])
    assert p.shape == (3, 2)
    assert p[0, 1] != p[1, 1]


def test_labels_must_be_known(tmp_path: Path) -> None:
    path = classifier(tmp_path, ["LABEL_0", "LABEL_1"])
    with pytest.raises(ValueError, match=r"say which level .*LABEL_0.*LABEL_1"):
        load_reward_model(path, "toxicity")
    with pytest.raises(ValueError, match=r"unknown label of .* 'LABEL_2'; did you mean"):
        load_reward_model({"path": path, "labels": {"LABEL_2": 1}}, "toxicity")
    with pytest.raises(ValueError, match="a level from 0 to 2, got 3"):
        load_reward_model({"path": path, "labels": {"LABEL_1": 3}}, "toxicity")
    with pytest.raises(ValueError, match="at least one of"):
        load_reward_model({"path": path, "labels": {"LABEL_1": 0}}, "toxicity")
    with pytest.raises(ValueError, match="unknown field of reward_model 'label'"):
        load_reward_model({"path": path, "label": {}}, "toxicity")


def test_what_does_not_load_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for where in (str(tmp_path), "nobody/no-such-model"):
        with pytest.raises(CheckpointError, match=r"does not load.*reward_model='bundled'"):
            load_reward_model(where, "toxicity")


def test_profanity_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "profanity_check", None)
    with pytest.raises(ImportError, match=r"lmrl-envs\[profanity\]"):
        load_reward_model("alt-profanity-check", "toxicity")
    with pytest.raises(ValueError, match="judges toxicity, not upvotes"):
        load_reward_model("alt-profanity-check", "upvotes")


def test_profanity_check_itself() -> None:
    pytest.importorskip("profanity_check")
    model = load_reward_model("alt-profanity-check", "toxicity")
    p = model.score(TEXTS, TEXTS)
    assert p.sum(1) == pytest.approx(1)
    assert p[1, 1] > 0.5 > p[2, 1]


def test_profanity_check_is_read_as_mild(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter alone, where the package may be absent."""
    module = types.ModuleType("profanity_check")
    module.predict_prob = lambda texts: np.array([0.9 if "idiot" in text else 0.1 for text in texts])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "profanity_check", module)
    from lmrl_envs.reddit.published import ProfanityCheck

    assert ProfanityCheck("toxicity").score(["", ""], ["idiot", "hello"]) == pytest.approx(
        np.array([[0.1, 0.9, 0], [0.9, 0.1, 0]])
    )
