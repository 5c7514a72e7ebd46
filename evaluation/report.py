"""The report of a run as one HTML page that needs nothing else: no script, no network, no second file.

Whatever a document or a model wrote is text here: it is escaped, control and bidirectional
characters are made visible, and a content security policy forbids the page to load or run anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evaluation.charts import Line, Range, line_chart, range_chart
from evaluation.report_html import (
    cell,
    code_table,
    duration,
    facts,
    figure_cell,
    long_text,
    number,
    percent,
    points,
    signed,
    table,
    text,
)
from evaluation.report_style import STYLE
from evaluation.significance import Interval
from shared_utils.curves import points as curve_points
from shared_utils.file_utils import write_text_atomic
from shared_utils.records import FileReport

if TYPE_CHECKING:
    from evaluation.suite import EvaluationResult, Metric

Verdict = Literal["better", "worse", "no difference found"]

FEW_QUESTIONS = 30  # below it even a sound interval rests on too little to promise much
MOST_ROWS_SHOWN = 25
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class SampleReply:
    """One question with what was expected and what both models answered."""

    question: str
    reference: str
    base: str
    tuned: str
    base_is_right: bool | None = None
    tuned_is_right: bool | None = None


@dataclass(frozen=True)
class NextStep:
    """What one can do now, and the command that does it."""

    text: str
    command: str


@dataclass(frozen=True)
class ReportData:
    """Everything the page shows; what is empty or None leaves its part of the page out.

    Args:
        title: of the page.
        documents: what became of each input file.
        records: number of records by name, such as `training`, `held out`, `dropped: too_short`.
        settings: dotted key to value.
        training: the summary of the training command.
        metrics: rows of `metrics.jsonl`.
        base: evaluation of the model before training.
        tuned: evaluation of the model after training.
        differences: by metric, how much higher the figure of the tuned model is than that of the base.
        replies: samples for the eye.
        exports: kind to folder or file.
        next_steps: how to go on.
        versions: package to version.
        seconds_by_step: how long each step of the run took.
    """

    title: str
    documents: Sequence[FileReport] = ()
    records: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    training: Mapping[str, object] = field(default_factory=dict)
    metrics: Sequence[dict[str, Any]] = ()
    base: EvaluationResult | None = None
    tuned: EvaluationResult | None = None
    differences: Mapping[str, Interval] = field(default_factory=dict)
    replies: Sequence[SampleReply] = ()
    exports: Mapping[str, str] = field(default_factory=dict)
    next_steps: Sequence[NextStep] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds_by_step: Mapping[str, float] = field(default_factory=dict)


def write_report(path: Path, data: ReportData) -> None:
    """Write the page in one move."""
    sections = (_verdict, _figures, _replies, _training, _inputs, _outputs, _details)
    body = "\n".join(part for part in (section(data) for section in sections) if part)
    write_text_atomic(
        path,
        f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{text(data.title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header><p>Report of a training run</p><h1>{text(data.title)}</h1></header>
{body}
<footer>{text(", ".join(f"{name} {number}" for name, number in data.versions.items()))}</footer>
</main>
</body>
</html>
""",
    )


def verdict_on(metric: str, difference: Interval) -> Verdict:
    """What an interval of tuned minus base says: only one that excludes zero tells the models apart."""
    if not difference.excludes_zero:
        return "no difference found"
    return "better" if (difference.value > 0) == _STYLES[metric].higher_is_better else "worse"


def _verdict(data: ReportData) -> str:
    verdicts = {metric: verdict_on(metric, difference) for metric, difference in data.differences.items()}
    headline, css_class = _headline(set(verdicts.values()))
    sentences = []
    if data.base and data.tuned:
        sentences = [_sentence(metric, data.base, data.tuned, data.differences[metric]) for metric in verdicts]
        n = min(data.base.n, data.tuned.n)
        if n < FEW_QUESTIONS:
            sentences.append(f"Only {n} questions were asked: take this as a first hint, and test with more.")
    paragraphs = "".join(f"<p>{text(sentence)}</p>" for sentence in sentences)
    return f'<section class="verdict {css_class}"><h2>{headline}</h2>{paragraphs}</section>'


def _headline(verdicts: set[Verdict]) -> tuple[str, str]:
    if {"better", "worse"} <= verdicts:
        return "The tuned model is better in one figure and worse in another", "even"
    if "better" in verdicts:
        return "The tuned model is better than the base model", "better"
    if "worse" in verdicts:
        return "The tuned model is worse than the base model", "worse"
    if verdicts:
        return "No difference between tuned and base model was found", "even"
    return "The tuned model was not compared with its base", ""


def _sentence(metric: str, base_result: EvaluationResult, tuned_result: EvaluationResult, gap: Interval) -> str:
    base, tuned = base_result.metrics[metric], tuned_result.metrics[metric]
    style = _STYLES[metric]
    if metric == "exact_match":
        first = (
            f"It answers {round(tuned.value * tuned.n)} of {tuned.n} questions exactly as expected; "
            f"the base model answers {round(base.value * base.n)}."
        )
    else:
        first = (
            f"Its {style.title} on the expected answers is {style.show(tuned.value)}, that of the base "
            f"{style.show(base.value)}; {'higher' if style.higher_is_better else 'lower'} is better."
        )
    because = {
        "better": "is larger than chance explains",
        "worse": "to its disadvantage is larger than chance explains",
        "no difference found": "can be chance, for its interval holds zero",
    }[verdict_on(metric, gap)]
    return (
        f"{first} The difference of {style.show_difference(gap.value)}{style.difference_unit} "
        f"({gap.confidence:.0%} interval {_bounds(gap, style.show_difference)}) {because}."
    )


def _figures(data: ReportData) -> str:
    measured = {name: result for name, result in (("base", data.base), ("tuned", data.tuned)) if result}
    metrics = list(dict.fromkeys(metric for result in measured.values() for metric in result.metrics))
    if not metrics:
        return ""
    rows, charts = [], []
    for metric in metrics:
        style = _STYLES[metric]
        found = {name: result.metrics[metric] for name, result in measured.items() if metric in result.metrics}
        ranges = [Range(name, name, figure.value, figure.low, figure.high) for name, figure in found.items()]
        rows.append(_figure_row(metric, found, data.differences.get(metric)))
        charts.append(range_chart(style.title, ranges, style.show, is_share=style.is_share))
    figure = next(iter(measured.values())).metrics[metrics[0]]
    note = (
        f"{figure.n:,} questions, the same for both. Ranges are {figure.confidence:.0%} intervals: of many "
        f"tests like this one, with other questions of the same kind, about {figure.confidence:.0%} give a "
        "range that holds the true figure."
    )
    head = ["", "base", "tuned", "tuned \u2212 base", ""]
    return (
        f"<section><h2>Base against tuned</h2>{table(head, rows, frozenset({1, 2, 3}))}"
        f'<div class="ranges">{"".join(charts)}</div><p class="note">{note}</p></section>'
    )


def _figure_row(metric: str, found: Mapping[str, Metric], difference: Interval | None) -> list[str]:
    style = _STYLES[metric]
    cells = [cell(style.title, css_class="title")]
    for name in ("base", "tuned"):
        figure = found.get(name)
        cells.append(
            figure_cell(name, style.show(figure.value), _bounds(figure, style.show)) if figure else "<td></td>"
        )
    if not difference:
        return [*cells, "<td></td>", "<td></td>"]
    verdict = verdict_on(metric, difference)
    shown = style.show_difference(difference.value) + style.difference_unit
    cells.append(figure_cell("tuned \u2212 base", shown, _bounds(difference, style.show_difference)))
    css_class = "even" if verdict == "no difference found" else verdict
    return [*cells, cell(verdict, css_class=f"status {css_class}", name="verdict")]


def _replies(data: ReportData) -> str:
    cards = "".join(
        f'<div class="reply"><p class="question" dir="auto">{long_text(reply.question)}</p>'
        f'<div class="expected"><h4>expected</h4><p dir="auto">{long_text(reply.reference)}</p></div>'
        f'<div class="answers">{_answer("base", reply.base, reply.base_is_right)}'
        f"{_answer('tuned', reply.tuned, reply.tuned_is_right)}</div></div>"
        for reply in data.replies
    )
    return f"<section><h2>What both models answer</h2>{cards}</section>" if cards else ""


def _answer(name: str, answer: str, is_right: bool | None) -> str:
    mark = ""
    if is_right is not None:
        mark = (
            '<span class="status ok">\u2713 as expected</span>' if is_right else '<span class="status">different</span>'
        )
    shown = f'<p dir="auto">{long_text(answer)}</p>' if answer.strip() else '<p class="empty">(no answer)</p>'
    return f'<div class="answer {name}"><h4><span>{name}</span>{mark}</h4>{shown}</div>'


def _training(data: ReportData) -> str:
    lines = [
        Line("training loss", "loss", curve_points(data.metrics, "loss")),
        Line("held-out loss", "held-out", curve_points(data.metrics, "eval_loss")),
    ]
    rate = [Line("learning rate", "rate", curve_points(data.metrics, "learning_rate"))]
    charts = line_chart(lines, "loss in nats per token, over optimizer steps") + line_chart(
        rate, "learning rate", small=True
    )
    body = charts + facts(data.training)
    return f"<section><h2>Training</h2>{body}</section>" if body else ""


def _inputs(data: ReportData) -> str:
    parts = []
    if data.documents:
        statuses = [report["status"] for report in data.documents]
        counts: dict[str, object] = {"files": len(statuses)}
        counts |= {status: statuses.count(status) for status in ("failed", "skipped") if status in statuses}
        counts["pages or sections"] = sum(report["documents"] for report in data.documents)
        counts["chunks"] = sum(report["chunks"] for report in data.documents)
        parts.append(f"<h3>Documents</h3>{facts(counts)}{_document_tables(data.documents)}")
    if data.records:
        parts.append(f"<h3>Records</h3>{facts(data.records)}")
    return f"<section><h2>What went in</h2>{''.join(parts)}</section>" if parts else ""


def _document_tables(documents: Sequence[FileReport]) -> str:
    """What needs attention first; beyond the first rows the rest is folded away."""
    order = {"failed": 0, "skipped": 1, "ok": 2}
    rows = [_document_row(report) for report in sorted(documents, key=lambda report: order[report["status"]])]
    head, numeric = ["file", "type", "pages or sections", "chunks", "status", "reason"], frozenset({2, 3})
    shown = table(head, rows[:MOST_ROWS_SHOWN], numeric)
    rest = rows[MOST_ROWS_SHOWN:]
    if not rest:
        return shown
    return f"{shown}<details><summary>{len(rest):,} more files</summary>{table(head, rest, numeric)}</details>"


def _document_row(report: FileReport) -> list[str]:
    return [
        cell(report["path"], css_class="title path"),
        cell(report["type"] or "", name="type"),
        cell(f"{report['documents']:,}", css_class="number", name="pages or sections"),
        cell(f"{report['chunks']:,}", css_class="number", name="chunks"),
        cell(report["status"], css_class=f"status {report['status']}", name="status"),
        cell(report["reason"] or "", name="reason"),
    ]


def _outputs(data: ReportData) -> str:
    files = code_table(data.exports) if data.exports else ""
    steps = "".join(f"<h3>{text(step.text)}</h3><pre>{text(step.command)}</pre>" for step in data.next_steps)
    return f"<section><h2>What came out, and how to go on</h2>{files}{steps}</section>" if files or steps else ""


def _details(data: ReportData) -> str:
    parts = []
    if data.seconds_by_step:
        longest = max(data.seconds_by_step.values()) or 1.0
        rows = "".join(
            f'<tr><td>{text(step)}</td><td class="number">{duration(seconds)}</td>'
            f'<td><div class="bar" style="width:{100 * seconds / longest:.1f}%"></div></td></tr>'
            for step, seconds in data.seconds_by_step.items()
        )
        parts.append(f'<h2>How long it took</h2><table class="bars">{rows}</table>')
    results = [result for result in (data.base, data.tuned) if result]
    signatures = {name: figure.signature for result in results for name, figure in result.metrics.items()}
    if signatures:
        parts.append(_folded("How the figures were computed", signatures))
    if data.settings:
        parts.append(_folded(f"All {len(data.settings)} settings", data.settings))
    return f"<section>{''.join(parts)}</section>" if parts else ""


def _folded(title: str, values: Mapping[str, object]) -> str:
    return f"<details><summary>{text(title)}</summary>{code_table(values)}</details>"


def _bounds(figure: Metric | Interval, show: Callable[[float], str]) -> str:
    return f"{show(figure.low)} to {show(figure.high)}"


@dataclass(frozen=True)
class _MetricStyle:
    """How a metric is named and written."""

    title: str
    higher_is_better: bool
    is_share: bool = False

    @property
    def show(self) -> Callable[[float], str]:
        return percent if self.is_share else number

    @property
    def show_difference(self) -> Callable[[float], str]:
        return points if self.is_share else signed

    @property
    def difference_unit(self) -> str:
        return " points" if self.is_share else ""


_STYLES = {
    "exact_match": _MetricStyle("exact answers", higher_is_better=True, is_share=True),
    "perplexity": _MetricStyle("perplexity per token", higher_is_better=False),
}
