"""Pages that are pictures, read by optical character recognition: Tesseract, through pytesseract."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from shared_utils.errors import ConfigurationError, missing_extra

RESOLUTION = 300  # dots per inch, what Tesseract was trained on
MOST_PIXELS = 40_000_000  # of one page; larger ones are drawn smaller
LEAST_CONFIDENCE = 30  # percent; words below are marks on the paper
SECONDS_PER_PAGE = 120
NAME = "tesseract"
THREAD_LIMIT = "OMP_THREAD_LIMIT"


class RecognisedText(NamedTuple):
    """The text of a page, and the mean confidence of its words, 0 to 1."""

    text: str
    confidence: float


class TesseractReader:
    """Reads pages of PDF files as pictures.

    Args:
        language: the languages to look for, such as `eng` or `deu+eng`.

    Raises:
        ConfigurationError: Tesseract, its Python wrapper or a language is missing.
    """

    def __init__(self, language: str = "eng") -> None:
        if find_spec("pytesseract") is None:
            raise missing_extra("ocr", "pytesseract", "--ocr")
        if shutil.which("tesseract") is None:
            raise ConfigurationError(
                "--ocr needs the program 'tesseract'",
                hint="apt-get install tesseract-ocr (Debian, Ubuntu), brew install tesseract (macOS)",
            )
        known = _installed_languages()
        missing = [code for code in language.split("+") if code not in known]
        if missing:
            raise ConfigurationError(
                f"Tesseract has no language '{missing[0]}'; it has {', '.join(sorted(known - {'osd'}))}",
                hint=f"apt-get install tesseract-ocr-{missing[0]}, or take another --ocr-language",
            )
        self._language = language

    def page(self, path: Path, index: int) -> RecognisedText:
        """The page with this index, counted from 0."""
        import pytesseract

        picture = _picture(path, index)
        with _one_thread():
            found = pytesseract.image_to_data(
                picture, lang=self._language, timeout=SECONDS_PER_PAGE, output_type=pytesseract.Output.DICT
            )
        return _text_of(found)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let programs that are started meanwhile have one thread: files are shared out among processes already.

    The limit must not stay: torch, loaded under it, would train on parts of matrices that were never computed.
    """
    before = os.environ.get(THREAD_LIMIT)
    os.environ.setdefault(THREAD_LIMIT, "1")
    try:
        yield
    finally:
        if before is None:
            del os.environ[THREAD_LIMIT]


@lru_cache(maxsize=1)
def _installed_languages() -> frozenset[str]:
    """Asked of the program once, not for each file."""
    import pytesseract

    return frozenset(pytesseract.get_languages(config=""))


def _picture(path: Path, index: int) -> Any:
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    try:
        page = document[index]
        width, height = page.get_size()
        scale = min(RESOLUTION / 72, math.sqrt(MOST_PIXELS / max(1.0, width * height)))
        return page.render(scale=scale, grayscale=True).to_pil()
    finally:
        document.close()


def _text_of(found: dict[str, list[Any]]) -> RecognisedText:
    """The words in the lines and paragraphs that Tesseract tells."""
    text = ""
    confidences: list[float] = []
    before: tuple[int, int, int] | None = None
    rows = zip(found["block_num"], found["par_num"], found["line_num"], found["conf"], found["text"], strict=True)
    for block, paragraph, line, confidence, word in rows:
        if not word.strip() or float(confidence) < LEAST_CONFIDENCE:
            continue
        place = (block, paragraph, line)
        if before is not None:
            text += " " if place == before else "\n" if place[:2] == before[:2] else "\n\n"
        text += word
        confidences.append(float(confidence) / 100)
        before = place
    return RecognisedText(text, sum(confidences) / len(confidences) if confidences else 0.0)
