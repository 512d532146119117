"""Fits the mixes of simulated Wordle players that stand in `lmrl_envs/recipes.py`.

    python -m data_scripts.fit_wordle_mixes

`twitter`: shares of games solved at guess 1 to 6 and failed like those of 30.37 million results posted on Twitter
(RLesser/wordle-twitter-stats), by nonnegative least squares over the players' own shares on `common-2315`. No single
rate of carelessness comes near: a random consistent player solves .040 at guess 2 and .397 at guess 4. Nor does any mix
of entropy-greedy, consistent and noisy players, whose best largest deviation is .028: people know good first words,
waste guesses in the middle of a game, and take care when few are left, as `Casual` does. The other three kinds have a
twentieth of the games each in any case, so that expert, consistent and careless play are all in the data.

`wide`: entropy-greedy, consistent and two noisy players with equal weights, and random words with the weight that gives
`common-40` an exact mean return of -2.5.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from lmrl_envs.recipes import MIXES, Mix
from lmrl_envs.wordle.behaviours import mixture
from lmrl_envs.wordle.solvers import MarkovPlayer, Rules, exact_value, play
from lmrl_envs.wordle.words import load_words

TWITTER = np.array([0.0068, 0.0623, 0.2289, 0.3181, 0.2338, 0.1214, 0.0287])
LEAST = {"entropy": 0.05, "consistent": 0.05, "noisy(0.2)": 0.05}
RATES, LAST_CARELESS = (0.1, 0.2, 0.3, 0.4, 0.5), (2, 3, 4, 5)
GAMES = 100_000


def shares(player: MarkovPlayer, rng: np.random.Generator) -> np.ndarray:
    """(max_guesses + 1,) shares of games solved at each guess, and failed."""
    rules = player.rules
    answers = rng.integers(len(rules.answers), size=GAMES)
    guesses = play(player, answers, rng.random((GAMES, rules.max_guesses, 2)))
    solved = guesses == rules.guess_of_answer[answers][:, None]
    return np.append(solved.mean(axis=0), (~solved.any(axis=1)).mean())


def main() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    crowd = Mix(1.0, 1.0, dict.fromkeys(RATES, 1.0), dict.fromkeys(LAST_CARELESS, 1.0))
    players = [player for player, _ in mixture(Rules(load_words("common-2315")), crowd)]
    table = np.array([shares(player, rng) for player in players])
    for player, row in zip(players, table, strict=True):
        print(f"{player.name:12}", row.round(4))
    least = np.array([LEAST.get(player.name, 0.0) for player in players])
    equations = np.vstack([table.T, np.full(len(players), 100.0)])  # the last one, heavy, asks for a sum of 1
    weights = (least + nnls(equations, np.append(TWITTER, 100.0) - equations @ least)[0]).round(2)
    weights[weights.argmax()] += 1 - weights.sum()  # what rounding took
    print("\ntwitter:", {player.name: round(float(w), 2) for player, w in zip(players, weights, strict=True) if w})
    print("shares", (weights @ table).round(4), "largest deviation", np.abs(weights @ table - TWITTER).max().round(4))

    wide = mixture(Rules(load_words("common-40")), MIXES["wide"])
    values = np.array([exact_value(player) for player, _ in wide])
    share = (-2.5 - values[:-1].mean()) / (values[-1] - values[:-1].mean())
    print("\nwide:", {player.name: float(value.round(4)) for (player, _), value in zip(wide, values, strict=True)})
    print(f"weight of random words {share:.3f}, of each other player {(1 - share) / (len(values) - 1):.3f}")
    print("exact mean return of the mix in recipes.py", np.dot([weight for _, weight in wide], values).round(4))


if __name__ == "__main__":
    main()
