"""The errors of the library, and the one way to say that a name is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LISTED = 20  # known names in a message; a word list has thousands


class LmrlError(Exception):
    """Base of the errors that only this library raises."""


class PolicyError(LmrlError):
    """A policy returned something other than one text for each history."""


class DatasetError(LmrlError):
    """A dataset's file is cut short, edited, or cannot be read or written."""


class UnfitDataError(ValueError, LmrlError):
    """Data that an algorithm cannot learn from; the message names both and says what to do."""


class CheckpointError(LmrlError):
    """A checkpoint's folder is cut short, edited, or of another kind."""


class UnknownNameError(ValueError, LmrlError):
    """A name that is not registered; the message lists close matches."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Makes the error for a name that is not among `known`, with the closest ones named first.

    >>> str(unknown_name("word list", "comon", ["common", "common-40"]))
    "unknown word list 'comon'; did you mean 'common' or 'common-40'? Known: 'common', 'common-40'"
    """
    names = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    guess = f"; did you mean {' or '.join(map(repr, close))}?" if close else "."
    listed = ", ".join(map(repr, names[:_LISTED])) or "none"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return UnknownNameError(f"unknown {kind} {name!r:.80}{guess} Known: {listed}{more}")
