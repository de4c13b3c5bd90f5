"""One Idempotency-Key, one effect, one answer: on every creating route, for its principal, for a day."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from personalization.bootstrap import House, build_house, create_app
from personalization.clock import DAY, SECOND, ManualClock, SystemClock
from personalization.errors import Overloaded, RateLimited, StorageUnavailable
from personalization.rest.repeats import LEASE
from personalization.security.identity import new_key
from personalization.settings import DEVELOPMENT, RateLimit, Settings
from personalization.storage.base import ApiKeyRecord
from tests.api.fake_service import FakeHouse
from tests.api.routes import LOCALES, PREFIX

TEMPLATES = f"{PREFIX}/personalization/templates"
ROUTES = {
    "templates": (f"{PREFIX}/personalization/templates", {"template_id": "t", "name": "T", "variants": [LOCALES]}),
    "profiles": (f"{PREFIX}/personalization/profiles", {"profiles": [{"user_id": "u"}, {"user_id": "v"}]}),
    "batch": (f"{PREFIX}/personalization/batch", {"requests": [{"user_id": "u", "content": {"text": "hello"}}] * 2}),
    "api keys": (f"{PREFIX}/management/api-keys", {"role": "service", "name": "n"}),
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(SystemClock().now())


def built(folder: Path, clock: ManualClock) -> House:
    settings = Settings(
        app_env=DEVELOPMENT, database_url=f"sqlite:///{folder}/p.db", state_dir=folder, rate_limit=RateLimit(1_000_000, 1)
    )
    return build_house(settings, clock)


@pytest.fixture
def real(tmp_path: Path, clock: ManualClock) -> Iterator[House]:
    house = built(tmp_path, clock)
    for tenant in ("acme", "twin"):
        house.storage.tenants.create(tenant, clock.now())
    yield house
    house.close()


@pytest.fixture
def served(real: House) -> Flask:
    return create_app(house=real)


def key_of(house: Any, tenant_id: str = "acme") -> dict[str, str]:
    key = new_key()
    house.keys.add(
        ApiKeyRecord(
            key_id=key.key_id, tenant_id=tenant_id, role="admin", name="t", digest=key.digest, created_at=house.clock.now()
        )
    )
    return {"X-API-Key": key.api_key}


def post(app: Flask, path: str, headers: dict[str, str], body: Any, key: str | None = "k") -> TestResponse:
    named = {} if key is None else {"Idempotency-Key": key}
    return app.test_client().post(path, json=body, headers={**headers, **named})


def replayed(answer: TestResponse) -> bool:
    return answer.headers.get("Idempotency-Replayed") == "true"


@pytest.mark.parametrize(("path", "body"), ROUTES.values(), ids=ROUTES.keys())
def test_the_same_body_gets_the_same_answer_and_another_one_422(
    served: Flask, real: House, path: str, body: dict[str, Any]
) -> None:
    admin = key_of(real)
    first, again = post(served, path, admin, body), post(served, path, admin, body)
    assert first.status_code in (200, 201), first.data
    assert (again.status_code, again.data, again.content_type) == (first.status_code, first.data, first.content_type)
    assert (replayed(first), replayed(again)) == (False, True)
    other = post(served, path, admin, {**body, "name": "another"})
    assert (other.status_code, other.get_json()["title"]) == (422, "Idempotency key reused")


def test_the_order_of_members_makes_no_other_body(served: Flask, real: House) -> None:
    admin, (path, body) = key_of(real), ROUTES["templates"]
    post(served, path, admin, body)
    assert replayed(post(served, path, admin, dict(reversed(body.items()))))


def test_a_refusal_is_an_answer_too(served: Flask, real: House) -> None:
    admin, (path, body) = key_of(real), ROUTES["templates"]
    post(served, path, admin, body, key=None)
    first, again = post(served, path, admin, body), post(served, path, admin, body)
    assert (first.status_code, again.status_code, again.data == first.data) == (409, 409, True)
    assert replayed(again)


def test_personalize_says_when_it_repeats_itself(served: Flask, real: House) -> None:
    admin, path = key_of(real), f"{PREFIX}/personalization/personalize"
    body = {"user_id": "u", "content": {"text": "hello"}}
    first, again = post(served, path, admin, body), post(served, path, admin, body)
    assert (replayed(first), replayed(again), first.get_json()) == (False, True, again.get_json())
    assert post(served, path, admin, {**body, "user_id": "v"}).status_code == 422


def test_events_need_no_key(served: Flask, real: House) -> None:
    admin, path = key_of(real), f"{PREFIX}/personalization/events"
    for number in (1, 2):
        event = {"event_id": f"e{number}", "type": "clicked", "user_id": "u", "occurred_at": "2026-11-23T10:00:00Z"}
        answer = post(served, path, admin, event)
        assert (answer.status_code, replayed(answer)) == (202, False)


def test_another_principal_route_or_tenant_knows_nothing_of_the_key(served: Flask, real: House) -> None:
    mine, colleague, twin = key_of(real), key_of(real), key_of(real, "twin")
    path, body = ROUTES["templates"]
    assert post(served, path, mine, body).status_code == 201
    assert post(served, path, colleague, body).status_code == 409
    assert post(served, path, twin, body).status_code == 201
    assert post(served, ROUTES["api keys"][0], mine, ROUTES["api keys"][1]).status_code == 201


def test_a_token_and_the_key_it_was_exchanged_for_are_one_principal(served: Flask, real: House) -> None:
    admin, (path, body) = key_of(real), ROUTES["templates"]
    token = served.test_client().post(f"{PREFIX}/management/tokens", headers=admin).get_json()["access_token"]
    first = post(served, path, admin, body)
    again = post(served, path, {"Authorization": f"Bearer {token}"}, body)
    assert (again.data, replayed(again)) == (first.data, True)


def test_fifty_parallel_equal_requests_have_one_effect(served: Flask, real: House) -> None:
    admin, (path, body) = key_of(real), ROUTES["api keys"]
    together = threading.Barrier(10)

    def posted(_: int) -> TestResponse:
        together.wait()
        return post(served, path, admin, body)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(posted, range(50)))
    made = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.data for answer in made}) == 1
    assert [replayed(answer) for answer in made].count(False) == 1
    assert all(answer.headers["Retry-After"] == "1" for answer in answers if answer.status_code == 409)
    assert len(real.keys.list("acme", 10)) == 2


def test_while_the_first_is_running_the_second_is_told_to_wait(app: Flask, house: FakeHouse) -> None:
    admin = {"X-API-Key": house.make_key()}
    service, body = house.service("t1"), ROUTES["templates"][1]
    seen: list[TestResponse] = []
    create = service.create_template

    def slowly(document: dict[str, Any]) -> dict[str, Any]:
        seen.extend((post(app, TEMPLATES, admin, body), post(app, TEMPLATES, admin, {**body, "name": "other"})))
        return create(document)

    service.create_template = slowly  # type: ignore[method-assign]
    assert post(app, TEMPLATES, admin, body).status_code == 201
    assert [answer.status_code for answer in seen] == [409, 422]
    assert seen[0].headers["Retry-After"] == "1"
    assert seen[0].get_json()["title"] == "Still running"


@pytest.mark.parametrize("failure", [RuntimeError("x"), StorageUnavailable("x"), Overloaded("real-time", 9), RateLimited(3)])
def test_what_failed_for_now_leaves_no_claim(app: Flask, house: FakeHouse, failure: Exception) -> None:
    admin = {"X-API-Key": house.make_key()}
    service, body = house.service("t1"), ROUTES["templates"][1]
    create = service.create_template

    def failing(document: dict[str, Any]) -> dict[str, Any]:
        raise failure

    service.create_template = failing  # type: ignore[method-assign]
    assert post(app, TEMPLATES, admin, body).status_code in (429, 500, 503)
    service.create_template = create  # type: ignore[method-assign]
    answer = post(app, TEMPLATES, admin, {**body, "name": "mended"})
    assert (answer.status_code, replayed(answer)) == (201, False)


class Killed(BaseException):
    pass


def test_a_claim_whose_process_died_is_taken_over_after_a_minute(served: Flask, real: House, clock: ManualClock) -> None:
    admin, (path, body) = key_of(real), ROUTES["templates"]
    principal = served.extensions["personalization.gate"].credentials.principal(None, admin["X-API-Key"])
    died = f"{principal.subject}\0POST {path}\0k"
    real.repeats.claim("acme", died, b"what it had", clock.now(), clock.now() - LEASE, clock.now() + DAY)
    assert post(served, path, admin, body).status_code == 422
    clock.advance(LEASE - SECOND)
    assert post(served, path, admin, body).status_code == 422
    clock.advance(SECOND)
    assert post(served, path, admin, body).status_code == 201


def test_a_worker_that_is_stopped_gives_its_key_back(app: Flask, house: FakeHouse) -> None:
    admin, body = {"X-API-Key": house.make_key()}, ROUTES["templates"][1]
    service = house.service("t1")
    create = service.create_template

    def stopped(document: dict[str, Any]) -> dict[str, Any]:
        raise Killed

    service.create_template = stopped  # type: ignore[method-assign]
    with pytest.raises(Killed):
        post(app, TEMPLATES, admin, body)
    service.create_template = create  # type: ignore[method-assign]
    assert post(app, TEMPLATES, admin, body).status_code == 201


def test_an_answer_is_kept_for_a_day(served: Flask, real: House, clock: ManualClock) -> None:
    admin, (path, body) = key_of(real), ROUTES["api keys"]
    first = post(served, path, admin, body)
    clock.advance(DAY - SECOND)
    assert post(served, path, admin, body).data == first.data
    clock.advance(SECOND)
    later = post(served, path, admin, body)
    assert (later.status_code, replayed(later), later.data == first.data) == (201, False, False)


def test_an_answer_outlives_the_process(served: Flask, real: House, tmp_path: Path, clock: ManualClock) -> None:
    admin, (path, body) = key_of(real), ROUTES["api keys"]
    first = post(served, path, admin, body)
    real.close()
    reopened = built(tmp_path, clock)
    again = post(create_app(house=reopened), path, admin, body)
    reopened.close()
    assert (again.data, replayed(again)) == (first.data, True)
    assert first.get_json()["api_key"].encode() not in (tmp_path / "p.db").read_bytes()


def test_a_half_failed_batch_is_not_kept_and_decides_nothing_twice(
    served: Flask, real: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, (path, body) = key_of(real), ROUTES["batch"]
    service, many = real.service("acme"), real.service("acme").personalize_many

    def half(requests: Any, *more: Any) -> Any:
        return [*many(requests[:1], *more), Overloaded("standard", 9)]

    monkeypatch.setattr(service, "personalize_many", half)
    first = post(served, path, admin, body).get_json()["results"]
    monkeypatch.undo()
    second = post(served, path, admin, body)
    assert [row["status"] for row in first] == [200, 503]
    assert [row["status"] for row in second.get_json()["results"]] == [200, 200]
    assert second.get_json()["results"][0]["decision"]["decision_id"] == first[0]["decision"]["decision_id"]
    assert replayed(post(served, path, admin, body))


def test_a_store_that_does_not_answer_at_the_end_costs_nobody_the_answer(
    app: Flask, house: FakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> bool:
        raise StorageUnavailable("x")

    monkeypatch.setattr(house.repeats, "settle", away)
    assert post(app, TEMPLATES, {"X-API-Key": house.make_key()}, ROUTES["templates"][1]).status_code == 201


def test_the_documents_name_the_header_on_exactly_the_routes_that_take_it(client: FlaskClient) -> None:
    paths = client.get(f"{PREFIX}/swagger.json").get_json()["paths"]
    taking = {
        (method.upper(), path)
        for path, item in paths.items()
        for method, operation in item.items()
        if method != "parameters" and any(p["name"] == "Idempotency-Key" for p in operation.get("parameters", []))
    }
    assert taking == {
        ("POST", "/personalization/personalize"),
        ("POST", "/personalization/batch"),
        ("POST", "/personalization/profiles"),
        ("POST", "/personalization/templates"),
        ("POST", "/management/api-keys"),
    }
    for _, path in taking:
        assert "Idempotency-Replayed" in str(paths[path]["post"]["responses"])
        assert "409" in paths[path]["post"]["responses"]
