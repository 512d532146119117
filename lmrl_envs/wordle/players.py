"""Reference players of Wordle: what they choose, many games at once, and the policy that any of them makes.

Legend: N games, A answers, G guesses (the words that players choose from), k guesses made so far. Words are indices:
answers into `Rules.answers`, guesses into `Rules.guesses`.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from lmrl_envs.core import EpisodeKey, Turn
from lmrl_envs.errors import unknown_name
from lmrl_envs.wordle.rules import PATTERN_CODES, PATTERNS, WIN_CODE, encode_words, pattern_codes, pattern_table
from lmrl_envs.wordle.task import WordleTask

_BLOCK = 1024  # games played at once: bounds the memory of their candidate masks
_TIE = 1e-9  # bits


@dataclass(frozen=True)
class Rules:
    """The rules as solvers see them: lists of words and the table of all patterns.

    `guesses` has every answer in it; where none are given, it is the answers.
    """

    answers: tuple[str, ...]
    guesses: tuple[str, ...] = ()
    duplicates: str = "official"
    max_guesses: int = 6

    def __post_init__(self) -> None:
        if not self.guesses:
            object.__setattr__(self, "guesses", self.answers)
        if missing := set(self.answers).difference(self.guesses):
            raise ValueError(f"guesses must have every answer, and lacks {min(missing)!r}; add the answers to the list")

    @classmethod
    def of(cls, task: WordleTask) -> Rules:
        """The rules of a task. Where it takes any five letters, players choose from the answers."""
        return cls(task.answers, task.guesses or task.answers, task.duplicates, task.max_guesses)

    @cached_property
    def table(self) -> np.ndarray:
        """(G, A) uint8, the pattern's code of each guess against each answer."""
        return pattern_table(self.guesses, self.answers, self.duplicates)

    @cached_property
    def index(self) -> dict[str, int]:
        """Where each word stands in `guesses`."""
        return {word: index for index, word in enumerate(self.guesses)}

    @cached_property
    def guess_of_answer(self) -> np.ndarray:
        """(A,) int64, where each answer stands in `guesses`."""
        return np.array([self.index[word] for word in self.answers])

    def start(self, games: int) -> Boards:
        """Boards before the first guess."""
        return Boards(np.ones((games, len(self.answers)), np.bool_), np.empty((games, 0), np.int64))

    def advance(self, boards: Boards, guesses: np.ndarray, codes: np.ndarray) -> Boards:
        """Boards after one more guess each, (N,), that was answered with the patterns `codes`, (N,)."""
        return Boards(
            boards.possible & (self.table[guesses] == codes[:, None]), np.column_stack([boards.played, guesses])
        )


class Boards(NamedTuple):
    """What the players of N games know."""

    possible: np.ndarray
    """(N, A) bool, the answers that agree with all patterns seen; at least one in each row."""
    played: np.ndarray
    """(N, k) int64, the guesses made; -1 for a word that is not in the list of guesses."""


class Player(ABC):
    """A way to play: it chooses from what is known and two uniform numbers a game, and remembers nothing."""

    name: str

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    @abstractmethod
    def choose(self, boards: Boards, uniforms: np.ndarray) -> np.ndarray:
        """Chooses guesses, (N,) int64, with the numbers `uniforms`, (N, 2) in [0, 1)."""

    def chances(self, possible: np.ndarray, played: Sequence[int]) -> np.ndarray:
        """(G,) chance of each guess where `possible`, (A,) bool, is what is known after the guesses `played`."""
        raise NotImplementedError(f"{self.name} has no exact values: its class defines no `chances`")

    def recalls(self, played: Sequence[int]) -> Sequence[int]:
        """Those of the guesses `played` that choices still depend on, beside what is possible and their number."""
        return played


class MarkovPlayer(Player):
    """A player whose choice depends on what is possible and on the number of guesses made, and on nothing else."""

    @abstractmethod
    def probabilities(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        """(G,) chance of each guess where `possible`, (A,) bool, is what is known after so many guesses."""

    def chances(self, possible: np.ndarray, played: Sequence[int]) -> np.ndarray:
        return self.probabilities(possible, len(played))

    def recalls(self, played: Sequence[int]) -> Sequence[int]:
        return ()


class RandomWord(MarkovPlayer):
    """A uniform word of the answers, whatever is known."""

    name = "random"

    def choose(self, boards: Boards, uniforms: np.ndarray) -> np.ndarray:
        answers = self.rules.guess_of_answer
        return answers[(uniforms[:, 0] * len(answers)).astype(np.int64)]

    def probabilities(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        chances = np.zeros(len(self.rules.guesses))
        chances[self.rules.guess_of_answer] = 1 / len(self.rules.answers)
        return chances


class RandomConsistent(MarkovPlayer):
    """A uniform word of those that can still be the answer."""

    name = "consistent"

    def choose(self, boards: Boards, uniforms: np.ndarray) -> np.ndarray:
        return self.rules.guess_of_answer[_nth_possible(boards.possible, uniforms[:, 0])]

    def probabilities(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        chances = np.zeros(len(self.rules.guesses))
        chances[self.rules.guess_of_answer] = possible / possible.sum()
        return chances


class Noisy(MarkovPlayer):
    """With probability `e` a uniform word of the answers, else a random consistent one; drawn anew at each guess."""

    def __init__(self, rules: Rules, e: float) -> None:
        if not 0 <= e <= 1:
            raise ValueError(f"e is a probability from 0 to 1, got {e}")
        super().__init__(rules)
        self.name = f"noisy({e:g})"
        self.e = e
        self._random, self._consistent = RandomWord(rules), RandomConsistent(rules)

    def choose(self, boards: Boards, uniforms: np.ndarray) -> np.ndarray:
        careless = uniforms[:, 1] < self.e
        return np.where(careless, self._random.choose(boards, uniforms), self._consistent.choose(boards, uniforms))

    def probabilities(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        return self.e * self._random.probabilities(possible, guesses) + (1 - self.e) * self._consistent.probabilities(
            possible, guesses
        )


class RepeatFirstTwo(Player):
    """From guess 3 on, one of its own first two words at random; those are random consistent ones.

    Put after another player's first two guesses, it repeats those.
    """

    name = "repeat-first-two"

    def choose(self, boards: Boards, uniforms: np.ndarray) -> np.ndarray:
        consistent = self.rules.guess_of_answer[_nth_possible(boards.possible, uniforms[:, 0])]
        if boards.played.shape[1] < 2:
            return consistent
        repeated = np.where(uniforms[:, 1] < 0.5, boards.played[:, 0], boards.played[:, 1])
        return np.where(repeated >= 0, repeated, consistent)

    def chances(self, possible: np.ndarray, played: Sequence[int]) -> np.ndarray:
        consistent = RandomConsistent(self.rules).probabilities(possible, len(played))
        if len(played) < 2:
            return consistent
        return np.mean([_only(self.rules, word) if word >= 0 else consistent for word in played[:2]], axis=0)

    def recalls(self, played: Sequence[int]) -> Sequence[int]:
        return played[:2]


class Staller(Player):
    """The same word three times, then random consistent ones. The first word is uniform over those not in `avoid`."""

    name = "staller"

    def __init__(self, rules: Rules, avoid: Sequence[str] = ()) -> None:
        super().__init__(rules)
        self._first = np.array([rules.index[word] for word in rules.answers if word not in set(avoid)], np.int64)
        if not len(self._first):
            raise ValueError("avoid holds every answer, so that no first word is left; pass fewer words")

    def choose(self, boards: Boards, uniforms: np.ndarray) -> np.ndarray:
        consistent = self.rules.guess_of_answer[_nth_possible(boards.possible, uniforms[:, 0])]
        guesses = boards.played.shape[1]
        if guesses == 0:
            return self._first[(uniforms[:, 0] * len(self._first)).astype(np.int64)]
        if guesses >= 3:
            return consistent
        return np.where(boards.played[:, 0] >= 0, boards.played[:, 0], consistent)

    def chances(self, possible: np.ndarray, played: Sequence[int]) -> np.ndarray:
        if not played:
            return np.bincount(self._first, minlength=len(self.rules.guesses)) / len(self._first)
        if len(played) < 3 and played[0] >= 0:
            return _only(self.rules, played[0])
        return RandomConsistent(self.rules).probabilities(possible, len(played))

    def recalls(self, played: Sequence[int]) -> Sequence[int]:
        return played[:1] if len(played) < 3 else ()


class Entropy(MarkovPlayer):
    """The word whose pattern has the highest entropy, the hidden word being uniform over those that are possible.

    Words within 1e-9 bit of the best are tied; ties go to words that can still be the answer, then to the order of the
    list. `over` says which words are weighed: the answers, or all guesses. With `openers`, the first guess is a uniform
    one of these.
    """

    def __init__(
        self, rules: Rules, over: Literal["answers", "guesses"] = "answers", openers: Sequence[str] | None = None
    ) -> None:
        super().__init__(rules)
        if over not in ("answers", "guesses"):
            raise unknown_name("over", over, ("answers", "guesses"))
        unknown = next((word for word in openers or () if word not in rules.index), None)
        if unknown is not None:
            raise unknown_name("opener", unknown, rules.guesses)
        self.name = "entropy" if over == "answers" else "entropy-guesses"
        self._words = np.sort(rules.guess_of_answer) if over == "answers" else np.arange(len(rules.guesses))
        self._table = rules.table[self._words]
        self._word_of_answer = np.searchsorted(self._words, rules.guess_of_answer)
        self._openers = None if openers is None else np.array([rules.index[word] for word in openers], np.int64)
        self._chosen: dict[bytes, int] = {}

    def choose(self, boards: Boards, uniforms: np.ndarray) -> np.ndarray:
        if self._openers is not None and boards.played.shape[1] == 0:
            return self._openers[(uniforms[:, 0] * len(self._openers)).astype(np.int64)]
        return self._choose(boards.possible)

    def probabilities(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        if self._openers is not None and guesses == 0:
            return np.bincount(self._openers, minlength=len(self.rules.guesses)) / len(self._openers)
        chosen = self._choose(possible[None])
        return np.bincount(chosen, minlength=len(self.rules.guesses)).astype(np.float64)

    def openers(self, count: int) -> tuple[str, ...]:
        """The `count` first words of highest entropy, best first; ties in the order of the list."""
        order = np.argsort(-_entropies(self._table).round(9), kind="stable")
        return tuple(self.rules.guesses[self._words[i]] for i in order[:count])

    def _choose(self, possible: np.ndarray) -> np.ndarray:
        keys = [row.tobytes() for row in np.packbits(possible, axis=1)]
        for row, key in enumerate(keys):
            if key not in self._chosen:
                self._chosen[key] = self._best(np.flatnonzero(possible[row]))
        return np.fromiter((self._chosen[key] for key in keys), np.int64, len(keys))

    def _best(self, candidates: np.ndarray) -> int:
        own = np.sort(self._word_of_answer[candidates])
        entropies = _entropies(self._table[np.ix_(own, candidates)])
        if entropies.max() >= np.log2(len(candidates)) - _TIE:  # a candidate tells all apart: none can do better
            return int(self._words[own[np.argmax(entropies >= entropies.max() - _TIE)]])
        entropies = _entropies(self._table[:, candidates])
        tied = entropies >= entropies.max() - _TIE
        return int(self._words[own[np.argmax(tied[own])] if tied[own].any() else np.argmax(tied)])


def _only(rules: Rules, guess: int) -> np.ndarray:
    """(G,) chances of a player who is sure of one guess."""
    chances = np.zeros(len(rules.guesses))
    chances[guess] = 1.0
    return chances


def _nth_possible(possible: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """(N,) a uniform column among those that are True in each row of `possible`, (N, A), by `uniforms`, (N,)."""
    counts = np.count_nonzero(possible, axis=1)
    first = np.cumsum(counts) - counts
    return np.flatnonzero(possible)[first + (uniforms * counts).astype(np.int64)] % possible.shape[1]


def _entropies(codes: np.ndarray) -> np.ndarray:
    """(rows,) entropy in bits of each row's patterns, (rows, n)."""
    n = codes.shape[1]
    entropies = np.empty(len(codes))
    logs = np.log2(np.arange(1, n + 1))
    for start in range(0, len(codes), 512):  # the counts of a block stay in the cache
        block = codes[start : start + 512] + (np.arange(len(codes[start : start + 512])) * len(PATTERNS))[:, None]
        counts = np.bincount(block.ravel(), minlength=len(block) * len(PATTERNS))
        entropies[start : start + 512] = np.log2(n) - logs[counts[block] - 1].mean(axis=1)
    return entropies


def play(player: Player, answers: np.ndarray, uniforms: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
    """Plays whole games.

    Args:
        player: Who plays; a game depends on its own row of the other arguments alone.
        answers: (N,) the hidden words.
        uniforms: (N, max_guesses, 2) in [0, 1), for each guess of each game.
        given: (N, k) guesses that were made before the player comes in; none of them the hidden word.

    Returns:
        (N, max_guesses) int64, the guesses, the given ones included; -1 after the end.
    """
    rules = player.rules
    guesses = np.full((len(answers), rules.max_guesses), -1)
    if given is not None:
        guesses[:, : given.shape[1]] = given
    for start in range(0, len(answers), _BLOCK):
        live = np.arange(start, min(start + _BLOCK, len(answers)))
        boards = rules.start(len(live))
        for turn in range(rules.max_guesses):
            if given is None or turn >= given.shape[1]:
                guesses[live, turn] = player.choose(boards, uniforms[live, turn])
            chosen = guesses[live, turn]
            codes = rules.table[chosen, answers[live]]
            lost = codes != WIN_CODE
            live = live[lost]
            if not len(live):
                break
            boards = rules.advance(Boards(boards.possible[lost], boards.played[lost]), chosen[lost], codes[lost])
    return guesses


class PlayerPolicy:
    """A player as a policy: it reads histories and writes words.

    Two uniforms a guess come from the row's own generator, or, where rows have no keys, from one that `reset` seeds. A
    history that no answer agrees with (hints of another list) tells as much as an empty one.
    """

    def __init__(self, player: Player) -> None:
        self.player = player
        self.name = player.name
        self._rng = np.random.Generator(np.random.PCG64(0))

    def reset(self, *, seed: int, instructions: str) -> None:
        """Seeds the generator for rows without keys."""
        self._rng = np.random.Generator(np.random.PCG64(seed))

    def act(self, histories: Sequence[Sequence[Turn]], episodes: Sequence[EpisodeKey] | None = None) -> list[str]:
        """One word for each history."""
        rngs = [self._rng] * len(histories) if episodes is None else [key.rng for key in episodes]
        uniforms = np.array([rng.random(2) for rng in rngs]).reshape(len(histories), 2)
        played = [_guesses_made(history) for history in histories]
        words = [""] * len(histories)
        for k in sorted({len(made) for made in played}):
            rows = [row for row, made in enumerate(played) if len(made) == k]
            chosen = self.player.choose(self._boards([played[row] for row in rows], k), uniforms[rows])
            for row, guess in zip(rows, chosen, strict=True):
                words[row] = self.player.rules.guesses[guess]
        return words

    def _boards(self, played: Sequence[Sequence[tuple[str, int | None]]], k: int) -> Boards:
        rules = self.player.rules
        boards = Boards(rules.start(len(played)).possible, np.full((len(played), k), -1))
        for row, made in enumerate(played):
            for turn, (word, code) in enumerate(made):
                index = boards.played[row, turn] = rules.index.get(word, -1)
                if code is not None:
                    boards.possible[row] &= self._codes(word, index) == code
            if not boards.possible[row].any():
                boards.possible[row] = True
        return boards

    def _codes(self, word: str, index: int) -> np.ndarray:
        rules = self.player.rules
        if index >= 0:
            return rules.table[index]
        return pattern_codes(encode_words([word]), encode_words(rules.answers), rules.duplicates)[0]


def _guesses_made(history: Sequence[Turn]) -> list[tuple[str, int | None]]:
    """The words guessed, each with its pattern's code; None where it was invalid or the history stops."""
    return [
        (turn.text.strip().lower(), None if then is None or then.role == "agent" else PATTERN_CODES.get(then.text))
        for turn, then in itertools.zip_longest(history, history[1:])
        if turn.role == "agent"
    ]
