"""Numbers that stand for a person or an account: IBAN, payment cards, national numbers.

Only what passes its checksum is taken. A number whose form and checksum many other numbers share is taken
only behind a word that names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

from document_processing.private_data.hits import Hit, scan

_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d(?:[ \u00a0-]?[A-Za-z0-9]){11,30}+")
_ALPHANUMERIC = re.compile(r"[A-Za-z0-9]")

_CARD = re.compile(
    r"(?<![\w.,-])(?:\d{4}(?P<mark>[ \u00a0-])"
    r"(?:\d{4}(?P=mark)\d{4}(?P=mark)\d{4}(?:(?P=mark)\d{3})?|\d{6}(?P=mark)\d{4,5})"
    r"|[2-6]\d{12,18})(?![\w-]|[.,]\d)"
)
_NETWORKS = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|62\d{14,17}|220[0-4]\d{12}"
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}"
)
_CARD_WORD = re.compile(r"(?i:card|visa|karte|carte|tarjeta|карт|カード|卡)")
_COMMON_LENGTHS = (14, 15, 16)  # 13 is an EAN as well, 19 any large number: there a word must stand beside it

WORDS_BEFORE = 48  # characters in which a word that names the number is looked for


class Rule(NamedTuple):
    """A national number: its form, the module of python-stdnum that checks it, and words that must stand before."""

    form: str
    check: str | None
    words: str | None = None


_RULES = (
    Rule(r"\d{3}-\d{2}-\d{4}", "us.ssn"),
    Rule(r"\d{9}", "us.ssn", r"\bssn\b|social security"),
    Rule(r"\d{3}[ -]\d{3}[ -]\d{3}|\d{9}", "ca.sin", r"\bsin\b|social insurance|\bnas\b"),
    Rule(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] \d\d \d\d \d\d [A-D]", None),
    Rule(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]", None, r"national insurance|\bnino\b|\bni (?:no|number)"),
    Rule(r"\d{3}[ -]\d{3}[ -]\d{4}|\d{10}", "gb.nhs", r"\bnhs\b"),
    Rule(r"[12] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", "fr.nir"),
    Rule(r"\d{8}-?[A-Z]", "es.dni"),
    Rule(r"[XYZ]-?\d{7}-?[A-Z]", "es.nie"),
    Rule(r"[A-Z]{6}[0-9A-Z]{2}[A-Z]\d\d[A-Z][0-9A-Z]{3}[A-Z]", "it.codicefiscale"),
    Rule(r"\d{11}", "pl.pesel", r"pesel"),
    Rule(r"\d{2} ?\d{3} ?\d{3} ?\d{3}", "de.idnr", r"steuer|\bidnr|\btin\b"),
    Rule(r"\d{9}|\d{4}\.\d{2}\.\d{3}", "nl.bsn", r"\bbsn\b|burgerservice|sofi"),
    Rule(r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d", "be.nn"),
    Rule(r"756\.?\d{4}\.?\d{4}\.?\d\d", "ch.ssn"),
    Rule(r"(?:\d\d)?\d{6}[-+]\d{4}", "se.personnummer"),
    Rule(r"\d{6}[-+A]\d{3}[0-9A-Z]", "fi.hetu"),
    Rule(r"\d{6} ?\d{5}", "no.fodselsnummer"),
    Rule(r"\d{6}-\d{4}|\d{10}", "dk.cpr", r"\bcpr\b|personnummer"),
    Rule(r"\d{6}/\d{4}", "cz.rc"),
    Rule(r"\d{3}\.\d{3}\.\d{3}-\d\d", "br.cpf"),
    Rule(r"\d{11}", "br.cpf", r"\bcpf\b"),
    Rule(r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d", "mx.curp"),
    Rule(r"(?:20|2[3-7]|30)-\d{8}-\d", "ar.cuit"),
    Rule(r"\d{1,2}\.\d{3}\.\d{3}-[0-9Kk]", "cl.rut"),
    Rule(r"\d{17}[0-9Xx]", "cn.ric"),
    Rule(r"\d{4} ?\d{4} ?\d{4}", "in_.aadhaar", r"aadhaar|\buid(?:ai)?\b|आधार"),
    Rule(r"[A-Z]{5}\d{4}[A-Z]", "in_.pan", r"\bpan\b|permanent account"),
    Rule(r"\d{6}-\d{7}", "kr.rrn"),
    Rule(r"\d{11}", "tr.tckimlik", r"kimlik|\btckn?\b|\bt\.c\."),
    Rule(r"\d{13}|\d{6} \d{4} \d{3}", "za.idnr", r"\bid\b|identity"),
    Rule(r"\d{12}", "ru.inn", r"инн"),
    Rule(r"\d{10}", "ua.rntrc", r"іпн|рнокпп|податков"),
    Rule(r"\d{3} ?\d{3} ?\d{3}", "au.tfn", r"\btfn\b|tax file"),
    Rule(r"\d{3} ?\d{3} ?\d{3}", "pt.nif", r"\bnif\b|contribuinte"),
    Rule(r"\d{7}[A-W][A-IW]?", "ie.pps", r"\bppsn?\b"),
    Rule(r"\d{13}", "ro.cnp", r"\bcnp\b"),
    Rule(r"\d{10}", "bg.egn", r"\begn\b|егн"),
)
# Longer forms first: one may be the beginning of another.
_NATIONAL = re.compile(
    r"(?<![\w.,/+-])(?=[0-9A-Z])(?:"
    + "|".join(sorted({rule.form for rule in _RULES}, key=len, reverse=True))
    + r")(?![\w/]|[.,-]\d)"
)


def find(text: str) -> Iterator[Hit]:
    """The numbers in a text: IBAN, cards, national numbers."""
    for match in scan(_IBAN, text, lambda match: _iban_length(match.group()) > 0):
        yield Hit(match.start(), match.start() + _iban_length(match.group()), "IBAN")
    for match in scan(_CARD, text, _is_card):
        yield Hit(match.start(), match.end(), "CARD")
    for match in scan(_NATIONAL, text, _is_national):
        yield Hit(match.start(), match.end(), "ID")


def _iban_length(candidate: str) -> int:
    """How many characters of a candidate are an IBAN; 0 when none are."""
    length = _iban_lengths().get(candidate[:2].upper(), 0)
    places = [match.start() for match in _ALPHANUMERIC.finditer(candidate)]
    if not length or len(places) < length:
        return 0
    end = places[length - 1] + 1
    number = candidate[:end]
    if candidate[end : end + 1].isalnum() or not (number.isupper() or number.islower()):
        return 0
    number = number.upper().replace("\u00a0", " ")
    return end if _module("iban").is_valid(number, check_country=False) else 0


@lru_cache(maxsize=1)
def _iban_lengths() -> dict[str, int]:
    from stdnum import numdb

    countries = {}
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for country in (first + second for first in letters for second in letters):
        structure = numdb.get("iban").info(country)[0][1].get("bban", "")
        if structure:
            countries[country] = 4 + sum(int(count) for count in re.findall(r"(\d+)!", structure))
    return countries


def _is_card(match: re.Match[str]) -> bool:
    text = match.group()
    digits = "".join(filter(str.isdecimal, text))
    if not _NETWORKS.fullmatch(digits) or not _passes("luhn", digits):
        return False
    around = match.string[max(0, match.start() - WORDS_BEFORE) : match.end() + WORDS_BEFORE]
    return bool(match["mark"]) or len(digits) in _COMMON_LENGTHS or _CARD_WORD.search(around) is not None


def _is_national(match: re.Match[str]) -> bool:
    number = match.group()
    before = match.string[max(0, match.start() - WORDS_BEFORE) : match.start()].casefold()
    return any(
        re.fullmatch(rule.form, number)
        and (rule.words is None or re.search(rule.words, before))
        and (rule.check is None or _passes(rule.check, number))
        for rule in _RULES
    )


def _passes(check: str, number: str) -> bool:
    """Whether the module of python-stdnum finds the number right."""
    return bool(_module(check).is_valid(number))


@lru_cache(maxsize=64)
def _module(name: str) -> Any:
    return import_module(f"stdnum.{name}")
