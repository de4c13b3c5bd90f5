"""Ten times more than it can take: what is let in is answered in time, the rest is told when to come back."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection

from personalization.orchestration import QUEUES, Queue
from tests.faults.conftest import Server, prepared

OFFER = {"template_id": "offer", "variants": [{"variant_id": v, "content": {"en": {"text": v}}} for v in "ab"]}
BATCH = 1_000
#: Times the capacity, for so many seconds.
TIMES, SECONDS = 10, 4.0


@dataclass(frozen=True)
class Answer:
    status: int
    retry_after: str | None
    kind: str | None
    seconds: float


def ask(server: Server, key: str, body: bytes, path: str = "batch") -> Answer:
    connection, begun = HTTPConnection("127.0.0.1", server.port, timeout=60), time.monotonic()
    try:
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        connection.request("POST", f"/api/v1/personalization/{path}", body, headers)
        answer = connection.getresponse()
        answer.read()
        took = time.monotonic() - begun
        return Answer(answer.status, answer.getheader("Retry-After"), answer.getheader("Content-Type"), took)
    finally:
        connection.close()


def test_ten_times_the_capacity_is_refused_with_a_time_to_come_back(
    serve: Callable[..., Server], sqlite_url: str, key: str
) -> None:
    prepared(sqlite_url, key).life.close()
    server = serve(sqlite_url)
    server.client(key).create_template(OFFER)
    batch = json.dumps({"requests": [{"user_id": f"u{i}", "template_id": "offer", "render": False} for i in range(BATCH)]}).encode()
    one = json.dumps({"user_id": "u1", "template_id": "offer", "require_real_time": True}).encode()
    ask(server, key, batch)
    capacity = 1.0 / min(ask(server, key, batch).seconds for _ in range(3))
    count = int(TIMES * capacity * SECONDS)
    with ThreadPoolExecutor(count) as pool:
        begun, waiting = time.monotonic(), []
        for i in range(count):
            time.sleep(max(0.0, begun + i / (TIMES * capacity) - time.monotonic()))
            waiting.append(pool.submit(ask, server, key, batch))
        answers = [future.result() for future in waiting]
    statuses = Counter(answer.status for answer in answers)
    assert set(statuses) == {200, 503}, statuses
    assert statuses[503] > statuses[200], statuses
    for answer in answers:
        if answer.status == 503:
            assert answer.kind == "application/problem+json"
            assert int(answer.retry_after or 0) >= 1
        else:
            assert answer.seconds < QUEUES[Queue.STANDARD].deadline
    assert ask(server, key, one, "personalize").status == 200
    assert server.stop() == 0
