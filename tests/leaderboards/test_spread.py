"""Grids of settings: what is chosen, what is told, and a tiny one on Wordle from end to end."""

from __future__ import annotations

import dataclasses
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from leaderboards.instruments import records, spread_rows
from leaderboards.render import write
from leaderboards.sources import our_agents
from leaderboards.spread import GRIDS, Grid, chosen, get_grid, report, run, spread, told
from leaderboards.suite import Player, Task

TRIALS = {"visual-dialogue-yn": 8, "visual-dialogue-yn-mini": 12}
"""Of each agent: those that the ablation asks for on a processor and on a card."""
NANO = {"n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 96}


def tiny(**more) -> Grid:
    words = {"words": ["fight", "light", "might"]}
    task = Task("wordle", "Wordle-v0", words, "wordle/human-v0", words | {"mix": "wide", "games": 100})
    given = {
        "name": "tiny",
        "trial_task": task,
        "final_task": task,
        "training": {"model": NANO, "tokens_per_batch": 512, "warmup": 1},
        "tokens": 1024,
        "trials": {
            "bc": ({"lr": 1e-2}, {"lr": 1e-4}),
            "ilql": ({"pi_beta": "@bc-1", "tau": 0.7}, {"pi_beta": "@bc-1", "tau": 0.9}),
        },
        "random": Player("random", "leaderboards.players:random_word"),
        "trial_episodes": 8,
        "final_episodes": 16,
        "final_seeds": (1, 2),
    }
    return Grid(**given | more)


def test_the_best_trial_is_chosen_and_the_spread_is_over_all():
    scores = {"bc-1": -3.0, "bc-2": -4.0, "ilql-1": -2.5, "ilql-2": -1.5}
    grid = tiny()
    assert {name: trial.name for name, trial in chosen(grid, scores).items()} == {"bc": "bc-1", "ilql": "ilql-2"}
    assert spread([-2.5, -1.5, -4.5]) == {"best": -1.5, "median": -2.5, "sd": pytest.approx((14 / 6) ** 0.5)}
    record = report(grid, scores, {"ilql": [-2.0, -3.0]}, {"ilql": [-4.0, -4.0]})
    assert record["agents"]["ilql"]["chosen"] == "ilql-2"
    assert record["agents"]["ilql"]["scores"] == [-2.5, -1.5]
    assert record["agents"]["bc"]["fresh"] == []
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(told(record))
    # two seeds: mean -2.5, t(1) at .975 = 12.706 times .5
    assert "-8.85 … 3.85" in console.export_text().splitlines()[1]


def test_agents_stand_by_their_fresh_seeds_where_there_are_any():
    grid, scores = tiny(), {"bc-1": -3.0, "bc-2": -4.0, "ilql-1": -2.5, "ilql-2": -1.5}
    assert [row.agent for row in spread_rows(report(grid, scores, {}, {}))] == ["ilql", "bc"]
    fresh = {"ilql": [-3.5, -3.7], "bc": [-3.1, -3.3]}
    assert [row.agent for row in spread_rows(report(grid, scores, fresh, fresh))] == ["bc", "ilql"]


def test_a_report_stands_on_the_page(tmp_path):
    scores = {"bc-1": -3.0, "bc-2": -4.0, "ilql-1": -2.5, "ilql-2": -1.5}
    grid = tiny(training={"model": "tiny"}, tokens=3_500_000, paper={"ilql": (-5.69, 0.42), "bc": (-10.85, None)})
    record = report(grid, scores, {"ilql": [-2.0, -3.0]}, {"ilql": [-4.0, -4.0]})
    kept = tmp_path / "results" / "spread" / "tiny.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps(record, allow_nan=False))
    (read,) = records(tmp_path / "nothing", tmp_path / "results")["spread"]
    assert read == record
    ilql, bc = spread_rows(record)
    # the scale runs from 2 % at -4 to 98 % at -1.5, the best of all
    assert (ilql.agent, ilql.places, ilql.fresh_place) == ("ilql", [59.6, 98.0], 59.6)
    assert (ilql.fresh.value, ilql.settings["tau"], ilql.paper) == (-2.5, 0.9, [-5.69, 0.42])
    assert (bc.agent, bc.best, bc.median, bc.places, bc.fresh) == ("bc", -3.0, -3.5, [40.4, 2.0], None)
    page = tmp_path / "page.html"
    write(tmp_path / "nothing", page, tmp_path / "results")
    text = page.read_text()
    assert "2 settings of each agent" in text
    assert "model <b>tiny</b> · 3.5 M tokens a trial" in text
    minus = "\N{MINUS SIGN}"
    cells = (f"{minus}2.00", "0.71", "2")  # median, sd, trials
    assert f"<b>{minus}1.50</b></td>" + "".join(f'<td class="n">{cell}</td>' for cell in cells) in text
    assert f"<b>{minus}2.50</b><span>{minus}8.85 … 3.85, 2 seeds</span>" in text
    assert f">{minus}4.00<span>{minus}4.00 … {minus}4.00</span>" in text  # sampled
    assert f"{minus}5.69<span>sd 0.42</span>" in text
    assert f"<dt>ilql-2</dt><dd>{minus}1.50, chosen · pi_beta @bc-1, tau 0.9</dd>" in text


def test_unequal_numbers_of_trials_are_refused():
    with pytest.raises(ValueError, match=r"got \[1, 2\]"):
        tiny(trials={"bc": ({},), "ilql": ({}, {})})


@pytest.mark.parametrize("name", GRIDS)
def test_committed_grids_fit_the_agents(name):
    grid, count = get_grid(name), TRIALS[name]
    assert grid.name == name
    assert all(len(settings) == count for settings in grid.trials.values())
    for trial in grid.all_trials():
        config = our_agents().algorithm_class(trial.algorithm).Config(**{**grid.training, **trial.config})
        assert all(getattr(config, key) == value for key, value in trial.config.items())
    for settings in grid.trials.values():
        assert len({json.dumps(trial, sort_keys=True) for trial in map(dict, settings)}) == count
    assert grid.trial_task != grid.final_task


@pytest.mark.parametrize("name", GRIDS)
def test_the_ablation_is_of_the_papers_eight_agents(name):
    assert set(get_grid(name).trials) == {"ilql", "awr", "sarsa", "dt", "cql", "filtered_bc", "psi", "bc"}


def test_the_grid_for_processors_fits_twelve_core_hours():
    assert sum(get_grid("visual-dialogue-yn").hours().values()) <= 12


def test_the_grid_for_a_card_has_every_setting_of_the_other():
    small, large = get_grid("visual-dialogue-yn").trials, get_grid("visual-dialogue-yn-mini").trials
    assert all(setting in large[agent] for agent, settings in small.items() for setting in settings)


def test_a_dry_run_tells_the_trials_and_the_hours():
    import typer

    from leaderboards.spread import main

    app = typer.Typer(add_completion=False)
    app.command()(main)
    done = CliRunner().invoke(app, ["--dry-run", "--jobs", "2"])
    assert done.exit_code == 0
    assert done.output.count("\n") == 65
    assert "64 trials, 8 agents" in done.output
    with pytest.raises(ValueError, match="visual-dialogue-yn"):
        get_grid("visual-dialog-yn")


@pytest.mark.slow
def test_a_grid_from_end_to_end(tmp_path):
    grid = tiny()
    console = Console(quiet=True)
    record, failed = run(grid, tmp_path, 1, console)
    assert failed == []
    for name, row in record["agents"].items():
        assert len(row["scores"]) == 2
        assert row["best"] == max(row["scores"])
        assert row["chosen"] in (f"{name}-1", f"{name}-2")
        assert len(row["fresh"]) == 2
    result = json.loads((tmp_path / "tiny-best/wordle/ilql-best/seed2/result.json").read_text())
    best = int(record["agents"]["ilql"]["chosen"][-1])
    assert result["run"]["config"]["tau"] == (0.7, 0.9)[best - 1]
    assert len(result["eval"]["greedy"]["returns"]) == 16
    assert result["run"]["evaluation"]["seed"] == 0
    again, _ = run(dataclasses.replace(grid), tmp_path, 1, console)
    assert again == record
