"""Offline datasets: files of episodes, made on first use, and lazy views of them.

A dataset is one Parquet file with one row an episode and `DatasetMetadata` in its footer. A `TextDataset` keeps the
rows as Arrow columns; `Episode` objects exist only while somebody looks at them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import gymnasium
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lmrl_envs import files
from lmrl_envs.chat_logs import NO_CHAT, read_chats, write_chats
from lmrl_envs.core import Episode, Turn
from lmrl_envs.episode_files import (
    REMEDY,
    SCHEMA,
    DatasetMetadata,
    Summary,
    batches,
    blocks,
    read_episodes,
    write_episodes,
)
from lmrl_envs.errors import DatasetError, unknown_name
from lmrl_envs.progress import track
from lmrl_envs.recipes import Recipe, Split, find_recipe
from lmrl_envs.registration import load_attribute, reference_scores

__all__ = [
    "NO_CHAT",
    "DatasetMetadata",
    "TextDataset",
    "TurnColumns",
    "content_hash",
    "load_dataset",
    "write_dataset",
    "write_episodes",
]


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
            return cls(*read_episodes(path))
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException, ValueError, TypeError, KeyError) as error:
            raise DatasetError(f"{path}: cut short, edited, or not a dataset ({error}); {REMEDY}") from error

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
        episodes = read_chats(Path(path), env_id, dropped if on_error == "skip" else None)
        first = list(itertools.islice(episodes, 1))
        given = metadata or DatasetMetadata(env_id=first[0].env_id if first else None)
        summary = Summary(dataclasses.replace(given, dropped=dropped))
        read = batches(itertools.chain(first, episodes), summary)
        return cls(pa.Table.from_batches(read, SCHEMA), summary.metadata())

    def __len__(self) -> int:
        return self._table.num_rows

    def __iter__(self) -> Iterator[Episode]:
        for rows in blocks(self._table):
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
        write_chats(Path(path), self)

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
                f"the file holds {getattr(dataset.metadata, name)!r}; {REMEDY}"
            )
    return dataset


def content_hash(
    dataset_id: str, *, split: Split = "train", root: Path | str | None = None, **variant: Any
) -> str | None:
    """`metadata.content_hash` of the dataset that `load_dataset` loads with these arguments.

    Where the hash leaves rewards out, no model is asked for them.

    Raises:
        as `load_dataset`.
    """
    recipe = find_recipe(dataset_id)
    recipe.resolve(dataset_id, split, variant)
    given = _original(recipe, variant) if recipe.learned_rewards else variant
    return load_dataset(dataset_id, split=split, root=root, **given).metadata.content_hash


def write_dataset(path: Path | str, episodes: Iterable[Episode], metadata: DatasetMetadata) -> TextDataset:
    """Writes a file of episodes and reads it back. The file that was there is replaced whole, or stays as it was.

    Raises:
        ValueError: an episode cannot be stored; the message has its number and says why.
        DatasetError: the file cannot be written: no space, no permission.
    """
    write_episodes(path, episodes, metadata)
    return TextDataset.read(path)


def _made(
    recipe: Recipe,
    dataset_id: str,
    split: Split,
    given: Mapping[str, Any],
    root: Path | str | None,
    dropped: Counter[str],
) -> Iterable[Episode]:
    """The episodes of a dataset that is not there yet: generated, or another one's with new rewards."""
    original = _original(recipe, given)
    variant, games = recipe.resolve(dataset_id, split, given)
    if recipe.relabel is None or variant == recipe.resolve(dataset_id, split, original)[0]:
        return recipe.episodes(dataset_id, split, variant, games, dropped)
    task = recipe.task(variant)
    return load_attribute(recipe.relabel)(task, load_dataset(dataset_id, split=split, root=root, **original))


def _original(recipe: Recipe, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the dataset whose episodes a variant shares, with which they are generated."""
    return {name: value for name, value in given.items() if name not in recipe.rewards_only} | dict(recipe.relabels)


def _flat(table: pa.Table, name: str) -> tuple[np.ndarray, pa.Array]:
    """A column of lists as (N + 1,) int64 offsets and its values."""
    column = table[name].combine_chunks()
    offsets = np.zeros(len(column) + 1, np.int64)
    np.cumsum(pc.list_value_length(column).to_numpy(), out=offsets[1:])
    return offsets, column.flatten()
