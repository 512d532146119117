"""`python -m leaderboards.run --suite quick`: trains and scores every agent of a suite, then writes its page.

Worker processes, of one thread each, do one run after the other, and each run writes one JSON. Finished runs are
skipped, a broken one is reported and the others go on, Ctrl-C saves the state of those at work; the same command goes
on from there.
`--dry-run` tells what is left to do and how long it takes; `--publish` keeps the results of a frozen suite in the
repository, each as it is finished.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import IO, Annotated, NoReturn, cast

import typer
from filelock import FileLock, Timeout
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from leaderboards import publish, render
from leaderboards.jobs import CHAT, RESULTS, Job, plan, unfinished
from leaderboards.rows import DECODED
from leaderboards.suite import Agent, Checkpoint, Contestant, Player, Suite
from leaderboards.suites import get_suite
from lmrl_envs.errors import LmrlError, unknown_name

POLL_SECONDS = 0.1
CHAT_URL = "https://api.openai.com/v1"
FAILED, USAGE, INTERRUPTED = 1, 2, 130
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose(
    suite: Suite,
    agents: Sequence[str] = (),
    algorithms: Sequence[str] = (),
    checkpoints: Sequence[str] = (),
    chats: Sequence[str] = (),
    chat_url: str = CHAT_URL,
) -> list[Contestant]:
    """Who runs: everybody of the suite, or those named, what they start from, and the random player.

    Args:
        suite: The suite.
        agents: Names of the suite's agents and references, or policies as `"pkg.mod:Name"`.
        algorithms: Learning algorithms as `"pkg.mod:Name"` or by name, trained with the suite's settings.
        checkpoints: Paths of trained agents.
        chats: Names of chat models behind the endpoint `chat_url`.

    Raises:
        UnknownNameError: a name is not among the suite's.
    """
    everybody: tuple[Contestant, ...] = (*suite.agents, *suite.references)
    known = {contestant.name: contestant for contestant in everybody}
    if not (agents or algorithms or checkpoints or chats):
        return list(known.values())
    chosen: list[Contestant] = [suite.references[0]]
    for name in agents:
        if name in known:
            chosen += _with_needs(known[name], known)
        elif ":" in name:
            chosen.append(Player(name, name))
        else:
            raise unknown_name(f"agent of suite {suite.name} (a policy of your own is 'pkg.mod:Name')", name, known)
    chosen += [Agent(name, name) for name in algorithms]
    chosen += [Checkpoint(f"checkpoint {path}", path) for path in checkpoints]
    chosen += [Player(f"chat {model}", CHAT, {"base_url": chat_url, "model": model}) for model in chats]
    return list({contestant.name: contestant for contestant in chosen}.values())


def _with_needs(contestant: Contestant, known: Mapping[str, Contestant]) -> list[Contestant]:
    """What a contestant starts from, first to last, and itself."""
    return [other for name in contestant.needs for other in _with_needs(known[name], known)] + [contestant]


def execute(
    jobs: Sequence[Job], processes: int, console: Console, keep: Callable[[Job], None] | None = None
) -> list[Job]:
    """Does the jobs, at most `processes` at once; returns those that broke or could not begin.

    Args:
        jobs: All of them; finished ones are skipped.
        processes: At most so many at once.
        console: Gets a line for each.
        keep: Called with each one whose result is here and not published, as soon as it is here.

    Raises:
        KeyboardInterrupt: after the runs at work have saved their state.
    """
    waiting = unfinished(jobs)
    failed: list[Job] = []
    with Screen(console) as screen, Workers(processes, console) as workers:
        for job in jobs:
            if job not in waiting:
                screen.line(job, "finished before", style="dim")
                _keep(job, keep, screen)
        while waiting or workers.at_work():
            ahead = {job.folder for job in (*waiting, *workers.at_work())}
            broken = {job.folder for job in failed}
            for job in list(waiting):
                if not broken.isdisjoint(job.needs):
                    waiting.remove(job)
                    failed.append(job)
                    broken.add(job.folder)
                    screen.line(job, "not begun", "what it starts from is broken", style="red")
                elif workers.free() and ahead.isdisjoint(job.needs):
                    waiting.remove(job)
                    workers.begin(job)
                    screen.begin(job)
            time.sleep(POLL_SECONDS)
            for job, code in workers.ended():
                screen.end(job)
                if job.done_here():
                    screen.line(job, "done", _scores(job), style="green")
                    _keep(job, keep, screen)
                else:
                    failed.append(job)
                    screen.line(job, "broken", _reason(job, code), style="red")
            screen.refresh()
    return failed


def _keep(job: Job, keep: Callable[[Job], None] | None, screen: Screen) -> None:
    if keep is None or job.is_published() or not job.done_here():
        return
    try:
        keep(job)
    except (ValueError, OSError) as error:  # the others go on
        screen.line(job, "not published", str(error), style="red")


class Workers:
    """Processes that do one run after the other, so that what takes seconds to import and to load is there once.

    A process that dies takes the run with it that it was at, and no other. A stranger's code gets a process of its
    own, since nobody knows what it leaves behind.
    """

    def __init__(self, most: int, console: Console) -> None:
        self.most, self.console = most, console
        self._busy: dict[subprocess.Popen[bytes], Job] = {}
        self._idle: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        for process in self._idle:
            _dismiss(process)
        if kind is not None:
            self._interrupt()
        for process in self._idle:
            process.wait()

    def at_work(self) -> list[Job]:
        """The runs that have begun and not ended."""
        return list(self._busy.values())

    def free(self) -> bool:
        """Whether one more can begin."""
        return len(self._busy) < self.most

    def begin(self, job: Job) -> None:
        """Gives a run to a process that is idle, or to a new one."""
        job.prepare()
        process = None
        while self._idle and not job.is_strange and process is None:
            process = self._idle.pop()
            if process.poll() is not None or not _told(process, job):
                process = None  # it died between two runs
        if process is None:
            process = _start(job)
            _told(process, job)
        self._busy[process] = job

    def ended(self) -> list[tuple[Job, int | None]]:
        """The runs that have ended since the last call, with the exit code of a process that ended with its run."""
        over = []
        for process, job in list(self._busy.items()):
            code = process.poll()
            if code is None and not _answer(process):
                continue
            del self._busy[process]
            over.append((job, code))
            if code is None and not job.is_strange:
                self._idle.append(process)
            else:
                _dismiss(process)
        return over

    def _interrupt(self) -> None:
        """Asks the runs at work to save their state and waits for them; a second Ctrl-C kills them."""
        self.console.print(f"stopping: {len(self._busy)} at work save their state (Ctrl-C again: at once, without)")
        try:
            for process in self._busy:
                process.send_signal(signal.SIGINT)
            for process in self._busy:
                process.wait()
        except KeyboardInterrupt:
            for process in self._busy:
                process.kill()


def _start(job: Job) -> subprocess.Popen[bytes]:
    # One thread a process, since the processes share the cores; a session of its own, so that the terminal's Ctrl-C
    # reaches a run once, through us.
    environment = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", **os.environ}
    with (job.folder / "log.txt").open("ab") as log:  # until the worker opens the log of each run itself
        process = subprocess.Popen(
            [sys.executable, "-m", "leaderboards.worker"],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    os.set_blocking(cast("IO[bytes]", process.stdout).fileno(), False)
    return process


def _told(process: subprocess.Popen[bytes], job: Job) -> bool:
    """Whether the process was there to be told what to do."""
    try:
        cast("IO[bytes]", process.stdin).write(f"{job.folder}\n".encode())
    except OSError:
        return False
    return True


def _answer(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process says that its run has ended."""
    return bool(cast("IO[bytes]", process.stdout).read(1))


def _dismiss(process: subprocess.Popen[bytes]) -> None:
    """A worker ends where its input ends."""
    for pipe in (process.stdin, process.stdout):
        cast("IO[bytes]", pipe).close()


def _reason(job: Job, code: int | None) -> str:
    error = job.folder / "error.txt"
    if error.exists():
        return f"{error.read_text(encoding='utf-8').strip().splitlines()[-1]} ({error})"
    how = f"killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended with code {code} and no result"
    return f"{how} ({job.folder / 'log.txt'})"


def _scores(job: Job) -> str:
    results = json.loads(job.result.read_text(encoding="utf-8"))["eval"]
    shown = results if job.run.get("of", job.run["kind"]) in DECODED else {"return": next(iter(results.values()))}
    return ", ".join(f"{name} {fmean(result['returns']):.2f}" for name, result in shown.items() if result["returns"])


def budget(jobs: Sequence[Job], processes: int) -> tuple[Table, str]:
    """What is left to do with the time that it is guessed to take, and the sum of it in words."""
    left = unfinished(jobs)
    table = Table(box=None, pad_edge=False)
    for heading in ("run", "tokens", "core-minutes"):
        table.add_column(heading, justify="left" if heading == "run" else "right")
    for job in left:
        tokens = job.run.get("tokens")
        table.add_row(escape(job.title), f"{tokens:,}" if tokens else "", f"{job.seconds / 60:.1f}")
    seconds = sum(job.seconds for job in left)
    longest = max((job.seconds for job in left), default=0)
    words = (
        f"{len(left)} of {len(jobs)} runs to do, about {seconds / 3600:.1f} core-hours, the longest "
        f"{longest / 60:.0f} minutes; {max(seconds / processes, longest) / 3600:.1f} hours with {processes} at once"
    )
    return table, words


class Screen:
    """A line for each run that begins or ends, and on a terminal a live bar for each run at work."""

    def __init__(self, console: Console):
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[doing]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._at_work: dict[Path, tuple[Job, TaskID]] = {}

    def __enter__(self) -> Screen:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def line(self, job: Job, outcome: str, detail: str = "", style: str = "") -> None:
        self._bars.console.print(f"[{style or 'none'}]{outcome:<15}[/] {escape(f'{job.title}  {detail}'.rstrip())}")

    def begin(self, job: Job) -> None:
        total = job.run["config"].get("steps")
        self._at_work[job.folder] = job, self._bars.add_task(job.title, total=total, doing="starting")
        if self._bars.disable:
            self.line(job, "begun")

    def end(self, job: Job) -> None:
        self._bars.remove_task(self._at_work.pop(job.folder)[1])

    def refresh(self) -> None:
        if self._bars.disable:
            return
        for job, bar in self._at_work.values():
            total, step = job.run["config"].get("steps"), _steps_done(job)
            doing = f"step {step:,} of {total:,}" if total and step < total else "playing"
            self._bars.update(bar, completed=step, doing=doing)


def _steps_done(job: Job) -> int:
    """The step in the last line of the training's metrics."""
    try:
        with (job.folder / "train" / "metrics.jsonl").open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 4096, 0))
            return json.loads(file.read().splitlines()[-1])["step"]
    except (OSError, ValueError, IndexError, KeyError):
        return 0  # not yet written, or half a line


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    suite: Annotated[str, typer.Option(help="Which suite.")] = "quick",
    task: Annotated[list[str] | None, typer.Option(help="Only this task of the suite, such as Wordle-v0.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Only this training seed of the suite.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for results.")] = Path("runs"),
    page: Annotated[Path, typer.Option(help="The page; its table goes beside it as .md.")] = Path("leaderboard.html"),
    agent: Annotated[list[str] | None, typer.Option(help="Only this agent, or your policy as pkg.mod:Name.")] = None,
    algorithm: Annotated[list[str] | None, typer.Option(help="Train your algorithm, as pkg.mod:Name.")] = None,
    checkpoint: Annotated[list[str] | None, typer.Option(help="Score a trained agent, by path.")] = None,
    chat: Annotated[list[str] | None, typer.Option(help="Score this chat model; its key: OPENAI_API_KEY.")] = None,
    chat_url: Annotated[str, typer.Option(envvar="OPENAI_BASE_URL", help="Its OpenAI-compatible endpoint.")] = CHAT_URL,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at once; the number of cores by default.")] = CORES,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what is left to do and how long it takes.")] = False,
    keep: Annotated[bool, typer.Option("--publish", help="Keep results of a frozen suite in the repository.")] = False,
    results: Annotated[Path, typer.Option(help="Folder of published results.")] = RESULTS,
) -> None:
    """Trains and scores the agents of a suite; finished runs are skipped."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        chosen = get_suite(suite)
        contestants = choose(chosen, agent or (), algorithm or (), checkpoint or (), chat or (), chat_url)
        if keep and not chosen.frozen:
            raise ValueError(f"--publish is for suites that no longer change, and {suite!r} is not frozen")
        planned = plan(chosen, contestants, out, results, tasks=task or (), seeds=seed or ())
        runs, total = budget(planned, jobs)
        if dry_run:
            console.print(runs)
        console.print(total)
        if dry_run:
            return
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(out / ".lock", timeout=0):
            failed = execute(planned, jobs, console, publish.publish if keep else None)
            tables = render.write(out, page, results)
    except Timeout:
        _stop(f"another run is at work in {out}; wait for it, or give --out another folder")
    except (ImportError, ValueError, OSError, LmrlError) as error:
        _stop(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    console.print(render.markdown([table for table in tables if table.suite == suite]), markup=False)
    console.print(f"page: {page}")
    if failed:
        raise typer.Exit(FAILED)


def _stop(message: str) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/] {escape(message)}")
    raise typer.Exit(USAGE)


if __name__ == "__main__":
    app()
