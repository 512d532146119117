from __future__ import annotations

import dataclasses

import pytest
import torch

from agents.batch import agent_tokens, pack
from agents.bc import BC
from agents.ilql import ILQL, SARSA, ILQLConfig, ilql_loss
from agents.model import hidden_states, trunk_of
from agents.trainer import TrainConfig
from leaderboards.plain import plain_ilql_loss
from tests.agents.games import NANO, batch_of, left_padded, make_episode

F64 = torch.float64


def test_the_loss_by_hand():
    # two tokens; the second is terminal
    terms = ilql_loss(
        Q=[torch.tensor([1.0, 0.0], dtype=F64), torch.tensor([0.5, 2.0], dtype=F64)],
        logsumexp_Q=[torch.tensor(1.5, dtype=F64), torch.tensor(2.0, dtype=F64)],
        target_Q=torch.tensor([0.0, -3.0], dtype=F64),
        V=torch.tensor([-1.0, -2.0], dtype=F64),
        V_next=torch.tensor([-2.0, 99.0], dtype=F64),
        reward=torch.tensor([0.0, -1.0], dtype=F64),
        discount=torch.tensor([0.95, 0.0], dtype=F64),
        tau=0.9,
    )
    # u = (1, -1)
    assert terms.L_V.item() == pytest.approx((0.9 + 0.1) / 2)
    # y = (-1.9, -1); Q_1 = (1, 0): 2.9^2, 1; Q_2 = (.5, 2): 2.4^2, 9
    assert terms.L_Q.item() == pytest.approx((2.9**2 + 1) / 2 + (2.4**2 + 9) / 2)
    assert terms.L_CQL.item() == pytest.approx((1.5 - 0.5) + (2.0 - 1.25))


def test_targets_get_no_gradient():
    V = torch.tensor([1.0], requires_grad=True)
    Q = torch.tensor([0.5], requires_grad=True)
    target = torch.tensor([2.0], requires_grad=True)
    rest = {"reward": torch.tensor([0.0]), "discount": torch.tensor([1.0]), "tau": 0.5}
    terms = ilql_loss(Q=[Q], logsumexp_Q=[torch.tensor(0.0)], target_Q=target, V=V, V_next=V, **rest)
    (terms.L_V + terms.L_Q).backward()
    assert target.grad is None
    assert V.grad is not None
    assert V.grad.item() == pytest.approx(-1.0)  # from L_V alone: -2 * .5 * (2 - 1)


@pytest.fixture(params=["separate", "shared"])
def agent(request: pytest.FixtureRequest, tokenizer) -> ILQL:
    return ILQL(ILQLConfig(model=NANO, trunks=request.param, cql_weight=0.1), tokenizer, seed=1)


@pytest.mark.parametrize("everywhere", [True, False])
def test_the_agents_loss_is_the_plain_one_over_whole_padded_rows(agent: ILQL, rows, everywhere: bool):
    """The packed path (heads at agent tokens, one row of the target's last layer) against every head everywhere."""
    fast = agent.loss(batch_of(rows))[0]
    plain = plain_ilql_loss(agent, batch_of(rows), everywhere=everywhere)
    assert fast.item() == pytest.approx(plain.item(), rel=1e-5)
    gradients = []
    for loss in (fast, plain):
        agent.zero_grad()
        loss.backward()
        gradients.append([p.grad.clone() for p in agent.parameters() if p.requires_grad])
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("algorithm", [BC, ILQL, SARSA])
def test_loss_does_not_change_with_padding_side_batch_mates_or_row_order(algorithm, tokenizer, rows):
    agent = algorithm(algorithm.Config(model=NANO), tokenizer, seed=2)
    loss = agent.loss(batch_of(rows))[0].item()
    assert agent.loss(left_padded(batch_of(rows)))[0].item() == pytest.approx(loss, rel=1e-5)
    assert agent.loss(batch_of(rows, [3, 1, 4, 0, 2]))[0].item() == pytest.approx(loss, rel=1e-5)
    alone = [agent.loss(batch_of(rows, [i]))[0].item() for i in range(len(rows))]
    counts = [sum(row.agent) for row in rows]
    mean = sum(x * n for x, n in zip(alone, counts, strict=True)) / sum(counts)
    assert loss == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("algorithm", [BC, ILQL])
def test_scores_do_not_change_with_batch_mates_and_are_nan_elsewhere(algorithm, tokenizer, rows):
    agent = algorithm(algorithm.Config(model=NANO), tokenizer, seed=2)
    together = agent.score(batch_of(rows))
    for i, row in enumerate(rows):
        alone, length = agent.score(batch_of(rows, [i])), len(row.ids) - 1
        mask = torch.tensor(row.agent[1:])
        for whole, part in zip(together, alone, strict=True):
            assert torch.allclose(whole[i, :length], part[0], atol=1e-5, equal_nan=True)
            assert whole[i, length:].isnan().all()
        assert together.logp[i, :length].isnan().tolist() == (~mask).tolist()
    if algorithm is ILQL:
        mask = ~together.q.isnan()
        assert torch.allclose(together.advantage[mask], (together.q - together.v)[mask])
    else:
        assert together.q.isnan().all()


def test_a_row_cut_from_outside_bootstraps_and_a_lost_game_does_not(tokenizer, rows):
    agent = ILQL(ILQLConfig(model=NANO), tokenizer, seed=0)
    with torch.no_grad():
        agent.v.out.bias += 100.0  # every V is near 100
    lost, cut = batch_of(rows, [2]), batch_of(rows, [3])
    for batch, bootstraps in ((lost, False), (cut, True)):
        packing = pack(batch)
        tokens = agent_tokens(batch, packing, gamma_turn=0.95)
        V = agent.v(hidden_states(agent.value_trunk, packing)[tokens.states]).squeeze(1)
        y = tokens.reward + tokens.discount * V[tokens.next]
        assert (y[-1].item() > 50) is bootstraps
        assert y[-1].item() == pytest.approx(-1 + (0.95 * V[-1].item() if bootstraps else 0), rel=1e-5)


def test_polyak_moves_targets_by_its_rate(agent: ILQL):
    with torch.no_grad():
        for parameter in agent.parameters():
            if parameter.requires_grad:
                parameter += 1.0
    pairs = [(agent.target_q, agent.q)]
    if agent.config.trunks == "separate":
        pairs.append((agent.target_trunk, agent.value_trunk))
    before = [[p.clone() for p in target.parameters()] for target, _ in pairs]
    agent.after_step(0)
    for olds, (target, online) in zip(before, pairs, strict=True):
        for old, new, moved in zip(olds, target.parameters(), online.parameters(), strict=True):
            assert torch.allclose(new, old + 0.005 * (moved - old))
        assert not any(p.requires_grad for p in target.parameters())


def test_the_target_network_alone_acts_and_scores(agent: ILQL, rows):
    batch, separate = batch_of(rows), agent.config.trunks == "separate"
    h, options = list(torch.randn(1 + separate, 4, NANO["n_embd"])), agent.policy(beta=2.0).options
    q, logits = agent.score(batch).q, agent.next_logits(h, options)
    assert torch.allclose(logits, agent.head(h[0]).log_softmax(-1) + 2 * agent.target_q.least(h[-1]), atol=1e-5)
    with torch.no_grad():
        for online in (agent.q, *([agent.value_trunk] if separate else [])):
            for parameter in online.parameters():
                parameter += torch.randn_like(parameter)
    assert torch.equal(agent.score(batch).q.nan_to_num(), q.nan_to_num())
    assert torch.equal(agent.next_logits(h, options), logits)
    if separate:
        assert agent.acting_trunks(options)[1] is agent.target_trunk


def test_splitting_words_into_more_tokens_leaves_the_discount_at_turn_starts(tokenizer):
    """gamma = 1 within a turn: the discount from a turn's start to the next depends on turns only."""

    def product(word: str) -> float:
        batch = batch_of([agent.encode(make_episode([word, "crane"]))])
        tokens = agent_tokens(batch, pack(batch), gamma=agent.config.gamma, gamma_turn=agent.config.gamma_turn)
        first = batch.turn[batch.action_mask] == 0
        return tokens.discount[first].prod().item()

    agent = BC(TrainConfig(model=NANO), tokenizer)
    assert product("sloth") == pytest.approx(0.95)
    assert product("é") == pytest.approx(product("slothslothsloth")) == pytest.approx(0.95)


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"tau": 1.0}, {"trunks": "two"}, {"trunks": "shared", "pi_beta": "runs/bc"}):
        with pytest.raises(ValueError, match=r"tau|trunk"):
            ILQLConfig(**wrong)


def test_costs_count_trunks(tokenizer):
    three = ILQL(ILQLConfig(model=NANO), tokenizer).cost()
    one = ILQL(ILQLConfig(model=NANO, trunks="shared"), tokenizer).cost()
    assert (three["forward_passes"], one["forward_passes"]) == (3, 1)
    trunk = sum(p.numel() for p in trunk_of(BC(TrainConfig(model=NANO), tokenizer).lm).parameters())
    assert three["parameters"] - one["parameters"] == 2 * trunk


def test_sarsa_is_ilql_with_the_mean():
    assert SARSA.Config().tau == 0.5
    assert dataclasses.replace(SARSA.Config(), tau=0.9) != SARSA.Config()
    assert SARSA.loss is ILQL.loss
