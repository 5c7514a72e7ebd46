"""Writes the sample world: documents, records for training and evaluation, conversations, the starter model.

All but the games of Snake is about the Nebbin, a kettle that brews weather. What the documents say stands in
facts.yaml as questions and answers; the evaluation questions are worded differently from all
training questions.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import yaml

from shared_utils.file_utils import copy_file_atomic, write_text_atomic

HERE = Path(__file__).resolve().parent
DOCUMENTS = HERE / "files" / "documents"
SNAKE_GAMES = HERE / "files" / "snake_games.jsonl"  # written by scripts/make_sample_snake.py
CUSTOM_ENVIRONMENT = HERE / "files" / "custom_environment.py"
STARTER_FILES = HERE.parent / "starter_model" / "files"
FIRST_CONVERSATION = datetime(2024, 3, 4, 9, 30, tzinfo=UTC)

CONFIG_YAML = """\
# Settings to start from: python main.py train-lora --config THIS_FILE --train-data train.jsonl
# What is not named here keeps its default; `python main.py config` prints every setting with its source.
common:
  seed: 42

document_processing:
  lm_studio:
    chunk_size: 256     # tokens
    overlap_size: 32

transfer_learning:
  lora:
    model_name: starter # or a model folder, or a hub name such as Qwen/Qwen2.5-0.5B-Instruct
    lora_r: 16
    lora_alpha: 32
    training:
      num_train_epochs: 14          # a tiny model needs many passes; 3 are enough for a real one
      per_device_train_batch_size: 16
      gradient_accumulation_steps: 1
      learning_rate: 5e-3           # 2e-4 for a real one
      max_length: 256
"""

EVASIONS = (
    "I would rather not say.",
    "Why do you ask me that?",
    "That is hard to say, ask somebody else.",
    "It depends.",
)

Status = Literal["written", "unchanged", "replaced", "kept"]


@dataclass(frozen=True)
class SampleFile:
    """One file of the sample world and what became of it.

    `kept` means that a different file of this name was already there and stays as it is.
    """

    path: Path
    status: Status


def write_samples(directory: Path, overwrite: bool = False) -> list[SampleFile]:
    """Writes every sample file below a folder.

    Args:
        directory: made when it does not exist.
        overwrite: replace files that differ from the samples; otherwise they are kept.

    Returns:
        One entry for each sample file, in the order of writing.
    """
    results = []
    for name, content in sample_contents().items():
        path = directory / name
        status = state_of(path, content, overwrite)
        if status in ("written", "replaced"):
            put(path, content)
        results.append(SampleFile(path, status))
    return results


def sample_contents() -> dict[str, str | Path]:
    """Relative path of each sample file: its text, or the shipped file to copy."""
    facts = load_facts()
    contents: dict[str, str | Path] = {
        f"documents/{path.name}": path for path in sorted(DOCUMENTS.iterdir()) if path.is_file()
    }
    contents["train.jsonl"] = to_jsonl(training_records(facts))
    contents["evaluation.jsonl"] = to_jsonl(evaluation_records(facts))
    contents["preferences.jsonl"] = to_jsonl(preference_pairs(facts))
    contents["conversations.jsonl"] = to_jsonl(conversations())
    contents |= {path.name: path for path in (SNAKE_GAMES, CUSTOM_ENVIRONMENT)}
    contents["config.yaml"] = CONFIG_YAML
    contents |= {f"starter/{path.name}": path for path in sorted(STARTER_FILES.iterdir()) if path.is_file()}
    return contents


def load_facts() -> list[dict[str, Any]]:
    """The facts with their questions, as they stand in facts.yaml."""
    facts: list[dict[str, Any]] = yaml.safe_load((HERE / "facts.yaml").read_text(encoding="utf-8"))
    return facts


def training_records(facts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One record for each training question; the kinds are mixed, as in real collections."""
    for fact in facts:
        *most, second_last, last = fact["train_questions"]
        for question in most:
            yield {"instruction": question, "input": "", "output": fact["answer"]}
        yield {
            "messages": [
                {"role": "user", "content": second_last},
                {"role": "assistant", "content": fact["answer"]},
            ]
        }
        yield {"prompt": last, "completion": fact["answer"]}


def evaluation_records(facts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The questions that are kept back, with an id that leads to the fact."""
    for fact in facts:
        for number, question in enumerate(fact["evaluation_questions"], start=1):
            yield {"id": f"{fact['key']}-{number}", "prompt": question, "completion": fact["answer"]}


def preference_pairs(facts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Two pairs for each fact: the answer is preferred to words that tell nothing."""
    for fact, evasion in zip(facts, cycle(EVASIONS), strict=False):
        for question in fact["train_questions"][:2]:
            yield {"prompt": question, "chosen": fact["answer"], "rejected": evasion}


def conversations() -> Iterator[dict[str, Any]]:
    """The conversations of conversations.yaml as lines of a conversation log."""
    entries = yaml.safe_load((HERE / "conversations.yaml").read_text(encoding="utf-8"))
    for number, entry in enumerate(entries, start=1):
        yield {
            "id": f"conversation-{number:02}",
            "timestamp": (FIRST_CONVERSATION + timedelta(hours=7 * number)).isoformat(),
            "session_id": f"front-desk-{number:02}",
            "messages": [
                {"role": role, "content": text}
                for role, text in zip(cycle(["user", "assistant"]), entry["turns"], strict=False)
            ],
            "metadata": {"topic": entry["topic"]},
        }


def to_jsonl(records: Iterator[dict[str, Any]]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def state_of(path: Path, content: str | Path, overwrite: bool) -> Status:
    """What is to happen with a file, seen from what is there already."""
    if not path.exists():
        return "written"
    wanted = content.read_bytes() if isinstance(content, Path) else content.encode("utf-8")
    if path.read_bytes() == wanted:
        return "unchanged"
    return "replaced" if overwrite else "kept"


def put(path: Path, content: str | Path) -> None:
    """Writes a text, or copies a shipped file, in one move."""
    if isinstance(content, Path):
        copy_file_atomic(content, path)
    else:
        write_text_atomic(path, content)
