"""ChatInterface: questions to a model on this machine, from a program or a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from shared_utils.console import printable
from shared_utils.errors import ConfigurationError, DataValidationError
from shared_utils.model_utils import load_model, load_tokenizer, stop_token_ids
from shared_utils.prompt_formats import encode_prompt
from shared_utils.records import Message

HELP = """/new          forget this conversation and begin another
/system TEXT  put a system text before the conversation (without TEXT: none); begins a new one
/help         these lines
/quit         end; Ctrl-D does the same, Ctrl-C stops an answer"""
MODEL_PROMPT, PERSON_PROMPT = "model> ", "you> "

OnTurn = Callable[[Sequence[Message]], None]


@dataclass(frozen=True)
class Reply:
    """A whole answer; `tokens` counts what was generated, `seconds` the time it took."""

    text: str
    tokens: int
    seconds: float


class ChatInterface:
    """A model that answers, one question at a time.

    Args:
        model_dir: `starter`, a model, merged, adapter or run folder, or a hub name.
        device: auto, cpu, cuda or mps.
        temperature: 0 always takes the likeliest token; above, tokens are drawn.
        top_p: the smallest share of probability that tokens are drawn from (Holtzman et al. 2020).
        max_new_tokens: longest answer.
        system: text put before every conversation.
        seed: start of the drawing; the same questions in the same order give the same answers.
    """

    def __init__(
        self,
        model_dir: str | Path,
        *,
        device: str = "auto",
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_new_tokens: int = 256,
        system: str | None = None,
        seed: int = 42,
    ) -> None:
        if temperature < 0 or not 0 < top_p <= 1 or max_new_tokens < 1:
            raise ConfigurationError(
                f"temperature {temperature}, top_p {top_p} or max_new_tokens {max_new_tokens} is not allowed",
                hint="temperature >= 0, 0 < top_p <= 1, max_new_tokens >= 1",
            )
        self.name = str(model_dir)
        self.tokenizer = load_tokenizer(self.name)
        self.model: Any = load_model(self.name, device)
        self.temperature = temperature
        self.top_p = top_p
        self.max_new_tokens = max_new_tokens
        self.system = system or None
        self._stop_ids = set(stop_token_ids(self.tokenizer))
        self._context: int | None = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        self._random = torch.Generator().manual_seed(seed)

    def generate(self, prompt: str) -> str:
        """The answer to one question, without any history."""
        return self.answer(prompt).text

    def answer(self, prompt: str) -> Reply:
        """The answer to one question, with its length and time."""
        started = time.perf_counter()
        prompt_ids, _ = self._encode_within_context(self.opening(prompt))
        ids = list(self._new_tokens(prompt_ids))
        text = "".join(decoded_pieces(self.tokenizer, ids))
        return Reply(text.strip(), len(ids), time.perf_counter() - started)

    def reply(self, history: Sequence[Message]) -> Iterator[str]:
        """The answer to the last message of a conversation, in pieces, as the model writes it.

        Pieces are whole characters; what a model leaves of an unfinished one is dropped. Turns that
        the model's context cannot hold are left out, oldest first.
        """
        prompt_ids, _ = self._encode_within_context(history)
        yield from decoded_pieces(self.tokenizer, self._new_tokens(prompt_ids))

    def opening(self, prompt: str) -> list[Message]:
        """A conversation that begins with this question, behind the system text where there is one."""
        system: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": prompt}]

    def fit_history(self, history: Sequence[Message]) -> list[Message]:
        """The conversation without its oldest turns, as far as the model's context demands it.

        Raises:
            DataValidationError: the last message alone is longer than the context.
        """
        return self._encode_within_context(history)[1]

    def chat(self, on_turn: OnTurn | None = None) -> None:
        """Talk in the terminal until /quit or the end of input; lines of a file or pipe are taken too.

        Args:
            on_turn: called with the messages of each turn once it is answered.
        """
        _TerminalChat(self, on_turn).run()

    def _encode_within_context(self, history: Sequence[Message]) -> tuple[list[int], list[Message]]:
        messages: list[Message] = [{**message, "content": _as_utf8(message["content"])} for message in history]
        while True:
            ids = encode_prompt(self.tokenizer, messages)
            if self._context is None or len(ids) + min(self.max_new_tokens, self._context // 2) <= self._context:
                return ids, messages
            shorter = _without_oldest_turn(messages)
            if len(shorter) == len(messages):
                break
            messages = shorter
        if len(ids) >= self._context:
            raise DataValidationError(
                f"the question has {len(ids)} tokens; the model's context holds {self._context}",
                hint="shorten it, or split it into several questions",
            )
        return ids, messages

    def _new_tokens(self, prompt_ids: Sequence[int]) -> Iterator[int]:
        room = self.max_new_tokens if self._context is None else self._context - len(prompt_ids)
        input_ids = torch.tensor([list(prompt_ids)], device=self.model.device)
        cache: Any = None
        for _ in range(min(self.max_new_tokens, room)):
            with torch.inference_mode():  # left before each yield: it must not reach the caller
                output = self.model(input_ids=input_ids, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            token = self._choose(output.logits[0, -1])
            if token in self._stop_ids:
                return
            yield token
            input_ids = torch.tensor([[token]], device=self.model.device)

    def _choose(self, logits: Tensor) -> int:
        """The next token from its logits, shape (vocabulary,)."""
        if self.temperature == 0:
            return int(logits.argmax())
        # Drawn on the processor, so that one seed gives one answer on every device.
        scores = logits.float().cpu()
        # Without the largest taken off first, a tiny temperature would overflow.
        probabilities, ids = torch.softmax((scores - scores.max()) / self.temperature, dim=-1).sort(descending=True)
        is_beyond = probabilities.cumsum(0) - probabilities >= self.top_p
        drawn = torch.multinomial(probabilities.masked_fill(is_beyond, 0.0), 1, generator=self._random)
        return int(ids[drawn])


def decoded_pieces(tokenizer: PreTrainedTokenizerBase, token_ids: Iterator[int] | Sequence[int]) -> Iterator[str]:
    """Text of a stream of tokens, given out as soon as its characters are whole.

    A byte-level token can be a part of a character; the tokenizer shows it as U+FFFD, and it waits
    for the tokens after it. Only the tokens since the last whole character are decoded again, behind
    the ones before them, because some tokenizers treat the first token of a text in its own way.
    """
    ids: list[int] = []
    shown_from = given_until = 0
    for token in token_ids:
        ids.append(token)
        before = tokenizer.decode(ids[shown_from:given_until], skip_special_tokens=True)
        text = tokenizer.decode(ids[shown_from:], skip_special_tokens=True)
        if len(text) > len(before) and not text.endswith("\ufffd"):
            yield text[len(before) :]
            shown_from, given_until = given_until, len(ids)
    before = tokenizer.decode(ids[shown_from:given_until], skip_special_tokens=True)
    rest = tokenizer.decode(ids[shown_from:], skip_special_tokens=True)[len(before) :].rstrip("\ufffd")
    if rest:
        yield rest


def _as_utf8(text: str) -> str:
    """The text without halves of characters, which a terminal or a command line can bring along."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _without_oldest_turn(messages: list[Message]) -> list[Message]:
    """The conversation from its second question on, with its system text; unchanged when there is none."""
    questions = [index for index, message in enumerate(messages) if message["role"] == "user"]
    if len(questions) < 2:
        return messages
    return [message for message in messages[: questions[0]] if message["role"] == "system"] + messages[questions[1] :]


class _TerminalChat:
    """One conversation in the terminal."""

    def __init__(self, interface: ChatInterface, on_turn: OnTurn | None) -> None:
        self.interface = interface
        self.on_turn = on_turn
        self.system = interface.system
        self.history: list[Message] = []
        self.is_terminal = sys.stdin.isatty()

    def run(self) -> None:
        """Read and answer until the end."""
        if self.is_terminal:
            _enable_line_editing()
            _say("type a question; /help lists what else there is")
        while (line := self._read()) is not None:
            if line.startswith("/"):
                if not self._obey(line):
                    return
            elif line:
                self._answer(line)

    def _read(self) -> str | None:
        """The next line without outer space; None at the end of input."""
        try:
            line = input(PERSON_PROMPT) if self.is_terminal else sys.stdin.readline()
        except EOFError:
            print()
            return None
        except KeyboardInterrupt:
            if not self.is_terminal:
                raise
            print()
            return None
        if not line and not self.is_terminal:
            return None
        return line.strip()

    def _obey(self, line: str) -> bool:
        """Do what a line that begins with / says; False ends the conversation."""
        word, _, text = line.partition(" ")
        if word == "/quit":
            return False
        if word == "/new":
            self.history = []
            _say("a new conversation begins")
        elif word == "/system":
            self.system, self.history = text.strip() or None, []
            _say("a new conversation begins, " + ("with this system text" if self.system else "without a system text"))
        elif word == "/help":
            _say(HELP)
        else:
            _say(f"there is no {word}; /help lists what there is")
        return True

    def _answer(self, question: str) -> None:
        asked: Message = {"role": "user", "content": question}
        system: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        try:
            fitted = self.interface.fit_history([*system, *self.history, asked])
        except DataValidationError as error:
            if not self.is_terminal:
                raise
            _say(f"{error.message}; {error.hint}")
            return
        left_out = len(system) + len(self.history) + 1 - len(fitted)
        if left_out:
            _say(f"longer than the model's context: the {left_out} oldest messages are left out")
        text = self._stream(fitted)
        if not text:
            return
        answered: Message = {"role": "assistant", "content": text}
        self.history = [*fitted[len(system) :], answered]
        if self.on_turn:
            self.on_turn([*system, asked, answered])

    def _stream(self, messages: Sequence[Message]) -> str:
        """Print an answer as it is written; Ctrl-C keeps what stands there."""
        pieces: list[str] = []
        if self.is_terminal:
            print(MODEL_PROMPT, end="", flush=True)
        try:
            for piece in self.interface.reply(messages):
                pieces.append(piece)
                print(printable(piece), end="", flush=True)
        except KeyboardInterrupt:
            if not self.is_terminal:
                raise
            print(" [stopped]", end="")
        print(flush=True)
        return "".join(pieces).strip()


def _say(text: str) -> None:
    """A line about the conversation, apart from the answers on standard output."""
    print(printable(text), file=sys.stderr, flush=True)


def _enable_line_editing() -> None:
    # Importing readline gives input() arrow keys and a history; Windows has them without it.
    with suppress(ImportError):
        import readline  # noqa: F401
