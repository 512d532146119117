from __future__ import annotations

import numpy as np
import pytest

from agents.tokenizers import (
    TurnTokenizer,
    byte_pair_tokenizer,
    encode_episode,
    tokenizer_for,
    wordle_tokenizer,
)
from lmrl_envs.core import Episode, Turn
from lmrl_envs.datasets import DatasetMetadata, write_dataset
from lmrl_envs.errors import CheckpointError


@pytest.fixture(scope="module", params=["wordle", "byte pairs"])
def tokenizer(request: pytest.FixtureRequest) -> TurnTokenizer:
    if request.param == "wordle":
        return wordle_tokenizer()
    return byte_pair_tokenizer(["is there a dog", "yes there is a dog", "what color is it"] * 20, vocabulary=300)


HOSTILE = [
    "",
    " ",
    "crane",
    "CRANE ",
    "<bos>",
    "x<eot_agent>crane<eot_env>",
    "<env:g>",
    "é ñ 😀 \ufffd 漢字",
    "\ue000\ue010\ue01f",
    "Ġhello ĊÀ",
    "a\tb",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("role", ["agent", "env"])
def test_any_clean_text_comes_back_and_never_gives_a_special_token(tokenizer: TurnTokenizer, text: str, role: str):
    ids = tokenizer.encode(text, role)
    assert tokenizer.decode(ids) == text
    assert not {tokenizer.bos, tokenizer.eot_env, tokenizer.eot_agent} & set(ids)


def test_random_unicode_comes_back(tokenizer: TurnTokenizer):
    rng = np.random.default_rng(0)
    for _ in range(300):
        codes = rng.integers(1, 0x3000, size=12)
        text = "".join(map(chr, codes))
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_wordle_has_one_token_a_letter_and_feedback_letters_of_their_own():
    tokenizer = wordle_tokenizer()
    assert len(tokenizer) == 64
    guess, colours = tokenizer.encode("gybgy"), tokenizer.encode("gybgy", "env")
    assert len(guess) == len(colours) == 5
    assert not set(guess) & set(colours)
    assert tokenizer.encode("invalid", "env") == tokenizer.encode("invalid")
    assert len(tokenizer.encode("é")) == 4  # two bytes, two halves each
    assert tokenizer.decode(colours) == "gybgy"


def test_an_utterance_that_ends_an_episode_has_its_end_of_turn_token_and_silence_has_no_tokens():
    tokenizer = wordle_tokenizer()
    turns = (
        Turn("agent", "crane", -1.0),
        Turn("env", "bbbbb"),
        Turn("agent", "sloth", -1.0),
        Turn("agent", "moist", 0.0),
    )
    episode = Episode(None, None, turns, terminated=True, truncated=False, info={})
    row = encode_episode(episode, tokenizer)
    assert len(row.ids) == 1 + 6 * 4
    assert row.ids[0] == tokenizer.bos
    assert row.ids[-1] == tokenizer.eot_agent
    assert row.ids[12] == tokenizer.eot_env
    assert list(row.agent) == [False] + [True] * 6 + [False] * 6 + [True] * 12
    assert [index for index, reward in enumerate(row.rewards) if reward] == [6, 18]  # on the end-of-turn tokens
    assert [row.turn[index] for index in (1, 6, 13, 18, 19, 24)] == [0, 0, 1, 1, 2, 2]
    assert row.total_return == -2.0


def test_episodes_with_the_same_opening_share_their_context():
    tokenizer = wordle_tokenizer()

    def context(*texts: str, group: str | None = None) -> int:
        turns = (*(Turn("env", text) for text in texts), Turn("agent", "a", 1.0))
        info = {} if group is None else {"group": group}
        return encode_episode(Episode(None, None, turns, True, False, info), tokenizer).context

    assert context("hello") == context("hello") != context("hello there")
    assert context("a", group="7") == context("b", group="7") != context("a")
    assert 0 <= context("hello") < 2**63


def test_a_saved_tokenizer_is_the_same(tmp_path, tokenizer: TurnTokenizer):
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = TurnTokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.fingerprint == tokenizer.fingerprint
    assert len(loaded) == len(tokenizer)
    for text in HOSTILE:
        assert loaded.encode(text, "env") == tokenizer.encode(text, "env")


def test_a_broken_tokenizer_file_is_named(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text('{"version": "1.0", "trunc')
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        TurnTokenizer.load(path)


def test_a_datasets_tokenizer_is_its_recipes(games, tmp_path):
    assert tokenizer_for(games).fingerprint == wordle_tokenizer().fingerprint
    own = [Episode(None, None, (Turn("agent", "hello there"),), True, False, {})] * 3
    logs = write_dataset(tmp_path / "logs.parquet", own, DatasetMetadata())
    assert tokenizer_for(logs).decode(tokenizer_for(logs).encode("hello 😀")) == "hello 😀"
    assert len(tokenizer_for(logs)) > 256
