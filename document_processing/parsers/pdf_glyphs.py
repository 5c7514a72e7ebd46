"""Characters of fonts that do not say what they mean.

The mathematical fonts of TeX hold no table from their codes to Unicode, so their symbols come out as control
characters. The codes are those of the encoding OMS (D. E. Knuth, Computer Modern Typefaces, 1986).
"""

from __future__ import annotations

import re

UNNAMED = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f]")

_OMS = (
    "\u2212\u00b7\u00d7\u2217\u00f7\u22c4\u00b1\u2213\u2295\u2296\u2297\u2298\u2299\u25cb\u2218\u2022"
    "\u224d\u2261\u2286\u2287\u2264\u2265\u2aaf\u2ab0\u223c\u2248\u2282\u2283\u226a\u226b\u227a\u227b"
)
_SCRIPT_FONT = re.compile(r"CMSY[5-7]$")
# Babel draws French quotation marks with the smallest "much less" and "much greater".
_QUOTES = {"\x1c": "\u00ab", "\x1d": "\u00bb"}


def symbol_of(character: str, font: str) -> str:
    """What a control character of a TeX font means, or the character itself where that is not known."""
    name = font.rpartition("+")[2].upper()
    if not name.startswith("CMSY"):
        return character
    if _SCRIPT_FONT.match(name) and character in _QUOTES:
        return _QUOTES[character]
    return _OMS[ord(character)]
