from __future__ import annotations

import getpass
import json
import platform
import subprocess
import sys
import tomllib
from pathlib import Path

import lmrl_envs
from lmrl_envs import provenance as provenance_module
from lmrl_envs.provenance import library_version, provenance

ROOT = Path(lmrl_envs.__file__).parents[1]


def test_is_plain_json_and_names_nobody():
    text = json.dumps(provenance(), allow_nan=False)
    for private in (str(ROOT), str(Path.home()), platform.node()):
        assert f'"{private}' not in text
    assert f"/{getpass.getuser()}/" not in text
    assert json.loads(text) == provenance()


def test_versions_and_machine():
    found = provenance()
    assert found["python"] == platform.python_version()
    assert found["packages"]["numpy"] == __import__("numpy").__version__
    assert found["cores"] >= 1


def test_the_version_of_a_clone_is_known_without_installing(monkeypatch):
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    def missing(package):
        raise provenance_module.metadata.PackageNotFoundError(package)

    assert library_version() == declared
    monkeypatch.setattr(provenance_module.metadata, "version", missing)
    library_version.cache_clear()
    provenance_module._version.cache_clear()
    try:
        assert library_version() == declared
        monkeypatch.setattr(provenance_module, "_ROOT", ROOT / "tests")
        library_version.cache_clear()
        assert library_version() is None
    finally:
        library_version.cache_clear()
        provenance_module._version.cache_clear()


def test_commit_is_that_of_the_clone_alone():
    found = provenance()
    head = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True)
    if (ROOT / ".git").exists() and head.returncode == 0:
        assert found["commit"] == head.stdout.strip()
        assert isinstance(found["dirty"], bool)
    else:
        assert (found["commit"], found["dirty"]) == (None, None)


def test_imports_nothing_heavy():
    code = "import sys, lmrl_envs.provenance as p; print(p.provenance()['threads'], 'torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["None", "False"]
