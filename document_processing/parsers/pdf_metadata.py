"""What a PDF file says about itself: title, author, dates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from document_processing.text_cleaning import clean_text

LONGEST_INFORMATION = 500  # characters of one entry

_INFORMATION_KEYS = {
    "Author": "author",
    "Subject": "subject",
    "Keywords": "keywords",
    "Creator": "creator",
    "Producer": "producer",
    "CreationDate": "created",
    "ModDate": "modified",
}
_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?(?:(Z)|([+-])(\d\d)'?(\d\d)?)?")
_PLACEHOLDER_TITLE = re.compile(r"untitled.*|document\d*|.*\.(?:docx?|dvi|tex|indd|pdf|pptx?|qxd|xlsx?)", re.IGNORECASE)


def information_of(found: Mapping[str, str]) -> dict[str, str]:
    """Author, subject, dates and so on under the names of our records; dates as in ISO 8601."""
    named = {key: found[name] for name, key in _INFORMATION_KEYS.items() if found.get(name)}
    for key in ("created", "modified"):
        if key in named:
            named[key] = _iso_date(named[key])
    return named


def title_of(found: Mapping[str, str], path: Path) -> str:
    """The title, or the name of the file where it is missing or was left by a program."""
    title = found.get("Title", "")
    return path.stem if not title or _PLACEHOLDER_TITLE.fullmatch(title) else title


def plain_information(found: Mapping[str, object]) -> dict[str, str]:
    """The entries as short clean texts."""
    return {str(key): _plain(value) for key, value in found.items() if value is not None}


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return " ".join(clean_text(str(value)).split())[:LONGEST_INFORMATION]


def _iso_date(text: str) -> str:
    found = _DATE.match(text)
    if not found:
        return text
    year, month, day, hour, minute, second, utc, sign, offset_hours, offset_minutes = found.groups()
    date = f"{year}-{month}-{day}"
    if not hour:
        return date
    zone = "Z" if utc else f"{sign}{offset_hours}:{offset_minutes or '00'}" if sign else ""
    return f"{date}T{hour}:{minute}:{second or '00'}{zone}"
