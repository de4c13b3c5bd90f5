"""Real processes: a gunicorn on a database, with a tenant and a key."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from personalization.client import Client
from personalization.clock import SystemClock
from personalization.messages import LogEntry
from personalization.security.cipher import EnvelopeCipher
from personalization.security.identity import new_key
from personalization.storage.base import ApiKeyRecord, Storage
from personalization.storage.sql.open import open_sql_storage

ROOT = Path(__file__).parents[2]
KEYS = (("k1", bytes(range(32))),)


class Server:
    """A gunicorn of its own process group."""

    def __init__(self, environment: dict[str, str], log: Path, within: Sequence[str] = ()) -> None:
        self.port = free_port()
        self._within = within
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment, self._log = {**environment, "PORT": str(self.port)}, log
        self._clients: list[Client] = []

    def client(self, key: str) -> Client:
        """One that is closed with the server."""
        self._clients.append(Client(self.url, key))
        return self._clients[-1]

    def start(self) -> Server:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._within, sys.executable, "-m", "gunicorn", "app:create_app()"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + 40
        while not self._ready():
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < until, self._log.read_text()
            time.sleep(0.05)
        return self

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/management/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """SIGKILL to master and workers alike."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        for client in self._clients:
            client.close()
        if self.process.poll() is None:
            self.kill()

    def stop(self) -> int:
        """SIGTERM, and how it ended."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(40)


@pytest.fixture
def key() -> str:
    return new_key().api_key


def prepared(url: str, key: str) -> Storage:
    """The database at head with tenant "acme" and this admin key."""
    storage = open_sql_storage(url, EnvelopeCipher(KEYS))
    storage.life.migrate()
    now = SystemClock().now()
    storage.tenants.create("acme", now)
    _, key_id, secret = key.split("_", 2)
    storage.keys.add(
        ApiKeyRecord(
            key_id=key_id, tenant_id="acme", role="admin", name="t", digest=sha256(secret.encode()).digest(), created_at=now
        )
    )
    return storage


def logged(storage: Storage) -> list[LogEntry]:
    """The whole log of "acme", which has no gap; the storage is closed afterwards."""
    rows: list[LogEntry] = []
    while page := storage.log.read("acme", rows[-1].seq if rows else 0, 5_000):
        rows += page
    storage.life.close()
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    return rows


def rebuilt(server: Server) -> dict[str, Any]:
    """What `rebuild --check` says of the database of a server that has ended."""
    command = [sys.executable, "-m", "personalization.cli", "rebuild", "--check", "--json"]
    check = subprocess.run(command, cwd=ROOT, env=server.environment, capture_output=True, text=True)
    assert check.stdout, check.stderr
    found: dict[str, Any] = json.loads(check.stdout)
    return found


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """serve(database_url) -> a running server; all are killed at the end. within: a command that runs the server's."""
    with running(tmp_path) as serving:
        yield serving


@contextmanager
def running(folder: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def started(database_url: str, within: Sequence[str] = (), **environment: str) -> Server:
        settings = {
            "DATABASE_URL": database_url,
            "STATE_DIR": str(folder / "state"),
            "JWT_SECRET_KEY": "x" * 64,
            "ENCRYPTION_KEYS": f"k1:{b64encode(KEYS[0][1]).decode()}",
            "RATE_LIMIT": "1000000/second",
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
        }
        server = Server({**settings, **environment}, folder / f"server{len(servers)}.log", within)
        servers.append(server)
        return server.start()

    yield started
    for server in servers:
        server.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
