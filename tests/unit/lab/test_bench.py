from __future__ import annotations

import socket
import sqlite3
from pathlib import Path
from threading import Thread

import pytest

from personalization.lab.bench import BATCHED, DECISION, EMPTY, EVENTS, RENDERED, STOCK, Bench, Round
from personalization.lab.load import Answered, load
from personalization.lab.pages import page
from personalization.lab.raw import raw_insert
from personalization.lab.serving import Spent


def rounds(micros: float, items: int = 1_000) -> list[Round]:
    return [Round(items, Spent(micros * items / 1e6, micros * items / 4e6), 1.0) for _ in range(3)]


def measured(empty: float, decision: float, batch: float) -> Bench:
    costs = {EMPTY: empty, STOCK: 2 * empty, DECISION: decision, RENDERED: decision, BATCHED: batch, EVENTS: 40.0}
    return Bench({route: rounds(micros) for route, micros in costs.items()}, 10e-6, (0.005, 0.015))


def test_a_throughput_ratio_is_the_inverse_ratio_of_cpu() -> None:
    document = measured(200.0, 400.0, 40.0).document()
    assert document["ratio"][DECISION]["median"] == 0.5
    assert document["ratio_to_stock"]["median"] == 1.0
    assert document["batch_per_second_core"]["median"] == 25_000
    assert document["batch_answering_per_second_core"] == pytest.approx(1e6 / 30, abs=0.1)
    assert document["ingest_over_raw_insert"]["median"] == 0.25
    assert document["met"]


def test_a_must_that_was_missed_is_said() -> None:
    found = measured(200.0, 600.0, 40.0)
    assert not found.met
    assert found.sentences()[0].endswith("MISSED")
    html = page("Bench <1>", found.sentences(), found.charts(), found.columns(), found.rows())
    assert '<li class="missed">Acknowledged decision' in html
    assert "Bench &lt;1&gt;" in html


def test_the_load_counts_whole_answers_on_every_connection() -> None:
    answered = loaded(None)
    assert answered.count >= 2
    assert len(answered.latencies) == answered.count


def test_a_paced_load_sends_what_is_due_and_no_more() -> None:
    answered = loaded(100.0)
    assert answered.count == 10
    assert 0.0 < answered.p95() < 5.0


def loaded(rate: float | None) -> Answered:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5.0)
        threads = [Thread(target=_answering, args=(listener,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        answered = load(listener.getsockname()[1], iter(lambda: b"x", b""), 0.095, 2, rate)
        for thread in threads:
            thread.join()
    return answered


def _answering(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        while connection.recv(100):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-")
            connection.sendall(b"Length: 2\r\n\r\n{}")


def test_a_raw_insert_takes_the_rows_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, type TEXT)")
        database.execute("CREATE TABLE event_keys (mac BLOB PRIMARY KEY)")
        database.executemany("INSERT INTO events VALUES (?, 'opened')", [(n,) for n in range(3_000)])
        database.executemany("INSERT INTO event_keys VALUES (?)", [(b"%d" % n,) for n in range(3_000)])
    database.close()
    assert 0.0 < raw_insert(path, 1_000) < 0.01
