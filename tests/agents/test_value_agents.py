"""What is asked of every agent with values, and of DT; their known answers stand in `test_value_answers.py`."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import agents
from agents import model
from agents.algorithm import Algorithm
from agents.batch import agent_tokens, collate, pack
from agents.bc import BC
from agents.command import main
from agents.cql import CQL, cql_loss
from agents.dt import DT, DTConfig, quantile_scores
from agents.ilql import AWR, ILQL, SARSA, awr_weights, ilql_loss
from agents.losses import conservative, discounted_sums
from agents.mc import MC, mc_loss, returns_to_go
from agents.model import ValueHeads
from agents.psi import Psi, psi_loss
from agents.tokenizers import TurnTokenizer, byte_pair_tokenizer, encode_episode
from agents.trainer import TrainConfig, train
from lmrl_envs.core import Episode, Turn
from lmrl_envs.datasets import DatasetMetadata, TextDataset, write_dataset
from lmrl_envs.evaluate import evaluate
from tests.agents.games import NANO, batch_of, left_padded

F64 = torch.float64
CRITICS = [ILQL, SARSA, AWR, CQL, MC, Psi]
EVERY = [*CRITICS, DT]
SHORT = {"model": NANO, "steps": 50, "tokens_per_batch": 250, "save_every": 20, "warmup": 5, "device": "cpu"}


def f64(*values: float, grad: bool = False) -> torch.Tensor:
    return torch.tensor(values, dtype=F64, requires_grad=grad)


# --- Losses, by hand.


def test_conservative_by_hand():
    # head 1: ln(e^0 + e^0) - 0 in both states; head 2: 3 - 1, 5 - 2
    assert conservative([f64(0, 0), f64(1, 2)], [f64(math.log(2))[0], f64(4)[0]]).item() == pytest.approx(
        math.log(2) + 2.5
    )


def test_discounted_sums_by_hand():
    reward, discount = f64(1, 2, 3, 4, 5), f64(0.5, 0.5, 0, 0.1, 0)  # two rows: three tokens and two
    assert discounted_sums(reward, discount).tolist() == pytest.approx([1 + 0.5 * 3.5, 2 + 0.5 * 3, 3, 4.5, 5])
    rng = np.random.default_rng(0)
    reward, discount = rng.normal(size=37), rng.random(37) * (rng.random(37) > 0.1)
    expected = reward.copy()
    for k in range(35, -1, -1):
        expected[k] += discount[k] * expected[k + 1]
    assert discounted_sums(torch.tensor(reward), torch.tensor(discount)).numpy() == pytest.approx(expected)


def test_cql_loss_by_hand():
    terms = cql_loss(
        Q=[f64(1, 0), f64(0, 3)],
        logsumexp_Q=[f64(2)[0], f64(3)[0]],
        target_Q=f64(1, -1),
        target_max_next=f64(4, 99),
        V=f64(0, 1),
        reward=f64(0, -1),
        discount=f64(0.5, 0),
    )
    # y = (2, -1); Q_1: 1, 1; Q_2: 4, 16
    assert terms.L_Q.item() == pytest.approx((1 + 1) / 2 + (4 + 16) / 2)
    assert terms.L_V.item() == pytest.approx(0.5 * (1 + 4) / 2)
    assert terms.L_CQL.item() == pytest.approx((2 - 0.5) + (3 - 1.5))


def test_mc_loss_by_hand():
    terms = mc_loss(Q=[f64(1, 0), f64(0, 3)], logsumexp_Q=[f64(2)[0], f64(3)[0]], V=f64(0, 1), G=f64(2, -1))
    assert terms.L_Q.item() == pytest.approx((1 + 1) / 2 + (4 + 16) / 2)
    assert terms.L_V.item() == pytest.approx((4 + 4) / 2)  # not halved
    assert terms.L_CQL.item() == pytest.approx((2 - 0.5) + (3 - 1.5))


def test_psi_loss_by_hand():
    given = {"V_next": f64(2, 99), "log_prior": f64(-1, -2), "reward": f64(0, 0.1), "discount": f64(0.5, 0)}
    # y = 0 / .1 - 1 + .5 * 2 = 0, and .1 / .1 - 2 + 0 = -1
    loss = psi_loss(Q=[f64(0.5, -1), f64(-3, 0)], scale=0.1, **given)
    assert loss.item() == pytest.approx((0.5 * 0.25 + 0) / 2 + ((3 - 0.5) + 0.5) / 2)
    wide = psi_loss(Q=[f64(0.5, -1), f64(-3, 0)], scale=0.1, huber_delta=5.0, **given)
    assert wide.item() == pytest.approx((0.5 * 0.25 + 0) / 2 + (0.5 * 9 + 0.5) / 2)


def test_awr_weights_by_hand():
    assert awr_weights(f64(0, 1, -1, 5, 1e9), 2.0, 20.0).tolist() == pytest.approx(
        [1, math.exp(2), math.exp(-2), 20, 20]
    )


def test_gradients_agree_with_finite_differences():
    Q, lse, V = f64(0.3, -0.7, grad=True), f64(0.4, grad=True), f64(0.2, 0.9, grad=True)
    fixed = {"reward": f64(0.5, -1), "discount": f64(0.9, 0)}
    targets = {"target_Q": f64(1, -1), "target_max_next": f64(2, 7)}
    check = torch.autograd.gradcheck
    rest = {"target_Q": f64(1, -1), "V_next": f64(2, 7), **fixed}
    assert check(lambda q, s, v: sum(ilql_loss(Q=[q], logsumexp_Q=[s[0]], V=v, tau=0.9, **rest)), (Q, lse, V))
    assert check(lambda q, s, v: sum(cql_loss(Q=[q], logsumexp_Q=[s[0]], V=v, **targets, **fixed)), (Q, lse, V))
    assert check(lambda q, s, v: sum(mc_loss(Q=[q], logsumexp_Q=[s[0]], V=v, G=f64(1, 2))), (Q, lse, V))
    prior = {"V_next": f64(2, 7), "log_prior": f64(-1, -2), "scale": 0.7}
    assert check(lambda q: psi_loss(Q=[q], **prior, **fixed), Q)


def test_targets_get_no_gradient():
    target, V, Q = f64(2, grad=True), f64(1, grad=True), f64(0.5, grad=True)
    rest = {"reward": f64(0), "discount": f64(1)}
    lse = {"logsumexp_Q": [f64(0)[0]]}
    terms = cql_loss(Q=[Q], target_Q=target, target_max_next=target, V=V, **lse, **rest)
    (terms.L_V + terms.L_Q + psi_loss(Q=[Q], V_next=target, log_prior=f64(0), scale=1.0, **rest)).backward()
    assert target.grad is None


# --- What they are made of.


@pytest.fixture(params=CRITICS, ids=lambda algorithm: algorithm.name)
def critic(request: pytest.FixtureRequest, tokenizer: TurnTokenizer) -> Algorithm:
    return request.param(request.param.Config(model=NANO), tokenizer, seed=2)


@pytest.mark.parametrize("algorithm", [AWR, CQL, MC, Psi, DT], ids=lambda algorithm: algorithm.name)
def test_loss_and_scores_do_not_change_with_padding_side_batch_mates_or_row_order(algorithm, tokenizer, rows):
    agent = algorithm(algorithm.Config(model=NANO), tokenizer, seed=2)
    whole = batch_of(rows)
    loss = agent.loss(whole)[0].item()
    assert agent.loss(left_padded(whole))[0].item() == pytest.approx(loss, rel=1e-5)
    assert agent.loss(batch_of(rows, [3, 1, 4, 0, 2]))[0].item() == pytest.approx(loss, rel=1e-5)
    counts = [sum(row.agent) for row in rows]
    alone = [agent.loss(batch_of(rows, [i]))[0].item() for i in range(len(rows))]
    assert loss == pytest.approx(np.average(alone, weights=counts), rel=1e-5)
    together = agent.score(whole)
    for i, row in enumerate(rows):
        one, length = agent.score(batch_of(rows, [i])), len(row.ids) - 1
        for ours, its in zip(together, one, strict=True):
            assert torch.allclose(ours[i, :length], its[0], atol=1e-5, equal_nan=True)
            assert ours[i, length:].isnan().all()


def test_a_row_cut_from_outside_bootstraps_and_a_lost_game_does_not(critic, rows):
    """Every V and every target Q is raised by 100: targets of a lost game's last token stay, a cut row's follow."""
    lost, cut = batch_of(rows, [2]), batch_of(rows, [3])
    assert lost.next_state[lost.action_mask][-1] == -1 < cut.next_state[cut.action_mask][-1]
    only_last = [batch._replace(action_mask=final_token(batch)) for batch in (lost, cut)]
    before = [critic.loss(batch)[1]["L_Q"].item() for batch in only_last]
    with torch.no_grad():
        if critic.has_v:
            critic.v.out.bias += 100.0
        for head in critic.target_q if critic.has_target else ():
            head.out.bias += 100.0
    after = [critic.loss(batch)[1]["L_Q"].item() for batch in only_last]
    assert after[0] == pytest.approx(before[0], rel=1e-6)
    assert after[1] > before[1] + 50


def final_token(batch) -> torch.Tensor:
    """(B, T), True at each row's last agent token alone."""
    mask = torch.zeros_like(batch.action_mask)
    T = mask.shape[1]
    mask[torch.arange(len(mask)), (torch.arange(T) * batch.action_mask).argmax(1)] = True
    return mask


def test_returns_to_go_of_games_by_hand(rows):
    """-1 a guess but for the one that wins; .5 from turn to turn."""
    batch = batch_of(rows, [1, 2, 3])
    tokens = agent_tokens(batch, pack(batch), gamma_turn=0.5)
    G = returns_to_go(tokens, torch.full((len(tokens.at),), 8.0))
    won, lost, cut = (G[tokens.row == row].tolist() for row in range(3))
    assert won == [-1] * 6 + [0] * 6
    assert lost == [-1.75] * 6 + [-1.5] * 6 + [-1] * 6
    assert cut == [-1 + 0.5 * (-1 + 0.5 * 8)] * 6 + [-1 + 0.5 * 8] * 6


def test_returns_to_go_are_targets(rows):
    batch = batch_of(rows, [3])
    tokens = agent_tokens(batch, pack(batch))
    assert not returns_to_go(tokens, torch.ones(len(tokens.at), requires_grad=True)).requires_grad


@pytest.mark.parametrize("algorithm", [ILQL, SARSA, AWR, CQL, MC], ids=lambda algorithm: algorithm.name)
def test_the_loss_is_the_weighted_sum_of_its_terms(algorithm, tokenizer, rows):
    agent = algorithm(algorithm.Config(model=NANO, cql_weight=0.7), tokenizer, seed=1)
    loss, terms = agent.loss(batch_of(rows))
    expected = terms["L_V"] + terms["L_Q"] + 0.7 * terms["L_CQL"] + terms["L_BC"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_maxima_in_chunks_are_those_of_all_rows(monkeypatch):
    heads, h = ValueHeads(4, 7, heads=2), torch.randn(5, 4)
    whole = torch.stack([head(h) for head in heads]).amin(0)
    for chunk in (1, 14, 10**6):
        monkeypatch.setattr(model, "CHUNK", chunk)
        assert torch.allclose(heads.least_over(h, lambda Q: Q.amax(-1)), whole.amax(-1))


def test_the_value_of_cql_leaves_the_trunk_alone(tokenizer, rows):
    agent = CQL(CQL.Config(model=NANO), tokenizer, seed=1)
    L_V = agent.loss(batch_of(rows))[1]["L_V"]
    touched = torch.autograd.grad(L_V, [*agent.v.parameters(), *agent.value_trunk.parameters()], allow_unused=True)
    assert [g is not None for g in touched] == [True] * 4 + [False] * (len(touched) - 4)


def test_advantages_are_q_minus_v(critic, rows):
    scores = critic.score(batch_of(rows))
    known = ~scores.logp.isnan()
    assert torch.allclose(scores.advantage[known], (scores.q - scores.v)[known], atol=1e-5)
    if isinstance(critic, Psi):  # pi_beta exp(u / scale) is a chance
        assert (scores.logp + scores.advantage / critic.config.scale)[known].max() < 0


def test_costs_count_trunks_that_a_step_runs(tokenizer, tmp_path, games):
    costs = {a.name: a(a.Config(model=NANO), tokenizer).cost() for a in EVERY}
    assert {name: cost["forward_passes"] for name, cost in costs.items()} == {
        "ilql": 3, "sarsa": 3, "awr": 3, "cql": 3, "mc": 2, "psi": 3, "dt": 1,
    }  # fmt: skip
    assert costs["mc"]["parameters"] == costs["mc"]["trained_parameters"]  # no target network
    train(BC(TrainConfig(**{**SHORT, "steps": 1}), tokenizer), games, out=tmp_path)
    for algorithm, passes in ((MC, 1), (CQL, 2), (AWR, 3), (Psi, 3)):
        agent = algorithm(algorithm.Config(model=NANO, pi_beta=str(tmp_path)), tokenizer)
        assert agent.cost()["forward_passes"] == passes
        assert next(agent.lm.parameters()).requires_grad is (algorithm is AWR)


# --- A run, from training to play.


@pytest.fixture(scope="module")
def bc(tmp_path_factory, games, tokenizer) -> Path:
    return train(BC(TrainConfig(**SHORT), tokenizer), games, out=tmp_path_factory.mktemp("bc")).checkpoint


def short(algorithm: type[Algorithm], bc: Path, **fields) -> TrainConfig:
    if algorithm is Psi:
        fields["pi_beta"] = str(bc)
    return algorithm.Config(**SHORT, **fields)


@pytest.mark.parametrize("algorithm", EVERY, ids=lambda algorithm: algorithm.name)
def test_it_trains_stops_goes_on_comes_back_and_plays(algorithm, games, tokenizer, bc, tmp_path):
    config = short(algorithm, bc)
    whole = train(algorithm(config, tokenizer, seed=5), games, out=tmp_path / "whole", progress=False)
    broken = algorithm(config, tokenizer, seed=5)
    after_step = broken.after_step

    def stop(step: int) -> None:
        if step == 30:
            raise KeyboardInterrupt
        after_step(step)

    broken.after_step = stop
    with pytest.raises(KeyboardInterrupt):
        train(broken, games, out=tmp_path / "broken", progress=False)
    again = train(algorithm(config, tokenizer, seed=8), games, out=tmp_path / "broken", progress=False)
    loaded = agents.load(tmp_path / "whole", device="cpu")
    assert type(loaded) is algorithm
    assert all(map(math.isfinite, whole.curve[-1].values()))
    for other in (again.algorithm, loaded):
        for (name, ours), its in zip(whole.algorithm.state_dict().items(), other.state_dict().values(), strict=True):
            assert torch.equal(ours, its), name
    played = [
        evaluate(agent.policy(), "Wordle-v0", episodes=4, env_kwargs={"words": "common-40"}, progress=False)
        for agent in (whole.algorithm, loaded)
    ]
    assert [e.turns for e in played[0].examples] == [e.turns for e in played[1].examples]
    assert all(-6 <= r <= 0 for r in played[0].returns)


@pytest.mark.parametrize("algorithm", EVERY, ids=lambda algorithm: algorithm.name)
def test_it_learns_from_dialogues_in_byte_pairs_with_fractional_rewards(algorithm, dialogues, tmp_path):
    tokenizer = byte_pair_tokenizer(dialogues.columns().texts.to_pylist(), 300)
    settings = {**SHORT, "steps": 2, "tokens_per_batch": 2_000}
    bc = train(BC(TrainConfig(**settings), tokenizer), dialogues, out=tmp_path / "bc", progress=False).checkpoint
    config = dataclasses.replace(short(algorithm, bc), steps=2, tokens_per_batch=2_000)
    agent = algorithm(config, tokenizer)
    result = train(agent, dialogues, out=tmp_path / "agent", progress=False)
    assert math.isfinite(result.curve[-1]["loss"])
    batch = collate([agent.encode(dialogue) for dialogue in dialogues])
    assert batch.rewards.sum(1).tolist() == pytest.approx(dialogues.returns.tolist())
    policy = agents.load(tmp_path / "agent", device="cpu").policy(temperature=1.0)
    assert all(isinstance(text, str) for text in policy.act([dialogues[0].turns[:1], dialogues[1].turns[:3]]))


@pytest.fixture(scope="module")
def dialogues(tmp_path_factory) -> TextDataset:
    """Caption, question, answer, question, answer; a question earns a fraction."""
    said = [("a cat on a bed", "is it red?", "yes"), ("two dogs", "how many dogs are there?", "two of them")]
    episodes = [
        Episode(
            None,
            None,
            (
                Turn("env", caption),
                Turn("agent", question, -0.25 * k),
                Turn("env", answer),
                Turn("agent", "where?", 0.125),
                Turn("env", "outside"),
            ),
            terminated=True,
            truncated=False,
            info={},
        )
        for k in range(6)
        for caption, question, answer in said
    ]
    path = tmp_path_factory.mktemp("dialogues") / "dialogues.parquet"
    return write_dataset(path, episodes, DatasetMetadata(env_id=None))


def test_data_and_settings_that_an_agent_cannot_use_are_named(games, tokenizer, tmp_path):
    rewardless = games.select(np.flatnonzero(games.returns == 0))
    for algorithm in (CQL, MC, AWR, DT):
        with pytest.raises(ValueError, match=rf"{algorithm.name} learns from rewards, .*wordle/human-v0"):
            train(algorithm(algorithm.Config(**SHORT), tokenizer), rewardless, out=tmp_path)
    with pytest.raises(ValueError, match=r"psi needs a reference model of .*wordle/human-v0.*agents\.bc.*pi_beta"):
        train(Psi(Psi.Config(**SHORT), tokenizer), games, out=tmp_path)
    for config, wrong in (
        (AWR.Config, {"awr_beta": -1.0}),
        (AWR.Config, {"weight_clip": 0.0}),
        (Psi.Config, {"scale": 0.0}),
        (Psi.Config, {"prior": "none"}),
        (Psi.Config, {"trunks": "shared"}),
        (CQL.Config, {"trunks": "two"}),
        (DT.Config, {"quantile": 1.5}),
    ):
        with pytest.raises(ValueError, match="|".join([*wrong, "trunks"])):
            config(**wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], r"psi needs a reference model of .*wordle/human-v0.*python -m agents\.bc"),
        (["--pi-beta", "nowhere"], "nowhere holds no trained agent"),
    ],
)
def test_the_command_line_says_in_a_line_that_pi_beta_is_missing(tmp_path, capsys, arguments, message):
    variant = ["--variant", '{"words": "common-40", "games": 300}']
    with pytest.raises(SystemExit, match="2"):
        main(Psi, argv=["--out", str(tmp_path / "run"), *variant, *arguments])
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


# --- Decoding.


def test_psi_decodes_softmax_of_q_and_the_authors_way(tokenizer):
    agent = Psi(Psi.Config(model=NANO), tokenizer, seed=3)
    h_pi, h_q = torch.randn(2, 4, NANO["n_embd"])
    log_prior = agent.head(h_pi).log_softmax(-1)
    Q = agent.target_q.least(h_q) + log_prior
    softmax = agent.next_logits([h_pi, h_q], agent.policy().options)
    assert torch.allclose(softmax.exp(), Q.softmax(-1), atol=1e-6)
    paper = agent.next_logits([h_pi, h_q], agent.policy(decode="paper", beta=2.0).options)
    assert torch.allclose(paper.softmax(-1), (log_prior + 2 * Q).softmax(-1), atol=1e-6)
    learned = Psi(Psi.Config(model=NANO, prior="learned"), tokenizer, seed=3)
    alone = learned.next_logits([h_pi, h_q], learned.policy().options)
    assert torch.allclose(alone.exp(), learned.target_q.least(h_q).softmax(-1), atol=1e-6)
    with pytest.raises(ValueError, match="decode must be 'softmax' or 'paper', got 'best'"):
        agent.policy(decode="best")


def test_awr_acts_by_its_policy_alone_and_mc_by_its_own_q(tokenizer):
    awr = AWR(AWR.Config(model=NANO), tokenizer, seed=3)
    assert len(awr.acting_trunks(awr.policy().options)) == 1
    mc = MC(MC.Config(model=NANO, beta=3.0), tokenizer, seed=3)
    assert mc.acting_trunks(mc.policy().options)[1] is mc.value_trunk
    h = list(torch.randn(2, 4, NANO["n_embd"]))
    expected = mc.head(h[0]).log_softmax(-1) + 3 * mc.q.least(h[1])
    assert torch.allclose(mc.next_logits(h, mc.policy().options).softmax(-1), expected.softmax(-1), atol=1e-5)
    assert len(mc.acting_trunks(mc.policy(clip=0.0).options)) == 2  # V is read from the same trunk
    clipped = mc.head(h[0]).log_softmax(-1) + (3 * (mc.q.least(h[1]) - mc.v(h[1]))).clamp(max=0)
    assert torch.allclose(mc.next_logits(h, mc.policy(clip=0.0).options), clipped, atol=1e-5)


# --- DT.

GAME = (Turn("agent", "crane", -1.0), Turn("env", "bybgb"), Turn("agent", "sloth", 0.0), Turn("env", "ggggg"))
WON = Episode("Wordle-v0", None, GAME, terminated=True, truncated=False, info={})


def text_of(tokenizer: TurnTokenizer, ids: list[int]) -> str:
    """Turns apart by `|`."""
    turns: list[list[int]] = [[]]
    for token in ids[1:]:
        if token in (tokenizer.eot_env, tokenizer.eot_agent):
            turns.append([])
        else:
            turns[-1].append(token)
    return "|".join(map(tokenizer.decode, turns))


@pytest.mark.parametrize(
    ("to_go", "row", "prompt"),
    [
        (False, "-1|crane|bybgb|sloth|ggggg|", "-0.5|crane|bybgb|"),
        (True, "-1|crane|bybgb|0|sloth|ggggg|", "-0.5|crane|bybgb|0.5|"),
    ],
)
def test_dt_says_the_return_in_front_or_what_is_left_of_it(tokenizer, to_go, row, prompt):
    agent = DT(DTConfig(model=NANO, to_go=to_go), tokenizer)
    plain, told = encode_episode(WON, tokenizer), agent.encode(WON)
    assert text_of(tokenizer, list(told.ids)) == row
    assert (sum(told.agent), sum(told.rewards)) == (sum(plain.agent), sum(plain.rewards))
    assert told[-3:] == plain[-3:]  # cut, total_return, context
    options = agent.policy(target_return=-0.5).options
    assert text_of(tokenizer, agent.prompt(GAME[:2], options, room=100)) == prompt
    short = agent.prompt(GAME[:2], options, room=12)
    assert len(short) == 12
    if not to_go:  # a history that does not fit loses its oldest turns, never the target
        assert text_of(tokenizer, short).startswith("-0.5|")


def test_dt_plays_for_a_quantile_of_its_data_that_is_stored_with_it(games, tokenizer, tmp_path):
    agent = DT(DTConfig(**{**SHORT, "steps": 2}), tokenizer)
    loaded = agents.load(train(agent, games, out=tmp_path, progress=False).checkpoint, device="cpu")
    ordered = np.sort(games.returns)
    for quantile in (0.5, 0.9, 1.0):
        exact = ordered[math.ceil(quantile * len(ordered)) - 1]
        assert loaded.policy(quantile=quantile).decoding["target_return"] == exact
    assert loaded.policy().decoding["quantile"] == 0.9
    assert loaded.policy(target_return=-2.5).decoding["target_return"] == -2.5
    with pytest.raises(ValueError, match="not both"):
        loaded.policy(target_return=-2.5, quantile=0.5)
    for wrong in ({"quantile": -0.1}, {"target_return": math.nan}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            loaded.policy(**wrong)
    scores = quantile_scores(
        loaded, "Wordle-v0", episodes=3, seed=1, env_kwargs={"words": "common-40"}, temperature=0.0
    )
    assert list(scores) == [0.5, 0.8, 0.9, 0.95, 1.0]
    assert all(-6 <= score <= 0 for score in scores.values())


def test_dt_keeps_its_cache_between_turns(tokenizer):
    """With `to_go` the prompt grows by what is left after each turn, and begins as it did before."""
    for to_go in (False, True):
        agent = DT(DTConfig(model=NANO, to_go=to_go), tokenizer, seed=4)
        agent.turn_tokens = 8
        played = [
            evaluate(
                agent.policy(temperature=1.0, target_return=-3.0, keep_cache=kept),
                "Wordle-v0",
                episodes=8,
                env_kwargs={"words": "common-40"},
                progress=False,
            ).examples
            for kept in (True, False)
        ]
        assert [e.turns for e in played[0]] == [e.turns for e in played[1]]
