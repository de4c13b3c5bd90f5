from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from personalization.api import create_api
from personalization.bootstrap import build_house, create_app
from personalization.clock import SystemClock
from personalization.security.identity import new_key
from personalization.settings import DEVELOPMENT, RateLimit, Settings
from personalization.storage.base import ApiKeyRecord
from tests.api.fake_service import SECRET, FakeHouse
from tests.api.raw import World


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


@contextmanager
def world_on(database_url: str, folder: Path) -> Iterator[World]:
    settings = Settings(
        app_env=DEVELOPMENT,
        database_url=database_url,
        state_dir=folder,
        jwt_secret_key=SECRET,
        rate_limit=RateLimit(10_000_000, 1),
    )
    house = build_house(settings, SystemClock())
    house.storage.tenants.create("acme", house.clock.now())
    key = new_key()
    house.keys.add(
        ApiKeyRecord(key_id=key.key_id, tenant_id="acme", role="admin", name="t", digest=key.digest, created_at=house.clock.now())
    )
    yield World(create_app(house=house), house, key.api_key, str(folder))
    house.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """On SQLite."""
    folder = tmp_path_factory.mktemp("world")
    with world_on(f"sqlite:///{folder}/p.db", folder) as made:
        yield made


@pytest.fixture
def postgres_world(postgres_url: str, tmp_path: Path) -> Iterator[World]:
    with world_on(postgres_url, tmp_path) as made:
        yield made
