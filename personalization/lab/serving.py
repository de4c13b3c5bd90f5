"""The server that the benchmark measures: the product's own, in a process of its own, with two routes more."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flask import Flask, Response
from flask_jwt_extended import jwt_required
from flask_restx import Namespace, Resource

import personalization
from personalization.api import create_api
from personalization.bootstrap import build_house, opened_storage, with_secrets
from personalization.client import Client, Refused, Unreachable
from personalization.clock import SystemClock
from personalization.errors import MisconfiguredError
from personalization.operations.followers import FOLLOWERS
from personalization.rest.answering import answer
from personalization.rest.guards import Call, guard
from personalization.security.identity import new_key
from personalization.settings import DEVELOPMENT, Settings, settings_from
from personalization.storage.base import ApiKeyRecord
from personalization.vocabulary import Permission, Role

THREADS = 8
TENANT = "bench"
_CORE = 0
_WORKER = "personalization.rest.transport.ProblemWorker"
_SETTLED_TICKS, _SETTLING, _MOST_PAUSES = 1, 0.15, 400

_namespace = Namespace("bench", description="What the stack costs when nothing is decided")


@_namespace.route("/empty")
class EmptyResource(Resource):  # type: ignore[misc]
    @guard(Permission.PERSONALIZE, hot=True)
    def post(self, call: Call) -> Response:
        """Who is it, what do they send; nothing else."""
        call.body()
        return answer({})


@_namespace.route("/stock")
class StockResource(Resource):  # type: ignore[misc]
    @jwt_required()  # type: ignore[untyped-decorator]
    def post(self) -> Response:
        """The same as a textbook has it: the token verified on every request."""
        return answer({})


@_namespace.route("/threads")
class ThreadsResource(Resource):  # type: ignore[misc]
    def get(self) -> Response:
        """The system's numbers of the threads that follow the log."""
        return answer([thread.native_id for thread in threading.enumerate() if thread.name == FOLLOWERS])


def create_bench_app() -> Flask:
    """The product's application with three routes more, of which `empty` lets in and parses as the others do."""
    house = build_house(settings_from())
    app = Flask("personalization")
    create_api(app, house).add_namespace(_namespace, "/bench")
    house.start()
    return app


@dataclass(frozen=True)
class Spent:
    """Seconds of CPU: of all processes, and of it following the log."""

    cpu: float
    following: float

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.cpu - other.cpu, self.following - other.following)


@dataclass(frozen=True)
class Server:
    url: str
    api_key: str
    stats: tuple[Path, ...]
    followers: tuple[Path, ...]
    database: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def settled(self, pause: Callable[[float], object]) -> Spent:
        """CPU used so far, once it has nothing left to do."""
        before = sum(map(_ticks, self.stats))
        for _ in range(_MOST_PAUSES):
            pause(_SETTLING)
            now = sum(map(_ticks, self.stats))
            if now - before <= _SETTLED_TICKS:
                break
            before = now
        second = os.sysconf("SC_CLK_TCK")
        return Spent(sum(map(_ticks, self.stats)) / second, sum(map(_ticks, self.followers)) / second)


def _ticks(stat: Path) -> int:
    """utime and stime of /proc/<pid>/stat; the process name may hold spaces and brackets."""
    fields = stat.read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@contextmanager
def serving(pause: Callable[[float], object]) -> Iterator[Server]:
    with TemporaryDirectory(prefix="personalization-bench-") as folder:
        settings = with_secrets(
            Settings(app_env=DEVELOPMENT, state_dir=Path(folder), database_url=f"sqlite:///{folder}/personalization.db")
        )
        api_key, port = _key(settings), _free_port()
        process = pinned(_CORE, lambda: subprocess.Popen(_command(folder, port), cwd=folder, stdout=subprocess.DEVNULL))
        try:
            url = f"http://127.0.0.1:{port}"
            _await_ready(url, api_key, process, pause)
            yield _server(url, api_key, process.pid, Path(folder, "personalization.db"))
        finally:
            process.terminate()
            try:
                process.wait(40.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _server(url: str, api_key: str, pid: int, database: Path) -> Server:
    client, children = Client(url, api_key), _children(pid)
    threads = client.call("GET", "/bench/threads")
    client.close()
    followers = [Path(f"/proc/{child}/task/{thread}/stat") for child in children for thread in threads]
    return Server(url, api_key, tuple(Path(f"/proc/{one}/stat") for one in (pid, *children)), tuple(followers), database)


def _command(folder: str, port: int) -> list[str]:
    environment = {
        "APP_ENV": DEVELOPMENT,
        "STATE_DIR": folder,
        "DATABASE_URL": f"sqlite:///{folder}/personalization.db",
        "RATE_LIMIT": "1000000000/second",
        "LOG_LEVEL": "WARNING",
        "REDIS_URL": "",
    }
    return [
        *(sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", _WORKER),
        *("--threads", str(THREADS), "--keep-alive", "75", "--log-level", "warning", "--no-control-socket"),
        *("--pythonpath", str(Path(personalization.__file__).parent.parent)),
        *(word for name, value in environment.items() for word in ("--env", f"{name}={value}")),
        "personalization.lab.serving:create_bench_app()",
    ]


def _key(settings: Settings) -> str:
    storage, fresh, now = opened_storage(settings, SystemClock()), new_key(), SystemClock().now()
    storage.tenants.create(TENANT, now)
    storage.keys.add(
        ApiKeyRecord(key_id=fresh.key_id, tenant_id=TENANT, role=Role.ADMIN, name="bench", digest=fresh.digest, created_at=now)
    )
    storage.life.close()
    return fresh.api_key


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_ready(url: str, api_key: str, process: subprocess.Popen[bytes], pause: Callable[[float], object]) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise MisconfiguredError(f"The server of the benchmark ended with code {process.returncode}; its reason stands above.")
        with suppress(Refused, Unreachable):
            Client(url, api_key, timeout=2.0).call("GET", "/management/ready")
            return
        pause(0.1)
    raise MisconfiguredError("The server of the benchmark did not become ready within half a minute.")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def pinned(core: int, act: Callable[[], Any]) -> Any:
    """What `act` answers; what it starts stays on that core, the caller goes back to its own."""
    before = os.sched_getaffinity(0)
    if len(before) > 1 and core in before:
        os.sched_setaffinity(0, {core})
    try:
        return act()
    finally:
        os.sched_setaffinity(0, before)
