"""Exact values of Wordle by dynamic programming: of the best policy, of players that choose at random, of crowds.

A state is the set of answers that are still possible and the number of guesses left; for players with a memory, also
what they remember. Every wrong guess costs 1, those of a lost game included, so that the undiscounted return of a game
is minus its number of wrong guesses. A set of answers is an int whose bit i stands for answer i.

`ExactTable` and `CrowdTable` give V and Q at any history. With `gamma_turn`, rewards are discounted by it at each turn
after the next: 1 for scores and regret, a critic's own where the critic is compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from lmrl_envs.core import Episode, Policy, Turn, clean
from lmrl_envs.wordle.players import Boards, MarkovPlayer, Player, Rules
from lmrl_envs.wordle.rules import INVALID, PATTERN_CODES, PATTERNS, WIN, WIN_CODE, encode_words, pattern_codes
from lmrl_envs.wordle.task import WordleState, WordleTask
from lmrl_envs.wordle.words import WORD_LENGTH

NEVER = 2**62
"""More than anything costs."""
_BLOCK = 256  # histories that a policy is asked about at once


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

    def bounds(self, possible: int, gamma_turn: float) -> np.ndarray:
        """(G,) float64, a lower bound of the cost of each guess over `possible`; NEVER for one that tells nothing.

        A guess costs 1 for each answer but itself, and in each part of n answers all but one cost at least 1 more, a
        turn later. The bound is the cost itself when one guess is left after this one.
        """
        codes = self.rules.table[:, self.unpack(possible)]
        seen = np.zeros((len(codes), len(PATTERNS)), np.bool_)
        seen[np.arange(len(codes))[:, None], codes] = True
        patterns = np.count_nonzero(seen, axis=1)
        wins = seen[:, WIN_CODE]
        answers = codes.shape[1]
        return np.where(patterns > 1, answers - wins + gamma_turn * (answers - patterns), NEVER)

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

    cost: float
    guess: int


class Optimal(MarkovPlayer):
    """The best player there is, by branch and bound over all guesses of the rules.

    It solves what it is asked about and remembers it. With guesses from the answers, 40 words take a millisecond, 826
    two seconds and 2,315 two to four minutes. With `width`, it tries only so many guesses at each state, those of the
    lowest bounds: no longer a proven optimum, but close and fast. On the original game's 2,315 answers and 12,972
    guesses, width 4 needs 7,921 guesses in all; the proven optimum is 7,920 (a return of -2.42117). `gamma_turn`
    discounts what it maximises.
    """

    def __init__(self, rules: Rules, width: int | None = None, *, gamma_turn: float = 1.0) -> None:
        if width is not None and width < 1:
            raise ValueError(f"width is a number of guesses to try, at least 1, or None for all; got {width}")
        if not 0 < gamma_turn <= 1:
            raise ValueError(f"gamma_turn must be above 0 and at most 1, got {gamma_turn}")
        super().__init__(rules)
        self.gamma_turn = gamma_turn
        self.name = "optimal" if width is None else f"search({width})"
        self.width = width
        self._splits = Splits(rules)
        self._solved: dict[tuple[int, int], Solved] = {}

    def value(self, possible: int | None = None, played: Sequence[int] = ()) -> float:
        """The expected return from the start, or where `possible` is known after the guesses `played`.

        Without `width`, it is the highest of any policy that uses the rules' guesses.
        """
        if possible is None:
            possible = self._splits.everything
        return -self._solve(possible, self.rules.max_guesses - len(played), NEVER).cost / possible.bit_count()

    def choose(self, boards: Boards, uniforms: np.ndarray) -> np.ndarray:
        return self._choose(boards.possible, boards.played.shape[1])

    def probabilities(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        chosen = self._choose(possible[None], guesses)
        return np.bincount(chosen, minlength=len(self.rules.guesses)).astype(np.float64)

    def _choose(self, possible: np.ndarray, guesses: int) -> np.ndarray:
        left = max(self.rules.max_guesses - guesses, 1)
        return np.array([self._solve(self._splits.pack(row), left, NEVER).guess for row in possible], np.int64)

    def _solve(self, possible: int, left: int, budget: float) -> Solved:
        """The best guess where it costs less than `budget`; else possibly a lower bound, of at least `budget`."""
        size = possible.bit_count()
        left = min(left, size)  # a guess that tells anything rules out one answer or more
        if size <= 2 or left == 1:  # nothing beats trying one of them
            return Solved(size - 1, int(self.rules.guess_of_answer[(possible & -possible).bit_length() - 1]))
        solved = self._solved.get((possible, left))
        if solved is None or (solved.guess < 0 and solved.cost < budget):
            solved = self._solved[possible, left] = self._search(possible, left, budget)
        return solved

    def _search(self, possible: int, left: int, budget: float) -> Solved:
        bounds = self._splits.bounds(possible, self.gamma_turn)
        order = np.argsort(bounds, kind="stable")[: self.width].tolist()
        best = Solved(float(bounds[order[0]]), order[0])
        if best.cost >= budget:
            return Solved(best.cost, -1)
        if left == 2:
            return best
        best = Solved(budget, -1)
        for guess in order:
            if bounds[guess] >= best.cost:
                break
            cost = self._cost(guess, possible, left, float(bounds[guess]), best.cost)
            if cost < best.cost:
                best = Solved(cost, guess)
        return best

    def _cost(self, guess: int, possible: int, left: int, bound: float, budget: float) -> float:
        """The cost of a guess where it is less than `budget`, else a lower bound of at least `budget`."""
        parts = [part for part in self._splits.parts(guess, possible) if part.bit_count() > 2]
        cost = bound
        least: dict[int, float] = {part: part.bit_count() - 1 for part in parts}  # what `cost` has in it, undiscounted
        for close in (0, NEVER):  # first each part's own bound, which often settles it, then its least cost
            for part in sorted(parts, key=int.bit_count, reverse=True):
                solved = self._solve(part, left - 1, min(close, (budget - cost) / self.gamma_turn + least[part]))
                cost += self.gamma_turn * (solved.cost - least[part])
                least[part] = solved.cost
                if cost >= budget:
                    return cost
        return cost


class PlayerValues:
    """Expected returns of a player at whatever it can meet.

    The time grows with the number of sets that the player can meet: about a second for random players on 40 words, and
    for entropy-greedy ones on thousands.
    """

    def __init__(self, player: Player, *, gamma_turn: float = 1.0) -> None:
        self.player, self.rules, self.gamma_turn = player, player.rules, gamma_turn
        self._splits = Splits(player.rules)
        self._values: dict[tuple[int, int, tuple[int, ...]], float] = {}

    def value(self, possible: int | None = None, played: Sequence[int] = ()) -> float:
        """The expected return from the start, or where `possible` is known after the guesses `played`."""
        if possible is None:
            possible = self._splits.everything
        key = possible, len(played), tuple(self.player.recalls(played))
        if key not in self._values:
            chances = self.player.chances(self._splits.unpack(possible), played)
            total = 0.0
            for guess in np.flatnonzero(chances).tolist():
                after = (*played, guess)
                total += chances[guess] * backup(self, self._splits.parts(guess, possible), possible, after)
            self._values[key] = float(total)
        return self._values[key]


def backup(values: Optimal | PlayerValues, parts: Iterable[int], possible: int, played: Sequence[int]) -> float:
    """The mean over `possible` of what a guess, the last of `played`, brings: 0 where it wins.

    Elsewhere it is -1 and the discounted value of the part, as `Splits.parts` has them, that the answer is in.
    """
    total = 0.0
    last = len(played) == values.rules.max_guesses
    for part in parts:
        later = 0.0 if last else values.gamma_turn * values.value(part, played)
        total += part.bit_count() * (later - 1)
    return total / possible.bit_count()


def exact_value(player: Player, *, gamma_turn: float = 1.0) -> float:
    """The expected return of a player, discounted by `gamma_turn` at each turn after the first; see `PlayerValues`."""
    return PlayerValues(player, gamma_turn=gamma_turn).value()


class ExactTable:
    """V and Q at any history: of `Optimal` (V*, Q*), or of a player by `PlayerValues`.

    The game goes on with words of their rules, whatever else the task takes. `v` and `q` raise a ValueError where no
    answer agrees with a history.
    """

    def __init__(self, task: WordleTask, values: Optimal | PlayerValues) -> None:
        self.task, self.values = task, values
        self._splits = Splits(values.rules)

    def v(self, turns: Sequence[Turn]) -> float:
        """The expected return from here on; 0 where the game is over."""
        possible, played = self.place(turns)
        if len(played) == self.task.max_guesses or (turns and turns[-1].text == WIN):
            return 0.0
        return self.values.value(possible, played)

    def q(self, turns: Sequence[Turn], guess: str) -> float:
        """The expected return if the next guess is `guess`, any text that the task takes."""
        possible, played = self.place(turns)
        index = self.values.rules.index.get(guess, -1)
        return backup(self.values, self._parts(possible, guess, index, len(played)), possible, (*played, index))

    def place(self, turns: Sequence[Turn]) -> tuple[int, tuple[int, ...]]:
        """The answers that agree with a history, as a set, and its guesses; -1 for one outside the rules' list."""
        rules, possible = self.values.rules, self._splits.everything
        played = []
        for turn, said in zip(turns[::2], turns[1::2], strict=True):
            word = turn.text.strip().lower()
            played.append(rules.index.get(word, -1))
            if said.text != INVALID:
                index = played[-1]
                codes = rules.table[index] if index >= 0 else _codes(word, rules)
                possible &= self._splits.pack(codes == PATTERN_CODES[said.text])
        if not possible:
            raise ValueError(f"no answer agrees with this history: {[turn.text for turn in turns]}")
        return possible, tuple(played)

    def _parts(self, possible: int, guess: str, index: int, guesses: int) -> Iterable[int]:
        """As `Splits.parts`; a word outside the rules' list, or no word at all, is put to the task itself."""
        if index >= 0:
            return self._splits.parts(index, possible)
        answers = np.flatnonzero(self._splits.unpack(possible)).tolist()
        replies = self.task.reply([WordleState(answer, guesses) for answer in answers], [guess] * len(answers))
        parts: dict[str | None, int] = {}
        for answer, reply in zip(answers, replies, strict=True):
            if reply.text != WIN:
                parts[reply.text] = parts.get(reply.text, 0) | 1 << answer
        return parts.values()


class CrowdTable:
    """V and Q at any history of a crowd, of which one player, drawn by its weight, plays each game.

    What was guessed so far tells who it may be, so a crowd's values at a history are means over the posterior of its
    players. Where no player guesses as a history has it, they are undefined: a ValueError.
    """

    def __init__(self, task: WordleTask, players: Sequence[tuple[Player, float]], *, gamma_turn: float = 1.0) -> None:
        self.players = [player for player, _ in players]
        self._splits = Splits(self.players[0].rules)
        self._tables = [ExactTable(task, PlayerValues(player, gamma_turn=gamma_turn)) for player in self.players]
        self._posteriors: dict[tuple[str, ...], np.ndarray] = {(): np.array([weight for _, weight in players])}

    def v(self, turns: Sequence[Turn]) -> float:
        """The expected return from here on; 0 where the game is over."""
        return self._mean(self.posterior(turns), lambda table: table.v(turns))

    def q(self, turns: Sequence[Turn], guess: str) -> float:
        """The expected return if the next guess is `guess`, which tells about the player, too."""
        return self._mean(self.posterior([*turns, Turn("agent", guess)]), lambda table: table.q(turns, guess))

    def posterior(self, turns: Sequence[Turn]) -> np.ndarray:
        """(players,) the chance that each is playing; `turns` may end with a guess that is not yet answered."""
        key = tuple([turn.text for turn in turns])
        if key not in self._posteriors:
            posterior = self.posterior(turns[:-1])
            if turns[-1].role == "agent":
                guess = self.players[0].rules.index.get(turns[-1].text, -1)
                joint = posterior * self._chances(turns[:-1])[:, guess] if guess >= 0 else np.zeros(1)
                if not joint.any():
                    raise ValueError(f"no player of the crowd guesses {turns[-1].text!r} after {key[:-1]}")
                posterior = joint / joint.sum()
            self._posteriors[key] = posterior
        return self._posteriors[key]

    def probabilities(self, turns: Sequence[Turn]) -> np.ndarray:
        """(G,) chance of each next guess."""
        return self.posterior(turns) @ self._chances(turns)

    def _chances(self, turns: Sequence[Turn]) -> np.ndarray:
        """(players, G) chance that each player makes each guess next."""
        possible, played = self._tables[0].place(turns)
        mask = self._splits.unpack(possible)
        return np.array([player.chances(mask, played) for player in self.players])

    def _mean(self, posterior: np.ndarray, of: Callable[[ExactTable], float]) -> float:
        return sum(p * of(table) for p, table in zip(posterior.tolist(), self._tables, strict=True) if p)


class Floor(NamedTuple):
    """The least loss that a model of a crowd can have on its games, in nats a token."""

    entropy: float
    """Mean entropy of the crowd's next guess given the history: exact at each, averaged over the histories of games."""
    standard_error: float
    """Of `entropy`, over games."""
    loss: float
    """What the crowd itself, which knows its own chances, scores on these very guesses."""


def loss_floor(crowd: CrowdTable, games: Iterable[Episode], *, tokens_per_turn: int = WORD_LENGTH + 1) -> Floor:
    """The floor of the validation loss on games that a crowd played.

    `loss` is to be compared with a model's loss on the same games, `entropy` with its loss on fresh ones.

    Args:
        tokens_per_turn: in a word, its end-of-turn token included; by default a letter is a token.
    """
    seen: dict[tuple[str, ...], tuple[float, dict[str, float]]] = {}
    rows = []  # (games, 3): turns, entropies and surprisals of each game, in nats
    for episode in games:
        row = np.zeros(3)
        for turn, action in enumerate(episode.turns[::2]):
            history = episode.turns[: 2 * turn]
            key = tuple([said.text for said in history])
            if key not in seen:
                chances = crowd.probabilities(history)
                possible = np.flatnonzero(chances)
                logs = np.log(chances[possible])
                words = [crowd.players[0].rules.guesses[guess] for guess in possible]
                seen[key] = -float(chances[possible] @ logs), dict(zip(words, -logs, strict=True))
            entropy, surprisal = seen[key]
            row += 1.0, entropy, surprisal[action.text]
        rows.append(row)
    turns, entropies, surprisals = np.array(rows).T
    tokens = turns.sum() * tokens_per_turn
    entropy = entropies.sum() / turns.sum()
    return Floor(
        float(entropy / tokens_per_turn),
        float(np.sqrt(np.square(entropies - entropy * turns).sum()) / tokens),
        float(surprisals.sum() / tokens),
    )


def playout_values(
    policy: Policy,
    task: WordleTask,
    histories: Sequence[Sequence[Turn]],
    guesses: Sequence[str] | None = None,
    *,
    gamma_turn: float = 1.0,
) -> np.ndarray:
    """(N,) V of a deterministic policy at each history, by playing on against every answer that agrees with it.

    With `guesses`, one a history, it is Q: they are guessed first. A history whose game is over, or that no answer
    agrees with, has no values.
    """
    answers = {word: index for index, word in enumerate(task.answers)}
    turns: list[tuple[Turn, ...]] = []
    states, owner = [], []
    for number, history in enumerate(histories):
        for word in task.candidates(history):
            turns.append(tuple(history))
            states.append(WordleState(answers[word], len(history) // 2))
            owner.append(number)
    returns = np.zeros(len(turns))
    live = list(range(len(turns)))
    for step in itertools.count():
        if step == 0 and guesses is not None:
            actions = [guesses[owner[row]] for row in live]
        else:
            distinct = list(dict.fromkeys(turns[row] for row in live))
            chosen = dict(zip(distinct, decide(policy, distinct, task), strict=True))
            actions = [chosen[turns[row]] for row in live]
        replies = task.reply([states[row] for row in live], actions)
        for row, action, reply in zip(live, actions, replies, strict=True):
            returns[row] += gamma_turn**step * reply.reward
            turns[row] += Turn("agent", action, reply.reward), Turn("env", reply.text or "")
            states[row] = reply.state
        live = [row for row, reply in zip(live, replies, strict=True) if not reply.terminated]
        if not live:
            break
    return np.bincount(owner, returns) / np.bincount(owner)


def decide(policy: Policy, histories: Sequence[Sequence[Turn]], task: WordleTask) -> list[str]:
    """The policy's texts, asked for some hundred at a time and cleaned as `rollout` does."""
    blocks = (histories[start : start + _BLOCK] for start in range(0, len(histories), _BLOCK))
    return [clean(text, task.max_action_chars) for block in blocks for text in policy.act(block)]


def _codes(word: str, rules: Rules) -> np.ndarray:
    """(A,) the pattern's code of any five letters against each answer."""
    return pattern_codes(encode_words([word]), encode_words(rules.answers), rules.duplicates)[0]
