from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`make` in a folder that holds the Makefile and what it installs from, as a fresh clone does."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, timeout=60)


def test_constraints_pin_every_dependency_and_nothing_else_is_installed_for_tests():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for name, version in (line.split("==") for line in lines if line and not line.startswith("#"))
    }
    extras = PROJECT["optional-dependencies"]
    needed = [*PROJECT["dependencies"], *extras["bench"], *extras["dev"]]
    names = [re.split(r"[^A-Za-z0-9_.-]", text)[0] for text in needed]
    assert [name for name in names if re.sub(r"[-_.]+", "-", name).lower() not in pinned] == []


def test_extras_are_the_documented_ones():
    assert set(PROJECT["optional-dependencies"]) == {"bench", "chat", "profanity", "reddit", "visdial", "dev"}


def test_changelog_and_citation_name_this_version():
    version = PROJECT["version"]
    assert metadata.version("lmrl-envs") == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == version
    assert citation["license"] == PROJECT["license"] == "MIT"


def test_make_alone_lists_the_targets(tmp_path):
    done = make(tmp_path)
    assert done.returncode == 0
    listed = re.findall(r"^  make (\S+)", done.stdout, re.MULTILINE)
    assert listed == ["help", "leaderboard", "test", "test-all", "benchmark", "check", "clean"]


def test_make_says_that_python_is_missing(tmp_path):
    done = make(tmp_path, "test", "PYTHON=python-that-is-not-there")
    assert done.returncode != 0
    assert "Install Python 3.11 or later" in done.stdout


def test_make_says_that_python_is_too_old(tmp_path):
    old = script(tmp_path, "old", 'case "$1" in -V) echo Python 3.9.1 ;; *) exit 1 ;; esac')
    done = make(tmp_path, "test", f"PYTHON={old}")
    assert done.returncode != 0
    assert "needs Python 3.11 or later" in done.stdout
    assert "Python 3.9.1" in done.stdout


def test_make_says_that_venv_is_missing(tmp_path):
    no_venv = script(tmp_path, "no-venv", 'case "$2" in *ensurepip*) exit 1 ;; esac')
    done = make(tmp_path, "test", f"PYTHON={no_venv}")
    assert done.returncode != 0
    assert "apt-get install python3-venv" in done.stdout
    assert not (tmp_path / ".venv").exists()


def test_the_ci_entry_can_be_run():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
