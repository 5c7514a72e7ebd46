"""The command line of the training commands in a program of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import TrainingCLIUtils
from deployment import ModelRegistry
from shared_utils.errors import ConfigurationError, DataValidationError


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_flags_files_and_presets_make_the_training_that_the_command_would_run(tmp_path):
    (tmp_path / "mine.yaml").write_text("checkpoint: {max_checkpoints: 2}\ncommon: {seed: 7}\n", encoding="utf-8")
    words = "--train-data a.jsonl b.jsonl --preset tiny_cpu --config mine.yaml --lora-r 4 --epochs 2 --device cpu"
    args, config = TrainingCLIUtils.parse("lora", [*words.split(), "--output-dir", "out"])
    assert (args.train_data, args.seed, args.device) == (["a.jsonl", "b.jsonl"], 7, "cpu")
    assert (config.strategy, config.run_dir) == ("lora", Path("out"))
    assert (config.settings.lora_r, config.settings.training.num_train_epochs) == (4, 2)
    assert config.checkpoint.max_checkpoints == 2


def test_a_program_may_add_flags_of_its_own():
    parser = TrainingCLIUtils.parser("full", "my training")
    parser.add_argument("--mine", type=int)
    args, config = TrainingCLIUtils.parse("full", ["--train-data", "a.jsonl", "--mine", "3"], parser)
    assert (args.mine, config.strategy) == (3, "full")
    assert config.run_dir.parent == Path("outputs")


def test_a_registered_name_is_the_folder_of_its_model(tiny_model):
    ModelRegistry().add("bot", tiny_model)
    _, config = TrainingCLIUtils.parse("qlora", ["--train-data", "a.jsonl", "--model", "bot"])
    assert config.settings.model_name == str(tiny_model.resolve())


@pytest.mark.parametrize(
    ("words", "error", "told"),
    [
        (["--lora-rr", "4"], ConfigurationError, "unknown argument: --lora-rr"),
        (["--lora-r", "0"], ConfigurationError, "lora_r"),
        (["--model", "./nowhere"], DataValidationError, "no model folder at"),
    ],
)
def test_mistakes_are_those_of_the_command(words, error, told):
    with pytest.raises(error, match=told):
        TrainingCLIUtils.parse("lora", ["--train-data", "a.jsonl", *words])
