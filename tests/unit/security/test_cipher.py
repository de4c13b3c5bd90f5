from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalization.errors import MisconfiguredError, SealBroken
from personalization.sealing import Cipher, Owner, TenantKeys
from personalization.security.cipher import EnvelopeCipher, PlainCipher

OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 32)
REF = b"r" * 16


def fresh() -> EnvelopeCipher:
    return EnvelopeCipher((OLD,))


def user(cipher: Cipher, keys: TenantKeys, ref: bytes = REF) -> Owner:
    return Owner(keys, ref, cipher.new_user_key(keys, ref))


@pytest.mark.parametrize("cipher", [fresh(), PlainCipher()], ids=["envelope", "plain"])
@pytest.mark.parametrize("value", [b"", b"\x00", b"Ada" * 1000])
def test_what_was_sealed_opens_again(cipher: Cipher, value: bytes) -> None:
    keys = cipher.new_tenant_keys("acme")
    for owner in (user(cipher, keys), Owner(keys)):
        assert cipher.open(owner, "values", cipher.seal(owner, "values", value)) == value


def test_a_cipher_that_remembers_nothing_opens_it_too() -> None:
    cipher = fresh()
    owner = user(cipher, cipher.new_tenant_keys("acme"))
    sealed = cipher.seal(owner, "values", b"Ada")
    assert fresh().open(owner, "values", sealed) == b"Ada"


def test_two_seals_of_one_value_differ_and_neither_shows_it() -> None:
    cipher = fresh()
    owner = user(cipher, cipher.new_tenant_keys("acme"))
    first, second = (cipher.seal(owner, "values", b"Ada Lovelace") for _ in range(2))
    assert first != second
    assert b"Ada" not in first + second


def test_another_field_user_tenant_or_byte_does_not_open() -> None:
    cipher = fresh()
    keys, other = cipher.new_tenant_keys("acme"), cipher.new_tenant_keys("other")
    owner = user(cipher, keys)
    sealed = cipher.seal(owner, "values", b"Ada")
    strangers = (
        Owner(keys),
        user(cipher, keys),
        user(cipher, other),
        replace(owner, user_ref=b"s" * 16),
        replace(owner, keys=other),
    )
    for stranger in strangers:
        with pytest.raises(SealBroken):
            cipher.open(stranger, "values", sealed)
    for broken in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:8], b""):
        with pytest.raises(SealBroken):
            cipher.open(owner, "values", broken)
    with pytest.raises(SealBroken):
        cipher.open(owner, "value", sealed)


@given(
    st.text(max_size=8), st.text(max_size=8), st.binary(max_size=4), st.binary(max_size=4), st.text(max_size=4), st.text(max_size=4)
)
def test_no_two_owners_and_fields_share_their_associated_data(t1: str, t2: str, u1: bytes, u2: bytes, f1: str, f2: str) -> None:
    from personalization.security.cipher import _associated

    first, second = (_associated(t, u) + f.encode() for t, u, f in ((t1, u1, f1), (t2, u2, f2)))
    assert (first == second) == ((t1, u1, f1) == (t2, u2, f2))
    assert _associated(t1, None) + f1.encode() != second


def test_macs_are_stable_and_differ_by_tenant_purpose_and_data() -> None:
    cipher = fresh()
    keys, other = cipher.new_tenant_keys("acme"), cipher.new_tenant_keys("other")
    macs = [
        cipher.mac(keys, "user_id", b"u1"),
        cipher.mac(keys, "user_id", b"u2"),
        cipher.mac(keys, "event", b"u1"),
        cipher.mac(keys, "user_idu", b"1"),
        cipher.mac(other, "user_id", b"u1"),
    ]
    assert len(set(macs)) == len(macs)
    assert all(len(mac) == 32 for mac in macs)
    assert fresh().mac(keys, "user_id", b"u1") == macs[0]


def test_rotation_rewraps_the_tenant_and_keeps_values_and_macs() -> None:
    before = fresh()
    keys = before.new_tenant_keys("acme")
    owner = user(before, keys)
    sealed, mac = before.seal(owner, "values", b"Ada"), before.mac(keys, "user_id", b"u1")

    rotated = EnvelopeCipher((NEW, OLD)).rewrap(keys)

    only_new = EnvelopeCipher((NEW,))
    assert only_new.open(replace(owner, keys=rotated), "values", sealed) == b"Ada"
    assert only_new.mac(rotated, "user_id", b"u1") == mac
    with pytest.raises(SealBroken):
        only_new.mac(keys, "user_id", b"u1")


def test_a_key_wrapped_for_one_tenant_serves_no_other() -> None:
    cipher = fresh()
    keys = cipher.new_tenant_keys("acme")
    with pytest.raises(SealBroken):
        cipher.seal(Owner(replace(keys, tenant_id="other")), "values", b"Ada")
    with pytest.raises(SealBroken):
        cipher.mac(replace(keys, wrapped_index_key=keys.wrapped_key), "user_id", b"u1")


def test_forgetting_keys_costs_an_unwrapping_and_nothing_else() -> None:
    cipher = EnvelopeCipher((OLD,), remembered=2)
    keys = cipher.new_tenant_keys("acme")
    owners = [user(cipher, keys, os.urandom(16)) for _ in range(20)]
    sealed = [cipher.seal(owner, "values", owner.user_ref or b"") for owner in owners]
    assert [cipher.open(owner, "values", value) for owner, value in zip(owners, sealed, strict=True)] == [
        o.user_ref for o in owners
    ]


def test_many_threads_may_seal_at_once() -> None:
    cipher = EnvelopeCipher((OLD,), remembered=3)
    keys = cipher.new_tenant_keys("acme")
    owners = [user(cipher, keys, os.urandom(16)) for _ in range(8)]

    def round_trip(n: int) -> bool:
        owner, value = owners[n % 8], str(n).encode()
        return cipher.open(owner, "values", cipher.seal(owner, "values", value)) == value

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(round_trip, range(2_000)))


def test_without_a_key_nothing_starts() -> None:
    with pytest.raises(MisconfiguredError, match="ENCRYPTION_KEYS"):
        EnvelopeCipher(())
