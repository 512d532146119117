from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from leaderboards.drawing import advantage_scale, board, curve, q_by_turn
from leaderboards.instruments import INSTRUMENTS, exact_shares
from leaderboards.render import html, markdown, summary, write
from leaderboards.suites import SUITES
from leaderboards.tables import read
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


@pytest.mark.parametrize(("second", "degenerate"), [(0.05, True), (0.15, False)])
def test_what_is_said_is_measured_over_all_seeds(tmp_path, write_result, second, degenerate):
    for seed, (own, bc) in enumerate([(0.12, 0.1), (second, 0.3)]):  # bc's mean is .2, half of it .1
        write_result("bc", PLAYED, seed=seed, metrics={"distinct_2": bc})
        write_result("agent", PLAYED, seed=seed, metrics={"distinct_2": own})
    assert {row.name: row.degenerate for row in only_table(tmp_path).rows} == {"bc": False, "agent": degenerate}


def test_markdown_is_a_table_with_a_row_for_everybody(tmp_path, write_result):
    write_result("random", RANDOM, kind="player")
    write_result("my|policy:Mine", PLAYED)
    lines = [line for line in markdown([only_table(tmp_path)]).splitlines() if line.startswith("|")]
    assert [line.replace("\\|", "").count("|") for line in lines] == [13] * 4
    assert "| seeds | episodes |" in lines[0]
    assert lines[2].startswith("| my\\|policy:Mine | \N{MINUS SIGN}2.00 [")
    assert lines[3].startswith(
        "| random (reference) | \N{MINUS SIGN}5.75 [\N{MINUS SIGN}6.55, \N{MINUS SIGN}4.95] | · |"
    )


def test_what_was_run_here_is_told_from_what_is_published(tmp_path, write_result):
    write_result("bc", PLAYED, published=True)
    write_result("mine", PLAYED)
    tables = read(tmp_path / "results", tmp_path / "runs")
    text = markdown(tables)
    assert "| bc |" in text
    assert "| mine (run here) |" in text
    assert "| mine |" in markdown(read(tmp_path / "runs"))
    assert html(tables).count('title="Not among the published results: it was run on this machine">run here<') == 1


def test_what_an_agent_costs_stands_beside_its_score(tmp_path, write_result):
    cost = {"parameters": 1_234_567, "seconds": 60.0, "forward_passes": 3, "extra_bytes": 2_469_134}
    write_result("ilql", PLAYED, curve=CURVE, cost=cost)
    table = only_table(tmp_path)
    assert markdown([table]).splitlines()[4].endswith("| 1.23 M | 3 | 2.5 MB |")
    assert "1.23 M<span>3 passes, +2.5 MB</span>" in html([table])


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


def test_tables_of_orderings_and_gaps_stand_on_the_page_and_in_markdown(tmp_path, write_result, monkeypatch):
    asked = replace(SUITES["quick"], pairs=(("ilql", "bc"),), margin=0.25)
    monkeypatch.setitem(SUITES, "quick", asked)
    write_result("people", [-2.0, -3.0], kind="player", expected_return=-2.5, loss_floor=0.525)
    for seed in (0, 1, 2):
        curve = [{"step": 50, "tokens": 100, "loss": 1.0, "validation_loss": 0.53 + seed / 100}]
        write_result("bc", [-2.1] * 2, [-2.6] * 2, seed=seed, curve=curve)
        write_result("ilql", [-1.9] * 2, seed=seed, tuning={"trials": 3, "episodes": 600})
    tables = read(tmp_path / "runs")
    lines = markdown(tables).splitlines()
    assert "| ilql | &gt; | bc | 0.20 [0.20, 0.20] | 0.000 |" in lines
    assert "| ilql | 50 % [50 %, 50 %] | 25 % [25 %, 25 %] |" in lines
    assert "| bc | 33 % [33 %, 33 %] | – |" in lines
    assert "| 3 trials, 600 episodes |" in next(line for line in lines if line.startswith("| ilql |"))
    imitation = (
        "bc, sampled, returns −2.60 [−2.60, −2.60]; those who wrote the data −2.500 exactly. Its loss on held-out "
        "games is 0.540 nats an agent token; they themselves would score 0.525."
    )
    assert imitation in lines
    page = html(tables)
    assert imitation in page
    assert "lies within ±0.25" in page
    assert "exactly \N{MINUS SIGN}2.500" in page


def test_a_summary_has_the_papers_agents_in_a_line_and_the_orderings(tmp_path, write_result, monkeypatch):
    asked = replace(
        SUITES["quick"], pairs=(("ilql", "bc"), ("bc", "sarsa"), ("ilql", "dt"), ("bc", "awr")), margin=0.25
    )
    monkeypatch.setitem(SUITES, "quick", asked)
    means = {"bc": (-2.0, -2.1), "ilql": (-1.0, -1.1), "sarsa": (-1.0, -1.1), "dt": (-1.05, -1.15), "awr": (-1.0, -4.0)}
    for name, scores in means.items():
        for seed, mean in enumerate(scores):
            write_result(name, [mean] * 2, seed=seed)
    write_result("sarsa-chosen", [-1.5] * 2)
    write_result("random", [-6.0] * 2, kind="player")
    write_result("bc-best-of-16", [-0.5] * 2, kind="best_of")
    write_result("optimum", [-0.9] * 2, kind="player")
    headings, _, line, *_, orderings = summary(read(tmp_path / "runs")).splitlines()
    assert headings == "| task, suite | play | bc | filtered_bc | sarsa | ilql | best reference | random | seeds |"
    task, play, bc, filtered, sarsa, ilql, best, random, seeds = line.strip("| ").split(" | ")
    assert (task, play, seeds) == ("Wordle-v0-common-40, `quick`", "greedy", "1")
    assert bc.startswith("−2.05 [")
    assert filtered == "–"
    assert sarsa.startswith("−1.50 ["), "the setting that was chosen stands for its agent"
    assert ilql.startswith("−1.05 [")
    assert best == "optimum −0.90", "what sees rewards is no reference to reach"
    assert random == "−6.00"
    # standard errors .0707 with 2 degrees of freedom: t .4 is undecided within .25
    told = "ilql &gt; bc, bc &lt; sarsa; undecided: ilql and dt, bc and awr."
    assert orderings == f"- Wordle-v0-common-40, `quick`: {told}"


def test_a_summary_marks_whose_words_are_poor(tmp_path, write_result):
    write_result("bc", [-2.0] * 2, metrics={"distinct_2": 0.2})
    write_result("ilql", [-1.0] * 2, metrics={"distinct_2": 0.05})
    _, _, line, _, marks = summary(read(tmp_path / "runs")).splitlines()[:5]
    _, _, bc, _, _, ilql, *_ = line.strip("| ").split(" | ")
    assert bc.endswith("]")
    assert ilql.endswith("] \N{DAGGER}")
    assert marks == "\N{DAGGER} degenerate."


GAME_SCORES = [
    {
        "text": [*"geese", ""],
        "logp": [-0.1] * 6,
        "q": [-1.0, -1.5, None, -1.0, -1.0, -1.0],
        "v": [-1.2, -1.2, None, -1.2, -1.2, -1.2],
        "advantage": [0.2, -0.3, None, 0.2, 0.2, 0.2],
    },
    {"text": [*"elder", ""], "logp": [0.0] * 6, "q": [0.0] * 6, "v": [0.0] * 6, "advantage": [0.0] * 6},
]


def test_advantages_stand_as_colour_under_the_letters(tmp_path, write_result):
    write_result("ilql", PLAYED, scores=[GAME_SCORES])
    table = only_table(tmp_path)
    run = table.rows[0].runs[0]
    # of .2 .3 .2 .2 .2 0 0 0 0 0 0, the value that nine in ten do not pass
    assert advantage_scale(run) == pytest.approx(0.2)
    geese, elder = board(run.results["greedy"].examples[0], run.scores[0])
    assert [token.side for token in geese.tokens] == ["better", "worse", "worse", "better", "better", "better"]
    assert [token.strength(0.4) for token in geese.tokens] == [0.5, 0.75, 0.0, 0.5, 0.5, 0.5]
    assert geese.tokens[0].told == "g: advantage 0.20, Q −1.00, V −1.20, chance 0.90"
    assert geese.tokens[5].told.startswith("end of turn: advantage 0.20")
    assert len(elder.tokens) == 6
    page = html([table])
    assert page.count('<div class="advantages">') == 2
    assert 'title="g: advantage 0.20, Q −1.00, V −1.20, chance 0.90"' in page


def test_values_stand_beside_the_truth(tmp_path, write_result):
    said = {
        "optimum": {"rmse": 0.42, "spearman": 0.75, "q": -1.0},
        "people": {"rmse": 1.33, "spearman": None, "q": -2.0},
    }
    turns = [{"turn": turn, "q": -turn / 2, **said} for turn in (1, 2)]
    regret = {"logged": [0.1, 0.2], "own": [0.25, 0.5], "return": -2.05}
    write_result("ilql", PLAYED, critics={**said, "q": -0.75, "by_turn": turns, "regret": regret})
    table = only_table(tmp_path)
    drawn = q_by_turn(table.rows)
    assert (drawn["low"], drawn["turns"]) == (-2.0, 2)
    assert drawn["rows"]["ilql"] == {
        "agent": "0.0,22.5 240.0,45.0",
        "optimum": "0.0,45.0 240.0,45.0",
        "people": "0.0,90.0 240.0,90.0",
    }
    cells = re.findall(r'<td class="n">([^<]*)</td>', html([table]).split("Values against the truth")[1])
    assert cells[:7] == ["0.42", "0.75", "1.33", "–", "0.25", "0.50", "0.75"]


def test_the_share_of_openers_is_told_for_each_seed(tmp_path, write_result):
    curve = [{**point, "opener_share": point["step"] / 4} for point in CURVE]
    for seed, share in enumerate((0.95, 1.0)):
        write_result("ilql", PLAYED, seed=seed, critics={"share": share, "q": {"crane": -1.0}}, curve=curve)
    page = html([only_table(tmp_path)])
    cells = re.findall(r'<td class="n">([^<]*)</td>', page.split("Which opener the values prefer")[1])
    assert cells[:2] == ["0.95", "1.00"]
    assert page.count('<polyline points="80.0,67.5 160.0,45.0 240.0,22.5"/>') == 2


def test_what_exact_backups_come_to_stands_beside_the_networks(tmp_path, write_result):
    """Of the same data, with the same discount and expectile alone."""
    curve = [{**point, "opener_share": 1.0} for point in CURVE]
    for agent, tau in (("ilql", 0.9), ("sarsa", 0.5), ("other", 0.6)):
        config = {"tau": tau, "gamma_turn": 0.95}
        write_result(agent, PLAYED, curve=curve, config=config)
    backups = [{"tau": 0.9, "share": 1.0}, {"tau": 0.5, "share": 0.25}]
    records = [{"dataset_hash": "0" * 64, "gamma_turn": 0.95, "backups": backups}]
    table = only_table(tmp_path)
    assert exact_shares(records, [row.runs[0] for row in table.rows]) == {"ilql": 1.0, "sarsa": 0.25}
    for other in ({"dataset_hash": "e"}, {"gamma_turn": 1.0}):
        assert exact_shares([records[0] | other], [row.runs[0] for row in table.rows]) == {}
    page = html([table], {**dict.fromkeys(INSTRUMENTS, ()), "tabular": records})
    assert re.findall(r'<polyline class="people" points="([^"]*)"/>', page) == ["0,0.0 240,0.0", "0,67.5 240,67.5"]


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
