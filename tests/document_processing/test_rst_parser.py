"""reStructuredText: sections, readable text."""

from pathlib import Path

import pytest

from document_processing.parsers.rst_parser import RstParser
from shared_utils.records import Document


@pytest.fixture
def parse(tmp_path: Path):
    def parse(text: str) -> list[Document]:
        path = tmp_path / "guide.rst"
        path.write_bytes(text.encode("utf-8"))
        return RstParser().parse(path)

    return parse


def test_a_file_without_titles_is_one_document(parse):
    """Files that others include often have none."""
    (document,) = parse("Only a paragraph.\n\nAnd one more.\n")
    assert document["content"] == "Only a paragraph.\n\nAnd one more."
    assert (document["title"], document["metadata"]["heading_path"]) == ("guide", [])
    assert (document["metadata"]["line_start"], document["metadata"]["line_end"]) == (1, 3)
