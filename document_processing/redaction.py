"""Private data out of documents: best effort, not anonymisation.

    text, counts = Redactor(["emails", "phones"]).redact("Write to ann@example.com.")
    # 'Write to [EMAIL].', {'emails': 1}

What is found depends on the text alone: same text in, same text out. The time is linear in the text. What is
not found stays: names, addresses of streets, birthdays, anything in a form that no rule knows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import Any

from document_processing.private_data import emails, identifiers, network, phones, secrets, urls
from document_processing.private_data.hits import Hit
from shared_utils.errors import ConfigurationError, missing_extra
from shared_utils.records import Document
from shared_utils.settings import nearest

# Module and the package that brings it.
_PACKAGES = {"phonenumbers": "phonenumbers", "publicsuffixlist": "publicsuffixlist", "stdnum": "python-stdnum"}


def _find_ids(text: str) -> Iterator[Hit]:
    yield from identifiers.find(text)
    yield from network.find(text)
    yield from secrets.find(text)


FINDERS: dict[str, Callable[[str], Iterator[Hit]]] = {
    "emails": emails.find,
    "phones": phones.find,
    "urls": urls.find,
    "ids": _find_ids,
}
# Whole numbers in front matter that may be a telephone, an account or a card.
LEAST_NUMBER, MOST_NUMBER = 10**5, 10**19
_KIND_OF_LABEL = {"EMAIL": "emails", "PHONE": "phones", "URL": "urls"}


class Redactor:
    """Replaces private data of the chosen kinds by placeholders such as `[EMAIL]`.

    Args:
        kinds: some of `emails`, `phones`, `urls`, `ids`.

    Raises:
        ConfigurationError: a kind is not known, or a package is not installed.
    """

    def __init__(self, kinds: Iterable[str]) -> None:
        self.kinds = frozenset(kinds)
        for kind in sorted(self.kinds - set(FINDERS)):
            guess = nearest(kind, FINDERS)
            hint = f"did you mean {guess}?" if guess else f"known are {', '.join(FINDERS)}"
            raise ConfigurationError(f"unknown kind of private data: {kind}", hint=hint)
        for module, package in _PACKAGES.items():
            if find_spec(module) is None:
                raise missing_extra("redact", package, "redaction")

    def find(self, text: str) -> list[Hit]:
        """The places to be replaced, in order and without overlap.

        Places that overlap become one, under the label of the longest, so that nothing of either is left.
        """
        hits = [hit for kind in sorted(self.kinds - {"phones"}) for hit in FINDERS[kind](text)]
        if "phones" in self.kinds:
            hits += self._phones(text)
        return _merged(hits)

    def _phones(self, text: str) -> list[Hit]:
        """Telephone numbers that are no part of another number; cards and accounts have the same digits."""
        found = _merged(phones.find(text))
        if not found:
            return []
        others = _merged([*_find_ids(text), *urls.find(text)])
        return [hit for hit in found if not _overlaps(hit, others) or text[hit.start] == "+"]

    def redact(self, text: str, name: str = "") -> tuple[str, Counter[str]]:
        """The text with placeholders, and how many of each kind there are.

        Args:
            text: what is to be redacted.
            name: what the text is called, such as the key `phone`; it counts as a word that stands before.
        """
        before = f"{name}: " if name else ""
        text = before + text
        hits = [hit for hit in self.find(text) if hit.start >= len(before)]
        parts = []
        position = len(before)
        for hit in hits:
            parts += [text[position : hit.start], f"[{hit.label}]"]
            position = hit.end
        parts.append(text[position:])
        return "".join(parts), Counter(_KIND_OF_LABEL.get(hit.label, "ids") for hit in hits)

    def redact_document(self, document: Document) -> tuple[Document, Counter[str]]:
        """The document with placeholders in content, title and every value of its metadata, and their counts."""
        counts: Counter[str] = Counter()
        content = self._counted(document["content"], counts)
        title = self._counted(document["title"], counts)
        metadata = self._counted(document["metadata"], counts)
        return {**document, "content": content, "title": title, "metadata": metadata}, counts

    def _counted(self, value: Any, counts: Counter[str], name: str = "") -> Any:
        """The value with all its texts and long numbers redacted; the keys of a mapping stay."""
        if isinstance(value, dict):
            return {key: self._counted(item, counts, str(key)) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._counted(item, counts, name) for item in value]
        is_number = type(value) is int and LEAST_NUMBER <= value < MOST_NUMBER
        if not isinstance(value, str) and not is_number:
            return value
        text, found = self.redact(str(value), name)
        counts.update(found)
        return text if found else value


def _merged(hits: Iterable[Hit]) -> list[Hit]:
    merged: list[Hit] = []
    longest = 0
    for hit in sorted(hits):
        if not merged or hit.start >= merged[-1].end:
            merged.append(hit)
            longest = hit.end - hit.start
            continue
        last = merged[-1]
        label = last.label
        if hit.end - hit.start > longest:
            label, longest = hit.label, hit.end - hit.start
        merged[-1] = Hit(last.start, max(last.end, hit.end), label)
    return merged


def _overlaps(hit: Hit, others: list[Hit]) -> bool:
    """Whether a hit shares a character with one of the others, which are sorted and apart."""
    index = bisect_right(others, (hit.end - 1, float("inf"), "")) - 1
    return index >= 0 and others[index].end > hit.start
