"""Time to generate and to load 100,000 games of `wordle/human-v0` on `common-2315`, and the memory that they take."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lmrl_envs.datasets import load_dataset

HUMAN = "wordle/human-v0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("datasets")


def test_generate(benchmark, folder):
    """Under 60 s on one core; the reference scores are found before, as they are once a process."""
    load_dataset(HUMAN, games=10, root=folder)
    data = benchmark.pedantic(load_dataset, (HUMAN,), {"root": folder}, rounds=1)
    assert len(data) == 100_000


def test_load(benchmark, folder):
    data = benchmark(load_dataset, HUMAN, root=folder)
    assert len(data) == 100_000


def test_iterate(benchmark, folder):
    """Every game as an `Episode`."""
    data = load_dataset(HUMAN, root=folder)
    assert benchmark.pedantic(lambda: sum(1 for _ in data), rounds=1) == 100_000


def test_memory(benchmark, folder):
    """A process that loads the games, looks at one and at all returns stays under 500 MB, imports included."""
    code = f"""
from lmrl_envs.datasets import load_dataset
from lmrl_envs.devices import peak_memory
data = load_dataset({HUMAN!r}, root={str(folder)!r})
data[len(data) // 2], data.returns, data.columns()
print(peak_memory() // 10**6)
"""
    load_dataset(HUMAN, root=folder)
    megabytes = int(benchmark.pedantic(subprocess.check_output, ([sys.executable, "-c", code],), rounds=1))
    benchmark.extra_info["megabytes"] = megabytes
    assert megabytes < 500
