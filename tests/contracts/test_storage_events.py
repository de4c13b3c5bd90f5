"""Events: the contract of storage/base.py, sentence by sentence, on every store."""

from __future__ import annotations

from personalization.clock import DAY
from personalization.messages import LogEntry
from personalization.profile import Consent
from personalization.storage.base import ACCEPTED, CONFLICT, DUPLICATE, ProfileChange, Reservation, Storage
from tests.conftest import NOW
from tests.contracts.conftest import ADA, BOB, PATTERNS, append, decision, event, profile, user, whole_log


def test_an_event_is_taken_once_for_ever(store: Storage) -> None:
    one, other_body = event(event_id="e", body=b"1"), event(event_id="e", body=b"2")
    assert store.log.append_events("acme", [one, one, other_body, event()], NOW) == [ACCEPTED, DUPLICATE, CONFLICT, ACCEPTED]
    assert store.log.append_events("acme", [other_body, one], NOW + 9) == [CONFLICT, DUPLICATE]
    assert store.log.append_events("twin", [other_body], NOW) == [ACCEPTED]
    assert store.log.heads() == {"acme": 2, "twin": 1}
    assert store.log.append_events("acme", [], NOW) == []


def test_an_event_comes_out_as_it_went_in(store: Storage) -> None:
    whole = event(
        type_="custom",
        user_ref=user(store),
        occurred_at=NOW - DAY,
        zone_offset=-90,
        decision_id="d",
        template_id="t",
        channel="sms",
        name="cart",
        value=1 / 3,
        currency="EUR",
        text="thank you",
        metadata={"a": [1]},
    )
    store.log.append_events("acme", [whole, event()], NOW)
    first, second = whole_log(store)
    assert first == LogEntry(
        seq=1,
        type="custom",
        at=NOW - DAY,
        recorded_at=NOW,
        user_ref=whole.user_ref,
        decision_id="d",
        template_id="t",
        channel="sms",
        name="cart",
        value=1 / 3,
        currency="EUR",
        zone_offset=-90,
    )
    assert second == LogEntry(seq=2, type="clicked", at=NOW, recorded_at=NOW, user_ref=ADA)


def test_an_event_makes_a_bare_profile_for_who_has_none(store: Storage) -> None:
    saved = store.profiles.save(profile(language="de"), "api", NOW)
    store.log.append_events("acme", [event(), event(user_ref=BOB), event(user_ref=BOB)], NOW + 5)
    assert store.profiles.load("acme", [ADA, BOB]) == {
        ADA: saved,
        BOB: profile(BOB, version=1, created_at=NOW + 5, updated_at=NOW + 5),
    }


def test_behaviour_is_kept_of_who_is_only_a_pseudonym(store: Storage) -> None:
    ada, bob = user(store), user(store, "bob")
    unsaid = store.profiles.load("acme", [ada])[ada]
    assert unsaid == profile(ada, version=0, created_at=NOW, updated_at=NOW)
    learned = [profile(ref, patterns=PATTERNS, learned_seq=1) for ref in (ada, bob)]
    assert store.profiles.project("acme", learned, seq=1, expected=0)

    saved = store.profiles.save(profile(ada, language="de"), "api", NOW + 1)
    assert (saved.version, saved.language, saved.patterns, saved.created_at) == (1, "de", PATTERNS, NOW)
    store.log.append_events("acme", [event(user_ref=bob), event(user_ref=ada)], NOW + 1)
    stored = store.profiles.load("acme", [ada, bob])
    assert stored[ada] == saved
    assert (stored[bob].version, stored[bob].patterns) == (1, PATTERNS)


def test_an_unsubscribe_withdraws_marketing_in_the_events_own_transaction(store: Storage) -> None:
    store.profiles.save(profile(consent=Consent(marketing=True)), "api", NOW)
    here, everywhere = (ProfileChange(user_ref=ADA, kind="withdraw_marketing", channel=c) for c in ("email", None))
    leaving = event("unsubscribed", change=here)
    assert store.log.append_events("acme", [leaving, event("complained", change=everywhere)], NOW + 1) == [ACCEPTED, ACCEPTED]

    stored = store.profiles.load("acme", [ADA])[ADA]
    first, second = (
        Consent(marketing=True, marketing_channels={"email": False}),
        Consent(marketing=False, marketing_channels={"email": False}),
    )
    assert (stored.version, stored.updated_at, stored.consent) == (3, NOW + 1, second)
    assert store.profiles.consents("acme", ADA)[1:] == [
        (NOW + 1, "event:unsubscribed", first),
        (NOW + 1, "event:complained", second),
    ]
    assert store.log.append_events("acme", [leaving, event("unsubscribed", change=here)], NOW + 2) == [DUPLICATE, ACCEPTED]
    assert store.profiles.load("acme", [ADA])[ADA].version == 3


def test_a_withdrawal_of_someone_unknown_is_kept_on_the_bare_profile(store: Storage) -> None:
    store.log.append_events("acme", [event("complained", change=ProfileChange(user_ref=ADA, kind="withdraw_marketing"))], NOW)
    assert store.profiles.load("acme", [ADA])[ADA].consent == Consent(marketing=False)


def test_a_conflicting_event_changes_nothing(store: Storage) -> None:
    store.log.append_events("acme", [event(event_id="e", body=b"1")], NOW)
    change = ProfileChange(user_ref=ADA, kind="withdraw_marketing")
    assert store.log.append_events("acme", [event(event_id="e", body=b"2", change=change)], NOW) == [CONFLICT]
    assert store.profiles.load("acme", [ADA])[ADA].consent == Consent()


def test_a_hard_bounce_makes_unreachable_and_releases_the_cited_reservation(store: Storage) -> None:
    sent = decision()
    append(store, sent, decision(slot_at=NOW + DAY))
    change = ProfileChange(user_ref=ADA, kind="unreachable", channel="email")
    store.log.append_events("acme", [event("bounced", decision_id=sent.decision_id, change=change, releases=True)], NOW)
    stored = store.profiles.load("acme", [ADA])[ADA]
    assert (stored.reachability, stored.version) == ({"email": False}, 2)
    assert store.profiles.consents("acme", ADA) == []
    assert store.log.reserved("acme", [ADA], 0, NOW + 9 * DAY) == {ADA: [Reservation(NOW + DAY, "email", "promotional")]}
