"""One process leads and speaks; a process on its own agrees with itself."""

import os
import subprocess
import sys

import pytest

from main import main
from shared_utils.console import Console
from shared_utils.errors import DataValidationError
from shared_utils.processes import from_main, gathered, lost_another, main_first, process_count, together
from tests.conftest import ROOT


def test_a_process_on_its_own_agrees_with_itself():
    assert gathered(3) == [3]
    assert together(lambda: 4) == main_first(lambda: 4) == from_main(lambda: 4) == 4
    with pytest.raises(DataValidationError, match="broken"):
        together(_fail)


def _fail():
    raise DataValidationError("broken")


@pytest.mark.parametrize("value", ["", "many", "-1"])
def test_a_launcher_that_says_nothing_means_one_process(value, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", value)
    assert process_count() == 1


def test_only_the_main_process_speaks(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    console = Console(json_output=True)
    console.info("a result")
    console.warn("a warning")
    assert main(["config", "--json"]) == 0
    assert capsys.readouterr() == ("", "")


def test_wrong_usage_is_told_once_on_each_machine(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert main(["train-lora", "--no-such-flag"]) == 2
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("LOCAL_RANK", "0")  # the first process of a second machine
    assert main(["train-lora", "--no-such-flag"]) == 2
    assert "process 1: error:" in capsys.readouterr().err


def test_the_loss_of_another_process_is_no_bug(monkeypatch):
    closed = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4200")
    assert lost_another(closed) is None
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "another process" in lost_another(closed).message
    assert lost_another(RuntimeError("shapes do not fit")) is None
    assert lost_another(KeyError("gloo")) is None


# What runs while Python is taken apart is what threads of gloo abort a process by.
ENDS = """
import atexit
from shared_utils.processes import end_process

class Held:
    def __del__(self):
        print("taken apart")

held = Held()
atexit.register(print, "recorders are closed")
end_process(3)
"""


@pytest.mark.parametrize(
    ("count", "told"), [("1", "recorders are closed\ntaken apart\n"), ("2", "recorders are closed\n")]
)
def test_one_of_several_processes_ends_without_taking_python_apart(count, told):
    environment = {**os.environ, "WORLD_SIZE": count}
    ended = subprocess.run([sys.executable, "-c", ENDS], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (3, told)
