from __future__ import annotations

import csv
import json

import numpy as np

from data_scripts.read_reddit import main
from lmrl_envs.datasets import TextDataset
from lmrl_envs.reddit.linear import LinearScorer
from lmrl_envs.reddit.readers import REMOVED
from lmrl_envs.reddit.rewards import write_reward_model


def test_pushshift(tmp_path, capsys):
    dump, out = tmp_path / "RC", tmp_path / "out.parquet"
    rows = [("a1", "t3_p", "What a day", 3), ("a2", "t1_a1", "Lovely", 2), ("a3", "t1_a1", "[removed]", 1)]
    dump.write_text(
        "\n".join(
            json.dumps({"id": i, "parent_id": p, "body": b, "score": s, "author": "me", "subreddit": "x"})
            for i, p, b, s in rows
        )
    )
    main(["pushshift", str(dump), "--out", str(out)])
    data = TextDataset.read(out)
    assert [turn.text for turn in data[0].turns] == ["What a day", "Lovely"]
    assert data.returns.tolist() == [10.0]
    assert data.metadata.dropped[REMOVED] == 1
    printed = capsys.readouterr().out
    assert "1 comments" in printed
    assert f"left out 1: {REMOVED}" in printed
    assert "first pass: 3 lines" in printed
    assert "second pass: 1 replies" in printed


def test_a_model_s_rewards(tmp_path):
    source, out, models = tmp_path / "labeled_data.csv", tmp_path / "out.parquet", tmp_path / "models"
    texts = ["lovely work", "you dumb fool", "lovely day", "dumb fool"]
    with source.open("w", newline="") as file:
        csv.writer(file).writerows([["class", "tweet"], *(["2", text] for text in texts)])  # harmless, people said
    judge = LinearScorer.fit([""] * 4, texts, np.array([0, 1, 0, 1]))
    write_reward_model(models, "toxicity", judge)
    model = ["--reward", "toxicity", "--reward-model", str(models)]
    main(["davidson", str(source), "--out", str(out), "--limit", "3", *model])
    data = TextDataset.read(out)
    assert data.returns.tolist() == [0.0, -5.0, 0.0]
    assert data.metadata.learned_rewards
    assert data.metadata.learned_hash
