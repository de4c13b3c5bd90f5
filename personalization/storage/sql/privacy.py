"""People who leave: the key first, then every row, then the bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from personalization.errors import NotFound
from personalization.messages import LogEntry
from personalization.sealing import Cipher
from personalization.storage.base import COMPLETED, ERASE, PENDING, Erasure, Snapshot, Words
from personalization.storage.rules import TOMBSTONES
from personalization.storage.sql.engine import Database, Lookup, Transaction
from personalization.storage.sql.events import WORDS
from personalization.storage.sql.fence import departed
from personalization.storage.sql.head import Head, event_row, locked_head
from personalization.storage.sql.packing import empty_profile, read_json, unpack, write_json
from personalization.storage.sql.schema import (
    cap_reservations,
    consents,
    decisions,
    erasures,
    events,
    idempotency,
    log_heads,
    profiles,
    snapshots,
    users,
)
from personalization.storage.sql.tenants import SqlTenants
from personalization.storage.sql.users import SqlUsers
from personalization.vocabulary import LogType

_WORDS = Lookup(
    lambda tenant, seqs: sa.select(events.c.seq, events.c.user_ref, events.c.sealed_words).where(
        events.c.tenant_id == tenant, events.c.seq.in_(seqs), events.c.sealed_words.is_not(None)
    )
)
_ERASURE = tuple(
    erasures.c[name]
    for name in (
        "tenant_id",
        "erasure_id",
        "kind",
        "status",
        "id_mac",
        "requested_at",
        "user_ref",
        "completed_at",
        "swept",
        "certificate",
    )
)
#: What a blank row keeps: its place and time of receipt.
_BLANKED: Mapping[str, Any] = {
    "type": str(LogType.BLANK),
    "occurred_at": events.c.recorded_at,
    "user_ref": None,
    "decision_id": None,
    "template_id": None,
    "channel": None,
    "name": None,
    "value": None,
    "currency": None,
    "zone_offset": 0,
    "active": True,
    "sealed_words": None,
    "body": None,
}
#: Of an anonymised profile the row keeps key, times and patterns.
_EMPTIED = {
    name: value
    for name, value in zip(profiles.c.keys(), empty_profile("", b"", 0, 0), strict=True)
    if name not in ("tenant_id", "user_ref", "created_at", "updated_at", "patterns", "learned_seq")
} | {"traits": {}}


class SqlPrivacy:
    """A PrivacyStore."""

    def __init__(
        self, database: Database, cipher: Cipher, tenants: SqlTenants, users: SqlUsers, token: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._database, self._cipher, self._tenants, self._users, self._token = database, cipher, tenants, users, token

    # -- leaving ---------------------------------------------------------------------------------------------------

    def begin(self, tenant_id: str, user_id: str, kind: str, erasure_id: str, at: int) -> Erasure:
        mac = self._users.mac(self._tenants.keys(tenant_id), user_id)
        self._database.ensure_month(at)
        with self._database.write() as transaction, locked_head(transaction, tenant_id) as head:
            ours = (users.c.tenant_id == tenant_id, users.c.id_mac == mac)
            user_ref = transaction.execute(sa.select(users.c.user_ref).where(*ours)).scalar()
            if user_ref is None:
                return _known(transaction, tenant_id, mac, kind)
            transaction.execute(sa.delete(users).where(*ours))
            erasure = Erasure(
                tenant_id=tenant_id,
                erasure_id=erasure_id,
                kind=kind,
                status=PENDING,
                id_mac=mac,
                requested_at=at,
                user_ref=user_ref,
                swept={
                    "users": 1,
                    **_sweep_sections(transaction, tenant_id, user_ref, kind),
                    "repeatable_answers": _drop_answers(transaction, tenant_id),
                },
            )
            _bury(transaction, head, erasure)
        self._users.forget(tenant_id, [user_ref])
        return erasure

    def find(self, tenant_id: str, erasure_id: str) -> Erasure | None:
        ours = (erasures.c.tenant_id == tenant_id, erasures.c.erasure_id == erasure_id, erasures.c.kind == ERASE)
        with self._database.read() as transaction:
            found = transaction.execute(sa.select(*_ERASURE).where(*ours)).first()
        return None if found is None else _erasure(found)

    def pending(self) -> list[Erasure]:
        statement = (
            sa.select(*_ERASURE).where(erasures.c.status == PENDING).order_by(erasures.c.requested_at, erasures.c.erasure_id)
        )
        with self._database.read() as transaction:
            return [_erasure(row) for row in transaction.execute(statement)]

    def complete(self, erasure: Erasure, at: int, certificate: str) -> None:
        ours = (erasures.c.tenant_id == erasure.tenant_id, erasures.c.erasure_id == erasure.erasure_id)
        done = {"status": COMPLETED, "completed_at": at, "certificate": certificate, "user_ref": None}
        with self._database.write() as transaction:
            transaction.execute(
                sa.update(erasures).where(*ours).values(done) if erasure.kind == ERASE else sa.delete(erasures).where(*ours)
            )

    def departures(self, after: Mapping[str, int]) -> dict[str, tuple[int, list[bytes]]]:
        statement = sa.select(log_heads.c.tenant_id, log_heads.c.erased).where(log_heads.c.erased > 0)
        with self._database.read() as transaction:
            moved = [(t, newest) for t, newest in transaction.execute(statement) if newest > after.get(t, 0)]
            return {t: (newest, departed(transaction, t, newest, after.get(t))) for t, newest in moved}

    def scrub(self) -> str:
        return self._database.scrub()

    # -- rows of the log -------------------------------------------------------------------------------------------

    def sweep(self, erasure: Erasure, limit: int = 500) -> int:
        if erasure.user_ref is None:
            return 0
        with self._database.write() as transaction, locked_head(transaction, erasure.tenant_id):
            counts = self._swept(transaction, erasure, erasure.user_ref, limit)
            if any(counts.values()):
                _count(transaction, erasure, counts)
            else:
                _drop_answers(transaction, erasure.tenant_id)  # those given while the rows were swept
        return max(counts["events"], counts["cited"]) + counts["decisions"]

    def _swept(self, transaction: Transaction, erasure: Erasure, user_ref: bytes, limit: int) -> dict[str, int]:
        if erasure.kind == ERASE:
            _sweep_sections(transaction, erasure.tenant_id, user_ref, ERASE)
            return _blank(transaction, erasure.tenant_id, user_ref, limit)
        return self._strip(transaction, erasure.tenant_id, user_ref, limit)

    def _strip(self, transaction: Transaction, tenant_id: str, user_ref: bytes, limit: int) -> dict[str, int]:
        """A decision without the MAC of its body has been here already."""
        theirs = (decisions.c.tenant_id == tenant_id, decisions.c.user_ref == user_ref, decisions.c.body_mac != b"")
        named = transaction.execute(sa.select(decisions.c.seq, decisions.c.decision_id).where(*theirs).limit(limit)).all()
        for seq, decision_id in named:
            self._rename(transaction, tenant_id, user_ref, seq, decision_id)
        rows = (events.c.tenant_id == tenant_id, events.c.user_ref == user_ref)
        worded = sa.update(events).where(*rows, events.c.sealed_words.is_not(None)).values(sealed_words=None)
        counts = {"events": transaction.execute(worded).rowcount, "cited": 0, "decisions": len(named)}
        if len(named) < limit:
            foreign = sa.exists().where(
                decisions.c.tenant_id == tenant_id,
                decisions.c.decision_id == events.c.decision_id,
                decisions.c.user_ref == user_ref,
            )
            uncited = sa.update(events).where(*rows, events.c.decision_id.is_not(None), ~foreign).values(decision_id=None)
            counts["cited"] = transaction.execute(uncited).rowcount
        return counts

    def _rename(self, transaction: Transaction, tenant_id: str, user_ref: bytes, seq: int, old: str) -> None:
        """A fresh id for the decision and for every row that cites it."""
        fresh = self._token(16).hex()
        nameless = {"decision_id": fresh, "sealed_values": None, "body_mac": b"", "message": None}
        this = (decisions.c.tenant_id == tenant_id, decisions.c.seq == seq)
        transaction.execute(sa.update(decisions).where(*this).values(nameless))
        citing = (events.c.tenant_id == tenant_id, events.c.decision_id == old, events.c.user_ref == user_ref)
        transaction.execute(sa.update(events).where(*citing).values(decision_id=fresh))

    def words(self, tenant_id: str, user_ref: bytes, seqs: Iterable[int]) -> dict[int, Words]:
        with self._database.read() as transaction:
            found = [(seq, sealed) for seq, ref, sealed in transaction.among(_WORDS, tenant_id, list(seqs)) if ref == user_ref]
        owner = self._users.owners(tenant_id, [user_ref]).get(user_ref) if found else None
        return {} if owner is None else {seq: tuple(unpack(self._cipher.open(owner, WORDS, sealed))) for seq, sealed in found}

    # -- what was learned ------------------------------------------------------------------------------------------

    def retire(self, tenant_id: str, snapshot_ids: Iterable[int]) -> int:
        ours = (snapshots.c.tenant_id == tenant_id, snapshots.c.snapshot_id.in_(list(snapshot_ids)))
        with self._database.write() as transaction:
            return transaction.execute(sa.delete(snapshots).where(*ours)).rowcount

    def snapshots(self, tenant_id: str, model_id: str, before: int, limit: int) -> list[Snapshot]:
        columns = [snapshots.c[name] for name in ("snapshot_id", "tenant_id", "model_id", "seq", "created_at", "body")]
        ours = (snapshots.c.tenant_id == tenant_id, snapshots.c.model_id == model_id, snapshots.c.snapshot_id < before)
        statement = sa.select(*columns).where(*ours).order_by(snapshots.c.snapshot_id.desc()).limit(limit)
        with self._database.read() as transaction:
            return [Snapshot(*row) for row in transaction.execute(statement)]


def _known(transaction: Transaction, tenant_id: str, mac: bytes, kind: str) -> Erasure:
    """The erasure of somebody who is gone already. Raises NotFound."""
    ours = (erasures.c.tenant_id == tenant_id, erasures.c.id_mac == mac, erasures.c.kind == ERASE, erasures.c.lifted_at.is_(None))
    found = transaction.execute(sa.select(*_ERASURE).where(*ours)).first() if kind == ERASE else None
    if found is None:
        raise NotFound("user")
    return _erasure(found)


def _erasure(row: sa.Row[Any]) -> Erasure:
    said = row._mapping
    return Erasure(**{**said, "swept": read_json(said["swept"])})


def _bury(transaction: Transaction, head: Head, erasure: Erasure) -> None:
    """The tombstone, and the ledger's line."""
    type_ = LogType.ERASED if erasure.kind == ERASE else LogType.ANONYMIZED
    head.append(type_, erasure.requested_at, {"previous": head.erased}, user_ref=erasure.user_ref)
    this = log_heads.c.tenant_id == erasure.tenant_id
    transaction.execute(sa.update(log_heads).where(this).values(erased=head.seq))
    values = {column: getattr(erasure, column.name) for column in _ERASURE} | {erasures.c.swept: write_json(erasure.swept)}
    transaction.execute(sa.insert(erasures).values(values))


def _sweep_sections(transaction: Transaction, tenant_id: str, user_ref: bytes, kind: str) -> dict[str, int]:
    def of(table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
        return table.c.tenant_id == tenant_id, table.c.user_ref == user_ref

    emptied = sa.delete(profiles) if kind == ERASE else sa.update(profiles).values(_EMPTIED)
    statements = {
        "profiles": emptied.where(*of(profiles)),
        "consents": sa.delete(consents).where(*of(consents)),
        "reservations": sa.delete(cap_reservations).where(*of(cap_reservations)),
    }
    return {what: transaction.execute(statement).rowcount for what, statement in statements.items()}


def _drop_answers(transaction: Transaction, tenant_id: str) -> int:
    answered = (idempotency.c.tenant_id == tenant_id, idempotency.c.sealed_answer.is_not(None))
    return transaction.execute(sa.delete(idempotency).where(*answered)).rowcount


def _blank(transaction: Transaction, tenant_id: str, user_ref: bytes, limit: int) -> dict[str, int]:
    rows = (events.c.tenant_id == tenant_id, events.c.user_ref == user_ref, events.c.type.not_in([str(t) for t in TOMBSTONES]))
    found = transaction.execute(
        sa.select(events.c.seq, events.c.decision_id).where(*rows).order_by(events.c.seq).limit(limit)
    ).all()
    if found:
        these = (events.c.tenant_id == tenant_id, events.c.seq.in_([seq for seq, _ in found]), events.c.user_ref == user_ref)
        transaction.execute(sa.update(events).where(*these).values(_BLANKED))
    theirs = (decisions.c.tenant_id == tenant_id, decisions.c.user_ref == user_ref)
    decided = transaction.execute(sa.select(decisions.c.seq, decisions.c.decided_at).where(*theirs).limit(limit)).all()
    if decided:
        blanks = [LogEntry(seq=seq, type=LogType.BLANK, at=at, recorded_at=at) for seq, at in decided]
        transaction.insert(events, [event_row(tenant_id, blank) for blank in blanks])
        seqs = [seq for seq, _ in decided]
        transaction.execute(sa.delete(decisions).where(decisions.c.tenant_id == tenant_id, decisions.c.seq.in_(seqs)))
    cited = sum(decision_id is not None for _, decision_id in found)
    return {"events": len(found), "cited": cited, "decisions": len(decided)}


def _count(transaction: Transaction, erasure: Erasure, counts: Mapping[str, int]) -> None:
    this = (erasures.c.tenant_id == erasure.tenant_id, erasures.c.erasure_id == erasure.erasure_id)
    known = read_json(transaction.execute(sa.select(erasures.c.swept).where(*this)).scalar_one())
    swept = {**known, **{what: known.get(what, 0) + n for what, n in counts.items()}}
    transaction.execute(sa.update(erasures).where(*this).values(swept=write_json(swept)))
