"""Datasets: what is written is what is read, parts and columns, chats, and everything that can go wrong with files."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmrl_envs.core import Episode, Turn
from lmrl_envs.datasets import NO_CHAT, DatasetMetadata, TextDataset, load_dataset, write_dataset
from lmrl_envs.errors import DatasetError
from lmrl_envs.recipes import RECIPES
from lmrl_envs.registration import TASKS, ReferenceScores


def talk(*rewards, seed=0, behaviour=None, truncated=False):
    """An episode in which the environment says `hi`, and the agent earns these rewards."""
    turns = [Turn("env", "hi")]
    for number, reward in enumerate(rewards):
        turns += [Turn("agent", f"word {number}", reward), Turn("env", "ja, größer")]
    info = {} if behaviour is None else {"behaviour": behaviour}
    return Episode("Talk-v0", seed, tuple(turns), not truncated, truncated, {**info, "nested": {"list": [1, None]}})


TALKS = [
    talk(-1.0, 0.5, seed=2**63 - 1, behaviour="polite"),
    talk(seed=None),
    talk(0.25, truncated=True),
    talk(-1.0, -1.0, -1.0, seed=7),
    talk(1.0),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "talks.parquet"


@pytest.fixture
def talks(path):
    return write_dataset(path, TALKS, DatasetMetadata(env_id="Talk-v0", env_kwargs={"words": ("a", "b")}))


def test_what_is_written_is_read(talks, path):
    again = TextDataset.read(path)
    assert list(talks) == list(again) == TALKS
    assert [talks[i] for i in range(-5, 5)] == TALKS + TALKS
    assert talks[np.int64(3)] == TALKS[3]
    assert again.metadata == talks.metadata
    with pytest.raises(IndexError):
        talks[5]


def test_metadata(talks):
    metadata = talks.metadata
    assert metadata.env_kwargs == {"words": ["a", "b"]}  # plain JSON
    assert (metadata.episodes, metadata.turns) == (5, 5 + 2 * 7)
    assert metadata.mean_return == (-0.5 + 0.0 + 0.25 - 3.0 + 1.0) / 5
    assert (metadata.format_version, metadata.learned_hash) == (1, None)
    assert DatasetMetadata.from_json(json.loads(json.dumps(metadata.to_json()))) == metadata


def test_file_has_one_row_an_episode(talks, path):
    rows = pd.read_parquet(path)
    assert list(rows) == ["seed", "behaviour", "roles", "texts", "rewards", "terminated", "truncated", "info"]
    row = rows.iloc[0]
    assert (row.behaviour, list(row.roles), list(row.texts), list(row.rewards)) == (
        "polite",
        ["env", "agent", "env", "agent", "env"],
        ["hi", "word 0", "ja, größer", "word 1", "ja, größer"],
        [0.0, -1.0, 0.0, 0.5, 0.0],
    )
    assert json.loads(row["info"]) == {"behaviour": "polite", "nested": {"list": [1, None]}}


def test_content_hash_is_over_canonical_lines(talks, path, tmp_path):
    # By hand: keys in order, no spaces, UTF-8, one line an episode.
    line = '{"behaviour":null,"rewards":[0.0,1.0,0.0],"roles":["env","agent","env"],"seed":0,'
    line += '"texts":["hi","word 0","ja, größer"]}\n'
    one = write_dataset(path, TALKS[4:], DatasetMetadata(env_id="Talk-v0"))
    assert one.metadata.content_hash == _sha256(line)

    changed = replace(TALKS[4], info={"nested": 1})  # info is not content
    assert write_dataset(path, [changed], DatasetMetadata(env_id="Talk-v0")).metadata.content_hash == _sha256(line)


def test_learned_rewards_have_a_hash_of_their_own(path):
    learned = DatasetMetadata(env_id="Talk-v0", learned_rewards=True)
    one, other = (write_dataset(path, [talk(reward)], learned).metadata for reward in (1.0, 2.0))
    assert one.content_hash == other.content_hash
    assert one.learned_hash == _sha256("[0.0,1.0,0.0]\n")
    assert one.learned_hash != other.learned_hash


def test_parts_are_views(talks):
    assert list(talks[1:4]) == TALKS[1:4]
    assert list(talks[3:100]) == TALKS[3:]
    assert list(talks[3:1]) == []
    assert list(talks[::-2]) == TALKS[::-2]
    assert talks[1:4][1:][0] == TALKS[2]
    assert list(talks.select([4, 0, 0])) == [TALKS[4], TALKS[0], TALKS[0]]
    assert talks[1:4].metadata == talks.metadata
    before = pa.total_allocated_bytes()
    view = talks[1:4]
    assert pa.total_allocated_bytes() == before
    assert len(view) == 3


def test_returns(talks):
    assert talks.returns.tolist() == [-0.5, 0.0, 0.25, -3.0, 1.0] == [episode.total_return for episode in TALKS]
    assert talks[1:4].returns.tolist() == [0.0, 0.25, -3.0]
    assert talks.returns is talks.returns
    assert talks[:0].returns.shape == (0,)


def test_columns(talks):
    columns = talks[2:4].columns()
    assert columns.offsets.tolist() == [0, 3, 10]
    assert columns.is_agent.tolist() == [False, True, False, False, True, False, True, False, True, False]
    assert columns.texts.to_pylist()[:4] == ["hi", "word 0", "ja, größer", "hi"]
    assert columns.rewards.tolist() == [0, 0.25, 0, 0, -1, 0, -1, 0, -1, 0]
    assert columns.terminated.tolist() == [False, True]
    assert columns.truncated.tolist() == [True, False]


def test_top_takes_the_best_and_shuffles_ties(path):
    rewards = [0.0, 2.0, 1.0, 1.0, 1.0, 1.0, -5.0, 2.0, 1.0, 1.0]
    data = write_dataset(path, [talk(r, seed=i) for i, r in enumerate(rewards)], DatasetMetadata(env_id="Talk-v0"))
    assert [episode.seed for episode in data.top(0.2)] == [1, 7]
    assert [episode.seed for episode in data.top(0.01)] in ([1], [7])
    assert [episode.seed for episode in data.top(1.0)] == list(range(10))
    ties = {tuple(episode.seed for episode in data.top(0.3, seed=seed)) for seed in range(40)}
    assert ties == {tuple(sorted((1, 7, tie))) for tie in (2, 3, 4, 5, 8, 9)}
    assert list(data.top(0.3, seed=3)) == list(data.top(0.3, seed=3))
    for fraction in (0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="expected a fraction above 0 and up to 1"):
            data.top(fraction)


def test_to_pandas_has_one_row_a_turn(talks):
    rows = talks[:3].to_pandas()
    assert list(rows) == ["episode", "seed", "behaviour", "turn", "role", "text", "reward"]
    assert rows.episode.tolist() == [0] * 5 + [1] + [2] * 3
    assert rows.turn.tolist() == [0, 1, 2, 3, 4, 0, 0, 1, 2]
    assert rows.seed[0] == 2**63 - 1
    assert pd.isna(rows.seed[5])
    assert rows.groupby("episode").reward.sum().tolist() == [-0.5, 0.0, 0.25]


def test_many_blocks(path):
    many = [talk(float(i % 7), seed=i) for i in range(10_000)]
    data = write_dataset(path, iter(many), DatasetMetadata(env_id="Talk-v0"))
    assert list(data) == many
    assert data[4095:4098].returns.tolist() == [0.0, 1.0, 2.0]
    assert data[8191] == many[8191]
    assert data.columns().offsets.tolist() == list(range(0, 30_001, 3))


def test_no_episodes(path):
    data = write_dataset(path, [], DatasetMetadata())
    assert len(data) == 0
    assert data.metadata.mean_return is None
    assert len(data.to_pandas()) == len(data.columns().texts) == 0


@pytest.mark.parametrize(
    ("episode", "message"),
    [
        (replace(talk(), env_id=None), "episode 1: expected env_id 'Talk-v0' as in the metadata, got None"),
        (talk(float("nan")), "expected finite rewards"),
        (replace(talk(), turns=(Turn("user", "hi"),)), "expected the roles 'env' and 'agent', got .*user"),
        (replace(talk(), turns=(Turn("env", "\ud800"),)), "lone surrogate.*lmrl_envs.clean makes any text safe"),
        (replace(talk(), turns=(Turn("env", 5),)), "expected texts as str"),
        (replace(talk(), info={"set": {1}}), "info as plain JSON: .*got set"),
        (replace(talk(), info={"text": "\ud800"}), "lone surrogate"),
        (replace(talk(), info={"behaviour": 5}), "expected a str, got 5"),
    ],
)
def test_what_cannot_be_stored(talks, path, episode, message):
    with pytest.raises(ValueError, match=message):
        write_dataset(path, [talk(), episode], DatasetMetadata(env_id="Talk-v0"))
    assert list(TextDataset.read(path)) == TALKS


# Chats


def test_chats_round_trip(talks, tmp_path):
    spoken = talks.select([0, 2, 3, 4])  # one has no turn of the agent, which is no chat
    spoken.to_jsonl(tmp_path / "talks.jsonl")
    first = json.loads((tmp_path / "talks.jsonl").read_text(encoding="utf-8").split("\n")[0])
    assert first["messages"][:2] == [
        {"role": "user", "content": "hi", "reward": 0.0},
        {"role": "assistant", "content": "word 0", "reward": -1.0},
    ]
    again = TextDataset.from_jsonl(tmp_path / "talks.jsonl")
    assert list(again) == list(spoken)
    assert again.metadata.env_id == "Talk-v0"
    rewritten = write_dataset(tmp_path / "talks.parquet", spoken, talks.metadata).metadata
    assert again.metadata.content_hash == rewritten.content_hash
    assert TextDataset.from_jsonl(tmp_path / "talks.jsonl", rewritten).metadata == rewritten
    with pytest.raises(ValueError, match="episode 0: expected env_id 'Other-v0' as in the metadata, got 'Talk-v0'"):
        TextDataset.from_jsonl(tmp_path / "talks.jsonl", DatasetMetadata(env_id="Other-v0"))


def test_chats_of_others(tmp_path):
    chats = [
        [{"role": "system", "content": "be\nkind"}, {"role": "assistant", "content": "\ud800", "reward": 2}],
        {"messages": [{"role": "tool", "content": "7"}, {"role": "agent", "content": "ok"}], "truncated": True},
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text("\n\n".join(map(json.dumps, chats)))
    one, other = TextDataset.from_jsonl(path)
    assert one == Episode(None, None, (Turn("env", "be kind"), Turn("agent", "\ufffd", 2.0)), True, False, {})
    assert other == Episode(None, None, (Turn("env", "7"), Turn("agent", "ok", 0.0)), False, True, {})
    assert TextDataset.from_jsonl(path, DatasetMetadata(env_id="Talk-v0"))[0].env_id == "Talk-v0"
    with pytest.raises(ValueError, match="no environment produced these episodes"):
        TextDataset.from_jsonl(path).make_env()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "Expecting property name"),
        ("5", "expected a list of messages, or an object that holds one as 'messages'"),
        ("[]", "expected at least one message of the assistant"),
        ('[{"role": "user", "content": "a"}]', "expected at least one message of the assistant"),
        ('[{"role": "agent", "content": "a", "reward": true}]', "expected a finite number as reward, got True"),
        ('[{"role": "agent", "content": "a", "reward": 1%s}]' % ("0" * 400), "too large"),
        ('{"messages": [{"role": "agent", "content": "a"}], "seed": 9223372036854775808}', "seed: expected 64 bits"),
        ('{"messages": [{"role": "agent", "content": "a"}], "info": {"a": "\\ud800"}}', "surrogates not allowed"),
        ('{"messages": [{"role": "agent", "content": "a"}], "info": {"behaviour": 1}}', "info['behaviour']: expected"),
        ('["hi"]', "message 1: expected an object with 'role' and 'content', got 'hi'"),
        ('[{"role": "user"}]', "message 1: expected an object with 'role' and 'content'"),
        ('[{"role": "asistant", "content": "a"}]', "message 1: unknown role 'asistant'; did you mean 'assistant'"),
        ('[{"role": [], "content": "a"}]', "message 1: unknown role"),
        ('[{"role": "user", "content": null}]', "message 1: expected content as a string, got None"),
        ('[{"role": "agent", "content": "a", "reward": "1"}]', "expected a finite number as reward, got '1'"),
        ('[{"role": "agent", "content": "a", "reward": NaN}]', "expected a finite number as reward, got nan"),
        ('[{"role": "user", "content": "a", "reward": 1}]', "rewards on the assistant's messages alone, got 1 here"),
        ('{"messages": [{"role": "user", "content": "a"}], "seed": "1"}', "seed: expected int or null, got '1'"),
        (b"\xff", "codec can't decode"),
    ],
)
def test_bad_chats_name_file_and_line(tmp_path, line, message):
    path = tmp_path / "chats.jsonl"
    good = b'[{"role": "assistant", "content": "a", "reward": 1}]\n'
    path.write_bytes(good + (line if isinstance(line, bytes) else line.encode()) + b"\n" + good)
    with pytest.raises(DatasetError, match=f"^{re.escape(str(path))}, line 2: .*{re.escape(message)}"):
        TextDataset.from_jsonl(path)


def test_bad_chats_can_be_left_out_and_are_counted(tmp_path, caplog):
    path = tmp_path / "chats.jsonl"
    good = '[{"role": "assistant", "content": "a", "reward": 1}]\n'
    path.write_text("{\n" + good + '[{"content": "a"}]\n\n' + good + '[{"role": "user", "content": "a"}]\n')
    data = TextDataset.from_jsonl(path, on_error="skip")
    assert data.returns.tolist() == [1.0, 1.0]
    assert data.metadata.dropped == {NO_CHAT: 3}
    assert [record.message.split(": ")[1] for record in caplog.records] == [f"{path}, line {n}" for n in (1, 3, 6)]
    again = write_dataset(tmp_path / "chats.parquet", data, data.metadata)
    assert TextDataset.read(tmp_path / "chats.parquet").metadata.dropped == again.metadata.dropped == {NO_CHAT: 3}
    with pytest.raises(ValueError, match="unknown value of on_error 'ignore'"):
        TextDataset.from_jsonl(path, on_error="ignore")


def test_a_folder_of_chats(tmp_path):
    for name, reward in (("b.jsonl", 2), ("a.jsonl", 1), ("notes.txt", 3)):
        (tmp_path / name).write_text(f'[{{"role": "assistant", "content": "a", "reward": {reward}}}]\n')
    assert TextDataset.from_jsonl(tmp_path).returns.tolist() == [1.0, 2.0]
    (tmp_path / "b.jsonl").write_text("{")
    with pytest.raises(DatasetError, match=rf"^{re.escape(str(tmp_path / 'b.jsonl'))}, line 1: "):
        TextDataset.from_jsonl(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(DatasetError, match=r"expected a folder with files \*\.jsonl, and it has none"):
        TextDataset.from_jsonl(tmp_path / "none")


# Files that are cut short, edited, or cannot be written


def test_every_byte_is_checked(talks, path):
    whole = path.read_bytes()
    for place in range(0, len(whole), 37):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DatasetError, match=re.escape(str(path))):
            TextDataset.read(path)


def test_a_table_changed_by_another_tool_is_refused(talks, path):
    table = pq.read_table(path)
    changed = table.set_column(4, "rewards", pa.array([[9.0] * len(row) for row in table["rewards"].to_pylist()]))
    pq.write_table(changed.replace_schema_metadata(pq.read_metadata(path).metadata), path)
    with pytest.raises(DatasetError, match=r"edited: expected SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}"):
        TextDataset.read(path)
    pq.write_table(changed.replace_schema_metadata(None), path)
    with pytest.raises(DatasetError, match="not one that write_dataset wrote"):
        TextDataset.read(path)


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_file_cut_short(talks, path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match=f"{re.escape(str(path))}: cut short, edited, or not a dataset"):
        TextDataset.read(path)


def test_another_format_version(talks, path, monkeypatch):
    monkeypatch.setattr("lmrl_envs.episode_files.FORMAT_VERSION", 2)
    with pytest.raises(DatasetError, match="expected format version 2, got 1"):
        TextDataset.read(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        TextDataset.read(tmp_path / "none.parquet")


def test_an_error_in_the_middle_leaves_the_old_file(talks, path):
    def interrupted():
        yield from [talk(float(i)) for i in range(5000)]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(path, interrupted(), DatasetMetadata(env_id="Talk-v0"))
    assert list(TextDataset.read(path)) == TALKS
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(talks, path):
    child = run(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        noise = np.random.Generator(np.random.PCG64(0)).random((20_000, 3)).tolist()
        episodes = (Episode("Talk-v0", 0, (Turn("agent", "a", r[0]),), True, False, {"r": r}) for r in noise)
        write_dataset(sys.argv[1], episodes, DatasetMetadata(env_id="Talk-v0"))
        """,
        path,
    )
    _, errors = child.communicate(timeout=60)
    assert f"DatasetError: cannot write {path}" in errors
    assert "what was there before is unchanged" in errors
    assert list(TextDataset.read(path)) == TALKS
    assert list(path.parent.iterdir()) == [path]


def test_a_kill_leaves_the_old_file(talks, path):
    child = run(
        """
        def endless():
            yield from [Episode("Talk-v0", 0, (Turn("agent", "a"),), True, False, {})] * 10_000
            print("writing", flush=True)
            time.sleep(60)
        write_dataset(sys.argv[1], endless(), DatasetMetadata(env_id="Talk-v0"))
        """,
        path,
    )
    assert child.stdout.readline() == "writing\n"
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    assert list(TextDataset.read(path)) == TALKS
    assert write_dataset(path, TALKS[:2], DatasetMetadata(env_id="Talk-v0"))[1] == TALKS[1]


# Made on first use


COUNT = """
import os, time
from dataclasses import replace
import numpy as np
from lmrl_envs import Episode, ReferenceScores, Reply, TextTask, Turn, register_task
from lmrl_envs.datasets import load_dataset
from lmrl_envs.recipes import RECIPES, Option, Recipe

class CountTask(TextTask[int]):
    instructions, max_turns, max_action_chars = "Answer.", 1, 10

    def __init__(self, reward=1.0):
        self.reward = reward

    def start(self, rngs, options=None):
        return [Reply(0, "?", {}) for rng in rngs]

    def reply(self, states, actions):
        return [Reply(0, None, {}, self.reward, True) for _ in states]

def generate(task, seeds, *, split, games):
    with open(os.environ["COUNT_LOG"], "a") as log:  # a test counts the calls
        log.write(f"{split} {games}\\n")
    rng = np.random.Generator(np.random.PCG64(seeds))
    for seed in rng.integers(2**63, size=games).tolist():
        time.sleep(float(os.environ.get("COUNT_SECONDS", "0")) / games)
        yield Episode("Count-v0", seed, (Turn("env", "?"), Turn("agent", "one", task.reward)), True, False, {})

def relabel(task, episodes):
    for episode in episodes:
        yield replace(episode, turns=(episode.turns[0], episode.turns[1]._replace(reward=task.reward)))

register_task("Count-v0", CountTask, reference_scores=lambda kwargs: ReferenceScores(0.0, kwargs["reward"]))
RECIPES["count/all-v0"] = Recipe(
    env_id="Count-v0",
    generate=generate,
    sizes={"train": 50, "validation": 5, "test": 5},
    env_options={"reward": Option(1.0)},
    rewards_only=frozenset({"reward"}),
    relabel=relabel,
)
"""


@pytest.fixture
def count(tmp_path, monkeypatch):
    """Registers the recipe `count/all-v0`; the file that it returns has one line for each time that it generates."""
    monkeypatch.setenv("COUNT_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("LMRL_HOME", str(tmp_path / "home"))
    (tmp_path / "log").touch()
    exec(COUNT, {})
    yield tmp_path / "log"
    del RECIPES["count/all-v0"], TASKS["Count-v0"]
    del gymnasium.registry["Count-v0"], gymnasium.registry["lmrl/Count-v0"]


def made(tmp_path):
    return sorted(file.relative_to(tmp_path / "home").as_posix() for file in (tmp_path / "home").rglob("*.parquet"))


def test_a_dataset_is_made_once(count, tmp_path):
    first = load_dataset("count/all-v0")
    assert list(load_dataset("count/all-v0")) == list(first)
    assert count.read_text() == "train 50\n"
    assert (len(first), first.returns.tolist()) == (50, [1.0] * 50)
    metadata = first.metadata
    assert (metadata.env_id, metadata.env_kwargs) == ("Count-v0", {"reward": 1.0})
    assert (metadata.dataset_id, metadata.split, metadata.variant) == ("count/all-v0", "train", {})
    assert metadata.reference_returns == ReferenceScores(0.0, 1.0)
    assert repr(first) == "<TextDataset count/all-v0 train: 50 episodes>"

    assert len(load_dataset("count/all-v0", split="test")) == 5
    assert list(load_dataset("count/all-v0", games=7)) == list(first[:7])
    assert count.read_text() == "train 50\ntest 5\ntrain 7\n"
    folders = {Path(name).parent.as_posix() for name in made(tmp_path)}
    assert len(folders) == 1
    assert folders.pop().startswith("datasets/count/all-v0/")


def test_root_overrides_the_folder(count, tmp_path):
    load_dataset("count/all-v0", root=tmp_path / "elsewhere")
    assert made(tmp_path) == []
    assert len(list((tmp_path / "elsewhere" / "count" / "all-v0").glob("*/train-50.parquet"))) == 1


def test_new_rewards_relabel(count):
    relabelled = load_dataset("count/all-v0", reward=2.5)
    assert relabelled.returns.tolist() == [2.5] * 50
    assert relabelled.metadata.env_kwargs == {"reward": 2.5}
    assert [episode.seed for episode in relabelled] == [episode.seed for episode in load_dataset("count/all-v0")]
    assert count.read_text() == "train 50\n"


def test_it_makes_its_environment():
    data = load_dataset("wordle/human-v0", words="common-40", games=20, max_guesses=4)
    env = data.make_env(render_mode="ansi")
    assert env.render_mode == "ansi"
    _, info = env.reset(seed=data[0].seed)
    for turn in data[0].turns[::2]:
        *_, info = env.step(turn.text)
    assert info["turns"] == data[0].turns
    assert max(len(episode.turns) for episode in data) == 8


def test_unknown_arguments_list_close_matches():
    with pytest.raises(ValueError, match="unknown dataset 'wordle/human'; did you mean 'wordle/human-v0'"):
        load_dataset("wordle/human")
    with pytest.raises(ValueError, match="unknown split 'valid'; did you mean 'validation'"):
        load_dataset("wordle/human-v0", split="valid")
    with pytest.raises(ValueError, match="unknown variant of wordle/human-v0 'word'; did you mean 'words'"):
        load_dataset("wordle/human-v0", word="common-40")
    with pytest.raises(ValueError, match="unknown duplicates 'papr'; did you mean 'paper'"):
        load_dataset("wordle/human-v0", duplicates="papr", games=1)
    with pytest.raises(ValueError, match="max_guesses must be a whole number of at least 1, got 0"):
        load_dataset("wordle/human-v0", max_guesses=0, games=1)


def test_a_damaged_dataset_is_not_overwritten(count, tmp_path):
    load_dataset("count/all-v0")
    (name,) = made(tmp_path)
    file = tmp_path / "home" / name
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(DatasetError, match=f"{re.escape(str(file))}: cut short.*delete it, and load_dataset makes it"):
        load_dataset("count/all-v0")
    assert file.stat().st_size == 500
    file.unlink()
    assert len(load_dataset("count/all-v0")) == 50


def test_a_file_in_another_s_place(count, tmp_path):
    load_dataset("count/all-v0", games=5)
    (name,) = made(tmp_path)
    file = tmp_path / "home" / name
    file.rename(file.with_name("test-5.parquet"))
    with pytest.raises(DatasetError, match=r"test-5\.parquet: expected split 'test', the file holds 'train'"):
        load_dataset("count/all-v0", split="test")


def test_a_home_that_cannot_be_written_to(count, tmp_path, monkeypatch):
    monkeypatch.setenv("LMRL_HOME", str(count / "below a file"))
    with pytest.raises(PermissionError, match="LMRL_HOME"):
        load_dataset("count/all-v0")


def test_two_processes_make_one_dataset(count, tmp_path, monkeypatch):
    monkeypatch.setenv("COUNT_SECONDS", "1")
    children = [run(COUNT + 'print(load_dataset("count/all-v0").metadata.content_hash)') for _ in range(2)]
    hashes = {child.communicate(timeout=60)[0] for child in children}
    assert [child.returncode for child in children] == [0, 0]
    assert hashes == {load_dataset("count/all-v0").metadata.content_hash + "\n"}
    assert count.read_text() == "train 50\n"


def test_a_killed_maker_leaves_nothing_in_the_way(count, tmp_path, monkeypatch):
    monkeypatch.setenv("COUNT_SECONDS", "60")
    child = run(COUNT + 'load_dataset("count/all-v0")')
    while not count.read_text():
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    assert made(tmp_path) == []
    monkeypatch.setenv("COUNT_SECONDS", "0")
    assert len(load_dataset("count/all-v0")) == 50
    assert count.read_text() == "train 50\n" * 2


def run(code, *arguments):
    """Starts another Python with `code`."""
    head = """
import sys, time
import numpy as np
from lmrl_envs.core import Episode, Turn
from lmrl_envs.datasets import NO_CHAT, DatasetMetadata, write_dataset
"""
    command = [sys.executable, "-c", head + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()
