import msgspec
import pytest
from msgspec.structs import replace

from personalization.clock import DAY, HOUR, MINUTE, instant
from personalization.daybook import DayBook
from personalization.messages import LogEntry
from personalization.profile import HALF_LIFE, RECENT_OCCASIONS, RECENT_SENDS, Consent, Patterns, PersonalizationProfile, fading
from personalization.vocabulary import PersonalizationTrigger

NOW = instant("2026-11-23T10:30:00Z")  # a Monday


def profile() -> PersonalizationProfile:
    return PersonalizationProfile(tenant_id="t", user_ref=b"u" * 16, version=1)


def row(seq: int, type_: str, at: int = NOW, **fields: object) -> LogEntry:
    return LogEntry(seq=seq, type=type_, at=at, recorded_at=at, user_ref=b"u" * 16, **{"channel": "email", **fields})  # type: ignore[arg-type]


def test_an_event_counts_on_its_channel_and_in_its_local_hour() -> None:
    after = profile().after(row(1, "clicked", zone_offset=60))
    assert after.patterns.engaged_on("email") * fading(NOW) == pytest.approx(1.0)
    assert list(after.patterns.engaged) == [11]  # Monday 11:30 in a zone one hour ahead
    assert after.learned_seq == 1


def test_a_count_loses_half_its_weight_in_a_half_life() -> None:
    after = profile().after(row(1, "opened"))
    assert after.patterns.engaged_on("email") * fading(NOW + HALF_LIFE) == pytest.approx(0.5)


def test_late_events_find_their_place_whatever_the_order() -> None:
    old, new = row(1, "clicked", NOW - 30 * DAY), row(2, "clicked", NOW)
    one, other = profile().after(old).after(new), profile().after(new).after(old)
    assert one.patterns.engaged_on("email") == pytest.approx(other.patterns.engaged_on("email"))
    assert one.patterns.last_event_at == other.patterns.last_event_at == NOW
    assert one.patterns.first_event_at == NOW - 30 * DAY


def test_a_delivery_is_no_engagement() -> None:
    assert profile().after(row(1, "delivered")).patterns.engaged == {}


def test_conversions_add_up_to_money() -> None:
    after = profile().after(row(1, "converted", value=12.5)).after(row(2, "converted", value=7.5))
    assert after.patterns.spend == 20.0


def test_days_with_engagements_and_days_with_purchases_are_kept_apart() -> None:
    after = profile()
    kinds = (("opened", 0, None), ("clicked", 0, None), ("converted", 2, 8.0), ("converted", 5, 12.0), ("converted", 7, None))
    for seq, (kind, days, value) in enumerate(kinds, 1):
        after = after.after(row(seq, kind, NOW + days * DAY, value=value))
    for seq, kind in enumerate(("delivered", "dismissed", "bounced", "rewarded"), 6):
        after = after.after(row(seq, kind, NOW + seq * DAY, value=1.0))
    active, bought = after.patterns.active, after.patterns.bought
    assert (active.days, active.last - active.first) == (4, 7)
    assert (bought.days, bought.last - bought.first, bought.opening, bought.again) == (2, 3, 8.0, 12.0)


def test_an_evening_across_midnight_in_utc_is_one_day_where_the_person_lives() -> None:
    late = instant("2026-11-23T23:30:00Z")
    at_home = profile().after(row(1, "clicked", late, zone_offset=-300)).after(row(2, "clicked", late + HOUR, zone_offset=-300))
    assert at_home.patterns.active.days == 1


def test_a_discarded_send_leaves_no_weight() -> None:
    after = profile().after(row(1, "decided")).after(row(2, "discarded"))
    assert after.patterns.sent_on("email") == 0.0
    assert after.patterns.sends == 0


def test_an_inactive_decision_counts_once_it_is_activated() -> None:
    waiting = profile().after(row(1, "decided", active=False))
    assert waiting.patterns.sends == 0
    assert waiting.after(row(2, "activated")).patterns.sends == 1


def test_the_load_counts_live_sends_of_a_half_open_week_whatever_their_order() -> None:
    busy = profile()
    for seq, days in enumerate((1, 8, 7, 0, 3), 1):
        busy = busy.after(row(seq, "decided", NOW - days * DAY))
    assert busy.patterns.recent == tuple(NOW - days * DAY for days in (8, 7, 3, 1, 0))
    assert busy.patterns.load(NOW) == 3
    assert busy.patterns.load(NOW, 30 * DAY) == 4
    discarded = busy.after(row(6, "discarded", NOW - 3 * DAY)).after(row(7, "discarded", NOW - 4 * DAY))
    assert discarded.patterns.load(NOW) == 2


def test_two_sends_of_one_instant_are_two() -> None:
    twice = profile().after(row(1, "decided")).after(row(2, "decided"))
    assert twice.patterns.load(NOW + 1) == 2
    assert twice.after(row(3, "discarded")).patterns.load(NOW + 1) == 1


def test_the_newest_sends_are_remembered_and_no_more() -> None:
    busy = profile()
    for seq in range(100, 0, -1):
        busy = busy.after(row(seq, "decided", NOW + seq * HOUR))
    assert busy.patterns.recent == tuple(NOW + seq * HOUR for seq in range(101 - RECENT_SENDS, 101))
    assert busy.after(row(101, "decided", NOW)).patterns.recent == busy.patterns.recent


def test_suppressed_and_inactive_decisions_are_no_load() -> None:
    assert profile().after(row(1, "decided", channel=None)).after(row(2, "decided", active=False)).patterns.recent == ()


def test_an_hour_of_engagement_is_one_occasion_in_whatever_order_it_comes() -> None:
    rows = [row(k, "opened" if k % 2 else "clicked", NOW - 40 * MINUTE * (k * 37 % 100)) for k in range(1, 100)]
    one = other = profile()
    for forward, backward in zip(rows, reversed(rows), strict=True):
        one, other = one.after(forward), other.after(backward)
    assert one.patterns.occasions == other.patterns.occasions
    assert one.patterns.occasions == tuple(sorted({entry.at // HOUR for entry in rows}))[-RECENT_OCCASIONS:]


def test_what_is_no_engagement_is_no_occasion() -> None:
    after = profile().after(row(1, "delivered")).after(row(2, "rewarded", value=1.0)).after(row(3, "decided"))
    assert after.patterns.occasions == ()


def test_patterns_stored_before_a_field_was_known_stay_readable() -> None:
    old = msgspec.to_builtins(profile().after(row(1, "decided")).patterns)
    del old["recent"], old["occasions"], old["active"], old["bought"]
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=Patterns)
    assert (read.sends, read.recent, read.occasions, read.active, read.bought) == (1, (), (), DayBook(), DayBook())


def test_after_does_not_alter_the_profile_it_is_asked_of() -> None:
    before = profile().after(row(1, "clicked"))
    copy = replace(before)
    before.after(row(2, "clicked"))
    assert before == copy


def test_rows_without_behaviour_change_nothing() -> None:
    before = profile()
    assert before.after(row(9, "config_changed")) is before


def test_triggers_are_due_when_a_row_sets_them_off() -> None:
    assert profile().due_triggers() == ()
    after = profile().after(row(1, "clicked"))
    assert PersonalizationTrigger.USER_INTERACTION in after.due_triggers()
    assert PersonalizationTrigger.PREDICTIVE_SIGNAL in profile().after(row(1, "unsubscribed")).due_triggers()
    busy = profile()
    for seq in range(1, 12):
        busy = busy.after(row(seq, "clicked", NOW + seq * HOUR))
    assert {PersonalizationTrigger.BEHAVIORAL_PATTERN, PersonalizationTrigger.ENGAGEMENT_THRESHOLD} <= set(busy.due_triggers())


def test_what_was_not_said_of_consent_is_the_default() -> None:
    said = replace(profile(), consent=Consent(marketing=False))
    assert said.allows("marketing", True) is False
    assert said.allows("learning", True) is True
    assert said.allows("learning", False) is False
