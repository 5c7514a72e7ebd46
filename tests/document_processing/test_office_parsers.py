"""Word, PowerPoint, Excel, OpenDocument, RTF and EPUB files."""

import sys
import zipfile

import pytest

from document_processing.parsers.registry import parser_for
from shared_utils.errors import ConfigurationError, DocumentProcessingError
from tests.document_processing.office_samples import (
    ENTITIES,
    changed_zip,
    docx_file,
    epub_file,
    odt_file,
    pptx_file,
    with_entities,
    xlsx_file,
    zip_file,
)
from workflows.extraction_file import safe_parse_document


def parsed(path):
    return parser_for(path).parse(path)


def test_a_word_document_is_read_section_by_section(tmp_path):
    documents = parsed(docx_file(tmp_path / "cats.docx"))
    assert [document["metadata"]["heading_path"] for document in documents] == [
        ["The cat manual"],
        ["Feeding"],
        ["Feeding", "Dry food"],
    ]
    assert {document["title"] for document in documents} == {"The cat manual"}
    assert {document["metadata"]["author"] for document in documents} == {"Ada Byron"}
    assert documents[1]["content"] == (
        "# Feeding\n\nFeed it at noon.\n\n- fish\n  - small fish\n\n"
        "| Food | g\\|day |\n| --- | --- |\n| Fish | 40 |\n\nAfter the table."
    )


def test_insertions_and_content_controls_of_word_are_text_and_deletions_are_not(tmp_path):
    added = (
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>In a control.</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        "<w:p><w:ins><w:r><w:t>Put in. </w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>Gone.</w:delText></w:r></w:del><w:r><w:t>Stays.</w:t></w:r></w:p><w:p><w:r><w:t>After"
    )
    path = changed_zip(
        docx_file(tmp_path / "a.docx"),
        tmp_path / "b.docx",
        "word/document.xml",
        lambda part: part.replace(b"<w:p><w:r><w:t>After", added.encode()),
    )
    assert parsed(path)[1]["content"].endswith("In a control.\n\nPut in. Stays.\n\nAfter the table.")


def test_a_footnote_stands_below_the_text(tmp_path):
    import docx
    from docx.opc.packuri import PackURI
    from docx.opc.part import Part
    from docx.oxml import parse_xml

    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    notes = f'<w:footnotes {space}><w:footnote w:id="2"><w:p><w:r><w:t>Fresh only.</w:t></w:r></w:p></w:footnote></w:footnotes>'
    document = docx.Document()
    run = document.add_paragraph("Fish").add_run()
    run._r.append(parse_xml(f'<w:footnoteReference {space} w:id="2"/>'))
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    document.part.relate_to(Part(PackURI("/word/footnotes.xml"), "application/xml", notes.encode()), kind)
    document.save(str(tmp_path / "a.docx"))
    assert [document["content"] for document in parsed(tmp_path / "a.docx")] == ["Fish[^1]\n\n[^1]: Fresh only."]


def test_each_slide_is_a_document(tmp_path):
    documents = parsed(pptx_file(tmp_path / "cats.pptx"))
    assert [document["content"] for document in documents] == [
        "# Why cats\n\n- They purr\n- They sleep\n\nNotes: Smile here.",
        "# Numbers\n\n| Year | Cats |\n| --- | --- |\n| 2024 | 7 |",
    ]
    assert [document["metadata"]["slide"] for document in documents] == [1, 3]
    assert documents[0]["title"] == "Cats"


def test_a_long_sheet_makes_documents_that_each_carry_the_header(tmp_path):
    documents = parsed(xlsx_file(tmp_path / "cats.xlsx", rows=150))
    places = [(d["metadata"]["sheet"], d["metadata"]["row_start"], d["metadata"]["row_end"]) for d in documents]
    assert places == [("Prices", 2, 101), ("Prices", 102, 151)]
    assert documents[1]["content"].startswith(
        "| Name | Price | Day |\n| --- | --- | --- |\n| cat 100 | 100.5 | 2024-01-02 |\n"
    )


def test_an_opendocument_text_keeps_headings_lists_tables_and_notes(tmp_path):
    body = (
        '<text:h text:outline-level="1">Food</text:h><text:p>Fish<text:s text:c="2"/>is<text:tab/>good'
        "<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>Fresh.</text:p></text:note-body>"
        "</text:note>.</text:p><text:list><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>in"
        "</text:p></text:list-item></text:list></text:list-item></text:list><table:table><table:table-row>"
        "<table:table-cell><text:p>A</text:p></table:table-cell>"
        '<table:table-cell table:number-columns-repeated="16000"/></table:table-row></table:table>'
    )
    (document,) = parsed(odt_file(tmp_path / "cats.odt", body))
    assert document["content"] == ("# Food\n\nFish  is\tgood[^1].\n\n- one\n  - in\n\n| A |\n| --- |\n\n[^1]: Fresh.")
    assert (document["title"], document["metadata"]["author"]) == ("Cats", "Ada Byron")


def test_the_chapters_of_a_book_come_in_the_order_of_reading(tmp_path):
    """Also where a chapter follows the rules of XML, by which `<title/>` is closed."""
    documents = parsed(epub_file(tmp_path / "cats.epub"))
    assert [document["content"] for document in documents] == ["# First chapter\n\nOne.", "## Second\n\nTwo & two."]
    assert [document["metadata"]["chapter"] for document in documents] == [1, 2]
    assert {(document["title"], document["metadata"]["author"]) for document in documents} == {("Cats", "Ada Byron")}


def test_a_protected_book_says_so(tmp_path):
    epub_file(tmp_path / "a.epub")
    protection = '<encryption><d><CipherReference URI="OPS/two.xhtml"/></d></encryption>'
    with zipfile.ZipFile(tmp_path / "a.epub", "a") as archive:
        archive.writestr("META-INF/encryption.xml", protection)
    with pytest.raises(DocumentProcessingError, match="protected against copying"):
        parsed(tmp_path / "a.epub")


def test_rtf_is_read_as_its_text(tmp_path):
    path = tmp_path / "a.rtf"
    path.write_bytes(rb"{\rtf1\ansi\ansicpg1252{\fonttbl\f0 Arial;}\f0 Hello \b bold\b0  w\'f6rld\par Second.}")
    assert [document["content"] for document in parsed(path)] == ["Hello bold wörld\nSecond."]


@pytest.mark.parametrize(
    ("make", "name", "message", "hint"),
    [
        (docx_file, "cats.pdf", "it is a Word document, not a PDF", "give it the suffix .docx"),
        (docx_file, "cats.xlsx", "it is a Word document, not an Excel workbook", "give it the suffix .docx"),
        (xlsx_file, "cats.txt", "it is an Excel workbook, not text", "give it the suffix .xlsx"),
        (pptx_file, "cats.docx", "it is a PowerPoint presentation, not a Word document", "give it the suffix .pptx"),
        (epub_file, "cats.odt", "it is an EPUB book, not an OpenDocument text", "give it the suffix .epub"),
        (lambda p: p.write_text("<!DOCTYPE html><p>x"), "a.docx", "it is an HTML page, not a Word", "the suffix .html"),
        (
            lambda p: p.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
            "a.docx",
            "old or encrypted",
            "without password",
        ),
        (lambda p: p.write_text("words"), "a.pptx", "it is not a PowerPoint presentation", "its right suffix"),
        (lambda p: p.write_bytes(b"PK\3\4rest"), "a.epub", "which is damaged, not an EPUB book", "download it again"),
        (lambda p: p.write_bytes(b""), "a.odt", "the file is empty", "download it again"),
    ],
)
def test_a_wrong_name_is_told_with_the_right_one(tmp_path, make, name, message, hint):
    make(tmp_path / name)
    with pytest.raises(DocumentProcessingError, match=message) as caught:
        parsed(tmp_path / name)
    assert hint in caught.value.hint


def test_no_entity_is_expanded(tmp_path):
    """A billion laughs, in each kind of office file; either it is refused or the words are not there."""
    odt_file(tmp_path / "a.odt", "<text:p>&l9;</text:p>", ENTITIES)
    epub_file(tmp_path / "a.epub", {"one.xhtml": f"{ENTITIES}<html><body><p>&l9; one</p></body></html>"})
    for source, member, tag in (
        (docx_file(tmp_path / "b.docx"), "word/document.xml", "w:t"),
        (pptx_file(tmp_path / "b.pptx"), "ppt/slides/slide1.xml", "a:t"),
        (xlsx_file(tmp_path / "b.xlsx"), "xl/worksheets/sheet1.xml", "v"),
        (xlsx_file(tmp_path / "b.xlsx"), "xl/worksheets/sheet1.xml", "t"),
    ):
        target = tmp_path / f"{tag.replace(':', '_')}{source.suffix}"
        changed_zip(source, target, member, lambda part, tag=tag: with_entities(part, tag))
    for path in sorted(tmp_path.iterdir()):
        try:
            documents = safe_parse_document(path)
        except DocumentProcessingError:
            continue
        assert not any("lol" in document["content"] for document in documents)


def test_no_file_outside_is_read_through_an_entity(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret", encoding="utf-8")
    entity = f'<!DOCTYPE a [<!ENTITY l9 SYSTEM "{secret.as_uri()}">]>'
    odt_file(tmp_path / "a.odt", "<text:p>&l9; x</text:p>", entity)
    with pytest.raises(DocumentProcessingError, match="declares entities"):
        parsed(tmp_path / "a.odt")
    path = changed_zip(
        docx_file(tmp_path / "a.docx"),
        tmp_path / "b.docx",
        "word/document.xml",
        lambda part: part.replace(b"?>", b"?>" + entity.encode(), 1).replace(b"<w:t>", b"<w:t>&l9;", 1),
    )
    assert "secret" not in "".join(document["content"] for document in parsed(path))


@pytest.mark.parametrize(("name", "member"), [("a.docx", "word/document.xml"), ("a.xlsx", "xl/workbook.xml")])
def test_an_office_file_that_unpacks_to_far_too_much_is_refused(tmp_path, name, member):
    make = docx_file if name.endswith("docx") else xlsx_file
    path = changed_zip(make(tmp_path / name), tmp_path / f"b{name[1:]}", member, lambda part: part + b" " * 20_000_000)
    with pytest.raises(DocumentProcessingError, match="times its size; the limit is 200"):
        parsed(path)


def test_an_archive_without_a_document_is_damaged_and_not_a_crash(tmp_path):
    path = zip_file(tmp_path / "a.odt", {"mimetype": "application/vnd.oasis.opendocument.text"})
    with pytest.raises(DocumentProcessingError, match=r"its part content\.xml is missing"):
        parsed(path)


@pytest.mark.parametrize(
    ("name", "module", "make"),
    [
        ("a.docx", "docx", docx_file),
        ("a.pptx", "pptx", pptx_file),
        ("a.xlsx", "openpyxl", xlsx_file),
        ("a.epub", "lxml.etree", epub_file),
        ("a.rtf", "striprtf.striprtf", lambda path: path.write_bytes(rb"{\rtf1 x}")),
        ("a.html", "trafilatura", lambda path: path.write_text("<p>x")),
    ],
)
def test_a_missing_library_is_told_with_the_command_that_installs_it(tmp_path, monkeypatch, name, module, make):
    make(tmp_path / name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match="needs the package") as caught:
        parsed(tmp_path / name)
    assert caught.value.hint.startswith("pip install")
    assert caught.value.hint.endswith('[documents]"')
