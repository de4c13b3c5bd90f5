"""Credentials over real processes: what one revokes ends in all, and stays ended."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest

from tests.faults.conftest import Server, prepared
from tests.signing import Provider, private_key

HEALTH, REVOKE = "/api/v1/management/health", "/api/v1/management/tokens/revoke"


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.close()


def token(jti: str, kid: str = "one", key: str = "rsa") -> str:
    now = int(time.time())
    claims = {
        "sub": "backend",
        "tenant_id": "acme",
        "roles": ["admin"],
        "iss": "personalization",
        "aud": "personalization",
        "exp": now + 300,
        "iat": now,
        "jti": jti,
    }
    return jwt.encode(claims, private_key(key), "RS256", {"kid": kid})


def status(server: Server, path: str = HEALTH, body: Any = None, **headers: str) -> int:
    data = None if body is None else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(server.url + path, data, {"Content-Type": "application/json", **names})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def bearer(server: Server, token: str) -> int:
    return status(server, Authorization=f"Bearer {token}")


def test_a_revocation_reaches_every_process_within_five_seconds_and_outlives_a_restart(
    serve: Callable[..., Server], postgres_url: str, key: str, provider: Provider
) -> None:
    prepared(postgres_url, key).life.close()
    here, there = (serve(postgres_url, WEB_CONCURRENCY="1", JWT_JWKS_URL=provider.url) for _ in range(2))
    ended, kept = token("a"), token("b")
    assert [bearer(server, each) for server in (here, there) for each in (ended, kept)] == [200] * 4
    assert provider.asked == 2
    assert status(here, REVOKE, {"token": ended}, X_API_Key=key) == 200
    revoked_at = time.monotonic()
    assert bearer(here, ended) == 401
    while bearer(there, ended) == 200:
        assert time.monotonic() < revoked_at + 5
        time.sleep(0.02)
    here.kill()
    here.start()
    assert [bearer(server, each) for server in (here, there) for each in (ended, kept)] == [401, 200, 401, 200]


def test_no_header_takes_failed_logins_to_another_address(serve: Callable[..., Server], sqlite_url: str, key: str) -> None:
    prepared(sqlite_url, key).life.close()
    server = serve(sqlite_url, RATE_LIMIT="3/hour")
    dodges = ({"X_Forwarded_For": "10.0.0.1"}, {"X_Real_IP": "10.0.0.2"}, {"Forwarded": "for=10.0.0.3"}, {"X_Forwarded_For": "::1"})
    assert [status(server, X_API_Key="dpk_guess", **dodge) for dodge in dodges] == [401, 401, 401, 429]
    assert status(server, X_API_Key=key) == 200
    assert server.stop() == 0
