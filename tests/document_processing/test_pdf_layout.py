"""What pdfium's text becomes: reading order, tables, accents, forms, turned pages. The files are drawn here."""

from pathlib import Path

import pytest
from pdf_samples import pdf_bytes

from document_processing import PDFParser

canvas_module = pytest.importorskip("reportlab.pdfgen.canvas")

LEFT, RIGHT = 60, 320
SENTENCES = [
    "the old lighthouse keeper counted ships that",
    "passed in the night and wrote their names into",
    "a thick book that nobody ever read before the",
    "storm of that winter took the roof away and",
    "left the pages to the rain for three long days",
    "until his daughter found them in the morning",
    "and hung them up to dry beside the warm stove",
]


@pytest.fixture
def draw(tmp_path: Path):
    def drawn(*pieces, size=10, each=None, **options):
        """The document of a page with these pieces (x, y, text) in the order given."""
        path = tmp_path / "page.pdf"
        canvas = canvas_module.Canvas(str(path), pagesize=(595, 842))
        canvas.setFont("Helvetica", size)
        for x, y, text in pieces:
            canvas.drawString(x, y, text)
        if each:
            each(canvas)
        canvas.save()
        (document,) = PDFParser(**options).parse(path)
        assert document["metadata"]["parser"] == "pypdfium2"
        return document

    return drawn


def column(x, first, prefix="", top=700):
    return [(x, top - 12 * n, f"{prefix}{line}") for n, line in enumerate(SENTENCES[first : first + 7])]


def words(text):
    return " ".join(text.split())


def test_columns_that_are_drawn_line_by_line_are_read_one_after_the_other(draw):
    """Old programs write across the page; a reader reads down the columns."""
    left, right = column(LEFT, 0), column(RIGHT, 0, "R ")
    content = draw(*[piece for pair in zip(left, right, strict=True) for piece in pair])["content"]
    assert words(content) == words(" ".join(piece[2] for piece in [*left, *right]))


def test_a_title_that_is_drawn_last_is_read_first(draw):
    """Where the drawing jumps back up the page, blocks are put in order; columns stay whole."""
    left, right = column(LEFT, 0, top=600), column(RIGHT, 0, "R ", top=600)
    title = (LEFT, 680, "A title over both columns of this page, drawn after everything else on it")
    content = draw(*left, *right, title)["content"]
    assert words(content) == words(" ".join(piece[2] for piece in [title, *left, *right]))


def test_what_stands_in_columns_without_lines_is_a_table(draw):
    """Each row on one line; a cell that goes on below belongs to its row."""
    rows = [(700, "Part", "Price"), (686, "Kettle", "40"), (675, "", "euros"), (661, "Lid of the pot", "9")]
    rows.append((647, "Filter", "3"))
    pieces = [piece for y, part, price in rows for piece in [(60, y, part), (300, y, price)] if piece[2]]
    document = draw((60, 760, "The prices of this year are these."), *pieces)
    assert "| Part | Price |\n| Kettle | 40 euros |\n| Lid of the pot | 9 |\n| Filter | 3 |" in document["content"]
    assert document["metadata"]["tables"] == 1


def test_a_row_that_is_drawn_out_of_order_is_read_from_left_to_right(draw):
    """A number was drawn before the word to its left."""
    document = draw((60, 700, "NEEL KASHKARI"), (300, 700, "247"), (200, 700, "REP"))
    assert document["content"] == "NEEL KASHKARI REP 247"


def test_a_list_whose_marks_stand_apart_is_no_table(draw):
    pieces = [piece for n in range(5) for piece in [(60, 700 - 14 * n, "•"), (100, 700 - 14 * n, SENTENCES[n])]]
    document = draw(*pieces)
    assert document["metadata"]["tables"] == 0
    assert document["content"].split("\n")[0] == f"• {SENTENCES[0]}"


def test_the_text_of_a_ruled_table_stands_once_and_in_its_place(draw):
    """A cell with two lines is one line of text, and a cut word in it is whole."""

    def grid(canvas):
        canvas.grid([60, 200, 340], [600, 560, 520])
        for x, y, text in [(65, 585, "Port of infor-"), (65, 573, "mation"), (205, 580, "Service"), (65, 540, "443")]:
            canvas.drawString(x, y, text)
        canvas.drawString(205, 540, "https")
        canvas.drawString(60, 480, "After the table comes more text.")

    content = draw((60, 700, "Before the table stands text."), each=grid)["content"]
    assert content == (
        "Before the table stands text.\n\n| Port of information | Service |\n| 443 | https |"
        "\n\nAfter the table comes more text."
    )


def test_a_caption_within_a_sentence_moves_behind_it(draw):
    """A figure at the foot of a column parts a paragraph in two."""
    above = [(60, 700 - 12 * n, line) for n, line in enumerate(SENTENCES[:3])]
    caption = (60, 630, "Figure 3: The lighthouse, seen from the harbour.")
    below = [(60, 580 - 12 * n, f"{line}.") for n, line in enumerate(SENTENCES[3:5])]
    content = draw(*above, caption, *below)["content"]
    assert words(content) == words(" ".join(piece[2] for piece in [*above, *below, caption]))


def test_a_raised_number_stays_in_its_line(draw):
    def fraction(canvas):
        canvas.drawString(60, 700, "up to ")
        canvas.setFont("Helvetica", 6)
        canvas.drawString(88, 704, "1")
        canvas.setFont("Helvetica", 10)
        canvas.drawString(91.5, 700, "/4 inch")

    assert draw(each=fraction)["content"] == "up to 1/4 inch"


@pytest.mark.parametrize(("accent", "letter", "shift", "expected"), [("´", "e", 1.2, "é"), ("¨", "u", 1.2, "ü")])
def test_an_accent_drawn_over_a_letter_becomes_one_with_it(draw, accent, letter, shift, expected):
    """As old TeX fonts draw it: first the accent, then the letter below."""

    def accented(canvas):
        canvas.drawString(60, 700, "caf")
        width = canvas.stringWidth("caf", "Helvetica", 10)
        canvas.drawString(60 + width + shift, 700, accent)
        canvas.drawString(60 + width, 700, letter)
        canvas.drawString(60 + width + 5.56, 700, " is open")

    assert draw(each=accented)["content"] == f"caf{expected} is open"


def test_a_quotation_mark_beside_a_letter_is_no_accent(draw):
    """`add` in a text about programs stays as it is."""
    assert draw((60, 700, "call `add` or `open` and ~user"))["content"] == "call `add` or `open` and ~user"


def test_an_underscore_that_is_drawn_as_a_rule_is_written(draw):
    def name(canvas):
        canvas.drawString(60, 700, "call get")
        x = 60 + canvas.stringWidth("call get", "Helvetica", 10)
        canvas.rect(x + 0.3, 699.6, 4, 0.4, stroke=0, fill=1)
        canvas.drawString(x + 4.8, 700, "token now")

    assert draw(each=name)["content"] == "call get_token now"


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_page_reads_as_an_upright_one(tmp_path: Path, turn):
    """Landscape tables stand on pages that are turned, or are turned themselves."""
    path = tmp_path / "turned.pdf"
    canvas = canvas_module.Canvas(str(path), pagesize=(595, 595))
    canvas.translate(297, 297)
    canvas.rotate(turn)
    canvas.translate(-297, -297)
    canvas.setFont("Helvetica", 10)
    rows = [("Part", "Price"), ("Kettle", "40"), ("Lid", "9"), ("Filter", "3")]
    for n, row in enumerate(rows):
        canvas.drawString(100, 450 - 14 * n, row[0])
        canvas.drawString(300, 450 - 14 * n, row[1])
    canvas.save()
    (document,) = PDFParser().parse(path)
    assert document["content"] == "| Part | Price |\n| Kettle | 40 |\n| Lid | 9 |\n| Filter | 3 |"


def test_what_was_filled_into_a_form_is_read(draw):
    def form(canvas):
        canvas.drawString(60, 700, "Name:")
        canvas.acroForm.textfield(name="name", value="Ada Lovelace", x=100, y=695, width=200, height=18, fontSize=10)

    assert words(draw(each=form)["content"]) == "Name: Ada Lovelace"


def test_hebrew_is_read_in_logical_order(tmp_path: Path):
    """A page draws it from left to right, mirrored."""
    fonts = pytest.importorskip("reportlab.pdfbase.ttfonts")
    from matplotlib import get_data_path
    from reportlab.pdfbase import pdfmetrics

    pdfmetrics.registerFont(fonts.TTFont("DejaVu", f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf"))
    path = tmp_path / "hebrew.pdf"
    canvas = canvas_module.Canvas(str(path))
    canvas.setFont("DejaVu", 12)
    canvas.drawString(300, 700, "שלום עולם"[::-1])
    canvas.save()
    (document,) = PDFParser().parse(path)
    assert document["content"] == "שלום עולם"


def test_the_table_of_contents_gives_each_page_its_heading_path(tmp_path: Path):
    """A page that begins with a heading belongs to it, one that goes on to the heading before."""
    path = tmp_path / "outline.pdf"
    canvas = canvas_module.Canvas(str(path))
    entries = {0: [("One", 0)], 1: [("One A", 1)], 3: [("Two", 0)]}
    first_lines = ["One", "One A", "more of it", "it ends here"]
    for number, line in enumerate(first_lines):
        for title, level in entries.get(number, ()):
            canvas.bookmarkPage(title)
            canvas.addOutlineEntry(title, title, level)
        canvas.drawString(60, 700, f"{line} and some words on page {'abcd'[number]}")
        canvas.showPage()
    canvas.save()
    documents = PDFParser().parse(path)
    assert [document["metadata"].get("heading_path") for document in documents] == [
        ["One"],
        ["One", "One A"],
        ["One", "One A"],
        ["One", "One A"],
    ]


def test_lines_of_a_script_without_spaces_are_joined(draw, tmp_path: Path):
    """A line end in Japanese is no space; the last line of a paragraph ends it."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont

    pdfmetrics.registerFont(UnicodeCIDFont("HeiseiMin-W3"))
    path = tmp_path / "japanese.pdf"
    canvas = canvas_module.Canvas(str(path))
    canvas.setFont("HeiseiMin-W3", 10)
    for n, line in enumerate(
        ["これはとても長い文章の最初の行なので", "次の行に続いていきます。", "これは別の段落です。"]
    ):
        canvas.drawString(60, 700 - 14 * n, line)
    canvas.save()
    (document,) = PDFParser().parse(path)
    assert document["content"] == "これはとても長い文章の最初の行なので次の行に続いていきます。\nこれは別の段落です。"


def test_columns_whose_lines_are_drawn_from_right_to_left_are_read_one_after_the_other(draw):
    """The white space between paragraphs differs from column to column, and a footer stands apart."""
    columns = [
        (40, SENTENCES),
        (225, [*SENTENCES[:3], "", *SENTENCES[:3]]),
        (410, [*SENTENCES[4:], "", *SENTENCES[:3]]),
    ]
    rows = [[(x, 700 - 12 * n, f"{lines[n][:28]}.") for x, lines in columns if lines[n]] for n in range(7)]
    drawn = [piece for row in rows for piece in reversed(row)]
    content = draw(*drawn, (40, 590, "Footer"), (420, 590, "page 9"), size=9)["content"]
    expected = [piece[2] for x, _ in columns for row in rows for piece in row if piece[0] == x]
    assert words(content) == words(" ".join([*expected, "Footer page 9"]))


def test_a_page_with_characters_that_are_not_written_keeps_its_layout(tmp_path: Path):
    """pdfium counts a glyph whose table gives it a control code, but does not write it."""
    rows = [("Part", "Price~"), ("Kettle", "40"), ("Lid", "9"), ("Filter", "3")]
    drawn = "".join(
        f"1 0 0 1 60 {700 - 14 * n} Tm ({part}) Tj 1 0 0 1 300 {700 - 14 * n} Tm ({price}) Tj "
        for n, (part, price) in enumerate(rows)
    )
    table = b"begincmap 1 begincodespacerange <00> <ff> endcodespacerange 1 beginbfchar <7e> <0002> endbfchar endcmap"
    data = pdf_bytes([[]], drawing=f"BT /F1 10 Tf {drawn}ET ").replace(b"/Helvetica", b"/Helvetica/ToUnicode 9 0 R")
    path = tmp_path / "unwritten.pdf"
    path.write_bytes(data.replace(b"xref\n", b"9 0 obj\n<</Length 107>>stream\n" + table + b"\nendstream\nendobj\n", 1))
    (document,) = PDFParser().parse(path)
    assert document["content"] == "| Part | Price |\n| Kettle | 40 |\n| Lid | 9 |\n| Filter | 3 |"


def test_the_top_of_a_column_is_no_header(draw):
    """It ends high up, as in reference cards, and stands as high as the columns beside it."""
    left = column(60, 0, top=800)
    content = draw(*left, (330, 800, "R what ends here is"), (330, 788, "R the last column"))["content"]
    assert words(content) == words(" ".join([*(piece[2] for piece in left), "R what ends here is R the last column"]))


def test_a_program_with_comments_beside_its_lines_is_no_table(draw):
    pieces = [(60, 700, "open(3)"), (200, 700, "# a file"), (60, 686, "read(3)"), (200, 686, "# all of it")]
    document = draw(*pieces, (60, 672, "close(3)"), (200, 672, "# and away"))
    assert document["content"] == "open(3) # a file\nread(3) # all of it\nclose(3) # and away"
    assert document["metadata"]["tables"] == 0


def test_the_size_of_a_page_may_stand_with_all_pages(tmp_path: Path):
    """A page inherits its size; its footer is where that page ends, even when it is drawn first."""
    lines = " ".join(f"1 0 0 1 60 {1100 - 20 * n} Tm (Line {n} of the text.) Tj" for n in range(30))
    drawing = f"BT /F1 10 Tf 1 0 0 1 60 30 Tm (The foot) Tj {lines} ET "
    path = tmp_path / "tall.pdf"
    path.write_bytes(pdf_bytes([[]], drawing=drawing, shared_size=(800, 1200)))
    (document,) = PDFParser().parse(path)
    assert document["content"].split("\n")[-1] == "The foot"


def test_what_reaches_over_the_border_of_a_table_stays_in_it(draw):
    """A name too long for its column is drawn over the line beside it."""

    def grid(canvas):
        canvas.grid([60, 100, 140], [600, 580, 560])
        for x, y, text in [(65, 586, "Name"), (105, 586, "Port"), (65, 566, "a"), (105, 566, "autoremove")]:
            canvas.drawString(x, y, text)

    assert draw(each=grid)["content"] == "| Name | Port |\n| a | autoremove |"
