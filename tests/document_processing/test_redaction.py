"""Private data is replaced, and little else."""

import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from document_processing.converters.lm_studio_converter import LMStudioConverter
from document_processing.redaction import FINDERS, Redactor
from document_processing.settings import CleaningSettings
from document_processing.word_lists import word_set
from shared_utils.errors import ConfigurationError, install_command
from tests.document_processing.redaction_cases import HALVES, KINDS, Score, cases, scores

EVERYTHING = Redactor(KINDS)
# Pieces that mean something to one of the rules, so that random texts come near to what is looked for.
PIECES = st.sampled_from(
    [
        "\n",
        *sorted(
            word_set(
                "@ . : / - + ( ) [ ] \" ' ``` ~~~ | # a b.co ann@b.org +44 121 234 5678 4111 1 0 www. https:// tel DE89 "
                "3704 0044 0532 0130 00 192.168.0.1 :: fe80 password= sk-a1b2c3d4e5f6g7h8i9j0k é 中 メ [at] [dot] eyJhbGci "
            )
        ),
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=5), max_size=40).map("".join) | st.lists(PIECES, max_size=40).map(" ".join)


@pytest.mark.parametrize(
    ("half", "kind", "score"),
    [
        ("first_half", "emails", Score(52, 0, 0)),
        ("first_half", "phones", Score(52, 0, 0)),
        ("first_half", "urls", Score(50, 0, 0)),
        ("first_half", "ids", Score(52, 0, 0)),
        ("second_half", "emails", Score(52, 0, 0)),
        ("second_half", "phones", Score(51, 0, 0)),
        ("second_half", "urls", Score(52, 0, 0)),
        ("second_half", "ids", Score(52, 0, 0)),
    ],
)
def test_labelled_strings_are_found_and_others_left(half: str, kind: str, score: Score):
    """Start and end exact; `benchmarks/redaction.py` prints the figures and those before any tuning."""
    assert scores(half)[kind] == score
    assert min(score.recall, score.precision) >= 0.95


def test_the_labelled_set_is_as_large_as_it_claims():
    """At least 400 strings to be found, and as many lines that hold none."""
    every = [case for half in HALVES for case in cases(half)]
    assert sum(len(case.expected) for case in every) >= 400
    assert sum(not case.expected for case in every) >= 398


def test_each_kind_has_its_placeholder():
    """And only the kinds asked for are replaced."""
    text = (
        "ann@example.com, +44 121 234 5678, https://example.com/a, DE89370400440532013000, 10.1.2.3, 4111111111111111"
    )
    assert EVERYTHING.redact(text)[0] == "[EMAIL], [PHONE], [URL], [IBAN], [IP], [CARD]"
    assert Redactor(["emails"]).redact(text)[0] == text.replace("ann@example.com", "[EMAIL]")
    assert EVERYTHING.redact(text)[1] == {"emails": 1, "phones": 1, "urls": 1, "ids": 3}


def test_what_overlaps_becomes_one_placeholder():
    """Nothing of the shorter is left."""
    text = "see https://example.com/?to=ann@example.com now"
    assert EVERYTHING.redact(text)[0] == "see [URL] now"
    assert Redactor(["emails"]).redact(text)[0] == "see https://example.com/?to=[EMAIL] now"


def test_addresses_that_touch_are_found_one_by_one():
    """A list of links may have no space between them."""
    text = "[a](https://a.org/x_(y))[b](https://b.org)(http://c.org/),www.d.org/e)www.f.org"
    assert EVERYTHING.redact(text)[0] == "[a]([URL])[b]([URL])([URL]),[URL])[URL]"


def test_names_of_a_program_are_no_addresses():
    """Though `k8s.io` is a host, and its pages are addresses."""
    text = "k8s.io/api/core/v1.PersistentVolume is told on k8s.io/docs/concepts"
    assert EVERYTHING.redact(text)[0] == "k8s.io/api/core/v1.PersistentVolume is told on [URL]"


def test_digits_of_a_card_or_an_account_are_no_telephone_number():
    """Also when only telephone numbers are asked for."""
    text = "tel 4111 1111 1111 1111 and tel DE89 3704 0044 0532 0130 00"
    assert Redactor(["phones"]).redact(text)[0] == text


def test_title_and_metadata_are_redacted_with_the_content():
    """A key says what its value is: `phone: 050 123 4567`, `password: ...`, also where YAML reads a number."""
    document, counts = EVERYTHING.redact_document(
        {
            "source": "a.md",
            "type": "markdown",
            "title": "Ann <ann@example.com>",
            "content": "Write to ann@example.com.",
            "metadata": {
                "frontmatter": {"author": "ann@example.com", "phone": "050 123 4567", "tel": 2015550123, "year": 2024},
                "links": ["https://example.com/a", "other.md"],
                "line_start": 1,
                "has_text": True,
            },
        }
    )
    assert document == {
        "source": "a.md",
        "type": "markdown",
        "title": "Ann <[EMAIL]>",
        "content": "Write to [EMAIL].",
        "metadata": {
            "frontmatter": {"author": "[EMAIL]", "phone": "[PHONE]", "tel": "[PHONE]", "year": 2024},
            "links": ["[URL]", "other.md"],
            "line_start": 1,
            "has_text": True,
        },
    }
    assert counts == {"emails": 3, "phones": 2, "urls": 1}


def test_private_keys_are_taken_whole_and_never_across_a_fence():
    """One that is cut off loses its lines of key, and what follows stays."""
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn\nygWyF8PbnGy0AHB7MaGL\n"
    whole = f"a\n```\n{key}-----END RSA PRIVATE KEY-----\n```\nb"
    cut = f"a\n```\n{key}```\nb -----END RSA PRIVATE KEY-----"
    assert EVERYTHING.redact(whole)[0] == "a\n```\n[KEY]\n```\nb"
    assert EVERYTHING.redact(cut)[0] == "a\n```\n[KEY]\n```\nb -----END RSA PRIVATE KEY-----"


@settings(deadline=None, max_examples=150)
@given(TEXTS)
def test_places_are_in_order_apart_and_leave_lines_alone(text: str):
    """No overlap, no empty place, and no line but those of a private key is taken away."""
    hits = EVERYTHING.find(text)
    assert all(hit.start < hit.end <= len(text) for hit in hits)
    assert all(before.end <= after.start for before, after in pairwise(hits))
    redacted, counts = EVERYTHING.redact(text)
    assert sum(counts.values()) == len(hits)
    assert EVERYTHING.redact(text) == (redacted, counts)
    if "BEGIN" not in text:
        assert redacted.count("\n") == text.count("\n")
        assert redacted.count("```") == text.count("```")


@settings(deadline=None, max_examples=30)
@given(TEXTS)
def test_chunks_are_slices_of_the_redacted_content(text: str):
    """`content[char_start:char_end] == text` holds for what is written."""
    document, _ = EVERYTHING.redact_document(
        {"source": "a.txt", "type": "text", "title": "a", "content": text, "metadata": {}}
    )
    for chunk in LMStudioConverter(chunk_size=20, overlap_size=0, chunk_unit="characters").convert([document]):
        place = chunk["metadata"]
        assert document["content"][place["char_start"] : place["char_end"]] == chunk["text"]


@pytest.mark.parametrize(
    "piece", ["1", "1 ", "@", "a@", ".", "a.", "::", "+1 ", "((1", "http://", "http://a)", "AB12 ", "tel 1 "]
)
def test_long_runs_of_what_begins_a_match_end(piece: str):
    """Nothing in them is private, and the time is linear in their length."""
    text = piece * (30_000 // len(piece))
    assert not [hit for hit in EVERYTHING.find(text) if hit.label != "URL"]


def test_an_unknown_kind_names_the_nearest():
    """In the class as in the settings."""
    with pytest.raises(ConfigurationError, match="unknown kind of private data: phone") as raised:
        Redactor(["phone"])
    assert raised.value.hint == "did you mean phones?"
    with pytest.raises(ValueError, match="did you mean emails"):
        CleaningSettings.model_validate({"redact": "urls,mails"})


def test_kinds_are_a_list_or_one_text_with_commas():
    """The flag gives the one, YAML the other; the order does not matter."""
    assert CleaningSettings.model_validate({"redact": "urls, emails"}).redact == ["emails", "urls"]
    assert CleaningSettings.model_validate({"redact": ["urls", "emails", "urls"]}).redact == ["emails", "urls"]
    assert CleaningSettings.model_validate({"redact": ",".join(FINDERS)}).redact == list(KINDS)


def test_a_missing_package_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch):
    """Before any file is read."""
    monkeypatch.setitem(sys.modules, "stdnum", None)
    with pytest.raises(ConfigurationError, match="needs the package 'python-stdnum'") as raised:
        Redactor(["ids"])
    assert raised.value.hint == install_command("redact")
