"""Headings of a document: which of them can be asked about, and within what."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from document_processing.sentences import Span, sentence_spans
from shared_utils.records import Document

LONGEST_HEADING = 120  # characters

_WITHOUT_MARKS = frozenset({"pdf", "text", "rtf"})  # types whose headings stand in the text as on paper
_MARKDOWN_HEADING = re.compile(r"^#{1,6} (?P<heading>\S.*)$", re.MULTILINE)
# "2.1 Results" alone in a line; a number with a unit or a full stop behind is prose.
_NUMBERED_HEADING = re.compile(
    r"^(?:\d{1,2}(?:\.\d{1,2}){0,3}\.?) (?P<heading>[^\W\d_][^\n.!?:;,|]{2,60})$", re.MULTILINE
)

# Nothing can be asked about these: the text below belongs to what stands around them.
_EMPTY = re.compile(
    r"(?:notes?|warnings?|tips?|hints?|caution|danger|attention|important|info|todo|misc(?:ellaneous)?|others?|"
    r"see also|references?|bibliography|footnotes|links|resources|further reading|(?:table of )?contents|toc|index|"
    r"examples?|example usage|header|heading|title|untitled|readme|read me|changelog|change ?log|history|news|"
    r"release notes|what'?s new|unreleased|acknowledge?ments?|credits|thanks!?|thank you!?|sponsors?|authors?|"
    r"contributors|inputs?|outputs?|"
    r"next(?: steps?)?|previous|back(?: to top)?|more|etc|details|before|after|answer|question|solution|"
    r"hinweise?|anmerkung(?:en)?|achtung|warnung|tipps?|siehe auch|beispiele?|literatur(?:verzeichnis)?|inhalt|"
    r"inhaltsverzeichnis|änderungen|quellen|wichtig|"
    r"remarques?|attention|avertissement|voir aussi|exemples?|références|bibliographie|sommaire|table des matières|"
    r"notas?|advertencias?|aviso|véase también|ejemplos?|referencias|bibliografía|índice|contenido)"
    r"(?:\s*[(#]?\d+(?:\.\d+)*\)?)?",
    re.IGNORECASE,
)
_NUMBERED_PART = re.compile(
    r"(?:step|part|chapter|section|appendix|figure|fig|table|listing|example|exercise|week|day|phase|lesson|header|"
    r"heading|schritt|teil|kapitel|abschnitt|anhang|abbildung|tabelle|beispiel|étape|partie|chapitre|annexe|"
    r"paso|parte|capítulo|sección|anexo|заголовок|глава|часть)\.?\s*(?:\d+(?:\.\d+)*|[ivxlc]+|[a-z])\s*[.:)]?",
    re.IGNORECASE,
)
_VERSION = re.compile(
    r"\W*(?:(?:version|release|v)\W*)?(?:v?\d+(?:\.\w+){1,4}(?:[-+.]?(?:a|b|rc|alpha|beta|dev|post)\.?\d*)?|"
    r"(?:19|20)\d\d(?:[-/.]\d\d?){0,2})\b.{0,40}",
    re.IGNORECASE,
)
_POINTING = re.compile(
    r"^(?:this|that|these|those)\b|\b(?:it|this|that|them|these|those|here|there)\W*$", re.IGNORECASE
)
# These tell what kind of text follows, but not about what: they need the title of the document.
_OPENING = re.compile(
    r"introduction|overview|abstract|summary|about|intro|preface|foreword|description|"
    r"einleitung|einführung|überblick|zusammenfassung|vorwort|beschreibung|"
    r"résumé|présentation|aperçu|préface|avant-propos|introducción|resumen|presentación|prólogo|descripción",
    re.IGNORECASE,
)
_GENERAL = re.compile(
    r"results?|background|conclusions?|discussion|methods?|methodology|related work|evaluation|experiments?|setup|"
    r"usage|installation|installing|install|getting started|quick ?start|requirements|prerequisites|license|licence|"
    r"options|parameters|arguments|returns?|raises|configuration|features|faq|recap|basic idea|motivation|goals?|"
    r"limitations?|troubleshooting|support|contributing|contact|development|testing|tests|tooling|api|security|"
    r"ergebnisse?|hintergrund|methoden?|diskussion|fazit|voraussetzungen|lizenz|verwendung|benutzung|"
    r"résultats|conclusion|méthodes?|discussion|prérequis|licence|utilisation|"
    r"resultados|métodos?|discusión|requisitos|licencia|uso|instalación",
    re.IGNORECASE,
)


class HeadedText(NamedTuple):
    """`content[start:end]` stands below `heading`, within `context`; `is_opening` tells an introduction."""

    heading: str
    context: str
    start: int
    end: int
    is_opening: bool


def headed_texts(document: Document) -> Iterator[HeadedText]:
    """The texts below headings that can be asked about."""
    content = document["content"]
    pattern = _NUMBERED_HEADING if document["type"] in _WITHOUT_MARKS else _MARKDOWN_HEADING
    if pattern.search(content) is None:
        return
    if _is_changelog(document):
        return
    code = [span for span in sentence_spans(content) if span.is_code]
    found = [heading for heading in pattern.finditer(content) if not _is_inside(heading.start(), code)]
    context = context_of(document)
    for heading, following in zip(found, [*found[1:], None], strict=False):
        text = heading["heading"].strip().rstrip(" :#")
        end = following.start() if following else len(content)
        own_context = "" if context.casefold() == text.casefold() else context
        if can_be_asked_about(text) and not (_GENERAL.fullmatch(text) and not own_context):
            is_opening = _OPENING.fullmatch(text) is not None
            if own_context or not is_opening:
                yield HeadedText(text, own_context, heading.end(), end, is_opening)


def _is_inside(position: int, spans: Sequence[Span]) -> bool:
    number = bisect_right(spans, position, key=lambda span: span.start)
    return number > 0 and position < spans[number - 1].end


def can_be_asked_about(heading: str) -> bool:
    """Whether a heading names a subject: no number, version, date, note or example."""
    if not 2 <= len(heading) <= LONGEST_HEADING or not any(character.isalpha() for character in heading):
        return False
    if _POINTING.search(heading):
        return False
    return not any(pattern.fullmatch(heading) for pattern in (_EMPTY, _NUMBERED_PART, _VERSION))


def context_of(document: Document) -> str:
    """The nearest heading above that names a subject, else the title, else an empty string."""
    path: Sequence[str] = document["metadata"].get("heading_path") or []
    title = document["title"]
    # A title that is only the name of the file says nothing to somebody who does not see the file.
    candidates = [*reversed(path[:-1]), *([] if title == Path(document["source"]).stem else [title])]
    for candidate in candidates:
        text = candidate.strip().rstrip(" :")
        is_subject = can_be_asked_about(text) and not text.endswith(("?", "？", "!"))
        if is_subject and not _GENERAL.fullmatch(text) and not _OPENING.fullmatch(text):
            return text
    return ""


def _is_changelog(document: Document) -> bool:
    """Entries of a list of versions answer nothing without their version."""
    path = document["metadata"].get("heading_path") or []
    return any(_VERSION.fullmatch(heading) or _CHANGELOG.fullmatch(heading.strip()) for heading in path)


_CHANGELOG = re.compile(r"change ?log|history|news|release notes|what'?s new|unreleased|changes", re.IGNORECASE)
