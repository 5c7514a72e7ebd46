"""Instruction pairs from headings: a question about the heading, answered by the sentences below it.

No model writes anything here: the answer is a span of the document, word for word, and the pair names it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from document_processing.length_counters import WordCounter
from document_processing.sentences import Span, sentence_spans
from document_processing.word_lists import word_set
from shared_utils.records import Document, Instruction

LONGEST_ANSWER = 60  # words
LONGEST_SENTENCE = 120  # words; one sentence alone may have that many
SHORTEST_ANSWER = 4  # words
LONGEST_HEADING = 120  # characters
LEAST_ENGLISH = 0.12  # share of the words below

_WITH_CONTEXT = (
    "What does {context} say about {heading}?",
    "In {context}, what should I know about {heading}?",
    "Tell me about {heading} as described in {context}.",
    "Explain {heading} in the context of {context}.",
)
_ALONE = (
    "What should I know about {heading}?",
    "Tell me about {heading}.",
    "Explain {heading}.",
    "What can you say about {heading}?",
)
_QUESTION = re.compile(r"[?？]\s*$")
_ENGLISH_WORDS = word_set("the of and to a in is that for it as with are be this you can on by or from not")

_WITHOUT_MARKS = frozenset({"pdf", "text", "rtf"})  # types whose headings stand in the text as on paper
_MARKDOWN_HEADING = re.compile(r"^#{1,6} (?P<heading>\S.*)$", re.MULTILINE)
# "2.1 Results" alone in a line; a number with a unit or a full stop behind is prose.
_NUMBERED_HEADING = re.compile(
    r"^(?:\d{1,2}(?:\.\d{1,2}){0,3}\.?) (?P<heading>[^\W\d_][^\n.!?:;,|]{2,60})$", re.MULTILINE
)
_NO_PROSE = re.compile(r"[|>#]|[-*+•–] |\d{1,4}[.)] |```|~~~|!!!|///|\$\$|\[\^")
_SENTENCE_END = re.compile(r"[.!?…。！？।॥؟۔][\"'”’»)\]」』]*$")


class _HeadedText(NamedTuple):
    heading: str
    context: str
    start: int
    end: int


def instructions_of(document: Document) -> Iterator[Instruction]:
    """The pairs of one document; none where a heading or prose below it is missing."""
    content = document["content"]
    for section in _headed_texts(document):
        answer = _answer_span(content, section.start, section.end)
        if answer is None:
            continue
        output = content[answer.start : answer.end]
        metadata: dict[str, Any] = {
            "source": document["source"],
            "type": document["type"],
            "title": document["title"],
            "char_start": answer.start,
            "char_end": answer.end,
            "method": "heading",
            "heading": section.heading,
        }
        for key in ("page", "heading_path", "line_start", "line_end"):
            if key in document["metadata"]:
                metadata[key] = document["metadata"][key]
        yield Instruction(instruction=_question(section, output), input="", output=output, metadata=metadata)


def _headed_texts(document: Document) -> Iterator[_HeadedText]:
    content, title = document["content"], document["title"]
    pattern = _NUMBERED_HEADING if document["type"] in _WITHOUT_MARKS else _MARKDOWN_HEADING
    if pattern.search(content) is None:
        return
    code = [span for span in sentence_spans(content) if span.is_code]
    found = [
        heading
        for heading in pattern.finditer(content)
        if not any(span.start <= heading.start() < span.end for span in code)
    ]
    path = document["metadata"].get("heading_path") or []
    is_named = title != Path(document["source"]).stem  # else the title is only the name of the file
    context = path[-2] if len(path) > 1 else title if is_named else ""
    for heading, following in zip(found, [*found[1:], None], strict=False):
        text = heading["heading"].strip()
        if len(text) <= LONGEST_HEADING and any(character.isalpha() for character in text):
            end = following.start() if following else len(content)
            yield _HeadedText(text, context, heading.end(), end)


def _answer_span(content: str, start: int, end: int) -> Span | None:
    """The first whole sentences of prose between two positions, as many as a short answer holds."""
    counter = WordCounter()
    first: Span | None = None
    last: Span | None = None
    words = 0
    for span in sentence_spans(content[start:end]):
        text = content[start + span.start : start + span.end]
        is_prose = not span.is_code and not _NO_PROSE.match(text) and _SENTENCE_END.search(text)
        length = counter.count(text)
        if first is None:
            if is_prose and SHORTEST_ANSWER <= length <= LONGEST_SENTENCE:
                first = last = span
                words = length
        elif not is_prose or words + length > LONGEST_ANSWER:
            break
        else:
            last = span
            words += length
    return Span(start + first.start, start + last.end) if first and last else None


def _question(section: _HeadedText, answer: str) -> str:
    """A question about the heading; which of the forms is told by the content, so it never changes."""
    heading = section.heading.rstrip(" :")
    if _QUESTION.search(heading):
        return heading
    needs_context = section.context and section.context.casefold() != heading.casefold()
    if not _is_english(f"{heading} {answer}"):
        return f"{section.context}: {heading}" if needs_context else heading
    forms = _WITH_CONTEXT if needs_context else _ALONE
    choice = hashlib.sha256(f"{heading}\0{answer}".encode()).digest()[0] % len(forms)
    # Not str.format: a heading may hold braces.
    return forms[choice].replace("{context}", f"“{section.context}”").replace("{heading}", f"“{heading}”")


def _is_english(text: str) -> bool:
    words = re.findall(r"[a-z']+", text.lower())
    common = sum(word in _ENGLISH_WORDS for word in words)
    is_latin = text.isascii() or sum(character.isascii() for character in text) > 0.95 * len(text)
    return bool(words) and is_latin and common >= LEAST_ENGLISH * len(words)
