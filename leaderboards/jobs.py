"""Runs as jobs: who plays what with which seed, resolved to every setting, and the key that says when it is finished.

A job's folder is `<out>/<suite>/<task>/<agent>/seed<k>/`. It holds `run.json` (what to do), `result.json` (what came
out), `train/` (checkpoint and metrics of an agent), `log.txt`, and `error.txt` where the run broke. What is published
of it is the file `leaderboards/results/<suite>/<task>/<agent>/seed<k>.json`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from leaderboards.sources import REPOSITORY, hash_of, resolve
from leaderboards.suite import Agent, BestOf, Checkpoint, Chosen, Contestant, Player, Suite, Task
from lmrl_envs.datasets import content_hash
from lmrl_envs.files import write_atomic
from lmrl_envs.provenance import library_version
from lmrl_envs.registration import make_task, plain_json

CHAT = "leaderboards.players:chat"
"""The player behind `--chat`."""
SCHEMA = 1
LOOKED = ("score", "opener_share")
"""What looks in the course of training put into its curve."""
RESULTS = REPOSITORY / "leaderboards" / "results"
"""Published results."""
EPISODES_PER_SECOND = 40
"""What one core plays with a small model: a low guess, for budgets."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One run. `run` is plain JSON and holds all that the run depends on.

    Its `key` is the hash of that, `training` the hash of all but the evaluation, `setting` that of what the seeds of
    one row share. `published` is where its result stands in the repository, if it does. `seconds` is a guess of how
    long it takes on one core.
    """

    folder: Path
    run: Mapping[str, Any]
    needs: tuple[Path, ...]
    published: Path
    seconds: float

    @property
    def key(self) -> str:
        return self.run["key"]

    @property
    def title(self) -> str:
        return f"{self.run['agent']} on {self.run['task']['name']}, seed {self.run['seed']}"

    @property
    def is_strange(self) -> bool:
        """Whether it runs code that is not this library's."""
        return self.run["kind"] in ("agent", "player") and self.run["source_hash"] is not None

    @property
    def result(self) -> Path:
        """What the run writes when it is done."""
        return self.folder / "result.json"

    def done_here(self) -> bool:
        """Whether the folder holds the result of exactly this run, and so its checkpoint."""
        return _key_in(self.result) == self.key

    def finished(self) -> bool:
        """Whether there is a result of exactly this run, here or among the published ones."""
        return self.done_here() or self.is_published()

    def is_published(self) -> bool:
        """Whether the repository holds the result of exactly this run."""
        return _key_in(self.published) == self.key

    def prepare(self) -> None:
        """Readies the folder: what another setting left there goes, what this one left stays and is taken up again.

        A finished training stays too where the evaluation alone is another one.
        """
        before, train = _run_in(self.folder / "run.json"), self.folder / "train"
        if before.get("key") != self.key:
            trained = all((train / name).is_file() for name in ("agent.json", "metrics.jsonl"))
            if trained and before.get("training") == self.run["training"]:
                for path in (self.result, train / "training.safetensors"):
                    path.unlink(missing_ok=True)
                curve = train / "metrics.jsonl"
                points = without_looks([json.loads(line) for line in curve.read_text(encoding="utf-8").splitlines()])
                write_atomic(curve, "".join(json.dumps(point) + "\n" for point in points))
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "error.txt").unlink(missing_ok=True)
        write_atomic(self.folder / "run.json", json.dumps({"schema": SCHEMA, "run": self.run}, indent=2))


def without_looks(curve: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """A curve without what was played in the course of training."""
    return [{name: value for name, value in point.items() if name not in LOOKED} for point in curve]


def unfinished(jobs: Sequence[Job]) -> list[Job]:
    """The runs that are left to do, in order: those without a result, and those whose checkpoint they start from."""
    return _with_starts(jobs, lambda job: not job.finished(), there=Job.done_here)


def _with_starts(
    jobs: Sequence[Job], wanted: Callable[[Job], bool], there: Callable[[Job], bool] = lambda job: False
) -> list[Job]:
    """The wanted ones of all jobs and what they start from, in their order; without what of this is `there`."""
    by_folder = {job.folder: job for job in jobs}
    folders: set[Path] = set()
    for job in reversed(jobs):  # what a job starts from stands before it
        if job.folder in folders or wanted(job):
            folders |= {job.folder, *(folder for folder in job.needs if not there(by_folder[folder]))}
    return [job for job in jobs if job.folder in folders]


def plan(
    suite: Suite,
    contestants: Sequence[Contestant],
    out: Path,
    results: Path = RESULTS,
    *,
    tasks: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> list[Job]:
    """All runs of `contestants` on the suite's tasks, agents after those whose checkpoints they start from.

    Makes the episodes of these tasks' datasets where they are missing; runs make rewards that a model gives. A
    contestant to which the seed makes no difference runs once.

    The key of a run covers what its numbers come from: code by the library's version (a stranger's by its file), data
    by their hash, every setting, the seed, and the keys of the runs that it starts from. It covers neither the machine
    nor the time, so that a result counts wherever it was made.

    Args:
        out: Where runs are done.
        results: Where published results are.
        tasks, seeds: Only runs on tasks of these names or environments, with these seeds, and what they start from;
            their keys are those that they have among all.

    Raises:
        ImportError, ValueError: a contestant's code or configuration cannot be used; the suite has no such seed.
        UnknownNameError: the suite has no such task.
        FileNotFoundError: a checkpoint is not there.
    """
    if unknown := set(seeds) - set(suite.seeds):
        raise ValueError(f"suite {suite.name!r} has no seed {min(unknown)}; its seeds are {suite.seeds}")
    wanted = suite.named(tasks)
    lenders = [_lender(suite, task) for task in wanted]
    jobs: dict[Path, Job] = {}
    resolved = {contestant.name: resolve(suite, contestant) for contestant in contestants}
    for task in suite.tasks:
        if task not in (*wanted, *lenders):
            continue
        dataset_hash = content_hash(task.dataset, **task.variant)
        starts = _starts(suite, task)
        for entered in contestants:
            if not _takes_part(suite, task, entered):
                continue
            contestant = _on_task(suite, task, entered)
            origin = _origin(suite, task, entered) if contestant is entered else None
            settings = resolved[entered.name] if contestant is entered else resolve(suite, contestant)
            shared = {
                "suite": suite.name,
                "task": plain_json(dataclasses.asdict(task)),
                "dataset_hash": dataset_hash,
                "agent": contestant.name,
                **(settings if origin is None else settings | {"kind": "shared", "of": settings["kind"]}),
                "evaluation": dataclasses.asdict(suite.evaluation),
                "library_version": library_version(),
            }
            labels = {"reference": entered in suite.references, "command": _command(suite, entered)}
            seconds = _seconds(suite, starts, contestant, shared=origin is not None)
            for seed in suite.seeds if shared["seeded"] else suite.seeds[:1]:
                place = Path(suite.name, task.name, path_safe(contestant.name), f"seed{seed}")
                if origin is None:
                    places = {name: place.parents[1] / path_safe(name) / place.name for name in contestant.needs}
                else:
                    places = {origin.name: Path(suite.name, origin.name, *place.parts[2:])}
                needs = {name: jobs[out / where] for name, where in places.items()}
                run = _run(shared, labels, seed, needs, trains=isinstance(contestant, Agent))
                published = results / place.with_name(f"{place.name}.json")
                jobs[out / place] = Job(
                    out / place, run, tuple(need.folder for need in needs.values()), published, seconds
                )

    names = {task.name for task in wanted}

    def is_wanted(job: Job) -> bool:
        return job.run["task"]["name"] in names and (not seeds or job.run["seed"] in seeds)

    return _with_starts(list(jobs.values()), is_wanted)


def _run(
    shared: Mapping[str, Any], labels: Mapping[str, Any], seed: int, needs: Mapping[str, Job], *, trains: bool
) -> dict[str, Any]:
    """What `run.json` says: all that seeds share, this seed, the runs that it starts from, and the hashes of it all."""
    run = {
        **shared,
        "config": shared["config"] | ({"seed": seed} if trains else {}),
        "seed": seed,
        "needs": {name: job.key for name, job in needs.items()},
    }
    learnt = {name: value for name, value in run.items() if name != "evaluation"}
    learnt["needs"] = {name: job.run["training"] for name, job in needs.items()}
    return {"key": hash_of(run), "training": hash_of(learnt), "setting": hash_of(shared), **labels, **run}


def _takes_part(suite: Suite, task: Task, entered: Contestant) -> bool:
    """Whether a contestant plays on a task; a newcomer does not where agents are exported ones and it has to learn."""
    learns = isinstance(entered, Agent) and entered not in suite.agents
    return entered.env_id in (None, task.env_id) and not (task.name in suite.checkpoints and learns)


def _on_task(suite: Suite, task: Task, contestant: Contestant) -> Contestant:
    """Who takes part for a contestant: where a task's agents are exported ones, its own."""
    if task.name in suite.checkpoints and contestant in suite.agents:
        return Checkpoint(contestant.name, str(Path(suite.checkpoints[task.name], path_safe(contestant.name))))
    return contestant


def _origin(suite: Suite, task: Task, contestant: Contestant) -> Task | None:
    """The earlier task of which a shared contestant's run counts here too; None where it is this one."""
    lender = _lender(suite, task)
    return lender if contestant.shared and lender != task else None


def _lender(suite: Suite, task: Task) -> Task:
    """The first of the suite's tasks that differ from this one in rewards alone."""

    def but_rewards(task: Task) -> list[Any]:
        without = [
            {name: value for name, value in arguments.items() if name != "reward"}
            for arguments in (task.env_kwargs, task.variant)
        ]
        return [task.env_id, task.dataset, *without]

    return next(other for other in suite.tasks if but_rewards(other) == but_rewards(task))


def _starts(suite: Suite, task: Task) -> int:
    """How many episodes `"all"` are, where the suite plays them."""
    if suite.evaluation.episodes != "all":
        return 0
    return len(make_task(task.env_id, **task.env_kwargs).all_starts() or ())


def _seconds(suite: Suite, starts: int, contestant: Contestant, *, shared: bool) -> float:
    """A guess of the time that one run takes on one core, on a task with so many starts."""
    evaluation = suite.evaluation

    def episodes(count: int | Literal["all"]) -> int:
        return starts if count == "all" else count

    once = episodes(evaluation.episodes)
    sampled = once * evaluation.repeats
    training, played = 0.0, sampled
    match contestant:
        case Agent() if shared:
            played += once
        case Agent(tokens=tokens, tokens_per_second=rate):
            looks = evaluation.looks
            training = (tokens or suite.tokens) / rate
            played += once + (looks.count * episodes(looks.episodes) if looks else 0)
        case Chosen(among=among, episodes=tried, options=options):
            played += once + len(among) * (len(options) or 1) * tried
        case BestOf(samples=samples):
            played = samples * once
    return training + played / EPISODES_PER_SECOND


def _command(suite: Suite, contestant: Contestant) -> str:
    match contestant:
        case Checkpoint(path=path):
            argument = f"--checkpoint {shlex.quote(path)}"
        case Player(factory=source, arguments={"base_url": url, "model": model}) if source == CHAT:
            argument = f"--chat {shlex.quote(model)} --chat-url {shlex.quote(url)}"
        case Agent(algorithm=source) if contestant not in suite.agents:
            argument = f"--algorithm {source}"
        case _:
            argument = f"--agent {contestant.name}"
    return f"python -m leaderboards.run --suite {suite.name} {argument}"


def path_safe(name: str) -> str:
    """A name as a folder: `:` of `pkg.mod:Name` becomes a dot, anything else that is unusual a dash."""
    return re.sub(r"[^\w.@=-]", "-", name.replace(":", ".")).lstrip(".") or "-"


def _key_in(path: Path) -> str | None:
    return _run_in(path).get("key")


def _run_in(path: Path) -> dict[str, Any]:
    """The run that a file is of; an empty one where there is none or it is cut short, so that it is done again."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
