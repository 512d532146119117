"""The networks' machinery, on small ones with random weights: what they remember, learn from and save."""

from __future__ import annotations

import json
import math

import pytest
import torch
import torch.nn.functional as F

from lmrl_envs import generation
from lmrl_envs.errors import CheckpointError
from lmrl_envs.visual_dialogue.answerer import SPEECHLESS, Answerer, Asked
from lmrl_envs.visual_dialogue.guesser import KEYS, VALUES, Guesser, ranks_of
from lmrl_envs.visual_dialogue.networks import Shape, load_network, save_network
from lmrl_envs.visual_dialogue.words import ANSWER_WORDS, Vocabulary

SHAPE = Shape(features=5, width=16, layers=2, heads=2, embedding=64)
WORDS = Vocabulary(["a", "dog", "is", "it", "red", "yes", "no", "two", ","])
IMAGES = 3
CAPTIONS = [WORDS.dialogue(caption) for caption in ("a dog", "two dog", "red dog")]


@pytest.fixture
def answerer() -> Answerer:
    torch.manual_seed(0)
    network = Answerer(SHAPE, WORDS).eval()
    with torch.no_grad():  # far apart, so that rounding decides nothing and everything matters
        for weight in network.parameters():
            weight.normal_(0, 0.4)
    return network


@pytest.fixture
def guesser() -> Guesser:
    torch.manual_seed(1)
    return Guesser(SHAPE, WORDS).eval()


@pytest.fixture
def seen() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(IMAGES, 4, 5, generator=generator), torch.rand(IMAGES, 4, 4, generator=generator)


def conversation(answerer, seen, rows, questions, *, forget):
    """Answers of each row to the questions in turn; with `forget`, everything is read again each time."""
    rounds = [()] * len(rows)
    for question in questions:
        if forget:
            answerer._memory.keep([])
        asked = [Asked(row, "a dog", said, question) for row, said in zip(rows, rounds, strict=True)]
        answers = answerer.answer(seen[0][rows], seen[1][rows], asked)
        rounds = [(*said, (question, answer)) for said, answer in zip(rounds, answers, strict=True)]
    return rounds


QUESTIONS = ["is it red", "", "two dog", "asdf qwer?", "is it a dog"]


def test_what_is_remembered_changes_no_answer(answerer, seen):
    kept = conversation(answerer, seen, [0, 1, 2], QUESTIONS, forget=False)
    assert kept == conversation(answerer, seen, [0, 1, 2], QUESTIONS, forget=True)
    assert len({answer for rounds in kept for _, answer in rounds}) > 3


@pytest.mark.parametrize("read_freely", [("cpu",), ()])  # the latter as on a card
def test_rows_may_come_go_and_change_places(answerer, seen, read_freely, monkeypatch):
    monkeypatch.setattr(generation, "READ_FREELY", read_freely)
    alone = [conversation(answerer, seen, [row], QUESTIONS, forget=True)[0] for row in range(IMAGES)]
    said = {0: (), 1: (), 2: ()}
    for rows in ([0, 1], [1, 0], [2, 1], [1], [0, 2, 1], [2, 0, 1]):
        asked = [Asked(row, "a dog", said[row], QUESTIONS[len(said[row]) % 5]) for row in rows]
        for one, answer in zip(asked, answerer.answer(seen[0][rows], seen[1][rows], asked), strict=True):
            said[one.image] += ((one.question, answer),)
    for row, rounds in said.items():
        assert rounds[:5] == alone[row][: len(rounds)]
        assert len(rounds) >= 3


def test_an_answer_depends_on_image_question_and_history(answerer, seen):
    changed = [
        Asked(0, "a dog", (), "is it red"),
        Asked(0, "two dog", (), "is it red"),
        Asked(0, "a dog", (("is it", "no"),), "is it red"),
        Asked(0, "a dog", (("is it", "yes"),), "is it red"),
        Asked(0, "a dog", (), "is it two"),
    ]
    features = seen[0][[0] * 5].clone()
    scores = [answerer.option_scores(features[:1], seen[1][:1], one, ["yes", "no"]).tolist() for one in changed]
    scores.append(answerer.option_scores(features[:1] + 1, seen[1][:1], changed[0], ["yes", "no"]).tolist())
    scores.append(answerer.option_scores(features[:1], seen[1][:1] + 1, changed[0], ["yes", "no"]).tolist())
    assert len({tuple(round(x, 4) for x in row) for row in scores}) == len(scores)


def test_option_scores_are_the_log_probabilities_of_their_words(answerer, seen):
    asked = Asked(0, "a dog", (("is it", "no"),), "is it red")
    options = ["yes", "no, two", "", "zebra", "yes"]
    scores = answerer.option_scores(seen[0][:1], seen[1][:1], asked, options)
    before = [*WORDS.dialogue(asked.caption, asked.rounds), *WORDS.question(asked.question)]
    for option, score in zip(options, scores.tolist(), strict=True):
        target = [*WORDS.encode(option, 20), WORDS.ask]
        prefix = answerer.regions(seen[0][:1], seen[1][:1])
        inputs = torch.cat([prefix, answerer.trunk.wte(torch.tensor([[*before, *target]]))], dim=1)
        hidden = answerer.trunk(inputs_embeds=inputs, use_cache=False).last_hidden_state[0]
        logp = F.linear(hidden, answerer.trunk.wte.weight).log_softmax(-1)
        first = prefix.shape[1] + len(before) - 1
        assert score == pytest.approx(sum(float(logp[first + i, id].detach()) for i, id in enumerate(target)), abs=1e-4)
    assert scores[0] == scores[4]


def test_the_answerer_never_writes_marks_or_unknown_words(answerer, seen):
    with torch.no_grad():
        answerer.trunk.wte.weight[WORDS.unknown] = answerer.trunk.wte.weight[WORDS.reply] = 0.0
        answerer.trunk.ln_f.bias.fill_(0.0)
    answers = [a for rounds in conversation(answerer, seen, [0, 1, 2], QUESTIONS, forget=False) for _, a in rounds]
    for answer in answers:
        assert answer
        assert answer == SPEECHLESS or set(answer.replace(",", " ,").split()) <= set(WORDS.words[3:])
        assert len(WORDS.encode(answer, 100)) <= ANSWER_WORDS


def test_an_answerer_without_words_is_speechless_and_goes_on(answerer, seen):
    with torch.no_grad():
        answerer.unsayable.fill_(-torch.inf)
        answerer.unsayable[WORDS.ask] = 0.0
    kept = conversation(answerer, seen, [0, 1], ["is it red", "is it"], forget=False)
    assert kept == [(("is it red", SPEECHLESS), ("is it", SPEECHLESS))] * 2


def test_the_answerers_loss_is_the_mean_over_answers_words_and_ends(answerer, seen):
    """Two rows alike: one begins at position 0, the other further on, where the weights of positions are made alike."""
    with torch.no_grad():
        answerer.trunk.wpe.weight.copy_(answerer.trunk.wpe.weight[:1].expand_as(answerer.trunk.wpe.weight))
    rounds = (("is it", "yes, two"), ("two", "no"))
    dialogue = WORDS.dialogue("a dog", rounds)
    rows = [0, 0]
    loss = answerer.loss(seen[0][rows], seen[1][rows], [dialogue] * 2, torch.Generator().manual_seed(0))
    look = seen[0][:1], seen[1][:1]
    first = answerer.option_scores(*look, Asked(0, "a dog", (), "is it"), ["yes, two"])
    second = answerer.option_scores(*look, Asked(0, "a dog", rounds[:1], "two"), ["no"])
    assert loss.item() == pytest.approx(-(first + second).item() / (4 + 2), abs=1e-4)  # yes , two <q> and no <q>


def test_an_unknown_word_is_no_target(answerer, seen):
    dialogues = [WORDS.dialogue("dog", [("", "zebra")])] * 2
    loss = answerer.loss(seen[0][:2], seen[1][:2], dialogues, torch.Generator().manual_seed(0))
    assert math.isfinite(loss.item())


def test_what_the_guesser_remembers_is_what_it_reads_at_once(guesser):
    rounds = (("is it red", "yes"), ("", "no, two"), ("is it", "dog"))
    whole = guesser.evidence_sums([WORDS.dialogue("a dog", rounds), WORDS.dialogue("two dog", rounds[:1])])
    for t in range(4):
        listened = guesser.listen([("a dog", rounds[:t]), ("two dog", rounds[: min(t, 1)])])
        torch.testing.assert_close(listened[0], whole[0, t], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(listened[1], whole[1, min(t, 1)], atol=1e-5, rtol=1e-5)
    fresh = Guesser(SHAPE, WORDS).eval()
    fresh.load_state_dict(guesser.state_dict())
    torch.testing.assert_close(fresh.listen([("a dog", rounds)])[0], whole[0, 3], atol=1e-5, rtol=1e-5)


def test_padding_and_batch_mates_change_no_evidence(guesser):
    short, long = WORDS.dialogue("dog"), WORDS.dialogue("a dog", [("is it red", "yes")] * 4)
    together = guesser.evidence_sums([short, long])
    torch.testing.assert_close(together[0, 0], guesser.evidence_sums([short])[0, 0])
    torch.testing.assert_close(together[0, 4], together[0, 0])  # the last is repeated


def test_the_guessers_loss_by_hand(guesser, seen):
    """Every term again from evidence of the public methods, and the answers' term word by word."""
    rounds = [(("is it", "yes"), ("two", "no, two")), (("two", "no"), ("a dog", "yes, it is"))]
    dialogues = [WORDS.dialogue("a dog", rounds[0]), WORDS.dialogue("dog", rounds[1])]
    true = torch.tensor([2, 0])
    images = guesser.image_vectors(*seen)
    with torch.no_grad():
        loss = float(guesser.loss(*seen, dialogues, true, CAPTIONS, torch.Generator().manual_seed(3)))
        sums = guesser.evidence_sums(dialogues, torch.Generator().manual_seed(3))
        single = torch.diff(sums, dim=1, prepend=torch.zeros_like(sums[:, :1]))
        by_hand = 0.0
        for b in range(2):
            for m in range(3):
                for evidence in (sums, single):
                    by_hand -= float((images @ evidence[b, m]).log_softmax(0)[true[b]]) / 6
        _, asked, words, firsts = guesser._read(dialogues, torch.Generator().manual_seed(3))
        assert firsts.tolist() == [WORDS.encode(word, 1)[0] for word in ("yes", "no", "no", "yes")]
        said = ["yes", "no, two", "no", "yes, it is"]
        for question in range(4):
            b, m = divmod(question, 2)
            weights = []
            for answer in said:
                bag = sum(guesser.words.weight[id] for id in WORDS.encode(answer, 9))
                what = (guesser.told(bag) * guesser.asked(asked[b, m + 1])).view(-1, VALUES)
                where = guesser.where(asked[b, m + 1]).sigmoid().view(-1, KEYS)
                evidence = torch.einsum("hk,hv->hkv", where, what).flatten()
                weights.append(math.exp(0.1 * float(evidence @ images[true[b]])))
            same = [weight for weight, answer in zip(weights, said, strict=True) if answer[:2] == said[question][:2]]
            by_hand -= math.log(sum(same) / sum(weights)) / 4
        told = guesser.evidence_sums(CAPTIONS)[:, 0] @ images.T
        by_hand -= sum(float(told[i].log_softmax(0)[i]) for i in range(IMAGES)) / IMAGES
        torch.testing.assert_close(words[0, 2], sum(guesser.words.weight[id] for id in WORDS.encode("no, two", 9)))
    assert loss == pytest.approx(by_hand, abs=1e-5)


def test_the_guesser_learns_from_captions_alone(guesser, seen):
    true = torch.arange(IMAGES)
    loss = guesser.loss(*seen, CAPTIONS, true, CAPTIONS, torch.Generator().manual_seed(0))
    scores = guesser.evidence_sums(CAPTIONS)[:, 0] @ guesser.image_vectors(*seen).T
    assert float(loss.detach()) == pytest.approx(3 * float(F.cross_entropy(scores, true).detach()), abs=1e-5)


def test_ranks_count_ties_half():
    scores = torch.tensor([[1.0, 3.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    assert ranks_of(scores, torch.tensor([2, 0])).tolist() == [1.5, 1.5]


# Files


def test_a_network_is_saved_in_half_precision_and_loaded(tmp_path, answerer):
    save_network(tmp_path, "answerer", answerer, {"made": {"steps": 3}})
    loaded, manifest = load_network(tmp_path, "answerer", Answerer)
    assert manifest["made"] == {"steps": 3}
    assert loaded.vocabulary.words == WORDS.words
    assert loaded.shape == SHAPE
    assert not any(p.requires_grad for p in loaded.parameters())
    for name, value in answerer.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value.half().float())
    assert (tmp_path / "answerer.safetensors").stat().st_size < 2.2 * manifest["parameters"] + 4000


@pytest.mark.parametrize("damage", ["flip", "cut", "swap", "edit"])
def test_weights_that_their_json_does_not_name_are_refused(tmp_path, answerer, guesser, damage):
    save_network(tmp_path, "answerer", answerer, {})
    path, described = tmp_path / "answerer.safetensors", tmp_path / "answerer.json"
    data = path.read_bytes()
    if damage == "flip":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "swap":
        save_network(tmp_path, "guesser", guesser, {})
        path.write_bytes((tmp_path / "guesser.safetensors").read_bytes())
    else:
        described.write_text(json.dumps(json.loads(described.read_text()) | {"sha256": "0" * 64}))
    with pytest.raises(CheckpointError, match=r"answerer\.safetensors: its SHA-256 is .* but answerer\.json says"):
        load_network(tmp_path, "answerer", Answerer)


def test_weights_of_another_shape_or_missing_are_refused(tmp_path, answerer):
    with pytest.raises(CheckpointError, match=r"'answerer' cannot be read .*train_visual_dialogue"):
        load_network(tmp_path, "answerer", Answerer)
    save_network(tmp_path, "answerer", answerer, {})
    described = tmp_path / "answerer.json"
    manifest = json.loads(described.read_text())
    described.write_text(json.dumps(manifest | {"shape": manifest["shape"] | {"width": 32}}))
    with pytest.raises(CheckpointError, match=r"answerer\.json: describes another network than 'answerer'"):
        load_network(tmp_path, "answerer", Answerer)
    with pytest.raises(CheckpointError, match="describes another network"):
        load_network(tmp_path, "answerer", Guesser)
