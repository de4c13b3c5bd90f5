"""What goes in and out of the engine: requests, responses, engagement events.

The many are msgspec structs, a tenth of a frozen dataclass's price; `msgspec.structs.replace` makes a changed copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct

from personalization.errors import FieldError
from personalization.template import Variant
from personalization.vocabulary import Category, EventType, Priority


@dataclass(frozen=True, kw_only=True)
class SendWindow:
    """Half-open [earliest, latest) in microseconds; None means now, or the default window's end."""

    earliest: int | None = None
    latest: int | None = None


class PersonalizationRequest(Struct, frozen=True, kw_only=True):
    """One question: for whom, which message. Exactly one of template_id, content and variants is set.

    message_id     : the caller's id of one message that may go out by several channels
    escalate_after : microseconds after which it goes by the next channel when unread; None: DEFAULT_ESCALATION
    """

    tenant_id: str
    user_id: str | None = None
    template_id: str | None = None
    content: Mapping[str, str] | None = None
    variants: tuple[Variant, ...] | None = None
    context: Mapping[str, Any] = msgspec.field(default_factory=dict)
    channels: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    category: str | None = None
    priority: Priority = Priority.NORMAL
    send_window: SendWindow | None = None
    min_quality_score: float | None = None
    require_real_time: bool = False
    deadline_ms: int | None = None
    language: str | None = None
    render: bool = True
    explain: bool = False
    activate: bool = True
    decision_id: str | None = None
    idempotency_key: str | None = None
    message_id: str | None = None
    escalate_after: int | None = None

    def immediate(self, category: str) -> bool:
        """Whether the send window is now rather than the next 24 hours."""
        return self.require_real_time or category == Category.TRANSACTIONAL or self.priority in (Priority.URGENT, Priority.CRITICAL)


class PersonalizationResponse(Struct, frozen=True):
    """The answer document, JSON-ready.

    created        : False when a repeated decision_id found its recorded decision
    quality_failed : no variant reached the quality asked for
    """

    document: Mapping[str, Any]
    created: bool = True
    quality_failed: bool = False


class EngagementEvent(Struct, frozen=True, kw_only=True):
    """Something a person did. Instants in microseconds; `text` and `metadata` are sealed at rest."""

    event_id: str
    type: EventType
    user_id: str
    occurred_at: int
    decision_id: str | None = None
    template_id: str | None = None
    channel: str | None = None
    name: str | None = None
    value: float | None = None
    currency: str | None = None
    text: str | None = None
    metadata: Mapping[str, Any] = msgspec.field(default_factory=dict)


class LogEntry(Struct, frozen=True, kw_only=True):
    """One row of a tenant's log as its followers see it, in sequence order.

    type        : an EventType, a LogType, or "decided"
    at          : when it happened (for a decision its slot's time, for the others occurred_at)
    zone_offset : minutes to add to UTC for the person's local time then
    record      : a decision's record (msgpack), else None
    variant_id, message : of a decision that sends; message: `sent.message_key` of its message_id
    body        : what the engine's own rows carry, else None
    """

    seq: int
    type: str
    at: int
    recorded_at: int
    user_ref: bytes | None = None
    decision_id: str | None = None
    template_id: str | None = None
    channel: str | None = None
    name: str | None = None
    value: float | None = None
    currency: str | None = None
    zone_offset: int = 0
    active: bool = True
    record: bytes | None = None
    variant_id: str | None = None
    message: bytes | None = None
    body: Mapping[str, Any] | None = None

    @property
    def reward_key(self) -> str:
        """The key under which a tenant's reward weights know this row."""
        return f"custom:{self.name}" if self.type == EventType.CUSTOM else self.type


@dataclass(frozen=True)
class EventsReceipt:
    """What became of a list of events: counts, and (index, errors) of each that was not taken."""

    accepted: int
    duplicates: int
    rejected: list[tuple[int, list[FieldError]]] = field(default_factory=list)
