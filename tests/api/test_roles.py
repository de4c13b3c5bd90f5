from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from personalization.clock import SECOND
from personalization.security.access import allowed
from personalization.vocabulary import Role
from tests.api.conftest import application
from tests.api.fake_service import FakeHouse
from tests.api.routes import PREFIX, Route, routes
from tests.api.test_tokens import claims, signed
from tests.signing import private_key, public_pem

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
    ("GET", "/insights/templates/<id:template_id>"): {"read_insights"},
    ("GET", "/insights/overview"): {"read_insights"},
    ("GET", "/ai/models"): {"read_insights"},
    ("GET", "/ai/models/<id:model_id>"): {"read_insights"},
    ("GET", "/ai/models/<id:model_id>/versions"): {"read_insights"},
    ("GET", "/ai/models/<id:model_id>/card"): {"read_insights"},
    ("POST", "/ai/models/<id:model_id>/train"): {"manage_models"},
    ("POST", "/ai/models/<id:model_id>/evaluate"): {"manage_models"},
    ("POST", "/ai/models/<id:model_id>/promote"): {"manage_models"},
    ("POST", "/ai/models/<id:model_id>/rollback"): {"manage_models"},
    ("POST", "/ai/analyze-behavior"): {"analyze_behavior"},
    ("POST", "/ai/analyze-sentiment"): {"analyze_behavior"},
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


# -- the whole matrix: every documented operation, every role, every kind of credential

#: As DESIGN's contract has it; the admin may do all.
ROLES = {
    "service": {"personalize", "record_events", "update_preferences", "generate_content", "analyze_behavior"},
    "marketer": {"manage_templates", "personalize", "generate_content", "read_insights"},
    "analyst": {"read_insights", "analyze_behavior"},
    "privacy": {"manage_privacy", "read_audit"},
}

Headers = dict[str, str]


def bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


def token_of(house: FakeHouse, role: Role, key: Any = None, **changes: Any) -> Headers:
    given = claims(house, roles=[str(role)], **changes)
    return bearer(signed(given) if key is None else signed(given, key, "RS256"))


def exchanged(house: FakeHouse, role: Role) -> Headers:
    answer = application(house).test_client().post(f"{PREFIX}/management/tokens", headers={"X-API-Key": house.make_key(role)})
    return bearer(answer.get_json()["access_token"])


def revoked_key(house: FakeHouse, role: Role) -> Headers:
    key = house.make_key(role)
    house.keys.revoke("t1", key.split("_")[1], house.clock.now())
    return {"X-API-Key": key}


def revoked_token(house: FakeHouse, role: Role) -> Headers:
    headers = token_of(house, role, jti=f"ended {role}")
    body = {"token": headers["Authorization"].removeprefix("Bearer ")}
    ending = {"X-API-Key": house.make_key()}
    assert application(house).test_client().post(f"{PREFIX}/management/tokens/revoke", json=body, headers=ending).status_code == 200
    return headers


def now(house: FakeHouse) -> int:
    return house.clock.now() // SECOND


GOOD: dict[str, Callable[[FakeHouse, Role], Headers]] = {
    "an API key": lambda house, role: {"X-API-Key": house.make_key(role)},
    "an exchanged token": exchanged,
    "an HS256 token": token_of,
    "an RS256 token": lambda house, role: token_of(house, role, private_key("rsa")),
}
BAD: dict[str, Callable[[FakeHouse, Role], Headers]] = {
    "none": lambda house, role: {},
    "an expired key": lambda house, role: {"X-API-Key": house.make_key(role, expires_in=-1)},
    "a revoked key": revoked_key,
    "an expired HS256 token": lambda house, role: token_of(house, role, exp=now(house)),
    "an expired RS256 token": lambda house, role: token_of(house, role, private_key("rsa"), exp=now(house)),
    "a revoked token": revoked_token,
    "a token for another audience": lambda house, role: token_of(house, role, aud="elsewhere"),
    "an RS256 token for another audience": lambda house, role: token_of(house, role, private_key("rsa"), aud="elsewhere"),
    "a token of another issuer": lambda house, role: token_of(house, role, iss="elsewhere"),
    "an RS256 token of a foreign key": lambda house, role: token_of(house, role, private_key("rsa-foreign")),
    "a token of an unknown tenant": lambda house, role: token_of(house, role, tenant_id="t9"),
}


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse(jwt_public_key=public_pem("rsa"))


def documented(app: Flask) -> Iterator[tuple[Route, dict[str, Any]]]:
    """Every route of the url map with what Swagger says of it."""
    paths = app.test_client().get(f"{PREFIX}/swagger.json").get_json()["paths"]
    for route in routes(app):
        yield route, paths[route.rule.replace("<id:", "{").replace(">", "}")][route.method.lower()]


def expected(operation: dict[str, Any], role: Role, headers: Headers) -> str:
    """What the documentation and the role table let this credential do: "401", "403" or "allowed"."""
    brought = "Bearer" if "Authorization" in headers else "X-API-Key"
    if {brought: []} not in operation["security"]:
        return "401"
    asked = set(operation["x-permissions"])
    return "allowed" if role is Role.ADMIN or not asked or asked & ROLES[role] else "403"


def verdict(status: int) -> str:
    return str(status) if status in (401, 403) else "allowed"


@pytest.mark.parametrize("kind", GOOD)
def test_a_credential_opens_what_the_documentation_says_and_nothing_else(
    app: Flask, client: FlaskClient, house: FakeHouse, kind: str
) -> None:
    guarded = [(route, operation) for route, operation in documented(app) if route.guard is not None]
    for role in Role:
        headers = GOOD[kind](house, role)
        for route, operation in guarded:
            prepared(house)
            assert verdict(ask(client, route, headers)) == expected(operation, role, headers), (role, route.method, route.rule)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_credential_opens_only_what_stands_open(app: Flask, client: FlaskClient, house: FakeHouse, kind: str) -> None:
    everything = list(documented(app))
    for role in Role:
        headers = BAD[kind](house, role)
        for route, operation in everything:
            wanted = 401 if operation["security"] else 200
            assert ask(client, route, headers) == wanted, (role, route.method, route.rule)
    assert house.service("t1").untouched


def test_all_of_the_documentation_is_in_the_matrix(app: Flask) -> None:
    paths = app.test_client().get(f"{PREFIX}/swagger.json").get_json()["paths"]
    operations = {(method.upper(), path) for path, item in paths.items() for method in item if method != "parameters"}
    assert {(r.method, r.rule.replace("<id:", "{").replace(">", "}")) for r in routes(app)} == operations
