from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from personalization import telemetry
from personalization.clock import SECOND
from personalization.settings import RateLimit
from tests.api.conftest import application
from tests.api.fake_service import FakeHouse
from tests.api.routes import EVENT, PREFIX

GOOD = {"user_id": "u", "template_id": "t"}
PERSONALIZE = f"{PREFIX}/personalization/personalize"
HEALTH = f"{PREFIX}/management/health"


def limited(calls: int, seconds: int = 1, **settings: object) -> tuple[FakeHouse, FlaskClient, dict[str, str]]:
    house = FakeHouse(rate_limit=RateLimit(calls, seconds), **settings)
    return house, application(house).test_client(), {"X-API-Key": house.make_key()}


def test_a_hot_route_refuses_what_is_too_much_and_says_when() -> None:
    house, client, key = limited(2)
    answers = [client.post(PERSONALIZE, json=GOOD, headers=key) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert [a.headers["X-RateLimit-Remaining"] for a in answers] == ["1", "0", "0"]
    assert (answers[2].headers["Retry-After"], answers[2].headers["X-RateLimit-Limit"]) == ("1", "2")
    assert answers[2].mimetype == "application/problem+json"
    house.clock.advance(SECOND)
    assert client.post(PERSONALIZE, json=GOOD, headers=key).status_code == 200


def test_a_batch_costs_its_items() -> None:
    _, client, key = limited(10)
    batch = {"requests": [GOOD] * 6}
    assert client.post(f"{PREFIX}/personalization/batch", json=batch, headers=key).status_code == 200
    assert client.post(f"{PREFIX}/personalization/batch", json=batch, headers=key).status_code == 429
    events = {"events": [EVENT] * 4}
    assert client.post(f"{PREFIX}/personalization/events", json=events, headers=key).status_code == 429


def test_another_principal_is_not_affected() -> None:
    house, client, key = limited(1)
    assert [client.post(PERSONALIZE, json=GOOD, headers=key).status_code for _ in range(2)] == [200, 429]
    assert client.post(PERSONALIZE, json=GOOD, headers={"X-API-Key": house.make_key()}).status_code == 200


def test_a_token_shares_the_allowance_of_its_key() -> None:
    _, client, key = limited(1)
    token = client.post(f"{PREFIX}/management/tokens", headers=key).get_json()["access_token"]
    assert client.post(PERSONALIZE, json=GOOD, headers=key).status_code == 200
    assert client.post(PERSONALIZE, json=GOOD, headers={"Authorization": f"Bearer {token}"}).status_code == 429


def test_the_other_routes_are_limited_together() -> None:
    _, client, key = limited(3, 3600)
    answers = [client.get(path, headers=key) for path in (HEALTH, f"{PREFIX}/management/stats", HEALTH, HEALTH)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert [a.headers["X-RateLimit-Remaining"] for a in answers] == ["2", "1", "0", "0"]
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 3600


def test_guessing_credentials_is_limited_by_address() -> None:
    _, client, key = limited(3, 3600)
    assert [client.get(HEALTH, headers={"X-API-Key": "dpk_guess"}).status_code for _ in range(4)] == [401, 401, 401, 429]
    assert client.get(HEALTH, headers=key).status_code == 200


@pytest.fixture
def silent_redis() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def test_a_silent_redis_costs_little_and_limits_go_on_in_memory(silent_redis: str) -> None:
    _, client, key = limited(2, 3600, redis_url=silent_redis)
    before = telemetry.LIMITER_DEGRADED._value.get()
    began = time.perf_counter()
    statuses = [client.get(HEALTH, headers=key).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert time.perf_counter() - began < 1.0
    assert telemetry.LIMITER_DEGRADED._value.get() > before
