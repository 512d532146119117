from __future__ import annotations

import json

import pytest

import agents
from agents.bc import BC, FilteredBC
from agents.command import main

SMALL = ["--variant", json.dumps({"words": "common-40", "games": 300}), "--model", "tiny", "--tokens-per-batch", "500"]


def test_it_trains_plays_and_refuses_another_runs_folder(tmp_path, capsys):
    arguments = [*SMALL, "--out", str(tmp_path), "--episodes", "8", "--steps", "3"]
    main(BC, FilteredBC, argv=[*arguments, "--algorithm", "filtered_bc", "--fraction", "0.5", "--lr", "1e-3"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("filtered_bc: 3 steps, ")
    assert [line.split(":")[0] for line in lines[1:]] == ["greedy", "sampled"]
    assert all(line.endswith("over 8 episodes") for line in lines[1:])
    config = agents.load(tmp_path, device="cpu").config
    assert (config.fraction, config.lr, config.steps) == (0.5, 1e-3, 3)
    (tmp_path / "agent.json").unlink()
    with pytest.raises(SystemExit, match="2"):
        main(BC, FilteredBC, argv=arguments)
    assert "belongs to another run; take another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", "fast"], "argument --lr: invalid float value: 'fast'"),
        (["--steps", "1.5"], "argument --steps: invalid int value: '1.5'"),
        (["--fraction", "2", "--algorithm", "filtered_bc"], "fraction must be above 0 and at most 1, got 2"),
        (["--fraction", "0.2"], "unexpected keyword argument 'fraction'"),
        (["--dataset", "wordle/humn-v0"], "unknown dataset 'wordle/humn-v0'; did you mean 'wordle/human-v0'"),
        (["--variant", '{"words": "comon-40"}'], "unknown word list 'comon-40'; did you mean 'common-40'"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_said_in_a_line(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit, match="2"):
        main(BC, FilteredBC, argv=["--out", str(tmp_path / "run"), *arguments])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
