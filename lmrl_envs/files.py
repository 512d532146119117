"""Files that survive a kill: written to a temporary name and renamed; hashes; the cache folder."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary file beside `path`, which replaces `path` when the block ends without an error.

    On an error (a full disk, Ctrl-C) the old file is as it was and the temporary one is gone. A kill leaves at most a
    file whose name starts with a dot.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:  # what is renamed must be on the disk, or a power cut leaves an empty file
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: str | bytes) -> None:
    """Writes a whole small file (text as UTF-8, `\\n` as it is) so that readers see the old one or the new one."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def home() -> Path:
    """The folder for generated data: `$LMRL_HOME`, else `lmrl_envs` in the user's cache folder. Made when missing.

    Raises:
        PermissionError: the folder cannot be made or written to; the message names the variable.
    """
    folder = Path(os.environ.get("LMRL_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "lmrl_envs")
    try:
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError) as error:  # RuntimeError: `~`, and this user has no home folder
        raise PermissionError(
            f"cannot write to {folder} ({error}); set the variable LMRL_HOME to a folder that can be written to"
        ) from error
    return folder


def lock(path: Path) -> FileLock:
    """A lock between processes for the file or folder `path`; `with lock(path):` waits for its turn."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_name(f".{path.name}.lock"))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def between_markers(page: str, name: str, content: str) -> str:
    """A page with `content` between the markers of that name.

    Raises:
        ValueError: the page lacks them.
    """
    marked = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    page, found = marked.subn(lambda match: match[1] + content + match[2], page)
    if not found:
        raise ValueError(f"expected a page with the lines '<!-- {name}: ... -->' and '<!-- end of {name} -->'")
    return page
