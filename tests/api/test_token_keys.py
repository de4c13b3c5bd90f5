"""Tokens signed by others: with the key of JWT_PUBLIC_KEY or those behind JWT_JWKS_URL, never confused with our secret."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from personalization.bootstrap import build_house
from personalization.clock import MINUTE, SECOND, ManualClock
from personalization.errors import MisconfiguredError
from personalization.security import keyring
from personalization.settings import Settings, settings_from
from tests.api.conftest import application
from tests.api.fake_service import SECRET, FakeHouse
from tests.api.test_tokens import HEALTH, claims, part, signed, status
from tests.signing import jwk, key_set, private_key, public_pem

URL = "https://idp.example/jwks"


def with_key(name: str, **settings: Any) -> tuple[FakeHouse, FlaskClient]:
    house = FakeHouse(jwt_public_key=public_pem(name), **settings)
    return house, application(house).test_client()


def with_set(*keys: dict[str, Any]) -> tuple[FakeHouse, FlaskClient]:
    house = FakeHouse(jwt_jwks_url=URL)
    house.outside[URL] = key_set(*keys)
    return house, application(house).test_client()


def from_elsewhere(house: FakeHouse, key: str = "rsa", **headers: Any) -> str:
    return signed(claims(house), private_key(key), "RS256" if key.startswith("rsa") else "ES256", **headers)


@pytest.mark.parametrize("name", ["rsa", "ec"])
def test_a_token_of_the_public_keys_owner_is_taken_whatever_its_kid(name: str) -> None:
    house, client = with_key(name)
    assert status(client, from_elsewhere(house, name)) == 200
    assert status(client, from_elsewhere(house, name, kid="x", typ="at+jwt")) == 200
    assert status(client, from_elsewhere(house, f"{name}-other")) == 401
    assert status(client, signed(claims(house))) == 200


def test_a_token_may_be_of_any_published_key() -> None:
    house, client = with_set(jwk("rsa", kid="a"), jwk("ec", kid="b", alg="ES256"), jwk("rsa2", use=...))
    assert status(client, from_elsewhere(house, "rsa", kid="a")) == 200
    assert status(client, from_elsewhere(house, "ec", kid="b")) == 200
    assert status(client, from_elsewhere(house, "rsa")) == 200
    assert status(client, from_elsewhere(house, "rsa2", kid="c")) == 200  # published without a kid
    assert status(client, from_elsewhere(house, "rsa", kid="b")) == 401
    assert status(client, from_elsewhere(house, "ec", kid="a")) == 401
    assert status(client, from_elsewhere(house, "rsa3", kid="a")) == 401
    assert status(client, signed(claims(house))) == 200


def forged(house: FakeHouse, secret: bytes, **header: Any) -> str:
    """HS256 over claims of an admin, with what everybody can know as the secret."""
    body = f"{part({'alg': 'HS256', 'typ': 'JWT', **header})}.{part(claims(house))}"
    return f"{body}.{part(hmac.digest(secret, body.encode(), 'sha256'))}"


CONFUSIONS: dict[str, Callable[[FakeHouse], str]] = {
    "the PEM as an HMAC secret": lambda house: forged(house, public_pem("rsa").encode()),
    "the PEM without its last line end": lambda house: forged(house, public_pem("rsa").strip().encode()),
    "the modulus as an HMAC secret": lambda house: forged(house, jwk("rsa")["n"].encode(), kid="a"),
    "the key set as an HMAC secret": lambda house: forged(house, key_set(jwk("rsa", kid="a")), kid="a"),
    "an empty secret": lambda house: forged(house, b""),
    "our HMAC called RS256": lambda house: forged(house, SECRET.encode(), alg="RS256"),
    "a key that the token brings": lambda house: from_elsewhere(house, "rsa-mine", jwk=jwk("rsa-mine")),
    "a key set that the token names": lambda house: from_elsewhere(house, "rsa-mine", jku="https://evil.example/jwks", kid="x"),
    "a certificate that the token names": lambda house: from_elsewhere(house, "rsa-mine", x5u="https://evil.example/c"),
    "RS384": lambda house: signed(claims(house), private_key("rsa"), "RS384"),
    "PS256": lambda house: signed(claims(house), private_key("rsa"), "PS256"),
    "ES256 with an RSA key's kid": lambda house: from_elsewhere(house, "ec", kid="a"),
    "none": lambda house: f"{part({'alg': 'none', 'kid': 'a'})}.{part(claims(house))}.",
    "a kid that is a path": lambda house: forged(house, b"", kid="../../../dev/null"),
    "a kid that is a list": lambda house: forged(house, SECRET.encode(), kid=["a"]),
    "a critical extension": lambda house: from_elsewhere(house, "rsa", crit=["exp"], exp=1),
    "an ID token's typ": lambda house: from_elsewhere(house, "rsa", typ="id+jwt"),
    "a logout token's typ": lambda house: from_elsewhere(house, "rsa", typ="logout+jwt"),
    "a typ that is a number": lambda house: forged(house, SECRET.encode(), typ=1),
}


@pytest.mark.parametrize("confusion", CONFUSIONS.values(), ids=CONFUSIONS.keys())
def test_no_token_chooses_how_it_is_verified(confusion: Callable[[FakeHouse], str]) -> None:
    for house, client in (with_key("rsa"), with_set(jwk("rsa", kid="a"), {"kty": "oct", "k": "c2VjcmV0", "kid": "o"})):
        assert status(client, from_elsewhere(house, "rsa")) == 200
        assert status(client, confusion(house)) == 401


def test_a_symmetric_key_in_a_set_verifies_nothing() -> None:
    house, client = with_set(jwk("rsa", kid="a"), {"kty": "oct", "k": part(b"s" * 40), "kid": "o", "alg": "HS256", "use": "sig"})
    assert status(client, forged(house, b"s" * 40, kid="o")) == 401


def test_times_may_be_ahead_by_a_few_seconds_and_an_end_is_the_end(client: FlaskClient, house: FakeHouse) -> None:
    now = house.clock.now() // SECOND
    assert status(client, signed(claims(house, iat=now + 5, nbf=now + 5))) == 200
    assert status(client, signed(claims(house, iat=now + 15))) == 401
    assert status(client, signed(claims(house, nbf=now + 15))) == 401
    assert status(client, signed(claims(house, exp=now))) == 401


@pytest.mark.parametrize("changes", [{"typ": "Refresh"}, {"typ": "ID"}, {"type": "refresh"}, {"nbf": "soon"}, {"nbf": True}])
def test_another_kind_of_token_opens_nothing(client: FlaskClient, house: FakeHouse, changes: dict[str, Any]) -> None:
    assert status(client, signed(claims(house, **changes))) == 401


@pytest.mark.parametrize("name", ["sub", "tenant_id", "jti"])
@pytest.mark.parametrize("value", ["a\0b", "a\nb", "\ud800", "x" * 257])
def test_an_id_that_is_none_is_refused(client: FlaskClient, house: FakeHouse, name: str, value: str) -> None:
    assert status(client, signed(claims(house, **{name: value}))) == 401


@pytest.mark.parametrize("exp", [10**400, 1e300, float("nan"), float("-inf"), -(10**30)])
def test_an_absurd_end_is_refused(client: FlaskClient, house: FakeHouse, exp: float) -> None:
    assert status(client, signed(claims(house, exp=exp))) == 401


def test_a_far_end_is_no_error(client: FlaskClient, house: FakeHouse) -> None:
    assert status(client, signed(claims(house, exp=10**15))) == 200


# -- what happens to the set


def eventually(client: FlaskClient, token: str, wanted: int) -> None:
    until = time.monotonic() + 5
    while status(client, token) != wanted:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_new_key_is_found_by_its_kid(monkeypatch: pytest.MonkeyPatch) -> None:
    house, client = with_set(jwk("rsa", kid="a"))
    assert status(client, from_elsewhere(house, "rsa", kid="a")) == 200
    house.outside[URL] = key_set(jwk("rsa", kid="a"), jwk("ec", kid="b"))
    house.clock.advance(int(keyring.PAUSE) * SECOND)
    token = from_elsewhere(house, "ec", kid="b")
    assert status(client, token) == 401  # what is known answers; the set is being fetched
    eventually(client, token, 200)


def test_tokens_of_a_key_no_longer_published_end_though_they_were_verified_before() -> None:
    house, client = with_set(jwk("rsa", kid="a"), jwk("ec", kid="b"))
    ended, standing = from_elsewhere(house, "rsa", kid="a"), from_elsewhere(house, "ec", kid="b")
    assert [status(client, token) for token in (ended, standing)] == [200, 200]
    house.outside[URL] = key_set(jwk("ec", kid="b"))
    house.clock.advance(int(keyring.MAX_AGE) * SECOND)
    assert status(client, standing) == 200  # begins the refresh
    for _ in range(200):
        time.sleep(0.01)
        house.clock.advance(2 * SECOND)
        if status(client, ended) == 401:
            break
    assert [status(client, token) for token in (ended, standing)] == [401, 200]


def test_a_provider_that_is_away_costs_nobody_but_its_own() -> None:
    house = FakeHouse(jwt_jwks_url=URL)
    client = application(house).test_client()
    assert status(client, from_elsewhere(house, "rsa")) == 401
    assert status(client, signed(claims(house))) == 200
    house.outside[URL] = key_set(jwk("rsa"))
    house.clock.advance(int(keyring.PAUSE) * SECOND)
    eventually(client, from_elsewhere(house, "rsa"), 200)


# -- settings


def test_a_public_key_that_is_none_does_not_start() -> None:
    for settings in ({"jwt_public_key": "nonsense"}, {"jwt_secret_key": public_pem("rsa")}):
        with pytest.raises(MisconfiguredError):
            application(FakeHouse(**settings))


def test_a_key_set_that_may_not_be_asked_does_not_start() -> None:
    with pytest.raises(MisconfiguredError, match=r"JWT_JWKS_URL='http://idp\.example/' must begin with https"):
        build_house(Settings(jwt_secret_key=SECRET, jwt_jwks_url="http://idp.example/"))


def test_the_environment_names_the_keys() -> None:
    found = settings_from({"JWT_PUBLIC_KEY": public_pem("ec"), "JWT_JWKS_URL": URL, "JWT_ISSUER": "https://idp.example"})
    assert (found.jwt_public_key, found.jwt_jwks_url, found.jwt_issuer) == (public_pem("ec"), URL, "https://idp.example")
    assert SECRET not in repr(Settings(jwt_secret_key=SECRET))


# -- revocations over processes and restarts


def test_a_token_revoked_in_one_process_ends_in_the_others_within_five_seconds_and_for_good(house: FakeHouse) -> None:
    here, there = (application(house).test_client() for _ in range(2))
    admin = {"X-API-Key": house.make_key()}
    by_token, by_id, kept = (signed(claims(house, jti=jti)) for jti in ("j1", "j2", "j3"))
    assert [status(c, token) for c in (here, there) for token in (by_token, by_id, kept)] == [200] * 6
    for body in ({"token": by_token}, {"jti": "j2"}):
        assert here.post("/api/v1/management/tokens/revoke", json=body, headers=admin).status_code == 200
    assert [status(here, token) for token in (by_token, by_id, kept)] == [401, 401, 200]
    assert isinstance(house.clock, ManualClock)
    house.clock.advance(4 * SECOND)
    assert [status(there, token) for token in (by_token, by_id, kept)] == [401, 401, 200]
    restarted = application(house).test_client()
    assert [status(restarted, token) for token in (by_token, by_id, kept)] == [401, 401, 200]


def test_a_token_that_cannot_be_verified_yet_can_be_ended() -> None:
    house = FakeHouse(jwt_jwks_url=URL)
    client, admin = application(house).test_client(), {"X-API-Key": house.make_key()}
    later = signed(claims(house, jti="later", nbf=house.clock.now() // SECOND + 60))
    for token in (from_elsewhere(house, "rsa"), later, signed(claims(house, jti="over", exp=1)), "a.b.c", "nonsense"):
        assert client.post("/api/v1/management/tokens/revoke", json={"token": token}, headers=admin).status_code == 200
    assert len(house.revocations.since(0)) == 2  # what has ended, and what is no token, is not written down
    house.outside[URL] = key_set(jwk("rsa"))
    house.clock.advance(60 * SECOND)
    eventually(client, signed(claims(house, jti="other"), private_key("rsa"), "RS256"), 200)
    assert (status(client, from_elsewhere(house, "rsa")), status(client, later)) == (401, 401)


def test_a_token_ends_with_the_key_it_was_exchanged_for(client: FlaskClient, house: FakeHouse) -> None:
    key = {"X-API-Key": house.make_key(expires_in=60)}
    token = client.post("/api/v1/management/tokens", headers=key).get_json()["access_token"]
    assert status(client, token) == 200
    house.clock.advance(60 * SECOND)
    assert status(client, token) == 401


def test_the_same_token_id_of_another_tenant_goes_on(client: FlaskClient, house: FakeHouse, admin: dict[str, str]) -> None:
    theirs = signed(claims(house, tenant_id="t2"))
    assert status(client, theirs) == 200
    assert client.post("/api/v1/management/tokens/revoke", json={"jti": "j1"}, headers=admin).status_code == 200
    assert (status(client, theirs), status(client, signed(claims(house)))) == (200, 401)


def test_revocations_are_forgotten_some_time_after_the_tokens_would_have_ended(
    client: FlaskClient, house: FakeHouse, admin: dict[str, str]
) -> None:
    def revoke(jti: str) -> None:
        body = {"token": signed(claims(house, jti=jti))}
        assert client.post("/api/v1/management/tokens/revoke", json=body, headers=admin).status_code == 200

    revoke("j1")
    house.clock.advance(30 * MINUTE)
    revoke("j2")
    assert len(house.revocations.since(0)) == 2
    house.clock.advance(60 * MINUTE)
    revoke("j3")
    assert len(house.revocations.since(0)) == 2


def test_a_store_that_hangs_holds_nobody_up_twice(client: FlaskClient, house: FakeHouse, admin: dict[str, str]) -> None:
    assert client.get(HEALTH, headers=admin).status_code == 200
    release = house.keys.hang()
    house.clock.advance(4 * SECOND)
    began = time.perf_counter()
    assert [client.get(HEALTH, headers=admin).status_code for _ in range(20)] == [200] * 20
    assert time.perf_counter() - began < 1.5
    release()
