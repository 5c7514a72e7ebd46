"""The text around a prompt, as token ids: the same in training, evaluation and chat.

Text that a person wrote never becomes a control token: `<|im_end|>` in a question is five ordinary
tokens, while the `<|im_end|>` that the template puts after it is the one control token it should be.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from shared_utils.chat_templates import REQUIRED_TOKENS, check_chat_template, template_by_name
from shared_utils.errors import ConfigurationError, DataValidationError
from shared_utils.records import Message, Record

IGNORED = -100  # the label that cross-entropy leaves out
_FIRST_UNUSED_CODE_POINT = 0xF0000  # start of a private-use plane of Unicode


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
        return sum(label != IGNORED for label in self.labels[1:])


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
            hint="use --chat-template alpaca, which is plain text and the model's own end token",
        )
    template = template_by_name(name)
    check_chat_template(template, name)
    tokenizer.chat_template = template


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation up to where the model answers."""
    guard = _ControlTextGuard(tokenizer, messages)
    text = _render(tokenizer, guard.messages, add_generation_prompt=True)
    return guard.encode(text)[0]


def encode_record(
    tokenizer: PreTrainedTokenizerBase, record: Record, max_length: int, train_on_prompt: bool = False
) -> EncodedRecord:
    """A conversation record with the loss on its answers, each with its end-of-turn token.

    Raises:
        DataValidationError: the template cannot tell where answers begin and end.
    """
    guard = _ControlTextGuard(tokenizer, record["messages"])
    text, spans = _answer_spans(tokenizer, guard.messages)
    input_ids, offsets = guard.encode(text)
    if train_on_prompt:
        labels = list(input_ids)
    else:
        exact = [(guard.restored_length(text[:start]), guard.restored_length(text[:end])) for start, end in spans]
        labels = _labels_inside(input_ids, offsets, exact)
    return EncodedRecord(input_ids[:max_length], labels[:max_length], len(input_ids) > max_length)


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str, max_length: int) -> list[EncodedRecord]:
    """A plain text with the loss on every token and an end token behind it, in windows of `max_length`."""
    ids = tokenizer(text, split_special_tokens=True)["input_ids"]
    if tokenizer.eos_token_id is not None and ids[-1:] != [tokenizer.eos_token_id]:
        ids = [*ids, tokenizer.eos_token_id]
    windows = [ids[start : start + max_length] for start in range(0, len(ids), max_length)]
    return [EncodedRecord(window, list(window), False) for window in windows if len(window) > 1]


def _render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
    try:
        text = tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise DataValidationError(
            f"the chat template cannot render this conversation: {error}",
            hint="check the order of roles, or choose another template with --chat-template",
        ) from error
    return str(text)


def _answer_spans(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> tuple[str, list[tuple[int, int]]]:
    """The whole text, and where its answers stand in it, found by rendering every prefix."""
    text = _render(tokenizer, messages, add_generation_prompt=False)
    spans = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = _render(tokenizer, messages[:index], add_generation_prompt=True)
        until = _render(tokenizer, messages[: index + 1], add_generation_prompt=False)
        if not (until.startswith(prompt) and text.startswith(until)):
            raise DataValidationError(
                "the chat template writes earlier turns differently later on, so answers cannot be marked",
                hint="choose another template, for example --chat-template chatml",
            )
        spans.append((len(prompt), _end_of_turn(tokenizer, text, len(prompt), len(until))))
    return text, spans


def _end_of_turn(tokenizer: PreTrainedTokenizerBase, text: str, start: int, end: int) -> int:
    """The end of an answer: behind its last control token, without the white space that follows it."""
    ends = [
        text.rfind(token, start, end) + len(token) for token in _control_tokens(tokenizer) if token in text[start:end]
    ]
    if not ends or text[max(ends) : end].strip():
        raise DataValidationError(
            "the chat template puts no end token behind answers, so the model would never learn to stop",
            hint="choose another template, for example --chat-template chatml or alpaca",
        )
    return max(ends)


def _labels_inside(input_ids: list[int], offsets: list[tuple[int, int]], spans: list[tuple[int, int]]) -> list[int]:
    labels = [IGNORED] * len(input_ids)
    for index, (start, end) in enumerate(offsets):
        if start < end and any(first <= start and end <= last for first, last in spans):
            labels[index] = input_ids[index]
    return labels


def _control_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return sorted(added | set(tokenizer.all_special_tokens), key=len, reverse=True)


class _ControlTextGuard:
    """Keeps control tokens that a person wrote as plain text.

    They are replaced by marks before the template runs, so that every control token in the rendered
    text is the template's own; the text is cut at those, and the marks go back before encoding.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> None:
        self._tokenizer = tokenizer
        self._tokens = _control_tokens(tokenizer)
        self._pattern = re.compile("|".join(map(re.escape, self._tokens)) or r"(?!)")
        contents = "".join(message["content"] for message in messages)
        self._mark = next(chr(code) for code in range(_FIRST_UNUSED_CODE_POINT, 0x110000) if chr(code) not in contents)
        self._is_needed = bool(self._pattern.search(contents))
        self.messages: list[Message] = [{**message, "content": self._hide(message["content"])} for message in messages]

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids of a rendered text, and where each stands in the text with the marks put back."""
        if not self._is_needed:
            return self._encode_part(text, 0, split_control=False)
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        start = 0
        for part, is_control in self._parts(text):
            original = self._restore(part)
            new = self._encode_part(original, start, split_control=not is_control)
            ids += new[0]
            offsets += new[1]
            start += len(original)
        return ids, offsets

    def restored_length(self, text: str) -> int:
        """Length of a rendered text once the marks are put back."""
        return len(self._restore(text))

    def _parts(self, text: str) -> list[tuple[str, bool]]:
        parts: list[tuple[str, bool]] = []
        position = 0
        for match in self._pattern.finditer(text):
            parts += [(text[position : match.start()], False), (match.group(), True)]
            position = match.end()
        parts.append((text[position:], False))
        return [(part, is_control) for part, is_control in parts if part]

    def _encode_part(self, text: str, start: int, *, split_control: bool) -> tuple[list[int], list[tuple[int, int]]]:
        encoded = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=split_control
        )
        return list(encoded["input_ids"]), [(start + a, start + b) for a, b in encoded["offset_mapping"]]

    def _hide(self, text: str) -> str:
        return self._pattern.sub(lambda match: f"{self._mark}{self._tokens.index(match.group())}{self._mark}", text)

    def _restore(self, text: str) -> str:
        mark = re.escape(self._mark)
        return re.sub(f"{mark}(\\d+){mark}", lambda match: self._tokens[int(match.group(1))], text)
