"""The command that plays, as a process: through pipes, and at a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest

from lmrl_envs import play
from lmrl_envs.evaluate import episode_seed, rollout
from lmrl_envs.policies import ScriptedPolicy
from lmrl_envs.registration import make_task

COMMAND = [sys.executable, "-m", "lmrl_envs.play"]


def piped(*arguments, lines=""):
    return subprocess.run([*COMMAND, *arguments], input=lines, capture_output=True, text=True, timeout=120)


def test_a_game_through_pipes():
    done = piped("Wordle-v0", "--words=common-40", "--seed", "0", lines="crane\nbogus1\nmoist\n")
    (episode,) = rollout(
        ScriptedPolicy(["crane", "bogus1", "moist"]), "Wordle-v0", episodes=1, env_kwargs={"words": "common-40"}
    )
    said = [turn.text for turn in episode.turns]
    assert done.returncode == 0
    assert done.stderr == ""
    assert make_task("Wordle-v0").instructions.split()[:5] == done.stdout.split()[:5]
    assert "Seed 0." in done.stdout
    assert f"> {said[0]}\n{said[1]}\n> " in done.stdout
    assert f"bogus1\ninvalid\nmoist\n{said[5]}\n> \n" in done.stdout
    assert "return" not in done.stdout  # the lines ended before the game


def test_hints_win_and_episodes_go_on():
    task = make_task("Wordle-v0", words=["crane", "moist", "vivid"])
    words = '["crane", "moist", "vivid"]'
    with subprocess.Popen(
        [*COMMAND, "Wordle-v0", "--words", words, "--hint", "--episodes", "2", "--seed", "5"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as child:
        answers = []
        for line in child.stdout:
            if hint := re.match(r"best guess: (\w+)", line):
                child.stdin.write(f"{hint[1]}\n")
                child.stdin.flush()
            if end := re.search(r"human: return (-?\d+)\. success True, valid True, answer (\w+)", line):
                answers.append((int(end[1]), end[2]))
        assert child.wait(timeout=60) == 0
    assert len(answers) == 2
    # Guess one of three: the colours tell the other two apart.
    assert all(value in (0, -1) for value, _ in answers)
    starts = [task.start([np_random(episode_seed(5, index))])[0].state.answer for index in (0, 1)]
    assert [answer for _, answer in answers] == [task.answers[index] for index in starts]


def np_random(seed):
    from gymnasium.utils.seeding import np_random

    return np_random(seed)[0]


def test_a_coloured_board_at_a_terminal():
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environment.pop("NO_COLOR", None)
    arguments = [*COMMAND, "Wordle-v0", "--words", '["moist"]', "--seed", "1"]
    with subprocess.Popen(
        arguments, stdin=follower, stdout=follower, stderr=follower, env=environment, close_fds=True
    ) as child:
        os.close(follower)
        screen = wait_for(leader, "> ")
        os.write(leader, b"mince\n")
        screen += wait_for(leader, "> ")
        os.write(leader, b"moist\n")
        screen += wait_for(leader, "answer moist")
        assert child.wait(timeout=30) == 0
    os.close(leader)
    green, grey = "48;2;83;141;78m", "48;2;88;88;92m"
    assert green in screen
    assert grey in screen
    letters = re.sub(r"\x1b\[[\d;]*m|\s", "", screen)
    assert "MINCE" in letters
    assert "human:return-1.successTrue" in letters


def test_ctrl_c_and_ctrl_d_end_it():
    for key, code in ((b"\x03", 130), (b"\x04", 0)):
        leader, follower = pty.openpty()
        with subprocess.Popen(
            [*COMMAND, "Wordle-v0", "--words", '["moist"]'], stdin=follower, stdout=follower, stderr=follower,
            start_new_session=True, preexec_fn=take_terminal,
        ) as child:  # fmt: skip
            os.close(follower)
            wait_for(leader, "> ")
            os.write(leader, key)
            assert child.wait(timeout=30) == code
        assert "Traceback" not in wait_for(leader, None)
        os.close(leader)


def take_terminal():
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C is a signal only at one's own terminal


def wait_for(leader, text):
    """What the terminal shows, up to and with `text`; with None, all that is there."""
    shown, deadline = "", time.monotonic() + 60
    while text is None or text not in shown:
        assert time.monotonic() < deadline, shown
        ready, _, _ = select.select([leader], [], [], 0.2)
        if not ready:
            if text is None:
                return shown
            continue
        try:
            data = os.read(leader, 65_536)
        except OSError:  # the other end is closed
            data = b""
        if not data:
            assert text is None, shown
            return shown
        shown += data.decode()
    return shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Wordel-v0"], "unknown environment 'Wordel-v0'; did you mean 'Wordle-v0'"),
        (["Wordle-v0", "--wrds", "common-40"], "unknown argument of Wordle-v0 'wrds'; did you mean 'words'"),
        (["Wordle-v0", "--words"], "expected arguments of Wordle-v0 as --name value, got '--words'"),
        (["Wordle-v0", "common-40"], "expected arguments of Wordle-v0 as --name value, got 'common-40'"),
        (["Wordle-v0", "--words", "comon"], "unknown word list 'comon'; did you mean 'common'"),
        (["Wordle-v0", "--hint"], "--hint knows Wordle-v0 with up to 300 hidden words; try --words common-40"),
        (["Wordle-v0", "--agent", "nowhere"], "nowhere holds no trained agent: agent.json is missing"),
        (["Wordle-v0", "--episodes", "0"], "expected --episodes of at least 1 and --seed of at least 0"),
        (["Wordle-v0", "--seed", "-1"], "expected --episodes of at least 1 and --seed of at least 0"),
    ],
)
def test_bad_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        play.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_without_the_clone_there_is_a_clear_message(tmp_path, monkeypatch, capsys):
    (tmp_path / "agents.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "agents", raising=False)
    with pytest.raises(SystemExit):
        play.main(["Wordle-v0", "--agent", "a"])
    said = capsys.readouterr().err
    assert "--agent needs the package 'agents' of a clone of lmrl-envs; start from the clone's folder" in said
    assert "agents.py is another package of that name" in said
    monkeypatch.delitem(sys.modules, "agents")


def test_an_agent_is_watched(tmp_path, capsys):
    from agents.bc import BC
    from agents.tokenizers import wordle_tokenizer
    from agents.trainer import TrainConfig, train
    from lmrl_envs.datasets import load_dataset

    data = load_dataset("wordle/human-v0", words="common-40", games=50)
    bc = BC(TrainConfig(model="tiny", steps=2, tokens_per_batch=512), wordle_tokenizer())
    train(bc, data, out=tmp_path, progress=False)
    assert play.main(["Wordle-v0", "--words", "common-40", "--agent", str(tmp_path), "--seed", "0"]) == 0
    (episode,) = rollout(bc.policy(temperature=0), "Wordle-v0", episodes=1, seed=0, env_kwargs={"words": "common-40"})
    said = capsys.readouterr().out
    assert f"bc: return {episode.total_return:g}. success {episode.info['success']}" in said
    assert all(turn.text in said for turn in episode.turns)
