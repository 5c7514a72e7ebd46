"""What chunks promise, on made-up and random texts."""

import json
import time
from itertools import pairwise
from pathlib import Path

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from document_processing.chunking import TextChunk, split_text
from document_processing.length_counters import STARTER_TOKENIZER, CharacterCounter, LengthCounter, length_counter
from document_processing.sentences import sentence_spans
from shared_utils.errors import ConfigurationError

UNITS = ["tokens", "words", "characters"]
needs_starter = pytest.mark.skipif(not STARTER_TOKENIZER.exists(), reason="the starter model is not built")

pieces = st.sampled_from(
    [
        *["One. ", "Two words here! ", "Is it so? ", "第一句话。", "ภาษา ไทย ", "e.g. ", "3.14 ", "word ", "x" * 40],
        *["\n\n", "\n\n", "\n\n \u0301", "- item\n", "```\ncode. here\n```\n", "```\n", " " * 12, "\n", "\t"],
        *["é", "e\u0301", "👩\u200d👩\u200d👧", "; ", "，", "🇩🇪", "각", "क्षि", "1\ufe0f\u20e3", "\r\n", "「はい。」と"],
    ]
)
texts = st.one_of(st.lists(pieces, max_size=40).map("".join), st.text(max_size=200))


def counter_for(unit: str) -> LengthCounter:
    return length_counter(unit)


def spans(text: str, unit: str, size: int, overlap: int = 0) -> list[TextChunk]:
    return list(split_text(text, counter_for(unit), size, overlap))


@needs_starter
@settings(max_examples=150, deadline=None)
@given(text=texts, unit=st.sampled_from(UNITS), size=st.integers(1, 60))
def test_without_overlap_chunks_cover_every_visible_character_once(text: str, unit: str, size: int):
    """Nothing of a document is lost, nothing is doubled, and the order stays."""
    chunks = spans(text, unit, size)
    covered = 0
    for chunk in chunks:
        assert not text[covered : chunk.start].strip()
        assert chunk.start >= covered
        covered = chunk.end
    assert not text[covered:].strip()


@needs_starter
@settings(max_examples=150, deadline=None)
@given(text=texts, unit=st.sampled_from(UNITS), size=st.integers(2, 60), data=st.data())
def test_no_chunk_is_longer_than_the_limit(text: str, unit: str, size: int, data: st.DataObject):
    """Only a single character that is more tokens than the limit may be."""
    overlap = data.draw(st.integers(0, size - 1))
    counter = counter_for(unit)
    for chunk in split_text(text, counter, size, overlap):
        piece = text[chunk.start : chunk.end]
        assert piece == piece.rstrip()
        assert piece
        # Only a line of code that is too long for one chunk brings its indentation.
        assert piece == piece.lstrip() or "```" in text or "~~~" in text
        assert chunk.size == counter.count(piece)
        assert chunk.size <= size or len(piece) <= 16


@needs_starter
@settings(max_examples=150, deadline=None)
@given(text=texts, unit=st.sampled_from(UNITS), size=st.integers(2, 60), data=st.data())
def test_overlap_is_whole_sentences_and_within_its_limit(text: str, unit: str, size: int, data: st.DataObject):
    """Each chunk also brings something new, so the walk always ends."""
    overlap = data.draw(st.integers(0, size - 1))
    counter = counter_for(unit)
    chunks = list(split_text(text, counter, size, overlap))
    starts = {span.start for span in sentence_spans(text)}
    ends = {span.end for span in sentence_spans(text)}
    for before, chunk in pairwise(chunks):
        assert chunk.end > before.end
        assert chunk.start > before.start
        if chunk.start < before.end:
            assert counter.count(text[chunk.start : before.end]) <= overlap
            assert chunk.start in starts
            assert before.end in ends


@needs_starter
@settings(max_examples=150, deadline=None)
@given(text=texts, unit=st.sampled_from(UNITS), size=st.integers(2, 60), data=st.data())
def test_every_chunk_ends_at_a_sentence_end_wherever_a_sentence_fits(
    text: str, unit: str, size: int, data: st.DataObject
):
    """A cut inside a sentence or a code block is only made where that alone is longer than the limit."""
    overlap = data.draw(st.integers(0, size - 1))
    counter = counter_for(unit)
    sentences = list(sentence_spans(text))
    for chunk in split_text(text, counter, size, overlap):
        for span in sentences:
            if span.start < chunk.end < span.end or span.start < chunk.start < span.end:
                assert counter.count(text[span.start : span.end]) > size


@settings(max_examples=200, deadline=None)
@given(text=texts, size=st.integers(12, 60))
def test_no_cut_is_inside_a_visible_character(text: str, size: int):
    """Compared with the Unicode rules as the regex library knows them; a longer character must be cut."""
    chunks = spans(text, "characters", size)
    cuts = {chunk.start for chunk in chunks} | {chunk.end for chunk in chunks}
    for character in regex.finditer(r"\X", text):
        if character.end() - character.start() <= size and not character.group()[0].isspace():
            assert not cuts & set(range(character.start() + 1, character.end()))


@settings(max_examples=200, deadline=None)
@given(text=texts, size=st.integers(1, 60), overlap=st.integers(0, 10))
def test_a_chunk_is_as_full_as_its_limit_allows(text: str, size: int, overlap: int):
    """The next sentence would not have fitted: fewer, fuller chunks train faster."""
    chunks = spans(text, "characters", size, min(overlap, size - 1))
    sentences = list(sentence_spans(text))
    for chunk, following in pairwise(chunks):
        behind = next((span for span in sentences if span.start >= chunk.end), None)
        if behind and following.end >= behind.end and following.start <= behind.start:
            assert behind.end - chunk.start > size


class SlowCounter(CharacterCounter):
    """Counts characters too, but is taken for one that must see each sentence."""

    adds_up = False


@settings(max_examples=300, deadline=None)
@given(text=texts, size=st.integers(1, 90), data=st.data())
def test_looking_only_where_a_chunk_may_end_finds_the_same_chunks(text: str, size: int, data: st.DataObject):
    """The fast way for characters against the plain one, which looks at every sentence."""
    overlap = data.draw(st.integers(0, size - 1))
    assert list(split_text(text, CharacterCounter(), size, overlap)) == list(
        split_text(text, SlowCounter(), size, overlap)
    )


def test_chunks_end_at_sentences_where_a_sentence_fits():
    """By hand: two sentences of ten characters and a space fit into 21."""
    text = "One is so. Two is so. Tri is so. Four is it."
    assert [text[c.start : c.end] for c in spans(text, "characters", 21)] == [
        "One is so. Two is so.",
        "Tri is so.",
        "Four is it.",
    ]


def test_each_chunk_begins_with_the_sentence_that_ends_the_one_before():
    """By hand: overlap 10 holds one sentence."""
    text = "One is so. Two is so. Tri is so."
    chunks = [text[c.start : c.end] for c in spans(text, "characters", 21, 10)]
    assert chunks == ["One is so. Two is so.", "Two is so. Tri is so."]


def test_a_code_block_that_fits_is_not_cut():
    """It starts a chunk of its own instead."""
    code = "```\n" + "line = 1. \n" * 5 + "```"
    text = f"{'Words before it. ' * 3}\n\n{code}\n\nAfter it."
    assert any(code in text[c.start : c.end] for c in spans(text, "characters", len(code)))


def test_a_code_block_that_is_too_long_is_cut_between_lines():
    """Half a line of code helps nobody."""
    lines = [f"value_{number} = {number}" for number in range(50)]
    text = "```\n" + "\n".join(lines) + "\n```"
    for chunk in spans(text, "characters", 120):
        assert all(line in [*lines, "```"] for line in text[chunk.start : chunk.end].split("\n"))


def test_a_long_sentence_is_cut_at_a_clause_or_space():
    """Words stay whole."""
    text = "and then, " * 100
    for chunk in spans(text, "characters", 64):
        assert text[chunk.start : chunk.end].endswith("then,")


def test_a_character_with_its_marks_is_not_cut():
    """A family emoji is five code points; cut apart it would be another picture."""
    family = "👩\u200d👩\u200d👧"
    for chunk in spans(family * 30, "characters", 12):
        assert len("" + (family * 30)[chunk.start : chunk.end]) % len(family) == 0


def test_overlap_must_be_smaller_than_the_chunk():
    """Else no chunk would bring anything new."""
    with pytest.raises(ConfigurationError, match=r"overlap_size \(5\) must be smaller than chunk_size \(5\)"):
        split_text("text", counter_for("characters"), 5, 5)


@needs_starter
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("text", ["a" * 200_000, "." * 200_000, "\n" * 200_000 + "x", "世" * 50_000, "cf. " * 50_000])
def test_hostile_text_takes_linear_time(text: str, unit: str):
    """Measured in CPU seconds, with a wide margin for slow machines."""
    started = time.process_time()
    for chunk in split_text(text, counter_for(unit), 512, 50):
        assert chunk.size <= 512
    assert time.process_time() - started < 10


@needs_starter
def test_a_tokenizer_that_joins_marks_and_line_ends_is_counted_exactly(tmp_path: Path):
    """Sizes of sentences add up only for some tokenizers; for others the chunk is counted as a whole."""
    layout = json.loads(STARTER_TOKENIZER.read_text(encoding="utf-8"))
    layout["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(layout), encoding="utf-8")
    counter = length_counter("tokens", str(path))
    assert not counter.adds_up
    text = "One sentence here. Another one!\n\nAnd a third? " * 20
    for chunk in split_text(text, counter, 32, 8):
        assert chunk.size == counter.count(text[chunk.start : chunk.end]) <= 32


def test_an_unknown_tokenizer_is_a_configuration_error(tmp_path: Path):
    """It is told before any file is read."""
    with pytest.raises(ConfigurationError, match=r"holds no tokenizer\.json"):
        length_counter("tokens", str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is not a tokenizer file"):
        length_counter("tokens", str(tmp_path / "tokenizer.json"))


def test_source_code_is_cut_at_empty_lines_and_keeps_its_indentation():
    """A sentence in a comment is no place to cut, and a piece of a class stays what it is."""
    text = "class A:\n    # One. Two.\n    x = 1\n\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n"
    chunks = [text[c.start : c.end] for c in split_text(text, counter_for("characters"), 45, 10, is_code=True)]
    assert chunks == [
        "class A:\n    # One. Two.\n    x = 1",
        "    def f(self):\n        return 1",
        "    def g(self):\n        return 2",
    ]


def test_code_that_is_too_long_is_cut_at_line_ends():
    """And the next piece begins with its whole line."""
    text = "".join(f"    line{number}()\n" for number in range(8))
    chunks = [text[c.start : c.end] for c in split_text(text, counter_for("characters"), 40, 0, is_code=True)]
    assert "\n".join(chunks) + "\n" == text
    assert all(len(chunk) <= 40 and chunk.startswith("    line") for chunk in chunks)


@needs_starter
@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["", "x", "f(a, b)", "# One. Two."])), max_size=12),
    unit=st.sampled_from(UNITS),
    size=st.integers(4, 40),
)
def test_source_code_is_cut_without_loss(lines: list[tuple[int, str]], unit: str, size: int):
    """However far it is indented."""
    text = "\n".join(" " * indent + code for indent, code in lines)
    counter = counter_for(unit)
    covered = 0
    for chunk in split_text(text, counter, size, is_code=True):
        piece = text[chunk.start : chunk.end]
        assert not text[covered : chunk.start].strip()
        assert piece.strip()
        assert chunk.size == counter.count(piece) <= size
        covered = chunk.end
    assert not text[covered:].strip()
