"""What `load_dataset` can make: dataset id -> generator, sizes and declared variants."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from lmrl_envs.core import Episode, TextTask
from lmrl_envs.errors import unknown_name
from lmrl_envs.files import file_hash
from lmrl_envs.registration import load_attribute, make_task, plain_json
from lmrl_envs.wordle.words import WordList, bundled_lists, load_words

Split = Literal["train", "validation", "test"]
SPLITS: tuple[str, ...] = get_args(Split)
_ROOT = 0x6C6D726C  # evaluation's spawn keys are one number long, a recipe's three: no stream is shared


class Option(NamedTuple):
    """A variant that a recipe declares. `choices` lists the values allowed, None where something else checks them."""

    default: Any
    choices: tuple[Any, ...] | None = None


class Variant(NamedTuple):
    """A recipe's arguments, all of them and in one form, as plain JSON: equal data have equal variants."""

    env_kwargs: dict[str, Any]
    options: dict[str, Any]

    @property
    def folder(self) -> str:
        """A name for a folder: the words among the values, for people, and a hash of all, to be unique."""
        values = self.env_kwargs | self.options
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        words = [value for value in values.values() if isinstance(value, str) and value.replace("-", "").isalnum()]
        return "_".join([*words, digest[:12]])


@dataclass(frozen=True)
class Recipe:
    """How a dataset is made.

    `generate`, a function or `"module:function"`, is called as `(task, seeds, *, split, games, **options)` and yields
    `games` episodes, drawing from the `np.random.SeedSequence` `seeds` alone, by `Generator.random` and
    `Generator.integers`, so that the content is the same on every machine. `env_options` are the task's keyword
    arguments with `gym.make`'s defaults, `options` the recipe's own, and every recipe has `games`, by default
    `sizes[split]`: the episodes of a split, or whatever else `counts` names. `settle` brings arguments into one form;
    it too may be `"module:function"`.

    `from_file` is a recipe that reads a file of the user's, option `path`: its `sizes` are None, all that the file has,
    and `generate` gets a Counter `dropped` too, to count what it leaves out, by reason.

    `tokenizer` names what agents read the dataset with (`agents.tokenizers`).

    Where only arguments in `rewards_only` differ from their defaults, nothing is generated: `relabel` is called as
    `(task, episodes)` with the episodes of the defaults and yields them with the rewards of `task`. `relabels` has the
    values of such arguments with which episodes are generated, where those are not the defaults.

    `plays` says whether a task is needed to make episodes; where it is not, both functions get the task's keyword
    arguments in its place. `learned_rewards` says that rewards do not follow from the texts by rules, so that the
    content hash leaves them out.
    """

    env_id: str
    generate: str | Callable[..., Iterator[Episode]]
    sizes: Mapping[str, int | None]
    env_options: Mapping[str, Option]
    options: Mapping[str, Option] = field(default_factory=dict)
    counts: str = "episodes"
    settle: str | Callable[[Variant], Variant] = lambda variant: variant
    from_file: bool = False
    rewards_only: frozenset[str] = frozenset()
    relabel: str | Callable[..., Iterator[Episode]] | None = None
    relabels: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: Literal["letters", "byte pairs"] = "byte pairs"
    plays: bool = True
    learned_rewards: bool = False

    def resolve(self, dataset_id: str, split: str, given: Mapping[str, Any]) -> tuple[Variant, int | None]:
        """Completes and checks arguments: the variant, and the number of games (None: all that a file has).

        Raises:
            ValueError: the split, or a name or a value in `given`, is not declared; the message lists those that are.
        """
        if split not in SPLITS:
            raise unknown_name("split", split, SPLITS)
        declared = {**self.env_options, **self.options, "games": Option(self.sizes[split])}
        values = {name: option.default for name, option in declared.items()}
        for name, value in given.items():
            if name not in declared:
                raise unknown_name(f"variant of {dataset_id}", name, declared)
            default, choices = declared[name]
            if choices is not None and value != default and value not in choices:
                raise unknown_name(f"{name} of {dataset_id}", value, choices)
            values[name] = value
        games = values.pop("games")
        if not (games is None and self.from_file) and (type(games) is not int or games < 1):
            raise ValueError(f"games: expected a whole number of at least 1, got {games!r}")
        env_kwargs = {name: values.pop(name) for name in self.env_options}
        return Variant(*map(plain_json, load_attribute(self.settle)(Variant(env_kwargs, values)))), games

    def task(self, variant: Variant) -> TextTask | Mapping[str, Any]:
        """What `generate` and `relabel` get first."""
        return make_task(self.env_id, **variant.env_kwargs) if self.plays else variant.env_kwargs

    def episodes(
        self, dataset_id: str, split: str, variant: Variant, games: int | None, dropped: Counter[str] | None = None
    ) -> Iterator[Episode]:
        """Generates the episodes of a split, in order. A smaller dataset is the beginning of a larger one.

        `dropped` gets what a recipe that reads a file leaves out of it.
        """
        seeds = np.random.SeedSequence(_ROOT, spawn_key=(zlib.crc32(dataset_id.encode()), SPLITS.index(split)))
        task = self.task(variant)
        report = {"dropped": Counter() if dropped is None else dropped} if self.from_file else {}
        yield from load_attribute(self.generate)(task, seeds, split=split, games=games, **variant.options, **report)


class Mix(NamedTuple):
    """A crowd of Wordle players: each game draws one of them by these weights, which sum to 1.

    `noisy` maps a rate of careless guesses to a weight, `casual` the last guess that may be careless.
    """

    entropy: float = 0.0
    consistent: float = 0.0
    noisy: Mapping[float, float] = {}
    casual: Mapping[int, float] = {}


MIXES: dict[str, Mix] = {
    # Made by data_scripts/fit_wordle_mixes.py.
    "twitter": Mix(entropy=0.05, consistent=0.05, noisy={0.2: 0.05}, casual={2: 0.29, 3: 0.12, 4: 0.23, 5: 0.21}),
    "wide": Mix(entropy=0.204, consistent=0.204, noisy={0.25: 0.204, 0.5: 0.204, 1.0: 0.184}),
}
LONG_LIST = 1000
"""From this many hidden words on, `twitter` is the default mix, and branching data open with more words."""


def _settle_wordle(variant: Variant) -> Variant:
    """Names a list that is bundled and holds any other by its words; chooses the default mix by the list's size."""
    env_kwargs, options = variant
    words = load_words(env_kwargs["words"])
    guesses = env_kwargs["guesses"]
    env_kwargs = env_kwargs | {
        "words": _name_or_words(words),
        "guesses": guesses if isinstance(guesses, str) and guesses == "any" else _name_or_words(load_words(guesses)),
    }
    if options.get("mix", "") is None:
        options = options | {"mix": "twitter" if len(words) >= LONG_LIST else "wide"}
    return Variant(env_kwargs, options)


def _settle_tweets(variant: Variant) -> Variant:
    """Besides `_settle_wordle`: holds the answers by their words, and the file by its name and content."""
    env_kwargs, options = _settle_wordle(variant)
    path, answers = options["path"], options["answers"]
    if path is not None:
        path = Path(path).expanduser()
        if not path.is_file():
            raise ValueError(f"path: expected a CSV of tweets, and there is no file {str(path)!r}")
        path = {"file": str(path), "sha256": file_hash(path)}
    return Variant(env_kwargs, {"path": path, "answers": None if answers is None else load_words(answers)})


def _name_or_words(words: tuple[str, ...]) -> WordList:
    names = reversed(bundled_lists())  # common-2315 comes before its alias
    return next((name for name in names if load_words(name) == words), words)


_WORDLE_OPTIONS = {
    "words": Option("common"),
    "guesses": Option("any"),
    "duplicates": Option("official"),
    "max_guesses": Option(6),
}
_ANSWERS = Option("all", choices=("all", "held-out"))

RECIPES: dict[str, Recipe] = {
    "wordle/human-v0": Recipe(
        env_id="Wordle-v0",
        generate="lmrl_envs.wordle.behaviours:human_games",
        sizes={"train": 100_000, "validation": 2_000, "test": 2_000},
        env_options=_WORDLE_OPTIONS,
        options={"mix": Option(None, choices=tuple(MIXES)), "answers": _ANSWERS},
        settle=_settle_wordle,
        tokenizer="letters",
    ),
    "wordle/expert-v0": Recipe(
        env_id="Wordle-v0",
        generate="lmrl_envs.wordle.behaviours:expert_games",
        sizes={"train": 20_000, "validation": 2_000, "test": 2_000},
        env_options=_WORDLE_OPTIONS,
        options={"answers": _ANSWERS},
        settle=_settle_wordle,
        tokenizer="letters",
    ),
    **{
        f"wordle/{name}-v0": Recipe(
            env_id="Wordle-v0",
            generate=f"lmrl_envs.wordle.behaviours:{generate}",
            sizes={"train": 5_000, "validation": 250, "test": 250},
            env_options=_WORDLE_OPTIONS,
            options={"answers": _ANSWERS},
            counts="expert games",
            settle=_settle_wordle,
            tokenizer="letters",
        )
        for name, generate in [("branching", "branching_games"), ("branching-paper", "branching_paper_games")]
    },
    "wordle/tweets-v0": Recipe(
        env_id="Wordle-v0",
        generate="lmrl_envs.wordle.tweets:tweeted_games",
        sizes=dict.fromkeys(SPLITS),
        env_options={name: option for name, option in _WORDLE_OPTIONS.items() if name != "max_guesses"},
        options={"path": Option(None), "answers": Option(None)},
        settle=_settle_tweets,
        from_file=True,
        tokenizer="letters",
    ),
    "reddit/comments-v0": Recipe(
        env_id="Reddit-v0",
        generate="lmrl_envs.reddit.logs:comment_episodes",
        sizes={"train": 120_000, "validation": 4_000, "test": 4_000},
        env_options={
            "reward": Option("toxicity", choices=("toxicity", "noisy_toxicity", "upvotes_model", "upvotes_real")),
            "reward_model": Option("bundled"),
            "include_parent": Option(True, choices=(True, False)),
        },
        settle="lmrl_envs.reddit.rewards:settle",
        rewards_only=frozenset({"reward", "reward_model"}),
        relabel="lmrl_envs.reddit.logs:rewarded",
        relabels={"reward": "upvotes_real"},  # the one that asks no model
        plays=False,
        learned_rewards=True,
    ),
    "visual-dialogue/human-v0": Recipe(
        env_id="VisualDialogue-v0",
        generate="lmrl_envs.visual_dialogue.dialogues:human_dialogues",
        sizes={"train": 12_000, "validation": 1_000, "test": 1_000},
        env_options={
            "reward": Option("standard", choices=("standard", "yn", "conservative_yn")),
            "match": Option("word", choices=("word", "paper")),
            "corpus": Option("scenes"),
            "rounds": Option(10),
            "pool": Option("hard"),
            "guesser": Option("default", choices=("default", "held-out")),
        },
        rewards_only=frozenset({"reward", "match"}),
        relabel="lmrl_envs.visual_dialogue.dialogues:rewarded",
        settle="lmrl_envs.visual_dialogue.bundled:settle",
        learned_rewards=True,
    ),
}


def find_recipe(dataset_id: str) -> Recipe:
    """Finds a recipe by its dataset id.

    Raises:
        UnknownNameError: there is none; the message lists close matches.
    """
    if dataset_id not in RECIPES:
        raise unknown_name("dataset", dataset_id, RECIPES)
    return RECIPES[dataset_id]
