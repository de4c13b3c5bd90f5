from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV2SpecValidator, OpenAPIV31SpecValidator

from tests.api.conftest import application
from tests.api.fake_service import FakeHouse
from tests.api.routes import BODIES, PREFIX, routes


@pytest.fixture
def swagger(client: FlaskClient) -> dict[str, Any]:
    return client.get(f"{PREFIX}/swagger.json").get_json()


@pytest.fixture
def openapi(client: FlaskClient) -> dict[str, Any]:
    return client.get(f"{PREFIX}/openapi.json").get_json()


def documented(rule: str) -> str:
    return re.sub(r"<id:(\w+)>", r"{\1}", rule)


def test_every_route_is_documented_with_body_answers_errors_and_headers(app: Flask, swagger: dict[str, Any]) -> None:
    for route in routes(app):
        operation = swagger["paths"][documented(route.rule)][route.method.lower()]
        assert operation["summary"], route
        body = [p for p in operation["parameters"] if p["in"] == "body"]
        assert any(p["required"] for p in body) == ((route.method, route.rule) in BODIES), route
        responses = operation["responses"]
        good = next(response for code, response in responses.items() if code < "300")
        assert "schema" in good or "204" in responses, route
        assert "X-Request-Id" in good["headers"]
        if route.guard is not None:
            assert {"401", "422", "429", "503"} <= responses.keys(), route
            assert ("403" in responses) == bool(route.guard.any_of)
            assert operation["security"]
            assert "Retry-After" in responses["429"]["headers"]
        if body:
            assert {"400", "413", "415"} <= responses.keys(), route


def operations(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(m.upper(), path) for path, item in document["paths"].items() for m in item if m != "parameters"}


@pytest.mark.parametrize("name", ["swagger", "openapi"])
def test_the_document_names_the_routes_of_the_url_map_and_no_others(app: Flask, request: pytest.FixtureRequest, name: str) -> None:
    assert operations(request.getfixturevalue(name)) == {(r.method, documented(r.rule)) for r in routes(app)}


def test_both_documents_are_what_their_specifications_ask_for(swagger: dict[str, Any], openapi: dict[str, Any]) -> None:
    OpenAPIV2SpecValidator(swagger).validate()
    OpenAPIV31SpecValidator(openapi).validate()
    assert openapi["openapi"].startswith("3.1")


def test_every_error_is_a_problem_in_its_own_media_type(openapi: dict[str, Any], swagger: dict[str, Any]) -> None:
    for path, item in openapi["paths"].items():
        for method in item.keys() - {"parameters"}:
            for code, response in item[method]["responses"].items():
                if code >= "400" and (path, code) != ("/management/ready", "503"):
                    assert response["content"] == {
                        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                    }, (path, code)
            assert "application/problem+json" in swagger["paths"][path][method]["produces"]


def test_every_parameter_says_what_it_takes(openapi: dict[str, Any]) -> None:
    for item in openapi["paths"].values():
        for parameter in item.get("parameters", ()):
            assert parameter["schema"] == {"type": "string", "minLength": 1, "maxLength": 256}
    listed = {p["name"]: p["schema"] for p in openapi["paths"]["/personalization/templates"]["get"]["parameters"]}
    assert listed["limit"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    asked = {p["name"]: p["schema"] for p in openapi["paths"]["/insights/overview"]["get"]["parameters"]}
    assert asked["from"] == {"type": "string", "format": "date-time"}


def test_what_an_answer_names_can_be_followed(openapi: dict[str, Any]) -> None:
    made = openapi["paths"]["/personalization/personalize"]["post"]["responses"]["200"]["links"]
    followed = {link["operationId"] for link in made.values()}
    known = {o["operationId"]: path for path, item in openapi["paths"].items() for m, o in item.items() if m != "parameters"}
    assert "/personalization/decisions/{decision_id}/activate" in {known[name] for name in followed}


def references(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        if isinstance(document.get("$ref"), str):
            yield document["$ref"]
        for value in document.values():
            yield from references(value)
    elif isinstance(document, list):
        for value in document:
            yield from references(value)


@pytest.mark.parametrize("name", ["swagger", "openapi"])
def test_every_reference_leads_somewhere(request: pytest.FixtureRequest, name: str) -> None:
    document = request.getfixturevalue(name)
    for reference in set(references(document)):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        assert found


def test_swagger_two_never_says_null(swagger: dict[str, Any]) -> None:
    text = str(swagger["definitions"])
    assert "anyOf" not in text
    assert "'null'" not in text


def test_authorize_knows_both_credentials(swagger: dict[str, Any], openapi: dict[str, Any]) -> None:
    assert swagger["securityDefinitions"].keys() == {"Bearer", "X-API-Key"}
    assert openapi["components"]["securitySchemes"]["Bearer"]["scheme"] == "bearer"


def test_the_page_loads_everything_from_under_the_prefix_and_has_no_inline_script(client: FlaskClient) -> None:
    page = client.get(f"{PREFIX}/docs")
    assert page.status_code == 200
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(sources) >= 4
    assert "<script>" not in page.text
    assert "script-src" not in page.headers["Content-Security-Policy"]
    for source in sources:
        assert source.startswith(f"{PREFIX}/docs/")
        with client.get(source) as answer:
            assert answer.status_code == 200, source


def test_the_documentation_asks_for_a_credential_in_production() -> None:
    house = FakeHouse(app_env="production")
    client = application(house).test_client()
    for path in ("docs", "swagger.json", "openapi.json"):
        assert client.get(f"{PREFIX}/{path}").status_code == 401
        assert client.get(f"{PREFIX}/{path}", headers={"X-API-Key": house.make_key("privacy")}).status_code == 200
