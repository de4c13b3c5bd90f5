from personalization.clock import DAY, HOUR, MINUTE, instant, rfc3339, zone
from personalization.deciding.slots import next_open, slots_of
from personalization.tenant import QuietHours

NIGHT = (QuietHours(22 * 60, 7 * 60),)


def times(name: str, start: str, length: int, quiet: tuple[QuietHours, ...] = ()) -> list[str]:
    slots = slots_of(zone(name), instant(start), instant(start) + length, quiet)
    return [rfc3339(slots.at(k), zone(name)) for k in range(len(slots.hours)) if slots.open >> k & 1]


def test_slots_are_now_and_every_full_local_hour_of_a_half_open_window() -> None:
    assert times("Europe/London", "2026-11-23T10:20:00Z", 2 * HOUR) == [
        "2026-11-23T10:20:00Z",
        "2026-11-23T11:00:00Z",
        "2026-11-23T12:00:00Z",
    ]
    assert times("UTC", "2026-11-23T10:00:00Z", HOUR) == ["2026-11-23T10:00:00Z"]


def test_zones_off_the_hour_have_their_own_full_hours() -> None:
    assert times("Asia/Kolkata", "2026-11-23T10:00:00Z", HOUR) == ["2026-11-23T15:30:00+05:30", "2026-11-23T16:00:00+05:30"]


def test_quiet_hours_take_slots_out_over_midnight() -> None:
    open_ = times("Europe/Berlin", "2026-11-23T20:30:00Z", 12 * HOUR, NIGHT)
    assert open_ == [
        "2026-11-23T21:30:00+01:00",
        "2026-11-24T07:00:00+01:00",
        "2026-11-24T08:00:00+01:00",
        "2026-11-24T09:00:00+01:00",
    ]


def test_a_spring_night_skips_the_hour_that_does_not_exist() -> None:
    hours = times("Europe/Berlin", "2026-03-29T00:00:00Z", 3 * HOUR)
    assert hours == ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"]


def test_an_autumn_night_has_one_hour_twice() -> None:
    hours = times("Europe/Berlin", "2026-10-25T00:00:00Z", 3 * HOUR)
    assert hours == ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"]


def test_a_long_window_offers_its_first_week() -> None:
    assert len(times("UTC", "2026-11-23T10:00:00Z", 60 * DAY)) == 169


def test_the_next_open_time_is_when_quiet_hours_end() -> None:
    at = next_open(zone("Europe/Berlin"), instant("2026-11-23T23:17:00Z"), NIGHT)
    assert at is not None
    assert rfc3339(at, zone("Europe/Berlin")) == "2026-11-24T07:00:00+01:00"
    assert next_open(zone("UTC"), 17 * MINUTE, (QuietHours(0, 0),)) is None
