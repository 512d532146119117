"""LMPolicy: any trained agent as a policy that reads histories and writes turns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from agents.decoding import Decoding
from lmrl_envs.core import EpisodeKey, Turn
from lmrl_envs.generation import Memory, generate

if TYPE_CHECKING:
    from agents.algorithm import Algorithm


class LMPolicy:
    """Writes one turn for each history, in one batch.

    Keys and values of an episode's earlier turns are kept between calls, by the episode's index. Draws come from the
    episode's own generator, one block of uniforms a turn, so that they do not depend on the batch.
    """

    def __init__(self, algorithm: Algorithm, decoding: Decoding, *, keep_cache: bool = True) -> None:
        self.algorithm = algorithm.eval()
        self.options = decoding
        self.name = algorithm.name
        self.keep_cache = keep_cache
        self.max_tokens = decoding.max_tokens or algorithm.turn_tokens
        self.trunks = algorithm.acting_trunks(decoding)
        self.reset(seed=0)

    @property
    def decoding(self) -> Mapping[str, Any]:
        """The options as plain values, for results."""
        return dataclasses.asdict(self.options) | {"max_tokens": self.max_tokens}

    def fitting_rows(self, free: int | None = None, *, on_cpu: int = 64) -> int:
        """How many episodes to play at once: on a card, as many as fit into `free` bytes, at most 4,096; else `on_cpu`.

        A row needs its keys and values twice, since their room grows by copying, and logits of its next token.
        """
        device = next(self.algorithm.parameters()).device
        if free is None:
            if device.type != "cuda":
                return on_cpu
            free = torch.cuda.mem_get_info(device)[0] // 2
        config = self.algorithm.lm.config
        token = 2 * config.num_hidden_layers * config.hidden_size * len(self.trunks)
        row = 4 * (2 * token * self.algorithm.context_length + 8 * config.vocab_size)
        return int(min(max(free // row, 1), 4096))

    def reset(self, *, seed: int, instructions: str = "") -> None:
        """Forgets every episode; `seed` is for calls that give no episodes."""
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._memory = Memory()  # beside each episode's row, the tokens that it has read

    def act(self, histories: Sequence[Sequence[Turn]], *, episodes: Sequence[EpisodeKey] | None = None) -> list[str]:
        """One turn for each history; without `episodes` nothing is kept between calls."""
        if not histories:
            return []
        tokenizer, device = self.algorithm.tokenizer, next(self.algorithm.parameters()).device
        room = self.algorithm.context_length - self.max_tokens
        prompts = [self.algorithm.prompt(history, self.options, room) for history in histories]
        keys: list[int | None] = [None] * len(prompts)
        if episodes is not None and self.keep_cache:
            keys = [episode.index for episode in episodes]

        recalled = self._memory.recall(self.trunks, keys, device)
        rows, prompts, keys = recalled.rows, recalled.to_rows(prompts), recalled.to_rows(keys)
        known = [_common(read or [], prompt) for read, prompt in zip(recalled.kept, prompts, strict=True)]
        rows.crop(known)
        uniforms = None
        if not self.options.greedy:
            rngs = [self._rng] * len(prompts) if episodes is None else [episode.rng for episode in episodes]
            drawn = [rng.random(self.max_tokens) for rng in rngs]
            uniforms = torch.from_numpy(np.stack(recalled.to_rows(drawn))).to(device)
        written, places = generate(
            rows,
            [prompt[start:] for prompt, start in zip(prompts, known, strict=True)],
            lambda hidden: self.algorithm.next_logits(hidden, self.options),
            stop=tokenizer.eot_agent,
            max_tokens=self.max_tokens,
            uniforms=uniforms,
        )
        fed = rows.lengths.tolist()  # all but a last token that reached the limit
        read = [(prompts[row] + written[row])[:count] for row, count in zip(places, fed, strict=True)]
        self._memory.keep([keys[row] for row in places], read)
        return [tokenizer.decode(tokens) for tokens in recalled.to_owners(written)]


def _common(old: list[int], new: list[int]) -> int:
    """Tokens that both begin with, but never all of `new`: the last one must be read again to go on from it."""
    shared = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    return min(shared, len(new) - 1)
