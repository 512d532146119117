"""`python -m leaderboards.new my_algorithm`: a learning algorithm to start from, its test, and how to run both."""

from __future__ import annotations

import importlib.util
import keyword
import shlex
import sys
from pathlib import Path
from typing import Annotated

import jinja2
import typer
from rich.console import Console
from rich.markup import escape

from lmrl_envs.files import write_atomic

TEMPLATES = Path(__file__).parent / "templates"
USAGE = 2


def class_name(module: str) -> str:
    """`MyAlgorithm` for `my_algorithm`."""
    return "".join(part[:1].upper() + part[1:] for part in module.split("_"))


def files(module: str) -> dict[str, str]:
    """A learning algorithm and its test: file names with their texts.

    Raises:
        ValueError: `module` is no name for a module and a class.
    """
    name = class_name(module)
    if not all(word.isidentifier() and not keyword.iskeyword(word) for word in (module, name)):
        raise ValueError(f"expected the name of a module, such as 'my_algorithm', got {module!r}")
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return {
        f"{prefix}{module}.py": templates.get_template(f"{prefix}algorithm.py.j2").render(module=module, name=name)
        for prefix in ("", "test_")
    }


def write(module: str, folder: Path) -> list[Path]:
    """Writes the files of `module` into `folder` and returns their paths.

    Raises:
        ValueError: Python could not import the module by that name, or imports another one.
        FileExistsError: one of the files is there; nothing is written.
    """
    texts = {folder / name: text for name, text in files(module).items()}
    for path in texts:
        if path.exists():
            raise FileExistsError(f"{path} is there already; take another name, or remove it")
    if importlib.util.find_spec(module) is not None:
        raise ValueError(f"Python finds another module under the name {module!r}; take another name")
    for path, text in texts.items():
        write_atomic(path, text)
    return list(texts)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(module: Annotated[str, typer.Argument(help="Name of the module, such as my_algorithm.")]) -> None:
    """Writes a learning algorithm and its test into the current folder, and says how to run both."""
    try:
        algorithm, test = write(module, Path())
    except (ValueError, OSError) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/] {escape(str(error))}")
        raise typer.Exit(USAGE) from None
    python = shlex.quote(sys.executable)
    print(f"{algorithm} is the algorithm, {test} its test. From this folder:")
    print(f"  {python} -m pytest {test}")
    print(f"  {python} -m leaderboards.run --suite quick --task Wordle-v0 --algorithm {module}:{class_name(module)}")


if __name__ == "__main__":
    app()
