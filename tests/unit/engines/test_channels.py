"""What the channels engine makes of a message's earlier sends and of bounces."""

from __future__ import annotations

from typing import Any

import pytest

from personalization.clock import DAY, HOUR, instant
from personalization.engines import channels
from personalization.messages import LogEntry, PersonalizationRequest
from personalization.profile import HALF_LIFE, PersonalizationProfile
from personalization.sent import message_key

NOW = instant("2026-11-23T10:00:00Z")
ADA = PersonalizationProfile(tenant_id="t", user_ref=b"a" * 16)


def asked(**fields: Any) -> PersonalizationRequest:
    return PersonalizationRequest(tenant_id="t", user_id="ada", **{"message_id": "m", **fields})


def after(*rows: tuple[str, int, str]) -> PersonalizationProfile:
    """type, when, channel; each by a decision of the channel's name."""
    profile = ADA
    for seq, (type_, at, channel) in enumerate(rows, 1):
        key = message_key(ADA.user_ref, "m") if type_ == "decided" else None
        profile = profile.after(
            LogEntry(seq=seq, type=type_, at=at, recorded_at=at, decision_id=channel, channel=channel, message=key, variant_id="b")
        )
    return profile


def test_a_message_nobody_sent_is_new() -> None:
    for profile in (ADA, after(("decided", NOW, "email"))):
        found = channels.read(profile, asked(message_id="other"), NOW)
        assert (found, found.parts) == (channels.NOT_SENT, ("message",))
    assert not channels.read(ADA, asked(message_id=None), NOW).taken
    assert not channels.read(None, asked(), NOW).taken


def test_unread_it_waits_and_is_then_due() -> None:
    sent = after(("decided", NOW, "email"))
    waiting = channels.read(sent, asked(), NOW + 4 * HOUR - 1)
    assert (waiting.duplicate, waiting.due_at, waiting.used) == (True, NOW + 4 * HOUR, ("email",))
    due = channels.read(sent, asked(), NOW + 4 * HOUR)
    assert (due.duplicate, due.variant_id, due.counted) == (False, "b", True)
    assert channels.read(sent, asked(escalate_after=HOUR), NOW + HOUR).duplicate is False


def test_it_waits_from_its_newest_slot_even_one_still_to_come() -> None:
    sent = after(("decided", NOW, "email"), ("decided", NOW + 9 * HOUR, "push"))
    found = channels.read(sent, asked(), NOW + 5 * HOUR)
    assert (found.duplicate, found.due_at, found.used) == (True, NOW + 13 * HOUR, ("email", "push"))


def test_read_once_it_is_a_duplicate_for_good() -> None:
    sent = after(("decided", NOW, "email"), ("decided", NOW + 4 * HOUR, "push"), ("clicked", NOW + 5 * HOUR, "email"))
    found = channels.read(sent, asked(), NOW + 20 * DAY)
    assert (found.duplicate, found.due_at) == (True, None)


def test_bounced_it_need_not_wait_and_has_no_place_under_the_caps() -> None:
    found = channels.read(after(("decided", NOW, "email"), ("bounced", NOW, "email")), asked(), NOW + 1)
    assert (found.duplicate, found.counted, found.used, found.variant_id) == (False, False, ("email",), "b")


def test_after_thirty_days_it_is_forgotten() -> None:
    sent = after(("decided", NOW, "email"), ("opened", NOW, "email"))
    assert channels.read(sent, asked(), NOW + 30 * DAY).duplicate
    assert channels.read(sent, asked(), NOW + 30 * DAY + 1) == channels.NOT_SENT


def bounced(n: int, of: int) -> PersonalizationProfile:
    rows = [("decided", NOW, "email")] * of + [("bounced", NOW, "email")] * n
    return after(*rows)


@pytest.mark.parametrize(("n", "of", "chance"), [(0, 10, 1.0), (1, 1, 0.8), (4, 4, 0.5), (5, 16, 0.75), (3, 0, 4 / 7)])
def test_every_bounce_lowers_the_channel(n: int, of: int, chance: float) -> None:
    assert channels.delivery(bounced(n, of), "email", NOW) == pytest.approx(chance)
    assert channels.delivery(bounced(n, of), "push", NOW) == 1.0


def test_bounces_are_forgiven_in_time() -> None:
    profile = bounced(4, 4)
    chances = [channels.delivery(profile, "email", NOW + k * HALF_LIFE) for k in range(8)]
    assert chances == sorted(chances)
    assert chances[-1] > 0.99
    assert channels.delivery(None, "email", NOW) == 1.0
