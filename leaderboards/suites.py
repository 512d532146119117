"""Suites: which agents are trained on which tasks and for how long, beside which players, and how all are scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lmrl_envs.errors import unknown_name


@dataclass(frozen=True)
class Task:
    """An environment with its arguments, and the dataset that agents learn from.

    `name` is the folder of its runs and its title on the page.
    """

    name: str
    env_id: str
    env_kwargs: Mapping[str, Any]
    dataset: str
    variant: Mapping[str, Any]


@dataclass(frozen=True)
class Agent:
    """An agent that the suite trains.

    `algorithm` is a name in `agents.ALGORITHMS` or `"pkg.mod:Name"`; `config` holds fields of its `Config` beside the
    suite's. A value `"@bc"` stands for the checkpoint of the agent `bc` with the same task and seed, which is then
    trained first. `tokens` replaces the suite's budget.
    """

    name: str
    algorithm: str
    config: Mapping[str, Any] = field(default_factory=dict)
    tokens: int | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the agents whose checkpoints this one starts from."""
        return tuple(value[1:] for value in self.config.values() if isinstance(value, str) and value.startswith("@"))


@dataclass(frozen=True)
class Player:
    """A policy that is not trained here: `"pkg.mod:Name"`, called with those of env_id, env_kwargs, data and seed that
    it names."""

    name: str
    factory: str


@dataclass(frozen=True)
class Checkpoint:
    """An agent trained before, by the path of its checkpoint."""

    name: str
    path: str


Contestant = Agent | Player | Checkpoint


@dataclass(frozen=True)
class Evaluation:
    """How everybody is scored: on the same episodes, under each decoding.

    `headline` is the decoding that the table is sorted by and gaps are taken in.
    """

    episodes: int | Literal["all"]
    repeats: int = 1
    seed: int = 0
    batch_size: int = 64
    decodings: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {"greedy": {"temperature": 0.0}, "sampled": {"temperature": 1.0}}
    )
    headline: str = "greedy"


@dataclass(frozen=True)
class Suite:
    """One leaderboard.

    `training` holds the `Config` fields that all agents share, newcomers too, and `tokens` the budget that sets their
    `steps`: tokens read in training, `tokens_per_batch` a step. `references` are players that every table shows; the
    first is the random one, the 0 of its scale, with which everybody is compared.
    """

    name: str
    summary: str
    tasks: tuple[Task, ...]
    training: Mapping[str, Any]
    tokens: int
    agents: tuple[Agent, ...]
    references: tuple[Player, ...]
    seeds: tuple[int, ...]
    evaluation: Evaluation


def _wordle(words: str, **variant: Any) -> Task:
    return Task(f"Wordle-v0-{words}", "Wordle-v0", {"words": words}, "wordle/human-v0", {"words": words, **variant})


SUITES = {
    suite.name: suite
    for suite in [
        Suite(
            name="quick",
            summary="Wordle with 40 hidden words: four agents, trained in minutes on two processor cores.",
            tasks=(_wordle("common-40", mix="wide"),),
            training={"model": "small", "tokens_per_batch": 4096, "lr": 1e-3, "warmup": 50, "save_every": 200},
            tokens=1_600_000,
            agents=(
                Agent("bc", "bc"),
                Agent("filtered_bc", "filtered_bc", {"fraction": 0.2}),
                Agent("ilql", "ilql", {"pi_beta": "@bc"}),
                Agent("sarsa", "sarsa", {"pi_beta": "@bc"}),
            ),
            references=(
                Player("random", "leaderboards.players:random_word"),
                Player("random-consistent", "leaderboards.players:random_consistent"),
                Player("entropy-greedy", "leaderboards.players:entropy_greedy"),
                Player("optimum", "leaderboards.players:optimum"),
            ),
            seeds=(0,),
            evaluation=Evaluation(episodes=512),
        ),
    ]
}


def get_suite(name: str) -> Suite:
    """The suite of that name.

    Raises:
        UnknownNameError: there is none; the message lists close matches.
    """
    if name not in SUITES:
        raise unknown_name("suite", name, SUITES)
    return SUITES[name]
