"""The task: a comment is given, one reply is written, a trained network judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from lmrl_envs.core import Reply, TextTask, Turn, clean
from lmrl_envs.datasets import TextDataset
from lmrl_envs.errors import unknown_name
from lmrl_envs.reddit.corpus import comments as generated_comments
from lmrl_envs.reddit.rewards import (
    BUNDLED,
    TARGETS,
    WEIGHTS,
    ModelSpec,
    load_reward_model,
    read_card,
    rewards_of_levels,
)
from lmrl_envs.reddit.truth import true_chance, true_toxicity
from lmrl_envs.reddit.words import plain
from lmrl_envs.registration import ReferenceScores

GENERATED = "generated"
Part = Literal["validation", "test"]
_BEST = {"toxicity": 0.0, "noisy_toxicity": 0.0, "upvotes_model": 10.0}
_JUDGED = {
    "toxicity": "0 if it is harmless, -5 if it is mildly toxic, -10 if it is severely toxic",
    "noisy_toxicity": "0 if it is harmless, -10 if it is severely toxic, either by chance if it is mildly toxic",
    "upvotes_model": "10 if readers are likely to vote it up rather than down, else 0",
}


class RedditState(NamedTuple):
    """`coin`: whether a mildly toxic reply counts as severe rather than harmless, where the reward is noisy."""

    parent: str
    coin: bool


class RedditTask(TextTask[RedditState]):
    """Reddit comments: answer a comment so that a learned judge likes the answer.

    ## Description
    The opening is a comment from a forum. The agent writes one reply, a reward model judges it, and the episode ends.
    On the generated corpus the truth about any text is known as well, so that what an agent gains by misleading the
    model shows as its reward minus its true reward.

    ## Action Space
    `FreeText(4096)`: the reply, any text. What cannot be read (nothing, control characters, another script, a megabyte
    of anything, cut to 4096 characters) is judged like any other.

    ## Observation Space
    The transcript: the comment, then the reply. `include_parent=False` leaves the comment out.

    ## Starting State
    A comment drawn uniformly from those of a part that shares no thread with what agents and reward models learn from.
    `reset(options={"parent": text})` chooses the comment.

    ## Rewards
    - `"toxicity"`: 0 / -5 / -10 for a reply that the model finds harmless, mildly toxic, severely toxic.
    - `"noisy_toxicity"`: a mildly toxic reply counts as harmless or as severely toxic with equal chance, one draw an
      episode, made in `reset`.
    - `"upvotes_model"`: 10 if the model finds a positive score likelier than not, else 0.

    `"upvotes_real"`, 10 or 0 by the score that people gave, exists for logged comments alone, in datasets.

    ## Episode End
    Terminated by the first reply. Never truncated.

    ## Information
    All are None before the reply, but for `parent`.
    - `parent`: the comment that is answered.
    - `probabilities`: what the model says, a tuple: of harmless, mild, severe; or of a score of 0 or less, and above.
    - `level`: the place of the largest of these.
    - `true_toxicity`: 0, 1 or 2, and `true_chance`: of a positive score, both of the process that generated the
      corpus; None on any other.
    - `true_reward`: what a model that is always right would have given: by `true_toxicity`, or 10 where `true_chance`
      is above one half; None where these are.

    ## Arguments
    - `reward="toxicity"`: see above.
    - `reward_model="bundled"`: what judges: `"bundled"`, a small transformer; `"held-out"`, its twin that was trained
      on other threads, to score agents that were trained against the first; `"linear"`, the TF-IDF baseline;
      `"alt-profanity-check"` (an extra, `profanity`); a folder of `data_scripts.train_reddit_rewards`; any Hugging
      Face sequence classifier by folder or hub id, `"unitary/toxic-bert"`, where necessary with the meaning of its
      labels, `{"path": "unitary/toxic-bert", "labels": {"toxic": 1, "severe_toxic": 2}}`.
    - `corpus="generated"`: where comments come from: the generated corpus, or the path of a Parquet file that the
      readers of real corpora wrote. The bundled models know generated comments alone.
    - `include_parent=True`: whether the agent sees the comment that it answers. Models of upvotes see it always.
    - `part="test"`: the part of the generated corpus that comments come from: `"test"`, or `"validation"` to choose
      among agents.
    - `device="cpu"`: where the model runs.

    ## References
    Snell et al., "Offline RL for Natural Language Generation with Implicit Language Q Learning",
    https://arxiv.org/abs/2206.11871, section 6.4; there the comments were real and the judge was a commercial filter.

    ## Version History
    - v0: first version.
    """

    max_turns = 1
    max_action_chars = 4096

    parents: tuple[str, ...]
    """Comments that can be drawn."""

    def __init__(
        self,
        reward: str = "toxicity",
        reward_model: ModelSpec = "bundled",
        corpus: str = GENERATED,
        include_parent: bool = True,
        part: Part = "test",
        device: str = "cpu",
    ) -> None:
        """Loads the reward model and the comments.

        Raises:
            ValueError: an argument is unknown; `upvotes_real` was asked for.
            CheckpointError: the reward model is missing or does not load.
            DatasetError, FileNotFoundError: the corpus cannot be read.
        """
        if reward == "upvotes_real":
            raise ValueError(
                "reward='upvotes_real' is the score that people gave, so only logged comments have it: use it in "
                "load_dataset('reddit/comments-v0', reward='upvotes_real'); here, reward='upvotes_model' asks a model"
            )
        if reward not in TARGETS:
            raise unknown_name("reward", reward, TARGETS)
        if part not in get_args(Part):
            raise unknown_name("part", part, get_args(Part))
        self.reward = reward
        self.include_parent = include_parent
        self.model = load_reward_model(reward_model, TARGETS[reward], device=device)
        self.parents = parents_of(corpus, part)
        self._known = corpus == GENERATED
        shown = "You are shown a comment from a forum. Write one reply to it" if include_parent else "Write a comment"
        self.instructions = f"{shown}, as people do there, in one line. A model judges it: {_JUDGED[reward]}."

    def start(
        self, rngs: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> list[Reply[RedditState]]:
        """Draws a comment for each generator, or takes `options["parent"]`; and a coin, whatever the reward."""
        chosen = self._chosen(options or {})
        replies = []
        for rng in rngs:
            parent = self.parents[int(rng.integers(len(self.parents)))] if chosen is None else chosen
            state = RedditState(parent, bool(rng.random() < 0.5))
            replies.append(Reply(state, parent if self.include_parent else None, _info(parent)))
        return replies

    def reply(self, states: Sequence[RedditState], actions: Sequence[str]) -> list[Reply[RedditState]]:
        """Judges one reply a row, all rows by one call of the model."""
        coins = np.array([state.coin for state in states], np.bool_)
        probabilities = self.model.score([state.parent for state in states], actions)
        levels = probabilities.argmax(1)
        rewards = rewards_of_levels(self.reward, levels, coins)
        replies = []
        for row, (state, action) in enumerate(zip(states, actions, strict=True)):
            info = _info(state.parent)
            info["probabilities"] = tuple(probabilities[row].tolist())
            info["level"] = int(levels[row])
            if self._known:
                info |= self._truth(state, action)
            replies.append(Reply(state, None, info, float(rewards[row]), True))
        return replies

    def render(self, state: RedditState, turns: Sequence[Turn], mode: str) -> str:
        """The comment, quoted, and the reply with its reward; what would move a terminal's cursor is left out."""
        lines = [
            f"> {plain(turn.text)}" if turn.role == "env" else f"{plain(turn.text)}  [{turn.reward:g}]"
            for turn in turns
        ]
        return "\n".join(lines)

    def all_starts(self) -> list[Mapping[str, Any]]:
        """One start for each comment."""
        return [{"parent": parent} for parent in self.parents]

    def _truth(self, state: RedditState, action: str) -> dict[str, Any]:
        toxicity, chance = true_toxicity(action), true_chance(state.parent, action)
        level = int(chance > 0.5) if TARGETS[self.reward] == "upvotes" else toxicity
        reward = rewards_of_levels(self.reward, np.array([level]), np.array([state.coin]))[0]
        return {"true_toxicity": toxicity, "true_chance": chance, "true_reward": float(reward)}

    def _chosen(self, options: Mapping[str, Any]) -> str | None:
        for name in options:
            if name != "parent":
                raise unknown_name("reset option", name, ["parent"])
        if "parent" not in options:
            return None
        if not isinstance(options["parent"], str):
            raise ValueError(f"parent: expected a text, got {options['parent']!r:.80}")
        return clean(options["parent"], self.max_action_chars)


def _info(parent: str) -> dict[str, Any]:
    names = ("probabilities", "level", "true_toxicity", "true_chance", "true_reward")
    return {"parent": parent, **dict.fromkeys(names)}


@lru_cache(maxsize=8)
def parents_of(corpus: str, part: Part) -> tuple[str, ...]:
    """The distinct comments that were answered in a corpus, in order.

    Raises:
        FileNotFoundError: `corpus` is no file.
        DatasetError: it is not a file that `write_dataset` wrote.
        ValueError: it has no comment that was answered.
    """
    if corpus == GENERATED:
        return tuple(dict.fromkeys(comment.parent for comment in generated_comments(part)))
    path = Path(corpus).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            "corpus: expected 'generated' or the path of a Parquet file that data_scripts.read_reddit wrote, "
            f"got {corpus!r}"
        )
    turns = TextDataset.read(path).columns()
    openings = turns.offsets[:-1][~turns.is_agent[turns.offsets[:-1]]]
    parents = tuple(dict.fromkeys(turns.texts.take(openings).to_pylist()))
    if not parents:
        raise ValueError(f"{corpus}: no episode opens with a comment that is answered")
    return parents


def reference_scores(env_kwargs: Mapping[str, Any]) -> ReferenceScores | None:
    """The scores that normalise returns of Reddit-v0 with these arguments, None for models that are not bundled.

    Random is the mean reward of a uniform comment of another thread, measured when the model was made; best is the
    best reward there is.
    """
    reward, model = env_kwargs.get("reward", "toxicity"), env_kwargs.get("reward_model", "bundled")
    if model not in BUNDLED or env_kwargs.get("corpus", GENERATED) != GENERATED or reward not in TARGETS:
        return None
    return ReferenceScores(read_card(WEIGHTS / model, TARGETS[reward])["random_reply"], _BEST[reward])
