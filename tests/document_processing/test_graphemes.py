"""Where a visible character may be cut, against the rules as the regex library knows them."""

import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from document_processing.graphemes import is_joined

characters = st.one_of(
    st.characters(),
    st.sampled_from(
        [
            *"a1\r\n \u0301\u200d\u200c\ufe0f\u0e33\u1100\u1161\u11a8가각🇩🇪👩👧🏽क्षি\u0600\u20e3",
            "👩\u200d👧",
            "क\u094dष",
        ]
    ),
)


@settings(max_examples=400, deadline=None)
@given(text=st.lists(characters, max_size=20).map("".join))
def test_nothing_is_cut_that_belongs_together(text: str):
    """Keeping too much together is allowed, cutting a character apart is not."""
    borders = {found.start() for found in regex.finditer(r"\X", text)}
    for position in range(1, len(text)):
        if position not in borders:
            assert is_joined(text, position), (text, position)


def test_letters_words_and_pairs_of_flags_may_be_cut_between():
    """By hand."""
    assert not is_joined("ab", 1)
    assert not is_joined("世界", 1)
    assert [is_joined("🇩🇪🇫🇷", position) for position in (1, 2, 3)] == [True, False, True]
    assert is_joined("e\u0301", 1)
    assert is_joined("\r\n", 1)
