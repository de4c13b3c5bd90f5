from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from personalization.errors import MisconfiguredError
from personalization.lab.checkup import Check, examine
from personalization.settings import DEVELOPMENT, PRODUCTION, Settings
from tests.signing import Provider, jwk, key_set, private_pem, public_pem


def by_name(found: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in found}


def settings(folder: Path, app_env: str) -> Settings:
    return Settings(app_env=app_env, state_dir=folder, database_url=f"sqlite:///{folder}/p.db")


def test_a_fresh_development_machine_is_in_order_and_stays_untouched(tmp_path: Path) -> None:
    found = examine(lambda: settings(tmp_path, DEVELOPMENT))
    assert all(check.ok for check in found), found
    assert list(tmp_path.iterdir()) == []


def test_weak_secrets_in_production_are_a_problem_with_a_mend(tmp_path: Path) -> None:
    weak = [check for check in examine(lambda: settings(tmp_path, PRODUCTION)) if not check.ok]
    assert [check.name for check in weak] == ["secrets", "secrets"]
    assert all("openssl" in check.mend for check in weak)


def test_settings_that_cannot_be_read_are_said_first() -> None:
    def broken() -> Settings:
        raise MisconfiguredError("PORT='x' is not a port number")

    assert examine(broken)[0] == Check("settings", False, "PORT='x' is not a port number", "Correct the variable and try again.")


def test_a_redis_that_does_not_answer_is_a_problem(tmp_path: Path) -> None:
    away = Settings(
        app_env=DEVELOPMENT, state_dir=tmp_path, database_url=f"sqlite:///{tmp_path}/p.db", redis_url="redis://127.0.0.1:9/0"
    )
    assert not by_name(examine(lambda: away))["redis"].ok


def test_no_password_is_shown(tmp_path: Path) -> None:
    away = Settings(app_env=DEVELOPMENT, state_dir=tmp_path, database_url="postgresql+psycopg2://me:hidden@127.0.0.1:9/p")
    found = by_name(examine(lambda: away))
    assert not found["database"].ok
    assert "hidden" not in "".join(check.finding for check in found.values())


def token_check(folder: Path, **given: Any) -> Check:
    found = by_name(
        examine(lambda: Settings(app_env=DEVELOPMENT, state_dir=folder, database_url=f"sqlite:///{folder}/p.db", **given))
    )
    return found["JWT_PUBLIC_KEY" if "jwt_public_key" in given else "JWT_JWKS_URL"]


def test_a_good_public_key_is_described_with_the_issuer_it_needs(tmp_path: Path) -> None:
    found = token_check(tmp_path, jwt_public_key=public_pem("rsa"), jwt_issuer="https://idp.example")
    assert found.ok
    assert "RSA of 2048 bits for RS256" in found.finding
    assert "https://idp.example" in found.finding


@pytest.mark.parametrize(
    ("pem", "finding", "mend"),
    [
        (lambda: private_pem("rsa"), "private key", "public half"),
        (lambda: public_pem("rsa1024"), "too weak", "2048"),
        (lambda: "nonsense", "not a public key", "PEM"),
    ],
)
def test_a_bad_public_key_is_a_problem_with_a_mend(tmp_path: Path, pem: Any, finding: str, mend: str) -> None:
    found = token_check(tmp_path, jwt_public_key=pem())
    assert (found.ok, finding in found.finding, mend in found.mend) == (False, True, True), found


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.close()


def test_a_key_set_is_fetched_and_described(tmp_path: Path, provider: Provider) -> None:
    found = token_check(tmp_path, jwt_jwks_url=provider.url)
    assert (found.ok, "RSA of 2048 bits for RS256 (kid one)" in found.finding) == (True, True)
    provider.document = key_set(jwk("rsa1024"), {"kty": "oct", "k": "c2VjcmV0"})
    found = token_check(tmp_path, jwt_jwks_url=provider.url)
    assert (found.ok, "no usable key" in found.finding, "2048" in found.mend) == (False, True, True)
    provider.document = b"<html>"
    found = token_check(tmp_path, jwt_jwks_url=provider.url)
    assert (found.ok, "it is not JSON" in found.finding, "jwks_uri" in found.mend) == (False, True, True)


@pytest.mark.parametrize(("url", "finding"), [("http://127.0.0.1:9/jwks", "does not answer"), ("http://idp.example/", "https://")])
def test_a_key_set_out_of_reach_is_a_problem(tmp_path: Path, url: str, finding: str) -> None:
    found = token_check(tmp_path, jwt_jwks_url=url)
    assert (found.ok, finding in found.finding) == (False, True)
