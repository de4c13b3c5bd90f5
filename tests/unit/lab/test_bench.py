from __future__ import annotations

import socket
from threading import Thread

from personalization.clock import SystemClock
from personalization.lab.bench import BATCHED, DECISION, EMPTY, RENDERED, Bench, Round, _load


def rounds(micros: float, items: int = 1_000) -> list[Round]:
    return [Round(items, micros * items / 1e6, micros * items / 1e6, 1.0) for _ in range(3)]


def measured(empty: float, decision: float, batch: float) -> Bench:
    return Bench({EMPTY: rounds(empty), DECISION: rounds(decision), RENDERED: rounds(decision), BATCHED: rounds(batch)})


def test_a_throughput_ratio_is_the_inverse_ratio_of_cpu() -> None:
    found = measured(200.0, 400.0, 40.0)
    assert found.document()["ratio"][DECISION]["median"] == 0.5
    assert found.document()["batch_per_second_core"]["median"] == 25_000
    assert found.met


def test_a_must_that_was_missed_is_said() -> None:
    found = measured(200.0, 600.0, 40.0)
    assert not found.met
    assert "MISSED" in found.sentences()[0]


def test_the_load_counts_whole_answers_on_every_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5.0)
        threads = [Thread(target=_answering, args=(listener,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        done, took = _load(listener.getsockname()[1], [b"x"], 0.05, 2, SystemClock())
        for thread in threads:
            thread.join()
    assert done >= 2
    assert took >= 0.05


def _answering(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        while connection.recv(64):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n")
            connection.sendall(b"\r\nhello")
