"""Everything that is held of one person, page by page, so that a long history needs no more memory than a short one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from personalization.clock import Clock, rfc3339
from personalization.core import DeepPersonalizationEngine
from personalization.deciding.features import feature_names
from personalization.deciding.record import decode_record
from personalization.errors import NotFound
from personalization.messages import LogEntry
from personalization.operations.profiles import Profiles
from personalization.profile import DECIDED, PersonalizationProfile
from personalization.storage.base import Storage, StoredDecision, Words

Document = dict[str, Any]

_PAGE = 200


class Export:
    """One person's export. Made when they are found; the log is read while it is consumed. Decisions and events come newest
    first, consents newest last.

    Raises NotFound for a user never heard of.
    """

    def __init__(
        self,
        tenant_id: str,
        user_id: str,
        storage: Storage,
        profiles: Profiles,
        engine: DeepPersonalizationEngine,
        clock: Clock,
    ) -> None:
        self._tenant_id, self._user_id, self._storage, self._engine, self._clock = tenant_id, user_id, storage, engine, clock
        self._profiles, self._user_ref = profiles, profiles.user_ref(user_id)
        self._consents = profiles.consents(user_id)
        self._profile = storage.profiles.load(tenant_id, [self._user_ref]).get(self._user_ref)

    def document(self) -> Document:
        """All of it at once."""
        return {**self._head(), "decisions": list(self.decisions()), "events": list(self.events())}

    def chunks(self, encode: Callable[[Any], bytes]) -> Iterator[bytes]:
        """The same as JSON, never more than a page of it in memory."""
        yield encode(self._head())[:-1]
        for name, items in (("decisions", self.decisions()), ("events", self.events())):
            yield b',"%s":[' % name.encode()
            comma = b""
            for item in items:
                yield comma + encode(item)
                comma = b","
            yield b"]"
        yield b"}"

    def decisions(self) -> Iterator[Document]:
        """Each as it was answered, with its explanation."""
        for page in self._pages():
            for row in page:
                stored = self._stored(row)
                if stored is not None:
                    yield self._explained(stored, self._profile)

    def events(self) -> Iterator[Document]:
        """Events with their words, and what callers and the engine did to the profile and to decisions."""
        for page in self._pages():
            rows = [row for row in page if row.type != DECIDED]
            words = self._storage.privacy.words(self._tenant_id, self._user_ref, [row.seq for row in rows]) if rows else {}
            for row in rows:
                yield _event(row, words.get(row.seq))

    def _head(self) -> Document:
        now, known = self._clock.now(), self._profile
        return {
            "user_id": self._user_id,
            "profile": None if known is None else self._profiles.told(self._user_id, known, now),
            "consents": self._consents,
            "experiments": [],
            "generated_at": rfc3339(now),
        }

    def _pages(self) -> Iterator[list[LogEntry]]:
        before: int | None = None
        while page := self._storage.log.timeline(self._tenant_id, self._user_ref, _PAGE, before):
            yield page
            before = page[-1].seq

    def _stored(self, row: LogEntry) -> StoredDecision | None:
        if row.type != DECIDED or row.decision_id is None:
            return None
        return self._storage.log.decision(self._tenant_id, row.decision_id)

    def _explained(self, stored: StoredDecision, profile: PersonalizationProfile | None) -> Document:
        record = decode_record(stored.record)
        names = feature_names(profile, record.language, {})
        try:
            answer = self._engine.recall(stored, replace(record, explain=True), names)
        except NotFound:
            return {"decision_id": stored.decision_id, "status": stored.status}
        return {**answer, "decided_at": rfc3339(stored.decided_at), "status": stored.status}


def _event(row: LogEntry, words: Words | None) -> Document:
    text, metadata = words or (None, {})
    return {
        "type": row.type,
        "occurred_at": rfc3339(row.at),
        "recorded_at": rfc3339(row.recorded_at),
        "decision_id": row.decision_id,
        "template_id": row.template_id,
        "channel": row.channel,
        "name": row.name,
        "value": row.value,
        "currency": row.currency,
        "text": text,
        "metadata": dict(metadata),
        **({"details": dict(row.body)} if row.body else {}),
    }
