from __future__ import annotations

import pickle

import numpy as np
import pytest
from gymnasium.error import CustomSpaceError
from gymnasium.spaces import Text
from gymnasium.vector.utils import batch_space, create_shared_memory

from lmrl_envs.spaces import FreeText


def test_contains_any_string_up_to_its_length() -> None:
    space = FreeText(5)
    for text in ("", "crane", "é\n\0\ud800", "\U0001f600" * 5):
        assert text in space
    for other in ("sixsix", None, 5, b"crane", ["crane"]):
        assert other not in space


@pytest.mark.parametrize("max_length", [0, 1, 64, 10**6])
def test_samples_are_short_printable_ascii(max_length: int) -> None:
    space = FreeText(max_length, seed=0)
    samples = [space.sample() for _ in range(300)]
    assert all(sample in space and sample.isascii() and sample.isprintable() for sample in samples if sample)
    lengths = {len(sample) for sample in samples}
    assert lengths <= set(range(min(max_length, 64) + 1))
    assert len(lengths) > min(max_length, 64) * 0.9
    assert [FreeText(max_length, seed=0).sample() for _ in range(2)] == [samples[0]] * 2


def test_samples_take_the_masks_of_text() -> None:
    space = FreeText(10**6, seed=0)
    letters = np.array([character in "ab" for character in space.character_list], np.int8)
    assert set(space.sample(mask=(100, letters))) == {"a", "b"}
    assert len(space.sample(mask=(100, None))) == 100
    assert len(space.sample(mask=(None, letters))) <= 64
    assert set(space.sample(probability=(None, letters / 2))) <= {"a", "b"}


def test_equality_is_of_length_and_kind() -> None:
    assert FreeText(5) == FreeText(5)
    assert FreeText(5) != FreeText(6)
    assert FreeText(5) != Text(5, min_length=0, charset=FreeText(5).characters)
    assert pickle.loads(pickle.dumps(FreeText(5))) == FreeText(5)  # noqa: S301
    assert repr(FreeText(5)) == "FreeText(5)"


def test_batches_as_text_does() -> None:
    batch = batch_space(FreeText(5), 3)
    assert ("crane", "", "é") in batch
    assert ("crane", "", "sixsix") not in batch


def test_shared_memory_is_refused() -> None:
    with pytest.raises(CustomSpaceError, match="shared_memory=False"):
        create_shared_memory(FreeText(5), n=2)
