"""Puts the rooms of a SQL store together."""

from __future__ import annotations

import os
from collections.abc import Callable

from personalization.clock import Clock, SystemClock
from personalization.errors import MisconfiguredError
from personalization.sealing import Cipher
from personalization.storage.base import Election, Storage
from personalization.storage.sql.election import Alone, PostgresElection
from personalization.storage.sql.engine import Database
from personalization.storage.sql.fence import Fence
from personalization.storage.sql.keys import SqlApiKeys
from personalization.storage.sql.log import SqlLog
from personalization.storage.sql.migration import SqlLife
from personalization.storage.sql.model_versions import SqlModelVersions
from personalization.storage.sql.postgresql import PostgresDatabase
from personalization.storage.sql.privacy import SqlPrivacy
from personalization.storage.sql.profiles import SqlProfiles
from personalization.storage.sql.repeats import SqlRepeats
from personalization.storage.sql.revocations import SqlRevocations
from personalization.storage.sql.snapshots import SqlCheckpoints, SqlSnapshots
from personalization.storage.sql.sqlite import SQLiteDatabase
from personalization.storage.sql.templates import SqlTemplates
from personalization.storage.sql.tenants import SqlTenants
from personalization.storage.sql.users import SqlUsers


def open_sql_storage(url: str, cipher: Cipher, clock: Clock | None = None, token: Callable[[int], bytes] = os.urandom) -> Storage:
    """The store behind a sqlite:///… or postgresql+psycopg2://… URL. Nothing is connected and no table made before it is
    used: ask `life.schema()`, call `life.migrate()`. `token` makes pseudonyms, and ids instead of those of people who left.
    Raises MisconfiguredError for another URL."""
    clock = clock or SystemClock()
    database, election = _database(url, clock)
    tenants = SqlTenants(database, cipher)
    users = SqlUsers(database, cipher, tenants, token)
    fence = Fence(database, users)
    return Storage(
        tenants=tenants,
        keys=SqlApiKeys(database),
        revocations=SqlRevocations(database),
        users=users,
        profiles=SqlProfiles(database, cipher, users, fence),
        templates=SqlTemplates(database),
        log=SqlLog(database, cipher, tenants, users, fence),
        snapshots=SqlSnapshots(database),
        model_versions=SqlModelVersions(database),
        checkpoints=SqlCheckpoints(database),
        privacy=SqlPrivacy(database, cipher, tenants, users, token),
        repeats=SqlRepeats(database, cipher, tenants),
        election=election,
        life=SqlLife(database, clock),
    )


def _database(url: str, clock: Clock) -> tuple[Database, Election]:
    if url.startswith("sqlite"):
        return SQLiteDatabase(url, clock), Alone()
    if url.startswith("postgresql"):
        postgres = PostgresDatabase(url, clock)
        return postgres, PostgresElection(postgres)
    raise MisconfiguredError("DATABASE_URL must begin with sqlite:/// or postgresql+psycopg2://")
