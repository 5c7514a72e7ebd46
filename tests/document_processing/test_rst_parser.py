"""reStructuredText: sections, readable text."""

from pathlib import Path

import pytest

from document_processing.parsers.rst_parser import RstParser
from shared_utils.records import Document


@pytest.fixture
def parse(tmp_path: Path):
    def parse(text: str) -> list[Document]:
        path = tmp_path / "guide.rst"
        path.write_bytes(text.encode("utf-8"))
        return RstParser().parse(path)

    return parse


def test_a_file_without_titles_is_one_document(parse):
    """Files that others include often have none."""
    (document,) = parse("Only a paragraph.\n\nAnd one more.\n")
    assert document["content"] == "Only a paragraph.\n\nAnd one more."
    assert (document["title"], document["metadata"]["heading_path"]) == ("guide", [])
    assert (document["metadata"]["line_start"], document["metadata"]["line_end"]) == (1, 3)


SECTIONS = """\
=====
Guide
=====

Intro, with a table:

===== =====
A     B
===== =====

.. _label:

The :mod:`os` module
--------------------
Text::

    Title
    =====

Next
----
| a line
|
| block

========
Part two
========
End.
"""


def test_sections_have_their_path_and_lines(parse):
    """A title in code is none, and a border of a table underlines nothing."""
    documents = parse(SECTIONS)
    assert [document["metadata"]["heading_path"] for document in documents] == [
        ["Guide"],
        ["Guide", "The os module"],
        ["Guide", "Next"],
        ["Part two"],
    ]
    assert documents[1]["content"] == "## The os module\n\nText:\n\n```\nTitle\n=====\n```"
    assert (documents[1]["metadata"]["line_start"], documents[1]["metadata"]["line_end"]) == (13, 18)
    assert documents[2]["content"] == "## Next\n\na line\n\nblock"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("Call :func:`~os.path.join` or :meth:`read(n)`.", "Call join() or read(n)."),
        ("See :ref:`the\ntitle <label>`, :pep:`8` and :issue:`12`.", "See the\ntitle, PEP 8 and #12."),
        ("A ``*literal*``, *soft*, **hard** and `plain` word.", "A *literal*, soft, hard and plain word."),
        ("Two\\ s and a \\*star, 2 * 3 * 4, *args and __init__.", "Twos and a *star, 2 * 3 * 4, *args and __init__."),
        ("From `Home <https://x.y>`_ to six_, not to my_var_ [1]_.", "From Home to six, not to my_var_ [1]."),
        ("The |name| |unknown|.", "The toolkit |unknown|."),
        (":kbd:`\\\\` and :math:`a_1` and :menuselection:`A --> B`", "\\ and $a_1$ and A → B"),
        ("See :ref:`here`.", "See A long title."),
    ],
)
def test_inline_marks_are_what_a_reader_sees(parse, markup: str, text: str):
    """As Sphinx shows them; a name with underscores is no link unless the file says where to."""
    tail = "\n\n.. _six: https://six.org\n.. |name| replace:: ``toolkit``\n\n.. _here:\n\nA long title\n============\n"
    document = parse(markup + tail)[0]
    assert document["content"] == text


def test_addresses_of_links_stand_in_the_metadata(parse):
    (document,) = parse("A `b <https://x.y>`_ and six_.\n\n.. _six: https://six.org\n")
    assert document["metadata"]["links"] == ["https://x.y", "https://six.org"]


def test_code_stands_between_fences_with_its_language(parse):
    """Every space of it is kept, also inside of lists."""
    (document,) = parse(
        ".. highlight:: c\n\nLike::\n\n    if (x)\n        *y;  \n\n.. code-block:: python3\n   :linenos:\n\n   x = 1\n\n"
        "\n   y = `2`\n\n* item ::\n\n     deep\n\n  more\n\n>>> 1 + 1\n2\n\nEnd.\n"
    )
    assert document["content"] == (
        "Like:\n\n```c\nif (x)\n    *y;\n```\n\n```python\nx = 1\n\n\ny = `2`\n```\n\n"
        "* item\n\n  ```c\n  deep\n  ```\n\n  more\n\n```pycon\n>>> 1 + 1\n2\n```\n\nEnd."
    )


def test_directives_become_text_or_go(parse):
    """Notes are labelled, descriptions keep their signature, indexes and comments are not for readers."""
    (document,) = parse(
        ":orphan:\n\n.. index:: one\n   pair: a; b\n\n.. note::\n   Mind *this*.\n\n.. versionadded:: 3.2\n"
        ".. deprecated:: 3.4 Use that.\n\n.. A comment\n   of two lines.\n\n"
        ".. function:: lt(a, \\*b)\n              le(a, b)\n   :noindex:\n\n   Compare.\n\n   .. warning:: Slow.\n\n"
        ".. figure:: a.png\n   :alt: A plan\n\n   Its caption.\n\n.. [1] A note\n   goes on.\n\n.. toctree::\n\n   other\n"
    )
    assert document["content"] == (
        "Note: Mind this.\n\nNew in version 3.2.\n\nDeprecated since version 3.4: Use that.\n\n"
        "lt(a, *b)\nle(a, b)\n\nCompare.\n\nWarning: Slow.\n\nA plan\n\nIts caption.\n\n[1] A note\ngoes on."
    )


def test_tables_become_rows(parse):
    """Grid, simple, CSV and list tables; one with joined cells stays as drawn."""
    (document,) = parse(
        "+---+------+\n| A | B    |\n+===+======+\n| 1 | two  |\n|   | rows |\n+---+------+\n\n"
        "===  ======\nA    ``B``\n===  ======\n1    x\n     y\n2    z\n===  ======\n\n"
        '.. csv-table:: Title\n   :header: "A", "B"\n\n   1, "x, y"\n\n'
        ".. list-table::\n\n   * - A\n     - B\n   * - 1\n     - two\n       rows\n\n"
        "+---+---+\n| A     |\n+---+---+\n| 1 | 2 |\n+---+---+\n"
    )
    assert document["content"] == (
        "| A | B |\n| --- | --- |\n| 1 | two rows |\n\n| A | B |\n| --- | --- |\n| 1 | x y |\n| 2 | z |\n\n"
        "Title\n\n| A | B |\n| --- | --- |\n| 1 | x, y |\n\n| A | B |\n| --- | --- |\n| 1 | two rows |\n\n"
        "```\n+---+---+\n| A     |\n+---+---+\n| 1 | 2 |\n+---+---+\n```"
    )


def test_definitions_look_as_in_markdown(parse):
    """So instruction pairs find the terms of a glossary."""
    (document,) = parse(".. glossary::\n\n   kettle\n      A pot.\n\n      It boils.\n\n   lathe\n      A machine.\n")
    assert document["content"] == "kettle\n: A pot.\n\n  It boils.\n\nlathe\n: A machine."


def test_fields_are_lines_of_name_and_text(parse):
    (document,) = parse("Guide\n=====\n\n:Author: A. *Writer*\n:Date: 2020\n")
    assert document["content"] == "# Guide\n\nAuthor: A. Writer\nDate: 2020"


@pytest.mark.parametrize(
    "text", ["``a " * 50_000, "**a " * 50_000, "a." * 100_000, ".. note::\n" * 5_000, "`" * 100_000, ":a:`\\" * 50_000]
)
def test_hostile_text_loses_nothing_and_ends(parse, text: str):
    """Marks that nothing closes stay as written."""
    assert "Tail survives." in parse(f"{text}\n\nTail survives.\n")[-1]["content"]


def test_deep_nesting_stays_as_written(parse):
    text = "".join(f"{'   ' * depth}.. note::\n\n" for depth in range(500))
    assert "inside" in parse(f"{text}{'   ' * 500}inside\n")[0]["content"]


def test_flags_of_doctest_are_no_code(parse):
    """Sphinx takes them out as well; a section that is indented as a whole is not."""
    (document,) = parse("Guide\n=====\n\n   Text.\n\n   >>> f()  # doctest: +SKIP, +ELLIPSIS\n   1\n")
    assert document["content"] == "# Guide\n\nText.\n\n```pycon\n>>> f()\n1\n```"


def test_items_that_are_numbered_by_the_tool_get_their_numbers(parse):
    (document,) = parse("#. One\n#. Two\n\n#. Three\n\nText.\n\n#. One\n")
    assert document["content"] == "1. One\n2. Two\n\n3. Three\n\nText.\n\n1. One"
