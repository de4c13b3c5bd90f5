"""A canary in every field a caller can fill, for one person; once that person is erased none sings anywhere."""

from __future__ import annotations

import gc
import json
import re
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest
from flask.testing import FlaskClient

from personalization.bootstrap import House, build_house, create_app
from personalization.clock import ManualClock, SystemClock, rfc3339
from personalization.errors import Erased
from personalization.messages import EngagementEvent, PersonalizationRequest
from personalization.operations.rebuilding import rebuild
from personalization.security.identity import new_key
from personalization.settings import DEVELOPMENT, Settings
from personalization.storage.base import ApiKeyRecord
from personalization.vocabulary import EventType
from tests.conftest import Reopen
from tests.faults.conftest import ROOT, Server, prepared
from tests.following import follow

#: method, path below /api/v1, body, headers -> the answer's status and JSON
Call = Callable[..., tuple[int, Any]]

OFFER = {
    "template_id": "offer",
    "variants": [{"variant_id": v, "content": {"en": {"text": v + " {{ user.name | default: 'you' }} {{ mood }}"}}} for v in "ab"],
}
#: Fields that are sealed, hashed or never written: not even the database's own log may show them.
SEALED = frozenset({"user", "attribute", "attributekey", "value", "content", "text", "metadata", "metadatakey", "event", "key"})
BYSTANDERS = 12
ZONE = "Antarctica/Troll"


class Canaries:
    """Words nobody else uses, all with one beginning, each ending in the name of its field."""

    def __init__(self) -> None:
        self.beginning = "c" + secrets.token_hex(3)
        self.fields = {"l"}

    def __call__(self, field: str) -> str:
        self.fields.add(field)
        return self.beginning + field

    def heard(self, data: bytes) -> set[str]:
        """Which fields; "?" for a beginning whose end nobody planted; "zone" for the one nobody else lives in."""
        zone = {"zone"} if ZONE.encode() in data else set()
        ends = re.findall(self.beginning.encode() + rb"([a-z]{0,20})", data)
        return zone | {max((f for f in self.fields if end.startswith(f.encode())), key=len, default="?") for end in set(ends)}

    def heard_in(self, *paths: Path) -> set[str]:
        return set().union(*(self.heard(path.read_bytes()) for path in paths if path.exists()))


def now() -> str:
    return rfc3339(SystemClock().now())


def plant(call: Call, canary: Canaries) -> list[str]:
    """One person with a canary in everything, bystanders before and after; the ids of the person's decisions."""
    expect(call, 201, "POST", "/personalization/templates", OFFER)
    bystanders(call, "before")
    decided = [decision["decision_id"] for decision in _person(call, canary)]
    bystanders(call, "after")
    return decided


def bystanders(call: Call, name: str) -> None:
    people = [{"user_id": f"{name}{i}", "traits": {"plan": "pro"}, "language": "en"} for i in range(BYSTANDERS)]
    expect(call, 200, "POST", "/personalization/profiles", {"profiles": people})
    asked = [
        {"user_id": p["user_id"], "template_id": "offer", "context": {"mood": "fine"}, "require_real_time": True} for p in people
    ]
    answers = expect(call, 200, "POST", "/personalization/batch", {"requests": asked})["results"]
    clicks = [
        _event(f"{name}{i}", a["decision"]["user_id"], decision_id=a["decision"]["decision_id"]) for i, a in enumerate(answers)
    ]
    assert expect(call, 202, "POST", "/personalization/events", {"events": clicks})["accepted"] == BYSTANDERS


def _person(call: Call, canary: Canaries) -> Iterator[Any]:
    user, path = canary("user"), quote(canary("user"))
    channel = canary("channel")
    profile = {
        "attributes": {"name": canary("attribute"), canary("attributekey"): 1},
        "traits": {"plan": canary("trait"), canary("traitkey"): 1.5, "list": [canary("listed")]},
        "language": f"en-{canary('l')}",
        "timezone": ZONE,
        "content_preferences": {"topics": [canary("topic")], "tone": canary("tone"), "length": canary("length")},
        "channel_preferences": {channel: 0.9},
        "reachability": {canary("reach"): True},
    }
    for _ in range(3):  # rewritten, so that rows move
        expect(call, None, "PUT", f"/personalization/profiles/{path}", profile)
        profile["traits"]["more"] = "x" * 300  # type: ignore[index]
    expect(call, 200, "PUT", f"/management/users/{path}/consent", {"marketing": True, "channels": {canary("consent"): True}})
    sections = {"content_preferences": {"tone": canary("preferred")}, "trigger": "context_shift"}
    expect(call, 200, "PUT", f"/insights/users/{path}/preferences", sections)
    asked = {"user_id": user, "channels": [channel], "require_real_time": True, "explain": True}
    context = {"mood": canary("value"), canary("contextkey"): 1, "note": canary("context")}
    for i in range(3):
        named = {"decision_id": canary("decision") + str(i)} if i else {}
        body = {**asked, **named, "template_id": "offer", "context": context}
        yield expect(call, 200, "POST", "/personalization/personalize", body)
    inline = {**asked, "content": {"text": canary("content") + " {{ mood }}"}, "context": context, "decision_id": canary("inline")}
    yield expect(call, 200, "POST", "/personalization/personalize", inline)
    variants = [
        {"variant_id": canary("variant") + v, "content": {"text": canary("content")}, "features": {"tone": canary("feature")}}
        for v in "xy"
    ]
    key = {"Idempotency-Key": canary("key")}
    for _ in range(2):
        yield expect(call, 200, "POST", "/personalization/personalize", {**asked, "variants": variants}, key)
    about = {"text": canary("text"), "metadata": {canary("metadatakey"): canary("metadata")}, "template_id": canary("template")}
    events = [
        _event(canary("event"), user, type="custom", name=canary("name"), channel=channel, **about),
        _event(canary("event") + "2", user, decision_id=canary("decision") + "1", **about),
        _event(canary("event") + "3", user, decision_id=canary("inline"), type="converted", value=5),
    ]
    assert expect(call, 202, "POST", "/personalization/events", {"events": events})["accepted"] == 3


def _event(event_id: str, user_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "clicked", "event_id": event_id, "user_id": user_id, "occurred_at": now(), **fields}


def expect(call: Call, status: int | None, *request: Any) -> Any:
    found, answer = call(*request)
    assert found in ((status,) if status else (200, 201)), (request, found, answer)
    return answer


def taught(call: Call, decisions: int) -> None:
    """Wait until the learner knows this many."""
    wait_until(lambda: learned(call) >= decisions)


def learned(call: Call) -> float:
    models = expect(call, 200, "GET", "/ai/models")["items"]
    return sum(model["performance_metrics"]["decisions"] for model in models)


def erase(call: Call, canary: Canaries) -> Any:
    """The certificate."""
    begun = expect(call, 202, "POST", f"/management/users/{quote(canary('user'))}/erase")
    where = f"/management/erasures/{begun['erasure_id']}"
    wait_until(lambda: expect(call, 200, "GET", where)["status"] == "completed")
    return expect(call, 200, "GET", where)["certificate"]


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def over_http(server: Server, key: str) -> Call:
    def call(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        sent = {"X-API-Key": key, "Content-Type": "application/json", **(headers or {})}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{server.url}/api/v1{path}", data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read())

    return call


def gone(call: Call, canary: Canaries, decided: list[str]) -> None:
    for decision_id in decided:
        assert call("GET", f"/personalization/decisions/{quote(decision_id)}?replay=true")[0] == 404
    assert call("GET", f"/personalization/profiles/{quote(canary('user'))}")[0] == 404
    late = expect(call, 202, "POST", "/personalization/events", {"events": [_event("late", canary("user"), text=canary("text"))]})
    assert late["rejected"][0]["errors"][0]["message"].startswith("erased")
    asked = {
        "user_id": canary("user"),
        "template_id": "offer",
        "context": {"mood": canary("value")},
        "decision_id": canary("later"),
    }
    assert expect(call, 200, "POST", "/personalization/personalize", asked)["policy"]["mode"] == "baseline"


def test_no_canary_is_left_in_sqlites_files_nor_in_what_the_server_wrote(
    serve: Callable[..., Server], tmp_path: Path, key: str
) -> None:
    canary, state = Canaries(), tmp_path / "state"
    url = f"sqlite:///{state}/p.db"
    prepared(url, key).life.close()
    server = serve(url)
    decided = plant(over_http(server, key), canary)
    taught(over_http(server, key), 2 * BYSTANDERS + 3)
    files = [state / f"p.db{end}" for end in ("", "-wal", "-journal", "-shm")]
    sung = canary.heard_in(*files)
    assert {"trait", "traitkey", "topic", "decision", "name", "template", "consent", "channel", "variant", "l", "zone"} <= sung
    assert not sung & SEALED
    server.stop()  # keeps what was learned
    server.start()
    call = over_http(server, key)
    assert erase(call, canary)["storage"] == "rewritten"
    gone(call, canary, decided)
    assert canary.heard_in(*files) == set()
    assert (state / "p.db-wal").stat().st_size < 100_000
    assert learned(call) == 2 * BYSTANDERS
    server.stop()
    assert canary.heard_in(*[path for path in tmp_path.rglob("*") if path.is_file()]) == set()


def test_a_database_too_large_to_be_written_anew_is_overwritten_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("personalization.storage.sql.sqlite._REWRITTEN", 0)
    canary = Canaries()
    with in_process(tmp_path) as (house, call):
        plant(call, canary)
        follow(house)
        assert expect(call, 202, "POST", f"/management/users/{canary('user')}/erase")["status"] == "pending"
        follow(house)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(files) >= 3
        assert canary.heard_in(*files) == set()


def test_no_canary_is_left_in_postgresqls_tables_and_indexes(
    serve: Callable[..., Server], postgres_url: str, tmp_path: Path, key: str
) -> None:
    canary = Canaries()
    prepared(postgres_url, key).life.close()
    server = serve(postgres_url, WEB_CONCURRENCY="2")
    call = over_http(server, key)
    decided = plant(call, canary)
    taught(call, 2 * BYSTANDERS + 3)
    statement(postgres_url, "ANALYZE")
    assert {"trait", "decision", "name", "channel"} <= canary.heard_in(*tables(postgres_url))
    assert erase(call, canary)["storage"] == "rewritten"
    gone(call, canary, decided)
    assert canary.heard_in(*tables(postgres_url)) == set()
    assert not canary.heard_in(*written_ahead(postgres_url)) & SEALED
    assert "trait" in canary.heard_in(*written_ahead(postgres_url)), "README says that plain values stay there a while"
    server.stop()
    assert canary.heard_in(*[path for path in tmp_path.rglob("*") if path.is_file()]) == set()


def test_a_person_erased_by_the_command_line_beside_a_server_is_forgotten_by_it(
    serve: Callable[..., Server], sqlite_url: str, key: str
) -> None:
    prepared(sqlite_url, key).life.close()
    server = serve(sqlite_url)
    call = over_http(server, key)
    expect(call, 201, "POST", "/personalization/templates", OFFER)
    bystanders(call, "u")
    taught(call, BYSTANDERS)
    command = [sys.executable, "-m", "personalization.cli", "erase-user", "--tenant", "acme", "--user", "u1"]
    said = subprocess.run(command, cwd=ROOT, env=server.environment, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout)["certificate"]["swept"]["decisions"] == 1
    assert learned(call) == BYSTANDERS - 1
    late = expect(call, 202, "POST", "/personalization/events", {"events": [_event("late", "u1")]})
    assert late["rejected"][0]["errors"][0]["message"].startswith("erased")
    assert call("GET", "/personalization/profiles/u1")[0] == 404
    server.stop()
    storage = prepared(sqlite_url, new_key().api_key)
    assert rebuild(storage, "acme").identical
    storage.life.close()


def test_people_erased_amid_their_own_traffic_leave_nothing(reopen: Reopen, clock: ManualClock) -> None:
    """One process goes on with decisions, events and profiles of twenty people while another erases each of them."""
    here, there = (build_house(Settings(app_env=DEVELOPMENT), clock, reopen()) for _ in range(2))
    here.storage.tenants.create("acme", clock.now())
    here.service("acme").create_template(OFFER)
    people = [f"p{i}" for i in range(20)]
    here.service("acme").put_profiles([(user, {"attributes": {"name": user}}) for user in people])
    refs = here.storage.users.resolve("acme", people, 0)
    traffic = Traffic(there, people)
    for n, user in enumerate(people):
        here.service("acme").erase_user_data(user)
        if n % 5 == 0:
            here.followers.step()
    traffic.end()
    follow(here)
    assert here.storage.privacy.pending() == []
    assert [row.type for ref in refs.values() for row in here.storage.log.timeline("acme", ref, 10)] == ["erased"] * 20
    assert here.storage.profiles.load("acme", refs.values()) == {}
    assert rebuild(here.storage, "acme").identical
    rows = here.storage.log.read("acme", 0, 10_000)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))


class Traffic:
    """Four threads that decide, record and change profiles until they are told to end; what went wrong is raised then."""

    def __init__(self, house: House, people: list[str]) -> None:
        self._service, self._clock, self._people, self._house = house.service("acme"), house.clock, people, house
        self._stop, self._failures = Event(), list[Exception]()
        self._threads = [Thread(target=self._run, args=(n,)) for n in range(4)]
        for thread in self._threads:
            thread.start()

    def _run(self, n: int) -> None:
        i = 0
        while not self._stop.is_set():
            i += 1
            try:
                self._live(self._people[(n * 5 + i) % len(self._people)], f"{n}-{i}")
            except Exception as failure:
                self._failures.append(failure)

    def _live(self, user: str, name: str) -> None:
        asked = {"template_id": "offer", "context": {"mood": name}, "require_real_time": True}
        answers = self._service.personalize_many([PersonalizationRequest(tenant_id="acme", user_id=user, **asked)])
        self._failures += [answer for answer in answers if isinstance(answer, Exception)]
        about = {"type": EventType.CLICKED, "text": name, "occurred_at": self._clock.now()}
        self._service.record([EngagementEvent(event_id=name, user_id=user, **about)])
        with suppress(Erased):
            self._service.patch_profile(user, {"attributes": {"name": name}})

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._house.orchestrator.close()
        assert self._failures == []


def tables(url: str) -> list[Path]:
    """The files of this database, once the server has written everything down."""
    statement(url, "CHECKPOINT")
    data, oid = statement(url, "SELECT current_setting('data_directory'), oid FROM pg_database WHERE datname = current_database()")
    folders = [Path(data) / "base" / str(oid), Path(data) / "global"]
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def written_ahead(url: str) -> list[Path]:
    data = statement(url, "SELECT current_setting('data_directory')")[0]
    return [path for path in (Path(data) / "pg_wal").iterdir() if path.is_file()]


def statement(url: str, sql: str) -> Any:
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql)
        found = cursor.fetchone() if cursor.description else None
    connection.close()
    return found


# -- in memory -----------------------------------------------------------------------------------------------------------


@contextmanager
def in_process(tmp_path: Path) -> Iterator[tuple[House, Call]]:
    """A house on SQLite with its REST edge, without threads of its own."""
    house = build_house(Settings(app_env=DEVELOPMENT, database_url=f"sqlite:///{tmp_path}/p.db", state_dir=tmp_path), SystemClock())
    at = house.clock.now()
    house.storage.tenants.create("acme", at)
    key = new_key()
    record = ApiKeyRecord(key_id=key.key_id, tenant_id="acme", role="admin", name="t", digest=key.digest, created_at=at)
    house.storage.keys.add(record)
    app = create_app(house=house)
    house.followers.close()
    yield house, through(app.test_client(), key.api_key)
    house.close()


def through(client: FlaskClient, key: str) -> Call:
    def call(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        sent = {"X-API-Key": key, **(headers or {})}
        answer = client.open(f"/api/v1{path}", method=method, json=body, headers=sent)
        return answer.status_code, answer.get_json()

    return call


def remembered(beginning: str) -> set[str]:
    """Texts and bytes with this beginning in any container of this process."""
    gc.unfreeze()
    gc.collect()
    texts = {o for c in gc.get_objects() for o in gc.get_referents(c) if isinstance(o, str | bytes)}
    heard = {repr(text)[:120] for text in texts if (beginning if isinstance(text, str) else beginning.encode()) in text}
    return heard - {repr(beginning)}


def test_no_canary_is_left_in_the_memory_of_the_process(tmp_path: Path) -> None:
    canary = Canaries()
    with in_process(tmp_path) as (house, call):
        plant(call, canary)
        follow(house)
        house.learner.save()
        assert len(remembered(canary.beginning)) > 20
        erasure = expect(call, 202, "POST", f"/management/users/{canary('user')}/erase")["erasure_id"]
        follow(house)
        assert expect(call, 200, "GET", f"/management/erasures/{erasure}")["status"] == "completed"
        bystanders(call, "later")
        follow(house)
        assert remembered(canary.beginning) == set()
