"""Profiles and events from files: a row that is refused goes to the rejects file with its reason, the others go in.

A .jsonl file has in each line what the REST API takes. A .csv file has dotted column names for what lies deeper
(`attributes.first_name, traits.plan, channel_preferences.email, metadata.source`); an empty cell says nothing.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from personalization.errors import FieldError, Invalid, MisconfiguredError, PersonalizationError
from personalization.rest import strict
from personalization.rest.conversion import event_or_refusal, profile_row
from personalization.service import PersonalizationService

_ROWS = 1_000

#: Columns of a CSV file whose cells stay text even when they look like numbers; attributes stay text, too.
_TEXTS = ("user_id", "event_id", "decision_id", "template_id", "name", "text", "type", "channel")
#: Sections whose members have names of the caller's, dots included.
_NAMED_FREELY = ("attributes.", "traits.", "metadata.")
#: Columns whose cells are lists, separated by ";".
_LISTS = ("content_preferences.topics", "timing_preferences.preferred_hours")

Step = Callable[[int, int], None]
#: (line, the document or why it cannot be read)
Row = tuple[int, Any]


@dataclass
class Imported:
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0


@dataclass
class Rejects:
    """Writes rejected rows, one JSON object a line; no file is made when none is rejected."""

    path: Path
    _file: TextIO | None = field(default=None)
    count: int = 0

    def add(self, line: int, row: Any, errors: Iterable[FieldError]) -> None:
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8")
        reasons = [{"field": error.field, "message": error.message} for error in errors]
        self._file.write(json.dumps({"line": line, "errors": reasons, "row": row}, ensure_ascii=False) + "\n")
        self.count += 1

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def import_profiles(service: PersonalizationService, file: Path, rejects_to: Path, step: Step) -> Imported:
    """Put every profile of the file. Raises MisconfiguredError when the file cannot be read."""
    return _imported(file, rejects_to, step, lambda rows, found, rejects: _put(service, rows, found, rejects))


def import_events(service: PersonalizationService, file: Path, rejects_to: Path, step: Step) -> Imported:
    """Record every event of the file, of any age. Raises MisconfiguredError when the file cannot be read."""
    return _imported(file, rejects_to, step, lambda rows, found, rejects: _record(service, rows, found, rejects))


IMPORTS = {"profiles": import_profiles, "events": import_events}


def _imported(file: Path, rejects_to: Path, step: Step, take: Callable[[list[Row], Imported, Rejects], None]) -> Imported:
    found, rejects, done = Imported(), Rejects(rejects_to), 0
    try:
        total = _length(file)
        rows = _rows(file)
        while page := list(islice(rows, _ROWS)):
            readable = [(line, row) for line, row in page if not isinstance(row, Invalid)]
            for line, row in page:
                if isinstance(row, Invalid):
                    rejects.add(line, None, row.errors or [FieldError("", row.detail)])
            take(readable, found, rejects)
            done += len(page)
            step(done, max(total, done))
    except (OSError, UnicodeDecodeError, csv.Error) as unreadable:
        raise MisconfiguredError(f"{file} cannot be read after {done:,} rows: {unreadable}") from unreadable
    finally:
        rejects.close()
        found.rejected = rejects.count
    return found


def _put(service: PersonalizationService, rows: list[Row], found: Imported, rejects: Rejects) -> None:
    for (line, row), result in zip(rows, service.put_profiles([profile_row(row) for _, row in rows]), strict=True):
        if result["status"] < 300:
            found.accepted += 1
        else:
            rejects.add(line, row, [FieldError(**error) for error in result["errors"]])


def _record(service: PersonalizationService, rows: list[Row], found: Imported, rejects: Rejects) -> None:
    receipt = service.record([event_or_refusal(row) for _, row in rows], any_age=True)
    found.accepted += receipt.accepted
    found.duplicates += receipt.duplicates
    for index, errors in receipt.rejected:
        rejects.add(*rows[index], errors)


# -- files -----------------------------------------------------------------------------------------------------------


def _rows(file: Path) -> Iterator[Row]:
    formats: Mapping[str, Callable[[Path], Iterator[Row]]] = {".jsonl": _lines, ".ndjson": _lines, ".csv": _records}
    reader = formats.get(file.suffix.lower())
    if reader is None:
        raise MisconfiguredError(f"{file.name} is neither .csv nor .jsonl; rename it, or write one of these formats.")
    return reader(file)


def _length(file: Path) -> int:
    with file.open("rb") as bytes_:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: bytes_.read(1 << 20), b""))


def _lines(file: Path) -> Iterator[Row]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, _parsed(line)


def _parsed(line: bytes) -> Any:
    try:
        return strict.parse(line.strip())
    except PersonalizationError as refusal:
        return Invalid.field("", refusal.detail)


def _records(file: Path) -> Iterator[Row]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        for cells in reader:
            yield reader.line_num, _document(cells)


def _document(cells: Mapping[Any, Any]) -> Any:
    document: dict[str, Any] = {}
    for column, text in cells.items():
        if column is None:
            return Invalid.field("", "has more cells than the first line has columns")
        if text is None or text == "":
            continue
        if not _placed(document, column.strip(), text):
            return Invalid.field(column, "stands beside a column of the section's own name")
    return document


def _placed(document: dict[str, Any], column: str, text: str) -> bool:
    """Put a cell where its dotted column name says; False when something else is there."""
    *outer, last = column.split(".", 1 if column.startswith(_NAMED_FREELY) else -1)
    inside: Any = document
    for name in outer:
        inside = inside.setdefault(name, {})
        if not isinstance(inside, dict):
            return False
    inside[last] = _value(column, text)
    return True


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
