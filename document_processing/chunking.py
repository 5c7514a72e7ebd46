"""Chunks that end at sentences, overlap by whole sentences and are exact slices of their text.

A chunk is as full as its limit allows. A sentence that alone is longer than the limit is cut at a
clause, else at a space, else anywhere. Work and memory stay linear in the text: sentences are found,
counted and packed as a stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from document_processing.graphemes import is_joined
from document_processing.length_counters import LengthCounter
from document_processing.sentences import (
    Span,
    code_spans,
    first_paragraph_end,
    last_paragraph_end,
    prose_spans,
    sentence_spans,
    text_blocks,
)
from shared_utils.errors import ConfigurationError

# A piece of a longer span is looked for in that many characters for each unit: few tokens have more.
CHARACTERS_PER_UNIT = 16
# A span of more than that many for each unit is cut without being counted as a whole.
MOST_CHARACTERS_PER_UNIT = 256
BATCH_CHARACTERS = 65_536  # counted in one call
LONGEST_COUNTED_GAP = 8  # characters of white space counted with the sentence behind them

_CLAUSE = re.compile(r"[;:,，；、：—–][\"'”’»)\]]*\s*|[，；、：]")
_SPACE = re.compile(r"\s+")
_LINE = re.compile(r"\n")


class TextChunk(NamedTuple):
    """`text[start:end]` and its length in the counter's unit."""

    start: int
    end: int
    size: int


class _Unit(NamedTuple):
    """What a chunk is made of: a sentence, a code block, or a part of one that is too long."""

    start: int
    end: int
    size: int  # as the first of a chunk
    joined_size: int  # behind another, with the white space between
    is_sentence: bool
    adds_up: bool  # whether `joined_size` is exact, or only near
    is_run: bool = False  # whole paragraphs, whose sentences nobody has looked for


def split_text(
    text: str, counter: LengthCounter, chunk_size: int, overlap_size: int = 0, *, is_code: bool = False
) -> Iterator[TextChunk]:
    """The chunks of a text, in order.

    Without overlap they cover every visible character once. The overlap of a chunk with the one before
    consists of whole sentences and is at most `overlap_size`. Source code (`is_code`) is cut at empty lines,
    else at line ends, and nothing of it is repeated.

    Raises:
        ConfigurationError: `overlap_size` is not smaller than `chunk_size`.
    """
    if not 0 <= overlap_size < chunk_size:
        raise ConfigurationError(
            f"overlap_size ({overlap_size}) must be smaller than chunk_size ({chunk_size})",
            hint="a tenth of chunk_size is common",
        )
    return _Packer(text, counter, chunk_size, overlap_size, is_code).chunks()


def _added(window: list[_Unit]) -> int:
    return window[0].size + sum(unit.joined_size for unit in window[1:]) if window else 0


class _Packer:
    def __init__(self, text: str, counter: LengthCounter, chunk_size: int, overlap_size: int, is_code: bool) -> None:
        self._text, self._counter, self._is_code = text, counter, is_code
        self._limit, self._overlap_limit = chunk_size, overlap_size
        self._window: list[_Unit] = []  # the chunk that is being filled
        self._characters_per_unit = CHARACTERS_PER_UNIT // 4  # guessed, then learnt from each piece
        self._window_size = 0
        self._repeated = 0  # how many units of the window stood in the chunk before

    def chunks(self) -> Iterator[TextChunk]:
        # Where a length is told by two positions, sentences are looked for only where a chunk may end.
        by_position = self._counter.adds_up and self._counter.counts_space and not self._is_code
        for unit in self._units_by_position() if by_position else self._units():
            if self._window and self._window_size + unit.joined_size > self._limit:
                yield from self._emit()
                self._make_room_for(unit)
            self._window_size += unit.joined_size if self._window else unit.size
            self._window.append(unit)
        while len(self._window) > self._repeated:
            yield from self._emit()

    def _set_window(self, window: list[_Unit], repeated: int) -> None:
        self._window, self._repeated = window, repeated
        self._window_size = _added(window)

    def _make_room_for(self, unit: _Unit) -> None:
        """Repeated sentences give way to new text, so every chunk brings some."""
        window, size, dropped = self._window, self._window_size, 0
        while dropped < self._repeated and size + unit.joined_size > self._limit:
            size -= window[dropped].size
            dropped += 1
            if dropped < len(window):
                size += window[dropped].size - window[dropped].joined_size
        if dropped:
            self._set_window(window[dropped:], self._repeated - dropped)

    def _emit(self) -> Iterator[TextChunk]:
        """Yield the window as a chunk and leave in it what the next one repeats.

        Where the sizes of sentences add up to that of the chunk only nearly, it is counted as a whole;
        what turns out too long moves on into the next chunk.
        """
        window, repeated, surplus = self._window, self._repeated, list[_Unit]()
        chunk = self._measured(window)
        while chunk.size > self._limit and len(window) > 1:
            if repeated:
                window, repeated = window[1:], repeated - 1
            else:
                window, surplus = window[:-1], [window[-1], *surplus]
            chunk = self._measured(window)
        if chunk.size <= self._limit:
            yield chunk
        else:
            yield from self._pieces(chunk.start, chunk.end, is_code=False)
        tail = [] if surplus else self._tail_to_repeat(window)
        self._set_window(tail + surplus, len(tail))

    def _measured(self, window: list[_Unit]) -> TextChunk:
        start, end = window[0].start, window[-1].end
        if all(unit.adds_up for unit in window[1:]):
            first = self._counter.count(self._text[start : window[0].end])
            return TextChunk(start, end, first + sum(unit.joined_size for unit in window[1:]))
        return self._counted(start, end)

    def _tail_to_repeat(self, window: list[_Unit]) -> list[_Unit]:
        if not self._overlap_limit:
            return []
        window = self._with_sentences_at_end(window)
        # Estimated with some slack for the space in front of the first sentence, then counted.
        first, size = len(window), -LONGEST_COUNTED_GAP
        while first > 1 and window[first - 1].is_sentence:
            size += window[first - 1].joined_size
            if size > self._overlap_limit:
                break
            first -= 1
        end = window[-1].end
        while first < len(window) and self._counted(window[first].start, end).size > self._overlap_limit:
            first += 1
        return window[first:]

    def _with_sentences_at_end(self, window: list[_Unit]) -> list[_Unit]:
        """The window with its last paragraphs, as far as an overlap reaches, taken apart into sentences."""
        earliest = window[-1].end - self._overlap_limit
        first = len(window)
        while first > 0 and window[first - 1].end >= earliest:
            first -= 1
        apart = list(window[:first])
        for unit in window[first:]:
            apart.extend(self._sentences_of_run(unit, earliest) if unit.is_run else [unit])
        return apart

    def _sentences_of_run(self, run: _Unit, earliest: int) -> Iterator[_Unit]:
        gap = run.joined_size - run.size
        border = last_paragraph_end(self._text, run.start, max(run.start, earliest))
        behind = run.start - gap
        if border > run.start:
            behind = self._without_trailing_space(run.start, border)
            size = behind - run.start
            yield _Unit(run.start, behind, size, size + gap, False, True, is_run=True)
        for span in prose_spans(self._text, border, run.end):
            yield _Unit(span.start, span.end, span.end - span.start, span.end - behind, True, True)
            behind = span.end

    def _counted(self, start: int, end: int) -> TextChunk:
        return TextChunk(start, end, self._counter.count(self._text[start:end]))

    def _units_by_position(self) -> Iterator[_Unit]:
        """Whole paragraphs while they fit into the chunk that is being filled, else sentences."""
        text, behind = self._text, 0
        for block in text_blocks(text):
            position = block.start
            if block.is_code:
                yield from self._sized([block], behind)
                behind = position = block.end
            while position < block.end:
                if text[position].isspace():
                    position += 1
                    continue
                taken = self._window_size + position - behind if self._window else 0
                border = last_paragraph_end(text, position, min(block.end, position + max(0, self._limit - taken) + 2))
                if border > position:
                    end = self._without_trailing_space(position, border)
                    yield _Unit(position, end, end - position, end - behind, False, True, is_run=True)
                    behind, position = end, border
                    continue
                border = first_paragraph_end(text, position, block.end)
                for span in prose_spans(text, position, border):
                    size = span[1] - span[0]
                    if size > self._limit:
                        yield from self._units_of_long(span, behind)
                    else:
                        yield _Unit(span[0], span[1], size, span[1] - behind, True, True)
                    behind = span[1]
                position = border

    def _units(self) -> Iterator[_Unit]:
        batch: list[Span] = []
        characters, behind = 0, 0
        for span in code_spans(self._text) if self._is_code else sentence_spans(self._text):
            if span.end - span.start > self._limit * MOST_CHARACTERS_PER_UNIT:
                yield from self._sized(batch, behind)
                yield from self._units_of_long(span, batch[-1].end if batch else behind)
                batch, characters, behind = [], 0, span.end
                continue
            batch.append(span)
            characters += span.end - span.start
            if characters >= BATCH_CHARACTERS:
                yield from self._sized(batch, behind)
                batch, characters, behind = [], 0, span.end
        yield from self._sized(batch, behind)

    def _sized(self, spans: list[Span], behind: int) -> Iterator[_Unit]:
        """Spans with their sizes; `behind` is where the span before the first one ends."""
        if not spans:
            return
        counts_space, adds_up, limit = self._counter.counts_space, self._counter.adds_up, self._limit
        gaps = [span[0] - end for span, end in zip(spans, [behind, *(span[1] for span in spans)], strict=False)]
        # Space that counts is added below; space that makes a token with the word behind it is counted with it.
        leads = [0 if counts_space or gap > LONGEST_COUNTED_GAP else gap for gap in gaps]
        texts = [self._text[span[0] - lead : span[1]] for span, lead in zip(spans, leads, strict=True)]
        for span, gap, lead, size in zip(spans, gaps, leads, self._counter.count_many(texts), strict=True):
            joined_size = size + gap - lead
            if size > limit and lead:
                size = self._counter.count(self._text[span.start : span.end])
            if size > limit:
                yield from self._units_of_long(span, span.start - gap)
            else:
                is_exact = adds_up and (counts_space or 0 < gap == lead)
                yield _Unit(span[0], span[1], size, joined_size, not span[2], is_exact)

    def _units_of_long(self, span: Span, behind: int) -> Iterator[_Unit]:
        is_exact = self._counter.adds_up and self._counter.counts_space
        for piece in self._pieces(span.start, span.end, span.is_code):
            joined_size = piece.size + (piece.start - behind if is_exact else 1)
            yield _Unit(piece.start, piece.end, piece.size, joined_size, is_sentence=False, adds_up=is_exact)
            behind = piece.end

    def _pieces(self, start: int, end: int, is_code: bool) -> Iterator[TextChunk]:
        """Cut what is longer than the limit; each piece is counted exactly."""
        position = self._next_begin(start, end) if is_code else start
        while position < end:
            piece = self._first_piece(position, end, is_code)
            yield piece
            position = self._next_begin(piece.end, end, is_code)

    def _next_begin(self, position: int, end: int, is_code: bool = True) -> int:
        """The next visible character; of code the beginning of its line, unless it is indented very far."""
        visible = position
        while visible < end and self._text[visible].isspace():
            visible += 1
        is_line_start = position == 0 or self._text[position - 1] == "\n"
        line_start = max(self._text.rfind("\n", position, visible) + 1, position if is_line_start else 0)
        keeps_indent = is_code and visible < end and 0 <= visible - line_start <= self._limit // 4
        return line_start if keeps_indent and line_start >= position else visible

    def _first_piece(self, start: int, end: int, is_code: bool) -> TextChunk:
        stop = min(end, start + self._limit * self._characters_per_unit)
        starts = self._counter.starts(self._text[start:stop])
        while len(starts) <= self._limit and stop < min(end, start + self._limit * CHARACTERS_PER_UNIT):
            stop = min(end, start + (stop - start) * 2, start + self._limit * CHARACTERS_PER_UNIT)
            starts = self._counter.starts(self._text[start:stop])
        # Half as much again as the last piece needed: more would be encoded for nothing, less twice.
        self._characters_per_unit = min(CHARACTERS_PER_UNIT, 1 + 3 * (stop - start) // (2 * max(1, len(starts))))
        allowed = self._limit
        while True:
            cut = stop if len(starts) <= allowed else start + starts[allowed]
            cut = self._not_inside_character(start, cut)
            if cut < end:
                cut = self._better_cut(start, cut, is_code)
            piece = self._counted(start, self._without_trailing_space(start, cut))
            if piece.size <= self._limit or allowed == 0:
                return piece
            # Cut apart, a text can have more tokens than inside its surroundings.
            allowed = min(allowed, len(starts)) - max(1, piece.size - self._limit)
            allowed = max(0, allowed)

    def _better_cut(self, start: int, cut: int, is_code: bool) -> int:
        """The last line end, clause end or space in the last third before `cut`, else `cut`."""
        from_here = max(start + 1, cut - max(1, (cut - start) // 3))
        for pattern in (_LINE, _SPACE) if is_code else (_CLAUSE, _SPACE):
            ends = [found.end() for found in pattern.finditer(self._text, from_here, cut)]
            if ends:
                return ends[-1]
        return cut

    def _not_inside_character(self, start: int, cut: int) -> int:
        """Before the marks and joiners of the character in front, as far as something is left."""
        moved = cut
        while start < moved < len(self._text) and is_joined(self._text, moved, start):
            moved -= 1
        return moved if moved > start else max(cut, start + 1)

    def _without_trailing_space(self, start: int, end: int) -> int:
        while end > start + 1 and self._text[end - 1].isspace():
            end -= 1
        return end
