from __future__ import annotations

import pytest
import torch

from agents.batch import TokenRow
from agents.tokenizers import TurnTokenizer, encode_episode, wordle_tokenizer
from lmrl_envs.datasets import TextDataset, load_dataset
from tests.agents.games import make_episode


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer() -> TurnTokenizer:
    return wordle_tokenizer()


@pytest.fixture(scope="session")
def games() -> TextDataset:
    return load_dataset("wordle/human-v0", words="common-40", games=300)


@pytest.fixture
def rows(tokenizer: TurnTokenizer) -> list[TokenRow]:
    episodes = [
        make_episode(["crane"]),
        make_episode(["sloth", "crane"]),
        make_episode(["sloth", "moist", "vivid"], won=False),
        make_episode(["crane", "sloth"], won=False, truncated=True),
        make_episode(["crane", "at", "sloth"]),
    ]
    return [encode_episode(episode, tokenizer) for episode in episodes]
