"""Inline marks of reStructuredText: what a reader sees of roles, literals, emphasis and references.

As Sphinx shows them: `:func:`~os.path.join`` is join(), `:ref:`Titles <label>`` is Titles, `:pep:`8`` is PEP 8.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from document_processing.word_lists import word_set

MOST_LINKS = 100  # remembered of one section
# An opening mark that nothing closes is looked for up to the end of its paragraph.
MOST_MARKS = 4_000
LONGEST_PARAGRAPH = 200_000  # characters

_FUNCTION_ROLES = word_set("func meth function method")
_NUMBER_NAMES = {"pep": "PEP ", "rfc": "RFC ", "issue": "#", "gh": "#", "pull": "#", "pr": "#", "ticket": "#"}
_SHORTENED = word_set(
    "mod func data const class meth attr exc obj any method function macro type member enum enumerator var expr "
    "struct union term attribute module exception"
)
_PLAIN_TEXT = r"(?:[^`\\]|\\[\s\S])*?(?:[^`\s\\]|\\\S)"
_MARK = re.compile(r"[`*_|\\]")
_INLINE = re.compile(
    r"\\(?P<escaped>[\s\S])"
    r"|(?<![\w`])``(?P<literal>\S(?:[\s\S]*?\S)??)``(?!`)"
    rf"|(?<![\w`]):(?P<role>[A-Za-z][\w.+-]*(?::[\w.+-]+)*):`(?P<argument>{_PLAIN_TEXT})`"
    rf"|(?<![\w`])_?`(?P<quoted>{_PLAIN_TEXT})`(?::(?P<role_behind>[A-Za-z][\w.+-]*):)?(?P<is_link>_{{1,2}})?"
    r"|(?<![\w*])\*\*(?=\S)(?P<bold>(?:[^*\n]|\*(?!\*)|\n(?!\s*\n))*?\S)\*\*(?![\w*])"
    r"|(?<![\w*.])\*(?=[^\s*])(?P<emphasis>(?:[^*\n\\]|\\.|\n(?!\s*\n))*?[^\s*\\])\*(?![\w*])"
    r"|\[(?P<note>\#?[\w.-]*|\*)\]_(?!\w)"
    r"|(?<![\w|])\|(?P<substitution>[^\s|](?:[^|\n]{0,60}[^\s|])?)\|(?:_{1,2}(?!\w))?"
    r"|(?<![\w`])(?P<reference>[A-Za-z0-9](?:[\w.+-]{0,80}[A-Za-z0-9])?)_{1,2}(?![\w*`=(\[])"
)
_TITLED = re.compile(r"(?P<title>[\s\S]*?\S)\s*<(?P<target>[^<>]+)>", re.DOTALL)


class Inline:
    """Turns the text of one file into what a reader sees.

    Args:
        values: what stands for `|name|`.
        targets: addresses by the names, in lower case, that the file gives them.
        titles: what stands at a label, in lower case.
    """

    def __init__(self, values: dict[str, str], targets: dict[str, str], titles: dict[str, str]) -> None:
        self._values: dict[str, str] = {}
        self._targets, self._titles = targets, titles
        self.links: list[str] = []
        self._values = {name: self.text(value) for name, value in values.items()}

    def text(self, text: str) -> str:
        """A paragraph without its marks; collects the addresses of its links in `links`."""
        marks = sum(1 for _ in _MARK.finditer(text))
        if marks == 0 or marks > MOST_MARKS or len(text) > LONGEST_PARAGRAPH:
            return text
        return _INLINE.sub(self._seen, text)

    def line(self, text: str) -> str:
        """The same on one line."""
        return " ".join(self.text(text).split())

    def lines(self, lines: Sequence[str]) -> list[str]:
        """The same line by line; marks may reach over line ends."""
        return self.text("\n".join(lines)).split("\n")

    def remember(self, address: str) -> None:
        """Add the address of a link."""
        address = "".join(address.split())
        is_address = "://" in address or address.startswith("mailto:")
        if is_address and address not in self.links and len(self.links) < MOST_LINKS:
            self.links.append(address)

    def _seen(self, found: re.Match[str]) -> str:
        if found["escaped"] is not None:
            return "" if found["escaped"].isspace() else found["escaped"]
        if found["role"] is not None:
            return self._role(found["role"], found["argument"])
        if found["quoted"] is not None:
            return self._quoted(found)
        if found["substitution"] is not None:
            return self._values.get(found["substitution"], found.group())
        if found["reference"] is not None:
            return self._reference(found)
        if found["note"] is not None:
            return f"[{found['note'].lstrip('#')}]" if found["note"].strip("#") else ""
        if found["bold"] is not None:
            return self.text(found["bold"])
        return _unescaped(found["emphasis"]) if found["emphasis"] is not None else found["literal"]

    def _quoted(self, found: re.Match[str]) -> str:
        if found["role_behind"]:
            return self._role(found["role_behind"], found["quoted"])
        titled = _TITLED.fullmatch(found["quoted"]) if found["is_link"] else None
        if titled:
            self.remember(self._targets.get(titled["target"].rstrip("_").lower(), titled["target"]))
            return _unescaped(titled["title"])
        if found["is_link"]:
            self.remember(self._targets.get(" ".join(found["quoted"].split()).lower(), ""))
        return _unescaped(found["quoted"])

    def _reference(self, found: re.Match[str]) -> str:
        """`name_` is a link only where the file says what the name is; else it may be a variable."""
        name = found["reference"].lower()
        if name not in self._targets:
            return found.group()
        self.remember(self._targets[name])
        return found["reference"]

    def _role(self, role: str, argument: str) -> str:
        name = role.rpartition(":")[2].lower()
        titled = _TITLED.fullmatch(argument)
        if titled and name not in ("math", "samp", "code", "file", "kbd", "regexp"):
            return _unescaped(titled["title"])
        if name == "math":
            return f"${argument}$"
        if name == "raw":
            return ""
        text = _unescaped(argument).removeprefix("!")
        if name in ("ref", "numref"):
            return self._titles.get(text.lower(), text)
        if name in _NUMBER_NAMES and text[:1].isdigit():
            return _NUMBER_NAMES[name] + text
        if name in _SHORTENED and text.startswith("~"):
            text = text[1:].rpartition(".")[2]
        if name in _FUNCTION_ROLES and text and not text.endswith(")"):
            return f"{text}()"
        return text.replace("-->", "→") if name == "menuselection" else text


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\s\S])", lambda found: "" if found[1].isspace() else found[1], text)
