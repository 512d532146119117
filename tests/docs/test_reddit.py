"""The page on Reddit's judges: its code runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lmrl_envs.reddit.rewards import WEIGHTS

if not (WEIGHTS / "linear").is_dir():
    pytest.skip("the reward models are not trained to the end yet", allow_module_level=True)
PAGE = (Path(__file__).parents[2] / "docs" / "reddit.md").read_text(encoding="utf-8")


def test_the_code_runs_as_shown(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    first, gap = done.stdout.splitlines()
    assert float(first.split()[0]) == 0.0
    assert gap.startswith("model reward minus true reward: ")
    assert "copies=None" in gap
