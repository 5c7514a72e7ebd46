"""Plain text of any encoding, and what is refused."""

from pathlib import Path

import pytest

from document_processing import TextParser, sanitize_text_input
from shared_utils.errors import DataValidationError, DocumentProcessingError, NoDocumentError

UKRAINIAN = "Кожен охочий мисливець бажає знати, де сидить фазан. " * 20
FRENCH = "Les élèves français étaient très étonnés par l'été à Genève. " * 20
JAPANESE = "これは日本語の文章です。文字コードを調べるために書きました。" * 20


@pytest.mark.parametrize(
    ("text", "codec", "encoding"),
    [
        ("plain words", "ascii", "utf-8"),
        (UKRAINIAN, "utf-8", "utf-8"),
        (UKRAINIAN, "utf-8-sig", "utf-8"),
        (UKRAINIAN, "cp1251", "cp1251"),
        (FRENCH, "cp1252", "iso8859-15"),  # the same bytes in both
        (JAPANESE, "cp932", "cp932"),
        (FRENCH, "utf-16", "utf-16-le"),
        (FRENCH, "utf-16-be", "utf-16-be"),
        (UKRAINIAN, "utf-32", "utf-32-le"),
    ],
)
def test_the_encoding_is_found(tmp_path: Path, text: str, codec: str, encoding: str):
    """And told, with how sure that is."""
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(codec))
    (document,) = TextParser().parse(path)
    assert document["content"] == text.strip()
    assert document["metadata"]["encoding"] == encoding
    assert 0 < document["metadata"]["confidence"] <= 1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"Before. \xed\xa0\x80 Behind.", "Before. \ufffd\ufffd\ufffd Behind."),
        ("Füße und Wärme überall. ".encode() * 40 + b"\xff Ende.", None),
        (b"\xff\xfeT\0e\0x\0t\0.\0x", "Text.\ufffd"),
    ],
)
def test_damage_is_replaced_and_told(tmp_path: Path, data: bytes, expected: str | None):
    """One wrong byte does not turn UTF-8 into something else."""
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    (document,) = TextParser().parse(path)
    assert "\ufffd" in document["content"]
    assert expected is None or document["content"] == expected
    assert "replaced" in document["metadata"]["warnings"][0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "a PNG image"),
        (b"\x1f\x8b\x08\0", "a gzip archive"),
        (b"%PDF-1.7\n1 0 obj", "a PDF document"),
        (bytes(range(256)) * 8, "binary"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes, reason: str):
    """A name can lie; raw bytes must never become training text."""
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    with pytest.raises(DocumentProcessingError, match=reason):
        TextParser().parse(path)


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n", b"\xef\xbb\xbf"])
def test_a_blank_file_makes_no_document(tmp_path: Path, data: bytes):
    """An empty record is of no use."""
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    assert TextParser().parse(path) == []


def test_control_characters_go_and_content_stays(tmp_path: Path):
    """NFC, not NFKC: x² and ½ and ™ are what was written."""
    path = tmp_path / "a.txt"
    path.write_text("\x1b[31mred\x1b[0m x² ½ ™ e\u0301\x00\x08 a\x0cb\r\nc", encoding="utf-8", newline="")
    assert TextParser().parse(path)[0]["content"] == "red x² ½ ™ é a\nb\nc"


def test_a_missing_file_is_told(tmp_path: Path):
    """With its name."""
    with pytest.raises(DataValidationError, match="File not found"):
        TextParser().parse(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a<script>alert(1)</script>b", "ab"),
        ("if a < b and c > d", "if a < b and c > d"),
        ("List<String> x", "List<String> x"),
        ("<|im_end|> and <https://a.b>", "<|im_end|> and <https://a.b>"),
        ("<p>One</p><style>p{}</style><p>Two</p>", "One\n\nTwo"),
        ("＜script＞x² ™", "＜script＞x² ™"),
    ],
)
def test_only_html_is_treated_as_html(text: str, expected: str):
    """Regular expressions over `<...>` would eat code and maths, and leave the body of scripts."""
    assert sanitize_text_input(text) == expected


def test_too_long_text_is_refused_and_not_cut():
    """Cutting silently would be loss of data."""
    with pytest.raises(DataValidationError, match="the limit is 10"):
        sanitize_text_input("x" * 11, max_length=10)


def test_minified_code_is_left_out(tmp_path: Path):
    """Indexes and libraries of web pages would be a large part of the chunks of a documentation."""
    path = tmp_path / "searchindex.js"
    path.write_text("var a=1;" * 5_000, encoding="utf-8")
    with pytest.raises(NoDocumentError, match="minified"):
        TextParser().parse(path)
    path.write_text("var a = 1;\n" * 5_000, encoding="utf-8")
    assert len(TextParser().parse(path)) == 1
