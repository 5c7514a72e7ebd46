"""Where the answers stand in a rendered conversation, found by rendering every prefix of it.

A template need not mark its answers: what it writes for the conversation up to an answer, and for the
conversation with it, tells exactly where the answer begins and ends. Templates that write earlier turns
differently once later ones are there (reasoning taken out, say) give one row for each way in which the
model sees its history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from shared_utils.control_text import ControlText, Piece
from shared_utils.errors import DataValidationError
from shared_utils.records import Message

OTHER_TEMPLATE = "choose another template, for example --chat-template chatml"


@dataclass(frozen=True)
class MarkedText:
    """A rendered conversation and the answers in it.

    Attributes:
        text: as rendered; marks stand for what a person wrote like a control token.
        answers: (start, end) of each answer in `text`, the end behind its end-of-turn token.
        mark: the character of the marks, or None.
    """

    text: str
    answers: tuple[tuple[int, int], ...]
    mark: str | None

    def pieces(self) -> list[Piece]:
        """The text cut where answers begin, which is where the model takes over from the prompt."""
        cuts = [0, *(start for start, _ in self.answers), len(self.text)]
        return [
            Piece(self.text[start:end], start == 0, self.mark) for start, end in zip(cuts, cuts[1:], strict=False)
        ]


@dataclass(frozen=True)
class _Conversation:
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    mark: str | None

    def answer_turns(self) -> list[int]:
        return [index for index, message in enumerate(self.messages) if message["role"] == "assistant"]


class AnswerMarker:
    """Renders conversations with a tokenizer's template and finds their answers."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, control: ControlText) -> None:
        self._tokenizer = tokenizer
        self._control = control

    def prompt(self, messages: Sequence[Message], tools: list[dict[str, Any]] | None = None) -> MarkedText:
        """A conversation up to where the model answers; earlier answers are marked, as in training.

        Raises:
            DataValidationError: the template cannot render it.
        """
        conversation = self._hidden(messages, tools)
        turns = conversation.answer_turns()
        lists = [conversation.messages[:turn] for turn in turns]
        text, *earlier = self._render([conversation.messages, *lists], tools=conversation.tools, asks=True)
        starts = [len(prompt) for prompt in earlier if text.startswith(prompt)]
        return MarkedText(text, tuple((start, start) for start in starts), conversation.mark)

    def rows(
        self, conversations: Sequence[tuple[Sequence[Message], list[dict[str, Any]] | None]]
    ) -> list[list[MarkedText]]:
        """The rows of each conversation: one, or several where the template rewrites earlier turns.

        Raises:
            DataValidationError: the template cannot render one, or its answers cannot be told.
        """
        hidden = [self._hidden(messages, tools) for messages, tools in conversations]
        simple = [index for index, one in enumerate(hidden) if one.tools is None]
        results: list[list[MarkedText]] = [[] for _ in hidden]
        for index, rows in zip(simple, self._rows_together([hidden[index] for index in simple]), strict=True):
            results[index] = rows
        for index, one in enumerate(hidden):
            if one.tools is not None:
                results[index] = self._rows_together([one])[0]
        return results

    def _rows_together(self, conversations: Sequence[_Conversation]) -> list[list[MarkedText]]:
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

    def _chain(self, one: _Conversation, whole: str, turns: Sequence[tuple[str, str]]) -> list[MarkedText]:
        """Join the turns that see one and the same history into rows."""
        rows: list[MarkedText] = []
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
                text = whole if whole.startswith(until) else until
                rows.append(MarkedText(text, tuple(answers), one.mark))
                answers = []
        self._check_tools(one, [row.text for row in rows])
        return rows

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
