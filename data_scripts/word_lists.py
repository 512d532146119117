"""Makes the bundled word lists and the notes beside them from SCOWL, the lists behind many spell checkers.

    apt-get download scowl && dpkg-deb -x scowl_2020.12.07-2_all.deb scowl
    python data_scripts/word_lists.py scowl/usr/share/dict/scowl

SCOWL sorts words into size classes from 10 (the commonest) to 95, from word frequencies and from the number of
dictionaries that hold a word. Its licence allows any use with its notice, which stands whole in NOTICE. The order of
commonness here is: size class; then how many words of the classes up to 70 start with the word (within a class, words
with derived forms are the commoner ones); then the alphabet.

- `common-2315`: the first 2,315 words in American spelling that pass the filters.
- `common-236`, `common-40`: the first 236 and 40 of one uniform permutation of it with seed 0.
- `common-guesses`: the first 13,000 words in American or British spelling; every answer is among them.

All lists are in alphabetical order. The filters, for answers: no regular plurals, third persons or past tenses (`cats`,
`tries`, `asked`). For all lists: no slurs, no vulgar words, no capitals (so no proper names and no abbreviations).
"""

from __future__ import annotations

import argparse
import hashlib
import re
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lmrl_envs.files import file_hash, write_atomic

FOLDER = Path(__file__).parents[1] / "lmrl_envs" / "wordle" / "words"
CLASSES = (10, 20, 35, 40, 50, 55, 60, 70, 80, 95)
FAMILY_CLASSES = 70
ANSWERS, GUESSES = 2315, 13_000
SAMPLES = (236, 40)

# SHA-256, first 8 digits, of the slurs and vulgar words that reading the lists showed: nobody needs to read them again.
_BLOCKED = """
    0033728f 044eb98b 05aced51 08a841e9 0c5964a0 0d5da648 0efbc3d4 0f28c496 110c6c5a 113f2f9b 11cf8376 1600725e
    1636d92c 16761b6c 17a7c60b 183936b0 186a51dd 1d78b370 219c493d 227c0106 25390976 2554d191 268651b3 28f82588
    2bd01b4f 2c32c156 2c89306d 2d4dc2cb 2da888fb 3175bf06 33b536d7 380b09d1 39b1b7b3 39c824dc 3b2afc70 3c9128d0
    3cc0a581 3e202af2 4140197e 42c2ecf3 45fb7c3b 469c0fdb 47b673e0 48f9460f 4a88ad67 4d99251b 517ae3f7 522788b6
    57af4306 580737f8 59ae856c 5c2caa98 5e9cf6db 60a2bd4c 6122fdf4 63bd9333 64e8abab 6556c1a5 67aa3901 6adc452d
    6cd1442a 73fff0ac 77ccd223 784e0884 78a00d18 7e85c676 805c0cdf 80c6b7cd 8171c4ec 82159dd0 849170b7 85580f90
    860836fa 867d7897 8c6f7be1 8dcbbb8d 92a9bf81 94a2b576 94aec9fb 94c6d2e1 96eebba4 9719474e 99e367bc 9ae315a9
    9f1c7abf a02d538d a1b28fa8 a40ccba8 a78a7c50 a7bf072c a7dfd819 ac1d2ec6 acc96930 ad64e56f ad6cacf3 b0195b41
    b04a8a40 b11aa330 b6548f7d b68ee257 ba1c464e bbf8bb78 c5116290 c68f8cf2 c7653054 caa0d526 ccdc398a d0dd4706
    d44276bd d4f68464 d5146a62 d5957ae1 d75a838d da4c1199 daec0c23 dc2abe4e dfeadece e14a747f e388b898 e3dc18bf
    e552a09f e6bd5c90 e84dde50 e8df1bca e96d8eb3 e9b64384 eb9f46c0 eea29916 ef4e7377 f0a67995 f59e28f8 f65c65f7
    f6952d6e f86e4f74 f9d0d9b1 fa1597ae fa38a8d3 fff1d7d2
"""
BLOCKED = frozenset(re.findall(r"\w+", _BLOCKED))


def read_class(scowl: Path, spellings: Sequence[str], size: int) -> set[str]:
    """The lower-case words of one size class, of any length."""
    paths = [scowl / f"{spelling}-words.{size}" for spelling in spellings]
    return {word for path in paths if path.is_file() for word in path.read_text("latin-1").split() if word.isascii()}


def by_commonness(scowl: Path, spellings: Sequence[str]) -> list[str]:
    """Five-letter words that may be shown to anybody, the commonest first."""
    size_of: dict[str, int] = {}
    for size in CLASSES:
        for word in read_class(scowl, spellings, size):
            if re.fullmatch("[a-z]{5}", word) and hashlib.sha256(word.encode()).hexdigest()[:8] not in BLOCKED:
                size_of.setdefault(word, size)
    known = sorted(dictionary(scowl, spellings))
    family = {word: bisect_left(known, word + "~") - bisect_left(known, word) for word in size_of}
    return sorted(size_of, key=lambda word: (size_of[word], -family[word], word))


def dictionary(scowl: Path, spellings: Sequence[str]) -> set[str]:
    """All words of the classes up to FAMILY_CLASSES."""
    return set().union(*(read_class(scowl, spellings, size) for size in CLASSES if size <= FAMILY_CLASSES))


def is_inflected(word: str, words: set[str]) -> bool:
    """Whether the word is a regular plural, third person or past tense of one of `words`."""
    if word.endswith(("ies", "ied")) and word[:-3] + "y" in words:
        return True
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1] in words or (word.endswith("es") and word[:-2] in words)
    return word.endswith("ed") and (word[:-1] in words or word[:-2] in words)


def make_lists(scowl: Path) -> dict[str, list[str]]:
    """The lists by name, each in alphabetical order."""
    american = ("english", "american")
    words = dictionary(scowl, american)
    common = [word for word in by_commonness(scowl, american) if not is_inflected(word, words)][:ANSWERS]
    answers = sorted(common)
    order = np.argsort(np.random.Generator(np.random.PCG64(0)).random(len(answers)))
    lists = {f"common-{size}": sorted(answers[i] for i in order[:size]) for size in SAMPLES}
    guesses = by_commonness(scowl, (*american, "british"))[:GUESSES]
    return {f"common-{ANSWERS}": answers, **lists, "common-guesses": sorted({*guesses, *answers})}


def sources(paths: Sequence[Path]) -> str:
    """The note beside the lists: where they come from, their sizes and hashes."""
    rows = [f"| `{path.name}` | {len(path.read_text().split()):,} | `{file_hash(path)}` |" for path in paths]
    return "\n".join(
        [
            "# Word lists",
            "",
            "Source: SCOWL 2020.12.07 by Kevin Atkinson, http://wordlist.aspell.net (Debian package `scowl`).",
            "Licence: SCOWL's own, which allows any use with its notice; the whole text stands in `NOTICE`.",
            "Made by `data_scripts/word_lists.py`, whose docstring states the rules. A change bumps `Wordle-v0`.",
            "",
            "| file | words | SHA-256 |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scowl", type=Path, help="SCOWL's folder of lists, with english-words.10 in it")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the lists go (default: where they are read)")
    arguments = parser.parse_args()
    if not (arguments.scowl / "english-words.10").is_file():
        parser.error(f"{arguments.scowl} holds no english-words.10; unpack Debian's package scowl and name its folder")
    paths = []
    for name, words in make_lists(arguments.scowl).items():
        paths.append(arguments.out / f"{name}.txt")
        write_atomic(paths[-1], "\n".join(words) + "\n")
    write_atomic(arguments.out / "SOURCES.md", sources(paths))


if __name__ == "__main__":
    main()
