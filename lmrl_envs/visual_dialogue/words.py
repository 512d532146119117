"""Texts as words, for the learned parts: lower-cased, without punctuation but commas, unknown words as one token."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

CAPTION_WORDS, QUESTION_WORDS, ANSWER_WORDS = 40, 20, 20
"""What is longer is cut, as VisDial's own models do."""
UNKNOWN, ASK, REPLY = "<unk>", "<q>", "<a>"
"""Text never encodes to the last two: the turns of a dialogue are `caption <q> question <a> answer <q> ...`."""

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|,")
_MOST_CHARS = 16  # characters read for each word asked for: enough, and a text of any length costs little


class Vocabulary:
    """The words that a network knows, and its three special tokens, which come first."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = (UNKNOWN, ASK, REPLY, *words)
        self._ids = {word: id for id, word in enumerate(self.words)}
        self.unknown, self.ask, self.reply = range(3)
        self._encode = lru_cache(maxsize=65_536)(self._encode_uncached)

    @classmethod
    def of(cls, texts: Iterable[str], *, least: int = 5) -> Vocabulary:
        """The words that occur at least `least` times, most frequent first."""
        counts = Counter(word for text in texts for word in _WORD.findall(text.lower()))
        return cls(sorted((word for word in counts if counts[word] >= least), key=lambda word: (-counts[word], word)))

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str, limit: int) -> tuple[int, ...]:
        """At most `limit` tokens of a text."""
        return self._encode(text[: _MOST_CHARS * limit], limit)

    def _encode_uncached(self, text: str, limit: int) -> tuple[int, ...]:
        words = _WORD.findall(text.lower().replace("’", "'"))[:limit]
        return tuple(self._ids.get(word, self.unknown) for word in words)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of tokens, without special ones."""
        return " ".join(self.words[id] for id in ids if id > self.reply).replace(" ,", ",")

    def dialogue(self, caption: str, rounds: Iterable[tuple[str, str]] = ()) -> list[int]:
        """A caption and answered rounds, each followed by `<q>`."""
        ids = [*self.encode(caption, CAPTION_WORDS), self.ask]
        for question, answer in rounds:
            ids += (*self.question(question), *self.encode(answer, ANSWER_WORDS), self.ask)
        return ids

    def question(self, text: str) -> list[int]:
        """A question and `<a>`, after which its answer comes."""
        return [*self.encode(text, QUESTION_WORDS), self.reply]
