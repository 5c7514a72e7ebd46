"""Web addresses: with a scheme, beginning with `www.`, or a bare host with a path (`example.com/page`)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from document_processing.private_data.domains import is_top_level_domain
from document_processing.private_data.hits import Hit
from document_processing.word_lists import word_set

_SCHEMES = r"(?i:https?|ftps?|sftp|ssh|git|wss?)"
# A quotation mark belongs to an address only inside a word; East Asian marks never do.
_CHARACTER = r"(?:[^\s<>\"'`|\\^«»“”‘’„…、。，；：！？「」『』（）【】《》〈〉]|'(?=\w))"
_HOST = r"(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,8}[A-Za-z]{2,24}"
_RUN = re.compile(rf"{_CHARACTER}*+")
_START = re.compile(
    rf"(?<![A-Za-z0-9]){_SCHEMES}://(?=[\w\[])"
    rf"|(?<![\w.@/:%-])(?P<www>www\d?\.{_HOST})(?![\w-])(?::\d{{2,5}})?"
    rf"|(?<![\w.@/:%$#=-])(?P<bare>(?:[a-z0-9][a-z0-9-]{{0,62}}\.){{1,8}}[a-z]{{2,24}})(?=/[\w~#?@%+-])"
)
# `k8s.io/api/core/v1.PersistentVolume` is a name in a Go program.
LONGEST_NAME = 300
_PROGRAM_NAME = re.compile(r"/[\w-]++/(?:[\w.-]++/)*+[a-z0-9_]++\.(?:\(\*)?[A-Za-z]*[A-Z][a-z][\w.()*]*$")
_BRACKET = re.compile(r"[()\[\]{}]")
_CLOSING = {")": "(", "]": "[", "}": "{"}
_AFTER = ".,;:!?'*_~([{"
# Bare hosts only under endings that are no endings of files and no words of programs.
_BARE_ENDINGS = word_set("com org net edu gov mil int info biz app dev xyz shop blog site online cloud tech")
_FILE_ENDINGS = word_set("md py rs sh pl so cc ps ai mm mk ml st in is do am pm as ad")


def find(text: str) -> Iterator[Hit]:
    """The addresses in a text, in order."""
    position = run_end = 0
    while match := _START.search(text, position):
        position = end = match.end()
        if not match["www"] or text.startswith(("/", "?", "#"), end):
            if end >= run_end:  # several addresses may stand in one run: `[a](https://a.org)[b](https://b.org)`
                run_end = _run_end(text, end)
            end = _end(text, match.start(), run_end)
        if end < position or (match["bare"] and not _is_bare_address(text, match, end)):
            continue
        yield Hit(match.start(), end, "URL")
        position = end


def _run_end(text: str, start: int) -> int:
    run = _RUN.match(text, start)
    return run.end() if run else start


def _is_bare_address(text: str, match: re.Match[str], end: int) -> bool:
    path = text[match.end() + 1 : match.end() + 64]
    if not _is_bare_host(match["bare"], path):
        return False
    return end - match.end() > LONGEST_NAME or not _PROGRAM_NAME.match(text, match.end(), end)


def _is_bare_host(host: str, path: str) -> bool:
    first, _, rest = host.partition(".")
    ending = rest.rpartition(".")[2]
    known = ending in _BARE_ENDINGS or (
        len(ending) == 2 and ending not in _FILE_ENDINGS and is_top_level_domain(ending)
    )
    # `self.io/self.name` are two names of a program.
    return known and not path.startswith(first + ".")


def _end(text: str, start: int, end: int) -> int:
    """The end without a bracket that was opened before, and without marks of the sentence."""
    depth = {"(": 0, "[": 0, "{": 0}
    for bracket in _BRACKET.finditer(text, start, end):
        opening = _CLOSING.get(bracket.group())
        if opening is None:
            depth[bracket.group()] += 1
        elif depth[opening] == 0:
            end = bracket.start()
            break
        else:
            depth[opening] -= 1
    while end > start and text[end - 1] in _AFTER:
        end -= 1
    return end
