"""Short messages: the alphabet of a text and how many messages it takes (3GPP TS 23.038 and 23.040)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalization.content.segments import costly, segments


@pytest.mark.parametrize(
    ("text", "alphabet", "count"),
    [
        ("", "GSM-7", 0),
        ("a" * 160, "GSM-7", 1),
        ("a" * 161, "GSM-7", 2),
        ("a" * 306, "GSM-7", 2),
        ("a" * 307, "GSM-7", 3),
        ("€" * 80, "GSM-7", 1),
        ("€" * 81, "GSM-7", 2),
        ("€" * 152, "GSM-7", 2),  # 76 to a message of 153: none is cut in half
        ("€" * 153, "GSM-7", 3),
        ("ç" * 70, "UCS-2", 1),  # only the capital Ç is in the alphabet
        ("ç" * 71, "UCS-2", 2),
        ("ж" * 134, "UCS-2", 2),
        ("ж" * 135, "UCS-2", 3),
        ("😀" * 35, "UCS-2", 1),
        ("😀" * 36, "UCS-2", 2),
        ("😀" * 66, "UCS-2", 2),  # 33 to a message of 67
        ("😀" * 67, "UCS-2", 3),
    ],
)
def test_a_text_takes_as_many_messages_as_the_standard_says(text: str, alphabet: str, count: int) -> None:
    found = segments(text)
    assert (found.alphabet, found.count) == (alphabet, count)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("It’s " + "a" * 80, "takes 2 segments because of ’; with ' it would take 1"),
        ("“It’s” " + "a" * 80, "takes 2 segments because of “ ’ ”; with \" ' it would take 1"),
        ("a\u00a0b" * 40, "takes 2 segments because of U+00A0; with U+0020 it would take 1"),
        ("a" * 161, "takes 2 segments of 153 units; it has 161, shorten it"),
        ("ж’" * 40, "takes 2 segments of 67 units because of ж ’; it has 80, shorten it"),
        ("Добрый день, " * 7, "takes 2 segments of 67 units; it has 91, shorten it"),
    ],
)
def test_what_costs_a_second_message_is_named(text: str, why: str) -> None:
    assert costly(text) == why


@pytest.mark.parametrize("text", ["", "It’s", "a" * 160])
def test_a_text_of_one_message_has_no_complaint(text: str) -> None:
    assert costly(text) is None


@given(st.text(max_size=500), st.text(max_size=500))
def test_no_text_takes_fewer_messages_than_a_part_of_it(a: str, b: str) -> None:
    assert segments(a + b).count >= max(segments(a).count, segments(b).count)


@given(st.text(max_size=2_000))
def test_every_text_is_counted_whole_and_only_longer_ones_are_complained_of(text: str) -> None:
    found = segments(text)
    assert found.room * found.count >= found.size >= len(text)
    assert (costly(text) is None) == (found.count <= 1)
