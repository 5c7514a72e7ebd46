"""Messages: a file of one, or a mailbox of many."""

from __future__ import annotations

import mailbox
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from document_processing.content_sniffing import refuse_if_not_text
from document_processing.parsers.base import DocumentParser, read_bytes
from document_processing.parsers.html_text import html_blocks
from document_processing.parsers.markup_trees import parse_html
from document_processing.parsers.sections import cleaned, markdown_of, one_line
from document_processing.text_cleaning import clean_text, html_to_text
from document_processing.text_decoding import decode_text
from shared_utils.errors import DocumentProcessingError
from shared_utils.file_utils import validate_file_path
from shared_utils.records import Document

_HEADERS = ("from", "to", "cc", "reply-to", "message-id", "in-reply-to")
MOST_PARTS = 1_000  # of one message
MOST_ATTACHMENTS = 100  # named


class EmailParser(DocumentParser):
    """Reads a message: the subject is the title, the plain text (else the HTML) the content."""

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        data = read_bytes(path)
        refuse_if_not_text(data)
        message = _message(data)
        if not any(message[name] for name in ("from", "to", "subject", "date", "message-id", "received")):
            raise DocumentProcessingError(
                "it is not a message: it has no header", hint="save the message from the mail program again"
            )
        yield from _documents(message, str(path), {})


class MailboxParser(DocumentParser):
    """Reads a mailbox (mbox) as one document a message; messages without text make none."""

    def iter_parse(self, path: str | Path) -> Iterator[Document]:
        """The same as `parse`, as an iterator."""
        checked = validate_file_path(path, extensions=None)
        with checked.open("rb") as file:
            head = file.read(1024)
        refuse_if_not_text(head)
        if head.strip() and not head.lstrip(b"\r\n").startswith(b"From "):
            raise DocumentProcessingError("it is not a mailbox: no line begins with 'From '", hint="give it its suffix")
        box = mailbox.mbox(checked, create=False)
        try:
            for number, key in enumerate(box.iterkeys(), start=1):
                yield from _documents(_message(box.get_bytes(key)), str(path), {"message": number})
        finally:
            box.close()


def _message(data: bytes) -> EmailMessage:
    message = message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _documents(message: EmailMessage, source: str, place: dict[str, Any]) -> Iterator[Document]:
    content, warnings = _content(message)
    content = clean_text(content).strip()
    if not content:
        return
    metadata: dict[str, Any] = {**place, **_facts(message)}
    if warnings:
        metadata["warnings"] = warnings
    title = _header(message, "subject") or Path(source).stem
    yield Document(source=source, type="email", title=title, content=content, metadata=metadata)


def _content(message: EmailMessage) -> tuple[str, list[str]]:
    """The body that says the most, and what could not be read of it."""
    body: Any
    try:
        body = message.get_body(("plain", "html"))
    except (KeyError, ValueError, AttributeError, TypeError):  # parts that contradict their headers
        body = None
    if body is None:
        body = next((part for part in _parts(message) if part.get_content_maintype() == "text"), None)
    if body is None:
        return "", []
    text, warnings = _text(body)
    if body.get_content_subtype() == "html":
        return _readable(text), warnings
    return text, warnings


def _parts(message: EmailMessage) -> Iterator[EmailMessage]:
    for number, part in enumerate(message.walk()):
        if number >= MOST_PARTS:
            return
        if isinstance(part, EmailMessage) and not part.is_multipart():
            yield part


def _text(part: EmailMessage) -> tuple[str, list[str]]:
    """The text of a part, by the encoding that it declares, or as other text files are read."""
    data = part.get_payload(decode=True)
    data = data if isinstance(data, bytes) else b""
    declared = part.get_content_charset() or "utf-8"
    try:
        return data.decode(declared), []
    except (UnicodeDecodeError, LookupError, ValueError):
        pass
    try:
        return decode_text(data).text, []
    except DocumentProcessingError:
        return data.decode("utf-8", "replace"), [f"the encoding of the text ({declared}) does not fit"]


def _readable(page: str) -> str:
    root = parse_html(page)
    return html_to_text(page) if root is None else markdown_of(cleaned(html_blocks(root)))


def _facts(message: EmailMessage) -> dict[str, Any]:
    found = {name.replace("-", "_"): _header(message, name) for name in _HEADERS}
    found["date"] = _date(_header(message, "date"))
    facts: dict[str, Any] = {key: value for key, value in found.items() if value}
    names = [one_line(clean_text(_file_name(part))) for part in _parts(message) if part.is_attachment()]
    if names:
        facts["attachments"] = [name or "unnamed" for name in names[:MOST_ATTACHMENTS]]
    return facts


def _file_name(part: EmailMessage) -> str:
    try:
        return part.get_filename() or ""
    except (ValueError, LookupError, AttributeError, TypeError):
        return ""


def _header(message: EmailMessage, name: str) -> str:
    try:
        return one_line(clean_text(str(message.get(name, ""))))
    except Exception:  # the header parser of the standard library fails in many ways on broken headers
        raw = next((value for key, value in message.raw_items() if key.lower() == name), "")
        return one_line(clean_text(str(raw)))


def _date(text: str) -> str:
    """As ISO 8601 where it can be read, else as written."""
    try:
        return parsedate_to_datetime(text).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return text
