"""Markdown tokens as readable text.

Code blocks, lists and tables stay as written; emphasis marks, link targets, HTML tags and rules between
paragraphs go. A paragraph keeps its lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.common.utils import normalizeReference
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block import reference as _reference_rule
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from document_processing.text_cleaning import html_to_text

MOST_LINKS = 100  # remembered of one section
# Inline rules need quadratic time on some inputs; that many marks in one paragraph are no prose.
MOST_INLINE_MARKS = 4_000

_INLINE_MARK = re.compile(r"[\\`*_\[\]<>&!~$]")
_LINE_JOINT = re.compile(r"[ \t]*\n[ \t]*")
_ATTRIBUTES = re.compile(r"\s*\{\s*(?:[#.:]|[\w-]+=[\"'])[^{}\n]*\}\s*$")  # "# Title { #anchor }" of MkDocs and Pandoc
_REFERENCE = re.compile(r"(?<![\w\])!\\`])\[(?P<text>(?:[^\[\]`]|`[^`\n]*`){1,200})\]\[(?P<name>[\w.:#/ -]{0,100})\]")
_MATH = re.compile(r"\$\$.+?\$\$|\$(?=\S)[^$\n]*?(?<=\S)\$(?!\d)|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL)
_LONGEST_FORMULA = 2_000  # characters
_HIDDEN_ELEMENT = re.compile(r"<(script|style|template)\b", re.IGNORECASE)
_LINE_BREAK_TAG = re.compile(r"<br\b", re.IGNORECASE)


def block_parser() -> MarkdownIt:
    """CommonMark with tables; text inside of blocks is left for `Renderer`."""
    parser = MarkdownIt("commonmark").enable("table").disable("inline")
    parser.block.ruler.at("reference", _reference_but_not_footnote, {"alt": []})
    return parser


def _reference_but_not_footnote(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    # `[^1]: Note.` would be taken for a link target, and its text would be lost.
    start = state.bMarks[start_line] + state.tShift[start_line]
    return not state.src.startswith("[^", start) and _reference_rule(state, start_line, end_line, silent)


def _math(state: StateInline, silent: bool) -> bool:
    """A formula is text: no mark in it means emphasis."""
    if state.src[state.pos] not in "$\\":
        return False
    formula = _MATH.match(state.src, state.pos, min(state.posMax, state.pos + _LONGEST_FORMULA))
    if formula is None:
        return False
    if not silent:
        token = state.push("math", "", 0)
        token.content = formula.group()
    state.pos = formula.end()
    return True


class Renderer:
    """Turns the tokens of one file into text.

    Args:
        environment: what the block parser found out about the file (its link targets).
        keep_code: leave code blocks in.
    """

    def __init__(self, environment: dict[str, object], *, keep_code: bool = True) -> None:
        self._environment, self._keep_code = environment, keep_code
        self._inline_parser = MarkdownIt("commonmark").enable("strikethrough")
        self._inline_parser.inline.ruler.before("escape", "math", _math)
        self.links: list[str] = []

    def render(self, tokens: Sequence[Token]) -> str:
        """The text of some top-level blocks; collects the targets of their links in `links`."""
        self.links = []
        return _Writer(self, tokens, self._keep_code).text()

    def heading(self, content: str) -> str:
        """The text of a heading, on one line and without attributes."""
        return " ".join(_ATTRIBUTES.sub("", self.inline(content)).split())

    def inline(self, content: str) -> str:
        """The text of a paragraph."""
        content = _REFERENCE.sub(self._reference_text, content) if "][" in content else content
        marks = len(_INLINE_MARK.findall(content))
        if marks == 0 or marks > MOST_INLINE_MARKS:
            return _LINE_JOINT.sub("\n", content).strip()
        (token,) = self._inline_parser.parseInline(content, self._environment)
        return self._inline_text(token.children or [])

    def _reference_text(self, found: re.Match[str]) -> str:
        """The text of a link whose target stands in no file, but in the index of a documentation tool."""
        known = self._environment.get("references")
        name = normalizeReference(found["name"] or found["text"])
        return found.group() if isinstance(known, dict) and name in known else found["text"]

    def _inline_text(self, tokens: Sequence[Token]) -> str:
        parts: list[str] = []
        hidden = ""  # the element whose content no reader sees
        for token in tokens:
            if token.type == "html_inline":
                hidden = self._hidden_after(token.content, hidden)
                if _LINE_BREAK_TAG.match(token.content):
                    parts.append("\n")
                elif token.content.lower().startswith("<img"):
                    parts.append(html_to_text(token.content))
            elif hidden:
                continue
            elif token.type in ("softbreak", "hardbreak"):
                parts.append("\n")
            elif token.type == "image":
                parts.append(self._inline_text(token.children or []))
            elif token.type == "link_open":
                self._remember_link(str(token.attrs.get("href", "")))
            else:
                parts.append(token.content)
        return "".join(parts)

    @staticmethod
    def _hidden_after(tag: str, hidden: str) -> str:
        if hidden:
            return "" if tag.lower().startswith(f"</{hidden}") else hidden
        opening = _HIDDEN_ELEMENT.match(tag)
        return opening[1].lower() if opening else ""

    def _remember_link(self, target: str) -> None:
        if target and target not in self.links and len(self.links) < MOST_LINKS:
            self.links.append(target)


class _Writer:
    """Writes blocks below each other, with the indentation that lists ask for."""

    def __init__(self, renderer: Renderer, tokens: Sequence[Token], keep_code: bool) -> None:
        self._renderer, self._tokens, self._keep_code = renderer, tokens, keep_code
        self._lines: list[str] = []
        self._indents: list[str] = []  # of the lists around
        self._item_mark = ""  # waits for the first line of its item
        self._is_tight = False

    def text(self) -> str:
        position = 0
        while position < len(self._tokens):
            token = self._tokens[position]
            if token.type == "table_open":
                position = self._write_table(position)
            else:
                self._write(token, position)
            position += 1
        return "\n".join(self._lines).strip("\n")

    def _write(self, token: Token, position: int) -> None:
        if token.type in ("bullet_list_open", "ordered_list_open") and not self._indents:
            self._is_tight = False
        elif token.type == "list_item_open":
            number = f"{token.info}{token.markup}" if token.info else token.markup
            self._flush_mark()
            self._item_mark = "".join(self._indents) + number + " "
            self._indents.append(" " * (len(number) + 1))
        elif token.type == "list_item_close":
            self._flush_mark()
            self._indents.pop()
        elif token.type == "inline":
            before = self._tokens[position - 1]
            if before.type == "heading_open":
                heading = self._renderer.heading(token.content)
                self._block(["#" * int(before.tag[1:]) + " " + heading] if heading else [])
            else:
                self._block(self._renderer.inline(token.content).split("\n"), is_tight=before.hidden)
        elif token.type == "fence" and self._keep_code:
            code = token.content.removesuffix("\n").split("\n") if token.content else []
            self._block([token.markup + token.info.rstrip(), *code, token.markup])
        elif token.type == "code_block" and self._keep_code:
            self._block(["    " + line if line.strip() else "" for line in token.content.rstrip("\n").split("\n")])
        elif token.type == "html_block":
            self._block(html_to_text(token.content).split("\n"))

    def _write_table(self, position: int) -> int:
        """Write the table that opens here; the position of its last token."""
        rows: list[list[str]] = []
        while self._tokens[position].type != "table_close":
            token = self._tokens[position]
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(" ".join(self._renderer.inline(token.content).split()))
            position += 1
        lines = [f"| {' | '.join(cells)} |" for cells in rows]
        if rows:
            lines.insert(1, "|" + " --- |" * len(rows[0]))
        self._block(lines)
        return position

    def _block(self, lines: list[str], is_tight: bool = False) -> None:
        if not any(line.strip() for line in lines):
            return
        # Lines of a tight list follow each other; other blocks are set apart.
        if self._lines and not (is_tight and self._is_tight):
            self._lines.append("")
        indent = "".join(self._indents)
        first = self._item_mark or indent
        self._lines.append((first + lines[0]).rstrip())
        self._lines.extend((indent + line).rstrip() for line in lines[1:])
        self._item_mark, self._is_tight = "", is_tight

    def _flush_mark(self) -> None:
        """An item that holds no text of its own, only a list: its mark stands alone."""
        if self._item_mark.strip():
            self._lines.append(self._item_mark.rstrip())
        self._item_mark = ""
