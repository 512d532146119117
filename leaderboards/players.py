"""The reference players that suites name, each made from its task's arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lmrl_envs.wordle.exact import Optimal
from lmrl_envs.wordle.solvers import Entropy, Player, PlayerPolicy, RandomConsistent, RandomWord, Rules
from lmrl_envs.wordle.task import WordleTask


def random_word(env_kwargs: Mapping[str, Any]) -> PlayerPolicy:
    """A uniform word of the answer list at each guess: the 0 of the normalised scale."""
    return _wordle(RandomWord, env_kwargs)


def random_consistent(env_kwargs: Mapping[str, Any]) -> PlayerPolicy:
    """A uniform word among those that can still be the answer."""
    return _wordle(RandomConsistent, env_kwargs)


def entropy_greedy(env_kwargs: Mapping[str, Any]) -> PlayerPolicy:
    """The answer whose pattern tells most about the hidden word, one guess ahead."""
    return _wordle(Entropy, env_kwargs)


def optimum(env_kwargs: Mapping[str, Any]) -> PlayerPolicy:
    """The best policy there is, by dynamic programming; for short lists only."""
    return _wordle(Optimal, env_kwargs)


def _wordle(player: Callable[[Rules], Player], env_kwargs: Mapping[str, Any]) -> PlayerPolicy:
    return PlayerPolicy(player(Rules.of(WordleTask(**env_kwargs))))
