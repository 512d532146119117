"""Words as a small network reads them: each one a bag of hashed features.

A word is its spelling, the pieces of its spelling, its shape and whether it is masked, so that a word never met before
(`numbskullery`, `m0r0n`, any script at all) still looks like those that it is made of. Nothing here can fail: text is
whatever somebody typed.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from functools import lru_cache

MAX_WORD = 24
"""Letters of a word that are looked at; a longer word is as if it ended there."""

_CORE = re.compile(r"[^\W_](?:[\w*@$#'’-]|!(?=\w)|\.(?=\w))*|[*@$#]+\w[\w*@$#]*|[^\w\s]+|_+")
_SPELT_OUT = re.compile(r"(?:\w[.\-_*]){2,}\w")
_STRESSED = re.compile(r"\*+[^\W\d_]+\*+")
_RUN = re.compile(r"(.)\1{2,}", re.DOTALL)
_PIECES = re.compile(r"[.\-]+")
_MASKS = str.maketrans("013457@$!’", "oieastasi'")
_PIECE_LENGTHS = (3, 4)


def plain(text: str) -> str:
    """Text without disguise: compatibility forms folded (NFKC), invisible and control characters gone.

    Lone surrogates become U+FFFD, white space of any kind a space.
    """
    if text.isascii() and text.isprintable():
        return text
    folded = unicodedata.normalize("NFKC", text)
    return "".join([_visible(character) for character in folded])


@lru_cache(maxsize=4096)
def _visible(character: str) -> str:
    if character.isspace():
        return " "
    match unicodedata.category(character):
        case "Cs":
            return "\ufffd"
        case "Cc" | "Cf" | "Mn":
            return ""
    return character


def split_words(text: str) -> list[str]:
    """The words of a text in order, a run of punctuation being one.

    Marks that hide a letter (`a**hole`, `m0ron`, `$tupid`) stay in their word, and a word spelt out with dots or
    hyphens (`i.d.i.o.t`) is put together.

    >>> split_words("Nice work, m0ron!!")
    ['Nice', 'work', ',', 'm0ron', '!!']
    """
    words: list[str] = []
    for word in _CORE.findall(plain(text)):
        if word.isalpha():
            words.append(word)
        elif _STRESSED.fullmatch(word):
            words.append(word.strip("*"))
        elif _SPELT_OUT.fullmatch(word):
            words.append(re.sub(r"[.\-_*]", "", word))
        elif "." in word or "-" in word:
            words += [piece for piece in _PIECES.split(word) if piece] or [word[:3]]
        else:
            words.append(word)
    return words


@lru_cache(maxsize=1 << 17)
def word_features(word: str, buckets: int) -> tuple[int, ...]:
    """The features of a word as numbers below `buckets`, by CRC-32: the same on every machine."""
    return tuple([zlib.crc32(name.encode("utf-8", "replace")) % buckets for name in feature_names(word)])


def mark_features(buckets: int) -> list[int]:
    """The first feature of each mark that ends a clause."""
    return [word_features(mark, buckets)[0] for mark in ".!?"]


def feature_names(word: str) -> list[str]:
    """What a word is made of, in words.

    >>> feature_names("m0ron")
    ['=moron', '<mo', 'mor', 'oro', 'ron', 'on>', '<mor', 'moro', 'oron', 'ron>', 'm..n5', '*']
    """
    letters = _RUN.sub(r"\1", word.lower())[:MAX_WORD]
    if not any(map(str.isalnum, letters)):
        return [f"={letters[:3]}"]
    masked = not letters.replace("'", "").replace("’", "").isalpha() and not letters.isdecimal()
    letters = letters.translate(_MASKS) if masked else letters.replace("’", "'")
    names = [f"={letters}"]
    if len(letters) > 2:
        framed = f"<{letters}>"
        names += [framed[i : i + n] for n in _PIECE_LENGTHS for i in range(len(framed) - n + 1)]
        names.append(f"{letters[0]}..{letters[-1]}{len(letters)}")
    if masked:
        names.append("*")
    if len(word) > 2 and word.isupper():
        names.append("!CAPITALS")
    return names


@lru_cache(maxsize=1 << 17)
def pair_feature(one: str, other: str, buckets: int) -> int:
    """The feature of a word after another one."""
    return zlib.crc32(f"{one} {other}".lower().encode("utf-8", "replace")) % buckets
