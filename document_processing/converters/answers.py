"""Spans of a text that can stand as an answer: sentences, definitions, terms and whole lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from document_processing.length_counters import WordCounter
from document_processing.sentences import Span, sentence_spans

LONGEST_ANSWER = 60  # words
LONGEST_SENTENCE = 120  # words; one sentence alone may have that many
LONGEST_LIST = 150  # words
SHORTEST_ANSWER = 4  # words
LONGEST_TERM = 6  # words

_NO_PROSE = re.compile(
    r"[|>#]|[-*+•–] |\d{1,4}[.)] |```|~~~|!!!|\?\?\?|///|\$\$|\[\^|:::?|\.\. |@|https?://|"
    r"(?:from \S+ )?import |def |class |\S+\(.*\)$|pip install |[{}<]|\S+ ?= ?\S"
)
_CODE_LINE = re.compile(r"(?:^|\n)(?: {4}|\t)\S|[;{}]\s*(?:\n|$)")
# Lines about a thing that documentation puts in front of what it says of it.
_REMARK = re.compile(
    r"(?:(?:new|changed|added|deprecated|removed) (?:in|since) version|source code:|availability:|authors?:)",
    re.IGNORECASE,
)
_DEFINITION_LINE = re.compile(r"\n[ \t]*: ")  # of a definition list
_SENTENCE_END = re.compile(r"[.!?…。！？।॥؟۔][\"'”’“»)\]」』]*$")
# What points to something that the answer does not hold.
_POINTS_ELSEWHERE = re.compile(
    r"\b(?:as follows|(?:the|this|these) (?:following|above|below|previous|next)|shown (?:above|below|here)|"
    r"see (?:also )?(?:the|above|below|our|here|\w+ for)|(?:above|below)[.,:]|"
    r"(?:rule|code|example|table|figure|list|section) (?:above|below)|"
    r"this (?:response|request|example|snippet|code|table|figure|section|chapter|page|list|document)|"
    r"(?:figures?|fig\.|tables?|listings?|eq\.|equation|section|chapter) \d|"
    r"(?:previous|next|last|preceding) (?:section|chapter|page|example|step)|"
    r"siehe (?:oben|unten|auch|abschnitt|kapitel|abb|tabelle)|(?:oben|unten) (?:gezeigt|genannt)|"
    r"folgende[nrsm]?|ci-(?:dessus|dessous)|suivante?s?\b|siguientes?|anterior|a continuación|"
    r"см\. (?:рис|табл|выше|ниже))|[:：][ \t]*\n",
    re.IGNORECASE,
)
# A first sentence that leans on one before it, or only announces what follows.
_LEANS_BACK = re.compile(
    r"(?:there (?:are|is) (?:some|several|many|various|a few|multiple|two|three|four|five|lots|a couple)|"
    r"another|also|however|therefore|thus|then|but|and|so|or|hence|that[’']?s|"
    r"instead|otherwise|conversely|besides|likewise|similarly|furthermore|moreover|in addition|for example|"
    r"e\.g|i\.e|note that|see|"
    r"now|next|first of all|finally|let[’']?s|"
    r"(?:ok(?:ay)?|all ?right|well|great|très bien|bien|vale|gut|also gut)(?=[,!:])|"
    r"aber|und|daher|deshalb|außerdem|auch|mais|et|donc|maintenant|puis|pero|y|por eso|también|ahora|"
    r"но|и|также|але)\b",
    re.IGNORECASE,
)
_DEFINITION = re.compile(
    r"(?P<term>(?:(?P<article>An?|The) )?(?P<noun>[^\W\d_][\w’'+#/-]*(?: [\w’'+#/-]+){0,5})) (?P<verb>is|are) "
    r"(?:an? |the (?:name|term|process|act|set|number|part|person|place|practice|science|study|art|most|first|"
    r"smallest|largest) |one of (?:the|our|many) )"
)
_NO_TERM = re.compile(
    r"(?:this|that|these|those|it|there|here|what|which|who|each|every|all|some|one|another|such|if|when|while|as|in|on|"
    r"at|for|with|by|from|my|your|our|his|her|their|its|he|she|they|we|you|i|note|example|both|most|many|only|not|and|"
    r"but|or|so|because|although|where|how|why|after|before|since|once|unlike|like|another|other|first|second|next|"
    r"please|today|now|see|result|reason|problem|solution|goal|idea|answer|point|question|difference)\b",
    re.IGNORECASE,
)
_CLAUSE_IN_TERM = re.compile(
    r"\b(?:above|below|following|latter|former|same|that|which|who|you|we|is|are|was|were|if|when|and|or)\b",
    re.IGNORECASE,
)
_TERM_LINE = re.compile(
    r"^(?P<mark>[-*+•] |)(?P<term>[^\W_][^\n:：–.!?|]{1,60}?)(?:: | [–—] |\n:[ \t]+)"
    r"(?P<meaning>\S[^\n]*(?:\n[ \t]+[^\s:*+•\d-][^\n]*)*)",
    re.MULTILINE,
)
_NO_TERM_LINE = re.compile(
    r"(?:notes?|warnings?|tips?|hints?|caution|important|info|todo|examples?|see|fig(?:ure)?|table|step|e\.g|i\.e|"
    r"hinweis|achtung|tipp|beispiel|remarque|attention|exemple|nota|aviso|ejemplo|source|https?)\b",
    re.IGNORECASE,
)
_ITEM = re.compile(r"[ \t]*(?:[-*+•–]|\d{1,3}[.)]) ")
_LEAD = re.compile(r"[:：]$")


class Definition(NamedTuple):
    """What a span defines: `verb` ("is") and `term`, or a term in front of a colon (no verb)."""

    verb: str
    term: str
    span: Span
    needs_context: bool


def prose_answer(content: str, start: int, end: int) -> Span | None:
    """The first whole sentences between two positions, as many as a short answer holds."""
    counter = WordCounter()
    first: Span | None = None
    last: Span | None = None
    words = 0
    for span in sentence_spans(content[start:end]):
        text = content[start + span.start : start + span.end]
        if first is None and _REMARK.match(text):
            continue
        length = counter.count(text)
        if not _is_prose(text, span) or (first is None and not _can_begin(text, length)):
            break
        if first is None:
            first = last = span
        elif words + length > LONGEST_ANSWER:
            break
        else:
            last = span
        words += length
    return Span(start + first.start, start + last.end) if first and last else None


def _is_prose(text: str, span: Span) -> bool:
    return not (
        span.is_code
        or _NO_PROSE.match(text)
        or "\ufffd" in text
        or _SENTENCE_END.search(text) is None
        or text.endswith(("...", "…"))
        or _CODE_LINE.search(text)
        or _DEFINITION_LINE.search(text)
        or _POINTS_ELSEWHERE.search(text)
    )


def _can_begin(text: str, length: int) -> bool:
    return SHORTEST_ANSWER <= length <= LONGEST_SENTENCE and not _LEANS_BACK.match(text)


def list_answer(content: str, start: int, end: int) -> tuple[Span, Span | None] | None:
    """A whole list that begins the text, with the sentence that leads to it.

    Returns:
        The span of both, and that of the leading sentence where there is one; None without a list.
    """
    spans = [Span(start + span.start, start + span.end, span.is_code) for span in sentence_spans(content[start:end])]
    lead = spans[0] if spans and _LEAD.search(content[spans[0].start : spans[0].end]) else None
    position = spans[1].start if lead and len(spans) > 1 else spans[0].start if spans else end
    items, last = 0, position
    for line in re.finditer(r"[^\n]+", content[position:end]):
        text = line.group()
        if _ITEM.match(text):
            items += 1
        elif items == 0 or not text[0].isspace():
            break  # behind the list
        last = position + line.end()
    begin = lead.start if lead else position
    text = content[begin:last].rstrip()
    is_short = WordCounter().count(text) <= LONGEST_LIST
    if items < 2 or not is_short or "```" in text or "\ufffd" in text or WordCounter().count(text) < 2 * items:
        return None
    if any(_NO_PROSE.match(re.sub(_ITEM, "", line)) for line in text.splitlines()[bool(lead) :]):
        return None
    return Span(begin, begin + len(text)), lead


def definitions(content: str, start: int, end: int) -> Iterator[Definition]:
    """English sentences of the form "A lathe is a machine that ..."."""
    for span in sentence_spans(content[start:end]):
        text = content[start + span.start : start + span.end]
        found = _DEFINITION.match(text)
        if found is None or not _is_prose(text, span) or not text[0].isupper():
            continue
        length = WordCounter().count(text)
        noun = found["noun"]
        is_term = not (
            _NO_TERM.match(noun) or _CLAUSE_IN_TERM.search(noun) or noun.rsplit(None, 1)[-1] in ("here", "there")
        )
        if is_term and SHORTEST_ANSWER + 2 <= length <= LONGEST_SENTENCE:
            article = found["article"]
            term = f"{article.lower()} {noun}" if article else noun
            # "The basin is a ..." means one that the reader knows from the text; so does a bare common noun.
            yield Definition(found["verb"], term, Span(start + span.start, start + span.end), article == "The")


def terms(content: str, start: int, end: int) -> Iterator[Definition]:
    """Terms with what is said of them: list items "Term: meaning", and definition lists."""
    for line in _TERM_LINE.finditer(content, start, end):
        term, meaning = line["term"].strip(), line["meaning"].rstrip()
        is_definition_list = "\n:" in line.group()
        if not (line["mark"] or is_definition_list) or _NO_TERM_LINE.match(term):
            continue
        span = Span(line.start("meaning"), line.start("meaning") + len(meaning))
        if WordCounter().count(term) <= LONGEST_TERM and _is_meaning(meaning):
            yield Definition("", term, span, True)


def _is_meaning(text: str) -> bool:
    length = WordCounter().count(text)
    is_whole = text[0].isupper() and _SENTENCE_END.search(text) is not None
    points_elsewhere = _POINTS_ELSEWHERE.search(text) or _NO_PROSE.match(text) or "\ufffd" in text
    return is_whole and not points_elsewhere and SHORTEST_ANSWER <= length <= LONGEST_SENTENCE
