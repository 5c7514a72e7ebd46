"""PDF files: pages, repairs, the fallback, and what is refused."""

import json
import logging
from pathlib import Path

import pytest
from pdf_samples import pdf_bytes

from document_processing import PDFParser
from document_processing.parsers import pdf_readers, pdfium_reader
from document_processing.parsers.pdf_repair import (
    join_cut_words,
    join_loose_accents,
    repair_characters,
    strip_repeated_lines,
)
from shared_utils.errors import DocumentProcessingError

TWO_PAGES = [["The first page has text.", "And a second line."], ["The second page."]]


@pytest.fixture
def write_pdf(tmp_path: Path):
    def write(pages: list[list[str]], information: str = "") -> Path:
        path = tmp_path / "a.pdf"
        path.write_bytes(pdf_bytes(pages, information))
        return path

    return write


def test_each_page_is_a_document(write_pdf):
    """With its number, the number of pages, who read it, and what the file says about itself."""
    path = write_pdf(TWO_PAGES, "/Title(The Guide)/Author(A. Writer)/CreationDate(D:20240102030405+02'00')")
    first, second = PDFParser().parse(path)
    assert first["content"] == "The first page has text.\nAnd a second line."
    assert (second["content"], second["title"]) == ("The second page.", "The Guide")
    assert second["metadata"] == {
        "page": 2,
        "pages": 2,
        "parser": "pypdfium2",
        "tables": 0,
        "has_text": True,
        "author": "A. Writer",
        "created": "2024-01-02T03:04:05+02:00",
    }
    json.dumps([first, second], allow_nan=False)


def test_a_file_can_be_one_document_with_a_map_of_its_pages(write_pdf):
    """`extract_by_page` off."""
    (document,) = PDFParser(extract_by_page=False).parse(write_pdf(TWO_PAGES))
    for entry, text in zip(document["metadata"]["page_map"], ["The first page has", "The second page."], strict=True):
        assert document["content"][entry["char_start"] : entry["char_end"]].startswith(text)


def test_a_page_without_text_makes_no_document_and_is_told(tmp_path: Path):
    """An empty record is of no use; a page that vanishes silently is worse."""
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_bytes([["Text."], [], ["More."]], drawing="100 100 m 200 200 l S "))
    documents = PDFParser().parse(path)
    assert [d["metadata"]["page"] for d in documents] == [1, 3]
    assert "no text on 1 page of 3 (2)" in documents[0]["metadata"]["warnings"][0]


def test_a_blank_page_is_no_scan(write_pdf):
    """Books have some; nothing is lost with them."""
    documents = PDFParser().parse(write_pdf([["Text."], [], ["More."]]))
    assert [document["metadata"]["page"] for document in documents] == [1, 3]
    assert not {"warnings", "pages_without_text"} & set(documents[0]["metadata"])


def test_a_file_without_any_text_needs_ocr(write_pdf):
    """A scan must not look like a success."""
    with pytest.raises(DocumentProcessingError, match=r"no text layer.*needs OCR"):
        PDFParser().parse(write_pdf([[], []]))


def fail(reader: object, index: int) -> pdf_readers.PageText:
    raise ValueError("broken font")


def test_a_page_that_one_engine_cannot_read_is_read_by_the_next_and_told(write_pdf, monkeypatch, caplog):
    """Which way was taken stands in the metadata and in the log."""
    monkeypatch.setattr(pdfium_reader.PdfiumReader, "page", fail)
    with caplog.at_level(logging.WARNING):
        documents = PDFParser().parse(write_pdf(TWO_PAGES))
    assert documents[0]["metadata"]["parser"] == "pdfplumber"
    assert "broken font" in documents[0]["metadata"]["parser_reason"]
    assert "broken font" in caplog.text


def test_the_fallback_reads_what_the_others_cannot(write_pdf, monkeypatch):
    """It can be switched off."""
    monkeypatch.setattr(pdfium_reader.PdfiumReader, "page", fail)
    monkeypatch.setattr(pdf_readers.PlumberReader, "page", fail)
    assert PDFParser().parse(write_pdf(TWO_PAGES))[0]["metadata"]["parser"] in ("pypdf", "pypdf2")
    with pytest.raises(DocumentProcessingError):
        PDFParser(fallback_to_pypdf2=False).parse(write_pdf(TWO_PAGES))


@pytest.mark.parametrize(
    ("engine", "parsers"), [("auto", ["pypdfium2"]), ("pdfplumber", ["pdfplumber"]), ("pypdf2", ["pypdf", "pypdf2"])]
)
def test_the_engine_can_be_chosen(write_pdf, engine, parsers):
    documents = PDFParser(engine=engine).parse(write_pdf(TWO_PAGES))
    assert documents[0]["metadata"]["parser"] in parsers
    assert documents[0]["content"] == "The first page has text.\nAnd a second line."


def test_a_file_read_in_parts_gives_the_same_documents(write_pdf):
    """The repairs see all pages: headers are repeated over the parts, and words cut in one are whole in another."""
    path = write_pdf([["The Running Header", "Words of infor-", f"mation {n}."] for n in range(6)])
    parser = PDFParser()
    parts = [parser.read_pages(path, first, first + 2) for first in range(0, parser.page_count(path), 2)]
    parts = json.loads(json.dumps(parts))
    assert list(parser.documents_of(path, parts)) == parser.parse(path)


def test_pypdf2_serves_where_pypdf_is_missing(write_pdf, monkeypatch):
    """Users asked for it by name."""
    monkeypatch.setattr(pdf_readers, "find_spec", lambda name: None if name == "pypdf" else True)
    documents = PDFParser(use_pdfplumber_first=False).parse(write_pdf(TWO_PAGES))
    assert documents[0]["metadata"]["parser"] == "pypdf2"
    assert "first page" in documents[0]["content"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"%PDF-1.4\n", "damaged"),
        (b"<!DOCTYPE html><html>404</html>", "an HTML page"),
        (b"PK\x03\x04rest", "a ZIP archive"),
        (b"just words", "the header %PDF is missing"),
        (pdf_bytes(TWO_PAGES)[:300], "damaged"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, data: bytes, reason: str):
    """With a reason that a person understands."""
    path = tmp_path / "a.pdf"
    path.write_bytes(data)
    with pytest.raises(DocumentProcessingError, match=reason):
        PDFParser().parse(path)


@pytest.mark.parametrize(("password", "opens"), [("", True), ("secret", False)])
def test_encrypted_files_open_when_the_password_is_empty(write_pdf, tmp_path: Path, password: str, opens: bool):
    """Many files are encrypted only to forbid changes."""
    pypdf = pytest.importorskip("pypdf")
    writer = pypdf.PdfWriter(clone_from=write_pdf(TWO_PAGES))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
    path = tmp_path / "locked.pdf"
    with path.open("wb") as file:
        writer.write(file)
    if opens:
        assert PDFParser().parse(path)[0]["content"].startswith("The first page")
    else:
        with pytest.raises(DocumentProcessingError, match="password required"):
            PDFParser().parse(path)


def test_a_ruled_table_becomes_markdown_rows(tmp_path: Path):
    """And is counted."""
    canvas_module = pytest.importorskip("reportlab.pdfgen.canvas")
    path = tmp_path / "table.pdf"
    canvas = canvas_module.Canvas(str(path))
    canvas.drawString(72, 760, "Before the table.")
    canvas.grid([72, 200, 328], [700, 660, 620])
    for x, y, text in [(80, 675, "Port"), (208, 675, "Service"), (80, 635, "443"), (208, 635, "https")]:
        canvas.drawString(x, y, text)
    canvas.drawString(72, 580, "After it.")
    canvas.save()
    (document,) = PDFParser().parse(path)
    assert "| Port | Service |\n| 443 | https |" in document["content"]
    assert document["metadata"]["tables"] == 1
    assert document["content"].startswith("Before the table.")
    assert document["content"].endswith("After it.")


def test_repeated_headers_and_footers_leave_the_text_but_not_the_metadata(write_pdf):
    """Page numbers may differ; the lines are kept for who needs them."""
    pages = [["The Running Header", f"Words of page {n} only: {'abcdef'[n]}.", f"Page {n} of 5"] for n in range(5)]
    documents = PDFParser().parse(write_pdf(pages))
    assert documents[2]["content"] == "Words of page 2 only: c."
    assert documents[2]["metadata"]["header_footer"] == ["The Running Header", "Page 2 of 5"]


def test_pages_that_hold_nothing_but_a_repeated_line_keep_it():
    """5,000 equal one-line pages are text, not headers."""
    assert [page.text for page in strip_repeated_lines(["Same line."] * 9)] == ["Same line."] * 9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("infor-\nmation", "information"),
        ("A well-known fact. It is well-\nknown.", "A well-known fact. It is well-known."),
        ("Jean-\nPaul", "Jean-Paul"),
        ("self-\nlocking", "self-locking"),
        ("1998-\n2004", "1998-2004"),
        ("A NewsArticle is a News-\nArticle.", "A NewsArticle is a NewsArticle."),
        ("The present. A present-\nation.", "The present. A presentation."),
        ("a sequence is aligned; sequence-\naligned", "a sequence is aligned; sequence-aligned"),
    ],
)
def test_words_cut_at_a_line_end_are_joined(text: str, expected: str):
    """The hyphen stays where the file itself writes it."""
    assert join_cut_words([text]) == [expected]


def test_drawn_accents_and_ligatures_are_repaired():
    """As in files of old TeX fonts."""
    assert join_loose_accents("pr´e, ¨ı") == "pré, ï"
    assert repair_characters("ﬁn, eﬀort, sy\u00ad\nllable, (cid:7)") == "fin, effort, syllable, \ufffd"


@pytest.mark.parametrize("line", ["Page 3 of 12", "- 7 -", "3/12", "Seite 4", "第 5 页"])
def test_the_number_of_a_page_is_no_text(line):
    """Also in a file of one page, where nothing repeats."""
    (page,) = strip_repeated_lines([f"Words.\nMore words.\n{line}"])
    assert (page.text, page.removed) == ("Words.\nMore words.", [line])


@pytest.mark.parametrize("line", ["1984", "Page 3 tells more of it.", "12 apples"])
def test_a_line_that_may_be_text_stays(line):
    assert strip_repeated_lines([f"Words.\n{line}"])[0].text == f"Words.\n{line}"


def test_the_title_of_a_chapter_is_a_header_on_its_own_pages_only():
    pages = [f"Chapter {'one' if n < 10 else 'two'}\nWords {'abcdefghijklmnopqrst'[n]}." for n in range(100) if n < 20]
    pages += [f"Other words {n}: {chr(200 + n)}" for n in range(80)]
    stripped = strip_repeated_lines(pages)
    assert [page.removed for page in stripped[:20]] == [["Chapter one"]] * 10 + [["Chapter two"]] * 10
    assert all(page.removed == [] for page in stripped[20:])


def _words(n):
    """Lines of text that no other page has."""
    return [f"Words {chr(200 + n)}", f"more {chr(300 + n)}", f"and {chr(400 + n)}", f"also {chr(500 + n)}"]


def test_a_word_that_often_begins_the_last_paragraph_is_no_footer():
    """It stands above text that is kept, and not always at the same height."""
    pages = [[*_words(n), "Note", *_words(20 + n)[: 1 + n % 3]] for n in range(20)]
    assert all(page.removed == [] for page in strip_repeated_lines(["\n".join(lines) for lines in pages]))


def test_numbered_lines_of_a_program_are_no_header():
    pages = [[*_words(n)[: n % 3], f"{37 * n} }}", *_words(20 + n)] for n in range(20)]
    assert all(page.removed == [] for page in strip_repeated_lines(["\n".join(lines) for lines in pages]))


def test_a_long_notice_on_every_page_is_a_footer():
    notice = "All rights reserved; no part of this may be copied without leave of the owner. " * 2
    pages = [f"Words {chr(200 + n)}\nmore {chr(300 + n)}\n{notice}" for n in range(5)]
    assert all(page.removed == [notice.strip()] for page in strip_repeated_lines(pages))


def test_the_header_of_a_short_chapter_is_told_by_the_number_of_the_page():
    """Its words stand on one page only; a heading with the same number is no header where the page bears one."""
    pages = [["Chapter 1", *_words(0)], ["2 Plans", *_words(1), "2"]]
    pages += [[f"Chapter {chr(200 + n)} {n + 1}", *_words(n)] for n in range(2, 8)]
    stripped = strip_repeated_lines(["\n".join(lines) for lines in pages])
    assert [page.removed for page in stripped[:3]] == [[], ["2"], ["Chapter \u00ca 3"]]


def test_arabic_letters_are_stored_without_their_shapes():
    """A text of shapes matches no search and no token."""
    assert repair_characters("\ufe8d\ufedf\ufecc") == "\u0627\u0644\u0639"


def test_a_very_large_drawing_is_read_by_the_faster_reader(tmp_path: Path):
    """pdfplumber makes an object of every line; a map of 100,000 lines takes it very long."""
    path = tmp_path / "map.pdf"
    path.write_bytes(pdf_bytes([["Words on a map."]], drawing="100 100 m 101 101 l S\n" * 50_000))
    (document,) = PDFParser(engine="pdfplumber").parse(path)
    assert document["content"].startswith("Words on a map.")
    assert document["metadata"]["parser"] in ("pypdf", "pypdf2")
    assert "large drawing" in document["metadata"]["parser_reason"]


def test_a_page_of_which_one_engine_knows_few_characters_is_read_by_the_next(tmp_path: Path):
    """Japanese in a font that is not in the file, written from top to bottom; pdfium knows the numbers only."""
    font = (
        "<</Type/Font/Subtype/Type0/BaseFont/Ryumin-Light-Identity-V/Encoding/Identity-V/DescendantFonts"
        "[<</Type/Font/Subtype/CIDFontType0/BaseFont/Ryumin-Light/DW 1000"
        "/CIDSystemInfo<</Registry(Adobe)/Ordering(Japan1)/Supplement 2>>>>]>>"
    )
    places = [(300 - 20 * column, 700 - 12 * row) for column in range(2) for row in range(8)]
    kana = "".join(f"1 0 0 1 {x} {y} Tm <{843 + 2 * n:04x}> Tj " for n, (x, y) in enumerate(places))
    path = tmp_path / "vertical.pdf"
    path.write_bytes(pdf_bytes([[]], drawing=f"BT /F9 10 Tf 60 760 Td (No. 7) Tj /F1 12 Tf {kana}ET ", font=font))
    (document,) = PDFParser().parse(path)
    assert document["metadata"]["parser"] == "pdfplumber"
    assert "あいうえおがぎぐげござじずぜぞ" in document["content"]
