"""What is remembered of a person's messages."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from personalization.clock import DAY, HOUR, instant
from personalization.messages import LogEntry
from personalization.profile import Patterns
from personalization.sent import MOST_MESSAGES, SentMessage, message_key

NOW = instant("2026-11-23T10:00:00Z")
ADA = b"a" * 16


def row(type_: str, decision_id: str, at: int = NOW, **fields: Any) -> LogEntry:
    entry = {"channel": "email", "variant_id": "a", **fields}
    return LogEntry(seq=1, type=type_, at=at, recorded_at=at, user_ref=ADA, decision_id=decision_id, **entry)


def decided(decision_id: str, message_id: str = "m", at: int = NOW, **fields: Any) -> LogEntry:
    return row("decided", decision_id, at, message=message_key(ADA, message_id), **fields)


def after(*rows: LogEntry) -> Patterns:
    patterns = Patterns()
    for entry in rows:
        patterns = patterns.after(entry)
    return patterns


def one(*rows: LogEntry) -> SentMessage:
    (message,) = after(*rows).messages
    return message


def test_a_message_is_remembered_under_a_hash_that_is_the_persons_own() -> None:
    assert one(decided("d")).key == message_key(ADA, "m") != message_key(b"b" * 16, "m")


def test_the_variant_of_the_first_send_is_kept() -> None:
    assert one(decided("d"), decided("e", at=NOW + HOUR, variant_id="b", channel="push")).variant_id == "a"
    assert one(decided("d", active=False), decided("e", variant_id="b")).variant_id == "b"


def test_several_sends_of_a_message_stand_once_in_the_load_at_the_first() -> None:
    rows = [decided("d"), decided("e", at=NOW + HOUR, channel="push"), row("decided", "f", NOW + 2 * HOUR)]
    assert after(*rows).recent == (NOW, NOW + 2 * HOUR)
    assert after(*rows, row("discarded", "d", NOW)).recent == (NOW + HOUR, NOW + 2 * HOUR)
    assert after(*rows, row("discarded", "d", NOW), row("discarded", "e", NOW + HOUR)).recent == (NOW + 2 * HOUR,)
    assert len(after(*rows, row("discarded", "d", NOW), row("discarded", "e", NOW + HOUR)).messages) == 0


def test_an_inactive_send_counts_from_its_activation_on() -> None:
    waiting = after(decided("d", active=False))
    assert (waiting.recent, waiting.messages[0].first_at) == ((), None)
    active = waiting.after(row("activated", "d", NOW))
    assert (active.recent, active.messages[0].first_at, active.messages[0].channels) == ((NOW,), NOW, ("email",))
    assert waiting.after(row("discarded", "d", NOW, active=False)).messages == ()


@pytest.mark.parametrize("type_", ["opened", "clicked", "converted", "replied", "dismissed", "unsubscribed", "complained"])
def test_whoever_saw_it_has_read_it(type_: str) -> None:
    assert one(decided("d"), row(type_, "d")).read


@pytest.mark.parametrize("type_", ["delivered", "custom", "rewarded"])
def test_other_events_are_no_reading(type_: str) -> None:
    assert not one(decided("d"), row(type_, "d")).read


def test_an_event_of_another_decision_or_of_none_says_nothing_of_it() -> None:
    assert not one(decided("d"), row("opened", "x"), row("opened", None)).read  # type: ignore[arg-type]


def test_a_bounced_send_is_not_waited_for_but_its_channel_is_used() -> None:
    message = one(decided("d"), row("bounced", "d"))
    assert (message.unread_since, message.channels) == (None, ("email",))


def test_the_newest_sixteen_of_thirty_days_are_kept() -> None:
    many = after(*(decided(f"d{i}", f"m{i}", NOW + i * HOUR) for i in range(20)))
    assert [m.key for m in many.messages] == [message_key(ADA, f"m{i}") for i in range(20 - MOST_MESSAGES, 20)]
    later = many.after(decided("later", "later", NOW + 40 * DAY))
    assert [m.key for m in later.messages] == [message_key(ADA, "later")]


def test_a_send_planned_far_ahead_does_not_push_out_the_others() -> None:
    far = LogEntry(
        seq=2, type="decided", at=NOW + 400 * DAY, recorded_at=NOW, decision_id="f", channel="email", message=message_key(ADA, "f")
    )
    assert len(after(decided("d"), far).messages) == 2


def test_patterns_with_messages_are_packed_small_and_come_back() -> None:
    full = after(*(decided(f"d{i}{c}", f"m{i}", NOW + i * HOUR, channel=c) for i in range(16) for c in ("email", "push")))
    packed = msgspec.msgpack.encode(full)
    assert msgspec.msgpack.decode(packed, type=Patterns) == full
    assert len(msgspec.msgpack.encode(full.messages)) < 1_500
