"""The small transformer that reads a comment word by word, and its answer as probabilities.

Shapes: N texts, W words in all of them, F features of those words; B rows of a batch, T words of its longest row; K
levels; E features of a word as numbers; d the width.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lmrl_envs.devices import resolve_device
from lmrl_envs.reddit.words import mark_features, pair_feature, split_words, word_features

BEGIN, PARENT, COMMENT, ECHO = range(4)  # segments; an echo is a comment's word that its parent has too
_TYPICAL = 16  # words of a comment, in units of which the sum over them is taken
_ROWS = 64  # of one forward pass; rows of like length go together


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of a `CommentNetwork`; `parent_words` 0 is a model of the comment alone.

    With `clauses` a comment's sentences are read one by one, and it is at least of a level where one of them is.
    """

    levels: int
    buckets: int = 16_384
    features: int = 24
    width: int = 96
    layers: int = 2
    heads: int = 4
    parent_words: int = 0
    first_words: int = 128
    last_words: int = 64
    clauses: bool = False

    @property
    def length(self) -> int:
        """The most positions of a row."""
        return 1 + self.parent_words + self.first_words + self.last_words


class Encoded(NamedTuple):
    """Texts as numbers: row i has the words from `rows[i]` to `rows[i + 1]`, word w the features from `words[w]` on.

    The last feature of a word is the pair with the word before; that of the row's beginning, its only one, is not.
    """

    features: np.ndarray  # (F,) int32
    words: np.ndarray  # (W + 1,) int64
    segments: np.ndarray  # (W,) int8
    rows: np.ndarray  # (N + 1,) int64

    def select(self, index: np.ndarray) -> Encoded:
        """The rows of `index`, in its order."""
        picked = ranges(self.rows[index], self.rows[index + 1])
        lengths = np.diff(self.words)[picked]
        return Encoded(
            self.features[ranges(self.words[picked], self.words[picked + 1])],
            np.concatenate([[0], np.cumsum(lengths)]),
            self.segments[picked],
            np.concatenate([[0], np.cumsum(np.diff(self.rows)[index])]),
        )


def encode(parents: Sequence[str], comments: Sequence[str], config: NetworkConfig) -> Encoded:
    """Reads N pairs of texts. Of a comment with too many words the middle is left out, of a parent the end."""
    features: list[int] = []
    words, segments, rows = [0], [], [0]
    for parent, comment in zip(parents, comments, strict=True):
        head = split_words(parent[: _chars(config.parent_words)])[: config.parent_words] if config.parent_words else []
        said = set(map(_stem, head))
        body = _ends(comment, config.first_words, config.last_words)
        features += word_features("", config.buckets)
        words.append(len(features))
        for text in (head, body):
            for before, word in itertools.pairwise(["", *text]):
                features += word_features(word, config.buckets)
                features.append(pair_feature(before, word, config.buckets))
                words.append(len(features))
        segments += [BEGIN, *[PARENT] * len(head), *(ECHO if _stem(word) in said else COMMENT for word in body)]
        rows.append(len(segments))
    return Encoded(
        np.array(features, np.int32), np.array(words, np.int64), np.array(segments, np.int8), np.array(rows, np.int64)
    )


class Summary(NamedTuple):
    """What rows come to and, where parents are read, what the words of comment and parent are about by themselves."""

    row: Tensor  # (B, summary_width), or of each clause
    clauses: Tensor | None  # of which row each clause is
    comment: Tensor | None  # (B, E)
    parent: Tensor | None  # (B, E)


class CommentNetwork(nn.Module):
    """Hashed features, averaged over a word and the pair with the word before; a pre-norm transformer over the words.

    A row comes to the maximum over its words, and mean and sum over those of the comment. Where parents are read, also
    to the product of what comment and parent are about, their mean words before they meet in the transformer.
    """

    marks: Tensor  # what ends a clause

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        d, E = config.width, config.features
        self.word = nn.EmbeddingBag(config.buckets, E, mode="mean")
        self.widen = nn.Linear(E, d)
        self.position = nn.Embedding(config.length, d)
        self.segment = nn.Embedding(4, d)
        self.blocks = nn.ModuleList(Block(d, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(d)
        self.about = nn.LayerNorm(E) if config.parent_words else None
        marks = torch.tensor(mark_features(config.buckets), dtype=torch.int32)
        self.register_buffer("marks", marks, persistent=False)
        self.summary_width = 3 * d + (E if config.parent_words else 0)
        self.out = nn.Sequential(nn.Linear(self.summary_width, d), nn.GELU(), nn.Linear(d, config.levels))
        nn.init.normal_(self.word.weight, std=0.1)
        for small in (self.position, self.segment):  # the words are what is to be seen at first
            nn.init.normal_(small.weight, std=0.02)

    def forward(self, features: Tensor, words: Tensor, segments: Tensor, rows: Tensor) -> Tensor:
        """An `Encoded` of B rows as tensors to (B, K) logits."""
        return self.logits(self.summary(features, words, segments, rows))

    def logits(self, seen: Summary) -> Tensor:
        """What rows come to, to (B, K) logits."""
        logits = self.out(seen.row)
        return logits if seen.clauses is None else _highest(logits, seen.clauses)

    def summary(self, features: Tensor, words: Tensor, segments: Tensor, rows: Tensor) -> Summary:
        """The same to what the rows come to."""
        clauses = None
        if self.config.clauses:
            ends = torch.isin(features[words[:-1]], self.marks)
            begins = torch.cat([ends.new_ones(1), ends[:-1]]).index_fill(0, rows[:-1], True)
            starts = begins.nonzero().squeeze(1)
            clauses = torch.bucketize(starts, rows[1:], right=True)
            rows = torch.cat([starts, rows[-1:]])
        lengths = rows.diff()
        row = torch.repeat_interleave(
            torch.arange(len(lengths), device=rows.device), lengths, output_size=len(segments)
        )
        place = torch.arange(len(segments), device=rows.device) - rows[row]
        read = self.word(features, words[:-1])  # (W, E)
        x = self.widen(read) + self.position(place) + self.segment(segments.long())
        x_rows = x.new_zeros(len(lengths), int(lengths.max()), x.shape[1])
        x_rows[row, place] = x
        real = torch.arange(x_rows.shape[1], device=rows.device) < lengths[:, None]  # (B, T)
        for block in self.blocks:
            x_rows = block(x_rows, real)
        x_rows = self.norm(x_rows)
        most = x_rows.masked_fill(~real[..., None], -torch.inf).amax(1)
        mean, count = _mean(x_rows[row, place], row, segments >= COMMENT, len(lengths))
        parts = [mean, most, mean * count / _TYPICAL]
        if self.about is None:
            return Summary(torch.cat(parts, dim=1), clauses, None, None)
        comment, parent = (
            self.about(_mean(read, row, chosen, len(lengths))[0])
            for chosen in (segments >= COMMENT, segments == PARENT)
        )
        return Summary(torch.cat([*parts, comment * parent], dim=1), clauses, comment, parent)


def _mean(x: Tensor, row: Tensor, chosen: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """(W, d) of words to (B, d), the mean over those of each row where (W,) `chosen` is True, and (B, 1), how many."""
    own = chosen.to(x.dtype)[:, None]
    count = own.new_zeros(rows, 1).index_add(0, row, own).clamp(min=1)
    return x.new_zeros(rows, x.shape[1]).index_add(0, row, x * own) / count, count


def _highest(logits: Tensor, row: Tensor) -> Tensor:
    """(C, K) logits of clauses' levels to (B, K) log probabilities of the highest level in each row.

    Args:
        row: (C,) of each clause, ascending, none left out.
    """
    at_most = logits.log_softmax(1).logcumsumexp(1)
    at_most = at_most.new_zeros(int(row[-1]) + 1, logits.shape[1]).index_add(0, row, at_most)  # all of a row's clauses
    below = (at_most[:, :-1] - at_most[:, 1:]).clamp(max=-1e-6)  # of which a level is the log of 1 - exp(below)
    return torch.cat([at_most[:, :1], at_most[:, 1:] + torch.log(-torch.expm1(below))], dim=1)


class Block(nn.Module):
    """Self-attention over the real words of a row, then two layers on each of them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_layers = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.layers = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """(B, T, d), (B, T) to (B, T, d)."""
        q, k, v = self.qkv(self.norm_attention(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=real[:, None, None, :])
        x = x + self.mix(mixed.transpose(1, 2).flatten(2))
        return x + self.layers(self.norm_layers(x))


class TransformerScorer:
    """A trained network with its temperature: texts to probabilities."""

    def __init__(self, network: CommentNetwork, *, temperature: float = 1.0, device: str = "cpu") -> None:
        self.device = resolve_device(device)
        self.network = network.to(self.device).eval()
        self.temperature = temperature

    @classmethod
    def from_tensors(
        cls, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray], *, device: str = "cpu"
    ) -> TransformerScorer:
        """Makes it from what `tensors` and `config` gave; TypeError, KeyError or RuntimeError if they do not fit."""
        shape = dict(config)
        temperature = shape.pop("temperature")
        network = CommentNetwork(NetworkConfig(**shape))
        network.load_state_dict({name: torch.from_numpy(array.astype(np.float32)) for name, array in tensors.items()})
        return cls(network, temperature=temperature, device=device)

    def config(self) -> dict[str, Any]:
        return asdict(self.network.config) | {"temperature": self.temperature}

    def tensors(self) -> dict[str, np.ndarray]:
        """The weights in half precision."""
        return {name: value.cpu().numpy().astype(np.float16) for name, value in self.network.state_dict().items()}

    def score(self, parents: Sequence[str], comments: Sequence[str]) -> np.ndarray:
        """(N, K) float64."""
        logits = self.logits(encode(parents, comments, self.network.config))
        return (logits / self.temperature).softmax(-1).numpy()

    @torch.inference_mode()
    def logits(self, texts: Encoded) -> Tensor:
        """(N, K) float64 on the CPU, before the temperature."""
        logits = torch.empty(len(texts.rows) - 1, self.network.config.levels, dtype=torch.float64)
        for index in by_length(texts, _ROWS):
            logits[index] = self.network(*to_tensors(texts.select(index), self.device)).double().cpu()
        return logits


def by_length(texts: Encoded, rows: int) -> Iterator[np.ndarray]:
    """Indices of `rows` rows at a time, the shortest first."""
    order = np.argsort(np.diff(texts.rows), kind="stable")
    for start in range(0, len(order), rows):
        yield order[start : start + rows]


def to_tensors(texts: Encoded, device: torch.device) -> tuple[Tensor, ...]:
    """The four arrays on a device."""
    return tuple(torch.from_numpy(array).to(device) for array in texts)


def _stem(word: str) -> str:
    """What a word shares with its plural."""
    word = word.lower()
    return word[:-1] if len(word) > 3 and word[-1] == "s" else word


def _chars(words: int) -> int:
    """Characters among which so many words are looked for: no text is too long to be read in no time."""
    return 16 * words


def _ends(text: str, first: int, last: int) -> list[str]:
    """The words of a text, without the middle of a long one."""
    chars = _chars(first + last)
    if len(text) > 2 * chars:
        words = split_words(text[:chars]) + split_words(text[-chars:])
    else:
        words = split_words(text)
    return words if len(words) <= first + last else words[:first] + words[-last:]


def ranges(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The numbers from each start up to its end, all in one."""
    lengths = ends - starts
    offsets = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    return np.arange(lengths.sum()) + offsets
