"""Requests over keep-alive connections, as fast as they are answered or at a given rate."""

from __future__ import annotations

import selectors
import socket
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from personalization.clock import SystemClock
from personalization.errors import MisconfiguredError


@dataclass(frozen=True)
class Answered:
    """How many were answered in `wall` seconds. latencies: seconds of each, from when it was due."""

    count: int
    wall: float
    latencies: tuple[float, ...]

    def p95(self) -> float:
        """Seconds; 0 when nothing was answered."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] if ordered else 0.0


def load(port: int, requests: Iterable[bytes], seconds: float, connections: int, rate: float | None = None) -> Answered:
    """Send them in turn for that long. Without `rate` (a second) every connection sends its next at once; with it each is
    sent when it is due, or as soon after as a connection is free. Raises MisconfiguredError when an answer is not a 2xx."""
    clock, following = SystemClock(), iter(requests)
    ring = [_Connection(port) for _ in range(connections)]
    begun = clock.monotonic()
    due = _due(begun, begun + seconds, rate)
    latencies: list[float] = []
    with selectors.DefaultSelector() as ready:
        for connection in ring:
            ready.register(connection.socket, selectors.EVENT_READ, connection)
        idle, waiting, upcoming = deque(ring), 0, next(due, None)
        while waiting or upcoming is not None:
            while idle and upcoming is not None and upcoming <= clock.monotonic():
                idle.popleft().send(next(following), upcoming if rate else clock.monotonic())
                waiting, upcoming = waiting + 1, next(due, None)
            pause = None if upcoming is None or not idle else max(upcoming - clock.monotonic(), 0.0)
            for key, _ in ready.select(pause):
                if key.data.received():
                    latencies.append(clock.monotonic() - key.data.since)
                    idle.append(key.data)
                    waiting -= 1
    took = clock.monotonic() - begun
    for connection in ring:
        connection.socket.close()
    return Answered(len(latencies), took, tuple(latencies))


def _due(begun: float, until: float, rate: float | None) -> Iterator[float]:
    """When requests are to be sent: always, or one every 1 / rate seconds, before `until`."""
    clock, at = SystemClock(), begun
    while (clock.monotonic() if rate is None else at) < until:
        yield at
        at += 0.0 if rate is None else 1.0 / rate


class _Connection:
    """One keep-alive connection that always has one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer, self._missing, self.since = bytearray(), -1, 0.0

    def send(self, request: bytes, since: float) -> None:
        """since: when it was due, by the monotonic clock."""
        self.since = since
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
