"""What a suite is: tasks, contestants, and how all are scored. `leaderboards.suites` has those there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
class Contestant:
    """Whoever gets a row.

    `env_id`: the only environment whose tasks it takes part in; None: all. `shared`: it heeds no rewards, so that tasks
    which differ in rewards alone share what it learned. It is trained once a seed, on the first of them, and plays the
    others from there; where rewards follow from the words (`leaderboards.studies`), it is not even played again.
    """

    name: str
    env_id: str | None = field(default=None, kw_only=True)
    shared: bool = field(default=False, kw_only=True)

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the agents whose checkpoints it starts from."""
        return ()


@dataclass(frozen=True)
class Agent(Contestant):
    """An agent that the suite trains.

    `algorithm` is a name in `agents.ALGORITHMS` or `"pkg.mod:Name"`; `config` holds fields of its `Config` beside the
    suite's. A value `"@bc"` stands for the checkpoint of the agent `bc` with the same task and seed, which is then
    trained first. `tokens` replaces the suite's budget. With `behaviours`, it learns only from the episodes that these
    behaviour policies wrote. `tokens_per_second` is what one core reads in training, a low guess from which the
    suite's time is told before it starts.
    """

    algorithm: str
    config: Mapping[str, Any] = field(default_factory=dict)
    tokens: int | None = None
    behaviours: tuple[str, ...] = ()
    tokens_per_second: float = 10_000

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(value[1:] for value in self.config.values() if isinstance(value, str) and value.startswith("@"))


@dataclass(frozen=True)
class Chosen(Contestant):
    """The agent among some of the suite's that plays best on `episodes` that are not those of the evaluation.

    That is tuning by playing: its row counts the trials and these episodes, and the candidates keep their own rows.
    With `options`, each candidate tries each of these options of its policy, such as `{"beta": 2.0}`.
    """

    among: tuple[str, ...]
    episodes: int
    options: tuple[Mapping[str, Any], ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        return self.among


@dataclass(frozen=True)
class BestOf(Contestant):
    """An agent that plays each episode `samples` times, sampled, and keeps the best return.

    It tries again with the same hidden start, so it is an upper bound that uses the environment, not a player.
    """

    agent: str
    samples: int = 16

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.agent,)


@dataclass(frozen=True)
class Player(Contestant):
    """A policy that is not trained here: `"pkg.mod:Name"`, called with `arguments` and with those of env_id,
    env_kwargs, data and seed that it names."""

    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint(Contestant):
    """An agent trained before, by the path of its checkpoint."""

    path: str


@dataclass(frozen=True)
class Looks:
    """Plays in the course of training: `count` times, evenly spread, by the headline decoding.

    They show whether the score still changes when training ends, and choose nothing.
    """

    count: int = 20
    episodes: int | Literal["all"] = 128


@dataclass(frozen=True)
class Evaluation:
    """How everybody is scored: on the same episodes, under each decoding.

    `repeats` is for sampled play of `episodes="all"`: a greedy agent plays each start once. `headline` is the decoding
    that the table is sorted by and gaps are taken in. With `critics`, the values of agents that have some are compared
    with exact ones, where `leaderboards.critics` knows these.
    """

    episodes: int | Literal["all"]
    repeats: int = 1
    seed: int = 0
    batch_size: int = 64
    decodings: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {"greedy": {"temperature": 0.0}, "sampled": {"temperature": 1.0}}
    )
    headline: str = "greedy"
    looks: Looks | None = None
    critics: bool = False


@dataclass(frozen=True)
class Suite:
    """One leaderboard.

    `training` holds the `Config` fields that all agents share, newcomers too, and `tokens` the budget that sets their
    `steps`: tokens read in training, `tokens_per_batch` a step. `references` are rows that every table shows; the
    first is the random player, the 0 of its scale, with which everybody is compared.

    `pairs` are the orderings that the suite asks about, `margin` the difference in return below which two agents count
    as tied, all named before anything is trained. `checkpoints` maps tasks on which nobody is trained to folders that
    have an exported agent of each name of the suite's. Where `frozen`, the suite no longer changes, and its results can
    be published.
    """

    name: str
    summary: str
    tasks: tuple[Task, ...]
    training: Mapping[str, Any]
    tokens: int
    agents: tuple[Agent | Chosen, ...]
    references: tuple[Contestant, ...]
    seeds: tuple[int, ...]
    evaluation: Evaluation
    pairs: tuple[tuple[str, str], ...] = ()
    margin: float = 0.1
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    frozen: bool = False

    def named(self, tasks: Sequence[str]) -> tuple[Task, ...]:
        """The tasks of these names or environments; all of them where none is named.

        Raises:
            UnknownNameError: a name is not among the suite's.
        """
        known = {name: task for task in self.tasks for name in (task.name, task.env_id)}
        for name in tasks:
            if name not in known:
                raise unknown_name(f"task of suite {self.name}", name, known)
        return tuple(task for task in self.tasks if not tasks or {task.name, task.env_id} & set(tasks))
