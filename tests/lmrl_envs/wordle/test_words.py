from __future__ import annotations

from pathlib import Path

import pytest

from lmrl_envs.errors import UnknownNameError
from lmrl_envs.wordle.words import bundled_lists, is_word, load_words


def test_bundled_lists_have_their_sizes_and_are_nested() -> None:
    sizes = {"common-40": 40, "common-236": 236, "common-2315": 2315}
    lists = {name: load_words(name) for name in sizes}
    assert {name: len(words) for name, words in lists.items()} == sizes
    assert set(lists["common-40"]) < set(lists["common-236"]) < set(lists["common-2315"])
    assert load_words("common") == lists["common-2315"]
    assert {*sizes, "common"} <= set(bundled_lists())


def test_path_and_sequence_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(b"Crane\r\n\n  slate  \nGEESE")
    assert load_words(path) == load_words(str(path)) == ("crane", "slate", "geese")
    assert load_words(["Crane", "slate", "GEESE"]) == ("crane", "slate", "geese")
    assert load_words(word for word in ("crane", "slate")) == ("crane", "slate")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"crane\ncranes\n", r"words\.txt, line 2: expected five letters a-z, got 'cranes'"),
        (b"crane\n\nfive5\n", r"words\.txt, line 3: .*'five5'"),
        ("crane\nélans\n".encode(), r"words\.txt, line 2: .*'élans'"),
        ("\u212arane\n".encode(), r"words\.txt, line 1: "),  # the Kelvin sign lowers to k
        (b"crane\nslate\nCRANE\n", r"words\.txt, line 3: 'crane' is there already, at line 1"),
        (b"two words\n", r"words\.txt, line 1: "),
        (b"\n \n", r"words\.txt: holds no word"),
        (b"\xff\xfe\n", r"words\.txt: not a text file in UTF-8"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_words(path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["crane", "cranes"], "item 2: .*'cranes'"),
        (["crane", 5], "item 2: .*5"),
        (["crane", "crane"], "item 2: 'crane' is there already, at item 1"),
        ([], "the given words: holds no word"),
    ],
)
def test_a_bad_sequence_is_named_with_its_item(words: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_words(words)


def test_what_is_no_list_of_words_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a word list's name, a path or a sequence of words, got 5"):
        load_words(5)  # type: ignore[arg-type]


def test_neither_a_name_nor_a_file_lists_close_matches() -> None:
    with pytest.raises(ValueError, match=r"unknown word list 'comon-40'; did you mean 'common-40'.*no file"):
        load_words("comon-40")
    with pytest.raises(ValueError, match="no file"):
        load_words("../words/common-40")
    assert issubclass(UnknownNameError, ValueError)


def test_is_word() -> None:
    assert is_word("crane")
    for other in ("", "cran", "cranes", "CRANE", "cr4ne", "élans", "cran "):
        assert not is_word(other)
