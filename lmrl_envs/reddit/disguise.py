"""Masked spelling of rude words: how people write it (`m0ron`, `a**hole`, `i d i o t`), and how to read it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

from lmrl_envs.reddit.grammar import Writer, lexicon

MILD, SEVERE = 1, 2
_LEET = {"a": "4@", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7", "l": "1", "g": "9", "b": "8"}
_READS = {mask: f"[{mask}{''.join(letter for letter in _LEET if mask in _LEET[letter])}]" for mask in "4@31!05$798"}
_WILD = "*#%"
_SPACED = re.compile(r"(?<![^\W_])[^\W_]([ .\-_])[^\W_](?:\1[^\W_])+(?![^\W_]|')")
_SUSPECT = re.compile(  # a fast look: most texts have nothing to read
    r"[a-z][*#%@$0-9]|[*#%@$0-9][a-z]|![a-z0-9]|([a-z])\1\1|\b[a-z]([ .\-_])[a-z]\2[a-z]\b"
)
_RUN = re.compile(r"([a-z])\1{2,}")
_SWEARS = {"fuck": SEVERE, "fucking": MILD, "shit": MILD, "hell": MILD, "damn": MILD, "crap": MILD, "ass": MILD}
_EXTRA = {"dumbest": MILD, "stupidest": MILD, "laziest": MILD, "worst": MILD, "garbage": MILD, "trash": MILD}


@cache
def rude_terms() -> Mapping[str, int]:
    """What a person can be called, words and groups of words, with its severity."""
    severities = {"insult": MILD, "dumb": MILD, "foul": SEVERE, "vile": SEVERE}
    return {"".join(map(str, phrase)): severity
            for name, severity in severities.items() for phrase, _ in lexicon()[name].all_of} | _EXTRA  # fmt: skip


@cache
def rude_words() -> frozenset[str]:
    """The single words of rude terms, and swear words: what people mask."""
    small = {"of", "the", "it", "all", "in", "a", "space", "bag", "piece", "waste", "know", "show", "off", "con", "man"}
    return frozenset({word for term in rude_terms() for word in term.split()} - small | _SWEARS.keys())


def mask(text: str, writer: Writer) -> str:
    """Writes one rude word of a text in disguise; a text without any is left as it is."""
    words = text.split(" ")
    places = [place for place, word in enumerate(words) if word.strip(".,!?") in rude_words() and len(word) > 3]
    if not places:
        return text
    place = writer.pick(places)
    bare = words[place].strip(".,!?")
    words[place] = words[place].replace(bare, writer.pick(_STYLES)(bare, writer))
    return " ".join(words)


@lru_cache(maxsize=256)  # what reads a text reads it more than once
def unmask(text: str) -> str:
    """Lower-cases a text and reads its masked words, where they can be read as rude ones."""
    text = text.lower()
    if not _SUSPECT.search(text):
        return text
    if _SPACED.search(text):
        text = _SPACED.sub(_joined, text)
    return " ".join([_read(word) for word in text.split()])


def _starred(word: str, writer: Writer) -> str:
    """`m*ron`, `mor*n`: one inner letter."""
    place = 1 + int(writer.draw() * (len(word) - 2))
    return f"{word[:place]}*{word[place + 1 :]}"


def _blanked(word: str, writer: Writer) -> str:
    """`m***n`: all inner letters."""
    return word[0] + writer.pick("**#") * (len(word) - 2) + word[-1]


def _leet(word: str, writer: Writer) -> str:
    """`m0ron`: a letter or more by look-alikes; stars where the word has none."""
    places = [place for place, letter in enumerate(word) if letter in _LEET]
    if not places:
        return _starred(word, writer)
    chosen = {writer.pick(places), writer.pick(places)}
    return "".join([writer.pick(_LEET[c]) if place in chosen else c for place, c in enumerate(word)])


def _apart(word: str, writer: Writer) -> str:
    """`i d i o t`, `i.d.i.o.t`."""
    return writer.pick(" .-").join(word)


def _stretched(word: str, writer: Writer) -> str:
    """`moooron`: a vowel at length."""
    places = [place for place, letter in enumerate(word) if letter in "aeiou"] or [1]
    place = writer.pick(places)
    return word[:place] + word[place] * (3 + int(writer.draw() * 3)) + word[place + 1 :]


_STYLES = (_starred, _blanked, _leet, _leet, _apart, _stretched)


def _joined(match: re.Match[str]) -> str:
    """Single letters as a rude word; what stands before it may be a word of its own, as in `a c l o w n`."""
    letters = match[0].split(match[1])
    for start in range(len(letters) - 2):
        if (word := "".join(letters[start:])) in rude_words():
            return " ".join([*letters[:start], word])
    return match[0]


@cache
def _by_length() -> Mapping[int, Sequence[str]]:
    """Rude words by length. `p***y` may be several: what a person can be called comes first, parts of terms last."""
    names = {"".join(map(str, phrase)) for name in ("insult", "foul") for phrase, _ in lexicon()[name].all_of}
    table: dict[int, list[str]] = {}
    for word in sorted(rude_words(), key=lambda word: (word not in names, word not in rude_terms(), word)):
        table.setdefault(len(word), []).append(word)
    return table


def _read(word: str) -> str:
    """A word as the rude one that it stands for, itself where it stands for none; punctuation at its ends is kept."""
    if word.isalpha() and not _RUN.search(word):
        return word
    bare = word.strip(".,;:?\"()[]'").rstrip("!")
    if not bare or not any(map(str.isalpha, bare)):
        return word
    for run in (r"\1", r"\1\1"):
        if (found := _RUN.sub(run, bare)) in rude_words():
            return word.replace(bare, found)
    if any(letter in _READS or letter in _WILD for letter in bare):
        pattern = re.compile("".join(map(_class, bare)))
        for known in _by_length().get(len(bare), ()):
            if pattern.fullmatch(known):
                return word.replace(bare, known)
    return word


def _class(letter: str) -> str:
    return "[a-z]" if letter in _WILD else _READS.get(letter, re.escape(letter))
