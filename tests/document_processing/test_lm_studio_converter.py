"""Chunks and instruction pairs of documents."""

import json
from pathlib import Path

import pytest

from document_processing import LMStudioConverter, MarkdownParser
from shared_utils.errors import ConfigurationError
from shared_utils.records import Document

GUIDE = """# Guide

This guide tells how to bake bread at home. It is short.

## Choosing flour

Flour with much protein makes a firm dough. Rye needs sour dough to rise. | not a table

## Empty

## Is yeast alive?

Yeast is a living thing and likes it warm.

## Only code

```sh
bake
```

## Brot

Das Brot wird bei großer Hitze gebacken und danach lange auf einem Gitter gekühlt.
"""


@pytest.fixture
def documents(tmp_path: Path) -> list[Document]:
    path = tmp_path / "guide.md"
    path.write_text(GUIDE, encoding="utf-8")
    return MarkdownParser().parse(path)


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_each_chunk_is_an_exact_slice_and_says_of_what(documents: list[Document], unit: str):
    """`content[char_start:char_end] == text`, numbered within its document."""
    chunks = LMStudioConverter(chunk_size=40, overlap_size=8, chunk_unit=unit).convert(documents)
    content_by_path = {tuple(d["metadata"]["heading_path"]): d["content"] for d in documents}
    for chunk in chunks:
        metadata = chunk["metadata"]
        content = content_by_path[tuple(metadata["heading_path"])]
        assert content[metadata["char_start"] : metadata["char_end"]] == chunk["text"]
        assert 0 <= metadata["chunk_index"] < metadata["chunk_count"]
        assert metadata["title"] == "Guide"
        assert metadata[unit] <= 40


def test_metadata_can_be_left_out(documents: list[Document]):
    """For trainers that refuse unknown columns."""
    chunks = LMStudioConverter(chunk_unit="words", include_metadata=False).convert(documents)
    assert all(chunk["metadata"] == {} for chunk in chunks)


def test_each_answer_is_a_span_of_the_document(documents: list[Document]):
    """Nothing is made up: the pair names the place that it rests on."""
    pairs = LMStudioConverter(chunk_unit="words").convert_to_instructions(documents)
    content_by_heading = {d["metadata"]["heading_path"][-1]: d["content"] for d in documents}
    for pair in pairs:
        span = pair["metadata"]
        assert content_by_heading[span["heading"]][span["char_start"] : span["char_end"]] == pair["output"]
        assert (span["method"], pair["input"]) == ("heading", "")
    assert [pair["metadata"]["heading"] for pair in pairs] == ["Guide", "Choosing flour", "Is yeast alive?", "Brot"]
    answers = {pair["metadata"]["heading"]: pair["output"] for pair in pairs}
    assert answers["Guide"] == "This guide tells how to bake bread at home. It is short."


def test_questions_fit_the_heading(documents: list[Document]):
    """A heading that asks is taken as it is; other languages get no English around them."""
    pairs = LMStudioConverter(chunk_unit="words").convert_to_instructions(documents)
    questions = {pair["metadata"]["heading"]: pair["instruction"] for pair in pairs}
    assert questions["Is yeast alive?"] == "Is yeast alive?"
    assert questions["Brot"] == "Was sollte ich laut „Guide“ über „Brot“ wissen?"
    assert "“Choosing flour”" in questions["Choosing flour"]
    assert "“Guide”" in questions["Choosing flour"]


@pytest.mark.parametrize("output_format", ["jsonl", "text"])
def test_chunks_are_written_in_both_formats(documents: list[Document], tmp_path: Path, output_format: str):
    """`write` obeys `output_format`."""
    path = tmp_path / "out"
    converter = LMStudioConverter(output_format=output_format, chunk_unit="words")
    count = converter.write(documents, path)
    text = path.read_text(encoding="utf-8")
    assert count == len(documents)
    if output_format == "jsonl":
        assert [json.loads(line)["text"] for line in text.splitlines()] == [d["content"] for d in documents]
    else:
        assert text.startswith("# Guide\n\nThis guide")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk_size": 10, "overlap_size": 10}, "overlap_size"),
        ({"output_format": "csv"}, "output_format"),
        ({"chunk_unit": "pages"}, "chunk_unit"),
        ({"tokenizer": "/no/such/tokenizer.json"}, "tokenizer"),
    ],
)
def test_wrong_options_are_configuration_errors(options: dict[str, object], message: str):
    """Told when the converter is made, not at the first document."""
    with pytest.raises(ConfigurationError, match=message):
        LMStudioConverter(**options)
