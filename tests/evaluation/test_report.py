"""The page is whole, says the right thing, and whatever stands in it is text."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from evaluation.report import NextStep, ReportData, SampleReply, verdict_on, write_report
from evaluation.significance import Interval
from evaluation.suite import EvaluationResult, Metric

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror='alert(2)'>\"><svg/onload=alert(3)>\u202egnp.exe\x1b[31m&lt;\ud800"
)


def evaluation(name, exact, perplexity, n=100):
    def metric(value, spread):
        return Metric(value, max(0.0, value - spread), value + spread, 0.95, n, "unit", f"signature {HOSTILE}")

    metrics = {"exact_match": metric(exact, 0.05), "perplexity": metric(perplexity, 1.0)}
    return EvaluationResult(name, "test.jsonl", n, metrics, predictions=[], speed={}, versions={})


def full_data(hostile="plain"):
    return ReportData(
        title=f"A run {hostile}",
        documents=[
            {
                "path": f"file {index} {hostile}.pdf",
                "sha256": None,
                "bytes": 1,
                "type": "pdf",
                "status": "failed" if index == 29 else "ok",
                "reason": f"reason {hostile}" if index == 29 else None,
                "documents": 2,
                "chunks": 3,
                "seconds": 0.1,
            }
            for index in range(30)
        ],
        records={"training": 1200, hostile: 3},
        settings={"common.seed": 42, hostile: hostile},
        training={
            "method": "lora",
            "steps": 300,
            "seconds": 184.0,
            "train_loss": float("nan"),
            hostile: hostile,
        },
        metrics=[
            {"step": 10, "loss": 2.0, "eval_loss": None, "learning_rate": 1e-3},
            {"step": 20, "loss": float("nan"), "eval_loss": 1.5, "learning_rate": 5e-4},
        ],
        base=evaluation("base", 0.02, 70.0),
        tuned=evaluation("tuned", 0.86, 2.0),
        differences={
            "exact_match": Interval(0.84, 0.76, 0.91, 0.95, 100),
            "perplexity": Interval(-68, -90, -50, 0.95, 100),
        },
        replies=[
            SampleReply(hostile, hostile, hostile, hostile, False, True),
            SampleReply("q", "r", "", "x" * 5000),
        ],
        exports={"merged": f"outputs/{hostile}"},
        next_steps=[NextStep(f"Talk {hostile}", f"python main.py chat {hostile}")],
        versions={"python": "3.11", hostile: hostile},
        seconds_by_step={"extract": 2.0, hostile: 3.0},
    )


def page_of(data, tmp_path):
    write_report(tmp_path / "report.html", data)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def visible(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.split("</style>")[1]))


class Structure(HTMLParser):
    """Collects what a browser would act on, and whether tags close in order."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.open, self.errors = set(), [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.errors.append(tag)


def structure_of(page):
    parser = Structure()
    parser.feed(page)
    return parser


def test_markup_and_controls_in_any_field_are_inert(tmp_path):
    """Model answers, file names and settings are written by others."""
    page = page_of(full_data(HOSTILE), tmp_path)
    found = structure_of(page)
    assert not found.tags & {"script", "img", "iframe", "object", "embed", "link", "form", "a", "base"}
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert not set(page) & set("\u202e\x1b\ud800")
    assert "&lt;script&gt;alert(1)" in page
    assert "\\u202e" in page


def test_the_page_loads_nothing_from_elsewhere(tmp_path):
    page = page_of(full_data(HOSTILE), tmp_path)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", page)
    assert "default-src 'none'" in page
    assert not {"src", "href", "srcset", "action"} & {name for name, _ in structure_of(page).attributes}


def test_every_tag_is_closed_in_order(tmp_path):
    for data in (full_data(HOSTILE), ReportData(title="nothing yet")):
        found = structure_of(page_of(data, tmp_path))
        assert (found.errors, found.open) == ([], [])


def test_the_verdict_is_told_in_words_with_its_interval(tmp_path):
    page = visible(page_of(full_data(), tmp_path))
    assert "The tuned model is better than the base model" in page
    assert "It answers 86 of 100 questions exactly as expected; the base model answers 2." in page
    assert "+84 points (95% interval +76 to +91) is larger than chance explains" in page
    assert "−68 (95% interval −90 to −50)" in page


@pytest.mark.parametrize(
    ("exact", "perplexity", "headline"),
    [
        ((0.01, -0.02, 0.05), (-1, -3, 1), "No difference between tuned and base model was found"),
        ((-0.2, -0.3, -0.1), (-1, -3, 1), "The tuned model is worse than the base model"),
        ((-0.2, -0.3, -0.1), (-2, -3, -1), "better in one figure and worse in another"),
        ((0.01, -0.02, 0.05), (-2, -3, -1), "The tuned model is better than the base model"),
    ],
)
def test_the_headline_claims_no_more_than_the_intervals(exact, perplexity, headline, tmp_path):
    differences = {"exact_match": Interval(*exact, 0.95, 100), "perplexity": Interval(*perplexity, 0.95, 100)}
    assert headline in visible(page_of(replace(full_data(), differences=differences), tmp_path))


def test_a_rise_of_perplexity_is_worse_and_a_rise_of_right_answers_better():
    rise = Interval(1.0, 0.5, 1.5, 0.95, 50)
    assert verdict_on("perplexity", rise) == "worse"
    assert verdict_on("exact_match", rise) == "better"
    assert verdict_on("exact_match", Interval(1.0, float("-inf"), float("inf"), 0.95, 1)) == "no difference found"


def test_few_questions_are_named_as_a_limit(tmp_path):
    data = replace(full_data(), base=evaluation("b", 0.0, 70.0, n=12), tuned=evaluation("t", 1.0, 2.0, n=12))
    assert "Only 12 questions were asked" in visible(page_of(data, tmp_path))


def test_failed_files_stand_first_and_many_files_are_folded(tmp_path):
    page = visible(page_of(full_data(), tmp_path))
    assert page.index("file 29") < page.index("file 0")
    assert "5 more files" in page


def test_a_long_answer_is_cut_and_says_so(tmp_path):
    assert "(and 3,000 characters)" in visible(page_of(full_data(), tmp_path))


def test_an_empty_run_still_gives_a_page(tmp_path):
    assert "was not compared" in visible(page_of(ReportData(title="nothing yet"), tmp_path))
