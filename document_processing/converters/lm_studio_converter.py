"""Documents become text records and instruction pairs.

LM Studio itself does not train and has no data format of its own. The records are the `{"text": ...}` and
`{"instruction", "input", "output"}` lines that MLX-LM and most trainers read:

    {"text": "A chunk.", "metadata": {"source": "guide.md", "chunk_index": 0, "char_start": 0, ...}}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from document_processing.chunking import split_text
from document_processing.converters.instructions import instructions_of
from document_processing.length_counters import length_counter
from document_processing.parsers.source_languages import CODE_LANGUAGES
from shared_utils.errors import ConfigurationError
from shared_utils.file_utils import write_jsonl_atomic, write_text_atomic
from shared_utils.records import Chunk, Document, Instruction

# Where in its source a document stands; enough to find it again among the documents of one file.
LOCATION_KEYS = (
    *("page", "heading_path", "line_start", "line_end", "slide", "sheet", "row_start", "row_end"),
    *("chapter", "message", "record", "line"),
)


class LMStudioConverter:
    """Cuts documents into chunks and forms instruction pairs from them.

    Args:
        chunk_size: longest chunk, counted in `chunk_unit`.
        output_format: what `write` writes: `jsonl` records or plain `text`.
        overlap_size: most that a chunk repeats of the one before.
        chunk_unit: `tokens`, `words` or `characters`.
        tokenizer: what counts tokens: `starter`, a folder, a `tokenizer.json` or a hub name.
        include_metadata: put source, position and size beside each chunk.

    Raises:
        ConfigurationError: sizes that do not fit each other, or a tokenizer that is not to be had.
    """

    def __init__(
        self,
        chunk_size: int = 512,
        output_format: Literal["jsonl", "text"] = "jsonl",
        overlap_size: int = 50,
        *,
        chunk_unit: str = "tokens",
        tokenizer: str = "starter",
        include_metadata: bool = True,
    ) -> None:
        if output_format not in ("jsonl", "text"):
            raise ConfigurationError(f"output_format: {output_format!r} is unknown", hint="take jsonl or text")
        if not 0 <= overlap_size < chunk_size:
            raise ConfigurationError(
                f"overlap_size ({overlap_size}) must be smaller than chunk_size ({chunk_size})",
                hint="a tenth of chunk_size is common",
            )
        self.chunk_size, self.overlap_size, self.output_format = chunk_size, overlap_size, output_format
        self.include_metadata = include_metadata
        self._counter = length_counter(chunk_unit, tokenizer)

    def convert(self, documents: Iterable[Document]) -> list[Chunk]:
        """All chunks of the documents."""
        return list(self.iter_convert(documents))

    def iter_convert(self, documents: Iterable[Document]) -> Iterator[Chunk]:
        """The chunks, one after another; `content[char_start:char_end] == text` for each."""
        for document in documents:
            content = document["content"]
            is_code = document["type"] == "text" and document["metadata"].get("language") in CODE_LANGUAGES
            pieces = list(split_text(content, self._counter, self.chunk_size, self.overlap_size, is_code=is_code))
            shared = {"source": document["source"], "type": document["type"], "title": document["title"]}
            shared |= {key: document["metadata"][key] for key in LOCATION_KEYS if key in document["metadata"]}
            for index, piece in enumerate(pieces):
                metadata: dict[str, Any] = {}
                if self.include_metadata:
                    metadata = {
                        **shared,
                        "chunk_index": index,
                        "chunk_count": len(pieces),
                        "char_start": piece.start,
                        "char_end": piece.end,
                        self._counter.unit: piece.size,
                    }
                yield Chunk(text=content[piece.start : piece.end], metadata=metadata)

    def convert_to_instructions(self, documents: Iterable[Document]) -> list[Instruction]:
        """Instruction pairs: a question formed from a heading, answered by the text below it, word for word."""
        return [pair for document in documents for pair in instructions_of(document)]

    def write(self, documents: Iterable[Document], path: str | Path) -> int:
        """Write the chunks to one file, as JSONL or as plain text with blank lines between; their number."""
        if self.output_format == "jsonl":
            return write_jsonl_atomic(Path(path), self.iter_convert(documents))
        texts = [chunk["text"] for chunk in self.iter_convert(documents)]
        write_text_atomic(Path(path), "\n\n".join(texts) + "\n")
        return len(texts)
