"""Questions of a training by rewards: from files, in their order, and measured before and after."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_utils.data_loader import UnusableRecord
from shared_utils.errors import DataValidationError
from shared_utils.language_tasks import Judgement
from workflows.answer_measurement import Answers, compare, in_words
from workflows.grpo_questions import order_of_run, to_question


@pytest.mark.parametrize(
    ("row", "prompt", "facts"),
    [
        ({"id": "a", "prompt": "2+2?", "reference": 4, "level": 1}, "2+2?", {"reference": 4, "level": 1}),
        ({"prompt": "2+2?"}, "2+2?", {"reference": None}),
        ({"prompt": "2+2?", "completion": "4"}, "2+2?", {"completion": "4", "reference": "4"}),
        (
            {"instruction": "Add.", "input": "2, 2", "output": "4"},
            "Add.\n\n2, 2",
            {"instruction": "Add.", "input": "2, 2", "output": "4", "reference": "4"},
        ),
        (
            {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "2+2?"},
                          {"role": "assistant", "content": "4"}]},
            [{"role": "system", "content": "Be short."}, {"role": "user", "content": "2+2?"}],
            {"reference": "4"},
        ),
    ],
)  # fmt: skip
def test_a_record_becomes_a_question_with_its_answer_as_reference(row, prompt, facts):
    question = to_question(row, "file, line 3")
    assert (question.id, question.prompt, question.facts) == (row.get("id", "file, line 3"), prompt, facts)


@pytest.mark.parametrize("prompt", ["", "  ", None, 3])
def test_a_prompt_that_is_no_text_is_unusable(prompt):
    with pytest.raises(UnusableRecord):
        to_question({"prompt": prompt}, "file, line 3")


def test_a_record_without_a_question_is_told_with_its_place():
    with pytest.raises(DataValidationError, match="file, line 3: a question to answer is needed"):
        to_question({"text": "A story."}, "file, line 3")


@given(st.integers(1, 12), st.integers(1, 10), st.integers(1, 6), st.integers(0, 3))
def test_each_question_comes_once_before_any_comes_again(questions, steps, per_step, seed):
    order = order_of_run(questions, steps, per_step, seed)
    assert len(order) == steps * per_step
    assert order == order_of_run(questions, steps, per_step, seed)
    for start in range(0, len(order), questions):
        one_pass = order[start : start + questions]
        assert len(set(one_pass)) == len(one_pass)


def answers(*rights):
    return Answers(["x"] * len(rights), [Judgement(2.0 * right, bool(right), True) for right in rights])


def test_figures_before_and_after_have_intervals_of_the_same_questions():
    figures = compare(answers(0, 0, 0, 1), answers(1, 1, 1, 1), 0.95)
    assert [figures["reward"][part]["value"] for part in ("before", "after", "difference")] == [0.5, 2.0, 1.5]
    assert figures["right_answers"]["before"] == {"value": 0.25, "low": 0.045587, "high": 0.699358}  # Wilson, 1 of 4
    assert figures["right_answers"]["difference"]["value"] == 0.75
    assert figures["right_answers"]["difference"]["excludes_zero"]
    assert figures["illegal_answers"]["difference"]["value"] == 0.0
    assert not figures["illegal_answers"]["difference"]["excludes_zero"]
    lines = list(in_words(figures))
    assert lines[1].startswith("right answers: 25.0% (4.6% to 69.9%) before, 100.0%")
    assert lines[2].endswith("no difference shown")


def test_what_nobody_judges_is_not_measured():
    unknown = Answers(["x", "y"], [Judgement(1.0), Judgement(0.0)])
    assert set(compare(unknown, unknown, 0.95)) == {"reward"}
