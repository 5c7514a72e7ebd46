"""Settings of extraction: parsers, chunks and the workers that read the files."""

from __future__ import annotations

from typing import Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from shared_utils.settings import Settings, nearest


class PDFSettings(Settings):
    """How PDF files are read."""

    engine: Literal["auto", "pdfplumber", "pypdf2"] = Field(
        "auto",
        description="auto reads each page with the library that serves it best: pdfium, else pdfplumber, else the "
        "fallback; pdfplumber and pypdf2 begin with that one",
    )
    use_pdfplumber_first: bool = Field(
        True, description="off reads PDF files with the fallback from the start, whatever the engine"
    )
    fallback_to_pypdf2: bool = Field(
        True,
        description="read what the others cannot with pypdf or PyPDF2; which one served stands in the metadata",
    )
    extract_by_page: bool = Field(True, description="one document a page; off makes one document a file")
    ocr: bool = Field(False, description="read pages without text, such as scans, with Tesseract")
    ocr_language: str = Field(
        "eng", pattern=r"^[A-Za-z_]+(\+[A-Za-z_]+)*$", description="what Tesseract looks for, such as deu+eng"
    )


class MarkdownSettings(Settings):
    """How Markdown files are read."""

    extract_frontmatter: bool = Field(
        True, description="move the block of keys at the top into the metadata; off leaves it in the text"
    )
    split_by_sections: bool = Field(True, description="one document a section; off makes one document a file")
    preserve_code_blocks: bool = Field(True, description="keep code blocks as written; off leaves them out")


class LMStudioSettings(Settings):
    """How documents become chunks and instruction pairs."""

    chunk_size: int = Field(512, ge=1, le=1_000_000, description="longest chunk, counted in chunk_unit")
    output_format: Literal["jsonl", "text"] = Field(
        "jsonl", description="text also writes the plain text of each file into the folder text/"
    )
    overlap_size: int = Field(
        50, ge=0, le=1_000_000, description="most that a chunk repeats of the one before, in whole sentences"
    )
    include_metadata: bool = Field(True, description="write source, position and size beside each chunk")
    chunk_unit: Literal["tokens", "words", "characters"] = Field(
        "tokens", description="what chunk_size and overlap_size count"
    )
    tokenizer: str = Field(
        "starter",
        min_length=1,
        description="what counts tokens: starter, a folder, a tokenizer.json or a hub name",
    )
    instruction_format: bool = Field(
        False, description="also write instruction pairs made from headings and the text below them"
    )

    @model_validator(mode="after")
    def _overlap_is_smaller_than_chunk(self) -> Self:
        if self.overlap_size >= self.chunk_size:
            raise ValueError(f"overlap_size ({self.overlap_size}) must be smaller than chunk_size ({self.chunk_size})")
        return self


BEST_EFFORT = "best effort, not anonymisation"  # stands wherever redaction is told
PrivateKind = Literal["emails", "phones", "urls", "ids"]


class CleaningSettings(Settings):
    """What is taken out of the documents before they become chunks."""

    dedupe: bool = Field(
        False, description="drop documents that say the same as an earlier one, with their chunks and pairs"
    )
    dedupe_threshold: float = Field(
        0.9, ge=0.5, le=1, description="least share of common five-word pieces (Jaccard) that makes a near duplicate"
    )
    redact: list[PrivateKind] = Field(
        [],
        description="kinds of private data replaced by placeholders: emails, phones, urls, ids; " + BEST_EFFORT,
    )

    @field_validator("redact", mode="before")
    @classmethod
    def _kinds_are_known(cls, value: object) -> object:
        """A list of kinds, or one text with commas."""
        kinds = [kind.strip() for kind in value.split(",") if kind.strip()] if isinstance(value, str) else value
        if not isinstance(kinds, list):
            return kinds
        known = get_args(PrivateKind)
        for kind in kinds:
            if kind not in known:
                guess = nearest(str(kind), known)
                meant = f"; did you mean {guess}?" if guess else ""
                raise ValueError(f"'{kind}' is no kind of private data{meant} known: {', '.join(known)}")
        return sorted(set(kinds), key=known.index)


class InstructionSettings(Settings):
    """Where instruction pairs come from."""

    instruction_source: Literal["headings", "llm"] = Field(
        "headings",
        description="headings takes answers word for word; llm asks a language model and keeps what the text bears out",
    )
    llm_url: str = Field(
        "http://127.0.0.1:1234/v1",
        min_length=1,
        description="OpenAI-compatible endpoint of LM Studio, Ollama or another; a key goes into LLM_API_KEY",
    )
    llm_model: str = Field("", description="model that the endpoint is asked for; empty takes the first it lists")
    llm_concurrency: int = Field(4, ge=1, le=64, description="requests under way at the same time")
    llm_pairs_per_chunk: int = Field(3, ge=1, le=20, description="most pairs asked for each chunk")
    llm_timeout_seconds: float = Field(120, gt=0, le=3600, description="most time for one answer of the endpoint")


class ExtractionSettings(Settings):
    """The workers that read the files, and their limits."""

    workers: int | None = Field(None, ge=1, le=256, description="files read at the same time; null takes one a core")
    timeout_seconds: float = Field(
        120,
        gt=0,
        le=86_400,
        description="a file that takes longer is given up, and the others go on; large texts get 2 more a MB; of a PDF "
        "with more than 64 pages only the pages that take longer",
    )
    memory_limit_mb: int = Field(896, ge=256, le=1_048_576, description="most memory that the work on one file takes")
    max_file_mb: int = Field(512, ge=1, le=65_536, description="larger files are refused")
    engine: Literal["local", "ray"] = Field(
        "local",
        description="ray reads the files on the machines of a Ray cluster, which must see them at the same paths",
    )
    ray_address: str | None = Field(
        None, min_length=1, description="of a Ray cluster; null takes RAY_ADDRESS, or starts Ray on this machine"
    )
    use_cache: bool = Field(True, description="take files that did not change from the cache in the output folder")


class DocumentProcessingSettings(Settings):
    """From documents to chunks."""

    pdf: PDFSettings = Field(default_factory=PDFSettings, description="how PDF files are read")
    markdown: MarkdownSettings = Field(default_factory=MarkdownSettings, description="how Markdown files are read")
    lm_studio: LMStudioSettings = Field(default_factory=LMStudioSettings, description="how chunks are made")
    cleaning: CleaningSettings = Field(
        default_factory=CleaningSettings, description="what is taken out of the documents"
    )
    instructions: InstructionSettings = Field(
        default_factory=InstructionSettings, description="where instruction pairs come from"
    )
    extraction: ExtractionSettings = Field(default_factory=ExtractionSettings, description="workers and their limits")

    @model_validator(mode="after")
    def _model_written_pairs_name_their_source(self) -> Self:
        if self.instructions.instruction_source == "llm" and not self.lm_studio.include_metadata:
            raise ValueError("instruction_source llm needs include_metadata: pairs name the span they rest on")
        return self

    @property
    def makes_heading_pairs(self) -> bool:
        """Whether pairs are made from headings, word for word."""
        return self.lm_studio.instruction_format and self.instructions.instruction_source == "headings"

    @property
    def makes_llm_pairs(self) -> bool:
        """Whether a language model is asked for pairs; naming it as the source is enough."""
        return self.instructions.instruction_source == "llm"
