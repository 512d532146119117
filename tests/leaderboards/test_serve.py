"""A trained agent behind the chat protocol, and ChatPolicy that plays it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest
from typer.testing import CliRunner

import agents
from agents.bc import BC
from agents.tokenizers import tokenizer_for
from agents.trainer import TrainConfig, train
from leaderboards.serve import AgentServer, app
from lmrl_envs.chat import ChatPolicy
from lmrl_envs.datasets import load_dataset
from lmrl_envs.evaluate import evaluate

KWARGS = {"words": "common-40"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    data = load_dataset("wordle/human-v0", **KWARGS, games=300)
    algorithm = BC(TrainConfig(model="tiny", steps=60, tokens_per_batch=1024, lr=3e-3), tokenizer_for(data))
    return train(algorithm, data, out=tmp_path_factory.mktemp("bc"), progress=False).checkpoint


@pytest.fixture(scope="module")
def server(checkpoint):
    with AgentServer(agents.load(checkpoint, device="cpu")) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def post(server, body, path="/v1/chat/completions"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}{path}", data)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("parse", ["answer", "boxed", "last_line", "exact"])
def test_chat_policy_plays_a_served_agent_like_the_agent_itself(server, parse):
    options = {"env_kwargs": KWARGS, "episodes": 12, "progress": False}
    mine = evaluate(server.algorithm.policy(temperature=0), "Wordle-v0", **options)
    url = f"http://127.0.0.1:{server.server_port}/v1"
    served = ChatPolicy(url, "bc", parse=parse, options={"temperature": 0})
    theirs = evaluate(served, "Wordle-v0", **options)
    assert theirs.examples == mine.examples
    assert theirs.returns == mine.returns


def test_sampling_follows_temperature_and_seed(server):
    def ask(**fields):
        body = {"messages": [{"role": "user", "content": "Begin."}], **fields}
        return post(server, body)[1]["choices"][0]["message"]["content"]

    greedy = {ask(temperature=0) for _ in range(3)}
    assert len(greedy) == 1
    assert len({ask(seed=5) for _ in range(3)}) == 1
    assert len({ask() for _ in range(12)}) > 1
    assert all(re.fullmatch(r"[a-z]*", text) for text in greedy)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "Expecting property name"),
        ([], 400, "expected an object with a list of messages"),
        ({"messages": ["hi"]}, 400, "expected objects with role and content"),
        ({"messages": [{"role": "tool", "content": "a"}]}, 400, "messages[0]: unknown role 'tool'"),
        ({"messages": [], "temperature": "hot"}, 400, "temperature: expected a number"),
        ({"messages": [], "temperature": -1}, 400, "temperature=-1 is out of range"),
        ({"messages": [], "seed": 1.5}, 400, "seed: expected a whole number"),
        (b" " * 5_000_000, 413, "expected a Content-Length of at most 4000000"),
    ],
)
def test_bad_requests_are_answered(server, body, status, message):
    try:
        answered, said = post(server, body)
    except (BrokenPipeError, ConnectionResetError, urllib.error.URLError):
        assert status == 413  # the server need not read what is too long
        return
    assert answered == status
    assert message in said["error"]["message"]


def test_other_addresses(server):
    assert post(server, {}, path="/v1/completions")[0] == 404
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/v1/models") as response:
        assert json.load(response)["data"] == [{"id": "bc", "object": "model"}]


def test_the_command(checkpoint):
    command = [sys.executable, "-m", "leaderboards.serve", str(checkpoint), "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as child:
        url = re.search(r"http://127\.0\.0\.1:\d+/v1", child.stdout.readline())[0]
        assert len(ChatPolicy(url, "bc").act([()])[0]) > 0
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=30) == 130
        assert child.stderr.read() == ""


def test_a_folder_that_holds_no_agent(tmp_path):
    done = CliRunner().invoke(app, [str(tmp_path)])
    assert done.exit_code == 2
    assert done.stderr == f"error: {tmp_path} holds no trained agent: agent.json is missing\n"
