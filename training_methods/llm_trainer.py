"""LLMTrainer: a small model and your conversations, on a processor, in three lines.

trainer = LLMTrainer("HuggingFaceTB/SmolLM2-135M-Instruct")
trainer.train("conversations.jsonl", "trained_model", epochs=3, batch_size=4)
print(trainer.generate("Who sings?"))
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared_utils.data_loader import load_records
from shared_utils.model_names import STARTER, STARTER_NOTICE
from shared_utils.settings import checked
from training_methods.transfer_learning.models.full_model import FullFineTuner
from training_methods.transfer_learning.settings import FullTrainingSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

    from training_methods.transfer_learning.dataset import EncodedDataset

Conversations = str | Path | Sequence[Mapping[str, Any]]


class LLMTrainer:
    """Trains every weight of a small model in float32; `tuner` is the `FullFineTuner` that does it.

    Another way of training is a subclass with a `train` of its own, made of `prepare`, `model` and `save`.

    Args:
        model_name: hub name, model folder or `starter`, the built-in tiny model for trying the tool.
        device: auto, cpu, cuda or mps.
        seed: start of every random choice.
        chat_template: name or file; None takes the model's own.
    """

    def __init__(
        self, model_name: str = STARTER, *, device: str = "cpu", seed: int = 42, chat_template: str | None = None
    ) -> None:
        if model_name == STARTER:
            logging.getLogger(__name__).warning(STARTER_NOTICE)
        self.tuner = FullFineTuner(model_name, device=device, seed=seed, chat_template=chat_template)

    @property
    def model(self) -> PreTrainedModel:
        """The model being trained."""
        return self.tuner.model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer, with a chat template and a padding token."""
        return self.tuner.tokenizer

    def prepare(self, conversations: Conversations, max_length: int = 512) -> EncodedDataset:
        """Conversations as token ids, with the loss on answers only.

        Args:
            conversations: a file or folder of any accepted kind of records, a conversation log too, or a list of them.
            max_length: tokens; what is longer is cut there.

        Raises:
            DataValidationError: nothing usable is there, or a record is of no known kind.
        """
        if not isinstance(conversations, str | Path):
            return self.tuner.prepare_instruction_dataset([dict(row) for row in conversations], max_length)
        loaded = load_records([conversations])
        if loaded.rejected:
            first = loaded.rejected[0]
            logging.getLogger(__name__).warning(
                "%d records are left out, first %s: %s", len(loaded.rejected), first.where, first.reason
            )
        return self.tuner.prepare_instruction_dataset(loaded.records, max_length)

    def train(
        self,
        conversations: Conversations,
        output_dir: str | Path = "./trained_model",
        *,
        epochs: float = 3,
        batch_size: int = 4,
        learning_rate: float = 5e-5,
        max_length: int = 512,
    ) -> Trainer:
        """Train, and save the model in `output_dir`, beside `metrics.jsonl` and checkpoints.

        Raises:
            ConfigurationError: a number is out of range.
            DataValidationError: nothing usable is in the conversations.
            TrainingError: the loss was not finite, or the memory did not suffice.
        """
        values = {
            "num_train_epochs": epochs,
            "per_device_train_batch_size": batch_size,
            "gradient_accumulation_steps": 1,
            "learning_rate": learning_rate,
            "max_length": max_length,
            "precision": "float32",
        }
        settings = checked(FullTrainingSettings, values)
        trainer = self.tuner.train(self.prepare(conversations, max_length), output_dir, training=settings)
        self.save(output_dir)
        return trainer

    def save(self, output_dir: str | Path) -> None:
        """Write the whole model as safetensors, with its tokenizer and chat template."""
        self.tuner.save(output_dir)

    def generate(self, prompt: str, max_new_tokens: int = 64) -> str:
        """The likeliest answer to one question."""
        return self.tuner.generate(prompt, max_new_tokens)
