"""What passes between packages: named types for plain dicts."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

DocumentType = Literal[
    "pdf",
    "markdown",
    "text",
    "rst",
    "html",
    "docx",
    "odt",
    "rtf",
    "pptx",
    "spreadsheet",
    "json",
    "epub",
    "email",
    "notebook",
]


class Document(TypedDict):
    """A page of a PDF, a section of Markdown, a slide, a text file: the smallest whole that a format has.

    >>> {"source": "manual.pdf", "type": "pdf", "title": "Manual", "content": "...", "metadata": {"page": 1}}
    """

    source: str
    type: DocumentType
    title: str
    content: str
    metadata: dict[str, Any]


class Chunk(TypedDict):
    """A piece of a document: `content[char_start:char_end] == text`."""

    text: str
    metadata: dict[str, Any]


class Instruction(TypedDict):
    """A question formed from a document and its answer, with the span it rests on."""

    instruction: str
    input: str
    output: str
    metadata: dict[str, Any]


class Message(TypedDict):
    """One turn of a conversation; the keys of tools are those of OpenAI, with arguments as an object."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]


class Record(TypedDict):
    """One training record in its normal form: either `text` or `messages`."""

    id: str
    source: str
    text: NotRequired[str]
    messages: NotRequired[list[Message]]
    tools: NotRequired[list[dict[str, Any]]]


class PreferencePair(Record):
    """Two answers to one prompt, which is `messages`; each answer is the turns that follow it, mostly one."""

    chosen: list[Message]
    rejected: list[Message]


class Conversation(TypedDict):
    """One line of a conversation log."""

    id: str
    timestamp: str
    session_id: str
    messages: list[Message]
    metadata: dict[str, Any]


class FileReport(TypedDict):
    """What became of one input file; a line of `manifest.json`."""

    path: str
    sha256: str | None
    bytes: int | None
    type: str | None
    status: Literal["ok", "failed", "skipped"]
    reason: str | None
    documents: int
    chunks: int
    seconds: float
