"""Turns to tokens and back.

A row of an episode is `<bos>`, then each turn's text followed by `<eot_env>` or `<eot_agent>`. Text never encodes to
these three tokens. Every tokenizer here falls back to bytes, so that encoding never fails and decoding gives the text
back.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from agents.batch import TokenRow
from agents.shapes import SHAPES
from lmrl_envs.core import Episode, Turn
from lmrl_envs.datasets import TextDataset
from lmrl_envs.errors import CheckpointError
from lmrl_envs.files import atomic_path, home, lock
from lmrl_envs.recipes import RECIPES

BOS, EOT_ENV, EOT_AGENT = "<bos>", "<eot_env>", "<eot_agent>"
SPECIAL = (BOS, EOT_ENV, EOT_AGENT)
BPE_VOCABULARY = 2_000
_KEPT_VERSION = 1


class TurnTokenizer:
    """A Hugging Face tokenizer that knows turns.

    Where its vocabulary has tokens `<env:x>`, these stand for the character x in the environment's turns.
    """

    def __init__(self, backend: Tokenizer) -> None:
        backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
        backend.encode_special_tokens = True  # text that spells a special token stays text
        self.backend = backend
        vocabulary = backend.get_vocab()
        self.bos, self.eot_env, self.eot_agent = (vocabulary[token] for token in SPECIAL)
        self._env_ids = {vocabulary[token[5:-1]]: id for token, id in vocabulary.items() if token.startswith("<env:")}
        self._plain_ids = {env: plain for plain, env in self._env_ids.items()}
        self._encode = lru_cache(maxsize=65_536)(self._encode_uncached)

    def __len__(self) -> int:
        """Size of the vocabulary, added tokens included."""
        return self.backend.get_vocab_size(with_added_tokens=True)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the tokenizer's definition."""
        return hashlib.sha256(self.backend.to_str().encode()).hexdigest()

    def encode(self, text: str, role: str = "agent") -> list[int]:
        """A turn's tokens without its end-of-turn token."""
        return list(self._encode(text, role))

    def _encode_uncached(self, text: str, role: str) -> tuple[int, ...]:
        ids = self.backend.encode(text, add_special_tokens=False).ids
        return tuple(self._env_ids.get(id, id) for id in ids) if role == "env" else tuple(ids)

    def encode_turn(self, turn: Turn) -> list[int]:
        """A turn's tokens with its end-of-turn token."""
        return [*self._encode(turn.text, turn.role), self.eot_env if turn.role == "env" else self.eot_agent]

    def encode_history(self, turns: Sequence[Turn]) -> list[int]:
        """What a policy reads before it writes: `<bos>` and every turn."""
        ids = [self.bos]
        for turn in turns:
            ids += self.encode_turn(turn)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of tokens; special tokens are left out."""
        return self.backend.decode([self._plain_ids.get(id, id) for id in ids], skip_special_tokens=True)

    def save(self, path: Path) -> None:
        """Writes `tokenizer.json`."""
        self.backend.save(str(path))

    @classmethod
    def load(cls, path: Path) -> TurnTokenizer:
        """Reads a `tokenizer.json`.

        Raises:
            CheckpointError: the file is not a tokenizer.
        """
        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # the library raises bare Exceptions
            raise CheckpointError(f"{path}: not a tokenizer ({error})") from error


def encode_episode(episode: Episode, tokenizer: TurnTokenizer) -> TokenRow:
    """An episode as tokens, with each agent turn's reward on its end-of-turn token."""
    ids, agent, rewards, turns = [tokenizer.bos], [False], [0.0], [0]
    agent_turn = -1
    for turn in episode.turns:
        tokens = tokenizer.encode_turn(turn)
        chosen = turn.role == "agent"
        agent_turn += chosen
        ids += tokens
        agent += [chosen] * len(tokens)
        rewards += [0.0] * (len(tokens) - 1) + [turn.reward if chosen else 0.0]
        turns += [max(agent_turn, 0)] * len(tokens)
    return TokenRow(ids, agent, rewards, turns, episode.truncated, episode.total_return, context_of(episode))


def context_of(episode: Episode) -> int:
    """63 bits that episodes with the same start share: the hash of what the agent sees first, or of `info["group"]`."""
    group = episode.info.get("group")
    if group is not None:
        return _hash63(("group", str(group)))
    opening = []
    for turn in episode.turns:
        if turn.role == "agent":
            break
        opening.append(turn.text)
    return _hash63(tuple(opening))


@lru_cache(maxsize=65_536)
def _hash63(texts: tuple[str, ...]) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(texts).encode()).digest()[:8], "big") >> 1


def newest(ids: list[int], room: int, *, kept: int = 1) -> list[int]:
    """The first `kept` tokens and the newest of the others, at most `room` in all."""
    return ids if len(ids) <= room else ids[:kept] + ids[len(ids) - room + kept :]


def wordle_tokenizer() -> TurnTokenizer:
    """One token a letter, and tokens of their own for the letters of the feedback: 64 in all.

    Any other byte is two tokens, its high and its low half, which stand as characters of Unicode's private use area.
    """
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    high, low = [chr(0xE000 + half) for half in range(16)], [chr(0xE010 + half) for half in range(16)]
    tokens = [*SPECIAL, *letters, *(f"<env:{letter}>" for letter in "gyb"), *high, *low]
    backend = Tokenizer(models.WordLevel({token: id for id, token in enumerate(tokens)}, unk_token=BOS))
    halves = {character: high[byte >> 4] + low[byte & 15] for byte, character in _byte_characters().items()}
    halves = {character: pair for character, pair in halves.items() if character not in letters}
    backend.normalizer = normalizers.Sequence(
        [normalizers.ByteLevel(), *(normalizers.Replace(character, pair) for character, pair in halves.items())]
    )
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    backend.decoder = decoders.Sequence(
        [
            decoders.Fuse(),
            *(decoders.Replace(pair, character) for character, pair in halves.items()),
            decoders.ByteLevel(),
        ]
    )
    return TurnTokenizer(backend)


def _byte_characters() -> Mapping[int, str]:
    """The visible character that byte-level tokenizers write for each byte (GPT-2's table)."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + rank) for rank, byte in enumerate(hidden)}


def byte_pair_tokenizer(texts: Iterable[str], vocabulary: int = BPE_VOCABULARY) -> TurnTokenizer:
    """Byte-level BPE trained on `texts`; `vocabulary` counts the three special tokens."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return TurnTokenizer(backend)


def pretrained_tokenizer(model: str) -> TurnTokenizer:
    """The tokenizer that comes with a model, from a path or hub id."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - takes a second to import, and only pretrained models need it

    return TurnTokenizer(AutoTokenizer.from_pretrained(model).backend_tokenizer)


def tokenizer_for(data: TextDataset, model: str | Mapping[str, Any] = "small") -> TurnTokenizer:
    """The tokenizer for a dataset: a pretrained model's own, else the one that the data's recipe names.

    Logs without a recipe take that of their task's recipes, or byte-level BPE, which is trained on `data`: give it the
    `train` part.
    """
    if isinstance(model, str) and model not in SHAPES:
        return pretrained_tokenizer(model)
    about = data.metadata
    known = [recipe for name, recipe in RECIPES.items() if name == about.dataset_id or recipe.env_id == about.env_id]
    if known and known[0].tokenizer == "letters":
        return wordle_tokenizer()
    return _kept_byte_pairs(data.columns().texts.to_pylist())


def _kept_byte_pairs(texts: Sequence[str]) -> TurnTokenizer:
    """`byte_pair_tokenizer`, kept under `$LMRL_HOME/tokenizers` by the hash of the texts: training takes seconds."""
    digest = hashlib.sha256(f"{_KEPT_VERSION} {BPE_VOCABULARY}".encode())
    for text in texts:
        digest.update(b"%d " % len(text) + text.encode())
    path = home() / "tokenizers" / f"{digest.hexdigest()[:32]}.json"
    with lock(path):
        if path.is_file():
            with contextlib.suppress(CheckpointError):  # cut short: made again
                return TurnTokenizer.load(path)
        tokenizer = byte_pair_tokenizer(texts)
        with atomic_path(path) as temporary:
            tokenizer.save(temporary)
    return tokenizer
