"""What the database alone would take for the rows of events: executemany into the same tables, nothing checked or sealed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_ROUNDS = 20
_TABLES = ("event_keys", "events")


def raw_insert(database: Path, batch: int) -> float:
    """CPU seconds an event, inserting the newest events of a SQLite database and their keys into an empty one of the same
    tables and indexes, a durable transaction a batch; the median of up to 20."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as source, TemporaryDirectory() as folder:
        made = source.execute("SELECT sql FROM sqlite_master WHERE tbl_name IN (?, ?) AND sql IS NOT NULL", _TABLES).fetchall()
        rows = [_newest(source, table, batch * _ROUNDS) for table in _TABLES]
        with closing(sqlite3.connect(Path(folder, "raw.db"), isolation_level=None)) as target:
            for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", *(sql for (sql,) in made)):
                target.execute(statement)
            taken = sorted(_inserted(target, [listed[at : at + batch] for listed in rows]) for at in range(0, len(rows[0]), batch))
    return taken[len(taken) // 2] / batch


def _newest(source: sqlite3.Connection, table: str, limit: int) -> list[tuple[Any, ...]]:
    order = "WHERE type = 'opened' ORDER BY seq DESC" if table == "events" else ""
    return source.execute(f"SELECT * FROM {table} {order} LIMIT {limit - limit % 1_000}").fetchall()  # noqa: S608


def _inserted(target: sqlite3.Connection, rows: Sequence[Sequence[tuple[Any, ...]]]) -> float:
    begun = time.process_time()
    target.execute("BEGIN IMMEDIATE")
    for table, listed in zip(_TABLES, rows, strict=True):
        if listed:
            target.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(listed[0]))})", listed)  # noqa: S608
    target.execute("COMMIT")
    return time.process_time() - begun
