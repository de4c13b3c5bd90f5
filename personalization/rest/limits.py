"""How often one principal may call: token buckets in this process for the hot routes, Flask-Limiter for the others.

The buckets of several processes are kept level by `sharing` where there is a Redis; without one every process counts the hot
routes by itself, and with n processes a principal may reach n times the figure. Who calls is told by the credential, or for
failed logins by the address of the connection; X-Forwarded-For and the like are not read.
"""

from __future__ import annotations

import logging
import math
from threading import Lock
from typing import Any

from flask import Flask, request
from flask_limiter import Limiter
from flask_limiter.errors import RateLimitExceeded
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from personalization import telemetry
from personalization.clock import SECOND, Clock
from personalization.errors import RateLimited
from personalization.rest.answering import LIMIT_HEADERS
from personalization.settings import RateLimit, Settings

#: Where the guard leaves whom Flask-Limiter counts for.
LIMITED_BY = "personalization.limited_by"

LimitHeaders = tuple[tuple[str, str], ...]

_PRINCIPALS = 50_000
_REDIS_TIMEOUT = 0.05


class Buckets:
    """A token bucket for each principal. O(1) a call, bounded in memory; thread-safe.

    A cost above the bucket's capacity is admitted when the bucket is full, and paid off before the next call.
    """

    def __init__(self, limit: RateLimit, clock: Clock) -> None:
        self._calls = limit.calls
        self._rate, self._capacity = limit.calls / limit.seconds, float(limit.calls)
        self._clock = clock
        self._level: dict[str, tuple[float, float]] = {}
        self._lock = Lock()

    def take(self, principal: str, cost: int, environ: dict[str, Any]) -> None:
        """Spend `cost` calls and leave the X-RateLimit headers for the answer. Raises RateLimited."""
        now = self._clock.monotonic()
        with self._lock:
            level = self._filled(principal, now)
            admitted = level >= min(cost, self._capacity)
            if admitted:
                level -= cost
                self._spend(principal, cost)
            self._level[principal] = (level, now)
        environ[LIMIT_HEADERS] = _as_headers(self._calls, level, (self._capacity - level) / self._rate)
        if not admitted:
            telemetry.LIMITED.labels("hot").inc()
            raise RateLimited(_seconds((min(cost, self._capacity) - level) / self._rate))

    def _spend(self, principal: str, cost: int) -> None:
        """Called under the lock for every call admitted."""

    def _filled(self, principal: str, now: float) -> float:
        known = self._level.get(principal)
        if known is None:
            self._make_room()
            return self._capacity
        return min(self._capacity, known[0] + (now - known[1]) * self._rate)

    def _make_room(self) -> None:
        if len(self._level) >= _PRINCIPALS:
            self._level.pop(next(iter(self._level)), None)


class ColdLimit:
    """Flask-Limiter over every route that is not hot, counted together for a principal (or an address).

    Counts live in Redis when there is one; while it does not answer within 50 ms they live in this process, and
    `personalization_limiter_degraded` says so. An error of the limiter never refuses a call.
    """

    def __init__(self, app: Flask, settings: Settings, clock: Clock) -> None:
        calls, period = settings.rate_limit
        self._limiter = Limiter(
            _counted_for,
            storage_uri=settings.redis_url or "memory://",
            storage_options=redis_options() if settings.redis_url else {},
            in_memory_fallback_enabled=settings.redis_url is not None,
            swallow_errors=True,
            key_prefix="personalization",
        )
        # Known to the app beforehand, the limiter does not hook itself into every request: the guard calls it.
        app.extensions.setdefault("limiter", set()).add(self._limiter)
        self._limiter.init_app(app)
        self._limiter.logger.addFilter(_counting_degradation)
        self._check = self._limiter.shared_limit(f"{calls} per {period} second", scope="cold")(_pass)
        self._clock, self._calls, self._period = clock, calls, period

    def take(self, principal: str, environ: dict[str, Any]) -> None:
        """Count one more call and leave the X-RateLimit headers for the answer. Raises RateLimited."""
        environ[LIMITED_BY] = principal
        try:
            self._check()
        except RateLimitExceeded:
            telemetry.LIMITED.labels("cold").inc()
            raise RateLimited(_seconds(self._window()[1])) from None
        finally:
            environ[LIMIT_HEADERS] = _as_headers(self._calls, *self._window())

    def _window(self) -> tuple[float, float]:
        """(calls left, seconds until the window ends)."""
        limit = self._limiter.current_limit
        try:
            reset_at, remaining = limit.window if limit else (0.0, self._calls)
        except (RedisError, OSError):
            telemetry.LIMITER_DEGRADED.inc()
            return self._calls, self._period
        return remaining, min(self._period, reset_at - self._clock.now() / SECOND)


def _as_headers(limit: int, remaining: float, reset: float) -> LimitHeaders:
    return (
        ("X-RateLimit-Limit", str(limit)),
        ("X-RateLimit-Remaining", str(max(0, int(remaining)))),
        ("X-RateLimit-Reset", str(_seconds(reset))),
    )


def _seconds(wait: float) -> int:
    return max(1, math.ceil(wait))


def _pass() -> None:
    """What Flask-Limiter wraps."""


def _counted_for() -> str:
    return str(request.environ[LIMITED_BY])


def redis_options() -> dict[str, Any]:
    """Without these a silent Redis costs five seconds a call, and a refusing one four."""
    return {
        "socket_timeout": _REDIS_TIMEOUT,
        "socket_connect_timeout": _REDIS_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
    }


def _counting_degradation(record: logging.LogRecord) -> bool:
    if record.levelno >= logging.WARNING:
        telemetry.LIMITER_DEGRADED.inc()
    return True
