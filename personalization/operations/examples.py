"""What models are taught by: a tenant's log as cases, point in time, or a table of its own.

From a log everything is replayed from its first row, for a sample of people that is always the same one: those with the smallest
keyed hash. At most MOST cases are kept (the newest sends; all cut dates of so many people), some 50 MB of them, and teaching takes
ten times that; a logit of a few hundred columns learns little from more. Who does not consent to learning teaches nothing.

What was declared of a person (traits, language) is known only as it is today. Where it was declared anew after a case, nobody
knows what it was; and that it is unknown would tell that the person was there later, which a model would learn at once. So such a
case gets the declared columns of another one, drawn among those where they are certain; where that is less than half of all,
the columns are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from heapq import nsmallest
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from personalization.clock import DAY, SECOND, from_datetime
from personalization.errors import ArrayInvalid
from personalization.learning.evaluation import Array
from personalization.learning.tables import Table, Value, leaks
from personalization.messages import LogEntry
from personalization.models.base import Case, Examples
from personalization.models.features import declared_of, features_of
from personalization.operations.cases import CUTS, Lives, Sends, Told
from personalization.operations.projector import PAGE
from personalization.operations.rewarding import metrics
from personalization.profile import Patterns, PersonalizationProfile
from personalization.storage.base import Storage
from personalization.vocabulary import ConsentDefault, LogType

Step = Callable[[int, int], None]

#: Cases at most.
MOST = 50_000
#: Within which a person's outcomes are looked for.
HORIZON = 28 * DAY
#: Share of the cases in which what was declared must be certain.
_CERTAIN = 0.5
_SEED = 20_261_124


def examples(
    storage: Storage,
    tenant_id: str,
    case: Case,
    now: int,
    step: Step = lambda done, total: None,
    *,
    horizon: int = HORIZON,
    most: int = MOST,
) -> Examples:
    """The cases whose outcomes were over at `now`.

    Of Case.SEND outcomes are 0 or 1: opened, clicked, converted, replied, unsubscribed, and engaged (any of the first four). The
    horizon is the longest wait of any, from decision to the end of its reward's wait. Of Case.PERSON, cut at most CUTS times a
    horizon apart: active_days and purchases (days with an engagement, with a conversion of some value), spend, and churned (no
    engagement, NaN where there was none in the horizon before either).
    """
    sample = _sample(storage, tenant_id, most if case is Case.SEND else most // CUTS)
    people = {one.user_ref: replace(one, traits={}, language=None) for one in sample}
    reader: Sends | Lives = Lives(people, now, horizon)
    if case is Case.SEND:
        reader = Sends(people, metrics(storage, tenant_id), now, most)
    declared = {one.user_ref: _since(one) for one in sample}
    for row in _read(storage, tenant_id, step):
        reader.read(row)
        if row.type == LogType.PROFILE_UPDATED and row.user_ref in declared:
            declared[row.user_ref] = declared[row.user_ref]._replace(at=row.recorded_at)
    return _examples(sorted(reader.told(), key=lambda one: one.at), declared)


class _Declared(NamedTuple):
    """What was declared of somebody, and since when it is so."""

    known: Mapping[str, Value]
    at: int


def _since(person: PersonalizationProfile) -> _Declared:
    """By what the profile says; events change it too, so the log's own rows of declarations know better."""
    known = declared_of(person)
    return _Declared(known, person.updated_at if any(value is not None for value in known.values()) else 0)


def _sample(storage: Storage, tenant_id: str, most: int) -> list[PersonalizationProfile]:
    """Those that may teach, at most so many, without their behaviour of today."""
    key, config = storage.tenants.secret(tenant_id, "examples"), storage.tenants.config(tenant_id)
    default = config.consent_default is ConsentDefault.GRANTED
    may = (replace(one, patterns=Patterns()) for one in _profiles(storage, tenant_id) if one.allows("learning", default))
    return nsmallest(most, may, key=lambda one: blake2b(one.user_ref, key=key, digest_size=8).digest())


def _profiles(storage: Storage, tenant_id: str) -> Iterator[PersonalizationProfile]:
    after: bytes | None = None
    while page := storage.profiles.scan(tenant_id, after, PAGE):
        yield from page
        after = page[-1].user_ref


def _read(storage: Storage, tenant_id: str, step: Step) -> Iterator[LogEntry]:
    until, at = storage.log.heads().get(tenant_id, 0), 0
    while at < until and (page := storage.log.read(tenant_id, at, PAGE)):
        yield from page
        at = page[-1].seq
        step(min(at, until), until)


def _examples(told: Sequence[Told], declared: Mapping[bytes, _Declared]) -> Examples:
    numbers = {user_ref: number for number, user_ref in enumerate(declared)}
    behaviour = _columns([dict(zip(*one.known, strict=True)) for one in told])
    return Examples(
        table={**behaviour, **_columns(_declared(told, declared))},
        outcomes={name: np.array([one.outcomes[name] for one in told]) for name in (told[0].outcomes if told else ())},
        at=np.array([one.at for one in told], np.int64),
        people=np.array([numbers[one.user_ref] for one in told], np.int64),
        horizon=max((one.until - one.at for one in told), default=0),
    )


def _declared(told: Sequence[Told], declared: Mapping[bytes, _Declared]) -> Sequence[Mapping[str, Value]]:
    """Of each case; of another one's person where it is not certain. None at all where too few are."""
    certain = [i for i, one in enumerate(told) if one.at >= declared[one.user_ref].at]
    if len(certain) < _CERTAIN * len(told):
        return []
    given = np.array(certain)[np.random.default_rng(_SEED).integers(len(certain), size=len(told))] if certain else np.arange(0)
    given[certain] = certain
    return [declared[told[i].user_ref].known for i in given.tolist()]


def _columns(rows: Sequence[Mapping[str, Value]]) -> dict[str, list[Value]]:
    """By name, None where a row has none; a column of numbers and texts is of texts."""
    names = dict.fromkeys(name for row in rows for name in row)
    found: dict[str, list[Value]] = {name: [row.get(name) for row in rows] for name in names}
    return {name: _alike(column) for name, column in found.items()}


def _alike(column: list[Value]) -> list[Value]:
    if len({isinstance(value, str) for value in column if value is not None}) < 2:
        return column
    return [None if value is None else str(value) for value in column]


# -- a table of a tenant's own -------------------------------------------------------------------------------------------

_YES, _NO = {"1", "true", "yes", "y"}, {"0", "false", "no", "n"}
#: Of features that every profile has, whatever its behaviour.
_KNOWN = frozenset(features_of(PersonalizationProfile(tenant_id="", user_ref=b""), 0))


def examples_of_table(
    table: Table, outcome: str, *, time: str | None = None, person: str | None = None, allowed: Collection[str] = ()
) -> Examples:
    """A row a case. outcome: a column of 0 and 1, or of yes and no    time: when the case was, RFC 3339 or seconds since 1970
    person: whose it is    allowed: columns that may tell the outcome all but alone

    Without a time the rows are in no order that means anything, and are shuffled. Columns are traits (`trait:plan`) unless they
    have the name of a feature. Raises ArrayInvalid.
    """
    for name in (outcome, *filter(None, (time, person))):
        if name not in table:
            raise ArrayInvalid(name, "is no column of the table", f"name one of {', '.join(sorted(table))}")
    y = np.array([_yes(outcome, value) for value in table[outcome]], np.float64)
    features = {name: column for name, column in table.items() if name not in (outcome, time, person)}
    _check_leaks(features, y, allowed)
    at = (
        np.random.default_rng(_SEED).permutation(len(y))
        if time is None
        else np.array([_at(time, v) for v in table[time]], np.int64)
    )
    order = np.argsort(at, kind="stable")
    owners = np.arange(len(y)) if person is None else np.unique([str(v) for v in table[person]], return_inverse=True)[1]
    return Examples(
        table={_feature(name): [column[i] for i in order.tolist()] for name, column in features.items()},
        outcomes={outcome: y[order]},
        at=at[order],
        people=owners[order],
        horizon=0,
    )


def _check_leaks(features: Table, y: Array, allowed: Collection[str]) -> None:
    found = leaks(features, y, np.random.default_rng(_SEED))
    for name, area in found.items():
        if name not in allowed:
            raise ArrayInvalid(
                name,
                f"alone tells the outcome (AUC {area:.3f}): most likely it was written afterwards",
                "leave the column out, or allow it by name where it is known beforehand",
            )


def _feature(name: str) -> str:
    return name if name in _KNOWN or ":" in name else f"trait:{name}"


def _yes(name: str, value: Value) -> float:
    said = str(value).strip().lower() if isinstance(value, str) else value
    if said in _YES or (not isinstance(said, str) and said == 1):
        return 1.0
    if said in _NO or (not isinstance(said, str) and said is not None and said == 0):
        return 0.0
    raise ArrayInvalid(name, f"holds {value!r}", "give 1 or yes where it happened, 0 or no where not")


def _at(name: str, value: Value) -> int:
    """Microseconds; a date without a zone is one in UTC."""
    if isinstance(value, (int, float)) and np.isfinite(value):
        return int(value * SECOND)
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise ArrayInvalid(name, f"holds {value!r}", "give a time such as 2026-11-23T10:00:00Z, or seconds since 1970") from None
    return from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
