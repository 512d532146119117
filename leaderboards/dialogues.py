"""What is measured of dialogues about images: their return under every reward, and what two guessers make of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from leaderboards.playing import placed
from lmrl_envs.core import Episode, Turn
from lmrl_envs.datasets import TextDataset
from lmrl_envs.evaluate import EvalResult
from lmrl_envs.registration import make_task
from lmrl_envs.visual_dialogue.dialogues import replayed
from lmrl_envs.visual_dialogue.rewards import REWARDS, penalty, returned, turn_reward
from lmrl_envs.visual_dialogue.task import DialogueState, VisualDialogueTask

if TYPE_CHECKING:
    from agents.trainer import Algorithm

GAMES = 4
"""Dialogues of which the guesser's best images are kept."""
GUESSES = 3
_DIGITS = 4  # of percentiles

Rounds = tuple[tuple[str, str], ...]


def measure(
    run: Mapping[str, Any],
    result: EvalResult,
    trials: Sequence[EvalResult],
    algorithm: Algorithm | None,
    data: TextDataset,
) -> dict[str, Any]:
    """Plain JSON of one evaluation on VisualDialogue-v0.

    Episodes end the same way under every reward, so that one play has a return under each. Of several trials, each
    reward has its own best.

    Returns:
        `rewards`: for each reward the `returns` of the episodes and the `fined` share of all answers; `guessers`: for
        the environment's guesser and the held-out one, the mean percentile after the caption (`caption`) and after the
        last answer (`end`); `games`: of the first dialogues, the image, its `percentiles`, and the guesser's best
        `guesses`.
    """
    match = result.env_kwargs.get("match", "word")
    spoken = [rounds_of(episode) for episode in result.examples]
    played = [[rounds_of(episode) for episode in trial.examples] for trial in trials]
    rewards = {
        reward: {
            "returns": np.max([[returned(rounds, reward, match) for rounds in trial] for trial in played], 0).tolist(),
            "fined": fined(spoken, reward, match),
        }
        for reward in REWARDS
    }
    guessers: dict[str, dict[str, float]] = {}
    shares: list[list[float]] = []
    env_kwargs = placed(result.env_id, result.env_kwargs)
    for name in dict.fromkeys((env_kwargs.get("guesser", "default"), "held-out")):
        task = cast("VisualDialogueTask", make_task(result.env_id, **{**env_kwargs, "guesser": name}))
        found = replayed(task.pools, result.examples)
        guessers[name] = {
            "caption": float(np.mean([row[0] for row in found])),
            "end": float(np.mean([row[-1] for row in found])),
        }
        shares = shares or found
    task = cast("VisualDialogueTask", make_task(result.env_id, **env_kwargs))
    games = [
        {
            "scene": _scene(episode),
            "percentiles": [round(share, _DIGITS) for share in row],
            "guesses": guesses(task, episode),
        }
        for episode, row in zip(result.examples[:GAMES], shares, strict=False)
    ]
    return {"rewards": rewards, "guessers": guessers, "games": games}


def rescored(run: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, EvalResult]:
    """The results in a run's file under the reward of another run, from what was said there."""
    kwargs = run["task"]["env_kwargs"]
    reward, match = kwargs.get("reward", "standard"), kwargs.get("match", "word")
    return {
        decoding: _rescored(EvalResult.from_json(result), record["study"][decoding]["rewards"][reward], kwargs, match)
        for decoding, result in record["eval"].items()
    }


def _rescored(result: EvalResult, under: Mapping[str, Any], kwargs: Mapping[str, Any], match: str) -> EvalResult:
    reward = kwargs.get("reward", "standard")
    return dataclasses.replace(
        result,
        env_kwargs=kwargs,
        returns=tuple(under["returns"]),
        metrics={name: value for name, value in result.metrics.items() if name != "fined"},
        examples=tuple(_paid(episode, reward, match) for episode in result.examples),
    )


def _paid(episode: Episode, reward: str, match: str) -> Episode:
    """The same dialogue with the rewards of another kind."""
    caption, *_ = episode.turns
    rounds = rounds_of(episode)
    turns = [caption]
    for number, (question, answer) in enumerate(rounds, start=1):
        turns.append(Turn("agent", question, turn_reward(answer, number == len(rounds), reward, match)))
        turns.append(Turn("env", answer))
    return dataclasses.replace(episode, turns=tuple(turns))


def rounds_of(episode: Episode) -> Rounds:
    """Questions with their answers."""
    _, *turns = episode.turns
    return tuple((asked.text, said.text) for asked, said in zip(turns[::2], turns[1::2], strict=True))


def fined(dialogues: Sequence[Rounds], reward: str, match: str = "word") -> float:
    """The share of all answers that the reward fines."""
    fines = [penalty(answer, reward, match) < 0 for rounds in dialogues for _, answer in rounds]
    return float(np.mean(fines))


def guesses(task: VisualDialogueTask, episode: Episode) -> list[int]:
    """The images that the guesser holds for the likeliest when the dialogue has ended, best first."""
    image = _scene(episode)
    pool = task.corpus.locate(image, task.pools.kind, task.pools.size)
    return task.guesses(DialogueState(image, pool, task.corpus.caption(image), (), rounds_of(episode)), GUESSES)


def _scene(episode: Episode) -> int:
    return int(episode.info["start"]["scene"])
