"""The README is true: its commands run as printed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = ("README.md", "docs/quickstart.md", "docs/snake.md")
# A real model needs a network, and a whole training needs minutes: the same command, on less.
SHORTER = {
    "train-lora": ["--max-steps", "3", "--batch-size", "4"],
    "pipeline": ["--set", "transfer_learning.lora.training.max_steps=3"],
}


def commands(page: str) -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[2:] for line in lines if line.startswith("python main.py ")]


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    words = ["starter" if word.startswith("Qwen/") else word for word in words]
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *words, *SHORTER.get(words[0], [])],
        cwd=folder, env=env, capture_output=True, text=True, input="", timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_runs_in_the_order_given(page, tmp_path):
    shutil.copytree(ROOT / "sample_world" / "files" / "documents", tmp_path / "my_documents")
    found = commands(page)
    assert len(found) >= 6
    for words in found:
        done = run(words, tmp_path)
        assert done.returncode == 0, (words, done.stderr)


def test_every_link_of_the_pages_leads_somewhere():
    for page in (*PAGES, "docs/development.md", "docs/data-format.md", "docs/python-api.md"):
        path = ROOT / page
        for target in re.findall(r"\]\((?!https://)([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{page}: {target}"


def test_the_first_screen_shows_real_output():
    """The figures of README's demo are in the form that the program prints."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"tuned 0\.\d\d \(0\.\d\d to 0\.\d\d\)", text)
    assert re.search(r"\d+ passed", text)
