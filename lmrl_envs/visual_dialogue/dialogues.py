"""Logged dialogues of people, ranked by the guesser and cut where an episode ends: `visual-dialogue/human-v0`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from lmrl_envs.core import Episode, Turn
from lmrl_envs.visual_dialogue.corpora import PoolName, Rounds
from lmrl_envs.visual_dialogue.pools import Pools, ranks_in
from lmrl_envs.visual_dialogue.rewards import ends, fined_share, percentile, turn_reward
from lmrl_envs.visual_dialogue.task import DialogueState, VisualDialogueTask

ENV_ID = "VisualDialogue-v0"
_BLOCK = 64  # images whose dialogues are ranked at one time; content does not depend on it, but for rounding


class Spoken(NamedTuple):
    """A whole dialogue of people about an image."""

    pool: PoolName
    image: int
    behaviour: str
    rounds: Rounds


def human_dialogues(
    task: VisualDialogueTask, seeds: np.random.SeedSequence, *, split: str, games: int, networks: str | None = None
) -> Iterator[Episode]:
    """Dialogues of simulated people about the images of a part, in random order, four about each.

    Everybody asks `task.rounds` questions; a dialogue is cut after the one that ends the episode. Of real images, each
    is spoken of once, and there are at most as many episodes as images. `info["behaviour"]` names who asked,
    `info["percentiles"]` has the image's percentile after the caption and after each answer. Episodes are started again
    by `reset(options=info["start"])`. `networks` only tells data of other guessers apart.
    """
    ordering, speaking, seeding = (np.random.Generator(np.random.PCG64(child)) for child in seeds.spawn(3))
    talks = itertools.islice(_talks(task, split, ordering, speaking), games)
    while block := list(itertools.islice(talks, 4 * _BLOCK)):
        for spoken, ranks in zip(block, ranked(task.pools, block), strict=True):
            yield _episode(task, spoken, ranks, int(seeding.integers(2**63)))


def rewarded(task: VisualDialogueTask, episodes: Iterable[Episode]) -> Iterator[Episode]:
    """The same dialogues with the rewards of `task`."""
    for episode in episodes:
        caption, *turns = episode.turns
        rounds = tuple((asked.text, said.text) for asked, said in zip(turns[::2], turns[1::2], strict=True))
        info = {**episode.info, "fined": fined_share(rounds, task.reward, task.match)}
        yield Episode(episode.env_id, episode.seed, (caption, *_turns(task, rounds)), True, False, info)


@torch.inference_mode()
def ranked(pools: Pools, talks: Sequence[Spoken]) -> list[list[float]]:
    """The ranks of each dialogue's image after its caption and after each answer."""
    vocabulary = pools.guesser.vocabulary
    tokens = [vocabulary.dialogue(pools.corpus.caption(talk.image), talk.rounds) for talk in talks]
    within = [pools.around(talk.pool, talk.image) for talk in talks]
    ranks = ranks_in(within, [talk.image for talk in talks], pools.guesser.evidence_sums(tokens))
    # The rank after the caption is the pool's own, which decides what is drawn, whatever rounding says here.
    first = [float(pool.first_ranks[pool.place[talk.image]]) for pool, talk in zip(within, talks, strict=True)]
    return [[start, *row[1 : 1 + len(talk.rounds)]] for start, row, talk in zip(first, ranks, talks, strict=True)]


def replayed(pools: Pools, episodes: Sequence[Episode]) -> list[list[float]]:
    """The percentiles of any episodes of the task under other pools, such as those of the held-out guesser."""
    talks = []
    for episode in episodes:
        image = int(episode.info["start"]["scene"])
        rounds = tuple(
            (turn.text, said.text) for turn, said in zip(episode.turns[1::2], episode.turns[2::2], strict=True)
        )
        talks.append(Spoken(pools.corpus.locate(image, pools.kind, pools.size), image, "", rounds))
    blocks = [talks[start : start + 4 * _BLOCK] for start in range(0, len(talks), 4 * _BLOCK)]
    ranks = [row for block in blocks for row in ranked(pools, block)]
    return [
        [percentile(rank, len(pools.around(talk.pool, talk.image).images)) for rank in row]
        for talk, row in zip(talks, ranks, strict=True)
    ]


def _talks(
    task: VisualDialogueTask, part: str, ordering: np.random.Generator, speaking: np.random.Generator
) -> Iterator[Spoken]:
    """Dialogues without end, or one about each real image."""
    pools, corpus = task.pools, task.corpus
    names = [PoolName(part, pools.kind, n) for n in range(corpus.pool_count(part, pools.kind, pools.size))]
    listed = [(name, place) for name in names for place in range(len(corpus.pool(name, pools.size)))]
    again = True
    while again:
        for number in np.argsort(ordering.random(len(listed)), kind="stable").tolist():
            name, place = listed[number]
            pool = pools.get(name)
            if pool.drawable[place]:
                for _ in range(corpus.dialogues_an_image):
                    who, rounds = corpus.dialogue(pool.images[place], speaking)
                    yield Spoken(name, pool.images[place], who, rounds[: task.rounds])
        again = corpus.dialogues_an_image > 1


def _episode(task: VisualDialogueTask, spoken: Spoken, ranks: Sequence[float], seed: int) -> Episode:
    last = next((t for t in range(1, len(ranks)) if ends(ranks[: t + 1])), len(ranks) - 1)
    rounds, ranks = spoken.rounds[:last], tuple(ranks[: last + 1])
    state = DialogueState(spoken.image, spoken.pool, task.corpus.caption(spoken.image), ranks, rounds)
    size = len(task.pools.around(spoken.pool, spoken.image).images)
    info = task.info(state) | {
        "behaviour": spoken.behaviour,
        "percentiles": [round(percentile(rank, size), 6) for rank in ranks],
    }
    return Episode(ENV_ID, seed, (Turn("env", state.caption), *_turns(task, rounds)), True, False, info)


def _turns(task: VisualDialogueTask, rounds: Rounds) -> Iterator[Turn]:
    for number, (question, answer) in enumerate(rounds, start=1):
        yield Turn("agent", question, turn_reward(answer, number == len(rounds), task.reward, task.match))
        yield Turn("env", answer)
