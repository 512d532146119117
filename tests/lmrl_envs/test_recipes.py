"""What recipes declare, how variants are told apart, and that no two streams of episodes meet."""

from __future__ import annotations

import itertools

import pytest

from lmrl_envs.errors import UnknownNameError
from lmrl_envs.evaluate import episode_seed
from lmrl_envs.recipes import MIXES, RECIPES, SPLITS, find_recipe
from lmrl_envs.registration import TASKS
from lmrl_envs.wordle.words import load_words

HUMAN, EXPERT = "wordle/human-v0", "wordle/expert-v0"


def resolve(dataset_id, split="train", **given):
    return find_recipe(dataset_id).resolve(dataset_id, split, given)


def test_registered_tasks_name_their_datasets():
    assert {name for spec in TASKS.values() for name in spec.datasets} >= RECIPES.keys()


def test_defaults_are_those_of_gym_make():
    variant, games = resolve(HUMAN)
    assert variant.env_kwargs == {"words": "common-2315", "guesses": "any", "duplicates": "official", "max_guesses": 6}
    assert variant.options == {"mix": "twitter", "answers": "all"}
    assert games == 100_000
    assert [resolve(HUMAN, split)[1] for split in SPLITS] == [100_000, 2_000, 2_000]
    assert [resolve(EXPERT, split)[1] for split in SPLITS] == [20_000, 2_000, 2_000]


@pytest.mark.parametrize(("words", "mix"), [("common-40", "wide"), ("common-236", "wide"), ("common-2315", "twitter")])
def test_default_mix(words, mix):
    assert resolve(HUMAN, words=words)[0].options["mix"] == mix


def test_equal_lists_are_one_variant_however_they_are_given(tmp_path):
    bundled, _ = resolve(HUMAN, words="common")
    assert resolve(HUMAN, words=list(load_words("common")))[0] == bundled

    path = tmp_path / "mine.txt"
    path.write_text("crane\nSLATE\nmouse\n")
    mine, _ = resolve(HUMAN, words=path)
    assert mine.env_kwargs["words"] == ["crane", "slate", "mouse"]
    assert mine == resolve(HUMAN, words=str(path))[0] == resolve(HUMAN, words=("crane", "slate", "mouse"))[0]
    path.write_text("crane\nslate\nhorse\n")
    assert resolve(HUMAN, words=path)[0].folder != mine.folder


def test_folders_are_told_apart_by_every_argument():
    variants = [
        {},
        {"words": "common-40"},
        {"words": "common-40", "mix": "twitter"},
        {"words": "common-40", "answers": "held-out"},
        {"words": "common-40", "duplicates": "paper"},
        {"words": "common-40", "max_guesses": 5},
        {"words": "common-40", "guesses": "common-guesses"},
    ]
    folders = [resolve(HUMAN, **given)[0].folder for given in variants]
    assert len(set(folders)) == len(variants)
    assert folders[1].startswith("common-40_any_official_wide_all_")
    assert resolve(HUMAN, games=7)[0].folder == folders[0]  # a size is in the file's name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"word": "common-40"}, r"unknown variant of wordle/human-v0 'word'; did you mean 'words'\? .*'answers'"),
        ({"mix": "twiter"}, r"unknown mix of wordle/human-v0 'twiter'; did you mean 'twitter'"),
        ({"mix": ["twitter"]}, "unknown mix"),
        ({"answers": "heldout"}, "did you mean 'held-out'"),
        ({"words": "comon-40"}, "unknown word list 'comon-40'; did you mean 'common-40'"),
        ({"words": ["crane", "cranes"]}, "item 2: expected five letters"),
        ({"games": 0}, "games: expected a whole number of at least 1, got 0"),
        ({"games": 1.0}, "got 1.0"),
        ({"games": True}, "got True"),
    ],
)
def test_bad_arguments(given, message):
    with pytest.raises(ValueError, match=message):
        resolve(HUMAN, **given)


def test_unknown_dataset_and_split():
    with pytest.raises(UnknownNameError, match="unknown dataset 'wordle/humans-v0'; did you mean 'wordle/human-v0'"):
        find_recipe("wordle/humans-v0")
    with pytest.raises(UnknownNameError, match="did you mean 'validation'"):
        resolve(HUMAN, "validate")


def test_weights_of_each_mix_sum_to_one():
    for mix in MIXES.values():
        total = mix.entropy + mix.consistent + sum(mix.noisy.values()) + sum(mix.casual.values())
        assert total == pytest.approx(1.0, abs=1e-12)


def test_no_two_splits_nor_evaluation_share_an_episode():
    streams = {}
    for dataset_id, split in itertools.product((HUMAN, EXPERT), SPLITS):
        recipe = find_recipe(dataset_id)
        variant, _ = resolve(dataset_id, split, words="common-40")
        streams[dataset_id, split] = {e.seed for e in recipe.episodes(dataset_id, split, variant, 1000)}
    for seed in (0, 1, 2**31, 0x6C6D726C):
        streams["evaluation", seed] = {episode_seed(seed, index) for index in range(1000)}
    assert all(len(seeds) == 1000 for seeds in streams.values())
    assert len(set().union(*streams.values())) == 1000 * len(streams)
