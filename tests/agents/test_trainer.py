from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import agents
from agents import checkpoints, trainer
from agents.batch import TokenBatch
from agents.bc import BC, FilteredBC
from agents.data import Batches, Step, encode_dataset, steps
from agents.ilql import ILQL, ILQLConfig
from agents.tokenizers import byte_pair_tokenizer
from agents.trainer import Algorithm, TrainConfig, backward, learning_rate, ready_trunks, train, validation_loss
from lmrl_envs.datasets import TextDataset
from lmrl_envs.errors import CheckpointError
from lmrl_envs.files import file_hash
from tests.agents.games import NANO

SHORT = {"model": NANO, "steps": 6, "tokens_per_batch": 600, "save_every": 2, "warmup": 2, "device": "cpu"}
REPOSITORY = Path(__file__).parents[2]


def state_of(algorithm: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in checkpoints.weights(algorithm).items()}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different


def without_seconds(curve: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in point.items() if name != "seconds"} for point in curve]


TRAIN = """
import sys, json
from pathlib import Path
import agents.trainer
from agents.{module} import {name}
from agents.tokenizers import wordle_tokenizer
from lmrl_envs.datasets import load_dataset
agents.trainer.LOG_EVERY = 5
config = {name}.Config(**json.loads(sys.argv[2]))
data = load_dataset("wordle/human-v0", words="common-40", games=300)
algorithm = {name}(config, wordle_tokenizer(), seed=config.seed)
steps = algorithm.after_step
def slow(step):
    print(step, flush=True)
    steps(step)
algorithm.after_step = slow
agents.trainer.train(algorithm, data, out=Path(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("module", "name", "number"),
    [("ilql", "ILQL", signal.SIGKILL), ("bc", "BC", signal.SIGINT)],
)
def test_a_run_that_is_stopped_and_started_again_is_the_run_that_was_not(module, name, number, games, tmp_path):
    """Killed after some step (SIGKILL) or interrupted (SIGINT): the same curve and the same weights, to the bit."""
    settings = {**SHORT, "steps": 23, "save_every": 4}
    script = TRAIN.format(module=module, name=name)

    def start(folder: Path) -> subprocess.Popen:
        command = [sys.executable, "-c", script, str(folder), json.dumps(settings)]
        return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)

    whole = start(tmp_path / "whole")
    broken = start(tmp_path / "broken")
    for line in broken.stdout:
        if int(line) == 13:  # past the saves at 4, 8 and 12, inside a window of the curve
            broken.send_signal(number)
            break
    broken.communicate(timeout=60)
    assert broken.returncode != 0
    assert not (tmp_path / "broken" / checkpoints.AGENT).exists()
    again = start(tmp_path / "broken")
    again.communicate(timeout=60)
    whole.communicate(timeout=60)
    assert again.returncode == whole.returncode == 0
    loaded = [agents.load(tmp_path / folder, device="cpu") for folder in ("whole", "broken")]
    assert_same(state_of(loaded[0]), state_of(loaded[1]))
    curves = [
        [json.loads(line) for line in (tmp_path / folder / "metrics.jsonl").read_text().splitlines()]
        for folder in ("whole", "broken")
    ]
    assert without_seconds(curves[0]) == without_seconds(curves[1])
    assert [point["step"] for point in curves[0]] == [5, 10, 15, 20, 23]


def test_training_lowers_the_loss_and_the_agent_comes_back_as_it_was(games: TextDataset, tokenizer, tmp_path):
    config = dataclasses.replace(BC.Config(**SHORT), steps=150, lr=3e-3)
    validation = games[:50]
    agent = BC(config, tokenizer)
    before = validation_loss(agent, encode_dataset(agent, validation), 600)
    result = train(agent, games, out=tmp_path, validation=validation)
    assert result.steps == 150
    assert [point["step"] for point in result.curve] == [50, 100, 150]
    assert result.curve[-1]["validation_loss"] < before - 1.0
    assert result.curve[-1]["tokens"] == result.tokens <= 150 * 600
    assert agent.turn_tokens == 6
    loaded = agents.load(result.checkpoint, device="cpu")
    assert_same(state_of(loaded), state_of(result.algorithm))
    assert loaded.config == config
    assert loaded.turn_tokens == 6
    assert loaded.policy(temperature=0.0).act([[]]) == result.algorithm.policy(temperature=0.0).act([[]])
    (tmp_path / checkpoints.TRAINING).unlink()  # a finished run stands in the agent's own files
    finished = train(BC(config, tokenizer, seed=9), games, out=tmp_path, validation=validation)  # nothing left to do
    assert without_seconds(finished.curve) == without_seconds(result.curve)
    assert_same(state_of(finished.algorithm), state_of(result.algorithm))


def test_a_loaded_pi_beta_is_frozen_and_gives_the_value_trunk_its_start(games, tokenizer, tmp_path):
    train(BC(TrainConfig(**SHORT), tokenizer, seed=3), games, out=tmp_path / "bc")
    config = ILQLConfig(**SHORT, pi_beta=str(tmp_path / "bc"))
    agent = ILQL(config, tokenizer)
    start = state_of(agent)
    assert torch.equal(start["lm.transformer.wte.weight"], start["value_trunk.wte.weight"])
    train(agent, games, out=tmp_path / "ilql")
    end = state_of(agent)
    moved = {name.split(".")[0] for name in start if not torch.equal(start[name], end[name])}
    assert moved == {"value_trunk", "target_trunk", "q", "target_q", "v"}
    assert agent.cost()["forward_passes"] == 2
    (tmp_path / "bc" / checkpoints.MODEL).unlink()
    loaded = agents.load(tmp_path / "ilql", device="cpu")  # needs nothing of pi_beta's folder any more
    assert_same(state_of(loaded), end)


def test_pi_beta_of_another_shape_is_refused(games, tokenizer, tmp_path):
    train(BC(TrainConfig(**SHORT), tokenizer), games, out=tmp_path / "bc")
    with pytest.raises(ValueError, match="another shape"):
        ILQL(ILQLConfig(model={**NANO, "n_embd": 32}, pi_beta=str(tmp_path / "bc")), tokenizer)


def test_filtered_bc_sees_the_best_games_alone(games, tokenizer):
    config = FilteredBC.Config(model=NANO, fraction=0.1)
    kept = FilteredBC(config, tokenizer).prepare(games).data
    assert len(kept) == 30
    assert kept.returns.min() >= np.sort(games.returns)[-30]


class Broken(Algorithm):
    name = "broken"

    def loss(self, batch: TokenBatch):
        _, logp = self.log_probs(batch)
        return logp.mean() * torch.nan, {}


class Idle(Algorithm):
    name = "idle"

    def __init__(self, config, tokenizer, *, seed=0):
        super().__init__(config, tokenizer, seed=seed)
        self.unused = torch.nn.Linear(2, 2)

    def loss(self, batch: TokenBatch):
        return -self.log_probs(batch)[1].mean(), {}


def test_losses_that_are_not_finite_and_parameters_without_gradient_are_named(games, tokenizer, tmp_path):
    with pytest.raises(
        FloatingPointError, match=r"broken: the loss or its gradient is not finite at step 1, .* nothing was"
    ):
        train(Broken(TrainConfig(**SHORT), tokenizer), games, out=tmp_path / "a")
    with pytest.raises(ValueError, match=r"idle: 2 parameters get no gradient.*'unused\.weight'"):
        train(Idle(TrainConfig(**SHORT), tokenizer), games, out=tmp_path / "b")


class BrokenLater(BC):
    """Clones, until a loss (or, with a finite loss, a gradient) is not a number."""

    gradient_alone = False

    def loss(self, batch: TokenBatch):
        loss, terms = super().loss(batch)
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls < 5:
            return loss, terms
        return loss + (
            torch.sqrt(0 * loss) if self.gradient_alone else torch.nan
        ), terms  # the root's slope is infinite


@pytest.mark.parametrize("gradient_alone", [False, True])
@pytest.mark.parametrize("looked_at", ["each step", "each save"])
def test_a_loss_that_is_not_finite_leaves_the_last_good_checkpoint(
    games, tokenizer, tmp_path, monkeypatch, gradient_alone, looked_at
):
    if looked_at == "each save":  # as on a card
        monkeypatch.setattr(trainer, "CHECKED_EACH_STEP", ())
    agent = BrokenLater(BC.Config(**{**SHORT, "steps": 9}), tokenizer)
    agent.gradient_alone = gradient_alone
    with pytest.raises(FloatingPointError, match=r"at step 5, on the (\d+) episodes \[\d+, ") as caught:
        train(agent, games, out=tmp_path)
    assert f"{tmp_path / checkpoints.TRAINING} is as it was saved last" in str(caught.value)
    batches = Batches(encode_dataset(agent, games).lengths, 600, seed=0)
    rows = [batches.next() for _ in range(5)][-1]
    assert f"on the {len(rows)} episodes {rows[:20].tolist()}" in str(caught.value)
    good = BC(BC.Config(**SHORT), tokenizer)
    state = checkpoints.load_training(tmp_path / checkpoints.TRAINING, good, torch.optim.AdamW(good.parameters()))
    assert state["step"] == 4
    assert all(tensor.isfinite().all() for tensor in checkpoints.weights(good).values())


class Satisfied(BC):
    name = "satisfied"

    def stop(self, terms):
        return "enough" if terms["loss"] < 3.9 else None


def test_an_algorithm_may_end_its_run(games, tokenizer, tmp_path):
    config = BC.Config(**{**SHORT, "steps": 200})
    result = train(Satisfied(config, tokenizer), games, out=tmp_path)
    assert 0 < result.steps < 200
    assert result.curve[-1]["step"] == result.steps
    assert json.loads((tmp_path / checkpoints.AGENT).read_text())["trained"]["stopped"] == "enough"
    again = train(Satisfied(config, tokenizer, seed=5), games, out=tmp_path)  # nothing left to do
    assert again.steps == result.steps
    assert_same(state_of(again.algorithm), state_of(result.algorithm))


class Strange(Algorithm):
    """Returns what a test tells it to."""

    def loss(self, batch: TokenBatch):
        return self.answer(-self.log_probs(batch)[1].mean())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda loss: (loss.detach(), {}), "no parameter gets a gradient"),
        (lambda loss: loss, r"expected loss\(batch\) to return a scalar tensor and a dict .*, got tensor"),
        (lambda loss: (loss, {"accuracy": 0.5}), r"got \(tensor.*'accuracy': 0.5"),
        (lambda loss: (loss[None], {}), r"got \(tensor\(\["),
    ],
)  # fmt: skip
def test_a_loss_of_another_form_is_named(games, tokenizer, tmp_path, answer, message):
    agent = Strange(TrainConfig(**SHORT), tokenizer)
    agent.answer = answer
    with pytest.raises((TypeError, ValueError), match=f"Strange: .*{message}"):
        train(agent, games, out=tmp_path)


def test_an_algorithm_that_is_not_registered_comes_back_by_its_class(games, tokenizer, tmp_path):
    agent = Strange(TrainConfig(**SHORT), tokenizer)
    agent.answer = lambda loss: (loss, {})
    checkpoint = train(agent, games, out=tmp_path).checkpoint
    with pytest.raises(CheckpointError, match="'Strange' is not registered"):
        agents.load(checkpoint, device="cpu")
    assert_same(state_of(agents.load(checkpoint, device="cpu", algorithm=Strange)), state_of(agent))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("agents.algorithm:Algorithm", ValueError, r"lacks the method loss\(batch\)"),
        ("agents.algorithm:TrainConfig", ValueError, "expected a subclass of agents.algorithm.Algorithm, got <class"),
        ("agents.algorithm:Nothing", ImportError, "has no 'Nothing'"),
        ("broken:Mine", ImportError, r"cannot import 'broken:Mine' \(ZeroDivisionError"),
    ],
)
def test_a_class_that_is_no_algorithm_is_named(tmp_path, monkeypatch, name, error, message):
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(error, match=message):
        agents.algorithm_class(name)


def test_rewards_are_asked_for(games, tokenizer, tmp_path):
    rewardless = games.select(np.flatnonzero(games.returns == 0))
    assert len(rewardless) > 0
    message = (
        rf"ilql learns from rewards, and every return in the {len(rewardless)} episodes of wordle/human-v0 is 0; .*bc"
    )
    with pytest.raises(ValueError, match=message):
        train(ILQL(ILQLConfig(**SHORT), tokenizer), rewardless, out=tmp_path)


def test_another_runs_state_is_refused_and_can_be_replaced(games, tokenizer, tmp_path):
    train(BC(TrainConfig(**SHORT), tokenizer), games, out=tmp_path)
    other = dataclasses.replace(TrainConfig(**SHORT), lr=1e-3)
    with pytest.raises(CheckpointError, match="belongs to another run"):
        train(BC(other, tokenizer), games, out=tmp_path)
    assert train(BC(other, tokenizer), games, out=tmp_path, resume=False).steps == 6


def test_a_finished_run_on_other_episodes_is_another_run(games, tokenizer, tmp_path):
    config = BC.Config(**SHORT)
    train(BC(config, tokenizer), games, out=tmp_path)
    with pytest.raises(CheckpointError, match="belongs to another run"):
        train(BC(config, tokenizer), games[:100], out=tmp_path)
    (tmp_path / checkpoints.TRAINING).unlink()
    assert train(BC(config, tokenizer), games[:100], out=tmp_path).curve[-1]["step"] == 6
    (tmp_path / checkpoints.TRAINING).unlink()
    before = (tmp_path / checkpoints.MODEL).stat().st_mtime_ns
    train(BC(config, tokenizer), games[:100], out=tmp_path)
    assert (tmp_path / checkpoints.MODEL).stat().st_mtime_ns == before


@pytest.mark.parametrize("name", [checkpoints.MODEL, checkpoints.TOKENIZER, checkpoints.AGENT, checkpoints.TRAINING])
@pytest.mark.parametrize("damage", ["cut", "edit", "gone"])
def test_damaged_checkpoints_are_named(games, tokenizer, tmp_path, name, damage):
    config = TrainConfig(**{**SHORT, "steps": 2})
    train(BC(config, tokenizer), games, out=tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        middle = len(content) - 40
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    if name == checkpoints.TRAINING:
        if damage == "gone":
            assert train(BC(config, tokenizer), games, out=tmp_path).steps == 2
            return
        with pytest.raises(CheckpointError, match=name):
            train(BC(config, tokenizer), games, out=tmp_path)
    else:
        with pytest.raises(CheckpointError, match=name.split(".")[0]):
            agents.load(tmp_path)


def test_batches_hold_every_row_once_an_epoch_within_the_budget():
    lengths = np.array([10, 20, 30, 40] * 25)
    batches = Batches(lengths, 100, seed=1)
    seen: list[int] = []
    while batches.cursor < len(lengths):
        rows = batches.next()
        assert lengths[rows].sum() <= 100
        assert (np.diff(lengths[rows]) >= 0).all()
        seen += rows.tolist()
    assert sorted(seen) == list(range(100))
    first = seen[:10]
    again = Batches(lengths, 100, seed=1)
    assert again.next().tolist() == first[: len(again.lengths[again.order[: again.cursor]])]
    batches.next()
    assert (batches.epoch, batches.cursor > 0) == (1, True)
    place, expected = (batches.epoch, batches.cursor), batches.next()
    again.move(*place)
    assert again.next().tolist() == expected.tolist()


@pytest.mark.parametrize("algorithm", [BC, ILQL])
def test_recomputed_activations_give_the_same_gradients(algorithm, games, tokenizer):
    batch = encode_dataset(algorithm(algorithm.Config(**SHORT), tokenizer), games).batch(np.arange(20))
    gradients = []
    for recompute in (False, True):
        agent = algorithm(algorithm.Config(**SHORT, recompute=recompute), tokenizer).train()
        ready_trunks(agent)
        assert agent.lm.base_model.is_activation_checkpointing is recompute
        agent.loss(batch)[0].backward()
        gradients.append([p.grad for p in agent.parameters() if p.requires_grad])
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


class Greedy(Algorithm):
    name = "greedy"

    def loss(self, batch: TokenBatch):
        return torch.empty(2**50).sum(), {}


def test_a_batch_that_does_not_fit_ends_with_the_settings_to_try(games, tokenizer, tmp_path):
    with pytest.raises(MemoryError, match=r"tokens_per_batch=600 .* try a larger accumulate, recompute=True"):
        train(Greedy(TrainConfig(**SHORT), tokenizer), games, out=tmp_path)


def test_bfloat16_keeps_losses_and_weights_in_float32(games, tokenizer, tmp_path):
    config = ILQLConfig(**{**SHORT, "steps": 3}, dtype="bfloat16")
    plain = train(ILQL(dataclasses.replace(config, dtype="float32"), tokenizer), games, out=tmp_path / "a")
    half = train(ILQL(config, tokenizer), games, out=tmp_path / "b")
    assert all(p.dtype == torch.float32 for p in half.algorithm.parameters())
    assert half.curve[-1]["loss"] == pytest.approx(plain.curve[-1]["loss"], rel=0.02)
    assert half.curve[-1]["loss"] != plain.curve[-1]["loss"]


@pytest.mark.parametrize("wrong", [{"dtype": "float16"}, {"steps": 0}, {"accumulate": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainConfig(**wrong)


@pytest.mark.parametrize("algorithm", [BC, ILQL])
def test_accumulated_gradients_are_those_of_one_batch(algorithm, games, tokenizer):
    agent = algorithm(algorithm.Config(**SHORT), tokenizer)
    store = encode_dataset(agent, games)
    gradients, terms = [], []
    for parts in (1, 3):
        step: Step = next(steps(store, Batches(store.lengths, 2_000, seed=0), parts=parts))
        assert len(step.parts) == parts
        agent.zero_grad()
        terms.append({name: value.item() for name, value in backward(agent, step, torch.device("cpu")).items()})
        gradients.append([p.grad.clone() for p in agent.parameters() if p.requires_grad])
    assert terms[0] == pytest.approx(terms[1], rel=1e-4)
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_tokens_are_kept_and_made_again_where_they_do_not_fit(games, tokenizer, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("LMRL_HOME", str(tmp_path))
    agent = BC(TrainConfig(**SHORT), tokenizer)
    hashed = []
    monkeypatch.setattr("agents.data.file_hash", lambda path: hashed.append(path.name) or file_hash(path))
    encoded = encode_dataset(agent, games)
    first = {name: np.array(getattr(encoded, name)) for name in encoded.FIELDS}
    (folder,) = [path for path in (tmp_path / "tokens").iterdir() if path.is_dir()]
    stamp = (folder / "ids.npy").stat().st_mtime_ns
    kept = encode_dataset(agent, games)
    assert isinstance(kept.ids, np.memmap)
    assert sorted(hashed) == sorted(f"{name}.npy" for name in encoded.FIELDS)  # each once
    assert (folder / "ids.npy").stat().st_mtime_ns == stamp
    content = (folder / "ids.npy").read_bytes()
    (folder / "ids.npy").write_bytes(content[:-4])
    again = encode_dataset(agent, games)
    assert "making it again" in caplog.text
    for name in again.FIELDS:
        assert np.array_equal(getattr(again, name), first[name])
    encode_dataset(agent, games[:100])  # other episodes
    other = BC(TrainConfig(**SHORT), byte_pair_tokenizer(["crane"], 280))
    encode_dataset(other, games)  # another tokenizer
    assert len([path for path in (tmp_path / "tokens").iterdir() if path.is_dir()]) == 3


def test_sampling_weights_leave_out_what_weighs_nothing():
    batches = Batches(np.full(4, 10), 40, seed=0, weights=np.array([0.0, 1.0, 3.0, 0.0]))
    drawn = np.concatenate([batches.next() for _ in range(500)])
    assert set(drawn.tolist()) == {1, 2}
    assert np.mean(drawn == 2) == pytest.approx(0.75, abs=0.04)


def test_a_budget_smaller_than_an_episode_is_refused():
    with pytest.raises(ValueError, match=r"tokens_per_batch=30 is smaller than the longest episode, 40 tokens"):
        Batches(np.array([10, 40]), 30, seed=0)


def test_learning_rate_by_hand():
    config = TrainConfig(steps=110, warmup=10)
    assert [learning_rate(step, config) for step in (0, 9, 10, 60, 110)] == pytest.approx([0.1, 1.0, 1.0, 0.55, 0.1])


def test_unknown_agents_are_answered_with_close_matches():
    with pytest.raises(ValueError, match=r"unknown agent 'ilqll'; did you mean 'ilql'"):
        agents.algorithm_class("ilqll")
    with pytest.raises(ImportError, match="no 'Nothing'"):
        agents.algorithm_class("agents.bc:Nothing")


def test_the_command_line_trains_and_plays(tmp_path):
    command = [sys.executable, "-m", "agents.bc", "--out", str(tmp_path), "--steps", "3", "--model", "tiny"]
    command += ["--variant", '{"words": "common-40", "games": 200}', "--episodes", "8", "--tokens-per-batch", "500"]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "greedy: mean return -" in done.stdout
    assert "sampled: mean return -" in done.stdout
    assert time.monotonic() - begun < 60
    assert agents.load(tmp_path, device="cpu").name == "bc"
