"""Where the answers stand in a rendered conversation, found by rendering every prefix of it.

A template need not mark its answers: what it writes for the conversation up to an answer, and for the
conversation with it, tells exactly where the answer begins and ends. Templates that write earlier turns
differently once later ones are there (reasoning taken out, say) give one row for each way in which the
model sees its history.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from shared_utils.control_text import ControlText, Piece
from shared_utils.errors import DataValidationError
from shared_utils.records import Message
from shared_utils.template_shapes import only_copies_contents

_SPACE, _OPEN, _CLOSE = "\u2003", "\ue001", "\ue002"
_BLANK = re.compile(f"({_SPACE}{_OPEN}\\d+{_CLOSE}{_SPACE}|{_OPEN}\\d+{_CLOSE})")
OTHER_TEMPLATE = "choose another template, for example --chat-template chatml"


class MarkedRow(NamedTuple):
    """A rendered conversation, cut where answers begin, which is where the model takes over from the prompt.

    Attributes:
        pieces: what stands before the first answer, then each answer with what follows it.
        ends: for each answer the number of control tokens in it; its last one ends the turn.
    """

    pieces: tuple[Piece, ...]
    ends: tuple[int, ...]


@dataclass(frozen=True)
class _Conversation:
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    mark: str | None

    def answer_turns(self) -> list[int]:
        return [index for index, message in enumerate(self.messages) if message["role"] == "assistant"]


def blank(index: int) -> str:
    """What stands for the content of a message in a form; the spaces tell whether it is stripped."""
    return f"{_SPACE}{_OPEN}{index}{_CLOSE}{_SPACE}"


@dataclass(frozen=True)
class RowForm:
    """The rows of all conversations with the same roles, with blanks for the contents.

    Attributes:
        rows: for each row its pieces as format strings, and its ends; the contents have the numbers 0, 1, ...
            and, stripped, the numbers that follow.
    """

    rows: tuple[tuple[tuple[str, ...], tuple[int, ...]], ...]

    @classmethod
    def of(cls, rows: Sequence[MarkedRow], turns: int) -> RowForm | None:
        """The form behind rendered blanks of so many turns; None when they were not copied whole."""
        places = {blank(index): f"{{{index}}}" for index in range(turns)}
        places |= {blank(index).strip(): f"{{{turns + index}}}" for index in range(turns)}
        found = []
        for row in rows:
            pieces = []
            for piece in row.pieces:
                parts = _BLANK.split(piece.text)
                if any(char in text for text in parts[::2] for char in (_SPACE, _OPEN, _CLOSE)):
                    return None
                literal = [text.replace("{", "{{").replace("}", "}}") for text in parts]
                pieces.append("".join(places[part] if at % 2 else literal[at] for at, part in enumerate(parts)))
            found.append((tuple(pieces), row.ends))
        return cls(tuple(found))

    def fill(self, contents: Sequence[str]) -> list[MarkedRow]:
        """The rows of one conversation."""
        values = (*contents, *map(str.strip, contents))
        return [
            MarkedRow(tuple([Piece(text.format(*values), not at) for at, text in enumerate(pieces)]), ends)
            for pieces, ends in self.rows
        ]


class AnswerMarker:
    """Renders conversations with a tokenizer's template and finds their answers."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, control: ControlText) -> None:
        self._tokenizer = tokenizer
        self._control = control
        self._has_shapes = isinstance(tokenizer.chat_template, str) and only_copies_contents(tokenizer.chat_template)
        self._shapes: dict[tuple[tuple[str, bool], ...], RowForm | None] = {}

    def prompt(self, messages: Sequence[Message], tools: list[dict[str, Any]] | None = None) -> MarkedRow:
        """A conversation up to where the model answers; earlier answers are marked, as in training.

        Raises:
            DataValidationError: the template cannot render it.
        """
        conversation = self._hidden(messages, tools)
        turns = conversation.answer_turns()
        lists = [conversation.messages[:turn] for turn in turns]
        text, *earlier = self._render([conversation.messages, *lists], tools=conversation.tools, asks=True)
        starts = [len(prompt) for prompt in earlier if text.startswith(prompt)]
        return self._row(text, [(start, start) for start in starts], conversation.mark)

    def rows(
        self, conversations: Sequence[tuple[Sequence[Message], list[dict[str, Any]] | None]]
    ) -> list[list[MarkedRow]]:
        """The rows of each conversation: one, or several where the template rewrites earlier turns.

        Raises:
            DataValidationError: the template cannot render one, or its answers cannot be told.
        """
        results: list[list[MarkedRow]] = []
        slow: list[_Conversation] = []
        slow_indices: list[int] = []
        for messages, tools in conversations:
            shaped = self._by_shape(messages) if self._has_shapes and not tools else None
            results.append(shaped or [])
            if shaped is None:
                slow.append(self._hidden(messages, tools))
                slow_indices.append(len(results) - 1)
        simple = [(index, one) for index, one in zip(slow_indices, slow, strict=True) if one.tools is None]
        for (index, _), rows in zip(simple, self._rows_together([one for _, one in simple]), strict=True):
            results[index] = rows
        for index, one in zip(slow_indices, slow, strict=True):
            if one.tools is not None:
                results[index] = self._rows_together([one])[0]
        return results

    def _by_shape(self, messages: Sequence[Message]) -> list[MarkedRow] | None:
        """The rows by filling in the contents, where roles are all that the template looks at."""
        contents = [message["content"] for message in messages]
        if self._control.pattern.search("\0".join(contents)) or any(len(message) != 2 for message in messages):
            return None
        shape = tuple((message["role"], not message["content"]) for message in messages)
        if shape not in self._shapes:
            self._shapes[shape] = self._form(messages)
        form = self._shapes[shape]
        return form.fill(contents) if form else None

    def _form(self, messages: Sequence[Message]) -> RowForm | None:
        blanks: list[dict[str, Any]] = [
            {"role": message["role"], "content": blank(index) if message["content"] else ""}
            for index, message in enumerate(messages)
        ]
        form = RowForm.of(self._rows_together([_Conversation(blanks, None, None)])[0], len(messages))
        # One conversation is rendered both ways, in case the program of the template was misread.
        if (
            form
            and form.fill([message["content"] for message in messages])
            == self._rows_together([_Conversation([dict(message) for message in messages], None, None)])[0]
        ):
            return form
        return None

    def _rows_together(self, conversations: Sequence[_Conversation]) -> list[list[MarkedRow]]:
        """All renderings in two calls of the library; conversations with tools come alone."""
        if not conversations:
            return []
        prompts: list[list[dict[str, Any]]] = []
        wholes: list[list[dict[str, Any]]] = []
        for one in conversations:
            wholes.append(one.messages)
            for turn in one.answer_turns():
                prompts.append(one.messages[:turn])
                if turn + 1 < len(one.messages):
                    wholes.append(one.messages[: turn + 1])
        tools = conversations[0].tools
        prompt_texts = iter(self._render(prompts, tools=tools, asks=True))
        whole_texts = iter(self._render(wholes, tools=tools, asks=False))
        results = []
        for one in conversations:
            whole = next(whole_texts)
            spans: list[tuple[str, str]] = []
            for turn in one.answer_turns():
                until = next(whole_texts) if turn + 1 < len(one.messages) else whole
                spans.append((next(prompt_texts), until))
            results.append(self._chain(one, whole, spans))
        return results

    def _chain(self, one: _Conversation, whole: str, turns: Sequence[tuple[str, str]]) -> list[MarkedRow]:
        """Join the turns that see one and the same history into rows."""
        rows: list[MarkedRow] = []
        texts: list[str] = []
        answers: list[tuple[int, int]] = []
        for number, (prompt, until) in enumerate(turns):
            if not until.startswith(prompt):
                raise DataValidationError(
                    "the chat template does not continue the prompt with the answer, so answers cannot be marked",
                    hint=OTHER_TEMPLATE,
                )
            answers.append((len(prompt), self._end_of_turn(until, len(prompt))))
            following = turns[number + 1][0] if number + 1 < len(turns) else whole
            if number + 1 == len(turns) or not following.startswith(until):
                texts.append(whole if whole.startswith(until) else until)
                rows.append(self._row(texts[-1], answers, one.mark))
                answers = []
        self._check_tools(one, texts)
        return rows

    def _row(self, text: str, answers: Sequence[tuple[int, int]], mark: str | None) -> MarkedRow:
        cuts = [0, *(start for start, _ in answers), len(text)]
        return MarkedRow(
            tuple(Piece(text[start:end], start == 0, mark) for start, end in pairwise(cuts)),
            tuple(len(self._control.pattern.findall(text, start, end)) for start, end in answers),
        )

    def _end_of_turn(self, until: str, start: int) -> int:
        """The end of an answer: behind its last control token, without the white space that follows it."""
        end = start
        for match in self._control.pattern.finditer(until, start):
            end = match.end()
        if end == start or until[end:].strip():
            raise DataValidationError(
                "the chat template puts no end token behind answers, so the model would never learn to stop",
                hint="choose another template, for example --chat-template chatml or alpaca",
            )
        return end

    def _check_tools(self, one: _Conversation, texts: Sequence[str]) -> None:
        names = [str(tool.get("function", tool).get("name", "")) for tool in one.tools or []]
        for message in one.messages:
            names += [str(call.get("function", call).get("name", "")) for call in message.get("tool_calls") or []]
        missing = next((name for name in names if not any(name in text for text in texts)), None)
        if missing is not None:
            raise DataValidationError(
                f"the chat template does not write tools: '{self._control.restore(missing, one.mark)}' is lost",
                hint="choose a template that knows tools, for example --chat-template qwen",
            )

    def _hidden(self, messages: Sequence[Message], tools: list[dict[str, Any]] | None) -> _Conversation:
        plain: list[dict[str, Any]] = [dict(message) for message in messages]
        texts = [text for message in plain for text in _strings(message)] + _strings(tools)
        mark = self._control.mark_for(texts)
        if mark is None:
            return _Conversation(plain, tools, None)
        return _Conversation(
            [{**self._hide(message, mark), "role": message["role"]} for message in plain],
            self._hide(tools, mark),
            mark,
        )

    def _hide(self, value: Any, mark: str) -> Any:
        if isinstance(value, str):
            return self._control.hide(value, mark)
        if isinstance(value, list):
            return [self._hide(one, mark) for one in value]
        if isinstance(value, dict):
            return {self._hide(key, mark): self._hide(one, mark) for key, one in value.items()}
        return value

    def _render(
        self, conversations: list[list[dict[str, Any]]], *, tools: list[dict[str, Any]] | None, asks: bool
    ) -> list[str]:
        if not conversations:
            return []
        try:
            return list(
                self._tokenizer.apply_chat_template(
                    conversations, tools=tools, tokenize=False, add_generation_prompt=asks
                )
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise DataValidationError(
                f"the chat template cannot render this conversation: {error}",
                hint="check the order of roles, or choose another template with --chat-template",
            ) from error


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, one in value.items() for text in (*_strings(key), *_strings(one))]
    if isinstance(value, list):
        return [text for one in value for text in _strings(one)]
    return []
