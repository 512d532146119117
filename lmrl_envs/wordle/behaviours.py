"""Simulated people and experts: the players that write Wordle's datasets."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from gymnasium.utils.seeding import np_random

from lmrl_envs.core import Episode, Turn
from lmrl_envs.recipes import LONG_LIST, MIXES, Mix
from lmrl_envs.wordle.solvers import (
    Boards,
    CrowdTable,
    Entropy,
    MarkovPlayer,
    Noisy,
    Player,
    RandomConsistent,
    RepeatFirstTwo,
    Rules,
    Staller,
    play,
)
from lmrl_envs.wordle.task import WordleState, WordleTask

OPENERS = 5
"""The good first words that people know: this many of highest entropy in the list."""
LONG_LIST_OPENERS = 20
"""So many does the expert of branching data have on a list of at least `LONG_LIST` words; on others `OPENERS`."""
BRANCHES = 5
"""Continuations of an expert game, and games of the other player beside it."""
_BLOCK = 8192  # games that exist as Python objects at one time; content does not depend on it


def human_games(
    task: WordleTask, seeds: np.random.SeedSequence, *, split: str, games: int, mix: str, answers: str
) -> Iterator[Episode]:
    """Games of simulated people: each is played by one player of the mix, which `info["behaviour"]` names.

    With `answers="held-out"`, the words of `held_out` are hidden in the games of `test` alone, and no others are there.
    """
    return _games(task, seeds, mixture(_rules(task), MIXES[mix]), games, _allowed(task, split, answers))


def expert_games(
    task: WordleTask, seeds: np.random.SeedSequence, *, split: str, games: int, answers: str
) -> Iterator[Episode]:
    """Games of the entropy-greedy player over the answers; `answers` as in `human_games`."""
    return _games(task, seeds, [(Entropy(_rules(task)), 1.0)], games, _allowed(task, split, answers))


def branching_games(
    task: WordleTask, seeds: np.random.SeedSequence, *, split: str, games: int, answers: str
) -> Iterator[Episode]:
    """Expert games, with branches that mislead methods which improve on the data by one step.

    For each of `games` expert games, which open with a uniform one of `expert_openers`: the game itself (`"expert"`);
    unless two guesses won it, 5 continuations of its first two guesses that repeat these two at random and lose
    (`"repeat"`); 5 games of a `Staller` that opens with any other word (`"staller"`). Going by the data's mean, an
    expert's opener is the worse one.

    Raises:
        ValueError: the list has no word beside the expert's openers, or a game fewer than three guesses.
    """
    openers = expert_openers(task)
    if len(openers) == len(task.answers):
        raise ValueError(
            f"the expert opens with any of these {len(openers)} words, so that none is left for the staller; "
            f"take a list of at least {OPENERS + 1} words"
        )
    return _branching(task, seeds, games, _allowed(task, split, answers), Staller(_rules(task), avoid=openers))


def branching_paper_games(
    task: WordleTask, seeds: np.random.SeedSequence, *, split: str, games: int, answers: str
) -> Iterator[Episode]:
    """`branching_games` with the paper's player beside the expert, `Noisy(0.5)`, whose openers are all words."""
    return _branching(task, seeds, games, _allowed(task, split, answers), Noisy(_rules(task), 0.5))


def expert_openers(task: WordleTask) -> tuple[str, ...]:
    """The first words of the expert in branching data: those of highest entropy, best first."""
    return Entropy(_rules(task)).openers(LONG_LIST_OPENERS if len(task.answers) >= LONG_LIST else OPENERS)


class Casual(MarkovPlayer):
    """Opens with a uniform one of a few good words; from its third guess to guess `until`, half are careless.

    All other guesses are random consistent words, those near the end too: people take care when few are left.
    """

    def __init__(self, rules: Rules, until: int, openers: Sequence[str]) -> None:
        super().__init__(rules)
        self.name = f"casual({until})"
        self._until = until
        self._openers = np.array([rules.index[word] for word in openers], np.int64)
        self._careful, self._careless = RandomConsistent(rules), Noisy(rules, 0.5)

    def choose(self, boards: Boards, uniforms: np.ndarray) -> np.ndarray:
        guesses = boards.played.shape[1]
        if guesses == 0:
            return self._openers[(uniforms[:, 0] * len(self._openers)).astype(np.int64)]
        return self._later(guesses).choose(boards, uniforms)

    def probabilities(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        if guesses == 0:
            return np.bincount(self._openers, minlength=len(self.rules.guesses)) / len(self._openers)
        return self._later(guesses).probabilities(possible, guesses)

    def _later(self, guesses: int) -> MarkovPlayer:
        return self._careless if 2 <= guesses < self._until else self._careful


def mixture(rules: Rules, mix: Mix) -> list[tuple[MarkovPlayer, float]]:
    """The players of a mix, each with its share of the games."""
    openers = Entropy(rules).openers(OPENERS)
    return [
        (Entropy(rules, openers=openers), mix.entropy),
        (RandomConsistent(rules), mix.consistent),
        *((Noisy(rules, e), weight) for e, weight in mix.noisy.items()),
        *((Casual(rules, until, openers), weight) for until, weight in mix.casual.items()),
    ]


def people(task: WordleTask, mix: str, *, gamma_turn: float = 1.0) -> CrowdTable:
    """The exact values of the crowd that wrote `wordle/human-v0`; `v(())` is that dataset's expected return."""
    return CrowdTable(task, mixture(_rules(task), MIXES[mix]), gamma_turn=gamma_turn)


def held_out(words: Sequence[str]) -> frozenset[str]:
    """The tenth of a list (at least one word) that `answers="held-out"` withholds: those with the smallest SHA-256.

    Raises:
        ValueError: the list has one word, so that none would be left.
    """
    if len(words) < 2:
        raise ValueError("answers='held-out' needs a list of at least two words; use answers='all'")
    by_hash = sorted(words, key=lambda word: hashlib.sha256(word.encode()).digest())
    return frozenset(by_hash[: max(1, round(len(words) / 10))])


def _rules(task: WordleTask) -> Rules:
    """People guess words of the answer list, whatever else the task allows."""
    return Rules(task.answers, duplicates=task.duplicates, max_guesses=task.max_guesses)


def _allowed(task: WordleTask, split: str, answers: str) -> frozenset[int]:
    """Indices of the words that are hidden in the games of a split."""
    every = frozenset(range(len(task.answers)))
    if answers == "all":
        return every
    withheld = held_out(task.answers)
    test = frozenset(index for index, word in enumerate(task.answers) if word in withheld)
    return test if split == "test" else every - test


def _games(
    task: WordleTask,
    seeds: np.random.SeedSequence,
    players: Sequence[tuple[MarkovPlayer, float]],
    games: int,
    allowed: frozenset[int],
) -> Iterator[Episode]:
    starting, playing = (np.random.Generator(np.random.PCG64(child)) for child in seeds.spawn(2))
    starts = _starts(task, starting, allowed)
    bounds = np.cumsum([weight for _, weight in players])
    while games:
        block = list(itertools.islice(starts, min(games, _BLOCK)))
        games -= len(block)
        # A game has its own fixed share of the stream: one number draws its player, two each of its guesses.
        uniforms = playing.random((len(block), 1 + 2 * task.max_guesses))
        drawn = np.minimum(np.searchsorted(bounds, uniforms[:, 0], side="right"), len(players) - 1)
        draws = uniforms[:, 1:].reshape(len(block), task.max_guesses, 2)
        hidden = np.array([state.answer for _, state in block])
        guesses = np.empty((len(block), task.max_guesses), np.int64)
        for number, (player, _) in enumerate(players):
            rows = np.flatnonzero(drawn == number)
            guesses[rows] = play(player, hidden[rows], draws[rows])
        for (seed, state), chosen, number in zip(block, guesses, drawn, strict=True):
            yield _episode(task, seed, state, chosen, players[number][0].name)


def _branching(
    task: WordleTask, seeds: np.random.SeedSequence, games: int, allowed: frozenset[int], other: Player
) -> Iterator[Episode]:
    """Expert games, each followed by its branches; `other` plays those that share nothing with it."""
    if task.max_guesses < 3:
        raise ValueError(
            f"games branch off after two guesses, so max_guesses must be at least 3, got {task.max_guesses}"
        )
    expert, repeat = Entropy(other.rules, openers=expert_openers(task)), RepeatFirstTwo(other.rules)
    starting, playing = (np.random.Generator(np.random.PCG64(child)) for child in seeds.spawn(2))
    starts = _starts(task, starting, allowed)
    while games:
        block = min(games, _BLOCK // (1 + 2 * BRANCHES))
        games -= block
        # An expert game has its own fixed share of both streams: starts for itself and for the games beside it.
        begun = [list(itertools.islice(starts, 1 + BRANCHES)) for _ in range(block)]
        draws = playing.random((block, 1 + 2 * BRANCHES, task.max_guesses, 2))
        hidden = np.array([[state.answer for _, state in row] for row in begun])

        played = play(expert, hidden[:, 0], draws[:, 0])
        longer = played[:, 2] >= 0
        again = np.repeat(np.flatnonzero(longer), BRANCHES)
        repeated = np.empty((block, BRANCHES, task.max_guesses), np.int64)
        repeated[longer] = play(
            repeat, hidden[again, 0], _games_of(draws[longer, 1 : 1 + BRANCHES]), given=played[again, :2]
        ).reshape(-1, *repeated.shape[1:])
        beside = play(other, hidden[:, 1:].ravel(), _games_of(draws[:, 1 + BRANCHES :])).reshape(repeated.shape)

        for row, ((seed, state), *starts_beside) in enumerate(begun):
            yield _episode(task, seed, state, played[row], "expert")
            for guesses in repeated[row] if longer[row] else ():
                yield _episode(task, seed, state, guesses, "repeat")
            for (seed, state), guesses in zip(starts_beside, beside[row], strict=True):
                yield _episode(task, seed, state, guesses, other.name)


def _games_of(draws: np.ndarray) -> np.ndarray:
    """(expert games, branches, max_guesses, 2) to one row a game."""
    return draws.reshape(-1, *draws.shape[2:])


def _starts(task: WordleTask, rng: np.random.Generator, allowed: frozenset[int]) -> Iterator[tuple[int, WordleState]]:
    """Episode seeds and the states that the task starts in with them, for the hidden words that are allowed."""
    while True:
        for seed in rng.integers(2**63, size=_BLOCK).tolist():
            (start,) = task.start([np_random(seed)[0]])
            if start.state.answer in allowed:
                yield seed, start.state


def _episode(task: WordleTask, seed: int, state: WordleState, guesses: np.ndarray, behaviour: str) -> Episode:
    """Plays guesses, indices of answers, in the task itself until the game is over."""
    turns: list[Turn] = []
    for guess in guesses:
        action = task.answers[guess]
        (reply,) = task.reply([state], [action])
        turns += [Turn("agent", action, reply.reward), Turn("env", reply.text or "")]
        state = reply.state
        if reply.terminated:
            break
    return Episode("Wordle-v0", seed, tuple(turns), True, False, {**reply.info, "behaviour": behaviour})
