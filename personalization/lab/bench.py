"""What a decision costs: a real server under load, in CPU time, beside an empty route of the same stack.

A gunicorn process (gthread, 8 threads, SQLite in a temporary folder) is held on one core, the load on another; 16
keep-alive connections send requests made beforehand. Routes take turns in rounds, since a machine has slow moments. CPU
is user and system time of the server's processes over the requests, and includes what following the log costs after
them: a round ends when the server has nothing left to do. Throughput ratios are inverse ratios of CPU.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from statistics import median
from threading import Event
from typing import Any

from personalization.client import Client
from personalization.clock import SystemClock, rfc3339
from personalization.errors import MisconfiguredError
from personalization.lab.load import load
from personalization.lab.pages import Bar, Chart
from personalization.lab.population import population, samples
from personalization.lab.raw import raw_insert
from personalization.lab.serving import Server, Spent, pinned, serving

#: Throughput of an acknowledged decision over that of the empty route; decisions a second and core in batches.
MUST_DECISION, MUST_BATCH = 0.40, 20_000

_TEMPLATE = "offer"
_CONNECTIONS, _SATURATING, _BATCH = 16, 32, 1_000
_LOAD_CORE = 1
_TEACHING = 2_000
_CALM = 0.7

EMPTY, STOCK, DECISION, RENDERED = "empty route", "empty route, stock JWT", "decision", "decision, rendered"
BATCHED, EVENTS = "batch of 1,000", "events of 1,000"


# -- the routes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Route:
    """requests: made beforehand where they may be repeated; items: decisions or events in one of them."""

    name: str
    requests: Iterable[bytes]
    connections: int = _CONNECTIONS
    items: int = 1


def _routes(api_key: str, token: str, users: Sequence[str]) -> list[_Route]:
    key, bearer = f"X-API-Key: {api_key}", f"Authorization: Bearer {token}"

    def decision(user_id: str, **more: Any) -> dict[str, Any]:
        return {"user_id": user_id, "template_id": _TEMPLATE, **more}

    def singles(credential: str, path: str, **more: Any) -> Iterator[bytes]:
        return cycle([_request(credential, path, decision(user_id, **more)) for user_id in users])

    batch = {"requests": [decision(users[i % len(users)], render=False) for i in range(_BATCH)]}
    return [
        _Route(EMPTY, singles(key, "/bench/empty", render=False)),
        _Route(STOCK, singles(bearer, "/bench/stock", render=False)),
        _Route(DECISION, singles(key, "/personalization/personalize", render=False)),
        _Route(RENDERED, singles(key, "/personalization/personalize")),
        _Route(BATCHED, cycle([_request(key, "/personalization/batch", batch)]), connections=2, items=_BATCH),
        _Route(EVENTS, _events(key, users), connections=2, items=_BATCH),
    ]


def _events(credential: str, users: Sequence[str]) -> Iterator[bytes]:
    """No event twice."""
    now = rfc3339(SystemClock().now())
    for number in count():
        common = {"type": "opened", "channel": "email", "occurred_at": now}
        events = [{**common, "event_id": f"{number}-{i}", "user_id": users[i % len(users)]} for i in range(_BATCH)]
        yield _request(credential, "/personalization/events", {"events": events})


def _request(credential: str, path: str, body: Mapping[str, Any]) -> bytes:
    data = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"POST /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{credential}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def _taught(server: Server) -> tuple[list[str], str]:
    """The users and a token, once their profiles, the template and a policy that has learned something are there."""
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
    token = str(client.call("POST", "/management/tokens")["access_token"])
    client.close()
    return users, token


# -- the measurement -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Round:
    """spent: CPU of the server; wall: seconds of load."""

    items: int
    spent: Spent
    wall: float


@dataclass(frozen=True)
class Bench:
    """rounds   : route -> one Round after the other, the routes' rounds interleaved
    raw_insert : CPU seconds of a bulk insert of one event's rows, without us
    p95        : seconds, at 70 % of the decisions that can be answered, and at all of them on 32 connections
    """

    rounds: Mapping[str, Sequence[Round]]
    raw_insert: float
    p95: tuple[float, float]

    def micros(self, route: str) -> list[float]:
        """CPU microseconds an item, round by round."""
        return [1e6 * r.spent.cpu / r.items for r in self.rounds[route]]

    def following(self, route: str) -> float:
        """Those of them that follow the log, the median."""
        return median(1e6 * r.spent.following / r.items for r in self.rounds[route])

    def throughput(self, route: str) -> float:
        """Items a second on this machine, the median."""
        return median(r.items / r.wall for r in self.rounds[route])

    def ratio(self, route: str, over: str = EMPTY) -> list[float]:
        """Throughput a core over the other route's, round by round: the inverse ratio of their CPU."""
        return [empty / mine for empty, mine in zip(self.micros(over), self.micros(route), strict=True)]

    def batch_rate(self) -> list[float]:
        """Decisions a second and core in batches of 1,000, durably logged."""
        return [1e6 / micros for micros in self.micros(BATCHED)]

    def answering_rate(self) -> float:
        """The same without what follows the log, which may run in another process."""
        return 1e6 / (median(self.micros(BATCHED)) - self.following(BATCHED))

    def ingest_ratio(self) -> list[float]:
        """Events a second and core over those of the raw insert."""
        return [1e6 * self.raw_insert / micros for micros in self.micros(EVENTS)]

    @property
    def met(self) -> bool:
        return median(self.ratio(DECISION)) >= MUST_DECISION and median(self.batch_rate()) >= MUST_BATCH

    def document(self) -> dict[str, Any]:
        return {
            "cpu_us": {route: _spread(self.micros(route)) for route in self.rounds},
            "following_cpu_us": {route: round(self.following(route), 2) for route in self.rounds},
            "per_second": {route: round(self.throughput(route), 1) for route in self.rounds},
            "ratio": {route: _spread(self.ratio(route)) for route in (DECISION, RENDERED)},
            "ratio_to_stock": _spread(self.ratio(DECISION, STOCK)),
            "batch_per_second_core": _spread(self.batch_rate()),
            "batch_answering_per_second_core": round(self.answering_rate(), 1),
            "ingest_over_raw_insert": _spread(self.ingest_ratio()),
            "p95_ms": {"at_70_percent": round(1e3 * self.p95[0], 2), "saturated": round(1e3 * self.p95[1], 2)},
            "musts": {"decision": MUST_DECISION, "batch": MUST_BATCH},
            "met": self.met,
        }

    def columns(self) -> tuple[str, ...]:
        return ("route", "CPU µs median", "min", "max", "of it following", "a second, wall", "throughput over empty")

    def rows(self) -> list[tuple[str, ...]]:
        rows = []
        for route in self.rounds:
            micros = self.micros(route)
            ratio = f"{median(self.ratio(route)):.2f}" if route in (STOCK, DECISION, RENDERED) else ""
            figures = (f"{x:,.1f}" for x in (median(micros), min(micros), max(micros), self.following(route)))
            rows.append((route, *figures, f"{self.throughput(route):,.0f}", ratio))
        return rows

    def charts(self) -> list[Chart]:
        said = {route: f"{median(self.ratio(route)):.2f}" for route in (STOCK, DECISION, RENDERED)}
        musts = {DECISION: MUST_DECISION}
        return [
            Chart(
                "Throughput of a core over the empty route's (the line is what must be reached)",
                [Bar(route, median(self.ratio(route)), said[route], musts.get(route)) for route in said],
            ),
            Chart(
                "Decisions a second and core in batches of 1,000",
                [
                    Bar("following the log included", median(self.batch_rate()), f"{median(self.batch_rate()):,.0f}", MUST_BATCH),
                    Bar("answering alone", self.answering_rate(), f"{self.answering_rate():,.0f}"),
                ],
            ),
        ]

    def sentences(self) -> list[str]:
        decision, batch = self.ratio(DECISION), self.batch_rate()
        calm, saturated = (1e3 * seconds for seconds in self.p95)
        return [
            f"Acknowledged decision over the empty route: {_said(decision, '.2f')}, must >= {MUST_DECISION:.2f}: "
            + _verdict(median(decision) >= MUST_DECISION),
            f"The same with a rendered two-part template: {_said(self.ratio(RENDERED), '.2f')}",
            f"Acknowledged decision over the empty route with stock JWT: {_said(self.ratio(DECISION, STOCK), '.2f')}",
            f"Decisions in batches of {_BATCH:,}, durably logged, a second and core: {_said(batch, ',.0f')}, "
            f"must >= {MUST_BATCH:,}: " + _verdict(median(batch) >= MUST_BATCH),
            f"The same without following the log, which another process may do: {self.answering_rate():,.0f}",
            f"Events in batches of {_BATCH:,} over a raw bulk insert of their rows: {_said(self.ingest_ratio(), '.2f')}",
            f"P95 of a decision: {calm:.1f} ms at {_CALM:.0%} of what can be answered, "
            f"{saturated:.1f} ms at all of it on {_SATURATING} connections",
            "Throughput ratios are inverse ratios of the server's CPU time; medians of interleaved rounds, with min and max.",
        ]


def bench(short: bool = False, progress: Callable[[int, int], None] = lambda done, total: None) -> Bench:
    """Start a server, load it and measure. Raises MisconfiguredError where it cannot run."""
    if not sys.platform.startswith("linux"):
        raise MisconfiguredError("The benchmark reads /proc and holds processes on cores, so it runs on Linux only.")
    rounds, seconds = (3, 1.0) if short else (7, 3.0)
    pause = Event().wait
    with serving(pause) as server:
        users, token = _taught(server)
        routes = {route.name: route for route in _routes(server.api_key, token, users)}
        return pinned(_LOAD_CORE, lambda: _measured(server, routes, rounds, seconds, pause, progress))  # type: ignore[no-any-return]


def _measured(
    server: Server,
    routes: Mapping[str, _Route],
    rounds: int,
    seconds: float,
    pause: Callable[[float], object],
    progress: Callable[[int, int], None],
) -> Bench:
    steps = (rounds + 1) * len(routes) + 2
    found: dict[str, list[Round]] = {name: [] for name in routes}
    for number in range(rounds + 1):
        for i, route in enumerate(routes.values()):
            # The first round only warms up.
            measured = _round(server, route, seconds if number else 0.5, pause)
            if number:
                found[route.name].append(measured)
            progress(number * len(routes) + i + 1, steps)
    capacity = median(r.items / r.wall for r in found[DECISION])
    decision = routes[DECISION].requests
    calm = load(server.port, decision, 2 * seconds, _SATURATING, _CALM * capacity).p95()
    progress(steps - 1, steps)
    saturated = load(server.port, decision, 2 * seconds, _SATURATING).p95()
    raw = pinned(_LOAD_CORE, lambda: raw_insert(server.database, _BATCH))
    progress(steps, steps)
    return Bench(found, raw, (calm, saturated))


def _round(server: Server, route: _Route, seconds: float, pause: Callable[[float], object]) -> Round:
    before = server.settled(pause)
    answered = load(server.port, route.requests, seconds, route.connections)
    return Round(answered.count * route.items, server.settled(pause) - before, answered.wall)


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": round(median(values), 4), "min": round(min(values), 4), "max": round(max(values), 4)}


def _said(values: Sequence[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}} .. {max(values):{form}})"


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"
