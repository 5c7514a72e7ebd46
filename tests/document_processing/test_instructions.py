"""Pairs of question and answer made from headings, definitions and lists, word for word."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from document_processing import MarkdownParser
from document_processing.converters.instructions import instructions_of
from document_processing.converters.questions import language_of
from document_processing.parsers.registry import document_type, parser_for
from shared_utils.records import Document
from tests.conftest import ROOT

REAL = ROOT.parent / "shared" / "data" / "extract"


def pairs(text: str, tmp_path: Path) -> list[tuple[str, str]]:
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return [
        (pair["instruction"], pair["output"])
        for document in MarkdownParser().iter_parse(path)
        for pair in instructions_of({**document, "source": "page.md"})
    ]


@pytest.mark.parametrize(
    "heading",
    ["Note", "Notes", "Example 2", "See also", "References", "Table of contents", "1.4.0 (2024-01-02)", "v2.0.0b1",
     "2024-05-01", "Version 3.1", "Step 3", "Chapter IV", "Run it", "Do this", "TODO", "???", "Why?", "Beispiel", "Voir aussi"],
)  # fmt: skip
def test_a_heading_that_names_no_subject_is_not_asked_about(heading: str, tmp_path: Path):
    """Such a question could not be understood without the page."""
    assert pairs(f"# Lathes\n\n## {heading}\n\nThe spindle turns with the speed of the belt.\n", tmp_path) == []


def test_a_changelog_gives_no_pairs(tmp_path: Path):
    """Its entries say nothing without the version above them."""
    assert pairs("# Changelog\n\n## Fixes\n\nThe spindle no longer stops when the lamp is lit.\n", tmp_path) == []


def test_a_general_heading_needs_its_page(tmp_path: Path):
    """“Installation” alone is not a question."""
    text = "## Installation\n\nThe lathe is bolted to the floor with four screws.\n"
    assert pairs(text, tmp_path) == []
    (asked,) = pairs("# Lathes\n\n" + text, tmp_path)
    assert "“Lathes”" in asked[0]


def test_an_introduction_is_asked_about_by_the_name_of_its_page(tmp_path: Path):
    """Not by the word introduction."""
    text = "# Lathes\n\n## Introduction\n\nA good lathe stands still while the work in it turns.\n"
    ((question, _),) = pairs(text, tmp_path)
    assert "“Lathes”" in question
    assert "Introduction" not in question


@pytest.mark.parametrize(
    "answer",
    [
        "The speed is set as follows: see the table.",
        "Figure 3 shows where the belt must lie on the wheel.",
        "However, the belt must be dry on every day of use.",
        "pip install lathe is what you need to type here.",
        "    speed = lathe.turn(5). Then stop the whole thing.",
        "The belt is described in the previous section of this page.",
        "The following belts are sold in our shop today.",
        "There are some belts that you may want to buy.",
        "The value is broken \ufffd and nobody can read it.",
        "To stop it on most days, write this...",
    ],
)
def test_an_answer_that_leans_on_what_is_not_in_it_is_not_taken(answer: str, tmp_path: Path):
    """Code, pointers and half sentences answer nothing."""
    assert pairs(f"# Belts of a lathe\n\n{answer}\n", tmp_path) == []


def test_a_definition_is_asked_for(tmp_path: Path):
    """With the article of its sentence; "the" means one that is known from the page."""
    text = (
        "# Workshop\n\nAll work is done by daylight and with clean hands.\n\nA lathe is a machine that turns the work "
        "against a tool. The tailstock is the part that holds the other end. It is a rule that nobody whistles here.\n"
    )
    found = dict(pairs(text, tmp_path))
    assert found["What is a lathe?"] == "A lathe is a machine that turns the work against a tool."
    assert found["In “Workshop”, what is the tailstock?"] == "The tailstock is the part that holds the other end."
    assert len(found) == 3


def test_terms_with_a_colon_are_asked_about(tmp_path: Path):
    """In lists and definition lists; notes and links are no terms."""
    text = (
        "# Parts of the lathe\n\nThe lathe has parts with names that are old.\n\n- Spindle: It carries the work and is driven by the belt.\n"
        "- Note: It is not for sale to you.\n- **Chuck** – The jaws that hold the work on the spindle.\n"
    )
    found = pairs(text, tmp_path)
    assert [answer for _, answer in found][1:] == [
        "It carries the work and is driven by the belt.",
        "The jaws that hold the work on the spindle.",
    ]
    assert all("“Parts of the lathe”" in question for question, _ in found)
    assert "“Spindle”" in found[1][0]


def test_a_list_is_given_as_a_whole(tmp_path: Path):
    """With the sentence that leads to it, which may already be the question."""
    steps = "The steps of oiling are:\n\n1. Stop the belt.\n2. Open the cap.\n3. Pour in the oil.\n"
    assert pairs(f"# Care of the lathe\n\n{steps}\nThat is all of it.\n", tmp_path) == [
        ("In “Care of the lathe”, what are the steps of oiling?", steps.rstrip()),
    ]
    ((question, answer),) = pairs("# Tools for the lathe\n\n- the gouge and its stone\n- the chisel\n", tmp_path)
    assert "“Tools for the lathe”" in question
    assert answer == "- the gouge and its stone\n- the chisel"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The spindle is turned by the belt and must be oiled.", "en"),
        ("Die Spindel wird von dem Riemen gedreht und muss mit Öl versorgt werden.", "de"),
        ("La broche est entraînée par la courroie et doit être huilée dans la semaine.", "fr"),
        ("El husillo gira con la correa y no se debe tocar en la noche.", "es"),
        ("O fuso é girado pela correia e não deve ser tocado com as mãos.", ""),
        ("De spil wordt door de riem gedraaid en moet met olie worden gesmeerd.", ""),
        ("Шпиндель вращается ремнём и должен быть смазан.", ""),
        ("spindle belt oil cap", ""),
    ],
)
def test_the_language_is_named_only_where_it_is_sure(text: str, language: str):
    """A question in the wrong language is worse than the bare heading."""
    assert language_of(text) == language


def test_headings_that_ask_already_are_not_asked_about(tmp_path: Path):
    """ "How to" and "What ... is" become questions of their own."""
    text = "# Lathes\n\n## How to oil the spindle\n\nThe oil is poured into the cap on top of it.\n"
    assert pairs(text, tmp_path)[0][0] == "How do I oil the spindle, according to “Lathes”?"
    text = "# Lathes\n\n## When to stop\n\nThe work is done when the light is gone.\n"
    assert pairs(text, tmp_path)[0][0] == "Explain when to stop, according to “Lathes”."


@settings(max_examples=100, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from(
            ["# A head\n", "## Sub {heading}\n", "A cat is a thing of the house. ", "- Term: The meaning of it all.\n",
             "- one\n- two\n", "The steps are:\n", "```\ncode\n```\n", "\n\n", "word ", "1. a\n2. b\n", "Ende. ", "：", ": ", "\t"]
        ),
        max_size=25,
    )
)  # fmt: skip
def test_every_answer_is_a_span_of_its_document(parts: list[str]):
    """Word for word, and no question twice."""
    content = "".join(parts)
    document = Document(source="x.md", type="markdown", title="A book", content=content, metadata={})
    made = list(instructions_of(document))
    for pair in made:
        span = pair["metadata"]
        assert content[span["char_start"] : span["char_end"]] == pair["output"]
        assert pair["output"] == pair["output"].strip() != ""
        assert pair["metadata"]["method"] == "heading"
    assert len({pair["instruction"] for pair in made}) == len(made)


@pytest.mark.skipif(not REAL.exists(), reason="the real files are not here")
def test_real_files_give_pairs_in_their_own_language():
    """French questions for French pages, none in English."""
    path = REAL / "pdf" / "d_latex_fr.pdf"
    assert document_type(path) == "pdf"
    asked = [
        pair["instruction"] for document in parser_for(path).iter_parse(path) for pair in instructions_of(document)
    ]
    assert len(asked) >= 5
    assert not [question for question in asked if "Explain" in question or "What" in question]


def test_a_definition_list_below_a_heading_is_no_prose(tmp_path: Path):
    """Its first term and the first line of its meaning together answer nothing."""
    text = "# Kettles\n\n## Procedure of filling\n\nStep 1\n: Take the lid off the kettle first.\n"
    assert pairs(text, tmp_path) == []


def test_an_answer_does_not_begin_with_small_talk(tmp_path: Path):
    text = "# Kettles\n\n## Filling the kettle\n\nOkay, this is how we will do it today.\n"
    assert pairs(text, tmp_path) == []


def test_an_answer_begins_behind_remarks_on_version_and_source(tmp_path: Path):
    """They say nothing of the subject."""
    text = "# Kettles\n\n## Filling\n\nSource code: Lib/fill.py\n\nNew in version 3.2.\n\nWater goes in at the top.\n"
    assert [answer for _, answer in pairs(text, tmp_path)] == ["Water goes in at the top."]
