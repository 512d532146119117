"""The vocabulary of the library: turns, episodes, tasks and policies.

A *task* is the rules of a game of text, for many episodes at once, without Gymnasium. A *policy* reads histories and
writes one text for each. Everything else (the Gymnasium faces, datasets, the evaluator, agents) is built on these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

Role = Literal["env", "agent"]
State = TypeVar("State")


class Turn(NamedTuple):
    """One utterance. `reward` is what this turn earned; 0.0 on the environment's turns."""

    role: Role
    text: str
    reward: float = 0.0


@dataclass(frozen=True, slots=True)
class Episode:
    """A finished history.

    `terminated` says that the task itself ended; `truncated` that the episode was cut from outside, so that its last
    state still has a value. `env_id` is None for logs that no environment produced.
    """

    env_id: str | None
    seed: int | None
    turns: tuple[Turn, ...]
    terminated: bool
    truncated: bool
    info: Mapping[str, Any]

    @property
    def total_return(self) -> float:
        """Undiscounted sum of the rewards."""
        return float(sum(turn.reward for turn in self.turns))


class Reply(NamedTuple, Generic[State]):
    """What a task answers: its new state, what it says, and what the action earned.

    `state` is immutable plain data. `text` is None where the environment says nothing. `info` is a new dict each time,
    with the same keys in every reply of a task (None where a value is not yet known).
    """

    state: State
    text: str | None
    info: dict[str, Any]
    reward: float = 0.0
    terminated: bool = False


class TextTask(ABC, Generic[State]):
    """The rules of a task, for many episodes at once: no Gymnasium, no global state, no printing.

    A task is made from keyword arguments that can be written as JSON; they are `gym.make`'s arguments too. A task is
    usable by `register_task` once it has `start`, `reply` and the attributes below.
    """

    instructions: str
    """What to do and how to answer, for people and chat models."""
    max_turns: int
    """Agent turns after which an episode that has not ended is truncated."""
    max_action_chars: int
    """Longer actions are cut to this many characters."""
    render_modes: ClassVar[tuple[str, ...]] = ("ansi",)

    @abstractmethod
    def start(
        self, rngs: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> list[Reply[State]]:
        """Starts one episode for each generator. All later randomness of an episode is drawn here.

        Raises:
            ValueError: `options` has a key or a value that the task does not know; the message lists close matches.
        """

    @abstractmethod
    def reply(self, states: Sequence[State], actions: Sequence[str]) -> list[Reply[State]]:
        """Answers one action a row, all rows in one call, so that learned parts run as one batch."""

    def render(self, state: State, turns: Sequence[Turn], mode: str) -> str | np.ndarray:
        """Draws an episode; `"ansi"` is its transcript unless a task draws something better."""
        return transcript(turns)

    def all_starts(self) -> list[Mapping[str, Any]] | None:
        """Options that list every start of the task, or None where starts are endless."""
        return None


class EpisodeKey(NamedTuple):
    """Which episode a row is, and the policy's own generator for it: one object for an episode's whole life."""

    index: int  # type: ignore[assignment]  # shadows tuple.index, which nobody needs here
    rng: np.random.Generator


@runtime_checkable
class Policy(Protocol):
    """Anything that reads histories and writes one text for each.

    Found by name where a policy has them: `reset(self, *, seed: int, instructions: str)`, called once a run; a keyword
    `episodes: Sequence[EpisodeKey]` of `act`; and `name`.
    """

    def act(self, histories: Sequence[Sequence[Turn]]) -> list[str]: ...


# The characters that `str.splitlines` breaks on become spaces, so that one turn stays one line of a transcript.
_LINE_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_REPLACEMENTS = dict.fromkeys(map(ord, _LINE_BREAKS), " ") | dict.fromkeys([0, *range(0xD800, 0xE000)], "\ufffd")


def clean(text: str, limit: int) -> str:
    """Makes any string safe to be a turn: line breaks become spaces, NUL and lone surrogates U+FFFD, `limit` cuts.

    Raises:
        TypeError: `text` is not a string.
    """
    if not isinstance(text, str):
        raise TypeError(f"an action must be a str, got {type(text).__name__}: {text!r:.80}")
    text = str(text[:limit])
    if text.isascii() and text.isprintable():  # what nearly every action is
        return text
    return text.translate(_REPLACEMENTS)


def transcript(turns: Sequence[Turn]) -> str:
    """A history as one string, one line a turn; the empty history is the empty string."""
    return "\n".join([turn.text for turn in turns])


def opening(reply: Reply) -> tuple[Turn, ...]:
    """The history that a task's start makes: what the environment said first, where it said anything."""
    return () if reply.text is None else (Turn("env", reply.text),)


def exchange(action: str, reply: Reply) -> tuple[Turn, ...]:
    """What an action and the reply to it add to a history."""
    said = Turn("agent", action, reply.reward)
    return (said,) if reply.text is None else (said, Turn("env", reply.text))
