"""IP and MAC addresses.

Addresses that name no one's machine (loopback, unspecified, netmasks) are left, and so are version numbers
and section numbers of the same form.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from document_processing.private_data.hits import Hit

_IPV4 = re.compile(r"(?<![\w.])(?<!\D-)(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d|-[A-Za-z]|-\d{1,3}(?![\d.]))")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f]{1,4}:|::)[0-9A-Fa-f:]{3,39}+(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])")
_MAC = re.compile(
    r"(?<![\w:.-])[0-9A-Fa-f]{2}(?P<mark>[:-])(?:[0-9A-Fa-f]{2}(?P=mark)){4}[0-9A-Fa-f]{2}(?![\w:-])"
    r"|(?<![\w:.-])(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}(?![\w:]|\.\w)"
)
_VERSION_BEFORE = re.compile(
    r"(?i:(?:\b(?:v|ver|version|release|rel|build|kernel|firmware|revision|rev|section|chapter|clause|table|figure|"
    r"версия|версія)\b|§|バージョン|版本)[.:=\s]{0,3})$"
)
# Words that make a public address less likely than a version; an address of one's own network stays one.
_CHANGES_BEFORE = re.compile(
    r"(?i:\b(?:(?:up|down)grad|updat|releas|patch|deps\b|versions?\b|fixed in|fixes (?:in|since)|since$|RFC\s?\d|see$))"
)
_VERSION_AFTER = re.compile(r"(?i:[ ](?:build|release|version)\b)")
_HEADING_AFTER = re.compile(r"[ \t]+[^\W\d_a-zа-яё]")
_LARGEST_SECTION = 30
_CARRIERS = [
    ipaddress.ip_network(net) for net in ("2000::/3", "fc00::/7", "fe80::/10", "64:ff9b::/96", "::ffff:0:0/96")
]


def find(text: str) -> Iterator[Hit]:
    """The addresses in a text, IPv4, then IPv6, then MAC."""
    for match in _IPV4.finditer(text):
        if _names_a_machine(match.group()) and not _is_version(text, match):
            yield Hit(match.start(), match.end(), "IP")
    for match in _IPV6.finditer(text):
        end = match.end() - (match.group().endswith(":") and not match.group().endswith("::"))
        if _is_ipv6(text[match.start() : end]):
            yield Hit(match.start(), end, "IP")
    for match in _MAC.finditer(text):
        digits = set(match.group().lower()) - set(":-.")
        if digits not in ({"0"}, {"f"}) and (match["mark"] or not match.group().replace(".", "").isdigit()):
            yield Hit(match.start(), match.end(), "MAC")


def _names_a_machine(text: str) -> bool:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return not (address.is_loopback or text.startswith(("0.", "255.")))


def _is_own(text: str) -> bool:
    return ipaddress.IPv4Address(text).is_private


def _is_version(text: str, match: re.Match[str]) -> bool:
    if _VERSION_BEFORE.search(text, max(0, match.start() - 16), match.start()) or _VERSION_AFTER.match(
        text, match.end()
    ):
        return True
    line_start = text.rfind("\n", max(0, match.start() - 60), match.start()) + 1 or max(0, match.start() - 60)
    if _CHANGES_BEFORE.search(text[line_start : match.start()].rstrip()) and not _is_own(match.group()):
        return True
    begins_line = not text[text.rfind("\n", max(0, match.start() - 8), match.start()) + 1 : match.start()].strip(
        " #*\t"
    )
    begins_line = begins_line and (match.start() < 8 or "\n" in text[match.start() - 8 : match.start()])
    small = all(int(part) < _LARGEST_SECTION for part in match.group().split("."))
    return bool(begins_line and small and _HEADING_AFTER.match(text, match.end()))


def _is_ipv6(text: str) -> bool:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return any(address in network for network in _CARRIERS)
