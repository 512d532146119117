"""Reference players of Wordle, exact values, and the scores that normalise returns: one place to import them from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lmrl_envs.registration import ReferenceScores
from lmrl_envs.wordle.exact import (
    CrowdTable,
    ExactTable,
    Optimal,
    PlayerValues,
    exact_value,
    loss_floor,
    playout_values,
)
from lmrl_envs.wordle.players import (
    Boards,
    Entropy,
    MarkovPlayer,
    Noisy,
    Player,
    PlayerPolicy,
    RandomConsistent,
    RandomWord,
    RepeatFirstTwo,
    Rules,
    Staller,
    play,
)
from lmrl_envs.wordle.task import WordleTask
from lmrl_envs.wordle.words import load_words

__all__ = [
    "Boards",
    "CrowdTable",
    "Entropy",
    "ExactTable",
    "MarkovPlayer",
    "Noisy",
    "Optimal",
    "Player",
    "PlayerPolicy",
    "PlayerValues",
    "RandomConsistent",
    "RandomWord",
    "RepeatFirstTwo",
    "Rules",
    "Staller",
    "exact_value",
    "loss_floor",
    "play",
    "playout_values",
    "reference_scores",
]

# Wrong guesses over all answers of `common-2315` under the standard rules. With guesses from the answers it is the
# optimum, proven by `-2315 * Optimal(Rules(load_words("common"))).value()` in some four minutes, and width 4 has it in
# one second. With guesses from `common-guesses` it is what widths 16 and 32 both need, in a minute.
_COMMON_COST = 5660
_COMMON_GUESSES_COST = 5609

_EXACT_ANSWERS, _EXACT_GUESSES = 300, 6  # the optimum of larger games may take minutes
_SEARCH_WIDTH, _SEARCH_CELLS = 4, 3000 * 3000  # a search takes seconds for larger tables


def reference_scores(env_kwargs: Mapping[str, Any]) -> ReferenceScores | None:
    """The scores that normalise returns of Wordle-v0 with these keyword arguments, None where the lists are too large.

    Random is the exact expected return of a uniform word of the answers at each guess. Best is the best return known
    with guesses from the task's list, or from the answers where it takes any five letters: the optimum for lists of up
    to 300 answers and for `common-2315`, for other lists that of `Optimal(width=4)`.
    """
    return _scores(Rules.of(WordleTask(**env_kwargs)))


@lru_cache(maxsize=64)
def _scores(rules: Rules) -> ReferenceScores | None:
    best = _best(rules)
    return None if best is None else ReferenceScores(_random_return(rules), best)


def _random_return(rules: Rules) -> float:
    miss = 1 - 1 / len(rules.answers)
    return -sum(miss**guess for guess in range(1, rules.max_guesses + 1))


def _best(rules: Rules) -> float | None:
    common = load_words("common")
    if rules == Rules(common):
        return -_COMMON_COST / len(common)
    if rules == Rules(common, load_words("common-guesses")):
        return -_COMMON_GUESSES_COST / len(common)
    if len(rules.answers) <= _EXACT_ANSWERS and rules.max_guesses <= _EXACT_GUESSES:
        return Optimal(rules).value()
    if len(rules.answers) * len(rules.guesses) <= _SEARCH_CELLS:
        return Optimal(rules, width=_SEARCH_WIDTH).value()
    return None
