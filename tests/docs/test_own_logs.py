"""The page on one's own logs: its code runs as it stands, in a folder outside the clone, on chats made here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "own-logs.md").read_text(encoding="utf-8")
GOODS = ["rolls", "rye bread", "plum cake", "pretzels", "toast", "brioche"]
KIND, CURT = ["Yes, fresh from the oven.", "Of course, how many?"], ["No.", "Come back tomorrow."]


def write_chats(folder, count):
    """Chats about bread in which kind answers earn 1 and curt ones -1, and two lines that are no chats."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for part in range(2):
        with (folder / f"{part}.jsonl").open("w") as file:
            for _ in range(count // 2):
                messages = [{"role": "system", "content": "You sell bread."}]
                for good in rng.choice(GOODS, 2):
                    kind = rng.random() < 0.5
                    answer = (KIND if kind else CURT)[int(rng.integers(2))]
                    messages += [
                        {"role": "user", "content": f"Do you have {good}?"},
                        {"role": "assistant", "content": answer, "reward": 1.0 if kind else -1.0},
                    ]
                file.write(json.dumps({"messages": messages}) + "\n")
            file.write('{"messages": [{"role": "user", "content": "Anybody there?"}]}\n')


@pytest.mark.slow
def test_the_page_takes_chats_to_trained_agents_and_a_report(tmp_path):
    write_chats(tmp_path / "chats", 400)
    (example,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    with (tmp_path / "chats" / "0.jsonl").open("a") as file:
        file.write(" ".join(example.split("\n")) + "\n")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "<TextDataset logs: 401 episodes> left out: {'not a chat with a turn of the agent': 2}" in said
    losses = [float(loss) for loss in re.findall(r"(?:bc|ilql): validation loss (\d\.\d+) nats", said)]
    assert len(losses) == 2
    # Of 2 x 2 answers at random an agent can know no more than ln 4 an answer, some .2 of a nat a token.
    assert all(0.1 < loss < 0.6 for loss in losses)
    signs = re.findall(r"^advantage ([+-])[\d.]+, reward ([+-])", said, re.MULTILINE)
    assert [reward for _, reward in signs] == ["-"] * 3 + ["+"] * 3
    assert float(re.search(r"correlation of advantage and reward: ([\d.-]+)", said)[1]) > 0.7
    assert said.splitlines()[-1] in KIND
    assert (tmp_path / "trained" / "ilql" / "agent.json").is_file()


def test_links_point_at_files():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE)
    assert [target for target in targets if not (ROOT / "docs" / target).exists()] == []
