"""POST /ai/analyze-sentiment: the edge with a stand-in, and the whole thing with the shipped reader."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from personalization.operations.sentiment import analyzed
from personalization.rest.strict import MIB
from tests.api.conftest import application
from tests.api.documents import unnamed
from tests.api.fake_service import FakeHouse, FakeService

PATH = "/api/v1/ai/analyze-sentiment"
CALM = [
    "",
    "Lovely, thank you for your quick help!",
    "هذا رائع جدا، شكرا",
    "זה נורא",
    "👍🏽👨‍👩‍👧 ❤️",
    "I love 你 mais c'est nul",
    "w" * 100_000,
    "not bad " * 12_500,
    "\u202e\u200b\ufeff",
]


@pytest.fixture
def reading(house: FakeHouse, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """The edge over the real reader."""
    monkeypatch.setattr(FakeService, "analyze_sentiment", staticmethod(analyzed))
    return application(house)


def post(client: FlaskClient, admin: dict[str, str], body: Any, expect: int = 200) -> Any:
    answer = client.post(PATH, json=body, headers=admin)
    assert answer.status_code == expect, answer.get_json()
    return answer.get_json()


def test_texts_of_every_kind_get_one_documented_answer_each(reading: Flask, admin: dict[str, str]) -> None:
    client = reading.test_client()
    found = post(client, admin, {"texts": CALM})
    assert len(found["results"]) == len(CALM)
    assert [one["language"] for one in found["results"]][1:4] == ["en", "ar", "he"]
    document = client.get("/api/v1/openapi.json", headers=admin).get_json()
    assert not unnamed(document, "POST", "/ai/analyze-sentiment", 200, found)


def test_a_language_given_is_taken_for_all_texts(reading: Flask, admin: dict[str, str]) -> None:
    found = post(reading.test_client(), admin, {"texts": ["super", "I like it"], "language": "de-AT"})
    assert [one["language"] for one in found["results"]] == ["de", "de"]
    assert all("gratitude" not in one["emotions"] for one in found["results"])


@pytest.mark.parametrize("language", ["xx", "zz-ZZ", "klingon", "", "e", 7])
def test_an_unknown_language_is_named_in_the_refusal(reading: Flask, admin: dict[str, str], language: Any) -> None:
    problem = post(reading.test_client(), admin, {"texts": ["a"], "language": language}, 422)
    assert [error["field"] for error in problem["errors"]] == ["language"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"texts": []}, 422),
        ({"texts": "one"}, 422),
        ({"texts": [1]}, 422),
        ({"texts": [None]}, 422),
        ({"texts": ["a"], "user_id": "u"}, 422),
        ({"texts": ["a"] * 1001}, 413),
        ({"texts": ["a" * MIB]}, 413),
    ],
)
def test_a_wrong_body_is_refused(client: FlaskClient, admin: dict[str, str], body: Any, status: int) -> None:
    post(client, admin, body, status)


def test_a_thousand_texts_are_answered_at_once(client: FlaskClient, admin: dict[str, str]) -> None:
    assert len(post(client, admin, {"texts": ["a"] * 1000})["results"]) == 1000
