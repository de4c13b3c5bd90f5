"""Users and profiles: the contract of storage/base.py, sentence by sentence, on every store."""

from __future__ import annotations

import pytest
from msgspec import structs

from personalization.errors import Conflict
from personalization.profile import Consent, Patterns, PersonalizationProfile
from personalization.storage.base import Storage
from personalization.vocabulary import LogType
from tests.conftest import NOW
from tests.contracts.conftest import ADA, BOB, PATTERNS, at_once, everything, profile, user, whole_log


def test_a_user_id_has_one_pseudonym_in_a_tenant(store: Storage) -> None:
    assert store.users.resolve("acme", ["ada@x.org"], NOW) == {}
    created = store.users.resolve("acme", ["ada@x.org", "bob", "bob"], NOW, create=True)
    assert set(created) == {"ada@x.org", "bob"}
    assert all(len(ref) == 16 for ref in created.values())
    assert len(set(created.values())) == 2
    assert store.users.resolve("acme", ["bob", "eve"], NOW) == {"bob": created["bob"]}
    assert store.users.resolve("acme", ["bob"], NOW, create=True) == {"bob": created["bob"]}
    assert store.users.reveal("acme", [*created.values(), ADA]) == {ref: name for name, ref in created.items()}

    twin = store.users.resolve("twin", ["bob"], NOW, create=True)
    assert twin["bob"] != created["bob"]
    assert store.users.reveal("twin", created.values()) == {}


def test_two_callers_who_create_the_same_ids_get_the_same_pseudonyms(store: Storage) -> None:
    ids = [f"u{n}" for n in range(30)]
    orders = [ids, ids[::-1], ids[10:] + ids[:10], ids[20:] + ids[:20]]
    found = at_once([lambda order=order: store.users.resolve("acme", order, NOW, create=True) for order in orders])  # type: ignore[misc]
    assert all(refs == found[0] for refs in found)


def test_a_profile_is_stored_to_the_last_field(store: Storage) -> None:
    whole = everything(user(store))
    saved = store.profiles.save(whole, "api", NOW)
    assert saved == structs.replace(whole, version=1, created_at=NOW, updated_at=NOW)
    assert store.profiles.load("acme", [whole.user_ref, BOB]) == {whole.user_ref: saved}

    again = store.profiles.save(structs.replace(saved, traits={"plan": "free"}, attributes={}), "api", NOW + 9)
    assert again == structs.replace(saved, version=2, updated_at=NOW + 9, traits={"plan": "free"}, attributes={})
    assert store.profiles.load("acme", [whole.user_ref])[whole.user_ref] == again


def test_saving_never_touches_what_was_learned(store: Storage) -> None:
    saved = store.profiles.save(profile(), "api", NOW)
    assert store.profiles.project("acme", [structs.replace(saved, patterns=PATTERNS, learned_seq=7)], seq=7, expected=0)
    stored = store.profiles.load("acme", [ADA])[ADA]
    assert stored == structs.replace(saved, patterns=PATTERNS, learned_seq=7)
    assert repr(stored.patterns) == repr(PATTERNS)

    again = store.profiles.save(structs.replace(saved, language="de"), "api", NOW)
    assert (again.patterns, again.learned_seq, again.language) == (PATTERNS, 7, "de")
    assert store.profiles.load("acme", [ADA])[ADA] == again


def test_a_profile_saved_since_is_a_conflict_and_leaves_nothing(store: Storage) -> None:
    store.profiles.save(profile(language="en"), "api", NOW)
    head = store.log.heads()["acme"]
    for stale in (profile(language="de"), profile(language="de", version=2)):
        with pytest.raises(Conflict):
            store.profiles.save(stale, "api", NOW)
    with pytest.raises(Conflict):
        store.profiles.save(profile(BOB, version=1), "api", NOW)
    assert store.profiles.load("acme", [ADA, BOB])[ADA].language == "en"
    assert store.log.heads()["acme"] == head


def test_of_many_who_save_one_version_one_wins(store: Storage) -> None:
    saved = store.profiles.save(profile(), "api", NOW)

    def attempt(n: int) -> bool:
        try:
            store.profiles.save(structs.replace(saved, language=f"l{n}"), "api", NOW)
        except Conflict:
            return False
        return True

    assert sum(at_once([lambda n=n: attempt(n) for n in range(8)])) == 1  # type: ignore[misc]
    assert store.profiles.load("acme", [ADA])[ADA].version == 2


def test_every_save_is_in_the_log_and_every_consent_in_its_history(store: Storage) -> None:
    saved = store.profiles.save(profile(), "api", NOW)
    refusing = store.profiles.save(structs.replace(saved, consent=Consent(marketing=False)), "import", NOW + 1)
    store.profiles.save(structs.replace(refusing, language="de"), "api", NOW + 2)
    assert [(e.seq, e.type, e.at, e.user_ref, e.body) for e in whole_log(store)] == [
        (1, LogType.PROFILE_UPDATED, NOW, ADA, {"version": 1, "source": "api"}),
        (2, LogType.PROFILE_UPDATED, NOW + 1, ADA, {"version": 2, "source": "import"}),
        (3, LogType.CONSENT_CHANGED, NOW + 1, ADA, {"version": 2, "source": "import"}),
        (4, LogType.PROFILE_UPDATED, NOW + 2, ADA, {"version": 3, "source": "api"}),
    ]
    assert store.profiles.consents("acme", ADA) == [(NOW + 1, "import", Consent(marketing=False))]
    assert store.profiles.consents("twin", ADA) == []


def test_many_profiles_are_saved_in_order_and_a_stale_one_harms_no_other(store: Storage) -> None:
    store.profiles.save(profile(BOB, language="en"), "api", NOW)
    saved = store.profiles.save_many(
        [profile(language="fr"), profile(BOB, language="de"), profile(version=1, language="it")], "bulk", NOW + 1
    )
    assert [None if p is None else (p.version, p.language) for p in saved] == [(1, "fr"), None, (2, "it")]
    stored = store.profiles.load("acme", [ADA, BOB])
    assert (stored[ADA].version, stored[ADA].language, stored[BOB].language) == (2, "it", "en")
    assert store.profiles.save_many([], "bulk", NOW) == []


def test_projecting_moves_the_checkpoint_or_stores_nothing(store: Storage) -> None:
    saved = store.profiles.save(profile(), "api", NOW)
    learned = structs.replace(saved, patterns=PATTERNS, learned_seq=4)
    assert not store.profiles.project("acme", [learned], seq=4, expected=3)
    assert store.profiles.load("acme", [ADA])[ADA].patterns == Patterns()
    assert store.profiles.project("acme", [learned, profile(BOB, patterns=PATTERNS)], seq=4, expected=0)
    assert store.checkpoints.load("acme", "projector") == (4, b"")
    assert store.profiles.load("acme", [ADA, BOB]) == {ADA: learned}
    assert store.profiles.project("acme", [], seq=9, expected=4)
    assert not store.profiles.project("acme", [], seq=9, expected=4)
    assert store.checkpoints.load("twin", "projector") is None


def test_of_many_projectors_one_moves_the_checkpoint(store: Storage) -> None:
    assert sum(at_once([lambda: store.profiles.project("acme", [], seq=5, expected=0)] * 6)) == 1


def test_a_scan_goes_through_all_profiles_without_their_attributes(store: Storage) -> None:
    refs = [user(store, f"u{n}") for n in range(7)]
    store.profiles.save_many([profile(ref, attributes={"n": 1}, traits={"t": 1}) for ref in refs], "bulk", NOW)
    seen: list[PersonalizationProfile] = []
    while found := store.profiles.scan("acme", seen[-1].user_ref if seen else None, 3):
        seen += found
    assert [p.user_ref for p in seen] == sorted(refs)
    assert all(p.attributes == {} and p.traits == {"t": 1} for p in seen)


def test_more_profiles_than_one_statement_holds_are_loaded(store: Storage) -> None:
    refs = [n.to_bytes(16) for n in range(1_300)]
    store.profiles.save_many([profile(ref) for ref in refs], "bulk", NOW)
    assert set(store.profiles.load("acme", refs)) == set(refs)
