"""`chat` through `main`: exit codes, what is printed, and what is written."""

import io
import json
import stat
import sys

import pytest

from commands.model_argument import finished_models
from main import main
from tests.evaluation.tiny_model import save_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny_model(tmp_path_factory.mktemp("outputs") / "first_run"))


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def chat(*words):
    return main(["chat", *words, "--device", "cpu", "--max-new-tokens", "12"])


def test_one_question_gives_its_answer_on_stdout(model, capsys):
    assert chat(model, "--prompt", "Hi") == 0
    first = capsys.readouterr().out
    assert chat(model, "--prompt", "Hi") == 0
    assert capsys.readouterr().out == first


def test_json_holds_the_summary_and_nothing_else(model, capsys):
    assert chat(model, "--prompt", "Hi", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert set(summary) == {"model", "prompt", "reply", "tokens", "seconds"}
    assert (summary["model"], summary["prompt"]) == (model, "Hi")
    assert 0 <= summary["tokens"] <= 12


def test_a_file_of_questions_is_answered_line_by_line(model, tmp_path, capsys):
    (tmp_path / "questions.txt").write_text("\ufeffHi\n\nПривет?\r\n", encoding="utf-8")
    assert chat(model, "--prompts-file", "questions.txt") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["prompt"] for row in rows] == ["Hi", "Привет?"]
    assert chat(model, "--prompts-file", "questions.txt", "--json") == 0
    replies = json.loads(capsys.readouterr().out)["replies"]
    assert [row["reply"] for row in replies] == [row["reply"] for row in rows]


def test_questions_come_from_a_pipe_too(model, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hi\nWhy?\n"))
    assert chat(model, "--json") == 0
    assert [row["prompt"] for row in json.loads(capsys.readouterr().out)["replies"]] == ["Hi", "Why?"]


def test_each_turn_goes_to_the_log(model, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hi\nWhy?\n"))
    assert chat(model, "--log", "log.jsonl", "--system", "Be brief.") == 0
    assert chat(model, "--log", "log.jsonl", "--prompt", "One more") == 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [[message["role"] for message in line["messages"]] for line in lines] == [
        ["system", "user", "assistant"],
        ["system", "user", "assistant"],
        ["user", "assistant"],
    ]
    assert lines[0]["session_id"] == lines[1]["session_id"] != lines[2]["session_id"]
    assert lines[0]["metadata"]["model"] == model
    assert stat.S_IMODE((tmp_path / "log.jsonl").stat().st_mode) == 0o600


def test_answers_in_json_lines_cannot_steer_the_terminal(model, tmp_path, monkeypatch, capsys):
    from deployment.chat_interface import ChatInterface, Reply

    text = "\x1b[2J\x9b\u202e\U000e0041 ok"
    monkeypatch.setattr(ChatInterface, "answer", lambda self, prompt: Reply(text, 3, 0.1))
    (tmp_path / "questions.txt").write_text("Hi\n", encoding="utf-8")
    assert chat(model, "--prompts-file", "questions.txt") == 0
    line = capsys.readouterr().out
    assert not set(line) & set("\x1b\x9b\u202e\U000e0041")
    assert json.loads(line)["reply"] == text


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "no model is named, and none is chosen"),
        (["{model}", "--prompt", "a", "--prompts-file", "b"], 2, "not allowed with"),
        (["{model}", "--prompt", "  "], 2, "--prompt is empty"),
        (["{model}", "--prompts-file", "missing.txt"], 1, "File not found: missing.txt"),
        (["{model}", "--prompt", "a", "--temperature", "-1"], 2, "chat.temperature"),
        (["{model}", "--prompt", "a", "--top-p", "1.5"], 2, "chat.top_p"),
        (["{model}", "--prompt", "a", "--log", "."], 2, "is a folder"),
        (["./nowhere", "--prompt", "a"], 1, "no model folder at"),
        (["./starterr", "--prompt", "a"], 1, "did you mean starter?"),
        (["{model}", "--promt", "a"], 2, "did you mean --prompt"),
    ],
)
def test_mistakes_are_told_with_their_exit_code(words, code, told, model, capsys):
    assert chat(*[word.format(model=model) for word in words]) == code
    assert told in capsys.readouterr().err


def test_a_mistyped_run_names_the_nearest_one(tmp_path, capsys):
    save_tiny_model(tmp_path / "outputs" / "support_bot")
    assert chat("./outputs/suport_bot", "--prompt", "a") == 1
    assert "did you mean outputs/support_bot?" in capsys.readouterr().err


def test_finished_models_are_found_newest_first_without_checkpoints(tmp_path):
    import os

    for age, name in enumerate(["a", "b/merged", "a/checkpoint-10", ".llm-toolkit-tmp-x/new"]):
        folder = tmp_path / "outputs" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}", encoding="utf-8")
        os.utime(folder / "config.json", (1_000_000 - age, 1_000_000 - age))
    assert finished_models(tmp_path / "outputs") == [str(tmp_path / "outputs" / name) for name in ("a", "b/merged")]


def test_the_starter_says_what_it_is_for(model, monkeypatch, capsys):
    """One line on stderr, so that nobody judges the toolkit by a model of a few megabytes."""
    monkeypatch.setattr("shared_utils.model_names.STARTER_DIR", model)
    assert chat("starter", "--prompt", "Hi") == 0
    assert "Qwen/Qwen2.5-0.5B-Instruct" in capsys.readouterr().err
    assert chat("starter", "--prompt", "Hi", "--quiet") == 0
    assert capsys.readouterr().err == ""
