"""Decisions and caps: the contract of storage/base.py, sentence by sentence, on every store."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from personalization.clock import DAY, HOUR
from personalization.errors import Conflict, NotFound
from personalization.messages import LogEntry
from personalization.profile import DECIDED
from personalization.storage.base import (
    CONFLICT,
    LOST,
    RECORDED,
    REPEATED,
    DecisionOutcome,
    NewDecision,
    Reservation,
    Storage,
    StoredDecision,
)
from personalization.tenant import FrequencyCap
from personalization.vocabulary import LogType
from tests.conftest import NOW
from tests.contracts.conftest import ADA, BOB, ONE_A_DAY, append, at_once, decision, suppressed, user, whole_log


def test_a_decision_comes_out_as_it_went_in(store: Storage) -> None:
    sent = decision(user_ref=user(store), values=b"sealed values", record=bytes(range(256)), active=False)
    assert append(store, sent) == [DecisionOutcome(RECORDED, 1)]
    stored = store.log.decision("acme", sent.decision_id)
    assert stored is not None
    for name in set(StoredDecision.__dataclass_fields__) & set(NewDecision.__struct_fields__):
        assert getattr(stored, name) == getattr(sent, name)
    assert (stored.seq, stored.tenant_id, stored.status, stored.zone_offset) == (1, "acme", "inactive", 60)
    assert (stored.record, stored.values) == (sent.record, b"sealed values")
    light = store.log.decisions("acme", [sent.decision_id, "unknown"])
    assert light == {sent.decision_id: replace(stored, record=b"", values=None)}
    assert store.log.decision("twin", sent.decision_id) is None
    assert store.log.decisions("twin", [sent.decision_id]) == {}


def test_an_anonymous_decision_is_sealed_with_the_tenants_key(store: Storage) -> None:
    append(store, decision(decision_id="anonymous", user_ref=None, values=b"values", caps=ONE_A_DAY))
    stored = store.log.decision("acme", "anonymous")
    assert stored is not None
    assert (stored.user_ref, stored.values) == (None, b"values")


def test_a_decision_in_the_log_says_when_and_what_was_sent(store: Storage) -> None:
    sent, not_sent = decision(message=b"message!"), suppressed(user_ref=BOB, active=False)
    append(store, sent, not_sent)
    first, second = whole_log(store)
    assert first == LogEntry(
        seq=1,
        type=DECIDED,
        at=NOW + HOUR,
        recorded_at=NOW,
        user_ref=ADA,
        decision_id=sent.decision_id,
        template_id="offer",
        channel="email",
        zone_offset=60,
        record=b"record",
        variant_id="a",
        message=b"message!",
    )
    assert (second.at, second.channel, second.active, second.user_ref) == (NOW, None, False, BOB)


def test_a_repeated_decision_id_is_repeated_or_a_conflict(store: Storage) -> None:
    one = decision(decision_id="d", body=b"1")
    other = msgspec.structs.replace(one, body=b"2")
    assert append(store, one, one, other) == [DecisionOutcome(RECORDED, 1), DecisionOutcome(REPEATED, 1), DecisionOutcome(CONFLICT)]
    assert append(store, other, one) == [DecisionOutcome(CONFLICT), DecisionOutcome(REPEATED, 1)]
    assert append(store, other, tenant="twin") == [DecisionOutcome(RECORDED, 1)]
    assert store.log.heads() == {"acme": 1, "twin": 1}
    assert len(store.log.reserved("acme", [ADA], 0, NOW + DAY)[ADA]) == 1


def test_a_lost_reservation_leaves_nothing_and_tells_what_is_reserved(store: Storage) -> None:
    first, second = decision(caps=ONE_A_DAY), decision(caps=ONE_A_DAY, slot_at=NOW + 2 * HOUR)
    assert append(store, first, second) == [
        DecisionOutcome(RECORDED, 1),
        DecisionOutcome(LOST, reserved=(Reservation(NOW + HOUR, "email", "promotional"),)),
    ]
    assert store.log.decision("acme", second.decision_id) is None
    assert store.log.heads()["acme"] == 1
    assert append(store, second)[0].status == LOST
    assert append(store, msgspec.structs.replace(second, slot_at=NOW + HOUR + DAY))[0].status == RECORDED
    assert append(store, decision(caps=ONE_A_DAY, user_ref=BOB))[0].status == RECORDED
    assert append(store, decision(caps=ONE_A_DAY), tenant="twin")[0].status == RECORDED


def test_a_cap_counts_only_what_it_covers(store: Storage) -> None:
    caps = (FrequencyCap(limit=1, period=DAY, channel="sms"), FrequencyCap(limit=2, period=DAY, category="promotional"))
    append(store, decision(channel="email", category="transactional", reserves=False))
    assert [o.status for o in append(store, *(decision(caps=caps, channel=c) for c in ("sms", "sms", "email", "push")))] == [
        RECORDED,
        LOST,
        RECORDED,
        LOST,
    ]
    assert append(store, decision(caps=caps, channel="push", category="digest"))[0].status == RECORDED


def test_past_reservations_count_as_long_as_the_period_is(store: Storage) -> None:
    append(store, decision(decided_at=NOW - 6 * DAY, slot_at=NOW - 6 * DAY))
    weekly = (FrequencyCap(limit=1, period=7 * DAY),)
    assert append(store, decision(caps=weekly, slot_at=NOW))[0].status == LOST
    assert append(store, decision(caps=weekly, slot_at=NOW + DAY))[0].status == RECORDED


def test_decisions_without_caps_reserve_all_the_same(store: Storage) -> None:
    append(store, decision(), decision(slot_at=NOW + 2 * HOUR, channel="sms"), decision(user_ref=BOB), suppressed())
    assert store.log.reserved("acme", [ADA, BOB, b"c" * 16], NOW, NOW + 2 * HOUR) == {
        ADA: [Reservation(NOW + HOUR, "email", "promotional")],
        BOB: [Reservation(NOW + HOUR, "email", "promotional")],
    }
    assert len(store.log.reserved("acme", [ADA], NOW + HOUR, NOW + 3 * HOUR)[ADA]) == 2
    assert store.log.reserved("acme", [ADA], NOW + HOUR + 1, NOW + 2 * HOUR) == {}
    assert store.log.reserved("twin", [ADA], 0, NOW + DAY) == {}
    assert append(store, decision(caps=ONE_A_DAY))[0].status == LOST


def test_fifty_parallel_calls_under_a_cap_of_one_record_one_send(store: Storage) -> None:
    outcomes = at_once([lambda: append(store, decision(caps=ONE_A_DAY))[0].status] * 50)
    assert sorted(outcomes) == [LOST] * 49 + [RECORDED]
    assert store.log.heads()["acme"] == 1
    assert len(store.log.reserved("acme", [ADA], 0, NOW + DAY)[ADA]) == 1


def test_a_thousand_decisions_of_one_call_get_their_numbers_in_order(store: Storage) -> None:
    many = [decision(user_ref=(n % 300).to_bytes(16), caps=(FrequencyCap(limit=9, period=DAY),)) for n in range(1_000)]
    assert append(store, *many) == [DecisionOutcome(RECORDED, n) for n in range(1, 1_001)]
    assert set(store.log.decisions("acme", [d.decision_id for d in many])) == {d.decision_id for d in many}


def test_activating_lets_a_decision_into_learning_once(store: Storage) -> None:
    waiting, done = decision(active=False), decision()
    append(store, waiting, done)
    assert store.log.activate("acme", waiting.decision_id, NOW + 5).status == "active"
    assert store.log.activate("acme", waiting.decision_id, NOW + 6).status == "active"
    assert store.log.activate("acme", done.decision_id, NOW + 6).status == "active"
    rows = whole_log(store)
    assert [e.active for e in rows] == [False, True, True]
    assert rows[2] == LogEntry(
        seq=3,
        type=LogType.ACTIVATED,
        at=NOW + HOUR,
        recorded_at=NOW + 5,
        user_ref=ADA,
        decision_id=waiting.decision_id,
        template_id="offer",
        channel="email",
        zone_offset=60,
        body={"seq": 1},
    )
    stored = store.log.decision("acme", waiting.decision_id)
    assert stored is not None
    assert stored.status == "active"
    with pytest.raises(NotFound):
        store.log.activate("acme", "unknown", NOW)
    with pytest.raises(NotFound):
        store.log.activate("twin", waiting.decision_id, NOW)


def test_discarding_releases_the_reservation_once_and_for_all(store: Storage) -> None:
    active, inactive = decision(caps=ONE_A_DAY), decision(user_ref=BOB, active=False)
    append(store, active, inactive)
    for _ in range(2):
        assert store.log.discard("acme", active.decision_id, NOW + 5).status == "discarded"
    store.log.discard("acme", inactive.decision_id, NOW + 6)
    assert store.log.reserved("acme", [ADA, BOB], 0, NOW + DAY) == {}
    rows = whole_log(store)[2:]
    assert [(e.type, e.active, e.at, e.body, e.channel) for e in rows] == [
        (LogType.DISCARDED, True, NOW + HOUR, {"seq": 1}, "email"),
        (LogType.DISCARDED, False, NOW + HOUR, {"seq": 2}, "email"),
    ]
    with pytest.raises(Conflict):
        store.log.activate("acme", active.decision_id, NOW)
    with pytest.raises(NotFound):
        store.log.discard("acme", "unknown", NOW)
    assert append(store, decision(caps=ONE_A_DAY))[0].status == RECORDED
