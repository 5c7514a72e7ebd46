"""The commands of docs/reinforcement-learning.md make a model better at Snake, on positions that it was not trained on."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_the_documented_commands_show_an_improvement(tmp_path):
    section = (ROOT / "docs" / "reinforcement-learning.md").read_text(encoding="utf-8").split("## Language models")[1]
    lines = re.search(r"```bash\n(.*?)```", section, re.DOTALL)[1].splitlines()
    assert len(lines) == 3
    for line in lines:
        words = shlex.split(line)[2:]
        done = subprocess.run(
            [sys.executable, str(ROOT / "main.py"), *words], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, (words, done.stderr)
    measured = json.loads((tmp_path / "outputs" / "snake_grpo" / "run.json").read_text())["result"]["measured"]
    assert measured["reward"]["difference"]["low"] > 0
    assert measured["illegal_answers"]["difference"]["high"] < 0
