"""Rows of a file, numbered: those of .jsonl and .csv by their line, those of .parquet from 1.

A .jsonl file has in each line what the REST API takes. A .csv file has dotted column names for what lies deeper
(`attributes.first_name, traits.plan, channel_preferences.email, metadata.source`); an empty cell says nothing. A .parquet
file has the same columns, or structs, lists and maps in their place; a null says nothing. A file of rejects is read as the
rows it holds.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from personalization.errors import FieldError, MisconfiguredError, PersonalizationError
from personalization.rest import strict

#: Columns of a CSV file whose cells stay text even when they look like numbers; attributes stay text, too.
_TEXTS = ("user_id", "event_id", "decision_id", "template_id", "name", "text", "type", "channel")
#: Sections whose members have names of the caller's, dots included.
_NAMED_FREELY = ("attributes.", "traits.", "metadata.")
#: Columns whose cells are lists, separated by ";".
_LISTS = ("content_preferences.topics", "timing_preferences.preferred_hours")
_REJECT = {"line", "errors", "row"}
_BATCH = 1_000


@dataclass(frozen=True)
class Unreadable:
    """A row that is no document, as far as it could be read, and why."""

    row: Any
    errors: tuple[FieldError, ...]


#: (number, the document or why there is none)
Row = tuple[int, Any]


def rows(file: Path, after: int = 0) -> Iterator[Row]:
    """The rows with numbers above `after`. Raises MisconfiguredError when the file cannot be read on."""
    try:
        yield from _format(file).read(file, after)
    except (OSError, UnicodeDecodeError, csv.Error) as unreadable:
        raise MisconfiguredError(f"{file} cannot be read: {unreadable}") from unreadable


def length(file: Path) -> int:
    """About the last row's number. Raises MisconfiguredError when the file cannot be read."""
    try:
        return _format(file).length(file)
    except OSError as unreadable:
        raise MisconfiguredError(f"{file} cannot be read: {unreadable}") from unreadable


@dataclass(frozen=True)
class _Format:
    read: Callable[[Path, int], Iterator[Row]]
    length: Callable[[Path], int]


def _format(file: Path) -> _Format:
    found = _FORMATS.get(file.suffix.lower())
    if found is None:
        raise MisconfiguredError(f"{file.name} is neither .csv nor .jsonl nor .parquet; rename it, or write one of these formats.")
    return found


# -- JSON lines ------------------------------------------------------------------------------------------------------


def _lines(file: Path, after: int) -> Iterator[Row]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if number > after and line.strip():
                yield number, _parsed(line.strip())


def _newlines(file: Path) -> int:
    with file.open("rb") as content:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: content.read(1 << 20), b""))


def _parsed(text: bytes) -> Any:
    """The document; of a line of a rejects file the row in it, which is text where it was no JSON."""
    try:
        value = strict.parse(text)
    except PersonalizationError as refusal:
        return Unreadable(text.decode("utf-8", "backslashreplace"), refusal.errors or (FieldError("", refusal.detail),))
    if not (isinstance(value, dict) and value.keys() == _REJECT):
        return value
    return _parsed(value["row"].encode()) if isinstance(value["row"], str) else value["row"]


# -- CSV -------------------------------------------------------------------------------------------------------------


def _records(file: Path, after: int) -> Iterator[Row]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        for cells in reader:
            if reader.line_num > after:
                yield reader.line_num, _record(cells)


def _record(cells: Mapping[Any, Any]) -> Any:
    told = {column.strip(): _value(column.strip(), text) for column, text in cells.items() if column is not None and text}
    return _document(told, cells.get(None))


def _document(cells: Mapping[str, Any], too_many: Any = None) -> Any:
    """Dotted names as sections, checked as a body of the REST API is."""
    document: dict[str, Any] = {}
    errors = [
        FieldError(column, "stands beside a column of the section's own name")
        for column, value in cells.items()
        if not _placed(document, column, value)
    ]
    if errors:
        return Unreadable(_plain(cells), tuple(errors))
    if too_many:
        errors.append(FieldError("", "has more cells than the first line has columns"))
        return Unreadable({**document, "": too_many}, tuple(errors))
    return _checked(document)


def _placed(document: dict[str, Any], column: str, value: Any) -> bool:
    """Put a cell where its dotted column name says; False when something else is there."""
    *outer, last = column.split(".", 1 if column.startswith(_NAMED_FREELY) else -1)
    inside: Any = document
    for name in outer:
        inside = inside.setdefault(name, {})
        if not isinstance(inside, dict):
            return False
    if last in inside:
        return False
    inside[last] = value
    return True


def _checked(document: dict[str, Any]) -> Any:
    """The document as strict JSON has it: without NUL, infinity, or integers beyond 64 bits."""
    try:
        text = json.dumps(document, ensure_ascii=False, default=_as_json).encode()
    except (TypeError, ValueError) as foreign:
        return Unreadable(_plain(document), (FieldError("", str(foreign)),))
    read = _parsed(text)
    return Unreadable(_plain(document), read.errors) if isinstance(read, Unreadable) else read


def _plain(document: Mapping[str, Any]) -> Any:
    """As JSON can hold it, what it cannot hold as text."""
    return json.loads(json.dumps(document, default=str), parse_constant=str)


def _value(column: str, text: str) -> Any:
    """A cell as the API would have it: a list, true, false or a number where the column may hold one, else the text."""
    if column in _LISTS:
        return [_scalar(part.strip()) for part in text.split(";") if part.strip()]
    return text if column in _TEXTS or column.startswith("attributes.") else _scalar(text)


def _scalar(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        number = float(text)
        return number if number - number == 0.0 else text
    return text


# -- Parquet ---------------------------------------------------------------------------------------------------------


def _parquet_rows(file: Path, after: int) -> Iterator[Row]:
    with _parquet_file(file) as opened:
        begun = 0
        for group in range(opened.metadata.num_row_groups):
            ended = begun + opened.metadata.row_group(group).num_rows
            if ended > after:
                yield from ((n, row) for n, row in enumerate(_group(opened, group), begun + 1) if n > after)
            begun = ended


def _parquet_length(file: Path) -> int:
    with _parquet_file(file) as opened:
        return int(opened.metadata.num_rows)


def _parquet_file(file: Path) -> Any:
    """Raises MisconfiguredError, also where pyarrow is not installed."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as missing:
        raise MisconfiguredError(
            "Reading .parquet needs pyarrow: `pip install 'deep-personalization[parquet]'`, or write the rows as .jsonl."
        ) from missing
    try:
        return parquet.ParquetFile(file)
    except ArrowException as broken:
        raise MisconfiguredError(f"{file} cannot be read: {broken}") from broken


def _group(opened: Any, group: int) -> Iterator[Any]:
    for batch in opened.iter_batches(batch_size=_BATCH, row_groups=[group]):
        for cells in batch.to_pylist(maps_as_pydicts="lossy"):
            yield _document({column: _told(column, value) for column, value in cells.items() if value is not None})


def _told(column: str, value: Any) -> Any:
    """A cell without the nulls in it; ids may be numbers in a warehouse and are text here."""
    if isinstance(value, dict):
        return {name: _told("", inner) for name, inner in value.items() if inner is not None}
    return str(value) if column in _TEXTS and type(value) is int else value


def _as_json(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"a value of type {type(value).__name__} has no place in JSON; write it as text")


_FORMATS: Mapping[str, _Format] = {
    ".jsonl": _Format(_lines, _newlines),
    ".ndjson": _Format(_lines, _newlines),
    ".csv": _Format(_records, _newlines),
    ".parquet": _Format(_parquet_rows, _parquet_length),
}
