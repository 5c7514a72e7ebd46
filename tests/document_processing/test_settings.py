"""Settings of extraction."""

import pytest
from pydantic import ValidationError

from document_processing.settings import DocumentProcessingSettings, LMStudioSettings


def test_the_promised_keys_have_their_promised_defaults():
    """They stand in the documentation."""
    settings = DocumentProcessingSettings().model_dump()
    promised = {"use_pdfplumber_first": True, "fallback_to_pypdf2": True, "extract_by_page": True}
    assert settings["pdf"] == {**settings["pdf"], **promised}
    assert settings["markdown"] == {
        "extract_frontmatter": True,
        "split_by_sections": True,
        "preserve_code_blocks": True,
    }
    assert {key: settings["lm_studio"][key] for key in ("chunk_size", "output_format", "overlap_size")} == {
        "chunk_size": 512,
        "output_format": "jsonl",
        "overlap_size": 50,
    }


def test_overlap_must_be_smaller_than_the_chunk():
    """The error names both keys."""
    with pytest.raises(ValidationError, match=r"overlap_size \(64\) must be smaller than chunk_size \(64\)"):
        LMStudioSettings(chunk_size=64, overlap_size=64)
