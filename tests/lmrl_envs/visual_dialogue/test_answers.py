from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from lmrl_envs.visual_dialogue.answers import hedged, relevance, say, true_claim, understand
from lmrl_envs.visual_dialogue.behaviours import accepts, true_answer
from lmrl_envs.visual_dialogue.language import PHRASINGS, Meaning
from lmrl_envs.visual_dialogue.lexicon import ITEMS, SAYINGS
from lmrl_envs.visual_dialogue.scenes import Scene, Thing, scene
from lmrl_envs.visual_dialogue.truth import UNSURE, WRONG, Claim, distribution, draw, is_true, truth

# A man on the left in front, a woman in the middle behind him, two dogs, and a tree at the back.
MAN = Thing(
    *("man", "left", "front"),
    **{"action": "walking", "hair": "brown", "shirt": "red", "bottom": "pants", "bottom_color": "blue"},
    **{"hat": "none", "glasses": "glasses", "holding": "umbrella", "item_color": "green"},
)
WOMAN = Thing(
    *("woman", "middle", "back"),
    **{"action": "sitting", "hair": "black", "shirt": "white", "bottom": "skirt", "bottom_color": "black"},
    **{"hat": "yellow"},
)
DOG = Thing("dog", "middle", "front", color="brown", size="big", action="running")
OTHER_DOG = Thing("dog", "right", "front", color="white", size="small", action="lying")
TREE = Thing("tree", "left", "back", color="orange", size="small")
SHOWN = Scene(0, "park", "day", "rainy", (MAN, DOG, OTHER_DOG, TREE, WOMAN))
ROOM = Scene(1, "room", "night", "none", (Thing("cat", "left", "front", color="gray", size="big", action="lying"),))

TRUE = [
    (SHOWN, ("exist", "dog", ""), {"yes": 1}),
    (SHOWN, ("exist", "cat", ""), {"no": 1}),
    (SHOWN, ("exist", "umbrella", ""), {"yes": 1}),
    (SHOWN, ("exist", "grass", ""), {"yes": 1}),
    (SHOWN, ("exist", "sun", ""), {"no": 1}),
    (SHOWN, ("exist", "cloud", ""), {"yes": 1}),
    (ROOM, ("exist", "window", ""), {"yes": 1}),
    (ROOM, ("exist", "sky", ""), {"no": 1}),
    (SHOWN, ("exist", "pizza", ""), {"no": 1}),
    (SHOWN, ("other", "person", "1"), {"yes": 1}),
    (SHOWN, ("other", "person", "2"), {"no": 1}),
    (SHOWN, ("alone", "man", ""), {"no": 1}),
    (SHOWN, ("is color", "dog", "brown"), {"yes": 1}),
    (SHOWN, ("is color", "dog", "white"), {"no": 1}),
    (SHOWN, ("wear is color", "man", "shirt red"), {"yes": 1}),
    (SHOWN, ("wear is color", "man", "hat red"), {"missing": 1}),
    (SHOWN, ("is action", "man", "sitting"), {"no": 1}),
    (SHOWN, ("wears", "man", "glasses"), {"yes": 1}),
    (SHOWN, ("wears", "man", "shorts"), {"no": 1}),
    (SHOWN, ("holds", "man", "umbrella"), {"yes": 1}),
    (SHOWN, ("holds any", "woman", ""), {"no": 1}),
    (SHOWN, ("is at", "man", "left"), {"yes": 1}),
    (SHOWN, ("is at", "woman", "front"), {"no": 1}),
    (SHOWN, ("near", "man", "dog"), {"yes": 1}),
    (SHOWN, ("near", "man", "tree"), {"no": 1}),
    (SHOWN, ("near", "cow", "tree"), {"no": 1}),
    (SHOWN, ("is weather", "", "rainy"), {"yes": 1}),
    (ROOM, ("is weather", "", "rainy"), {"unknown": 1}),
    (SHOWN, ("is time", "", "night"), {"no": 1}),
    (ROOM, ("is setting", "", "outside"), {"no": 1}),
    (SHOWN, ("is size", "dog", "big"), {"yes": 1}),
    (SHOWN, ("is age", "man", "child"), {"no": 1}),
    (SHOWN, ("photo", "", ""), {"yes": 1}),
    (SHOWN, ("close up", "", ""), {"no": 1}),
    (SHOWN, ("count", "dog", ""), {"2": 1}),
    (SHOWN, ("count", "animal", ""), {"2": 1}),
    (SHOWN, ("count", "cow", ""), {"0": 1}),
    (SHOWN, ("color", "dog", ""), {"brown": 1}),
    (SHOWN, ("color", "umbrella", ""), {"green": 1}),
    (SHOWN, ("color", "sky", ""), {"gray": 1}),
    (SHOWN, ("color", "cat", ""), {"missing": 1}),
    (SHOWN, ("color", "animal", ""), {"several": 1}),
    (ROOM, ("color", "animal", ""), {"gray": 1}),
    (SHOWN, ("wear color", "woman", "hat"), {"yellow": 1}),
    (SHOWN, ("wear color", "woman", "pants"), {"missing": 1}),
    (SHOWN, ("wear color", "woman", "skirt"), {"black": 1}),
    (SHOWN, ("action", "woman", ""), {"sitting": 1}),
    (SHOWN, ("action", "person", ""), {"walking": 1}),  # the main thing is meant
    (SHOWN, ("action", "tree", ""), {"unknown": 1}),
    (SHOWN, ("clothes", "man", ""), {"shirt red": 0.55 / 0.8, "pants blue": 0.25 / 0.8}),
    (SHOWN, ("held", "man", ""), {"umbrella": 1}),
    (SHOWN, ("held", "woman", ""), {"nothing": 1}),
    (SHOWN, ("where", "man", ""), {"left": 0.65, "front": 0.35}),
    (SHOWN, ("beside", "man", ""), {"dog": 0.6, "scenery": 0.4}),
    (SHOWN, ("size", "dog", ""), {"big": 1}),
    (SHOWN, ("age", "woman", ""), {"adult": 1}),
    (SHOWN, ("which", "animal", ""), {"dog": 1}),
    (SHOWN, ("which", "vehicle", ""), {"nothing": 1}),
    (SHOWN, ("weather", "", ""), {"rainy": 1}),
    (SHOWN, ("time", "", ""), {"day": 1}),
    (SHOWN, ("setting", "", ""), {"park": 1}),
    (SHOWN, ("else", "", "dog man"), {"tree": 0.3, "woman": 0.3, "scenery": 0.4}),
    (SHOWN, ("else", "", "dog man tree woman"), {"nothing": 0.6, "scenery": 0.4}),
    (SHOWN, ("background", "", ""), {"tree": 0.3, "woman": 0.3, "scenery": 0.4}),
]


@pytest.mark.parametrize(("shown", "meaning", "cores"), TRUE)
def test_truth(shown: Scene, meaning: tuple[str, str, str], cores: dict[str, float]) -> None:
    assert truth(Meaning(*meaning), shown).cores == pytest.approx(cores)


VOLUNTEERED = [
    (("exist", "dog", ""), "yes", {"2": 1}),
    (("exist", "tree", ""), "yes", {"orange": 0.6, "left": 0.4}),
    (("exist", "man", ""), "yes", {"left": 1}),
    (("is color", "dog", "red"), "no", {"brown": 1}),
    (("wears", "woman", "hat"), "yes", {"yellow": 1}),
    (("holds", "man", "ball"), "no", {"umbrella": 1}),
    (("is action", "man", "sitting"), "no", {"walking": 1}),
    (("held", "man", ""), "umbrella", {"green": 1}),
    (("else", "", "man"), "dog", {"2": 1}),
    (("else", "", "man"), "tree", {"orange": 1}),
]


@pytest.mark.parametrize(("meaning", "core", "extras"), VOLUNTEERED)
def test_what_is_volunteered(meaning: tuple[str, str, str], core: str, extras: dict[str, float]) -> None:
    assert truth(Meaning(*meaning), SHOWN).extras[core] == pytest.approx(extras)


def every_meaning() -> list[Meaning]:
    details = {
        **{"is color": ("red", "gray"), "wear is color": ("shirt red", "pants blue", "hat white")},
        **{"is action": tuple(SAYINGS["action"]), "wears": ("hat", "glasses", "shorts", "hair"), "holds": ITEMS},
        **{"is at": ("left", "back"), "near": ("dog", "man"), "is weather": ("clear", "rainy"), "is age": ("child",)},
        **{"is time": ("day", "night"), "is setting": ("park", "outside", "room"), "is size": ("big",)},
        **{"wear color": ("shirt", "hair", "hat", "pants"), "other": ("0", "1"), "else": ("man", "dog man")},
    }
    nouns = ("man", "dog", "car", "umbrella", "person", "animal", "sky", "cow", "")
    return [
        Meaning(intent, noun, detail) for intent in PHRASINGS for noun in nouns for detail in details.get(intent, ("",))
    ]


SOME = [SHOWN, ROOM, *(scene(id) for id in range(8))]


def test_chances_of_claims_sum_to_one() -> None:
    for meaning in every_meaning():
        for shown in SOME:
            chances = distribution(meaning, shown)
            assert sum(chances.values()) == pytest.approx(1)
            assert min(chances.values()) > 0
            false = sum(chance for claim, chance in chances.items() if not is_true(claim, meaning, shown))
            assert false <= WRONG + UNSURE + 1e-9


def test_every_claim_is_understood_however_it_is_said() -> None:
    for meaning in every_meaning():
        for shown in SOME[:5]:
            for claim in distribution(meaning, shown):
                for uniform in np.linspace(0, 0.999, 7):
                    for aside in (0.0, 0.8, 0.999):
                        text = say(uniform, meaning, claim, aside)
                        assert "{" not in text
                        assert understand(meaning, text) == claim, (meaning, text)


@pytest.mark.parametrize("meaning", [Meaning("exist", "tree"), Meaning("else", "", "man"), Meaning("clothes", "man")])
def test_claims_are_drawn_with_their_chances(meaning: Meaning) -> None:
    rng = np.random.default_rng(0)
    chances = distribution(meaning, SHOWN)
    drawn = Counter(draw(uniforms, meaning, SHOWN) for uniforms in rng.random((20_000, 4)).tolist())
    assert set(drawn) <= set(chances)
    for claim, chance in chances.items():
        assert abs(drawn[claim] - 20_000 * chance) < 5 * (20_000 * chance) ** 0.5 + 1


UNDERSTOOD = [
    (("exist", "dog", ""), "Yes, there is!", ("yes", "")),
    (("exist", "dog", ""), "yes, two of them", ("yes", "2")),
    (("exist", "dog", ""), "yes a small brown one", ("yes", "brown")),
    (("exist", "dog", ""), "i do not see one", ("no", "")),
    (("exist", "dog", ""), "there are no dogs", ("no", "")),
    (("exist", "dog", ""), "i don't see any dogs", ("no", "")),
    (("exist", "dog", ""), "maybe", ("yes", "")),
    (("exist", "dog", ""), "hard to tell", ("unknown", "")),
    (("exist", "dog", ""), "purple monkeys", None),
    (("is color", "dog", "brown"), "no it is white", ("no", "white")),
    (("color", "dog", ""), "it looks brown to me", ("brown", "")),
    (("color", "dog", ""), "there is no dog", ("missing", "")),
    (("color", "dog", ""), "which dog", ("several", "")),
    (("color", "dog", ""), "yes", None),
    (("count", "dog", ""), "i count three", ("3", "")),
    (("count", "dog", ""), "none", ("0", "")),
    (("count", "dog", ""), "several", ("few", "")),
    (("where", "dog", ""), "it's over on the left side", ("left", "")),
    (("clothes", "man", ""), "blue jeans and a white shirt", ("pants blue", "shirt white")),
    (("held", "man", ""), "a red umbrella", ("umbrella", "red")),
    (("held", "man", ""), "nothing", ("nothing", "")),
    (("else", "", ""), "a couple of trees", ("tree", "")),
    (("weather", "", ""), "it is raining", ("rainy", "")),
    (("time", "", ""), "daytime", ("day", "")),
    (("setting", "", ""), "at the beach", ("beach", "")),
    (("color", "dog", ""), "", None),
]


@pytest.mark.parametrize(("meaning", "text", "claim"), UNDERSTOOD)
def test_free_text_is_understood(meaning: tuple[str, str, str], text: str, claim: tuple[str, str] | None) -> None:
    assert understand(Meaning(*meaning), text) == (None if claim is None else Claim(*claim))


def test_relevance() -> None:
    meaning = Meaning("exist", "dog")
    said = ["yes", "yeah", "yes, there is", "yes, 2", "i think so", "maybe", "no", "yes, 3", "i can't tell", "banana"]
    assert [relevance(meaning, SHOWN, text) for text in said] == [1, 1, 1, 1, 0.5, 0.5, 0, 0, 0, 0]
    assert hedged("it looks like it")
    assert not hedged("yes, it is")


def test_a_true_answer_is_accepted() -> None:
    for meaning in every_meaning():
        for shown in SOME:
            assert is_true(understand(meaning, say(0.0, meaning, true_claim(meaning, shown))), meaning, shown)  # type: ignore[arg-type]


def test_answers_are_judged_within_their_dialogue() -> None:
    history = [("is there a tree", "yes")]
    shown = Scene(0, "park", "day", "rainy", (MAN, TREE))
    assert true_answer(shown, "what color is it", history) == "orange"
    assert accepts(shown, "what color is it", "it is orange, i think", history)
    assert accepts(shown, "what color is it", "it is green", history) is False
    assert accepts(shown, "what color is it", "a banana", history) is False
    assert accepts(shown, "color color color", "orange", history) is None
    assert true_answer(shown, "color color color", history) is None
