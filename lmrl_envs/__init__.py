"""A Gymnasium suite and benchmark for offline reinforcement learning with language models.

Importing it registers the tasks:

>>> import gymnasium as gym, lmrl_envs
>>> env = gym.make("Wordle-v0")
"""

from __future__ import annotations

from lmrl_envs.core import Episode, EpisodeKey, Policy, Reply, TextTask, Turn, clean, transcript
from lmrl_envs.registration import TASKS, ReferenceScores, make_task, reference_scores, register_task

__all__ = [
    "TASKS",
    "Episode",
    "EpisodeKey",
    "Policy",
    "ReferenceScores",
    "Reply",
    "TextTask",
    "Turn",
    "clean",
    "make_task",
    "reference_scores",
    "register_task",
    "transcript",
]

register_task(
    "Wordle-v0",
    "lmrl_envs.wordle.task:WordleTask",
    reference_scores="lmrl_envs.wordle.solvers:reference_scores",
    datasets=(
        "wordle/human-v0",
        "wordle/expert-v0",
        "wordle/branching-v0",
        "wordle/branching-paper-v0",
        "wordle/tweets-v0",
    ),
)
register_task(
    "VisualDialogue-v0",
    "lmrl_envs.visual_dialogue.task:VisualDialogueTask",
    reference_scores="lmrl_envs.visual_dialogue.task:reference_scores",
    datasets=("visual-dialogue/human-v0",),
)
register_task(
    "Reddit-v0",
    "lmrl_envs.reddit.task:RedditTask",
    reference_scores="lmrl_envs.reddit.task:reference_scores",
    datasets=("reddit/comments-v0",),
)
