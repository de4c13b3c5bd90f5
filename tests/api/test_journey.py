"""The product over HTTP with nothing replaced: the real house on SQLite."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from personalization.bootstrap import House, build_house, create_app
from personalization.clock import DAY, SECOND, SystemClock, rfc3339
from personalization.security.identity import new_key
from personalization.settings import DEVELOPMENT, Settings
from personalization.storage.base import ApiKeyRecord
from tests.api.documents import unnamed
from tests.api.routes import BODIES, PREFIX, routes

Keys = Callable[..., dict[str, str]]

OFFER = {
    "template_id": "offer",
    "channels": ["email", "push"],
    "variants": [
        {"variant_id": "a", "content": {"en": {"subject": "Hi {{ user.first_name | default: 'there' }}", "text": "An offer."}}},
        {
            "variant_id": "b",
            "content": {"en": {"subject": "Only today", "text": "{{ discount }} off"}, "de": {"text": "Nur heute"}},
        },
    ],
}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    settings = Settings(app_env=DEVELOPMENT, database_url=f"sqlite:///{tmp_path}/p.db", state_dir=tmp_path)
    house = build_house(settings, SystemClock())
    for tenant in ("acme", "twin"):
        house.storage.tenants.create(tenant, house.clock.now())
    yield house
    house.close()


@pytest.fixture
def app(house: House) -> Flask:
    return create_app(house=house)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def keys(house: House) -> Keys:
    def made(role: str = "admin", tenant_id: str = "acme") -> dict[str, str]:
        key = new_key()
        house.keys.add(
            ApiKeyRecord(
                key_id=key.key_id, tenant_id=tenant_id, role=role, name="t", digest=key.digest, created_at=house.clock.now()
            )
        )
        return {"X-API-Key": key.api_key}

    return made


def call(client: FlaskClient, method: str, path: str, headers: dict[str, str], body: Any = None, expect: int = 200) -> Any:
    answer = client.open(PREFIX + path, method=method, headers=headers, json=body)
    assert answer.status_code == expect, (answer.status_code, answer.get_json())
    document = client.get(f"{PREFIX}/openapi.json").get_json()
    assert not unnamed(document, method, path, answer.status_code, answer.get_json()), path
    return answer.get_json()


def follow(house: House) -> None:
    """Wait until the house's own thread has projected all there is."""
    until = time.monotonic() + 10
    while any(
        (house.storage.checkpoints.load(t, "projector") or (0, b""))[0] < head for t, head in house.storage.log.heads().items()
    ):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_the_decision_loop_over_http(client: FlaskClient, house: House, keys: Keys) -> None:
    key = keys("service")
    reward = {"weights": {"clicked": 2.0, "converted": {"per_value": 0.1, "weight": 0.0}}, "guardrails": {"unsubscribed": 0.01}}
    made = call(client, "POST", "/personalization/templates", keys("marketer"), OFFER | {"reward": reward}, expect=201)
    assert made["reward"] == reward
    call(client, "PUT", "/personalization/templates/offer", keys("marketer"), made)
    profile = {"attributes": {"first_name": "Ada"}, "timezone": "Europe/London", "channel_preferences": {"push": 0.9}}
    call(client, "PUT", "/personalization/profiles/ada@example.org", key, profile, expect=201)
    known = call(client, "GET", "/personalization/profiles/ada@example.org", key)
    assert call(client, "PUT", "/personalization/profiles/ada@example.org", key, known)["metadata"]["version"] == 2
    asked = {"user_id": "ada@example.org", "template_id": "offer", "context": {"discount": "20%"}, "explain": True}
    decision = call(client, "POST", "/personalization/personalize", key, asked)
    assert decision["action"] == "send"
    assert decision["optimal_channels"][0] in ("push", "email")
    assert set(decision["propensity"]) == {"send", "variant", "channel", "timing", "joint"}
    event = {
        "event_id": "e1",
        "type": "clicked",
        "user_id": "ada@example.org",
        "decision_id": decision["decision_id"],
        "occurred_at": rfc3339(house.clock.now()),
    }
    assert call(client, "POST", "/personalization/events", key, event, expect=202) == {
        "accepted": 1,
        "duplicates": 0,
        "rejected": [],
    }
    assert call(client, "POST", "/personalization/events", key, {"events": [event]}, expect=202)["duplicates"] == 1
    follow(house)
    again = call(client, "GET", f"/personalization/decisions/{decision['decision_id']}?replay=true", key)
    assert again["replay"]["identical"] is True
    assert {name: again[name] for name in decision} == decision
    overview = call(client, "GET", "/insights/overview", keys("analyst"))
    assert (overview["decisions"], overview["events"]) == (1, {"clicked": 1})
    kinds = {row["kind"] for row in call(client, "GET", "/insights/users/ada@example.org/timeline", keys("analyst"))["items"]}
    assert kinds == {"decision", "event", "profile"}
    assert call(client, "GET", "/ai/models", keys("analyst"))["items"][0]["model_id"] == "variants:offer"
    outcomes = call(client, "GET", "/insights/templates/offer", keys("analyst"))
    assert [variant["variant_id"] for variant in outcomes["variants"]] == ["a", "b"]
    assert outcomes["reward"]["weights"] == {**reward["weights"], "unsubscribed": -5.0}
    analysis = call(client, "POST", "/ai/analyze-behavior", keys("analyst"), {"user_id": "ada@example.org"})
    assert len(analysis["analyses"]) == 4
    for route in ("/management/health", "/management/stats", "/management/live", "/management/ready"):
        call(client, "GET", route, key)


def test_a_batch_answers_each_request_by_itself(client: FlaskClient, keys: Keys) -> None:
    key = keys()
    call(client, "POST", "/personalization/templates", key, OFFER, expect=201)
    requests = [
        {"user_id": "u1", "template_id": "offer"},
        {"user_id": "u2", "template_id": "nothing"},
        {"user_id": "u3", "template_id": "offer", "priority": "whenever"},
        {"user_id": "u4", "content": {"text": "{{ city }}"}},
    ]
    results = call(client, "POST", "/personalization/batch", key, {"requests": requests})["results"]
    assert [row["status"] for row in results] == [200, 404, 422, 422]
    assert results[3]["problem"]["errors"] == [{"field": "city", "message": "has no value"}]


def test_an_idempotency_key_gives_one_decision(client: FlaskClient, keys: Keys) -> None:
    key = {**keys(), "Idempotency-Key": "order-17"}
    body = {"user_id": "u", "content": {"text": "hello"}}
    first = call(client, "POST", "/personalization/personalize", key, body)
    assert call(client, "POST", "/personalization/personalize", key, body) == first
    call(client, "POST", "/personalization/personalize", key, {**body, "user_id": "other"}, expect=422)


def test_a_bad_template_says_which_text_and_why(client: FlaskClient, keys: Keys) -> None:
    bad = {"template_id": "t", "variants": [{"variant_id": "a", "content": {"en": {"subject": "Hi {{ user.name"}}}]}
    problem = call(client, "POST", "/personalization/templates", keys(), bad, expect=422)
    assert problem["errors"][0]["field"] == "variants.0.content.en.subject"
    inline = {"user_id": "u", "content": {"subject": "{% nonsense %}"}}
    problem = call(client, "POST", "/personalization/personalize", keys(), inline, expect=422)
    assert problem["errors"][0]["field"] == "content.subject"


def test_a_preview_that_cannot_be_rendered_says_why(client: FlaskClient, keys: Keys) -> None:
    endless = {"variant_id": "a", "content": {"en": {"text": "{% for i in (1..1000000000) %}x{% endfor %}"}}}
    call(client, "POST", "/personalization/templates", keys(), {"template_id": "t", "variants": [endless]}, expect=201)
    shown = call(client, "POST", "/personalization/templates/t/preview", keys(), {})["variants"][0]
    assert (shown["content"], shown["missing_variables"]) == (None, [])
    assert "loops turn too often" in shown["failure"]


def test_learning_reaches_decisions_within_a_second_in_a_running_house(client: FlaskClient, house: House, keys: Keys) -> None:
    key = keys()
    call(client, "POST", "/personalization/templates", key, OFFER, expect=201)
    ask = {"user_id": "u", "template_id": "offer", "require_real_time": True}
    decision = call(client, "POST", "/personalization/personalize", key, ask)
    time.sleep(1.2)
    before = call(client, "POST", "/personalization/personalize", key, {**ask, "user_id": "v"})["policy"]["version"]
    event = {
        "event_id": "e",
        "type": "clicked",
        "user_id": "u",
        "decision_id": decision["decision_id"],
        "occurred_at": rfc3339(house.clock.now()),
    }
    call(client, "POST", "/personalization/events", key, event, expect=202)
    deadline = time.monotonic() + 5
    while call(client, "POST", "/personalization/personalize", key, {**ask, "user_id": "w"})["policy"]["version"] == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_no_route_shows_or_changes_another_tenants_things(app: Flask, client: FlaskClient, house: House, keys: Keys) -> None:
    """Every route with an id in it, asked by the twin with ids that exist for acme and for nobody: the answers are alike."""
    mine, twins = keys(), keys("admin", "twin")
    call(client, "POST", "/personalization/templates", mine, {**OFFER, "template_id": "t"}, expect=201)
    call(client, "PUT", "/personalization/profiles/u", mine, {"traits": {"plan": "secret-plan"}}, expect=201)
    decision = call(client, "POST", "/personalization/personalize", mine, {"user_id": "u", "template_id": "t", "decision_id": "d1"})
    key_id = mine["X-API-Key"].split("_")[1]
    seen = 0
    for route in routes(app):
        if "<id:" not in route.rule:
            continue
        real, unreal = ({"d1": decision["decision_id"], "k": key_id}, {"d1": "nope", "k": "nope"})
        answers = []
        for ids in (real, unreal):
            path = PREFIX + route.rule
            for name, value in (
                ("user_id", "u"),
                ("template_id", "t"),
                ("model_id", "variants:t"),
                ("decision_id", ids["d1"]),
                ("key_id", ids["k"]),
            ):
                path = path.replace(f"<id:{name}>", value if ids is real else f"{value}-nobody")
            answers.append(client.open(path, method=route.method, headers=twins, json=BODIES.get((route.method, route.rule))))
        assert answers[0].status_code == answers[1].status_code, route
        assert "secret-plan" not in answers[0].get_data(as_text=True)
        seen += 1
    assert seen >= 15
    assert call(client, "GET", "/personalization/templates/t", mine)["version"] == 1
    assert call(client, "GET", "/personalization/profiles/u", mine)["traits"] == {"plan": "secret-plan"}
    assert call(client, "GET", f"/personalization/decisions/{decision['decision_id']}", mine)["status"] == "active"
    call(client, "GET", "/management/health", mine)


def test_a_key_of_one_tenant_decides_for_that_tenant_alone(client: FlaskClient, keys: Keys) -> None:
    call(client, "POST", "/personalization/templates", keys(), OFFER, expect=201)
    call(
        client,
        "POST",
        "/personalization/personalize",
        keys("service", "twin"),
        {"user_id": "u", "template_id": "offer"},
        expect=404,
    )


def test_events_ahead_of_time_and_long_ago_are_rejected_rows(client: FlaskClient, house: House, keys: Keys) -> None:
    now = house.clock.now()
    events = [
        {"event_id": str(at), "type": "opened", "user_id": "u", "occurred_at": rfc3339(at)}
        for at in (now + 700 * SECOND, now - 401 * DAY, now)
    ]
    receipt = call(client, "POST", "/personalization/events", keys(), {"events": events}, expect=202)
    assert receipt["accepted"] == 1
    assert [row["index"] for row in receipt["rejected"]] == [0, 1]


def test_no_secret_of_a_person_lies_readable_in_the_database(client: FlaskClient, house: House, keys: Keys, tmp_path: Path) -> None:
    key, canary = keys(), "canary-7f3a"
    profile = {"attributes": {"first_name": canary, "email": f"{canary}@example.org"}}
    call(client, "PUT", f"/personalization/profiles/{canary}-id", key, profile, expect=201)
    body = {
        "user_id": f"{canary}-id",
        "content": {"text": "Hi {{ user.first_name }} of {{ city }}"},
        "context": {"city": f"{canary}-city"},
    }
    assert canary in json.dumps(call(client, "POST", "/personalization/personalize", key, body))
    event = {
        "event_id": "e",
        "type": "replied",
        "user_id": f"{canary}-id",
        "occurred_at": rfc3339(house.clock.now()),
        "text": canary,
        "metadata": {"x": canary},
    }
    call(client, "POST", "/personalization/events", key, event, expect=202)
    follow(house)
    for file in tmp_path.iterdir():
        assert canary.encode() not in file.read_bytes(), file
