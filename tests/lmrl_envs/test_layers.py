from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import agents

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "lmrl_envs": {"lmrl_envs"},
    "agents": {"lmrl_envs", "agents"},
    "leaderboards": {"lmrl_envs", "agents", "leaderboards"},
    "data_scripts": {"lmrl_envs", "agents", "data_scripts"},
    "tests": {"lmrl_envs", "agents", "leaderboards", "data_scripts", "tests"},
}


def imported(path: Path) -> Iterator[str]:
    """Modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_imports_point_one_way(layer: str) -> None:
    files = list((ROOT / layer).rglob("*.py"))
    assert files
    for path in files:
        ours = {module.split(".")[0] for module in imported(path)} & MAY_IMPORT.keys()
        assert ours <= MAY_IMPORT[layer], f"{path.relative_to(ROOT)} imports {ours - MAY_IMPORT[layer]}"


def test_algorithms_never_import_each_other() -> None:
    modules = {where.split(":")[0] for where in agents.ALGORITHMS.values()}
    for module in modules:
        found = {name for name in imported(ROOT / f"{module.replace('.', '/')}.py") if name.startswith("agents.")}
        others = {name for name in found if any(name == other or name.startswith(f"{other}.") for other in modules)}
        assert not others, f"{module} imports {others}"


def test_tests_are_no_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("statement", ["import lmrl_envs", "import lmrl_envs, gymnasium; gymnasium.make('Wordle-v0')"])
def test_importing_and_making_wordle_leave_heavy_packages_out(statement: str) -> None:
    code = (
        f"import sys; {statement}; print(sorted({{'torch', 'transformers', 'pandas', 'pyarrow'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_gymnasium_finds_the_task_by_module() -> None:
    code = "import gymnasium; print(gymnasium.make('lmrl_envs:Wordle-v0').reset(seed=0)[1]['success'])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
