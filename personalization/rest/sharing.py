"""The hot routes' buckets of several processes, kept level through Redis in the background."""

from __future__ import annotations

from hashlib import blake2b
from threading import Event, Thread

from redis import Redis
from redis.exceptions import RedisError

from personalization import telemetry
from personalization.clock import Clock
from personalization.rest.limits import Buckets, redis_options
from personalization.settings import RateLimit, Settings

#: Seconds between two exchanges, after one that failed, and without a call before the thread ends.
_EVERY, _AFTER_FAILURE, _IDLE = 0.1, 1.0, 5.0
_AT_ONCE = 500

#: A token bucket on Redis's own clock that may go below zero. KEYS: the bucket; ARGV: spent, capacity, rate a second.
_SETTLE = """
local spent, capacity, rate = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local known = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = capacity
if known[1] then
  level = math.min(capacity, tonumber(known[1]) + math.max(0, now - tonumber(known[2])) * rate)
end
level = level - spent
redis.call('HSET', KEYS[1], 'level', string.format('%.6f', level), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((capacity - level) / rate * 1000) + 1000)
return string.format('%.6f', level)
"""


def hot_buckets(settings: Settings, clock: Clock) -> Buckets:
    """Buckets for the hot routes: of all processes together where there is a Redis, of this process alone else."""
    if settings.redis_url is None:
        return Buckets(settings.rate_limit, clock)
    return SharedBuckets(settings.rate_limit, clock, settings.redis_url)


class SharedBuckets(Buckets):
    """Buckets whose levels follow the one in Redis. No call ever waits for Redis.

    Ten times a second a thread tells Redis what was spent here and takes over the level that all processes have left. What
    n processes admit within such a moment may exceed the allowance up to n times, and is paid off before the next call.
    While Redis is away each process counts alone, and `personalization_limiter_degraded` says so; what was spent in an
    exchange that failed is not told again.
    """

    def __init__(self, limit: RateLimit, clock: Clock, redis_url: str) -> None:
        super().__init__(limit, clock)
        self._redis_url = redis_url
        self._spent: dict[str, int] = {}
        self._thread: Thread | None = None
        self._pause = Event()

    def _spend(self, principal: str, cost: int) -> None:
        self._spent[principal] = self._spent.get(principal, 0) + cost
        # The thread of a parent is not alive in its forked child.
        if self._thread is None or not self._thread.is_alive():
            self._thread = Thread(target=self._share, name="limits", daemon=True)
            self._thread.start()

    def _share(self) -> None:
        idle = 0.0
        with Redis.from_url(self._redis_url, **redis_options()) as redis:
            while idle < _IDLE:
                with self._lock:
                    spent, self._spent = self._spent, {}
                idle = 0.0 if spent else idle + _EVERY
                self._pause.wait(_EVERY if self._exchange(redis, spent) else _AFTER_FAILURE)

    def _exchange(self, redis: Redis, spent: dict[str, int]) -> bool:
        """Whether Redis answered."""
        told = list(spent.items())
        try:
            for start in range(0, len(told), _AT_ONCE):
                self._tell(redis, told[start : start + _AT_ONCE])
        except (RedisError, OSError):
            telemetry.LIMITER_DEGRADED.inc()
            return False
        return True

    def _tell(self, redis: Redis, told: list[tuple[str, int]]) -> None:
        pipeline = redis.pipeline(transaction=False)
        for principal, cost in told:
            pipeline.eval(_SETTLE, 1, _key(principal), cost, self._capacity, self._rate)
        levels = pipeline.execute()
        now = self._clock.monotonic()
        with self._lock:
            for (principal, _), level in zip(told, levels, strict=True):
                self._level[principal] = (float(level) - self._spent.get(principal, 0), now)


def _key(principal: str) -> str:
    return f"personalization:hot:{blake2b(principal.encode(), digest_size=16).hexdigest()}"
