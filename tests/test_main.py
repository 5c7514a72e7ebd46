"""The program from outside: help, exit codes, and the form of errors."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from commands import HELP_BY_COMMAND
from tests.conftest import ROOT

HEAVY = ("torch", "transformers", "datasets", "pandas", "gymnasium", "peft", "pdfplumber", "matplotlib", "numpy")


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in HELP_BY_COMMAND)], ids=" ".join)
def test_help_is_instant_because_nothing_heavy_is_imported(words):
    code = (
        f"import sys, time; from main import main; code = main({words!r});"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]; assert not loaded, loaded; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_no_command_prints_the_overview_and_is_a_usage_error(run_command):
    result = run_command()
    assert result.code == 2
    assert "pipeline" in result.out


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["trian-lora"], "unknown command: trian-lora", "did you mean train-lora?"),
        (["config", "--chek"], "unknown argument: --chek", "did you mean --check?"),
        (["config", "extra"], "unknown argument: extra", "lists what is known"),
        (["config", "--device", "gpu"], "--device: common.device is 'gpu'", "allowed: auto, cpu, cuda, mps"),
        (["config", "--seed", "x"], "--seed: common.seed is 'x'", ""),
        (["config", "--set", "common.sed=1"], "unknown key common.sed", "did you mean common.seed?"),
        (["config", "--config", "no/such.yaml"], "settings file not found: no/such.yaml", ""),
        (["train-lora"], "--train-data", ""),
        (["--quiet"], "a command is missing", ""),
    ],
)
def test_wrong_usage_is_one_line_a_hint_and_code_2(run_command, words, message, hint):
    result = run_command(*words)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert message in result.err.splitlines()[0]
    assert hint in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    "words", [["--seed", "7", "config"], ["config", "--seed", "7"], ["--set", "common.seed=7", "config"]]
)
def test_global_options_stand_before_or_after_the_command(run_command, words):
    assert "common.seed = 7 " in run_command(*words).out


def test_json_puts_one_object_on_stdout(run_command):
    result = run_command("config", "--check", "--json")
    assert result.code == 0
    assert json.loads(result.out) == {"valid": True}


def test_json_tells_a_failure_as_an_object(run_command):
    result = run_command("config", "--sed", "1", "--json")
    assert result.code == 2
    error = json.loads(result.out)["error"]
    assert error["type"] == "ConfigurationError"
    assert error["message"] == "unknown argument: --sed"
    assert "did you mean" in error["hint"]


def test_a_bug_ends_with_code_3_and_leaves_a_report(run_command, monkeypatch, tmp_path):
    import commands.config

    def fail(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands.config, "run", fail)
    result = run_command("config")
    assert result.code == 3
    report = next((tmp_path / "logs").glob("bug-report-*.txt"))
    assert "ZeroDivisionError: planted" in report.read_text(encoding="utf-8")
    assert str(report) in result.err
    assert "Traceback" not in result.err


def test_doctor_names_what_is_here(run_command):
    result = run_command("doctor", "--json")
    subjects = [finding["subject"] for finding in json.loads(result.out)["findings"]]
    assert {"memory", "disk", "device", "torch", "model hub"} <= set(subjects)


def test_doctor_tells_what_to_install_where_nothing_heavy_is_installed():
    """A person whose installation failed gets an answer, not a traceback."""
    code = "import sys; sys.modules['torch'] = None; from main import main; sys.exit(main(['doctor', '--quiet', '--json']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "device" in json.loads(done.stdout)["gaps"]
