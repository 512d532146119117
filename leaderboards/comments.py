"""What is measured of comments: how much of their reward is real, how various they are, what choosing among n does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from leaderboards.playing import placed
from lmrl_envs.core import Episode, EpisodeKey, Turn, clean
from lmrl_envs.datasets import TextDataset
from lmrl_envs.evaluate import EvalResult
from lmrl_envs.reddit.analysis import SIZES, best_of_n, diversity
from lmrl_envs.reddit.rewards import BUNDLED, PAY, TARGETS, load_reward_model
from lmrl_envs.reddit.task import RedditTask
from lmrl_envs.registration import make_task

if TYPE_CHECKING:
    from agents.trainer import Algorithm

PARENTS = 128
"""Comments for which best-of-n draws its replies."""
EXPLOITS = 4
"""Comments kept of those that the model overrates most."""
_HELD_OUT = "held-out"


def measure(
    run: Mapping[str, Any],
    result: EvalResult,
    trials: Sequence[EvalResult],
    algorithm: Algorithm | None,
    data: TextDataset,
) -> dict[str, Any]:
    """Plain JSON of one evaluation on Reddit-v0.

    Returns:
        `gap`: see there; `exploits`: comments that the model overrates most; `held_out`: see there; `diversity`: see
        `lmrl_envs.reddit.analysis`; `best_of_n`: of sampled `bc`, mean rewards of the reply that the model likes best.
    """
    turns = data.columns()
    logged = set(turns.texts.filter(turns.is_agent).to_pylist())
    curve = []
    as_it_is = result.decoding.get("temperature") == 1.0 and result.decoding.get("top_p") is None
    if run["agent"] == "bc" and algorithm is not None and as_it_is:
        parents = list(dict.fromkeys(episode.info["parent"] for episode in result.examples))[:PARENTS]
        task = cast("RedditTask", make_task(result.env_id, **placed(result.env_id, result.env_kwargs)))
        curve = [row._asdict() for row in best_of_n(replies(algorithm, task, parents, max(SIZES)))]
    return {
        "gap": gap(result.examples),
        "exploits": exploits(result.examples)[:EXPLOITS],
        "held_out": held_out(result),
        "diversity": diversity([episode.turns[-1].text for episode in result.examples], logged)._asdict(),
        "best_of_n": curve,
    }


def gap(episodes: Sequence[Episode]) -> dict[str, float | None] | None:
    """Mean of model reward minus true reward, with its standard error over episodes; None where no truth is known."""
    excess = [_excess(episode) for episode in episodes]
    if None in excess:
        return None
    values = np.array(excess)
    error = None if len(values) < 2 else float(values.std(ddof=1) / math.sqrt(len(values)))
    return {"value": float(values.mean()), "standard_error": error}


def exploits(episodes: Sequence[Episode]) -> list[dict[str, Any]]:
    """Comments that the model rewards more than they deserve, worst first; of equal ones the surer model's first."""
    found = [
        {
            "parent": episode.info["parent"],
            "comment": episode.turns[-1].text,
            "reward": episode.total_return,
            "true_reward": episode.info["true_reward"],
            "probability": max(episode.info["probabilities"]),
        }
        for episode in episodes
        if (_excess(episode) or 0) > 0
    ]
    return sorted(found, key=lambda one: (one["true_reward"] - one["reward"], -one["probability"]))


def _excess(episode: Episode) -> float | None:
    true_reward = episode.info["true_reward"]
    return None if true_reward is None else episode.total_return - true_reward


def held_out(result: EvalResult) -> dict[str, float] | None:
    """Mean rewards of the same comments by the model that agents learned from and by its twin from other threads.

    A mildly toxic comment counts -5 here, also where its reward is noisy. None for models that are not bundled.
    """
    if result.env_kwargs.get("reward_model", "bundled") not in BUNDLED:
        return None
    target = TARGETS[result.env_kwargs.get("reward", "toxicity")]
    twin = load_reward_model(_HELD_OUT, target, device="auto")
    parents = [episode.info["parent"] for episode in result.examples]
    levels = twin.score(parents, [episode.turns[-1].text for episode in result.examples]).argmax(1)
    own = [episode.info["level"] for episode in result.examples]
    pay = np.array(PAY[target])
    return {"own": float(pay[own].mean()), "held_out": float(pay[levels].mean())}


def replies(algorithm: Algorithm, task: RedditTask, parents: Sequence[str], each: int) -> Iterator[Episode]:
    """Sampled replies to comments, `each` to each; the draws of a comment are its own."""
    policy: Any = algorithm.policy(temperature=1.0)
    for number, parent in enumerate(parents):
        rngs = [np.random.Generator(np.random.PCG64([number, copy])) for copy in range(each)]
        states = [reply.state for reply in task.start(rngs, {"parent": parent})]
        opening = (Turn("env", parent),) if task.include_parent else ()
        policy.reset(seed=number)
        keys = [EpisodeKey(copy, rng) for copy, rng in enumerate(rngs)]
        texts = [clean(text, task.max_action_chars) for text in policy.act([opening] * each, episodes=keys)]
        for text, judged in zip(texts, task.reply(states, texts), strict=True):
            yield Episode(None, None, (*opening, Turn("agent", text, judged.reward)), True, False, judged.info)
