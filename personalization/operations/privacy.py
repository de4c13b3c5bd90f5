"""What a person may ask for: to see everything, to become nobody, to be forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from personalization.clock import Clock, rfc3339
from personalization.core import DeepPersonalizationEngine
from personalization.errors import NotFound
from personalization.operations.erasing import Forget, certificate_is_genuine, certificate_secret, sweep
from personalization.operations.exporting import Export
from personalization.operations.profiles import Profiles
from personalization.storage.base import ANONYMIZE, COMPLETED, ERASE, Erasure, Storage

Document = dict[str, Any]


class Privacy:
    """One tenant's people's rights.

    forget : drops people from this process's memory; the other processes' followers do so within a second
    new_id : makes an erasure_id that was never used
    """

    def __init__(
        self,
        tenant_id: str,
        storage: Storage,
        profiles: Profiles,
        engine: DeepPersonalizationEngine,
        clock: Clock,
        forget: Forget,
        new_id: Callable[[], str],
    ) -> None:
        self._tenant_id, self._storage, self._profiles, self._engine = tenant_id, storage, profiles, engine
        self._clock, self._forget, self._new_id = clock, forget, new_id

    def export(self, user_id: str) -> Export:
        """Raises NotFound for a user never heard of."""
        return Export(self._tenant_id, user_id, self._storage, self._profiles, self._engine, self._clock)

    def anonymize(self, user_id: str) -> Document:
        """Make one person's behaviour nobody's.

        Gone when this returns: the id and its HMAC, the data key, attributes, traits, preferences, language, zone and
        consents, the words of events, the values and inline texts of decisions; decisions have new random ids, so that
        nobody finds theirs again by an old one. What stays, under a pseudonym that leads to nobody: learned patterns,
        events (type, time, template, channel, name, value), decisions (what was chosen, how likely, from which hashed
        features), what policies learned from them. The id is free for somebody new. The leader then brings its ledger up to
        the new ids and scrubs the files. Raises NotFound for a user never heard of.
        """
        self._left(self._storage.privacy.begin(self._tenant_id, user_id, ANONYMIZE, self._new_id(), self._clock.now()))
        return {"status": COMPLETED}

    def erase(self, user_id: str) -> Document:
        """Forget one person: their rows are gone when this returns; what was learned of them and the bytes in the files
        follow, and then the erasure is completed with a certificate. Asking twice answers the same erasure. Raises NotFound
        for a user never heard of."""
        erasure = self._storage.privacy.begin(self._tenant_id, user_id, ERASE, self._new_id(), self._clock.now())
        self._left(erasure)
        return {"erasure_id": erasure.erasure_id, "status": erasure.status}

    def erasure(self, erasure_id: str) -> Document:
        """How far it has come; genuine: whether the certificate's MAC is still right. Raises NotFound."""
        found = self._storage.privacy.find(self._tenant_id, erasure_id)
        if found is None:
            raise NotFound("erasure")
        answer: Document = {
            "erasure_id": found.erasure_id,
            "status": found.status,
            "requested_at": rfc3339(found.requested_at),
            "completed_at": None if found.completed_at is None else rfc3339(found.completed_at),
        }
        if found.certificate is None:
            return answer
        certificate = json.loads(found.certificate)
        genuine = certificate_is_genuine(certificate, certificate_secret(self._storage, self._tenant_id))
        return {**answer, "certificate": certificate, "genuine": genuine}

    def _left(self, erasure: Erasure) -> None:
        if erasure.user_ref is not None:
            self._forget(self._tenant_id, [erasure.user_ref])
            sweep(self._storage, erasure)
