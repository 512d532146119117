"""The wheel holds the library alone and works without the clone, beside another package called `agents`."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

LIBRARY = """
import sys
import gymnasium as gym
import lmrl_envs
from lmrl_envs.datasets import load_dataset
from lmrl_envs.evaluate import evaluate
from lmrl_envs.policies import ScriptedPolicy
from lmrl_envs.registration import TASKS

assert lmrl_envs.__file__.startswith(sys.prefix), lmrl_envs.__file__
envs = gym.make_vec("Wordle-v0", num_envs=2, words="common-40")
envs.reset(seed=0)
envs.step(["crane", "moist"])
data = load_dataset("wordle/human-v0", words="common-40", games=20)
result = evaluate(ScriptedPolicy("crane"), "Wordle-v0", episodes="all", env_kwargs={"words": "common-40"})
print(len(data), len(result.returns), "torch" in sys.modules)
for env_id in TASKS:
    gym.make(env_id).reset(seed=0)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, another package called `agents`, and what the wheel depends on.

    The dependencies lie in the environment of the tests, which comes last and whose link to the clone does not count.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True, timeout=120)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "agents").mkdir()
    (site / "agents" / "__init__.py").write_text("")
    dependencies = str(Path(pytest.__file__).parents[1])
    (site / "dependencies.pth").write_text(f"import sys; sys.path.append({dependencies!r})\n")
    return python


def run(python: Path, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_the_wheel_is_small_and_holds_the_library_with_its_words_and_licences(wheel):
    assert wheel.stat().st_size < 10 * 2**20
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0] for name in names} == {"lmrl_envs", f"lmrl_envs-{VERSION}.dist-info"}
    tracked = subprocess.run(["git", "ls-files", "lmrl_envs"], cwd=ROOT, capture_output=True, text=True)
    assert set(tracked.stdout.split()) <= names
    assert {"lmrl_envs/py.typed", "lmrl_envs/wordle/words/common-2315.txt"} <= names
    assert {name.rpartition("licenses/")[2] for name in names if "licenses/" in name} == {"LICENSE", "NOTICE"}


def test_the_library_works_without_the_clone(python, tmp_path):
    done = run(python, LIBRARY, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "20 40 False\n"


def test_agents_is_the_clones_or_a_clear_error(python, tmp_path):
    code = f"""
import sys
sys.path.append({str(ROOT)!r})
from leaderboards.sources import our_agents
print(our_agents().__file__)
"""
    inside = run(python, code, ROOT)
    assert inside.stdout == f"{ROOT / 'agents' / '__init__.py'}\n", inside.stderr
    outside = run(python, code, tmp_path)
    error = outside.stderr.splitlines()[-1]
    assert error.startswith(f"ImportError: expected the package 'agents' of {ROOT}, got {python.parents[1]}")
    assert "Use the clone's own environment (.venv), or start from the clone's folder" in error
