"""What a pipeline trains on and what it asks: records from samples, from files given, or from the documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared_utils.data_loader import load_records
from shared_utils.errors import DataValidationError
from shared_utils.file_utils import read_jsonl, sha256_of_text, write_jsonl_atomic
from shared_utils.records import Record

MAX_HELD_OUT = 100  # questions; enough for an interval of a tenth either way
# Worded unlike every form that extraction gives to a training question.
PARAPHRASE = "Please answer from the documents: what is known about {subject}?"


@dataclass(frozen=True)
class PipelineData:
    """The two files of a pipeline and what is in them."""

    train: Path
    evaluation: Path
    train_records: int
    chunk_records: int
    questions: int
    origin: str


def write_pipeline_data(
    extract_dir: Path, data_dir: Path, train_data: Sequence[str], eval_data: str | None
) -> PipelineData:
    """Write `train.jsonl` and `evaluation.jsonl`.

    Training takes every chunk of the documents as plain text, and questions with answers: those given in
    `train_data`, else the instruction pairs of extraction. Questions held out come from `eval_data`, else
    they ask about the passages of those pairs in other words.

    Raises:
        DataValidationError: there is nothing to ask, or a held-out question stands in the training records.
    """
    chunks = [row for _, row in read_jsonl(extract_dir / "chunks.jsonl")]
    pairs = [row for _, row in read_jsonl(extract_dir / "instructions.jsonl")]
    questions = list(_given(train_data)) if train_data else pairs
    held_out = list(_given([eval_data])) if eval_data else list(_paraphrased(pairs))
    if not held_out:
        raise DataValidationError(
            "the documents give no question to measure by: no heading with a text below it was found",
            hint="give questions and answers with --train-data FILE and --eval-data FILE",
        )
    _refuse_overlap(questions, held_out)
    texts = [{"text": chunk["text"]} for chunk in chunks]
    train = data_dir / "train.jsonl"
    evaluation = data_dir / "evaluation.jsonl"
    write_jsonl_atomic(train, [*questions, *texts])
    write_jsonl_atomic(evaluation, held_out)
    origin = "given" if eval_data else "formed from headings; held-out ones ask about the same passages in other words"
    return PipelineData(train, evaluation, len(questions), len(texts), len(held_out), origin)


def _given(paths: Sequence[str]) -> Iterator[dict[str, Any]]:
    for record in load_records(paths).records:
        if "messages" in record:
            yield {"id": record["id"], "messages": record["messages"]}
        else:
            yield {"id": record["id"], "text": record["text"]}


def _paraphrased(pairs: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Other words for the questions of some pairs, chosen by content so that a rerun asks the same."""
    subjects: dict[str, dict[str, Any]] = {}
    repeated: set[str] = set()
    for pair in pairs:
        subject = _subject(pair)
        if subject in subjects and subjects[subject]["output"] != pair["output"]:
            repeated.add(subject)  # two passages under one heading: the question would have two answers
        subjects.setdefault(subject, pair)
    clear = [subject for subject in subjects if subject not in repeated]
    for subject in sorted(clear, key=lambda text: sha256_of_text(text))[:MAX_HELD_OUT]:
        yield {
            "id": f"held-out {sha256_of_text(subject)[:12]}",
            "prompt": PARAPHRASE.replace("{subject}", subject),
            "completion": subjects[subject]["output"],
        }


def _subject(pair: dict[str, Any]) -> str:
    metadata = pair["metadata"]
    path = metadata.get("heading_path") or []
    heading = str(metadata.get("heading") or metadata.get("title"))
    context = str(path[-2] if len(path) > 1 else metadata.get("title") or "")
    return heading if not context or context.casefold() == heading.casefold() else f"{heading} ({context})"


def _refuse_overlap(train: Sequence[dict[str, Any]], held_out: Sequence[dict[str, Any]]) -> None:
    known = {question for row in train for question in _questions(row)}
    for row in held_out:
        for question in _questions(row):
            if question in known:
                raise DataValidationError(
                    f"the held-out question '{question:.80}' stands in the training records and would measure nothing",
                    hint="take it out of one of the two files",
                )


def _questions(row: dict[str, Any]) -> list[str]:
    if "messages" in row:
        return [_normal(turn["content"]) for turn in row["messages"] if turn["role"] == "user"]
    return [_normal(row[key]) for key in ("prompt", "instruction") if key in row]


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())


def load_questions(path: Path) -> list[Record]:
    """The held-out questions in their normal form."""
    return load_records([path]).records
