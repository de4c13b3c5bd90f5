"""Recomputing a past decision from its record, and what differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from personalization.deciding.paths import PolicyOf
from personalization.deciding.record import Record
from personalization.deciding.stages import draw_many
from personalization.errors import NotFound

#: Floats agree when they fall on the same point of this grid.
_DIGITS = 9


@dataclass(frozen=True)
class Replay:
    """identical is None where it cannot be said, with the reason."""

    identical: bool | None
    differences: tuple[str, ...] = ()
    reason: str | None = None


def replay(record: Record, code: str, policy_of: PolicyOf) -> Replay:
    """Draw again from the recorded inputs under today's code and compare with the recorded outcome."""
    if record.code != code:
        return Replay(None, (), "other_code_version")
    try:
        again = draw_many([record.inputs], policy_of)[0]
    except NotFound:
        return Replay(None, (), "snapshot_retired")
    differences = tuple(_differences("outcome", msgspec.to_builtins(record.outcome), msgspec.to_builtins(again)))
    return Replay(not differences, differences)


def _differences(path: str, recorded: Any, again: Any) -> Iterator[str]:
    if isinstance(recorded, list | tuple) and isinstance(again, list | tuple) and len(recorded) == len(again):
        for i, (one, other) in enumerate(zip(recorded, again, strict=True)):
            yield from _differences(f"{path}.{i}", one, other)
    elif isinstance(recorded, float) and isinstance(again, float):
        if round(recorded, _DIGITS) != round(again, _DIGITS):
            yield f"{path}: recorded {recorded!r}, recomputed {again!r}"
    elif recorded != again:
        yield f"{path}: recorded {recorded!r}, recomputed {again!r}"
