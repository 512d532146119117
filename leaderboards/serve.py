"""`python -m leaderboards.serve <checkpoint>`: a trained agent behind the chat protocol, on this machine alone.

`POST /v1/chat/completions` reads `messages`, `temperature` (1 by default; 0 is greedy) and `seed`; other fields are
ignored. System messages are for other models; the user is the environment, the assistant the agent. Where the system
message asks for a form, as `lmrl_envs.chat` does, the reply has it. So `ChatPolicy("http://127.0.0.1:8000/v1", "bc")`
plays it.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from leaderboards.sources import our_agents
from lmrl_envs.chat import from_messages
from lmrl_envs.devices import set_threads
from lmrl_envs.errors import LmrlError

if TYPE_CHECKING:
    from agents.trainer import Algorithm

HOST = "127.0.0.1"
_MOST_BYTES = 4_000_000  # of a request
_SILENCE = 60  # seconds that a client may keep a connection waiting


class AgentServer(ThreadingHTTPServer):
    """Answers chat requests with one agent, one after the other; `port=0` takes a free port (`server_port`)."""

    daemon_threads = True
    request_queue_size = 256  # connections that wait: a batch of games asks at once

    def __init__(self, algorithm: Algorithm, port: int = 0) -> None:
        self.algorithm = algorithm
        self.turn = threading.Lock()
        super().__init__((HOST, port), _Handler)

    def reply(self, request: Mapping[str, Any]) -> str:
        """The agent's turn after the messages of a request.

        Raises:
            ValueError: the request lacks messages, or a field is out of its range.
        """
        if not isinstance(request, dict) or not isinstance(request.get("messages"), list):
            raise ValueError("expected an object with a list of messages")
        if not all(isinstance(message, dict) for message in request["messages"]):
            raise ValueError("messages: expected objects with role and content")
        temperature, seed = request.get("temperature"), request.get("seed")
        temperature = 1.0 if temperature is None else temperature
        if type(temperature) not in (int, float) or not math.isfinite(temperature):
            raise ValueError(f"temperature: expected a number of at least 0, got {temperature!r:.80}")
        if seed is not None and (type(seed) is not int or seed < 0):
            raise ValueError(f"seed: expected a whole number of at least 0, got {seed!r:.80}")
        turns, form = from_messages(request["messages"])
        policy: Any = self.algorithm.policy(temperature=temperature)
        with self.turn:
            policy.reset(seed=time.time_ns() if seed is None else seed)
            (text,) = policy.act([turns])
        return form.show.format(text)


class _Handler(BaseHTTPRequestHandler):
    server: AgentServer
    protocol_version = "HTTP/1.1"
    timeout = _SILENCE

    def do_GET(self) -> None:
        if self.path.rstrip("/") == "/v1/models":
            self._send(200, {"object": "list", "data": [{"id": self.server.algorithm.name, "object": "model"}]})
        else:
            self._refuse(404, f"no {self.path}; there are /v1/models and /v1/chat/completions")

    def do_POST(self) -> None:
        if self.path.rstrip("/") != "/v1/chat/completions":
            self._refuse(404, f"no {self.path}; there is /v1/chat/completions")
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BYTES:
            self._refuse(413, f"expected a Content-Length of at most {_MOST_BYTES}, got {length!r}")
            return
        try:
            text = self.server.reply(json.loads(self.rfile.read(int(length))))
        except (ValueError, RecursionError) as error:
            self._refuse(400, str(error))
            return
        message = {"role": "assistant", "content": text}
        self._send(
            200,
            {
                "id": f"chatcmpl-{time.time_ns()}",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": self.server.algorithm.name,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            },
        )

    def log_message(self, *arguments: Any) -> None:
        """Nothing: a game is hundreds of requests."""

    def _refuse(self, status: int, message: str) -> None:
        self.close_connection = True  # what remains of the request was not read
        self._send(status, {"error": {"message": message, "type": "invalid_request_error"}})

    def _send(self, status: int, body: Mapping[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a trained agent.")],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free one.")] = 8000,
    device: Annotated[str, typer.Option(help="Where the agent runs.")] = "auto",
) -> None:
    """Offers a trained agent under the chat protocol, to this machine alone, until Ctrl-C."""
    console = Console(highlight=False, soft_wrap=True)
    set_threads(1)
    try:
        server = AgentServer(our_agents().load(checkpoint, device=device), port)
    except (ImportError, ValueError, OSError, LmrlError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {error}", markup=False)
        raise typer.Exit(2) from None
    with server:
        console.print(f"{server.algorithm.name}: http://{HOST}:{server.server_port}/v1 (Ctrl-C ends it)", markup=False)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


if __name__ == "__main__":
    app()
