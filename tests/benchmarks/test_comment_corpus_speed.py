"""Time to generate Reddit's corpus and dataset and to read a Pushshift dump of 1 GB, and the memory that takes."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from lmrl_envs.datasets import load_dataset
from lmrl_envs.reddit.corpus import SIZES, comments

GIGABYTE = 10**9
_LINES = 5000  # written at a time


def test_generate_corpus(benchmark):
    """All parts, truth and labels included: under 60 s on one core."""
    made = benchmark.pedantic(lambda: sum(len(comments(part)) for part in SIZES), rounds=1)
    assert made == sum(SIZES.values()) >= 200_000


def test_generate_dataset(benchmark, tmp_path):
    options = {"root": tmp_path, "reward": "upvotes_real"}
    data = benchmark.pedantic(load_dataset, ("reddit/comments-v0",), options, rounds=1)
    assert len(data) == 120_000


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    """A dump of 1 GB of JSON: comments of many kinds, a fifth of them replies to posts, some removed."""
    zstandard = pytest.importorskip("zstandard")
    path = tmp_path_factory.mktemp("dumps") / "RC_2012-01.zst"
    texts = [comment.text for comment in comments("train", 8000)]
    rng = np.random.Generator(np.random.PCG64(0))
    number = written = 0
    with path.open("wb") as raw, zstandard.ZstdCompressor(level=3).stream_writer(raw) as file:
        while written < GIGABYTE:
            block = []
            for kind, luck, back, *places in rng.random((_LINES, 7)).tolist():
                block.append(json.dumps(_comment(number, kind, luck, back, [texts[int(p * 8000)] for p in places])))
                number += 1
            data = ("\n".join(block) + "\n").encode()
            file.write(data)
            written += len(data)
    return path


def _comment(number, kind, luck, back, texts):
    """With all the fields that a real comment has, a good kilobyte."""
    post = np.base_repr(10**8 + number, 36).lower()
    parent = np.base_repr(10**9 + max(0, number - 1 - int(2000 * back)), 36).lower()
    return {
        "id": np.base_repr(10**9 + number, 36).lower(),
        "parent_id": f"t1_{parent}" if kind < 0.8 else f"t3_{post}",
        "body": "[removed]" if kind < 0.03 else " ".join(texts[: 1 + int(4 * luck)]),
        "author": "[deleted]" if luck < 0.02 else f"user{int(1e6 * luck)}",
        "score": int(1 / (luck + 0.01)) - 2,
        "subreddit": "AskScience",
        "link_id": f"t3_{post}",
        "created_utc": 1_325_376_000 + number,
        "permalink": f"/r/AskScience/comments/{post}/" + "x" * 80,
        **dict.fromkeys(
            ["stickied", "score_hidden", "is_submitter", "locked", "archived", "can_gild", "edited"], False
        ),
        **dict.fromkeys(["gilded", "controversiality", "total_awards_received", "retrieved_on"], 0),
        **dict.fromkeys(["author_flair_text", "author_flair_css_class", "distinguished", "body_html"], None),
        **{name: [] for name in ("all_awardings", "awarders", "author_flair_richtext", "treatment_tags")},
    }


def test_read_pushshift(benchmark, dump):
    """At least 30,000 comments a second in the first pass, and under 1 GB of memory, imports included."""
    code = f"""
from pathlib import Path
from lmrl_envs.datasets import DatasetMetadata, write_episodes
from lmrl_envs.devices import peak_memory
from lmrl_envs.reddit.pushshift import Passes, read_pushshift
passes = Passes()
path = Path({str(dump)!r})
written = write_episodes(path.with_suffix(".parquet"), read_pushshift(path, passes), DatasetMetadata())
counted = passes.lines, passes.first_seconds, passes.joined, passes.second_seconds, written.episodes
print(*counted, peak_memory() // 10**6)
"""
    printed = benchmark.pedantic(subprocess.check_output, ([sys.executable, "-c", code],), rounds=1)
    lines, first, joined, second, episodes, megabytes = map(float, printed.split())
    benchmark.extra_info |= {
        "a second": lines / first,
        "joined": joined,
        "join seconds": second,
        "megabytes": megabytes,
    }
    assert lines / first > 30_000
    assert joined == episodes > 0.6 * lines
    assert megabytes < 1000
