from __future__ import annotations

import logging

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended.exceptions import NoAuthorizationError
from jwt.exceptions import InvalidTokenError

from personalization.errors import (
    Conflict,
    KeyReused,
    MissingVariables,
    NotFound,
    Overloaded,
    RenderingFailed,
    SealBroken,
    StorageUnavailable,
)
from tests.api.fake_service import FakeHouse
from tests.api.routes import PREFIX

PERSONALIZE = f"{PREFIX}/personalization/personalize"


def test_an_unknown_path_is_a_problem(client: FlaskClient) -> None:
    for path in ("/nonsense", f"{PREFIX}/nonsense", PREFIX, "/", f"{PREFIX}/personalization/profiles/"):
        answer = client.get(path)
        assert (answer.status_code, answer.mimetype) == (404, "application/problem+json"), path
        assert answer.get_json().keys() == {"type", "title", "status", "detail", "errors", "request_id"}


def test_a_wrong_method_is_a_problem_that_names_the_right_ones(client: FlaskClient) -> None:
    answer = client.get(PERSONALIZE)
    assert (answer.status_code, answer.mimetype) == (405, "application/problem+json")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (NotFound("template"), 404),
        (Conflict("another version was saved"), 409),
        (KeyReused(), 422),
        (MissingVariables(["user.first_name"]), 422),
        (Overloaded("real-time", 5000), 503),
        (StorageUnavailable("psycopg2.OperationalError: SELECT password"), 503),
        (NoAuthorizationError("x"), 401),
        (InvalidTokenError("x"), 401),
        (RecursionError("x"), 400),
        (RenderingFailed("password"), 500),
        (SealBroken("password"), 500),
        (RuntimeError("password"), 500),
        (KeyError("password"), 500),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("testing", [True, False])
def test_every_failure_becomes_a_problem(
    app: Flask,
    house: FakeHouse,
    admin: dict[str, str],
    failure: Exception,
    status: int,
    testing: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app.testing = testing
    house.service("t1").failure = failure
    with caplog.at_level(logging.CRITICAL):
        answer = app.test_client().post(PERSONALIZE, json={"template_id": "t"}, headers=admin)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert answer.get_json()["status"] == status
    assert answer.get_json()["request_id"] == answer.headers["X-Request-Id"]
    assert b"password" not in answer.data
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


def test_an_unexpected_error_is_logged_with_its_request_id(
    client: FlaskClient, house: FakeHouse, admin: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    house.service("t1").failure = RuntimeError("details")
    client.post(PERSONALIZE, json={"template_id": "t"}, headers={**admin, "X-Request-Id": "trace-1"})
    assert "trace-1" in caplog.text
    assert "details" in caplog.text


def test_missing_variables_are_named(client: FlaskClient, house: FakeHouse, admin: dict[str, str]) -> None:
    house.service("t1").failure = MissingVariables(["user.first_name"])
    answer = client.post(PERSONALIZE, json={"template_id": "t"}, headers=admin)
    assert answer.get_json()["errors"] == [{"field": "user.first_name", "message": "has no value"}]


@pytest.mark.parametrize("sent", ["trace-1", "a" * 128, "00-4bf92f-01"])
def test_a_safe_request_id_comes_back(client: FlaskClient, sent: str) -> None:
    assert client.get(f"{PREFIX}/management/live", headers={"X-Request-Id": sent}).headers["X-Request-Id"] == sent


@pytest.mark.parametrize("sent", ["", "a b", "<script>", "a" * 129, "ä"])
def test_an_unsafe_request_id_is_replaced(client: FlaskClient, sent: str) -> None:
    answer = client.get(f"{PREFIX}/management/live", headers={"X-Request-Id": sent})
    assert answer.headers["X-Request-Id"] not in ("", sent)


def test_every_answer_has_its_headers(client: FlaskClient, admin: dict[str, str]) -> None:
    for answer in (client.get(f"{PREFIX}/management/health", headers=admin), client.get("/nonsense"), client.get("/metrics")):
        assert answer.headers["X-Request-Id"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


def test_ready_says_no_with_503(client: FlaskClient, house: FakeHouse) -> None:
    assert client.get(f"{PREFIX}/management/ready").status_code == 200
    house.is_ready = False
    answer = client.get(f"{PREFIX}/management/ready")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


def test_requests_are_counted_by_route_and_status(client: FlaskClient) -> None:
    client.get(f"{PREFIX}/management/live")
    assert b'personalization_requests_total{route="/api/v1/management/live",status="200"}' in client.get("/metrics").data
