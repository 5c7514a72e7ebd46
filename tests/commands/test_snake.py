"""`snake generate|play|evaluate` as a person types it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest
from PIL import Image

from tests.conftest import ROOT


def test_generate_tells_how_the_games_went_and_what_to_type_next(run_command, tmp_path):
    words = ["snake", "generate", "--games", 4, "--board", 6, "--output", tmp_path / "games", "--workers", 1]
    result = run_command(*words)
    assert result.code == 0, result.err
    assert "hamiltonian        4/4     33.0" in result.out
    assert f"train-lora --train-data {tmp_path}/games/heuristics-*" in result.out
    again = run_command(*words, "--json")
    summary = json.loads(again.out)
    assert set(summary) == {"output", "plan", "heuristics"}
    assert set(summary["heuristics"]["bfs"]) == {
        "games", "wins", "mean_score", "mean_steps", "steps", "records", "ends",
    }  # fmt: skip
    assert "nothing is done again" in again.err


def test_play_shows_the_last_board_where_there_is_no_terminal(run_command, tmp_path):
    result = run_command("snake", "play", "--player", "hamiltonian", "--board", 4, "--gif", tmp_path / "game.gif")
    assert result.code == 0, result.err
    assert "hamiltonian: won: the snake fills the board; score 13 of 13" in result.out
    assert result.out.count("H") == 1
    with Image.open(tmp_path / "game.gif") as image:
        assert f"{image.n_frames} frames" in result.out


def test_play_tells_the_game_as_one_object(run_command):
    summary = json.loads(run_command("snake", "play", "--player", "bfs", "--board", 6, "--json").out)
    assert summary["player"] == "bfs"
    assert summary["steps"] >= summary["score"] > 0
    assert summary["end"] in ("wall", "body", "won")
    assert json.loads(run_command("snake", "play", "--player", "bfs", "--board", 6, "--json").out) == summary
    other = json.loads(run_command("snake", "play", "--player", "bfs", "--board", 6, "--seed", 5, "--json").out)
    assert other != summary


def test_play_draws_the_game_in_a_terminal():
    leader, follower = pty.openpty()
    words = [sys.executable, "main.py", "snake", "play", "--board", "4", "--delay", "0"]
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(words, cwd=ROOT, stdout=follower, stderr=subprocess.DEVNULL, env=env)
    os.close(follower)
    text = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        text += piece
    os.close(leader)
    assert process.wait() == 0
    shown = text.decode("utf-8")
    assert "┌────────┐" in shown
    assert "loop through all cells" in shown
    assert shown.rstrip().endswith("steps")


def test_evaluate_measures_and_compares(run_command, tmp_path):
    words = ["snake", "evaluate", "--player", "bfs", "random", "--board", 6, "--games", 30, "--output-dir", tmp_path]
    result = run_command(*words)
    assert result.code == 0, result.err
    assert "random against bfs" in result.out
    assert ": worse" in result.out
    assert "apples and 36 points of the win rate in 4 of 5 trials" in result.out
    summary = json.loads(run_command(*words, "--json").out)
    saved = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert {**saved, "output": summary["output"]} == summary
    bfs = summary["players"]["bfs"]
    for figure in ("win_rate", "mean_score", "mean_steps", "decision_accuracy"):
        assert bfs[figure]["low"] <= bfs[figure]["value"] <= bfs[figure]["high"]
    assert bfs["decision_accuracy"]["positions"] == 300
    assert bfs["invalid_moves"]["count"] == 0
    assert summary["players"]["random"]["decision_accuracy"]["value"] < 0.6 < bfs["decision_accuracy"]["value"]


def test_of_one_player_it_is_told_what_the_games_could_have_shown(run_command):
    result = run_command("snake", "evaluate", "--player", "greedy", "--board", 5, "--games", 20)
    assert "beside a player whose scores scatter as much, so many games show differences of" in result.out
    assert "no positions of 5x5 are shipped" in result.err
    assert "right decisions" not in result.out


def test_a_language_model_plays_and_its_unclear_answers_are_counted(run_command, tiny_model):
    """An untrained model answers with anything; the snake goes straight on into the wall."""
    words = ["snake", "evaluate", "--player", tiny_model, "--board", 6, "--games", 3, "--json"]
    result = run_command(*words, "--set", "evaluation.bootstrap_resamples=100")
    assert result.code == 0, result.err
    model = json.loads(result.out)["players"][str(tiny_model)]
    assert model["kind"] == "language model"
    assert model["mean_steps"]["value"] == 3
    assert model["invalid_moves"] == {"count": 9, "moves": 9, "share": 1.0}
    shown = run_command("snake", "play", "--player", tiny_model, "--board", 6)
    # The apples depend on the name of the player, which is a path here: one may lie on the way.
    assert re.search(r"ran into the wall; score \d of 33, 3 steps, 3 invalid moves", shown.out)


def test_a_board_that_the_context_of_a_model_does_not_hold_is_told(run_command, tiny_model):
    """Cut at its beginning, a question would have lost the board."""
    result = run_command("snake", "evaluate", "--player", tiny_model, "--board", 20, "--games", 1)
    assert result.code == 1
    assert "a question about a board of 20x20 has" in result.err
    assert "holds 512" in result.err


def test_a_model_that_has_learnt_the_answers_moves_by_them(tmp_path, run_command):
    """The words of the question are those of the records: a model taught "down" plays down."""
    from snake_game.board_text import INSTRUCTION
    from workflows.snake_players import LanguageModelPlayer

    records = tmp_path / "records.jsonl"
    row = {"instruction": INSTRUCTION, "input": "any board", "output": "down\nGo down."}
    records.write_text((json.dumps(row) + "\n") * 32, encoding="utf-8")
    trained = run_command(
        "train-lora", "--train-data", records, "--max-steps", 12, "--learning-rate", "2e-2", "--output-dir",
        tmp_path / "run", "--eval-split", 0, "--batch-size", 8, "--gradient-accumulation-steps", 1, "--json",
        "--set", "transfer_learning.lora.training.warmup_steps=0", "--max-length", 256,
    )  # fmt: skip
    assert trained.code == 0, trained.err
    from snake_game.game import DOWN, Game

    moves = LanguageModelPlayer(str(tmp_path / "run"), "cpu").choose_all([Game(6, 1), Game(6, 2)])
    assert [move.direction for move in moves] == [DOWN, DOWN]


@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        (["genrate"], 2, "snake genrate is unknown", "did you mean generate?"),
        (["play", "--board", "3"], 2, "--board: snake.board is '3'", ""),
        (["generate", "--board", "33"], 2, "--board: snake.board is '33'", ""),
        (["generate", "--games", "0"], 2, "--games: snake.games is '0'", ""),
        (["generate", "--algorithm", "bsf"], 2, "unknown algorithm: bsf", "did you mean bfs?"),
        (["generate", "--player", "bfs"], 2, "--player is not for snake generate", "play and evaluate"),
        (["play", "--algorithm", "bfs"], 2, "--algorithm is not for snake play", "generate"),
        (["evaluate", "--gif", "x.gif"], 2, "--gif is not for snake evaluate", "play"),
        (["play", "--player", "bfs", "dfs"], 2, "shows one player", "snake evaluate"),
        (["play", "--gif", "game.png"], 2, "must end with .gif", ""),
        (["evaluate", "--player", "bfs", "bfs"], 2, "named twice", ""),
        (["play", "--player", "no/such/model"], 1, "--player no/such/model is neither a heuristic nor a model", ""),
        (["play", "--player", "hamilton ian"], 1, "is neither a heuristic nor a model", "did you mean hamiltonian?"),
        (["evaluate", "--positions", "none.jsonl"], 1, "File not found: none.jsonl", ""),
        (["evaluate", "--player", "README.md"], 1, "README.md is a file, not a model folder", ""),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_hint(run_command, monkeypatch, words, code, message, hint):
    monkeypatch.chdir(ROOT)
    result = run_command("snake", *words)
    assert result.code == code, result.err
    assert result.err.startswith("error: ")
    assert message in result.err.splitlines()[0]
    assert hint in result.err
    assert "Traceback" not in result.err


def test_an_agent_for_something_else_is_told(run_command, tmp_path):
    record = {"algorithm": "ppo", "environment": {"id": "CartPole-v1", "kwargs": {}}}
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert "is an agent for CartPole-v1, not for Snake" in run_command("snake", "play", "--player", tmp_path).err
    record["environment"] = {"id": "LLMToolkit/Snake-v0", "kwargs": {"board": 6}}
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    wrong = run_command("snake", "play", "--player", tmp_path)
    assert "plays on a board of 6x6, not 10x10" in wrong.err
    assert "add --board 6" in wrong.err
    unfinished = run_command("snake", "play", "--player", tmp_path, "--board", 6)
    assert "is a training that has not ended" in unfinished.err
