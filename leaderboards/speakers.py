"""Reference players of the tasks in which agents speak freely, each made from its task's arguments and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from leaderboards.players import random_word
from leaderboards.playing import placed
from lmrl_envs.core import EpisodeKey, Policy, Turn
from lmrl_envs.datasets import TextDataset
from lmrl_envs.policies import RandomPolicy, ScriptedPolicy
from lmrl_envs.registration import make_task

LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ROOT = 0x70_1A_7E  # of the episodes that are played to choose


def uniform(env_id: str, env_kwargs: Mapping[str, Any], data: TextDataset) -> Policy:
    """The 0 of the normalised scale: a uniform word of Wordle's answers, a uniform turn of the train part elsewhere.

    The part shares no image and no thread with what is asked about or answered.
    """
    if env_id == "Wordle-v0":
        return random_word(env_kwargs)
    return RandomPolicy.of(data)


class Gibberish:
    """Two to six words of random letters, from its rows' generators."""

    name = "gibberish"

    def act(self, histories: Sequence[Sequence[Turn]], *, episodes: Sequence[EpisodeKey]) -> list[str]:
        """One text for each history."""
        return [" ".join(map(_word, [key.rng] * int(key.rng.integers(2, 7)))) for key in episodes]


def _word(rng: np.random.Generator) -> str:
    return "".join(LETTERS[letter] for letter in rng.integers(len(LETTERS), size=rng.integers(2, 9)))


class Tuned(ScriptedPolicy):
    """A fixed text, or list of texts, that was chosen by playing."""

    def __init__(self, script: Sequence[str], *, name: str, tuning: Mapping[str, Any]) -> None:
        super().__init__(script, name=name)
        self.tuning = dict(tuning)


def best_list(
    env_id: str, env_kwargs: Mapping[str, Any], data: TextDataset, *, candidates: int = 30, episodes: int = 96
) -> Tuned:
    """The fixed list of questions that is best by a greedy search on the part `validation`.

    At each place it takes the question among the most frequent ones that earns most, counting as earned too what the
    image has come forward: the share of the way from the caption's rank to half of it, in halvings.
    """
    task: Any = make_task(env_id, **{**placed(env_id, env_kwargs), "part": "validation"})
    rngs = [np.random.default_rng([_ROOT, number]) for number in range(episodes)]
    states = [reply.state for reply in task.start(rngs)]
    questions, asked, played = _frequent(data, candidates), list[str](), 0
    while len(asked) < task.max_turns and states:
        replies = {question: task.reply(states, [question] * len(states)) for question in questions}
        played += len(questions)
        asked.append(max(questions, key=lambda question: sum(map(_progress, replies[question]))))
        states = [reply.state for reply in replies[asked[-1]] if not reply.terminated]
        questions = [question for question in questions if question != asked[-1]]
    return Tuned(asked, name="best-list", tuning={"trials": played, "episodes": episodes})


def _progress(reply: Any) -> float:
    """What a question earned, and by how many halvings the image's rank has fallen since the caption, at most one."""
    first, last = reply.state.ranks[0], reply.state.ranks[-1]
    return reply.reward + float(np.clip(np.log2((first + 1) / (last + 1)), -1, 1))


def best_constant(
    env_id: str, env_kwargs: Mapping[str, Any], data: TextDataset, *, candidates: int = 256, episodes: int = 512
) -> Tuned:
    """The one reply of the train part that earns most on the part `validation`, given to everybody.

    Each candidate, a random comment with the best logged reward, answers 32 comments, and the best eight `episodes`.
    """
    task: Any = make_task(env_id, **{**placed(env_id, env_kwargs), "part": "validation"})
    rng = np.random.default_rng(_ROOT)
    best = np.flatnonzero(data.returns == data.returns.max())
    rows = rng.choice(best, size=min(candidates, len(best)), replace=False).tolist()
    texts = list(dict.fromkeys(data[row].turns[-1].text for row in rows))
    states = [reply.state for reply in task.start([np.random.default_rng([_ROOT, n]) for n in range(episodes)])]

    def earned(text: str, count: int) -> float:
        return float(np.mean([reply.reward for reply in task.reply(states[:count], [text] * count)]))

    few = min(32, episodes)
    promising = sorted(texts, key=lambda text: -earned(text, few))[:8]
    chosen = max(promising, key=lambda text: earned(text, episodes))
    tuning = {"trials": len(texts), "episodes": few * len(texts) + episodes * len(promising)}
    return Tuned([chosen], name="best-constant", tuning=tuning)


def _frequent(data: TextDataset, count: int) -> list[str]:
    """The agents' most frequent turns, most frequent first."""
    turns = data.columns()
    counted = cast("Any", turns.texts.filter(turns.is_agent).value_counts()).to_pylist()
    return [row["values"] for row in sorted(counted, key=lambda row: (-row["counts"], row["values"]))[:count]]
