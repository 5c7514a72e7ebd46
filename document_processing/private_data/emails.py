"""E-mail addresses, also quoted, international, percent-encoded and spelled `name [at] example [dot] org`.

Every address is looked for from its at sign: at most 64 characters before it and ten labels behind it are
read, so the time is linear in the text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from document_processing.private_data.domains import is_top_level_domain
from document_processing.private_data.hits import Hit, is_spaceless

LONGEST_LOCAL_PART = 64  # RFC 5321, section 4.5.3.1.1
_AT = re.compile(
    r"[@＠]|%40|&#(?:64|x40);"
    r"|(?P<bracket>[ \t]?[\[({<][ \t]?(?:at|AT|@)[ \t]?[\])}>][ \t]?)"
    r"|(?P<word>[ ]AT[ ])"
)
_LOCAL_BACKWARDS = re.compile(r"[\w.+'&%!#$*^~-]++")
_QUOTED_BACKWARDS = re.compile(r'"[^"\n]{1,62}"(?!\w)')
_BEFORE_LOCAL = "'&%!#$*^~.-_"
_DOT = r"(?:\.|[ ]?[\[({][ ]?(?:dot|DOT|\.)[ ]?[\])}][ ]?)"
_ASCII_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_ASCII_DOMAIN = re.compile(rf"{_ASCII_LABEL}(?:{_DOT}{_ASCII_LABEL}){{1,9}}")
_DOMAIN = re.compile(rf"{_LABEL}(?:{_DOT}{_LABEL}){{1,9}}")
_SPOKEN_DOMAIN = re.compile(rf"{_LABEL}(?: DOT {_LABEL}){{1,9}}")
_SEPARATOR = re.compile(rf"{_DOT}| DOT ")
_GLUED = re.compile(r"[A-Za-z]+(?=[^A-Za-z])")  # `com` of `comで`
_LITERAL = re.compile(r"\[(?:IPv6:)?(?P<address>[0-9A-Fa-f.:]{3,45})\]")
# `git@host:group/project`, and a call or an index in a program: `a@b.it(0)`.
_NO_ADDRESS_AFTER = re.compile(r":(?:~|[\w.~-]{0,100}/|[\w.-]{1,100}\.git\b)|\(|\[\d")
_CREDENTIALS_BEFORE = re.compile(r"://[^\s/@]{0,100}$")
_PICTURE_SCALE = re.compile(r"\d+x\.")  # icon@2x.zip


def find(text: str) -> Iterator[Hit]:
    """The addresses in a text, in order."""
    position = 0
    for at in _AT.finditer(text):
        start = _local_start(text, position, at.start())
        if start is None:
            continue
        end = _domain_end(text, at)
        if (
            end is None
            or _NO_ADDRESS_AFTER.match(text, end)
            or _CREDENTIALS_BEFORE.search(text, max(0, start - 110), start)
        ):
            continue
        yield Hit(start, end, "EMAIL")
        position = end


def _local_start(text: str, least: int, at: int) -> int | None:
    least = max(least, at - LONGEST_LOCAL_PART)
    before = text[least:at][::-1]
    if quoted := _QUOTED_BACKWARDS.match(before):
        return at - quoted.end()
    found = _LOCAL_BACKWARDS.match(before)
    if not found or before[0] == ".":
        return None
    local = found.group()[::-1]
    if len(local) == LONGEST_LOCAL_PART and least and text[least - 1].isalnum():
        return None  # a run of characters that is too long for a name
    if local[-1].isascii():
        # `联系name@example.com`: the words around it are not its part.
        glued = next((i for i in range(len(local) - 1, -1, -1) if is_spaceless(local[i])), -1)
        local = local[glued + 1 :]
    local = local.lstrip(_BEFORE_LOCAL)
    return at - len(local) if local else None


def _domain_end(text: str, at: re.Match[str]) -> int | None:
    if at["word"]:
        return _end_of_known(text, _SPOKEN_DOMAIN.match(text, at.end()))
    if literal := _LITERAL.match(text, at.end()):
        return literal.end() if _is_ip(literal["address"]) else None
    if _PICTURE_SCALE.match(text, at.end()):
        return None
    found = _ASCII_DOMAIN.match(text, at.end())
    following = text[found.end() : found.end() + 1] if found else ""
    if found and (not following.isalpha() or is_spaceless(following)):
        return _end_of_known(text, found)
    return _end_of_known(text, _DOMAIN.match(text, at.end()))


def _end_of_known(text: str, found: re.Match[str] | None) -> int | None:
    """Where the domain ends, without words that follow it after a dot: `a@b.org.Then`."""
    if not found:
        return None
    borders = [border.span() for border in _SEPARATOR.finditer(text, found.start(), found.end())]
    end = found.end()
    for start_of_dot, end_of_dot in reversed(borders):
        label = text[end_of_dot:end]
        if is_top_level_domain(label):
            return end
        glued = _GLUED.match(label)
        if glued and is_spaceless(label[glued.end()]) and is_top_level_domain(glued.group()):
            return end_of_dot + glued.end()
        end = start_of_dot
    return None


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
