"""Keys, tokens and passwords: forms that well-known services use, and values of assignments that look random."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from document_processing.private_data.hits import Hit

# What a key begins with, and the key as a whole. The text is searched for the beginning first, which is fast.
_FORMS = tuple(
    (start, re.compile(rf"(?<![A-Za-z0-9_-]){start}{rest}(?![A-Za-z0-9_])"))
    for start, rest in (
        ("AKIA", r"[A-Z0-9]{16}"),  # Amazon Web Services
        ("ASIA", r"[A-Z0-9]{16}"),
        ("AIza", r"[\w-]{35}"),  # Google
        ("ya29.", r"[\w-]{20,}+"),
        ("GOCSPX-", r"[\w-]{20,}+"),
        *((f"gh{letter}_", r"[A-Za-z0-9]{30,255}+") for letter in "pousr"),  # GitHub
        ("github_pat_", r"\w{22,255}+"),
        ("glpat-", r"[\w-]{20,}+"),  # GitLab
        ("hf_", r"[A-Za-z0-9]{30,}+"),  # Hugging Face
        ("sk-", r"(?=[\w-]{0,200}\d)[\w-]{20,}+"),  # OpenAI, Anthropic and many that follow them
        *((f"{kind}_{mode}_", r"[A-Za-z0-9]{16,}+") for kind in ("sk", "rk") for mode in ("live", "test")),  # Stripe
        ("whsec_", r"[A-Za-z0-9+/=]{20,}+"),
        *((f"xox{letter}-", r"[A-Za-z0-9-]{10,}+") for letter in "abeprs"),  # Slack
        ("npm_", r"[A-Za-z0-9]{36}"),
        ("pypi-", r"[\w-]{50,}+"),
        ("SG.", r"[\w-]{16,}+\.[\w-]{16,}+"),  # SendGrid
        ("shpat_", r"[0-9a-f]{32}"),
        ("dop_v1_", r"[0-9a-f]{64}"),
        ("dckr_pat_", r"[\w-]{20,}+"),
        ("gsk_", r"[A-Za-z0-9]{40,}+"),
        ("xai-", r"[A-Za-z0-9]{40,}+"),
        ("AGE-SECRET-KEY-1", r"[A-Z0-9]{50,}+"),
        ("eyJ", r"[\w-]{10,}+\.[\w-]{10,}+\.[\w-]*+"),  # JSON Web Token
    )
)
_TELEGRAM = re.compile(r"(?<![\w:])\d{8,10}:AA[\w-]{31,35}+(?![\w-])")
_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_END = "-----END "
_BLOCK_BODY = re.compile(r"(?:(?:\\n|[ \t>])*+(?:\n[ \t>]*+)?[A-Za-z0-9+/=]{16,}+)*+")
_LONGEST_BLOCK = 65_536
_PASSWORD_IN_ADDRESS = re.compile(r"://[^\s:/@\"'`]{0,64}:(?P<value>[^\s/@\"'`]{3,128})@")
_BEARER = re.compile(r"(?i:\b(?:bearer|basic))[ ]{1,2}(?P<value>[A-Za-z0-9._~+/=-]{16,2048}+)")
_ASSIGNMENT = re.compile(
    r"(?:(?P<password>(?i:passwo?r?d|passwd|passphrase|pwd|пароль|contraseña|passwort|kennwort))"
    r"|(?i:api[_-]?key|secret[_-]?key|access[_-]?key|private[_-]?key|account[_-]?key|encryption[_-]?key|signing[_-]?key"
    r"|secret|token|credentials?))"
    r"[\"']?[ \t]{0,4}(?::=|=>|[:=]{1,2})[ \t]{0,4}"
    r"(?:\"(?P<double>[^\"\s]{8,512})\"|'(?P<single>[^'\s]{8,512})'|(?P<plain>[^\s\"'`,;<>(){}\[\]|]{8,512}+)(?![(\[{]))"
)
# Least length, and least bits a character.
_PASSWORD = (8, 2.5)
_TOKEN = (16, 3.0)
_PLACEHOLDER = re.compile(r"(?i:your|example|change.?me|placeholder|xxxx|\*\*\*|\.\.\.|\$\{|\{\{|<|env\[|environ)")


def find(text: str) -> Iterator[Hit]:
    """The keys in a text, form by form."""
    for start, pattern in _FORMS:
        yield from _find_form(text, start, pattern)
    yield from _find_blocks(text)
    for match in _TELEGRAM.finditer(text):
        yield Hit(match.start(), match.end(), "KEY")
    if "://" in text:
        for match in _PASSWORD_IN_ADDRESS.finditer(text):
            yield Hit(*match.span("value"), "KEY")
    for match in _BEARER.finditer(text):
        if _is_random(match["value"], *_TOKEN):
            yield Hit(*match.span("value"), "KEY")
    for match in _ASSIGNMENT.finditer(text):
        group = next(name for name in ("double", "single", "plain") if match[name])
        value = match[group].rstrip(".")
        if _is_random(value, *(_PASSWORD if match["password"] else _TOKEN)):
            yield Hit(match.start(group), match.start(group) + len(value), "KEY")


def _find_form(text: str, start: str, pattern: re.Pattern[str]) -> Iterator[Hit]:
    position = text.find(start)
    while position >= 0:
        match = pattern.match(text, position)
        if match:
            yield Hit(position, match.end(), "KEY")
        position = text.find(start, match.end() if match else position + 1)


def _find_blocks(text: str) -> Iterator[Hit]:
    """Private keys in PEM form, also those that are cut off; never across the fence of a code block."""
    end = -1
    for begin in _BLOCK.finditer(text):
        if end < begin.end():
            end = text.find(_BLOCK_END, begin.end())
        if end < 0:
            end = len(text)
        last = text.find("-----", end + len(_BLOCK_END), end + 80)
        whole = end < len(text) and last > 0 and end - begin.end() < _LONGEST_BLOCK
        if whole and "```" not in text[begin.end() : end] and not _BLOCK.search(text, begin.end(), end):
            yield Hit(begin.start(), last + 5, "KEY")
        else:
            body = _BLOCK_BODY.match(text, begin.end())
            yield Hit(begin.start(), body.end() if body else begin.end(), "KEY")


def _is_random(value: str, least_length: int, least_entropy: float) -> bool:
    """Letters and digits without the pattern of a word, a placeholder or a piece of program."""
    if len(value) < least_length or _PLACEHOLDER.search(value):
        return False
    if not any(c.isdigit() for c in value) or not any(c.isalpha() for c in value):
        return False
    return _entropy(value) >= least_entropy


def _entropy(value: str) -> float:
    """Bits a character (Shannon)."""
    counts = Counter(value)
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
