"""ZIP archives: every member is told, and nothing is written or read outside."""

import json
import os
import stat
import zipfile

import pytest

from document_processing.parsers import zip_safety
from document_processing.settings import DocumentProcessingSettings
from shared_utils.errors import DocumentProcessingError
from shared_utils.file_utils import TEMPORARY_PREFIX
from tests.document_processing.office_samples import docx_file, zip_file
from workflows.archives import MemberReader, members_of
from workflows.extraction import extract_folder
from workflows.file_discovery import find_files


def settings(**extraction):
    return DocumentProcessingSettings.model_validate(
        {
            "lm_studio": {"chunk_unit": "words"},
            "extraction": {"workers": 2, "timeout_seconds": 60, **extraction},
        }
    )


def rows_of(folder):
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["ok"] + manifest["failed"] + manifest["skipped"] == manifest["files_found"]
    return {row["path"]: (row["status"], row["reason"]) for row in manifest["files"]}


def test_each_member_is_a_file_of_its_own(tmp_path):
    """With the same content as if it lay in a folder of that name."""
    inside = tmp_path / "in"
    inside.mkdir()
    docx = docx_file(tmp_path / "cats.docx").read_bytes()
    members = {
        "notes/ä b.txt": "Some words.",
        "cats.docx": docx,
        "empty.txt": " ",
        "x.png": b"\x89PNG",
        "bad.pdf": "no",
    }
    zip_file(inside / "all.zip", members)
    (inside / "plain.md").write_text("# Plain\n\nText.", encoding="utf-8")
    extract_folder(inside, tmp_path / "out", settings())
    assert {path: status for path, (status, _) in rows_of(tmp_path / "out").items()} == {
        "all.zip/bad.pdf": "failed",
        "all.zip/cats.docx": "ok",
        "all.zip/empty.txt": "skipped",
        "all.zip/notes/ä b.txt": "ok",
        "all.zip/x.png": "skipped",
        "plain.md": "ok",
    }
    folder = tmp_path / "unpacked" / "all.zip"
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder.parent / "plain.md").write_text("# Plain\n\nText.", encoding="utf-8")
    extract_folder(folder.parent, tmp_path / "out2", settings(workers=1))
    for name in ("documents.jsonl", "chunks.jsonl"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "out2" / name).read_bytes()
    again = extract_folder(inside, tmp_path / "out", settings())
    assert again.as_dict()["cached"] == 3
    assert not [name for name in os.listdir(tmp_path / "out" / ".cache") if name.startswith(TEMPORARY_PREFIX)]


def test_hostile_members_are_told_and_never_unpacked(tmp_path):
    path = tmp_path / "in.zip"
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    names = ["../up.txt", "/abs.txt", "C:/drive.txt", "..\\back.txt", "a/../../b.txt", "inner.zip", ".hidden.txt"]
    with zipfile.ZipFile(path, "w") as archive:
        for name in [*names, "good.txt", "__MACOSX/x.txt"]:
            archive.writestr(name, f"words of {name}")
        archive.writestr(link, "/etc/passwd")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("good.txt", "other words")
        archive.writestr("nul.txt", "words")
    path.write_bytes(path.read_bytes().replace(b"nul.txt", b"nu\0.txt"))
    told = {(member.name, member.status): member.reason for member in members_of(path)}
    outside = "its name leads outside of the archive"
    assert told == {
        **{(name.replace("\\", "/"), "failed"): outside for name in names[:5]},
        ("inner.zip", "failed"): "it is an archive inside of an archive, which stays closed",
        (".hidden.txt", "skipped"): "it is a hidden file",
        ("__MACOSX/x.txt", "skipped"): "it is a hidden file",
        ("link.txt", "failed"): "it is a link",
        ("nu\\0.txt", "failed"): "its name holds a NUL character",
        ("good.txt", None): "",
        ("good.txt", "failed"): "the archive holds another file of this name, which is read",
    }
    before = sorted(tmp_path.rglob("*"))
    extract_folder(path, tmp_path / "out", settings())
    assert [(d["source"], d["content"]) for d in documents_of(tmp_path / "out")] == [
        ("in.zip/good.txt", "words of good.txt")
    ]
    assert sorted(p for p in tmp_path.rglob("*") if not p.is_relative_to(tmp_path / "out")) == before


def documents_of(folder):
    return [json.loads(line) for line in (folder / "documents.jsonl").read_text(encoding="utf-8").splitlines()]


def test_damaged_encrypted_and_bomb_members_fail_alone(tmp_path):
    path = zip_file(tmp_path / "a.zip", {"cut.txt": b"words " * 50, "lock.txt": "x", "good.txt": "Good words."})
    zip_file(tmp_path / "bomb.zip", {"bomb.txt": b" " * 3_000_000, "big.txt": os.urandom(100_000)})
    data = bytearray(path.read_bytes())
    data[data.index(b"cut.txt") + 12] ^= 0xFF  # in its packed data
    place = data.rindex(b"lock.txt") - 46  # in the list of members
    assert data[place : place + 4] == b"PK\1\2"
    data[place + 8] |= 1
    path.write_bytes(data)
    extract_folder(tmp_path / "*.zip", tmp_path / "out", settings())
    rows = rows_of(tmp_path / "out")
    assert rows["a.zip/good.txt"] == ("ok", None)
    assert rows["a.zip/lock.txt"] == ("failed", "it is encrypted")
    assert rows["a.zip/cut.txt"][1].startswith("it is damaged in the archive")
    assert "times its size" in rows["bomb.zip/bomb.txt"][1]


def test_what_is_no_archive_is_one_failed_file(tmp_path):
    (tmp_path / "a.zip").write_text("words", encoding="utf-8")
    zip_file(tmp_path / "b.zip", {})
    zip_file(tmp_path / "c.zip", {"bomb.bin": b" " * 30_000_000})
    found = {file.source: (file.status, file.reason) for file in find_files(tmp_path)}
    assert found["a.zip"] == ("failed", "the archive is damaged: File is not a zip file")
    assert found["b.zip"] == ("skipped", "the archive holds no files")
    assert found["c.zip"][1].startswith("the archive unpacks to")


def test_the_limits_of_an_archive_are_told(tmp_path, monkeypatch):
    path = zip_file(tmp_path / "a.zip", {"a.txt": "a" * 100, "b.txt": "b"})
    monkeypatch.setattr(zip_safety, "MOST_MEMBERS", 1)
    with pytest.raises(DocumentProcessingError, match="holds 2 files; the limit is 1"):
        members_of(path)
    monkeypatch.undo()
    monkeypatch.setattr(zip_safety, "MOST_UNPACKED_BYTES", 50)
    with pytest.raises(DocumentProcessingError, match="unpacks to 0 MB"):
        members_of(path)
    monkeypatch.undo()
    monkeypatch.setattr(zip_safety, "MOST_DIRECTORY_BYTES", 50)
    with pytest.raises(DocumentProcessingError, match="its list of members is too long"):
        members_of(path)


def test_a_member_that_lies_about_its_size_is_not_written_beyond_it(tmp_path):
    path = zip_file(tmp_path / "a.zip", {"a.txt": b"words " * 1000})
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\1\2") + 24
    data[place : place + 4] = (10).to_bytes(4, "little")
    path.write_bytes(data)
    reader = MemberReader(tmp_path, 2**20)
    with pytest.raises(DocumentProcessingError, match="damaged"), reader.unpacked(path, 0):
        pass
    reader.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zip"]


def test_what_a_killed_run_left_unpacked_is_removed_by_the_next(tmp_path):
    path = zip_file(tmp_path / "a.zip", {"a.txt": "Words."})
    left = tmp_path / "out" / ".cache" / f"{TEMPORARY_PREFIX}left"
    left.mkdir(parents=True)
    (left / "a.txt").write_text("Words.", encoding="utf-8")
    extract_folder(path, tmp_path / "out", settings())
    assert not left.exists()
