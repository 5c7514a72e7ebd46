"""Bytes to text: byte order marks, UTF-8, UTF-16 without a mark, then the legacy encodings."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from document_processing.content_sniffing import refuse_if_not_text
from shared_utils.errors import DocumentProcessingError

_MARKS = (  # longest first: the UTF-32 mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What detectors name, and the larger set that software really wrote.
_WIDER = {
    "iso-8859-1": "cp1252",
    "ascii": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "iso-8859-9": "cp1254",
    "tis-620": "cp874",
}
DETECTION_BYTES = 262_144
MOST_DAMAGED_SHARE = 0.002  # of UTF-8 text; more, and it is probably another encoding
MOST_CONTROL_SHARE = 0.02  # of single-byte text; random bytes have 0.1
MOST_HIGH_SHARE = 0.2  # of Latin text; random bytes have 0.5
LEAST_CONFIDENCE = 0.1

_CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b")) + b"\x7f"
_HIGH_BYTES = bytes(range(128, 256))
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


@dataclass(frozen=True)
class DecodedText:
    """A text, what it was encoded in, how sure that is (0 to 1), and what had to be replaced."""

    text: str
    encoding: str
    confidence: float
    replaced: int = 0


def decode_text(data: bytes) -> DecodedText:
    """Text from the bytes of a file.

    Raises:
        DocumentProcessingError: the bytes are not text, or no encoding fits.
    """
    refuse_if_not_text(data)
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decoded(data[len(mark) :], encoding, 1.0)
    wide = _wide_encoding(data[:DETECTION_BYTES])
    if wide:
        return _decoded(data, wide, 0.9)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _damaged_utf8(data) or _legacy(data)
    if _control_share(data) > 0.3:
        raise _binary()
    return DecodedText(text, "utf-8", 1.0)


def _decoded(data: bytes, encoding: str, confidence: float) -> DecodedText:
    text = data.decode(encoding, "replace")
    return DecodedText(text, encoding, confidence, text.count("\ufffd"))


def _wide_encoding(sample: bytes) -> str | None:
    """UTF-16 without a mark: in most scripts every second byte is the same, often zero."""
    even, odd = sample[0:2000:2], sample[1:2000:2]
    if len(odd) < 4:
        return None
    if odd.count(0) > 0.4 * len(odd) and even.count(0) < 0.1 * len(even):
        return "utf-16-le"
    if even.count(0) > 0.4 * len(even) and odd.count(0) < 0.1 * len(odd):
        return "utf-16-be"
    return None


def _damaged_utf8(data: bytes) -> DecodedText | None:
    """UTF-8 with a few wrong bytes, such as half a character or a lone surrogate."""
    text = data.decode("utf-8", "replace")
    replaced = text.count("\ufffd") - data.count("\ufffd".encode())
    good = sum(1 for _ in _MULTIBYTE.finditer(data[:DETECTION_BYTES]))
    surrogates = len(re.findall(rb"\xed[\xa0-\xbf][\x80-\xbf]", data))
    if 3 * surrogates >= replaced or (good > 2 * replaced and replaced <= max(1, MOST_DAMAGED_SHARE * len(text))):
        if _control_share(data) > 0.3:
            raise _binary()
        return DecodedText(text, "utf-8", round(1 - replaced / max(1, good + replaced), 3), replaced)
    return None


def _legacy(data: bytes) -> DecodedText:
    if _control_share(data) > MOST_CONTROL_SHARE:
        raise _binary()
    import chardet

    found = chardet.detect(_sample(data))
    name = str(found["encoding"] or "").lower().replace("_", "-")
    confidence = float(found["confidence"] or 0.0)
    if not name or confidence < LEAST_CONFIDENCE:
        if _high_share(data) > MOST_HIGH_SHARE:
            raise DocumentProcessingError(
                "the encoding of this text could not be told, or it is not text", hint="save it as UTF-8"
            )
        name, confidence = "cp1252", LEAST_CONFIDENCE  # what most software wrote
    return _decoded(data, _WIDER.get(name, codecs.lookup(name).name), round(confidence, 3))


def _sample(data: bytes) -> bytes:
    """A part of the data that holds characters outside of ASCII: only they tell encodings apart."""
    first = re.search(rb"[\x80-\xff]", data)
    start = max(0, first.start() - 1000) if first else 0
    return data[start : start + DETECTION_BYTES]


def _control_share(data: bytes) -> float:
    sample = data[:DETECTION_BYTES]
    return (len(sample) - len(sample.translate(None, _CONTROL_BYTES))) / max(1, len(sample))


def _high_share(data: bytes) -> float:
    sample = data[:DETECTION_BYTES]
    return 1 - len(sample.translate(None, _HIGH_BYTES)) / len(sample)


def _binary() -> DocumentProcessingError:
    return DocumentProcessingError("it is binary data, not text", hint="give it its right suffix, or remove it")
