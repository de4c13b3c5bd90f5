from __future__ import annotations

import io
import json
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from personalization.rest.strict import MIB
from tests.api.fake_service import FakeHouse
from tests.api.routes import EVENT, LOCALES, PREFIX

ROUTES = {
    "personalize": ("POST", "/personalization/personalize", {"user_id": "u", "template_id": "t"}),
    "profile": ("PUT", "/personalization/profiles/u", {"traits": {"plan": "pro"}}),
    "profile patch": ("PATCH", "/personalization/profiles/u", {"traits": {"plan": "pro"}}),
    "template": ("POST", "/personalization/templates", {"template_id": "t", "variants": [LOCALES]}),
    "event": ("POST", "/personalization/events", EVENT),
    "config": ("PATCH", "/management/config", {"holdout": 0.1}),
}


def with_field(body: dict[str, Any], text: str) -> bytes:
    """The good body with one more member, written as it stands."""
    return (json.dumps(body)[:-1] + f", {text}}}").encode()


# (what, more members or a whole body, status)
BROKEN: list[tuple[str, bytes | str, int]] = [
    ("syntax", b"{", 400),
    ("nothing", b"", 400),
    ("not UTF-8", b'{"a": "\xff"}', 400),
    ("duplicate key", '"x": 1, "x": 2', 400),
    ("NaN", '"x": NaN', 400),
    ("Infinity", '"x": Infinity', 400),
    ("overflowing float", '"x": 1e999', 400),
    ("NUL", '"x": "\\u0000"', 400),
    ("NUL in a key", '"\\u0000": 1', 400),
    ("lone surrogate", '"x": "\\ud800"', 400),
    ("depth over 20", '"x": ' + "[" * 20 + "]" * 20, 400),
    ("depth 5,000", '"x": ' + "[" * 5000 + "]" * 5000, 400),
    ("integer over 64 bits", f'"x": {2**63}', 422),
    ("unknown field", '"nonsense": 1', 422),
    ("a list", b"[]", 422),
    ("a string", b'"x"', 422),
    ("null", b"null", 422),
]


@pytest.mark.parametrize(("what", "given", "status"), BROKEN, ids=[b[0] for b in BROKEN])
@pytest.mark.parametrize(("method", "path", "good"), ROUTES.values(), ids=ROUTES.keys())
def test_bad_input_is_the_callers_problem(
    client: FlaskClient,
    house: FakeHouse,
    admin: dict[str, str],
    method: str,
    path: str,
    good: dict[str, Any],
    what: str,
    given: bytes | str,
    status: int,
) -> None:
    data = given if isinstance(given, bytes) else with_field(good, given)
    answer = client.open(PREFIX + path, method=method, data=data, headers={**admin, "Content-Type": "application/json"})
    assert answer.status_code == status, answer.data
    assert answer.mimetype == "application/problem+json"
    assert answer.get_json()["status"] == status
    assert house.service("t1").untouched


@pytest.mark.parametrize(("method", "path", "good"), ROUTES.values(), ids=ROUTES.keys())
def test_only_json_is_taken(client: FlaskClient, admin: dict[str, str], method: str, path: str, good: dict[str, Any]) -> None:
    data = json.dumps(good)
    for headers in ({"Content-Type": "text/plain"}, {}, {"Content-Type": "application/json", "Content-Encoding": "gzip"}):
        assert client.open(PREFIX + path, method=method, data=data, headers={**admin, **headers}).status_code == 415


@pytest.mark.parametrize(("path", "limit"), [("/personalization/personalize", MIB), ("/personalization/batch", 16 * MIB)])
@pytest.mark.parametrize("chunked", [False, True])
def test_too_many_bytes_are_refused_whole(
    client: FlaskClient, house: FakeHouse, admin: dict[str, str], path: str, limit: int, chunked: bool
) -> None:
    body = b'{"user_id": "u", "template_id": "t"}'
    data = body + b" " * (limit + 1 - len(body))
    stream = {"input_stream": io.BytesIO(data), "environ_overrides": {"wsgi.input_terminated": True}}
    how: dict[str, Any] = stream if chunked else {"data": data}
    answer = client.post(PREFIX + path, headers={**admin, "Content-Type": "application/json"}, **how)
    assert answer.status_code == 413
    assert not house.service("t1").requests


def test_a_chunked_body_within_the_limit_is_read_whole(client: FlaskClient, admin: dict[str, str]) -> None:
    answer = client.post(
        f"{PREFIX}/personalization/personalize",
        headers={**admin, "Content-Type": "application/json"},
        input_stream=io.BytesIO(b'{"user_id": "u", "template_id": "t"}' + b" " * 200_000),
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == 200


def post(client: FlaskClient, admin: dict[str, str], path: str, body: Any) -> tuple[int, Any]:
    answer = client.post(PREFIX + path, json=body, headers=admin)
    return answer.status_code, answer.get_json()


def test_more_than_a_thousand_items_are_too_many(client: FlaskClient, admin: dict[str, str]) -> None:
    for path, name in (("/batch", "requests"), ("/events", "events"), ("/profiles", "profiles")):
        assert post(client, admin, f"/personalization{path}", {name: [{}] * 1001})[0] == 413


def test_a_bad_event_in_a_list_is_a_rejected_row(client: FlaskClient, admin: dict[str, str]) -> None:
    status, receipt = post(client, admin, "/personalization/events", {"events": [EVENT, EVENT | {"type": "sneezed"}, 7]})
    assert (status, receipt["accepted"], receipt["duplicates"]) == (202, 1, 0)
    assert [row["index"] for row in receipt["rejected"]] == [1, 2]
    assert receipt["rejected"][0]["errors"][0]["field"] == "type"


def test_a_bare_event_is_accepted_and_a_bad_one_invalid(client: FlaskClient, admin: dict[str, str]) -> None:
    assert post(client, admin, "/personalization/events", EVENT)[0] == 202
    status, problem = post(client, admin, "/personalization/events", EVENT | {"value": "much"})
    assert (status, problem["errors"][0]["field"]) == (422, "value")


def test_no_events_are_no_news(client: FlaskClient, admin: dict[str, str]) -> None:
    assert post(client, admin, "/personalization/events", {"events": []}) == (202, {"accepted": 0, "duplicates": 0, "rejected": []})


def test_a_bad_request_in_a_batch_is_its_own_problem(client: FlaskClient, admin: dict[str, str]) -> None:
    good = {"user_id": "u", "template_id": "t"}
    status, answer = post(client, admin, "/personalization/batch", {"requests": [good, good | {"category": "spam"}, good]})
    assert status == 200
    assert [row["status"] for row in answer["results"]] == [200, 422, 200]
    assert answer["results"][1]["problem"]["errors"][0]["field"] == "category"


def test_a_bad_profile_in_a_list_is_its_own_row(client: FlaskClient, admin: dict[str, str]) -> None:
    rows = [{"user_id": "a"}, {"user_id": "b", "language": 5}, {"traits": {}}]
    status, answer = post(client, admin, "/personalization/profiles", {"profiles": rows})
    assert status == 200
    assert [(row["user_id"], row["status"]) for row in answer["results"]] == [("a", 201), ("b", 422), ("", 422)]


BAD_QUERIES = [
    ("/personalization/templates?limit=0", "limit"),
    ("/personalization/templates?limit=201", "limit"),
    ("/personalization/templates?limit=ten", "limit"),
    ("/personalization/templates?limit=%D9%A3", "limit"),
    ("/personalization/templates?limit=1&limit=2", "limit"),
    ("/personalization/templates?page=2", "page"),
    ("/personalization/templates?cursor=%00", "cursor"),
    ("/personalization/decisions/d1?replay=yes", "replay"),
    ("/personalization/templates/t?version=0", "version"),
    ("/insights/overview?from=2026-11-23T10:00:00", "from"),
    ("/insights/overview?from=yesterday", "from"),
    ("/insights/overview?from=2026-11-23T10:00:00Z&to=2026-11-23T10:00:00Z", "to"),
    ("/insights/overview?timezone=Mars/Olympus", "timezone"),
    ("/insights/overview?timezone=../../etc/passwd", "timezone"),
    ("/insights/users/u?include_predictions=1", "include_predictions"),
    ("/management/health?x=1", "x"),
]


@pytest.mark.parametrize(("path", "field"), BAD_QUERIES)
def test_a_bad_query_is_invalid_and_named(client: FlaskClient, admin: dict[str, str], path: str, field: str) -> None:
    answer = client.get(PREFIX + path, headers=admin)
    assert answer.status_code == 422
    assert [e["field"] for e in answer.get_json()["errors"]] == [field]


def test_a_good_query_arrives(client: FlaskClient, admin: dict[str, str]) -> None:
    answer = client.get(f"{PREFIX}/insights/overview?from=1970-01-01T01:00:00%2B01:00&timezone=Europe/London", headers=admin)
    assert answer.get_json()["asked"] == [0, None, "Europe/London"]
    answer = client.get(f"{PREFIX}/insights/users/u/timeline?limit=7&cursor=abc", headers=admin)
    assert answer.get_json()["asked"] == ["u", 7, "abc"]


@pytest.mark.parametrize("key", ["", "x" * 257])
def test_a_bad_idempotency_key_is_invalid(client: FlaskClient, admin: dict[str, str], key: str) -> None:
    answer = client.post(
        f"{PREFIX}/personalization/personalize", json={"template_id": "t"}, headers={**admin, "Idempotency-Key": key}
    )
    assert answer.status_code == 422


def test_an_idempotency_key_reaches_the_service(client: FlaskClient, house: FakeHouse, admin: dict[str, str]) -> None:
    client.post(f"{PREFIX}/personalization/personalize", json={"template_id": "t"}, headers={**admin, "Idempotency-Key": "k 1"})
    assert house.service("t1").requests[0].idempotency_key == "k 1"


@pytest.mark.parametrize(
    "user_id", ["a/b", "a/timeline", "/", "a//b", "..", "ada@example.org", "ä ö", "100%", "%2F", "a?b#c", "x" * 256]
)
def test_an_id_may_hold_any_printable_character(client: FlaskClient, admin: dict[str, str], user_id: str) -> None:
    encoded = quote(user_id, safe="")
    path = f"{PREFIX}/personalization/profiles/{encoded}"
    assert client.put(path, json={}, headers=admin).get_json()["user_id"] == user_id
    assert client.get(path, headers=admin).get_json()["user_id"] == user_id
    timeline = client.get(f"{PREFIX}/insights/users/{encoded}/timeline", headers=admin)
    assert timeline.get_json()["asked"][0] == user_id


@pytest.mark.parametrize("encoded", ["a%00b", "a%0Ab", "x" * 257, "%E2%80%A8"])
def test_an_unprintable_or_long_id_in_a_path_is_invalid(client: FlaskClient, admin: dict[str, str], encoded: str) -> None:
    assert client.put(f"{PREFIX}/personalization/profiles/{encoded}", json={}, headers=admin).status_code == 422
