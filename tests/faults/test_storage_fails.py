"""A disk that is full, a database that may only be read: no false acknowledgement, and all is well once it is over."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg2
import pytest

from personalization.client import Client, Refused
from personalization.clock import SystemClock, rfc3339
from personalization.security.cipher import EnvelopeCipher
from personalization.storage.sql.open import open_sql_storage
from tests.faults.conftest import KEYS, Server, logged, prepared

OFFER = {"template_id": "offer", "variants": [{"variant_id": v, "content": {"en": {"text": v}}} for v in "ab"]}
#: In a mount namespace of its own, so that nobody has to be root.
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


class Reporter:
    """Reports events of one user and remembers which were acknowledged."""

    def __init__(self, client: Client) -> None:
        self._client, self.acknowledged, self.refused = client, [], []

    def report(self, how_many: int = 40) -> bool:
        """Whether they were taken. Whatever else is answered must be a 503 or 507."""
        start, now = len(self.acknowledged) + len(self.refused), rfc3339(SystemClock().now())
        names = [f"e{start + i}" for i in range(how_many)]
        if self.send(names, now):
            self.acknowledged += names
            return True
        self.refused += names
        return False

    def send(self, names: list[str], now: str) -> bool:
        common = {"type": "custom", "user_id": "u", "occurred_at": now, "text": "x" * 200}
        receipt = _taken(lambda: self._client.record([{**common, "event_id": name, "name": name} for name in names]))
        return receipt is not None and receipt["accepted"] == len(names)

    def decide(self) -> bool:
        wanted = {"user_id": "u", "template_id": "offer", "require_real_time": True}
        return _taken(lambda: self._client.personalize(wanted)) is not None


def _taken(call: Callable[[], dict]) -> dict | None:
    """The answer, None where the storage was said to be away; any other refusal fails the test."""
    try:
        return call()
    except Refused as refusal:
        if refusal.status not in (503, 507):
            raise
        return None


def impatient(server: Server, key: str) -> Client:
    """A client that reports a refusal instead of waiting for it to pass."""
    client = Client(server.url, key, sleep=_refuse)
    server._clients.append(client)
    return client


def _refuse(seconds: float) -> None:
    raise Refused(503, {"detail": f"try again in {seconds} s"})


def until(true: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.1)


def expect_what_was_acknowledged(url: str, reporter: Reporter) -> None:
    found = Counter(row.name for row in logged(open_sql_storage(url, EnvelopeCipher(KEYS))))
    assert {name: found[name] for name in reporter.acknowledged} == dict.fromkeys(reporter.acknowledged, 1)
    assert not any(found[name] for name in reporter.refused)


@pytest.mark.skipif(
    subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode != 0 and not os.environ.get("CI"),
    reason="mounting a small disk needs user namespaces",
)
def test_a_full_disk_acknowledges_nothing_it_does_not_keep(serve: Callable[..., Server], tmp_path: Path, key: str) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept.db"
    disk.mkdir()
    url = f"sqlite:///{disk}/p.db"
    prepared(f"sqlite:///{kept}", key).life.close()
    mount = f"mount -t tmpfs -o size=12m tmpfs {shlex.quote(str(disk))} && cp {shlex.quote(str(kept))} {disk}/p.db"
    server = serve(url, within=[*NAMESPACE, "sh", "-c", f'{mount} && exec "$@"', "sh"])
    seen = Path(f"/proc/{server.process.pid}/root{disk}")
    client = impatient(server, key)
    client.create_template(OFFER)
    reporter = Reporter(client)
    assert reporter.report()
    _fill(seen / "filler")
    until(lambda: not reporter.report(), 60)
    assert [reporter.report() for _ in range(5)].count(False) > 0
    until(lambda: not reporter.decide(), 30)
    (seen / "filler").unlink()
    until(lambda: reporter.report() and reporter.decide())
    folder = os.open(seen, os.O_RDONLY | os.O_DIRECTORY)
    assert server.stop() == 0
    expect_what_was_acknowledged(f"sqlite:///{_copied(folder, tmp_path)}/p.db", reporter)


def _copied(folder: int, to: Path) -> Path:
    """What the small disk held; the open folder keeps it alive after the server's end."""
    copies = Path(shutil.copytree(f"/proc/self/fd/{folder}", to / "copies"))
    os.close(folder)
    return copies


def _fill(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as filler:
        while True:
            filler.write(b"\0" * 4096)


def test_a_database_that_may_only_be_read_acknowledges_nothing(serve: Callable[..., Server], postgres_url: str, key: str) -> None:
    prepared(postgres_url, key).life.close()
    server = serve(postgres_url, WEB_CONCURRENCY="1")
    client = impatient(server, key)
    client.create_template(OFFER)
    reporter = Reporter(client)
    assert reporter.report()
    assert reporter.decide()
    _read_only(postgres_url, "on")
    until(lambda: not reporter.report())
    assert not reporter.decide()
    assert client.call("GET", "/personalization/templates/offer")["template_id"] == "offer"
    _read_only(postgres_url, "off")
    until(lambda: reporter.report() and reporter.decide())
    assert server.stop() == 0
    expect_what_was_acknowledged(postgres_url, reporter)


def _read_only(url: str, how: str) -> None:
    """For every session from now on; the others are ended."""
    connection = psycopg2.connect(url.replace("+psycopg2", ""), options="-c default_transaction_read_only=off")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        name = cursor.fetchone()[0]
        cursor.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {how}')
        others = "FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        cursor.execute(f"SELECT pg_terminate_backend(pid) {others}", [name])
    connection.close()
