"""Who is who: user ids, sealed, and the pseudonyms every other table knows people by."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

import sqlalchemy as sa

from personalization.recent import Recent
from personalization.sealing import Cipher, Owner, TenantKeys
from personalization.storage.base import ERASE
from personalization.storage.sql.engine import Database, Lookup, Transaction
from personalization.storage.sql.packing import empty_profile
from personalization.storage.sql.schema import erasures, profiles, users
from personalization.storage.sql.tenants import SqlTenants

_REMEMBERED = 100_000
_USER_ID = "user_id"
_MAC_BYTES = _REF_BYTES = 16

_BY_MAC = Lookup(
    lambda tenant, macs: sa.select(users.c.id_mac, users.c.user_ref, users.c.wrapped_key).where(
        users.c.tenant_id == tenant, users.c.id_mac.in_(macs)
    )
)
_BY_REF = Lookup(
    lambda tenant, refs: sa.select(users.c.user_ref, users.c.sealed_id, users.c.wrapped_key).where(
        users.c.tenant_id == tenant, users.c.user_ref.in_(refs)
    )
)
_ERASED = Lookup(
    lambda tenant, macs: sa.select(erasures.c.id_mac, erasures.c.kind).where(
        erasures.c.tenant_id == tenant, erasures.c.id_mac.in_(macs), erasures.c.lifted_at.is_(None)
    )
)


class SqlUsers:
    """A UserStore, and the keeper of the users' data keys."""

    def __init__(self, database: Database, cipher: Cipher, tenants: SqlTenants, token: Callable[[int], bytes] = os.urandom) -> None:
        self._database = database
        self._cipher = cipher
        self._tenants = tenants
        self._token = token
        self._refs: Recent[tuple[str, str], bytes] = Recent(_REMEMBERED)
        self._ids: Recent[tuple[str, bytes], str] = Recent(_REMEMBERED)
        self._owners: Recent[tuple[str, bytes], Owner] = Recent(_REMEMBERED)
        self._departures = 0

    def resolve(
        self, tenant_id: str, user_ids: Iterable[str], at: int, create: bool = False, afresh: bool = False
    ) -> dict[str, bytes]:
        known, missing = {}, []
        for user_id in dict.fromkeys(user_ids):
            user_ref = self._refs.get((tenant_id, user_id))
            if user_ref is None:
                missing.append(user_id)
            else:
                known[user_id] = user_ref
        return {**known, **self._look_up(tenant_id, missing, at, create, afresh)} if missing else known

    def mac(self, keys: TenantKeys, user_id: str) -> bytes:
        """Under which the id is found."""
        return self._cipher.mac(keys, _USER_ID, user_id.encode())[:_MAC_BYTES]

    def _look_up(self, tenant_id: str, user_ids: list[str], at: int, create: bool, afresh: bool) -> dict[str, bytes]:
        keys = self._tenants.keys(tenant_id)
        macs = {self.mac(keys, user_id): user_id for user_id in user_ids}
        departures = self._departures
        with self._database.read() as transaction:
            read = self._read(transaction, keys, macs)
        found = self._remember(keys, read, departures)
        missing = {mac: user_id for mac, user_id in macs.items() if user_id not in found}
        return {**found, **self._create(keys, missing, at, afresh)} if create and missing else found

    def _create(self, keys: TenantKeys, missing: Mapping[bytes, str], at: int, afresh: bool) -> dict[str, bytes]:
        """In the order of the MACs, so that two callers who create the same ids wait for each other and never in a ring."""
        rows, departures = [], self._departures
        for mac in sorted(missing):
            user_ref = self._token(_REF_BYTES)
            owner = Owner(keys, user_ref, self._cipher.new_user_key(keys, user_ref))
            rows.append(
                (keys.tenant_id, user_ref, mac, self._cipher.seal(owner, _USER_ID, missing[mac].encode()), owner.wrapped_key, at)
            )
        with self._database.write() as transaction:
            left = transaction.among(_ERASED, keys.tenant_id, list(missing))
            erased = {mac for mac, kind in left if kind == ERASE}
            if erased and afresh:
                _lift(transaction, keys.tenant_id, erased, at)
            elif erased:
                rows = [row for row in rows if row[2] not in erased]
            transaction.insert(users, rows, ignore=True)
            created = self._read(transaction, keys, missing)
            empty = [empty_profile(keys.tenant_id, user_ref, 0, at) for _, user_ref, _ in created]
            transaction.insert(profiles, empty, ignore=True)
        return self._remember(keys, created, departures)

    def _read(self, transaction: Transaction, keys: TenantKeys, macs: Mapping[bytes, str]) -> list[tuple[str, bytes, bytes]]:
        return [(macs[mac], ref, wrapped) for mac, ref, wrapped in transaction.among(_BY_MAC, keys.tenant_id, list(macs))]

    def _remember(self, keys: TenantKeys, found: Sequence[tuple[str, bytes, bytes]], departures: int) -> dict[str, bytes]:
        """user_id -> user_ref. What was read before somebody left may be about them, so it is not kept."""
        for user_id, user_ref, wrapped in found:
            self._refs.put((keys.tenant_id, user_id), user_ref)
            self._ids.put((keys.tenant_id, user_ref), user_id)
            self._owners.put((keys.tenant_id, user_ref), Owner(keys, user_ref, wrapped))
        if departures != self._departures:
            self.forget(keys.tenant_id, [user_ref for _, user_ref, _ in found])
        return {user_id: user_ref for user_id, user_ref, _ in found}

    def reveal(self, tenant_id: str, user_refs: Iterable[bytes]) -> dict[bytes, str]:
        wanted = list(dict.fromkeys(user_refs))
        known = {ref: user_id for ref in wanted if (user_id := self._ids.get((tenant_id, ref)))}
        read = self._read_refs(tenant_id, [ref for ref in wanted if ref not in known])
        return {**known, **{ref: user_id for ref, (user_id, _) in read.items()}}

    def forget(self, tenant_id: str, user_refs: Iterable[bytes]) -> None:
        """Drop ids and keys of these from memory."""
        self._departures += 1
        for user_ref in user_refs:
            user_id, owner = self._ids.get((tenant_id, user_ref)), self._owners.get((tenant_id, user_ref))
            self._ids.drop((tenant_id, user_ref))
            self._owners.drop((tenant_id, user_ref))
            if user_id is not None:
                self._refs.drop((tenant_id, user_id))
            if owner is not None:
                self._cipher.forget(owner)

    def owners(self, tenant_id: str, user_refs: Iterable[bytes]) -> dict[bytes, Owner]:
        """Whose key seals what belongs to each of those known."""
        wanted = list(dict.fromkeys(user_refs))
        known = {ref: owner for ref in wanted if (owner := self._owners.get((tenant_id, ref)))}
        if len(known) < len(wanted):
            read = self._read_refs(tenant_id, [ref for ref in wanted if ref not in known])
            known.update({ref: owner for ref, (_, owner) in read.items()})
        return known

    def _read_refs(self, tenant_id: str, user_refs: list[bytes]) -> dict[bytes, tuple[str, Owner]]:
        if not user_refs:
            return {}
        keys, departures = self._tenants.keys(tenant_id), self._departures
        with self._database.read() as transaction:
            found = list(transaction.among(_BY_REF, tenant_id, user_refs))
        owners = {ref: Owner(keys, ref, wrapped) for ref, _, wrapped in found}
        opened = [(self._cipher.open(owners[ref], _USER_ID, sealed).decode(), ref, wrapped) for ref, sealed, wrapped in found]
        self._remember(keys, opened, departures)
        return {ref: (user_id, owners[ref]) for user_id, ref, _ in opened}


def _lift(transaction: Transaction, tenant_id: str, macs: Iterable[bytes], at: int) -> None:
    """These ids are taken into use again, as somebody new."""
    ours = (erasures.c.tenant_id == tenant_id, erasures.c.id_mac.in_(list(macs)), erasures.c.lifted_at.is_(None))
    transaction.execute(sa.update(erasures).where(*ours).values(lifted_at=at))
