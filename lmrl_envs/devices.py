"""Where torch runs: the device by name, and the number of threads; and the memory that a process has had."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def resolve_device(name: str = "auto") -> torch.device:
    """The device of that name; `"auto"` is the first CUDA card where there is one, else the CPU.

    Raises:
        ValueError: torch knows no such device, or this machine has none.
    """
    import torch  # noqa: PLC0415  (heavy: the tasks and datasets work without it)

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)  # fails here and now where the machine has no such device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0].split(". ")[0]  # torch adds pages
        raise ValueError(f"device {name!r} cannot be used ({reason}); try 'auto' or 'cpu'") from error
    return device


def set_threads(count: int) -> None:
    """Sets the number of CPU threads of torch's operations in this process.

    One is the right number for the small models here: on a loaded machine with two cores, two threads a process were
    up to 12 times slower than one, since they wait for each other by spinning.

    Raises:
        ValueError: `count` is less than 1.
    """
    import torch  # noqa: PLC0415  (heavy: the tasks and datasets work without it)

    if count < 1:
        raise ValueError(f"expected at least 1 thread, got {count}")
    torch.set_num_threads(count)


def peak_memory() -> int:
    """Bytes of main memory that this process has held at most.

    Where Linux tells it of the program alone: its `getrusage` counts what the process held before it became this
    program, which is the size of the one that started it.
    """
    proc = Path("/proc/self/status")
    status = proc.read_text(encoding="utf-8", errors="replace") if proc.exists() else ""
    told = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    if told:
        return 1024 * int(told[1])
    import resource  # noqa: PLC0415  (Unix alone has it)

    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else 1024 * held
