"""Pages that are pictures: told, and read with --ocr where Tesseract is installed."""

import os
import shutil
from pathlib import Path

import pytest

from document_processing import PDFParser
from shared_utils.errors import ConfigurationError, DocumentProcessingError

needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="the program tesseract is missing")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A page with text, and one that is a picture of text."""
    canvas_module = pytest.importorskip("reportlab.pdfgen.canvas")
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("L", (1700, 500), 255)
    drawing = ImageDraw.Draw(picture)
    drawing.text((60, 100), "The kettle whistles at noon.", font=ImageFont.load_default(size=72), fill=0)
    drawing.text((60, 200), "It is blue.", font=ImageFont.load_default(size=72), fill=0)
    picture.save(tmp_path / "picture.png")
    path = tmp_path / "scan.pdf"
    canvas = canvas_module.Canvas(str(path))
    canvas.drawString(72, 700, "This page has text.")
    canvas.showPage()
    canvas.drawImage(str(tmp_path / "picture.png"), 72, 500, width=425, height=125)
    canvas.save()
    return path


def test_pages_without_text_are_counted_and_the_way_to_read_them_told(scan):
    (document,) = PDFParser().parse(scan)
    assert document["metadata"]["pages_without_text"] == 1
    assert "no text on 1 page of 2 (2); scans need --ocr" in document["metadata"]["warnings"][0]


@needs_tesseract
def test_the_thread_limit_of_ocr_is_not_left_to_others(scan, monkeypatch):
    """torch, loaded under it in this process or a child, would compute parts of its products only."""
    pytest.importorskip("pytesseract")
    monkeypatch.delenv("OMP_THREAD_LIMIT", raising=False)
    PDFParser(ocr=True).parse(scan)
    assert "OMP_THREAD_LIMIT" not in os.environ
    monkeypatch.setenv("OMP_THREAD_LIMIT", "2")
    PDFParser(ocr=True).parse(scan)
    assert os.environ["OMP_THREAD_LIMIT"] == "2"


@needs_tesseract
def test_ocr_reads_pages_without_text_and_only_them(scan):
    pytest.importorskip("pytesseract")
    first, second = PDFParser(ocr=True).parse(scan)
    assert first["metadata"]["parser"] == "pypdfium2"
    assert second["content"] == "The kettle whistles at noon.\nIt is blue."
    assert second["metadata"]["parser"] == "tesseract"
    assert "recognised with confidence 0.9" in second["metadata"]["parser_reason"]
    assert "pages_without_text" not in second["metadata"]


@needs_tesseract
def test_a_language_that_is_not_installed_is_told_with_the_way_to_get_it():
    pytest.importorskip("pytesseract")
    with pytest.raises(ConfigurationError, match="no language 'tlh'") as caught:
        PDFParser(ocr=True, ocr_language="tlh")
    assert "tesseract-ocr-tlh" in caught.value.hint


def test_without_tesseract_the_command_that_installs_it_is_told(monkeypatch):
    pytest.importorskip("pytesseract")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match="tesseract") as caught:
        PDFParser(ocr=True)
    assert "apt-get install tesseract-ocr" in caught.value.hint


def test_a_file_of_pictures_alone_is_no_success(tmp_path: Path, scan):
    pypdf = pytest.importorskip("pypdf")
    writer = pypdf.PdfWriter()
    writer.append(str(scan), pages=(1, 2))
    with (tmp_path / "only.pdf").open("wb") as file:
        writer.write(file)
    with pytest.raises(DocumentProcessingError, match="no text layer") as caught:
        PDFParser().parse(tmp_path / "only.pdf")
    assert "--ocr" in caught.value.hint
