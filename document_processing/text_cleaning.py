"""Normalising and sanitising text.

Content is brought to NFC, never NFKC: NFKC would change what is written (x² to x2, ½ to 1⁄2).
Only HTML is treated as HTML; `a < b` and `List<String>` in plain text are left alone.
"""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser

from document_processing.word_lists import word_set
from shared_utils.errors import DataValidationError

MAX_TEXT_LENGTH = 10_000_000  # characters; what is longer is refused, because cutting it would lose text

_ANSI_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\-_]")
_LINE_BREAKS = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
# Control characters, soft hyphens and non-characters: invisible, and noise to a tokenizer.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\ufdd0-\ufdef\ufffe\uffff]|^\ufeff")
_SURROGATE = re.compile("[\ud800-\udfff]")

_DROPPED_ELEMENTS = frozenset({"script", "style", "template", "noscript"})
_BLOCK_ELEMENTS = word_set(
    "address article aside blockquote body br caption center dd details dialog div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hr html li main nav ol option p pre "
    "section summary table tbody tfoot thead title tr ul"
)
_LINE_ELEMENTS = word_set("dd dt li option table tbody tfoot thead tr")
_INLINE_ELEMENTS = word_set(
    "a abbr audio b bdi bdo button cite code col colgroup data del dfn em embed font i iframe img input "
    "ins kbd label link mark meta object param picture q rp rt ruby s samp select small source span "
    "strike strong sub sup svg td textarea th time track tt u var video wbr"
)
_KNOWN_ELEMENTS = _DROPPED_ELEMENTS | _BLOCK_ELEMENTS | _INLINE_ELEMENTS
_CLOSING_TAG = re.compile(rf"</(?:{'|'.join(sorted(_KNOWN_ELEMENTS))})\s*>", re.IGNORECASE)
_HTML_START = re.compile(r"\s*(?:<!doctype\s+html|<html[\s>])", re.IGNORECASE)


def clean_text(text: str) -> str:
    """Text in NFC with `\\n` line ends and without control characters."""
    if "\x1b" in text:
        text = _ANSI_ESCAPE.sub("", text)
    text = _INVISIBLE.sub("", _LINE_BREAKS.sub("\n", text))
    return unicodedata.normalize("NFC", _SURROGATE.sub("\ufffd", text))


def sanitize_text_input(text: str, max_length: int = MAX_TEXT_LENGTH) -> str:
    """Clean text; HTML is reduced to what a reader would see, other text keeps every character.

    Raises:
        DataValidationError: the text is longer than `max_length`.
    """
    if len(text) > max_length:
        raise DataValidationError(
            f"the text has {len(text):,} characters; the limit is {max_length:,}", hint="split the text"
        )
    text = clean_text(text)
    if _HTML_START.match(text) or _CLOSING_TAG.search(text):
        return html_to_text(text, keep_unknown=True)
    return text


def html_to_text(html: str, *, keep_unknown: bool = False) -> str:
    """What a reader of the HTML would see: no tags, comments, scripts or styles; a table row is one line.

    Args:
        html: a page or a fragment.
        keep_unknown: leave tags that HTML does not know (`List<String>`) as text.
    """
    reader = _HTMLReader(keep_unknown)
    reader.feed(html)
    reader.close()
    return reader.text()


class _HTMLReader(HTMLParser):
    def __init__(self, keep_unknown: bool) -> None:
        super().__init__(convert_charrefs=True)
        self._keep_unknown = keep_unknown
        self._parts: list[str] = []
        self._dropping = 0
        self._cells_in_row = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED_ELEMENTS:
            self._dropping += 1
        elif tag in ("td", "th"):
            self._parts.append(" | " if self._cells_in_row else "| ")
            self._cells_in_row += 1
        elif tag in _LINE_ELEMENTS:
            self._end_line()
        elif tag in _BLOCK_ELEMENTS:
            self._parts.append("\n")
        elif tag == "img":
            self._parts.append(dict(attrs).get("alt") or "")
        elif self._keep_unknown and tag not in _KNOWN_ELEMENTS:
            self._parts.append(self.get_starttag_text() or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _DROPPED_ELEMENTS:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in _DROPPED_ELEMENTS:
            self._dropping = max(0, self._dropping - 1)
        elif tag == "tr":
            self._parts.append(" |" if self._cells_in_row else "")
            self._cells_in_row = 0
        elif tag in _LINE_ELEMENTS:
            self._end_line()
        elif tag in _BLOCK_ELEMENTS:
            self._parts.append("\n")

    def handle_data(self, data: str) -> None:
        if self._dropping:
            return
        if "\n" in data and data.isspace():  # between tags
            self._end_line()
        else:
            self._parts.append(data)

    def _end_line(self) -> None:
        if self._parts and not self._parts[-1].endswith("\n"):
            self._parts.append("\n")

    def text(self) -> str:
        lines = (re.sub(r"[ \t\xa0]+", " ", line).strip() for line in "".join(self._parts).split("\n"))
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
