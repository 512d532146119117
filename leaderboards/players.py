"""The players that suites name as references, each made from its task's arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from lmrl_envs.chat import ChatPolicy
from lmrl_envs.core import Episode, EpisodeKey, Turn
from lmrl_envs.errors import unknown_name
from lmrl_envs.policies import ScriptedPolicy
from lmrl_envs.recipes import MIXES
from lmrl_envs.wordle.behaviours import OPENERS, mixture
from lmrl_envs.wordle.exact import CrowdTable, loss_floor
from lmrl_envs.wordle.solvers import (
    Entropy,
    MarkovPlayer,
    Optimal,
    Player,
    PlayerPolicy,
    RandomConsistent,
    RandomWord,
    Rules,
    Staller,
    exact_value,
)
from lmrl_envs.wordle.task import WordleTask

EXACT_ANSWERS = 40
"""Up to so many hidden words, a random player's exact return takes seconds."""


def chat(base_url: str, model: str) -> ChatPolicy:
    """A chat model behind an OpenAI-compatible endpoint; its key is in the environment variable OPENAI_API_KEY."""
    return ChatPolicy(base_url, model)


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


def expert(env_kwargs: Mapping[str, Any]) -> PlayerPolicy:
    """The entropy-greedy player with one of its best first words at random, as in `wordle/branching-v0`."""
    return _wordle(lambda rules: Entropy(rules, openers=Entropy(rules).openers(OPENERS)), env_kwargs)


def staller(env_kwargs: Mapping[str, Any]) -> PlayerPolicy:
    """The staller of `wordle/branching-v0`, whose first word is none of the expert's."""
    return _wordle(lambda rules: Staller(rules, avoid=Entropy(rules).openers(OPENERS)), env_kwargs)


def empty() -> ScriptedPolicy:
    """Says nothing at all."""
    return ScriptedPolicy("", name="empty")


def writer(env_kwargs: Mapping[str, Any], mix: str, name: str) -> PlayerPolicy:
    """One of the simulated people who wrote `wordle/human-v0`, by the name that `info["behaviour"]` has."""
    players = {player.name: player for player, _ in mixture(_rules(env_kwargs), MIXES[mix])}
    if name not in players:
        raise unknown_name(f"player of the mix {mix!r}", name, players)
    return PlayerPolicy(players[name])


def people(env_kwargs: Mapping[str, Any], mix: str) -> Crowd:
    """All who wrote `wordle/human-v0`, one of them a game: the dataset as a policy."""
    task = WordleTask(**env_kwargs)
    return Crowd(task, [(PlayerPolicy(player), share) for player, share in mixture(Rules.of(task), MIXES[mix])])


class Crowd:
    """Draws one of its members for each game, by their shares, and plays as that one to the end."""

    name = "people"

    def __init__(self, task: WordleTask, members: Sequence[tuple[PlayerPolicy, float]]) -> None:
        self.task, self.members = task, members
        self._drawn: dict[int, int] = {}

    def reset(self, *, seed: int, instructions: str) -> None:
        """Forgets who plays which game."""
        self._drawn = {}

    def act(self, histories: Sequence[Sequence[Turn]], *, episodes: Sequence[EpisodeKey]) -> list[str]:
        """One word for each history."""
        words = [""] * len(histories)
        drawn = [self._member(episode) for episode in episodes]
        for member in set(drawn):
            rows = [row for row, number in enumerate(drawn) if number == member]
            policy = self.members[member][0]
            chosen = policy.act([histories[row] for row in rows], episodes=[episodes[row] for row in rows])
            for row, word in zip(rows, chosen, strict=True):
                words[row] = word
        return words

    def _member(self, episode: EpisodeKey) -> int:
        if episode.index not in self._drawn:
            shares = [share for _, share in self.members]
            self._drawn[episode.index] = int(episode.rng.choice(len(shares), p=shares))
        return self._drawn[episode.index]


def expected_return(policy: object) -> float | None:
    """The exact expected return of a player on a short list; None where it is not known."""
    match policy:
        case Crowd(members=members):
            returns = [(expected_return(member), share) for member, share in members]
            known = [value * share for value, share in returns if value is not None]
            return sum(known) if len(known) == len(members) else None
        case PlayerPolicy(player=MarkovPlayer() as player) if len(player.rules.answers) <= EXACT_ANSWERS:
            return exact_value(player)
    return None


def validation_loss(crowd: Crowd, games: Iterable[Episode]) -> float:
    """What those who played the games would score as models of them, in nats a token: the floor for any model."""
    players = [(cast("MarkovPlayer", policy.player), share) for policy, share in crowd.members]
    return loss_floor(CrowdTable(crowd.task, players), games).loss


def _wordle(player: Callable[[Rules], Player], env_kwargs: Mapping[str, Any]) -> PlayerPolicy:
    return PlayerPolicy(player(_rules(env_kwargs)))


def _rules(env_kwargs: Mapping[str, Any]) -> Rules:
    return Rules.of(WordleTask(**env_kwargs))
