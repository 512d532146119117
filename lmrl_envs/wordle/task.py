"""The game: a hidden word, guesses, and coloured letters as answers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from lmrl_envs.core import Reply, TextTask, Turn
from lmrl_envs.errors import unknown_name
from lmrl_envs.wordle import rendering
from lmrl_envs.wordle.rules import (
    DUPLICATES,
    INVALID,
    PATTERN_CODES,
    WIN,
    Duplicates,
    encode_words,
    feedback,
    pattern_codes,
)
from lmrl_envs.wordle.words import WordList, is_word, load_words


class WordleState(NamedTuple):
    """`answer` is an index into `WordleTask.answers`; `guesses` counts those made, invalid ones included."""

    answer: int
    guesses: int = 0


class WordleTask(TextTask[WordleState]):
    """Wordle: find a hidden five-letter word from coloured hints.

    ## Description
    A word is drawn uniformly from a list. The agent names words; the environment colours their letters. The game ends
    when the word is found, or lost after `max_guesses` guesses.

    ## Action Space
    Text: a guess of five letters a-z, such as `crane`. Case and surrounding space do not matter. Anything else (another
    length, other characters, a word outside the list `guesses`) is invalid: it costs a guess and tells nothing.

    ## Observation Space
    Text: guesses and answers so far, one a line. The answer to a guess has one letter for each of its letters: `g`,
    right letter and place; `y`, the word has it elsewhere; `b`, the word has it not, or not so often. The answer to an
    invalid guess is `invalid`.

    ## Starting State
    The empty text. `reset(options={"answer": word})` chooses the hidden word.

    ## Rewards
    -1 for each guess that is not the hidden word, 0 for the one that is: the return is 0 for a word found at once, -5
    for one found at the sixth guess and -6 for a lost game.

    ## Episode End
    Terminated when the word is found or `max_guesses` guesses are used up. Never truncated.

    ## Information
    - `success`: whether the word is found.
    - `valid`: whether the last guess was valid; None before the first.
    - `answer`: the hidden word; None until the game is over.

    ## Arguments
    - `words="common"`: the list that the hidden word is drawn from: a bundled name (`common-2315`, which `common` is
      short for, `common-236`, `common-40`), a path to a file with one word a line, or a sequence of words.
    - `guesses="any"`: which words may be guessed: `"any"` five letters, or a list as for `words` that has all of them.
    - `duplicates="official"`: how repeated letters are coloured. `"official"`: greens first, then yellows from left to
      right while unmatched copies remain, so that `geese` against `elder` is `byybb`. `"paper"`: each letter by itself,
      `byyby`, as the code of the ILQL paper did.
    - `max_guesses=6`: guesses in a game, at least 1.

    ## References
    Josh Wardle's game (2021), as a task for language models in Snell et al., "Offline RL for Natural Language
    Generation with Implicit Language Q Learning", https://arxiv.org/abs/2206.11871.

    ## Version History
    - v0: first version.
    """

    max_action_chars = 64
    render_modes: ClassVar[tuple[str, ...]] = ("ansi", "rgb_array")

    answers: tuple[str, ...]
    """Words that can be hidden."""
    guesses: tuple[str, ...] | None
    """Words that can be guessed; None: any five letters."""

    def __init__(
        self,
        words: WordList = "common",
        guesses: Literal["any"] | WordList = "any",
        duplicates: Duplicates = "official",
        max_guesses: int = 6,
    ) -> None:
        """Reads the lists.

        Raises:
            ValueError: a list cannot be read or is not a list of words, `guesses` lacks one of `words`, `duplicates` is
                unknown, or `max_guesses` is not a whole number of at least 1.
        """
        if duplicates not in DUPLICATES:
            raise unknown_name("duplicates", duplicates, DUPLICATES)
        if not isinstance(max_guesses, int) or isinstance(max_guesses, bool) or max_guesses < 1:
            raise ValueError(f"max_guesses must be a whole number of at least 1, got {max_guesses!r}")
        self.answers = load_words(words)
        self.guesses = None if isinstance(guesses, str) and guesses == "any" else load_words(guesses)
        self.duplicates = duplicates
        self.max_guesses = self.max_turns = max_guesses
        self._index = {word: index for index, word in enumerate(self.answers)}
        self._legal = None if self.guesses is None else frozenset(self.guesses)
        if self._legal is not None and not self._legal.issuperset(self.answers):
            missing = next(word for word in self.answers if word not in self._legal)
            raise ValueError(f"the list of guesses must have every word of the answers, and lacks {missing!r}")
        self.instructions = (
            f"Find the hidden five-letter word in at most {max_guesses} guesses. Answer with one word of five letters "
            "a-z and nothing else. You are then told one letter for each letter of your word: g if it is right, y if "
            "the hidden word has it in another place, b if the hidden word does not have it (or not as often). "
            f"'{INVALID}' means that your answer was not a word; it still counts as a guess."
        )

    def start(
        self, rngs: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> list[Reply[WordleState]]:
        """Draws a hidden word for each generator, or hides `options["answer"]`."""
        answer = self._chosen(options or {})
        drawn = [int(rng.integers(len(self.answers))) if answer is None else answer for rng in rngs]
        return [Reply(WordleState(i), None, {"success": False, "valid": None, "answer": None}) for i in drawn]

    def reply(self, states: Sequence[WordleState], actions: Sequence[str]) -> list[Reply[WordleState]]:
        """Colours one guess a row."""
        replies = []
        for (index, guesses), action in zip(states, actions, strict=True):
            guess, answer = _guess(action), self.answers[index]
            valid = is_word(guess) if self._legal is None else guess in self._legal
            text = feedback(guess, answer, self.duplicates) if valid else INVALID
            success = text == WIN
            over = success or guesses + 1 >= self.max_guesses
            info = {"success": success, "valid": valid, "answer": answer if over else None}
            replies.append(Reply(WordleState(index, guesses + 1), text, info, 0.0 if success else -1.0, over))
        return replies

    def render(self, state: WordleState, turns: Sequence[Turn], mode: str) -> str | np.ndarray:
        """Draws the board: colours in a terminal (`"ansi"`), or an image (height, width, 3) uint8 (`"rgb_array"`)."""
        draw = rendering.ansi_board if mode == "ansi" else rendering.rgb_board
        return draw([(_guess(action), said) for action, said in _answered(turns)], self.max_guesses)

    def all_starts(self) -> list[Mapping[str, Any]]:
        """One start for each answer."""
        return [{"answer": word} for word in self.answers]

    def candidates(self, turns: Sequence[Turn]) -> list[str]:
        """The answers that agree with all that was said, in the order of the list."""
        possible = np.ones(len(self.answers), np.bool_)
        for action, said in _answered(turns):
            if said != INVALID:
                codes = pattern_codes(encode_words([_guess(action)]), encode_words(self.answers), self.duplicates)
                possible &= codes[0] == PATTERN_CODES[said]
        return [self.answers[index] for index in np.flatnonzero(possible)]

    def _chosen(self, options: Mapping[str, Any]) -> int | None:
        for name in options:
            if name != "answer":
                raise unknown_name("reset option", name, ["answer"])
        if "answer" not in options:
            return None
        word = options["answer"]
        index = self._index.get(_guess(word) if isinstance(word, str) else "")
        if index is None:
            raise unknown_name("answer", word, self.answers)
        return index


def _guess(action: str) -> str:
    """The word that an action names. Not lowered where lowering could make a letter a-z of another."""
    return action.strip().lower() if action.isascii() else action


def _answered(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    """Each action with what the environment said to it."""
    return [(one.text, other.text) for one, other in itertools.pairwise(turns) if one.role == "agent"]
