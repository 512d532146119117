from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from leaderboards.render import board, curve, html, markdown, read, write
from lmrl_envs.core import Episode, Turn

RANDOM = [-6.0, -6.0, -5.0, -6.0]
PLAYED = [-1.0, -2.0, -3.0, -2.0]
HOSTILE = (
    "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">",
    "</style></script><svg onload=document.title='run'>",
    "{{ 7 * 7 }} javascript:document.title='run' \" onmouseover=\"document.title='run'",
)
CURVE = [{"step": step, "tokens": 100 * step, "loss": 4.0 - step} for step in (1, 2, 3)]


def only_table(tmp_path: Path):
    (table,) = read(tmp_path / "runs")
    return table


def test_one_seed_has_intervals_over_episodes_and_says_so(tmp_path, write_result):
    write_result("random", RANDOM, kind="player")
    write_result("bc", PLAYED, [-2.0, -2.0, -3.0, -2.0], curve=CURVE)
    table = only_table(tmp_path)
    row = table.rows[0]
    assert [row.name for row in table.rows] == ["bc", "random"]
    assert row.mean("greedy") == -2.0
    assert row.mean("sampled") == -2.25
    # differences 5 4 2 4: mean 3.75, sample variance 19/12, t(3) at .975 = 3.18245
    half = 3.18245 * (19 / 12 / 4) ** 0.5
    assert row.gain.interval()[:2] == pytest.approx((3.75 - half, 3.75 + half), abs=1e-4)
    assert "episodes" in row.estimate("greedy").method
    assert table.seeds == 1
    # a minute of training and two evaluations of 1.5 s; a player plays once
    assert [row.seconds for row in table.rows] == [63.0, 1.5]
    page = html([table])
    assert "One training seed" in page
    assert "\N{MINUS SIGN}2.00" in page
    assert "1.23 M" in page


def test_seeds_have_student_t_over_their_means(tmp_path, write_result):
    write_result("random", RANDOM, kind="player")
    write_result("ilql", PLAYED, seed=0, curve=CURVE)
    write_result("ilql", [-3.0] * 4, seed=1, curve=CURVE)
    table = only_table(tmp_path)
    (row,) = [row for row in table.rows if row.name == "ilql"]
    assert row.mean("greedy") == -2.5
    # means -2 and -3: standard error .5, t(1) at .975 = 12.7062; the random player's mean is -5.75
    assert row.estimate("greedy").interval()[:2] == pytest.approx((-2.5 - 6.3531, -2.5 + 6.3531), abs=1e-4)
    assert row.gain.value == pytest.approx(3.25)
    assert "2 training seeds" in html([table])
    assert "over 2 training seeds" in markdown([table])


def test_runs_of_another_setting_are_another_row(tmp_path, write_result):
    write_result("bc", PLAYED, seed=0)
    write_result("bc", PLAYED, seed=1, setting="b")
    assert [len(row.runs) for row in only_table(tmp_path).rows] == [1, 1]


@pytest.mark.parametrize(
    ("metrics", "degenerate"),
    [
        ({"distinct_2": 0.11, "median_characters": 5.0, "empty": 0.0}, False),
        ({"distinct_2": 0.09, "median_characters": 5.0, "empty": 0.0}, True),
        ({"distinct_2": 0.20, "median_characters": 2.0, "empty": 0.0}, True),
        ({"distinct_2": 0.20, "median_characters": 5.0, "empty": 0.02}, True),
    ],
)
def test_an_agent_that_says_the_same_to_everybody_is_marked(tmp_path, write_result, metrics, degenerate):
    write_result("bc", PLAYED, metrics={"distinct_2": 0.2, "median_characters": 5.0, "empty": 0.0})
    write_result("repeater", PLAYED, metrics=metrics)
    table = only_table(tmp_path)
    assert {row.name: row.degenerate for row in table.rows} == {"bc": False, "repeater": degenerate}
    assert ("repeater (degenerate)" in markdown([table])) == degenerate


def test_markdown_is_a_table_with_a_row_for_everybody(tmp_path, write_result):
    write_result("random", RANDOM, kind="player")
    write_result("my|policy:Mine", PLAYED)
    lines = [line for line in markdown([only_table(tmp_path)]).splitlines() if line.startswith("|")]
    assert [line.replace("\\|", "").count("|") for line in lines] == [10] * 4
    assert lines[2].startswith("| my\\|policy:Mine | \N{MINUS SIGN}2.00 [")
    assert lines[3].startswith(
        "| random (reference) | \N{MINUS SIGN}5.75 [\N{MINUS SIGN}6.55, \N{MINUS SIGN}4.95] | · |"
    )


def test_a_broken_result_is_left_out_and_named(tmp_path, write_result, caplog):
    write_result("bc", PLAYED)
    write_result("ilql", PLAYED)
    path = tmp_path / "runs/quick/Wordle-v0-common-40/ilql/seed0/result.json"
    path.write_text(path.read_text()[:200])
    assert [row.name for row in only_table(tmp_path).rows] == ["bc"]
    assert str(path) in caplog.text


def test_a_folder_without_results_says_what_to_do(tmp_path):
    assert "make leaderboard" in html(read(tmp_path))


def test_boards_colour_answered_guesses_and_show_all_else_as_text():
    turns = (
        Turn("agent", " Crane ", -1.0),
        Turn("env", "bbgyb"),
        Turn("agent", "crane!", -1.0),
        Turn("env", "invalid"),
    )
    lines = board(Episode("Wordle-v0", 0, turns, True, False, {}))
    assert lines[0].tiles == (("C", "b"), ("r", "b"), ("a", "g"), ("n", "y"), ("e", "b"))
    assert lines[0].label == "Crane: absent, absent, right place, elsewhere, absent"
    assert [(line.role, line.text) for line in lines[1:]] == [("agent", "crane!"), ("env", "invalid")]


def test_a_curve_spans_its_frame(tmp_path, write_result):
    write_result("bc", PLAYED, curve=CURVE)
    drawn = curve(only_table(tmp_path).rows[0].runs)
    assert drawn == {"lines": ["80.0,0.0 160.0,45.0 240.0,90.0"], "low": 1.0, "high": 3.0, "tokens": 300}


class Elements(HTMLParser):
    """What a browser would make of a page: its elements with their attributes."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def hostile_page(tmp_path: Path, write_result) -> Path:
    write_result("random", RANDOM, kind="player")
    turns = [Turn("agent" if n % 2 else "env", text, 0.0) for n, text in enumerate(HOSTILE)]
    write_result(HOSTILE[2].replace("/", ""), PLAYED, turns=turns, curve=CURVE)
    page = tmp_path / "leaderboard.html"
    write(tmp_path / "runs", page)
    return page


def test_words_of_a_policy_are_shown_and_never_run(tmp_path, write_result):
    page = hostile_page(tmp_path, write_result).read_text()
    elements = Elements(page).found
    assert sum(tag == "script" for tag, _ in elements) == 1
    assert not [tag for tag, _ in elements if tag in ("img", "iframe", "object", "embed")]
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on")]
    assert "&lt;script&gt;document.title" in page
    assert "{{ 7 * 7 }}" in page


def test_the_page_loads_nothing_and_allows_its_own_script_alone(tmp_path, write_result):
    page = hostile_page(tmp_path, write_result).read_text()
    loaded = [
        attributes[name]
        for tag, attributes in Elements(page).found
        for name in ("src", "href")
        if name in attributes and not attributes[name].startswith("#")
    ]
    assert loaded == ["data:,"]
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in page.split("</head>")[0]
