from __future__ import annotations

import io

import pytest

from lmrl_envs.core import Turn
from lmrl_envs.evaluate import rollout
from lmrl_envs.human import HumanPolicy


def test_each_history_is_shown_and_a_line_read():
    shown = []
    policy = HumanPolicy(io.StringIO("crane\r\n  moist \n\n"), shown.append)
    first, second = (Turn("env", "hi"),), (Turn("agent", "crane", -1.0), Turn("env", "bgyyb"))
    assert policy.act([first, second]) == ["crane", "  moist "]
    assert policy.act([()]) == [""]
    assert shown == [first, second, ()]
    with pytest.raises(EOFError, match="the person's lines have come to their end"):
        policy.act([()])


def test_it_plays_by_the_evaluator_and_shows_transcripts(capsys):
    lines = io.StringIO("crane\nmoist\nmoist\n")
    (episode,) = rollout(HumanPolicy(lines), "Wordle-v0", episodes=1, env_kwargs={"words": ["moist"]})
    assert [turn.text for turn in episode.turns[::2]] == ["crane", "moist"]
    assert capsys.readouterr().out == "\n> crane\nbbbbb\n> "
