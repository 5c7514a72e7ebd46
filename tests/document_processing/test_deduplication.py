"""Documents that say the same are found, and others are not."""

import random
import sys

import pytest

from document_processing.deduplication import (
    Duplicate,
    DuplicateFinder,
    check_installed,
    jaccard,
    rows_of_band,
    signature_of,
)
from shared_utils.errors import ConfigurationError, install_command

WORDS = [f"word{number}" for number in range(3000)]


def text_of(seed: int, words: int = 200) -> list[str]:
    return random.Random(seed).choices(WORDS, k=words)


def found(texts: list[str], threshold: float = 0.9) -> list[Duplicate | None]:
    finder = DuplicateFinder(threshold, texts.__getitem__)
    return [finder.find(signature_of(text)) for text in texts]


def test_case_and_white_space_make_no_difference():
    """Short texts too; their duplicates are exact."""
    assert found(["One two.", "Something else.", " ONE\n two.  "]) == [None, None, Duplicate(0, 1.0)]


def test_a_text_with_few_changes_is_a_near_duplicate_of_the_first():
    """The similarity is the true one, counted by hand: one new word changes 5 of 196 pieces on both sides."""
    words = text_of(1)
    changed = [*words[:100], "new", *words[101:]]
    result = found([" ".join(words), " ".join(text_of(2)), " ".join(changed)])
    assert result == [None, None, Duplicate(0, 191 / 201)]


def test_a_text_below_the_threshold_stays():
    """Though its MinHash brings it near: the true similarity decides."""
    words = text_of(1)
    changed = [word if number % 40 else "new" for number, word in enumerate(words)]
    texts = [" ".join(words), " ".join(changed)]
    assert 0.7 < jaccard(*texts) < 0.9
    assert found(texts) == [None, None]
    assert found(texts, threshold=0.7) == [None, Duplicate(0, jaccard(*texts))]


def test_each_duplicate_is_near_to_one_that_stays():
    """A chain of small changes does not make its ends equal."""
    words = text_of(3, 300)
    chain = []
    for step in range(12):
        chain.append(" ".join([*words[: 300 - 5 * step], *text_of(4, 300)[: 5 * step]]))
    result = found(chain)
    stays = [number for number, duplicate in enumerate(result) if duplicate is None]
    assert stays[0] == 0
    assert len(stays) > 1
    for number, duplicate in enumerate(result):
        if duplicate:
            assert duplicate.of in stays
            assert jaccard(chain[number], chain[duplicate.of]) == duplicate.similarity >= 0.9


def test_all_pairs_agree_with_the_slow_way():
    """80 texts, every tenth a changed copy: the same duplicates as by comparing all with all."""
    chooser = random.Random(5)
    texts: list[str] = []
    for number in range(80):
        words = text_of(number, 120)
        if number % 10 == 9:
            words = texts[chooser.randrange(number)].split()
            for _ in range(chooser.choice([0, 1, 4])):
                words[chooser.randrange(len(words))] = "new"
        texts.append(" ".join(words))
    slow: list[int | None] = []
    for number, text in enumerate(texts):
        kept = [other for other in range(number) if slow[other] is None]
        best = max(kept, key=lambda other: (jaccard(text, texts[other]), -other), default=None)
        slow.append(best if best is not None and jaccard(text, texts[best]) >= 0.9 else None)
    assert [duplicate and duplicate.of for duplicate in found(texts)] == slow
    assert sum(other is not None for other in slow) > 3


def test_short_texts_are_compared_exactly_only():
    """Two pages with one heading and different numbers are no duplicates."""
    assert found(["The results of the year in short 1", "The results of the year in short 2"]) == [None, None]


def test_scripts_without_spaces_are_compared_by_characters():
    """Japanese has no words to count."""
    kana = "".join(random.Random(1).choices([chr(code) for code in range(0x3042, 0x3094)], k=400))
    other = "".join(random.Random(2).choices([chr(code) for code in range(0x3042, 0x3094)], k=400))
    result = found([kana, other, kana[:200] + "あ" + kana[200:]])
    assert result[:2] == [None, None]
    assert result[2] is not None
    assert result[2].of == 0


def test_signatures_are_small_and_always_the_same():
    """128 numbers of 4 bytes; they go into the cache, which other machines may read."""
    signature = signature_of(" ".join(text_of(1)))
    assert signature == signature_of(" ".join(text_of(1)).upper())
    assert len(signature["minhash"] or "") == 640  # 512 bytes in base 85
    assert signature["minhash"][:20] == "Jo?@MLrr1<0TfFBt**EN"


@pytest.mark.parametrize(("threshold", "rows"), [(0.95, 8), (0.9, 8), (0.7, 4), (0.5, 2)])
def test_bands_are_as_long_as_the_threshold_allows(threshold: float, rows: int):
    """Long bands are fast; too long ones would miss pairs."""
    assert rows_of_band(threshold) == rows


def test_a_missing_package_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch):
    """Before any file is read."""
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(ConfigurationError, match="needs the package 'datasketch'") as raised:
        check_installed()
    assert raised.value.hint == install_command("dedupe")
