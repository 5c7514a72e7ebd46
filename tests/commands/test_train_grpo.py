"""`train-rl --algorithm grpo` through the front door: what a run leaves, how it goes on, and how it refuses."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from shared_utils.model_utils import load_model
from tests.conftest import ROOT

SECTION = "reinforcement_learning.grpo"
QUIET = ("--set", "logging.use_tensorboard=false")
ENVIRONMENTS = """
import gymnasium
from shared_utils.language_tasks import Judgement, Question

class Silent(gymnasium.Env):
    observation_space = action_space = gymnasium.spaces.Discrete(2)

class Sums(Silent):
    def language_task(self):
        return self
    answer_tokens = 2
    def questions(self, count, seed):
        return [Question(f"{seed}-{n}", f"What is {n} + {seed % 10}?", {"sum": n + seed % 10}) for n in range(min(count, 20))]
    def judge(self, question, answer):
        return Judgement(float(len(answer)), answer == str(question.facts["sum"]), answer.isdecimal())

class Broken(Sums):
    def questions(self, count, seed):
        raise KeyError("no questions today")

class Words(Sums):
    def questions(self, count, seed):
        return ["What is 1 + 1?", "What is 2 + 2?"]

class Empty(Sums):
    def questions(self, count, seed):
        return []

class NoTask(Silent):
    def language_task(self):
        return "a task"
"""
REWARDS = """
def letters(answers, question):
    return [sum(ch in "aeiou" for ch in answer) / (1 + len(answer)) for answer in answers]

def broken(answers, question):
    raise LookupError("nothing there")

def not_a_number(answers, question):
    return [float("nan")] * len(answers)
"""


@pytest.fixture
def own(tmp_path):
    """A folder with rewards, environments, and thirty questions."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "rewards.py").write_text(REWARDS, encoding="utf-8")
    (folder / "environments.py").write_text(ENVIRONMENTS, encoding="utf-8")
    rows = [{"id": f"box-{n}", "prompt": f"What is in box {n}?", "reference": n} for n in range(30)]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.fixture
def words(tiny_model, own, tmp_path):
    """A run of three steps by a reward that counts letters."""
    return (
        "train-rl", "--algorithm", "grpo", "--model", tiny_model, "--output-dir", tmp_path / "run",
        "--train-data", own / "questions.jsonl", "--reward", f"{own / 'rewards.py'}:letters", "--max-steps", 3,
        "--num-generations", 4, "--questions-per-step", 2, "--max-completion-length", 4, "--lora-r", 4,
        "--learning-rate", "1e-2", "--set", f"{SECTION}.training.save_steps=1", *QUIET,
    )  # fmt: skip


def snake_words(model, run_dir, *more):
    return (
        "train-rl", "--algorithm", "grpo", "--model", model, "--output-dir", run_dir, "--max-steps", 1, "--lora-r", 2,
        "--num-generations", 2, "--questions-per-step", 2, "--env", "LLMToolkit/Snake-v0", "--env-kwargs", '{"board": 4}',
        "--set", f"{SECTION}.training.eval_questions=6", "--set", f"{SECTION}.training.train_questions=20", *QUIET, *more,
    )  # fmt: skip


def rows_of(run_dir):
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def learnt(run_dir):
    """What a run ends with, less what depends on the clock."""
    rows = [{key: row[key] for key in row if key not in ("seconds", "memory_mb")} for row in rows_of(run_dir)]
    return rows, load_file(run_dir / "adapter_model.safetensors"), (run_dir / "answers.jsonl").read_text()


def test_a_run_leaves_everything_and_measures_before_and_after(run_command, words, tmp_path):
    result = run_command(*words, "--json")
    assert result.code == 0, result.err
    run_dir = tmp_path / "run"
    summary = json.loads(result.out)
    assert (summary["algorithm"], summary["steps"], summary["answers"], summary["held_out"]) == ("grpo", 3, 24, 3)
    assert set(summary["measured"]) == {"reward"}  # nobody says what is right
    assert set(summary["measured"]["reward"]) == {"before", "after", "difference"}
    assert json.loads((run_dir / "run.json").read_text())["result"] == summary
    assert (run_dir / "curves.png").read_bytes().startswith(b"\x89PNG")
    card = (run_dir / "README.md").read_text()
    assert "mean reward:" in card
    assert "library_name: peft" in card
    rows = rows_of(run_dir)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert {"loss", "reward", "reward_std", "kl", "completion_length", "grad_norm"} <= set(rows[0])
    assert rows[0]["kl"] == 0.0  # the reference is the model at its start
    assert rows[2]["kl"] > 0.0
    answers = [json.loads(line) for line in (run_dir / "answers.jsonl").read_text().splitlines()]
    assert {answer["id"] for answer in answers} < {f"box-{n}" for n in range(30)}
    model = load_model(str(run_dir))
    assert model.peft_config["default"].r == 4
    assert any(weight.abs().sum() > 0 for name, weight in model.named_parameters() if "lora_B" in name)
    assert not list(run_dir.rglob("*.bin"))
    assert not (run_dir / "ref").exists()


def test_a_run_that_goes_on_equals_one_that_was_never_stopped(run_command, words, tmp_path):
    """Killed while it wrote its model, behind its second step, or behind its first one."""
    run_dir = tmp_path / "run"
    assert run_command(*words).code == 0
    rows, adapter, answers = learnt(run_dir)
    for last in (3, 2, 1):
        run_file = run_dir / "run.json"
        run_file.write_text(json.dumps({**json.loads(run_file.read_text()), "status": "running"}))
        for step in range(last + 1, 4):
            shutil.rmtree(run_dir / f"checkpoint-{step}")
        again = run_command(*words, "--resume")
        assert again.code == 0, again.err
        assert f"going on from {run_dir / f'checkpoint-{last}'}" in again.out
        now = learnt(run_dir)
        assert now[0] == rows
        assert all(torch.equal(adapter[name], now[1][name]) for name in adapter)
        assert now[2] == answers
    other = run_command(*words, "--resume", "--beta", "0.5")
    assert other.code == 1
    assert "started with other settings: beta differs" in other.err


def test_a_signal_saves_and_says_how_to_go_on(words, tmp_path):
    more = ("--max-steps", "500", "--set", f"{SECTION}.training.save_steps=400")
    process = subprocess.Popen(
        [sys.executable, ROOT / "main.py", *map(str, (*words, *more))], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    metrics = tmp_path / "run" / "metrics.jsonl"
    while not metrics.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 143, error
    assert "hint: go on with: python main.py train-rl --algorithm grpo --config" in error
    assert len(list((tmp_path / "run").glob("checkpoint-*"))) == 1


def test_snake_gives_questions_and_rewards_of_its_own(run_command, tiny_model, tmp_path):
    result = run_command(*snake_words(tiny_model, tmp_path / "run"))
    assert result.code == 0, result.err
    measured = json.loads((tmp_path / "run" / "run.json").read_text())["result"]["measured"]
    # A model that knows nothing names no move.
    assert measured["reward"]["before"]["value"] == -1.0
    assert measured["illegal_answers"]["before"]["value"] == 1.0
    assert measured["right_answers"]["before"]["value"] == 0.0
    assert {"right_answers", "illegal_answers"} <= set(rows_of(tmp_path / "run")[0])
    assert f"next: python main.py snake evaluate --player {tmp_path / 'run'}" in result.out


def test_an_adapter_is_started_from_whole_and_an_own_reward_rates_its_moves(run_command, words, own, tmp_path):
    assert run_command(*words).code == 0
    more = ("--reward", f"{own / 'rewards.py'}:letters")
    result = run_command(*snake_words(tmp_path / "run", tmp_path / "second", *more))
    assert result.code == 0, result.err
    assert f"starting from {tmp_path / 'run' / 'merged'}, which is also the reference" in result.out
    config = json.loads((tmp_path / "second" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tmp_path / "run" / "merged")
    measured = json.loads((tmp_path / "second" / "run.json").read_text())["result"]["measured"]
    assert measured["reward"]["before"]["value"] >= 0  # letters, not moves
    assert "illegal_answers" in measured


def test_an_environment_of_ones_own_can_ask(run_command, words, own, tiny_model, tmp_path):
    plain = ("train-rl", "--algorithm", "grpo", "--model", tiny_model, "--output-dir", tmp_path / "run",
             "--env", f"{own / 'environments.py'}:Sums", "--max-steps", 1, "--num-generations", 2,
             "--questions-per-step", 2, *QUIET)  # fmt: skip
    result = run_command(*plain, "--json")
    assert result.code == 0, result.err
    assert {"reward", "right_answers", "illegal_answers"} == set(json.loads(result.out)["measured"])


def test_a_dry_run_rates_some_answers_and_writes_nothing(run_command, words, tmp_path):
    result = run_command(*words, "--dry-run", "--json")
    assert result.code == 0, result.err
    plan = json.loads(result.out)
    assert (plan["steps"], plan["answers_per_step"], plan["questions"], plan["held_out"]) == (3, 8, 27, 3)
    assert len(plan["first_rewards"]) == 3
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--env", "CartPole-v1"), "CartPole-v1 has no questions for a language model"),
        (("--env", "{own}/environments.py:Silent"), "Silent has no questions for a language model"),
        (("--env", "{own}/environments.py:NoTask"), "returned a str, which is no LanguageTask"),
        (("--env", "{own}/environments.py:Broken"), "failed: KeyError: 'no questions today'"),
        (("--env", "{own}/environments.py:Words"), "failed: TypeError: a list of Question is needed, not of str"),
        (("--env", "{own}/environments.py:Empty"), "gave 0 questions to train on and 0 others"),
        (("--env", "{own}/environments.py:Sums", "--train-data", "{own}/questions.jsonl"), "both say where"),
        ((), "--algorithm grpo needs --env or --train-data"),
        (("--train-data", "{own}/questions.jsonl"), "--train-data needs --reward"),
        (("--train-data", "{own}/absent.jsonl", "--reward", "{own}/rewards.py:letters"), "absent.jsonl"),
        (("--train-data", "{own}/questions.jsonl", "--reward", "{own}/rewards.py:nothing"), "no function 'nothing'"),
        (("--train-data", "{own}/questions.jsonl", "--reward", "{own}/rewards.py:broken"), "failed on box-"),
        (("--train-data", "{own}/questions.jsonl", "--reward", "{own}/rewards.py:not_a_number"), "returned nan for"),
        (("--env", "{own}/environments.py:Sums", "--hidden-dim", "8"), "--hidden-dim is not for --algorithm grpo"),
        (("--env", "{own}/environments.py:Sums", "--onnx"), "--onnx is for agents"),
        (("--env", "{own}/environments.py:Sums", "--model", "no/such/model"), "no model folder at no/such/model"),
        (("--env", "{own}/environments.py:Sums", "--num-generations", "1"), "--num-generations"),
        (("--env", "{own}/environments.py:Sums", "--batch-size", "7"), "does not divide the 64 answers of a step"),
        (("--env", "{own}/environments.py:Sums", "--max-completion-length", "600"), "reads at most 512"),
        (("--env", "{own}/environments.py:Sums", "--target-modules", "nope"), "no module 'nope'"),
    ],
)  # fmt: skip
def test_bad_input_is_told_in_one_line(run_command, own, tiny_model, tmp_path, more, told):
    given = [word.format(own=own) for word in more]
    model = () if "--model" in more else ("--model", tiny_model)
    result = run_command("train-rl", "--algorithm", "grpo", *model, "--output-dir", tmp_path / "run", *given, *QUIET)
    assert result.code in (1, 2), result.err
    errors = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert told in errors[0]


@pytest.mark.parametrize("words", [("--lora-r", "4"), ("--train-data", "x.jsonl"), ("--beta", "0.1")])
def test_agents_refuse_what_only_language_models_have(run_command, words, tmp_path):
    result = run_command("train-rl", "--algorithm", "ppo", *words, "--output-dir", tmp_path / "run")
    assert result.code == 2
    assert f"error: {words[0]} is for language models, not for ppo" in result.err


def test_a_model_whose_answers_would_never_end_is_told(run_command, words, tiny_model, tmp_path):
    model = tmp_path / "endless"
    shutil.copytree(tiny_model, model)
    path = model / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token": None, "chat_template": "{{ messages }}"}))
    (model / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}\n{% endfor %}")
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    text = json.dumps(tokenizer)
    for name in ("<|im_end|>", "<|endoftext|>", "<|end|>", "</s>"):
        text = text.replace(json.dumps(name), json.dumps(f"{name} no more"))
    (model / "tokenizer.json").write_text(text)
    result = run_command(*words, "--model", model)
    assert result.code == 1
    assert "has no end token, so its answers would never end" in result.err


def test_an_adapter_whose_base_is_gone_is_told(run_command, words, tmp_path):
    assert run_command(*words).code == 0
    config = tmp_path / "run" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": str(tmp_path / "gone")}))
    result = run_command(*snake_words(tmp_path / "run", tmp_path / "second"))
    assert result.code == 1
    assert f"no model folder at {tmp_path / 'gone'}" in result.err


def test_without_trl_the_command_that_installs_it_is_named(run_command, words, monkeypatch, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr("workflows.grpo.find_spec", lambda name: None if name == "trl" else find(name))
    result = run_command(*words)
    assert result.code == 2
    assert "error: train-rl --algorithm grpo needs the package 'trl'" in result.err
    assert "[grpo]" in result.err
    assert not (tmp_path / "run").exists()
