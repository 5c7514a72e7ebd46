"""Private data and documents that say the same, through a whole extraction."""

import json
import random
from pathlib import Path

import pytest

from document_processing.settings import DocumentProcessingSettings
from shared_utils.errors import ConfigurationError
from workflows.extraction import extract_folder

OUTPUTS = ("documents.jsonl", "chunks.jsonl", "instructions.jsonl")
WORDS = random.Random(7).choices([f"word{number}" for number in range(2000)], k=400)
TEXT = ". ".join(" ".join(WORDS[start : start + 10]) for start in range(0, 400, 10)) + "."


def settings(*, workers: int = 2, text: bool = False, **cleaning: object) -> DocumentProcessingSettings:
    return DocumentProcessingSettings.model_validate(
        {
            "lm_studio": {
                "chunk_unit": "words",
                "chunk_size": 60,
                "overlap_size": 5,
                "instruction_format": True,
                "output_format": "text" if text else "jsonl",
            },
            "cleaning": cleaning,
            "extraction": {"workers": workers},
        }
    )


def read_jsonl(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def manifest_of(out: Path) -> dict:
    return json.loads((out / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """A text, a near copy, the same text in other white space, and a file that shares one of two sections."""
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text(TEXT, encoding="utf-8")
    (root / "b.txt").write_text(TEXT.replace(WORDS[200], "changed", 1), encoding="utf-8")
    (root / "c.md").write_text(
        f"# Guide\n\n{' '.join(reversed(WORDS))}\n\n## Rules\n\n{TEXT}\n\n## End\n\nThat is all.\n", encoding="utf-8"
    )
    (root / "sub" / "d.txt").write_text(TEXT.upper().replace(". ", ".\n"), encoding="utf-8")
    (root / "z.txt").write_text("## End That is all.", encoding="utf-8")
    return root


def test_duplicates_are_left_out_with_their_chunks_and_told(copies: Path, tmp_path: Path):
    """The first in the order of the outputs stays; `ok + failed + skipped = files found`."""
    out = tmp_path / "out"
    summary = extract_folder(copies, out, settings(dedupe=True))
    documents = read_jsonl(out / "documents.jsonl")
    headings = [(d["source"], d["metadata"].get("heading_path", [""])[-1]) for d in documents]
    assert headings == [("a.txt", ""), ("c.md", "Guide"), ("c.md", "End")]
    chunks, pairs = read_jsonl(out / "chunks.jsonl"), read_jsonl(out / "instructions.jsonl")
    assert {record["metadata"]["source"] for record in chunks} == {"a.txt", "c.md"}
    assert not [record for record in [*chunks, *pairs] if "Rules" in json.dumps(record)]
    for chunk in chunks:
        place = chunk["metadata"]
        same = [d for d in documents if d["metadata"].get("line_start") == place.get("line_start")]
        assert any(d["content"][place["char_start"] : place["char_end"]] == chunk["text"] for d in same)
    manifest = manifest_of(out)
    assert (manifest["ok"], manifest["skipped"], manifest["files_found"]) == (2, 3, 5)
    assert manifest["duplicates_total"] == summary.as_dict()["duplicates"] == 4
    shown = [(entry["path"], entry["document"], entry["of"]["path"]) for entry in manifest["duplicates"]]
    assert shown == [("b.txt", 0, "a.txt"), ("c.md", 1, "a.txt"), ("sub/d.txt", 0, "a.txt"), ("z.txt", 0, "c.md")]
    assert manifest["duplicates"][1]["heading_path"] == ["Guide", "Rules"]
    assert [entry["similarity"] == 1 for entry in manifest["duplicates"]] == [False, False, True, True]
    by_path = {file["path"]: file for file in manifest["files"]}
    assert (by_path["b.txt"]["status"], by_path["b.txt"]["reason"]) == ("skipped", "a duplicate of a.txt")
    assert (by_path["c.md"]["documents"], by_path["c.md"]["duplicates"]) == (2, 1)
    assert by_path["c.md"]["chunks"] == sum(chunk["metadata"]["source"] == "c.md" for chunk in chunks)
    assert summary.as_dict()["documents"] == 3
    assert summary.as_dict()["characters"] == sum(len(document["content"]) for document in documents)


def test_outputs_are_equal_for_any_number_of_workers_and_from_the_cache(copies: Path, tmp_path: Path):
    """The decision falls in the order of the outputs."""
    extract_folder(copies, tmp_path / "one", settings(dedupe=True, redact=["emails"], workers=1))
    extract_folder(copies, tmp_path / "three", settings(dedupe=True, redact=["emails"], workers=3))
    again = extract_folder(copies, tmp_path / "three", settings(dedupe=True, redact=["emails"], workers=3))
    for name in OUTPUTS:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()
    assert again.as_dict()["cached"] == len(again.ok) == 2


def test_without_the_setting_all_stay(copies: Path, tmp_path: Path):
    """And a run with it, from the same cache, leaves the same out as a fresh one; then all are back."""
    plain = extract_folder(copies, tmp_path / "out", settings(text=True)).as_dict()
    assert (plain["documents"], plain["duplicates"], plain["skipped"]) == (7, 0, 0)
    less = extract_folder(copies, tmp_path / "out", settings(dedupe=True, text=True)).as_dict()
    assert (less["documents"], less["duplicates"], less["skipped"]) == (3, 4, 3)
    assert sorted(path.name for path in (tmp_path / "out" / "text").iterdir()) == ["a.txt.txt", "c.md.txt"]
    text = (tmp_path / "out" / "text" / "c.md.txt").read_text(encoding="utf-8")
    assert WORDS[3] + " " + WORDS[4] not in text
    assert extract_folder(copies, tmp_path / "out", settings()).as_dict()["documents"] == 7


def test_private_data_is_in_no_output_and_not_in_the_cache(tmp_path: Path):
    """Content, title, front matter, links, chunks, pairs and text files; the manifest counts and warns."""
    root, out = tmp_path / "in", tmp_path / "out"
    root.mkdir()
    (root / "a.md").write_text(
        "---\nauthor: secret.person@example.com\n---\n# Ask secret.person@example.com\n\n"
        "Write to [her](mailto:secret.person@example.com) or secret.person@example.com. "
        "Call +44 121 234 5678 today.\n\n```\nuser = secret.person@example.com\n```\n",
        encoding="utf-8",
    )
    extract_folder(root, out, settings(text=True))  # what an earlier run left must go
    summary = extract_folder(root, out, settings(text=True, redact=["emails"]))
    for path in out.rglob("*"):
        if path.is_file():
            assert b"secret.person" not in path.read_bytes(), path
    document = read_jsonl(out / "documents.jsonl")[0]
    assert document["title"] == "Ask [EMAIL]"
    assert document["metadata"]["frontmatter"] == {"author": "[EMAIL]"}
    assert "```\nuser = [EMAIL]\n```" in document["content"]
    assert "+44 121 234 5678" in document["content"]
    manifest = manifest_of(out)
    assert manifest["redaction"]["note"] == "best effort, not anonymisation"
    assert manifest["redaction"]["kinds"] == ["emails"]
    assert manifest["redaction"]["replaced"] == summary.redacted == manifest["files"][0]["redacted"]
    assert summary.redacted["emails"] >= 4
    more = extract_folder(root, out, settings(redact=["emails", "phones"]))
    assert more.redacted["phones"] == 1
    assert extract_folder(root, out, settings()).redacted == {}


def test_a_missing_package_stops_before_any_file_is_read(copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With the command that installs it."""
    monkeypatch.setitem(__import__("sys").modules, "datasketch", None)
    with pytest.raises(ConfigurationError, match="datasketch"):
        extract_folder(copies, tmp_path / "out", settings(dedupe=True))
    assert not (tmp_path / "out" / "documents.jsonl").exists()
