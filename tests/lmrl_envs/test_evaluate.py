from __future__ import annotations

import dataclasses
import json
import math
import tracemalloc

import gymnasium
import numpy as np
import pytest

import lmrl_envs
from lmrl_envs.core import Episode, EpisodeKey, Reply, TextTask, Turn, transcript
from lmrl_envs.errors import PolicyError, UnknownNameError
from lmrl_envs.evaluate import EvalResult, episode_seed, evaluate, rollout
from lmrl_envs.policies import RandomPolicy, ScriptedPolicy
from lmrl_envs.registration import TASKS, ReferenceScores

WORDS = ["crane", "slate", "audio", "elder", "geese", "mount"]
KWARGS = {"words": WORDS}


class CountdownTask(TextTask[int]):
    """Draws a number 1..9; each `down` lowers it; at 0 the episode ends. `max_turns` guards those who do not."""

    instructions = "Say down."
    max_turns = 10
    max_action_chars = 8

    def start(self, rngs, options=None):
        return [self._say(int(rng.integers(1, 10))) for rng in rngs]

    def reply(self, states, actions):
        return [self._say(n - (action == "down"), -1.0) for n, action in zip(states, actions, strict=True)]

    def _say(self, n, reward=0.0):
        return Reply(n, str(n), {"left": n, "even": n % 2 == 0, "note": None}, reward, n == 0)


@pytest.fixture(scope="module", autouse=True)
def _countdown():
    lmrl_envs.register_task("Countdown-v0", CountdownTask, reference_scores=lambda _: ReferenceScores(-10.0, -5.0))
    yield
    del TASKS["Countdown-v0"], gymnasium.registry["Countdown-v0"], gymnasium.registry["lmrl/Countdown-v0"]


def play(policy, episodes=20, env_id="Wordle-v0", **arguments):
    if env_id == "Wordle-v0":
        arguments.setdefault("env_kwargs", KWARGS)
    return list(rollout(policy, env_id, episodes=episodes, **arguments))


def test_episode_seed_is_the_formula():
    expected = int(np.random.SeedSequence(3, spawn_key=(5,)).generate_state(1, np.uint64)[0]) // 2
    assert episode_seed(3, 5) == expected
    seeds = {episode_seed(seed, index) for seed in range(10) for index in range(10)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_results_do_not_depend_on_batch_size():
    alone = play(RandomPolicy(WORDS), 150, batch_size=1)
    assert alone == play(RandomPolicy(WORDS), 150, batch_size=7) == play(RandomPolicy(WORDS), 150, batch_size=64)
    assert [episode.seed for episode in alone] == [episode_seed(0, index) for index in range(150)]
    assert len({len(episode.turns) for episode in alone}) == 6  # they end at every turn, so rows were refilled
    assert alone[:30] == play(RandomPolicy(WORDS), 30)
    assert alone != play(RandomPolicy(WORDS), 150, seed=1)
    assert alone[:9] == play(RandomPolicy(WORDS), np.int64(9), seed=np.int64(0), batch_size=np.int64(2))


def test_batches_are_kept_full():
    sizes = []

    class Watching(ScriptedPolicy):
        def act(self, histories):
            sizes.append(len(histories))
            return super().act(histories)

    episodes = play(Watching("down"), 100, "Countdown-v0", batch_size=8)
    turns = sum(len(episode.turns) // 2 for episode in episodes)
    assert max(sizes) == 8
    assert sum(sizes) == turns
    assert len(sizes) <= math.ceil(turns / 8) + 8  # only the last rows run alone


@pytest.mark.parametrize("env_id", ["Wordle-v0", "Countdown-v0"])
def test_faces_play_the_same_episodes(env_id):
    kwargs = KWARGS if env_id == "Wordle-v0" else {}
    policy = RandomPolicy([*WORDS, "no word"]) if kwargs else RandomPolicy(["down", "stay"])
    env = gymnasium.make(env_id, **kwargs)
    for episode in play(policy, 20, env_id):
        observation, info = env.reset(seed=episode.seed)
        started = [turn for turn in episode.turns[:1] if turn.role == "env"]
        assert observation == transcript(started)
        rewards = []
        for turn in episode.turns:
            if turn.role == "agent":
                observation, reward, terminated, truncated, info = env.step(turn.text)
                rewards.append(reward)
        assert observation == transcript(episode.turns)
        assert info["turns"] == episode.turns
        assert rewards == [turn.reward for turn in episode.turns if turn.role == "agent"]
        assert (terminated, truncated) == (episode.terminated, episode.truncated)
        assert episode.info.items() <= info.items()


def test_vector_face_plays_the_same_episodes():
    episodes = play(ScriptedPolicy(WORDS), 8)
    envs = gymnasium.make_vec("Wordle-v0", num_envs=8, autoreset_mode="Disabled", **KWARGS)
    envs.reset(seed=[episode.seed for episode in episodes])
    observations, *_ = envs.step(["crane"] * 8)
    assert list(observations) == [transcript(episode.turns[:2]) for episode in episodes]


def test_all_plays_each_start_and_can_be_played_again():
    episodes = play(RandomPolicy(WORDS), "all", repeats=2)
    assert [episode.info["start"]["answer"] for episode in episodes] == WORDS * 2
    assert [episode.seed for episode in episodes] == [episode_seed(0, index) for index in range(12)]
    env = gymnasium.make("Wordle-v0", **KWARGS)
    for episode in episodes:
        env.reset(seed=episode.seed, options=episode.info["start"])
        for turn in episode.turns:
            if turn.role == "agent":
                *_, info = env.step(turn.text)
        assert info["turns"] == episode.turns
    # The words in the order of the list find word k at guess k: -0 -1 ... -5, without sampling error.
    assert evaluate(ScriptedPolicy(WORDS), "Wordle-v0", episodes="all", env_kwargs=KWARGS).mean == -2.5


def test_a_row_has_one_key_for_its_whole_life():
    seen: dict[int, list[EpisodeKey]] = {}

    class Keeps:
        def act(self, histories, *, episodes):
            for key, history in zip(episodes, histories, strict=True):
                seen.setdefault(key.index, []).append(key)
                assert len(history) == 2 * len(seen[key.index]) - 2
            return ["zzzzz"] * len(histories)

    play(Keeps(), 10, batch_size=3, seed=9)
    assert sorted(seen) == list(range(10))
    for index, keys in seen.items():
        assert len(keys) == 6
        assert all(key is keys[0] for key in keys)
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(9, spawn_key=(index, 1))))
        assert keys[0].rng.random() == rng.random()


def test_keywords_are_passed_to_those_who_take_them():
    class Anything:
        def act(self, histories, **keywords):
            assert list(keywords) == ["episodes"]
            return ["crane"] * len(histories)

    class Plain:
        def act(self, histories):
            return ("crane",) * len(histories)

    assert play(Anything()) == play(Plain())


def test_reset_is_called_once_a_run():
    calls = []

    class Resets(ScriptedPolicy):
        def reset(self, *, seed, instructions):
            calls.append((seed, instructions))

    play(Resets("down"), 30, "Countdown-v0", seed=4, batch_size=2)
    assert calls == [(4, "Say down.")]


def test_the_guard_truncates():
    for episode in play(ScriptedPolicy("stay"), 3, "Countdown-v0"):
        assert (episode.terminated, episode.truncated) == (False, True)
        assert episode.total_return == -10
        assert len(episode.turns) == 21


def test_actions_are_cleaned_once_before_anything_sees_them():
    (episode,) = play(ScriptedPolicy("a\nb\ud800" + "c" * 100), 1, "Countdown-v0")
    assert episode.turns[1].text == "a b\ufffdcccc"


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("crane", r"policy 'Bad'.*3 texts.*got str: 'crane'"),
        (None, r"got NoneType"),
        (["crane"], r"must return 3 texts.*got 1"),
        (["crane", "crane", 7], r"row 2 \(episode 2\) is int: 7"),
        (["crane", None, "crane"], r"row 1 \(episode 1\) is NoneType: None"),
        ({"a", "b", "c"}, r"got set"),
    ],
)
def test_what_is_not_a_text_a_row_is_a_policy_error(returned, message):
    class Bad:
        def act(self, histories):
            return returned

    with pytest.raises(PolicyError, match=message):
        play(Bad(), 3)


class GivesUp:
    """Cannot go on with episode 2 at its second turn."""

    def act(self, histories, *, episodes):
        return [
            RuntimeError("no\nidea") if key.index == 2 and len(history) == 2 else "zzzzz"
            for key, history in zip(episodes, histories, strict=True)
        ]


def test_an_exception_in_a_row_is_raised():
    with pytest.raises(RuntimeError, match="no\nidea"):
        play(GivesUp())


def test_an_exception_in_a_row_is_recorded():
    episodes = play(GivesUp(), 5, on_error="record")
    assert episodes[2].truncated
    assert not episodes[2].terminated
    assert len(episodes[2].turns) == 2
    assert [episode.total_return for episode in episodes] == [-6, -6, -1, -6, -6]
    result = evaluate(GivesUp(), "Wordle-v0", episodes=5, env_kwargs=KWARGS, on_error="record")
    assert result.errors == ("2: RuntimeError: no\nidea",)
    assert result.returns == (-6, -6, -6, -6)
    assert [episode.seed for episode in result.examples] == [episode_seed(0, index) for index in (0, 1, 3, 4)]


def test_a_run_of_errors_alone_has_no_mean():
    class Hopeless:
        def act(self, histories):
            return [ValueError("never")] * len(histories)

    result = evaluate(Hopeless(), "Countdown-v0", episodes=3, on_error="record")
    assert (result.mean, result.standard_error, result.normalized) == (None, None, None)
    assert result.metrics == {}
    assert result.errors[2] == "2: ValueError: never"
    assert EvalResult.from_json(result.to_json()) == result


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"episodes": 0}, "episodes: expected a whole number of at least 1 or 'all', got 0"),
        ({"episodes": "al"}, "episodes: .* got 'al'"),
        ({"episodes": 5, "repeats": 2}, "repeats=2 is for episodes='all'"),
        ({"episodes": "all", "repeats": 0}, "repeats: expected"),
        ({"episodes": 5, "batch_size": 0}, "batch_size: expected"),
        ({"episodes": 5, "on_error": "rais"}, "did you mean 'raise'"),
        ({"episodes": 5, "env_kwargs": {"words": "comon"}}, "did you mean 'common'"),
    ],
)
def test_bad_arguments_are_refused_before_the_first_episode(arguments, message):
    with pytest.raises(ValueError, match=message):
        rollout(ScriptedPolicy("crane"), "Wordle-v0", **arguments)


def test_more_bad_arguments():
    with pytest.raises(UnknownNameError, match="did you mean 'Wordle-v0'"):
        rollout(ScriptedPolicy("crane"), "Wordl-v0", episodes=1)
    with pytest.raises(ValueError, match="endless starts; give a number"):
        rollout(ScriptedPolicy("down"), "Countdown-v0", episodes="all")
    for policy in (ScriptedPolicy, "crane", lambda histories: histories):
        with pytest.raises(TypeError, match="expected a policy"):
            rollout(policy, "Countdown-v0", episodes=1)


def test_metrics_by_hand():
    policy = ScriptedPolicy(["crane", "", "elder crane", "slate"])
    result = evaluate(policy, "Wordle-v0", episodes="all", env_kwargs={"words": ["slate", "crane", "audio"]})
    # crane is found at once, slate at guess 4, audio never.
    assert result.returns == (-3, 0, -6)
    assert result.lengths == (4, 1, 6)
    assert result.metrics["turns"] == pytest.approx(11 / 3)
    assert result.metrics["success"] == pytest.approx(2 / 3)
    assert result.metrics["valid"] == 1.0  # of the last guess
    assert result.metrics["truncated"] == 0
    assert result.metrics["empty"] == pytest.approx(2 / 11)
    # Characters: crane 5 three times, 0 twice, 11 twice, slate 5 four times.
    assert result.metrics["median_characters"] == 5
    # Pairs: crane-elder, elder-crane, crane-slate twice, and slate-slate twice.
    assert result.metrics["distinct_2"] == pytest.approx(4 / 8)
    assert "answer" not in result.metrics


def test_metrics_where_something_is_not_known():
    result = evaluate(ScriptedPolicy("down"), "Countdown-v0", episodes=5)
    assert result.metrics["left"] == 0
    assert result.metrics["even"] == 1
    assert "note" not in result.metrics


def test_mean_standard_error_and_normalized_by_hand():
    result = evaluate(ScriptedPolicy("down"), "Countdown-v0", episodes=4)
    result = dataclasses.replace(result, returns=(-1.0, -2.0, -3.0, -6.0))
    assert result.mean == -3
    # squares 4 + 1 + 0 + 9 = 14; variance 14/3; of the mean 14/12
    assert result.standard_error == pytest.approx(math.sqrt(14 / 12))
    assert result.normalized == pytest.approx((-3 + 10) / (-5 + 10))
    assert dataclasses.replace(result, returns=(-1.0,), lengths=(1,)).standard_error is None
    assert dataclasses.replace(result, env_id="Elsewhere-v0").normalized is None


def make_result() -> EvalResult:
    class Decoding(ScriptedPolicy):
        decoding = {"temperature": 0.0, "stop": ("\n",)}  # noqa: RUF012

    result = evaluate(Decoding("\u2603 crane", name="me"), "lmrl/Wordle-v0", episodes=3, env_kwargs=KWARGS)
    return dataclasses.replace(result, training_seed=1, tuning={"trials": 3}, returns=(-0.1, 1 / 3, -1e-300))


def test_json_is_an_exact_inverse(tmp_path):
    result = make_result()
    assert result.env_id == "Wordle-v0"
    assert result.agent == "me"
    assert result.decoding == {"temperature": 0.0, "stop": ["\n"]}
    assert isinstance(result.examples[0], Episode)
    assert isinstance(result.examples[0].turns[0], Turn)
    assert EvalResult.from_json(result.to_json()) == result
    assert EvalResult.from_json(json.dumps(result.to_json())) == result
    result.save(tmp_path / "new" / "result.json")
    assert EvalResult.load(tmp_path / "new" / "result.json") == result


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema: this version reads 1, got 2"),
        ({"returns": "many"}, r"returns: expected list or tuple, got 'many'"),
        ({"returns": [1.0, None, 2.0]}, r"returns\[1\]: expected int or float, got None"),
        ({"returns": [1.0, math.inf, 2.0]}, r"returns\[1\]: .* got inf"),
        ({"returns": [1.0]}, "1 returns but 3 lengths"),
        ({"lengths": [1, 2.5, 3]}, r"lengths\[1\]: expected int, got 2.5"),
        ({"agent": None}, "agent: expected str, got None"),
        ({"training_seed": "x"}, "training_seed: expected int or NoneType, got 'x'"),
        ({"metrics": []}, "metrics: expected Mapping"),
        ({"examples": [{"seed": 1}]}, r"examples\[0\]: not an episode"),
        ({"examples": ["?"]}, r"examples\[0\]: not an episode"),
        ({"sceonds": 1}, "unknown field of EvalResult 'sceonds'; did you mean 'seconds'"),
    ],
)
def test_from_json_names_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        EvalResult.from_json({**make_result().to_json(), **change})


def test_load_names_the_file(tmp_path):
    path = tmp_path / "result.json"
    make_result().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"result\.json: "):
        EvalResult.load(path)
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"result\.json: .*expected a JSON object, got \[\]"):
        EvalResult.load(path)
    path.write_text('{"schema": 1}')
    with pytest.raises(ValueError, match=r"result\.json: .*missing env_id, env_kwargs"):
        EvalResult.load(path)


def test_memory_does_not_grow_with_the_games():
    def peak(games: int) -> int:
        tracemalloc.start()
        evaluate(RandomPolicy(WORDS), "Wordle-v0", episodes=games, env_kwargs=KWARGS)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    evaluate(RandomPolicy(WORDS), "Wordle-v0", episodes=1, env_kwargs=KWARGS)
    assert peak(4096) - peak(256) < 1_000_000  # bytes; what stays is a few numbers a game


def test_silent_without_a_terminal(capfd):
    evaluate(ScriptedPolicy("down"), "Countdown-v0", episodes=5)
    assert capfd.readouterr() == ("", "")
