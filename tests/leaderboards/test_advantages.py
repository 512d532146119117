"""Tokens of any text with what a small agent thinks of them, in the terminal and on a page."""

from __future__ import annotations

import re

import pytest
import torch
import typer
from rich.console import Console
from typer.testing import CliRunner

from agents import checkpoints
from agents.batch import collate
from agents.bc import BC
from agents.ilql import ILQL, ILQLConfig
from agents.tokenizers import wordle_tokenizer
from leaderboards.advantages import lines, main, page, read, scale_of, tables, typed
from leaderboards.scores import scored_turns, token_scores
from lmrl_envs.core import Turn

NANO = {"n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 96}
HOSTILE = '<script>1</script>"\u202e[red]'


@pytest.fixture(scope="module")
def critic() -> ILQL:
    torch.set_num_threads(1)
    return ILQL(ILQLConfig(model=NANO), wordle_tokenizer(), seed=3).eval()


def test_a_transcript_alternates_between_the_two():
    assert typed("crane\nbbygb\nslate\n").turns == (
        Turn("agent", "crane"),
        Turn("env", "bbygb"),
        Turn("agent", "slate"),
    )
    assert typed("a dog\u2028\nis it big?", first="env").turns == (Turn("env", "a dog "), Turn("agent", "is it big?"))
    with pytest.raises(ValueError, match="--first agent"):
        typed("a dog", first="env")
    with pytest.raises(ValueError, match="'agent'"):
        typed("a dog", first="agnet")


def test_every_token_has_the_agents_own_numbers(critic):
    episode = typed("crane\nbbygb\nslate")
    scores = scored_turns(critic, [episode])
    q = critic.score(collate([critic.encode(episode)])).q[0]
    said = [value for turn in scores[0] for value in turn["q"]]
    assert said == pytest.approx(q[~q.isnan()].tolist(), abs=1e-4)
    shown = lines(episode, scores[0])
    assert [(line.role, len(line.tokens)) for line in shown] == [("agent", 6), ("env", 0), ("agent", 6)]
    (table,) = tables([episode], scores)
    assert table.row_count == 3 + 12
    assert [column.header for column in table.columns] == ["token", "log-prob", "Q", "V", "advantage"]
    advantages = sorted(abs(value) for turn in scores[0] for value in turn["advantage"])
    assert advantages[-3] <= scale_of(scores) <= advantages[-1]


def test_any_text_is_shown_and_never_run(critic):
    episode = typed(f"{HOSTILE}\n{HOSTILE}\n")
    scores = scored_turns(critic, [episode])
    html = page([episode], scores, "<b>me</b>")
    assert "<script" not in html
    assert "<b>me" not in html
    assert "\u202e" not in html
    assert "&lt;script&gt;1&lt;/script&gt;" in html
    assert "\\ue0" not in html  # parts of a character are dots
    assert not re.search(r"<\w+ on\w+=", html)
    assert html.count('<span class="token ') == 2 * sum(len(turn["text"]) for turn in scores[0])
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(*tables([episode], scores))
    assert "[red]" in console.export_text()


def test_an_agent_without_values_shows_log_probabilities():
    torch.set_num_threads(1)
    agent = BC(BC.Config(model=NANO), wordle_tokenizer(), seed=0).eval()
    episode = typed("crane")
    assert token_scores(agent, [episode]) == []
    scores = scored_turns(agent, [episode])
    assert all(value < 0 for value in scores[0][0]["logp"])
    assert set(scores[0][0]["advantage"]) == {None}
    assert scale_of(scores) == 1.0
    assert '<td class="n">–</td>' in page([episode], scores, "bc")


def test_the_command_reads_chats_and_says_what_is_wrong(critic, tmp_path):
    checkpoints.save_agent(critic, tmp_path / "agent", trained={})
    chats = tmp_path / "chats.jsonl"
    chats.write_text('[{"role": "assistant", "content": "crane"}, {"role": "user", "content": "bbygb"}]\n' * 3)
    assert len(read(chats, games=2)) == 2
    app = typer.Typer(add_completion=False)
    app.command()(main)

    def run(*arguments: object) -> tuple[int, str]:
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        return done.exit_code, done.output

    code, said = run(tmp_path / "agent", chats, "--out", tmp_path / "page.html")
    assert code == 0, said
    assert said.count("log-prob") == 3
    assert (tmp_path / "page.html").read_text().count("<h2>") == 3
    code, said = run(tmp_path / "agent", "--text", "\n".join(["crane", "bbygb"] * 20))
    assert code == 2
    assert "longer than the 96 tokens" in said
    assert run(tmp_path / "agent")[0] == 2
    assert run(tmp_path / "nothing", "--text", "crane")[0] == 2
