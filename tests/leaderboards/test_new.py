from __future__ import annotations

import subprocess
import sys

import pytest

from leaderboards.new import class_name, files, write


def python(*arguments: str, folder) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120)


def test_what_is_written_passes_its_own_test(tmp_path):
    done = python("-m", "leaderboards.new", "my_idea", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my_idea.py", "test_my_idea.py"]
    first, test, run = done.stdout.splitlines()
    assert first == "my_idea.py is the algorithm, test_my_idea.py its test. From this folder:"
    assert run == f"  {sys.executable} -m leaderboards.run --suite quick --task Wordle-v0 --algorithm my_idea:MyIdea"
    assert test == f"  {sys.executable} -m pytest test_my_idea.py"
    done = python(*test.split()[1:], folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


@pytest.mark.parametrize("taken", ["my_idea.py", "test_my_idea.py"])
def test_nothing_is_overwritten(tmp_path, taken):
    (tmp_path / taken).write_text("mine")
    done = python("-m", "leaderboards.new", "my_idea", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"error: {taken} is there already; take another name, or remove it\n"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(taken, "mine")]


@pytest.mark.parametrize("module", ["my-idea", "2nd", "class", "none", "_", "../idea", "pkg.idea", ""])
def test_a_name_that_cannot_be_imported_is_refused(module):
    with pytest.raises(ValueError, match="expected the name of a module, such as 'my_algorithm', got"):
        files(module)


@pytest.mark.parametrize("module", ["torch", "agents", "json"])
def test_a_name_that_is_taken_is_refused(tmp_path, module):
    with pytest.raises(ValueError, match=f"finds another module under the name '{module}'"):
        write(module, tmp_path)
    assert not list(tmp_path.iterdir())


def test_classes_are_named_after_their_module():
    assert [class_name(name) for name in ("my_algorithm", "ilql2", "myIdea")] == ["MyAlgorithm", "Ilql2", "MyIdea"]
