from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from leaderboards.rows import Row
from leaderboards.suites import SUITES
from leaderboards.tables import Table, read


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orderings that suite `quick` asks about, in these tests."""
    asked = (("a", "b"), ("a", "c"), ("d", "a"), ("a", "nobody"))
    monkeypatch.setitem(SUITES, "quick", replace(SUITES["quick"], pairs=asked, margin=0.6))


def only_table(*folders: Path) -> Table:
    (table,) = read(*folders)
    return table


def row(table: Table, name: str) -> Row:
    (found,) = [row for row in table.rows if row.name == name]
    return found


def test_orderings_are_by_welch_over_seeds_and_holm_within_the_table(tmp_path, write_result, pairs):
    means = {"a": (-1.0, -1.1, -1.2), "b": (-3.0, -3.1, -3.2), "c": (-1.0, -1.2, -1.4), "d": (-1.0, -3.0, -5.0)}
    for name, scores in means.items():
        for seed, mean in enumerate(scores):
            write_result(name, [mean] * 2, seed=seed)
    above, tied, open_ = only_table(tmp_path / "runs").orderings
    # variances .01 and .01 over 3 seeds: standard error .0816, 4 degrees of freedom, t(4) at .975 = 2.7764
    assert above[:2] == ("a", "b")
    assert above.verdict == ">"
    assert above.difference.interval()[:2] == pytest.approx((2 - 0.2267, 2 + 0.2267), abs=1e-4)
    assert above.p_value == pytest.approx(3 * above.difference.p_value)  # the smallest of three
    assert (tied.verdict, tied.difference.value) == ("tied", pytest.approx(0.1))
    # standard error .1291, 2.94 degrees of freedom, t at .975 = 3.22: .1 -+ .415 lies within .6
    assert open_.p_value == pytest.approx(2 * open_.difference.p_value)
    assert tied.p_value == pytest.approx(max(open_.p_value, tied.difference.p_value))
    assert open_[:2] == ("d", "a")
    assert open_.verdict == "undecided"


def test_a_player_without_seeds_counts_by_its_mean_on_the_same_episodes(tmp_path, write_result, pairs):
    for seed, mean in enumerate((-1.0, -1.2, -1.4)):
        write_result("a", [mean] * 2, seed=seed)
    for player, mean in (("b", -2.0), ("d", -1.5)):
        write_result(player, [mean - 1, mean + 1], kind="player")
    above, below = only_table(tmp_path / "runs").orderings
    # standard deviation .2 over 3 seeds: standard error .1155, t(2) at .975 = 4.3027
    assert above[:2] == ("a", "b")
    assert above.difference.interval()[:2] == pytest.approx((0.8 - 0.4968, 0.8 + 0.4968), abs=1e-4)
    assert below[:2] == ("d", "a")
    assert below.difference.interval()[:2] == pytest.approx((-0.3 - 0.4968, -0.3 + 0.4968), abs=1e-4)


def test_two_players_without_seeds_are_not_ordered(tmp_path, write_result, pairs):
    for player in ("a", "b"):
        write_result(player, [-2.0, -1.0], kind="player")
    assert only_table(tmp_path / "runs").orderings == []


def test_one_seed_orders_nobody(tmp_path, write_result, pairs):
    write_result("a", [-1.0, -1.0])
    write_result("b", [-3.0, -3.0])
    assert only_table(tmp_path / "runs").orderings == []


def test_gaps_run_from_the_data_and_from_bc_of_the_same_seed_to_the_optimum(tmp_path, write_result):
    write_result("people", [-2.0, -3.0], kind="player", expected_return=-2.5)
    for seed, (bc, ilql) in enumerate([(-1.5, -1.4), (-1.7, -1.6)]):
        write_result("bc", [bc] * 2, seed=seed)
        write_result("ilql", [ilql] * 2, seed=seed)
    table = only_table(tmp_path / "runs")
    assert table.best == -1.3  # 52 wrong guesses over 40 answers
    assert table.data_return == -2.5
    gaps = {gap.name: gap for gap in table.gaps}
    assert set(gaps) == {"bc", "ilql"}
    assert gaps["ilql"].from_data.value == pytest.approx((2.5 - 1.5) / 1.2)
    # half width of -1.5 from -1.4 and -1.6: .1 t(1) = 1.27062; divided by 1.2
    assert gaps["ilql"].from_data.interval().high == pytest.approx(1 / 1.2 + 1.27062 / 1.2, abs=1e-4)
    assert gaps["ilql"].from_bc.value == pytest.approx((0.1 / 0.2 + 0.1 / 0.4) / 2)
    assert gaps["bc"].from_bc is None


@pytest.mark.parametrize(
    ("scores", "change", "not_converged"),
    [
        ((-5.0, -4.0, -3.0, -2.5, -2.0), 0.5, True),  # half width: t(1) at .975 times .02 = .254
        ((-5.0, -4.0, -3.0, -1.9, -2.0), -0.1, False),
        ((-2.0,), None, False),
        ((), None, False),
    ],
)
def test_a_score_that_still_changes_in_the_last_fifth_is_not_converged(
    tmp_path, write_result, scores, change, not_converged
):
    curve = [{"step": 20 * n, "tokens": n, "loss": 1.0, "score": score} for n, score in enumerate(scores, start=1)]
    curve.append({"step": 100, "tokens": 6, "loss": 1.0})
    write_result("bc", [-2.02, -2.02], seed=0, curve=curve)
    write_result("bc", [-1.98, -1.98], seed=1, curve=curve)
    bc = row(only_table(tmp_path / "runs"), "bc")
    assert bc.late_change == (None if change is None else pytest.approx(change))
    assert bc.not_converged == not_converged


def test_published_results_come_first_and_count_once(tmp_path, write_result):
    write_result("bc", [-2.0, -2.0], published=True)
    write_result("bc", [-2.0, -2.0])  # the same key, also here
    write_result("mine", [-1.0, -1.0])
    table = only_table(tmp_path / "results", tmp_path / "runs")
    assert table.published
    assert {(row.name, len(row.runs), row.published) for row in table.rows} == {("bc", 1, True), ("mine", 1, False)}
    assert not only_table(tmp_path / "runs").published


def test_starts_that_one_side_played_several_times_are_paired(tmp_path, write_result):
    write_result("random", [-6.0, -4.0, -4.0, -6.0], kind="player")  # two starts, twice each: means -5 and -5
    write_result("bc", [-2.0, -3.0])
    gain = row(only_table(tmp_path / "runs"), "bc").gain
    assert gain.value == 2.5
    assert gain.standard_error == pytest.approx(0.5)  # differences 3 and 2


def test_critics_are_averaged_over_seeds(tmp_path, write_result):
    for seed, q in enumerate((-1.0, -2.0)):
        critics = {"gamma_turn": 0.95, "by_turn": [{"turn": 1, "q": q, "optimum": {"spearman": None}}]}
        write_result("ilql", [-2.0, -2.0], seed=seed, critics=critics)
    critics = row(only_table(tmp_path / "runs"), "ilql").critics
    assert critics == {"gamma_turn": 0.95, "by_turn": [{"turn": 1, "q": -1.5, "optimum": {"spearman": None}}]}


def test_a_broken_result_is_left_out_and_named(tmp_path, write_result, caplog):
    write_result("bc", [-2.0, -2.0])
    write_result("ilql", [-2.0, -2.0])
    path = tmp_path / "runs/quick/Wordle-v0-common-40/ilql/seed0/result.json"
    path.write_text(path.read_text()[:200])
    with caplog.at_level(logging.WARNING):
        assert [row.name for row in only_table(tmp_path / "runs").rows] == ["bc"]
    assert str(path) in caplog.text
