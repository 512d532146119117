"""Rows of chat models: `--chat` through a real endpoint, and what failed episodes do to a row."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from leaderboards import run, suites
from leaderboards.rows import Row, Run
from leaderboards.suites import Evaluation, Player, Suite, Task
from leaderboards.tables import read
from lmrl_envs.evaluate import evaluate
from lmrl_envs.policies import ScriptedPolicy
from lmrl_envs.registration import make_task

KEY = "sk-a-key-that-nobody-may-see"
WORDS = {"words": "common-40"}
SUITE = Suite(
    name="chats",
    summary="For tests.",
    tasks=(Task("wordle", "Wordle-v0", WORDS, "wordle/human-v0", {**WORDS, "games": 300}),),
    training={},
    tokens=1,
    agents=(),
    references=(Player("random", "leaderboards.players:random_word"),),
    seeds=(0,),
    evaluation=Evaluation(episodes="all"),
)


class Handler(BaseHTTPRequestHandler):
    """Says the list's first six words, and refuses to go on where the first has no letter in its place."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.add(self.headers["Authorization"])
        said = [message["content"] for message in body["messages"]]
        turn = len(said) // 2 - 1
        broken = turn == 1 and "g" not in said[-1]
        words = make_task("Wordle-v0", **WORDS).answers
        reply = {"choices": [{"message": {"content": f"<answer>{words[turn]}</answer>"}}]}
        data = b"too long" if broken else json.dumps(reply).encode()
        self.send_response(400 if broken else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


class Endpoint(ThreadingHTTPServer):
    request_queue_size = 128


@pytest.fixture
def endpoint():
    with Endpoint(("127.0.0.1", 0), Handler) as server:
        server.keys = set()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_a_chat_model_gets_its_row(endpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(suites.SUITES, "chats", SUITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    url = f"http://127.0.0.1:{endpoint.server_port}/v1"
    command = ["--suite", "chats", "--chat", "gpt", "--chat-url", url, "--results", str(tmp_path / "results")]
    done = CliRunner().invoke(run.app, command)
    assert done.exit_code == 0, done.output
    assert endpoint.keys == {f"Bearer {KEY}"}

    (table,) = read(tmp_path / "runs")
    row = {row.name: row for row in table.rows}["chat gpt"]
    words = make_task("Wordle-v0", **WORDS).answers
    task = make_task("Wordle-v0", **WORDS)
    failed = [start for start in task.all_starts() if "g" not in first_colours(task, start, words[0])]
    assert 0 < len(failed) < 39
    assert [error.split(": ", 1)[1].split(" ")[0] for error in row.first.errors] == ["ChatError:"] * len(failed)
    assert row.episodes == 40 - len(failed)
    assert row.run["command"] == f"python -m leaderboards.run --suite chats --chat gpt --chat-url {url}"
    assert row.first.decoding == {"base_url": url, "model": "gpt", "parse": "answer"}
    assert all(KEY not in file.read_text() for file in tmp_path.rglob("*") if file.is_file())
    assert "finished before" in CliRunner().invoke(run.app, command).output


def first_colours(task, start, guess):
    (opened,) = task.start([None], start)
    return task.reply([opened.state], [guess])[0].text


def test_a_model_that_never_answers_is_a_broken_row(endpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(suites.SUITES, "chats", SUITE)
    monkeypatch.chdir(tmp_path)
    url = f"http://127.0.0.1:{endpoint.server_port}/v1"
    monkeypatch.setattr(Handler, "do_POST", lambda self: self.send_error(401))
    done = CliRunner().invoke(run.app, ["--suite", "chats", "--chat", "gpt", "--chat-url", url])
    assert done.exit_code == 1
    assert "it refuses the key (401 Unauthorized); check the key in the environment variable" in done.output


def test_differences_are_over_starts_that_both_finished():
    class Fails(ScriptedPolicy):
        """Gives up where its first guess is told nothing."""

        def act(self, histories):
            texts = super().act(histories)
            return [
                ValueError("no") if len(turns) == 2 and turns[1].text == "bbbbb" else text
                for turns, text in zip(histories, texts, strict=True)
            ]

    words = ("crane", "moist", "vivid", "blimp")

    def played(policy, repeats):
        result = evaluate(
            policy, "Wordle-v0", env_kwargs={"words": words}, episodes="all", repeats=repeats, on_error="record",
            progress=False,
        )  # fmt: skip
        return Run({"agent": "a", "seed": 0, "kind": "player", "reference": False}, {}, {"greedy": result})

    # The first guess, crane, is told nothing against the three other words.
    base, row = played(ScriptedPolicy("vivid"), 1), played(Fails(["crane", "moist"]), 2)
    assert Counter(error.split(": ", 1)[1] for error in row.results["greedy"].errors) == {"ValueError: no": 6}
    assert row.results["greedy"].returns == (0.0, 0.0)
    other = dataclasses.replace(row, results={"greedy": played(Fails(["moist", "vivid"]), 2).results["greedy"]})
    # moist is told nothing against crane alone. moist, vivid, blimp: 0, -1, -6 each time, and -6, 0, -6 for the base.
    gain = Row([other], "greedy", base).gain
    assert gain.value == pytest.approx(((0 + 6) + (-1 - 0) + (-6 + 6)) / 3)
