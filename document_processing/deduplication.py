"""Documents that say the same as an earlier one: exactly, or nearly.

    signature = signature_of(content)              # in the workers, one a document
    finder = DuplicateFinder(0.9, read_text)
    finder.find(signature)                         # in the order of the outputs

Two documents are exactly equal when their texts are, apart from case and white space. They are nearly equal
when their sets of pieces of five words have a Jaccard similarity of at least the threshold. MinHash (Broder
1997) in bands (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, section 3.4) finds the candidates,
and the true similarity of the texts decides.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple, TypedDict

import numpy as np

from shared_utils.errors import missing_extra

SHINGLE_WORDS = 5
SHINGLE_CHARACTERS = 10  # where a script puts no spaces between words
LEAST_WORDS = 20  # shorter documents are compared exactly only: two pages with one heading are no duplicates
PERMUTATIONS = 128  # numbers of 4 bytes in a signature
SEED = 1
LEAST_RECALL = 0.999  # how probably a pair at the threshold shares a band
# Three standard errors of the estimate at 0.9, sqrt(0.9 * 0.1 / 128) = 0.027.
ESTIMATE_MARGIN = 0.08
# A form letter may stand in thousands of documents that are similar, but not enough.
MOST_CANDIDATES = 16  # documents of one band whose estimates are looked at
MOST_COMPARED = 8  # documents whose texts are compared, those with the best estimates first
LONGEST_COMPARED = 1_000_000  # characters; of longer texts the estimate decides, which is exact enough for them
BATCH = 4096  # shingles hashed at once, so that memory does not grow with the document
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"\w+")
_SPACELESS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")

# 32-bit numbers, shape (PERMUTATIONS,)
Hashes = np.ndarray[Any, np.dtype[np.uint32]]


class Signature(TypedDict):
    """What is kept of a document to compare it: a digest of its text, and its MinHash where it is long enough."""

    digest: str
    minhash: str | None


class Duplicate(NamedTuple):
    """A document says the same as the one of number `of`, counted from 0 in the order of `find`."""

    of: int
    similarity: float


def check_installed() -> None:
    """Raise `ConfigurationError` where the package that near duplicates need is missing."""
    if find_spec("datasketch") is None:
        raise missing_extra("dedupe", "datasketch", "finding near duplicates")


def signature_of(text: str) -> Signature:
    """The signature of a text; equal texts have equal ones on every machine."""
    normal = normalised(text)
    digest = hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    if _length(normal) < LEAST_WORDS:
        return {"digest": digest, "minhash": None}
    minhash = _new_minhash()
    batch: list[bytes] = []
    for shingle in shingles(normal):
        batch.append(shingle.encode("utf-8", "surrogatepass"))
        if len(batch) == BATCH:
            minhash.update_batch(batch)
            batch.clear()
    minhash.update_batch(batch)
    # Little endian, whatever the machine.
    return {"digest": digest, "minhash": base64.b85encode(minhash.hashvalues.astype("<u4").tobytes()).decode("ascii")}


def normalised(text: str) -> str:
    """The text without differences of case and white space."""
    return _SPACE.sub(" ", text.casefold()).strip()


def shingles(normal: str) -> Iterator[str]:
    """The overlapping pieces of a normalised text: five words, or ten characters where words have no spaces."""
    if _is_spaceless(normal):
        letters = "".join(_WORD.findall(normal))
        for start in range(max(1, len(letters) - SHINGLE_CHARACTERS + 1)):
            yield letters[start : start + SHINGLE_CHARACTERS]
        return
    words = _WORD.findall(normal)
    for start in range(max(1, len(words) - SHINGLE_WORDS + 1)):
        yield " ".join(words[start : start + SHINGLE_WORDS])


def jaccard(first: str, second: str) -> float:
    """Shared pieces of two texts by all their pieces, 0 to 1."""
    one, other = (set(shingles(normalised(text))) for text in (first, second))
    return len(one & other) / len(one | other)


class DuplicateFinder:
    """Finds for each document, in their order, an earlier one that says the same.

    What is a duplicate is not compared with later documents, so each duplicate is as similar as asked to a
    document that stays. A document that stays takes about 2.3 KB of memory (512 bytes of MinHash and 16
    places in the bands; 220 MB for 100,000 documents); nothing of its text is held.

    Args:
        threshold: least Jaccard similarity of near duplicates.
        read_text: the text of the document of a number, for the exact similarity of a candidate.
    """

    def __init__(self, threshold: float, read_text: Callable[[int], str]) -> None:
        self.threshold = threshold
        self._read_text = read_text
        self._rows = rows_of_band(threshold)
        self._count = 0
        self._number_by_digest: dict[bytes, int] = {}
        self._hashes_by_number: dict[int, Hashes] = {}
        # Band and content of a band -> the first document there, or all of them.
        self._numbers_by_band: dict[bytes, int | list[int]] = {}

    def find(self, signature: Signature) -> Duplicate | None:
        """What the next document is a duplicate of; None when it stays."""
        number = self._count
        self._count += 1
        digest = bytes.fromhex(signature["digest"])
        if (same := self._number_by_digest.get(digest)) is not None:
            return Duplicate(same, 1.0)
        encoded = signature["minhash"]
        if encoded is not None:
            hashes = np.frombuffer(base64.b85decode(encoded), dtype="<u4")
            bands = _bands(hashes, self._rows)
            if duplicate := self._nearest(number, hashes, bands):
                return duplicate
            self._hashes_by_number[number] = hashes
            for band in bands:
                self._enter(band, number)
        self._number_by_digest[digest] = number
        return None

    def _enter(self, band: bytes, number: int) -> None:
        before = self._numbers_by_band.get(band)
        if before is None:
            self._numbers_by_band[band] = number
        elif isinstance(before, int):
            self._numbers_by_band[band] = [before, number]
        elif len(before) < MOST_CANDIDATES:
            before.append(number)

    def _nearest(self, number: int, hashes: Hashes, bands: list[bytes]) -> Duplicate | None:
        """The most similar document among the candidates; of equals the first."""
        candidates: set[int] = set()
        for band in bands:
            found = self._numbers_by_band.get(band)
            if found is not None:
                candidates.update([found] if isinstance(found, int) else found)
        estimates = sorted(
            (-float(np.mean(hashes == self._hashes_by_number[candidate])), candidate) for candidate in candidates
        )
        text: str | None = None
        for negative, candidate in estimates[:MOST_COMPARED]:
            similarity = -negative
            if similarity < self.threshold - ESTIMATE_MARGIN:
                return None
            text = self._read_text(number) if text is None else text
            if len(text) <= LONGEST_COMPARED:
                similarity = jaccard(text, self._read_text(candidate))
            if similarity >= self.threshold:
                return Duplicate(candidate, similarity)
        return None


def rows_of_band(threshold: float) -> int:
    """How many numbers make a band: as many as still let a pair at the threshold meet in one of the bands.

    8 at 0.9: such a pair meets with probability 0.9999, one of similarity 0.5 with 0.06.
    """
    for rows in (32, 16, 8, 4, 2):
        if 1 - (1 - threshold**rows) ** (PERMUTATIONS // rows) >= LEAST_RECALL:
            return rows
    return 1


def _bands(hashes: Hashes, rows: int) -> list[bytes]:
    """A short key for each band: its place and a digest of its rows."""
    return [
        bytes([start]) + hashlib.blake2b(hashes[start : start + rows].tobytes(), digest_size=8).digest()
        for start in range(0, PERMUTATIONS, rows)
    ]


def _is_spaceless(normal: str) -> bool:
    """Whether at least a fifth of the letters are of scripts without spaces."""
    sample = normal[:10_000]
    return 5 * len(_SPACELESS.findall(sample)) >= sum(map(str.isalpha, sample)) > 0


def _length(normal: str) -> int:
    """Words of a text; where words have no spaces, two characters count as one."""
    return len("".join(_WORD.findall(normal))) // 2 if _is_spaceless(normal) else len(_WORD.findall(normal))


def _new_minhash() -> Any:
    from datasketch import MinHash

    return MinHash(num_perm=PERMUTATIONS, seed=SEED, scheme="affine32")
