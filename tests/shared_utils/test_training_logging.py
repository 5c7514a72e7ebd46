"""Log lines, progress and metrics in one form."""

from __future__ import annotations

import logging

import pytest

from shared_utils import TrainingLoggingUtils
from shared_utils.errors import ConfigurationError, DataValidationError


@pytest.fixture(autouse=True)
def loggers_as_they_were():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("level", "quiet", "told"),
    [("DEBUG", False, ["DEBUG", "WARNING", "ERROR"]), ("INFO", True, ["WARNING", "ERROR"]), ("ERROR", True, ["ERROR"])],
)
def test_log_lines_go_to_stderr_from_their_level_on(level, quiet, told, capsys):
    TrainingLoggingUtils.set_up("INFO")
    TrainingLoggingUtils.set_up(level, quiet=quiet)
    for name in ("DEBUG", "WARNING", "ERROR"):
        logging.getLogger("x").log(getattr(logging, name), "said")
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [f"{name}: said" for name in told]
    assert captured.out == ""


def test_an_unknown_level_is_told():
    with pytest.raises(ConfigurationError, match="no log level 'LOUD'"):
        TrainingLoggingUtils.set_up("LOUD")


def test_progress_counts_and_quiet_says_nothing(capsys):
    with TrainingLoggingUtils.progress(3, "steps", quiet=True) as progress:
        progress.move_to(2, "loss 1.000")
    assert capsys.readouterr().err == ""


def test_metrics_are_read_from_file_or_run_folder_without_the_line_that_a_kill_tore(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "loss": 2.5}\n{"step": 2, "lo\n{"step": 2, "loss": null}\n{"step": 3, ')
    expected = [{"step": 1, "loss": 2.5}, {"step": 2, "loss": None}]
    assert TrainingLoggingUtils.read_metrics(path) == TrainingLoggingUtils.read_metrics(tmp_path) == expected
    with pytest.raises(DataValidationError, match="File not found"):
        TrainingLoggingUtils.read_metrics(tmp_path / "none.jsonl")
