"""A tenant's log as cases that models are taught by, the same on every store: what was known then, and what came of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from personalization.bootstrap import House
from personalization.clock import DAY, HOUR, ManualClock
from personalization.messages import EngagementEvent, PersonalizationRequest
from personalization.models.base import Case, Examples
from personalization.operations.examples import examples
from personalization.service import PersonalizationService
from personalization.vocabulary import EventType
from tests.following import follow

OFFER = {
    "template_id": "offer",
    "channels": ["email"],
    "variants": [{"variant_id": v, "content": {"en": {"text": v}}} for v in "ab"],
}
MONTH = 28 * DAY


@pytest.fixture
def service(house: House) -> PersonalizationService:
    service = house.service("acme")
    service.create_template(OFFER)
    return service


def sent(service: PersonalizationService, user_id: str, **fields: Any) -> str:
    asked = {"template_id": "offer", "require_real_time": True, "render": False, **fields}
    return str(service.personalize(PersonalizationRequest(tenant_id="acme", user_id=user_id, **asked)).document["decision_id"])


def happened(service: PersonalizationService, clock: ManualClock, user_id: str, type_: EventType, **fields: Any) -> None:
    id_ = f"{user_id}-{type_}-{clock.now()}-{fields.get('decision_id')}"
    event = EngagementEvent(event_id=id_, type=type_, user_id=user_id, occurred_at=clock.now(), **fields)
    assert service.record([event]).accepted == 1


def sends(house: House, clock: ManualClock, **limits: int) -> Examples:
    return examples(house.storage, "acme", Case.SEND, clock.now(), **limits)


def people(house: House, clock: ManualClock, **limits: int) -> Examples:
    return examples(house.storage, "acme", Case.PERSON, clock.now(), **limits)


# -- sends -------------------------------------------------------------------------------------------------------------


def test_a_send_is_told_as_it_was_known_before_it(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    for round_ in range(2):
        decision = sent(service, "ada")
        clock.advance(HOUR)
        happened(service, clock, "ada", EventType.OPENED, decision_id=decision)
        if round_:
            happened(service, clock, "ada", EventType.UNSUBSCRIBED, decision_id=decision)
        clock.advance(2 * DAY)
    found = sends(house, clock)
    assert found.table["sends"] == pytest.approx([0.0, 0.95], abs=0.02)
    assert found.table["events"] == [0.0, 1.0]
    assert found.table["unsubscribed"] == pytest.approx([0.002, 0.002], abs=2e-4), "that was only said of the second send"
    assert found.outcomes["opened"].tolist() == found.outcomes["engaged"].tolist() == [1.0, 1.0]
    assert found.outcomes["unsubscribed"].tolist() == [0.0, 1.0]
    assert found.outcomes["clicked"].tolist() == found.outcomes["converted"].tolist() == [0.0, 0.0]
    assert found.people.tolist() == [0, 0]
    assert found.horizon == DAY


def test_a_send_counts_once_its_wait_is_over_and_events_only_until_then(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    decision = sent(service, "ada")
    clock.advance(DAY - HOUR)
    assert len(sends(house, clock)) == 0
    clock.advance(2 * HOUR)
    happened(service, clock, "ada", EventType.CLICKED, decision_id=decision)
    found = sends(house, clock)
    assert len(found) == 1
    assert found.outcomes["clicked"].tolist() == [0.0]


def test_what_did_not_go_out_is_no_case(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    service.discard(sent(service, "ada"))
    sent(service, "bob", activate=False)
    late = sent(service, "eve", activate=False)
    service.activate(late)
    sent(service, "kim")
    clock.advance(3 * DAY)
    assert len(sends(house, clock)) == 2


def test_messages_of_the_holdout_were_sent_like_any_other(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    service.patch_config({"holdout": 1.0})
    sent(service, "ada")
    clock.advance(3 * DAY)
    assert len(sends(house, clock)) == 1


def test_who_does_not_consent_to_learning_or_was_erased_teaches_nothing(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    for user_id in ("ada", "bob", "eve"):
        service.put_profile(user_id, {"traits": {"plan": "pro"}})
        sent(service, user_id)
    clock.advance(3 * DAY)
    assert len(sends(house, clock)) == 3
    service.put_consent("bob", {"learning": False})
    service.erase_user_data("eve")
    follow(house)
    assert len(sends(house, clock)) == 1


def test_only_the_newest_sends_are_kept_and_progress_is_told(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    for _ in range(5):
        sent(service, "ada")
        clock.advance(HOUR)
    clock.advance(3 * DAY)
    steps: list[tuple[int, int]] = []
    found = examples(house.storage, "acme", Case.SEND, clock.now(), lambda done, total: steps.append((done, total)), most=2)
    assert len(found) == 2
    assert found.table["sends_in_7_days"] == [3.0, 4.0]
    head = house.storage.log.heads()["acme"]
    assert steps[-1] == (head, head)


def test_a_sample_of_people_is_always_the_same(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    for n in range(12):
        service.put_profile(f"user{n}", {"traits": {"n": n}})
        sent(service, f"user{n}")
    clock.advance(3 * DAY)
    once, again = sends(house, clock, most=4), sends(house, clock, most=4)
    assert len(once) == 4
    assert len(set(once.table["trait:n"])) == 4
    assert once.table == again.table


def test_nothing_happened_is_no_cases(house: House, clock: ManualClock) -> None:
    for case in Case:
        found = examples(house.storage, "acme", case, clock.now())
        assert len(found) == 0


# -- what was declared -------------------------------------------------------------------------------------------------


def test_traits_are_those_of_then(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    """Of four sends three came after the profile was put; the one before is given what another one's person has."""
    for user_id in ("ada", "bob", "eve"):
        service.put_profile(user_id, {"traits": {"plan": "pro"}, "language": "en"})
    sent(service, "kim")
    clock.advance(HOUR)
    service.put_profile("kim", {"traits": {"plan": "free"}, "language": "de"})
    for user_id in ("ada", "bob", "eve"):
        sent(service, user_id)
    clock.advance(3 * DAY)
    found = sends(house, clock)
    assert found.table["trait:plan"] == ["pro"] * 4
    assert found.table["language"] == ["en"] * 4


def test_an_event_that_changes_a_profile_declares_nothing(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    """Or else everybody who unsubscribed would be known by the trait that is missing."""
    service.put_profile("ada", {"traits": {"plan": "pro"}})
    decision = sent(service, "ada")
    clock.advance(HOUR)
    happened(service, clock, "ada", EventType.UNSUBSCRIBED, decision_id=decision)
    clock.advance(3 * DAY)
    found = sends(house, clock)
    assert found.outcomes["unsubscribed"].tolist() == [1.0]
    assert found.table["trait:plan"] == ["pro"]


def test_traits_that_most_profiles_changed_since_are_left_out(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    for user_id in ("ada", "bob", "eve"):
        service.put_profile(user_id, {"traits": {"plan": "pro"}})
        sent(service, user_id)
    clock.advance(3 * DAY)
    for user_id in ("ada", "bob"):
        service.put_profile(user_id, {"traits": {"plan": "free"}})
    found = sends(house, clock)
    assert len(found) == 3
    assert "trait:plan" not in found.table


def test_a_trait_of_numbers_and_texts_is_text(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    for user_id, size in (("ada", 4), ("bob", "four"), ("eve", None)):
        service.put_profile(user_id, {"traits": {} if size is None else {"size": size}})
        sent(service, user_id)
    clock.advance(3 * DAY)
    assert set(sends(house, clock).table["trait:size"]) == {"4.0", "four", None}


# -- people ------------------------------------------------------------------------------------------------------------


def test_people_are_cut_a_horizon_apart(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    """Ada buys on two days of the second month and is gone in the third; Bob is heard of in the third alone."""
    happened(service, clock, "ada", EventType.CLICKED)
    clock.advance(MONTH)
    for _ in range(2):
        happened(service, clock, "ada", EventType.CONVERTED, value=30.0, currency="EUR")
        clock.advance(DAY)
    happened(service, clock, "ada", EventType.OPENED)
    clock.advance(MONTH)
    happened(service, clock, "bob", EventType.OPENED)
    clock.advance(MONTH - 2 * DAY)
    found = people(house, clock)
    assert found.horizon == MONTH
    assert np.diff(found.at).tolist() == [MONTH]
    assert found.table["events"] == [1.0, 4.0]
    assert found.outcomes["active_days"].tolist() == [3.0, 0.0]
    assert found.outcomes["purchases"].tolist() == [2.0, 0.0]
    assert found.outcomes["spend"].tolist() == [60.0, 0.0]
    assert found.outcomes["churned"].tolist() == [0.0, 1.0]


def test_nobody_leaves_who_was_not_there(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    happened(service, clock, "ada", EventType.OPENED)
    clock.advance(3 * MONTH)
    found = people(house, clock)
    assert found.outcomes["churned"].tolist()[0] == 1.0
    assert np.isnan(found.outcomes["churned"][1:]).all()


def test_history_that_comes_late_is_known_when_it_happened(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    """In any order of import."""
    for ago in (10, 130, 40, 70):
        event = EngagementEvent(
            event_id=f"{ago}", type=EventType.CLICKED, user_id="ada", occurred_at=clock.now() - ago * DAY, channel="email"
        )
        service.record([event], any_age=True)
    found = people(house, clock)
    assert found.table["events"] == [1.0, 1.0, 2.0, 3.0]
    assert found.outcomes["active_days"].tolist() == [0.0, 1.0, 1.0, 1.0]
    assert found.table["days_known"] == pytest.approx([18.0, 46.0, 74.0, 102.0])


def test_people_and_cuts_are_bounded_together(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    for n in range(10):
        happened(service, clock, f"user{n}", EventType.OPENED)
    clock.advance(2 * MONTH)
    found = people(house, clock, most=24)
    assert len(set(found.people.tolist())) == 4
