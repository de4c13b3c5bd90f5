from __future__ import annotations

from pathlib import Path

from alembic import command

from personalization.bootstrap import create_app
from personalization.security.cipher import EnvelopeCipher
from personalization.settings import PRODUCTION, Settings
from personalization.storage.sql.migration import _config
from personalization.storage.sql.open import open_sql_storage
from tests.conftest import MASTER_KEYS

READY = "/api/v1/management/ready"


def test_production_is_ready_once_migrate_has_run_beside_it(tmp_path: Path, sqlite_url: str) -> None:
    beside = open_sql_storage(sqlite_url, EnvelopeCipher(MASTER_KEYS))
    config = _config()
    with beside.life._database.migrating() as connection:  # type: ignore[attr-defined]
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    settings = Settings(
        app_env=PRODUCTION, database_url=sqlite_url, state_dir=tmp_path, jwt_secret_key="x" * 64, encryption_keys=MASTER_KEYS
    )
    app = create_app(settings)
    house = app.extensions["personalization"]
    try:
        client = app.test_client()
        refused = client.get(READY)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
        assert "personalization migrate" in refused.json["checks"]["schema"]
        beside.life.migrate()
        assert client.get(READY).status_code == 200
        assert house._started_in
    finally:
        beside.life.close()
        house.close()
