"""Several processes at once, and processes that die."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from personalization.bootstrap import build_house
from personalization.client import Client
from personalization.clock import SystemClock, rfc3339
from personalization.errors import MisconfiguredError
from personalization.settings import Settings
from tests.faults.conftest import KEYS, ROOT, Server, prepared, rebuilt

WRITERS, EACH, CALL = 4, 2_500, 100

THROUGH_THE_SERVER = f"""
import sys
from personalization.client import Client
from personalization.clock import SystemClock, rfc3339
url, key, name = sys.argv[1:]
client, now = Client(url, key), rfc3339(SystemClock().now())
for start in range(0, {EACH}, {CALL}):
    common = dict(type="opened", user_id="u", channel="email", occurred_at=now)
    events = [dict(common, event_id=f"{{name}}-{{i}}") for i in range(start, start + {CALL})]
    receipt = client.record(events)
    assert receipt["accepted"] == {CALL}, receipt
"""

STRAIGHT_TO_THE_DATABASE = f"""
import sys
from personalization.bootstrap import build_house
from personalization.clock import SystemClock
from personalization.messages import EngagementEvent
from personalization.security.cipher import EnvelopeCipher
from personalization.settings import Settings
from personalization.storage.sql.open import open_sql_storage
from personalization.vocabulary import EventType
from tests.faults.conftest import KEYS
url, _, name = sys.argv[1:]
clock = SystemClock()
house = build_house(Settings(), clock, open_sql_storage(url, EnvelopeCipher(KEYS)))
service = house.service("acme")
for start in range(0, {EACH}, {CALL}):
    common = dict(type=EventType.OPENED, user_id="u", channel="email", occurred_at=clock.now())
    events = [EngagementEvent(event_id=f"{{name}}-{{i}}", **common) for i in range(start, start + {CALL})]
    assert service.record(events).accepted == {CALL}
"""


def write_together(script: str, url: str, key: str) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", script, url, key, f"w{i}"], cwd=ROOT) for i in range(WRITERS)]
    assert [writer.wait(120) for writer in writers] == [0] * WRITERS


def settled(client: Client, wanted: int) -> int:
    """The user's events as the profile counts them, once there are as many as wanted or the patience is over."""
    until = time.monotonic() + 20
    while True:
        counted = int(client.call("GET", "/personalization/profiles/u")["behavioral_patterns"]["interaction_patterns"]["events"])
        if counted >= wanted or time.monotonic() > until:
            return counted
        time.sleep(0.1)


def test_four_processes_through_one_server_on_sqlite_lose_nothing(serve: Callable[..., Server], sqlite_url: str, key: str) -> None:
    prepared(sqlite_url, key).life.close()
    server = serve(sqlite_url)
    write_together(THROUGH_THE_SERVER, server.url, key)
    assert settled(server.client(key), WRITERS * EACH) == WRITERS * EACH
    assert server.stop() == 0


def test_four_processes_on_postgresql_lose_nothing(serve: Callable[..., Server], postgres_url: str, key: str) -> None:
    storage = prepared(postgres_url, key)
    server = serve(postgres_url, WEB_CONCURRENCY="1")
    write_together(STRAIGHT_TO_THE_DATABASE, postgres_url, key)
    assert settled(server.client(key), WRITERS * EACH) == WRITERS * EACH
    rows = storage.log.read("acme", 0, 100_000)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    storage.life.close()


def decide_and_click(client: Client, user_id: str) -> str:
    decision = client.personalize({"user_id": user_id, "template_id": "offer", "require_real_time": True})
    event = {"event_id": user_id, "type": "clicked", "user_id": user_id, "decision_id": decision["decision_id"]}
    client.record([{**event, "occurred_at": rfc3339(SystemClock().now())}])
    return str(decision["policy"]["version"])


def learned(client: Client) -> int:
    return max([int(model["performance_metrics"]["decisions"]) for model in client.call("GET", "/ai/models")["items"]], default=0)


def wait_until(true: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.05)


OFFER = {"template_id": "offer", "variants": [{"variant_id": v, "content": {"en": {"text": v}}} for v in "ab"]}


def test_another_process_learns_within_five_seconds_of_the_learners_death(
    serve: Callable[..., Server], postgres_url: str, key: str
) -> None:
    prepared(postgres_url, key).life.close()
    first = serve(postgres_url, WEB_CONCURRENCY="1")
    second = serve(postgres_url, WEB_CONCURRENCY="1")
    client = second.client(key)
    client.create_template(OFFER)
    for i in range(5):
        decide_and_click(client, f"a{i}")
    wait_until(lambda: learned(client) == 5, 5)
    first.kill()
    for i in range(5):
        decide_and_click(client, f"b{i}")
    wait_until(lambda: learned(client) == 10, 5 + 1)


def test_what_one_process_stored_another_one_shows_at_once(serve: Callable[..., Server], postgres_url: str, key: str) -> None:
    prepared(postgres_url, key).life.close()
    here, there = (serve(postgres_url, WEB_CONCURRENCY="1").client(key) for _ in range(2))
    for language in ("de", "fr", "es"):
        for writer, reader in ((here, there), (there, here)):
            writer.call("PUT", "/personalization/profiles/u", {"language": language})
            assert reader.call("GET", "/personalization/profiles/u")["language"] == language
    here.create_template(OFFER)
    decision = there.personalize({"user_id": "u", "template_id": "offer"})
    assert here.call("GET", f"/personalization/decisions/{decision['decision_id']}?replay=true")["replay"]["identical"] is True


def test_a_killed_server_has_everything_it_acknowledged(
    serve: Callable[..., Server], sqlite_url: str, key: str, tmp_path: Path
) -> None:
    prepared(sqlite_url, key).life.close()
    server = serve(sqlite_url)
    client = server.client(key)
    client.create_template(OFFER)
    decisions = {}
    for i in range(60):
        answer = client.personalize({"user_id": f"u{i}", "template_id": "offer", "require_real_time": True})
        decisions[answer["decision_id"]] = answer
        if i % 20 == 19:
            server.kill()
            server.start()
            client = server.client(key)
    for decision_id, answer in decisions.items():
        again = client.call("GET", f"/personalization/decisions/{decision_id}?replay=true")
        assert {name: again[name] for name in answer} == answer
        assert again["replay"]["identical"] is True
    server.stop()
    assert rebuilt(server)["identical"] is True


def test_sigterm_lets_requests_in_flight_finish(serve: Callable[..., Server], sqlite_url: str, key: str) -> None:
    prepared(sqlite_url, key).life.close()
    server = serve(sqlite_url)
    server.client(key).create_template(OFFER)
    script = (
        "import sys; from personalization.client import Client; c = Client(*sys.argv[1:], timeout=30)\n"
        "r = c.batch([dict(user_id=f'u{i}', template_id='offer') for i in range(1000)])\n"
        "assert [x['status'] for x in r] == [200] * 1000"
    )
    caller = subprocess.Popen([sys.executable, "-c", script, server.url, key], cwd=ROOT)
    time.sleep(0.7)
    server.process.send_signal(signal.SIGTERM)
    assert caller.wait(30) == 0
    assert server.process.wait(40) == 0


def test_a_second_long_running_process_on_a_sqlite_file_is_refused(serve: Callable[..., Server], sqlite_url: str, key: str) -> None:
    prepared(sqlite_url, key).life.close()
    server = serve(sqlite_url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("personalization.bootstrap._LOCK_WAIT", 0.2)
        with pytest.raises(MisconfiguredError, match="serves one long-running process"):
            build_house(Settings(database_url=sqlite_url, jwt_secret_key="x" * 64, encryption_keys=KEYS))
    assert server.stop() == 0
