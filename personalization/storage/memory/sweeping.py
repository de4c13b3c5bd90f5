"""What is taken out of the rows of somebody who leaves: everything of the erased, what names the anonymised."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from personalization.messages import LogEntry
from personalization.profile import PersonalizationProfile
from personalization.storage.base import ERASE
from personalization.storage.memory.rows import DecisionRow, TenantRows
from personalization.vocabulary import LogType


def swept_sections(tenant: TenantRows, user_ref: bytes, kind: str) -> dict[str, int]:
    """Profile, consents and reservations, at once; what was taken, by section. Of the anonymised what was learned stays."""
    profile = tenant.profiles.pop(user_ref, None)
    if profile is not None and kind != ERASE:
        tenant.profiles[user_ref] = PersonalizationProfile(
            tenant_id=profile.tenant_id,
            user_ref=user_ref,
            created_at=profile.created_at,
            updated_at=profile.updated_at,
            patterns=profile.patterns,
            learned_seq=profile.learned_seq,
        )
    return {
        "profiles": int(profile is not None),
        "consents": len(tenant.consents.pop(user_ref, ())),
        "reservations": len(tenant.reserved.pop(user_ref, ())),
    }


def blank(tenant: TenantRows, seq: int, counts: dict[str, int]) -> None:
    """Leave of a row its number and when it was recorded; `counts` grows by what went."""
    row = tenant.log[seq - 1]
    tenant.words.pop(seq, None)
    if isinstance(row, LogEntry):
        counts["events"] += 1
        counts["cited"] += row.decision_id is not None
        recorded_at = row.recorded_at
    else:
        counts["decisions"] += 1
        recorded_at = row.new.decided_at
        del tenant.decisions[row.new.decision_id]
        tenant.engaged.discard(row.new.decision_id)
        tenant.converted.discard(row.new.decision_id)
    tenant.log[seq - 1] = LogEntry(seq=seq, type=LogType.BLANK, at=recorded_at, recorded_at=recorded_at)


def named(tenant: TenantRows, seq: int) -> bool:
    """Whether anything is left at that row to take away."""
    row = tenant.log[seq - 1]
    id_ = row.decision_id if isinstance(row, LogEntry) else row.new.decision_id
    return seq in tenant.words or (id_ is not None and id_ not in tenant.nameless)


def strip(tenant: TenantRows, seq: int, counts: dict[str, int], token: Callable[[int], bytes]) -> None:
    """Take a row's words and give its decision another id; `counts` grows by what went."""
    row = tenant.log[seq - 1]
    counts["events"] += tenant.words.pop(seq, None) is not None
    if not isinstance(row, LogEntry):
        counts["decisions"] += 1
        _rename(tenant, row, token)
    elif row.decision_id is not None and row.decision_id not in tenant.nameless:
        counts["cited"] += 1
        known = tenant.decisions.get(row.decision_id)
        if known is not None and known.new.user_ref == row.user_ref:
            _rename(tenant, known, token)
        else:
            tenant.log[seq - 1] = structs.replace(row, decision_id=None)


def _rename(tenant: TenantRows, row: DecisionRow, token: Callable[[int], bytes]) -> None:
    """A fresh id for the decision and for every row that cites it."""
    old, fresh = row.new.decision_id, token(16).hex()
    row.new = structs.replace(row.new, decision_id=fresh, values=None, body=b"", message=None)
    row.body = b""
    tenant.nameless.add(fresh)
    tenant.decisions[fresh] = tenant.decisions.pop(old)
    for kept in (tenant.engaged, tenant.converted):
        if old in kept:
            kept.remove(old)
            kept.add(fresh)
    for seq in tenant.rows_of_user.get(row.new.user_ref or b"", ()):
        entry = tenant.log[seq - 1]
        if isinstance(entry, LogEntry) and entry.decision_id == old:
            tenant.log[seq - 1] = structs.replace(entry, decision_id=fresh)
