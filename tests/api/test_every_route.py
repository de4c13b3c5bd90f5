"""Each way to be wrong, at each route of the url map: refused with its status, as a problem, and without any effect."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from personalization.rest.strict import BULK, SINGLE
from tests.api.fake_service import FakeHouse
from tests.api.raw import Endless, World, expect
from tests.api.routes import EVENT, LOCALES, PREFIX, Route, routes

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "BREW")
BULK_RULES = {
    "/personalization/batch",
    "/personalization/events",
    "/personalization/profiles",
    "/personalization/profiles/<id:user_id>",
}
REPEATABLE = ("/personalization/personalize", "/personalization/batch", "/personalization/profiles")
DEEP = '"x": ' + "[" * 20 + "]" * 20

#: More members after a good body, or a whole body, and the status.
BAD_BODIES: dict[str, tuple[bytes | str, int]] = {
    "syntax": (b'{"a": }', 400),
    "an open end": (b"{", 400),
    "nothing": (b"", 400),
    "two values": (b"{}{}", 400),
    "not UTF-8": (b'{"a": "\xff"}', 400),
    "UTF-16": ("{}".encode("utf-16"), 400),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400),
    "duplicate key": ('"x": 1, "x": 2', 400),
    "duplicate key, escaped": ('"x": 1, "\\u0078": 2', 400),
    "NaN": ('"x": NaN', 400),
    "Infinity": ('"x": Infinity', 400),
    "-Infinity": ('"x": -Infinity', 400),
    "1e400": ('"x": 1e400', 400),
    "raw NUL": (b'{"a": "\x00"}', 400),
    "escaped NUL": ('"x": "\\u0000"', 400),
    "NUL in a key": ('"\\u0000": 1', 400),
    "lone surrogate": ('"x": "\\ud800"', 400),
    "lone surrogate in a key": ('"\\udfff": 1', 400),
    "depth over 20": (DEEP, 400),
    "depth 100,000": (b"[" * 100_000, 400),
    "2^63": ('"x": 9223372036854775808', 422),
    "6,000 digits": (f'"x": {"9" * 6000}', 422),
    "unknown field": ('"nonsense": 1', 422),
    "a list": (b"[]", 422),
    "a string": (b'"x"', 422),
    "a number": (b"-0", 422),
    "true": (b"true", 422),
    "null": (b"null", 422),
}
BAD_MEDIA: list[dict[str, str | None]] = [
    {"CONTENT_TYPE": None},
    {"CONTENT_TYPE": ""},
    {"CONTENT_TYPE": "text/plain"},
    {"CONTENT_TYPE": "application/xml"},
    {"CONTENT_TYPE": "application/x-www-form-urlencoded"},
    {"CONTENT_TYPE": "multipart/form-data; boundary=x"},
    {"CONTENT_TYPE": "application/json; charset=latin-1"},
    {"CONTENT_TYPE": "application/json; charset=utf-16"},
    {"CONTENT_TYPE": "application/json, text/plain"},
    {"CONTENT_TYPE": "x" * 100_000},
    {"HTTP_CONTENT_ENCODING": "gzip"},
    {"HTTP_CONTENT_ENCODING": "br"},
    {"HTTP_CONTENT_ENCODING": "identity, gzip"},
]
#: Content-Length, and the status; None leaves it out.
BAD_LENGTHS: list[tuple[str | None, int]] = [
    (None, 400),
    ("", 400),
    ("0", 400),
    ("-1", 400),
    ("+5", 400),
    ("five", 400),
    ("1e3", 400),
    ("5, 5", 400),
    ("٣", 400),
    ("100000", 400),
    ("9" * 18, 413),
    ("9" * 5000, 413),
]
BAD_IDS = {
    "too long": "x" * 257,
    "too long in characters of four bytes": "%F0%9F%98%80" * 257,
    "NUL": "a%00b",
    "line feed": "a%0Ab",
    "delete": "%7F",
    "C1 control": "%C2%85",
    "line separator": "%E2%80%A8",
    "zero width": "%E2%80%8B",
    "private use": "%EE%80%80",
    "overlong slash": "%C0%AF",
    "overlong NUL": "%C0%80",
    "half a character": "%C3",
    "a byte of no UTF-8": "a%FFb",
    "a surrogate": "%ED%A0%80",
    "beyond Unicode": "%F4%90%80%80",
    "half a character before an encoded slash": "%C3%2F%A4",
}
BAD_LIMITS = ("0", "201", "-1", "-0", "1e2", "1.5", "ten", "", "%D9%A3", "+5", "%205", "9" * 100, "9" * 5000, "%00", "0x10")
BAD_CURSORS = ("", "%00", "x" * 1025, "AA", "w6Q", "_w", "MQ==%0A")
BAD_TIMES: tuple[Any, ...] = (
    "2026-11-23T10:00:00",
    "2026-11-23",
    "0000-01-01T00:00:00Z",
    "1899-12-31T23:59:59Z",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-14:00",
    "2026-06-30T23:59:60Z",
    "2026-02-30T00:00:00Z",
    "2026-11-23T24:00:01Z",
    "2026-11-23T10:00:00+25:00",
    "20261123T100000Z",
    "2026-W47-1T10:00:00Z",
    "yesterday",
    "",
    1_700_000_000,
    None,
)
SLOT = {"user_id": "u", "content": {"text": "x"}}
#: Bodies with a time somewhere.
TIMED: list[tuple[str, Any]] = [
    ("/personalization/events", lambda at: EVENT | {"occurred_at": at}),
    ("/personalization/personalize", lambda at: SLOT | {"send_window": {"earliest": at}}),
    ("/personalization/personalize", lambda at: SLOT | {"send_window": {"latest": at}}),
    ("/management/api-keys", lambda at: {"role": "service", "name": "n", "expires_at": at}),
]
UNKNOWN_ENUMS: list[tuple[str, str, Any]] = [
    ("POST", "/personalization/personalize", SLOT | {"priority": "whenever"}),
    ("POST", "/personalization/personalize", SLOT | {"category": "spam"}),
    ("POST", "/personalization/personalize", SLOT | {"strategies": ["magic"]}),
    ("POST", "/personalization/events", EVENT | {"type": "sneezed"}),
    ("POST", "/personalization/templates", {"template_id": "t", "variants": [LOCALES], "category": "spam"}),
    ("PUT", "/personalization/templates/t", {"variants": [LOCALES], "category": "spam"}),
    ("PUT", "/insights/users/u/preferences", {"trigger": "whim"}),
    ("POST", "/ai/analyze-behavior", {"user_id": "u", "analysis_type": "horoscope"}),
    ("POST", "/management/api-keys", {"role": "root", "name": "n"}),
    ("PATCH", "/management/config", {"service_level": "ultimate"}),
    ("PATCH", "/management/config", {"learning_mode": "sometimes"}),
    ("PATCH", "/management/config", {"consent_default": "maybe"}),
    ("PATCH", "/management/config", {"reward": {"aggregation": "mean"}}),
    ("PATCH", "/management/config", {"reward": {"guardrails": {"annoyed": 0.1}}}),
    ("PATCH", "/management/config", {"reward": {"weights": {"converted": {"weight": 1}}}}),
    ("POST", "/personalization/templates", {"template_id": "t", "variants": [LOCALES], "reward": {"aggregation": "mean"}}),
    ("PUT", "/personalization/templates/t", {"variants": [LOCALES], "reward": {"guardrails": {"annoyed": 0.1}}}),
    ("POST", "/personalization/templates", {"template_id": "t", "variants": [LOCALES], "reward": {"weights": {"clicked": {}}}}),
]
NUMBERS: list[tuple[str, str, bytes, int]] = [
    ("PATCH", "/management/config", b'{"holdout": -0}', 200),
    ("PATCH", "/management/config", b'{"holdout": -0.0}', 200),
    ("PATCH", "/management/config", b'{"holdout": 1e308}', 422),
    ("PATCH", "/management/config", b'{"holdout": 1e400}', 400),
    ("PATCH", "/management/config", b'{"holdout": 9223372036854775808}', 422),
    ("PATCH", "/management/config", b'{"holdout": "0"}', 422),
    ("PATCH", "/management/config", b'{"holdout": true}', 422),
    ("PATCH", "/management/config", b'{"frequency_caps": [{"limit": 1.5, "period": "P1D"}]}', 422),
    ("PATCH", "/management/config", b'{"frequency_caps": [{"limit": 1e3, "period": "P1D"}]}', 422),
    ("PATCH", "/management/config", b'{"frequency_caps": []}', 200),
    ("PATCH", "/management/config", b'{"frequency_caps": [{"limit": -1, "period": "P1D"}]}', 422),
    ("PATCH", "/management/config", b'{"channels": {"sms": {"max_length": 9223372036854775807}}}', 422),
    ("POST", "/personalization/personalize", b'{"content": {"text": "x"}, "deadline_ms": 0}', 422),
    ("POST", "/personalization/personalize", b'{"content": {"text": "x"}, "deadline_ms": 1e400}', 400),
    ("PUT", "/personalization/profiles/u", b'{"traits": {"n": 9223372036854775807, "z": -0, "f": 5e-324}}', 201),
    ("PUT", "/personalization/profiles/u", b'{"channel_preferences": {"email": 1.0000001}}', 422),
]


@pytest.fixture(scope="module")
def known(world: World) -> list[Route]:
    found = list(routes(world.app))
    assert len(found) >= 38
    return found


def with_body(known: list[Route]) -> Iterator[Route]:
    yield from (route for route in known if route.body is not None)


@pytest.mark.parametrize("what", BAD_BODIES)
def test_a_bad_body_is_refused_everywhere(world: World, known: list[Route], what: str) -> None:
    given, status = BAD_BODIES[what]
    before = world.stored()
    for route in with_body(known):
        body = given if isinstance(given, bytes) else (json.dumps(route.body)[:-1] + f", {given}}}").encode()
        expect(world, world.ask(route.method, route.path, body=body), status)
    assert world.stored() == before


@pytest.mark.parametrize("headers", BAD_MEDIA, ids=lambda h: str(h)[:60])
def test_other_media_are_refused_everywhere(world: World, known: list[Route], headers: dict[str, str]) -> None:
    before = world.stored()
    for route in with_body(known):
        expect(world, world.ask(route.method, route.path, headers, json.dumps(route.body).encode()), 415)
    assert world.stored() == before


@pytest.mark.parametrize(("length", "status"), BAD_LENGTHS, ids=lambda v: str(v)[:20])
def test_a_bad_content_length_is_refused_everywhere(world: World, known: list[Route], length: str | None, status: int) -> None:
    before = world.stored()
    for route in with_body(known):
        body = json.dumps(route.body).encode()
        expect(world, world.ask(route.method, route.path, body=body, CONTENT_LENGTH=length), status)
    assert world.stored() == before


@pytest.mark.parametrize("chunked", [False, True])
def test_more_bytes_than_a_route_takes_are_413_everywhere_and_store_nothing(
    world: World, known: list[Route], chunked: bool
) -> None:
    before = world.stored()
    for route in with_body(known):
        limit = BULK if route.rule in BULK_RULES else SINGLE
        how: dict[str, Any] = {"CONTENT_LENGTH": str(limit + 1)}
        if chunked:
            how = {"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
        answer = world.ask(route.method, route.path, body=b"", **{**how, "wsgi.input": Endless(limit + 1)})
        expect(world, answer, 413)
    assert world.stored() == before


def test_as_many_bytes_as_a_route_takes_are_read(world: World, known: list[Route]) -> None:
    for route in with_body(known):
        if route.rule not in BULK_RULES:
            answer = world.ask(route.method, route.path, body=b"", **{"CONTENT_LENGTH": str(SINGLE), "wsgi.input": Endless(SINGLE)})
            expect(world, answer, 400)


def test_a_body_that_breaks_off_is_the_callers_fault(world: World, known: list[Route]) -> None:
    class Broken(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise OSError("bad chunk")

    for route in with_body(known):
        for how in ({"CONTENT_LENGTH": "9"}, {"CONTENT_LENGTH": None, "wsgi.input_terminated": True}):
            expect(world, world.ask(route.method, route.path, body=b"", **{**how, "wsgi.input": Broken()}), 400)


@pytest.mark.parametrize("what", BAD_IDS)
def test_a_bad_id_in_a_path_is_refused_everywhere(world: World, known: list[Route], what: str) -> None:
    before, seen = world.stored(), 0
    for route in known:
        body = None if route.body is None else json.dumps(route.body).encode()
        for target in route.with_id(BAD_IDS[what]):
            expect(world, world.ask(route.method, target, body=body), 422)
            seen += 1
    assert seen >= 18
    assert world.stored() == before


def test_an_empty_id_is_no_id(world: World, known: list[Route]) -> None:
    before = world.stored()
    for route in known:
        for target in route.with_id(""):
            expect(world, world.ask(route.method, target, body=b"{}"), 404, 405)
    assert world.stored() == before


def test_bytes_that_look_alike_are_not_one_id(world: World) -> None:
    """%FF must not be read as the replacement character, nor a private one as an encoded slash."""
    for encoded in ("%EF%BF%BD", "a%2Fb"):
        answer = world.ask("PUT", f"{PREFIX}/personalization/profiles/{encoded}", body=b"{}")
        assert answer.status == 201
    for alike in ("%FF", "a%EE%80%80b"):
        expect(world, world.ask("GET", f"{PREFIX}/personalization/profiles/{alike}"), 422)


def test_a_bad_page_is_refused_wherever_there_are_pages(world: World, known: list[Route]) -> None:
    paged = [route for route in known if route.guard is not None and "limit" in route.guard.parameters]
    assert len(paged) >= 5
    for route in paged:
        for limit in BAD_LIMITS:
            expect(world, world.ask("GET", f"{route.path}?limit={limit}"), 422)
        for cursor in BAD_CURSORS:
            assert world.ask("GET", f"{route.path}?cursor={cursor}").status in (200, 404, 422)
        expect(world, world.ask("GET", f"{route.path}?limit=1&limit=1"), 422)


def test_an_unknown_parameter_is_refused_everywhere(world: World, known: list[Route]) -> None:
    for route in known:
        if route.guard is not None:
            for query in ("nonsense=1", "%00=%00", "%FF=1", "=", "limit%5B%5D=1", "&".join(f"a{n}" for n in range(1000))):
                expect(world, world.ask(route.method, f"{route.path}?{query}"), 422)


@pytest.mark.parametrize("at", [at for at in BAD_TIMES if at is not None], ids=str)
def test_a_bad_time_is_refused_everywhere(world: World, at: Any) -> None:
    for path, made in TIMED:
        expect(world, world.ask("POST", PREFIX + path, body=json.dumps(made(at)).encode()), 422)
    for name in ("from", "to"):
        expect(world, world.ask("GET", f"{PREFIX}/insights/overview?{name}={str(at).replace('+', '%2B')}"), 422)


@pytest.mark.parametrize(("method", "path", "body"), UNKNOWN_ENUMS, ids=lambda v: str(v)[-40:])
def test_an_unknown_word_is_refused(world: World, method: str, path: str, body: Any) -> None:
    world.ask("PUT", f"{PREFIX}/personalization/profiles/u", body=b"{}")
    expect(world, world.ask(method, PREFIX + path, body=json.dumps(body).encode()), 422)


@pytest.mark.parametrize(("method", "path", "body", "status"), NUMBERS, ids=lambda v: str(v)[-60:])
def test_a_number_is_taken_for_what_it_is(world: World, method: str, path: str, body: bytes, status: int) -> None:
    answer = world.ask(method, PREFIX + path, body=body)
    expect(world, answer, *((200, 201) if status < 300 else (status,)))


@pytest.mark.parametrize("key", ["", "x" * 257, "a\tb", "\x7f", "x" * 100_000])
def test_a_bad_idempotency_key_is_refused_wherever_one_is_taken(world: World, known: list[Route], key: str) -> None:
    before, seen = world.stored(), 0
    for route in with_body(known):
        handler_takes_it = route.rule in REPEATABLE or (route.method, route.rule) in {
            ("POST", "/personalization/templates"),
            ("POST", "/management/api-keys"),
        }
        if route.method == "POST" and handler_takes_it:
            body = json.dumps(route.body).encode()
            expect(world, world.ask(route.method, route.path, {"HTTP_IDEMPOTENCY_KEY": key}, body), 422)
            seen += 1
    assert seen == 5
    assert world.stored() == before


def test_a_wrong_method_is_405_everywhere_and_names_the_right_ones(world: World, known: list[Route]) -> None:
    right: dict[str, set[str]] = {}
    for route in known:
        right.setdefault(route.path, set()).add(route.method)
    for path, taken in right.items():
        for method in METHODS:
            if method not in taken | ({"HEAD"} if "GET" in taken else set()):
                answer = world.ask(method, path)
                expect(world, answer, 405, method=method)
                assert taken <= {name.strip() for name in answer.headers["Allow"].split(",")}


@pytest.mark.parametrize(
    "path",
    ["/", "/nonsense", PREFIX, f"{PREFIX}/", f"{PREFIX}//management/live", f"{PREFIX}/management/live/", "/%00", "/%FF", "*"],
)
def test_an_unknown_path_is_a_problem_by_every_method(world: World, path: str) -> None:
    for method in METHODS:
        expect(world, world.ask(method, path), 404, 405, method=method)


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_X_API_KEY": None},
        {"HTTP_X_API_KEY": ""},
        {"HTTP_X_API_KEY": "dpk_\xff\x00"},
        {"HTTP_X_API_KEY": "x" * 100_000},
        {"HTTP_AUTHORIZATION": "Bearer"},
        {"HTTP_AUTHORIZATION": "Bearer a.b.c"},
        {"HTTP_AUTHORIZATION": "Bearer \xff\xfe.\x00"},
        {"HTTP_AUTHORIZATION": "Basic dTpw"},
        {"HTTP_AUTHORIZATION": "Bearer " + "x" * 100_000},
        {"HTTP_AUTHORIZATION": "Bearer eyJhbGciOiJub25lIn0.e30."},
    ],
    ids=lambda h: repr(h)[:50],
)
def test_nothing_is_told_to_strangers_not_even_what_is_wrong_with_their_body(
    world: World, known: list[Route], headers: dict[str, str]
) -> None:
    before = world.stored()
    for route in known:
        if route.guard is not None:
            given = {"HTTP_X_API_KEY": None, **headers} if route.guard.key_only is False else {"HTTP_X_API_KEY": None}
            expect(world, world.ask(route.method, route.path, given, b"{"), 401)
    assert world.stored() == before


def test_an_error_of_ours_tells_nobody_why(house: FakeHouse, app: Any, admin: dict[str, str]) -> None:
    house.service("t1").failure = RuntimeError('File "/srv/secret.py" SELECT password FROM api_keys')
    answer = app.test_client().post(f"{PREFIX}/personalization/personalize", json={"template_id": "t"}, headers=admin)
    assert answer.status_code == 500
    assert answer.mimetype == "application/problem+json"
    assert not any(word in answer.text for word in ("secret", "SELECT", "File", "RuntimeError"))
