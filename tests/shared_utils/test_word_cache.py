"""Word by word or whole, the token ids are the same; a tokenizer that cannot be taken word by word is left to itself."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from shared_utils import word_cache
from shared_utils.model_utils import load_tokenizer
from shared_utils.word_cache import FEWEST_TEXTS, LONGEST_WORD, WordCache, encodings

LLAMA_3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEXTS = ["The kettle whistles at noon, at 12:30.", "It's blue  and\n\told — très bleu 語 語.", "12345 <|x|> kettles"]


def trained(pre_tokenizer, normalizer=None, added=()):
    """A small byte-level BPE that learnt from the texts above."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|x|>"])
    tokenizer.add_tokens(list(added))
    return tokenizer


def by_pattern(pattern):
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


@cache
def tokenizer_named(name):
    if name == "starter":
        return load_tokenizer("starter").backend_tokenizer
    if name == "gpt-2":
        return trained(pre_tokenizers.ByteLevel(add_prefix_space=False))
    return trained(by_pattern(LLAMA_3), normalizers.NFC())


def whole(tokenizer, texts, split_control=False):
    return [one.ids for one in encodings(tokenizer, texts, split_control=split_control)]


@cache
def warm(name, split_control):
    """A cache that has been tried out and found to fit."""
    found = WordCache(tokenizer_named(name), split_control)
    found.encode(TEXTS * FEWEST_TEXTS)
    assert found._can
    return found


@pytest.mark.parametrize("split_control", [False, True])
@pytest.mark.parametrize("name", ["starter", "gpt-2", "llama-3"])
@settings(deadline=None, max_examples=150)
@given(texts=st.lists(st.one_of(st.text(), st.text("ab1. '\n<|x>é"), st.sampled_from(TEXTS)), max_size=6))
def test_words_give_the_ids_of_the_whole(name, split_control, texts):
    assert warm(name, split_control).encode(texts) == whole(tokenizer_named(name), texts, split_control)


@pytest.mark.parametrize(
    "tokenizer",
    [
        pytest.param(lambda: trained(pre_tokenizers.Metaspace()), id="spaces as letters"),
        pytest.param(lambda: trained(pre_tokenizers.ByteLevel(add_prefix_space=True)), id="a space before each text"),
        pytest.param(lambda: trained(by_pattern(r"\S+ ?\S*|\s+")), id="words over spaces"),
        pytest.param(
            lambda: trained(pre_tokenizers.ByteLevel(add_prefix_space=False), added=[AddedToken("noon", lstrip=True)]),
            id="a token that takes spaces",
        ),
        pytest.param(
            lambda: trained(pre_tokenizers.ByteLevel(add_prefix_space=False), added=["at noon"]),
            id="a token with a space",
        ),
    ],
)
def test_another_kind_of_tokenizer_is_left_to_itself(tokenizer):
    tokenizer = tokenizer()
    texts = TEXTS * FEWEST_TEXTS
    found = WordCache(tokenizer, False)
    assert found.encode(texts) == whole(tokenizer, texts)
    assert found._can is False
    assert found.encode(["the kettle at noon"]) == whole(tokenizer, ["the kettle at noon"])


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(word_cache, "MOST_WORDS", 50)
    tokenizer = tokenizer_named("gpt-2")
    found = WordCache(tokenizer, False)
    found.encode(TEXTS * FEWEST_TEXTS)
    for start in range(0, 400, 20):
        texts = [f"the number {number} and {'long' * LONGEST_WORD}{number}" for number in range(start, start + 20)]
        assert found.encode(texts) == whole(tokenizer, texts)
        assert len(found._ids) <= 50
    assert max(map(len, found._ids)) <= LONGEST_WORD
