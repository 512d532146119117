"""What pronouns stand for as a dialogue goes on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from lmrl_envs.visual_dialogue.lexicon import nouns, words

History = Sequence[tuple[str, str]]
"""Questions with their answers, oldest first."""
PRONOUN_FORMS = {"he": ("him", "his", "himself"), "she": ("her", "her", "herself"), "it": ("it", "its", "itself")}
"""Pronoun -> its forms as object, possessive and reflexive."""


class Focus(NamedTuple):
    """What pronouns stand for after a caption and a dialogue, and the nouns that were spoken of."""

    he: str = ""
    she: str = ""
    it: str = ""
    they: str = ""
    mentioned: frozenset[str] = frozenset()

    def after(self, text: str) -> Focus:
        """The focus once a text was heard: a pronoun stands for the noun that was named last."""
        focus = self
        for noun in nouns(text):
            focus = focus._named(noun)
        return focus

    def answered(self, question: str, answer: str) -> Focus:
        """The focus after a question and its answer; what the answer denies is not spoken of."""
        return self if denies(answer) else self.after(question).after(answer)

    def referent(self, pronoun: str) -> str:
        """The noun that a pronoun stands for, "" where there is none."""
        if pronoun in ("he", "she"):
            return (self.he if pronoun == "he" else self.she) or self.they or ("man" if pronoun == "he" else "woman")
        return self.it if pronoun == "it" else self.they or self.he or self.she or self.it

    def pronoun(self, noun: str) -> str:
        """The pronoun that stands for a noun now, "" where there is none."""
        return next((pronoun for pronoun in ("he", "she", "it") if noun and getattr(self, pronoun) == noun), "")

    def _named(self, noun: str) -> Focus:
        sex = {"man": "he", "boy": "he", "woman": "she", "girl": "she"}.get(noun)
        changed = {sex: noun} if sex else {"they": noun} if noun in ("person", "adult", "child") else {"it": noun}
        return self._replace(**changed, mentioned=self.mentioned | {noun})


@lru_cache(maxsize=65536)
def denies(answer: str) -> bool:
    """Whether an answer says no, that it sees none, or that it cannot tell."""
    said = words(answer)
    if not said or said[0] in ("no", "nope", "not", "none", "nothing", "can't", "cannot"):
        return True
    return said[:3] == ["there", "is", "no"] or (said[0] == "i" and said[1:2] in (["don't"], ["can't"], ["cannot"]))


def focus_after(caption: str, history: History) -> Focus:
    """The focus after a caption and a dialogue."""
    focus = Focus()
    for noun in reversed(nouns(caption)):  # the first noun of a caption is its subject
        focus = focus._named(noun)
    for question, answer in history:
        focus = focus.answered(question, answer)
    return focus
