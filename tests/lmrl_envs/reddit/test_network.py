from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from lmrl_envs.reddit.network import (
    CommentNetwork,
    NetworkConfig,
    TransformerScorer,
    by_length,
    encode,
    to_tensors,
)

SMALL = NetworkConfig(levels=3, buckets=256, features=8, width=16, heads=2, parent_words=4, first_words=6, last_words=2)
TEXTS = ["one", "", "two words here, really!", "a b c d e f g h i j k l", "m0ron"]


@pytest.fixture
def scorer() -> TransformerScorer:
    torch.manual_seed(0)
    return TransformerScorer(CommentNetwork(SMALL))


def test_a_pair_by_hand() -> None:
    texts = encode(["The castle walls", ""], ["castles? yes", "no"], SMALL)
    assert texts.rows.tolist() == [0, 7, 9]  # begin, 3 words of the parent, 3 of the comment; begin, 1 word
    assert texts.segments.tolist() == [0, 1, 1, 1, 3, 2, 2, 0, 2]  # "castles" echoes "castle"
    assert texts.words[-1] == len(texts.features)
    assert (texts.features < SMALL.buckets).all()


def test_the_middle_of_a_long_comment_is_left_out() -> None:
    words = [f"w{n}" for n in range(100_000)]
    long = encode([" ".join(words)], [" ".join(words)], SMALL)
    short = encode(["w0 w1 w2 w3"], ["w0 w1 w2 w3 w4 w5 w99998 w99999"], SMALL)
    assert all(np.array_equal(one, other) for one, other in zip(long, short, strict=True))
    assert long.rows.tolist() == [0, SMALL.length]


def test_selected_rows_are_those_encoded_alone() -> None:
    texts = encode(TEXTS, TEXTS[::-1], SMALL).select(np.array([4, 0, 2]))
    alone = encode([TEXTS[4], TEXTS[0], TEXTS[2]], [TEXTS[0], TEXTS[4], TEXTS[2]], SMALL)
    assert all(np.array_equal(one, other) for one, other in zip(texts, alone, strict=True))


def test_scores_do_not_depend_on_the_batch(scorer: TransformerScorer) -> None:
    together = scorer.score(TEXTS, TEXTS)
    assert together.shape == (5, 3)
    assert together.sum(1) == pytest.approx(1)
    for row, text in enumerate(TEXTS):
        assert scorer.score([text], [text])[0] == pytest.approx(together[row], abs=1e-5)
    assert scorer.score([], []).shape == (0, 3)


def test_parents_are_compared_with_comments(scorer: TransformerScorer) -> None:
    texts = encode(["bread rises", "bread rises"], ["bread rises", "the bus is late"], SMALL)
    summary = scorer.network.summary(*to_tensors(texts, torch.device("cpu")))
    assert summary.comment is not None
    assert summary.parent is not None
    product = summary.row[:, -SMALL.features :]
    torch.testing.assert_close(product, summary.comment * summary.parent)
    torch.testing.assert_close(summary.parent[0], summary.parent[1])
    assert product[0].sum() > product[1].sum()


def test_a_model_of_comments_alone_compares_nothing() -> None:
    network = CommentNetwork(replace(SMALL, parent_words=0))
    assert network.about is None
    assert network.summary_width == 3 * SMALL.width


CLAUSES = replace(SMALL, buckets=100_003, parent_words=0, first_words=30, clauses=True)  # no word is another's mark


def test_a_comment_is_as_bad_as_its_worst_clause() -> None:
    """Levels of clauses are independent, and a comment has the highest."""
    torch.manual_seed(0)
    scorer = TransformerScorer(CommentNetwork(CLAUSES))
    texts = ["You are dumb.", "thanks a lot", "You are dumb. thanks a lot"]
    seen = scorer.network.summary(*to_tensors(encode([""] * 3, texts, CLAUSES), torch.device("cpu")))
    assert seen.clauses is not None
    assert seen.clauses.tolist() == [0, 1, 2, 2]
    levels = scorer.network.out(seen.row).softmax(1).detach().numpy()[2:]
    expected = np.zeros(3)
    for one, other in itertools.product(range(3), repeat=2):
        expected[max(one, other)] += levels[0, one] * levels[1, other]
    assert scorer.score([""] * 3, texts)[2] == pytest.approx(expected, abs=1e-6)


def test_clauses_end_at_marks_and_rows() -> None:
    torch.manual_seed(0)
    network = CommentNetwork(CLAUSES)
    texts = ["ok", "", "a. b! c?", "no? yes.", "..."]
    seen = network.summary(*to_tensors(encode([""] * 5, texts, CLAUSES), torch.device("cpu")))
    assert seen.clauses is not None
    assert seen.clauses.tolist() == [0, 1, 2, 2, 2, 3, 3, 4]
    p = TransformerScorer(network).score([""] * 5, texts)
    assert p.sum(1) == pytest.approx(np.ones(5))


def test_attention_is_pytorchs_own() -> None:
    """A block equals the encoder layer of torch with the same weights."""
    torch.manual_seed(0)
    block = CommentNetwork(SMALL).blocks[0]
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True)
    layer.load_state_dict(
        {
            "self_attn.in_proj_weight": block.qkv.weight,
            "self_attn.in_proj_bias": block.qkv.bias,
            "self_attn.out_proj.weight": block.mix.weight,
            "self_attn.out_proj.bias": block.mix.bias,
            "linear1.weight": block.layers[0].weight,
            "linear1.bias": block.layers[0].bias,
            "linear2.weight": block.layers[2].weight,
            "linear2.bias": block.layers[2].bias,
            "norm1.weight": block.norm_attention.weight,
            "norm1.bias": block.norm_attention.bias,
            "norm2.weight": block.norm_layers.weight,
            "norm2.bias": block.norm_layers.bias,
        }
    )
    x, real = torch.randn(3, 5, 16), torch.tensor([5, 2, 4])[:, None] > torch.arange(5)
    expected = layer(x, src_key_padding_mask=~real)
    torch.testing.assert_close(block(x, real)[real], expected[real])


def test_kept_weights_say_the_same(scorer: TransformerScorer) -> None:
    scorer.temperature = 1.5
    kept = TransformerScorer.from_tensors(scorer.config(), scorer.tensors())
    assert kept.score(TEXTS, TEXTS) == pytest.approx(scorer.score(TEXTS, TEXTS), abs=2e-3)
    with pytest.raises(RuntimeError, match="size mismatch"):
        TransformerScorer.from_tensors(scorer.config() | {"width": 32}, scorer.tensors())


def test_it_learns_a_masked_word_from_the_plain_one() -> None:
    torch.manual_seed(0)
    scorer = TransformerScorer(CommentNetwork(NetworkConfig(levels=2, buckets=4096, features=16, width=32)))
    kind, rude = ["you are a friend", "what a friend", "friend"], ["you are a moron", "what a moron", "moron"]
    texts, labels = encode(kind + rude, kind + rude, scorer.network.config), torch.tensor([0, 0, 0, 1, 1, 1])
    network = scorer.network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(60):
        logits = network(*to_tensors(texts, torch.device("cpu")))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, labels).backward()
        optimizer.step()
    network.eval()
    assert scorer.score([""] * 3, ["a m0ron", "m0r0n", "moooron"]).argmax(1).tolist() == [1, 1, 1]
    assert scorer.score([""] * 2, ["a friend", "you fr1end"]).argmax(1).tolist() == [0, 0]


def test_rows_of_like_length_go_together() -> None:
    texts = encode(TEXTS, TEXTS, SMALL)
    batches = list(by_length(texts, 2))
    assert sorted(np.concatenate(batches)) == list(range(5))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert np.diff(np.diff(texts.rows)[np.concatenate(batches)]).min() >= 0


@pytest.mark.parametrize(
    "text", ["", "\x00\x1b[31m", "\ud800", "\u202eidiot", "<script>", "日本語", "é\u0301" * 99, "🙂"]
)
def test_any_text_is_scored(scorer: TransformerScorer, text: str) -> None:
    assert scorer.score([text], [text]).sum() == pytest.approx(1)


def test_a_megabyte_is_scored(scorer: TransformerScorer) -> None:
    texts = ["a" * 2**20, "a " * 2**19, "!" * 2**20]
    assert np.isfinite(scorer.score(texts, texts)).all()
