"""Instruction pairs written by a language model, from the chunks of an extraction.

    write_llm_instructions(Path("data"), InstructionSettings(instruction_source="llm"))

Chunks are read as a stream and asked about by several threads; records are written in the order of the
chunks. Every reply is kept in `answers` as it comes, so a run that was stopped asks only what is missing.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from document_processing.converters.grounding import judge
from document_processing.converters.llm_pairs import SCHEMA, TOKENS_PER_PAIR, messages_for, read_pairs
from document_processing.settings import InstructionSettings
from shared_utils.errors import LLMToolkitError
from shared_utils.file_utils import append_jsonl, read_jsonl, sha256_of_text, write_jsonl_atomic
from shared_utils.llm_client import AnswerError, EndpointError, LLMClient, is_loopback
from shared_utils.records import Chunk, Instruction

ANSWERS_NAME = "llm_answers.jsonl"
WAITING_PER_THREAD = 4  # chunks that are read ahead
MOST_FAILURES_IN_A_ROW = 8
SECONDS_TO_END = 1.0
_LOCATION_KEYS = ("source", "type", "title", "page", "heading_path", "line_start", "line_end", "chunk_index")

logger = logging.getLogger(__name__)


@dataclass
class PairCounts:
    """What came of the model's replies: pairs kept, and refused ones by reason."""

    pairs_by_source: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)

    @property
    def pairs(self) -> int:
        """All pairs that were kept."""
        return self.pairs_by_source.total()


class _Asked(NamedTuple):
    """A chunk and where its reply will be: a text, or the error that came instead."""

    chunk: Chunk
    key: str
    reply: queue.SimpleQueue[str | LLMToolkitError]
    is_new: bool


def write_llm_instructions(
    output: Path,
    settings: InstructionSettings,
    *,
    answers: Path | None = None,
    on_chunk: Callable[[], None] | None = None,
    first_pause_seconds: float = 1.0,
) -> PairCounts:
    """Write `instructions.jsonl` from `chunks.jsonl` in the same folder.

    Args:
        output: the folder of the extraction.
        settings: endpoint, model and limits.
        answers: where replies are kept for the next run; None keeps none.
        on_chunk: called after each chunk.
        first_pause_seconds: pause before a request is tried again; doubled each time.

    Raises:
        EndpointError: the endpoint does not answer, or not any more; replies so far are kept.
        ConfigurationError: the address cannot be one.
    """
    client = LLMClient(
        settings.llm_url,
        settings.llm_model,
        timeout_seconds=settings.llm_timeout_seconds,
        first_pause_seconds=first_pause_seconds,
    )
    if not is_loopback(client.url):
        logger.warning("the text of your documents is sent to %s, which is not this machine", client.url)
    try:
        client.connect()
    except BaseException:
        client.close()
        raise
    counts = PairCounts()
    asking = _Asking(client, settings, answers)
    try:
        replies = asking.replies(output / "chunks.jsonl")
        records = _records(replies, client.model, settings.llm_pairs_per_chunk, counts, on_chunk)
        write_jsonl_atomic(output / "instructions.jsonl", records)
    finally:
        asking.close()
    return counts


class _Asking:
    """Sends chunks to the endpoint and gives the replies in the order of the chunks."""

    def __init__(self, client: LLMClient, settings: InstructionSettings, answers: Path | None) -> None:
        self._client, self._settings, self._answers = client, settings, answers
        self._known = _known_answers(answers) if answers else {}
        self._work: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._failures = 0  # in a row

    def replies(self, chunks: Path) -> Iterator[tuple[Chunk, str | AnswerError]]:
        """Each chunk of the file with its reply, or with why there is none."""
        threads = self._settings.llm_concurrency
        for _ in range(threads):
            # Daemons: Ctrl-C must not wait for a model that is thinking.
            self._threads.append(threading.Thread(target=self._work_off, daemon=True))
            self._threads[-1].start()
        waiting: deque[_Asked] = deque()
        try:
            for _, record in read_jsonl(chunks):
                waiting.append(self._asked(Chunk(text=record["text"], metadata=record["metadata"])))
                if len(waiting) >= threads * WAITING_PER_THREAD:
                    asked = waiting.popleft()
                    yield asked.chunk, self._reply(asked)
            while waiting:
                asked = waiting.popleft()
                yield asked.chunk, self._reply(asked)
        finally:
            self._keep_finished(waiting)

    def close(self) -> None:
        """End the threads; one that waits for the endpoint gets a second."""
        self._client.stop()
        for _ in self._threads:
            self._work.put(None)
        deadline = time.monotonic() + SECONDS_TO_END
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._client.close()

    def _reply(self, asked: _Asked) -> str | AnswerError:
        """Wait for the reply; one that never came is an error only when it is not the only one."""
        reply = asked.reply.get()
        if isinstance(reply, str):
            self._failures = 0
            if asked.is_new:
                self._keep(asked.key, reply)
            return reply
        if not isinstance(reply, AnswerError):
            raise reply
        self._failures += 1
        if self._failures == MOST_FAILURES_IN_A_ROW:
            raise EndpointError(
                f"{self._failures} requests in a row failed; the last: {reply.message}", hint=reply.hint
            )
        return reply

    def _asked(self, chunk: Chunk) -> _Asked:
        messages = messages_for(chunk, self._settings.llm_pairs_per_chunk)
        key = sha256_of_text(self._client.model, *(message["content"] for message in messages))
        known = self._known.get(key)
        asked = _Asked(chunk, key, queue.SimpleQueue(), is_new=known is None)
        if known is None:
            self._work.put(asked)
        else:
            asked.reply.put(known)
        return asked

    def _work_off(self) -> None:
        most_tokens = TOKENS_PER_PAIR * self._settings.llm_pairs_per_chunk
        while (asked := self._work.get()) and not self._client.is_stopped:
            try:
                messages = messages_for(asked.chunk, self._settings.llm_pairs_per_chunk)
                asked.reply.put(self._client.ask(messages, SCHEMA, most_tokens))
            except LLMToolkitError as error:
                asked.reply.put(error)
            except Exception as error:  # the one who waits for the reply must hear of it
                asked.reply.put(EndpointError(f"unexpected {type(error).__name__}: {error}"[:300]))

    def _keep(self, key: str, reply: str) -> None:
        if self._answers:
            append_jsonl(self._answers, {"key": key, "reply": reply})

    def _keep_finished(self, waiting: deque[_Asked]) -> None:
        """Keep what was answered already when an error ends the run."""
        for asked in waiting:
            if asked.is_new and not asked.reply.empty():
                reply = asked.reply.get()
                if isinstance(reply, str):
                    self._keep(asked.key, reply)


def _known_answers(path: Path) -> dict[str, str]:
    """Replies of earlier runs; lines cut by a kill are passed over."""
    known: dict[str, str] = {}
    if not path.exists():
        return known
    with path.open("rb") as file:
        for line in file:
            try:
                entry: Any = json.loads(line)
                key, reply = entry["key"], entry["reply"]
            except (ValueError, KeyError, TypeError):
                continue
            if isinstance(key, str) and isinstance(reply, str):
                known[key] = reply
    return known


def _records(
    replies: Iterator[tuple[Chunk, str | AnswerError]],
    model: str,
    most: int,
    counts: PairCounts,
    on_chunk: Callable[[], None] | None,
) -> Iterator[Instruction]:
    questions: set[str] = set()
    for chunk, reply in replies:
        yield from _pairs_of(chunk, reply, model, most, counts, questions)
        if on_chunk:
            on_chunk()


def _pairs_of(
    chunk: Chunk, reply: str | AnswerError, model: str, most: int, counts: PairCounts, questions: set[str]
) -> Iterator[Instruction]:
    """The pairs of a reply that rest on the chunk; the others are counted by reason."""
    if isinstance(reply, AnswerError):
        logger.warning("%s, chunk %s: %s", chunk["metadata"]["source"], chunk["metadata"]["chunk_index"], reply.message)
        counts.rejects["no_answer"] += 1
        return
    pairs = read_pairs(reply)
    if pairs is None:
        counts.rejects["no_json"] += 1
        return
    metadata = chunk["metadata"]
    heading = " ".join([metadata["title"], *metadata.get("heading_path", ())])
    for number, pair in enumerate(pairs):
        if number == most:
            counts.rejects["too_many"] += len(pairs) - most
            return
        reason, span = judge(pair.question, pair.answer, chunk["text"], heading)
        folded = " ".join(re.findall(r"\w+", pair.question.casefold()))
        if reason is None and folded in questions:
            reason = "duplicate"
        if reason:
            counts.rejects[reason] += 1
            continue
        questions.add(folded)
        counts.pairs_by_source[metadata["source"]] += 1
        about = {key: metadata[key] for key in _LOCATION_KEYS if key in metadata}
        about |= {"char_start": metadata["char_start"] + span.start, "char_end": metadata["char_start"] + span.end}
        about |= {"method": "llm", "model": model}
        yield Instruction(instruction=pair.question, input="", output=pair.answer, metadata=about)
