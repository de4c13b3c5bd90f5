from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from personalization.api import create_api
from tests.api.fake_service import FakeHouse


def application(house: FakeHouse) -> Flask:
    app = Flask("personalization", static_folder=None)
    create_api(app, house)
    return app


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse()


@pytest.fixture
def app(house: FakeHouse) -> Flask:
    return application(house)


@pytest.fixture
def client(app: Flask) -> Iterator[FlaskClient]:
    with app.test_client() as client:
        yield client


@pytest.fixture
def admin(house: FakeHouse) -> dict[str, str]:
    return {"X-API-Key": house.make_key()}
