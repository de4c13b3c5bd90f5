"""People who leave, on every store: what they may see, what stays of them, and what must not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from personalization.bootstrap import House, build_house
from personalization.clock import DAY, SECOND, ManualClock
from personalization.errors import Erased, NotFound
from personalization.messages import EngagementEvent, LogEntry, PersonalizationRequest
from personalization.operations.erasing import Eraser, certificate_is_genuine, certificate_secret
from personalization.operations.rebuilding import rebuild
from personalization.profile import Consent, PersonalizationProfile
from personalization.rest.answering import encoded
from personalization.service import PersonalizationService
from personalization.settings import DEVELOPMENT, Settings
from personalization.storage.base import (
    ACCEPTED,
    CLAIMED,
    ERASE,
    GONE,
    RECORDED,
    REPEATED,
    RUNNING,
    NewDecision,
    NewEvent,
    Storage,
)
from personalization.vocabulary import EventType, LogType
from tests.conftest import NOW, Reopen
from tests.following import follow

OFFER = {
    "template_id": "offer",
    "channels": ["email"],
    "variants": [{"variant_id": v, "content": {"en": {"text": v + " {{ user.first_name | default: 'you' }}"}}} for v in "ab"],
}
ADA = {"attributes": {"first_name": "Ada"}, "traits": {"plan": "pro"}, "language": "en", "timezone": "Europe/London"}


@pytest.fixture
def service(house: House) -> PersonalizationService:
    service = house.service("acme")
    service.create_template(OFFER)
    return service


def ask(user_id: str | None, **fields: Any) -> PersonalizationRequest:
    return PersonalizationRequest(
        tenant_id="acme", user_id=user_id, **{"template_id": "offer", "require_real_time": True, **fields}
    )


def event(event_id: str, user_id: str, clock: ManualClock, type_: EventType = EventType.CLICKED, **fields: Any) -> EngagementEvent:
    return EngagementEvent(event_id=event_id, type=type_, user_id=user_id, occurred_at=clock.now(), **fields)


def live(service: PersonalizationService, house: House, clock: ManualClock, users: str, rounds: int = 3) -> dict[str, list[str]]:
    """Profiles, decisions and clicks of these people, learned from; their decision ids."""
    decided: dict[str, list[str]] = {user: [] for user in users}
    for user in users:
        service.put_profile(user, ADA)
        service.put_consent(user, {"marketing": True})
    for n in range(rounds):
        for user in users:
            answer = service.personalize(ask(user, context={"device": f"of-{user}"})).document
            decided[user].append(answer["decision_id"])
            about = {"decision_id": answer["decision_id"], "text": f"words of {user}", "metadata": {"n": n}}
            service.record([event(f"{user}{n}", user, clock, **about)])
        clock.advance(SECOND)
        follow(house)
    return decided


def gone(house: House, service: PersonalizationService, user: str) -> dict[str, Any]:
    """Erased, with the leader's part done."""
    begun = service.erase_user_data(user)
    assert begun["status"] == "pending"
    follow(house)
    return service.erasure(begun["erasure_id"])


# -- to see ------------------------------------------------------------------------------------------------------------


def test_consent_shows_its_history_newest_last(service: PersonalizationService, clock: ManualClock) -> None:
    service.put_consent("u", {"marketing": True})
    clock.advance(SECOND)
    service.put_consent("u", {"marketing": False})
    history = service.consent("u")["history"]
    assert [(row["at"], row["source"], row["consent"]["marketing"]) for row in history] == [
        ("2026-11-23T10:00:00Z", "api", True),
        ("2026-11-23T10:00:01Z", "api", False),
    ]


def test_an_export_holds_everything_with_words_and_explanations(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    decided = live(service, house, clock, "ab")
    inline = service.personalize(ask("a", template_id=None, content={"text": "{{ city }}"}, context={"city": "Ur"})).document
    found = service.export("a").document()
    assert set(found) == {"user_id", "profile", "decisions", "events", "consents", "experiments", "generated_at"}
    assert found["profile"] == service.profile("a")
    assert [d["decision_id"] for d in found["decisions"]] == [inline["decision_id"], *reversed(decided["a"])]
    assert all(d["explanation"]["summary"] for d in found["decisions"])
    assert found["decisions"][0]["personalized_content"] == {"text": "Ur"}
    clicks = [e for e in found["events"] if e["type"] == "clicked"]
    assert [(e["text"], e["metadata"]) for e in clicks] == [("words of a", {"n": n}) for n in (2, 1, 0)]
    assert found["consents"] == service.consent("a")["history"]
    told = {c["feature"].partition(" x ")[2] for c in found["decisions"][1]["explanation"]["contributions"]}
    assert {"trait:plan=pro", "language=en"} <= told
    assert json.loads(b"".join(service.export("a").chunks(encoded))) == json.loads(encoded(found))


def test_a_long_history_is_exported_page_by_page(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    service.record([event(f"e{n}", "u", clock, text=f"t{n}") for n in range(450)])
    chunks = service.export("u").chunks(encoded)
    sizes = [len(chunk) for chunk in chunks]
    assert max(sizes) < 2_000
    assert [e["text"] for e in service.export("u").document()["events"]] == [f"t{n}" for n in reversed(range(450))]


def test_somebody_known_by_behaviour_alone_is_exported_and_a_stranger_is_not(service: PersonalizationService) -> None:
    service.personalize(ask("seen"))
    assert len(service.export("seen").document()["decisions"]) == 1
    for stranger in (service.export, service.erase_user_data, service.anonymize_user_data, service.erasure):
        with pytest.raises(NotFound):
            stranger("stranger")


# -- to be forgotten -----------------------------------------------------------------------------------------------------


def test_an_erased_person_is_gone_from_every_answer(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    decided = live(service, house, clock, "ab")
    begun = service.erase_user_data("a")
    for look in (service.profile, service.consent, service.export, service.preferences, service.user_insights):
        with pytest.raises(NotFound):
            look("a")
    with pytest.raises(NotFound):
        service.timeline("a", 10, None)
    for decision_id in decided["a"]:
        for act in (service.decision, service.activate, service.discard):
            with pytest.raises(NotFound):
                act(decision_id)
    follow(house)
    assert service.erasure(begun["erasure_id"])["status"] == "completed"
    assert service.profile("b")["behavioral_patterns"]["interaction_patterns"]["events"] == 3
    assert all(service.decision(decision_id)["user_id"] == "b" for decision_id in decided["b"])


def test_the_certificate_counts_what_went_and_proves_itself(
    house: House, service: PersonalizationService, storage: Storage, clock: ManualClock
) -> None:
    live(service, house, clock, "ab")
    clock.advance(SECOND)
    found = gone(house, service, "a")
    certificate = found["certificate"]
    assert found["completed_at"] == certificate["completed_at"]
    swept = certificate["swept"]
    assert (swept["users"], swept["profiles"], swept["consents"], swept["decisions"]) == (1, 1, 1, 3)
    assert (swept["events"], swept["cited"]) == (6, 3)
    assert certificate["storage"] == "rewritten"
    assert certificate_is_genuine(certificate, certificate_secret(storage, "acme"))
    assert not certificate_is_genuine({**certificate, "completed_at": "2020-01-01T00:00:00Z"}, certificate_secret(storage, "acme"))
    assert not certificate_is_genuine(certificate, certificate_secret(storage, "twin"))


def test_the_log_keeps_its_numbers_and_the_learner_forgets(
    house: House, service: PersonalizationService, storage: Storage, clock: ManualClock
) -> None:
    live(service, house, clock, "ab")
    before = storage.log.read("acme", 0, 1_000)
    ours = [row.seq for row in before if row.user_ref == before[-1].user_ref]
    gone(house, service, "a")
    after = storage.log.read("acme", 0, 1_000)
    assert [row.seq for row in after] == list(range(1, len(after) + 1))
    assert [row for row in after if row.seq in ours] == [row for row in before if row.seq in ours]
    blanks = [row for row in after if row.type == LogType.BLANK]
    assert len(blanks) == 9
    assert all(msgspec.structs.replace(row, seq=0, at=0, recorded_at=0) == _BLANK for row in blanks)
    assert len(house.learner.ledger("acme").influence) == 1
    assert service.model("variants:offer")["performance_metrics"]["decisions"] == 3
    check = rebuild(storage, "acme")
    assert check.identical
    assert check.seq == storage.log.heads()["acme"]


_BLANK = LogEntry(seq=0, type=LogType.BLANK, at=0, recorded_at=0)


def test_what_only_they_taught_is_retired_and_what_others_taught_replays(
    house: House, service: PersonalizationService, storage: Storage, clock: ManualClock
) -> None:
    first = live(service, house, clock, "b")
    live(service, house, clock, "a", rounds=2)
    last = live(service, house, clock, "c")
    gone(house, service, "a")
    clock.advance(2 * DAY)
    follow(house)
    assert service.decision(first["b"][-1], replay=True)["replay"]["identical"] is True
    assert service.decision(last["c"][-1], replay=True)["replay"]["reason"] == "snapshot_retired"
    assert service.model("variants:offer")["performance_metrics"]["decisions"] == 6
    assert rebuild(storage, "acme").identical


def test_a_model_that_only_they_taught_knows_nothing_any_more(
    house: House, service: PersonalizationService, storage: Storage, clock: ManualClock
) -> None:
    live(service, house, clock, "a")
    gone(house, service, "a")
    assert service.model("variants:offer")["performance_metrics"]["decisions"] == 0
    assert [s.model_id for s in storage.snapshots.newest()] == ["variants:offer"]
    assert len(storage.privacy.snapshots("acme", "variants:offer", 2**62, 10)) == 1
    assert rebuild(storage, "acme").identical


def test_an_event_that_cited_an_anonymous_decision_is_unlearned(
    house: House, service: PersonalizationService, storage: Storage, clock: ManualClock
) -> None:
    anonymous = service.personalize(ask(None)).document["decision_id"]
    service.record([event("e", "a", clock, decision_id=anonymous)])
    clock.advance(SECOND)
    follow(house)
    assert service.model("variants:offer")["performance_metrics"]["rates"] == {"clicked": 1.0}
    gone(house, service, "a")
    assert service.model("variants:offer")["performance_metrics"]["rates"] == {}
    assert rebuild(storage, "acme").identical


def test_an_erased_id_is_answered_as_unknown_and_nothing_is_stored(
    house: House, service: PersonalizationService, storage: Storage, clock: ManualClock
) -> None:
    live(service, house, clock, "ab")
    gone(house, service, "a")
    head = storage.log.heads()["acme"]
    answer = service.personalize(ask("a", decision_id="mine", explain=True)).document
    assert (answer["user_id"], answer["action"], answer["variant_id"]) == ("a", "send", "a")
    assert (answer["policy"]["mode"], answer["policy"]["profile"]) == ("baseline", "unknown")
    assert answer["personalized_content"] == {"text": "a you"}
    both = [one.document for one in service.personalize_many([ask("a"), ask("b")])]  # type: ignore[union-attr]
    assert [one["policy"]["mode"] for one in both] == ["baseline", "online"]
    with pytest.raises(NotFound):
        service.decision("mine")
    receipt = service.record([event("late", "a", clock), event("fine", "b", clock)])
    assert receipt.accepted == 1
    assert [(index, errors[0].field, errors[0].message[:7]) for index, errors in receipt.rejected] == [(0, "user_id", "erased:")]
    assert storage.log.heads()["acme"] == head + 2
    assert storage.users.resolve("acme", ["a"], clock.now()) == {}


def test_only_a_put_of_the_profile_starts_afresh(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    live(service, house, clock, "a")
    first = gone(house, service, "a")
    for change in (
        lambda: service.patch_profile("a", {"language": "de"}),
        lambda: service.put_consent("a", {"marketing": True}),
        lambda: service.update_user_preferences("a", {"language": "de"}),
    ):
        with pytest.raises(Erased):
            change()
    bulk = service.put_profiles([("a", ADA), ("z", ADA)])
    assert [row["status"] for row in bulk] == [409, 201]
    assert bulk[0]["errors"][0]["message"].startswith("erased")
    document, created = service.put_profile("a", {"language": "de"})
    assert created
    assert document["behavioral_patterns"]["interaction_patterns"] == _NO_PATTERNS
    assert service.record([event("new", "a", clock)]).accepted == 1
    assert service.personalize(ask("a")).document["policy"]["mode"] == "online"
    assert service.consent("a")["history"] == []
    second = gone(house, service, "a")
    assert second["erasure_id"] != first["erasure_id"]
    assert second["certificate"]["swept"]["decisions"] == 1


_NO_PATTERNS = {
    "channels": {},
    "events": 0,
    "sends": 0,
    "frequency": 0.0,
    "monetary": 0.0,
    "last_event_at": None,
    "last_sent_at": None,
}


def test_erasing_twice_answers_the_same_erasure(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    service.put_profile("a", ADA)
    first, again = service.erase_user_data("a"), service.erase_user_data("a")
    assert first == again
    follow(house)
    assert service.erase_user_data("a") == {"erasure_id": first["erasure_id"], "status": "completed"}


def test_tenants_do_not_touch_each_others_people(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    twin = house.service("twin")
    service.put_profile("a", ADA)
    twin.put_profile("a", ADA)
    begun = twin.erase_user_data("a")
    follow(house)
    assert service.profile("a")["attributes"] == {"first_name": "Ada"}
    assert service.record([event("e", "a", clock)]).accepted == 1
    with pytest.raises(NotFound):
        service.erasure(begun["erasure_id"])
    service.put_profile("only-here", ADA)
    for act in (twin.export, twin.erase_user_data, twin.anonymize_user_data):
        with pytest.raises(NotFound):
            act("only-here")


# -- to become nobody ----------------------------------------------------------------------------------------------------


def test_an_anonymised_person_leaves_behaviour_and_a_free_id(
    house: House, service: PersonalizationService, storage: Storage, clock: ManualClock
) -> None:
    decided = live(service, house, clock, "ab")
    user_ref = storage.users.resolve("acme", ["a"], NOW)["a"]
    patterns = storage.profiles.load("acme", [user_ref])[user_ref].patterns
    assert service.anonymize_user_data("a") == {"status": "completed"}
    for look in (service.profile, service.export, service.consent, service.anonymize_user_data):
        with pytest.raises(NotFound):
            look("a")
    with pytest.raises(NotFound):
        service.decision(decided["a"][0])
    left = storage.profiles.load("acme", [user_ref])[user_ref]
    assert left == PersonalizationProfile(
        tenant_id="acme",
        user_ref=user_ref,
        created_at=left.created_at,
        updated_at=left.updated_at,
        patterns=patterns,
        learned_seq=left.learned_seq,
    )
    rows = storage.log.timeline("acme", user_ref, 100)
    assert sorted(row.type for row in rows if row.decision_id) == ["clicked"] * 3 + ["decided"] * 3
    assert not {row.decision_id for row in rows} & set(decided["a"])
    assert storage.privacy.words("acme", user_ref, [row.seq for row in rows]) == {}
    assert service.overview(None, None, None)["events"] == {"clicked": 6}
    follow(house)
    assert storage.privacy.pending() == []
    assert service.model("variants:offer")["performance_metrics"]["decisions"] == 6
    assert rebuild(storage, "acme").identical
    document, created = service.put_profile("a", {"language": "de"})
    assert created
    assert document["behavioral_patterns"]["interaction_patterns"] == _NO_PATTERNS
    assert service.record([event("next", "a", clock)]).accepted == 1
    assert rebuild(storage, "acme").identical


def test_an_anonymised_id_may_come_back_by_an_event(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    live(service, house, clock, "a")
    service.anonymize_user_data("a")
    assert service.record([event("next", "a", clock, text="hi")]).accepted == 1
    follow(house)
    assert service.profile("a")["behavioral_patterns"]["interaction_patterns"]["events"] == 1


# -- the store's own promises --------------------------------------------------------------------------------------------


def a_decision(user_ref: bytes, decision_id: str = "d", values: bytes | None = b"v") -> NewDecision:
    return NewDecision(
        decision_id=decision_id,
        user_ref=user_ref,
        decided_at=NOW,
        slot_at=None,
        action="suppress",
        mode="online",
        record=b"r",
        body=b"b",
        category="promotional",
        values=values,
    )


def an_event(user_ref: bytes, event_id: str = "e", text: str | None = "words") -> NewEvent:
    return NewEvent(event_id=event_id, type="clicked", user_ref=user_ref, occurred_at=NOW, body=b"b", text=text)


def test_nothing_can_be_stored_under_a_pseudonym_that_is_nobodys(storage: Storage) -> None:
    storage.tenants.create("acme", NOW)
    refs = storage.users.resolve("acme", ["a", "b"], NOW, create=True)
    storage.privacy.begin("acme", "a", ERASE, "x", NOW)
    for text in ("words", None):
        assert storage.log.append_events("acme", [an_event(refs["a"], "1", text), an_event(refs["b"], f"2{text}", text)], NOW) == [
            GONE,
            ACCEPTED,
        ]
    for values in (b"v", None):
        both = [a_decision(refs["a"], "d1", values), a_decision(refs["b"], f"d2{values!r}", values)]
        assert [one.status for one in storage.log.append_decisions("acme", both)] == [GONE, RECORDED]
    profile = PersonalizationProfile(
        tenant_id="acme", user_ref=refs["a"], attributes={"name": "Ada"}, consent=Consent(marketing=True)
    )
    assert storage.profiles.save_many([profile, msgspec.structs.replace(profile, attributes={})], "api", NOW) == [None, None]
    assert storage.profiles.load("acme", [refs["a"]]) == {}
    assert [row.type for row in storage.log.timeline("acme", refs["a"], 10)] in ([], [LogType.ERASED])


def test_another_process_with_an_old_memory_stores_nothing_either(reopen: Reopen) -> None:
    here, there = reopen(), reopen()
    here.tenants.create("acme", NOW)
    ref = there.users.resolve("acme", ["a"], NOW, create=True)["a"]
    assert there.log.append_events("acme", [an_event(ref)], NOW) == [ACCEPTED]
    known = there.profiles.load("acme", [ref])[ref]
    erasure = here.privacy.begin("acme", "a", ERASE, "x", NOW)
    assert there.users.reveal("acme", [ref]) == {ref: "a"}
    assert there.log.append_events("acme", [an_event(ref, "late")], NOW) == [GONE]
    assert there.log.append_decisions("acme", [a_decision(ref)])[0].status == GONE
    assert there.profiles.save_many([known], "api", NOW) == [None]
    assert there.users.reveal("acme", [ref]) == {}
    assert there.users.resolve("acme", ["a"], NOW, create=True) == {}
    while here.privacy.sweep(erasure, limit=1):
        pass
    assert [row.type for row in here.log.read("acme", 0, 10)] == [LogType.BLANK, LogType.ERASED]


def test_who_left_is_told_to_every_process_once(reopen: Reopen) -> None:
    here, there = reopen(), reopen()
    here.tenants.create("acme", NOW)
    refs = here.users.resolve("acme", ["a", "b"], NOW, create=True)
    assert there.privacy.departures({}) == {}
    here.privacy.begin("acme", "a", ERASE, "x", NOW)
    here.privacy.begin("acme", "b", ERASE, "y", NOW)
    newest, left = there.privacy.departures({})["acme"]
    assert left == [refs["b"], refs["a"]]
    assert there.privacy.departures({"acme": newest}) == {}
    assert there.privacy.departures({"acme": newest - 1})["acme"] == (newest, [refs["b"]])


def test_other_processes_forget_within_one_look(reopen: Reopen, clock: ManualClock) -> None:
    here, there = (build_house(Settings(app_env=DEVELOPMENT), clock, reopen()) for _ in range(2))
    here.storage.tenants.create("acme", NOW)
    here.service("acme").create_template(OFFER)
    here.service("acme").put_profile("a", ADA)
    there.service("acme").personalize(ask("a"))
    ref = there.storage.users.resolve("acme", ["a"], NOW)["a"]
    assert ("acme", ref) in there.profiles
    here.service("acme").erase_user_data("a")
    there.followers.step()
    assert ("acme", ref) not in there.profiles
    assert there.service("acme").personalize(ask("a")).document["policy"]["mode"] == "baseline"
    for house in (here, there):
        house.orchestrator.close()


def test_an_erasure_interrupted_at_any_step_is_finished_by_the_next_leader(
    storage: Storage, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.tenants.create("acme", clock.now())
    first = build_house(Settings(app_env=DEVELOPMENT), clock, storage)
    service = first.service("acme")
    service.create_template(OFFER)
    for n, step in enumerate(("_begun", "_adopt", "_finish")):
        user = f"a{n}"
        service.put_profile(user, ADA)
        live(service, first, clock, "b", rounds=1)
        about = {"decision_id": service.personalize(ask(user)).document["decision_id"]}
        service.record([event(user, user, clock, **about)])
        follow(first)
        erasure = storage.privacy.begin("acme", user, ERASE, f"x{n}", clock.now())
        storage.privacy.sweep(erasure, limit=1)
        with monkeypatch.context() as broken:
            broken.setattr(Eraser, step, _die)
            with pytest.raises(RuntimeError):
                follow(first)
        assert service.erasure(f"x{n}")["status"] == "pending"
        second = build_house(Settings(app_env=DEVELOPMENT), clock, storage)
        follow(second)
        assert second.service("acme").erasure(f"x{n}")["certificate"]["swept"]["decisions"] == 1
        assert rebuild(storage, "acme").identical
        first, service = second, second.service("acme")


def _die(*_: object) -> None:
    raise RuntimeError("killed")


def test_answers_kept_for_a_repeated_request_go_with_anybody_who_leaves(storage: Storage) -> None:
    """They may show anybody, so only the tenant's own are dropped, and one under way stays under way."""
    for tenant in ("acme", "twin"):
        storage.tenants.create(tenant, NOW)
        for key in ("answered", "under way"):
            storage.repeats.claim(tenant, key, b"{}", NOW, NOW - 1, NOW + DAY)
        storage.repeats.settle(tenant, "answered", NOW, b"the answer")
    storage.users.resolve("acme", ["a"], NOW, create=True)
    assert storage.privacy.begin("acme", "a", ERASE, "x", NOW).swept["repeatable_answers"] == 1
    left = {
        (tenant, key): storage.repeats.claim(tenant, key, b"{}", NOW + 1, NOW - 1, NOW + DAY).status
        for tenant in ("acme", "twin")
        for key in ("answered", "under way")
    }
    assert left == {
        ("acme", "answered"): CLAIMED,
        ("acme", "under way"): RUNNING,
        ("twin", "answered"): REPEATED,
        ("twin", "under way"): RUNNING,
    }
