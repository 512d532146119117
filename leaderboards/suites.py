"""Suites: which agents are trained on which tasks and for how long, beside which players, and how all are scored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from leaderboards.suite import Agent, BestOf, Chosen, Evaluation, Looks, Player, Suite, Task
from lmrl_envs.errors import unknown_name


def _wordle(words: str, dataset: str = "wordle/human-v0", **variant: Any) -> Task:
    return Task(f"Wordle-v0-{words}", "Wordle-v0", {"words": words}, dataset, {"words": words, **variant})


def _player(name: str, factory: str, /, **arguments: Any) -> Player:
    return Player(name, f"leaderboards.players:{factory}", arguments)


def _dialogues(reward: str, **variant: Any) -> Task:
    variant = {"reward": reward, **variant}
    return Task(f"{_VISUAL}-{reward}", _VISUAL, {"reward": reward}, "visual-dialogue/human-v0", variant)


def _comments(reward: str, **variant: Any) -> Task:
    """The reward that people gave has no environment: agents that learn from it are scored by the model of it."""
    scored = {"reward": "upvotes_model" if reward == "upvotes_real" else reward}
    return Task(f"{_REDDIT}-{reward}", _REDDIT, scored, "reddit/comments-v0", {"reward": reward, **variant})


def _chosen(betas: tuple[float, ...], sarsa: tuple[float, ...] = ()) -> tuple[Chosen, Chosen]:
    """Rows of ILQL and SARSA with that beta which plays other episodes best; `sarsa` where that has others."""

    def row(name: str, betas: tuple[float, ...]) -> Chosen:
        return Chosen(f"{name}-chosen", (name,), episodes=512, options=tuple({"beta": beta} for beta in betas))

    return row("ilql", betas), row("sarsa", sarsa or betas)


def _against_each_other(ilql: str, sarsa: str, filtered: str) -> tuple[tuple[str, str], ...]:
    """The orderings of the four agents that the paper has, by the rows that stand for the first three."""
    return (
        (ilql, sarsa),
        *((values, other) for values in (ilql, sarsa) for other in (filtered, "bc")),
        (filtered, "bc"),
    )


_WORDLE, _VISUAL, _REDDIT = "Wordle-v0", "VisualDialogue-v0", "Reddit-v0"
_SMALL = (_dialogues("yn"), _comments("toxicity"))
"""Tasks of which the repository keeps small checkpoints."""
CHECKPOINTS = "leaderboards/checkpoints"
_KEPT = {task.name: f"{CHECKPOINTS}/{task.name}" for task in _SMALL}
_WORDLE_PLAYERS = (
    _player("random", "random_word"),
    _player("random-consistent", "random_consistent"),
    _player("entropy-greedy", "entropy_greedy"),
    _player("optimum", "optimum"),
)
_UNIFORM = Player("random", "leaderboards.speakers:uniform")
_SOLVERS = tuple(replace(player, env_id=_WORDLE) for player in _WORDLE_PLAYERS[1:])
_EMPTY = _player("empty", "empty")
_GIBBERISH = Player("gibberish", "leaderboards.speakers:Gibberish")
# Values need a faster target average here than the paper's .005, which goes with its tiny learning rate: a reward
# reaches the first guess over some thirty tokens, each of which waits for that average (agents/README.md). Q of tokens
# that nobody wrote stays too high for the default beta of 16.
_VALUES = {"pi_beta": "@bc", "polyak": 0.3, "beta": 8.0}
_QUICK_VALUES = _VALUES | {"lr": 1e-3, "tokens_per_batch": 2048, "beta": 4.0}  # young values: a smaller weight
_FROM_BC = {"pi_ref": "@bc", "lr": 1e-3}
_BRANCHING_VALUES = _VALUES | {"lr": 2e-3, "beta": 4.0}
_NO_CQL = {"cql_weight": 0.0}
_MUON = {"model": "mini", "optimizer": "muon", "tokens_per_batch": 2048, "lr": 3e-3, "warmup": 200, "save_every": 500}
_WATCHED = {"eval_every": 500}
_LIKELIHOOD = ("alol", "alol_ref_free", "alol_seq", "alol_kl", "rlol", "refit", "swift", "iqlearn")

_NUCLEUS = ("nucleus", {"temperature": 1.0, "top_p": 0.7})

_SMALL_SUMMARY = "Small agents whose checkpoints the suite quick plays (`python -m leaderboards.export`)."


def _small_values(more: dict[str, float], *, tau: float) -> tuple[Agent, ...]:
    settings = _VALUES | {"lr": 1e-3} | more
    agents = (("ilql", settings | {"tau": tau}), ("sarsa", settings), ("cql", settings))
    return tuple(Agent(name, name, config, tokens_per_second=15_000) for name, config in agents)


def _other_values(settings: dict[str, Any]) -> tuple[Agent, ...]:
    """The agents with values beside ILQL and SARSA, so that all stand beside exact values."""
    alone = settings | {"beta": 0.0}  # AWR's policy acts without values
    agents = (("cql", settings), ("mc", settings), ("psi", settings), ("awr", alone))
    return tuple(Agent(name, name, config, tokens_per_second=8_000) for name, config in agents)


def _replies(
    *,
    name: str,
    summary: str,
    rewards: tuple[str, ...],
    values: dict[str, float],
    tau: float,
    bc_tokens: int,
    headline: tuple[str, dict[str, float]],
    chosen: tuple[Chosen, ...] = (),
    **rules: Any,
) -> Suite:
    """The four agents on rewards of Reddit-v0; where there are rows `chosen`, these stand for ILQL and SARSA."""
    # The CQL term raises the Q of what is logged by up to half its weight a token, so that long comments seem better
    # than they are: a small weight, and values choose within pi_beta's nucleus alone (docs/experiments.md).
    settings = _VALUES | {"lr": 1e-3, "cql_weight": 0.05} | values
    filtered = _FROM_BC | {"fraction": 0.2}
    ilql, sarsa = [row.name for row in chosen] or ["ilql", "sarsa"]
    return Suite(
        name=name,
        summary=summary,
        tasks=tuple(map(_comments, rewards)),
        training=_MUON | {"model": "mini-rotary"},
        tokens=2_000_000,
        agents=(
            Agent("bc", "bc", _WATCHED, tokens=bc_tokens, tokens_per_second=14_000, shared=True),
            Agent("filtered_bc", "filtered_bc", filtered, tokens=1_000_000, tokens_per_second=14_000),
            Agent("ilql", "ilql", settings | {"tau": tau}, tokens_per_second=10_000),
            Agent("sarsa", "sarsa", settings, tokens_per_second=10_000),
            *chosen,
        ),
        references=(
            _UNIFORM,
            _EMPTY,
            _GIBBERISH,
            Player("best-constant", "leaderboards.speakers:best_constant"),
            BestOf("bc-best-of-16", "bc"),
        ),
        seeds=(0, 1, 2, 3, 4),
        evaluation=Evaluation(
            episodes=1024,
            decodings={
                "greedy": {"temperature": 0.0},
                "sampled": {"temperature": 1.0},
                headline[0]: headline[1],
            },
            headline=headline[0],
            looks=Looks(count=5, episodes=128),
        ),
        pairs=_against_each_other(ilql, sarsa, "filtered_bc"),
        **rules,
    )


SUITES = {
    suite.name: suite
    for suite in [
        Suite(
            name="quick",
            summary="Six agents in minutes on two processor cores: trained here on Wordle with 40 hidden words, before "
            "on the other two tasks.",
            tasks=(
                _wordle("common-40", mix="wide"),
                *(replace(task, variant={**task.variant, "games": 2_000}) for task in _SMALL),
            ),
            training={"model": "tiny", "tokens_per_batch": 4096, "lr": 2e-3, "warmup": 50, "save_every": 200},
            tokens=7_000_000,
            agents=(
                Agent("bc", "bc", tokens_per_second=60_000),
                Agent("filtered_bc", "filtered_bc", {"fraction": 0.2}, tokens_per_second=60_000),
                Agent("ilql", "ilql", _QUICK_VALUES, tokens=5_000_000, tokens_per_second=35_000),
                Agent("sarsa", "sarsa", _QUICK_VALUES, tokens=5_000_000, tokens_per_second=35_000),
                Agent("cql", "cql", _QUICK_VALUES, tokens=5_000_000, tokens_per_second=35_000),
                Agent("dt", "dt", tokens_per_second=60_000),
            ),
            references=(_UNIFORM, *_SOLVERS),
            seeds=(0,),
            evaluation=Evaluation(episodes=512),
            checkpoints=_KEPT,
        ),
        Suite(
            name="small-visual-dialogue",
            summary=_SMALL_SUMMARY,
            tasks=(_SMALL[0],),
            training={"model": "tiny", "tokens_per_batch": 4096, "lr": 2e-3, "warmup": 50, "save_every": 200},
            tokens=2_000_000,
            agents=(
                Agent("bc", "bc", tokens=3_000_000, tokens_per_second=40_000),
                Agent("filtered_bc", "filtered_bc", {"fraction": 0.2}, 3_000_000, tokens_per_second=40_000),
                *_small_values({"cql_weight": 1.0}, tau=0.7),
                Agent("dt", "dt", tokens=3_000_000, tokens_per_second=40_000),
            ),
            references=(_UNIFORM,),
            seeds=(0,),
            evaluation=Evaluation(episodes=256),
        ),
        Suite(
            name="small-reddit",
            summary=_SMALL_SUMMARY,
            tasks=(_SMALL[1],),
            training=_MUON | {"model": "tiny-rotary"},
            tokens=2_000_000,
            agents=(
                Agent("bc", "bc", tokens=6_000_000, tokens_per_second=25_000),
                Agent("filtered_bc", "filtered_bc", _FROM_BC | {"fraction": 0.2}, tokens_per_second=25_000),
                *_small_values({"cql_weight": 0.25}, tau=0.6),
                Agent("dt", "dt", tokens=6_000_000, tokens_per_second=25_000),
            ),
            references=(_UNIFORM,),
            seeds=(0,),
            evaluation=Evaluation(episodes=256, headline="sampled"),
        ),
        Suite(
            name="smoke",
            summary="Every agent for 50 steps: shows that all of them run, and nothing about how well they play.",
            tasks=(
                _wordle("common-40", mix="wide", games=2_000),
                _dialogues("yn", games=200),
                _comments("toxicity", games=2_000),
            ),
            training={"model": "tiny", "tokens_per_batch": 512, "lr": 2e-3, "warmup": 5, "save_every": 50},
            tokens=50 * 512,
            agents=(
                Agent("bc", "bc"),
                Agent("filtered_bc", "filtered_bc"),
                Agent("dt", "dt"),
                *(Agent(name, name, {"pi_beta": "@bc"}) for name in ("ilql", "sarsa", "awr", "cql", "mc", "psi")),
                *(Agent(name, name, {"pi_ref": "@bc"}) for name in _LIKELIHOOD),
            ),
            references=(_UNIFORM,),
            seeds=(0,),
            evaluation=Evaluation(episodes=16),
        ),
        Suite(
            name="wordle-cpu",
            summary="Wordle with 40 hidden words, learned from 100,000 games of people of all skills.",
            tasks=(_wordle("common-40", mix="wide"),),
            training=_MUON,
            tokens=3_000_000,
            agents=(
                Agent("bc", "bc", tokens=14_000_000, tokens_per_second=12_000),
                Agent("filtered_bc", "filtered_bc", _FROM_BC | {"fraction": 0.2}, tokens_per_second=12_000),
                Agent("filtered_bc-10", "filtered_bc", _FROM_BC | {"fraction": 0.1}, tokens_per_second=12_000),
                Agent("filtered_bc-30", "filtered_bc", _FROM_BC | {"fraction": 0.3}, tokens_per_second=12_000),
                Chosen("filtered_bc-chosen", ("filtered_bc", "filtered_bc-10", "filtered_bc-30"), episodes=200),
                Agent("ilql", "ilql", _VALUES | {"lr": 1e-3}, tokens_per_second=8_000),
                Agent("sarsa", "sarsa", _VALUES | {"lr": 1e-3}, tokens_per_second=8_000),
                *_other_values(_VALUES | {"lr": 1e-3}),
            ),
            references=(
                *_WORDLE_PLAYERS,
                _player("empty", "empty"),
                _player("people", "people", mix="wide"),
                _player("people-entropy", "writer", mix="wide", name="entropy"),
                _player("people-noisy-0.25", "writer", mix="wide", name="noisy(0.25)"),
                _player("people-noisy-0.5", "writer", mix="wide", name="noisy(0.5)"),
                Agent("expert-bc", "bc", behaviours=("entropy",), tokens_per_second=12_000),
                BestOf("bc-best-of-16", "bc"),
            ),
            seeds=(0, 1, 2, 3, 4),
            evaluation=Evaluation(episodes="all", repeats=50, looks=Looks(episodes="all"), critics=True),
            pairs=_against_each_other("ilql", "sarsa", "filtered_bc-chosen"),
            margin=0.1,
            frozen=True,
        ),
        Suite(
            name="wordle-branching",
            summary="Games that end well only after an opening that one-step improvement shuns.",
            tasks=(_wordle("common-40", "wordle/branching-v0"),),
            training=_MUON,
            tokens=4_000_000,
            agents=(
                Agent("bc", "bc", tokens=8_000_000, tokens_per_second=12_000),
                Agent("filtered_bc", "filtered_bc", _FROM_BC | {"fraction": 0.1}, 2_000_000, tokens_per_second=12_000),
                Agent("ilql", "ilql", _BRANCHING_VALUES | {"tau": 0.9}, tokens_per_second=8_000),
                Agent("sarsa", "sarsa", _BRANCHING_VALUES | {"tau": 0.5}, tokens_per_second=8_000),
                Agent("ilql-no-cql", "ilql", _BRANCHING_VALUES | {"tau": 0.9} | _NO_CQL, tokens_per_second=8_000),
                Agent("sarsa-no-cql", "sarsa", _BRANCHING_VALUES | {"tau": 0.5} | _NO_CQL, tokens_per_second=8_000),
                *_other_values(_BRANCHING_VALUES),
            ),
            references=(
                *_WORDLE_PLAYERS,
                _player("empty", "empty"),
                _player("expert", "expert"),
                _player("staller", "staller"),
                Agent("expert-bc", "bc", behaviours=("expert",), tokens=2_000_000, tokens_per_second=12_000),
                BestOf("bc-best-of-16", "bc"),
            ),
            seeds=(0, 1, 2),
            evaluation=Evaluation(episodes="all", repeats=50, looks=Looks(episodes="all"), critics=True),
            pairs=(("ilql", "sarsa"), ("ilql-no-cql", "sarsa-no-cql"), ("ilql", "filtered_bc"), ("ilql", "bc")),
            margin=0.1,
            frozen=True,
        ),
        Suite(
            name="wordle-2315",
            summary="The smallest run that learns on the 2,315 hidden words of the original game, beside the results "
            "that people tweeted: one seed.",
            tasks=(_wordle("common-2315"),),
            training=_MUON,
            tokens=3_000_000,
            agents=(
                Agent("bc", "bc", tokens=12_000_000, tokens_per_second=12_000),
                Agent("filtered_bc", "filtered_bc", _FROM_BC | {"fraction": 0.2}, 2_000_000, tokens_per_second=12_000),
                Agent("ilql", "ilql", _VALUES | {"lr": 1e-3}, tokens_per_second=8_000),
                Agent("sarsa", "sarsa", _VALUES | {"lr": 1e-3}, tokens_per_second=8_000),
            ),
            references=(
                *_WORDLE_PLAYERS[:3],
                _player("people", "people", mix="twitter"),
            ),
            seeds=(0,),
            evaluation=Evaluation(episodes="all", looks=Looks(episodes=256)),
            pairs=(("ilql", "bc"), ("sarsa", "bc"), ("filtered_bc", "bc")),
            margin=0.1,
            frozen=True,
        ),
        Suite(
            name="wordle-critics",
            summary="Values of longer training beside exact ones: ILQL against Q*, SARSA against the Q of the people.",
            tasks=(_wordle("common-40", mix="wide"),),
            training=_MUON,
            tokens=12_000_000,
            agents=(
                Agent("bc", "bc", tokens=14_000_000, tokens_per_second=12_000),
                # The history tells who plays: .9 of those seen together is less than the best (docs/experiments.md).
                Agent("ilql", "ilql", _VALUES | {"lr": 1e-3, "tau": 0.97}, tokens_per_second=8_000),
                Agent("sarsa", "sarsa", _VALUES | {"lr": 1e-3}, tokens_per_second=8_000),
            ),
            references=_WORDLE_PLAYERS,
            seeds=(0,),
            evaluation=Evaluation(episodes="all", repeats=50, looks=Looks(episodes="all"), critics=True),
            pairs=(("ilql", "sarsa"), ("ilql", "bc"), ("sarsa", "bc")),
            margin=0.1,
            frozen=True,
        ),
        Suite(
            name="visual-dialogue",
            summary="Questions about an image that is never seen, learned from people of all skills.",
            tasks=tuple(map(_dialogues, ("yn", "conservative_yn", "standard"))),
            training=_MUON,
            tokens=5_000_000,
            agents=(
                Agent("bc", "bc", _WATCHED, tokens=8_000_000, tokens_per_second=12_000, shared=True),
                Agent("filtered_bc", "filtered_bc", _FROM_BC | {"fraction": 0.2}, 1_000_000, tokens_per_second=12_000),
                Agent(
                    "filtered_bc-10", "filtered_bc", _FROM_BC | {"fraction": 0.1}, 1_000_000, tokens_per_second=12_000
                ),
                Agent(
                    "filtered_bc-30", "filtered_bc", _FROM_BC | {"fraction": 0.3}, 1_000_000, tokens_per_second=12_000
                ),
                Chosen("filtered_bc-chosen", ("filtered_bc", "filtered_bc-10", "filtered_bc-30"), episodes=128),
                Agent("ilql", "ilql", _VALUES | {"lr": 1e-3, "tau": 0.7, "cql_weight": 1.0}, tokens_per_second=8_000),
                Agent("sarsa", "sarsa", _VALUES | {"lr": 1e-3, "cql_weight": 1.0}, tokens_per_second=8_000),
                # A fine triples the largest reward, so that one beta does not fit all rewards (docs/experiments.md).
                *_chosen((1.0, 2.0, 4.0, 8.0)),
            ),
            references=(
                replace(_UNIFORM, shared=True),
                replace(_EMPTY, shared=True),
                replace(_GIBBERISH, shared=True),
                Player("best-list", "leaderboards.speakers:best_list"),
                Agent(
                    "expert-bc", "bc", behaviours=("expert",), tokens=1_000_000, tokens_per_second=12_000, shared=True
                ),
                BestOf("bc-best-of-16", "bc", shared=True),
            ),
            seeds=(0, 1, 2, 3, 4),
            evaluation=Evaluation(episodes=512, looks=Looks(count=5, episodes=64)),
            pairs=(
                *_against_each_other("ilql-chosen", "sarsa-chosen", "filtered_bc-chosen"),
                ("ilql-chosen", "best-list"),
            ),
            margin=0.5,
            frozen=True,
        ),
        _replies(
            name="reddit-toxicity",
            summary="Harmless replies to comments, judged by a trained network whose mistakes are known.",
            rewards=("toxicity", "noisy_toxicity"),
            values={},
            tau=0.7,
            bc_tokens=8_000_000,
            headline=_NUCLEUS,
            margin=0.1,
            frozen=True,
        ),
        # The same with a BC at its floor and a critic that has learned more of rare comments (docs/experiments.md).
        _replies(
            name="reddit-toxicity-long",
            summary="Harmless replies again, from a longer BC, by critics that learn faster, each with its best beta.",
            rewards=("toxicity",),
            values={"lr": 3e-3},
            tau=0.7,
            bc_tokens=24_000_000,
            # Up to the largest with which replies keep half of the variety of BC's.
            chosen=_chosen((8.0, 16.0, 32.0), sarsa=(4.0, 8.0)),
            headline=_NUCLEUS,
            margin=0.1,
            frozen=True,
        ),
        _replies(
            name="reddit-upvotes",
            summary="Replies that find favour, judged by a trained network whose mistakes are known.",
            rewards=("upvotes_model", "upvotes_real"),
            values={"beta": 4.0, "lr": 3e-3},  # rewards are twice as large
            tau=0.6,
            bc_tokens=24_000_000,  # at half of it the loss still falls: BC learns last which words suit whose parent
            chosen=_chosen((1.0, 2.0, 4.0, 8.0)),
            # Which words suit a parent pi_beta knows better than a young critic (docs/experiments.md).
            headline=("cool", {"temperature": 0.3, "top_p": 0.7}),
            margin=0.3,
            frozen=True,
        ),
    ]
}


def get_suite(name: str) -> Suite:
    """The suite of that name.

    Raises:
        UnknownNameError: there is none; the message lists close matches.
    """
    if name not in SUITES:
        raise unknown_name("suite", name, SUITES)
    return SUITES[name]
