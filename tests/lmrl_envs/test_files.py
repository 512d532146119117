from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lmrl_envs.files import atomic_path, between_markers, file_hash, home, lock, write_atomic


def test_write_replaces_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_atomic(path, "é\n")
    assert path.read_bytes() == b"\xc3\xa9\n"
    write_atomic(path, b"\0")
    assert path.read_bytes() == b"\0"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    write_atomic(tmp_path / "ours", "x")
    (tmp_path / "plain").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            raise error

    path = tmp_path / "file.txt"
    write_atomic(path, "old")
    with pytest.raises(type(error)):
        write_half()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_a_killed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_atomic(path, "old")
    code = (
        "import os, signal, sys; from pathlib import Path; from lmrl_envs.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half of the n'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    assert path.read_text() == "old"
    assert all(entry.name.startswith(".") for entry in tmp_path.iterdir() if entry != path)


def test_file_hash_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_hash(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_home_is_made_and_named_by_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMRL_HOME", str(tmp_path / "a" / "b"))
    assert home() == tmp_path / "a" / "b"
    assert home().is_dir()
    assert list(home().iterdir()) == []
    monkeypatch.delenv("LMRL_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert home() == tmp_path / "cache" / "lmrl_envs"


def test_home_that_cannot_be_made_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LMRL_HOME", str(tmp_path / "file" / "below"))
    with pytest.raises(PermissionError, match="LMRL_HOME"):
        home()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_home_that_cannot_be_written_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("LMRL_HOME", str(tmp_path))
    with pytest.raises(PermissionError, match="LMRL_HOME"):
        home()


def test_lock_keeps_another_process_out(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from filelock import Timeout; from lmrl_envs.files import lock\n"
        "try: lock(Path(sys.argv[1])).acquire(timeout=0.05)\n"
        "except Timeout: sys.exit(3)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "data")]
    with lock(tmp_path / "data"):
        assert subprocess.run(command, check=False).returncode == 3
    assert subprocess.run(command, check=False).returncode == 0


def test_what_stands_between_markers_is_replaced() -> None:
    page = "a\n<!-- table: by a script -->\nold\n<!-- end of table -->\nb\n"
    assert between_markers(page, "table", "new\n") == page.replace("old", "new")
    with pytest.raises(ValueError, match="'<!-- end of figure -->'"):
        between_markers(page, "figure", "new\n")
