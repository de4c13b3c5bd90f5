"""The decision loop end to end, the same on every store: decide, engage, learn, decide better, and replay."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from personalization.bootstrap import House, build_house
from personalization.clock import DAY, HOUR, SECOND, ManualClock, instant
from personalization.errors import Conflict, KeyReused, MissingVariables, NotFound
from personalization.messages import EngagementEvent, PersonalizationRequest
from personalization.operations.rebuilding import rebuild
from personalization.service import PersonalizationService
from personalization.settings import DEVELOPMENT, Settings
from personalization.storage.base import Storage
from personalization.template import Variant
from personalization.vocabulary import EventType, PersonalizationTrigger
from tests.following import follow

NOW = instant("2026-11-23T10:00:00Z")
OFFER = {
    "template_id": "offer",
    "channels": ["email"],
    "variants": [
        {
            "variant_id": name,
            "features": {"tone": tone},
            "content": {"en": {"subject": f"{name} {{{{ user.first_name | default: 'you' }}}}"}},
        }
        for name, tone in (("a", "warm"), ("b", "dry"), ("c", "urgent"))
    ],
}


@pytest.fixture
def service(house: House) -> PersonalizationService:
    service = house.service("acme")
    service.create_template(OFFER)
    return service


def ask(user_id: str | None = "u1", **fields: object) -> PersonalizationRequest:
    wanted = {"template_id": "offer", "require_real_time": True, **fields}
    return PersonalizationRequest(tenant_id="acme", user_id=user_id, **wanted)  # type: ignore[arg-type]


def event(event_id: str, type_: EventType, user_id: str, at: int, **fields: object) -> EngagementEvent:
    return EngagementEvent(event_id=event_id, type=type_, user_id=user_id, occurred_at=at, **fields)  # type: ignore[arg-type]


def test_the_next_decisions_are_better(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    for round_ in range(40):
        answers = service.personalize_many([ask(f"u{round_}-{i}") for i in range(20)])
        events = []
        for i, answer in enumerate(answers):
            document = answer.document  # type: ignore[union-attr]
            if document["variant_id"] == "b" or (document["variant_id"] == "c" and i % 4 == 0):
                user, decision = document["user_id"], document["decision_id"]
                events.append(event(f"{round_}-{i}", EventType.CLICKED, user, clock.now(), decision_id=decision))
        service.record(events)
        clock.advance(SECOND)
        follow(house)
    chosen = Counter(a.document["variant_id"] for a in service.personalize_many([ask(f"new{i}") for i in range(200)]))  # type: ignore[union-attr]
    assert chosen["b"] > 170
    learned = service.model("variants:offer")
    assert learned["performance_metrics"]["decisions"] == 800


def test_learning_shows_in_decisions_within_a_second(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    first = service.personalize(ask()).document
    follow(house)
    service.record([event("e", EventType.CLICKED, "u1", clock.now(), decision_id=first["decision_id"])])
    clock.advance(SECOND)
    follow(house)
    second = service.personalize(ask("u2", explain=True)).document
    assert int(second["policy"]["version"]) > int(first["policy"]["version"])
    assert second["explanation"]["contributions"][0]["effect"] > 0.0


def test_a_decision_fetched_again_is_the_same_and_replays(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    service.put_profile(
        "u1", {"attributes": {"first_name": "Ada"}, "timezone": "Asia/Tokyo", "channel_preferences": {"email": 0.7}}
    )
    asked = [
        ask(require_real_time=False, explain=True, context={"device": "phone"}),
        ask(template_id=None, content={"text": "Hi {{ user.first_name }} from {{ city }}"}, context={"city": "Ur"}),
        ask(
            template_id=None,
            variants=(
                Variant(variant_id="x", content={"und": {"text": "1"}}),
                Variant(variant_id="y", content={"en": {"text": "2"}}),
            ),
        ),
        ask(None),
        ask(render=False),
    ]
    answers = [service.personalize(one).document for one in asked]
    service.put_profile("u1", {"attributes": {"first_name": "Bob"}})
    clock.advance(DAY)
    follow(house)
    for answer in answers:
        again = service.decision(answer["decision_id"], replay=True)
        assert {name: again[name] for name in answer} == answer
        assert again["replay"] == {"identical": True, "differences": [], "reason": None}
        assert len(again["inputs_digest"]) == 32
    assert answers[1]["personalized_content"] == {"text": "Hi Ada from Ur"}


def test_a_suppressed_decision_is_recorded_too(service: PersonalizationService) -> None:
    service.put_consent("u1", {"marketing": False})
    answer = service.personalize(ask(explain=True)).document
    assert answer["action"] == "suppress"
    assert answer["suppression"] == {"reason": "no_consent", "retry_at": None}
    assert answer["personalized_content"] is None
    assert answer["optimal_channels"] == []
    again = service.decision(answer["decision_id"], replay=True)
    assert {name: again[name] for name in answer} == answer
    assert again["replay"]["identical"] is True


def test_an_unsubscribe_closes_its_channel_for_promotions_at_once(service: PersonalizationService, clock: ManualClock) -> None:
    answer = service.personalize(ask()).document
    service.record([event("e", EventType.UNSUBSCRIBED, "u1", clock.now(), decision_id=answer["decision_id"])])
    assert service.consent("u1")["marketing_channels"] == {"email": False}
    assert service.personalize(ask()).document["suppression"]["reason"] == "no_consent"
    assert service.personalize(ask(category="transactional")).document["action"] == "send"
    assert [row["source"] for row in service.consent("u1")["history"]][-1] == "event:unsubscribed"


def test_a_hard_bounce_makes_the_channel_unreachable_and_a_soft_one_does_not(
    service: PersonalizationService, clock: ManualClock
) -> None:
    service.record([event("soft", EventType.BOUNCED, "u1", clock.now(), channel="email", metadata={"bounce": "soft"})])
    assert service.personalize(ask()).document["action"] == "send"
    service.record([event("hard", EventType.BOUNCED, "u1", clock.now(), channel="email")])
    assert service.personalize(ask()).document["suppression"]["reason"] == "unreachable"


def test_fifty_parallel_calls_under_a_cap_of_one_give_one_send(service: PersonalizationService) -> None:
    service.patch_config({"frequency_caps": [{"limit": 1, "period": "P1D"}]})
    with ThreadPoolExecutor(40) as pool:
        documents = [one.document for one in pool.map(lambda _: service.personalize(ask()), range(50))]
    assert Counter(d["action"] for d in documents) == {"send": 1, "suppress": 49}
    assert {d["suppression"]["reason"] for d in documents if d["suppression"]} == {"frequency_capped"}
    assert all(d["suppression"]["retry_at"] == "2026-11-24T10:00:00Z" for d in documents if d["suppression"])


def test_a_cap_also_holds_inside_one_batch_and_a_discarded_send_gives_its_place_back(service: PersonalizationService) -> None:
    service.patch_config({"frequency_caps": [{"limit": 2, "period": "P1D"}]})
    documents = [a.document for a in service.personalize_many([ask() for _ in range(5)])]  # type: ignore[union-attr]
    sent = [d["decision_id"] for d in documents if d["action"] == "send"]
    assert len(sent) == 2
    service.discard(sent[0])
    assert service.personalize(ask()).document["action"] == "send"


def test_a_repeated_decision_id_answers_the_recorded_decision(service: PersonalizationService, clock: ManualClock) -> None:
    first = service.personalize(ask(decision_id="mine"))
    clock.advance(HOUR)
    again = service.personalize(ask(decision_id="mine"))
    assert (first.created, again.created) == (True, False)
    assert again.document == first.document
    with pytest.raises(Conflict):
        service.personalize(ask("another", decision_id="mine"))
    keyed = service.personalize(ask(idempotency_key="k")).document
    assert service.personalize(ask(idempotency_key="k")).document["decision_id"] == keyed["decision_id"]
    with pytest.raises(KeyReused):
        service.personalize(ask("another", idempotency_key="k"))


def test_a_holdout_measures_and_never_trains(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    service.patch_config({"holdout": 1.0})
    answer = service.personalize(ask()).document
    assert answer["policy"]["mode"] == "holdout"
    assert answer["variant_id"] == "a"
    assert answer["propensity"]["joint"] == 1.0
    assert "shadow" in answer
    service.record([event("e", EventType.CLICKED, "u1", clock.now(), decision_id=answer["decision_id"])])
    clock.advance(SECOND)
    follow(house)
    assert service.models(10, None)["items"] == []
    assert service.overview(None, None, None)["lift"]["holdout_users"] == 1


def test_inactive_decisions_wait_for_activation(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    kept, dropped = (service.personalize(ask(f"u{i}", activate=False)).document["decision_id"] for i in range(2))
    clock.advance(SECOND)
    follow(house)
    assert service.models(10, None)["items"] == []
    assert service.activate(kept)["status"] == "active"
    assert service.discard(dropped)["status"] == "discarded"
    with pytest.raises(Conflict):
        service.activate(dropped)
    clock.advance(SECOND)
    follow(house)
    assert service.model("variants:offer")["performance_metrics"]["decisions"] == 1


def test_events_may_cite_only_our_decisions_of_that_user(service: PersonalizationService, clock: ManualClock) -> None:
    decision_id = service.personalize(ask()).document["decision_id"]
    receipt = service.record(
        [
            event("1", EventType.CLICKED, "u1", clock.now(), decision_id="none"),
            event("2", EventType.CLICKED, "u2", clock.now(), decision_id=decision_id),
            event("3", EventType.CLICKED, "u1", clock.now() - HOUR, decision_id=decision_id),
            event("4", EventType.CLICKED, "u1", clock.now() + HOUR),
            event("5", EventType.CLICKED, "u1", clock.now() - 401 * DAY),
            event("6", EventType.CLICKED, "u1", clock.now(), decision_id=decision_id),
            event("6", EventType.CLICKED, "u1", clock.now(), decision_id=decision_id),
            event("6", EventType.OPENED, "u1", clock.now(), decision_id=decision_id),
        ]
    )
    assert (receipt.accepted, receipt.duplicates) == (1, 1)
    assert [index for index, _ in receipt.rejected] == [0, 1, 2, 3, 4, 7]
    assert receipt.rejected[-1][1][0].message.startswith("conflict")


def test_a_decision_makes_a_pseudonym_and_an_event_a_bare_profile(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    answer = service.personalize(ask("new")).document
    assert answer["policy"]["profile"] == "unknown"
    follow(house)
    with pytest.raises(NotFound):
        service.profile("new")
    service.record([event("e", EventType.OPENED, "new", clock.now())])
    follow(house)
    assert service.profile("new")["behavioral_patterns"]["interaction_patterns"]["events"] == 1
    assert service.profile("new")["behavioral_patterns"]["interaction_patterns"]["sends"] == 1


def test_behaviour_before_the_profile_counts_once_it_is_declared(house: House, service: PersonalizationService) -> None:
    service.personalize(ask("later"))
    follow(house)
    document, created = service.put_profile("later", {"language": "de"})
    assert created
    assert document["behavioral_patterns"]["interaction_patterns"]["sends"] == 1
    assert document["metadata"]["version"] == 1


def test_state_rebuilt_from_the_log_is_the_live_state(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    service.put_profile("u1", {"timezone": "Europe/Berlin"})
    for i in range(60):
        answer = service.personalize(ask(f"u{i % 7}", activate=i % 5 != 0)).document
        kinds = (EventType.OPENED, EventType.CLICKED, EventType.CONVERTED, EventType.REWARDED)
        service.record(
            [event(f"e{i}", kinds[i % 4], answer["user_id"], clock.now(), decision_id=answer["decision_id"], value=float(i))]
        )
        if i % 5 == 0:
            (service.activate if i % 2 else service.discard)(answer["decision_id"])
        clock.advance(SECOND)
        if i % 3 == 0:
            follow(house)
    clock.advance(2 * DAY)
    follow(house)
    house.learner.save()
    check = rebuild(house.storage, "acme")
    assert check.identical
    assert check.seq == house.storage.log.heads()["acme"]


def test_a_second_house_on_the_store_goes_on_from_what_was_learned(
    storage: Storage, house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    for i in range(30):
        answer = service.personalize(ask(f"u{i}")).document
        service.record([event(f"e{i}", EventType.CLICKED, f"u{i}", clock.now(), decision_id=answer["decision_id"])])
    clock.advance(SECOND)
    follow(house)
    house.learner.save()
    other = build_house(Settings(app_env=DEVELOPMENT), clock, storage)
    other.book.refresh()
    assert other.service("acme").models(10, None) == service.models(10, None)
    assert other.learner.ledger("acme").digest() == house.learner.ledger("acme").digest()


def test_tenants_do_not_see_each_other(house: House, service: PersonalizationService) -> None:
    decision_id = service.personalize(ask()).document["decision_id"]
    service.put_profile("u1", {"language": "de"})
    twin = house.service("twin")
    for look in (
        lambda: twin.decision(decision_id),
        lambda: twin.profile("u1"),
        lambda: twin.template("offer"),
        lambda: twin.activate(decision_id),
    ):
        with pytest.raises(NotFound):
            look()
    assert twin.overview(None, None, None)["decisions"] == 0
    assert twin.templates(10, None)["items"] == []


def test_the_wait_ends_at_its_time_and_later_events_count_as_uncited(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    answer = service.personalize(ask()).document
    clock.advance(25 * HOUR)
    follow(house)
    service.record([event("late", EventType.CLICKED, "u1", clock.now(), decision_id=answer["decision_id"])])
    clock.advance(SECOND)
    follow(house)
    assert service.model("variants:offer")["performance_metrics"]["rates"] == {}
    assert service.user_insights("u1")["behavioral_patterns"]["interaction_patterns"]["events"] == 1


def test_a_missing_variable_is_named_and_nothing_is_recorded(house: House, service: PersonalizationService) -> None:
    with pytest.raises(MissingVariables) as error:
        service.personalize(ask(template_id=None, content={"text": "{{ city }}"}))
    assert error.value.names == ("city",)
    assert service.overview(None, None, None)["decisions"] == 0


def test_the_timeline_tells_what_happened_newest_first(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    service.put_profile("u1", {"language": "en"})
    answer = service.personalize(ask()).document
    service.record([event("e", EventType.CLICKED, "u1", clock.now(), decision_id=answer["decision_id"])])
    service.put_consent("u1", {"marketing": True})
    kinds = [row["kind"] for row in service.timeline("u1", 50, None)["items"]]
    assert sorted(kinds) == sorted(["consent", "profile", "event", "decision", "profile"])
    page = service.timeline("u1", 2, None)
    rest = service.timeline("u1", 50, page["next_cursor"])
    assert page["items"] + rest["items"] == service.timeline("u1", 50, None)["items"]


def test_hooks_listen_and_a_failing_one_fails_nothing(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    heard: list[str] = []

    def broken(subject: object) -> None:
        heard.append("pre")
        raise RuntimeError("no")

    service.register_hook("pre_personalization", broken)
    service.register_hook("post_personalization", lambda document: heard.append(document["action"]))
    service.register_hook("profile_updated", lambda change: heard.append(change["triggers"]))
    service.register_hook("quality_threshold_failed", lambda document: heard.append("quality"))
    service.update_user_preferences("u1", {"language": "de"}, PersonalizationTrigger.CONTEXT_SHIFT)
    service.personalize(ask(min_quality_score=1.0))
    assert heard == [["context_shift"], "pre", "quality", "send"]
    service.record([event("e", EventType.CLICKED, "u1", clock.now())])
    follow(house)
    assert "user_interaction" in heard[-1]
