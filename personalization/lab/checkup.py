"""What `personalization doctor` looks at: one finding after the other, each with its mend."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from personalization.clock import SystemClock, zone
from personalization.errors import MisconfiguredError, OutboundFailed, PersonalizationError
from personalization.outbound import Outbound, expect_allowed
from personalization.security.cipher import PlainCipher
from personalization.security.signing_keys import MINIMUM_RSA_BITS, key_of_pem, keys_of_set
from personalization.settings import Settings
from personalization.storage.sql.open import open_sql_storage
from personalization.version import VERSION

_PACKAGES = ("flask", "flask-restx", "gunicorn", "sqlalchemy", "numpy", "msgspec", "cryptography")
_REDIS_TIMEOUT = 0.5


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    finding: str
    mend: str = ""


def examine(read_settings: Callable[[], Settings]) -> list[Check]:
    """Every check there is; without readable settings only those that need none."""
    found = [_versions(), _time_zones()]
    try:
        settings = read_settings()
    except MisconfiguredError as unreadable:
        return [Check("settings", False, str(unreadable), "Correct the variable and try again."), *found]
    found += [Check("settings", True, f"APP_ENV={settings.app_env}, {_without_password(settings.database_url)}")]
    found += [*_secrets(settings), *_tokens(settings)]
    return [*found, _state_dir(settings), *_database(settings), *_redis(settings)]


def _versions() -> Check:
    parts = [f"personalization {VERSION}", f"Python {platform.python_version()}"]
    missing = []
    for package in _PACKAGES:
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    old = sys.version_info < (3, 11)
    mend = f"Install {', '.join(missing)}." if missing else "Use Python 3.11 or newer." if old else ""
    return Check("versions", not mend, ", ".join(parts), mend)


def _time_zones() -> Check:
    try:
        return Check("time zone data", True, f"{zone('Europe/London').key} is known")
    except ValueError as missing:
        return Check("time zone data", False, str(missing), "Install tzdata: `pip install tzdata`.")


def _secrets(settings: Settings) -> Iterator[Check]:
    weak = settings.weaknesses()
    if not weak:
        yield Check("secrets", True, "JWT_SECRET_KEY and ENCRYPTION_KEYS are set")
    elif settings.relaxed:
        yield Check("secrets", True, f"what is not set is made once and kept in {settings.secrets_file}")
    for sentence in weak if not settings.relaxed else ():
        finding, _, mend = sentence.partition(": ")
        yield Check("secrets", False, finding, f"{mend[:1].upper()}{mend[1:]}.")


def _tokens(settings: Settings) -> Iterator[Check]:
    """Who else may sign tokens."""
    if settings.jwt_public_key is not None:
        yield _public_key(settings.jwt_public_key, settings.jwt_issuer)
    if settings.jwt_jwks_url is not None:
        yield _key_set(settings.jwt_jwks_url, settings.jwt_issuer)


def _public_key(pem: str, issuer: str) -> Check:
    try:
        return Check("JWT_PUBLIC_KEY", True, f"{key_of_pem(pem).description}; its tokens must name the issuer {issuer}")
    except MisconfiguredError as wrong:
        finding, _, mend = str(wrong).partition(": ")
        return Check("JWT_PUBLIC_KEY", False, finding, f"{mend[:1].upper()}{mend[1:]}." if mend else "Give it as PEM, or unset it.")


def _key_set(url: str, issuer: str) -> Check:
    try:
        expect_allowed(url, "JWT_JWKS_URL")
        usable = keys_of_set(Outbound(SystemClock()).get(url))
    except MisconfiguredError as wrong:
        return Check("JWT_JWKS_URL", False, str(wrong), "Correct it.")
    except OutboundFailed as away:
        mend = "Start it, let this machine reach it, or correct JWT_JWKS_URL; tokens signed with its keys are refused until then."
        return Check("JWT_JWKS_URL", False, str(away), mend)
    except ValueError as wrong:
        mend = "Give the jwks_uri of the provider's /.well-known/openid-configuration."
        return Check("JWT_JWKS_URL", False, f"{url}: {wrong}", mend)
    if not usable:
        mend = f"Publish an RSA key of at least {MINIMUM_RSA_BITS} bits or an EC P-256 key there, for signatures."
        return Check("JWT_JWKS_URL", False, f"{url} has no usable key", mend)
    listed = ", ".join(key.description for key in usable)
    return Check("JWT_JWKS_URL", True, f"{listed}; its tokens must name the issuer {issuer}")


def _state_dir(settings: Settings) -> Check:
    folder = settings.state_dir
    nearest = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    ok = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    return Check(
        "state folder",
        ok,
        f"{folder} {'can' if ok else 'cannot'} be written",
        "" if ok else f"Let this user write {nearest}, or set STATE_DIR to a folder that may be written.",
    )


def _database(settings: Settings) -> Iterator[Check]:
    """Asks, and changes nothing."""
    if settings.sqlite:
        path = Path(settings.database_url.removeprefix("sqlite:///"))
        if not path.exists():
            yield Check("database", True, f"{path} is made with the first start (SQLite {sqlite3.sqlite_version})")
            return
    try:
        storage = open_sql_storage(settings.database_url, PlainCipher(), SystemClock())
        try:
            storage.life.ping()
            state = storage.life.schema()
        finally:
            storage.life.close()
    except (PersonalizationError, ValueError) as away:
        yield Check("database", False, str(away), "Start it, or correct DATABASE_URL.")
        return
    yield Check("database", True, f"{_without_password(settings.database_url)} answers")
    older = state == "older" and not settings.relaxed
    yield Check("schema", not older, f"is {state}", "Run `personalization migrate`." if older else "")


def _redis(settings: Settings) -> Iterator[Check]:
    if settings.redis_url is None:
        return
    try:
        client = redis.Redis.from_url(
            settings.redis_url,
            socket_connect_timeout=_REDIS_TIMEOUT,
            socket_timeout=_REDIS_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        with client:
            client.ping()
    except (redis.RedisError, ValueError, OSError) as away:
        mend = "Start it, or correct or remove REDIS_URL; without it limits are counted in each process."
        yield Check("redis", False, f"does not answer ({away})", mend)
        return
    yield Check("redis", True, "answers")


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    return f"{scheme}{separator}{user.partition(':')[0]}{at}{place}"
