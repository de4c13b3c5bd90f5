from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient

from personalization.clock import DAY, SECOND
from personalization.errors import MisconfiguredError
from personalization.vocabulary import Role
from tests.api.conftest import application
from tests.api.fake_service import SECRET, FakeHouse
from tests.api.routes import PREFIX

HEALTH = f"{PREFIX}/management/health"
CONFIG = f"{PREFIX}/management/config"


def claims(house: FakeHouse, **changes: Any) -> dict[str, Any]:
    now = house.clock.now() // SECOND
    good = {
        "sub": "somebody",
        "tenant_id": "t1",
        "roles": ["admin"],
        "iss": "personalization",
        "aud": "personalization",
        "exp": now + 600,
        "iat": now,
        "jti": "j1",
    }
    return {name: value for name, value in (good | changes).items() if value is not ...}


def signed(payload: dict[str, Any], key: str = SECRET, algorithm: str = "HS256", **headers: Any) -> str:
    return jwt.encode(payload, key, algorithm=algorithm, headers=headers or None)


def status(client: FlaskClient, token: str, path: str = HEALTH, scheme: str = "Bearer") -> int:
    return client.get(path, headers={"Authorization": f"{scheme} {token}"}).status_code


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=").decode()


def test_exactly_the_listed_claims_are_enough(client: FlaskClient, house: FakeHouse) -> None:
    assert status(client, signed(claims(house))) == 200
    assert status(client, signed(claims(house)), scheme="bearer") == 200


@pytest.mark.parametrize(
    "changes", [{"nbf": 0}, {"typ": "Bearer"}, {"type": "access"}, {"aud": ["other", "personalization"]}, {"more": 1}]
)
def test_further_claims_are_allowed(client: FlaskClient, house: FakeHouse, changes: dict[str, Any]) -> None:
    assert status(client, signed(claims(house, **changes), kid="whatever")) == 200


REQUIRED = ("sub", "tenant_id", "roles", "iss", "aud", "exp", "iat", "jti")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_or_null_claim_is_refused(client: FlaskClient, house: FakeHouse, name: str) -> None:
    assert status(client, signed(claims(house, **{name: ...}))) == 401
    assert status(client, unchecked({**claims(house), name: None})) == 401


def unchecked(payload: dict[str, Any]) -> str:
    """Well signed, whatever it says."""
    body = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(payload)}"
    return f"{body}.{part(hmac.digest(SECRET.encode(), body.encode(), 'sha256'))}"


ATTACKS: dict[str, Callable[[FakeHouse], str]] = {
    "alg none": lambda house: f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims(house))}.",
    "alg NONE with the signature kept": lambda house: (
        f"{part({'alg': 'NONE'})}.{part(claims(house))}.{signed(claims(house)).split('.')[2]}"
    ),
    "another HMAC": lambda house: signed(claims(house), SECRET * 2, "HS512"),
    "a foreign key": lambda house: signed(claims(house), "x" * 40),
    "a changed payload": lambda house: ".".join(
        [signed(claims(house)).split(".")[0], part(claims(house, sub="other")), signed(claims(house)).split(".")[2]]
    ),
    "another issuer": lambda house: signed(claims(house, iss="elsewhere")),
    "another audience": lambda house: signed(claims(house, aud="elsewhere")),
    "expired": lambda house: signed(claims(house, exp=house.clock.now() // SECOND - 1)),
    "expired this second": lambda house: signed(claims(house, exp=house.clock.now() // SECOND)),
    "an expiry in words": lambda house: signed(claims(house, exp="9999999999")),
    "an infinite expiry": lambda house: signed(claims(house, exp=float("inf"))),
    "not valid yet": lambda house: signed(claims(house, nbf=house.clock.now() // SECOND + 300)),
    "issued in the future": lambda house: signed(claims(house, iat=house.clock.now() // SECOND + 300)),
    "an empty sub": lambda house: signed(claims(house, sub="")),
    "a sub that is a number": lambda house: unchecked(claims(house, sub=7)),
    "an unknown tenant": lambda house: signed(claims(house, tenant_id="t9")),
    "a tenant that is a list": lambda house: signed(claims(house, tenant_id=["t1"])),
    "no roles": lambda house: signed(claims(house, roles=[])),
    "an unknown role": lambda house: signed(claims(house, roles=["root"])),
    "roles as a string": lambda house: signed(claims(house, roles="admin")),
    "a role that is a list": lambda house: signed(claims(house, roles=[["admin"]])),
    "a refresh token": lambda house: signed(claims(house, type="refresh")),
    "an unknown key behind it": lambda house: signed(claims(house, key_id="0" * 16)),
    "no token at all": lambda house: "nonsense",
    "a header of 3,000 brackets": lambda house: f"{part(b'[' * 3000)}.{part(b'[' * 3000)}.x",
    "a payload that is a list": lambda house: f"{part({'alg': 'HS256'})}.{part([1])}.x",
    "nothing": lambda house: "",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_it_is_refused(client: FlaskClient, house: FakeHouse, attack: Callable[[FakeHouse], str]) -> None:
    answer = client.get(HEALTH, headers={"Authorization": f"Bearer {attack(house)}"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Basic dTpw"}, {"Authorization": "Bearer"}, {"X-API-Key": ""}, {"X-API-Key": "dpk_x"}]
)
def test_other_credentials_are_refused(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.get(HEALTH, headers=headers).status_code == 401


def test_a_bad_token_is_not_saved_by_a_good_key(client: FlaskClient, admin: dict[str, str]) -> None:
    assert client.get(HEALTH, headers={**admin, "Authorization": "Bearer nonsense"}).status_code == 401


# -- API keys


def test_a_key_made_while_the_server_runs_works_at_once(client: FlaskClient, house: FakeHouse) -> None:
    key = house.make_key()
    assert client.get(HEALTH, headers={"X-API-Key": key}).status_code == 200
    assert SECRET not in str(house.keys.records)
    assert key.split("_", 2)[2] not in str(house.keys.records)


def test_a_wrong_secret_or_another_tenants_route_opens_nothing(client: FlaskClient, house: FakeHouse) -> None:
    key = house.make_key()
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    assert client.get(HEALTH, headers={"X-API-Key": wrong}).status_code == 401
    assert client.get(f"{PREFIX}/management/stats", headers={"X-API-Key": house.make_key(tenant_id="t2")}).get_json() == {
        "tenant_id": "t2"
    }


def test_a_key_ends_when_it_expires(client: FlaskClient, house: FakeHouse) -> None:
    headers = {"X-API-Key": house.make_key(expires_in=60)}
    assert client.get(HEALTH, headers=headers).status_code == 200
    house.clock.advance(60 * SECOND)
    assert client.get(HEALTH, headers=headers).status_code == 401


def test_a_verified_key_is_not_looked_up_again(client: FlaskClient, house: FakeHouse, admin: dict[str, str]) -> None:
    for _ in range(5):
        client.get(HEALTH, headers=admin)
    assert house.keys.asked == 1


def test_a_key_revoked_elsewhere_ends_within_three_seconds(client: FlaskClient, house: FakeHouse) -> None:
    key = house.make_key()
    token = client.post(f"{PREFIX}/management/tokens", headers={"X-API-Key": key}).get_json()["access_token"]
    assert status(client, token) == 200
    house.keys.revoke("t1", key.split("_")[1], house.clock.now())
    house.clock.advance(3 * SECOND)
    assert client.get(HEALTH, headers={"X-API-Key": key}).status_code == 401
    assert status(client, token) == 401


def test_a_clock_set_back_does_not_keep_a_revoked_key(client: FlaskClient, house: FakeHouse, admin: dict[str, str]) -> None:
    assert client.get(HEALTH, headers=admin).status_code == 200
    house.clock.advance(-DAY)
    house.keys.revoke("t1", admin["X-API-Key"].split("_")[1], house.clock.now())
    assert client.get(HEALTH, headers=admin).status_code == 401


def test_a_key_revoked_here_ends_at_once_with_its_tokens(client: FlaskClient, house: FakeHouse, admin: dict[str, str]) -> None:
    made = client.post(f"{PREFIX}/management/api-keys", json={"role": "service", "name": "n"}, headers=admin)
    assert made.status_code == 201
    key = {"X-API-Key": made.get_json()["api_key"]}
    token = client.post(f"{PREFIX}/management/tokens", headers=key).get_json()["access_token"]
    assert (client.get(HEALTH, headers=key).status_code, status(client, token)) == (200, 200)
    path = f"{PREFIX}/management/api-keys/{made.get_json()['key_id']}"
    assert client.delete(path, headers=admin).status_code == 204
    assert client.delete(path, headers=admin).status_code == 404
    assert (client.get(HEALTH, headers=key).status_code, status(client, token)) == (401, 401)


def test_another_tenants_key_is_not_found(client: FlaskClient, house: FakeHouse, admin: dict[str, str]) -> None:
    theirs = house.make_key(tenant_id="t2")
    assert client.delete(f"{PREFIX}/management/api-keys/{theirs.split('_')[1]}", headers=admin).status_code == 404
    assert client.get(HEALTH, headers={"X-API-Key": theirs}).status_code == 200


def test_keys_are_listed_page_by_page_without_secrets(client: FlaskClient, house: FakeHouse, admin: dict[str, str]) -> None:
    for _ in range(4):
        house.make_key(Role.SERVICE)
    first = client.get(f"{PREFIX}/management/api-keys?limit=3", headers=admin).get_json()
    second = client.get(f"{PREFIX}/management/api-keys?limit=3&cursor={first['next_cursor']}", headers=admin).get_json()
    assert (len(first["items"]), len(second["items"]), second["next_cursor"]) == (3, 2, None)
    assert all("digest" not in item and "api_key" not in item for item in first["items"])


def test_remembered_credentials_outlive_a_database_outage(client: FlaskClient, house: FakeHouse, admin: dict[str, str]) -> None:
    assert client.get(HEALTH, headers=admin).status_code == 200
    unseen = house.make_key()
    house.keys.away = True
    house.clock.advance(10 * SECOND)
    assert client.get(HEALTH, headers=admin).status_code == 200
    refused = client.get(HEALTH, headers={"X-API-Key": unseen})
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert b"SELECT" not in refused.data


def test_a_key_revoked_during_an_outage_ends_when_the_database_is_back(
    client: FlaskClient, house: FakeHouse, admin: dict[str, str]
) -> None:
    assert client.get(HEALTH, headers=admin).status_code == 200
    house.keys.away = True
    house.clock.advance(3 * SECOND)
    assert client.get(HEALTH, headers=admin).status_code == 200
    house.keys.revoke("t1", admin["X-API-Key"].split("_")[1], house.clock.now())
    for _ in range(100):
        house.clock.advance(3 * SECOND)
        assert client.get(HEALTH, headers=admin).status_code == 200
    house.keys.away = False
    house.clock.advance(3 * SECOND)
    assert client.get(HEALTH, headers=admin).status_code == 401


# -- the exchange


def test_a_key_is_exchanged_for_a_token_of_its_role(client: FlaskClient, house: FakeHouse) -> None:
    answer = client.post(f"{PREFIX}/management/tokens", headers={"X-API-Key": house.make_key(Role.ANALYST)})
    body = answer.get_json()
    assert (answer.status_code, body["token_type"], body["expires_in"]) == (200, "Bearer", 900)
    assert status(client, body["access_token"]) == 200
    assert status(client, body["access_token"], CONFIG) == 403
    decoded = jwt.decode(body["access_token"], SECRET, ["HS256"], audience="personalization", issuer="personalization")
    assert set(decoded) >= {"sub", "tenant_id", "roles", "iss", "aud", "exp", "iat", "jti"}


def test_a_token_ends_with_its_time(client: FlaskClient, house: FakeHouse, admin: dict[str, str]) -> None:
    token = client.post(f"{PREFIX}/management/tokens", headers=admin).get_json()["access_token"]
    assert status(client, token) == 200
    house.clock.advance(900 * SECOND)
    assert status(client, token) == 401


def test_only_a_key_is_exchanged(client: FlaskClient, house: FakeHouse) -> None:
    headers = {"Authorization": f"Bearer {signed(claims(house))}"}
    assert client.post(f"{PREFIX}/management/tokens", headers=headers).status_code == 401


@pytest.mark.parametrize("by", ["token", "jti"])
def test_a_revoked_token_opens_nothing_more(client: FlaskClient, house: FakeHouse, admin: dict[str, str], by: str) -> None:
    token = signed(claims(house))
    assert status(client, token) == 200
    body = {"token": token} if by == "token" else {"jti": "j1"}
    assert client.post(f"{PREFIX}/management/tokens/revoke", json=body, headers=admin).status_code == 200
    assert status(client, token) == 401


def test_nobody_revokes_another_tenants_tokens(client: FlaskClient, house: FakeHouse) -> None:
    token, theirs = signed(claims(house)), {"X-API-Key": house.make_key(tenant_id="t2")}
    for body in ({"token": token}, {"jti": "j1"}, {"token": "nonsense"}):
        assert client.post(f"{PREFIX}/management/tokens/revoke", json=body, headers=theirs).status_code == 200
    assert status(client, token) == 200


def test_a_short_secret_does_not_start() -> None:
    with pytest.raises(MisconfiguredError, match="32 bytes"):
        application(FakeHouse(jwt_secret_key="short"))


def test_testing_off_a_bad_token_is_no_500(app: Flask) -> None:
    app.testing = app.debug = False
    assert status(app.test_client(), "a.b.c") == 401
