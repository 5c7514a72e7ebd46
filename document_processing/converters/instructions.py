"""Instruction pairs from headings, definitions and lists.

No model writes anything here: the answer is a span of the document, word for word, and the pair names it.
Better no pair than one whose answer does not belong to its question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from document_processing.converters.answers import definitions, list_answer, prose_answer, terms
from document_processing.converters.headings import HeadedText, can_be_asked_about, headed_texts
from document_processing.converters.questions import Kind, asking_heading, language_of, question
from document_processing.sentences import Span
from shared_utils.records import Document, Instruction

LONGEST_LOOK = 10_000  # characters that tell the language
MOST_TERMS = 8  # of one heading
SHORTEST_QUESTION = 9  # characters; "Why?" asks nothing without its page
_QUESTION = re.compile(r"[?？]\s*$")
_LEADING_LIST = re.compile(r"(?P<subject>The [^\n,;:]{3,60}?) (?P<verb>is|are)(?: as follows| the following| these)?:$")


class _Pair(NamedTuple):
    kind: Kind
    question: str
    span: Span


def instructions_of(document: Document) -> Iterator[Instruction]:
    """The pairs of one document; none where no heading, or nothing that answers, is found."""
    content = document["content"]
    questions: set[str] = set()
    answers: set[Span] = set()
    language = language_of(content[:LONGEST_LOOK])  # for texts too short to tell theirs
    for section in headed_texts(document):
        for pair in _pairs_of(section, content, language):
            if pair.question in questions or pair.span in answers:
                continue
            questions.add(pair.question)
            answers.add(pair.span)
            yield _instruction(pair, section, document)


def _instruction(pair: _Pair, section: HeadedText, document: Document) -> Instruction:
    output = document["content"][pair.span.start : pair.span.end]
    metadata: dict[str, Any] = {
        "source": document["source"],
        "type": document["type"],
        "title": document["title"],
        "char_start": pair.span.start,
        "char_end": pair.span.end,
        "method": "heading",
        "kind": pair.kind,
        "heading": section.heading,
    }
    for key in ("page", "heading_path", "line_start", "line_end"):
        if key in document["metadata"]:
            metadata[key] = document["metadata"][key]
    return Instruction(instruction=pair.question, input="", output=output, metadata=metadata)


def _pairs_of(section: HeadedText, content: str, language_around: str) -> Iterator[_Pair]:
    language = language_of(content[section.start : section.end][:LONGEST_LOOK]) or language_around
    main = _main_pair(section, content, language)
    if main:
        yield main
    if language == "en":
        yield from _definition_pairs(section, content)
    if can_be_asked_about(section.heading) and language:
        yield from _term_pairs(section, content, language)


def _main_pair(section: HeadedText, content: str, language: str) -> _Pair | None:
    """The beginning of the text below the heading, or the list that it begins with."""
    answer = prose_answer(content, section.start, section.end)
    if answer:
        output = content[answer.start : answer.end]
        if section.is_opening:
            text = question("about", section.heading, section.context, output, language)
            return _Pair("about", text, answer) if text else None
        text = _about_heading("heading", section, output, language)
        return _Pair("heading", text, answer) if text else None
    found = None if section.is_opening else list_answer(content, section.start, section.end)
    if found is None:
        return None
    span, lead = found
    output = content[span.start : span.end]
    leading = _LEADING_LIST.match(content[lead.start : lead.end]) if lead and language == "en" else None
    if leading:
        subject = f"{leading['verb']} t{leading['subject'][1:]}"
        text = question("definition", subject, section.context or section.heading, output, language)
    else:
        text = _about_heading("list", section, output, language)
    return _Pair("list", text, span) if text else None


def _about_heading(kind: Kind, section: HeadedText, output: str, language: str) -> str | None:
    if _QUESTION.search(section.heading):
        return section.heading if len(section.heading) > SHORTEST_QUESTION else None
    asking = asking_heading(section.heading, section.context, language) if kind == "heading" else None
    return asking or question(kind, section.heading, section.context, output, language)


def _definition_pairs(section: HeadedText, content: str) -> Iterator[_Pair]:
    for found in definitions(content, section.start, section.end):
        context = (section.context or section.heading) if found.needs_context else ""
        if context.casefold() == found.term.casefold().removeprefix("the "):
            context = ""
        output = content[found.span.start : found.span.end]
        text = question("definition", f"{found.verb} {found.term}", context, output, "en")
        if text:
            yield _Pair("definition", text, found.span)


def _term_pairs(section: HeadedText, content: str, language: str) -> Iterator[_Pair]:
    for number, found in enumerate(terms(content, section.start, section.end)):
        if number == MOST_TERMS:
            return
        output = content[found.span.start : found.span.end]
        text = question("term", found.term, section.heading, output, language)
        if text:
            yield _Pair("term", text, found.span)
