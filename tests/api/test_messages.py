"""message_id and escalate_after over HTTP, and how soon an event counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from personalization.bootstrap import House
from personalization.clock import rfc3339
from tests.api.routes import PREFIX
from tests.api.test_journey import OFFER, Keys, app, call, client, house, keys

__all__ = ["app", "client", "house", "keys"]

ASKED = {"user_id": "u", "template_id": "offer", "require_real_time": True}
Call = Callable[..., Any]


@pytest.fixture
def post(client: FlaskClient, keys: Keys) -> Call:
    key = keys()
    call(client, "POST", "/personalization/templates", key, OFFER, 201)

    def posted(path: str, body: Any, expect: int = 200) -> Any:
        return call(client, "POST", path, key, body, expect)

    return posted


BAD: tuple[tuple[dict[str, Any], str], ...] = (
    ({"message_id": ""}, "message_id"),
    ({"message_id": "x" * 257}, "message_id"),
    ({"message_id": "a\nb"}, "message_id"),
    ({"message_id": 5}, "message_id"),
    ({"message_id": ["m"]}, "message_id"),
    ({"message_id": "m", "user_id": None}, "message_id"),
    ({"escalate_after": "PT4H"}, "escalate_after"),
    ({"message_id": "m", "escalate_after": "4h"}, "escalate_after"),
    ({"message_id": "m", "escalate_after": "PT0S"}, "escalate_after"),
    ({"message_id": "m", "escalate_after": "P31D"}, "escalate_after"),
    ({"message_id": "m", "escalate_after": "-PT1H"}, "escalate_after"),
    ({"message_id": "m", "escalate_after": 3600}, "escalate_after"),
)


def test_a_bad_message_is_refused_by_its_field(client: FlaskClient, keys: Keys) -> None:
    path, key = f"{PREFIX}/personalization", keys()
    for fields, at in BAD:
        refused = client.post(f"{path}/personalize", json={**ASKED, **fields}, headers=key)
        assert refused.status_code == 422, fields
        assert [error["field"] for error in refused.get_json()["errors"]] == [at], fields
    rows = client.post(f"{path}/batch", json={"requests": [{**ASKED, **fields} for fields, _ in BAD]}, headers=key)
    assert [row["status"] for row in rows.get_json()["results"]] == [422] * len(BAD)


def test_both_fields_are_documented(client: FlaskClient, keys: Keys) -> None:
    document = client.get(f"{PREFIX}/openapi.json", headers=keys()).get_json()
    asked = document["components"]["schemas"]["Personalize"]["properties"]
    assert "frequency cap" in str(asked["message_id"])
    assert "PT4H" in str(asked["escalate_after"])


def test_an_event_counts_in_the_next_decision(house: House, post: Call) -> None:
    house.start()
    first = post("/personalization/personalize", {**ASKED, "message_id": "m"})
    assert first["action"] == "send"
    until_followed(house, 1)
    cites = {"user_id": "u", "decision_id": first["decision_id"], "occurred_at": rfc3339(house.clock.now())}
    post("/personalization/events", {"events": [{"event_id": "e", "type": "opened", **cites}]}, 202)
    until_followed(house, 1, 1)
    assert post("/personalization/personalize", {**ASKED, "message_id": "m"})["suppression"] == READ


def until_followed(house: House, sends: int, events: int = 0) -> None:
    """Until the person's profile knows of so many."""
    tenant, until = next(iter(house.storage.log.heads())), time.monotonic() + 10.0
    ref = next(iter(house.storage.users.resolve(tenant, ["u"], house.clock.now(), create=False).values()))
    while True:
        patterns = house.profiles.load(tenant, [ref])[ref].patterns
        if (patterns.sends, patterns.events) == (sends, events):
            return
        assert time.monotonic() < until, "the followers stand still"
        time.sleep(0.005)


READ = {"reason": "duplicate", "retry_at": None}


def test_a_message_sent_again_says_when_it_may_go_by_another_channel(house: House, post: Call) -> None:
    house.start()
    asked = {**ASKED, "message_id": "m", "escalate_after": "PT0.2S"}
    first = post("/personalization/personalize", asked)
    until_followed(house, 1)
    waiting = post("/personalization/personalize", {**asked, "escalate_after": "PT1H"})
    assert waiting["suppression"]["reason"] == "duplicate"
    assert waiting["suppression"]["retry_at"] is not None
    time.sleep(0.2)
    again = post("/personalization/personalize", asked)
    assert again["optimal_channels"] != first["optimal_channels"][:1]
    assert again["variant_id"] == first["variant_id"]
