"""The words of the generated world: nouns and what they stand for, values and how people say them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from lmrl_envs.visual_dialogue.contents import KINDS, PEOPLE, VEHICLES

ITEMS = ("umbrella", "balloon", "bag", "ball")
"""What people hold. Umbrellas and balls are things of their own too."""
CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "person": PEOPLE,
    "adult": ("man", "woman"),
    "child": ("boy", "girl"),
    "animal": ("dog", "cat", "horse", "bird"),
    "vehicle": VEHICLES,
    "furniture": ("bench", "chair", "table", "sofa"),
    **{kind: (kind,) for kind in (*KINDS, "balloon", "bag")},
}
"""Noun -> the kinds that it covers."""
FEATURES: Mapping[str, str] = {
    "sky": "blue",
    "grass": "green",
    "water": "blue",
    "sand": "yellow",
    "snow": "white",
    "building": "brown",
    "road": "gray",
    "mountain": "gray",
    "cloud": "gray",
    "sun": "yellow",
    "moon": "white",
    "star": "white",
    "window": "white",
    "floor": "brown",
    "wall": "white",
}
"""What belongs to a setting, a time or the weather, and its usual colour; people ask about it, and it tells little."""
ABSENT = (
    *("cow", "sheep", "bear", "elephant", "giraffe", "train", "plane", "motorcycle", "kite", "fence", "sign", "flag"),
    *("clock", "phone", "book", "cup", "bottle", "plate", "pizza", "cake", "bed", "computer", "camera", "skateboard"),
    *("surfboard", "flower", "rock", "bridge", "shadow", "backpack"),
)
"""What people ask about, and no scene has."""

MASSES = ("water", "sand", "grass", "snow", "furniture", "sky", "sun", "moon")
"""Nouns without a plural."""
_IRREGULAR = {
    **{"man": "men", "woman": "women", "person": "people", "child": "children", "bus": "buses", "bench": "benches"},
    **{"sheep": "sheep", **{noun: noun for noun in MASSES}},
}
_SYNONYMS: Mapping[str, str] = {
    **{"guy": "man", "gentleman": "man", "male": "man", "lady": "woman", "female": "woman", "adult": "adult"},
    **{"kid": "child", "someone": "person", "somebody": "person", "anyone": "person", "anybody": "person"},
    **{"human": "person", "pet": "animal", "puppy": "dog", "kitten": "cat", "kitty": "cat", "pony": "horse"},
    **{"automobile": "car", "bicycle": "bike", "lorry": "truck", "ship": "boat", "sailboat": "boat", "couch": "sofa"},
    **{"television": "tv", "parasol": "umbrella", "purse": "bag", "handbag": "bag", "bush": "plant"},
    **{"house": "building", "ocean": "water", "sea": "water", "airplane": "plane"},
}


def plural(noun: str) -> str:
    """The plural of a noun of this module."""
    return _IRREGULAR.get(noun) or (noun if noun.endswith("s") else noun + "s")


NOUNS: dict[str, str] = {}
"""A noun as people say it, singular or plural -> noun of `CATEGORIES`, `FEATURES` or `ABSENT`."""
for _noun in (*CATEGORIES, *FEATURES, *ABSENT):
    NOUNS |= {_noun: _noun, plural(_noun): _noun}
for _said, _noun in _SYNONYMS.items():
    NOUNS |= {_said: _noun, plural(_said): _noun}

# Values as people say them: the first is the plain one, and a list's words, but for small ones, are read as its value.
SAYINGS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "color": {
        **{color: (color,) for color in ("red", "orange", "yellow", "green", "blue", "pink", "brown", "black")},
        "gray": ("gray", "grey"),
        "white": ("white",),
        "blond": ("blond", "blonde"),
    },
    "number": {
        "0": ("0", "none", "zero"),
        **{
            str(number): (str(number), word)
            for number, word in enumerate(("one", "two", "three", "four", "five", "six", "seven"), 1)
        },
        "few": ("a few", "several"),
    },
    "action": {
        **{name: (name,) for name in ("standing", "walking", "sitting", "running", "jumping", "waving")},
        "lying": ("lying", "laying", "resting"),
    },
    "place": {
        "left": ("on the left", "left", "to the left"),
        "middle": ("in the middle", "middle", "in the center"),
        "right": ("on the right", "right", "to the right"),
        "back": ("in the background", "in the back", "background"),
        "front": ("in the foreground", "in the front", "front"),
    },
    "weather": {
        "clear": ("sunny", "clear"),
        "cloudy": ("cloudy", "overcast"),
        "rainy": ("rainy", "raining"),
        "snowy": ("snowy", "snowing"),
    },
    "time": {"day": ("day", "daytime", "during the day"), "night": ("night", "nighttime", "dark")},
    "setting": {
        "park": ("in a park", "park", "a park"),
        "beach": ("on a beach", "beach", "at the beach"),
        "street": ("on a street", "street", "in the city"),
        "snow": ("in the snow", "snow"),
        "room": ("in a room", "inside", "indoors", "at home"),
    },
    "size": {"small": ("small", "little"), "big": ("big", "large")},
    "age": {"child": ("a child", "about 8 years old", "young"), "adult": ("an adult", "in the 30s", "about 30")},
}
_SMALL = frozenset(("a", "an", "the", "on", "in", "at", "to", "about", "during", "old", "years"))

VALUES: dict[str, dict[str, str]] = {
    sort: {
        word: value
        for value, sayings in said.items()
        for saying in sayings
        for word in saying.split()
        if word not in _SMALL
    }
    for sort, said in SAYINGS.items()
}
"""Sort of value -> a word as people say it -> the value."""
VALUES["setting"] |= {"city": "street", "road": "street", "house": "room", "home": "room", "snowy": "snow"}
VALUES["weather"] |= {"rain": "rainy", "sun": "clear", "clouds": "cloudy"}
VALUES["time"] |= {"daylight": "day", "dark": "night", "evening": "night"}
VALUES["action"] |= {"stands": "standing", "sits": "sitting", "walks": "walking", "runs": "running", "waves": "waving"}
VALUES["action"] |= {"sleeping": "lying", "still": "standing", "seated": "sitting"}
VALUES["size"] |= {"tall": "big", "huge": "big", "tiny": "small", "short": "small"}
VALUES["place"] |= {"center": "middle", "foreground": "front", "behind": "back"}
VALUES["age"] |= {"kid": "child", "8": "child", "10": "child", "20s": "adult", "old": "adult", "man": "adult"}
VALUES["age"] |= {"woman": "adult", "boy": "child", "girl": "child"}
WEAR: dict[str, str] = {
    **{word: word for word in ("shirt", "pants", "shorts", "skirt", "hat", "glasses", "hair")},
    **{"top": "shirt", "trousers": "pants", "jeans": "pants", "dress": "skirt", "cap": "hat", "eyeglasses": "glasses"},
    **{"sunglasses": "glasses", "sweater": "shirt", "jacket": "shirt", "tshirt": "shirt"},
}
"""What a person wears, as people say it -> attribute of a thing, or kind of its `bottom`."""

PRONOUNS = {"he": "he", "she": "she", "it": "it", "they": "they", "him": "he", "them": "they"}
POSSESSIVES = {"his": "he", "her": "she", "its": "it", "their": "they"}

_CONTRACTED = {"what's": "what is", "where's": "where is", "he's": "he is", "she's": "she is", "it's": "it is"} | {
    **{"there's": "there is", "isn't": "is not", "aren't": "are not", "they're": "they are", "who's": "who is"}
}
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
LONGEST = 240
"""Characters of a text that are read; what follows cannot be part of a question that means something."""


def words(text: str) -> list[str]:
    """The words of a text in lower case, contractions spelled out; of at most `LONGEST` characters of it."""
    found = _WORD.findall(text[:LONGEST].lower().replace("’", "'"))
    if any("'" in word for word in found):
        return " ".join(_CONTRACTED.get(word, word) for word in found).split()
    return found


@lru_cache(maxsize=65536)
def nouns(text: str) -> tuple[str, ...]:
    """The nouns in a text that a scene could have, in their order."""
    return tuple(NOUNS[word] for word in words(text) if NOUNS.get(word) in CATEGORIES)
