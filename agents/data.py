"""From a dataset to the batches of a training run: tokenised once, kept on the disk, drawn by a budget of tokens."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agents.algorithm import Algorithm
from agents.batch import TokenBatch, TokenStore
from lmrl_envs.datasets import TextDataset
from lmrl_envs.files import file_hash, home, lock

logger = logging.getLogger(__name__)
_CACHE_VERSION = 1
_hashes: dict[tuple[int, ...], str] = {}


def encode_dataset(algorithm: Algorithm, data: TextDataset, *, truncate: bool | None = None) -> TokenStore:
    """A dataset as tokens; `truncate` stands for the algorithm's own setting where given.

    They are kept under `$LMRL_HOME/tokens` as memory-mapped arrays, in a folder named by the hashes of data and
    tokenizer; what is there is used only if its own hashes agree, and made again otherwise. An algorithm with an
    `encode` of its own is encoded each time.

    Raises:
        ValueError: an episode has no agent token or does not fit into the model's context.
    """
    longest = algorithm.context_length
    truncate = algorithm.config.truncate if truncate is None else truncate

    def make() -> dict[str, np.ndarray]:
        store = TokenStore.from_rows(map(algorithm.encode, data), max_length=longest, truncate=truncate)
        return {name: getattr(store, name) for name in TokenStore.FIELDS}

    if type(algorithm).encode is not Algorithm.encode:
        return TokenStore(**make())
    identity = f"{_CACHE_VERSION} {data.fingerprint} {algorithm.tokenizer.fingerprint} {longest} {truncate}"
    limit = f"{'cut' if truncate else 'max'}{longest}"
    name = f"{data.fingerprint[:16]}-{algorithm.tokenizer.fingerprint[:16]}-{limit}-v{_CACHE_VERSION}"
    return TokenStore(**kept_arrays("tokens", name, identity, make))


def kept_arrays(
    kind: str, name: str, identity: str, make: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Arrays kept under `$LMRL_HOME/<kind>/<name>`, memory-mapped.

    What is there is used only if it says the same `identity` and its hashes agree, and made again otherwise.
    """
    folder = home() / kind / name
    with lock(folder):
        kept = _read(folder, identity)
        if kept is None:
            made = make()
            _write(folder, identity, made)
            kept = _read(folder, identity) or dict(made)
    return kept


def _write(folder: Path, identity: str, arrays: Mapping[str, np.ndarray]) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array)
        hashes = {name: _hash(temporary / f"{name}.npy") for name in arrays}
        (temporary / "index.json").write_text(json.dumps({"identity": identity, "files": hashes}), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read(folder: Path, identity: str) -> dict[str, np.ndarray] | None:
    """The arrays in `folder`, or None where they are missing, cut short, edited or of something else."""
    if not folder.exists():
        return None
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        names = list(index["files"])
        whole = index["identity"] == identity and all(
            _hash(folder / f"{name}.npy") == index["files"][name] for name in names
        )
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        logger.warning("%s: stale, cut short or edited; making it again", folder)
        return None
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}


def _hash(path: Path) -> str:
    """As `file_hash`, once in a process for each state of a file: a run opens its tokens several times."""
    about = path.stat()
    state = about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns  # renaming keeps them
    if state not in _hashes:
        _hashes[state] = file_hash(path)
    return _hashes[state]


class Batches:
    """Which rows make up each step: a new order each epoch, cut where the budget of tokens is full.

    The position (`epoch`, `cursor`) says everything that is to come, so a run can stop and go on.
    """

    def __init__(
        self, lengths: np.ndarray, tokens_per_batch: int, *, seed: int, weights: np.ndarray | None = None
    ) -> None:
        if tokens_per_batch < lengths.max():
            raise ValueError(
                f"tokens_per_batch={tokens_per_batch} is smaller than the longest episode, "
                f"{lengths.max()} tokens; take at least that"
            )
        self.lengths, self.budget, self.seed = lengths, tokens_per_batch, seed
        self.weights = None if weights is None else weights / weights.sum()
        self.move(0, 0)

    def move(self, epoch: int, cursor: int) -> None:
        """Goes to a position that was noted earlier."""
        self.epoch, self.cursor = epoch, cursor
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=(epoch,))))
        n = len(self.lengths)
        self.order = rng.permutation(n) if self.weights is None else rng.choice(n, size=n, p=self.weights)
        self.ends = self.lengths[self.order].cumsum()

    def next(self) -> np.ndarray:
        """The rows of the next step, shortest first, so that rows of equal length stand together."""
        if self.cursor == len(self.order):
            self.move(self.epoch + 1, 0)
        before = self.ends[self.cursor - 1] if self.cursor else 0
        stop = int(np.searchsorted(self.ends, before + self.budget, side="right"))
        rows = self.order[self.cursor : stop]
        self.cursor = stop
        return rows[np.argsort(self.lengths[rows], kind="stable")]


class Step(NamedTuple):
    """What one optimiser step reads."""

    parts: list[TokenBatch]
    """The step's rows, in as many batches as gradients are accumulated over."""
    rows: np.ndarray
    """Which episodes these are."""
    tokens: int
    """Real tokens in all parts."""
    position: tuple[int, int]
    """Where `Batches` stands after it."""


def steps(
    store: TokenStore, batches: Batches, *, columns: Mapping[str, np.ndarray] | None = None, parts: int = 1
) -> Generator[Step]:
    """Endless steps, each collated in a thread while the one before is computed."""

    def collate() -> Step:
        rows = batches.next()
        position, tokens = (batches.epoch, batches.cursor), int(store.lengths[rows].sum())
        pieces = [piece for piece in np.array_split(rows, parts) if len(piece)]
        return Step([store.batch(piece, columns) for piece in pieces], rows, tokens, position)

    with ThreadPoolExecutor(1, thread_name_prefix="collate") as pool:
        upcoming = pool.submit(collate)
        while True:
            step = upcoming.result()
            upcoming = pool.submit(collate)
            yield step
