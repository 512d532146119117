"""Offline datasets: files of episodes, made on first use, and lazy views of them.

A dataset is one Parquet file with one row an episode and `DatasetMetadata` in its footer. A `TextDataset` keeps the
rows as Arrow columns; `Episode` objects exist only while somebody looks at them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import logging
import math
import mmap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import gymnasium
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lmrl_envs import files
from lmrl_envs.core import Episode, Role, Turn, clean
from lmrl_envs.errors import DatasetError, unknown_name
from lmrl_envs.progress import track
from lmrl_envs.provenance import library_version
from lmrl_envs.recipes import Recipe, Split, find_recipe
from lmrl_envs.registration import ReferenceScores, load_attribute, plain_json, reference_scores

FORMAT_VERSION = 1
NO_CHAT = "not a chat with a turn of the agent"
"""What `DatasetMetadata.dropped` counts lines of a file of chats under."""
_SCHEMA = pa.schema(
    [
        ("seed", pa.int64()),
        ("behaviour", pa.string()),
        ("roles", pa.list_(pa.string())),
        ("texts", pa.list_(pa.string())),
        ("rewards", pa.list_(pa.float64())),
        ("terminated", pa.bool_()),
        ("truncated", pa.bool_()),
        ("info", pa.string()),  # JSON
    ]
)
_REMEDY = "delete it, and load_dataset makes it again"
_METADATA_KEY, _HASH_KEY = "lmrl_envs", "lmrl_envs.sha256"
_BLANK = "0" * 64  # stands for the hash of a file's bytes while that is taken, so that the file can hold it
_BLOCK = 4096  # episodes that are Python objects at one time
_ROLES: dict[str, Role] = {
    "agent": "agent",
    "assistant": "agent",
    "env": "env",
    "user": "env",
    "system": "env",
    "developer": "env",
    "tool": "env",
}
_log = logging.getLogger(__name__)
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True).encode


@dataclass(frozen=True)
class DatasetMetadata:
    """What a dataset is and where it comes from. A part of a dataset keeps the metadata of the whole.

    A writer gives the fields down to `dropped`; `write_dataset` fills in the others. `variant` holds the
    recipe's own arguments, `env_kwargs` the task's. `mean_return` is undiscounted, None where there is no episode.
    `content_hash` is SHA-256 over one canonical JSON line an episode (seed, behaviour, roles, texts and, unless a
    learned model gave them, rewards), the same on every machine; `learned_hash` covers rewards that a model gave.
    `dropped` counts what a reader of somebody's file left out, by reason.
    """

    env_id: str | None = None
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    dataset_id: str | None = None
    split: str | None = None
    variant: Mapping[str, Any] = field(default_factory=dict)
    reference_returns: ReferenceScores | None = None
    learned_rewards: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)
    episodes: int = 0
    turns: int = 0
    mean_return: float | None = None
    content_hash: str | None = None
    learned_hash: str | None = None
    format_version: int = FORMAT_VERSION
    library_version: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON; `from_json` is the inverse."""
        return plain_json(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> DatasetMetadata:
        returns = fields["reference_returns"]
        return cls(**{**fields, "reference_returns": None if returns is None else ReferenceScores(*returns)})


class TurnColumns(NamedTuple):
    """All turns of a dataset as flat columns: episode i has the turns `offsets[i]` to `offsets[i + 1]`."""

    offsets: np.ndarray  # (N + 1,) int64
    is_agent: np.ndarray  # (turns,) bool
    texts: pa.StringArray  # (turns,)
    rewards: np.ndarray  # (turns,) float64
    terminated: np.ndarray  # (N,) bool
    truncated: np.ndarray  # (N,) bool


class TextDataset(Sequence[Episode]):
    """Episodes in Arrow columns. `dataset[i]` makes one `Episode`; `dataset[a:b]` is a view that shares memory."""

    def __init__(self, table: pa.Table, metadata: DatasetMetadata):
        self._table = table
        self.metadata = metadata

    @classmethod
    def read(cls, path: Path | str) -> TextDataset:
        """Reads a file that `write_dataset` wrote, and checks all of it.

        Raises:
            DatasetError: the file is cut short, edited, or not a dataset; the message names it and what differs.
            FileNotFoundError: there is no such file.
        """
        path = Path(path)
        try:
            return cls(*_parse(path))
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException, ValueError, TypeError, KeyError) as error:
            raise DatasetError(f"{path}: cut short, edited, or not a dataset ({error}); {_REMEDY}") from error

    @classmethod
    def from_jsonl(
        cls,
        path: Path | str,
        metadata: DatasetMetadata | None = None,
        *,
        on_error: Literal["raise", "skip"] = "raise",
    ) -> TextDataset:
        """Reads chats, one a line: a list of messages, or an object that holds it as `messages`.

        A path of a folder stands for its `*.jsonl` files, in the order of their names.

        A message has `role` (assistant: the agent; user, system and tool: the environment), `content` and, on the
        agent's, `reward` (default 0). An object may also have `env_id`, `seed`, `terminated` (default True unless
        truncated), `truncated` and `info`, as `to_jsonl` writes them. Texts are made one line each, as in an
        environment. Without `metadata`, those are what the lines tell.

        `on_error="skip"` leaves out lines that are no chats with a turn of the agent, logs each, and counts them in
        `metadata.dropped`.

        Raises:
            DatasetError: a line is something else, or a folder has no such file; the message names file, line and what
                is wrong.
            ValueError: the lines name several environments, or another one than `metadata`.
        """
        if on_error not in ("raise", "skip"):
            raise unknown_name("value of on_error", on_error, ("raise", "skip"))
        dropped: Counter[str] = Counter()
        env_id = metadata.env_id if metadata else None
        episodes = _read_chats(Path(path), env_id, dropped if on_error == "skip" else None)
        first = list(itertools.islice(episodes, 1))
        given = metadata or DatasetMetadata(env_id=first[0].env_id if first else None)
        summary = _Summary(dataclasses.replace(given, dropped=dropped))
        batches = _batches(itertools.chain(first, episodes), summary)
        return cls(pa.Table.from_batches(batches, _SCHEMA), summary.metadata())

    def __len__(self) -> int:
        return self._table.num_rows

    def __iter__(self) -> Iterator[Episode]:
        for rows in _blocks(self._table):
            for row in rows:
                yield self._episode(row)

    @overload
    def __getitem__(self, index: int) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> TextDataset: ...
    def __getitem__(self, index: int | slice) -> Episode | TextDataset:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return TextDataset(self._table.slice(start, max(stop - start, 0)), self.metadata)
            return self.select(np.arange(start, stop, step))
        row = range(len(self))[index]  # IndexError, negative numbers and numpy's integers as for any sequence
        return self._episode(tuple(column[row].as_py() for column in self._table.columns))

    def select(self, indices: Sequence[int] | np.ndarray) -> TextDataset:
        """The episodes at (M,) indices, in that order; copies their rows."""
        return TextDataset(self._table.take(pa.array(np.asarray(indices, np.int64))), self.metadata)

    @cached_property
    def returns(self) -> np.ndarray:
        """(N,) float64, undiscounted returns."""
        offsets, rewards = _flat(self._table, "rewards")
        episode = np.repeat(np.arange(len(self)), np.diff(offsets))
        return np.bincount(episode, weights=rewards.to_numpy(), minlength=len(self))

    def columns(self) -> TurnColumns:
        """All turns at once, without making episodes: for tokenizers and statistics."""
        offsets, roles = _flat(self._table, "roles")
        return TurnColumns(
            offsets,
            pc.equal(roles, "agent").to_numpy(zero_copy_only=False),
            _flat(self._table, "texts")[1],
            _flat(self._table, "rewards")[1].to_numpy(),
            self._table["terminated"].to_numpy(),
            self._table["truncated"].to_numpy(),
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of these very episodes, a part's as well as a whole's: a name for what is computed from them."""
        table, sink = self._table.replace_schema_metadata().combine_chunks(), pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return hashlib.sha256(sink.getvalue()).hexdigest()

    def top(self, fraction: float, *, seed: int = 0) -> TextDataset:
        """The best episodes by return, at least one, in the dataset's order; ties by a seeded shuffle."""
        if not 0 < fraction <= 1:
            raise ValueError(f"expected a fraction above 0 and up to 1, got {fraction}")
        shuffled = np.random.Generator(np.random.PCG64(seed)).permutation(len(self))
        best = shuffled[np.argsort(-self.returns[shuffled], kind="stable")]
        return self.select(np.sort(best[: max(1, round(fraction * len(self)))]))

    def to_pandas(self) -> pd.DataFrame:
        """One row a turn: `episode`, `seed`, `behaviour`, `turn`, `role`, `text`, `reward`."""
        offsets, roles = _flat(self._table, "roles")
        lengths = np.diff(offsets)
        episode = np.repeat(np.arange(len(self)), lengths)
        table = pa.table(
            {
                "episode": episode,
                "seed": self._table["seed"].take(pa.array(episode)),
                "behaviour": self._table["behaviour"].take(pa.array(episode)),
                "turn": np.arange(len(episode)) - np.repeat(offsets[:-1], lengths),
                "role": roles,
                "text": _flat(self._table, "texts")[1],
                "reward": _flat(self._table, "rewards")[1],
            }
        )
        # Without a type that knows missing values, seeds of 63 bits would become floats.
        return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)

    def to_jsonl(self, path: Path | str) -> None:
        """Writes one chat a line, as `from_jsonl` reads it; the agent is `assistant`, the environment `user`."""
        names = {"agent": "assistant", "env": "user"}
        with files.atomic_path(Path(path)) as temporary, temporary.open("w", encoding="utf-8") as file:
            for episode in self:
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

    def make_env(self, **kwargs: Any) -> gymnasium.Env:
        """Makes the environment that the episodes come from; `kwargs` go to `gym.make` besides its own arguments.

        Raises:
            ValueError: no environment produced these episodes.
        """
        if self.metadata.env_id is None:
            raise ValueError("no environment produced these episodes (metadata.env_id is None); make one by gym.make")
        return gymnasium.make(self.metadata.env_id, **{**self.metadata.env_kwargs, **kwargs})

    def __repr__(self) -> str:
        name = self.metadata.dataset_id or self.metadata.env_id or "logs"
        split = f" {self.metadata.split}" if self.metadata.split else ""
        return f"<TextDataset {name}{split}: {len(self):,} episodes>"

    def _episode(self, row: tuple) -> Episode:
        seed, _, roles, texts, rewards, terminated, truncated, info = row
        turns = tuple(map(Turn, roles, texts, rewards))
        return Episode(self.metadata.env_id, seed, turns, terminated, truncated, json.loads(info))


def load_dataset(
    dataset_id: str, *, split: Split = "train", root: Path | str | None = None, **variant: Any
) -> TextDataset:
    """Loads a dataset, and makes it first where it is not there yet.

    Args:
        dataset_id: Such as `"wordle/human-v0"`; `python -m lmrl_envs.list` prints them.
        split: The part to load. Every part of a task has episodes of its own.
        root: The folder that holds datasets; by default `datasets` in `$LMRL_HOME` or in the user's cache folder.
        variant: The task's arguments and the recipe's own that the recipe declares, such as `words="common-40"`, and
            `games=`, the number of episodes, or of the expert games that others branch off.

    Raises:
        ValueError: an id, a split, a variant or its value is unknown; the message lists close matches.
        DatasetError: the file is cut short or edited, or cannot be written.
        PermissionError: the folder for data cannot be written to; the message names the variable `LMRL_HOME`.
    """
    recipe = find_recipe(dataset_id)
    settled, games = recipe.resolve(dataset_id, split, variant)
    folder = files.home() / "datasets" if root is None else Path(root)
    path = folder / dataset_id / settled.folder / f"{split}-{'all' if games is None else games}.parquet"
    dropped: Counter[str] = Counter()
    metadata = DatasetMetadata(
        env_id=recipe.env_id,
        env_kwargs=settled.env_kwargs,
        dataset_id=dataset_id,
        split=split,
        variant=settled.options,
        learned_rewards=recipe.learned_rewards,
        dropped=dropped,
    )
    if not path.exists():
        with files.lock(path):
            if not path.exists():  # another process may have made it while this one waited
                metadata = dataclasses.replace(
                    metadata, reference_returns=reference_scores(recipe.env_id, settled.env_kwargs)
                )
                episodes = _made(recipe, dataset_id, split, variant, root, dropped)
                total = games if recipe.counts == "episodes" else None
                return write_dataset(path, track(episodes, description=f"{dataset_id} {split}", total=total), metadata)
    dataset = TextDataset.read(path)
    for name in ("env_id", "env_kwargs", "dataset_id", "split", "variant"):
        if getattr(dataset.metadata, name) != getattr(metadata, name):
            raise DatasetError(
                f"{path}: expected {name} {getattr(metadata, name)!r}, "
                f"the file holds {getattr(dataset.metadata, name)!r}; {_REMEDY}"
            )
    return dataset


def write_dataset(path: Path | str, episodes: Iterable[Episode], metadata: DatasetMetadata) -> TextDataset:
    """Writes a file of episodes and reads it back. The file that was there is replaced whole, or stays as it was.

    Raises:
        ValueError: an episode cannot be stored; the message has its number and says why.
        DatasetError: the file cannot be written: no space, no permission.
    """
    write_episodes(path, episodes, metadata)
    return TextDataset.read(path)


def write_episodes(path: Path | str, episodes: Iterable[Episode], metadata: DatasetMetadata) -> DatasetMetadata:
    """Writes a file as `write_dataset` does, and reads nothing back: in constant memory, however many there are."""
    path = Path(path)
    summary = _Summary(metadata)
    try:
        with files.atomic_path(path) as temporary:
            with pq.ParquetWriter(temporary, _SCHEMA, compression="zstd") as writer:
                for batch in _batches(episodes, summary):
                    writer.write_batch(batch)
                footer = {_METADATA_KEY: _encode(summary.metadata().to_json()), _HASH_KEY: _BLANK}
                writer.add_key_value_metadata(footer)
            _seal(temporary)
    except OSError as error:
        raise DatasetError(f"cannot write {path} ({error}); what was there before is unchanged") from error
    return summary.metadata()


def _made(
    recipe: Recipe,
    dataset_id: str,
    split: Split,
    given: Mapping[str, Any],
    root: Path | str | None,
    dropped: Counter[str],
) -> Iterable[Episode]:
    """The episodes of a dataset that is not there yet: generated, or another one's with new rewards."""
    kept = {name: value for name, value in given.items() if name not in recipe.rewards_only}
    original = {**kept, **recipe.relabels}
    variant, games = recipe.resolve(dataset_id, split, given)
    if recipe.relabel is None or variant == recipe.resolve(dataset_id, split, original)[0]:
        return recipe.episodes(dataset_id, split, variant, games, dropped)
    task = recipe.task(variant)
    return load_attribute(recipe.relabel)(task, load_dataset(dataset_id, split=split, root=root, **original))


def _parse(path: Path) -> tuple[pa.Table, DatasetMetadata]:
    """Reads a file's rows and metadata, once its bytes are those that were written."""
    data = path.read_bytes()
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        footer = {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}
        if _METADATA_KEY not in footer or _HASH_KEY not in footer:
            raise DatasetError(f"{path}: a Parquet file, but not one that write_dataset wrote")
        fields = json.loads(footer[_METADATA_KEY])
        if fields["format_version"] != FORMAT_VERSION:
            raise DatasetError(
                f"{path}: expected format version {FORMAT_VERSION}, got {fields['format_version']}; "
                "read it with the version of the library that wrote it"
            )
        expected = footer[_HASH_KEY]
        place = data.rindex(expected.encode())
        digest = hashlib.sha256(data[:place])
        digest.update(_BLANK.encode())
        digest.update(data[place + len(_BLANK) :])
        if digest.hexdigest() != expected:
            raise DatasetError(f"{path}: edited: expected SHA-256 {expected}, got {digest.hexdigest()}; {_REMEDY}")
        return file.read().cast(_SCHEMA), DatasetMetadata.from_json(fields)


def _seal(path: Path) -> None:
    """Puts the hash of a file's bytes into its footer, where a blank of the same length held its place."""
    digest = files.file_hash(path)
    with path.open("rb+") as file, mmap.mmap(file.fileno(), 0) as data:
        place = data.rfind(_BLANK.encode())
        data[place : place + len(digest)] = digest.encode()


class _Summary:
    """Counts and hashes of the rows seen so far, tuples as in `_SCHEMA`."""

    def __init__(self, given: DatasetMetadata):
        self.given = given
        self.episodes = self.turns = 0
        self.total_return = 0.0
        self._content, self._learned = hashlib.sha256(), hashlib.sha256()
        self._names = _SCHEMA.names[: 4 if given.learned_rewards else 5]

    def add(self, rows: Sequence[tuple]) -> None:
        self.episodes += len(rows)
        self.turns += sum(len(row[2]) for row in rows)
        self.total_return += sum(sum(row[4]) for row in rows)
        # zip stops after the columns that content is made of
        self._content.update(_lines(dict(zip(self._names, row, strict=False)) for row in rows))
        if self.given.learned_rewards:
            self._learned.update(_lines(row[4] for row in rows))

    def metadata(self) -> DatasetMetadata:
        return dataclasses.replace(
            self.given,
            env_kwargs=plain_json(self.given.env_kwargs),
            variant=plain_json(self.given.variant),
            dropped=dict(self.given.dropped),  # counted while the episodes were read
            episodes=self.episodes,
            turns=self.turns,
            mean_return=self.total_return / self.episodes if self.episodes else None,
            content_hash=self._content.hexdigest(),
            learned_hash=self._learned.hexdigest() if self.given.learned_rewards else None,
            format_version=FORMAT_VERSION,
            library_version=library_version(),
        )


def _lines(values: Iterable[Any]) -> bytes:
    return "".join([_encode(value) + "\n" for value in values]).encode()


def _blocks(table: pa.Table) -> Iterator[list[tuple]]:
    """The rows as Python objects, some thousands at a time."""
    for batch in table.to_batches(max_chunksize=_BLOCK):
        yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def _batches(episodes: Iterable[Episode], summary: _Summary) -> Iterator[pa.RecordBatch]:
    """Encodes episodes as Arrow, adding them to `summary`."""
    numbered = enumerate(episodes)
    while block := list(itertools.islice(numbered, _BLOCK)):
        rows = [_row(number, episode, summary.given.env_id) for number, episode in block]
        summary.add(rows)
        yield pa.record_batch([list(column) for column in zip(*rows, strict=True)], schema=_SCHEMA)


def _row(number: int, episode: Episode, env_id: str | None) -> tuple:
    def refuse(problem: str) -> ValueError:
        return ValueError(f"episode {number}: {problem}")

    if episode.env_id != env_id:
        raise refuse(f"expected env_id {env_id!r} as in the metadata, got {episode.env_id!r}")
    roles = [turn.role for turn in episode.turns]
    texts = [turn.text for turn in episode.turns]
    rewards = [float(turn.reward) for turn in episode.turns]
    if not {"env", "agent"}.issuperset(roles):
        raise refuse(f"expected the roles 'env' and 'agent', got {roles}")
    if not all(map(math.isfinite, rewards)):
        raise refuse(f"expected finite rewards, got {rewards}")
    try:
        "".join(texts).encode()
        info = _encode(plain_json(episode.info))
        info.encode()
    except UnicodeEncodeError as error:
        raise refuse(f"a text has a lone surrogate ({error}); lmrl_envs.clean makes any text safe") from None
    except (TypeError, ValueError) as error:
        raise refuse(f"expected texts as str and info as plain JSON: {error}") from None
    behaviour = episode.info.get("behaviour")
    if not isinstance(behaviour, str | None):
        raise refuse(f"info['behaviour'] names the policy: expected a str, got {behaviour!r}")
    return (episode.seed, behaviour, roles, texts, rewards, episode.terminated, episode.truncated, info)


def _flat(table: pa.Table, name: str) -> tuple[np.ndarray, pa.Array]:
    """A column of lists as (N + 1,) int64 offsets and its values."""
    column = table[name].combine_chunks()
    offsets = np.zeros(len(column) + 1, np.int64)
    np.cumsum(pc.list_value_length(column).to_numpy(), out=offsets[1:])
    return offsets, column.flatten()


def _read_chats(path: Path, env_id: str | None, dropped: Counter[str] | None) -> Iterator[Episode]:
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
    _encode(plain_json(info)).encode()  # a lone surrogate or an infinite number is an error of this line
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
    if not isinstance(name, str) or name not in _ROLES:
        raise ValueError(f"message {place}: {unknown_name('role', name, _ROLES)}")
    if not isinstance(content, str):
        raise ValueError(f"message {place}: expected content as a string, got {content!r:.80}")
    reward = 0.0 if reward is None else reward
    if type(reward) not in (int, float) or not math.isfinite(reward):
        raise ValueError(f"message {place}: expected a finite number as reward, got {reward!r:.80}")
    if _ROLES[name] == "env" and reward:
        raise ValueError(f"message {place}: expected rewards on the assistant's messages alone, got {reward} here")
    return Turn(_ROLES[name], clean(content, len(content)), float(reward))
