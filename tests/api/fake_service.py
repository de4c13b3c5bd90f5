"""A house of dictionaries, for tests of the edge alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from threading import Event
from typing import Any

from personalization.clock import SECOND, Clock, ManualClock, SystemClock
from personalization.errors import Invalid, NotFound, OutboundFailed, PersonalizationError, StorageUnavailable
from personalization.messages import (
    EngagementEvent,
    EventsReceipt,
    PersonalizationRequest,
    PersonalizationResponse,
)
from personalization.security.identity import new_key
from personalization.settings import DEVELOPMENT, RateLimit, Settings
from personalization.storage.base import ApiKeyRecord
from personalization.storage.memory.repeats import MemoryRepeats
from personalization.storage.memory.revocations import MemoryRevocations
from personalization.vocabulary import PersonalizationTrigger, Role

SECRET = "k" * 40


class FakeKeys:
    """ApiKeyStore in a dict; `away` makes it fail, `asked` counts the lookups."""

    def __init__(self) -> None:
        self.records: dict[str, ApiKeyRecord] = {}
        self.asked = 0
        self.away = False
        self._answering = Event()
        self._answering.set()

    def hang(self) -> Callable[[], None]:
        """From now on `revoked_since` does not answer, until what is returned is called."""
        self._answering.clear()
        return self._answering.set

    def add(self, record: ApiKeyRecord) -> None:
        self.records[record.key_id] = record

    def get(self, key_id: str) -> ApiKeyRecord | None:
        self.asked += 1
        if self.away:
            raise StorageUnavailable("SELECT secret FROM api_keys failed")
        return self.records.get(key_id)

    def list(self, tenant_id: str, limit: int, after: str = "") -> list[ApiKeyRecord]:
        standing = [r for r in self.records.values() if r.tenant_id == tenant_id and r.revoked_at is None and r.key_id > after]
        return sorted(standing, key=lambda r: r.key_id)[:limit]

    def revoke(self, tenant_id: str, key_id: str, at: int) -> bool:
        record = self.records.get(key_id)
        if record is None or record.tenant_id != tenant_id or record.revoked_at is not None:
            return False
        self.records[key_id] = replace(record, revoked_at=at)
        return True

    def revoked_since(self, at: int) -> list[str]:
        self._answering.wait(10)
        if self.away:
            raise StorageUnavailable("SELECT secret FROM api_keys failed")
        return [r.key_id for r in self.records.values() if r.revoked_at is not None and r.revoked_at >= at]


class FakeService:
    """Answers with what it was asked, so that tests see what the edge made of a request."""

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self.profiles: dict[str, dict[str, Any]] = {}
        self.saved_templates: dict[str, dict[str, Any]] = {}
        self.requests: list[PersonalizationRequest] = []
        self.events: list[EngagementEvent] = []
        self.calls: list[tuple[Any, ...]] = []
        self.failure: Exception | None = None

    @property
    def untouched(self) -> bool:
        return not any((self.requests, self.events, self.profiles, self.saved_templates, self.calls))

    def personalize(self, request: PersonalizationRequest) -> PersonalizationResponse:
        if self.failure is not None:
            raise self.failure
        self.requests.append(request)
        return PersonalizationResponse({"decision_id": request.decision_id or "d1", "user_id": request.user_id, "action": "send"})

    def personalize_many(
        self, requests: Sequence[PersonalizationRequest | Invalid]
    ) -> list[PersonalizationResponse | PersonalizationError]:
        return [each if isinstance(each, Invalid) else self.personalize(each) for each in requests]

    def decision(self, decision_id: str, replay: bool) -> dict[str, Any]:
        self._expect(decision_id == "d1", "decision")
        return {"decision_id": decision_id, "replayed": replay}

    def activate(self, decision_id: str) -> dict[str, Any]:
        return self.decision(decision_id, False)

    def discard(self, decision_id: str) -> dict[str, Any]:
        return self.decision(decision_id, False)

    def record(self, events: Sequence[EngagementEvent | Invalid]) -> EventsReceipt:
        good = [event for event in events if isinstance(event, EngagementEvent)]
        self.events += good
        refused = [(index, list(event.errors)) for index, event in enumerate(events) if isinstance(event, Invalid)]
        return EventsReceipt(len(good), 0, refused)

    def put_profile(self, user_id: str, sections: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        created = user_id not in self.profiles
        self.profiles[user_id] = sections
        return self.profile(user_id), created

    def patch_profile(self, user_id: str, patch: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        return self.put_profile(user_id, {**self.profiles.get(user_id, {}), **patch})

    def put_profiles(self, rows: Sequence[tuple[str, dict[str, Any] | Invalid]]) -> list[dict[str, Any]]:
        return [
            {"user_id": user_id, "status": 422, "errors": [{"field": e.field, "message": e.message} for e in row.errors]}
            if isinstance(row, Invalid)
            else {"user_id": user_id, "status": 201 if self.put_profile(user_id, row)[1] else 200}
            for user_id, row in rows
        ]

    def profile(self, user_id: str) -> dict[str, Any]:
        self._expect(user_id in self.profiles, "profile")
        return {"user_id": user_id, **self.profiles[user_id], "metadata": {"version": 1}, "consent": {"marketing": True}}

    def templates(self, limit: int, cursor: str | None) -> dict[str, Any]:
        return {"items": list(self.saved_templates.values())[:limit], "next_cursor": None}

    def create_template(self, document: dict[str, Any]) -> dict[str, Any]:
        self.saved_templates[document["template_id"]] = {**document, "version": 1}
        return self.saved_templates[document["template_id"]]

    def template(self, template_id: str, version: int | None) -> dict[str, Any]:
        self._expect(template_id in self.saved_templates, "template")
        return self.saved_templates[template_id]

    def put_template(self, template_id: str, document: dict[str, Any]) -> dict[str, Any]:
        version = self.template(template_id, None)["version"]
        self.saved_templates[template_id] = {**document, "version": version + 1}
        return self.saved_templates[template_id]

    def delete_template(self, template_id: str) -> None:
        self.template(template_id, None)
        del self.saved_templates[template_id]

    def template_versions(self, template_id: str, limit: int, cursor: str | None) -> dict[str, Any]:
        return {"items": [self.template(template_id, None)], "next_cursor": None}

    def preview_template(self, template_id: str, document: dict[str, Any]) -> dict[str, Any]:
        self.template(template_id, None)
        return {"content": {"subject": "Hi"}, "asked": document}

    def user_insights(self, user_id: str, include_predictions: bool) -> dict[str, Any]:
        return {"user_id": user_id, "predictions": include_predictions}

    def preferences(self, user_id: str) -> dict[str, Any]:
        return {"user_id": user_id}

    def update_user_preferences(self, user_id: str, sections: dict[str, Any], trigger: PersonalizationTrigger) -> dict[str, Any]:
        self.calls.append((user_id, sections, trigger))
        return {"user_id": user_id, **sections}

    def timeline(self, user_id: str, limit: int, cursor: str | None) -> dict[str, Any]:
        return {"items": [], "next_cursor": None, "asked": [user_id, limit, cursor]}

    def overview(self, since: int | None, until: int | None, timezone: str | None) -> dict[str, Any]:
        return {"asked": [since, until, timezone]}

    def template_insights(self, template_id: str) -> dict[str, Any]:
        return {"template_id": self.template(template_id, None)["template_id"]}

    def models(self, limit: int, cursor: str | None) -> dict[str, Any]:
        return {"items": [], "next_cursor": None}

    def model(self, model_id: str) -> dict[str, Any]:
        self._expect(model_id == "m1", "model")
        return {"model_id": model_id}

    def model_versions(self, model_id: str, limit: int, cursor: str | None) -> dict[str, Any]:
        self._expect(model_id == "m1", "model")
        return {"items": [], "next_cursor": None}

    def model_card(self, model_id: str) -> dict[str, Any]:
        return self.model(model_id)

    def train_model(self, model_id: str) -> dict[str, Any]:
        return self._told("train_model", model_id)

    def evaluate_model(self, model_id: str, version: int | None) -> dict[str, Any]:
        return self._told("evaluate_model", model_id, version)

    def promote_model(self, model_id: str, version: int | None, status: str) -> dict[str, Any]:
        return self._told("promote_model", model_id, version, status)

    def rollback_model(self, model_id: str) -> dict[str, Any]:
        return self._told("rollback_model", model_id)

    def _told(self, *call: Any) -> dict[str, Any]:
        self._expect(call[1] == "m1", "model")
        self.calls.append(call)
        return {"model_id": call[1]}

    def analyze_behavior(self, user_id: str, analysis_type: str | None) -> dict[str, Any]:
        return {"user_id": user_id, "analysis_type": analysis_type}

    def analyze_sentiment(self, texts: list[str], language: str | None) -> dict[str, Any]:
        return {"results": [{"language": language or "en"} for _ in texts]}

    def config(self) -> dict[str, Any]:
        return {"service_level": "enterprise"}

    def patch_config(self, patch: dict[str, Any]) -> dict[str, Any]:
        return {**self.config(), **patch}

    def consent(self, user_id: str) -> dict[str, Any]:
        return {"user_id": user_id, "marketing": None}

    def put_consent(self, user_id: str, document: dict[str, Any]) -> dict[str, Any]:
        return {"user_id": user_id, **document}

    def export(self, user_id: str) -> FakeService:
        self._expect(user_id in self.profiles, "profile")
        return self

    def chunks(self, encode: Callable[[Any], bytes]) -> Iterator[bytes]:
        yield b'{"decisions":'
        yield encode([1, 2])
        yield b"}"

    def anonymize_user_data(self, user_id: str) -> dict[str, Any]:
        self._expect(user_id in self.profiles, "user")
        return {"status": "completed"}

    def erase_user_data(self, user_id: str) -> dict[str, Any]:
        self._expect(user_id in self.profiles, "user")
        return {"erasure_id": "x", "status": "pending"}

    def erasure(self, erasure_id: str) -> dict[str, Any]:
        self._expect(erasure_id == "x", "erasure")
        return {"erasure_id": "x", "status": "pending"}

    def _expect(self, found: bool, what: str) -> None:
        if not found:
            raise NotFound(what)


class FakeHouse:
    """Tenants "t1" and "t2"; its clock starts at the present and then stands still."""

    def __init__(self, **settings: Any) -> None:
        given = {"app_env": DEVELOPMENT, "jwt_secret_key": SECRET, "rate_limit": RateLimit(1_000_000, 1)} | settings
        self.settings = Settings(**given)
        self.clock: Clock = ManualClock(SystemClock().now())
        self.keys = FakeKeys()
        self.revocations = MemoryRevocations()
        self.outside: dict[str, bytes] = {}
        self.services = {name: FakeService(name) for name in ("t1", "t2")}
        self.repeats = MemoryRepeats(self.tenant_exists)
        self.is_ready = True

    def service(self, tenant_id: str) -> FakeService:
        if tenant_id not in self.services:
            raise NotFound("tenant")
        return self.services[tenant_id]

    def tenant_exists(self, tenant_id: str) -> bool:
        return tenant_id in self.services

    def fetch(self, url: str) -> bytes:
        if url not in self.outside:
            raise OutboundFailed(url, "does not answer")
        return self.outside[url]

    def health(self) -> dict[str, Any]:
        return {"status": "ok"}

    def stats(self, tenant_id: str) -> dict[str, Any]:
        return {"tenant_id": tenant_id}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        return self.is_ready, {"status": "ready" if self.is_ready else "starting"}

    def make_key(self, role: Role | str = Role.ADMIN, tenant_id: str = "t1", expires_in: int | None = None) -> str:
        key, now = new_key(), self.clock.now()
        expires_at = None if expires_in is None else now + expires_in * SECOND
        self.keys.add(
            ApiKeyRecord(
                key_id=key.key_id,
                tenant_id=tenant_id,
                role=str(role),
                name="test",
                digest=key.digest,
                created_at=now,
                expires_at=expires_at,
            )
        )
        return key.api_key
