"""Sample replies while a model trains: what the figures cannot show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from shared_utils.file_utils import append_jsonl
from shared_utils.prompt_formats import IGNORED
from training_methods.transfer_learning.dataset import EncodedDataset

SAMPLES_NAME = "samples.jsonl"
MAX_NEW_TOKENS = 48


class WriteSampleReplies(TrainerCallback):
    """Appends replies to held-out questions to `samples.jsonl` at each evaluation.

    Args:
        tokenizer: turns the held-out records back into text.
        reply: the greedy answer to token ids, of at most so many tokens; draws no random number, so a
            run with samples trains as one without.
        dataset: the held-out records.
        run_dir: where `samples.jsonl` goes.
        count: questions answered each time.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        reply: Callable[[list[int], int], str],
        dataset: EncodedDataset,
        run_dir: Path,
        count: int,
    ) -> None:
        self._reply = reply
        self._path = run_dir / SAMPLES_NAME
        self._questions = [
            _question_and_answer(tokenizer, row.input_ids, row.labels)
            for row in (dataset.examples(index)[0][1] for index in range(len(dataset)))
            if row.labels[0] == IGNORED
        ][:count]

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: PreTrainedModel,
        **_: Any,
    ) -> None:
        """Answer the questions with the weights of this step."""
        model.eval()
        for prompt_ids, question, reference in self._questions:
            reply = self._reply(prompt_ids, MAX_NEW_TOKENS)
            append_jsonl(
                self._path,
                {"step": state.global_step, "prompt": question, "reference": reference, "reply": reply},
            )
        model.train()


def _question_and_answer(
    tokenizer: PreTrainedTokenizerBase, input_ids: list[int], labels: list[int]
) -> tuple[list[int], str, str]:
    """The ids up to the first answer, and both sides as text."""
    start = next(index for index, label in enumerate(labels) if label != IGNORED)
    end = next((index for index in range(start, len(labels)) if labels[index] == IGNORED), len(labels))
    question = tokenizer.decode(input_ids[:start], skip_special_tokens=True)
    answer = tokenizer.decode(input_ids[start:end], skip_special_tokens=True)
    return input_ids[:start], str(question).strip(), str(answer)
