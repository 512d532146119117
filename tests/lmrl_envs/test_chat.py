"""ChatPolicy against a real HTTP server, which also times out, refuses, breaks off and floods."""

from __future__ import annotations

import contextlib
import email.utils
import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lmrl_envs.chat import BEGIN, FORMS, ChatAccessError, ChatError, ChatPolicy, from_messages, to_messages
from lmrl_envs.core import Turn
from lmrl_envs.evaluate import EvalResult, evaluate
from lmrl_envs.registration import make_task

KEY = "sk-a-key-that-nobody-may-see"


def completion(text):
    return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


class Endpoint(ThreadingHTTPServer):
    """Answers each request with `answer(body, how often it came)`: status, headers and bytes."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.requests, self.seen, self.lock = answer, [], Counter(), threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = body["messages"][-1]["content"]
        with self.server.lock:
            self.server.requests.append((self.path, dict(self.headers), body))
            self.server.seen[said] += 1
            times = self.server.seen[said]
        status, headers, data = self.server.answer(body, times)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # who asked has gone
            self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def endpoint():
    servers = []

    def start(answer):
        servers.append(Endpoint(answer))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def asks(*texts):
    return [(Turn("env", text),) for text in texts]


def test_request(endpoint):
    server = endpoint(lambda body, times: completion("Let me see. <answer>moist</answer>"))
    policy = ChatPolicy(server.url + "/", "gpt", options={"temperature": 0})
    policy.reset(seed=0, instructions="Find the word.")
    assert policy.act([(), (Turn("agent", "crane", -1.0), Turn("env", "bgyyb"))]) == ["moist", "moist"]
    (path, headers, first), (_, _, second) = sorted(server.requests, key=lambda request: len(request[2]["messages"]))
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    system = {"role": "system", "content": f"Find the word. {FORMS['answer'].request}"}
    begin = {"role": "user", "content": BEGIN}
    assert first == {"model": "gpt", "temperature": 0, "messages": [system, begin]}
    assert second["messages"] == [
        system,
        begin,
        {"role": "assistant", "content": "<answer>crane</answer>"},
        {"role": "user", "content": "bgyyb"},
    ]
    assert policy.act([]) == []


def test_a_game_goes_through_the_evaluator(endpoint):
    words = make_task("Wordle-v0", words="common-40").answers

    def answer(body, times):
        said = [message for message in body["messages"] if message["role"] == "assistant"]
        return completion(f"Hm, {words[0]}? No.\n<answer>\n{words[len(said)].upper()}</answer> It is.")

    policy = ChatPolicy(endpoint(answer).url, "model")
    result = evaluate(policy, "Wordle-v0", env_kwargs={"words": "common-40"}, episodes="all", progress=False)
    # One word in list order a turn: six of 40 answers are found, after 0 to 5 wrong guesses.
    assert sorted(result.returns, reverse=True) == [0, -1, -2, -3, -4, -5] + [-6] * 34
    assert result.agent == "model"
    assert result.decoding == {"base_url": policy.base_url, "model": "model", "parse": "answer"}
    assert [turn.text for turn in result.examples[-1].turns[::2]][:2] == [words[0].upper(), words[1].upper()]


@pytest.mark.parametrize(
    ("parse", "reply", "action"),
    [
        ("answer", "<answer>crane</answer>", "crane"),
        ("answer", "No <answer>slate</answer>, rather <ANSWER> crane\n</Answer>: my <answer>.", "crane"),
        ("answer", "an <answer>open <answer>crane</answer>", "crane"),
        ("answer", "<answer></answer>", ""),
        ("answer", "crane", ""),
        ("answer", None, ""),
        ("boxed", "so $\\boxed{slate}$ or $\\boxed{\\text{crane}}$.", "crane"),
        ("boxed", "\\boxed{cra", ""),
        ("last_line", "I think\nso\n  crane \n\n", "crane"),
        ("last_line", " \n", ""),
        ("exact", " crane\n", " crane\n"),
        (str.upper, "crane", "CRANE"),
    ],
)
def test_parse(endpoint, parse, reply, action):
    server = endpoint(lambda body, times: completion(reply))
    assert ChatPolicy(server.url, "m", parse=parse).act([()]) == [action]


def test_an_error_in_a_parse_function_of_ones_own_is_raised(endpoint):
    server = endpoint(lambda body, times: completion("crane"))
    with pytest.raises(KeyError, match="crane"):
        ChatPolicy(server.url, "m", parse=lambda reply: {}[reply]).act([(), ()])


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_messages_and_turns_are_inverse(form):
    wordle = [Turn("agent", "crane"), Turn("env", "bgyyb"), Turn("agent", "{moist}" if form is FORMS["exact"] else "a")]
    talk = [
        Turn("env", "a caption"),
        Turn("agent", "any people?"),
        Turn("env", ""),
        Turn("agent", ""),
        Turn("env", "x"),
    ]
    for turns in ([], wordle, wordle[:1], talk, talk[:1]):
        messages = to_messages(turns, f"Play. {form.request}".strip(), form)
        assert from_messages(messages) == (turns, form)
        assert [message["role"] for message in messages[:2]] == ["system", "user"]
        assert all(message["content"] for message in messages)


BAD = {
    "429": (429, {"Retry-After": "0"}, b'{"error": {"message": "slow down"}}'),
    "500": (500, {}, b"<html>"),
    "half": (200, {}, completion("crane")[2][:30]),
    "torn": (200, {"Content-Length": "9000"}, completion("<answer>crane</answer>")[2]),
    "flood": (200, {}, b"a" * 10_000_000),
    "other": (200, {}, b'{"choices": []}'),
    "number": completion(5),
    "400": (400, {}, b"the context is too long"),
}
SAID = {
    "429": r"429 Too Many Requests: .*slow down.* \(3 attempts\)",
    "500": r"500 Internal Server Error: .*<html>.* \(3 attempts\)",
    "half": r"expected a chat completion, got .*choices.* \(3 attempts\)",
    "flood": r"a reply of more than 1,000,000 bytes \(3 attempts\)",
    "other": r"expected a chat completion, got .*choices.* \(3 attempts\)",
    "number": r"expected content as a string, got '5' \(3 attempts\)",
    "400": r"400 Bad Request: 'the context is too long'$",
    "slow": r"no usable reply: TimeoutError: .* \(3 attempts\)",
}


def misbehave(body, times):
    said = body["messages"][-1]["content"]
    if said == "slow":
        time.sleep(0.6)
    return BAD.get(said, completion("<answer>crane</answer>"))


def test_rows_that_fail_for_good_are_errors_in_their_place(endpoint, monkeypatch):
    monkeypatch.setattr("lmrl_envs.chat._FIRST_PAUSE", 0.02)
    server = endpoint(misbehave)
    rows = ["good", *BAD, "slow", "fine"]
    results = dict(zip(rows, ChatPolicy(server.url, "m", timeout=0.3, retries=2).act(asks(*rows)), strict=True))
    assert results.pop("good") == results.pop("fine") == "crane"
    assert results.pop("torn") == "crane"  # all that counts is there
    assert all(type(error) is ChatError for error in results.values())
    for row, error in results.items():
        assert str(error).startswith(server.url)
        assert re.search(SAID[row], str(error)), error
    assert server.seen == {**dict.fromkeys(rows, 3), "good": 1, "fine": 1, "torn": 1, "400": 1}


def test_a_reply_that_drips_is_cut(endpoint, monkeypatch):
    server = endpoint(lambda body, times: completion("x"))

    def drip(self):
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(b"a")
                time.sleep(0.02)
        except OSError:
            pass

    monkeypatch.setattr(Handler, "do_POST", drip)
    began = time.monotonic()
    (error,) = ChatPolicy(server.url, "m", timeout=0.2, retries=0).act([()])
    assert time.monotonic() - began < 1
    assert "TimeoutError: the reply is not complete in time (1 attempts)" in str(error)


def test_what_passes_is_tried_again(endpoint, monkeypatch):
    monkeypatch.setattr("lmrl_envs.chat._FIRST_PAUSE", 0.02)
    server = endpoint(lambda body, times: misbehave(body, times) if times < 3 else completion("<answer>late</answer>"))
    rows = ["429", "500", "half", "flood", "slow"]
    assert ChatPolicy(server.url, "m", timeout=0.3).act(asks(*rows)) == ["late"] * 5


def test_retry_after_is_honoured(endpoint):
    def answer(body, times):
        if times == 1:
            later = email.utils.formatdate(time.time() + 2, usegmt=True)
            return 503, {"Retry-After": later if body["messages"][-1]["content"] == "date" else "0.8"}, b""
        return completion(f"<answer>{time.monotonic()}</answer>")

    server = endpoint(answer)
    began = time.monotonic()
    seconds, date = ChatPolicy(server.url, "m").act(asks("seconds", "date"))
    assert 0.8 <= float(seconds) - began < 2
    assert 0.9 <= float(date) - began < 3.5


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_a_wrong_key_or_address_is_one_error_at_once(endpoint, status):
    def answer(body, times):
        if body["messages"][-1]["content"] == "hangs":
            time.sleep(2)
        return status, {"Location": "http://127.0.0.1:9/v1"}, f"your key is {KEY}".encode()

    server = endpoint(answer)
    began = time.monotonic()
    with pytest.raises(ChatAccessError) as caught:
        ChatPolicy(server.url, "gpt").act(asks("hangs", *map(str, range(20))))
    assert time.monotonic() - began < 1.5
    assert max(server.seen.values()) == 1  # nothing is tried again
    assert KEY not in str(caught.value)
    hints = {404: "check base_url and the model 'gpt'", 302: "give its new address as base_url"}
    assert hints.get(status, "check the key in the environment variable OPENAI_API_KEY (it is set)") in str(
        caught.value
    )


def test_the_key_is_kept_nowhere(endpoint, monkeypatch):
    server = endpoint(lambda body, times: (400, {}, f"Bearer {KEY}".encode()))
    policy = ChatPolicy(server.url, "gpt")
    result = evaluate(policy, "Wordle-v0", episodes=1, on_error="record", progress=False)
    assert result.errors == (f"0: ChatError: {server.url}: 400 Bad Request: 'Bearer <key>'",)
    assert KEY not in json.dumps(result.to_json()) + repr(vars(policy))

    monkeypatch.setenv("OPENAI_API_KEY", KEY + "\u00e9")
    with pytest.raises(ChatAccessError, match="variable OPENAI_API_KEY is not printable ASCII") as caught:
        policy.act([()])
    assert KEY not in str(caught.value)

    monkeypatch.delenv("OPENAI_API_KEY")
    policy.act([()])
    assert "Authorization" not in server.requests[-1][1]
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    ChatPolicy(server.url, "gpt", key_variable="MY_KEY").act([()])
    assert server.requests[-1][1]["Authorization"] == f"Bearer {KEY}"


def test_others_finish_where_an_episode_fails(endpoint, monkeypatch):
    monkeypatch.setattr("lmrl_envs.chat._FIRST_PAUSE", 0.01)
    failing = "bbbbb"

    def answer(body, times):
        if body["messages"][-1]["content"] == failing:
            return 500, {}, b""
        return completion("<answer>crane</answer>")

    policy = ChatPolicy(endpoint(answer).url, "m", retries=1)
    options = {"env_kwargs": {"words": ["moldy", "crane", "brine"]}, "episodes": 30, "progress": False}
    result = evaluate(policy, "Wordle-v0", on_error="record", **options)
    assert set(result.returns) == {0.0, -6.0}
    assert len(result.returns) + len(result.errors) == 30
    assert len(result.errors) > 3
    assert all("ChatError" in error and "500" in error for error in result.errors)
    assert EvalResult.from_json(result.to_json()) == result
    with pytest.raises(ChatError, match="500"):
        evaluate(policy, "Wordle-v0", **options)


def test_nobody_listens(endpoint, monkeypatch):
    monkeypatch.setattr("lmrl_envs.chat._FIRST_PAUSE", 0.01)
    server = endpoint(misbehave)
    server.shutdown()
    server.server_close()
    (error,) = ChatPolicy(server.url, "m", retries=1).act([()])
    assert "ConnectionRefusedError" in str(error)
    assert "(2 attempts)" in str(error)


def test_64_games_at_once(endpoint):
    def answer(body, times):
        time.sleep(0.05)
        return completion("<answer>crane</answer>")

    policy = ChatPolicy(endpoint(answer).url, "m")
    began = time.monotonic()
    result = evaluate(policy, "Wordle-v0", env_kwargs={"words": "common-40"}, episodes=64, progress=False)
    assert max(result.lengths) == 6
    assert time.monotonic() - began < 1.5 * 6 * 0.05 + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base_url": "host/v1"}, "expected an address such as https://host/v1, got 'host/v1'"),
        ({"base_url": f"https://me:{KEY}@host/v1"}, "a key belongs into an environment variable"),
        ({"base_url": f"https://host/v1?key={KEY}"}, "a key belongs into an environment variable"),
        ({"parse": "anwser"}, "unknown value of parse 'anwser'; did you mean 'answer'"),
        ({"timeout": 0}, "expected timeout above 0"),
        ({"retries": -1}, "retries of at least 0"),
        ({"concurrency": 0}, "concurrency of at least 1"),
        ({"options": {"stream": True}}, "options: stream cannot be set here"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        ChatPolicy(**{"base_url": "https://host/v1", "model": "m", **arguments})
    assert KEY not in str(caught.value)


def test_from_messages_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"messages\[0\]: unknown role 'usr'; did you mean 'user'"):
        from_messages([{"role": "usr", "content": "a"}])
    with pytest.raises(ValueError, match=r"messages\[1\]: expected content as a string, got None"):
        from_messages([{"role": "system", "content": "a"}, {"role": "user", "content": None}])
