"""kill -9 at any moment, again and again: what was acknowledged is there, once, and nothing was counted twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import psycopg2
import pytest

from personalization.client import Client, Unreachable
from personalization.clock import SystemClock, rfc3339
from personalization.storage.base import Storage
from tests.faults.conftest import Server, logged, prepared, rebuilt

USERS = 40
OFFER = {"template_id": "offer", "variants": [{"variant_id": v, "content": {"en": {"text": v}}} for v in "ab"]}


class Caller(Thread):
    """Decides and reports without pause; what is not acknowledged is sent again, unchanged, until it is."""

    def __init__(self, name: str, url: str, key: str, stop: Event) -> None:
        super().__init__(name=name)
        self._url, self._key, self._end = url, key, stop
        self.events: list[str] = []
        self.decisions: list[str] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        client = Client(self._url, self._key, timeout=10)
        n = 0
        try:
            while not self._end.is_set():
                self._round(client, n)
                n += 1
        except Exception as failure:
            self.failure = failure
        finally:
            client.close()

    def _round(self, client: Client, n: int) -> None:
        user_id = f"u{n % USERS}"
        request = {"user_id": user_id, "template_id": "offer", "decision_id": f"{self.name}-{n}", "require_real_time": True}
        decision = _until_answered(lambda: client.personalize(request))
        self.decisions.append(decision["decision_id"])
        common = {"user_id": user_id, "occurred_at": rfc3339(SystemClock().now())}
        names = [f"{self.name}-{n}-{i}" for i in range(4)]
        events = [{**common, "event_id": name, "type": "custom", "name": name} for name in names]
        events[0] |= {"type": "clicked", "decision_id": decision["decision_id"]}
        receipt = _until_answered(lambda: client.record(events))
        assert receipt["accepted"] + receipt["duplicates"] == len(events), receipt
        self.events += names[1:]


def _until_answered(call: Callable[[], dict]) -> dict:
    until = time.monotonic() + 40
    while True:
        with suppress(Unreachable):
            return call()
        assert time.monotonic() < until, "no answer for 40 s"
        time.sleep(0.02)


@contextmanager
def traffic(url: str, key: str, callers: int = 3) -> Iterator[list[Caller]]:
    stop = Event()
    threads = [Caller(f"c{i}", url, key, stop) for i in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [thread.failure for thread in threads] == [None] * callers


def workers(server: Server) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def kill(pids: list[int], rng: random.Random) -> int:
    """How many of one were killed: there is none while gunicorn makes a new one."""
    if not pids:
        return 0
    try:
        os.kill(rng.choice(pids), signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1


def followers(postgres_url: str) -> list[int]:
    """The processes that lead, as the database knows them."""
    with psycopg2.connect(postgres_url.replace("+psycopg2", "")) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid)"
            " WHERE locktype = 'advisory' AND granted AND datname = current_database()"
            " AND application_name LIKE 'personalization follower %'"
        )
        found = [int(name.rsplit(" ", 1)[1]) for (name,) in cursor.fetchall()]
    connection.close()
    return found


def expect_everything_once(storage: Storage, callers: list[Caller]) -> None:
    rows = logged(storage)
    named = Counter(row.name for row in rows if row.name is not None)
    decided = Counter(row.decision_id for row in rows if row.type == "decided")
    clicked = Counter(row.decision_id for row in rows if row.type == "clicked")
    for caller in callers:
        assert {name: named[name] for name in caller.events} == dict.fromkeys(caller.events, 1)
        assert {id_: decided[id_] for id_ in caller.decisions} == dict.fromkeys(caller.decisions, 1)
    assert max(named.values()) == max(decided.values()) == max(clicked.values()) == 1


def expect_the_live_state_of_the_log(server: Server) -> None:
    """What was learned and projected is what the log says: nothing is missing, nothing counted twice."""
    assert rebuilt(server)["identical"] is True


def run(server: Server, storage: Storage, key: str, times: int, victims: Callable[[], list[int]]) -> None:
    rng = random.Random(times)
    server.client(key).create_template(OFFER)
    with traffic(server.url, key) as callers:
        killed, until = 0, time.monotonic() + 3 * times
        while killed < times:
            time.sleep(rng.uniform(0.05, 0.45))
            killed += kill(victims(), rng)
            assert time.monotonic() < until, f"only {killed} of {times} were killed"
    assert server.process.poll() is None
    assert len([event for caller in callers for event in caller.events]) > times
    assert server.stop() == 0
    expect_everything_once(storage, callers)
    expect_the_live_state_of_the_log(server)


@pytest.mark.parametrize("times", [20, pytest.param(80, marks=pytest.mark.long)])
def test_a_server_on_sqlite_may_be_killed_at_any_moment(
    serve: Callable[..., Server], sqlite_url: str, key: str, times: int
) -> None:
    storage = prepared(sqlite_url, key)
    server = serve(sqlite_url, GUNICORN_CMD_ARGS="--preload")
    run(server, storage, key, times, lambda: workers(server))


@pytest.mark.parametrize("times", [30, pytest.param(120, marks=pytest.mark.long)])
def test_servers_on_postgresql_and_their_learner_may_be_killed_at_any_moment(
    serve: Callable[..., Server], postgres_url: str, key: str, times: int
) -> None:
    """Every second time it is the one that leads."""
    storage = prepared(postgres_url, key)
    server = serve(postgres_url, GUNICORN_CMD_ARGS="--preload", WEB_CONCURRENCY="2")
    turns = iter(range(10**6))
    run(server, storage, key, times, lambda: followers(postgres_url) if next(turns) % 2 else workers(server))
