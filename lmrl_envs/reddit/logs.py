"""Comments that people of the generated corpus wrote, as episodes with rewards: `reddit/comments-v0`."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import numpy as np

from lmrl_envs.core import Episode, Turn
from lmrl_envs.reddit.corpus import Comment, threads
from lmrl_envs.reddit.grammar import Part
from lmrl_envs.reddit.rewards import rewards_for

_BLOCK = 4096  # episodes in memory, and rewarded, at once


def comment_episodes(
    env_kwargs: Mapping[str, Any], seeds: np.random.SeedSequence, *, split: str, games: int, networks: str = ""
) -> Iterator[Episode]:
    """The first `games` comments of a split, one episode each, thread after thread.

    No environment played them, so they have no seed; `reset(options={"parent": info["parent"]})` starts one again.
    Their info has the parent, the community, the thread, the kind of comment and whether reward models never met a word
    of it; the annotators' label and the score; the truth; and `coin`, whether a mildly toxic comment counts as severe
    where the reward is noisy. `networks` only tells data of other judges apart.
    """
    (part,) = (part for part in get_args(Part) if part == split)
    texts, coins = seeds.spawn(2)
    rng = np.random.Generator(np.random.PCG64(coins))
    written = itertools.chain.from_iterable(thread.comments for thread in threads(part, seed=texts))
    plain = (
        _episode(comment, bool(rng.random() < 0.5), include_parent=env_kwargs["include_parent"])
        for comment in itertools.islice(written, games)
    )
    return rewarded(env_kwargs, plain)


def rewarded(env_kwargs: Mapping[str, Any], episodes: Iterable[Episode]) -> Iterator[Episode]:
    """The same episodes with the rewards that `env_kwargs` name: a frozen model's, or by the logged score's sign."""
    unread = iter(episodes)
    while block := list(itertools.islice(unread, _BLOCK)):
        infos = [episode.info for episode in block]
        rewards = rewards_for(
            env_kwargs["reward"],
            [info["parent"] or "" for info in infos],
            [episode.turns[-1].text for episode in block],
            coins=np.array([info["coin"] for info in infos], np.bool_),
            scores=[info["score"] for info in infos],
            reward_model=env_kwargs["reward_model"],
        )
        for episode, reward in zip(block, rewards.tolist(), strict=True):
            *before, said = episode.turns
            turns = (*before, said._replace(reward=reward))
            yield dataclasses.replace(episode, turns=turns)


def _episode(comment: Comment, coin: bool, *, include_parent: bool) -> Episode:
    said = Turn("agent", comment.text)
    turns = (Turn("env", comment.parent), said) if include_parent else (said,)
    info = {
        "parent": comment.parent,
        "community": comment.community,
        "thread": comment.thread,
        "kind": comment.kind,
        "held_out": comment.held_out,
        "toxicity": comment.toxicity,
        "score": comment.score,
        "true_toxicity": comment.true_toxicity,
        "true_chance": comment.true_chance,
        "coin": coin,
        "behaviour": "people",
    }
    return Episode("Reddit-v0", None, turns, True, False, info)
