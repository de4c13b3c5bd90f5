"""Profiles and events from files: a row that is refused goes to the rejects file with its reasons, the others go in.

An import that was interrupted, however it was, goes on where it stopped. Rows that were being put just then are put again,
which changes nothing: events are known by their ids, and of profiles those that lie there already are left alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from personalization.errors import FieldError, Invalid, MisconfiguredError, NotFound
from personalization.lab.bookmark import Bookmark, Place
from personalization.lab.rows import Row, Unreadable, length, rows
from personalization.operations.profiles import sections_of, with_sections
from personalization.profile import PersonalizationProfile
from personalization.rest.conversion import event_or_refusal, profile_row
from personalization.service import PersonalizationService

_ROWS = 1_000

Step = Callable[[int, int], None]


@dataclass
class Imported:
    """Rows of the whole file, earlier tries included; `continued_after`: the row where the last try stopped, 0 for none."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    continued_after: int = 0


def import_profiles(
    service: PersonalizationService, file: Path, rejects_to: Path, step: Step, bookmark: Bookmark | None = None
) -> Imported:
    """Put every profile of the file. Raises MisconfiguredError when the file cannot be read."""
    return _imported(file, rejects_to, step, bookmark, lambda page, unsure: _put(service, page, unsure))


def import_events(
    service: PersonalizationService, file: Path, rejects_to: Path, step: Step, bookmark: Bookmark | None = None
) -> Imported:
    """Record every event of the file, of any age. Raises MisconfiguredError when the file cannot be read."""
    return _imported(file, rejects_to, step, bookmark, lambda page, _: _record(service, page))


IMPORTS = {"profiles": import_profiles, "events": import_events}


class _Outcome(NamedTuple):
    accepted: int
    duplicates: int
    rejected: Sequence[tuple[Row, Iterable[FieldError]]]


def _imported(
    file: Path, rejects_to: Path, step: Step, bookmark: Bookmark | None, put: Callable[[list[Row], int], _Outcome]
) -> Imported:
    """put : a page of rows, and the number up to which they may be in already"""
    if rejects_to.resolve() == file.resolve():
        raise MisconfiguredError(f"{file} would be overwritten with its own rejects; name another file with --rejects.")
    total, place = length(file), bookmark.read() if bookmark else Place(source="")
    found = Imported(place.accepted, place.duplicates, place.rejected, continued_after=place.done)
    rejects, coming, done = Rejects(rejects_to, place.rejects_size), rows(file, place.done), place.done
    try:
        while page := list(islice(coming, _ROWS)):
            if bookmark:
                rejects.settle()
                bookmark.keep(_place(place, found, rejects, done, page[-1][0]))
            _take(page, put, place.trying, found, rejects)
            done = page[-1][0]
            step(done, max(total, done))
    finally:
        rejects.close()
    if bookmark:
        bookmark.remove()
    return found


def _place(begun: Place, found: Imported, rejects: Rejects, done: int, trying: int) -> Place:
    return Place(
        source=begun.source,
        done=done,
        trying=max(trying, begun.trying),
        accepted=found.accepted,
        duplicates=found.duplicates,
        rejected=found.rejected,
        rejects_size=rejects.size,
    )


def _take(page: list[Row], put: Callable[[list[Row], int], _Outcome], unsure: int, found: Imported, rejects: Rejects) -> None:
    readable = [(line, row) for line, row in page if not isinstance(row, Unreadable)]
    refused = [((line, row.row), row.errors) for line, row in page if isinstance(row, Unreadable)]
    outcome = put(readable, unsure)
    found.accepted += outcome.accepted
    found.duplicates += outcome.duplicates
    for (line, row), errors in sorted([*refused, *outcome.rejected], key=lambda reject: reject[0][0]):
        rejects.add(line, row, errors)
        found.rejected += 1


# -- profiles, events ------------------------------------------------------------------------------------------------


class _Profile(NamedTuple):
    row: Row
    user_id: str
    sections: dict[str, Any] | Invalid


def _put(service: PersonalizationService, page: list[Row], unsure: int) -> _Outcome:
    accepted, rejected = 0, []
    for run in _apart(_Profile(row, *profile_row(row[1])) for row in page):
        missing = [one for one in run if one.row[0] > unsure or not _lies_there(service, one)]
        accepted += len(run) - len(missing)
        results = service.put_profiles([(one.user_id, one.sections) for one in missing])
        for one, result in zip(missing, results, strict=True):
            if result["status"] < 300:
                accepted += 1
            else:
                rejected.append((one.row, [FieldError(**error) for error in result["errors"]]))
    return _Outcome(accepted, 0, rejected)


def _apart(profiles: Iterable[_Profile]) -> Iterator[list[_Profile]]:
    """In runs that name nobody twice, so that of several rows of one person the last holds."""
    run: dict[str, _Profile] = {}
    refused = []
    for one in profiles:
        if isinstance(one.sections, Invalid):
            refused.append(one)
            continue
        if one.user_id in run:
            yield list(run.values())
            run = {}
        run[one.user_id] = one
    yield [*run.values(), *refused]


def _lies_there(service: PersonalizationService, one: _Profile) -> bool:
    """Whether putting this profile would change nothing."""
    if isinstance(one.sections, Invalid):
        return False
    try:
        wanted = sections_of(with_sections(PersonalizationProfile(tenant_id=service.tenant_id, user_ref=b""), one.sections))
        known = service.profile(one.user_id)
    except (Invalid, NotFound):
        return False
    return all(known[name] == section for name, section in wanted.items())


def _record(service: PersonalizationService, page: list[Row]) -> _Outcome:
    receipt = service.record([event_or_refusal(row) for _, row in page], any_age=True)
    return _Outcome(receipt.accepted, receipt.duplicates, [(page[index], errors) for index, errors in receipt.rejected])


# -- rejects ---------------------------------------------------------------------------------------------------------


@dataclass
class Rejects:
    """Writes rejected rows, one JSON object a line: its number (`line`), the reasons (`errors`) and the `row`, which may be
    mended there and imported again from this file. No file is made when none is rejected.

    size : bytes that hold; what an interrupted try wrote behind them is dropped
    """

    path: Path
    size: int = 0
    _file: BinaryIO | None = field(default=None)

    def add(self, line: int, row: Any, errors: Iterable[FieldError]) -> None:
        reasons = [{"field": error.field, "message": error.message} for error in errors]
        text = json.dumps({"line": line, "errors": reasons, "row": row}, ensure_ascii=False, default=str)
        self._file = self._file or self._opened()
        self.size += self._file.write(text.encode("utf-8", "backslashreplace") + b"\n")

    def settle(self) -> None:
        """What was added is on disk when it returns."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _opened(self) -> BinaryIO:
        """Rows hold personal data, so only this user may read them. Raises MisconfiguredError."""
        try:
            file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600), "wb")
        except OSError as refused:
            raise MisconfiguredError(f"{self.path} cannot be written ({refused}); name another file with --rejects.") from refused
        self.size = min(self.size, os.fstat(file.fileno()).st_size)
        file.truncate(self.size)
        file.seek(self.size)
        return file
