"""What agents/README.md shows is run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import agents
from agents.batch import collate
from agents.trainer import train
from tests.agents.games import NANO, make_episode

FOLDER = Path(agents.__file__).parent
TEXT = (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def r_gold(tmp_path, monkeypatch) -> type:
    """The agent of the page, from a folder outside the clone."""
    (code,) = [
        block for block in re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE) if "RGold" in block
    ]
    assert len(code.splitlines()) < 80
    (tmp_path / "r_gold.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "r_gold", raising=False)
    return agents.algorithm_class("r_gold:RGold")


def test_a_new_likelihood_agent_trains_from_the_page_and_comes_back(r_gold, games, tokenizer, tmp_path):
    config = r_gold.Config(model=NANO, steps=20, tokens_per_batch=300, device="cpu", u=0.2, max_weight=0.5)
    result = train(r_gold(config, tokenizer), games, out=tmp_path / "run")
    loaded = agents.load(result.checkpoint, device="cpu", algorithm=r_gold)
    assert loaded.map.low.item() == -6.0
    assert loaded.policy(temperature=0.0).act([[]]) == result.algorithm.policy(temperature=0.0).act([[]])
    batch = collate([loaded.encode(make_episode(["crane"])), loaded.encode(make_episode(["at", "sloth"]))])
    tokens, logp = loaded.log_probs(batch)
    R = torch.tensor([0.5, 0.3])
    batch.columns["weight"] = R[:, None].expand(batch.action_mask.shape)
    expected = -(R[tokens.row] * logp.exp().clamp(min=0.2) * logp).sum() / 2
    assert loaded.loss(batch)[0].item() == pytest.approx(expected.item(), rel=1e-5)


def test_its_command_line_is_there_too(r_gold, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "r_gold", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(FOLDER.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--u U" in done.stdout
    assert "--priority" in done.stdout


def test_every_agent_has_its_row_and_every_row_names_what_exists():
    table = re.findall(r"^\| `(\w+)` \| .*? \| .*? \| (.*?) \| .* \|$", TEXT.replace("\\|", "/"), re.MULTILINE)
    rows = {name: functions for name, functions in table if name in agents.ALGORITHMS}
    assert rows.keys() == agents.ALGORITHMS.keys()
    for name, functions in rows.items():
        for module, attribute in re.findall(r"`(\w+)\.(\w+)`", functions):
            if module != "TextDataset":
                assert attribute in (FOLDER / f"{module}.py").read_text(encoding="utf-8"), (name, attribute)
