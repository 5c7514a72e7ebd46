"""Small files of many formats, made by the libraries that people make them with."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

ENTITIES = (
    '<!DOCTYPE a [<!ENTITY l0 "lol">' + "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10)) + "]>"
)


def docx_file(path: Path) -> Path:
    import docx

    document = docx.Document()
    document.core_properties.author = "Ada Byron"
    document.add_heading("The cat manual", 0)
    document.add_paragraph("What it is for.")
    document.add_heading("Feeding", 1)
    document.add_paragraph("Feed it at noon.")
    document.add_paragraph("fish", style="List Bullet")
    document.add_paragraph("small fish", style="List Bullet 2")
    table = document.add_table(2, 2)
    for place, text in enumerate(("Food", "g|day", "Fish", "40")):
        table.cell(place // 2, place % 2).text = text
    document.add_paragraph("After the table.")
    document.add_heading("Dry food", 2)
    document.add_paragraph("Rarely.")
    document.save(str(path))
    return path


def pptx_file(path: Path) -> Path:
    import pptx

    presentation = pptx.Presentation()
    presentation.core_properties.title = "Cats"
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = "Why cats"
    slide.placeholders[1].text = "They purr\nThey sleep"
    slide.notes_slide.notes_text_frame.text = "Smile here."
    presentation.slides.add_slide(presentation.slide_layouts[6])  # nothing on it
    slide = presentation.slides.add_slide(presentation.slide_layouts[5])
    slide.shapes.title.text = "Numbers"
    table = slide.shapes.add_table(2, 2, 0, 0, 100, 100).table
    for place, text in enumerate(("Year", "Cats", "2024", "7")):
        table.cell(place // 2, place % 2).text = text
    presentation.save(str(path))
    return path


def xlsx_file(path: Path, rows: int = 3) -> Path:
    import openpyxl

    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = "Prices"
    sheet.append(["Name", "Price", "Day"])
    for number in range(rows):
        sheet.append([f"cat {number}", number + 0.5, datetime.datetime(2024, 1, 2)])
    workbook.create_sheet("Empty")
    workbook.save(path)
    return path


def epub_file(path: Path, chapters: dict[str, str] | None = None) -> Path:
    chapters = chapters or {
        "two.xhtml": "<html><body><h2>Second</h2><p>Two &amp; two.</p></body></html>",
        "a one.xhtml": '<?xml version="1.0"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml">'
        "<head><title/></head><body><h1>First&nbsp;chapter</h1><p>One.</p></body></html>",
    }
    items = "".join(
        f'<item id="i{number}" href="{name.replace(" ", "%20")}" media-type="application/xhtml+xml"/>'
        for number, name in enumerate(chapters)
    )
    spine = "".join(f'<itemref idref="i{number}"/>' for number in reversed(range(len(chapters))))
    return zip_file(
        path,
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>',
            "OPS/book.opf": '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>Cats</dc:title>'
            f"<dc:creator>Ada Byron</dc:creator></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>",
            **{f"OPS/{name}": text for name, text in chapters.items()},
        },
    )


def odt_file(path: Path, body: str, doctype: str = "") -> Path:
    spaces = "".join(f' xmlns:{name}="{name}"' for name in ("office", "text", "table"))
    return zip_file(
        path,
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": f"{doctype}<office:document-content{spaces}><office:body><office:text>{body}</office:text>"
            "</office:body></office:document-content>",
            "meta.xml": '<meta xmlns:dc="dc"><dc:title>Cats</dc:title><dc:creator>Ada Byron</dc:creator></meta>',
        },
    )


def message() -> EmailMessage:
    made = EmailMessage()
    made["Subject"] = "Grüße"
    made["From"] = "ada@example.org"
    made["To"] = "bob@example.org"
    made["Date"] = "Mon, 01 Jan 2024 10:00:00 +0100"
    made.set_content("The plain words.")
    made.add_alternative("<p>The other words.</p>", subtype="html")
    made.add_attachment(b"x", maintype="application", subtype="pdf", filename="report.pdf")
    return made


def zip_file(path: Path, content_by_name: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in content_by_name.items():
            archive.writestr(name, content)
    return path


def changed_zip(source: Path, target: Path, member: str, change: Callable[[bytes], bytes]) -> Path:
    """A copy of an archive with one member changed."""
    with zipfile.ZipFile(source) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    assert member in content
    return zip_file(target, {**content, member: change(content[member])})


def with_entities(part: bytes, tag: str) -> bytes:
    """A part of an office file that asks for a billion words inside of an element."""
    text = part.decode("utf-8")
    start = text.index("?>") + 2 if text.startswith("<?xml") else 0
    return (text[:start] + ENTITIES + text[start:].replace(f"<{tag}>", f"<{tag}>&l9;", 1)).encode()
