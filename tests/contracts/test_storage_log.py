"""A tenant's one sequence, timelines and summaries: the contract of storage/base.py, sentence by sentence, on every store."""

from __future__ import annotations

import threading

import pytest

from personalization.clock import DAY, instant
from personalization.errors import NotFound
from personalization.profile import DECIDED, Consent
from personalization.storage.base import ACCEPTED, Mark, Storage
from personalization.vocabulary import LogType
from tests.conftest import NOW
from tests.contracts.conftest import ADA, BOB, append, at_once, decision, event, profile, suppressed, whole_log


def test_events_decisions_and_marks_share_one_gapless_sequence(store: Storage) -> None:
    store.log.append_events("acme", [event(), event()], NOW)
    append(store, decision(), suppressed())
    assert (
        store.log.append_marks("acme", [Mark(type="exposed", at=NOW, body={"seqs": (3, 4)}), Mark(type="x", at=NOW)], NOW + 1) == 6
    )
    store.log.append_events("acme", [event()], NOW)
    assert store.log.append_marks("acme", [], NOW) == 7
    rows = whole_log(store)
    assert [(e.seq, e.type) for e in rows] == [
        (1, "clicked"),
        (2, "clicked"),
        (3, DECIDED),
        (4, DECIDED),
        (5, "exposed"),
        (6, "x"),
        (7, "clicked"),
    ]
    assert (rows[4].body, rows[4].recorded_at, rows[5].body) == ({"seqs": [3, 4]}, NOW + 1, {})
    assert store.log.heads() == {"acme": 7, "twin": 0}


def test_the_log_is_read_in_pieces_without_a_gap(store: Storage) -> None:
    for n in range(6):
        store.log.append_events("acme", [event() for _ in range(n)], NOW)
        append(store, *(decision() for _ in range(5 - n)))
    seen: list[int] = []
    while rows := store.log.read("acme", seen[-1] if seen else 0, 4):
        assert len(rows) <= 4
        seen += [e.seq for e in rows]
    assert seen == list(range(1, 31))
    assert store.log.read("acme", 30, 4) == []
    assert store.log.read("nobody", 0, 4) == []


def test_a_follower_never_skips_a_row_while_many_threads_append(store: Storage) -> None:
    writers, done = 8, threading.Event()
    seen: list[int] = []

    def follow() -> None:
        while not (done.is_set() and not store.log.read("acme", len(seen), 50)):
            seen.extend(e.seq for e in store.log.read("acme", len(seen), 50))

    def write(n: int) -> None:
        for k in range(10):
            if k % 3 == 0:
                store.log.append_events("acme", [event(user_ref=bytes([n]) * 16) for _ in range(3)], NOW)
            elif k % 3 == 1:
                append(store, decision(user_ref=bytes([n]) * 16), suppressed())
            else:
                store.profiles.save(profile(n.to_bytes(8) + k.to_bytes(8)), "api", NOW)

    follower = threading.Thread(target=follow)
    follower.start()
    at_once([lambda n=n: write(n) for n in range(writers)])  # type: ignore[misc]
    done.set()
    follower.join()
    assert seen == list(range(1, writers * (4 * 3 + 3 * 2 + 3) + 1))
    assert store.log.heads()["acme"] == len(seen)


def test_tenants_append_at_once_without_meeting(store: Storage) -> None:
    calls = [lambda t=t: store.log.append_events(t, [event(event_id="same")], NOW) for t in ("acme", "twin")]  # type: ignore[misc]
    assert at_once(calls * 4).count([ACCEPTED]) == 2
    assert store.log.heads() == {"acme": 1, "twin": 1}


def test_a_failing_append_fails_its_own_caller_only(store: Storage) -> None:
    def good(n: int) -> list[str]:
        return store.log.append_events("acme", [event(user_ref=bytes([n]) * 16)], NOW)

    def bad() -> str:
        try:
            store.log.append_events("acme", [event(body="no bytes")], NOW)
        except Exception as failure:
            return type(failure).__name__
        return "accepted"

    def unknown() -> str:
        try:
            store.log.append_events("nobody", [event()], NOW)
        except NotFound:
            return "not found"
        return "accepted"

    results = at_once([*(lambda n=n: good(n) for n in range(12)), bad, unknown, bad, unknown])  # type: ignore[misc]
    assert results[:12] == [[ACCEPTED]] * 12
    assert "accepted" not in results[12:]
    assert [e.seq for e in whole_log(store)] == list(range(1, 13))


def test_twin_tenants_never_see_each_others_rows(store: Storage) -> None:
    append(store, decision(decision_id="d"))
    store.log.append_events("acme", [event(decision_id="d")], NOW)
    store.profiles.save(profile(version=1), "api", NOW)
    store.checkpoints.save("acme", "learner", 3, b"x")
    snapshot = store.snapshots.publish("acme", "m", 1, NOW, b"x")
    assert whole_log(store, "twin") == []
    assert store.log.timeline("twin", ADA, 9) == []
    assert store.log.summary("twin", 0, 2 * NOW, "UTC").decisions == 0
    assert store.profiles.load("twin", [ADA]) == {}
    assert store.profiles.scan("twin", None, 9) == []
    assert store.checkpoints.load("twin", "learner") is None
    assert store.snapshots.get("twin", snapshot.snapshot_id) is None
    with pytest.raises(NotFound):
        store.log.discard("twin", "d", NOW)


# -- timeline and summary ------------------------------------------------------------------------------------------


def test_a_timeline_is_newest_first_and_paged(store: Storage) -> None:
    append(store, decision(), decision(user_ref=BOB), decision())
    store.log.append_events("acme", [event(), event(user_ref=BOB)], NOW)
    store.profiles.save(profile(version=1, consent=Consent(learning=False)), "api", NOW)
    append(store, suppressed())
    rows = store.log.timeline("acme", ADA, 99)
    assert [(e.seq, e.type) for e in rows] == [
        (8, DECIDED),
        (7, LogType.CONSENT_CHANGED),
        (6, LogType.PROFILE_UPDATED),
        (4, "clicked"),
        (3, DECIDED),
        (1, DECIDED),
    ]
    assert [e.seq for e in store.log.timeline("acme", ADA, 2)] == [8, 7]
    assert [e.seq for e in store.log.timeline("acme", ADA, 3, before=7)] == [6, 4, 3]
    assert [e.seq for e in store.log.timeline("acme", ADA, 3, before=3)] == [1]


def test_a_summary_counts_what_happened_between_two_instants(store: Storage) -> None:
    sent = [
        decision(quality=0.25),
        decision(quality=0.75),
        decision(user_ref=BOB, mode="holdout", quality=None),
        decision(active=False),
    ]
    outside = decision(decided_at=NOW - 3 * DAY)
    append(store, *sent, outside, suppressed("no_consent", quality=None), suppressed("fatigue"), decision(decision_id="gone"))
    store.log.discard("acme", "gone", NOW)
    store.log.append_events(
        "acme",
        [
            event("opened", decision_id=sent[0].decision_id),
            event("clicked", decision_id=sent[0].decision_id),
            event("converted", decision_id=sent[0].decision_id, value=10.0),
            event("converted", value=5.0),
            event("delivered", decision_id=sent[1].decision_id, value=99.0),
            event("replied", decision_id=sent[2].decision_id, user_ref=BOB),
            event("clicked", decision_id=outside.decision_id, occurred_at=NOW - 3 * DAY),
        ],
        NOW,
    )
    found = store.log.summary("acme", NOW - DAY, NOW + DAY, "Europe/Berlin")
    assert (found.decisions, found.sends) == (6, 4)
    assert found.suppressions == {"no_consent": 1, "fatigue": 1}
    assert found.events == {"opened": 1, "clicked": 1, "converted": 2, "delivered": 1, "replied": 1}
    assert (found.revenue, found.attributed_revenue) == (15.0, 10.0)
    assert (found.engaged_sends, found.converted_sends) == (2, 1)
    assert sorted(found.qualities) == [0.25, 0.5, 0.5, 0.75]
    assert found.quality_mean == pytest.approx(0.5)
    assert found.arms == ((False, 1, 2, 1, 4.0, 2.0, 1.0), (True, 1, 1, 1, 1.0, 1.0, 1.0))


def test_a_tally_counts_what_was_decided_by_channel_and_nothing_discarded(store: Storage) -> None:
    append(store, decision(), decision(channel="sms"), decision(channel="sms", active=False), suppressed(), tenant="acme")
    append(store, decision(decided_at=NOW - DAY), decision(decided_at=NOW + DAY), decision(decision_id="gone"))
    append(store, decision(), tenant="twin")
    store.log.discard("acme", "gone", NOW)
    assert store.log.tally("acme", NOW, NOW + DAY) == {"email": 1, "sms": 2, None: 1}
    assert store.log.tally("acme", NOW - DAY, NOW) == {"email": 1}
    assert store.log.tally("nobody", 0, NOW + DAY) == {}


def test_a_summary_of_nothing_is_empty(store: Storage) -> None:
    found = store.log.summary("acme", 0, NOW, "UTC")
    assert (found.decisions, found.quality_mean, found.series, found.arms, found.revenue) == (0, None, (), (), 0)


def test_a_summarys_days_are_local_also_where_the_clock_changes(store: Storage) -> None:
    times = ["2026-10-24T21:59:00Z", "2026-10-24T22:00:00Z", "2026-10-25T22:59:00Z", "2026-10-25T23:00:00Z"]
    append(store, *(decision(decided_at=instant(t), slot_at=instant(t)) for t in times))
    store.log.append_events("acme", [event("converted", value=2.0, occurred_at=instant(times[3]))], NOW)
    found = store.log.summary("acme", instant(times[0]), instant(times[3]) + 1, "Europe/Berlin")
    assert [(row["date"], row["decisions"], row["sends"], row["revenue"]) for row in found.series] == [
        ("2026-10-24", 1, 1, 0.0),
        ("2026-10-25", 2, 2, 0.0),
        ("2026-10-26", 1, 1, 2.0),
    ]
