"""`python -m lmrl_envs.play Wordle-v0 --words common-40`: play any registered task in the terminal, or watch an agent.

The episodes are those of `evaluate` with the same seed.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from rich.console import Console
from rich.text import Text

from lmrl_envs.core import Policy, TextTask, Turn, transcript
from lmrl_envs.errors import LmrlError, unknown_name
from lmrl_envs.evaluate import episode_seed, policy_name
from lmrl_envs.gym_faces import TextEnv
from lmrl_envs.human import HumanPolicy
from lmrl_envs.registration import find_task, load_attribute
from lmrl_envs.wordle.solvers import Optimal, PlayerPolicy, Rules
from lmrl_envs.wordle.task import WordleTask

HINT_WORDS = 300
"""The longest list for which hints take no time to speak of."""
_SHOWN_ELSEWHERE = ("turns", "instructions")


class Session:
    """A terminal, a task and who plays it."""

    def __init__(self, env: TextEnv, policy: Policy, console: Console, hints: Policy | None = None) -> None:
        self.env, self.policy, self.console, self.hints = env, policy, console, hints

    def play(self, seed: int) -> None:
        """Plays one episode to its end, drawing it after each turn."""
        _, info = self.env.reset(seed=seed)
        self._draw(info["turns"])
        over, total = False, 0.0
        while not over:
            if self.hints is not None:
                self._say(f"best guess: {self.hints.act([info['turns']])[0]}")
            (text,) = self.policy.act([info["turns"]])
            _, reward, terminated, truncated, info = self.env.step(text)
            over, total = terminated or truncated, total + float(reward)
            self._draw(info["turns"])
        outcome = ", ".join(f"{name} {value}" for name, value in info.items() if name not in _SHOWN_ELSEWHERE)
        self._say(f"{policy_name(self.policy)}: return {total:g}. {outcome}\n")

    def _draw(self, turns: Sequence[Turn]) -> None:
        plain = self.console.color_system is None or self.console.no_color  # a board without colours says nothing
        self._say(transcript(turns) if plain else str(self.env.render()))

    def _say(self, text: str) -> None:
        if text:  # nobody's text moves the cursor: all but colours is left out
            self.console.print(Text.from_ansi(text), soft_wrap=True)


def person(console: Console) -> HumanPolicy:
    """Whoever sits at the standard input."""

    def show(history: Sequence[Turn]) -> None:
        console.print("> ", end="")

    return HumanPolicy(show=show)


def watched(checkpoint: str, temperature: float) -> Policy:
    """A trained agent.

    Raises:
        ImportError: the package `agents` is not there, or is another one of that name.
        LmrlError: the folder holds no whole agent.
    """
    # It stands above this library, which works without it, and lies in a clone alone: looked up only when asked for.
    remedy = "--agent needs the package 'agents' of a clone of lmrl-envs; start from the clone's folder"
    try:
        agents: Any = importlib.import_module("agents")
    except ImportError as error:
        raise ImportError(f"{remedy} ({error})") from error
    if not hasattr(agents, "ALGORITHMS"):
        raise ImportError(f"{remedy} ({agents.__file__} is another package of that name)")
    return agents.load(checkpoint).policy(temperature=temperature)


def best_guesses(task: TextTask) -> Policy:
    """The exact best guess at each turn of Wordle.

    Raises:
        ValueError: it is another task, or its list is long.
    """
    if not isinstance(task, WordleTask) or len(task.answers) > HINT_WORDS:
        raise ValueError(
            f"--hint knows Wordle-v0 with up to {HINT_WORDS} hidden words; try --words common-40 or common-236"
        )
    return PlayerPolicy(Optimal(Rules.of(task)))


def task_arguments(env_id: str, given: Sequence[str]) -> Mapping[str, Any]:
    """A task's keyword arguments from `--name value` and `--name=value`; values are JSON where they can be.

    Raises:
        ValueError: a name or value is missing, or the task takes no argument of that name.
    """
    known = [name for name in inspect.signature(load_attribute(find_task(env_id).factory)).parameters]
    arguments: dict[str, Any] = {}
    rest = list(given)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if not flag.startswith("--") or not (equals or rest):
            raise ValueError(f"expected arguments of {env_id} as --name value, got {flag!r}")
        if name not in known:
            raise unknown_name(f"argument of {env_id}", name, known)
        arguments[name] = _value(value if equals else rest.pop(0))
    return arguments


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def main(argv: Sequence[str] | None = None) -> int:
    """Plays; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m lmrl_envs.play",
        description="Play a task in the terminal, or watch an agent. Ctrl-D ends the play.",
        epilog="Further --name value pairs are the task's own arguments, such as --words common-40.",
        allow_abbrev=False,
    )
    parser.add_argument("env_id", help="a registered task, such as Wordle-v0, or package.module:Task-v0")
    parser.add_argument("--agent", metavar="CHECKPOINT", help="watch this trained agent play")
    parser.add_argument("--temperature", type=float, default=0.0, help="of the agent; 0, the default, is greedy")
    parser.add_argument("--hint", action="store_true", help="show the exact best guess (Wordle with short lists)")
    parser.add_argument("--episodes", type=int, default=1, help="how many; 1 by default")
    parser.add_argument("--seed", type=int, help="plays the episodes of evaluate(seed=...); a new one by default")
    options, rest = parser.parse_known_args(argv)
    console = Console(highlight=False)
    try:
        if options.episodes < 1 or (options.seed is not None and options.seed < 0):
            raise ValueError("expected --episodes of at least 1 and --seed of at least 0")
        env_kwargs = task_arguments(options.env_id, rest)
        env: Any = gymnasium.make(find_task(options.env_id).env_id, render_mode="ansi", **env_kwargs).unwrapped
        seed = int(np.random.SeedSequence().generate_state(1)[0]) if options.seed is None else options.seed
        policy = watched(options.agent, options.temperature) if options.agent else person(console)
        hints = best_guesses(env.task) if options.hint else None
    except (ImportError, ValueError, OSError, LmrlError) as error:
        parser.error(str(error))
    console.print(env.task.instructions, markup=False)
    console.print(f"Seed {seed}.\n")
    session = Session(env, policy, console, hints)
    try:
        if callable(reset := getattr(policy, "reset", None)):
            reset(seed=seed, instructions=env.task.instructions)
        for index in range(options.episodes):
            session.play(episode_seed(seed, index))
    except EOFError:
        console.print()
    except KeyboardInterrupt:
        console.print()
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
