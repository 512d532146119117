from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.bc import BC
from agents.decoding import Decoding, guided, policy_log_probs
from agents.ilql import ILQL, ILQLConfig
from agents.model import trunk_of
from agents.trainer import TrainConfig, train
from lmrl_envs import generation
from lmrl_envs.core import Turn
from lmrl_envs.datasets import load_dataset
from lmrl_envs.evaluate import rollout
from lmrl_envs.generation import KeyValueRows, Memory, draw, generate
from tests.agents.games import NANO

WORDS = {"words": "common-40"}


def sharpened(agent):
    """Untrained logits are nearly flat; wider ones make greedy choices that rounding cannot change."""
    with torch.no_grad():
        agent.lm.transformer.wte.weight *= 30
        agent.lm.transformer.wpe.weight *= 30
    return agent


@pytest.fixture(scope="module")
def bc(tokenizer):
    agent = sharpened(BC(TrainConfig(model=NANO), tokenizer, seed=4))
    agent.turn_tokens = 8
    return agent


@pytest.fixture(scope="module")
def ilql(tokenizer):
    agent = sharpened(ILQL(ILQLConfig(model=NANO), tokenizer, seed=4))
    agent.turn_tokens = 8
    with torch.no_grad():
        for head in agent.target_q:
            head.out.weight *= 5
    return agent


def play(agent, *, episodes=40, batch_size=16, keep_cache=True, **decoding):
    policy = agent.policy(keep_cache=keep_cache, **decoding)
    return list(rollout(policy, "Wordle-v0", episodes=episodes, batch_size=batch_size, env_kwargs=WORDS))


@pytest.mark.parametrize("name", ["bc", "ilql"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_keeping_the_cache_changes_nothing(name, temperature, request):
    agent = request.getfixturevalue(name)
    kept = play(agent, temperature=temperature)
    again = play(agent, temperature=temperature, keep_cache=False)
    assert [e.turns for e in kept] == [e.turns for e in again]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_card_that_is_not_waited_for_writes_the_same(ilql, temperature, monkeypatch):
    here = play(ilql, temperature=temperature)
    monkeypatch.setattr(generation, "READ_FREELY", ())
    there = play(ilql, temperature=temperature)
    assert [e.turns for e in here] == [e.turns for e in there]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_texts_do_not_depend_on_the_batch(ilql, temperature):
    played = [
        [e.turns for e in play(ilql, episodes=24, batch_size=size, temperature=temperature)] for size in (1, 7, 64)
    ]
    assert played[0] == played[1] == played[2]


def test_ragged_cached_states_are_those_of_whole_rows(ilql):
    """Rows of different lengths, read in pieces, joined, reordered and cropped, against reading each whole."""
    trunk = trunk_of(ilql.lm)
    rng = np.random.default_rng(1)
    texts = [rng.integers(3, 29, size=n).tolist() for n in (9, 4, 12, 7)]

    def feed(rows: KeyValueRows, pieces: list[list[int]]) -> torch.Tensor:
        width = max(map(len, pieces))
        ids = torch.tensor([[*p, *[0] * (width - len(p))] for p in pieces])
        real = torch.tensor([[True] * len(p) + [False] * (width - len(p)) for p in pieces])
        hidden = rows.extend(ids, real, dense=bool(real.all()))[0]
        return hidden[torch.arange(len(pieces)), torch.tensor([len(p) - 1 for p in pieces])]

    with torch.inference_mode():
        rows = KeyValueRows([trunk], 3, torch.device("cpu"))
        feed(rows, [texts[0][:5], texts[1][:2], [*texts[2][:3], 12, 28]])  # two tokens too many, to be forgotten
        rows.arrange([2, 0, None, 1])
        rows.crop([3, 5, 0, 2])
        order, starts = [2, 0, 3, 1], [3, 5, 0, 2]
        feed(rows, [texts[2][3:6], texts[0][5:8]])  # the first rows alone
        starts[:2] = [6, 8]
        assert rows.lengths.tolist() == starts
        hidden = feed(rows, [texts[i][start:] for i, start in zip(order, starts, strict=True)])
        for row, i in enumerate(order):
            whole = trunk(input_ids=torch.tensor([texts[i]]), use_cache=False).last_hidden_state[0, -1]
            assert torch.allclose(hidden[row], whole, atol=1e-4)


def test_a_row_can_be_had_several_times(ilql):
    trunk = trunk_of(ilql.lm)
    with torch.inference_mode():
        rows = KeyValueRows([trunk], 1, torch.device("cpu"))
        rows.extend(torch.tensor([[4, 5, 6]]), torch.ones(1, 3, dtype=torch.bool), dense=True)
        rows.arrange([0, 0, 0])
        (hidden,) = rows.extend(torch.tensor([[7], [8], [9]]), torch.ones(3, 1, dtype=torch.bool), dense=True)
        for row, token in enumerate((7, 8, 9)):
            whole = trunk(input_ids=torch.tensor([[4, 5, 6, token]]), use_cache=False).last_hidden_state[0, -1]
            assert torch.allclose(hidden[row, 0], whole, atol=1e-4)


def test_memory_moves_few_rows_and_puts_new_ones_first():
    memory, device = Memory(), torch.device("cpu")
    assert memory.recall([], "abcd", device)[1:3] == ([0, 1, 2, 3], 4)
    memory.keep(["b", "a", None, "d"])
    rows, owners, new, _ = memory.recall([], "cdab", device)  # "c" is not found again; "b" stood where it goes
    assert (owners, new, len(rows)) == ([0, 2, 3, 1], 1, 4)
    memory.keep(["x", "y", "z", "w"])
    assert memory.recall([], "wxy", device)[1:3] == ([1, 2, 0], 0)
    assert memory.recall([], "wxy", device).new == 3  # what is not kept again is forgotten
    memory.keep(["x", "y", "z"])
    assert memory.recall([], "yyx", device)[1:3] == ([2, 1, 0], 0)  # one row for two who ask for the same


def test_memory_keeps_something_beside_each_row():
    memory, device = Memory(), torch.device("cpu")
    assert memory.recall([], "ab", device).kept == [None, None]
    memory.keep(["b", "a"], ["of b", "of a"])
    recalled = memory.recall([], "bca", device)
    assert recalled.kept == [None, "of a", "of b"]
    assert recalled.to_rows("BCA") == ["C", "A", "B"]
    assert recalled.to_owners(["C", "A", "B"]) == list("BCA")
    assert memory.recall([], "bca", device).kept == [None] * 3  # a call that broke off leaves nothing


def test_cached_log_probabilities_are_those_of_reading_everything_again(tokenizer):
    """Three turns of three games, one of them with a turn of another length, within 1e-5."""
    agent = ILQL(ILQLConfig(model=NANO), tokenizer, seed=7).eval()
    options = Decoding(beta=2.0, clip=0.5)
    trunks = agent.acting_trunks(options)
    games = [("crane", "byybg", "sloth"), ("at", "invalid", "moist"), ("vivid", "bbbbb", "crane")]
    rows, read = KeyValueRows(trunks, 3, torch.device("cpu")), [0, 0, 0]
    for turns in (0, 2):
        histories = [[Turn("agent", game[0]), Turn("env", game[1])][:turns] for game in games]
        prompts = [tokenizer.encode_history(history) for history in histories]
        new = [prompt[start:] for prompt, start in zip(prompts, read, strict=True)]
        width = max(map(len, new))
        real = torch.tensor([[True] * len(ids) + [False] * (width - len(ids)) for ids in new])
        with torch.inference_mode():
            ids = torch.tensor([ids + [0] * (width - len(ids)) for ids in new])
            hidden = rows.extend(ids, real, dense=bool(real.all()))
            last = [h[torch.arange(3), real.sum(1) - 1] for h in hidden]
            cached = agent.next_logits(last, options).log_softmax(-1)
            for row, prompt in enumerate(prompts):
                whole = [trunk(torch.tensor([prompt]), use_cache=False).last_hidden_state[:, -1] for trunk in trunks]
                plain = agent.next_logits(whole, options).log_softmax(-1)[0]
                assert torch.allclose(cached[row], plain, atol=1e-5, rtol=0)
        read = list(map(len, prompts))


def test_greedy_generation_is_transformers_own(bc, tokenizer):
    prompts = [tokenizer.encode_history([Turn("agent", w), Turn("env", "bybgb")]) for w in ("crane", "sloth")]
    rows = KeyValueRows([trunk_of(bc.lm)], 2, torch.device("cpu"))
    logits = lambda hidden: bc.head(hidden[0])  # noqa: E731
    ours, _ = generate(rows, prompts, logits, stop=tokenizer.eot_agent, max_tokens=10)
    for prompt, text in zip(prompts, ours, strict=True):
        full = bc.lm.generate(
            torch.tensor([prompt]), max_new_tokens=10, do_sample=False, pad_token_id=0, eos_token_id=tokenizer.eot_agent
        )[0, len(prompt) :].tolist()
        assert text == [token for token in full if token != tokenizer.eot_agent]


def test_finished_rows_make_room_and_keep_what_they_read(bc):
    """A made-up next-token rule: row r writes its own token r times, and stops."""
    trunk, total, stop = trunk_of(bc.lm), 9, 2
    seen: list[int] = []
    left = {10 + r: r for r in range(total)}  # by a row's token, which its prompt ends with
    prompts = [[0, 10 + r] for r in range(total)]
    ids: list[torch.Tensor] = []
    watched = trunk.register_forward_pre_hook(
        lambda _, __, given: ids.append(given["input_ids"][:, -1]), with_kwargs=True
    )

    def next_logits(hidden: list[torch.Tensor]) -> torch.Tensor:
        seen.append(len(hidden[0]))
        logits = torch.zeros(len(hidden[0]), 64)
        for row, token in enumerate(ids[-1].tolist()):
            over = token == stop or left[token] == 0
            logits[row, stop if over else token] = 1.0
            if not over:
                left[token] -= 1
        return logits

    rows = KeyValueRows([trunk], total, torch.device("cpu"))
    texts, owners = generate(rows, prompts, next_logits, stop=stop, max_tokens=20)
    watched.remove()
    assert texts == [[10 + r] * r for r in range(total)]
    assert sorted(owners) == list(range(total))
    assert rows.lengths.tolist() == [2 + r for r in owners]
    assert seen[-1] < total  # the batch shrank on the way
    with torch.inference_mode():  # each row goes on from its own words
        (hidden,) = rows.extend(torch.full((total, 1), 5), torch.ones(total, 1, dtype=torch.bool), dense=True)
        for place, r in enumerate(owners):
            whole = trunk(torch.tensor([[0, 10 + r, *[10 + r] * r, 5]]), use_cache=False).last_hidden_state[0, -1]
            assert torch.allclose(hidden[place, 0], whole, atol=1e-4)


def test_draw_follows_the_distribution_and_never_takes_what_is_cut():
    logits = torch.log(torch.tensor([[0.0, 0.25, 0.75, 0.0]])).expand(5, 4)
    uniforms = torch.tensor([0.0, 0.2499, 0.2501, 0.9, 1 - 2**-53], dtype=torch.float64)
    assert draw(logits, uniforms).tolist() == [1, 1, 2, 2, 2]
    assert draw(logits[:1], None).tolist() == [2]


def test_warping_by_hand():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]]))
    half = policy_log_probs(logits, Decoding(top_p=0.6)).exp()
    assert half[0].tolist() == pytest.approx([0.625, 0.375, 0.0])
    assert policy_log_probs(logits, Decoding(top_k=1)).exp()[0].tolist() == pytest.approx([1.0, 0.0, 0.0])
    cold = policy_log_probs(logits, Decoding(temperature=0.5)).exp()
    assert cold[0].tolist() == pytest.approx([0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38])


def test_guidance_by_hand():
    logp, Q, V = torch.log(torch.tensor([[0.5, 0.5]])), torch.tensor([[-1.0, -3.0]]), torch.tensor([-2.0])
    free = guided(logp, Q, V, Decoding(beta=2.0))
    assert (free - logp)[0].tolist() == pytest.approx([2.0, -2.0])
    clipped = guided(logp, Q, V, Decoding(beta=2.0, clip=0.0))
    assert (clipped - logp)[0].tolist() == pytest.approx([0.0, -2.0])
    without_v = guided(logp, Q, None, Decoding(beta=2.0))  # V only shifts all tokens alike
    assert torch.allclose(without_v.log_softmax(-1), free.log_softmax(-1))


def test_beta_zero_is_bc_to_the_bit(ilql, tokenizer):
    bc = BC(TrainConfig(model=NANO), tokenizer)
    bc.lm.load_state_dict(ilql.lm.state_dict())
    bc.turn_tokens = ilql.turn_tokens
    hidden = [torch.randn(6, NANO["n_embd"]) for _ in range(2)]
    zero = Decoding(beta=0.0)
    assert torch.equal(ilql.next_logits(hidden, zero), bc.next_logits(hidden[:1], zero))
    for temperature in (0.0, 1.0):
        assert [e.turns for e in play(ilql, beta=0.0, temperature=temperature)] == [
            e.turns for e in play(bc, temperature=temperature)
        ]
    assert [e.turns for e in play(ilql, temperature=0.0)] != [e.turns for e in play(bc, temperature=0.0)]


def test_a_clip_brings_in_the_value_trunk(ilql):
    assert len(ilql.acting_trunks(Decoding(beta=0.0))) == 1
    assert len(ilql.acting_trunks(Decoding(beta=1.0))) == 2
    assert len(ilql.acting_trunks(Decoding(beta=1.0, clip=0.0))) == 3
    assert play(ilql, clip=0.0, temperature=0.0)[0].turns


def test_sampled_text_repeats_with_the_seed_and_without_episode_keys(bc):
    policy, histories = bc.policy(), [[], [Turn("agent", "crane"), Turn("env", "bbbbb")]]
    policy.reset(seed=3)
    first = policy.act(histories)
    policy.reset(seed=3)
    assert policy.act(histories) == first
    assert policy.act([]) == []


def test_a_history_longer_than_the_context_keeps_its_newest_turns(bc):
    history = [Turn("agent", "crane"), Turn("env", "bbbbb")] * 30
    policy = bc.policy(temperature=0.0)
    assert policy.act([history]) == policy.act([[Turn("agent", "zzzzz"), *history]])


def test_rows_that_fit_into_memory(bc, ilql):
    assert bc.policy().fitting_rows() == 64
    assert bc.policy().fitting_rows(on_cpu=16) == 16
    one = 4 * (4 * NANO["n_layer"] * NANO["n_embd"] * NANO["n_positions"] + 8 * len(bc.tokenizer))
    assert bc.policy().fitting_rows(free=10 * one) == 10
    assert ilql.policy(beta=1.0).fitting_rows(free=10 * one) < 10  # two trunks
    assert bc.policy().fitting_rows(free=0) == 1
    assert bc.policy().fitting_rows(free=2**50) == 4096


@pytest.mark.slow
def test_greedy_texts_agree_across_batch_sizes_in_a_thousand_games(tokenizer, tmp_path):
    """Of a trained net, whose choices are as close as real ones: at least 99.9 % of 1,024 games."""
    data = load_dataset("wordle/human-v0", words="common-40", mix="wide", games=20_000)
    config = TrainConfig(model="tiny", steps=250, lr=2e-3, warmup=20, device="cpu")
    agent = train(BC(config, tokenizer), data, out=tmp_path).algorithm
    played = [
        [e.turns for e in play(agent, episodes=1024, batch_size=size, temperature=0.0)] for size in (256, 64, 7, 1)
    ]
    for other in played[1:]:
        assert sum(a == b for a, b in zip(played[0], other, strict=True)) >= 1023


def test_options_out_of_range_are_refused(bc):
    for wrong in ({"temperature": -1.0}, {"top_p": 0.0}, {"top_k": 0}, {"beta": -1.0}, {"max_tokens": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            bc.policy(**wrong)
