"""The body of a reStructuredText section as readable text.

Code comes between fences, tables become Markdown rows, notes and descriptions lose their markup; comments,
targets and index entries go. Everything else keeps its lines. It works line by line: docutils knows neither the
roles nor the directives of Sphinx, drops what they hold, and follows `include` into other files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from document_processing.parsers import rst_directives as known
from document_processing.parsers.rst_inline import Inline
from document_processing.parsers.rst_tables import csv_rows, list_rows, table_end, table_rows
from document_processing.parsers.sections import fenced, markdown_table

DEEPEST_NESTING = 30  # of directives in each other; what lies deeper stays as written

_EXPLICIT = re.compile(r"(?:\.\.|__)(?: +(?P<rest>\S.*)|$)")
_DIRECTIVE = re.compile(r"(?:\|[^|]+\| +)?(?P<name>[A-Za-z][\w.+-]*(?::[\w.+-]+)*) ?::(?: +(?P<argument>.*)|$)")
_NOTE = re.compile(r"\[(?P<label>#?[\w.-]*|\*)\](?: +(?P<text>.*)|$)")
_OPTION = re.compile(r":(?P<name>[\w-]+):(?: +(?P<value>.*)|$)")
_TARGET = re.compile(
    r"^ *\.\. _(?P<name>`[^`\n]+`|(?:[^:\n\\]|\\.|:(?=\S))+):(?: +|\n +(?=\S))?(?P<address>.*)$", re.MULTILINE
)
_SUBSTITUTION = re.compile(
    r"^ *\.\. \|(?P<name>[^|\n]+)\| +(?P<kind>replace|unicode|image)::(?P<text>.*(?:\n +\S.*)*)", re.MULTILINE
)
_TRANSITION = re.compile(r"([!-/:-@\[-`{-~])\1{3,}$")
_ITEM = re.compile(r" *(?:[-*+•‣]|(?:\d{1,3}|[A-Za-z]|#|[ivxlcIVXLC]{2,6})[.)]|\((?:\d{1,3}|[A-Za-z])\)) +(?=\S)")
_AUTO_NUMBER = re.compile(r"^( *)#([.)]) ", re.MULTILINE)
_FIELD = re.compile(r" *:(?P<name>[^:\s`](?:[^:\n`]*[^:\s`])?):(?: +(?P<text>.*)|$)")
_OPTION_ITEM = re.compile(r" *(?:-\w|--\w|/\w).*\S {2,}\S")
_DOCTEST_FLAGS = re.compile(r"(?<=\S)\s*#\s*doctest:\s*[+-][A-Z_]+(?:\s*,?\s*[+-][A-Z_]+)*\s*$")  # as Sphinx does
_LINE_OF_BLOCK = re.compile(r"^( *)\|(?: |$)")


class RstText:
    """Turns the sections of one file into text, in their order.

    Args:
        lines: all of the file, without tabs.
        titles: headings, as written, by the labels above them.
    """

    def __init__(self, lines: Sequence[str], titles: dict[str, str]) -> None:
        text = "\n".join(lines)
        values = {found["name"]: _value(found["kind"], found["text"]) for found in _SUBSTITUTION.finditer(text)}
        targets = {
            " ".join(found["name"].strip("`").replace("\\", "").split()).lower(): found["address"].strip()
            for found in _TARGET.finditer(text)
        }
        self.inline = Inline(values, targets, titles)
        self._language = ""  # of code that tells none, as `highlight` set it
        self._numbers: dict[int, int] = {}  # of the last item of numbered lists, by indentation
        self._depth = 0

    def render(self, lines: Sequence[str]) -> str:
        """The text of a section without its heading; the addresses of its links are in `inline.links`."""
        self.inline.links, self._numbers = [], {}
        return "\n".join(self._render(_dedented(lines))).strip("\n")

    def _render(self, lines: Sequence[str]) -> list[str]:
        if self._depth == DEEPEST_NESTING:
            return list(lines)
        self._depth += 1
        rendered: list[str] = []
        position = 0
        while position < len(lines):
            if not lines[position].strip():
                position += 1
                continue
            block, position = self._block(lines, position)
            if block:
                rendered += ["", *block] if rendered else block
        self._depth -= 1
        return rendered

    def _block(self, lines: Sequence[str], start: int) -> tuple[list[str], int]:
        """The text of the block that begins at a line, and where it ends."""
        indent = _indent(lines[start])
        line = lines[start].strip()
        if _EXPLICIT.match(line):
            end = _explicit_end(lines, start, indent)
            return _indented(self._explicit(line, lines[start + 1 : end]), indent), end
        end = table_end(lines, start)
        if end > start:
            return _indented(self._table(_dedented(lines[start:end])), indent), end
        if line == ">>>" or line.startswith(">>> "):
            end = _doctest_end(lines, start)
            return _indented(_fence(lines[start:end], "pycon"), indent), end
        is_alone = start + 1 == len(lines) or not lines[start + 1].strip()
        if _TRANSITION.match(line) and line != "::::" and is_alone:
            return [], start + 1
        return self._paragraph(lines, start, indent)

    def _explicit(self, line: str, body: Sequence[str]) -> list[str]:
        """A directive, footnote, target or comment."""
        rest = (_EXPLICIT.match(line) or {"rest": ""})["rest"] or ""
        if line.startswith("__"):
            self.inline.remember(rest)
            return []
        directive = None if rest.startswith("|") else _DIRECTIVE.match(rest)
        if directive:
            return self._directive(directive["name"], directive["argument"] or "", body)
        note = _NOTE.match(rest)
        if note:
            label = note["label"].strip("#")
            text = self._render([note["text"] or "", *_dedented(body)])
            return [f"[{label}] {text[0]}" if label else text[0], *text[1:]] if text else []
        return []

    def _directive(self, name: str, argument: str, lines: Sequence[str]) -> list[str]:
        name = name.rpartition(":")[2].lower()
        options, head, body = _parts(lines)
        if name == "highlight":
            self._language = _language(argument)
        if name in known.HIDDEN:
            return []
        if name in known.CODE:
            return self._code(name, argument, options, [*head, *body])
        if name == "math":
            return ["$$", *([argument] if argument else []), *_dedented([*head, *body]), "$$"]
        if name in known.IMAGES:
            return [*([options["alt"], ""] if options.get("alt") else []), *self._render(_dedented([*head, *body]))]
        if name in known.VERSIONS:
            return self._version(known.VERSIONS[name], argument, [*head, *body])
        if name in known.LABELS:
            text = self._render([argument, *_dedented([*head, *body])])
            return _labelled(known.LABELS[name], text)
        if name in ("csv-table", "list-table"):
            return self._listed_table(name, argument, options, [*head, *body])
        if name in known.WRAPPERS or not argument:
            return self._render(_dedented([*head, *body]))
        titles = [argument, *(line.strip() for line in head)]
        prefix = known.PREFIXES.get(name, "")
        titles = [prefix + " ".join(self.inline.lines([title])).removesuffix("\\") for title in titles]
        text = self._render(_dedented(body))
        return [*titles, "", *text] if text else titles

    def _code(self, name: str, argument: str, options: dict[str, str], lines: Sequence[str]) -> list[str]:
        if name == "productionlist":
            language, lines = "", [re.sub(r"`([^`\s]+)`", r"\1", line) for line in lines]
        elif name == "parsed-literal":
            language, lines = "", self.inline.lines(lines)
        else:
            language = known.LANGUAGE_BY_DIRECTIVE.get(name, _language(argument) or self._language)
        caption = options.get("caption", "")
        code = _fence(lines, language)
        return [self.inline.line(caption), "", *code] if caption and code else code

    def _version(self, form: str, argument: str, body: Sequence[str]) -> list[str]:
        words = argument.split(maxsplit=form.count("{}"))
        versions = [word.rstrip(",:;") for word in words[: form.count("{}")]]
        label = form.format(*versions, *["?"] * (form.count("{}") - len(versions)))
        text = self._render([*words[form.count("{}") :], *_dedented(body)])
        return _labelled(label, text) if text else [f"{label}."]

    def _listed_table(self, name: str, title: str, options: dict[str, str], lines: Sequence[str]) -> list[str]:
        body = _dedented(lines)
        if name == "csv-table":
            rows: list[list[str]] | None = csv_rows(body, options.get("header", ""), options.get("delim", ","))
        else:
            rows = list_rows(body)
        table = self._rows(rows) if rows else self._render(body)
        return [self.inline.line(title), "", *table] if title else table

    def _table(self, lines: Sequence[str]) -> list[str]:
        rows = table_rows(lines)
        return self._rows(rows) if rows else _fence(lines, "")

    def _rows(self, rows: Sequence[Sequence[str]]) -> list[str]:
        return markdown_table([[self.inline.line(cell) for cell in row] for row in rows]).split("\n")

    def _paragraph(self, lines: Sequence[str], start: int, indent: int) -> tuple[list[str], int]:
        end = start + 1
        while end < len(lines) and lines[end].strip():
            end += 1
        if _LINE_OF_BLOCK.match(lines[start]):
            return self.inline.lines([_LINE_OF_BLOCK.sub(r"\1", line) for line in lines[start:end]]), end
        body_start = start + 1
        while body_start < end and _indent(lines[body_start]) == indent:
            body_start += 1
        is_field = _FIELD.match(lines[start]) is not None
        is_marked = is_field or _ITEM.match(lines[start]) or _OPTION_ITEM.match(lines[start])
        if not (is_marked or lines[start].endswith("::")) and body_start < end and _indent(lines[body_start]) > indent:
            return self._definition(lines, start, body_start, indent)
        shown_lines = _shown_fields(lines[start:end], indent) if is_field else lines[start:end]
        text = self._numbered("\n".join(shown_lines).rstrip(), indent)
        if not text.endswith("::"):
            return self.inline.text(text).split("\n") if text else [], end
        text = text[:-2].rstrip() if text[:-2].endswith((" ", "\n")) or text == "::" else text[:-1]
        shown = self.inline.text(text).split("\n") if text.strip() else []
        text_indent = _indent(lines[end - 1]) if is_field else _text_indent(lines[start:end])
        code, end = self._literal(lines, end, text_indent)
        return [*shown, *([""] if shown and code else []), *code], end

    def _numbered(self, text: str, indent: int) -> str:
        """The text with numbers for `#.`, which go on over the paragraphs of a list."""
        if not _AUTO_NUMBER.match(text):
            self._numbers = {place: number for place, number in self._numbers.items() if place < indent}

        def number(found: re.Match[str]) -> str:
            place = len(found[1])
            self._numbers[place] = self._numbers.get(place, 0) + 1
            return f"{found[1]}{self._numbers[place]}{found[2]} "

        return _AUTO_NUMBER.sub(number, text)

    def _definition(self, lines: Sequence[str], start: int, body_start: int, indent: int) -> tuple[list[str], int]:
        """Terms, and what they mean indented below; as the definition lists of Markdown."""
        end = _explicit_end(lines, body_start - 1, indent)
        body = self._render(_dedented(lines[body_start:end]))
        terms = self.inline.lines(lines[start:body_start])
        if not body:
            return terms, end
        space = " " * indent
        is_text = not body[0].startswith(("```", "| "))
        first = [f"{space}: {body[0]}"] if is_text else [f"{space}:", f"{space}  {body[0]}"]
        return [*terms, *first, *_indented(body[1:], indent + 2)], end

    def _literal(self, lines: Sequence[str], start: int, indent: int) -> tuple[list[str], int]:
        """The code below a paragraph that ends with two colons."""
        first = start
        while first < len(lines) and not lines[first].strip():
            first += 1
        if first == len(lines):
            return [], start
        end = first
        if _indent(lines[first]) > indent:
            end = _explicit_end(lines, first - 1, indent)
        elif _TRANSITION.match(lines[first].strip()[:1] * 4) and not _EXPLICIT.match(lines[first].strip()):
            mark = lines[first].strip()[0]
            while end < len(lines) and lines[end].lstrip().startswith(mark):
                end += 1
        return _indented(_fence(lines[first:end], self._language), indent), max(end, start)


def _shown_fields(lines: Sequence[str], indent: int) -> list[str]:
    """Lines of `name: text`, without those that only set something."""
    shown: list[str] = []
    for line in lines:
        field = _FIELD.match(line) if _indent(line) == indent else None
        if field is None:
            shown.append(line)
        elif field["name"].lower() not in known.HIDDEN_FIELDS:
            shown.append(f"{' ' * indent}{field['name']}: {field['text'] or ''}".rstrip())
    return shown


def _value(kind: str, text: str) -> str:
    """What stands for `|name|`."""
    text = text.partition("\n   :")[0] if kind == "unicode" else text
    if kind == "replace":
        return " ".join(text.split())
    codes = re.findall(r"(?:0x|U\+|\\?[ux])([0-9A-Fa-f]{2,5})\b", text) if kind == "unicode" else []
    return "".join(chr(int(code, 16)) for code in codes)


def _parts(lines: Sequence[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """The options of a directive, the other lines before the first blank one, and all behind it."""
    options: dict[str, str] = {}
    head: list[str] = []
    name = ""
    for number, line in enumerate(lines):
        if not line.strip():
            return options, head, list(lines[number:])
        option = _OPTION.match(line.strip())
        if option:
            name = option["name"]
            options[name] = (option["value"] or "").strip()
        elif name and _indent(line) > _indent(lines[0]):
            options[name] += f" {line.strip()}"
        else:
            head.append(line)
    return options, head, []


def _labelled(label: str, text: Sequence[str]) -> list[str]:
    """A label in front of a text, in a line of its own where the text begins with no paragraph."""
    if not text:
        return []
    if _ITEM.match(text[0]) or text[0].startswith(("```", "| ")) or (len(text) > 1 and text[1].startswith(": ")):
        return [f"{label}:", "", *text]
    return [f"{label}: {text[0]}", *text[1:]]


def _language(argument: str) -> str:
    name = argument.split()[0].lower() if argument.split() else ""
    name = known.LANGUAGES.get(name, name)
    return name if re.fullmatch(r"[\w+#.-]{0,30}", name) else ""


def _fence(lines: Sequence[str], language: str) -> list[str]:
    code = "\n".join(_DOCTEST_FLAGS.sub("", line).rstrip() for line in _dedented(lines)).strip("\n")
    return fenced(code, language).split("\n") if code else []


def _explicit_end(lines: Sequence[str], start: int, indent: int) -> int:
    """Where the lines end that are indented more than that, begun behind `start`; blank ones at the end stay out."""
    end = last = start + 1
    is_empty_comment = lines[start].strip() == ".." and end < len(lines) and not lines[end].strip()
    while not is_empty_comment and end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > indent):
        end += 1
        if lines[end - 1].strip():
            last = end
    return last


def _doctest_end(lines: Sequence[str], start: int) -> int:
    end = start
    while end < len(lines) and (
        lines[end].strip() or (end + 1 < len(lines) and lines[end + 1].lstrip().startswith(">>>"))
    ):
        end += 1
    return end


def _text_indent(lines: Sequence[str]) -> int:
    """Where the text of a paragraph begins, behind the mark of its last list item."""
    for line in reversed(lines):
        item = _ITEM.match(line)
        if item:
            return item.end()
    return _indent(lines[0])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _dedented(lines: Sequence[str]) -> list[str]:
    least = min((_indent(line) for line in lines if line.strip()), default=0)
    return [line[least:].rstrip() for line in lines]


def _indented(lines: Sequence[str], indent: int) -> list[str]:
    space = " " * indent
    return [space + line if line else "" for line in lines]
