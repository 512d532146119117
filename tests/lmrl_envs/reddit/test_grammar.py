from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from lmrl_envs.reddit.grammar import (
    PARTS,
    SHARES,
    Slot,
    Writer,
    communities,
    fixed,
    lexicon,
    part_of,
    with_article,
    words_of,
)


def writer(part="train", seed=0):
    return Writer(np.random.Generator(np.random.PCG64(seed)), part)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a apple and a hour", "an apple and an hour"),
        ("a user, a unit, a house", "a user, a unit, a house"),
        ("A idiot in a ugly hat", "An idiot in an ugly hat"),
        ("banana aspect", "banana aspect"),
    ],
)
def test_articles(text, written):
    assert with_article(text) == written


def test_words_are_what_two_spellings_share():
    assert words_of("Don't SAY   that, again!") == ["don't", "say", "that", "again"]
    assert words_of("«ça», λόγος") == ["ça", "λόγος"]
    assert part_of("Don't say that.") == part_of("don't SAY that")


def test_parts_have_their_shares():
    counts = Counter(part_of(f"text number {number}") for number in range(20_000))
    for part in PARTS:
        assert counts[part] / 20_000 == pytest.approx(SHARES[part], abs=0.01)


def test_slots_are_filled_from_the_scope_first():
    scope = {"subject": fixed("old bike"), "aspect": fixed("brake")}
    for seed in range(20):
        text = writer(seed=seed).phrase("opinion", {**communities()["cooking"].lists, **scope})
        assert "{" not in text
        assert "brake" in text or "old bike" in text


def test_every_slot_of_every_phrase_has_a_list():
    def slots(phrase):
        for node in phrase:
            if isinstance(node, Slot):
                yield node.name
            elif not isinstance(node, str):
                for choice in node:
                    yield from slots(choice)

    own = set.intersection(*(set(community.lists) for community in communities().values()))
    used = {name for entries in lexicon().values() for phrase, _ in entries.all_of for name in slots(phrase)}
    assert used <= own | lexicon().keys()


def test_held_out_entries_are_for_other_parts_alone():
    held = {phrase for phrase, is_held in lexicon()["insult"].all_of if is_held}
    assert 0.1 < len(held) / len(lexicon()["insult"].all_of) < 0.3
    models, test = writer("models"), writer("test")
    seen = {part: {who.phrase("insult", {}) for _ in range(3000)} for part, who in (("m", models), ("t", test))}
    assert not models.held_out
    assert test.held_out
    assert seen["t"] - seen["m"] == {"".join(phrase) for phrase in held}


def test_communities_are_a_dozen_and_complete():
    assert len(communities()) == 12
    for community in communities().values():
        assert set(community.likes) == {"kind", "informative", "funny", "personal"}
        for name in ("subject", "aspect", "tip", "problem", "gear", "fact"):
            entries = [phrase for phrase, _ in community.lists[name].all_of]
            assert len(entries) >= 10
            assert len(set(entries)) == len(entries), f"{community.name}: {name} has an entry twice"
