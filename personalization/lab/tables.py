"""Tables from files, as models read them: by column, numbers or text, None for unknown."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from personalization.errors import ExtraMissing, MisconfiguredError
from personalization.learning.tables import Table, Value


def table_of(path: Path) -> Table:
    """The columns of a .csv, .csv.gz or .parquet file, or of all .parquet files in a folder (its partitions become columns).

    Raises MisconfiguredError for what cannot be read; ExtraMissing where Parquet is given and pyarrow is not installed.
    """
    if path.is_dir() or path.suffix == ".parquet":
        return _parquet(path)
    if path.suffixes[-1:] == [".csv"] or path.suffixes[-2:] == [".csv", ".gz"]:
        return _csv(path)
    raise MisconfiguredError(f"{path.name} is neither .csv nor .parquet nor a folder of such files; write one of these formats.")


def column(cells: Sequence[str]) -> list[Value]:
    """Numbers where every cell that is not blank is one.

    >>> column(["1", "", "2.5"]), column(["1", "", "x"])
    ([1.0, None, 2.5], ['1', None, 'x'])
    """
    try:
        return [float(cell) if cell else None for cell in cells]
    except ValueError:
        return [cell or None for cell in cells]


def _csv(path: Path) -> Table:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            names, rows = next(reader, []), [row for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as unreadable:
        raise MisconfiguredError(f"{path} cannot be read: {unreadable}") from unreadable
    if not rows or len(set(names)) != len(names):
        raise MisconfiguredError(f"{path.name} has no rows, or two columns of one name: give a header and a row a case.")
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise MisconfiguredError(
                f"{path.name}, row {number}: {len(row)} cells where the header has {len(names)}; mend that row."
            )
    return {name.strip(): column([row[i].strip() for row in rows]) for i, name in enumerate(names)}


def _parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as missing:
        raise ExtraMissing("pyarrow", "parquet") from missing
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as broken:
        raise MisconfiguredError(f"{path} cannot be read: {broken}") from broken
    return {name: [_plain(value) for value in table.column(name).to_pylist()] for name in table.column_names}


def _plain(value: Any) -> Value:
    """Times as RFC 3339 text; what is neither number nor text as its text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return float(value) if isinstance(value, (bool, int, float, Decimal)) else str(value)
