"""Prints what there is: `python -m lmrl_envs.list` shows tasks with reference returns, and datasets with sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lmrl_envs.files import home
from lmrl_envs.recipes import RECIPES, SPLITS
from lmrl_envs.registration import TASKS, reference_scores

CONFIGURATIONS: Mapping[str, list[dict[str, Any]]] = {
    "Reddit-v0": [{"reward": reward} for reward in ("toxicity", "noisy_toxicity", "upvotes_model")],
    "Wordle-v0": [{"words": "common-40"}, {"words": "common-236"}, {"words": "common-2315"}],
}
"""The arguments that a task is listed with; one that is not here is listed with its defaults."""
_PIPED_WIDTH = 160  # characters, so that no row of a file is broken


def tasks_table() -> Table:
    """One row for each task and configuration, with its reference returns."""
    table = Table("task", "arguments", title="Tasks", title_justify="left", caption_justify="left")
    for name in ("random", "best known"):
        table.add_column(name, justify="right")
    table.caption = "Mean undiscounted return: random is 0 and best known 1 on the normalised scale."
    for env_id in TASKS:
        for env_kwargs in _configurations(env_id):
            scores = reference_scores(env_id, env_kwargs)
            table.add_row(env_id, _arguments(env_kwargs), *(f"{score:.3f}" for score in scores or ()))
    return table


def datasets_table(folder: Path) -> Table:
    """One row for each dataset and configuration: episodes of each part, and the parts that `folder` holds."""
    table = Table("dataset", "arguments", title="Datasets", title_justify="left", caption_justify="left")
    for split in SPLITS:
        table.add_column(split, justify="right")
    table.add_column("made")
    notes = ["What is not made yet, load_dataset makes on first use."]
    for dataset_id, recipe in RECIPES.items():
        for env_kwargs in _configurations(recipe.env_id):
            variant, _ = recipe.resolve(dataset_id, "train", env_kwargs)
            sizes = ("all" if (size := recipe.sizes[split]) is None else f"{size:,}" for split in SPLITS)
            made = ", ".join(_made(folder / dataset_id / variant.folder)) or "no"
            table.add_row(dataset_id, _arguments(env_kwargs), *sizes, made)
        takes = ", ".join([*recipe.env_options, *recipe.options, "games"])
        notes.append(f"{dataset_id} takes {takes}; its sizes count {recipe.counts}.")
    table.caption = "\n".join(notes)
    return table


def _made(folder: Path) -> Iterator[str]:
    for split in SPLITS:
        for games in sorted(int(path.stem.rpartition("-")[2]) for path in folder.glob(f"{split}-*.parquet")):
            yield f"{split} {games:,}"


def _configurations(env_id: str) -> list[dict[str, Any]]:
    return CONFIGURATIONS.get(env_id, [{}])


def _arguments(env_kwargs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in env_kwargs.items())


def main() -> None:
    console = Console()
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    for table in (tasks_table(), datasets_table(home() / "datasets")):
        if not console.is_terminal:
            table.box = None
        console.print(table)
        console.print()


if __name__ == "__main__":
    main()
