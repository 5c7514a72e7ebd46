"""JSON, delimited text, messages, notebooks, reStructuredText and source code."""

import json
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from document_processing.parsers.registry import KNOWN_SUFFIXES, PARSERS, document_type, parser_for
from document_processing.parsers.spreadsheet_parser import delimiter_of
from shared_utils.errors import DocumentProcessingError
from shared_utils.file_utils import to_json
from tests.document_processing.office_samples import message


def parsed(path):
    return parser_for(path).parse(path)


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def test_records_with_a_text_field_become_that_text(tmp_path):
    records = [{"title": "One", "text": "First.", "n": 1, "tags": ["a"]}, {"a": {"b": [1, None, "x"]}, "c": True}]
    documents = parsed(written(tmp_path / "a.json", json.dumps({"data": records})))
    assert [document["content"] for document in documents] == ["First.", "a:\n  b:\n    - 1\n    - x\nc: true"]
    assert documents[0]["metadata"]["fields"] == {"title": "One", "n": 1, "tags": ["a"]}
    assert [(document["title"], document["metadata"]["record"]) for document in documents] == [("One", 1), ("a", 2)]


def test_one_broken_line_is_told_and_the_others_are_kept(tmp_path):
    documents = parsed(written(tmp_path / "a.jsonl", '{"text": "one"}\n\n{broken\n{"text": "four"}\n'))
    assert [(document["content"], document["metadata"]["line"]) for document in documents] == [("one", 1), ("four", 4)]
    assert documents[-1]["metadata"]["warnings"] == [
        "line 3, column 2: Expecting property name enclosed in double quotes"
    ]


def test_json_that_is_broken_as_a_whole_names_the_line(tmp_path):
    with pytest.raises(DocumentProcessingError, match="line 3, column 1"):
        parsed(written(tmp_path / "a.json", '{\n"a": 1\n'))
    with pytest.raises(DocumentProcessingError, match="nested too deeply"):
        parsed(written(tmp_path / "b.json", "[" * 100_000 + "]" * 100_000))


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "a", "b"]), inner),
        max_leaves=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_any_json_value_gives_documents_that_can_be_written(tmp_path_factory, value):
    path = written(tmp_path_factory.getbasetemp() / "any.json", json.dumps(value))
    for document in parsed(path):
        to_json(document).encode("utf-8")
        assert document["content"].strip()


def test_delimited_text_tells_its_delimiter_and_encoding(tmp_path):
    (document,) = parsed(written(tmp_path / "a.csv", 'Name;Preis\nBär;"1,50\nund mehr"\n'.encode("cp1252")))
    assert document["content"] == "| Name | Preis |\n| --- | --- |\n| Bär | 1,50 und mehr |"
    assert (document["metadata"]["delimiter"], document["metadata"]["encoding"]) == (";", "cp1252")
    assert document["metadata"]["columns"] == ["Name", "Preis"]


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2\n2,5;3\n", ";"),
        ("a|b|c\n1|2|3", "|"),
        ("a\tb\n1, 2\t3\n", "\t"),
        ("one\n", ","),
    ],
)
def test_the_delimiter_is_what_parts_most_lines_alike(text, delimiter):
    assert delimiter_of(text) == delimiter


def test_columns_beyond_the_limit_are_told(tmp_path):
    (document,) = parsed(written(tmp_path / "a.csv", ",".join("x" * 700) + "\n" + ",".join("1" * 700)))
    assert document["metadata"]["warnings"] == ["200 columns after the first 500 were left out"]


def test_a_message_is_its_plain_text_with_subject_people_and_attachments(tmp_path):
    (document,) = parsed(written(tmp_path / "a.eml", bytes(message())))
    assert (document["title"], document["content"]) == ("Grüße", "The plain words.")
    assert document["metadata"] == {
        "from": "ada@example.org",
        "to": "bob@example.org",
        "date": "2024-01-01T10:00:00+01:00",
        "attachments": ["report.pdf"],
    }


def test_a_message_that_is_only_html_is_made_readable(tmp_path):
    made = EmailMessage()
    made["Subject"] = "x"
    made.set_content("<h1>Hello</h1><p>One &amp; two</p>", subtype="html")
    assert [d["content"] for d in parsed(written(tmp_path / "a.eml", bytes(made)))] == ["# Hello\n\nOne & two"]


def test_each_message_of_a_mailbox_is_a_document(tmp_path):
    box = b"".join(b"From a@b Mon Jan  1 10:00:00 2024\n" + bytes(message()) + b"\n" for _ in range(2))
    documents = parsed(written(tmp_path / "a.mbox", box))
    assert [document["metadata"]["message"] for document in documents] == [1, 2]


@pytest.mark.parametrize(("name", "reason"), [("a.eml", "it has no header"), ("a.mbox", "it is not a mailbox")])
def test_what_is_no_message_says_so(tmp_path, name, reason):
    with pytest.raises(DocumentProcessingError, match=reason):
        parsed(written(tmp_path / name, "only words\n"))


def test_a_message_with_broken_headers_is_still_read(tmp_path):
    raw = (
        b"Subject: =?utf-8?b?!!!?=\r\nFrom: <<<>>>\r\nDate: some day\r\nContent-Type: text/plain; charset=odd\r\n\r\nHi"
    )
    (document,) = parsed(written(tmp_path / "a.eml", raw))
    assert (document["content"], document["metadata"]["date"]) == ("Hi", "some day")


def test_a_notebook_is_its_markdown_and_its_code(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# Cats\n", "They *purr*."]},
        {"cell_type": "code", "source": "print(1)\n# no heading", "outputs": [{"text": "1"}]},
        {"cell_type": "markdown", "source": "## More"},
    ]
    book = {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4}
    documents = parsed(written(tmp_path / "a.ipynb", json.dumps(book)))
    assert [document["content"] for document in documents] == [
        "# Cats\n\nThey purr.\n\n```python\nprint(1)\n# no heading\n```",
        "## More",
    ]
    assert documents[1]["metadata"]["heading_path"] == ["Cats", "More"]
    assert {document["type"] for document in documents} == {"notebook"}


def test_source_code_is_text_with_its_language(tmp_path):
    (document,) = parsed(written(tmp_path / "a.rs", "fn main() {}\n"))
    assert (document["type"], document["content"]) == ("text", "fn main() {}")
    assert document["metadata"]["language"] == "rust"


def test_every_suffix_has_a_parser_that_exists():
    for suffix in PARSERS:
        assert parser_for(f"a{suffix}").parse
        assert document_type(f"A{suffix.upper()}") == PARSERS[suffix].type
    known = KNOWN_SUFFIXES.split(", ")
    assert {".docx", ".zip"} <= set(known)
    assert ".rs" not in known


def test_a_readme_without_suffix_is_read(tmp_path):
    """So are other files that have none by custom; a file of any other name is not."""
    (document,) = parsed(written(tmp_path / "README", "Read me."))
    assert (document["type"], document["content"]) == ("text", "Read me.")
    assert document_type("a/Makefile") == "text"
    assert document_type("a/LICENSE") is document_type("a/core") is None
