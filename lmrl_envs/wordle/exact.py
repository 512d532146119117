"""Exact values of Wordle by dynamic programming: of the best policy, and of players that choose at random.

A state is the set of answers that are still possible and the number of guesses left. Every wrong guess costs 1, those
of a lost game included, so that the undiscounted return of a game is minus its number of wrong guesses. A set of
answers is an int whose bit i stands for answer i.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lmrl_envs.wordle.players import Boards, MarkovPlayer, Rules
from lmrl_envs.wordle.rules import PATTERNS, WIN_CODE

NEVER = 2**62
"""More than anything costs."""


class Splits:
    """How guesses split sets of answers."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.everything = (1 << len(rules.answers)) - 1
        self._of_guess: dict[int, list[int]] = {}

    def parts(self, guess: int, possible: int) -> list[int]:
        """The sets, none empty, that `possible` falls into by the patterns of a guess other than the win."""
        if guess not in self._of_guess:
            codes = self.rules.table[guess]
            self._of_guess[guess] = [self.pack(codes == code) for code in np.unique(codes) if code != WIN_CODE]
        return [part for whole in self._of_guess[guess] if (part := whole & possible)]

    def bounds(self, possible: int) -> np.ndarray:
        """(G,) int64, a lower bound of the cost of each guess over `possible`; NEVER for one that tells nothing.

        A guess costs 1 for each answer but itself, and in each part of n answers all but one cost at least 1 more. The
        bound is the cost itself when one guess is left after this one.
        """
        codes = self.rules.table[:, self.unpack(possible)]
        seen = np.zeros((len(codes), len(PATTERNS)), np.bool_)
        seen[np.arange(len(codes))[:, None], codes] = True
        patterns = np.count_nonzero(seen, axis=1)
        wins = seen[:, WIN_CODE]
        return np.where(patterns > 1, 2 * (codes.shape[1] - wins) - (patterns - wins), NEVER)

    def pack(self, possible: np.ndarray) -> int:
        """The set of a mask, (A,) bool."""
        return int.from_bytes(np.packbits(possible, bitorder="little").tobytes(), "little")

    def unpack(self, possible: int) -> np.ndarray:
        """(A,) bool, the mask of a set."""
        size = len(self.rules.answers)
        packed = np.frombuffer(possible.to_bytes((size + 7) // 8, "little"), np.uint8)
        return np.unpackbits(packed, count=size, bitorder="little").view(np.bool_)


class Solved(NamedTuple):
    """The least cost, summed over the answers of a set, and a guess that has it; a lower bound where `guess` is -1."""

    cost: int
    guess: int


class Optimal(MarkovPlayer):
    """The best player there is, by branch and bound over all guesses of the rules.

    It solves what it is asked about and remembers it. With guesses from the answers, 40 words take a millisecond, 826
    two seconds and 2,315 two to four minutes. With `width`, it tries only so many guesses at each state, those of the
    lowest bounds: no longer a proven optimum, but close and fast. On the original game's 2,315 answers and 12,972
    guesses, width 4 needs 7,921 guesses in all; the proven optimum is 7,920 (a return of -2.42117).
    """

    def __init__(self, rules: Rules, width: int | None = None) -> None:
        if width is not None and width < 1:
            raise ValueError(f"width is a number of guesses to try, at least 1, or None for all; got {width}")
        super().__init__(rules)
        self.name = "optimal" if width is None else f"search({width})"
        self.width = width
        self._splits = Splits(rules)
        self._solved: dict[tuple[int, int], Solved] = {}

    def value(self) -> float:
        """The expected undiscounted return: without `width`, the highest of any policy that uses the rules' guesses."""
        return -self._solve(self._splits.everything, self.rules.max_guesses, NEVER).cost / len(self.rules.answers)

    def choose(self, boards: Boards, uniforms: np.ndarray) -> np.ndarray:
        return self._choose(boards.possible, boards.played.shape[1])

    def probabilities(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        chosen = self._choose(possible[None], guesses)
        return np.bincount(chosen, minlength=len(self.rules.guesses)).astype(np.float64)

    def _choose(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        left = max(self.rules.max_guesses - guesses, 1)
        return np.array([self._solve(self._splits.pack(row), left, NEVER).guess for row in possible], np.int64)

    def _solve(self, possible: int, left: int, budget: int) -> Solved:
        """The best guess where it costs less than `budget`; else possibly a lower bound, of at least `budget`."""
        size = possible.bit_count()
        left = min(left, size)  # a guess that tells anything rules out one answer or more
        if size <= 2 or left == 1:  # nothing beats trying one of them
            return Solved(size - 1, int(self.rules.guess_of_answer[(possible & -possible).bit_length() - 1]))
        solved = self._solved.get((possible, left))
        if solved is None or (solved.guess < 0 and solved.cost < budget):
            solved = self._solved[possible, left] = self._search(possible, left, budget)
        return solved

    def _search(self, possible: int, left: int, budget: int) -> Solved:
        bounds = self._splits.bounds(possible)
        order = np.argsort(bounds, kind="stable")[: self.width].tolist()
        best = Solved(int(bounds[order[0]]), order[0])
        if best.cost >= budget:
            return Solved(best.cost, -1)
        if left == 2:
            return best
        best = Solved(budget, -1)
        for guess in order:
            if bounds[guess] >= best.cost:
                break
            cost = self._cost(guess, possible, left, int(bounds[guess]), best.cost)
            if cost < best.cost:
                best = Solved(cost, guess)
        return best

    def _cost(self, guess: int, possible: int, left: int, bound: int, budget: int) -> int:
        """The cost of a guess where it is less than `budget`, else a lower bound of at least `budget`."""
        parts = [part for part in self._splits.parts(guess, possible) if part.bit_count() > 2]
        cost = bound
        least = {part: part.bit_count() - 1 for part in parts}  # what `cost` has in it for each part
        for close in (0, NEVER):  # first each part's own bound, which often settles it, then its least cost
            for part in sorted(parts, key=int.bit_count, reverse=True):
                solved = self._solve(part, left - 1, min(close, budget - cost + least[part]))
                cost += solved.cost - least[part]
                least[part] = solved.cost
                if cost >= budget:
                    return cost
        return cost


def exact_value(player: MarkovPlayer, *, gamma_turn: float = 1.0) -> float:
    """The expected return of a player, discounted by `gamma_turn` at each turn after the first.

    Exact up to rounding. The time grows with the number of sets that the player can meet: about a second for random
    players on 40 words, and for entropy-greedy ones on thousands.
    """
    splits = Splits(player.rules)
    last = player.rules.max_guesses - 1
    values: dict[tuple[int, int], float] = {}

    def value(possible: int, guesses: int) -> float:
        key = (possible, guesses)
        if key not in values:
            chances = player.probabilities(splits.unpack(possible), guesses)
            total = 0.0
            for guess in np.flatnonzero(chances).tolist():
                for part in splits.parts(guess, possible):
                    later = gamma_turn * value(part, guesses + 1) if guesses < last else 0.0
                    total += chances[guess] * part.bit_count() * (later - 1)
            values[key] = total / possible.bit_count()
        return values[key]

    return value(splits.everything, 0)
