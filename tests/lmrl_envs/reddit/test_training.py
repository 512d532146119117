"""The script that makes reward models, on small data."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data_scripts import reddit_data, reddit_learner, train_reddit_rewards
from data_scripts.reddit_data import LabelledComments, badly_typed, generated, quality_table, read_comments
from data_scripts.reddit_learner import (
    Batches,
    Learner,
    TrainingConfig,
    batch_rows,
    estranged,
    forgetful,
    scrambled,
    train_network,
)
from lmrl_envs.core import Episode, Turn
from lmrl_envs.datasets import DatasetMetadata, write_dataset
from lmrl_envs.reddit.network import CommentNetwork, NetworkConfig, encode
from lmrl_envs.reddit.rewards import load_reward_model, read_card
from lmrl_envs.reddit.words import word_features

SMALL = NetworkConfig(levels=2, buckets=256, features=8, width=16, heads=2, parent_words=8)
QUICK = TrainingConfig(steps=6, batch=8, warmup=2)


@pytest.fixture(scope="module")
def data() -> LabelledComments:
    return generated("models", 400)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMRL_HOME", str(tmp_path / "home"))


def same_weights(one: CommentNetwork, other: CommentNetwork) -> bool:
    return all(torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    data: LabelledComments, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(QUICK, seed=1, strange=0.5, forgotten=0.2, averaged=0.9)
    whole = train_network(data, "upvotes", SMALL, config, "cpu")
    assert same_weights(whole, train_network(data, "upvotes", SMALL, config, "cpu"))

    monkeypatch.setattr(reddit_learner, "SAVE_EVERY", 2)
    monkeypatch.setenv("LMRL_HOME", str(Path(reddit_learner.home()) / "other"))
    steps = iter(range(100))
    rows = reddit_learner.batch_rows

    def stopping_rows(*arguments: object) -> np.ndarray:
        if next(steps) == 5:
            raise KeyboardInterrupt
        return rows(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(reddit_learner, "batch_rows", stopping_rows)
    with pytest.raises(KeyboardInterrupt):
        train_network(data, "upvotes", SMALL, config, "cpu")
    resumed = train_network(data, "upvotes", SMALL, config, "cpu")
    assert next(steps) == 8  # five steps and a failed one, then the last two of six
    assert same_weights(whole, resumed)


def test_batches_made_ahead_train_the_same_network(data: LabelledComments, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train_network(data, "upvotes", SMALL, replace(QUICK, dropout=0.3), "cpu")
    monkeypatch.setenv("LMRL_HOME", str(Path(reddit_learner.home()) / "other"))
    assert same_weights(whole, train_network(data, "upvotes", SMALL, replace(QUICK, dropout=0.3), "cpu", workers=2))


def test_the_mean_of_the_weights_follows_them(data: LabelledComments) -> None:
    last = train_network(data, "upvotes", SMALL, QUICK, "cpu")
    mean = train_network(data, "upvotes", SMALL, replace(QUICK, averaged=0.9), "cpu")
    torch.manual_seed(QUICK.seed)
    first = CommentNetwork(SMALL)
    distances = [
        sum(float((p - q).detach().square().sum()) for p, q in zip(last.parameters(), one.parameters(), strict=True))
        for one in (mean, first)
    ]
    assert 0 < distances[0] < distances[1]


def test_a_network_goes_on_from_another_one(data: LabelledComments) -> None:
    first = train_network(data, "upvotes", SMALL, QUICK, "cpu")
    before = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    still = train_network(data, "upvotes", SMALL, replace(QUICK, lr=0.0, side_tasks=False), "cpu", start=first)
    assert same_weights(first, still)
    further = train_network(data, "upvotes", SMALL, replace(QUICK, side_tasks=False), "cpu", start=first)
    assert not same_weights(first, further)
    other = train_network(data, "upvotes", SMALL, replace(QUICK, side_tasks=False), "cpu", start=further)
    assert not same_weights(further, other)  # not the run that began elsewhere
    assert all(torch.equal(before[name], tensor) for name, tensor in first.state_dict().items())


def test_side_tasks_are_those_that_the_data_allow(data: LabelledComments) -> None:
    torch.manual_seed(0)
    batches, cpu = Batches(data, "upvotes", SMALL, QUICK), torch.device("cpu")
    learner = Learner(CommentNetwork(SMALL), batches)
    assert set(learner.side) == {"match", "toxicity", "community"}
    assert learner.side["community"].out_features == 12
    total, main = learner.loss(batches(0), cpu)
    assert total > main > 0
    scores = replace(data, toxicity=None, communities=None)
    batches = Batches(scores, "upvotes", SMALL, QUICK)
    learner = Learner(CommentNetwork(SMALL), batches)
    assert set(learner.side) == {"match"}
    total, main = learner.loss(batches(0), cpu)
    assert total > main > 0
    assert not Learner(CommentNetwork(SMALL), Batches(data, "upvotes", SMALL, replace(QUICK, side_tasks=False))).side
    shape = replace(SMALL, levels=3, parent_words=0)
    batches = Batches(data, "toxicity", shape, QUICK)
    alone = Learner(CommentNetwork(shape), batches)
    assert not alone.side
    total, main = alone.loss(batches(0), cpu)
    assert total == main


def test_the_corpus_is_the_same_from_any_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reddit_data, "SHARD", 150)
    one, two = generated("models", 400), generated("models", 400, processes=2)
    assert (one.parents, one.comments) == (two.parents, two.comments)
    for name in ("toxicity", "scores", "threads", "communities", "true_chance", "held_out"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
    assert len(set(one.comments)) > 380  # each part from a seed of its own
    assert generated("models", 250, after=150).comments == one.comments[150:]


def test_an_epoch_has_every_comment_once_but_for_the_last_ones(data: LabelledComments) -> None:
    steps = len(data) // QUICK.batch
    lengths = np.array([*map(len, data.comments)])
    seen = Counter(int(row) for step in range(steps) for row in batch_rows(lengths, QUICK, step))
    assert set(seen.values()) == {1}
    assert len(seen) == steps * QUICK.batch
    assert not np.array_equal(batch_rows(lengths, QUICK, 0), batch_rows(lengths, QUICK, steps))
    assert np.ptp(lengths[batch_rows(lengths, QUICK, 0)]) < np.ptp(lengths) / 2


def test_scrambled_words_lose_all_that_is_known_of_them() -> None:
    """Their spelling and both pairs that they stand in."""
    shape = replace(SMALL, buckets=100_003)  # so that hardly any noise is what was there
    texts = encode(["a long parent"] * 50, ["you are an idiot ."] * 50, shape)
    changed = scrambled(texts, 0.5, shape.buckets, np.random.default_rng(0))
    begin, end = texts.words[:-1], texts.words[1:]
    same = texts.features == changed.features
    read = texts.segments > 0
    spelling = np.array([same[a : b - 1].all() for a, b in zip(begin, end, strict=True)])
    assert same[begin[~read]].all()
    assert 0.4 < spelling[read].mean() < 0.6
    kept = spelling & np.append(True, spelling[:-1])
    assert np.array_equal(same[end[read] - 1], kept[read])


def test_strange_clauses_keep_their_marks_and_other_clauses() -> None:
    shape = replace(SMALL, buckets=100_003)
    texts = encode(["a long parent"] * 200, ["you are an idiot . thank you very much !"] * 200, shape)
    common = np.zeros(shape.buckets, bool)
    common[word_features("you", shape.buckets)[0]] = True
    changed = estranged(texts, 0.4, common, np.random.default_rng(0))
    assert np.array_equal(changed.segments, texts.segments)
    before, after = ([tuple(word[:-1]) for word in np.split(one.features, one.words[1:-1])] for one in (texts, changed))
    spelling = np.array([one == other for one, other in zip(before, after, strict=True)])
    rows = spelling.reshape(200, 14)  # the beginning, three words of the parent, then the comment's
    assert rows[:, [0, 1, 2, 3, 4, 8, 10, 13]].all()
    for clause in (rows[:, 5:8], rows[:, [9, 11, 12]]):
        untouched = clause.all(axis=1).mean()
        assert 0.55 < untouched < 0.75  # those not chosen, and those of which no word was
    assert set(after) <= set(before)


def test_forgotten_features_leave_every_word_one() -> None:
    texts = encode(["a long parent"] * 50, ["you are an idiot ."] * 50, SMALL)
    changed = forgetful(texts, 0.7, np.random.default_rng(0))
    assert 0.25 < len(changed.features) / len(texts.features) < 0.5
    assert np.diff(changed.words).min() == 1
    before, after = (np.split(one.features, one.words[1:-1]) for one in (texts, changed))
    assert all(set(word) <= set(whole) for word, whole in zip(after, before, strict=True))


def test_bad_typing_keeps_labels_and_changes_texts(data: LabelledComments) -> None:
    typed = badly_typed(data)
    assert np.array_equal(typed.labels("toxicity"), data.labels("toxicity"))
    changed = [one != other for one, other in zip(typed.comments, data.comments, strict=True)]
    assert 0.5 < np.mean(changed) < 1
    assert sum(text.isupper() for text in typed.comments) > 30


class Oracle:
    """Knows the truth of some comments."""

    def __init__(self, data: LabelledComments) -> None:
        assert data.true_toxicity is not None
        self.toxic = dict(zip(data.comments, data.true_toxicity > 0, strict=True))

    def score(self, parents: list[str], comments: list[str]) -> np.ndarray:
        p = np.array([float(self.toxic.get(comment, False)) for comment in comments])
        return np.stack([1 - p, p], axis=1)


def test_the_truth_scores_what_the_ceiling_says() -> None:
    data = generated("test", 400)
    table = quality_table(Oracle(data), "toxicity", data)  # type: ignore[arg-type]
    assert table["truth"]["auc"] == 1.0
    assert table["labels"]["auc"] == table["labels, ceiling"]["auc"] < 1.0


def test_a_file_of_comments_makes_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = []
    for number, word in enumerate(["lovely", "dumb"] * 60):
        turns = (Turn("env", f"parent {number // 4}"), Turn("agent", f"a {word} thing, number {number}"))
        rows.append(Episode(None, None, turns, True, False, {"score": 1 - 2 * (number % 2), "toxicity": None}))
    path = tmp_path / "mine.parquet"
    write_dataset(path, rows, DatasetMetadata())
    data = read_comments(path)
    assert data.toxicity is None
    assert len(set(data.threads.tolist())) == 30

    command = ["--data", str(path), "--target", "upvotes", "--kind", "linear"]
    train_reddit_rewards.main([*command, "--out", str(tmp_path / "model")])
    model = load_reward_model(str(tmp_path / "model"), "upvotes")
    assert model.score(["", ""], ["so lovely", "so dumb"]).argmax(1).tolist() == [1, 0]
    card = read_card(tmp_path / "model", "upvotes")
    assert card["quality"]["labels"]["auc"] == 1.0
    assert card["made"]["data"] == "mine.parquet"
    train_reddit_rewards.main([*command, "--out", str(tmp_path / "model")])
    assert "is there; --again makes it anew" in capsys.readouterr().out
    train_reddit_rewards.main([*command, "--folds", "3"])
    assert "all 3 folds" in capsys.readouterr().out
    train_reddit_rewards.main([*command[:-1], "transformer", "--steps", "3", "--out", str(tmp_path / "small")])
    first = read_card(tmp_path / "small", "upvotes")
    assert first["kind"] == "transformer"
    going_on = [*command[:-1], "transformer", "--steps", "3", "--out", str(tmp_path / "more"), "--from"]
    train_reddit_rewards.main([*going_on, str(tmp_path / "small")])
    made = read_card(tmp_path / "more", "upvotes")["made"]
    assert made["from"] == {"sha256": first["sha256"]} | first["made"]
    assert made["training"]["side_tasks"] is False
    for arguments, said in [
        ([*command[:2], "--target", "toxicity", "--out", str(tmp_path)], "no labels of toxicity"),
        (command, "give --out"),
        ([*going_on, str(tmp_path / "model"), "--again"], "expected a transformer"),
        ([*command, "--out", str(tmp_path / "other"), "--from", str(tmp_path / "model")], "with transformers"),
        (["--name", "linear", "--from", str(tmp_path)], "always made anew"),
        (["--data", str(tmp_path / "none.parquet"), "--out", str(tmp_path)], "none.parquet"),
    ]:
        with pytest.raises(SystemExit):
            train_reddit_rewards.main(arguments)
        assert said in capsys.readouterr().err
