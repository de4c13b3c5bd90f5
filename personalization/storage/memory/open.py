"""Puts the rooms of the memory store together."""

from __future__ import annotations

import os
from collections.abc import Callable

from personalization.sealing import Cipher
from personalization.storage.base import Storage
from personalization.storage.memory.followers import MemoryCheckpoints, MemoryElection, MemoryLife, MemorySnapshots
from personalization.storage.memory.log import MemoryLog
from personalization.storage.memory.model_versions import MemoryModelVersions
from personalization.storage.memory.privacy import MemoryPrivacy
from personalization.storage.memory.profiles import MemoryProfiles
from personalization.storage.memory.repeats import MemoryRepeats
from personalization.storage.memory.revocations import MemoryRevocations
from personalization.storage.memory.rows import Rows
from personalization.storage.memory.templates import MemoryTemplates
from personalization.storage.memory.tenants import MemoryApiKeys, MemoryTenants
from personalization.storage.memory.users import MemoryUsers


def open_memory_storage(cipher: Cipher, token: Callable[[int], bytes] = os.urandom) -> Storage:
    """A store that ends with the process, for tests and in-process backtests. `token` makes pseudonyms, and ids instead of
    those of people who left. Nothing is sealed, as nothing is written anywhere; the cipher only makes the tenants' secrets."""
    house = Rows()
    tenants = MemoryTenants(house, cipher)
    repeats = MemoryRepeats(tenants.exists)
    return Storage(
        tenants=tenants,
        keys=MemoryApiKeys(house),
        revocations=MemoryRevocations(),
        users=MemoryUsers(house, cipher, token),
        profiles=MemoryProfiles(house),
        templates=MemoryTemplates(house),
        log=MemoryLog(house),
        snapshots=MemorySnapshots(house),
        model_versions=MemoryModelVersions(house),
        checkpoints=MemoryCheckpoints(house),
        privacy=MemoryPrivacy(house, repeats, cipher, token),
        repeats=repeats,
        election=MemoryElection(),
        life=MemoryLife(),
    )
