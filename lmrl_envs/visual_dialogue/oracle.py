"""The exact Bayesian guesser: the posterior over a pool of scenes after a caption and a dialogue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmrl_envs.visual_dialogue.answers import understand
from lmrl_envs.visual_dialogue.focus import Focus, History, focus_after
from lmrl_envs.visual_dialogue.language import Meaning, read, resolve
from lmrl_envs.visual_dialogue.scenes import Scene, captions
from lmrl_envs.visual_dialogue.truth import Claim, distribution

SLIP = 0.001
"""Chance given to an answer, or a caption, that no simulated person gives to any scene of the pool."""


class Pool:
    """Scenes with their likelihoods, worked out as questions come and kept.

    The posterior starts even over the scenes. A caption weighs them by the chance that people give it to each; an
    answer, by the chance that the simulated answerer makes its claim when asked what the question means. Where
    question or answer cannot be read, nothing changes.
    """

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.scenes = tuple(scenes)
        self._captions: list[dict[str, float]] | None = None
        self._claims: dict[Meaning, dict[Claim, np.ndarray]] = {}

    def start(self, caption: str) -> np.ndarray:
        """Log-posterior (n,) after the caption alone."""
        if self._captions is None:
            self._captions = [captions(scene) for scene in self.scenes]
        return _normalized(np.log([chances.get(caption, 0.0) + 1e-6 for chances in self._captions]))

    def update(self, log_posterior: np.ndarray, meaning: Meaning | None, answer: str) -> np.ndarray:
        """Log-posterior (n,) after one more answer."""
        claim = None if meaning is None else understand(meaning, answer)
        if meaning is None or claim is None:
            return log_posterior
        return _normalized(log_posterior + self._log_likelihood(meaning, claim))

    def posteriors(self, caption: str, history: History) -> np.ndarray:
        """Log-posteriors (1 + rounds, n): after the caption alone, then after each answer."""
        rows = [self.start(caption)]
        focus = focus_after(caption, ())
        for question, answer in history:
            rows.append(self.update(rows[-1], _meaning(question, focus), answer))
            focus = focus.answered(question, answer)
        return np.stack(rows)

    def _log_likelihood(self, meaning: Meaning, claim: Claim) -> np.ndarray:
        by_claim = self._claims.get(meaning)
        if by_claim is None:
            by_claim = self._claims[meaning] = {}
            for at, scene in enumerate(self.scenes):
                for made, chance in distribution(meaning, scene).items():
                    by_claim.setdefault(made, np.zeros(len(self.scenes)))[at] = chance
        chances = by_claim.get(claim)
        if chances is None and claim.extra:
            chances = by_claim.get(Claim(claim.core))  # what is volunteered is not of this world; its core may be
        return np.log(SLIP if chances is None else chances + SLIP)


def posterior(pool: Pool | Sequence[Scene], caption: str, history: History = ()) -> np.ndarray:
    """Log-posterior (n,) over a pool after a caption and a dialogue. Pass a `Pool` where a pool is used again."""
    if not isinstance(pool, Pool):
        pool = Pool(pool)
    return pool.posteriors(caption, history)[-1]


def ranks(log_posteriors: np.ndarray, at: int) -> np.ndarray:
    """Rank of scene `at` in each row of (..., n): scenes that are likelier, plus half of those as likely."""
    own = log_posteriors[..., at, None]
    close = np.isclose(log_posteriors, own, rtol=0, atol=1e-9)
    better = (log_posteriors > own) & ~close
    return better.sum(-1) + (close.sum(-1) - 1) / 2


def _meaning(question: str, focus: Focus) -> Meaning | None:
    asked = read(question)
    return None if asked is None else resolve(asked, focus)


def _normalized(log_weights: np.ndarray) -> np.ndarray:
    top = log_weights.max()
    return log_weights - (top + np.log(np.exp(log_weights - top).sum()))
