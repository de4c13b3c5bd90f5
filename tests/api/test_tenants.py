"""Nobody sees or moves another tenant's things, whatever ids they name.

The proof is by two installations that differ in one tenant's things alone: in one "acme" is full, in the other it is empty, so
that there acme's ids are unknown ids. The same thousands of seeded attempts by "twin" must be answered alike in both, must
leave acme's rows as they were and twin's rows the same in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from werkzeug.test import TestResponse

from personalization.bootstrap import House, build_house
from personalization.clock import ManualClock, instant, rfc3339
from personalization.security.cipher import PlainCipher
from personalization.security.identity import new_key
from personalization.settings import DEVELOPMENT, RateLimit, Settings
from personalization.storage.base import ApiKeyRecord
from personalization.storage.sql import sqlite
from personalization.storage.sql.open import open_sql_storage
from personalization.storage.sql.schema import metadata
from tests.api.conftest import application
from tests.api.routes import BODIES, PREFIX, Route, routes

ATTEMPTS = 5_000
NOW = instant("2026-11-23T10:00:00Z")
#: Stands in acme's texts and attributes and in none of its ids.
MARK = "acme-only-7f3a"
VOLATILE = ("request_id", "latency_ms", "cache_hit_ratio", "cache_hit")

Ids = dict[str, list[str]]


class Installation:
    """A whole product on a SQLite file, where two of them make the same pseudonyms and secrets."""

    def __init__(self, folder: Path, secret: str) -> None:
        folder.mkdir()
        self._chance = Random(1)
        self.clock = ManualClock(NOW)
        url = f"sqlite:///{folder}/p.db"
        storage = open_sql_storage(url, PlainCipher(), self.clock, lambda size: self._chance.randbytes(size))
        storage.life.migrate()
        settings = Settings(app_env=DEVELOPMENT, jwt_secret_key=secret, rate_limit=RateLimit(10**9, 1))
        self.house: House = build_house(settings, self.clock, storage, lambda: self._chance.randbytes(16).hex())
        for tenant in ("acme", "twin"):
            storage.tenants.create(tenant, NOW)
        self.app: Flask = application(self.house)
        self.client = self.app.test_client()
        self.engine = sa.create_engine(url)

    def key(self, tenant_id: str, seed: int, name: str) -> str:
        key = new_key() if seed < 0 else _key(seed)
        record = ApiKeyRecord(
            key_id=key.key_id, tenant_id=tenant_id, role="admin", name=name, digest=key.digest, created_at=NOW, expires_at=None
        )
        self.house.keys.add(record)
        return key.api_key

    def ask(self, method: str, path: str, key: str, body: Any = None, **headers: str) -> TestResponse:
        return self.client.open(PREFIX + path, method=method, json=body, headers={"X-API-Key": key, **headers})

    def told(self, method: str, path: str, key: str, body: Any = None) -> Any:
        answer = self.ask(method, path, key, body)
        assert answer.status_code < 300, (method, path, answer.get_json())
        return answer.get_json()

    def from_here_on_alike(self) -> None:
        self._chance = Random(2)

    def rows(self, tenant_id: str) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of that tenant, table by table."""
        with self.engine.connect() as connection:
            return {
                table.name: sorted((tuple(row) for row in connection.execute(_of(table, tenant_id))), key=repr)
                for table in metadata.sorted_tables
                if "tenant_id" in table.c
            }

    def close(self) -> None:
        self.engine.dispose()
        self.house.close()


def _of(table: sa.Table, tenant_id: str) -> sa.Select[Any]:
    return sa.select(table).where(table.c.tenant_id == tenant_id)


def _key(seed: int) -> Any:
    from personalization.security import identity

    chance = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity.secrets, "token_hex", lambda n: chance.randbytes(n).hex())
        patch.setattr(identity.secrets, "token_urlsafe", lambda n: (chance.randbytes(n).hex() + "x" * 43)[:43])
        return identity.new_key()


@pytest.fixture
def installations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Installation, Installation]]:
    monkeypatch.setattr(sqlite, "_FULL", "PRAGMA synchronous = OFF")
    monkeypatch.setattr(sqlite, "_NORMAL", "PRAGMA synchronous = OFF")
    both = Installation(tmp_path / "full", "s" * 40), Installation(tmp_path / "empty", "s" * 40)
    yield both
    for each in both:
        each.close()


def template(template_id: str, text: str) -> dict[str, Any]:
    variants = [{"variant_id": v, "content": {"en": {"subject": f"{v} {text}", "text": text}}} for v in "ab"]
    return {"template_id": template_id, "name": text, "variants": variants}


def furnish(place: Installation, key: str, prefix: str, text: str, people: int) -> Ids:
    """People, templates, decisions, events, keys, a token and models of a tenant; all their ids, and cursors to them."""
    tell = place.told
    templates = [f"{prefix}-template-{n}" for n in range(3)]
    for template_id in templates:
        tell("POST", "/personalization/templates", key, template(template_id, text))
        tell("PUT", f"/personalization/templates/{template_id}", key, {**template(template_id, text), "name": "again"})
    users = [f"{prefix}-user-{n}" for n in range(people)]
    for user in users:
        tell("PUT", f"/personalization/profiles/{user}", key, {"attributes": {"first_name": text}, "traits": {"plan": text}})
    decisions = [f"{prefix}-decision-{n}" for n in range(2 * people)]
    for n, decision_id in enumerate(decisions):
        asked = {"user_id": users[n % people], "template_id": templates[n % 3], "decision_id": decision_id, "activate": n % 4 > 0}
        tell("POST", "/personalization/personalize", key, {**asked, "require_real_time": True})
    events = [f"{prefix}-event-{n}" for n in range(people)]
    tell(
        "POST",
        "/personalization/events",
        key,
        {"events": [event(event_id, users[n], decisions[n]) for n, event_id in enumerate(events)]},
    )
    left = f"{prefix}-user-left"
    tell("PUT", f"/personalization/profiles/{left}", key, {"attributes": {"first_name": text}})
    erasure = tell("POST", f"/management/users/{left}/erase", key)["erasure_id"]
    while place.house.followers.step():
        pass
    token = tell("POST", "/management/tokens", key)["access_token"]
    paged = [
        "/personalization/templates",
        f"/personalization/templates/{templates[0]}/versions",
        f"/insights/users/{users[0]}/timeline",
        "/ai/models",
        "/management/api-keys",
    ]
    return {
        "user_id": users,
        "template_id": templates,
        "decision_id": decisions,
        "event_id": events,
        "erasure_id": [erasure],
        "model_id": [item["model_id"] for item in tell("GET", "/ai/models", key)["items"]],
        "key_id": [item["key_id"] for item in tell("GET", "/management/api-keys", key)["items"]],
        "token": [token],
        "cursor": [cursor for path in paged if (cursor := tell("GET", f"{path}?limit=1", key)["next_cursor"])],
    }


def event(event_id: str, user_id: str, decision_id: str | None, **more: Any) -> dict[str, Any]:
    cited = {} if decision_id is None else {"decision_id": decision_id}
    return {"event_id": event_id, "type": "clicked", "user_id": user_id, "occurred_at": rfc3339(NOW), **cited, **more}


class Attempt:
    """One request, to be made alike in both installations."""

    def __init__(self, route: Route, path: str, body: Any = None, **headers: str) -> None:
        self.route, self.path, self.body, self.headers = route, path, body, headers

    def at(self, place: Installation, key: str) -> tuple[int, Any]:
        answer = place.ask(self.route.method, self.path, key, self.body, **self.headers)
        return answer.status_code, without_volatile(answer.get_json(silent=True))


def without_volatile(document: Any) -> Any:
    if isinstance(document, dict):
        return {name: without_volatile(value) for name, value in document.items() if name not in VOLATILE}
    return [without_volatile(item) for item in document] if isinstance(document, list) else document


class Thief:
    """Makes attempts of acme's ids: in every path that takes an id, in every body that names one, in every cursor."""

    def __init__(self, app: Flask, stolen: Ids, own: Ids, seed: int) -> None:
        self.stolen, self.own, self.chance = stolen, own, Random(seed)
        self.makers: list[tuple[Route, Callable[[Route], Attempt]]] = []
        for route in routes(app):
            if "<id:" in route.rule:
                self.makers.append((route, self.by_path))
            if route.guard is not None and "cursor" in route.guard.parameters:
                self.makers.append((route, self.by_cursor))
            if (route.method, route.rule) in THEFTS:
                self.makers.append((route, self.by_body))
        self.fresh = 0

    def attempts(self, count: int) -> Iterator[Attempt]:
        for n in range(count):
            route, make = self.makers[n % len(self.makers)]
            yield make(route)

    def by_path(self, route: Route) -> Attempt:
        return Attempt(route, self.filled(route.rule, self.any), self.body_of(route))

    def by_cursor(self, route: Route) -> Attempt:
        """Over the thief's own things where there is an id in the path."""
        return Attempt(
            route, f"{self.filled(route.rule, self.of_own)}?limit={self.chance.randint(1, 50)}&cursor={self.one('cursor')}"
        )

    def by_body(self, route: Route) -> Attempt:
        return Attempt(route, route.rule, THEFTS[route.method, route.rule](self))

    def filled(self, rule: str, id_of: Callable[[str], str]) -> str:
        parts = rule.split("<id:")
        return parts[0] + "".join(id_of(name) + rest for name, _, rest in (part.partition(">") for part in parts[1:]))

    def body_of(self, route: Route) -> Any:
        return THEFTS[route.method, route.rule](self) if (route.method, route.rule) in THEFTS else route.body

    def any(self, name: str) -> str:
        """Mostly an id of that kind, now and then one of another."""
        named = self.stolen.get(name) if self.chance.random() < 0.9 else None
        return self.chance.choice(named or self.stolen[self.chance.choice(sorted(self.stolen.keys() - {"token", "cursor"}))])

    def of_own(self, name: str) -> str:
        return self.chance.choice(self.own[name])

    def one(self, name: str) -> str:
        return self.chance.choice(self.stolen[name])

    def new_id(self) -> str:
        self.fresh += 1
        return f"fresh-{self.fresh}"

    def asked(self) -> dict[str, Any]:
        """A decision: of a stolen template, for a stolen person, under a stolen id, or some of these."""
        theirs, ours = self.stolen, self.own
        wanted: dict[str, Any] = {
            "user_id": self.chance.choice([self.one("user_id"), self.chance.choice(ours["user_id"])]),
            "decision_id": self.chance.choice([self.one("decision_id"), self.new_id()]),
            "require_real_time": True,
            "explain": True,
        }
        kind = self.chance.random()
        if kind < 0.6:
            return {**wanted, "template_id": self.chance.choice(theirs["template_id"])}
        if kind < 0.8:
            return {**wanted, "template_id": self.chance.choice(ours["template_id"])}
        return {**wanted, "content": {"text": "Hi {{ user.first_name | default: 'you' }} {{ user.plan | default: '-' }}"}}

    def happened(self) -> dict[str, Any]:
        return event(
            self.chance.choice([self.one("event_id"), self.new_id()]),
            self.chance.choice([self.one("user_id"), self.of_own("user_id")]),
            self.chance.choice([None, self.one("decision_id")]),
            template_id=self.one("template_id"),
        )

    def ending(self) -> dict[str, Any]:
        return self.chance.choice([{"token": self.one("token")}, {"jti": self.any("decision_id")}])


#: Bodies that name ids.
THEFTS: dict[tuple[str, str], Callable[[Thief], Any]] = {
    ("POST", "/personalization/personalize"): lambda thief: thief.asked(),
    ("POST", "/personalization/batch"): lambda thief: {"requests": [thief.asked() for _ in range(3)]},
    ("POST", "/personalization/events"): lambda thief: {"events": [thief.happened() for _ in range(3)]},
    ("POST", "/personalization/profiles"): lambda thief: {
        "profiles": [{"user_id": thief.one("user_id"), "traits": {"plan": thief.new_id()}} for _ in range(2)]
    },
    ("POST", "/personalization/templates"): lambda thief: template(thief.one("template_id"), "mine"),
    ("POST", "/ai/analyze-behavior"): lambda thief: {"user_id": thief.one("user_id")},
    ("POST", "/management/tokens/revoke"): lambda thief: thief.ending(),
}


def test_thousands_of_attempts_reach_nothing_of_another_tenant(installations: tuple[Installation, Installation]) -> None:
    full, empty = installations
    twin, _ = (place.key("twin", 2, "ours") for place in installations)
    own, _ = (furnish(place, twin, "twin", "ours", people=3) for place in installations)
    acme = full.key("acme", 1, "theirs")
    full.key("acme", 3, "another")
    stolen = furnish(full, acme, "acme", MARK, people=20)
    for place in installations:
        place.from_here_on_alike()
    before = full.rows("acme")
    thief = Thief(full.app, stolen, own, seed=11)
    for n, attempt in enumerate(thief.attempts(ATTEMPTS)):
        answer = attempt.at(full, twin)
        assert answer == attempt.at(empty, twin), (n, attempt.route.method, attempt.path, attempt.body)
        assert answer[0] < 500, (attempt.path, answer)
        assert MARK not in str(answer), (attempt.path, answer)
    assert full.rows("acme") == before
    assert same(full.rows("twin")) == same(empty.rows("twin"))
    assert full.told("GET", "/management/health", acme)
    bearer = {"Authorization": f"Bearer {stolen['token'][0]}"}
    assert full.client.get(f"{PREFIX}/management/health", headers=bearer).status_code == 200


def same(rows: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    return {name: found for name, found in rows.items() if name not in ("snapshots", "checkpoints")}


def test_every_route_that_takes_an_id_is_tried(installations: tuple[Installation, Installation]) -> None:
    app = installations[0].app
    tried = {(route.method, route.rule) for route, _ in Thief(app, {}, {}, 0).makers}
    with_ids = {(r.method, r.rule) for r in routes(app) if "<id:" in r.rule or _names_an_id(BODIES.get((r.method, r.rule)))}
    assert with_ids <= tried


def _names_an_id(body: Any) -> bool:
    if isinstance(body, dict):
        return any(name.endswith("_id") or name == "jti" or _names_an_id(value) for name, value in body.items())
    return isinstance(body, list) and any(map(_names_an_id, body))
