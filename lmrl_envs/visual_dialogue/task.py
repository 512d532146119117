"""The task: ask about an image that is never seen, so that a guesser finds it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch

from lmrl_envs.core import Reply, TextTask, Turn
from lmrl_envs.devices import resolve_device
from lmrl_envs.errors import unknown_name
from lmrl_envs.registration import ReferenceScores
from lmrl_envs.visual_dialogue import oracle as bayes
from lmrl_envs.visual_dialogue.answerer import Asked
from lmrl_envs.visual_dialogue.bundled import GUESSERS, WEIGHTS
from lmrl_envs.visual_dialogue.corpora import PoolName, Rounds, SceneCorpus, Truth, open_corpus
from lmrl_envs.visual_dialogue.pools import Pool, load_answerer, load_guesser, open_pools, ranks_in
from lmrl_envs.visual_dialogue.rewards import Match, Reward, check, ends, fined_share, name_of, percentile, turn_reward
from lmrl_envs.visual_dialogue.scenes import PARTS, Part, scene

MOST_ROUNDS = 10
"""What the networks were trained on."""
POOL_SIZE = 100


class DialogueState(NamedTuple):
    """A dialogue so far. `ranks` are those of the image after the caption and after each round."""

    image: int
    pool: PoolName
    caption: str
    ranks: tuple[float, ...]
    rounds: Rounds = ()


class VisualDialogueTask(TextTask[DialogueState]):
    """Visual Dialogue: ask about an image that you never see, so that a guesser can find it among others.

    ## Description
    An image is drawn; its caption opens the dialogue. The agent asks questions. A learned answerer, which sees the
    image and the dialogue, answers them; a learned guesser, which sees only caption and dialogue, ranks the image
    within a pool of alike ones after every answer. Good questions bring it forward quickly.

    ## Action Space
    Text: a question, such as `is the dog brown`. Case and punctuation do not matter; the first 20 words are read. Any
    text is answered.

    ## Observation Space
    Text: the caption, then questions and answers, one a line.

    ## Starting State
    The caption of an image of the part `part`, uniform over its pools but for images that their captions give a
    percentile above .98. `reset(options={"scene": id})` chooses the image, of any part.

    ## Rewards
    -1 for each question but the episode's last, whose reward is 0: returns run from 0 to 1 - `rounds`. With
    `reward="yn"` a further -2 whenever the answer is exactly yes or no, with `"conservative_yn"` whenever it contains a
    word that says little (`lmrl_envs.visual_dialogue.rewards.PHRASES`), also at the last question.

    ## Episode End
    Terminated when the image's rank in its pool is at most half of what it was after the caption, that is when
    (p_t - p_0) / (1 - p_0) >= .5, or after `rounds` questions. Never truncated.

    ## Information
    - `percentile`: p_t = 1 - rank / (pool size - 1), 1 for the best place.
    - `rank`: images that the guesser scores strictly better, and half of the ties; 0 is the best.
    - `success`: whether the rank has halved.
    - `fined`: share of the answers so far that the reward fines; None before the first.
    - `parsed`: whether the question means something in the generated world; None before the first and with real images.
    - `true_answer`: what is true of the scene; None where the question has no such answer.
    - `oracle_rank`: with `oracle=True`, the rank by the exact posterior of the simulated answerer, else None.
    - `start`: the options that start this episode again.

    ## Arguments
    - `reward="standard"`: or `"yn"`, `"conservative_yn"`.
    - `match="word"`: phrases of `"conservative_yn"` as whole words, or `"paper"`, anywhere, as the paper's code did.
    - `corpus="scenes"`: the generated images, or a folder with VisDial v1.0 (docs/visual-dialogue.md).
    - `rounds=10`: questions in a dialogue, 1 to 10.
    - `pool="hard"`: the image and others of its class (setting, time of day, main thing), 100 in all; `"random"`: 100
      of its part; an int: a random pool of that size.
    - `guesser="default"`: or `"held-out"`, one trained on other data, to see whether an agent exploits the first.
    - `oracle=False`: whether the exact rank is computed too (generated images only).
    - `device="cpu"`: where the networks run, such as `"cuda"` or `"auto"`.
    - `part="test"`: the part of the images; `"validation"` for choosing settings, `"train"` for logging data.

    ## References
    Das et al., "Visual Dialog", https://arxiv.org/abs/1611.08669, and "Learning Cooperative Visual Dialog Agents",
    https://arxiv.org/abs/1703.06585; as a task for offline reinforcement learning in Snell et al., "Offline RL for
    Natural Language Generation with Implicit Language Q Learning", https://arxiv.org/abs/2206.11871.

    ## Version History
    - v0: first version.
    """

    max_action_chars = 512
    render_modes: ClassVar[tuple[str, ...]] = ("ansi", "rgb_array")

    def __init__(
        self,
        reward: Reward = "standard",
        match: Match = "word",
        corpus: str | Path = "scenes",
        rounds: int = MOST_ROUNDS,
        pool: Literal["hard", "random"] | int = "hard",
        guesser: str = "default",
        oracle: bool = False,
        device: str = "cpu",
        part: Part = "test",
    ) -> None:
        """Loads the networks.

        Raises:
            ValueError: an argument is unknown or out of its range, or there is no such corpus.
            CheckpointError: a network's file is missing or damaged.
        """
        check(reward, match)
        if type(rounds) is not int or not 1 <= rounds <= MOST_ROUNDS:
            raise ValueError(f"rounds must be a whole number from 1 to {MOST_ROUNDS}, got {rounds!r}")
        if type(pool) is int and pool < 2:
            raise ValueError(f"pool: a pool has at least 2 images, got {pool}")
        if type(pool) is not int and pool not in ("hard", "random"):
            raise unknown_name("pool", pool, ("hard", "random", "an int"))
        if guesser not in GUESSERS:
            raise unknown_name("guesser", guesser, GUESSERS)
        if part not in PARTS:
            raise unknown_name("part", part, PARTS)
        self.corpus = open_corpus(corpus)
        if oracle and not isinstance(self.corpus, SceneCorpus):
            raise ValueError("oracle=True needs corpus='scenes': what real images show is not known exactly")
        self.device = resolve_device(device)
        self.answerer = load_answerer(self.corpus.weights, self.device)
        self.guesser = load_guesser(self.corpus.weights, guesser, self.device)
        kind, size = ("random", pool) if isinstance(pool, int) else (pool, POOL_SIZE)
        self.pools = open_pools(self.corpus, self.guesser, kind, size, self.device)
        self.reward, self.match, self.oracle, self.part = reward, match, oracle, part
        self.rounds = self.max_turns = rounds
        self._exact: dict[tuple[PoolName, int], bayes.Pool] = {}
        self.instructions = (
            f"There is an image that you cannot see. You get its caption and may ask up to {rounds} questions about "
            "it, one at a time; somebody who sees the image answers. Ask what tells this image from others with the "
            "same caption, so that a listener can pick it out. Answer with one short question and nothing else."
        ) + (" Questions that are answered by a bare yes or no cost more." if reward != "standard" else "")

    def start(
        self, rngs: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> list[Reply[DialogueState]]:
        """Draws an image for each generator, or takes `options["scene"]`."""
        chosen = self._chosen(options or {})
        drawn = [self.pools.draw(self.part, rng) if chosen is None else chosen for rng in rngs]
        states = []
        for name, image in drawn:
            pool = self.pools.around(name, image)
            first = float(pool.first_ranks[pool.place[image]])
            states.append(DialogueState(image, name, self.corpus.caption(image), (first,)))
        return [Reply(state, state.caption, self.info(state)) for state in states]

    def reply(self, states: Sequence[DialogueState], actions: Sequence[str]) -> list[Reply[DialogueState]]:
        """Answers one question a row and ranks its image."""
        pools = [self.pools.around(state.pool, state.image) for state in states]
        places = [pool.place[state.image] for pool, state in zip(pools, states, strict=True)]
        answers = self.answerer.answer(
            torch.stack([pool.features[place] for pool, place in zip(pools, places, strict=True)]),
            torch.stack([pool.boxes[place] for pool, place in zip(pools, places, strict=True)]),
            [
                Asked(state.image, state.caption, state.rounds, action)
                for state, action in zip(states, actions, strict=True)
            ],
        )
        heard = [
            (*state.rounds, (action, answer)) for state, action, answer in zip(states, actions, answers, strict=True)
        ]
        evidence = self.guesser.listen([(state.caption, said) for state, said in zip(states, heard, strict=True)])
        found = ranks_in(pools, [state.image for state in states], evidence)
        replies = []
        for state, rounds, rank in zip(states, heard, found, strict=True):
            ranks = (*state.ranks, rank)
            new = state._replace(ranks=ranks, rounds=rounds)
            over = ends(ranks) or len(rounds) >= self.rounds
            answer = rounds[-1][1]
            earned = turn_reward(answer, over, self.reward, self.match)
            replies.append(Reply(new, answer, self.info(new), earned, over))
        return replies

    def render(self, state: DialogueState, turns: Sequence[Turn], mode: str) -> str | np.ndarray:
        """The dialogue with the image's percentile after each line of the environment (`"ansi"`), or the image."""
        if mode == "rgb_array":
            shown = self.corpus.picture(state.image)
            if shown is None:
                raise ValueError("render_mode='rgb_array' needs corpus='scenes': the VisDial files hold no images")
            return shown
        said = [state.caption, *(f"{question}? {answer}" for question, answer in state.rounds)]
        size = len(self._pool(state).images)
        shares = [percentile(rank, size) for rank in state.ranks]
        return "\n".join(f"{share:5.2f}  {_printable(text)}" for share, text in zip(shares, said, strict=True))

    def guesses(self, state: DialogueState, count: int = 3) -> list[int]:
        """The images that the guesser holds for the likeliest, best first."""
        pool = self._pool(state)
        scores = pool.vectors @ self.guesser.listen([(state.caption, state.rounds)])[0]
        return [pool.images[place] for place in scores.argsort(descending=True)[:count].tolist()]

    def _pool(self, state: DialogueState) -> Pool:
        return self.pools.around(state.pool, state.image)

    def info(self, state: DialogueState) -> dict[str, Any]:
        """What is told of a state beside the texts; see the class."""
        pool = self._pool(state)
        truth, fined = Truth(None, None), None
        if state.rounds:
            *before, (question, _) = state.rounds
            truth = self.corpus.truth(state.image, question, tuple(before))
            fined = fined_share(state.rounds, self.reward, self.match)
        return {
            "percentile": percentile(state.ranks[-1], len(pool.images)),
            "rank": state.ranks[-1],
            "success": bool(state.rounds) and ends(state.ranks),
            "fined": fined,
            "parsed": truth.parsed,
            "true_answer": truth.answer,
            "oracle_rank": self.exact_rank(state) if self.oracle else None,
            "start": {"scene": state.image},
        }

    def exact_rank(self, state: DialogueState) -> float:
        """The image's rank by the exact posterior of the simulated answerer (generated images only)."""
        pool = self._pool(state)
        key = (state.pool, pool.images[-1])
        if key not in self._exact:
            self._exact[key] = bayes.Pool([scene(image) for image in pool.images])
        posterior = bayes.posterior(self._exact[key], state.caption, state.rounds)
        return float(bayes.ranks(posterior, pool.place[state.image]))

    def _chosen(self, options: Mapping[str, Any]) -> tuple[PoolName, int] | None:
        for name in options:
            if name != "scene":
                raise unknown_name("reset option", name, ["scene"])
        if "scene" not in options:
            return None
        image = options["scene"]
        if not isinstance(image, int | np.integer) or isinstance(image, bool):
            raise ValueError(f"scene: expected the number of an image, got {image!r:.80}")
        return self.corpus.locate(int(image), self.pools.kind, self.pools.size), int(image)


def reference_scores(env_kwargs: Mapping[str, Any]) -> ReferenceScores | None:
    """The scores that normalise returns of VisualDialogue-v0 with these arguments, None where nothing was measured.

    Random is the mean return of uniform questions of people about other images, measured when the networks were; best
    is the best return there is, that of a first question which says enough.
    """
    defaults = {name: given.default for name, given in inspect.signature(VisualDialogueTask).parameters.items()}
    given = {**defaults, **env_kwargs}
    unmeasured = [name for name, value in given.items() if value != defaults[name]]
    if not {"reward", "match", "oracle", "device"}.issuperset(unmeasured):
        return None
    random = json.loads((WEIGHTS / "guesser.json").read_text()).get("random questions", {})
    name = name_of(given["reward"], given["match"])
    return ReferenceScores(random[name], 0.0) if name in random else None


def _printable(text: str) -> str:
    """Without what could command a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
