from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leaderboards import sections
from leaderboards.drawing import visible
from leaderboards.pictures import scene_uri, shrunk
from leaderboards.render import html, markdown, told
from leaderboards.tables import Table, read
from lmrl_envs.core import Turn
from lmrl_envs.png import png
from lmrl_envs.statistics import Estimate

HOSTILE = "<script>alert(1)</script> \u202eevil\u0007"


def comments(gap: float, held_out: float) -> dict[str, Any]:
    study = {
        "gap": {"value": gap, "standard_error": 0.5},
        "exploits": [{"parent": "p", "comment": HOSTILE, "reward": 10.0, "true_reward": 0.0, "probability": 0.9}],
        "held_out": {"own": 9.0, "held_out": held_out},
        "diversity": {
            "distinct_1": 0.5,
            "distinct_2": 0.7,
            "distinct_3": 0.9,
            "self_bleu": 0.2,
            "words": 7,
            "copies": 0,
        },
        "best_of_n": [
            {"n": n, "reward": 5.0 + k, "true_reward": 5.0 - k, "true_toxicity": 0.0, "true_chance": 0.5}
            for k, n in enumerate((1, 2, 4))
        ],
    }
    return {"greedy": study, "sampled": study}


def dialogues(standard: float, fined: float) -> dict[str, Any]:
    study = {
        "rewards": {
            name: {"returns": [standard - cost, standard - cost - 2], "fined": fined}
            for name, cost in (("standard", 0), ("yn", 4), ("conservative_yn", 6))
        },
        "guessers": {"default": {"caption": 0.6, "end": 0.9}, "held-out": {"caption": 0.6, "end": 0.8}},
        "games": [{"scene": 0, "percentiles": [0.6, 0.9], "guesses": [0, 13, 22]}],
    }
    return {"greedy": study, "sampled": study}


def become(folder: Path, env_id: str, reward: str) -> None:
    """Makes the results in a folder those of another environment."""
    for path in folder.rglob("result.json"):
        record = json.loads(path.read_text())
        record["run"]["task"] |= {"name": f"{env_id}-{reward}", "env_id": env_id, "env_kwargs": {"reward": reward}}
        path.write_text(json.dumps(record))


def only(tables: list[Table]) -> Table:
    (table,) = tables
    return table


def test_real_rewards_stand_beside_the_models_over_seeds(tmp_path, write_result):
    for seed, (gap, twin) in enumerate([(1.0, 8.0), (3.0, 6.0)]):
        write_result("bc", [8.0, 10.0], seed=seed, study=comments(gap, twin))
    table = only(read(tmp_path / "runs"))
    ((name, model, true, gap, twin),) = sections.real_rewards(table, [table]).rows
    assert name == "bc"
    assert (model.value, true.value, gap.value, twin.value) == (9.0, 7.0, 2.0, -2.0)
    assert gap.degrees == 1
    ((name, *values),) = sections.variety(table, [table]).rows
    assert values == [0.5, 0.7, 0.9, 0.2, 7, 0]


def test_of_one_seed_the_gap_has_its_interval_over_episodes(tmp_path, write_result):
    write_result("bc", [8.0, 10.0, 9.0], study=comments(1.0, 8.0))
    table = only(read(tmp_path / "runs"))
    ((_, model, true, gap, twin),) = sections.real_rewards(table, [table]).rows
    assert (model, true, twin) == (9.0, 8.0, -1.0)
    assert gap == Estimate(1.0, 0.5, 2, "t over episodes")


def test_best_of_n_is_drawn_by_powers_of_two(tmp_path, write_result):
    write_result("bc", [8.0], study=comments(1.0, 8.0))
    drawn = sections.best_of(only(read(tmp_path / "runs")))
    assert drawn is not None
    assert drawn["at"] == [0.0, 1.0, 2.0]
    assert drawn["lines"] == {"model": [5.0, 6.0, 7.0], "true": [5.0, 4.0, 3.0]}
    assert drawn["ends"] == (3.0, 7.0)


def test_agents_of_one_reward_are_scored_under_each(tmp_path, write_result):
    write_result("bc", [-1.0, -3.0], study=dialogues(-1.0, 0.4))
    write_result("ilql", [-0.0, -2.0], study=dialogues(0.0, 0.1))
    write_result("random", [-9.0, -9.0], kind="player", study=dialogues(-9.0, 0.5))
    table = only(read(tmp_path / "runs"))
    section = sections.cross_rewards(table, [table])
    assert section is not None
    assert section.rows == [
        ["ilql", "standard", -1.0, -5.0, -7.0, "10.0 %", "10.0 %"],
        ["bc", "any", -2.0, -6.0, -8.0, "40.0 %", "40.0 %"],
    ]
    guessers = sections.two_guessers(table, [table]).rows
    assert [row[0] for row in guessers] == ["ilql", "bc", "random"]
    assert guessers[0][1:] == pytest.approx([0.3, 0.2, 0.1])


def test_a_page_of_comments_shows_hostile_text_and_runs_none(tmp_path, write_result):
    turns = (Turn("env", "a comment"), Turn("agent", HOSTILE, 10.0))
    write_result("bc", [8.0, 8.0], turns=turns, study=comments(1.0, 8.0))
    become(tmp_path, "Reddit-v0", "upvotes_model")
    tables = read(tmp_path / "runs")
    page = html(tables)
    assert "How much of the reward is real" in page
    assert "Comments that the model overrates" in page
    assert "Choosing among n" in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt; \\u202eevil\\u0007") >= 2
    assert "alert(1)</script>" not in page
    assert "\u202e" not in page
    assert "| bc | 8.00 | 7.00 |" in markdown(tables)


def test_a_page_of_dialogues_shows_pictures_percentiles_and_guesses(tmp_path, write_result):
    turns = (Turn("env", "a dog"), Turn("agent", "is it day", -1.0), Turn("env", "yes"))
    write_result("ilql", [-1.0, -3.0], turns=turns, study=dialogues(-1.0, 0.4))
    become(tmp_path, "VisualDialogue-v0", "standard")
    tables = read(tmp_path / "runs")
    page = html(tables)
    assert page.count("url(data:image/png;base64,") == 3  # each scene once
    assert 'class="asked scene scene-0"' in page
    assert 'class="scene scene-0 found"' in page
    assert ">0.90</small>" in page
    assert "Trained on one reward, scored on each" in page
    assert "| ilql | standard |" in markdown(tables)


def test_a_picture_is_a_png_of_its_pixels():
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    file = png(pixels)
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", file[16:24]) == (6, 4)
    start = file.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", file[start - 8 : start - 4])
    rows = np.frombuffer(zlib.decompress(file[start : start + length]), np.uint8).reshape(4, 1 + 18)
    assert (rows[:, 0] == 0).all()
    assert (rows[:, 1:].reshape(4, 6, 3) == pixels).all()
    assert (shrunk(np.full((8, 8, 3), 7, np.uint8), 2) == 7).all()
    address = scene_uri(0, 64)
    assert base64.b64decode(address.removeprefix("data:image/png;base64,"))[16:24] == struct.pack(">II", 64, 64)


def test_cells_are_told_and_odd_characters_spelt():
    assert told(None) == ("–", "")
    assert told(-1.5) == ("\N{MINUS SIGN}1.50", "")
    assert told("some") == ("some", "")
    assert told(Estimate(1.0, 0.0, 4, "t")) == ("1.00", "[1.00, 1.00]")
    assert visible("plain é 漢\t") == "plain é 漢\\u0009"
