"""Chats as JSON lines: one chat of messages with roles, contents and rewards a line."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lmrl_envs import files
from lmrl_envs.core import Episode, Role, Turn, clean
from lmrl_envs.episode_files import encode
from lmrl_envs.errors import DatasetError, unknown_name
from lmrl_envs.registration import plain_json

NO_CHAT = "not a chat with a turn of the agent"
"""What `DatasetMetadata.dropped` counts lines of a file of chats under."""
ROLES: dict[str, Role] = {
    "agent": "agent",
    "assistant": "agent",
    "env": "env",
    "user": "env",
    "system": "env",
    "developer": "env",
    "tool": "env",
}
_log = logging.getLogger(__name__)


def write_chats(path: Path, episodes: Iterable[Episode]) -> None:
    """Writes one chat a line, as `read_chats` reads it; the agent is `assistant`, the environment `user`."""
    names = {"agent": "assistant", "env": "user"}
    with files.atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for episode in episodes:
            messages = [
                {"role": names[turn.role], "content": turn.text, "reward": turn.reward} for turn in episode.turns
            ]
            line = {
                "messages": messages,
                "env_id": episode.env_id,
                "seed": episode.seed,
                "terminated": episode.terminated,
                "truncated": episode.truncated,
                "info": episode.info,
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def read_chats(path: Path, env_id: str | None, dropped: Counter[str] | None) -> Iterator[Episode]:
    """The episodes of a file or folder of chats; `env_id` is for lines that name no environment.

    Lines that are no chats are counted in `dropped`, or are an error where that is None.
    """
    paths = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not paths:
        raise DatasetError(f"{path}: expected a folder with files *.jsonl, and it has none")
    for part in paths:
        with part.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    episode = _chat(json.loads(line), env_id)
                except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
                    problem = f"{part}, line {number}: {error}"
                    if dropped is None:
                        raise DatasetError(problem) from error
                    dropped[NO_CHAT] += 1
                    _log.warning("left out: %s", problem)
                else:
                    yield episode


def _chat(chat: Any, env_id: str | None) -> Episode:
    """Makes an episode of one line's JSON. Its errors say what is wrong; the caller adds where."""
    if isinstance(chat, list):
        chat = {"messages": chat}
    if not isinstance(chat, dict) or not isinstance(chat.get("messages"), list):
        raise ValueError("expected a list of messages, or an object that holds one as 'messages'")
    expected = {"env_id": str, "seed": int, "terminated": bool, "truncated": bool, "info": dict}
    for name, kind in expected.items():
        if chat.get(name) is not None and type(chat[name]) is not kind:
            raise ValueError(f"{name}: expected {kind.__name__} or null, got {chat[name]!r:.80}")
    seed, info = chat.get("seed"), chat.get("info") or {}
    if seed is not None and not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed: expected 64 bits at most, got {seed}")
    if not isinstance(info.get("behaviour"), str | None):
        raise ValueError(f"info['behaviour']: expected str or null, got {info['behaviour']!r:.80}")
    encode(plain_json(info)).encode()  # a lone surrogate or an infinite number is an error of this line
    turns = tuple(_message(place, message) for place, message in enumerate(chat["messages"], start=1))
    if not any(turn.role == "agent" for turn in turns):
        raise ValueError("expected at least one message of the assistant")
    truncated = bool(chat.get("truncated"))
    terminated = not truncated if chat.get("terminated") is None else chat["terminated"]
    return Episode(chat.get("env_id", env_id), seed, turns, terminated, truncated, info)


def _message(place: int, message: Any) -> Turn:
    if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
        raise ValueError(f"message {place}: expected an object with 'role' and 'content', got {message!r:.80}")
    name, content, reward = message["role"], message["content"], message.get("reward")
    if not isinstance(name, str) or name not in ROLES:
        raise ValueError(f"message {place}: {unknown_name('role', name, ROLES)}")
    if not isinstance(content, str):
        raise ValueError(f"message {place}: expected content as a string, got {content!r:.80}")
    reward = 0.0 if reward is None else reward
    if type(reward) not in (int, float) or not math.isfinite(reward):
        raise ValueError(f"message {place}: expected a finite number as reward, got {reward!r:.80}")
    if ROLES[name] == "env" and reward:
        raise ValueError(f"message {place}: expected rewards on the assistant's messages alone, got {reward} here")
    return Turn(ROLES[name], clean(content, len(content)), float(reward))
