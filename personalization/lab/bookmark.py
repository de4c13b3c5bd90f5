"""Where an import stands, in a small file that is gone once the import is done."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

import msgspec

from personalization.errors import MisconfiguredError


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """done: number of the last row that is in; trying: of the last row of the page that was being put, so rows between the
    two may or may not be in. rejects_size: bytes of the rejects file that belong to rows up to `done`."""

    source: str
    done: int = 0
    trying: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    rejects_size: int = 0


class Bookmark:
    """One import's place. An altered file, another rejects file or a new database (`secret`) begins at the first row."""

    def __init__(self, folder: Path, what: str, secret: bytes, file: Path, rejects_to: Path) -> None:
        key = blake2b(f"{what}\n{file.resolve()}".encode(), key=secret, digest_size=16)
        self._path = folder / f"{key.hexdigest()}.json"
        self._source = _state_of(file, rejects_to)

    def read(self) -> Place:
        """Where the last try stopped; the beginning when there was none, or none of this file as it is now."""
        try:
            place = msgspec.json.decode(self._path.read_bytes(), type=Place)
        except (OSError, msgspec.MsgspecError):
            return Place(source=self._source)
        return place if place.source == self._source else Place(source=self._source)

    def keep(self, place: Place) -> None:
        """On disk when it returns. Raises MisconfiguredError."""
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(place))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as refused:
            raise MisconfiguredError(
                f"{self._path} cannot be written ({refused}); set STATE_DIR to a folder that can."
            ) from refused

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def _state_of(file: Path, rejects_to: Path) -> str:
    """Raises MisconfiguredError when there is no such file."""
    try:
        found = file.stat()
    except OSError as missing:
        raise MisconfiguredError(f"{file} cannot be read: {missing}") from missing
    return f"{found.st_size}:{found.st_mtime_ns}:{rejects_to.resolve()}"
