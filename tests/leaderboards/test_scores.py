from __future__ import annotations

from agents.ilql import ILQL
from agents.tokenizers import wordle_tokenizer
from leaderboards.scores import token_scores
from lmrl_envs.core import Episode, Turn

SHORT, LONG = Turn("agent", "crane", -1.0), Turn("agent", "crane" * 20, -1.0)


def test_a_game_longer_than_the_model_reads_has_no_scores_and_the_others_have_theirs():
    shape = {"n_layer": 1, "n_head": 1, "n_embd": 16, "n_positions": 64}
    agent = ILQL(ILQL.Config(model=shape, device="cpu"), wordle_tokenizer())
    games = [Episode(None, None, (turn,), True, False, {}) for turn in (LONG, SHORT)]
    long, short = token_scores(agent, games)
    assert long == []
    assert short[0]["text"] == [*"crane", ""]
    assert token_scores(agent, games[:1]) == []
    assert token_scores(None, games) == []
