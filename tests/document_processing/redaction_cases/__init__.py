"""Labelled strings of private data, and figures of how well they are found."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HALVES = ("first_half", "second_half")
KINDS = ("emails", "phones", "urls", "ids")
_MARK = re.compile(r"⟦(\w+)\|([^⟧]+)⟧")


class Case(NamedTuple):
    """A text and what is to be found in it: kind, start and end."""

    text: str
    expected: frozenset[tuple[str, int, int]]


class Score(NamedTuple):
    """Right, wrongly found and missed places of one kind."""

    right: int
    wrong: int
    missed: int

    @property
    def recall(self) -> float:
        return self.right / (self.right + self.missed)

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong)


def cases(half: str) -> Iterator[Case]:
    """The cases of one of the two files."""
    lines = (Path(__file__).parent / f"{half}.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line.startswith(("# ", "## ")) or not line:
            continue
        text, expected, position = "", set(), 0
        for mark in _MARK.finditer(line := line.replace("¦", "")):
            text += line[position : mark.start()]
            expected.add((mark[1], len(text), len(text) + len(mark[2])))
            text += mark[2]
            position = mark.end()
        yield Case(text + line[position:], frozenset(expected))


def mistakes(half: str) -> Iterator[tuple[str, str, str, str]]:
    """Kind, `wrong` or `missed`, the place and the text of each mistake."""
    from document_processing.redaction import Redactor

    redactor = Redactor(KINDS)
    for case in cases(half):
        found = {(_kind(hit.label), hit.start, hit.end) for hit in redactor.find(case.text)}
        for what, places in (("wrong", found - case.expected), ("missed", case.expected - found)):
            for kind, start, end in sorted(places):
                yield kind, what, case.text[start:end], case.text


def scores(half: str) -> dict[str, Score]:
    """How well each kind is found; a place counts only when start and end are exact."""
    expected = [kind for case in cases(half) for kind, _, _ in case.expected]
    errors = [(kind, what) for kind, what, _, _ in mistakes(half)]
    found = {}
    for kind in KINDS:
        wrong, missed = errors.count((kind, "wrong")), errors.count((kind, "missed"))
        found[kind] = Score(expected.count(kind) - missed, wrong, missed)
    return found


def _kind(label: str) -> str:
    return {"EMAIL": "emails", "PHONE": "phones", "URL": "urls"}.get(label, "ids")
