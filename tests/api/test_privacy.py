"""Privacy over HTTP with nothing replaced: the real house on SQLite."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from personalization.bootstrap import build_house, create_app
from personalization.clock import SystemClock, rfc3339
from personalization.security.identity import new_key
from personalization.settings import DEVELOPMENT, Settings
from personalization.storage.base import ApiKeyRecord
from tests.api.routes import PREFIX

OFFER = {"template_id": "offer", "variants": [{"variant_id": "a", "content": {"en": {"text": "Hi {{ user.first_name }}"}}}]}


@pytest.fixture
def call(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """call(method, path, body, role=, tenant_id=) -> the answer, from tenants "acme" and "twin"."""
    settings = Settings(app_env=DEVELOPMENT, database_url=f"sqlite:///{tmp_path}/p.db", state_dir=tmp_path)
    house = build_house(settings, SystemClock())
    client, made = create_app(house=house).test_client(), dict[tuple[str, str], str]()

    def called(method: str, path: str, body: Any = None, *, role: str = "admin", tenant_id: str = "acme") -> Any:
        if (role, tenant_id) not in made:
            key, now = new_key(), house.clock.now()
            house.storage.tenants.create(tenant_id, now)
            said = {"key_id": key.key_id, "tenant_id": tenant_id, "role": role, "name": "t", "digest": key.digest}
            house.keys.add(ApiKeyRecord(**said, created_at=now))
            made[role, tenant_id] = key.api_key
        return client.open(PREFIX + path, method=method, json=body, headers={"X-API-Key": made[role, tenant_id]})

    yield called
    house.close()


def lived(call: Callable[..., Any], user_id: str = "ada@example.org") -> str:
    """A profile, a decision and a click; the decision's id."""
    assert call("POST", "/personalization/templates", OFFER).status_code in (201, 409)
    call("PUT", f"/personalization/profiles/{user_id}", {"attributes": {"first_name": "Ada"}, "language": "en"})
    asked = {"user_id": user_id, "template_id": "offer", "context": {"discount": "10 %"}, "require_real_time": True}
    decision = call("POST", "/personalization/personalize", asked).get_json()
    event = {"event_id": f"e-{user_id}", "type": "clicked", "user_id": user_id, "decision_id": decision["decision_id"]}
    said = {"text": "Thank you", "metadata": {"page": "home"}, "occurred_at": rfc3339(SystemClock().now())}
    assert call("POST", "/personalization/events", {"events": [{**event, **said}]}).get_json()["accepted"] == 1
    return str(decision["decision_id"])


def test_the_privacy_officer_exports_a_person(call: Callable[..., Any]) -> None:
    decision_id = lived(call)
    answer = call("POST", "/management/users/ada@example.org/export", role="privacy")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    found = json.loads(answer.data)
    assert found["user_id"] == "ada@example.org"
    assert found["profile"]["attributes"] == {"first_name": "Ada"}
    assert [d["decision_id"] for d in found["decisions"]] == [decision_id]
    assert found["decisions"][0]["explanation"]
    click = next(event for event in found["events"] if event["type"] == "clicked")
    assert (click["text"], click["metadata"], click["decision_id"]) == ("Thank you", {"page": "home"}, decision_id)
    assert (found["consents"], found["experiments"]) == ([], [])


def test_the_privacy_officer_erases_a_person_and_gets_a_certificate(call: Callable[..., Any]) -> None:
    decision_id = lived(call)
    begun = call("POST", "/management/users/ada@example.org/erase", role="privacy")
    assert begun.status_code == 202
    assert (
        call("POST", "/management/users/ada@example.org/erase", role="privacy").get_json()["erasure_id"]
        == begun.get_json()["erasure_id"]
    )
    where = f"/management/erasures/{begun.get_json()['erasure_id']}"
    until = time.monotonic() + 10
    while (found := call("GET", where, role="privacy").get_json())["status"] != "completed":
        assert time.monotonic() < until
        time.sleep(0.05)
    assert found["completed_at"] >= found["requested_at"]
    assert found["certificate"]["swept"]["decisions"] == 1
    assert found["genuine"] is True
    assert "ada@example.org" not in str(found)
    assert call("GET", f"/personalization/decisions/{decision_id}").status_code == 404
    assert call("GET", "/personalization/profiles/ada@example.org").status_code == 404
    refused = call("PATCH", "/personalization/profiles/ada@example.org", {"language": "de"})
    assert (refused.status_code, refused.get_json()["title"]) == (409, "Erased")
    assert call("PUT", "/personalization/profiles/ada@example.org", {"language": "de"}).status_code == 201


def test_an_anonymised_id_is_free_at_once(call: Callable[..., Any]) -> None:
    decision_id = lived(call)
    answer = call("POST", "/management/users/ada@example.org/anonymize", role="privacy")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "completed"})
    assert call("GET", "/personalization/profiles/ada@example.org").status_code == 404
    assert call("GET", f"/personalization/decisions/{decision_id}").status_code == 404
    assert call("GET", "/insights/overview").get_json()["events"] == {"clicked": 1}
    assert call("PUT", "/personalization/profiles/ada@example.org", {"language": "de"}).status_code == 201


def test_another_tenants_people_and_erasures_are_not_there(call: Callable[..., Any]) -> None:
    lived(call)
    for act in ("export", "anonymize", "erase"):
        foreign = call("POST", f"/management/users/ada@example.org/{act}", role="privacy", tenant_id="twin")
        unknown = call("POST", f"/management/users/nobody/{act}", role="privacy", tenant_id="twin")
        assert foreign.status_code == unknown.status_code == 404
        assert {**foreign.get_json(), "request_id": ""} == {**unknown.get_json(), "request_id": ""}
    erasure_id = call("POST", "/management/users/ada@example.org/erase").get_json()["erasure_id"]
    assert call("GET", f"/management/erasures/{erasure_id}", tenant_id="twin").status_code == 404


@pytest.mark.parametrize("role", ["service", "marketer", "analyst"])
def test_nobody_else_may(call: Callable[..., Any], role: str) -> None:
    lived(call)
    for act in ("export", "anonymize", "erase"):
        assert call("POST", f"/management/users/ada@example.org/{act}", role=role).status_code == 403
    assert call("GET", "/management/erasures/x", role=role).status_code == 403
    assert call("GET", "/personalization/profiles/ada@example.org").status_code == 200
