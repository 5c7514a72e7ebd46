"""Small PDF files, written by hand so that each test knows every byte of its input."""

from __future__ import annotations

from collections.abc import Sequence

HELVETICA = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"


def pdf_bytes(
    pages: Sequence[Sequence[str]],
    information: str = "",
    drawing: str = "",
    shared_size: tuple[int, int] | None = None,
    font: str = HELVETICA,
) -> bytes:
    """A PDF with these lines of text on its pages, behind a drawing; no lines make a page without text.

    Each page says its size, or all of them inherit one.
    """
    own_size = "" if shared_size else "/MediaBox[0 0 612 792]"
    size_of_all = f"/MediaBox[0 0 {shared_size[0]} {shared_size[1]}]" if shared_size else ""
    objects = ["<</Type/Catalog/Pages 2 0 R>>", "", font]
    kids: list[str] = []
    for lines in pages:
        drawn = " ".join(f"({_escaped(line)}) Tj 0 -16 Td" for line in lines)
        stream = f"{drawing}BT /F1 12 Tf 72 720 Td {drawn} ET"
        objects.append(f"<</Length {len(stream)}>>stream\n{stream}\nendstream")
        objects.append(
            f"<</Type/Page/Parent 2 0 R{own_size}/Contents {len(objects)} 0 R/Resources<</Font<</F1 3 0 R>>>>>>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<</Type/Pages{size_of_all}/Kids[{' '.join(kids)}]/Count {len(kids)}>>"
    objects.append(f"<<{information}>>")
    body, offsets = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n".encode("latin-1")
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    trailer = f"trailer<</Size {len(objects) + 1}/Root 1 0 R/Info {len(objects)} 0 R>>\nstartxref\n{len(body)}\n%%EOF"
    return body + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode("latin-1")


def _escaped(line: str) -> str:
    return line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
