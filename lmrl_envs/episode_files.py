"""Files of episodes: one Parquet file with one row an episode, `DatasetMetadata` and a hash of its bytes in its footer.

A file is written and summed up in blocks of episodes, in constant memory.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lmrl_envs import files
from lmrl_envs.core import Episode
from lmrl_envs.errors import DatasetError
from lmrl_envs.provenance import library_version
from lmrl_envs.registration import ReferenceScores, plain_json

FORMAT_VERSION = 1
SCHEMA = pa.schema(
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
REMEDY = "delete it, and load_dataset makes it again"
_METADATA_KEY, _HASH_KEY = "lmrl_envs", "lmrl_envs.sha256"
_BLANK = "0" * 64  # stands for the hash of a file's bytes while that is taken, so that the file can hold it
_BLOCK = 4096  # episodes that are Python objects at one time
encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True).encode
"""Canonical JSON."""


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


def write_episodes(path: Path | str, episodes: Iterable[Episode], metadata: DatasetMetadata) -> DatasetMetadata:
    """Writes a file as `write_dataset` does, and reads nothing back: in constant memory, however many there are."""
    path = Path(path)
    summary = Summary(metadata)
    try:
        with files.atomic_path(path) as temporary:
            with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
                for batch in batches(episodes, summary):
                    writer.write_batch(batch)
                footer = {_METADATA_KEY: encode(summary.metadata().to_json()), _HASH_KEY: _BLANK}
                writer.add_key_value_metadata(footer)
            _seal(temporary)
    except OSError as error:
        raise DatasetError(f"cannot write {path} ({error}); what was there before is unchanged") from error
    return summary.metadata()


def read_episodes(path: Path) -> tuple[pa.Table, DatasetMetadata]:
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
            raise DatasetError(f"{path}: edited: expected SHA-256 {expected}, got {digest.hexdigest()}; {REMEDY}")
        return file.read().cast(SCHEMA), DatasetMetadata.from_json(fields)


def _seal(path: Path) -> None:
    """Puts the hash of a file's bytes into its footer, where a blank of the same length held its place."""
    digest = files.file_hash(path)
    with path.open("rb+") as file, mmap.mmap(file.fileno(), 0) as data:
        place = data.rfind(_BLANK.encode())
        data[place : place + len(digest)] = digest.encode()


class Summary:
    """Counts and hashes of the rows seen so far, tuples as in `SCHEMA`."""

    def __init__(self, given: DatasetMetadata):
        self.given = given
        self.episodes = self.turns = 0
        self.total_return = 0.0
        self._content, self._learned = hashlib.sha256(), hashlib.sha256()
        self._names = SCHEMA.names[: 4 if given.learned_rewards else 5]

    def add(self, rows: Sequence[tuple]) -> None:
        """Counts them in."""
        self.episodes += len(rows)
        self.turns += sum(len(row[2]) for row in rows)
        self.total_return += sum(sum(row[4]) for row in rows)
        # zip stops after the columns that content is made of
        self._content.update(_lines(dict(zip(self._names, row, strict=False)) for row in rows))
        if self.given.learned_rewards:
            self._learned.update(_lines(row[4] for row in rows))

    def metadata(self) -> DatasetMetadata:
        """What was given, with what was seen."""
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
    return "".join([encode(value) + "\n" for value in values]).encode()


def blocks(table: pa.Table) -> Iterator[list[tuple]]:
    """The rows as Python objects, some thousands at a time."""
    for batch in table.to_batches(max_chunksize=_BLOCK):
        yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def batches(episodes: Iterable[Episode], summary: Summary) -> Iterator[pa.RecordBatch]:
    """Encodes episodes as Arrow, adding them to `summary`."""
    numbered = enumerate(episodes)
    while block := list(itertools.islice(numbered, _BLOCK)):
        rows = [_row(number, episode, summary.given.env_id) for number, episode in block]
        summary.add(rows)
        yield pa.record_batch([list(column) for column in zip(*rows, strict=True)], schema=SCHEMA)


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
        info = encode(plain_json(episode.info))
        info.encode()
    except UnicodeEncodeError as error:
        raise refuse(f"a text has a lone surrogate ({error}); lmrl_envs.clean makes any text safe") from None
    except (TypeError, ValueError) as error:
        raise refuse(f"expected texts as str and info as plain JSON: {error}") from None
    behaviour = episode.info.get("behaviour")
    if not isinstance(behaviour, str | None):
        raise refuse(f"info['behaviour'] names the policy: expected a str, got {behaviour!r}")
    return (episode.seed, behaviour, roles, texts, rewards, episode.terminated, episode.truncated, info)
