"""Sets the handbook of the sample world as a PDF: headings, running lines, a ruled table.

Only needed when its text changes (`pip install reportlab`); the finished file is part of the
repository. Running it again writes the same bytes.
"""

import argparse
from pathlib import Path
from typing import Any

import yaml
from reportlab.lib import colors
from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table

HERE = Path(__file__).resolve().parent
TEXT_FILE = HERE / "sample_pdf_text.yaml"
TARGET = HERE.parent / "sample_world" / "files" / "documents" / "nebbin_handbook.pdf"
MARGIN = 18 * mm
RULE_COLOUR = colors.HexColor("#2f6f73")

STYLES = getSampleStyleSheet()
TITLE = ParagraphStyle("HandbookTitle", STYLES["Title"], textColor=RULE_COLOUR, spaceAfter=14)
HEADING = ParagraphStyle(
    "HandbookHeading",
    STYLES["Heading2"],
    textColor=RULE_COLOUR,
    spaceBefore=12,
    keepWithNext=1,  # never a heading alone at the end of a page
)
BODY = ParagraphStyle("HandbookBody", STYLES["BodyText"], fontName="Times-Roman", fontSize=10.5, leading=14)

# A dash, since text extractors cannot read the bullet sign of the standard fonts.
LIST_ITEM = ParagraphStyle("HandbookItem", BODY, leftIndent=12, bulletFontName="Times-Roman", spaceAfter=3)
LIST_SIGN = "\N{EN DASH}"


def main() -> int:
    """Writes the PDF and says where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=TARGET, help="file to write (default: %(default)s)")
    output: Path = parser.parse_args().output
    write_handbook(output)
    print(f"written: {output}")
    return 0


def write_handbook(output: Path) -> None:
    """Sets the whole text; `invariant` keeps dates and random ids out of the file."""
    content = yaml.safe_load(TEXT_FILE.read_text(encoding="utf-8"))
    document = SimpleDocTemplate(
        str(output),
        pagesize=A5,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN + 4 * mm,
        bottomMargin=MARGIN + 2 * mm,
        title=content["title"],
        author=content["author"],
        subject=content["subject"],
        invariant=1,
    )
    story: list[Flowable] = [Paragraph(content["title"], TITLE)]
    for block in content["blocks"]:
        story += flowables(block)

    def draw_running_lines(canvas: Canvas, _: Any) -> None:
        width, height = A5
        canvas.setFont("Helvetica", 8)
        canvas.drawString(MARGIN, height - 12 * mm, content["title"])
        canvas.drawRightString(width - MARGIN, height - 12 * mm, content["author"])
        canvas.line(MARGIN, height - 14 * mm, width - MARGIN, height - 14 * mm)
        canvas.drawCentredString(width / 2, 10 * mm, f"Page {canvas.getPageNumber()}")

    document.build(story, onFirstPage=draw_running_lines, onLaterPages=draw_running_lines)


def flowables(block: dict[str, Any]) -> list[Flowable]:
    """What one block of the text becomes on the page."""
    (kind, content), *_ = block.items()
    if kind == "heading":
        return [Paragraph(content, HEADING)]
    if kind == "paragraph":
        return [Paragraph(content, BODY), Spacer(1, 2 * mm)]
    if kind == "list":
        return [Paragraph(item, LIST_ITEM, bulletText=LIST_SIGN) for item in content]
    return [ruled_table(content), Spacer(1, 4 * mm)]


def ruled_table(rows: list[list[str]]) -> Table:
    """A table with a line around every cell and a shaded first row."""
    return Table(
        rows,
        hAlign="LEFT",
        style=[
            ("GRID", (0, 0), (-1, -1), 0.6, colors.black),
            ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#dcebea")),
            ("FONT", (0, 0), (-1, 0), "Helvetica-Bold", 9),
            ("FONT", (0, 1), (-1, -1), "Helvetica", 9),
        ],
    )


if __name__ == "__main__":
    raise SystemExit(main())
