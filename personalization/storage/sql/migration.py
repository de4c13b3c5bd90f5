"""Where the schema stands, and the way to head."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import personalization.storage.migrations
from personalization.clock import Clock
from personalization.errors import MisconfiguredError
from personalization.storage.sql.engine import Database

EMPTY, OLDER, HEAD = "empty", "older", "head"

_SCRIPTS = str(Path(personalization.storage.migrations.__file__).parent)


class SqlLife:
    """A Life."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def ping(self) -> None:
        with self._database.read() as transaction:
            transaction.execute(sa.select(sa.literal(1)))

    def schema(self) -> str:
        """Raises MisconfiguredError when a newer release made the database."""
        with self._database.read() as transaction:
            return _standing(transaction.connection)

    def migrate(self) -> None:
        with self._database.migrating() as connection:
            if _standing(connection) != HEAD:
                config = _config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        self._database.ensure_month(self._clock.now())

    def close(self) -> None:
        self._database.close()


def _standing(connection: sa.Connection) -> str:
    current = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(_config())
    if current is None:
        return EMPTY
    if current not in {script.revision for script in scripts.walk_revisions()}:
        raise MisconfiguredError(f"The database is at schema {current}, unknown to this release: run the release that made it.")
    return HEAD if current == scripts.get_current_head() else OLDER


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", _SCRIPTS.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
