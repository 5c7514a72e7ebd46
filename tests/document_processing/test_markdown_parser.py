"""Markdown: sections, front matter, readable text."""

import json
from pathlib import Path

import pytest

from document_processing import MarkdownParser
from shared_utils.records import Document


@pytest.fixture
def parse(tmp_path: Path):
    def parse(text: str, **options: bool) -> list[Document]:
        path = tmp_path / "guide.md"
        path.write_bytes(text.encode("utf-8"))
        return MarkdownParser(**options).parse(path)

    return parse


def test_each_section_is_a_document_with_its_path_and_lines(parse):
    """The lines are those an editor shows, front matter included."""
    text = "---\ntitle: Guide\n---\nLead.\n\n# One\n\nText.\n\n## Two\nMore.\n\n# Three\n"
    documents = parse(text)
    seen = [
        (d["metadata"]["heading_path"], d["metadata"]["level"], d["metadata"]["line_start"], d["metadata"]["line_end"])
        for d in documents
    ]
    assert seen == [([], 0, 4, 4), (["One"], 1, 6, 8), (["One", "Two"], 2, 10, 11), (["Three"], 1, 13, 13)]
    assert {d["title"] for d in documents} == {"Guide"}
    lines = text.split("\n")
    assert lines[5:8] == ["# One", "", "Text."]


def test_a_hash_inside_a_code_block_is_no_heading(parse):
    """Comments of shell and Python examples must not cut the section."""
    documents = parse("# Title\n\n```sh\n# comment\nls\n```\n\nEnd.\n")
    assert [d["content"] for d in documents] == ["# Title\n\n```sh\n# comment\nls\n```\n\nEnd."]


def test_text_is_readable_and_structure_stays(parse):
    """Marks go; code, lists and tables stay; link targets move into the metadata."""
    (document,) = parse(
        "# A **b** { #anchor }\n\nSee [the *guide*](https://x.y/z) and `a_b`. ![plan](p.png)\n\n"
        "- one\n- two\n  1. deep\n\n| A | B |\n|:--|--:|\n| 1 \\| 2 | **3** |\n\n> Quoted.\n\n---\n\nEnd<br>here.\n"
    )
    assert document["content"] == (
        "# A b\n\nSee the guide and a_b. plan\n\n- one\n- two\n  1. deep\n\n"
        "| A | B |\n| --- | --- |\n| 1 | 2 | 3 |\n\nQuoted.\n\nEnd\nhere."
    )
    assert document["metadata"]["links"] == ["https://x.y/z"]


def test_html_is_reduced_to_what_a_reader_sees(parse):
    """Scripts and comments go with their bodies; a word like List<String> in code stays."""
    (document,) = parse(
        "<!-- todo -->\n<p>Kept <b>words</b></p>\n\n<script>\nvar x = 1;\n</script>\n\n"
        "Press <kbd>Esc</kbd>. R&amp;D, 3 < 4. `List<String>`<script>evil()</script>\n"
    )
    assert document["content"] == "Kept words\n\nPress Esc. R&D, 3 < 4. List<String>"


def test_formulas_and_footnotes_survive(parse):
    """`_` in a formula is no emphasis, and a footnote is no link target."""
    (document,) = parse("Let $a_1 * b_1$ and $c_2 * d_2$.[^n]\n\n[^n]: Kept.\n\nIt costs $3 or $4.\n")
    assert document["content"] == "Let $a_1 * b_1$ and $c_2 * d_2$.[^n]\n\n[^n]: Kept.\n\nIt costs $3 or $4."


def test_code_blocks_can_be_left_out(parse):
    """`preserve_code_blocks` off."""
    (document,) = parse("Before.\n\n```\ncode\n```\n\nAfter.\n", preserve_code_blocks=False)
    assert document["content"] == "Before.\n\nAfter."


def test_a_file_can_stay_one_document(parse):
    """`split_by_sections` off."""
    (document,) = parse("# One\n\nA.\n\n# Two\n\nB.\n", split_by_sections=False)
    assert document["content"] == "# One\n\nA.\n\n# Two\n\nB."
    assert (document["metadata"]["line_start"], document["metadata"]["line_end"]) == (1, 7)


@pytest.mark.parametrize(
    ("block", "values"),
    [
        ("---\ndate: 2023-11-05\n2024: x\nno: y\n---\n", {"date": "2023-11-05", "2024": "x", "false": "y"}),
        ("---\ncontent: c\nhandler: h\n---\n", {"content": "c", "handler": "h"}),
        ("---\nnan: .nan\nblob: !!binary aGVsbG8=\n---\n", {"nan": "nan", "blob": "aGVsbG8="}),
        ("---\nset: !!set {b, a}\n---\n", {"set": ["a", "b"]}),
        ('{\n"title": "T"\n}\n', {"title": "T"}),
        ('+++\ntitle = "T"\n+++\n', {"title": "T"}),
        ("\ufeff---\r\ntitle: T\r\n---\r\n", {"title": "T"}),
    ],
)  # fmt: skip
def test_front_matter_becomes_json_safe_metadata(parse, block: str, values: dict[str, object]):
    """Dates, odd keys, sets and not-a-number are no JSON."""
    (document,) = parse(block + "\nBody.\n")
    assert document["metadata"]["frontmatter"] == values
    assert document["content"] == "Body."
    json.dumps(document, allow_nan=False)


@pytest.mark.parametrize(
    "block",
    [
        '---\ntitle: "open\n  : no\n---\n',
        "---\n- a\n- b\n---\n",
        "---\nloop: &x [1, *x]\n---\n",
        '---\nt: !!python/object/apply:os.system ["true"]\n---\n',
        "---\nn: " + "7" * 6000 + "\n---\n",
        "---\nx: " + "[" * 5000 + "]" * 5000 + "\n---\n",
        "---\na: &a [1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True))
        + "---\n",
    ],
)
def test_front_matter_that_cannot_be_used_stays_as_text_and_is_told(parse, block: str):
    """Nothing of the file is lost, nothing is executed, nothing explodes."""
    first, second = parse(block + "\nBody.\n")
    assert first["content"].strip() in block
    assert second["content"] == "Body."
    assert "kept as text" in second["metadata"]["warnings"][0]


def test_front_matter_of_comments_is_empty(parse):
    """It is neither text nor worth a warning."""
    (document,) = parse("---\n# keep this block\n---\n\nBody.\n")
    assert document["content"] == "Body."
    assert "warnings" not in document["metadata"]
    assert document["metadata"]["line_start"] == 5


def test_a_rule_at_the_top_is_no_front_matter(parse):
    """Otherwise the first paragraphs would be lost."""
    (document,) = parse("---\n\nFirst: paragraph.\n\n---\n\nSecond.\n")
    assert document["content"] == "First: paragraph.\n\nSecond."


@pytest.mark.parametrize("text", ["> " * 3000, "[" * 30_000, "](" * 30_000, "**a " * 20_000, "<div>" * 20_000])
def test_hostile_nesting_loses_nothing(parse, text: str):
    """The Markdown library drops what is nested too deeply; such blocks stay as written."""
    documents = parse(f"{text}inside\n\nTail survives.\n")
    content = "\n".join(d["content"] for d in documents)
    assert "inside" in content
    assert "Tail survives." in content
