from __future__ import annotations

import pytest
import torch
from torch import nn

from agents.batch import agent_tokens, pack
from agents.model import ValueHead, causal_lm, context_length, hidden_states, trunk_of
from agents.trainer import Algorithm, TrainConfig
from tests.agents.games import NANO, batch_of, left_padded

LLAMA = {  # rotary positions and grouped queries
    "model_type": "llama",
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
}


def plain_states(trunk: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """One row at a time, without padding or packing."""
    return trunk(input_ids=ids[None], use_cache=False).last_hidden_state[0]


@pytest.mark.parametrize("model", [NANO, LLAMA], ids=["gpt2", "llama"])
def test_packed_states_are_those_of_each_row_by_itself(model, tokenizer, rows):
    trunk = trunk_of(causal_lm(model, tokenizer, seed=3)).eval()
    expected = torch.cat([plain_states(trunk, torch.tensor(row.ids)) for row in rows])
    for batch in (batch_of(rows), left_padded(batch_of(rows))):
        assert torch.allclose(hidden_states(trunk, pack(batch)), expected, atol=1e-5)


@pytest.mark.parametrize("model", [NANO, LLAMA], ids=["gpt2", "llama"])
def test_states_on_a_card_are_those_of_packed_rows(model, tokenizer, rows):
    """There trunks run on padded rows, and what is read off a batch is worked out in the host's memory."""
    trunk = trunk_of(causal_lm(model, tokenizer, seed=3)).eval()
    for batch in (batch_of(rows), left_padded(batch_of(rows))):
        packing = pack(batch._replace(host=batch))
        assert packing.host is not None  # from which the agent tokens are listed
        assert packing.grid is not None
        assert torch.allclose(hidden_states(trunk, packing), hidden_states(trunk, pack(batch)), atol=1e-5)
        for one, other in zip(
            agent_tokens(batch._replace(host=batch), packing), agent_tokens(batch, packing), strict=True
        ):
            assert torch.equal(one, other)


def test_gradients_through_packing_are_those_of_each_row_by_itself(tokenizer, rows):
    trunk = trunk_of(causal_lm(NANO, tokenizer, seed=3))
    hidden_states(trunk, pack(batch_of(rows))).square().sum().backward()
    packed = [p.grad.clone() for p in trunk.parameters()]
    trunk.zero_grad()
    for row in rows:
        plain_states(trunk, torch.tensor(row.ids)).square().sum().backward()
    for one, other in zip(packed, trunk.parameters(), strict=True):
        assert torch.allclose(one, other.grad, rtol=1e-4, atol=1e-4)


def test_the_fused_gelu_is_gpt2s(tokenizer):
    from transformers.activations import NewGELUActivation

    lm = causal_lm(NANO, tokenizer)
    assert not any(isinstance(module, NewGELUActivation) for module in lm.modules())
    fused = [module for module in lm.modules() if isinstance(module, nn.GELU)]
    assert len(fused) == NANO["n_layer"]
    x = torch.linspace(-6, 6, 1001)
    assert torch.allclose(fused[0](x), NewGELUActivation()(x), atol=1e-6)


def test_weights_depend_on_the_seed_alone(tokenizer):
    torch.manual_seed(5)
    one = causal_lm(NANO, tokenizer, seed=1)
    before = torch.rand(1)
    torch.manual_seed(5)
    assert torch.rand(1) == before  # the global stream is left as it was
    other, third = causal_lm(NANO, tokenizer, seed=1), causal_lm(NANO, tokenizer, seed=2)
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(next(one.parameters()), next(third.parameters()))


def test_a_pretrained_model_comes_from_its_path_with_its_own_tokenizer(tmp_path, tokenizer):
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    from agents.tokenizers import byte_pair_tokenizer, pretrained_tokenizer

    texts = ["a man rides a horse"] * 10
    PreTrainedTokenizerFast(tokenizer_object=byte_pair_tokenizer(texts, 280).backend).save_pretrained(tmp_path)
    assert len(AutoTokenizer.from_pretrained(tmp_path)) > 200
    own = pretrained_tokenizer(str(tmp_path))
    small = causal_lm(LLAMA, own, seed=0)
    small.resize_token_embeddings(len(own) - 3, mean_resizing=False)
    small.save_pretrained(tmp_path)
    loaded = causal_lm(str(tmp_path), own)
    assert loaded.config.vocab_size == len(own)  # made wider for the three tokens of ours
    assert context_length(loaded) == 128
    assert torch.equal(loaded.model.layers[0].mlp.up_proj.weight, small.model.layers[0].mlp.up_proj.weight)


def test_sliding_windows_are_refused(tokenizer):
    with pytest.raises(ValueError, match="sliding-window"):
        causal_lm({**LLAMA, "model_type": "mistral", "sliding_window": 16}, tokenizer)


def test_a_head_at_one_token_is_that_column_of_all():
    head, h, token = ValueHead(8, 11), torch.randn(5, 8), torch.tensor([0, 10, 3, 3, 7])
    assert torch.allclose(head.at(h, token), head(h)[torch.arange(5), token], atol=1e-6)


def test_an_algorithm_is_a_module_with_nothing_but_a_loss(tokenizer, rows):
    class Twice(Algorithm):
        name = "twice"

        def loss(self, batch):
            _, logp = self.log_probs(batch)
            return -2 * logp.mean(), {}

    agent = Twice(TrainConfig(model=NANO), tokenizer)
    expected = -2 * torch.nanmean(agent.score(batch_of(rows)).logp)
    assert agent.loss(batch_of(rows))[0].item() == pytest.approx(expected.item(), rel=1e-5)
