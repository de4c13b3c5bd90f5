"""Where a host program listens: the four hooks, and handlers of engagement. A failing one never fails a decision."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from personalization import telemetry
from personalization.errors import Invalid
from personalization.messages import EngagementEvent
from personalization.vocabulary import Hook

log = logging.getLogger(__name__)

ENGAGEMENT = "notification.engagement"

Callback = Callable[[Any], Any]


@dataclass(frozen=True)
class EngagementNotice:
    """What a handler of "notification.engagement" is given."""

    user_id: str
    engagement_data: dict[str, Any]


class Hooks:
    """Callbacks by name, run in order of registration on the thread that did the work."""

    def __init__(self) -> None:
        self._callbacks: dict[str, list[Callback]] = defaultdict(list)

    def register(self, name: str, callback: Callback) -> None:
        """Raises Invalid for a name that is none of the hooks."""
        if name not in {*Hook, ENGAGEMENT}:
            raise Invalid.field("name", f"must be one of {', '.join((*Hook, ENGAGEMENT))}")
        self._callbacks[name].append(callback)

    def listening(self, name: str) -> bool:
        return bool(self._callbacks.get(name))

    def amend(self, name: Hook, subject: Any) -> Any:
        """What the callbacks make of the subject: each may return a replacement of the same type, or None to leave it."""
        for callback in self._callbacks.get(name, ()):
            answer = self._called(name, callback, subject)
            if type(answer) is type(subject):
                subject = answer
        return subject

    def tell(self, name: str, subject: Any) -> None:
        for callback in self._callbacks.get(name, ()):
            self._called(name, callback, subject)

    def engaged(self, event: EngagementEvent) -> None:
        if self.listening(ENGAGEMENT):
            data = {"type": str(event.type), "channel": event.channel, "decision_id": event.decision_id, "value": event.value}
            self.tell(ENGAGEMENT, EngagementNotice(event.user_id, {k: v for k, v in data.items() if v is not None}))

    def _called(self, name: str, callback: Callback, subject: Any) -> Any:
        try:
            return callback(subject)
        except Exception:
            telemetry.HOOK_FAILURES.labels(name).inc()
            log.exception("the hook %s failed", name)
            return None
