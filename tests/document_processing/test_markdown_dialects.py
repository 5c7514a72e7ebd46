"""What documentation tools add to Markdown reads as text, and no line moves."""

from pathlib import Path

import pytest

from document_processing import MarkdownParser
from document_processing.parsers.markdown_dialects import as_commonmark


def rewritten(text: str) -> str:
    lines = text.split("\n")
    result = as_commonmark(lines)
    assert len(result) == len(lines)
    return "\n".join(result)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("/// tip\n\nText.\n\n///", "Tip:\n\nText.\n\n"),
        ("/// note | Technical *Details*\n    open: True\n\nText.\n\n///", "Technical *Details*:\n\n\nText.\n\n"),
        ('!!! info "Must be set"\n\n    Text.\n\n    - one\n\nAfter.', "Must be set:\n\nText.\n\n- one\n\nAfter."),
        ('??? question "Why?"\n    Text.', "Why?\nText."),
        ('=== "C"\n\n    ``` c\n    !!! x\n        y\n    ```\n', "C:\n\n``` c\n!!! x\n    y\n```\n"),
        ('- a\n\n    !!! note\n\n        In.\n\n    !!! tip ""\n\n        Out.', "- a\n\n    Note:\n\n    In.\n\n    Tip:\n\n    Out."),
        ("> [!NOTE]\n> Text.\n\n> [!warning]- Hot\n> Text.", "> Note:\n> Text.\n\n> Hot:\n> Text."),
        (":::tip[Do this]\nText.\n:::\n\n::: columns\nA\n:::", "Do this:\nText.\n\n\n\nA\n"),
        ("```{warning} Hot\n:class: x\n\nText.\n```\n\n```{code-block} python\nx\n```", "Hot:\n\n\nText.\n\n\n```python\nx\n```"),
        ("::: pkg.module.Name\n    options:\n        show: true\n\nText.", "pkg.module.Name\n\n\n\nText."),
        ("{* ../a.py hl[1] *}\n\n--8<-- \"b.md\"\n\n[TOC]\n\n(label)=\n\nText.", "\n\n\n\n\n\n\n\nText."),
        ('[a](b){ .md-button target=_blank } and :material-check: ![c](d){ width="9" }', "[a](b) and ![c](d)"),
        ("# Title {#anchor}\n\n[x]({{< ref \"y\" >}}) {{% param %}}end {% raw %}.", "# Title\n\n[x]() end ."),
        ('{{< code-toggle file=hugo >}}\na = "{{< b >}}"\n{{< /code-toggle >}}', '```\na = "{{< b >}}"\n```'),
        ('=== ":octicons-file-16: `a.html`"\n\n    Text.', "`a.html`:\n\nText."),
        ("- :material-x:{ .lg .middle } **T**\n\n{ .annotate }\n\n### H { data-x }", "- **T**\n\n\n\n### H"),
        ('A.\n{{< img\n  src="x.png"\n>}}\nB.', "A.\n\n\n\nB."),
        ("#### <!-- md:setting config.pages -->", "#### pages"),
    ],
)  # fmt: skip
def test_additions_of_documentation_tools_become_text(markup: str, text: str):
    assert rewritten(markup) == text


@pytest.mark.parametrize(
    "text",
    [
        "Title\n===\n\nText.",
        "```rust\n/// note\n///\n{{< x >}} {: .y }\n```",
        "`{{< x >}}` and `a{.b}` and ``{% raw %}``",
        "$\\sum_{i=1} x_{.5}$ and {name} and {{ value }} and a[i][j]",
        "!!! wow\n\nNo body.",
        "/// lonely\n\nText.",
        "std::vector and :smile: and 10:::20",
    ],
)
def test_other_text_stays_as_it_is(text: str):
    """Marks in code, formulas and what only looks alike."""
    assert rewritten(text) == text


def test_imports_of_mdx_are_left_out(tmp_path: Path):
    """They belong to the page, not to its text; the line numbers still hold."""
    path = tmp_path / "a.mdx"
    path.write_text("import Tabs from '@theme/Tabs';\n\n# One\n\n<Tabs>\n\nText.\n\n</Tabs>\n", encoding="utf-8")
    (document,) = MarkdownParser().parse(path)
    assert document["content"] == "# One\n\nText."
    assert (document["metadata"]["line_start"], document["metadata"]["line_end"]) == (3, 9)


def test_links_into_the_index_of_a_tool_keep_their_text(tmp_path: Path):
    """`[text][name]` without a target in the file; one with a target is a link as ever."""
    path = tmp_path / "a.md"
    path.write_text("Set [`url`][site.url] or [b][c] in x[i][j].\n\n[c]: https://x.y\n", encoding="utf-8")
    (document,) = MarkdownParser().parse(path)
    assert document["content"] == "Set url or b in x[i][j]."
    assert document["metadata"]["links"] == ["https://x.y"]


def test_a_heading_without_text_names_no_section(tmp_path: Path):
    """It holds only a comment or an anchor; the text below it belongs to the headings above."""
    path = tmp_path / "a.md"
    path.write_text("# One\n\n## <!-- anchor -->\n\nText.\n", encoding="utf-8")
    documents = MarkdownParser().parse(path)
    assert [(d["content"], d["metadata"]["heading_path"]) for d in documents] == [
        ("# One", ["One"]),
        ("Text.", ["One"]),
    ]
