"""Simulated people: questioners of mixed skill who never see the picture, and answerers who do."""

from __future__ import annotations

import numpy as np

from lmrl_envs.errors import unknown_name
from lmrl_envs.visual_dialogue.answers import CONFUSED, say, true_claim, understand
from lmrl_envs.visual_dialogue.focus import History
from lmrl_envs.visual_dialogue.language import HELD_OUT, PHRASINGS, Meaning, fits, parse, resolve, wording
from lmrl_envs.visual_dialogue.lexicon import ABSENT, CATEGORIES
from lmrl_envs.visual_dialogue.personas import CROWD, PERSONAS, TOPICS, Draw, Persona, Talk, one_of
from lmrl_envs.visual_dialogue.scenes import Scene, caption
from lmrl_envs.visual_dialogue.truth import draw, is_true

PRONOUN, TYPO, UNSEEN = 0.85, 0.015, 0.5
"""Chances of a pronoun where one can stand, of a slip of the pen, and in the part `test` of a held-out phrasing."""


def ask(
    rng: np.random.Generator, persona: str, scene_caption: str, history: History = (), *, unseen: bool = False
) -> str:
    """The next question of a questioner, who sees caption and dialogue alone.

    `unseen=True` lets phrasings in that people use in the part `test` alone.

    Raises:
        UnknownNameError: there is no such persona.
    """
    talk = Talk(_persona(persona), scene_caption)
    for at, (question, answer) in enumerate(history):
        talk.heard(parse(question, scene_caption, history[:at]), question, answer)
    return _question(rng.random, talk, unseen)[1]


def answer(rng: np.random.Generator, scene: Scene, question: str, history: History = ()) -> str:
    """What a person who sees the picture answers; sometimes wrong, sometimes unsure."""
    return _answer(rng.random, scene, parse(question, caption(scene), history))


def dialogue(
    rng: np.random.Generator,
    scene: Scene,
    rounds: int = 10,
    *,
    persona: str | None = None,
    scene_caption: str | None = None,
    unseen: bool = False,
    gibberish: float = 0.0,
) -> list[tuple[str, str]]:
    """Questions and answers of two people about a scene.

    Args:
        rng: Draws by `random` alone.
        scene: What the answerer sees.
        rounds: Questions.
        persona: Name of the questioner; None draws one from `CROWD`.
        scene_caption: What the questioner knows; None: the scene's caption.
        unseen: Lets held-out phrasings in, as in the part `test`.
        gibberish: Chance that a question is none, for the training of answerers.

    Raises:
        UnknownNameError: there is no such persona.
    """
    uniform = rng.random
    talk = Talk(_persona(persona or CROWD.pick(uniform())), scene_caption or caption(scene))
    history: list[tuple[str, str]] = []
    for _ in range(rounds):
        if gibberish and uniform() < gibberish:
            meaning, question = None, nonsense(rng)
        else:
            meaning, question = _question(uniform, talk, unseen)
        reply = _answer(uniform, scene, meaning)
        talk.heard(meaning, question, reply)
        history.append((question, reply))
    return history


def true_answer(scene: Scene, question: str, history: History = ()) -> str | None:
    """The right answer to a question; None where the question means nothing in this world."""
    meaning = parse(question, caption(scene), history)
    return None if meaning is None else say(0.0, meaning, true_claim(meaning, scene))


def accepts(scene: Scene, question: str, answer: str, history: History = ()) -> bool | None:
    """Whether a text is a right answer, what it volunteers included; None where the question means nothing."""
    meaning = parse(question, caption(scene), history)
    if meaning is None:
        return None
    claim = understand(meaning, answer)
    return claim is not None and is_true(claim, meaning, scene)


def nonsense(rng: np.random.Generator) -> str:
    """A text that is no question: known words in no order, or letters."""
    while True:
        number = 1 + int(rng.random() * 6)
        if rng.random() < 0.7:
            text = " ".join(_SALAD[int(rng.random() * len(_SALAD))] for _ in range(number))
        else:
            text = " ".join(
                "".join("abcdefghijklmnopqrstuvwxyz"[int(rng.random() * 26)] for _ in range(2 + int(rng.random() * 7)))
                for _ in range(number)
            )
        if parse(text, "a man and a woman and a dog") is None:
            return text


def _persona(name: str) -> Persona:
    if name not in PERSONAS:
        raise unknown_name("persona", name, PERSONAS)
    return PERSONAS[name]


def _answer(uniform: Draw, scene: Scene, meaning: Meaning | None) -> str:
    if meaning is None:
        return CONFUSED[int(uniform() * len(CONFUSED))]
    claim = draw((uniform(), uniform(), uniform(), uniform()), meaning, scene)
    return say(uniform(), meaning, claim, uniform())


def _question(uniform: Draw, talk: Talk, unseen: bool) -> tuple[Meaning, str]:
    for _ in range(8):
        topic = talk.persona.topics.pick(uniform())
        meaning = resolve(TOPICS[topic](uniform, talk), talk.focus)
        if meaning is not None and meaning not in talk.asked:
            break
    else:
        meaning = Meaning("exist", one_of(uniform, (*ABSENT, *CATEGORIES)))
    ways = PHRASINGS[meaning.intent]
    if unseen and uniform() < UNSEEN:
        ways = HELD_OUT[meaning.intent]
    way = one_of(uniform, ways)
    pronoun = talk.focus.pronoun(meaning.noun) if uniform() < PRONOUN else ""
    text = wording(way, meaning, pronoun if fits(way, pronoun) else "")
    return meaning, _mistyped(uniform, text) if uniform() < TYPO else text


def _mistyped(uniform: Draw, text: str) -> str:
    """Leaves a letter out of a long word."""
    long = [word for word in text.split() if len(word) > 4]
    if not long:
        return text
    word = one_of(uniform, long)
    at = 1 + int(uniform() * (len(word) - 1))
    return text.replace(word, word[:at] + word[at + 1 :], 1)


_SALAD = (
    "is",
    "the",
    "what",
    "how",
    "many",
    "color",
    "dog",
    "man",
    "shirt",
    "red",
    "left",
    "of",
    "banana",
    "purple",
    "he",
)
