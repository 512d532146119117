"""What is measured of an agent's episodes beside their returns: for each environment, where that is done.

`measure(run, result, trials, algorithm, data)` returns plain JSON about one evaluation. `result` has every episode
among its examples, `trials` the plays that it was chosen from (itself, where there was no choice), `algorithm` is None
for what is not trained, and `data` are the task's logs. It stands in a result file as `study`, by decoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Study(NamedTuple):
    """Functions as `"module:name"`.

    `rescore(run, record)` gives the results of another run, whose file's content is `record`, under the rewards of
    `run`; None where rewards do not follow from the words alone. `validation` are the environment's arguments for
    episodes in which settings are chosen.
    """

    measure: str
    rescore: str | None = None
    validation: Mapping[str, Any] = {"part": "validation"}


STUDIES = {
    "VisualDialogue-v0": Study("leaderboards.dialogues:measure", "leaderboards.dialogues:rescored"),
    "Reddit-v0": Study("leaderboards.comments:measure"),
}
