"""The two Gymnasium faces of any task: one environment, and many at once.

An observation is the transcript; `info` holds the task's own keys, `turns` (the history, a tuple of `Turn`) and
`instructions`, in reset and step alike. Every action passes `clean` here, before anything else sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from lmrl_envs.core import Reply, TextTask, Turn, clean, exchange, opening, transcript
from lmrl_envs.errors import unknown_name
from lmrl_envs.spaces import FreeText

MAX_OBSERVATION_CHARS = 1_000_000
Frame = str | np.ndarray


@dataclass(slots=True)
class _Running:
    """What a face keeps of an episode."""

    state: Any
    turns: tuple[Turn, ...]
    transcript: str
    """Of `turns`; each step adds its lines, so that a long episode costs no more than a short one."""
    agent_turns: int = 0
    truncated: bool = False
    """The task's guard cut it."""
    over: bool = False
    """It is terminated or truncated."""

    def advance(self, task: TextTask, action: str, reply: Reply) -> dict[str, Any]:
        """Adds an action and what the task answered; returns the info."""
        lines = action if reply.text is None else f"{action}\n{reply.text}"
        self.transcript = f"{self.transcript}\n{lines}" if self.turns else lines
        self.turns += exchange(action, reply)
        self.state = reply.state
        self.agent_turns += 1
        self.truncated = self.agent_turns >= task.max_turns and not reply.terminated
        self.over = self.truncated or reply.terminated
        return self.info(task, reply)

    def info(self, task: TextTask, reply: Reply) -> dict[str, Any]:
        info = reply.info  # a new dict for each reply, by contract
        info["turns"] = self.turns
        info["instructions"] = task.instructions
        return info


def _start(
    task: TextTask, rngs: Sequence[np.random.Generator], options: Mapping[str, Any] | None
) -> list[tuple[_Running, dict[str, Any]]]:
    """Starts an episode for each generator; returns what is kept of it, and its info."""
    opened = []
    for reply in task.start(rngs, options):
        turns = opening(reply)
        running = _Running(reply.state, turns, transcript(turns))
        opened.append((running, running.info(task, reply)))
    return opened


def _metadata(task: TextTask) -> dict[str, Any]:
    return {"render_modes": list(task.render_modes), "render_fps": 1}


def _checked_render_mode(task: TextTask, render_mode: str | None) -> str | None:
    if render_mode is not None and render_mode not in task.render_modes:
        raise unknown_name("render mode", render_mode, task.render_modes)
    return render_mode


class TextEnv(gymnasium.Env[str, str]):
    """One episode of a task at a time.

    Observations and actions are strings. The environment's generator is `np_random`; all randomness of an episode is
    drawn from it in `reset`.
    """

    def __init__(self, task: TextTask, render_mode: str | None = None) -> None:
        """Wraps a task.

        Raises:
            ValueError: the task does not draw in `render_mode`.
        """
        self.task = task
        self.metadata = _metadata(task)
        self.render_mode = _checked_render_mode(task, render_mode)
        self.observation_space = FreeText(MAX_OBSERVATION_CHARS)
        self.action_space = FreeText(task.max_action_chars)
        self._running: _Running | None = None

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Starts an episode; `options` are the task's.

        Raises:
            ValueError: the task does not know an option or its value.
        """
        super().reset(seed=seed)
        ((self._running, info),) = _start(self.task, [self.np_random], options)
        return self._running.transcript, info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Says `action` and returns what the task answered.

        Raises:
            ResetNeeded: there is no running episode.
            TypeError: `action` is not a string.
        """
        running, task = self._running, self.task
        if running is None or running.over:
            raise ResetNeeded(f"{self}: call reset() before step(), and again after an episode's end")
        action = clean(action, task.max_action_chars)
        (reply,) = task.reply([running.state], [action])
        info = running.advance(task, action, reply)
        return running.transcript, reply.reward, reply.terminated, running.truncated, info

    def render(self) -> Frame | None:
        """Draws the episode so far in `render_mode`; None where that is None.

        Raises:
            ResetNeeded: there is no episode yet.
        """
        if self.render_mode is None:
            gymnasium.logger.warn(f"{self} draws nothing: make it with render_mode=, one of {self.task.render_modes}")
            return None
        if self._running is None:
            raise ResetNeeded(f"{self}: call reset() before render()")
        return self.task.render(self._running.state, self._running.turns, self.render_mode)


class TextVectorEnv(VectorEnv[tuple[str, ...], Sequence[str], np.ndarray]):
    """Many episodes of a task at once, answered in one call of the task.

    Gives exactly what `SyncVectorEnv` of `TextEnv` gives for the same seeds, actions and autoreset mode, only sooner.
    """

    def __init__(
        self,
        task: TextTask,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        """Makes `num_envs` rows.

        Raises:
            ValueError: `num_envs` is below 1, or there is no such autoreset or render mode.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        modes = [mode.value for mode in AutoresetMode]
        if not isinstance(autoreset_mode, AutoresetMode) and autoreset_mode not in modes:
            raise unknown_name("autoreset mode", autoreset_mode, modes)
        self.task = task
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = _metadata(task) | {"autoreset_mode": self.autoreset_mode}
        self.render_mode = _checked_render_mode(task, render_mode)
        self.single_observation_space = FreeText(MAX_OBSERVATION_CHARS)
        self.single_action_space = FreeText(task.max_action_chars)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._seeds: list[int | None] = [None] * num_envs
        self._running: list[_Running] = []

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """Each row's generator."""
        return tuple(self._generator(row) for row in range(self.num_envs))

    @property
    def np_random_seed(self) -> tuple[int | None, ...]:  # type: ignore[override]
        """Each row's seed."""
        self.np_random  # noqa: B018  # seeds what is not seeded yet
        return tuple(self._seeds)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Starts an episode in every row, or in those where `options["reset_mask"]`, (num_envs,) bool, is True.

        Args:
            seed: One seed a row, or an int for seed, seed + 1, ...; None goes on with the rows' generators.
            options: The task's, the same for all rows, and `reset_mask`.

        Raises:
            ValueError: the number of seeds, the mask, an option or its value is wrong.
            ResetNeeded: a mask came before the first whole reset.
        """
        seeds = [seed + row for row in range(self.num_envs)] if isinstance(seed, int) else seed
        if seeds is not None and len(seeds) != self.num_envs:
            raise ValueError(f"expected an int or {self.num_envs} seeds, one a row, got {len(seeds)}")
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(self.num_envs, np.bool_)))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(f"expected a reset_mask of {self.num_envs} bools with a True one, got {mask!r:.200}")
        if not (mask.all() or self._running):
            raise ResetNeeded(f"{self}: reset all rows once before resetting some")

        rows = np.flatnonzero(mask).tolist()
        for row in rows:
            if seeds is not None and seeds[row] is not None:
                self._generators[row], self._seeds[row] = seeding.np_random(seeds[row])
        started = _start(self.task, [self._generator(row) for row in rows], options)
        episodes = dict(enumerate(self._running)) | {
            row: episode for row, (episode, _) in zip(rows, started, strict=True)
        }
        self._running = [episodes[row] for row in range(self.num_envs)]
        return self._observations(), self._stacked([info for _, info in started], rows)

    def step(
        self, actions: Iterable[str]
    ) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Says one action a row; in NEXT_STEP, rows that ended before start anew and their actions are not looked at.

        Returns:
            Observations, rewards (num_envs,) float64, terminations and truncations (num_envs,) bool, and infos.

        Raises:
            ResetNeeded: before the first reset, or, where autoreset is DISABLED, a row has ended.
            TypeError: `actions`, or one of them, has the wrong type.
            ValueError: there is not one action a row.
        """
        task, episodes = self.task, self._running
        actions = self._checked(actions)
        ended = [row for row, episode in enumerate(episodes) if episode.over]
        if ended and self.autoreset_mode is AutoresetMode.DISABLED:
            raise ResetNeeded(f"{self}: rows {ended} have ended; reset them with options={{'reset_mask': ...}}")
        live = [row for row, episode in enumerate(episodes) if not episode.over]
        said = [clean(actions[row], task.max_action_chars) for row in live]
        replies = task.reply([episodes[row].state for row in live], said) if live else []

        rewards, terminated, truncated = [0.0] * self.num_envs, [False] * self.num_envs, [False] * self.num_envs
        infos: list[dict[str, Any]] = [{}] * self.num_envs
        for row, action, reply in zip(live, said, replies, strict=True):
            rewards[row] = reply.reward
            terminated[row] = reply.terminated
            infos[row] = episodes[row].advance(task, action, reply)
            truncated[row] = episodes[row].truncated

        final: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            ended = [row for row in live if episodes[row].over]
            last = [{"final_obs": episodes[row].transcript, "final_info": infos[row]} for row in ended]
            final = self._stacked(last, ended)
        if ended and self.autoreset_mode is not AutoresetMode.DISABLED:
            started = _start(task, [self._generator(row) for row in ended], None)
            for row, (episode, info) in zip(ended, started, strict=True):
                episodes[row], infos[row] = episode, info
        return (
            self._observations(),
            np.array(rewards, np.float64),
            np.array(terminated, np.bool_),
            np.array(truncated, np.bool_),
            final | self._stacked(infos, slice(None)),
        )

    def render(self) -> tuple[Frame | None, ...]:  # type: ignore[override]
        """Draws each row in `render_mode`.

        Raises:
            ResetNeeded: there is no episode yet.
        """
        if self.render_mode is None:
            gymnasium.logger.warn(f"{self} draws nothing: make it with render_mode=, one of {self.task.render_modes}")
            return (None,) * self.num_envs
        if not self._running:
            raise ResetNeeded(f"{self}: call reset() before render()")
        return tuple(self.task.render(running.state, running.turns, self.render_mode) for running in self._running)

    def _generator(self, row: int) -> np.random.Generator:
        generator = self._generators[row]
        if generator is None:
            generator, self._seeds[row] = seeding.np_random()
            self._generators[row] = generator
        return generator

    def _checked(self, actions: Iterable[str]) -> list[str]:
        if isinstance(actions, str) or not isinstance(actions, Iterable):
            raise TypeError(
                f"expected {self.num_envs} actions, one a row, got {type(actions).__name__}: {actions!r:.80}"
            )
        actions = list(actions)
        if len(actions) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} actions, one a row, got {len(actions)}")
        if not self._running:
            raise ResetNeeded(f"{self}: call reset() before step()")
        return actions

    def _observations(self) -> tuple[str, ...]:
        return tuple([running.transcript for running in self._running])

    def _stacked(self, infos: Sequence[dict[str, Any]], rows: list[int] | slice) -> dict[str, Any]:
        """What `_add_info` makes of these rows' infos, but a key at a time, at a tenth of the cost."""
        stacked: dict[str, Any] = {}
        for key in infos[0] if infos else ():
            column = [info[key] for info in infos]
            first, kind = column[0], type(column[0])
            array: Any
            if isinstance(first, dict):
                array = self._stacked(column, rows)
            elif kind in (bool, int, float) or isinstance(first, np.number):
                array = np.zeros(self.num_envs, kind)
                array[rows] = column
            elif isinstance(first, np.ndarray):
                array = np.zeros((self.num_envs, *first.shape), first.dtype)
                array[rows] = column
            else:
                array = np.full(self.num_envs, None, object)
                array[rows] = np.fromiter(column, object, len(column))
            stacked[key], stacked[f"_{key}"] = array, np.zeros(self.num_envs, np.bool_)
            stacked[f"_{key}"][rows] = True
        return stacked
