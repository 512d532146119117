"""Writes how good the bundled networks of Visual Dialogue are into docs/visual-dialogue.md.

    python -m data_scripts.report_visual_dialogue

The figures are those that `python -m data_scripts.measure_visual_dialogue` left in the networks' JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmrl_envs.files import between_markers, write_atomic
from lmrl_envs.visual_dialogue.bundled import WEIGHTS

PAGE = Path(__file__).parents[1] / "docs" / "visual-dialogue.md"
FEW = 20
"""Kinds of question asked less often than this are left out of the table."""


def report() -> str:
    """The tables: all networks, and the answerer by kind of question."""
    cards = {path.stem: json.loads(path.read_text()) for path in WEIGHTS.glob("*.json")}
    answerer, detector = cards["answerer"]["quality"], cards["detector"]["quality"]
    ranked, people = answerer["options"], answerer["people's truth accuracy"]
    retrieval = ", ".join(f"{name} {ranked[name]:.3f}" for name in ("R@1", "R@5", "R@10", "MRR", "NDCG"))
    rows = [
        ("detector: things found; kind, color of those", "", f"{detector['present']:.3f}; {_pair(detector)}"),
        ("answerer: truth accuracy of free answers", "≥ .88", f"{answerer['truth accuracy']:.3f}"),
        ("simulated people, on the same questions", "", f"{people:.3f}"),
        ("answerer, 100 options", "", f"{retrieval}, mean rank {ranked['mean rank']:.1f}"),
    ]
    for name, title in (("guesser", "guesser"), ("guesser-held-out", "held-out guesser")):
        found: dict[str, Any] = cards[name]["quality"]
        gain = f"{found['gain']:.3f} of {found['exact gain']:.3f}, {found['share of the exact gain']:.0%}"
        rows += [
            (f"{title}: gain in percentile over the caption, of the exact posterior's", "≥ .10, ≥ 70 %", gain),
            (
                f"{title}: Spearman with the exact rank, after the last round; after all",
                "≥ .7",
                f"{found['Spearman with exact rank, last round']:.2f}; "
                f"{found['Spearman with exact rank, all rounds']:.2f}",
            ),
        ]
    found = cards["guesser"]["quality"]
    rows += [
        ("people's dialogues that end early", ".40 to .70", f"{found['end early']:.2f}"),
        ("their mean standard return", "-6.5 to -4.5", f"{found['mean standard return']:.2f}"),
    ]
    kinds = [
        (kind, of["questions"], f"{of['network']:.2f}", f"{of['people']:.2f}")
        for kind, of in answerer["by kind of question"].items()
        if of["questions"] >= FEW
    ]
    return (
        _table(("what", "asked", "measured"), rows)
        + "\nTruth accuracy of the answerer, and of people, by kind of question:\n\n"
        + _table(("kind", "questions", "answerer", "people"), kinds)
    )


def _pair(detector: dict[str, float]) -> str:
    return f"{detector['kind']:.3f}, {detector['color']:.3f}"


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def main() -> None:
    write_atomic(PAGE, between_markers(PAGE.read_text(encoding="utf-8"), "quality", report()))


if __name__ == "__main__":
    main()
