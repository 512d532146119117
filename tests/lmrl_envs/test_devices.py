from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from lmrl_envs.devices import peak_memory, resolve_device, set_threads


def test_auto_is_a_card_where_there_is_one():
    assert resolve_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:99"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(ValueError, match=rf"device '{name}' cannot be used \(.*; try 'auto' or 'cpu'"):
        resolve_device(name)


def test_set_threads():
    before = torch.get_num_threads()
    try:
        set_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        set_threads(before)
    with pytest.raises(ValueError, match="at least 1 thread, got 0"):
        set_threads(0)


def test_peak_memory_is_that_of_this_program_alone():
    """Not that of the process which started it, here one that holds 400 MB."""
    held = bytearray(400_000_000)
    code = "from lmrl_envs.devices import peak_memory; print(peak_memory()); x = bytearray(10**8); print(peak_memory())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, run.stdout.split())
    assert before < 150_000_000 < len(held) < peak_memory()
    assert 0.9e8 < after - before < 1.2e8


def test_importing_is_light():
    code = "import sys, lmrl_envs.devices; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
