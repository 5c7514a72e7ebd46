"""PowerPoint presentations: titles, text, tables and notes of each slide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from document_processing.content_sniffing import refuse_if_not
from document_processing.parsers.base import DocumentParser
from document_processing.parsers.docx_parser import core_properties
from document_processing.parsers.sections import Block, cleaned, markdown_of, markdown_table, one_line
from document_processing.parsers.zip_safety import refuse_zip_bomb
from document_processing.text_cleaning import clean_text
from shared_utils.errors import missing_extra
from shared_utils.file_utils import open_binary, validate_file_path
from shared_utils.records import Document

DEEPEST_GROUP = 20  # groups of shapes in groups


class PptxParser(DocumentParser):
    """Reads a presentation as one document a slide; slides without text make none."""

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        checked = validate_file_path(path, extensions=None)
        with open_binary(checked) as file:
            refuse_if_not(file, "a PowerPoint presentation", ".pptx")
        refuse_zip_bomb(checked)
        presentation = _open(checked)
        shared = core_properties(presentation.core_properties)
        slides = list(presentation.slides)
        contents = [_slide(slide) for slide in slides]
        named = shared.pop("title", "")
        title = named or next((heading for heading, _ in contents if heading), "") or Path(path).stem
        for number, (slide, (heading, blocks)) in enumerate(zip(slides, contents, strict=True), start=1):
            content = markdown_of(cleaned(blocks))
            if not content:
                continue
            metadata: dict[str, Any] = {**shared, "slide": number, "slides": len(slides)}
            metadata["heading_path"] = [heading] if heading else []
            if slide.element.get("show") == "0":
                metadata["hidden"] = True
            yield Document(source=str(path), type="pptx", title=title, content=content, metadata=metadata)


def _open(path: Path) -> Any:
    try:
        import pptx
    except ImportError:
        raise missing_extra("documents", "python-pptx", "reading PowerPoint presentations") from None
    return pptx.Presentation(str(path))


def _slide(slide: Any) -> tuple[str, list[Block]]:
    """Heading and blocks of a slide."""
    title = slide.shapes.title
    heading = one_line(clean_text(title.text_frame.text)) if title is not None and title.has_text_frame else ""
    blocks = [Block(heading, 1)] if heading else []
    title_id = title.shape_id if title is not None else None
    for shape in slide.shapes:
        if shape.shape_id != title_id:
            blocks.extend(_blocks(shape, 0))
    notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
    if notes is not None and notes.text.strip():
        blocks.append(Block("Notes: " + "\n".join(line for line in notes.text.splitlines() if line.strip())))
    return heading, blocks


def _blocks(shape: Any, depth: int) -> Iterator[Block]:
    if getattr(shape, "has_table", False):
        yield Block(markdown_table([cell.text for cell in row.cells] for row in shape.table.rows))
    elif getattr(shape, "has_text_frame", False):
        yield Block(_paragraphs(shape.text_frame))
    elif hasattr(shape, "shapes") and depth < DEEPEST_GROUP:
        for inner in shape.shapes:
            yield from _blocks(inner, depth + 1)


def _paragraphs(frame: Any) -> str:
    """Paragraphs, as a list where there are several or where they are indented."""
    found = [(paragraph.level, one_line(paragraph.text)) for paragraph in frame.paragraphs]
    found = [(level, text) for level, text in found if text]
    if len(found) == 1 and found[0][0] == 0:
        return found[0][1]
    return "\n".join(f"{'  ' * level}- {text}" for level, text in found)
