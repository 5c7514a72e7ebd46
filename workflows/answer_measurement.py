"""How good a model's answers are, before and after a training, on questions that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.game_metrics import mean_interval, share_interval
from evaluation.significance import Interval, paired_difference
from shared_utils.language_tasks import Judgement, Question

WORDS = {
    "reward": ("mean reward", ".3f"),
    "right_answers": ("right answers", ".1%"),
    "illegal_answers": ("illegal answers", ".1%"),
}


@dataclass(frozen=True)
class Answers:
    """The likeliest answer to each held-out question, and what each is worth."""

    texts: list[str]
    judgements: list[Judgement]

    def values(self, name: str) -> list[float] | None:
        """One number for each question; None where nobody judges that."""
        if name == "reward":
            return [judgement.reward for judgement in self.judgements]
        marks = [one.is_right if name == "right_answers" else one.is_legal for one in self.judgements]
        if any(mark is None for mark in marks):
            return None
        return [float(bool(mark) == (name == "right_answers")) for mark in marks]


def answer_questions(
    ask: Callable[[Sequence[Question]], list[str]], judge: Any, questions: Sequence[Question]
) -> Answers:
    """Ask all questions, and judge the answers.

    Args:
        ask: gives the answers.
        judge: a `Judge`.
        questions: the held-out ones.

    Raises:
        TrainingError: the reward failed.
    """
    texts = ask(questions)
    pairs = zip(questions, texts, strict=True)
    return Answers(texts, [judge.rate(question, [text])[0] for question, text in pairs])


def compare(before: Answers, after: Answers, confidence: float) -> dict[str, dict[str, Any]]:
    """Each figure before and after the training, and the difference, with intervals.

    Shares have the interval of Wilson, means the bootstrap; differences are of the same questions, and the bootstrap
    draws these as pairs.
    """
    figures: dict[str, dict[str, Any]] = {}
    for name in WORDS:
        first, second = before.values(name), after.values(name)
        if first is None or second is None:
            continue
        measure = _mean if name == "reward" else _share
        difference = paired_difference(second, first, confidence)
        figures[name] = {
            "before": _told(measure(first, confidence)),
            "after": _told(measure(second, confidence)),
            "difference": _told(difference) | {"excludes_zero": difference.excludes_zero},
        }
    return figures


def in_words(figures: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The figures as lines for people."""
    for name, figure in figures.items():
        label, form = WORDS[name]
        before, after, difference = (_shown(figure[part], form) for part in ("before", "after", "difference"))
        verdict = "" if figure["difference"]["excludes_zero"] else ", no difference shown"
        yield f"{label}: {before} before, {after} after; {difference} difference{verdict}"


def _shown(told: Mapping[str, float], form: str) -> str:
    sign = "+" if "excludes_zero" in told else ""
    return f"{told['value']:{sign}{form}} ({told['low']:{sign}{form}} to {told['high']:{sign}{form}})"


def _share(values: Sequence[float], confidence: float) -> Interval:
    return share_interval(int(sum(values)), len(values), confidence)


def _mean(values: Sequence[float], confidence: float) -> Interval:
    return mean_interval(values, confidence)


def _told(interval: Interval) -> dict[str, float]:
    return {name: round(getattr(interval, name), 6) for name in ("value", "low", "high")}
