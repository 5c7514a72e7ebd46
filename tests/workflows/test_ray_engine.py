"""Extraction on a local Ray of two workers."""

import importlib.util
from pathlib import Path

import psutil
import pytest

from document_processing.settings import DocumentProcessingSettings
from shared_utils.errors import ConfigurationError
from tests.workflows.test_extraction_pages import large_pdf
from workflows.extraction import FileResult, extract_folder

OUTPUTS = ("documents.jsonl", "chunks.jsonl")
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")


def settings(**extraction: object) -> DocumentProcessingSettings:
    return DocumentProcessingSettings.model_validate(
        {"lm_studio": {"chunk_unit": "words"}, "extraction": {"workers": 2, "engine": "ray", **extraction}}
    )


@pytest.mark.slow
@needs_ray
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_run_on_ray_gives_the_same_bytes_although_a_worker_is_killed(tmp_path: Path):
    """A split file, small files and one that cannot be read; a second run takes all of it from the cache."""
    folder = large_pdf(tmp_path).parent
    for number in range(12):
        (folder / f"note{number}.md").write_text(f"# Note {number}\n\nIt stands on a shelf.\n" * 9, encoding="utf-8")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4\n")
    expected = extract_folder(folder, tmp_path / "local", settings(engine="local"))
    killed: list[int] = []

    def kill_a_worker(_: FileResult) -> None:
        actors = [child for child in psutil.Process().children(recursive=True) if is_actor(child)]
        if actors and not killed:
            killed.append(actors[0].pid)
            actors[0].kill()

    summary = extract_folder(folder, tmp_path / "ray", settings(), on_file=kill_a_worker)
    assert killed
    for name in OUTPUTS:
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    assert [(result.path, result.status, result.reason) for result in summary.results] == [
        (result.path, result.status, result.reason) for result in expected.results
    ]
    again = extract_folder(folder, tmp_path / "ray", settings())
    assert again.as_dict()["cached"] == len(again.ok) == 13
    assert not [child for child in psutil.Process().children(recursive=True) if is_actor(child)]


def is_actor(process: psutil.Process) -> bool:
    try:
        return process.name().startswith("ray::Reader")
    except psutil.Error:  # it has just ended
        return False


def test_without_ray_the_command_that_installs_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Before anything is written."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (tmp_path / "in").mkdir()
    with pytest.raises(ConfigurationError, match="needs the package 'ray'") as caught:
        extract_folder(tmp_path / "in", tmp_path / "out", settings())
    assert caught.value.hint == 'pip install "llm-complete-toolkit[ray]"'
    assert not (tmp_path / "out").exists()
