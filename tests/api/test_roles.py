from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from personalization.security.access import allowed
from personalization.vocabulary import Role
from tests.api.fake_service import FakeHouse
from tests.api.routes import Route, routes

OPEN = {("GET", "/management/live"), ("GET", "/management/ready")}

#: Permission by permission, as the contract's table reads.
CONTRACT = {
    ("PUT", "/personalization/profiles/<id:user_id>"): {"update_preferences"},
    ("PATCH", "/personalization/profiles/<id:user_id>"): {"update_preferences"},
    ("POST", "/personalization/profiles"): {"update_preferences"},
    ("GET", "/personalization/profiles/<id:user_id>"): {"personalize", "read_insights"},
    ("GET", "/personalization/decisions/<id:decision_id>"): {"personalize", "read_insights"},
    ("GET", "/personalization/templates"): {"manage_templates", "personalize"},
    ("POST", "/personalization/templates"): {"manage_templates"},
    ("GET", "/personalization/templates/<id:template_id>"): {"manage_templates", "personalize"},
    ("PUT", "/personalization/templates/<id:template_id>"): {"manage_templates"},
    ("DELETE", "/personalization/templates/<id:template_id>"): {"manage_templates"},
    ("GET", "/personalization/templates/<id:template_id>/versions"): {"manage_templates", "personalize"},
    ("POST", "/personalization/templates/<id:template_id>/preview"): {"manage_templates"},
    ("POST", "/personalization/personalize"): {"personalize"},
    ("POST", "/personalization/batch"): {"personalize"},
    ("POST", "/personalization/decisions/<id:decision_id>/activate"): {"personalize"},
    ("POST", "/personalization/decisions/<id:decision_id>/discard"): {"personalize"},
    ("POST", "/personalization/events"): {"record_events"},
    ("GET", "/insights/users/<id:user_id>"): {"read_insights"},
    ("GET", "/insights/users/<id:user_id>/preferences"): {"update_preferences"},
    ("PUT", "/insights/users/<id:user_id>/preferences"): {"update_preferences"},
    ("GET", "/insights/users/<id:user_id>/timeline"): {"read_insights"},
    ("GET", "/insights/overview"): {"read_insights"},
    ("GET", "/ai/models"): {"read_insights"},
    ("GET", "/ai/models/<id:model_id>"): {"read_insights"},
    ("POST", "/ai/analyze-behavior"): {"analyze_behavior"},
    ("GET", "/management/health"): set(),
    ("GET", "/management/stats"): set(),
    ("POST", "/management/tokens"): set(),
    ("POST", "/management/tokens/revoke"): set(),
    ("GET", "/management/api-keys"): {"administer"},
    ("POST", "/management/api-keys"): {"administer"},
    ("DELETE", "/management/api-keys/<id:key_id>"): {"administer"},
    ("GET", "/management/config"): {"administer"},
    ("PATCH", "/management/config"): {"administer"},
    ("GET", "/management/users/<id:user_id>/consent"): {"update_preferences", "manage_privacy"},
    ("PUT", "/management/users/<id:user_id>/consent"): {"update_preferences", "manage_privacy"},
    ("POST", "/management/users/<id:user_id>/export"): {"manage_privacy"},
    ("POST", "/management/users/<id:user_id>/anonymize"): {"manage_privacy"},
    ("POST", "/management/users/<id:user_id>/erase"): {"manage_privacy"},
    ("GET", "/management/erasures/<id:erasure_id>"): {"manage_privacy"},
}


def test_every_route_asks_for_what_the_contract_says(app: Flask) -> None:
    asked = {(r.method, r.rule): set(r.guard.any_of) for r in routes(app) if r.guard is not None}
    assert {route: asked.get(route) for route in CONTRACT} == CONTRACT
    assert {(r.method, r.rule) for r in routes(app) if r.guard is None} == OPEN


def ask(client: FlaskClient, route: Route, headers: dict[str, str]) -> int:
    return client.open(route.path, method=route.method, json=route.body, headers=headers).status_code


def prepared(house: FakeHouse) -> None:
    service = house.service("t1")
    service.put_profile("u", {})
    service.create_template({"template_id": "t"})


@pytest.mark.parametrize("role", list(Role))
def test_a_role_reaches_exactly_its_routes(app: Flask, client: FlaskClient, house: FakeHouse, role: Role) -> None:
    headers = {"X-API-Key": house.make_key(role)}
    for route in filter(lambda r: r.guard is not None, routes(app)):
        prepared(house)
        status = ask(client, route, headers)
        may = route.guard is not None and allowed(frozenset({role}), route.guard.any_of)
        assert (status != 403) == may, (route.method, route.path, status)
        assert not may or status < 300 or (route.method, status) == ("DELETE", 404), (route.method, route.path, status)


def test_nobody_comes_in_without_a_credential(app: Flask, client: FlaskClient) -> None:
    for route in routes(app):
        assert (ask(client, route, {}) == 401) == (route.guard is not None), route.path
