"""What the Markdown of documentation tools adds to CommonMark, rewritten so that it reads as text.

Admonitions and tabs (MkDocs, Docusaurus, MyST, GitHub, Obsidian) become a label and their text, attribute lists,
icons, file inclusions and the tags of Hugo and Jekyll go. Each line stays one line, so line numbers hold, and
code between fences is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from document_processing.word_lists import word_set

_ADMONITIONS = word_set(
    "note tip info warning danger caution important hint attention error success question example quote abstract "
    "summary todo bug failure details seealso admonition check"
)
_BODY_INDENT = 4  # of `!!!`, `???` and `===`
_ANY = re.compile(
    r"///|!!!|\?\?\?|===|:::|\[!|\{\{[<%]|\{[%*:#.]|\{ ?[#.\w-]+[= }]|\{\w[\w:-]*\}`|--8<--|"
    r":(?:material|octicons|fontawesome|simple)-|^\(|<!-- md:|\[TOC\]|\[\[_?toc_?\]\]|```|~~~",
    re.IGNORECASE | re.MULTILINE,
)
_FENCE = re.compile(r"(?P<indent>[ >]*)(?:[-*+] +|\d{1,3}[.)] +)?(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)$")
_MYST = re.compile(r"\{(?P<name>[\w:-]+)\}\s*(?P<argument>.*)$")
_MYST_CODE = frozenset({"code-block", "code", "code-cell", "sourcecode", "prompt"})
_MYST_TITLED = frozenset({"admonition", "dropdown", "tab-item", "topic"})
_INDENTED = re.compile(
    r'(?P<indent> *)(?:!!!|\?\?\?\+?|===[!+]?)(?: +(?P<type>[a-z][\w -]*?))?(?: *"(?P<title>.*)")? *$'
)
_SLASHES = re.compile(r"(?P<indent> *)(?P<mark>/{3,}) +(?P<type>[A-Za-z][a-z-]*) *(?:\|(?P<title>.*))?$")
_SLASHES_END = re.compile(r" *(?P<mark>/{3,}) *$")
_SLASHES_WITHOUT_LABEL = frozenset({"html", "define", "latex", "caption", "figure-caption"})
_COLONS = re.compile(r"(?P<indent>[ >]*):{3,} *(?P<type>[a-z][a-z-]*)?(?P<rest>(?:[\s{\[].*)?)$", re.IGNORECASE)
_COLONS_TITLE = re.compile(r"\[(?P<bracketed>[^\]]*)\]|(?P<plain>[^{\[].*)")
_REFERENCE = re.compile(r" *::: +(?P<name>[A-Za-z_]\w*(?:[.:]\w+)+) *$")  # of mkdocstrings
_ALERT = re.compile(r"(?P<indent> *(?:> ?)+)\[!(?P<type>[A-Za-z]+)\][-+]? *(?P<title>.*)$")
_OPTION = re.compile(r" +[a-z_]+:.*$|:[a-z-]+:(?: .*)?$")
_DROPPED_LINE = re.compile(
    r" *(?:--8<--.*|-{1,}8<-{1,} *\".*|\{\*.*\*\}|\[TOC\]|\[\[_?toc_?\]\]|\([\w:.-]+\)=|\{:[^{}]*\}) *$", re.IGNORECASE
)
_ATTRIBUTE = r"(?:data-[\w-]+|[#.][A-Za-z_][\w:.-]*|[\w:-]+=(?:\"[^\"]*\"|'[^']*'))"
_MARKUP = re.compile(
    r"(?P<code>(?<!`)(?P<ticks>`+)(?!`)[^\n]*?[^`](?P=ticks)(?!`))"
    r"|<!-- md:(?:setting|option|feature|extension|plugin) (?:config\.)?(?P<shown>[\w.-]+) -->"
    r"|\{\{(?P<hugo>[<%])[^\n]*?(?(hugo)[>%])\}\}"
    r"|\{%[-+]? ?[a-z][^{}\n]*?%\}"
    r"|(?P<icon>:(?:material|octicons|fontawesome|simple)-[a-z0-9-]+:(?:\{[^{}\n]*\})? ?)"
    rf"|(?:^|(?<=[)\]`*_\":])|(?<=\s))\{{(?::[^{{}}\n]*|\s*{_ATTRIBUTE}(?:\s+(?:{_ATTRIBUTE}|[\w-]+(?:=[\w./:-]+)?))*\s*)\}}"
    r"|\{[a-z][\w:-]*\}(?=`)"
)
_CODE_TAG = re.compile(
    r" *\{\{[<%] *(?P<end>/)? *(?:code-toggle|highlight|code)\b *(?P<language>[a-z]*\b(?!=))?[^\n]*(?<!/)[>%]\}\} *$"
)
_OPEN_TAG = re.compile(r"\{\{[<%][^>%]*$")
_TAG_END = re.compile(r"[>%]\}\}")
LONGEST_TAG = 20  # lines
_MODULE_LINE = re.compile(
    r"(?:import (?:.* from )?['\"].*['\"]|import .* from ['\"].*['\"]|export (?:const|default) .*);? *$"
)


def as_commonmark(lines: Sequence[str], *, has_modules: bool = False) -> list[str]:
    """The lines, as many as before, without the additions of documentation tools.

    Args:
        lines: of a Markdown file.
        has_modules: lines that import and export are left out, as in MDX.
    """
    if not has_modules and not _ANY.search("\n".join(lines)):
        return list(lines)
    return _Rewriter(lines, has_modules).rewritten()


class _Rewriter:
    def __init__(self, lines: Sequence[str], has_modules: bool) -> None:
        self._lines, self._has_modules = lines, has_modules
        self._blocks: list[int] = []  # least indentation of the open indented blocks
        self._fence = ""  # the marks of the code that is open
        self._fence_depth = 0
        self._texts: list[str] = []  # fences of MyST that hold text
        self._code_tag = False
        self._tag_end = -1  # line on which the tag ends that is open
        self._drops_options = False  # behind a line that may have some
        ends = [(number, end["mark"]) for number, line in enumerate(lines) if (end := _SLASHES_END.match(line))]
        self._last_end = {mark: number for number, mark in ends}

    def rewritten(self) -> list[str]:
        return [self._line(number, line) for number, line in enumerate(self._lines)]

    def _line(self, number: int, line: str) -> str:
        if line.strip():
            indent = len(line) - len(line.lstrip(" "))
            while self._blocks and indent < self._blocks[-1]:
                self._blocks.pop()
        if self._fence and len(self._blocks) < self._fence_depth:
            self._fence = ""
        line = line[_BODY_INDENT * len(self._blocks) :] if self._blocks else line
        if self._fence or self._is_fence(line):
            return self._code_line(line)
        if number < self._tag_end:
            return ""
        if number == self._tag_end:
            line = _TAG_END.split(line, maxsplit=1)[-1]
        if self._drops_options and _OPTION.match(line):
            return ""
        self._drops_options = False
        if self._has_modules and _MODULE_LINE.match(line):
            return ""
        if not _ANY.search(line):
            return line
        opened = self._opened(number, line)
        line = line if opened is None else opened
        line = _MARKUP.sub(lambda found: found["code"] or found["shown"] or "", line).rstrip()
        return self._without_open_tag(number, line) if "{{" in line else line

    def _is_fence(self, line: str) -> bool:
        return _FENCE.match(line) is not None or _CODE_TAG.match(line) is not None

    def _code_line(self, line: str) -> str:
        """A line of code, or one that begins or ends it."""
        tag, fence = _CODE_TAG.match(line), _FENCE.match(line)
        if self._fence:
            is_end = bool(tag and tag["end"]) if self._code_tag else _closes(fence, self._fence)
            if is_end:
                self._fence = ""
            return "```" if is_end and self._code_tag else line
        if tag:
            if tag["end"]:
                return ""
            self._open_fence("```", is_tag=True)
            return f"```{tag['language'] or ''}"
        if fence is None:
            return line
        if self._texts and _closes(fence, self._texts[-1]):
            self._texts.pop()
            return ""
        myst = _MYST.match(fence["info"].strip())
        name = myst["name"].rpartition(":")[2] if myst else ""
        if myst and name in (_ADMONITIONS | _MYST_TITLED):
            self._texts.append(fence["fence"])
            self._drops_options = True
            return fence["indent"] + _label(name, myst["argument"])
        self._open_fence(fence["fence"], is_tag=False)
        if myst and name in _MYST_CODE:
            return line[: fence.start("info")] + myst["argument"].strip()
        return line

    def _open_fence(self, fence: str, *, is_tag: bool) -> None:
        self._fence, self._code_tag, self._fence_depth = fence, is_tag, len(self._blocks)

    def _opened(self, number: int, line: str) -> str | None:
        """What stands for a line that begins or ends a block, or that holds nothing else; None for other lines."""
        block = _INDENTED.match(line)
        if block and (block["type"] or block["title"] is not None) and self._has_body(number, len(block["indent"])):
            shift = _BODY_INDENT * len(self._blocks)
            self._blocks.append(len(block["indent"]) + shift + _BODY_INDENT)
            return block["indent"] + _label((block["type"] or "").split(" ")[0], block["title"])
        block = _SLASHES.match(line)
        if block and self._last_end.get(block["mark"], -1) > number:
            self._drops_options = True
            is_labelled = block["type"] not in _SLASHES_WITHOUT_LABEL
            return block["indent"] + _label(block["type"], block["title"]) if is_labelled else ""
        if _SLASHES_END.match(line) or _DROPPED_LINE.match(line):
            return ""
        alert = _ALERT.match(line)
        if alert:
            return alert["indent"] + _label(alert["type"].lower(), alert["title"])
        reference = _REFERENCE.match(line)
        if reference:
            self._drops_options = True
            return reference["name"]
        colons = _COLONS.match(line)
        if colons:
            return colons["indent"] + _colons_label(colons) if colons["type"] else ""
        return None

    def _without_open_tag(self, number: int, line: str) -> str:
        """The line without a tag of Hugo that ends in one of the next lines, which are left out."""
        start = _OPEN_TAG.search(line)
        if start is None or "`" in line:
            return line
        following = enumerate(self._lines[number + 1 : number + 1 + LONGEST_TAG], start=number + 1)
        self._tag_end = next((place for place, text in following if _TAG_END.search(text)), -1)
        return line[: start.start()].rstrip() if self._tag_end > number else line

    def _has_body(self, number: int, indent: int) -> bool:
        """The next line that is not blank is indented as the body of a block is."""
        least = indent + _BODY_INDENT * (len(self._blocks) + 1)
        following = (line for line in self._lines[number + 1 : number + 4] if line.strip())
        return next(following, "").startswith(" " * least)


def _closes(fence: re.Match[str] | None, opening: str) -> bool:
    return fence is not None and fence["fence"].startswith(opening) and not fence["info"].strip()


def _colons_label(colons: re.Match[str]) -> str:
    kind = colons["type"].lower()
    if kind not in _ADMONITIONS:
        return ""
    title = _COLONS_TITLE.match((colons["rest"] or "").strip())
    return _label(kind, (title["bracketed"] or title["plain"]) if title else None)


def _label(kind: str, title: str | None) -> str:
    """The title, else the kind, with a colon; an empty title leaves the text alone."""
    if title is not None and not title.strip() and kind not in _ADMONITIONS:
        return ""
    text = (title or "").strip() or kind.replace("-", " ").capitalize()
    return text if text.endswith((".", ":", "?", "!", "…")) else f"{text}:"
