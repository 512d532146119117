"""Fits the mixes of simulated Wordle players that stand in `lmrl_envs/recipes.py`.

    python -m data_scripts.fit_wordle_mixes

`twitter`: shares of games solved at guess 1 to 6 and failed like those of 30.37 million results posted on Twitter
(RLesser/wordle-twitter-stats): weights that make the largest deviation over the seven shares smallest, on
`common-2315`, with some experts and consistent players in any case. No single rate of carelessness comes near: a random
consistent player solves .040 at guess 2 and .397 at guess 4. Nor does any mix of entropy-greedy, consistent and noisy
players, whose best largest deviation is .028: people know good first words, and take care when one guess is left, as
`Casual` does.

`wide`: entropy-greedy, consistent and two noisy players with equal weights, and random words with the weight that gives
`common-40` an exact mean return of -2.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog

from lmrl_envs.recipes import MIXES, Mix
from lmrl_envs.wordle.behaviours import mixture
from lmrl_envs.wordle.exact import exact_value
from lmrl_envs.wordle.solvers import MarkovPlayer, Rules, play
from lmrl_envs.wordle.words import load_words

TWITTER = np.array([0.0068, 0.0623, 0.2289, 0.3181, 0.2338, 0.1214, 0.0287])
RATES = (0.1, 0.2, 0.3, 0.4, 0.5)
LEAST = {"entropy": 0.01, "consistent": 0.01}
GAMES = 100_000


def shares(player: MarkovPlayer, rng: np.random.Generator) -> np.ndarray:
    """(max_guesses + 1,) shares of games solved at each guess, and failed."""
    rules = player.rules
    answers = rng.integers(len(rules.answers), size=GAMES)
    guesses = play(player, answers, rng.random((GAMES, rules.max_guesses, 2)))
    solved = guesses == rules.guess_of_answer[answers][:, None]
    return np.append(solved.mean(axis=0), (~solved.any(axis=1)).mean())


def fit(table: np.ndarray, least: Sequence[float]) -> np.ndarray:
    """(P,) weights of players with the shares `table`, (P, 7), none below its `least`."""
    players, columns = table.shape
    deviation = np.full((columns, 1), -1.0)
    solution = linprog(
        c=np.append(np.zeros(players), 1.0),  # the last variable is the largest deviation
        A_ub=np.block([[table.T, deviation], [-table.T, deviation]]),
        b_ub=np.concatenate([TWITTER, -TWITTER]),
        A_eq=np.append(np.ones(players), 0.0)[None],
        b_eq=[1.0],
        bounds=[*((low, 1.0) for low in least), (0.0, 1.0)],
    )
    return solution.x[:-1]


def main() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    crowd = Mix(1.0, 1.0, dict.fromkeys(RATES, 1.0), dict.fromkeys(RATES, 1.0))
    players = [player for player, _ in mixture(Rules(load_words("common-2315")), crowd)]
    table = np.array([shares(player, rng) for player in players])
    for player, row in zip(players, table, strict=True):
        print(f"{player.name:12}", row.round(4))
    weights = fit(table, [LEAST.get(player.name, 0.0) for player in players]).round(2)
    print("\ntwitter:", {player.name: float(w) for player, w in zip(players, weights, strict=True) if w})
    print("sum", weights.sum().round(2), "shares", (weights @ table).round(4))
    print("largest deviation", np.abs(weights @ table - TWITTER).max().round(4))

    wide = mixture(Rules(load_words("common-40")), MIXES["wide"])
    values = np.array([exact_value(player) for player, _ in wide])
    share = (-2.5 - values[:-1].mean()) / (values[-1] - values[:-1].mean())
    print("\nwide:", {player.name: float(value.round(4)) for (player, _), value in zip(wide, values, strict=True)})
    print(f"weight of random words {share:.3f}, of each other player {(1 - share) / (len(values) - 1):.3f}")
    print("exact mean return of the mix in recipes.py", np.dot([weight for _, weight in wide], values).round(4))


if __name__ == "__main__":
    main()
