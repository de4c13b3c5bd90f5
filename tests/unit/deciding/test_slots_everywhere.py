"""Laws of slots over all the world's clocks: most zones there are, around the instants at which they change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from personalization.clock import DAY, HOUR, MINUTE, instant, utc_offset, zone
from personalization.deciding.slots import MOST_SLOTS, Slots, next_open, no_slots, slot_mask, slots_of
from personalization.tenant import QuietHours

#: Zones that did something unusual within the years tried: half an hour of summer time, a whole day left out, off the hour,
#: Ramadan without summer time, summer time at midnight or before it, a half-hour change of standard time.
UNUSUAL = (
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "Africa/Cairo",
    "America/Havana",
    "Asia/Beirut",
    "America/Scoresbysund",
    "Atlantic/Azores",
    "Asia/Pyongyang",
    "America/Caracas",
    "Antarctica/Troll",
    "Asia/Tehran",
    "Pacific/Kiritimati",
)
_ALL = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix/", "right/")))
ZONES = tuple(dict.fromkeys((*UNUSUAL, *_ALL[:: max(1, len(_ALL) // 110)])))
_FIRST, _LAST = instant("2007-01-01T00:00:00Z"), instant("2037-01-01T00:00:00Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def changes(name: str) -> tuple[int, ...]:
    """The instants, to the minute, at which the zone's clocks change."""
    place, weeks = zone(name), range(_FIRST, _LAST, 7 * DAY)
    return tuple(_change(place, at, at + 7 * DAY) for at in weeks if utc_offset(at, place) != utc_offset(at + 7 * DAY, place))


def _change(place: ZoneInfo, before: int, after: int) -> int:
    while after - before > MINUTE:
        middle = before + (after - before) // 2 // MINUTE * MINUTE
        before, after = (middle, after) if utc_offset(middle, place) == utc_offset(before, place) else (before, middle)
    return after


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, int]:
    """A zone and an instant, half of them within two days of a change of its clocks."""
    name = draw(st.sampled_from(ZONES))
    at = draw(st.integers(_FIRST, _LAST))
    near = draw(st.booleans()) and changes(name)
    if near:
        at = draw(st.sampled_from(near)) + draw(st.integers(-2 * DAY, 2 * DAY))
    return name, at - at % draw(st.sampled_from((1, MINUTE, 15 * MINUTE, HOUR)))


minutes = st.integers(0, 1439)
hours_off = st.lists(st.builds(QuietHours, minutes, minutes), max_size=2).map(tuple)
lengths = st.one_of(st.integers(1, 3 * HOUR), st.integers(1, 2 * DAY), st.integers(1, 20 * DAY))
laws = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def local(at: int, name: str) -> datetime:
    """The wall clock, by the standard library alone."""
    return (_EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(name))


def silent(at: int, name: str, quiet: tuple[QuietHours, ...]) -> bool:
    """Whether quiet hours hold, said differently: the minutes from the start are fewer than from start to end."""
    wall = local(at, name)
    minute = wall.hour * 60 + wall.minute
    return any((minute - q.start) % 1440 < ((q.end - q.start) % 1440 or 1440) for q in quiet)


def times(slots: Slots) -> list[int]:
    return [slots.at(k) for k in range(len(slots.hours))]


def is_open(slots: Slots, k: int) -> bool:
    return bool(slots.open >> k & 1)


def test_a_hundred_zones_are_tried_and_most_change_their_clocks() -> None:
    assert len(ZONES) >= 100
    assert sum(bool(changes(name)) for name in ZONES) >= 50


@laws
@given(moments(), lengths, hours_off)
def test_slots_lie_in_the_half_open_window_an_hour_apart_and_leave_no_gap(
    moment: tuple[str, int], length: int, quiet: tuple[QuietHours, ...]
) -> None:
    name, earliest = moment
    at = times(slots_of(zone(name), earliest, earliest + length, quiet))
    assert at[0] == earliest
    assert all(earliest <= t < earliest + length for t in at)
    assert 0 < (at[1] if len(at) > 1 else earliest + HOUR) - earliest <= HOUR
    assert {b - a for a, b in pairwise(at[1:])} <= {HOUR}
    assert len(at) == MOST_SLOTS or at[-1] + HOUR >= earliest + length


@laws
@given(moments(), lengths, hours_off)
def test_every_slot_is_named_and_opened_by_the_wall_clock(
    moment: tuple[str, int], length: int, quiet: tuple[QuietHours, ...]
) -> None:
    name, earliest = moment
    slots = slots_of(zone(name), earliest, earliest + length, quiet)
    assert slots.open >> len(slots.hours) == 0
    for k, at in enumerate(times(slots)):
        wall = local(at, name)
        assert slots.hours[k] == wall.weekday() * 24 + wall.hour
        assert is_open(slots, k) is not silent(at, name, quiet)
    assert int.from_bytes(slot_mask(slots.open), "little") == slots.open


@laws
@given(moments(), lengths)
def test_slots_after_the_first_are_full_local_hours_until_a_clock_moves_by_part_of_an_hour(
    moment: tuple[str, int], length: int
) -> None:
    name, earliest = moment
    before = utc_offset(earliest, zone(name))
    for at in times(slots_of(zone(name), earliest, earliest + length, ()))[1:]:
        if (utc_offset(at, zone(name)) - before) % HOUR:
            break
        wall = local(at, name)
        assert (wall.minute, wall.second, wall.microsecond) == (0, 0, 0)


@pytest.mark.parametrize("name", [name for name in ZONES if changes(name)])
def test_a_gap_leaves_an_hour_out_and_a_fold_offers_it_twice(name: str) -> None:
    place = zone(name)
    for change in changes(name)[-4:]:
        earliest = change - 3 * HOUR
        moved = utc_offset(change, place) - utc_offset(change - MINUTE, place)
        slots = slots_of(place, earliest, change + 3 * HOUR, ())
        hours = [slots.hours[k] for k in range(1, len(slots.hours))]
        jumps = [(b - a) % 168 for a, b in pairwise(hours)]
        assert sum(jumps) % 168 == (len(jumps) + moved // HOUR) % 168 or moved % HOUR
        assert set(jumps) <= {1, (1 + moved // HOUR) % 168, (1 - -moved // HOUR) % 168}


@laws
@given(moments(), hours_off)
def test_the_next_open_time_is_the_first_quarter_that_is_not_quiet(moment: tuple[str, int], quiet: tuple[QuietHours, ...]) -> None:
    name, after = moment
    found = next_open(zone(name), after, quiet)
    if found is None:
        assert all(silent(at, name, quiet) for at in _quarters(after, after + 8 * DAY, name))
        return
    assert after <= found < after + 8 * DAY
    assert not silent(found, name, quiet)
    assert found == after or local(found, name).minute % 15 == 0
    assert all(silent(at, name, quiet) for at in _quarters(after, found, name))


def _quarters(start: int, end: int, name: str) -> list[int]:
    """Every quarter of an hour of the wall clock in [start, end), and the start."""
    first = start - start % MINUTE + MINUTE
    return [start, *(at for at in range(first, end, MINUTE) if local(at, name).minute % 15 == 0)] if start < end else []


@laws
@given(moments(), minutes, lengths)
@example(("Europe/London", instant("2026-03-29T00:30:00Z")), 0, DAY)
def test_whole_days_of_quiet_leave_no_slot_and_no_next_time(moment: tuple[str, int], start: int, length: int) -> None:
    name, earliest = moment
    all_day = (QuietHours(start, start),)
    assert slots_of(zone(name), earliest, earliest + length, all_day).open == 0
    assert next_open(zone(name), earliest, all_day) is None
    halves = (QuietHours(start, (start + 700) % 1440), QuietHours((start + 700) % 1440, start))
    assert slots_of(zone(name), earliest, earliest + length, halves).open == 0
    assert next_open(zone(name), earliest, halves) is None


@laws
@given(moments(), st.integers(-DAY, 0))
def test_a_window_that_is_over_has_a_slot_that_is_closed(moment: tuple[str, int], length: int) -> None:
    name, earliest = moment
    assert no_slots(earliest).open == 0
    assert times(no_slots(earliest)) == [earliest]
    assert len(slots_of(zone(name), earliest, earliest + length, ()).hours) == 1


def test_an_hour_that_exists_only_in_the_gap_is_open_again_the_day_after() -> None:
    """Only 02:00 to 03:00 is allowed, and on that Sunday there is no such hour."""
    only_two = (QuietHours(3 * 60, 2 * 60),)
    assert slots_of(zone("Europe/Berlin"), instant("2026-03-29T00:00:00Z"), instant("2026-03-30T00:00:00Z"), only_two).open == 0
    assert next_open(zone("Europe/Berlin"), instant("2026-03-28T23:30:00Z"), only_two) == instant("2026-03-30T00:00:00Z")


def test_the_day_samoa_left_out_has_no_slots() -> None:
    slots = slots_of(zone("Pacific/Apia"), instant("2011-12-30T08:30:00Z"), instant("2011-12-30T12:30:00Z"), ())
    assert [local(at, "Pacific/Apia").day for at in times(slots)] == [29, 29, 31, 31, 31]
