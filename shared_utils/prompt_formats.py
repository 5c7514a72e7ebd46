"""The text around a prompt, as token ids: the same in training, evaluation and chat.

Text that a person wrote never becomes a control token: `<|im_end|>` in a question is five ordinary
tokens, while the `<|im_end|>` that the template puts after it is the one control token it should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from shared_utils.answer_marking import AnswerMarker, MarkedRow
from shared_utils.chat_templates import REQUIRED_TOKENS, check_chat_template, template_by_name
from shared_utils.control_text import ControlText
from shared_utils.errors import ConfigurationError, DataValidationError
from shared_utils.records import Message, Record

IGNORED = -100  # the label that cross-entropy leaves out
Prepared = str | list[MarkedRow]  # a text, or the rendered rows of a conversation


@dataclass(frozen=True)
class EncodedRecord:
    """One record as the model sees it.

    `labels` stand at the positions of their own tokens (the model shifts them) and are -100 where no
    loss is taken; both lists have the same length.
    """

    input_ids: list[int]
    labels: list[int]
    truncated: bool

    @property
    def supervised_tokens(self) -> int:
        """Tokens that take part in the loss; the first position has nothing before it to predict it."""
        first_has_loss = bool(self.labels) and self.labels[0] != IGNORED
        return len(self.labels) - self.labels.count(IGNORED) - first_has_loss


def attach_chat_template(tokenizer: PreTrainedTokenizerBase, name: str | None, owner: str) -> None:
    """Give the tokenizer a checked chat template: the named one, its own, or one that suits its tokens.

    Raises:
        ConfigurationError: the named template needs tokens that this tokenizer lacks.
        SecurityError: the template is hostile or broken.
    """
    if name is None and tokenizer.chat_template:
        if not isinstance(tokenizer.chat_template, str):
            tokenizer.chat_template = tokenizer.chat_template["default"]
        check_chat_template(tokenizer.chat_template, owner)
        return
    vocabulary = tokenizer.get_vocab()
    if name is None:
        name = "chatml" if all(token in vocabulary for token in REQUIRED_TOKENS["chatml"]) else "alpaca"
    missing = [token for token in REQUIRED_TOKENS.get(name, ()) if token not in vocabulary]
    if missing:
        raise ConfigurationError(
            f"the chat template '{name}' needs the tokens {' '.join(missing)}, which {owner} does not have",
            hint="use --chat-template alpaca, which is plain text and the model's own end token, or add them by the "
            "setting new_tokens when you train",
        )
    template = template_by_name(name)
    check_chat_template(template, name)
    tokenizer.chat_template = template


class RecordEncoder:
    """Turns conversations into token ids with the labels of their answers.

    The text is cut where answers begin, as it is when the model is asked: the ids before an answer are those
    that `prompt` gives for the same history, and the answer is what the model adds to them.

    Args:
        tokenizer: with a chat template.
        max_length: longer rows are cut there.
        train_on_prompt: take the loss on prompts too.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int, train_on_prompt: bool = False) -> None:
        self._control = ControlText(tokenizer)
        self._marker = AnswerMarker(tokenizer, self._control)
        self._end_id = tokenizer.eos_token_id
        self._control_ids = np.array(sorted(self._control.ids.values()), np.int64)
        self._max_length = max_length
        self._train_on_prompt = train_on_prompt

    def prompt(self, messages: Sequence[Message], tools: list[dict[str, Any]] | None = None) -> list[int]:
        """Token ids of a conversation up to where the model answers."""
        pieces = self._marker.prompt(messages, tools).pieces
        return [token for ids in self._control.encode(pieces) for token in ids]

    def prepare(self, records: Sequence[Record]) -> list[Prepared]:
        """The rendered rows of each conversation, and texts as they are.

        Raises:
            DataValidationError: names the record and what the template cannot do with it.
        """
        conversations = [record for record in records if "text" not in record]
        pairs = [(record["messages"], record.get("tools")) for record in conversations]
        try:
            marked = iter(self._marker.rows(pairs))
        except DataValidationError:
            for record, pair in zip(conversations, pairs, strict=True):
                _name_the_record(self._marker, record, pair)
            raise
        return [record["text"] if "text" in record else next(marked) for record in records]

    def encode(self, prepared: Sequence[Prepared]) -> list[list[EncodedRecord]]:
        """The encoded rows of what `prepare` gave; hardly any Python, so it may run in a thread."""
        rows = iter(self._encode_marked([one for one in prepared if not isinstance(one, str)]))
        texts = iter(self._control.encode_texts([one for one in prepared if isinstance(one, str)]))
        return [self._windows(next(texts)) if isinstance(one, str) else next(rows) for one in prepared]

    def _windows(self, ids: list[int]) -> list[EncodedRecord]:
        """A plain text with the loss on every token and an end token behind it."""
        if self._end_id is not None and ids[-1:] != [self._end_id]:
            ids = [*ids, self._end_id]
        windows = [ids[start : start + self._max_length] for start in range(0, len(ids), self._max_length)]
        return [EncodedRecord(window, list(window), False) for window in windows if len(window) > 1]

    def _encode_marked(self, marked: Sequence[Sequence[MarkedRow]]) -> list[list[EncodedRecord]]:
        pieces = self._control.encode([piece for rows in marked for row in rows for piece in row.pieces])
        # Behind the prompt of each row comes a piece for each answer, with the number of its control tokens.
        ends = [end for rows in marked for row in rows for end in (0, *row.ends)]
        parts = iter(zip(pieces, self._answer_lengths(pieces, ends), strict=True))
        return [
            [self._label([next(parts) for _ in row.pieces], self._train_on_prompt and row is rows[-1]) for row in rows]
            for rows in marked
        ]

    def _label(self, parts: Sequence[tuple[list[int], int]], all_tokens: bool) -> EncodedRecord:
        input_ids: list[int] = []
        labels: list[int] = []
        for ids, length in parts:
            input_ids += ids
            labels += ids[:length]
            labels += [IGNORED] * (len(ids) - length)
        if all_tokens:
            labels = list(input_ids)
        limit = self._max_length
        return EncodedRecord(input_ids[:limit], labels[:limit], len(input_ids) > limit)

    def _answer_lengths(self, pieces: Sequence[list[int]], ends: Sequence[int]) -> list[int]:
        """For each piece its tokens up to and including its last control token that belongs to an answer."""
        starts = np.cumsum([0, *map(len, pieces)])
        answers = np.asarray(ends, np.int64)
        flat = np.fromiter(chain.from_iterable(pieces), np.int64, starts[-1])
        control: Any = np.append(np.flatnonzero(np.isin(flat, self._control_ids)), len(flat))
        last = np.searchsorted(control, starts[:-1]) + answers - 1
        places = control[np.clip(last, 0, len(control) - 1)]
        has_answer = answers > 0
        if np.any(places[has_answer] >= starts[1:][has_answer]):
            raise DataValidationError(
                "the tokenizer does not read the end token of the chat template as one token",
                hint="choose another template, for example --chat-template chatml or alpaca",
            )
        lengths: list[int] = np.where(has_answer, places + 1 - starts[:-1], 0).tolist()
        return lengths


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], tools: list[dict[str, Any]] | None = None
) -> list[int]:
    """Token ids of a conversation up to where the model answers."""
    return RecordEncoder(tokenizer, 0).prompt(messages, tools)


def encode_conversation(
    tokenizer: PreTrainedTokenizerBase, record: Record, max_length: int, train_on_prompt: bool = False
) -> list[EncodedRecord]:
    """A conversation with the loss on its answers, each with its end-of-turn token.

    One row, or one for each history that the model sees where the template rewrites earlier turns.

    Raises:
        DataValidationError: the template cannot tell where answers begin and end.
    """
    encoder = RecordEncoder(tokenizer, max_length, train_on_prompt)
    return encoder.encode(encoder.prepare([record]))[0]


def encode_record(
    tokenizer: PreTrainedTokenizerBase, record: Record, max_length: int, train_on_prompt: bool = False
) -> EncodedRecord:
    """A conversation that is one row.

    Raises:
        DataValidationError: the template cannot tell where answers begin and end, or makes several rows of it.
    """
    rows = encode_conversation(tokenizer, record, max_length, train_on_prompt)
    if len(rows) > 1:
        raise DataValidationError(
            "the chat template writes earlier turns differently later on, so this conversation is no single row",
            hint="choose another template, for example --chat-template chatml",
        )
    return rows[0]


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str, max_length: int) -> list[EncodedRecord]:
    """A plain text with the loss on every token and an end token behind it, in windows of `max_length`."""
    return RecordEncoder(tokenizer, max_length).encode([text])[0]


def _name_the_record(
    marker: AnswerMarker, record: Record, conversation: tuple[Sequence[Message], list[dict[str, Any]] | None]
) -> None:
    try:
        marker.rows([conversation])
    except DataValidationError as error:
        raise DataValidationError(f"{record['source']}: {error.message}", hint=error.hint) from error
