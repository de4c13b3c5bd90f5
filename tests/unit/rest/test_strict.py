from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from personalization.errors import Invalid, TooLarge, Unparsable, UnsupportedMedia
from personalization.rest.strict import _UNSURE, MIB, _carefully, _quickly, json_body, parse

PIECES = (
    b'{ } [ ] : , "a" "a": "b": 1 -1 0 -0 01 1.5 1. .5 1e5 1E+5 1e 1e999 -1e-999 true null NaN Infinity tru +1 \'a\' // "'
    b' \xff "\xc3\xa4" "\xed\xa0\x80" "\x01" \x00 9223372036854775808 1234567890123456789 0.1 0.12345678901234567890'
).split(b" ")

UNPARSABLE = {
    "an empty body": b"",
    "blank": b"  ",
    "an open object": b"{",
    "a trailing comma": b"[1,]",
    "single quotes": b"{'a': 1}",
    "a leading zero": b"01",
    "two values": b"{}{}",
    "bytes that are not UTF-8": b'"\xff"',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "a key twice": b'{"a": 1, "a": 1}',
    "a key twice, deep inside": b'[{"x": {"a": 1, "b": 2, "a": 3}}]',
    "a key twice, once escaped": b'{"a": 1, "\\u0061": 2}',
    "NaN": b'{"a": NaN}',
    "Infinity": b"[Infinity]",
    "minus Infinity": b"-Infinity",
    "a float that overflows": b'{"a": 1e999}',
    "a raw NUL": b'"\x00"',
    "a raw NUL outside strings": b"[1,\x002]",
    "an escaped NUL": b'{"a": ["x\\u0000y"]}',
    "an escaped NUL in a key": b'{"a\\u0000": 1}',
    "a lone high surrogate": b'"\\ud800"',
    "a lone low surrogate in a key": b'{"\\uDFFF": 1}',
    "surrogates in the wrong order": b'"\\ude00\\ud83d"',
    "a raw control character": b'"a\nb"',
    "depth 21": b"[" * 21 + b"]" * 21,
    "depth 21 of both kinds": b'{"a":[' * 10 + b"[]" + b"]}" * 10,
    "depth 100,000": b"[" * 100_000 + b"]" * 100_000,
    "depth 100,000 and no end": b'{"a":' * 100_000,
    "a quote that never closes after many brackets": b'"' + b"[" * 50,
}


@pytest.mark.parametrize("data", UNPARSABLE.values(), ids=UNPARSABLE.keys())
def test_it_refuses(data: bytes) -> None:
    with pytest.raises(Unparsable):
        parse(data)


ACCEPTED = {
    "depth 20": (b"[" * 20 + b"]" * 20, None),
    "brackets in strings": (b'["' + b"[" * 60 + b'"]', ["[" * 60]),
    "escaped quotes before brackets": (b'["\\"' + b"{" * 60 + b'"]', ['"' + "{" * 60]),
    "an escaped backslash before u0000": (b'"\\\\u0000"', "\\u0000"),
    "a pair of surrogates": (b'"\\ud83d\\ude00"', "\U0001f600"),
    "the smallest integer": (b"-9223372036854775808", -(2**63)),
    "the largest integer": (b"9223372036854775807", 2**63 - 1),
    "white space around": (b" \n{}\t", {}),
    "the same key in two objects": (b'[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
}


@pytest.mark.parametrize(("data", "value"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_it_accepts(data: bytes, value: Any) -> None:
    assert value is None or parse(data) == value


@pytest.mark.parametrize("digits", ["9223372036854775808", "-9223372036854775809", "9" * 6000])
def test_an_integer_beyond_64_bits_is_invalid_and_named(digits: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(f'{{"a": [1, {{"b": {digits}}}]}}'.encode())
    assert refused.value.status == 422
    assert [e.field for e in refused.value.errors] == ["a.1.b"]


def test_a_long_row_of_escaped_quotes_is_read_in_linear_time() -> None:
    with pytest.raises(Unparsable):
        parse(b'"' + b'\\"' * 2_000_000 + b"[" * 50)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
        max_leaves=15,
    )
)
def test_what_was_encoded_comes_back(value: Any) -> None:
    assert parse(json.encode(value)) == value


@given(st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join))
def test_the_quick_reader_takes_nothing_that_the_careful_one_refuses_or_reads_otherwise(data: bytes) -> None:
    value = _quickly(data)
    if value is not _UNSURE:
        assert repr(value) == repr(_carefully(data))


def environ(data: bytes, content_type: str | None = "application/json", **more: Any) -> dict[str, Any]:
    given = {"CONTENT_LENGTH": str(len(data)), "wsgi.input": io.BytesIO(data)} | more
    return given if content_type is None else given | {"CONTENT_TYPE": content_type}


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"']
)
def test_json_is_taken(content_type: str) -> None:
    assert json_body(environ(b"{}", content_type)) == {}


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/json; charset=latin-1"],
)
def test_other_media_are_unsupported(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMedia):
        json_body(environ(b"{}", content_type))


def test_a_compressed_body_is_unsupported() -> None:
    with pytest.raises(UnsupportedMedia):
        json_body(environ(b"{}", HTTP_CONTENT_ENCODING="gzip"))
    assert json_body(environ(b"{}", HTTP_CONTENT_ENCODING="identity")) == {}


def test_a_declared_length_over_the_limit_is_refused_unread() -> None:
    class Untouchable:
        def read(self, size: int) -> bytes:
            raise AssertionError

    with pytest.raises(TooLarge):
        json_body(environ(b"", CONTENT_LENGTH=str(MIB + 1)) | {"wsgi.input": Untouchable()})


def test_a_chunked_body_over_the_limit_is_refused_and_not_cut() -> None:
    whole = b'"' + b"a" * 100 + b'"'
    chunked: dict[str, Any] = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    assert json_body(environ(whole, **chunked), limit=102) == "a" * 100
    with pytest.raises(TooLarge):
        json_body(environ(whole + b" " * 10, **chunked), limit=102)


def test_a_body_that_ends_early_is_unparsable() -> None:
    with pytest.raises(Unparsable):
        json_body(environ(b"{}", CONTENT_LENGTH="5"))
