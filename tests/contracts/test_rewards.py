"""Success metrics and guardrails through the whole loop, the same on every store."""

from __future__ import annotations

from typing import Any

import pytest

from personalization.bootstrap import House
from personalization.clock import DAY, HOUR, SECOND, ManualClock
from personalization.errors import Invalid, NotFound
from personalization.messages import EngagementEvent, PersonalizationRequest
from personalization.operations.learner import LEARNER
from personalization.operations.rebuilding import rebuild
from personalization.service import PersonalizationService
from personalization.vocabulary import EventType
from tests.following import follow

OFFER: dict[str, Any] = {
    "template_id": "offer",
    "channels": ["email"],
    "variants": [{"variant_id": name, "content": {"en": {"text": f"variant {name}"}}} for name in "ab"],
}


@pytest.fixture
def service(house: House) -> PersonalizationService:
    return house.service("acme")


def asked(user_id: str, **fields: Any) -> PersonalizationRequest:
    return PersonalizationRequest(
        tenant_id="acme", user_id=user_id, **{"template_id": "offer", "require_real_time": True, "render": False, **fields}
    )


def happened(decision: dict[str, Any], type_: EventType, at: int, **fields: Any) -> EngagementEvent:
    return EngagementEvent(
        event_id=f"{type_}-{decision['decision_id']}-{fields}",
        type=type_,
        user_id=decision["user_id"],
        occurred_at=at,
        decision_id=decision["decision_id"],
        **fields,
    )


def reward(house: House, decision: dict[str, Any]) -> float:
    follow(house)
    ledger = house.learner.ledger("acme")
    return ledger.open[ledger.by_id[decision["decision_id"]]].reward


def checked(house: House) -> bool:
    """Whether the log's rows alone make the same ledger again."""
    house.learner.save()
    assert house.storage.checkpoints.load("acme", LEARNER)
    return rebuild(house.storage, "acme").identical


def test_a_decision_is_judged_by_the_template_version_it_was_made_with(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    service.create_template({**OFFER, "reward": {"weights": {"opened": 3, "clicked": None}}})
    old = dict(service.personalize(asked("u1")).document)
    service.put_template("offer", OFFER)
    new = dict(service.personalize(asked("u2")).document)
    clock.advance(SECOND)
    for one in (old, new):
        service.record([happened(one, EventType.OPENED, clock.now()), happened(one, EventType.CLICKED, clock.now())])
    assert (reward(house, old), reward(house, new)) == (3.0, 1.0)
    assert checked(house)


def test_what_the_template_leaves_out_is_the_tenants_of_the_time(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    service.create_template({**OFFER, "reward": {"weights": {"opened": 3}}})
    before = dict(service.personalize(asked("u1")).document)
    service.patch_config({"reward": {"weights": {"clicked": 2}}})
    after = dict(service.personalize(asked("u2")).document)
    clock.advance(SECOND)
    service.record([happened(one, EventType.CLICKED, clock.now()) for one in (before, after)])
    assert (reward(house, before), reward(house, after)) == (1.0, 2.0)


def test_a_templates_own_wait_lets_its_rewards_come_later(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    service.create_template({**OFFER, "reward": {"wait_time": "PT72H"}})
    service.create_template({**OFFER, "template_id": "flash", "reward": {"wait_time": "PT1H"}})
    slow, fast = (dict(service.personalize(asked("u1", template_id=name)).document) for name in ("offer", "flash"))
    clock.advance(48 * HOUR)
    follow(house)
    service.record([happened(one, EventType.CONVERTED, clock.now()) for one in (slow, fast)])
    assert reward(house, slow) == 5.0
    assert fast["decision_id"] not in house.learner.ledger("acme").by_id
    clock.advance(2 * DAY)
    follow(house)
    assert house.learner.ledger("acme").open == {}
    assert checked(house)


def test_a_deleted_templates_decisions_are_still_judged_its_way(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    service.create_template({**OFFER, "reward": {"weights": {"opened": 3}}})
    decision = dict(service.personalize(asked("u1")).document)
    service.delete_template("offer")
    clock.advance(SECOND)
    service.record([happened(decision, EventType.OPENED, clock.now())])
    assert reward(house, decision) == 3.0
    assert checked(house)


def test_revenue_counts_in_the_tenants_currency_only(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    service.create_template({**OFFER, "reward": {"weights": {"converted": {"per_value": 0.1, "weight": 1}}}})
    decisions = [dict(service.personalize(asked(f"u{i}")).document) for i in range(3)]
    clock.advance(SECOND)
    for decision, currency in zip(decisions, ("EUR", None, "USD"), strict=True):
        service.record([happened(decision, EventType.CONVERTED, clock.now(), value=30.0, currency=currency)])
    assert [reward(house, decision) for decision in decisions] == [4.0, 4.0, 1.0]


def test_a_weight_by_value_is_patched_like_everything_in_the_configuration(service: PersonalizationService) -> None:
    service.patch_config({"reward": {"weights": {"converted": {"per_value": 0.1, "weight": 1}}}})
    service.patch_config({"reward": {"weights": {"converted": {"per_value": 0.2}}, "guardrails": {"unsubscribed": 0.01}}})
    found = service.config()["reward"]
    assert found["weights"] == {"clicked": 1.0, "converted": {"per_value": 0.2, "weight": 1.0}, "unsubscribed": -5.0}
    assert found["guardrails"] == {"unsubscribed": 0.01}
    assert service.patch_config({"reward": {"guardrails": {"unsubscribed": None}}})["reward"]["guardrails"] == {}
    with pytest.raises(Invalid):
        service.patch_config({"reward": {"weights": {"clicked": {"weight": 1}}}})


def test_a_templates_reward_is_answered_as_it_was_said(service: PersonalizationService) -> None:
    said = {"weights": {"opened": 0.5, "clicked": None}, "wait_time": "P3D", "guardrails": {"complained": 0.001}}
    assert service.create_template({**OFFER, "reward": said})["reward"] == said
    assert service.put_template("offer", service.template("offer"))["reward"] == said
    assert service.put_template("offer", OFFER)["reward"] is None
    assert service.template("offer", 1)["reward"] == said


# -- guardrails ------------------------------------------------------------------------------------------------------


def lived(house: House, service: PersonalizationService, clock: ManualClock, leave: dict[str, int], rounds: int = 12) -> None:
    """Rounds of 40 new people: everybody clicks on "a"; of a variant every so manieth leaves."""
    sent = dict.fromkeys(leave, 0)
    for round_ in range(rounds):
        events = []
        for answer in service.personalize_many([asked(f"{round_}-{i}") for i in range(40)]):
            document: Any = answer.document  # type: ignore[union-attr]
            name = document["variant_id"]
            sent[name] += 1
            if name == "a":
                events.append(happened(document, EventType.CLICKED, clock.now()))
            if leave[name] and sent[name] % leave[name] == 0:
                events.append(happened(document, EventType.UNSUBSCRIBED, clock.now()))
        service.record(events)
        clock.advance(SECOND)
        follow(house)


def test_a_variant_that_drives_people_away_goes_out_no_more(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    service.create_template({**OFFER, "reward": {"weights": {"unsubscribed": None}, "guardrails": {"unsubscribed": 0.01}}})
    service.patch_config({"exploration": 0.3})
    lived(house, service, clock, {"a": 12, "b": 0})
    answer = dict(service.personalize(asked("new", explain=True)).document)
    assert answer["variant_id"] == "b"
    told = [c for c in answer["explanation"]["constraints"] if c["name"] == "guardrail"]
    assert [(c["variant_id"], c["event"], c["limit"], c["binding"]) for c in told] == [("a", "unsubscribed", 0.01, True)]
    assert told[0]["rate"] > 0.05
    assert "Bound by the guardrail on unsubscribed by variant a." in answer["explanation"]["summary"]
    again = service.decision(answer["decision_id"], replay=True)
    assert again["explanation"] == answer["explanation"]
    assert again["replay"] == {"identical": True, "differences": [], "reason": None}
    assert all(service.personalize(asked(f"n{i}")).document["variant_id"] == "b" for i in range(30))
    found = {one["variant_id"]: one for one in service.template_insights("offer")["variants"]}
    assert found["a"]["guardrails"][0]["over"]
    assert not found["b"]["guardrails"][0]["over"]
    assert found["a"]["rates"]["clicked"] == 1.0
    shown = service.model("variants:offer")["performance_metrics"]["guardrails"]
    assert [(one["variant_id"], one["over"]) for one in shown] == [("a", True), ("b", False)]
    assert checked(house)


def test_guardrails_are_changed_live(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    service.create_template({**OFFER, "reward": {"weights": {"unsubscribed": None}}})
    lived(house, service, clock, {"a": 12, "b": 0}, rounds=6)
    before = [service.personalize(asked(f"x{i}")).document["variant_id"] for i in range(20)]
    assert before.count("a") > 10
    service.patch_config({"reward": {"guardrails": {"unsubscribed": 0.01}}})
    assert {service.personalize(asked(f"y{i}")).document["variant_id"] for i in range(20)} == {"b"}
    service.patch_config({"reward": {"guardrails": {"unsubscribed": 0.5}}})
    assert service.personalize(asked("z", explain=True)).document["explanation"]["constraints"] == []


def test_when_every_variant_is_over_the_least_bad_goes_and_is_recommended_against(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    service.create_template({**OFFER, "reward": {"weights": {"unsubscribed": None}}})
    service.patch_config({"exploration": 0.5, "reward": {"guardrails": {"unsubscribed": 0.01}}})
    lived(house, service, clock, {"a": 10, "b": 3})
    answer = service.personalize(asked("new", explain=True)).document
    assert answer["action"] == "send"
    assert answer["variant_id"] == "a"
    assert any("guardrails" in sentence for sentence in answer["recommendations"])


def test_holdouts_stay_on_their_baseline(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    service.create_template({**OFFER, "reward": {"weights": {"unsubscribed": None}, "guardrails": {"unsubscribed": 0.01}}})
    lived(house, service, clock, {"a": 12, "b": 0}, rounds=6)
    service.patch_config({"holdout": 1.0})
    answer = service.personalize(asked("new", explain=True)).document
    assert (answer["policy"]["mode"], answer["variant_id"]) == ("holdout", "a")
    assert answer["shadow"]["variant_id"] == "b"


def test_a_template_nobody_was_sent_has_insights_too(service: PersonalizationService) -> None:
    service.create_template(OFFER)
    found = service.template_insights("offer")
    assert (found["sends"], found["model_version"]) == (0.0, "0")
    assert [one["variant_id"] for one in found["variants"]] == ["a", "b"]
    with pytest.raises(NotFound):
        service.template_insights("other")


def test_what_people_do_without_a_message_is_learned_and_holds_messages_back(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    """Regulars buy anyway, less often when they are written to; strangers only then."""
    service.create_template(OFFER)
    service.patch_config({"holdout_no_send": 0.3, "exploration": 0.1})
    for round_ in range(12):
        people = [asked(f"u{round_}-{i}", context={"regular": i % 2 == 0}) for i in range(80)]
        documents = [answer.document for answer in service.personalize_many(people)]  # type: ignore[union-attr]
        buys = []
        for i, document in enumerate(documents):
            sent = document["action"] == "send"
            if (i % 4 == 0 or not sent) if i % 2 == 0 else (i % 3 == 0 and sent):
                buys.append(happened(document, EventType.CONVERTED, clock.now()))
        service.record(buys)
        clock.advance(SECOND)
        follow(house)
    service.patch_config({"holdout_no_send": 0.0, "exploration": 0.0})
    for regular, action, reason in ((True, "suppress", "low_uplift"), (False, "send", None)):
        document = service.personalize(asked(f"new-{regular}", context={"regular": regular}, explain=True)).document
        assert document["action"] == action
        assert (document["suppression"] or {}).get("reason") == reason
        assert service.decision(document["decision_id"], replay=True)["replay"]["identical"]
    assert checked(house)
