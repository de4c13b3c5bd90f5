"""The life of models over HTTP: what the edge makes of a request, and a body that may be left out but not be wrong."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.api.fake_service import FakeHouse

ROOT = "/api/v1/ai/models/m1"


@pytest.mark.parametrize(
    ("verb", "body", "call"),
    [
        ("train", None, ("train_model", "m1")),
        ("rollback", None, ("rollback_model", "m1")),
        ("evaluate", None, ("evaluate_model", "m1", None)),
        ("evaluate", {}, ("evaluate_model", "m1", None)),
        ("evaluate", {"version": 3}, ("evaluate_model", "m1", 3)),
        ("promote", None, ("promote_model", "m1", None, "live")),
        ("promote", {"version": 3}, ("promote_model", "m1", 3, "live")),
        ("promote", {"version": 3, "status": "shadow"}, ("promote_model", "m1", 3, "shadow")),
    ],
)
def test_a_body_may_be_left_out(
    client: FlaskClient, house: FakeHouse, admin: dict[str, str], verb: str, body: Any, call: tuple[Any, ...]
) -> None:
    answer = client.post(f"{ROOT}/{verb}", json=body, headers=admin)
    assert answer.status_code == (202 if verb == "train" else 200)
    assert house.service("t1").calls == [call]


@pytest.mark.parametrize("verb", ["evaluate", "promote"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 422),
        (b'{"version": 0}', 422),
        (b'{"version": "1"}', 422),
        (b'{"version": 1.5}', 422),
        (b'{"status": "retired"}', 422),
        (b'{"nonsense": 1}', 422),
    ],
)
def test_a_wrong_body_changes_nothing(
    client: FlaskClient, house: FakeHouse, admin: dict[str, str], verb: str, body: bytes, status: int
) -> None:
    answer = client.post(f"{ROOT}/{verb}", data=body, headers={**admin, "Content-Type": "application/json"})
    assert answer.status_code == status
    assert house.service("t1").calls == []


def test_another_model_is_not_found(client: FlaskClient, house: FakeHouse, admin: dict[str, str]) -> None:
    for verb in ("train", "evaluate", "promote", "rollback"):
        assert client.post(f"/api/v1/ai/models/nobody/{verb}", headers=admin).status_code == 404
    for part in ("", "/versions", "/card"):
        assert client.get(f"/api/v1/ai/models/nobody{part}", headers=admin).status_code == 404
