"""The registry through `main`, and registered names wherever a model is named."""

from __future__ import annotations

import json
import shutil

import pytest

TRAIN = ["--max-steps", "1", "--max-length", "64", "--set", "logging.use_tensorboard=false"]


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "outputs" / "model")


def train(run_command, records_file, model, *words):
    return run_command("train-full", "--train-data", records_file, "--model", model, *TRAIN, *words)


def test_a_training_registers_its_model_and_the_name_is_a_model_from_then_on(run_command, records_file, model):
    done = train(run_command, records_file, model, "--output-dir", "outputs/first", "--register", "bot")
    assert done.code == 0, done.err
    assert "registered as bot" in done.out
    assert "next: python main.py chat bot" in done.out
    asked = run_command("chat", "bot", "--prompt", "Hi", "--max-new-tokens", 3, "--json")
    assert asked.code == 0, asked.err
    listed = json.loads(run_command("models", "list", "--json").out)
    (entry,) = listed["models"]
    assert (entry["name"], entry["method"], entry["metrics"]["steps"]) == ("bot", "full", 1)
    again = train(run_command, records_file, "bot", "--output-dir", "outputs/second")
    assert again.code == 0, again.err
    run = json.loads((records_file.parent / "outputs" / "second" / "run.json").read_text(encoding="utf-8"))
    assert run["model"] == entry["folder"]  # the run stays what it is when the name means another model later


def test_a_taken_name_is_told_before_anything_is_trained(run_command, records_file, model):
    assert run_command("models", "add", "bot", model).code == 0
    done = train(run_command, records_file, model, "--output-dir", "outputs/x", "--register", "bot")
    assert (done.code, "'bot' is registered already" in done.err) == (1, True)
    done = train(run_command, records_file, model, "--output-dir", "outputs/x", "--register", "../bot")
    assert (done.code, "is no name of a model" in done.err) == (2, True)
    assert not (records_file.parent / "outputs" / "x").exists()


def test_the_command_that_goes_on_with_a_run_registers_it_too(run_command, records_file, model):
    words = ["--output-dir", "outputs/first", "--register", "bot"]
    assert train(run_command, records_file, model, *words).code == 0
    run = json.loads((records_file.parent / "outputs" / "first" / "run.json").read_text(encoding="utf-8"))
    assert "--register bot" in run["command"]
    assert run_command("models", "remove", "bot").code == 0
    assert train(run_command, records_file, model, *words, "--resume").code == 0
    assert "bot" in run_command("models", "list").out


def test_chat_takes_the_model_in_use_when_none_is_named(run_command, model, tmp_path):
    done = run_command("chat", "--prompt", "Hi")
    assert (done.code, "no model is named, and none is chosen" in done.err) == (2, True)
    run_command("models", "add", "bot", model)
    assert run_command("models", "use", "bot").code == 0
    done = run_command("chat", "--prompt", "Hi", "--max-new-tokens", 3, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["model"] == "bot"
    (tmp_path / "bot").mkdir()  # a folder of that name was not asked for
    done = run_command("chat", "--prompt", "Hi", "--max-new-tokens", 3)
    assert (done.code, done.err) == (0, "model: bot\n")
    assert "model:" not in done.out


def test_a_folder_is_taken_before_a_registered_name_with_a_warning(run_command, model, tmp_path):
    shutil.copytree(model, tmp_path / "bot")
    run_command("models", "add", "bot", model)
    done = run_command("chat", "bot", "--prompt", "Hi", "--max-new-tokens", 3)
    assert done.code == 0
    assert f"bot is a folder here and a registered model; the folder is taken, not {model}" in done.err
    shutil.rmtree(tmp_path / "bot")
    assert "warning" not in run_command("chat", "bot", "--prompt", "Hi", "--max-new-tokens", 3).err


def test_an_unknown_model_names_the_nearest_registered_one(run_command, records_file, model, monkeypatch):
    monkeypatch.setattr("shared_utils.model_names.HUB_ADDRESS", ("127.0.0.1", 9))
    run_command("models", "add", "support_bot", model)
    for done in (
        run_command("chat", "suport_bot", "--prompt", "Hi"),
        train(run_command, records_file, "suport_bot", "--output-dir", "outputs/x"),
        run_command("models", "show", "suport_bot"),
        run_command("pipeline", "--model", "suport_bot"),
    ):
        assert done.code == 1
        assert "hint: did you mean support_bot?" in done.err


def test_a_registered_model_that_is_gone_says_so(run_command, model):
    run_command("models", "add", "bot", model)
    shutil.rmtree(model)
    done = run_command("chat", "bot", "--prompt", "Hi")
    assert (done.code, "the folder of the registered model 'bot' is gone" in done.err) == (1, True)
    assert "models remove bot" in done.err
    assert "gone" in run_command("models", "show", "bot").out


def test_the_list_marks_the_default_and_can_be_cut_to_a_tag(run_command, model):
    for name in ("one", "two"):
        run_command("models", "add", name, model)
    run_command("models", "use", "two")
    assert run_command("models", "tag", "one", "best", "old").out.strip() == "one: best, old"
    assert run_command("models", "tag", "one", "--remove-tag", "old").out.strip() == "one: best"
    lines = run_command("models", "list").out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["one", "model"], ["*", "two"]]
    assert len(run_command("models", "list", "--tag", "best").out.splitlines()) == 2
    assert "no model in" in run_command("models", "list", "--tag", "none").out
    assert run_command("models").out.splitlines() == lines


def test_show_tells_all_about_one(run_command, model):
    run_command("models", "add", "bot", model)
    shown = run_command("models", "show", "bot", "--json")
    entry = json.loads(shown.out)
    assert (entry["name"], entry["state"], entry["default"]) == ("bot", "ok", False)
    assert "as registered" in run_command("models", "show", "bot").out


def test_remove_deletes_files_only_when_asked(run_command, model):
    run_command("models", "add", "bot", model)
    assert "stays" in run_command("models", "remove", "bot").out
    assert model.is_dir()
    run_command("models", "add", "bot", model)
    assert json.loads(run_command("models", "remove", "bot", "--delete-files", "--json").out)["files_deleted"] is True
    assert not model.exists()


def test_the_registry_may_be_elsewhere(run_command, model, tmp_path):
    elsewhere = ["--set", f"common.registry_dir={tmp_path}/mine"]
    run_command("models", "add", "bot", model, *elsewhere)
    assert (tmp_path / "mine" / "bot.json").is_file()
    assert run_command("chat", "bot", "--prompt", "Hi", "--max-new-tokens", 3, *elsewhere).code == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["lst"], 2, "did you mean list?"),
        (["show"], 2, "models show needs the name of a model"),
        (["use", "a", "b"], 2, "'b' is too much"),
        (["add", "a", "b", "c"], 2, "'c' is too much"),
        (["add", "a"], 2, "needs the folder"),
        (["tag", "a"], 2, "needs a tag"),
        (["add", "a", "nowhere/at/all"], 1, "no model folder at"),
        (["list", "a"], 2, "'a' is too much"),
    ],
)
def test_mistakes_are_told(run_command, words, code, told):
    done = run_command("models", *words)
    assert done.code == code
    assert told in done.err
