"""What a result was made with: versions, commit and machine, as plain JSON."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

_NAME = "lmrl-envs"
_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = (
    "gymnasium", "numpy", "pandas", "pyarrow", "safetensors", "scikit-learn", "scipy", "tokenizers", "torch",
    "transformers",
)  # fmt: skip


def provenance() -> dict[str, Any]:
    """Describes code and machine. Names no host, no user and no path; imports nothing heavy.

    Keys: `library` and `python` (versions), `packages` (name -> version, None where not installed), `commit` and
    `dirty` (of the clone that the library runs from; None where it does not), `platform`, `processor`, `cores` (that
    this process may use), `threads` (of torch; None where torch is not loaded) and `card` (None without one).
    """
    torch = sys.modules.get("torch")
    return {
        "library": library_version(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        **_git(_ROOT),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads() if torch else None,
        "card": torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None,
    }


@cache
def library_version() -> str | None:
    """The version of this library: of the clone that it runs from, installed or not, else of the installed package."""
    project = _ROOT / "pyproject.toml"
    if project.exists():
        described = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
        if described.get("name") == _NAME:
            return described["version"]
    return _version(_NAME)


@cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache  # the code that this process loaded does not change with a later commit
def _git(root: Path) -> dict[str, Any]:
    """Commit of the repository whose root is `root`; an installed package inside another repository is not its."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()

    try:
        if (root / ".git").exists():
            return {
                "commit": git("rev-parse", "HEAD"),
                "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
            }
    except (OSError, subprocess.SubprocessError):
        pass  # no git here, or it does not trust the folder: the commit is unknown
    return {"commit": None, "dirty": None}


@cache
def _processor() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor()) or None
