from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from leaderboards import run, suites
from leaderboards.jobs import path_safe, plan, unfinished
from leaderboards.sources import named, named_parameters
from leaderboards.suites import Agent, BestOf, Chosen, Evaluation, Looks, Player, Suite, Task
from leaderboards.tables import read
from lmrl_envs.errors import UnknownNameError
from lmrl_envs.evaluate import EvalResult

TINY = Suite(
    name="tiny",
    summary="For tests.",
    tasks=(
        Task("wordle", "Wordle-v0", {"words": "common-40"}, "wordle/human-v0", {"words": "common-40", "games": 300}),
    ),
    training={"model": "tiny", "tokens_per_batch": 512, "save_every": 5},
    tokens=5_000,
    agents=(Agent("bc", "bc"), Agent("ilql", "ilql", {"pi_beta": "@bc"})),
    references=(Player("random", "leaderboards.players:random_word"),),
    seeds=(0,),
    evaluation=Evaluation(episodes=12),
)
STRANGERS = '''
class Constant:
    """Says one word."""

    def act(self, histories):
        return ["crane"] * len(histories)


class Seeded(Constant):
    def __init__(self, seed, env_id, data):
        assert env_id == "Wordle-v0" and len(data) == 300
        self.name = f"with seed {seed}"


class BadConstructor(Constant):
    def __init__(self):
        raise RuntimeError("no key for the service")


class BadAct:
    def act(self, histories):
        raise ZeroDivisionError("in act")


class Tells(Constant):
    def __init__(self):
        import os

        os.system("echo process")


class Leaves:
    def act(self, histories):
        import os

        os._exit(9)
'''


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder outside the repository, with a stranger's code, where suite `tiny` can be run."""
    (tmp_path / "strangers.py").write_text(STRANGERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(suites.SUITES, "tiny", TINY)
    monkeypatch.delitem(sys.modules, "strangers", raising=False)
    return tmp_path


def command(*arguments: str):
    return CliRunner().invoke(run.app, ["--suite", "tiny", *arguments])


def result(folder: Path, agent: str) -> dict:
    return json.loads((folder / "runs" / "tiny" / "wordle" / agent / "seed0" / "result.json").read_text())


def test_a_suite_is_trained_scored_and_shown_and_then_skipped(folder):
    done = command()
    assert done.exit_code == 0, done.output
    assert "done" in done.output
    bc, ilql, random = (result(folder, name) for name in ("bc", "ilql", "random"))
    assert set(bc) == {"schema", "run", "train", "eval", "expected_return", "scores", "critics", "loss_floor", "study"}
    for record in (bc, ilql, random):
        greedy, sampled = (EvalResult.from_json(record["eval"][name]) for name in ("greedy", "sampled"))
        assert len(greedy.returns) == len(sampled.returns) == 12
        assert greedy.dataset_hash == record["run"]["dataset_hash"]
    assert bc["run"]["config"]["steps"] == 10
    assert bc["train"]["cost"]["steps"] == 10
    assert bc["eval"]["greedy"]["decoding"]["temperature"] == 0.0
    assert bc["eval"]["sampled"]["decoding"]["temperature"] == 1.0
    assert bc["eval"]["greedy"]["training_seed"] == 0
    assert ilql["run"]["needs"] == {"bc": bc["run"]["key"]}
    assert ilql["run"]["config"]["pi_beta"] == "@bc"
    assert random["eval"]["greedy"] == random["eval"]["sampled"]
    assert random["eval"]["greedy"]["training_seed"] is None
    page = (folder / "leaderboard.html").read_text()
    assert "python -m leaderboards.run --suite tiny --agent ilql" in page
    assert "| ilql |" in (folder / "leaderboard.md").read_text()

    written = (folder / "runs/tiny/wordle/ilql/seed0/result.json").stat().st_mtime_ns
    again = command()
    assert again.exit_code == 0
    assert again.output.count("finished before") == 3
    assert (folder / "runs/tiny/wordle/ilql/seed0/result.json").stat().st_mtime_ns == written

    checkpoint = "runs/tiny/wordle/bc/seed0/" + bc["train"]["checkpoint"]
    scored = command("--checkpoint", checkpoint)
    assert scored.exit_code == 0, scored.output
    (row,) = [row for row in read(folder / "runs")[0].rows if row.run["kind"] == "checkpoint"]
    assert row.first.returns == tuple(bc["eval"]["greedy"]["returns"])
    assert row.parameters == bc["train"]["cost"]["parameters"]


def test_a_dry_run_tells_the_time_and_does_nothing(folder):
    done = command("--dry-run", "--agent", "ilql", "--jobs", "2")
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert "ilql on wordle, seed 0 5,000 0.0" in lines
    assert lines[-1].startswith("3 of 3 runs to do, about 0.0 core-hours, the longest 0 minutes")
    assert not (folder / "runs").exists()


def test_a_seed_alone_has_the_keys_that_it_has_among_others(folder, monkeypatch):
    monkeypatch.setitem(suites.SUITES, "tiny", replace(TINY, seeds=(0, 1)))
    alone = command("--dry-run", "--seed", "1").output
    assert [name in alone for name in ("bc on wordle, seed 1", "ilql on wordle, seed 1")] == [True, True]
    assert "seed 0" not in alone  # nor the random player, which plays with the first seed
    assert command("--seed", "1", "--agent", "bc").exit_code == 0
    assert command("--agent", "bc").output.count("finished before") == 1


def test_time_is_guessed_from_tokens_and_episodes(folder, results):
    slow = Agent("slow", "bc", tokens=720_000, tokens_per_second=100)
    suite = replace(TINY, evaluation=Evaluation(episodes="all", repeats=50, looks=Looks(10, 40)))
    contestants = [slow, Chosen("chosen", ("slow",), 360), BestOf("best", "slow"), TINY.references[0]]
    planned = plan(suite, contestants, folder / "runs", results)
    # 40 starts, greedy once and sampled 50 times, are 2,040 episodes; 10 looks at 40 each; 40 episodes a second
    assert [job.seconds for job in planned] == [7200 + 2440 / 40, 2400 / 40, 16 * 40 / 40, 2000 / 40]
    _, words = run.budget(planned, 2)
    assert words == "4 of 4 runs to do, about 2.1 core-hours, the longest 121 minutes; 2.0 hours with 2 at once"


def test_a_suite_that_may_change_is_not_published(folder):
    done = command("--publish")
    assert done.exit_code == 2
    assert "--publish is for suites that no longer change, and 'tiny' is not frozen" in " ".join(done.stderr.split())


def test_published_results_are_kept_and_not_made_again(folder, results, monkeypatch):
    monkeypatch.setitem(suites.SUITES, "tiny", replace(TINY, frozen=True))
    done = command("--agent", "ilql", "--publish", "--results", str(results))
    assert done.exit_code == 0, done.output
    kept = results / "tiny" / "wordle" / "ilql" / "seed0.json"
    assert json.loads(kept.read_text())["run"] == result(folder, "ilql")["run"]

    clone = command("--out", "clone", "--results", str(results))
    assert clone.output.count("finished before") == 3
    assert "0 of 3 runs to do" in clone.output
    assert not (folder / "clone" / "tiny").exists()
    assert "| ilql |" in (folder / "leaderboard.md").read_text()

    kept.unlink()
    left = unfinished(plan(TINY, run.choose(TINY), folder / "clone", results))
    assert [job.run["agent"] for job in left] == ["bc", "ilql"]  # bc again, since ilql starts from its checkpoint


def test_the_key_covers_what_a_run_depends_on_and_nothing_else(folder, results, monkeypatch):
    def key(suite: Suite) -> str:
        return plan(suite, suite.agents[:1], folder / "runs", results)[0].key

    before = key(TINY)
    changed = {"summary": "Another.", "frozen": True, "pairs": (("ilql", "bc"),), "margin": 0.5, "seeds": (0, 1)}
    for name, value in changed.items():
        assert key(replace(TINY, **{name: value})) == before, name
    assert key(replace(TINY, agents=(Agent("bc", "bc", tokens_per_second=1.0),))) == before
    for name, value in {"tokens": 6_000, "seeds": (1,), "evaluation": Evaluation(episodes=13)}.items():
        assert key(replace(TINY, **{name: value})) != before, name
    monkeypatch.setattr("leaderboards.jobs.library_version", lambda: "0.0.0")
    assert key(TINY) != before


def test_broken_runs_are_reported_and_the_others_go_on(folder):
    names = ["BadConstructor", "BadAct", "Leaves", "Constant"]
    done = command(*[part for name in names for part in ("--agent", f"strangers:{name}")])
    assert done.exit_code == 1
    output = " ".join(done.output.split())
    assert "RuntimeError: no key for the service" in output
    assert "ZeroDivisionError: in act" in output
    assert "ended with code 9 and no result" in output
    assert output.count("done") == 2  # Constant and random
    error = folder / "runs/tiny/wordle/strangers.BadAct/seed0/error.txt"
    assert "strangers.py" in error.read_text()
    assert result(folder, "strangers.Constant")["run"]["agent"] == "strangers:Constant"


def test_what_starts_from_a_broken_run_is_not_begun(folder, monkeypatch):
    broken = replace(TINY, agents=(Agent("bc", "bc", {"tokens_per_batch": 8}), TINY.agents[1]), tokens=8)
    monkeypatch.setitem(suites.SUITES, "tiny", broken)
    done = command("--agent", "ilql")
    assert done.exit_code == 1
    assert "broken" in done.output
    assert "what it starts from is broken" in done.output


def test_one_process_does_many_runs_and_strangers_get_their_own(folder, monkeypatch):
    """Each has its own result and log; one that breaks leaves the others as they are."""
    players = (TINY.references[0], Player("told", "strangers:Tells"), Player("broken", "strangers:BadAct"))
    wrong = Agent("wrong", "bc", {"tokens_per_batch": 8})
    agents = (TINY.agents[0], wrong, TINY.agents[1])
    monkeypatch.setitem(suites.SUITES, "tiny", replace(TINY, agents=agents, references=players))
    done = command("--jobs", "1")
    assert done.exit_code == 1
    lines = [line.split()[:2] for line in done.output.splitlines() if line.startswith(("begun", "done", "broken"))]
    names = ["bc", "wrong", "ilql", "random", "told", "broken"]
    ends = ["broken" if name in ("wrong", "broken") else "done" for name in names]
    assert lines == [pair for name, end in zip(names, ends, strict=True) for pair in (["begun", name], [end, name])]
    logs = {path.parent.parent.name: path.read_text() for path in (folder / "runs").rglob("log.txt")}
    assert set(logs) == set(names)
    assert "process" in logs["told"]
    assert all("process" not in text for name, text in logs.items() if name != "told")
    again = command("--jobs", "1")
    assert again.output.count("finished before") == 4


def test_a_killed_worker_takes_one_run_with_it_and_is_replaced(folder, monkeypatch):
    long = Agent("long", "bc", tokens=100_000_000)
    monkeypatch.setitem(suites.SUITES, "tiny", replace(TINY, agents=(TINY.agents[0], long, TINY.agents[1])))

    def kill() -> None:
        saved = folder / "runs/tiny/wordle/long/seed0/train/training.safetensors"
        deadline = time.monotonic() + 60
        while not saved.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        (worker,) = _workers(folder)
        os.kill(int(worker), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    done = command("--jobs", "1")
    killer.join()
    assert done.exit_code == 1
    assert "killed by SIGKILL" in done.output
    assert [line.split()[1] for line in done.output.splitlines() if line.startswith("done")] == ["bc", "ilql", "random"]


def test_a_policy_gets_what_it_names_and_runs_once_a_seed_only_if_it_names_the_seed(folder):
    suite = replace(TINY, seeds=(3, 4))
    jobs = plan(suite, [Player("a", "strangers:Seeded"), Player("b", "strangers:Constant")], folder / "runs")
    assert [(job.run["agent"], job.run["seed"]) for job in jobs] == [("a", 3), ("a", 4), ("b", 3)]
    assert named_parameters(named("strangers:Seeded"), ["env_id", "env_kwargs", "data", "seed"]) == [
        "seed",
        "env_id",
        "data",
    ]
    assert command("--agent", "strangers:Seeded").exit_code == 0


def test_an_edited_policy_is_played_again(folder):
    command("--agent", "strangers:Constant")
    key = result(folder, "strangers.Constant")["run"]["key"]
    (folder / "strangers.py").write_text(STRANGERS.replace("crane", "moist"))
    assert command("--agent", "strangers:Constant").exit_code == 0
    assert result(folder, "strangers.Constant")["run"]["key"] != key


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "tinny"], "unknown suite 'tinny'; did you mean 'tiny'"),
        (["--agent", "ilq"], "agent of suite tiny (a policy of your own is 'pkg.mod:Name') 'ilq'; did you mean 'ilql'"),
        (["--agent", "nowhere:Mine"], "cannot import 'nowhere:Mine' (ModuleNotFoundError"),
        (["--agent", "strangers:Mine"], "has no 'Mine'"),
        (["--agent", "strangers:__name__"], "expected a class or function that makes a policy"),
        (["--algorithm", "filtered"], "unknown agent 'filtered'; did you mean 'filtered_bc'"),
        (["--checkpoint", "nowhere"], "nowhere"),
        (["--seed", "3"], "suite 'tiny' has no seed 3; its seeds are (0,)"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_said_in_a_line_with_code_2(folder, arguments, message):
    done = command(*arguments)
    assert done.exit_code == 2
    assert message in " ".join((done.output + done.stderr).split())
    assert "Traceback" not in done.output + done.stderr


def test_two_runs_do_not_share_a_folder(folder):
    (folder / "runs").mkdir()
    with FileLock(folder / "runs" / ".lock"):
        done = command("--agent", "random")
    assert done.exit_code == 2
    assert "another run is at work in runs" in done.stderr


def test_another_package_called_agents_is_named(folder, monkeypatch):
    (folder / "agents.py").write_text("")
    for name in [name for name in sys.modules if name.split(".")[0] == "agents"]:
        monkeypatch.delitem(sys.modules, name)
    done = command("--agent", "bc")
    assert done.exit_code == 2
    assert str(folder / "agents.py") in done.stderr
    assert "another package of that name comes first" in done.stderr


def test_choosing_agents_brings_what_they_start_from_and_the_random_player():
    assert [contestant.name for contestant in run.choose(TINY, ["ilql"])] == ["random", "bc", "ilql"]
    assert [contestant.name for contestant in run.choose(TINY)] == ["bc", "ilql", "random"]
    with pytest.raises(UnknownNameError):
        run.choose(TINY, ["pkg"])


def test_names_become_safe_folders():
    assert path_safe("pkg.mod:Name") == "pkg.mod.Name"
    assert path_safe("../../etc/x y") == "-..-etc-x-y"
    assert path_safe("..") == "-"


DRIVER = """
import sys
sys.path.insert(0, {tests!r})
from leaderboards import run, suites
from dataclasses import replace
from test_run import TINY
suites.SUITES["tiny"] = replace(TINY, tokens=100_000_000)
if __name__ == "__main__":
    sys.argv[1:] = ["--suite", "tiny", "--agent", "bc"]
    run.app()
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_saves_the_state_and_a_kill_leaves_nothing_running(folder, stop):
    (folder / "driver.py").write_text(DRIVER.format(tests=str(Path(__file__).parent)))
    train = folder / "runs/tiny/wordle/bc/seed0/train"
    process = subprocess.Popen(
        [sys.executable, "driver.py"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 60
    while not (train / "training.safetensors").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.2)
    process.send_signal(stop)
    output = process.communicate(timeout=60)[0]
    assert "Traceback" not in output
    assert process.returncode == (130 if stop == signal.SIGINT else -signal.SIGKILL), output
    saved = train / "training.safetensors"
    deadline = time.monotonic() + 20
    while (workers := _workers(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not workers
    assert saved.exists()
    assert not (train.parent / "result.json").exists()
    assert not (train.parent / "error.txt").exists()


def _workers(folder: Path) -> list[str]:
    """Processes that work in `folder`, from what Linux says of each."""
    if not Path("/proc").is_dir():
        pytest.skip("needs /proc to see processes")
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "cwd") == str(folder) and int(entry.name) != os.getpid():
                found.append(entry.name)
        except OSError:
            continue  # ended, or another's
    return found


def test_tasks_are_chosen_by_name_or_environment():
    suite = suites.SUITES["smoke"]
    assert suite.named(()) == suite.tasks
    assert [task.env_id for task in suite.named(["Reddit-v0", "Wordle-v0-common-40"])] == ["Wordle-v0", "Reddit-v0"]
    with pytest.raises(UnknownNameError, match="did you mean 'Wordle-v0'"):
        suite.named(["Wordle-v1"])


def test_a_part_of_a_suite_has_the_keys_that_it_has_among_all(tmp_path):
    suite = suites.SUITES["reddit-upvotes"]
    suite = replace(suite, tasks=tuple(replace(task, variant={**task.variant, "games": 40}) for task in suite.tasks))
    bc, ilql = (agent for agent in suite.agents if agent.name in ("bc", "ilql"))
    whole = {job.folder: job.key for job in plan(suite, [bc, ilql], tmp_path)}
    part = plan(suite, [bc, ilql], tmp_path, tasks=["Reddit-v0-upvotes_real"], seeds=[2])
    assert {job.folder: job.key for job in part}.items() <= whole.items()
    assert [job.title for job in part] == [
        "bc on Reddit-v0-upvotes_model, seed 2",  # which the shared run starts from
        "bc on Reddit-v0-upvotes_real, seed 2",
        "ilql on Reddit-v0-upvotes_real, seed 2",
    ]
