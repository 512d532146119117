"""What is asked of every agent with a weighted likelihood; known answers stand in `test_likelihood_answers.py`."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import agents
from agents import checkpoints, losses
from agents.algorithm import Algorithm
from agents.alol import ALOL, ALOLKL, RLOL, ALOLRefFree, ALOLSeq, clip, turn_ratio
from agents.batch import TokenBatch, agent_tokens, collate, pack
from agents.bc import BC, FilteredBC
from agents.data import encode_dataset
from agents.dt import DT
from agents.iqlearn import IQLearn, implied_reward
from agents.likelihood import Likelihood, LikelihoodConfig
from agents.losses import log_probs_at, reweighted_likelihood, row_logsumexp, token_log_probs
from agents.reward_weighted import Refit, Swift, standardised
from agents.tokenizers import TurnTokenizer
from agents.trainer import TrainConfig, train
from lmrl_envs.core import Turn
from lmrl_envs.datasets import DatasetMetadata, TextDataset, write_dataset
from lmrl_envs.evaluate import evaluate
from tests.agents.games import NANO, batch_of, left_padded, make_episode

F64 = torch.float64
EVERY = [BC, FilteredBC, ALOL, ALOLRefFree, ALOLSeq, ALOLKL, RLOL, Refit, Swift, IQLearn, DT]
WITH_REFERENCE = [ALOL, ALOLRefFree, ALOLSeq, ALOLKL, RLOL]
SHORT = {"model": NANO, "steps": 50, "tokens_per_batch": 250, "save_every": 20, "warmup": 5, "device": "cpu"}


@pytest.fixture(scope="module")
def reference(games: TextDataset, tokenizer: TurnTokenizer, tmp_path_factory) -> str:
    """The folder of a clone of the games."""
    folder = tmp_path_factory.mktemp("bc")
    train(BC(BC.Config(**{**SHORT, "lr": 3e-3}), tokenizer, seed=7), games, out=folder)
    return str(folder)


def f64(*values: float, grad: bool = False) -> torch.Tensor:
    return torch.tensor(values, dtype=F64, requires_grad=grad)


def annotated(rows, order: list[int] | None = None) -> TokenBatch:
    """A batch of the shared rows, with a weight and ln pi_ref that belong to each row and place."""
    columns: dict[str, list[np.ndarray]] = {"weight": [], "ref_logp": []}
    chosen = list(range(len(rows))) if order is None else order
    for number in chosen:
        agent, turn = np.array(rows[number].agent), np.array(rows[number].turn)
        columns["weight"].append((0.3 * number - 0.4 + 0.2 * turn) * agent)
        columns["ref_logp"].append(-(3.9 + 0.01 * np.arange(len(agent)) + 0.05 * number) * agent)
    flat = {name: np.concatenate(parts).astype(np.float32) for name, parts in columns.items()}
    return collate([rows[number] for number in chosen], flat)


# --- Losses, by hand.


def test_a_ratio_is_the_product_over_its_turn():
    log_ratio = f64(math.log(2), math.log(3), math.log(0.5), math.log(0.1))
    rho = turn_ratio(log_ratio, torch.tensor([0, 0, 1, 2]))
    assert rho.tolist() == pytest.approx([6, 6, 0.5, 0.1])
    assert clip(rho, 0.9).tolist() == pytest.approx([1.9, 1.9, 0.5, 0.1])
    assert clip(f64(0.05, 1.0, 1.95), 0.9).tolist() == pytest.approx([0.1, 1.0, 1.9])


@pytest.mark.parametrize(
    ("algorithm", "ratios"),
    [
        # two turns: tokens (.5, .5) with pi_ref (.25, .25), so 2 * 2 = 4 -> 1.9; and .2 with pi_ref .4
        (ALOL, (1.9, 1.9, 0.5)),
        (RLOL, (1.9, 1.9, 0.5)),
        (ALOLSeq, (1.9, 1.9, 0.5)),
        (ALOLRefFree, (1, 1, 1)),
        (ALOLKL, (1, 1, 1)),
        (Refit, (1, 1, 1)),
        (Swift, (1, 1, 1)),
    ],
)
def test_the_loss_by_hand(tokenizer, monkeypatch, algorithm, ratios):
    """Two episodes: - (1 / 2) sum of weight * ratio * ln pi, over three agent tokens."""
    pi = (0.5, 0.5, 0.2)
    clone = BC(TrainConfig(model=NANO), tokenizer)
    batch = collate([clone.encode(make_episode([text], won=False)) for text in ("a", "")])
    assert batch.action_mask.tolist() == [[True] * 2 + [False] * 6, [True] + [False] * 7]
    for name, values in (("weight", (3.0, 3.0, -2.0)), ("ref_logp", np.log([0.25, 0.25, 0.4]))):
        batch.columns[name] = torch.zeros(2, 8)
        batch.columns[name][batch.action_mask] = torch.tensor(values, dtype=torch.float32)
    agent = algorithm(algorithm.Config(model=NANO), tokenizer)
    agent.lm.lm_head = torch.nn.Linear(3, len(tokenizer), bias=False, dtype=F64)
    tokens = agent_tokens(batch, pack(batch))
    with torch.no_grad():  # state k says pi[k] to token k, and shares the rest among all others
        for k, (token, p) in enumerate(zip(tokens.token.tolist(), pi, strict=True)):
            agent.lm.lm_head.weight[:, k] = math.log((1 - p) / (len(tokenizer) - 1))
            agent.lm.lm_head.weight[token, k] = math.log(p)
    monkeypatch.setattr(agent, "states", lambda batch: (tokens, torch.eye(3, dtype=F64)))
    loss, terms = agent.loss(batch)
    expected = -sum(w * r * math.log(p) for w, r, p in zip((3, 3, -2), ratios, pi, strict=True)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert terms["weight"].item() == pytest.approx(4 / 3)
    assert agent.loss_weight(batch) == 2
    if algorithm is ALOLKL:  # two turns: - (2 ln 2) and + ln 2
        assert terms["kl"].item() == pytest.approx(-math.log(2) / 2, rel=1e-6)
    if isinstance(agent, ALOL):
        assert terms["ratio"].item() == pytest.approx((1.9 + 1.9 + 0.5) / 3, rel=1e-6)
        assert terms["clipped"].item() == pytest.approx(2 / 3)


def test_ratios_of_a_turn_and_of_a_token_differ():
    log_ratio, turn = f64(math.log(1.5), math.log(0.5)), torch.tensor([0, 0])
    assert ALOL.ratio(None, log_ratio, turn).tolist() == pytest.approx([0.75, 0.75])
    assert ALOLSeq.ratio(None, log_ratio, turn).tolist() == pytest.approx([1.5, 0.5])


def test_standardised_by_hand():
    z = standardised(np.array([1.0, 3.0, 5.0, 7.0, 0.1, 0.1, 0.1, 2.0]), np.array([4, 4, 9, 9, 1, 1, 1, 5]))
    assert z.tolist() == [-1, 1, -1, 1, 0, 0, 0, 0]  # three tenths do not sum to their mean exactly: still no weight
    assert standardised(np.array([0.0, 0.0, 3.0]), np.zeros(3)).tolist() == pytest.approx(
        [-1 / math.sqrt(2), -1 / math.sqrt(2), math.sqrt(2)]
    )


def test_implied_reward_by_hand():
    assert implied_reward(f64(1.0, -1.0), f64(2.0, 99.0), f64(0.95, 0.0)).tolist() == pytest.approx([-0.9, -1.0])


@pytest.mark.parametrize("chunk", [1, 40, 10**6])
def test_weights_that_depend_on_pi_get_no_gradient(monkeypatch, chunk: int):
    monkeypatch.setattr(losses, "CHUNK", chunk)
    torch.manual_seed(0)
    head, h = torch.nn.Linear(5, 11, dtype=F64), torch.randn(7, 5, dtype=F64, requires_grad=True)
    token = torch.randint(11, (7,))
    logp = token_log_probs(head(h), token)
    assert torch.allclose(log_probs_at(h, head, token), logp)
    expected = torch.autograd.grad(-(logp.detach().exp() * logp).sum(), [h, *head.parameters()])
    value = reweighted_likelihood(h, head, token, lambda logp: logp.exp())
    assert value.item() == pytest.approx(-(logp.exp() * logp).sum().item(), rel=1e-6)
    for one, other in zip(torch.autograd.grad(value, [h, *head.parameters()]), expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-6)
    lse = row_logsumexp(h, head)
    assert torch.allclose(lse, head(h).logsumexp(-1))
    slopes = torch.autograd.grad((lse**2).sum(), [h, *head.parameters()])
    plain = torch.autograd.grad((head(h).logsumexp(-1) ** 2).sum(), [h, *head.parameters()])
    for one, other in zip(slopes, plain, strict=True):
        assert torch.allclose(one, other, rtol=1e-6)


def double(agent: Likelihood) -> Likelihood:
    """In float64, with a second term of IQLearn that counts."""
    if isinstance(agent, IQLearn):
        agent.td_now.fill_(0.3)
    return agent.double()


@pytest.mark.parametrize("algorithm", EVERY)
def test_gradients_agree_with_finite_differences(algorithm, tokenizer, rows):
    """Of a parameter that all states depend on. Weights are held where they are, so ratios are taken at the start."""
    agent = double(algorithm(algorithm.Config(model=NANO), tokenizer, seed=3))
    batch = annotated(rows)
    parameter = agent.lm.base_model.h[0].mlp.c_fc.bias
    agent.loss(batch)[0].backward()
    gradient = parameter.grad.clone()
    if isinstance(agent, ALOL):  # ratios at the start, which the loss must not run its gradient through
        _, logp = agent.log_probs(batch)
        ratio, turn = agent.ratio, agent_tokens(batch, pack(batch)).turn
        fixed = ratio(logp.detach() - batch.columns["ref_logp"][batch.action_mask], turn)
        agent.ratio = lambda log_ratio, turn: fixed
    for at in range(3):
        values = []
        for shift in (1e-5, -1e-5):
            with torch.no_grad():
                parameter[at] += shift
                values.append(agent.loss(batch)[0].item())
                parameter[at] -= shift
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(gradient[at].item(), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("algorithm", EVERY)
def test_the_loss_does_not_change_with_padding_side_batch_mates_or_row_order(algorithm, tokenizer, rows):
    agent = double(algorithm(algorithm.Config(model=NANO), tokenizer, seed=2))
    batch = annotated(rows)
    loss = agent.loss(batch)[0].item()
    moved = left_padded(batch)
    shift = (~batch.attention_mask).sum(1)
    columns = {
        name: torch.stack([torch.roll(row, int(s)) for row, s in zip(column, shift, strict=True)])
        for name, column in batch.columns.items()
    }
    assert agent.loss(moved._replace(columns=columns))[0].item() == pytest.approx(loss, rel=1e-6)
    assert agent.loss(annotated(rows, [3, 1, 4, 0, 2]))[0].item() == pytest.approx(loss, rel=1e-6)
    alone = [annotated(rows, [i]) for i in range(len(rows))]
    shares = [agent.loss_weight(batch) for batch in alone]
    mean = sum(agent.loss(b)[0].item() * share for b, share in zip(alone, shares, strict=True)) / sum(shares)
    assert mean == pytest.approx(loss, rel=1e-6)


def test_rows_that_were_cut_go_on_and_lost_games_end_in_iqlearn(tokenizer, rows):
    agent = double(IQLearn(IQLearn.Config(model=NANO), tokenizer, seed=0))
    with torch.no_grad():
        agent.lm.base_model.ln_f.weight.zero_()  # every logit is 0, so that every V is ln 64
    ln_V = math.log(len(tokenizer))
    for index, following in ((2, 0.0), (3, 0.95 * ln_V)):
        agent.zero_grad()
        batch = batch_of(rows, [index])
        K = int(batch.action_mask.sum())
        turns = int(batch.turn.max()) + 1
        inside = K - turns  # tokens that the same turn goes on after
        squares = inside * ln_V**2 + (turns - 1) * (0.95 * ln_V) ** 2 + following**2
        assert agent.loss(batch)[1]["L_TD"].item() == pytest.approx(squares / K, rel=1e-6)


def test_iqlearn_with_lambda_0_is_bc_to_the_bit(games, tokenizer, tmp_path):
    results = [
        train(algorithm(algorithm.Config(**SHORT, **more), tokenizer, seed=5), games, out=tmp_path / algorithm.name)
        for algorithm, more in ((BC, {}), (IQLearn, {"td_weight": 0.0}))
    ]
    assert [[p["loss"] for p in result.curve] for result in results] == [[results[0].curve[-1]["loss"]]] * 2
    assert "L_TD" not in results[1].curve[-1]  # the second term is not even computed
    for one, other in zip(*(result.algorithm.lm.parameters() for result in results), strict=True):
        assert torch.equal(one, other)


def test_iqlearn_uses_no_reward_and_warms_up(tokenizer, rows):
    agent = IQLearn(IQLearn.Config(model=NANO, td_weight=0.4, td_warmup=4), tokenizer, seed=0)
    weights = []
    for step in range(-1, 5):
        agent.after_step(step)
        weights.append(agent.td_now.item())
    assert weights == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.4])
    batch = batch_of(rows)
    assert "rewards" not in agent.needs
    paid = batch._replace(rewards=batch.rewards + 7, returns=batch.returns + 7)
    assert agent.loss(paid)[0].item() == agent.loss(batch)[0].item()


# --- Whole runs.


@pytest.mark.parametrize("algorithm", EVERY)
def test_it_trains_resumes_comes_back_and_plays(algorithm, games, tokenizer, reference, tmp_path):
    config = algorithm.Config(**SHORT, pi_ref=reference)
    whole = train(algorithm(config, tokenizer), games, out=tmp_path / "whole")
    assert whole.steps == 50
    assert math.isfinite(whole.curve[-1]["loss"])

    class Stopped(Exception):  # noqa: N818 - no error
        pass

    broken = algorithm(config, tokenizer)
    goes_on = broken.after_step

    def stop(step: int) -> None:
        goes_on(step)
        if step == 30:
            raise Stopped

    broken.after_step = stop
    with pytest.raises(Stopped):
        train(broken, games, out=tmp_path / "broken")
    again = train(algorithm(config, tokenizer), games, out=tmp_path / "broken")
    for one, other in zip(
        checkpoints.weights(whole.algorithm).values(), checkpoints.weights(again.algorithm).values(), strict=True
    ):
        assert torch.equal(one, other)

    loaded = agents.load(tmp_path / "whole", device="cpu")
    assert type(loaded) is algorithm is agents.algorithm_class(algorithm.name)
    assert loaded.config == config
    played = evaluate(
        loaded.policy(temperature=1.0), "Wordle-v0", episodes=4, env_kwargs={"words": "common-40"}, progress=False
    )
    assert len(played.returns) == 4
    assert loaded.score(collate([loaded.encode(games[0])])).logp.isfinite().any()


def test_the_policy_starts_as_the_reference(tokenizer, reference):
    clone = agents.load(reference, device="cpu")
    agent = ALOL(ALOL.Config(model=NANO, pi_ref=reference), tokenizer, seed=11)
    for one, other in zip(agent.lm.parameters(), clone.lm.parameters(), strict=True):
        assert torch.equal(one, other)


def test_at_the_start_a_lol_is_ref_free(games, tokenizer, reference):
    """pi = pi_ref, so that every ratio is 1: cached log-probabilities are those of the tokens that they stand at."""
    batches = {}
    for algorithm in (ALOL, ALOLSeq, ALOLKL, ALOLRefFree):
        agent = algorithm(algorithm.Config(**SHORT, pi_ref=reference), tokenizer)
        prepared = agent.prepare(games)
        batches[algorithm] = agent, encode_dataset(agent, games).batch(np.arange(40), prepared.columns)
    plain = batches[ALOLRefFree][0].loss(batches[ALOLRefFree][1])[0].item()
    for algorithm in (ALOL, ALOLSeq):
        agent, batch = batches[algorithm]
        loss, terms = agent.loss(batch)
        assert loss.item() == pytest.approx(plain, rel=1e-4)
        assert terms["ratio"].item() == pytest.approx(1, abs=1e-4)
    agent, batch = batches[ALOLKL]
    assert agent.loss(batch)[1]["kl"].item() == pytest.approx(0, abs=1e-4)
    assert torch.allclose(batch.columns["weight"], (batches[ALOL][1].columns["weight"] - 0.1) * batch.action_mask)


def test_alol_kl_ends_its_run_at_the_budget(games, tokenizer, reference, tmp_path):
    config = ALOLKL.Config(**{**SHORT, "steps": 400, "lr": 3e-3}, pi_ref=reference, kl_weight=2.0, kl_budget=0.5)
    result = train(ALOLKL(config, tokenizer), games, out=tmp_path)
    assert result.steps < 400
    stopped = checkpoints.read_agent(tmp_path)["trained"]["stopped"]
    assert stopped.startswith("KL(pi_ref || pi) of ")
    assert float(stopped.split(" of ")[1].split()[0]) > 0.5


def test_the_map_of_returns_is_kept_with_the_agent(games, tokenizer, reference, tmp_path):
    for algorithm in (Refit, RLOL):
        config = algorithm.Config(**{**SHORT, "steps": 1}, pi_ref=reference)
        train(algorithm(config, tokenizer), games, out=tmp_path / algorithm.name)
        loaded = agents.load(tmp_path / algorithm.name, device="cpu")
        assert (loaded.map.low.item(), loaded.map.high.item()) == (-6.0, 0.0)
        assert loaded.map(np.array([-6.0, -3.0, 0.0, 5.0])).tolist() == [0.0, 0.5, 1.0, 1.0]


def test_refit_weighs_every_turn_by_the_whole_return_and_rlol_by_what_follows(games, tokenizer, reference):
    store = encode_dataset(BC(BC.Config(model=NANO), tokenizer), games)
    starts, row = store.turn_starts(), store.row_of_tokens()[store.turn_starts()]
    before = np.arange(len(starts)) - np.searchsorted(row, row)  # guesses made already, each of them -1
    for algorithm, R in ((Refit, games.returns[row]), (RLOL, games.returns[row] + before)):
        agent = algorithm(algorithm.Config(model=NANO, pi_ref=reference), tokenizer)
        assert agent.prepare(games).columns["weight"][starts] == pytest.approx((R + 6) / 6, abs=1e-6)


def test_swift_on_one_empty_start_is_standardised_over_everything(games, tokenizer):
    agent = Swift(Swift.Config(model=NANO), tokenizer)
    weight = agent.prepare(games).columns["weight"]
    store = encode_dataset(agent, games)
    z = (games.returns - games.returns.mean()) / games.returns.std()
    assert weight[store.agent] == pytest.approx(z[store.row_of_tokens()][store.agent], abs=1e-5)


def test_swift_by_the_hidden_word(games, tokenizer):
    agent = Swift(Swift.Config(model=NANO, instance="answer"), tokenizer)
    answers = np.array([episode.info["answer"] for episode in games])
    weight, store = agent.prepare(games).columns["weight"], encode_dataset(agent, games)
    first = weight[store.turn_starts()[np.r_[True, np.diff(store.row_of_tokens()[store.turn_starts()]) > 0]]]
    for answer in np.unique(answers):
        R = games.returns[answers == answer]
        assert first[answers == answer] == pytest.approx((R - R.mean()) / (R.std() or 1.0), abs=1e-5)
    wrong = Swift(Swift.Config(model=NANO, instance="word"), tokenizer)
    with pytest.raises(
        ValueError, match=r"episode 0 has no info\['word'\]; take another instance, of \['answer', 'behaviour', "
    ):
        wrong.prepare(games)


# --- What data lack is said before training.


@pytest.mark.parametrize("algorithm", WITH_REFERENCE)
def test_a_reference_is_asked_for(algorithm, games, tokenizer, tmp_path):
    message = (
        rf"{algorithm.name} needs a reference model of the 300 episodes of wordle/human-v0, and has none; "
        r"train one by `python -m agents.bc` .* give its folder as pi_ref"
    )
    with pytest.raises(ValueError, match=message):
        train(algorithm(algorithm.Config(**SHORT), tokenizer), games, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", [{"positive": True}, {"priority": True}])
def test_options_that_need_values_ask_for_a_reference(option, games, tokenizer, tmp_path):
    with pytest.raises(ValueError, match="refit needs a reference model"):
        train(Refit(Refit.Config(**SHORT, **option), tokenizer), games, out=tmp_path)


@pytest.mark.parametrize("algorithm", [Refit, RLOL])
def test_raw_returns_must_not_be_negative(algorithm, games, tokenizer, reference, tmp_path):
    config = algorithm.Config(**SHORT, pi_ref=reference, returns="raw")
    message = r"needs returns of at least 0, and the least in the 300 episodes of wordle/human-v0 is -6.0; let it map"
    with pytest.raises(ValueError, match=message):
        train(algorithm(config, tokenizer), games, out=tmp_path)


def chats(folder: Path, starts: list[str], returns: list[float]) -> TextDataset:
    episodes = [
        dataclasses.replace(make_episode([]), env_id=None, turns=(Turn("env", start), Turn("agent", "crane", value)))
        for start, value in zip(starts, returns, strict=True)
    ]
    return write_dataset(folder / "chats.parquet", episodes, DatasetMetadata(dataset_id="mine/chats"))


def test_groups_are_asked_for(tokenizer, tmp_path):
    data = chats(tmp_path, ["x", "x", "y", "z"], [1.0, 2.0, 3.0, 4.0])
    message = (
        r"swift compares episodes .* of 3 starts in the 4 episodes of mine/chats 2 have one episode; take .* refit"
    )
    with pytest.raises(ValueError, match=message):
        train(Swift(Swift.Config(**SHORT), tokenizer), data, out=tmp_path / "run")
    pairs = chats(tmp_path, ["x", "x", "y", "y", "z"], [1.0, 2.0, 3.0, 4.0, 5.0])
    assert train(Swift(Swift.Config(**{**SHORT, "steps": 2}), tokenizer), pairs, out=tmp_path / "pairs").steps == 2


def test_equal_returns_leave_nothing_to_weigh_by(tokenizer, tmp_path):
    data = chats(tmp_path, ["x", "y"], [2.0, 2.0])
    with pytest.raises(ValueError, match=r"every return is 2.0: there is nothing to weigh by; take bc"):
        train(Refit(Refit.Config(**SHORT), tokenizer), data, out=tmp_path / "run")


def test_rollouts_need_an_environment(tokenizer, reference, tmp_path):
    data = chats(tmp_path, ["x"] * 6, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    config = ALOL.Config(**SHORT, pi_ref=reference, value="rollouts")
    with pytest.raises(ValueError, match=r"no environment produced these; take value='logged'"):
        train(ALOL(config, tokenizer), data, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"priority": "pape"}, "priority must be False, True or 'paper', got 'pape'"),
        ({"value": "rollout"}, "unknown value 'rollout'; did you mean 'rollouts'"),
        ({"max_weight": 0.0}, "max_weight must be above 0"),
        ({"rollouts": 0}, "rollouts must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        LikelihoodConfig(**wrong)


@pytest.mark.parametrize(
    ("algorithm", "wrong"),
    [(ALOL, {"eps": 1.5}), (IQLearn, {"td_weight": -1.0}), (IQLearn, {"td_warmup": -1})],
)
def test_settings_that_make_no_sense_are_refused(algorithm, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        algorithm.Config(**wrong)


# --- Options that all have.


@pytest.mark.parametrize("algorithm", EVERY)
def test_every_agent_filters_bounds_and_draws(algorithm, games, tokenizer, reference):
    base = {**SHORT, "pi_ref": reference}
    plain = algorithm(algorithm.Config(**base), tokenizer)
    given = plain.prepare(games)
    agent = algorithm(algorithm.Config(**base, positive=True, max_weight=0.3, priority="paper"), tokenizer)
    data, columns, draws = agent.prepare(games)
    store, ref_free = encode_dataset(agent, data), ALOLRefFree(ALOLRefFree.Config(**base), tokenizer)
    starts = encode_dataset(ref_free, data).turn_starts()  # dt reads its return as well
    advantage = ref_free.prepare(data).columns["weight"][starts]
    before = np.ones(len(starts)) if given.columns is None else given.columns["weight"][store.turn_starts()]
    expected = np.clip(np.where(advantage > 0, before, 0), -0.3, 0.3)[store.turn_of_tokens()] * store.agent
    assert columns["weight"] == pytest.approx(expected, abs=1e-6)
    row = store.row_of_tokens()[store.turn_starts()]
    assert draws == pytest.approx(np.bincount(row, weights=advantage), rel=1e-5, abs=1e-6)
    assert (draws > 0).any()
    assert (draws == 0).any()


@pytest.mark.parametrize("algorithm", [ALOLRefFree, ALOL])
def test_priority_sampling_leaves_the_expected_loss(algorithm, games, tokenizer, reference):
    base = {**SHORT, "pi_ref": reference}
    plain, drawn = (algorithm(algorithm.Config(**base, priority=p), tokenizer) for p in (False, True))
    store = encode_dataset(plain, games)
    uniform = plain.prepare(games)
    assert uniform.weights is None
    _, columns, draws = drawn.prepare(games)
    chance = draws / draws.sum()
    assert uniform.columns["weight"] / len(games) == pytest.approx(
        columns["weight"] * chance[store.row_of_tokens()], abs=1e-7
    )


def test_plain_settings_are_those_of_an_agent_without_options(games, tokenizer):
    agent = BC(TrainConfig(**SHORT), tokenizer)
    assert agent.config == BC.Config(**SHORT)
    assert agent.prepare(games) == (games, None, None)


def test_costs_count_what_is_kept(games, tokenizer, reference):
    agents_of = {a: a(a.Config(**SHORT, pi_ref=reference), tokenizer) for a in (BC, Refit, ALOL)}
    for agent in agents_of.values():
        agent.prepare(games)
    tokens = len(encode_dataset(agents_of[BC], games).ids)
    extra = {algorithm: agent.cost()["extra_bytes"] for algorithm, agent in agents_of.items()}
    assert extra == {BC: 0, Refit: 4 * tokens, ALOL: 8 * tokens}
    assert {agent.cost()["forward_passes"] for agent in agents_of.values()} == {1}
    assert len({agent.cost()["parameters"] for agent in agents_of.values()}) == 1


def test_algorithms_are_one_file_of_at_most_200_lines_and_do_not_import_each_other():
    folder = Path(agents.__file__).parent
    files = {spec.split(":")[0].split(".")[1] for spec in agents.ALGORITHMS.values()}
    for name in files:
        text = (folder / f"{name}.py").read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 200, name
        for other in files - {name}:
            assert f"agents.{other} " not in text, (name, other)
            assert f"import {other}" not in text, (name, other)
    assert all(issubclass(agents.algorithm_class(name), Algorithm) for name in agents.ALGORITHMS)
