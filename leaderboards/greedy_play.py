"""Off-policy estimates of what agents return that choose one word at each history, from logged Wordle games alone.

As in `leaderboards.ope`, but for trained agents, of which neither the return nor the chances of those who wrote the
games need to be known: the behaviour's are the shares of each word at each logged history. Estimated on the games
themselves, these make importance weights less variable than true chances would (Hanna et al., arXiv 1806.01347).

Legend: N games of at most T turns, S histories, A words, P agents.
"""

from __future__ import annotations

import numpy as np

from agents.algorithm import Algorithm
from leaderboards.estimators import doubly_robust, importance_weights, per_decision
from leaderboards.fqe import Chances, FQEConfig
from leaderboards.game_tree import GameTree
from leaderboards.instruments import ESTIMATORS
from leaderboards.ope import cross_fitted
from lmrl_envs.core import Turn
from lmrl_envs.datasets import TextDataset
from lmrl_envs.wordle.exact import decide
from lmrl_envs.wordle.task import WordleTask

OTHER = -1
"""In the place of a word: something that is not in the list."""


def histories_of(tree: GameTree, games: TextDataset) -> list[tuple[Turn, ...]]:
    """(S,) the turns before each state of a tree of these games."""
    found: list[tuple[Turn, ...]] = [()] * len(tree)
    for states, game in zip(tree.state, games, strict=True):
        for turn, state in enumerate(states[states >= 0]):
            found[state] = game.turns[: 2 * turn]
    return found


def greedy_words(algorithm: Algorithm, tree: GameTree, games: TextDataset) -> np.ndarray:
    """(S,) the word that an agent chooses at each state, `OTHER` where it is none of the list."""
    task = WordleTask(**games.metadata.env_kwargs)
    said = decide(algorithm.policy(temperature=0.0), histories_of(tree, games), task)
    return np.array([tree.rules.index.get(text, OTHER) for text in said])


def estimates(tree: GameTree, words: np.ndarray, config: FQEConfig) -> list[dict[str, float | None]]:
    """What `fqe`, `pdwis` and `dr` of `instruments.ESTIMATORS` say of each agent's return, by these names.

    None where no logged game goes as the agent would have it.

    Args:
        words: (S, P), see `greedy_words`.
    """
    q, v, v_next, starts = cross_fitted(tree, one_word(words, len(tree.rules.guesses)), words.shape[1], config)
    behaviour, follows = logged_shares(tree), followed(tree, words)
    found = []
    for agent in range(words.shape[1]):
        weights = importance_weights(follows[..., agent], behaviour)
        found.append(
            {
                ESTIMATORS["fqe"]: float(starts[:, agent].mean()),
                ESTIMATORS["pdwis"]: per_decision(weights, tree.reward),
                ESTIMATORS["dr"]: doubly_robust(weights, tree.reward, q[..., agent], v[:, agent], v_next[..., agent]),
            }
        )
    return found


def one_word(words: np.ndarray, count: int) -> Chances:
    """(S, P) words as chances over `count`; uniform where an agent says none of them, as there nothing is known."""

    def chances(states: np.ndarray) -> np.ndarray:
        chosen = words[states][:, None]
        return np.where(chosen == OTHER, 1 / count, chosen == np.arange(count)[:, None]).astype(np.float32)

    return chances


def logged_shares(tree: GameTree) -> np.ndarray:
    """(N, T) chance of each game up to and with each turn, by the shares of words at logged histories."""
    pair = tree.state * len(tree.rules.guesses) + tree.word
    _, of_pair, n_pair = np.unique(pair[tree.live], return_inverse=True, return_counts=True)
    n_state = np.bincount(tree.state[tree.live])
    share = np.ones(tree.word.shape)
    share[tree.live] = n_pair[of_pair] / n_state[tree.state[tree.live]]
    return share.cumprod(axis=1)


def followed(tree: GameTree, words: np.ndarray) -> np.ndarray:
    """(N, T, P) 1 where each agent would have said all of a game up to and with that turn, else 0."""
    same = (words[tree.state] == tree.word[..., None]) | ~tree.live[..., None]
    return same.cumprod(axis=1).astype(np.float64)
