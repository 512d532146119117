from __future__ import annotations

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from leaderboards import run, suites
from leaderboards.suites import Evaluation

ALGORITHMS = """
import torch
from agents.algorithm import Algorithm


class NoLoss(Algorithm):
    pass


class NotANumber(Algorithm):
    def loss(self, batch):
        return self.log_probs(batch)[1].mean() * torch.nan, {}


class Idle(Algorithm):
    def __init__(self, config, tokenizer, *, seed=0):
        super().__init__(config, tokenizer, seed=seed)
        self.critic = torch.nn.Linear(2, 1)

    def loss(self, batch):
        return -self.log_probs(batch)[1].mean(), {}


class Plain:
    def act(self, histories):
        return ["crane"] * len(histories)
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    quick = suites.SUITES["quick"]
    tiny = replace(
        quick,
        tasks=(replace(quick.tasks[0], variant={**quick.tasks[0].variant, "games": 300}),),
        training={"model": "tiny", "tokens_per_batch": 500},
        tokens=1_000,
        evaluation=Evaluation(episodes=8),
    )
    monkeypatch.setitem(suites.SUITES, "quick", tiny)
    (tmp_path / "strangers_algorithms.py").write_text(ALGORITHMS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def train(*names: str):
    return CliRunner().invoke(
        run.app, [part for name in names for part in ("--algorithm", f"strangers_algorithms:{name}")]
    )


def test_what_is_wrong_with_a_training_run_is_said_in_a_line_and_the_others_go_on():
    done = train("NotANumber", "Idle")
    assert done.exit_code == 1
    lines = {line.split(",")[0]: line for line in done.output.splitlines() if line.startswith("broken")}
    nan, idle = (next(line for start, line in lines.items() if name in start) for name in ("NotANumber", "Idle"))
    assert "FloatingPointError: NotANumber: the loss or its gradient is not finite at step" in nan
    assert "ValueError: Idle: 2 parameters get no gradient from the loss, the first is 'critic.weight'" in idle
    assert "done            random on" in done.output


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NoLoss", "'strangers_algorithms:NoLoss' lacks the method loss(batch)"),
        ("Plain", "'strangers_algorithms:Plain': expected a subclass of agents.algorithm.Algorithm, got <class"),
        ("Nobody", "strangers_algorithms has no 'Nobody'"),
    ],
)
def test_a_class_that_is_no_algorithm_is_refused_before_anything_runs(name, message, tmp_path):
    done = train(name)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not list((tmp_path / "runs").rglob("run.json"))
