"""Telephone numbers: international, behind a word such as "Tel.", or in a form that only telephones have.

Numbers are checked by the library phonenumbers, whose rules come from the numbering plans of all countries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from document_processing.private_data.hits import Hit, scan
from document_processing.word_lists import word_set

_GAP = r"[ .\-/()\u00a0\u2009\u202f\u2010\u2011\u2013]{0,3}"
_END = r"(?![0-9A-Za-z]|[.,:]\d)"
_INTERNATIONAL = re.compile(rf"(?<![\w+])(?:[+＋][ ]?\(?(?=[1-9])|(?<![.,/:-])00[ ]?(?=[1-9]))\d(?:{_GAP}\d){{6,15}}+")
_STRONG = (
    r"tele?phone|phone|tele?fon[a-zéóí]{0,6}|telefax|tel|tfn|tlf|tfno|puh|fax|téléphone|tél|teléfono|телефон[а-яіу]{0,3}"
    r"|тел|факс|τηλ[έεα-ω]{0,7}|טלפון|هاتف|تلفن|โทร|điện thoại|電話(?:番号)?|电话(?:号码)?|전화(?:번호)?|whatsapp|viber"
    r"|telemóvel|telemovel|telefoon|फ़ोन|फोन"
)
_WEAK = (
    r"mobile|mobil|mob|cell|cellular|celular|cellulare|móvil|movil|handy|gsm|ph|hp|call(?: (?:me|us))?(?: (?:on|at))?"
    r"|dial|ring|моб|携帯(?:電話)?|手机(?:号)?|手機|휴대폰|kom|numer|nummer|numero|número|contact no|sms"
)
_FOLLOWED_BY = r"(?:[ ]?(?:no|nr|num|number|номер|kom|mobile|office|home|work)\b)?"
_IN_CONTEXT = re.compile(
    rf"(?<![^\W_])(?<![.@/])(?:(?P<strong>(?i:{_STRONG}))|(?P<weak>(?i:{_WEAK})|[TFMP](?=:)))(?i:{_FOLLOWED_BY})"
    rf"[ \t.:：=#№\"'*_\[はがの\u00a0-]{{0,6}}(?P<number>\(?\d(?:{_GAP}\d){{5,14}}+){_END}"
)
_NO_PART_BEFORE = r"(?<![\w.,+/:$€£-])(?<!\d )"
# The first group tells the country; each is checked against the plans of the countries that write so.
_NATIONAL = re.compile(
    rf"{_NO_PART_BEFORE}(?:"
    r"(?P<nanp>(?:1[- ])?(?:\([2-9]\d\d\)[ ]?|[2-9]\d\d-)[2-9]\d\d-\d{4}|(?:1\.)?[2-9]\d\d\.[2-9]\d\d\.\d{4})"
    r"|(?P<zero>\(?0[1-9]\d{0,3}\)?[ -]\d{2,4}(?:[ -]\d{2,4}){1,3}(?<!\d{3}[ -]\d\d)"
    r"|0[1-9](?:[ .-]\d\d){4}|0[1-9]\d{3}[ ]\d{6})"
    r"|(?P<ru>8[ -]?\(?\d{3}\)?[ -]\d{3}-\d\d-\d\d)"
    r"|(?P<cn>1[3-9]\d(?P<gap>[ -])\d{4}(?P=gap)\d{4})"
    r"|(?P<br>\(\d\d\)[ ]?9?\d{4}-\d{4})"
    rf"){_END}(?![-/]\d|[ ]\d)"
)
_ZERO_REGIONS = tuple(sorted(word_set("GB FR UA JP KR SE AU CH TR NG IE ZA IL NL RO ID HU NZ DE AT BE FI EG PH TH VN")))
_REGIONS_OF_FORM = {"nanp": ("US",), "zero": _ZERO_REGIONS, "ru": ("RU", "KZ"), "cn": ("CN",), "br": ("BR",)}
_ALL_REGIONS = (*_ZERO_REGIONS, *sorted(word_set("US RU CN BR IN PL ES IT MX PT NO DK CZ GR SG AR CL CO HK SK BG")))
_DATE = re.compile(r"(?:19|20)\d\d[-./ ](?:0[1-9]|1[0-2])[-./ ]\d\d(?!\d)|\d\d?[-./]\d\d?[-./](?:19|20)\d\d(?!\d)")
_COUNTING = ("01 02 03", "02 03 04", "03 04 05", "04 05 06", "05 06 07", "06 07 08")  # bytes or a table
# Cut only at a space: what a hyphen joins is one number.
_LAST_GROUP = re.compile(r"[ /\u00a0\u2009\u202f]+[^ /\u00a0\u2009\u202f]*$")


def find(text: str) -> Iterator[Hit]:
    """The numbers in a text; the same place may be found in two ways."""
    for match in _INTERNATIONAL.finditer(text):
        end = _longest_international(match.group())
        if end:
            yield Hit(match.start(), match.start() + end, "PHONE")
    for match in _IN_CONTEXT.finditer(text):
        end = _longest_in_context(match["number"], strong=match["strong"] is not None)
        if end:
            yield Hit(match.start("number"), match.start("number") + end, "PHONE")
    for match in scan(_NATIONAL, text, _is_national):
        yield Hit(match.start(), match.end(), "PHONE")


def _longest_international(candidate: str) -> int:
    """How many characters of a candidate are a number: what follows it may be another one."""
    while True:
        digits = _digits(candidate.replace("(0)", ""))
        if len(digits) < 7:
            return 0
        if _is_valid("+" + digits.removeprefix("00"), None):
            return len(candidate)
        shorter = _LAST_GROUP.sub("", candidate)
        if shorter == candidate:
            return 0
        candidate = shorter


def _longest_in_context(number: str, *, strong: bool) -> int:
    if _DATE.match(number):
        return 0
    candidate = number
    while len(_digits(candidate)) >= 6:
        if any(_is_valid(_digits(candidate), region) for region in _ALL_REGIONS):
            return len(candidate)
        shorter = _LAST_GROUP.sub("", candidate)
        if shorter == candidate:
            break
        candidate = shorter
    return len(number) if strong else 0


def _is_national(match: re.Match[str]) -> bool:
    digits = _digits(match.group())
    if match.group().startswith(_COUNTING):
        return False
    regions = _REGIONS_OF_FORM[str(match.lastgroup)]
    return 9 <= len(digits) <= 11 and not _DATE.match(match.group()) and any(_is_valid(digits, r) for r in regions)


def _digits(text: str) -> str:
    return "".join(str(int(character)) for character in text if character.isdecimal())


@lru_cache(maxsize=16_384)
def _is_valid(digits: str, region: str | None) -> bool:
    import phonenumbers

    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(digits, region)))
    except phonenumbers.NumberParseException:
        return False
