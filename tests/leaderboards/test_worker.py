from __future__ import annotations

import json
import math
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import agents
from leaderboards.jobs import plan
from leaderboards.scores import token_scores
from leaderboards.suites import Agent, BestOf, Chosen, Evaluation, Looks, Player, Suite, Task
from leaderboards.worker import begin_afresh, perform
from lmrl_envs.datasets import load_dataset
from lmrl_envs.evaluate import EvalResult

EVERYBODY = Suite(
    name="everybody",
    summary="Every kind of contestant, for tests.",
    tasks=(
        Task("wordle", "Wordle-v0", {"words": "common-40"}, "wordle/human-v0", {"words": "common-40", "games": 300}),
    ),
    training={"model": "tiny", "tokens_per_batch": 512},
    tokens=28_000,
    agents=(
        Agent("bc", "bc"),
        Agent("best-tenth", "filtered_bc", {"fraction": 0.1}),
        Chosen("chosen", ("bc", "best-tenth"), episodes=8),
        Agent("ilql", "ilql", {"pi_beta": "@bc"}),
        Chosen("with-beta", ("ilql",), episodes=8, options=({"beta": 0.0}, {"beta": 1e6})),
    ),
    references=(
        Player("random", "leaderboards.players:random_word"),
        Player("people", "leaderboards.players:people", {"mix": "wide"}),
        Agent("expert-bc", "bc", behaviours=("entropy",), tokens=512),
        BestOf("best-of-4", "bc", samples=4),
    ),
    seeds=(3,),
    evaluation=Evaluation(episodes="all", repeats=2, looks=Looks(count=2, episodes="all"), critics=True),
)


def performed(suite: Suite, out: Path) -> dict[str, dict[str, Any]]:
    """Does all runs in this process, one after the other; their results by agent."""
    jobs = plan(suite, [*suite.agents, *suite.references], out, out / "results")
    for job in jobs:
        job.prepare()
        perform(job.folder)
    return {job.run["agent"]: json.loads(job.result.read_text()) for job in jobs}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("everybody")


@pytest.fixture(scope="module")
def records(out: Path) -> dict[str, dict[str, Any]]:
    return performed(EVERYBODY, out)


def result(record: dict[str, Any], decoding: str = "greedy") -> EvalResult:
    return EvalResult.from_json(record["eval"][decoding])


def test_the_same_suite_and_seed_give_files_that_differ_in_seconds_only(records, tmp_path):
    suite = replace(EVERYBODY, agents=(EVERYBODY.agents[0], EVERYBODY.agents[3]), references=EVERYBODY.references[:1])
    again = performed(suite, tmp_path)
    assert set(again) == {"bc", "ilql", "random"}
    for agent, record in again.items():
        assert without_seconds(record) == without_seconds(records[agent])


def test_a_result_does_not_depend_on_what_the_process_did_before(records, tmp_path):
    suite = replace(EVERYBODY, agents=EVERYBODY.agents[:1], references=())
    before = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(before[1] + 1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begin_afresh()
    try:
        assert torch.get_default_dtype() == torch.float32
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        (record,) = performed(suite, tmp_path).values()
    finally:
        torch.set_num_threads(before[1])
    assert without_seconds(record) == without_seconds(records["bc"])


def without_seconds(value: Any) -> Any:
    """What a result says but for durations, and but for the clone's commit, which may change between two tests."""
    if isinstance(value, dict):
        left_out = ("seconds", "commit", "dirty")
        return {name: without_seconds(item) for name, item in value.items() if name not in left_out}
    return [without_seconds(item) for item in value] if isinstance(value, list) else value


def test_greedy_agents_play_each_start_once_and_sampled_ones_as_often_as_asked(records):
    assert [len(result(records["bc"], name).returns) for name in ("greedy", "sampled")] == [40, 80]
    assert len(result(records["random"]).returns) == 80


def test_scores_are_seen_in_the_course_of_training(records):
    curve = records["ilql"]["train"]["curve"]
    # 28,000 tokens in batches of 512 are 55 steps; points come every 50 steps and at the end, two of them are looks
    assert [point["step"] for point in curve] == [50, 55]
    assert ["score" in point for point in curve] == [True, True]
    assert curve[-1]["score"] == result(records["ilql"]).mean
    assert 0 < curve[-1]["validation_loss"] < math.log(300)  # under that of a uniform choice among all tokens


def test_another_evaluation_plays_again_without_training_again(tmp_path):
    small = replace(EVERYBODY, agents=(EVERYBODY.agents[0], EVERYBODY.agents[3]), references=())
    first = performed(small, tmp_path)
    trained = [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("*/*/*/*/train/model.safetensors"))]
    cool = replace(small.evaluation, decodings={"greedy": {"temperature": 0.0}, "cool": {"temperature": 0.1}})
    second = performed(replace(small, evaluation=cool), tmp_path)
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("*/*/*/*/train/model.safetensors"))] == trained
    for agent, record in second.items():
        assert list(record["eval"]) == ["greedy", "cool"]
        assert result(record).returns == result(first[agent]).returns
        assert record["train"]["cost"] == first[agent]["train"]["cost"]
        # what was played in the course of training was played in the other evaluation
        points = [{name: x for name, x in point.items() if name != "score"} for point in first[agent]["train"]["curve"]]
        assert record["train"]["curve"] == points


def test_another_training_is_done_anew(tmp_path):
    small = replace(EVERYBODY, agents=EVERYBODY.agents[:1], references=())
    (first,) = performed(small, tmp_path).values()
    (second,) = performed(replace(small, training=small.training | {"lr": 1e-2}), tmp_path).values()
    assert second["train"]["curve"][-1]["loss"] != first["train"]["curve"][-1]["loss"]
    assert "score" in second["train"]["curve"][-1]


def test_what_starts_from_another_training_is_trained_anew(tmp_path):
    ilql = EVERYBODY.agents[3]
    first = performed(replace(EVERYBODY, agents=(EVERYBODY.agents[0], ilql), references=()), tmp_path)
    other = replace(EVERYBODY, agents=(Agent("bc", "bc", {"lr": 1e-2}), ilql), references=())
    second = performed(other, tmp_path)
    assert second["ilql"]["run"]["config"] == first["ilql"]["run"]["config"]
    assert second["ilql"]["train"]["curve"][-1]["loss"] != first["ilql"]["train"]["curve"][-1]["loss"]


def test_an_experts_pupil_learns_from_the_experts_games_alone(records, tmp_path):
    assert records["expert-bc"]["run"]["behaviours"] == ["entropy"]
    assert records["expert-bc"]["run"]["reference"]
    pupil = Agent("pupil", "bc", behaviours=("nobody",))
    with pytest.raises(ValueError, match=r"is by \['nobody'\], they are by \['consistent', 'entropy'"):
        performed(replace(EVERYBODY, agents=(pupil,), references=()), tmp_path)


def test_the_chosen_agent_is_the_better_one_and_its_trials_are_counted(records):
    greedy = result(records["chosen"])
    assert greedy.tuning["trials"] == 2
    assert greedy.tuning["episodes"] == 16
    assert greedy.returns == result(records[greedy.tuning["chosen"]]).returns
    assert greedy.agent == "chosen"
    trained = sum(records[name]["train"]["cost"]["seconds"] for name in ("bc", "best-tenth"))
    assert records["chosen"]["train"]["cost"]["seconds"] > trained


def test_options_of_a_policy_are_chosen_in_the_same_way(records):
    greedy = result(records["with-beta"])
    assert greedy.tuning == {"trials": 2, "episodes": 16, "chosen": "ilql", "beta": 0.0}
    assert greedy.decoding["beta"] == 0.0
    assert greedy.returns == result(records["bc"]).returns  # values without weight leave pi_beta as it is


def test_the_best_of_several_plays_is_kept_for_each_start(records):
    best = result(records["best-of-4"])
    assert len(best.returns) == 40
    for value, length, episode in zip(best.returns, best.lengths, best.examples, strict=False):
        assert episode.total_return == value
        assert len([turn for turn in episode.turns if turn.role == "agent"]) == length
        assert episode.info["answer"] == episode.info["start"]["answer"]
    assert best.decoding["best_of"] == 4
    assert records["best-of-4"]["run"]["seeded"]


def test_players_have_their_exact_return_beside_what_they_played(records):
    # a uniform word of 40 at each of six guesses: minus the sum of (39/40)^k for k = 1..6
    assert records["random"]["expected_return"] == pytest.approx(-sum((39 / 40) ** k for k in range(1, 7)))
    assert records["people"]["expected_return"] == pytest.approx(-2.5, abs=0.01)
    assert result(records["people"]).mean == pytest.approx(-2.5, abs=0.8)
    assert records["bc"]["expected_return"] is None
    floor = records["people"]["loss_floor"]  # 2,000 games have .471, these 300 are as they came
    assert floor == pytest.approx(0.456, abs=0.001)
    assert records["bc"]["train"]["curve"][-1]["validation_loss"] > floor
    assert records["random"]["loss_floor"] is None


def test_agents_with_values_score_the_tokens_of_their_games(records, out):
    assert records["bc"]["scores"] == []
    assert len(records["ilql"]["scores"]) == 4
    games = load_dataset("wordle/human-v0", words="common-40", games=300)[:2]
    algorithm = agents.load(out / "everybody/wordle/ilql/seed3" / records["ilql"]["train"]["checkpoint"])
    for game, episode in zip(token_scores(algorithm, games), games, strict=True):
        guesses = [turn.text for turn in episode.turns if turn.role == "agent"]
        assert [turn["text"] for turn in game] == [[*guess, ""] for guess in guesses]  # the last ends the turn
        for turn in game:
            differences = [q - v for q, v in zip(turn["q"], turn["v"], strict=True)]
            assert differences == pytest.approx(turn["advantage"], abs=2e-4)
            assert all(value <= 0 for value in turn["logp"])


def test_values_are_compared_with_exact_ones(records):
    critics = records["ilql"]["critics"]
    # returns say what the regrets sum to: the optimum's -1.3 minus the agent's
    assert sum(critics["regret"]["own"]) == pytest.approx(-1.3 - result(records["ilql"]).mean)
    assert records["bc"]["critics"] == records["random"]["critics"] == {}


def test_on_branching_data_the_preferred_openers_are_seen_in_training_and_after_it(tmp_path):
    task = replace(EVERYBODY.tasks[0], dataset="wordle/branching-v0", variant={"words": "common-40", "games": 60})
    ilql = Agent("ilql", "ilql", tokens=512)
    record = performed(replace(EVERYBODY, tasks=(task,), agents=(ilql,), references=()), tmp_path)["ilql"]
    assert 0 <= record["train"]["curve"][-1]["opener_share"] <= 1
    assert 0 <= record["critics"]["share"] <= 1
    assert len(record["critics"]["q"]) > 20
