"""Reads real comments into a file for reward models, agents and `Reddit-v0`.

    python -m data_scripts.read_reddit pushshift RC_2012-01.zst RC_2012-02.zst --posts RS_2012-01.zst --out rc.parquet
    python -m data_scripts.read_reddit ilql comments_positive.csv comments_negative.csv --out ilql.parquet
    python -m data_scripts.read_reddit jigsaw train.csv --out jigsaw.parquet
    python -m data_scripts.read_reddit davidson labeled_data.csv --out davidson.parquet

Rewards are the labels' (10 for a positive score, 0 for another; 0, -5, -10 by toxicity), or with `--reward` those of a
reward model. What was left out, and why, is printed and stands in the file. `load` it by `TextDataset.read(path)`, play
against it by `gym.make("Reddit-v0", corpus=path, reward_model=...)`.
"""

from __future__ import annotations

import argparse
import itertools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from lmrl_envs.core import Episode
from lmrl_envs.datasets import DatasetMetadata, write_episodes
from lmrl_envs.progress import track
from lmrl_envs.reddit.logs import rewarded
from lmrl_envs.reddit.pushshift import Passes, read_pushshift
from lmrl_envs.reddit.readers import Reader, read_davidson, read_ilql, read_jigsaw

TABLES: dict[str, Reader] = {"ilql": read_ilql, "jigsaw": read_jigsaw, "davidson": read_davidson}
MODEL_REWARDS = ("toxicity", "noisy_toxicity", "upvotes_model")


def episodes_of(arguments: argparse.Namespace, passes: Passes) -> Iterator[Episode]:
    """The episodes that the command line asks for."""
    paths: Sequence[Path] = arguments.paths
    if arguments.format == "pushshift":
        read = read_pushshift(paths, passes, posts=arguments.posts, communities=arguments.communities)
    else:
        read = itertools.chain.from_iterable(TABLES[arguments.format](path, passes.dropped) for path in paths)
    read = itertools.islice(read, arguments.limit)
    if arguments.reward is None:
        return read
    return rewarded({"reward": arguments.reward, "reward_model": arguments.reward_model}, read)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("format", choices=["pushshift", *TABLES])
    parser.add_argument("paths", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="the Parquet file to write")
    parser.add_argument("--posts", type=Path, nargs="*", default=[], help="pushshift: dumps of posts, as parents")
    parser.add_argument("--communities", nargs="*", default=[], help="pushshift: subreddits to keep (all)")
    parser.add_argument("--limit", type=int, help="comments to keep at most (all)")
    parser.add_argument("--reward", choices=MODEL_REWARDS, help="a reward model's reward instead of the labels'")
    parser.add_argument("--reward-model", default="bundled", help="as for gym.make('Reddit-v0', reward_model=)")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    passes = Passes()
    metadata = DatasetMetadata(
        variant={"format": arguments.format, "files": [path.name for path in arguments.paths]},
        learned_rewards=arguments.reward is not None,
        dropped=passes.dropped,
    )
    episodes = track(episodes_of(arguments, passes), description=arguments.format, total=arguments.limit)
    written = write_episodes(arguments.out, episodes, metadata)
    print(f"{arguments.out}: {written.episodes:,} comments")
    for reason, count in passes.dropped.most_common():
        print(f"  left out {count:,}: {reason}")
    if passes.lines:
        speed = passes.lines / passes.first_seconds
        print(f"first pass: {passes.lines:,} lines in {passes.first_seconds:.1f} s, {speed:,.0f} a second")
        print(f"second pass: {passes.joined:,} replies found their parents, in {passes.second_seconds:.1f} s")


if __name__ == "__main__":
    main()
