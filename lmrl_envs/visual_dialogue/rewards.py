"""What a question earns: one for each question asked, and a fine for answers that say little.

The rules are those of Snell et al., arXiv 2206.11871, section 5, as their release applies them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

from lmrl_envs.errors import unknown_name

Reward = Literal["standard", "yn", "conservative_yn"]
Match = Literal["word", "paper"]
REWARDS: tuple[str, ...] = get_args(Reward)
MATCHES: tuple[str, ...] = get_args(Match)
QUESTION = -1.0
"""Each question but an episode's last."""
FINE = -2.0
PHRASES = (
    "not", "don't", "can't", "cannot", "fairly", "could", "think so", "okay", "maybe", "yes", "no", "looks", "appears",
    "tell", "mostly just",
)  # fmt: skip
"""What `"conservative_yn"` fines an answer for."""

_WORDS = re.compile("|".join(rf"(?<![\w']){re.escape(phrase)}(?![\w'])" for phrase in PHRASES))


def penalty(answer: str, reward: str, match: str = "word") -> float:
    """The fine for an answer, 0.0 or -2.0.

    `"standard"` fines nothing; `"yn"` an answer that is exactly yes or no; `"conservative_yn"` one that contains any of
    `PHRASES`, as whole words or, with `match="paper"`, anywhere, so that "snow" counts as "no".

    >>> penalty("it is snow", "conservative_yn"), penalty("it is snow", "conservative_yn", "paper")
    (0.0, -2.0)

    Raises:
        ValueError: there is no such reward or match.
    """
    check(reward, match)
    said = answer.lower().replace("’", "'")
    if reward == "yn":
        fined = said.strip() in ("yes", "no")
    elif reward == "conservative_yn":
        fined = any(phrase in said for phrase in PHRASES) if match == "paper" else _WORDS.search(said) is not None
    else:
        fined = False
    return FINE if fined else 0.0


def turn_reward(answer: str, last: bool, reward: str, match: str = "word") -> float:
    """What a question earns, given its answer and whether it was its episode's last."""
    return (0.0 if last else QUESTION) + penalty(answer, reward, match)


def returned(rounds: Sequence[tuple[str, str]], reward: str, match: str = "word") -> float:
    """The return of a finished dialogue."""
    return sum(turn_reward(answer, n == len(rounds), reward, match) for n, (_, answer) in enumerate(rounds, start=1))


def name_of(reward: str, match: str) -> str:
    """A reward's name where returns under several are kept; `match` is in it where it makes a difference."""
    return f"{reward}, {match}" if reward == "conservative_yn" else reward


def fined_share(rounds: Sequence[tuple[str, str]], reward: str, match: str = "word") -> float:
    """The share of a dialogue's answers that are fined; at least one round."""
    return sum(penalty(answer, reward, match) < 0 for _, answer in rounds) / len(rounds)


def percentile(rank: float, pool: int) -> float:
    """1 for the best of `pool` images, 0 for the last; `rank` counts from 0."""
    return 1 - rank / (pool - 1)


def ends(ranks: Sequence[float]) -> bool:
    """Whether (p_t - p_0) / (1 - p_0) >= .5 for the ranks after the caption and each answer: the rank has halved."""
    return 2 * ranks[-1] <= ranks[0]


def check(reward: str, match: str) -> None:
    """Raises ValueError for a reward or match that does not exist; the message lists close matches."""
    if reward not in REWARDS:
        raise unknown_name("reward", reward, REWARDS)
    if match not in MATCHES:
        raise unknown_name("match", match, MATCHES)
