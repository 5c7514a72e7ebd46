"""WordCache: token ids of texts from those of their words, each of which the tokenizer is asked for once.

Byte-level BPE (Radford et al. 2019, section 2.2) cuts a text into words before it merges anything, and never
merges over a cut. All the patterns in use cut before a single space that stands between two other characters, so what
stands between two such cuts has the same ids in every text. Texts repeat their words; a dictionary is several times
as fast as merging them anew. Whether a tokenizer is of this kind is read from it and tried out, and the first texts
are compared; one that is not is left to itself.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Collection, Sequence
from itertools import chain, pairwise
from threading import Lock
from typing import Any

import numpy as np

CUT = re.compile(r"(?<=\S)(?= \S)")
MOST_WORDS = 100_000  # that are kept; then they are forgotten, all at once
LONGEST_WORD = 64  # characters of a word that is kept; longer ones hardly come twice
FEWEST_TEXTS = 256  # in a call from which on trying out the tokenizer is worth while

JOINED = 500  # new words that the tokenizer is given as one text: a call costs more than a word


class WordCache:
    """Encodes many texts as the tokenizer would, where that is possible word by word.

    Args:
        tokenizer: of the `tokenizers` library.
        split_control: read control tokens in a text as the letters that they are written in.
    """

    def __init__(self, tokenizer: Any, split_control: bool) -> None:
        self._tokenizer = tokenizer
        self._split_control = split_control
        self._ids: dict[str, list[int]] = {}
        self._can: bool | None = None  # None: not tried yet
        self._lock = Lock()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without what the tokenizer puts around whole ones."""
        with self._lock:
            if self._can is None and len(texts) >= FEWEST_TEXTS:
                return self._try(texts)
            return self._by_words(texts) if self._can else self._whole(texts)

    def _whole(self, texts: Sequence[str]) -> list[list[int]]:
        return [one.ids for one in encodings(self._tokenizer, texts, split_control=self._split_control)]

    def _try(self, texts: Sequence[str]) -> list[list[int]]:
        expected = self._whole(texts)
        self._can = cuts_at_spaces(self._tokenizer, self._whole) and self._by_words(texts) == expected
        return expected

    def _by_words(self, texts: Sequence[str]) -> list[list[int]]:
        words = [CUT.split(text) for text in texts]
        new = set(chain.from_iterable(words)).difference(self._ids)
        if len(self._ids) + len(new) > MOST_WORDS:
            self._ids.clear()
            new = set(chain.from_iterable(words))
        self._learn(new)
        ids = self._ids.__getitem__
        found = [list(chain.from_iterable(map(ids, each))) for each in words]
        for word in new:
            if len(word) > LONGEST_WORD:
                del self._ids[word]
        return found

    def _learn(self, words: Collection[str]) -> None:
        """Ask the tokenizer for words that are not known yet."""
        inner = [word for word in words if word[:1] == " " and not word[-1].isspace()]  # a cut on either side
        others = list(set(words).difference(inner))
        self._ids.update(zip(others, self._whole(others), strict=True))
        groups = [inner[start : start + JOINED] for start in range(0, len(inner), JOINED)]
        joined = encodings(
            self._tokenizer, ["".join(group) for group in groups], split_control=self._split_control, offsets=True
        )
        for group, encoding in zip(groups, joined, strict=True):
            ends: Any = np.cumsum([len(word) for word in group])
            starts: Any = np.fromiter((start for start, _ in encoding.offsets), np.int64, len(encoding.ids))
            counts: Any = np.searchsorted(starts, ends)  # tokens up to the end of each word
            ids = encoding.ids
            places = [0, *counts.tolist()]
            for word, (first, last) in zip(group, pairwise(places), strict=True):
                self._ids[word] = ids[first:last]


def encodings(
    tokenizer: Any, texts: Sequence[str], *, split_control: bool, around: bool = False, offsets: bool = False
) -> list[Any]:
    """What a tokenizer of the `tokenizers` library gives for texts, whatever it was told by others before.

    Args:
        tokenizer: the library's.
        texts: encoded one by one.
        split_control: read control tokens in a text as the letters that they are written in.
        around: with what the tokenizer puts around whole texts.
        offsets: with the places of the tokens in the text, which takes longer.
    """
    # The calls of transformers leave their settings behind.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = split_control
    encode = tokenizer.encode_batch if offsets else tokenizer.encode_batch_fast
    found: list[Any] = encode(list(texts), add_special_tokens=around)
    return found


def cuts_at_spaces(tokenizer: Any, encode: Callable[[Sequence[str]], list[list[int]]]) -> bool:
    """Whether a tokenizer is byte-level BPE and cuts before a space between any two characters of ASCII."""
    parts = json.loads(tokenizer.to_str())
    model, before = parts["model"], parts["pre_tokenizer"]
    steps = before["pretokenizers"] if before and before["type"] == "Sequence" else [before]
    byte_level = [step for step in steps if step and step["type"] == "ByteLevel"]
    if model["type"] != "BPE" or model.get("dropout") or not byte_level or byte_level[0]["add_prefix_space"]:
        return False
    for token in parts["added_tokens"]:  # tokens that look at what stands around them, or hold a space
        if token["single_word"] or token["lstrip"] or token["rstrip"] or any(map(str.isspace, token["content"])):
            return False
    signs = string.ascii_letters[::13] + string.digits[::3] + string.punctuation + "é語"
    pairs = [(left, right) for left in signs for right in signs]
    whole = encode([f"{left} {right}" for left, right in pairs])
    firsts = dict(zip(signs, encode(list(signs)), strict=True))
    seconds = dict(zip(signs, encode([f" {sign}" for sign in signs]), strict=True))
    return all(ids == firsts[left] + seconds[right] for ids, (left, right) in zip(whole, pairs, strict=True))
