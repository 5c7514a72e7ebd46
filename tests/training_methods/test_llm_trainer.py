"""A small model and conversations, in three lines."""

from __future__ import annotations

import json
import logging

import pytest
import torch

from conversation_data import ConversationLogger
from shared_utils import DataLoaderFactory, OptimizedTrainer
from shared_utils.errors import ConfigurationError, DataValidationError
from shared_utils.model_utils import load_model, load_tokenizer
from training_methods import LLMTrainer

PAIRS = [
    {"messages": [{"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": answer}]}
    for n, answer in enumerate(["A door.", "Rain.", "The sea.", "Two cats."])
]


@pytest.fixture
def log(tmp_path):
    logger = ConversationLogger(tmp_path / "conversations.jsonl")
    for row in PAIRS:
        logger.log_conversation(row["messages"][0]["content"], row["messages"][1]["content"], {"session_id": "s"})
    return logger.path


def test_a_conversation_log_is_learnt_and_the_saved_model_is_the_trained_one(tiny_model, log, tmp_path):
    trainer = LLMTrainer(str(tiny_model))
    before = {name: weight.clone() for name, weight in trainer.model.state_dict().items()}
    done = trainer.train(log, tmp_path / "out", epochs=30, batch_size=2, learning_rate=1e-2)
    losses = [row["loss"] for row in done.state.log_history if "loss" in row]
    assert losses[-1] < losses[0] / 4
    assert trainer.generate("What is 2?") in {row["messages"][1]["content"] for row in PAIRS}
    assert [path.name for path in (tmp_path / "out").glob("*.safetensors")] == ["model.safetensors"]
    assert not list((tmp_path / "out").glob("*.bin"))
    saved = load_model(str(tmp_path / "out"), "cpu").state_dict()
    torch.testing.assert_close(dict(saved), dict(trainer.model.state_dict()), atol=0, rtol=0)
    assert all(not torch.equal(before[name], weight) for name, weight in saved.items() if "proj" in name)
    assert load_tokenizer(str(tmp_path / "out")).chat_template == trainer.tokenizer.chat_template


def test_records_that_cannot_be_used_are_told(tiny_model, log, caplog):
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"prompt": "Why?", "completion": ""}) + "\n")
    with caplog.at_level(logging.WARNING):
        assert len(LLMTrainer(str(tiny_model)).prepare(log)) == 4
    assert f"1 records are left out, first {log}, line 5: empty answer" in caplog.text


def test_the_built_in_model_says_what_it_is_for(caplog):
    assert LLMTrainer().tuner.model_name == "starter"
    assert "tiny built-in model for trying the tool" in caplog.text


def test_a_number_out_of_range_is_refused_before_training(tiny_model, tmp_path):
    with pytest.raises(ConfigurationError, match="learning_rate"):
        LLMTrainer(str(tiny_model)).train(PAIRS, tmp_path / "out", learning_rate=-1)
    with pytest.raises(DataValidationError, match="no known kind"):
        LLMTrainer(str(tiny_model)).train([{"question": "?"}], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_train_can_be_a_loop_of_ones_own(tiny_model, tmp_path):
    class Mine(LLMTrainer):
        def train(self, conversations, output_dir="out", *, passes=20):
            loader = DataLoaderFactory.create_instruction_dataloader(conversations, self.tokenizer, shuffle=True)
            optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
            stepper = OptimizedTrainer(self.model, optimizer, accumulation_steps=1)
            losses = [stepper.training_step(batch, step) for step in range(passes) for batch in loader]
            self.save(output_dir)
            return losses

    losses = Mine(str(tiny_model)).train(PAIRS, tmp_path / "mine")
    assert losses[-1] < losses[0] / 4
    assert (tmp_path / "mine" / "model.safetensors").is_file()
