"""Questions to a language model whose answers can be judged by a program: the protocol of such tasks.

A gymnasium environment takes part by a method `language_task()` that returns a `LanguageTask`:

    class CountEnv(gymnasium.Env):
        def language_task(self):
            return Sums()

    class Sums:
        answer_tokens = 4

        def questions(self, count, seed):
            numbers = random.Random(seed)
            pairs = [(numbers.randrange(10), numbers.randrange(10)) for _ in range(count)]
            return [Question(f"{a}+{b}", f"What is {a} + {b}?", {"sum": a + b}) for a, b in pairs]

        def judge(self, question, answer):
            is_right = answer.strip() == str(question.facts["sum"])
            return Judgement(1.0 if is_right else 0.0, is_right, is_legal=answer.strip().isdecimal())
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from shared_utils.records import Message


@dataclass(frozen=True)
class Question:
    """What a model is asked, and what is needed to judge its answer.

    Attributes:
        id: names it in errors and in the list of answers.
        prompt: the words of the user, or the turns of a conversation up to where the model answers.
        facts: whatever a judge needs; it is handed to rewards of one's own.
    """

    id: str
    prompt: str | Sequence[Message]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def messages(self) -> list[Message]:
        """The prompt as turns."""
        if isinstance(self.prompt, str):
            return [{"role": "user", "content": self.prompt}]
        return list(self.prompt)


@dataclass(frozen=True)
class Judgement:
    """How good an answer is.

    Attributes:
        reward: what training raises; any finite number.
        is_right: whether it counts as right where rights are counted; None where nobody says.
        is_legal: whether it is an answer that the task allows; None where nobody says.
    """

    reward: float
    is_right: bool | None = None
    is_legal: bool | None = None


@runtime_checkable
class LanguageTask(Protocol):
    """Questions without end, and a judge of the answers.

    Attributes:
        answer_tokens: how many tokens of an answer are enough to judge it.
    """

    answer_tokens: int

    def questions(self, count: int, seed: int) -> Sequence[Question]:
        """At most so many different questions; the same for the same seed."""
        ...

    def judge(self, question: Question, answer: str) -> Judgement:
        """How good an answer is."""
        ...
