"""A seeded maker of requests that are wrong somewhere: body, id, query, header, credential, method or path."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import jwt

from tests.api.fake_service import SECRET
from tests.api.routes import PREFIX, Route

HOSTILE: tuple[Any, ...] = (
    None, True, -1, 1.5, 2**63 - 1, -(2**63), 1e308, 5e-324, "", " ", "\u2028", "\x7f", "x" * 300, "x" * 70_000, "💥" * 300, "null",
    "../../etc/passwd", "'; DROP TABLE users; --", "{{ 7 | times: 7 }}", "{% for i in (1..1000000000) %}x{% endfor %}", "{{", "{%",
    "%s%n", "0000-01-01T00:00:00Z", "9999-12-31T23:59:60Z", "P99999999D", "PT", "24:60", "Mars/Olympus", "und", "a" * 64 + "-b", [],
    {}, [[]], [None], [1] * 200, {"": ""}, {"a": {"b": {"c": {}}}}, {"x" * 200: 1}, {"\u0085": 1}, {"$ref": "#"}, {"__proto__": {}},
)  # fmt: skip
RAW = (
    b"NaN", b"-Infinity", b"1e400", b"01", b"9223372036854775808", b"9" * 5000, b'"\\u0000"', b'"\\ud800"', b'"\xff"', b'"\x00"',
    b"[" * 30 + b"]" * 30, b'{"a": 1, "a": 2}', b"", b"undefined", b"'x'", b"/* */ 1", b"\xef\xbb\xbf1",
)  # fmt: skip
IDS = (
    "", "%00", "%0A", "%C0%AF", "%FF", "%ED%A0%80", "%EE%80%80", "%E2%80%A8", "x" * 257, "%F0%9F%98%80" * 257, "a%00%2Fb", "%7F%2F",
    "%C3%2F%A4", "%F4%90%80%80", "a%0d%0aSet-Cookie:x",
)  # fmt: skip
QUERIES = (
    "limit=0", "limit=1e9", "limit=%D9%A3", "limit=1&limit=2", "cursor=%00", "cursor=" + "x" * 2000, "version=0",
    "version=" + "9" * 400,
    "replay=1", "include_predictions=yes", "from=0000-01-01T00:00:00Z", "to=9999-12-31T23:59:60Z",
    "timezone=..%2F..%2Fetc%2Fpasswd",
    "timezone=%00", "nonsense", "=", "%FF=%FE", "a=1&" * 500, "%", "limit[]=1", "limit=%ZZ",
)  # fmt: skip
MEDIA = (
    "", "text/plain", "application/xml", "application/json; charset=utf-16", "application/json;;", "multipart/form-data",
    "a/b" * 999, "\xff",
)  # fmt: skip
LENGTHS = ("-1", "+1", "abc", "1.0", "1e3", "0x10", "1, 1", "9" * 19, "9" * 5000, "99999", "\xb2")
KEYS = ("", "x" * 257, "\t", "\x7f", "\x85")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "BREW", "get", "PROPFIND")
PATHS = (
    "/", "//", "/api", "/api/v2/management/live", "/api/v1//", "/api/v1/management/live/", "/api/v1/%2e%2e/metrics", "/%00", "/%FF",
    "*", "/api/v1/personalization/profiles", "/api/v1/personalization/profiles/", "/api/v1/docs/../../etc/passwd",
    "/api/v1/docs/%2e%2e/%2e%2e/etc/passwd", "/api/v1/docs/..%2f..%2fetc%2fpasswd", "/api/v1/docs/%00",
    "/api/v1/docs/" + "x" * 9000,
)  # fmt: skip
CLAIMS: dict[str, Sequence[Any]] = {
    "sub": ("", None, 7, "\x00", "x" * 9000),
    "tenant_id": ("nobody", "", None, 7, "\x00", "ac\ud83d\ude00me"),
    "roles": ([], None, "admin", ["root"], [None], {"admin": 1}),
    "iss": ("somebody", None, 7),
    "aud": ("other", None, [], 7),
    "exp": (0, None, "soon", 2**70, -1, 1e308),
    "iat": (None, "now", 2**70, 1e308),
    "jti": ("", None, 7, []),
}


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str | None] = field(default_factory=dict)
    body: bytes | None = None


def malformed(seed: int, routes: Sequence[Route], count: int) -> Iterator[Request]:
    """The same seed, the same requests."""
    chance = Random(seed)
    with_body = [route for route in routes if route.body is not None]
    guarded = [route for route in routes if route.guard is not None]
    with_id = [route for route in guarded if "<id:" in route.rule]
    makers: list[tuple[Callable[[Random, Route, Request], Request], Sequence[Route]]] = [
        (_broken_bytes, with_body),
        (_broken_bytes, with_body),
        (_other_value, with_body),
        (_hostile_member, with_body),
        (_hostile_member, with_body),
        (_raw_member, with_body),
        (_bad_id, with_id),
        (_bad_query, guarded),
        (_bad_media, with_body),
        (_bad_length, with_body),
        (_bad_key, [route for route in with_body if route.rule.endswith(("/personalize", "/batch", "/api-keys"))]),
        (_bad_credential, guarded),
        (_bad_token, [route for route in guarded if route.guard is not None and not route.guard.key_only]),
        (_bad_method, routes),
        (_bad_path, routes),
    ]
    for _ in range(count):
        make, among = chance.choice(makers)
        route = chance.choice(among)
        body = None if route.body is None else json.dumps(route.body).encode()
        yield make(chance, route, Request(route.method, route.path, {}, body))


def _broken_bytes(chance: Random, route: Route, good: Request) -> Request:
    data = bytearray(good.body or b"{}")
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data)) if data else 0
        what = chance.randrange(4)
        if what == 0:
            del data[at : at + chance.randint(1, 5)]
        elif what == 1:
            data[at:at] = bytes(chance.choices(b'{}[]",:\\\x00\xff0-eE', k=chance.randint(1, 4)))
        elif what == 2 and data:
            data[at] ^= 1 << chance.randrange(8)
        else:
            del data[at:]
    return replace(good, body=bytes(data) + b"]")


def _other_value(chance: Random, route: Route, good: Request) -> Request:
    return replace(good, body=json.dumps([chance.choice(HOSTILE)]).encode())


def _hostile_member(chance: Random, route: Route, good: Request) -> Request:
    """A value of the body, however deep, replaced by a hostile one, beside a field that nobody knows."""
    document = json.loads(good.body or b"{}")
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = chance.choice(keys)
        if not isinstance(place[key], (dict, list)) or not place[key] or chance.random() < 0.3:
            break
        place = place[key]
    place[key] = chance.choice(HOSTILE)
    if chance.random() < 0.5:
        document["nonsense"] = chance.choice(HOSTILE)
    return replace(good, body=json.dumps(document).encode())


def _raw_member(chance: Random, route: Route, good: Request) -> Request:
    return replace(good, body=(good.body or b"{}")[:-1] + b', "x": ' + chance.choice(RAW) + b"}")


def _bad_id(chance: Random, route: Route, good: Request) -> Request:
    return replace(good, target=chance.choice(list(route.with_id(chance.choice(IDS)))))


def _bad_query(chance: Random, route: Route, good: Request) -> Request:
    return replace(good, target=f"{good.target}?{chance.choice(QUERIES)}&{chance.choice(QUERIES)}")


def _bad_media(chance: Random, route: Route, good: Request) -> Request:
    if chance.random() < 0.3:
        return replace(good, headers={"HTTP_CONTENT_ENCODING": chance.choice(("gzip", "deflate", "identity, br", "\xff"))})
    return replace(good, headers={"CONTENT_TYPE": chance.choice(MEDIA)})


def _bad_length(chance: Random, route: Route, good: Request) -> Request:
    return replace(good, headers={"CONTENT_LENGTH": chance.choice(LENGTHS)})


def _bad_key(chance: Random, route: Route, good: Request) -> Request:
    return replace(good, headers={"HTTP_IDEMPOTENCY_KEY": chance.choice(KEYS)})


def _bad_credential(chance: Random, route: Route, good: Request) -> Request:
    junk = "".join(map(chr, chance.choices(range(256), k=chance.randint(0, 60))))
    if chance.random() < 0.5 or (route.guard is not None and route.guard.key_only):
        return replace(good, headers={"HTTP_X_API_KEY": chance.choice((junk, "dpk_" + junk, None))})
    return replace(good, headers={"HTTP_AUTHORIZATION": chance.choice(("Bearer ", "Basic ", "")) + junk})


def _bad_token(chance: Random, route: Route, good: Request) -> Request:
    """Signed with the right key, wrong in one claim or its header."""
    claims: dict[str, Any] = {
        "sub": "s", "tenant_id": "acme", "roles": ["admin"], "iss": "personalization", "aud": "personalization",
        "exp": 4_000_000_000, "iat": 1, "jti": "j",
    }  # fmt: skip
    name = chance.choice(list(CLAIMS))
    claims[name] = chance.choice(CLAIMS[name])
    if claims[name] is None:
        del claims[name]
    headers = chance.choice(({}, {"kid": "x" * 999}, {"typ": None}))
    return replace(good, headers={"HTTP_AUTHORIZATION": f"Bearer {_signed(claims, headers)}"})


def _signed(claims: dict[str, Any], headers: dict[str, Any]) -> str:
    payload = json.dumps(claims).encode()
    return jwt.PyJWS().encode(payload, SECRET, algorithm="HS256", headers=headers)


def _bad_method(chance: Random, route: Route, good: Request) -> Request:
    return replace(good, method=chance.choice([m for m in METHODS if m != good.method]), target=good.target + "/x/y/z")


def _bad_path(chance: Random, route: Route, good: Request) -> Request:
    junk = "".join(f"%{chance.randrange(256):02X}" for _ in range(chance.randint(1, 12)))
    return replace(good, target=chance.choice((*PATHS, f"{PREFIX}/{junk}", f"{good.target}/{junk}")))
