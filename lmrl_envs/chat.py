"""ChatPolicy: a chat model behind any OpenAI-compatible endpoint as a policy, and turns as its messages.

Requests go out by the standard library, one thread a row: they are few and slow, and a thread each is fast enough.
"""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import json
import os
import re
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from lmrl_envs.core import Role, Turn
from lmrl_envs.errors import LmrlError, unknown_name
from lmrl_envs.registration import plain_json

BEGIN = "Begin."
"""What the first user message says where the environment says nothing first."""
_NO_TEXT = " "
_MOST_BYTES = 1_000_000  # of a reply
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0  # seconds between two attempts, doubled each time
_ACCESS = {
    401: "it refuses the key",
    403: "it refuses the key",
    404: "it has no such address or model",
}
_PACE = 0.001  # seconds between two connections: small servers keep few waiting, and drop what comes beyond
_AGAIN_LATER = {408, 409, 425, 429}  # and every 5xx

Parse = Callable[[str], str]


class ChatError(LmrlError):
    """An endpoint gave no usable reply to a row."""


class ChatAccessError(ChatError):
    """An endpoint refuses every request: the key, the address or the model is wrong."""


class Form(NamedTuple):
    """Where a reply holds its action: how the model is asked for it, how it is read, how an action is shown again."""

    request: str
    read: Parse
    show: str


def _last(pattern: str) -> Parse:
    compiled = re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    return lambda reply: (compiled.findall(reply) or [""])[-1].strip()


FORMS: Mapping[str, Form] = {
    "answer": Form(
        "You may think aloud. Then put your answer, and nothing else, between <answer> and </answer>.",
        _last(r"<answer>((?:(?!<answer>)[\s\S])*?)</answer>"),
        "<answer>{}</answer>",
    ),
    "boxed": Form(
        "You may think aloud. Then put your answer, and nothing else, in \\boxed{}.",
        _last(r"\\boxed\{(?:\\[a-z]+\{)?([^{}]*)\}"),
        "\\boxed{{{}}}",
    ),
    "last_line": Form(
        "You may think aloud. Then put your answer, and nothing else, on the last line.",
        _last(r"^.*\S.*$"),
        "{}",
    ),
    "exact": Form("", lambda reply: reply, "{}"),
}
"""What `ChatPolicy(parse=...)` knows by name. A reply without the form reads as the empty text."""


class ChatPolicy:
    """Asks a chat model for each turn; all rows at once.

    The model sees the task's instructions as the system message, the environment's turns as the user's and its own as
    the assistant's. Only what `parse` reads from its reply reaches the task: a reply without the asked form is an empty
    action, which costs what the task says, since leaving it out would flatter the model.

    A request that times out, or that the endpoint answers with 408, 409, 425, 429, 5xx or something other than a chat
    completion, is tried again after twice the wait, or what `Retry-After` says. A row that fails for good is a
    `ChatError` in its place: `rollout(..., on_error="record")` writes it down and goes on.

    Args:
        base_url: The address up to `/chat/completions`, such as `https://host/v1`.
        model: The endpoint's name of the model.
        parse: `"answer"` (the last text in `<answer>` tags, which the model is asked for), `"boxed"` (the last LaTeX
            box), `"last_line"`, `"exact"`, or a function of the reply. A function's instructions are yours to give.
        key_variable: The environment variable that holds the key. It is read for each request, kept nowhere and shown
            nowhere; without it, requests carry no key, as local servers expect.
        options: More fields of each request, such as `{"temperature": 0, "max_tokens": 2000}`.
        timeout: Seconds that the endpoint may be silent, and that a whole reply may take.
        retries: Attempts after the first.
        concurrency: Requests at once, at most.

    Raises:
        ValueError: an argument is out of its range; a key in `base_url` is refused.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        parse: str | Parse = "answer",
        key_variable: str = "OPENAI_API_KEY",
        options: Mapping[str, Any] | None = None,
        timeout: float = 60.0,
        retries: int = 5,
        concurrency: int = 64,
    ) -> None:
        if isinstance(parse, str) and parse not in FORMS:
            raise unknown_name("value of parse", parse, FORMS)
        if timeout <= 0 or retries < 0 or concurrency < 1:
            raise ValueError(
                "expected timeout above 0, retries of at least 0 and concurrency of at least 1, "
                f"got {timeout}, {retries} and {concurrency}"
            )
        self.base_url, self.model, self.name = _checked_address(base_url), model, model
        self.key_variable, self.options = key_variable, plain_json(options or {})
        if taken := {"model", "messages", "stream"} & self.options.keys():
            raise ValueError(f"options: {', '.join(sorted(taken))} cannot be set here")
        self.timeout, self.retries, self.concurrency = timeout, retries, concurrency
        self._form = FORMS[parse] if isinstance(parse, str) else Form("", parse, "{}")
        self._parse_name = parse if isinstance(parse, str) else getattr(parse, "__qualname__", type(parse).__name__)
        self._instructions = ""
        self._connecting = threading.Lock()
        self._opener = urllib.request.build_opener(*_handlers(self.base_url))

    @property
    def decoding(self) -> Mapping[str, Any]:
        """What a result says about how texts were chosen."""
        return {**self.options, "base_url": self.base_url, "model": self.model, "parse": self._parse_name}

    def reset(self, *, seed: int, instructions: str) -> None:
        """Takes the task's instructions."""
        self._instructions = instructions

    def act(self, histories: Sequence[Sequence[Turn]]) -> list[Any]:
        """One action for each history; in the place of a row that failed for good, its `ChatError`.

        Raises:
            ChatAccessError: the endpoint refuses the key, or has no such address or model.
        """
        if not histories:
            return []
        stop = threading.Event()
        pool = ThreadPoolExecutor(min(self.concurrency, len(histories)), thread_name_prefix="chat")
        try:
            rows = [
                pool.submit(self._answer, to_messages(history, self._system, self._form), row / len(histories), stop)
                for row, history in enumerate(histories)
            ]
            done, _ = wait(rows, return_when=FIRST_EXCEPTION)
            for row in done:
                row.result()  # one that raised ends them all
            return [row.result() for row in rows]
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def _system(self) -> str:
        return " ".join(filter(None, [self._instructions, self._form.request]))

    def _answer(self, messages: list[dict[str, str]], spread: float, stop: threading.Event) -> str | ChatError:
        """The action of one row; `spread` in [0, 1) keeps rows that failed together from coming back together."""
        body = json.dumps({**self.options, "model": self.model, "messages": messages}).encode()
        for attempt in range(self.retries + 1):
            try:
                reply = self._ask(body)
            except _TemporaryError as failure:
                problem, asked = str(failure), failure.wait
            except ChatAccessError:
                raise
            except ChatError as error:
                return error
            else:
                return self._form.read(reply)
            pause = _FIRST_PAUSE * 2**attempt if asked is None else asked
            if attempt < self.retries and stop.wait(min(pause * (1 + spread / 2), _LONGEST_PAUSE)):
                break
        return ChatError(f"{self.base_url}: {problem} ({attempt + 1} attempts)")

    def _ask(self, body: bytes) -> str:
        """One request; returns the reply's text."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := self._key():
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self.base_url}/chat/completions", body, headers)
        with self._connecting:
            time.sleep(_PACE)
        try:
            with self._opener.open(request, timeout=self.timeout) as response:
                data = _read(response, time.monotonic() + self.timeout)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise _TemporaryError(f"no usable reply: {type(reason).__name__}: {reason}") from error
        try:
            content = json.loads(data)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise _TemporaryError(f"expected a chat completion, got {self._safe(data)}") from None
        if not isinstance(content, str | None):
            raise _TemporaryError(f"expected content as a string, got {self._safe(repr(content).encode())}")
        return content or ""  # null where a model spent its tokens on hidden thoughts

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        status = f"{error.code} {http.client.responses.get(error.code, '')}".rstrip()
        if error.code in _ACCESS:
            # What it says may spell parts of the key.
            hint = f"check the key in the environment variable {self.key_variable} ({self._key_state()})"
            if error.code == 404:
                hint = f"check base_url and the model {self.model!r}"
            return ChatAccessError(f"{self.base_url}: {_ACCESS[error.code]} ({status}); {hint}")
        if 300 <= error.code < 400:
            return ChatAccessError(f"{self.base_url}: it has moved ({status}); give its new address as base_url")
        try:
            said = self._safe(_read(error, time.monotonic() + self.timeout))
        except (OSError, http.client.HTTPException):
            said = ""
        if error.code in _AGAIN_LATER or error.code >= 500:
            return _TemporaryError(f"{status}: {said}", _seconds(error.headers.get("Retry-After")))
        return ChatError(f"{self.base_url}: {status}: {said}")

    def _key(self) -> str:
        key = os.environ.get(self.key_variable, "").strip()
        if not (key.isascii() and key.isprintable()):  # http.client's own error would show it
            raise ChatAccessError(f"the key in the environment variable {self.key_variable} is not printable ASCII")
        return key

    def _key_state(self) -> str:
        return "it is set" if self._key() else "it is not set"

    def _safe(self, data: bytes) -> str:
        """The beginning of what an endpoint said, for messages, without the key."""
        text = data.decode(errors="replace")
        if key := self._key():
            text = text.replace(key, "<key>")
        return repr(text[:200])


class _TemporaryError(Exception):
    """A failure that may pass; `wait` is the pause in seconds that the endpoint asks for."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


def to_messages(turns: Sequence[Turn], system: str, form: Form) -> list[dict[str, str]]:
    """A history as chat messages; `from_messages` is the inverse.

    A user's message comes first, and none is empty (one space stands for no text): some endpoints insist on both.
    """
    messages = [{"role": "system", "content": system}] if system else []
    if not turns or turns[0].role == "agent":
        messages.append({"role": "user", "content": BEGIN})
    for turn in turns:
        if turn.role == "agent":
            messages.append({"role": "assistant", "content": form.show.format(turn.text) or _NO_TEXT})
        else:
            messages.append({"role": "user", "content": turn.text or _NO_TEXT})
    return messages


def from_messages(messages: Sequence[Mapping[str, Any]]) -> tuple[list[Turn], Form]:
    """A history, without rewards, from what `to_messages` wrote, and the form that its system message asks for.

    Raises:
        ValueError: a message has another role than system, user and assistant, or no text.
    """
    roles: dict[str, Role] = {"user": "env", "assistant": "agent"}
    system = " ".join(str(message.get("content")) for message in messages if message.get("role") == "system")
    asked = (form for form in FORMS.values() if form.request and form.request in system)
    form = next(asked, FORMS["exact"])
    turns: list[Turn] = []
    for place, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role == "system":
            continue
        if role not in roles:
            raise ValueError(f"messages[{place}]: {unknown_name('role', role, ['system', *roles])}")
        if not isinstance(content, str):
            raise ValueError(f"messages[{place}]: expected content as a string, got {content!r:.80}")
        text = form.read(content) if role == "assistant" else content
        turns.append(Turn(roles[role], "" if text == _NO_TEXT else text))
    if turns and turns[0] == Turn("env", BEGIN):
        del turns[0]
    return turns, form


def _checked_address(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"base_url: expected an address such as https://host/v1, got {base_url!r:.80}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "base_url: expected scheme, host and path alone; a key belongs into an environment variable (key_variable)"
        )
    return base_url.rstrip("/")


def _handlers(base_url: str) -> list[urllib.request.BaseHandler]:
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if base_url.startswith("https:"):  # made once: reading the system's certificates takes 20 ms
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context()))
    if _is_loopback(urlsplit(base_url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))  # a proxy would look on its own machine
    return handlers


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would carry the key to another host."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def _read(response: Any, deadline: float) -> bytes:
    """The body, up to `_MOST_BYTES`.

    Raises:
        OSError: it is longer, or not complete at the deadline.
    """
    data = bytearray()
    while chunk := response.read1(65_536):
        data += chunk
        if len(data) > _MOST_BYTES:
            raise OSError(f"a reply of more than {_MOST_BYTES:,} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError("the reply is not complete in time")
    return bytes(data)


def _seconds(retry_after: str | None) -> float | None:
    """What `Retry-After` asks for: seconds, or a date; None where it says neither."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except ValueError:
            return None
    return max(seconds, 0.0) if seconds == seconds else None
