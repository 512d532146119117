"""How many episodes a run plays at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from leaderboards.playing import Again, play
from lmrl_envs.core import EpisodeKey, Turn


class Counting:
    """Says one word, and notes for how many episodes at once."""

    name = "counting"

    def __init__(self) -> None:
        self.asked: list[int] = []

    def reset(self, *, seed: int, instructions: str) -> None:
        """Keeps nothing that would have to go."""

    def act(self, histories: Sequence[Sequence[Turn]], *, episodes: Sequence[EpisodeKey]) -> list[str]:
        self.asked.append(len(histories))
        return ["light"] * len(histories)


class OnCard(Counting):
    """As a policy on a card, which says that 24 fit."""

    def fitting_rows(self, *, on_cpu: int) -> int:
        assert on_cpu == 8
        return 24


def run() -> dict[str, Any]:
    words = {"words": ["fight", "light", "might"]}
    return {
        "task": {"env_id": "Wordle-v0", "env_kwargs": words, "dataset": "wordle/human-v0"},
        "evaluation": {"episodes": 48, "repeats": 1, "seed": 0, "batch_size": 8},
        "agent": "counting",
        "seeded": False,
        "seed": 0,
        "dataset_hash": None,
    }


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(("policy", "most"), [(Counting, 8), (OnCard, 24)])
def test_a_policy_that_knows_what_fits_plays_so_many_at_once(policy, most, again):
    played = policy()
    result = play(run(), Again(played, trial=1) if again else played)
    assert max(played.asked) == most
    assert len(result.returns) == 48
    assert result.returns == play(run(), Counting()).returns
