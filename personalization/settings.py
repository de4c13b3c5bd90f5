"""The only reader of the environment. Everything else is handed a Settings."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from personalization.errors import MisconfiguredError

PRODUCTION, DEVELOPMENT, DEMO = "production", "development", "demo"
MINIMUM_SECRET_BYTES = 32
#: What stands for every secret in the examples of deploy/.
PLACEHOLDER = "change-me"


class RateLimit(NamedTuple):
    """So many calls of one principal in so many seconds."""

    calls: int
    seconds: int


DEFAULT_RATE_LIMIT = RateLimit(1000, 1)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator decided. `encryption_keys`: (id, 32 bytes), newest first."""

    app_env: str = PRODUCTION
    database_url: str = ""
    redis_url: str | None = None
    state_dir: Path = Path("var")
    jwt_secret_key: str | None = field(default=None, repr=False)
    jwt_public_key: str | None = None
    jwt_jwks_url: str | None = None
    jwt_issuer: str = "personalization"
    encryption_keys: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    rate_limit: RateLimit = DEFAULT_RATE_LIMIT
    data_dir: Path | None = None
    port: int = 8000
    log_level: str = "INFO"

    @property
    def relaxed(self) -> bool:
        """Whether missing secrets are made up and open docs allowed (demo and development)."""
        return self.app_env != PRODUCTION

    @property
    def sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def secrets_file(self) -> Path:
        return self.state_dir / "secrets.json"

    def weaknesses(self) -> list[str]:
        """What is too weak for production, each sentence with its mend."""
        found = []
        if not self.jwt_secret_key or len(self.jwt_secret_key.encode()) < MINIMUM_SECRET_BYTES:
            found.append(
                f"JWT_SECRET_KEY is missing or under {MINIMUM_SECRET_BYTES} bytes: set it to the output of `openssl rand -hex 32`"
            )
        if not self.encryption_keys:
            found.append("ENCRYPTION_KEYS is missing: set it to `k1:$(openssl rand -base64 32)`")
        urls = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url or ""}
        found += [
            f"{name} has the examples' password: set another one, there and here"
            for name, url in urls.items()
            if PLACEHOLDER in url
        ]
        return found


def settings_from(environment: Mapping[str, str] | None = None, app_env: str = PRODUCTION) -> Settings:
    """Read the environment; `app_env` holds where APP_ENV is not set. Raises MisconfiguredError naming the variable and how
    to write it."""
    env = os.environ if environment is None else environment
    state_dir = Path(env.get("STATE_DIR") or "./var")
    return Settings(
        app_env=_one_of(env, "APP_ENV", (PRODUCTION, DEVELOPMENT, DEMO), app_env),
        database_url=_database_url(env.get("DATABASE_URL") or f"sqlite:///{state_dir.absolute()}/personalization.db"),
        redis_url=env.get("REDIS_URL") or None,
        state_dir=state_dir,
        jwt_secret_key=env.get("JWT_SECRET_KEY") or None,
        jwt_public_key=env.get("JWT_PUBLIC_KEY") or None,
        jwt_jwks_url=env.get("JWT_JWKS_URL") or None,
        jwt_issuer=env.get("JWT_ISSUER") or "personalization",
        encryption_keys=_encryption_keys(env.get("ENCRYPTION_KEYS") or ""),
        rate_limit=_rate(env.get("RATE_LIMIT") or "1000/second"),
        data_dir=Path(env["PERSONALIZATION_DATA"]) if env.get("PERSONALIZATION_DATA") else None,
        port=_port(env.get("PORT") or "8000"),
        log_level=(env.get("LOG_LEVEL") or "INFO").upper(),
    )


def _one_of(env: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    value = env.get(name) or default
    if value not in choices:
        raise MisconfiguredError(f"{name}={value!r} is not one of {', '.join(choices)}")
    return value


def _database_url(url: str) -> str:
    url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", url)
    if not url.startswith(("sqlite:///", "postgresql+psycopg2://")):
        raise MisconfiguredError("DATABASE_URL must begin with sqlite:/// or postgresql+psycopg2://")
    return url


def _encryption_keys(text: str) -> tuple[tuple[str, bytes], ...]:
    keys = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        key_id, _, encoded = part.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not key_id or len(key) != MINIMUM_SECRET_BYTES:
            raise MisconfiguredError("ENCRYPTION_KEYS must read id:base64 of 32 bytes, comma-separated, newest first")
        keys.append((key_id, key))
    return tuple(keys)


def _rate(text: str) -> RateLimit:
    """Of "1000/second", "60/minute", "5 per hour"."""
    found = re.fullmatch(r"\s*(\d+)\s*(?:/|per)\s*(second|minute|hour|day)s?\s*", text)
    if not found or int(found[1]) == 0:
        raise MisconfiguredError(f"RATE_LIMIT={text!r} is not like 1000/second")
    return RateLimit(int(found[1]), {"second": 1, "minute": 60, "hour": 3600, "day": 86400}[found[2]])


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise MisconfiguredError(f"PORT={text!r} is not a port number")
    return int(text)
