"""Word lists: the bundled ones by name, anybody's by path or as a sequence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from lmrl_envs.errors import unknown_name

WORD_LENGTH = 5
_FOLDER = Path(__file__).parent / "words"
_ALIASES = {"common": "common-2315"}
WordList = str | Path | Sequence[str]


def bundled_lists() -> list[str]:
    """Names that `load_words` knows."""
    return sorted([*_ALIASES, *(path.stem for path in _FOLDER.glob("*.txt"))])


def is_word(text: str) -> bool:
    """Whether a string is five letters a-z."""
    return len(text) == WORD_LENGTH and text.isascii() and text.isalpha() and text.islower()


def load_words(words: WordList) -> tuple[str, ...]:
    """Reads a word list: a bundled name, a path to a file with one word a line, or a sequence of words.

    Upper case is lowered and empty lines are skipped; the order is kept.

    Raises:
        ValueError: a word is not five letters a-z or comes twice, the list is empty, or a string is neither a bundled
            name nor a file. The message names the file and the line.
        TypeError: `words` is none of the three.
    """
    if isinstance(words, str | Path):
        return _load_file(str(words))
    if not isinstance(words, Iterable):
        raise TypeError(f"expected a word list's name, a path or a sequence of words, got {words!r}")
    return _checked(enumerate(words, start=1), source="the given words", place="item")


@cache
def _bundled(name: str) -> tuple[str, ...]:
    return _read(_FOLDER / f"{name}.txt")


def _load_file(name: str) -> tuple[str, ...]:
    resolved = _ALIASES.get(name, name)
    if (_FOLDER / f"{resolved}.txt").is_file() and Path(resolved).name == resolved:
        return _bundled(resolved)
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"{unknown_name('word list', name, bundled_lists())}, and no file has that path")
    return _read(path)


def _read(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8 ({error})") from None
    numbered = ((number, line.strip()) for number, line in enumerate(lines, start=1))
    return _checked(((number, word) for number, word in numbered if word), source=str(path), place="line")


def _checked(numbered: Iterable[tuple[int, str]], *, source: str, place: str) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    for number, word in numbered:
        lowered = word.lower() if isinstance(word, str) and word.isascii() else word
        if not isinstance(word, str) or not is_word(lowered):
            raise ValueError(f"{source}, {place} {number}: expected five letters a-z, got {word!r}")
        if lowered in seen:
            raise ValueError(f"{source}, {place} {number}: {lowered!r} is there already, at {place} {seen[lowered]}")
        seen[lowered] = number
    if not seen:
        raise ValueError(f"{source}: holds no word")
    return tuple(seen)
