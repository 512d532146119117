"""Trained critics of Wordle beside exact values, and which first words of branching data they prefer.

A critic's Q of a word is min target-Q at the word's end-of-turn token, the Q that guides its play: of `mc`, which has
no target network, the least of its heads; of `psi`, in units of reward, less what later divergence from pi_beta costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from agents.algorithm import Algorithm
from agents.batch import collate
from lmrl_envs.core import Episode, Policy, Turn
from lmrl_envs.datasets import TextDataset
from lmrl_envs.evaluate import rollout
from lmrl_envs.wordle.exact import decide
from lmrl_envs.wordle.solvers import ExactTable, Optimal, Rules
from lmrl_envs.wordle.tabular import opener_share
from lmrl_envs.wordle.task import WordleTask
from lmrl_envs.wordle.truth import Truth, agreement, truth
from lmrl_envs.wordle.words import WORD_LENGTH

BATCH = 256
"""Episodes scored at once."""


def compare(algorithm: Algorithm, validation: TextDataset) -> dict[str, Any]:
    """Q of the logged words against Q* and against the Q of the people who played, and the greedy policy's regret.

    Every logged turn counts once, so that distinct histories weigh as often as they occur. Exact values of Q are
    discounted as the agent's are; regret is V* - Q*, undiscounted, so that over the agent's own games the regrets by
    turn sum to the optimum's return minus the agent's.

    Args:
        algorithm: has a critic: `score` gives Q.
        validation: of `wordle/human-v0`, on a list short enough to be solved, such as `common-40`.

    Returns:
        Plain JSON: `gamma_turn`, the discount from one turn to the next; `distinct`, pairs of history and word; `turns`
        logged with the mean `q` of their words; `optimum` and `people`, each with its own mean `q` and the critic's
        `rmse` and `spearman` (None where either side is constant); `by_turn`, the same of each turn; `regret`: its mean
        at the logged histories of each turn (`logged`), in the agent's own games against every answer, 0 for those that
        are over (`own`), and the mean `return` of these games.

    Raises:
        ValueError: the data are not of the people with all answers, whose exact values are known.
    """
    config = algorithm.config
    gamma_turn = config.gamma_turn * config.gamma ** (WORD_LENGTH + 1)  # a word's letters and its end-of-turn token
    exact = truth(validation, gamma_turn=gamma_turn)
    q = np.concatenate(end_of_turn_q(algorithm, validation))
    return {
        "gamma_turn": gamma_turn,
        "distinct": exact.distinct,
        **_agreement(q, exact),
        "by_turn": [
            {"turn": turn, **_agreement(q, exact, exact.turn == turn)} for turn in np.unique(exact.turn).tolist()
        ],
        "regret": _regret(algorithm.policy(temperature=0.0), validation),
    }


def openers(algorithm: Algorithm, branching: TextDataset) -> dict[str, Any]:
    """Q of each first word of branching data, and the share of pairs in which the expert's is higher.

    Returns:
        Plain JSON: `share`, see `lmrl_envs.wordle.tabular.opener_share`; `q`, of each first word.
    """
    words = sorted(set(branching.to_pandas().query("turn == 0").text))
    games = [Episode(None, None, (Turn("agent", word),), True, False, {}) for word in words]
    q = {word: float(Q[0]) for word, Q in zip(words, end_of_turn_q(algorithm, games), strict=True)}
    return {"share": opener_share(q, branching), "q": q}


def end_of_turn_q(algorithm: Algorithm, episodes: Iterable[Episode]) -> list[np.ndarray]:
    """For each episode, (agent turns,) min target-Q at the end-of-turn token of each.

    Raises:
        ValueError: the agent's `score` knows no Q.
    """
    device, eot = next(algorithm.parameters()).device, algorithm.tokenizer.eot_agent
    algorithm.eval()
    rows = [algorithm.encode(episode) for episode in episodes]
    found = [np.empty(0)] * len(rows)
    order = sorted(range(len(rows)), key=lambda row: len(rows[row].ids))  # equal lengths share attention calls
    for start in range(0, len(rows), BATCH):
        chosen = order[start : start + BATCH]
        batch = collate([rows[row] for row in chosen]).to(device)
        ends = batch.action_mask & (batch.input_ids[:, 1:] == eot)
        Q = algorithm.score(batch).q
        if Q[ends].isnan().any():
            raise ValueError(f"{algorithm.name} has no critic: its score gives no Q; take ilql or another value method")
        for row, q, end in zip(chosen, Q.cpu(), ends.cpu(), strict=True):
            found[row] = q[end].double().numpy()
    return found


def _agreement(q: np.ndarray, exact: Truth, of: np.ndarray | slice = slice(None)) -> dict[str, Any]:
    """Of the logged turns `of`: their number, their mean Q, and how well it agrees with both exact ones."""
    q = q[of]
    return {
        "turns": len(q),
        "q": float(q.mean()),
        "optimum": agreement(q, exact.optimum[of]),
        "people": agreement(q, exact.people[of]),
    }


def _regret(policy: Policy, validation: TextDataset) -> dict[str, Any]:
    """V* - Q* of a deterministic policy's guesses; lists have one entry for each turn."""
    task = WordleTask(**validation.metadata.env_kwargs)
    best = ExactTable(task, Optimal(Rules.of(task)))
    count, logged, own = np.zeros((3, task.max_guesses))
    histories = Counter(episode.turns[:end] for episode in validation for end in range(0, len(episode.turns), 2))
    for history, guess in zip(histories, decide(policy, list(histories), task), strict=True):
        turn, n = len(history) // 2, histories[history]
        count[turn] += n
        logged[turn] += n * (best.v(history) - best.q(history, guess))
    games = list(rollout(policy, "Wordle-v0", episodes="all", env_kwargs=validation.metadata.env_kwargs))
    for game in games:
        for turn, action in enumerate(game.turns[::2]):
            history = game.turns[: 2 * turn]
            own[turn] += (best.v(history) - best.q(history, action.text)) / len(games)
    reached = count > 0
    return {
        "logged": (logged[reached] / count[reached]).tolist(),
        "own": own.tolist(),
        "return": float(np.mean([game.total_return for game in games])),
    }
