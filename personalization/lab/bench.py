"""What a decision costs: a real server under load, in CPU time, beside an empty route of the same stack.

A gunicorn process (gthread, 8 threads, SQLite in a temporary folder) is held on one core, the load on another; 16
keep-alive connections send requests made beforehand. Routes take turns in rounds, since a machine has slow moments. CPU
is user and system time of the server's processes over the requests, and includes what following the log costs after
them: a round ends when the server has nothing left to do. Throughput ratios are inverse ratios of CPU.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

from flask import Flask, Response
from flask_restx import Namespace, Resource

import personalization
from personalization.api import create_api
from personalization.bootstrap import build_house, opened_storage, with_secrets
from personalization.client import Client, Refused, Unreachable
from personalization.clock import SystemClock
from personalization.errors import MisconfiguredError
from personalization.lab.population import population, samples
from personalization.rest.answering import answer
from personalization.rest.guards import Call, guard
from personalization.security.identity import new_key
from personalization.settings import DEVELOPMENT, Settings, settings_from
from personalization.storage.base import ApiKeyRecord
from personalization.vocabulary import Permission, Role

#: Throughput of an acknowledged decision over that of the empty route; decisions a second and core in batches.
MUST_DECISION, MUST_BATCH = 0.40, 20_000

_TENANT, _TEMPLATE = "bench", "offer"
_CONNECTIONS, _THREADS, _BATCH = 16, 8, 1_000
_SERVER_CORE, _LOAD_CORE = 0, 1
_TEACHING = 2_000
_SETTLED_TICKS, _SETTLING, _MOST_PAUSES = 1, 0.15, 400

EMPTY, DECISION, RENDERED, BATCHED = "empty route", "decision", "decision, rendered", "batch of 1,000"


# -- the server ------------------------------------------------------------------------------------------------------

_namespace = Namespace("bench", description="What the stack costs when nothing is decided")


@_namespace.route("/empty")
class EmptyResource(Resource):  # type: ignore[misc]
    @guard(Permission.PERSONALIZE, hot=True)
    def post(self, call: Call) -> Response:
        """Who is it, what do they send; nothing else."""
        call.body()
        return answer({})


def create_bench_app() -> Flask:
    """The product's application with one route more, which lets in and parses as the others do and answers {}."""
    house = build_house(settings_from())
    app = Flask("personalization")
    create_api(app, house).add_namespace(_namespace, "/bench")
    house.start()
    return app


@dataclass(frozen=True)
class _Server:
    url: str
    api_key: str
    pids: tuple[int, ...]

    def cpu(self) -> float:
        """Seconds of CPU its processes used so far."""
        return sum(map(_ticks, self.pids)) / os.sysconf("SC_CLK_TCK")

    def settled(self, pause: Callable[[float], object]) -> float:
        """CPU used so far, once it has nothing left to do."""
        before = sum(map(_ticks, self.pids))
        for _ in range(_MOST_PAUSES):
            pause(_SETTLING)
            now = sum(map(_ticks, self.pids))
            if now - before <= _SETTLED_TICKS:
                break
            before = now
        return self.cpu()


def _ticks(pid: int) -> int:
    """utime and stime of /proc/<pid>/stat; the process name may hold spaces and brackets."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@contextmanager
def _serving(pause: Callable[[float], object]) -> Iterator[_Server]:
    with TemporaryDirectory(prefix="personalization-bench-") as folder:
        settings = with_secrets(
            Settings(app_env=DEVELOPMENT, state_dir=Path(folder), database_url=f"sqlite:///{folder}/personalization.db")
        )
        api_key, port = _key(settings), _free_port()
        process = _pinned(_SERVER_CORE, lambda: subprocess.Popen(_command(folder, port), cwd=folder, stdout=subprocess.DEVNULL))
        try:
            url = f"http://127.0.0.1:{port}"
            _await_ready(url, api_key, process, pause)
            yield _Server(url, api_key, (process.pid, *_children(process.pid)))
        finally:
            process.terminate()
            try:
                process.wait(40.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


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
        *(sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "gthread"),
        *("--threads", str(_THREADS), "--keep-alive", "75", "--log-level", "warning", "--no-control-socket"),
        *("--pythonpath", str(Path(personalization.__file__).parent.parent)),
        *(word for name, value in environment.items() for word in ("--env", f"{name}={value}")),
        "personalization.lab.bench:create_bench_app()",
    ]


def _key(settings: Settings) -> str:
    storage, fresh, now = opened_storage(settings, SystemClock()), new_key(), SystemClock().now()
    storage.tenants.create(_TENANT, now)
    storage.keys.add(
        ApiKeyRecord(key_id=fresh.key_id, tenant_id=_TENANT, role=Role.ADMIN, name="bench", digest=fresh.digest, created_at=now)
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


def _pinned(core: int, act: Callable[[], Any]) -> Any:
    """What `act` answers; what it starts stays on that core, the caller goes back to its own."""
    before = os.sched_getaffinity(0)
    if len(before) > 1 and core in before:
        os.sched_setaffinity(0, {core})
    try:
        return act()
    finally:
        os.sched_setaffinity(0, before)


# -- the load --------------------------------------------------------------------------------------------------------


class _Connection:
    """One keep-alive connection that always has one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer, self._missing = bytearray(), -1

    def send(self, request: bytes) -> None:
        self.socket.sendall(request)

    def received(self) -> bool:
        """Whether the answer is complete. Raises MisconfiguredError when it is not a 2xx."""
        data = self.socket.recv(1 << 20)
        if not data:
            raise MisconfiguredError("The server of the benchmark closed a connection.")
        self._answer += data
        if self._missing < 0:
            self._missing = self._length()
        if self._missing < 0 or len(self._answer) < self._missing:
            return False
        if not self._answer.startswith(b"HTTP/1.1 2"):
            raise MisconfiguredError(f"The server of the benchmark answered {bytes(self._answer[:600]).decode(errors='replace')}")
        self._answer.clear()
        self._missing = -1
        return True

    def _length(self) -> int:
        """Bytes of the whole answer, -1 while its head is incomplete."""
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return -1
        head = bytes(self._answer[:end]).lower()
        at = head.index(b"content-length:") + 15
        return end + 4 + int(head[at : head.find(b"\r", at) if b"\r" in head[at:] else None])


def _load(port: int, requests: Sequence[bytes], seconds: float, connections: int, clock: SystemClock) -> tuple[int, float]:
    """Send them in turn for that long: how many were answered, in how many seconds."""
    following = cycle(requests)
    ring = [_Connection(port) for _ in range(connections)]
    with selectors.DefaultSelector() as ready:
        for connection in ring:
            ready.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(next(following))
        begun, done, waiting = clock.monotonic(), 0, len(ring)
        until = begun + seconds
        while waiting:
            for key, _ in ready.select():
                if not key.data.received():
                    continue
                done += 1
                if clock.monotonic() < until:
                    key.data.send(next(following))
                else:
                    waiting -= 1
        took = clock.monotonic() - begun
    for connection in ring:
        connection.socket.close()
    return done, took


def _request(api_key: str, path: str, body: Mapping[str, Any]) -> bytes:
    data = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"POST /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


# -- the routes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Route:
    """requests: made beforehand; items: decisions in one of them."""

    name: str
    requests: Sequence[bytes]
    connections: int = _CONNECTIONS
    items: int = 1


def _routes(api_key: str, users: Sequence[str]) -> list[_Route]:
    def decision(user_id: str, **more: Any) -> dict[str, Any]:
        return {"user_id": user_id, "template_id": _TEMPLATE, **more}

    def singles(path: str, **more: Any) -> list[bytes]:
        return [_request(api_key, path, decision(user_id, **more)) for user_id in users]

    batch = {"requests": [decision(users[i % len(users)], render=False) for i in range(_BATCH)]}
    return [
        _Route(EMPTY, singles("/bench/empty", render=False)),
        _Route(DECISION, singles("/personalization/personalize", render=False)),
        _Route(RENDERED, singles("/personalization/personalize")),
        _Route(BATCHED, [_request(api_key, "/personalization/batch", batch)], connections=2, items=_BATCH),
    ]


def _taught(server: _Server, clock: SystemClock) -> list[str]:
    """The users, once their profiles, the template and a policy that has learned something are there."""
    client, people = Client(server.url, server.api_key), population(1_000)
    client.create_template(next(sample for sample in samples() if sample["template_id"] == _TEMPLATE))
    client.put_profiles([{"user_id": person.user_id, **person.sections} for person in people])
    users = [person.user_id for person in people]
    for at in range(0, _TEACHING, 500):
        asked = [
            {"user_id": users[i % len(users)], "template_id": _TEMPLATE, "require_real_time": True, "render": False}
            for i in range(at, at + 500)
        ]
        decided = [result["decision"] for result in client.batch(asked)]
        client.record(
            [
                {
                    "event_id": decision["decision_id"],
                    "type": "clicked" if decision["variant_id"] == "b" else "dismissed",
                    "user_id": decision["user_id"],
                    "decision_id": decision["decision_id"],
                    "occurred_at": decision["optimal_timing"],
                }
                for decision in decided
                if decision["action"] == "send"
            ]
        )
    client.close()
    return users


# -- the measurement -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Round:
    """cpu: seconds of the server; answering: those until the last answer; wall: seconds of load."""

    items: int
    cpu: float
    answering: float
    wall: float


@dataclass(frozen=True)
class Bench:
    """rounds: route -> one Round after the other, the routes' rounds interleaved."""

    rounds: Mapping[str, Sequence[Round]]

    def micros(self, route: str) -> list[float]:
        """CPU microseconds an item, round by round."""
        return [1e6 * r.cpu / r.items for r in self.rounds[route]]

    def answering(self, route: str) -> float:
        """The same up to the answer, without what following the log costs afterwards; the median."""
        return median(1e6 * r.answering / r.items for r in self.rounds[route])

    def throughput(self, route: str) -> float:
        """Items a second on this machine, the median."""
        return median(r.items / r.wall for r in self.rounds[route])

    def ratio(self, route: str) -> list[float]:
        """Throughput a core over the empty route's, round by round: the inverse ratio of their CPU."""
        return [empty / mine for empty, mine in zip(self.micros(EMPTY), self.micros(route), strict=True)]

    def batch_rate(self) -> list[float]:
        """Decisions a second and core in batches of 1,000, durably logged."""
        return [1e6 / micros for micros in self.micros(BATCHED)]

    @property
    def met(self) -> bool:
        return median(self.ratio(DECISION)) >= MUST_DECISION and median(self.batch_rate()) >= MUST_BATCH

    def document(self) -> dict[str, Any]:
        return {
            "cpu_us": {route: _spread(self.micros(route)) for route in self.rounds},
            "answering_cpu_us": {route: round(self.answering(route), 2) for route in self.rounds},
            "per_second": {route: round(self.throughput(route), 1) for route in self.rounds},
            "ratio": {route: _spread(self.ratio(route)) for route in (DECISION, RENDERED)},
            "batch_per_second_core": _spread(self.batch_rate()),
            "musts": {"decision": MUST_DECISION, "batch": MUST_BATCH},
            "met": self.met,
        }

    def columns(self) -> tuple[str, ...]:
        return ("route", "CPU µs median", "min", "max", "of it answering", "a second, wall", "throughput over empty")

    def rows(self) -> list[tuple[str, ...]]:
        rows = []
        for route in self.rounds:
            micros = self.micros(route)
            ratio = f"{median(self.ratio(route)):.2f}" if route in (DECISION, RENDERED) else ""
            figures = (f"{x:,.1f}" for x in (median(micros), min(micros), max(micros), self.answering(route)))
            rows.append((route, *figures, f"{self.throughput(route):,.0f}", ratio))
        return rows

    def sentences(self) -> list[str]:
        decision, rendered, batch = self.ratio(DECISION), self.ratio(RENDERED), self.batch_rate()
        return [
            f"Acknowledged decision over the empty route: {_said(decision, '.2f')}, must >= {MUST_DECISION:.2f}: "
            + _verdict(median(decision) >= MUST_DECISION),
            f"The same with a rendered two-part template: {_said(rendered, '.2f')}",
            f"Decisions in batches of {_BATCH:,}, durably logged, a second and core: {_said(batch, ',.0f')}, "
            f"must >= {MUST_BATCH:,}: " + _verdict(median(batch) >= MUST_BATCH),
            "Throughput ratios are inverse ratios of the server's CPU time; medians of interleaved rounds, with min and max.",
        ]


def bench(short: bool = False, progress: Callable[[int, int], None] = lambda done, total: None) -> Bench:
    """Start a server, load it and measure. Raises MisconfiguredError where it cannot run."""
    if not sys.platform.startswith("linux"):
        raise MisconfiguredError("The benchmark reads /proc and holds processes on cores, so it runs on Linux only.")
    rounds, seconds = (3, 1.0) if short else (7, 3.0)
    clock, pause = SystemClock(), Event().wait
    with _serving(pause) as server:
        routes = _routes(server.api_key, _taught(server, clock))
        found = _pinned(_LOAD_CORE, lambda: _measured(server, routes, rounds, seconds, clock, pause, progress))
    return Bench(found)


def _measured(
    server: _Server,
    routes: Sequence[_Route],
    rounds: int,
    seconds: float,
    clock: SystemClock,
    pause: Callable[[float], object],
    progress: Callable[[int, int], None],
) -> dict[str, list[Round]]:
    port = int(server.url.rpartition(":")[2])
    found: dict[str, list[Round]] = {route.name: [] for route in routes}
    for number in range(rounds + 1):
        for i, route in enumerate(routes):
            before = server.settled(pause)
            # The first round only warms up.
            done, wall = _load(port, route.requests, seconds if number else 0.5, route.connections, clock)
            answering = server.cpu() - before
            if number:
                found[route.name].append(Round(done * route.items, server.settled(pause) - before, answering, wall))
            progress(number * len(routes) + i + 1, (rounds + 1) * len(routes))
    return found


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": round(median(values), 4), "min": round(min(values), 4), "max": round(max(values), 4)}


def _said(values: Sequence[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}} .. {max(values):{form}})"


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"
