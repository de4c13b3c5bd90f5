"""What a person got lately: messages, by which channels and whether one was read; variants, and when."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b

from msgspec import Struct
from msgspec.structs import replace

from personalization.clock import DAY
from personalization.messages import LogEntry
from personalization.vocabulary import ENGAGED_TYPES, EventType, LogType

#: So many messages of a person are remembered, and so many sends of each; none that was last touched longer ago.
MOST_MESSAGES, MOST_SENDINGS, REMEMBERED = 16, 16, 30 * DAY

WAITING, LIVE, BOUNCED = 0, 1, 2

#: Events of somebody who has seen the message, liked or not.
_READ = frozenset(map(str, ENGAGED_TYPES | {EventType.DISMISSED, EventType.UNSUBSCRIBED, EventType.COMPLAINED}))
_STATES = {str(LogType.ACTIVATED): LIVE, str(EventType.BOUNCED): BOUNCED}
_KEY_BYTES = 8


class Sending(Struct, frozen=True, array_like=True):
    """One send of a message. decision: short hash of its decision_id; state: WAITING to be activated, LIVE, or BOUNCED."""

    decision: bytes
    channel: str
    slot_at: int
    state: int


class SentMessage(Struct, frozen=True, array_like=True):
    """key: `message_key` of the caller's message_id; touched_at: when it was last decided."""

    key: bytes
    variant_id: str
    touched_at: int
    read: bool
    sendings: tuple[Sending, ...]

    @property
    def first_at(self) -> int | None:
        """Slot of the first send; None while none went out."""
        return min([s.slot_at for s in self.sendings if s.state != WAITING], default=None)

    @property
    def unread_since(self) -> int | None:
        """Slot of the newest send that did not bounce; None when there is none."""
        return max((s.slot_at for s in self.sendings if s.state == LIVE), default=None)

    @property
    def channels(self) -> tuple[str, ...]:
        """Those it went out by, bounced ones too."""
        return tuple(dict.fromkeys(s.channel for s in self.sendings if s.state != WAITING))


#: The newest 16, the one touched last at the end.
SentMessages = tuple[SentMessage, ...]


def message_key(user_ref: bytes, message_id: str) -> bytes:
    """What is kept of a message_id: a hash under the person's random pseudonym, so that nobody's can be compared."""
    return blake2b(message_id.encode(), key=user_ref, digest_size=_KEY_BYTES).digest()


def decision_key(decision_id: str | None) -> bytes:
    return blake2b((decision_id or "").encode(), digest_size=_KEY_BYTES).digest()


def sent(messages: SentMessages, entry: LogEntry) -> SentMessages:
    """Once a send was decided. One that is not active waits."""
    if entry.message is None:
        return messages
    sending = Sending(decision_key(entry.decision_id), entry.channel or "", entry.at, LIVE if entry.active else WAITING)
    known = next((message for message in messages if message.key == entry.message), None)
    others = [m for m in messages if m.key != entry.message and m.touched_at >= entry.recorded_at - REMEMBERED]
    return (*others, _with(known, entry, sending))[-MOST_MESSAGES:]


def _with(known: SentMessage | None, entry: LogEntry, sending: Sending) -> SentMessage:
    """The variant is that of the first send that went out."""
    out = known is not None and known.first_at is not None
    return SentMessage(
        key=entry.message or b"",
        variant_id=known.variant_id if known is not None and out else entry.variant_id or "",
        touched_at=entry.recorded_at,
        read=known is not None and known.read,
        sendings=(*(known.sendings if known is not None else ()), sending)[-MOST_SENDINGS:],
    )


def changed(messages: SentMessages, entry: LogEntry) -> SentMessages:
    """Once a decision was activated or discarded, bounced, or was read; the same when it is of no message here."""
    key = decision_key(entry.decision_id) if messages and entry.decision_id is not None else None
    found = message_of(messages, key)
    if found is None or key is None:
        return messages
    after = _after(found, key, entry.type)
    return tuple(m if m is not found else after for m in messages if m is not found or after.sendings)


def first_of(messages: SentMessages, key: bytes | None) -> int | None:
    """Slot of the first send of the message of that key."""
    for message in messages:
        if message.key == key:
            return message.first_at
    return None


def message_of(messages: SentMessages, decision: bytes | None) -> SentMessage | None:
    """The one that this decision sent."""
    for message in reversed(messages):
        for sending in message.sendings:
            if sending.decision == decision:
                return message
    return None


def _after(message: SentMessage, decision: bytes, type_: str) -> SentMessage:
    if type_ in _READ:
        return replace(message, read=True)
    if type_ == LogType.DISCARDED:
        return replace(message, sendings=tuple(s for s in message.sendings if s.decision != decision))
    state = _STATES.get(type_)
    if state is None:
        return message
    return replace(message, sendings=tuple(replace(s, state=state) if s.decision == decision else s for s in message.sendings))


# -- variants --------------------------------------------------------------------------------------------------------

#: Variant -> the newest slot time at which the person got it, by `shown_key`.
Shown = Mapping[int, int]
_MOST_SHOWN = 32


@lru_cache(maxsize=65536)
def shown_key(template_id: str, variant_id: str) -> int:
    """32 bits."""
    return int.from_bytes(blake2b(f"{template_id}\0{variant_id}".encode(), digest_size=4).digest(), "big")


def shown_after(shown: Shown, entry: LogEntry, out: bool) -> Shown:
    """Once a variant of a template went out at the entry's time, or did not after all; the newest 32."""
    if entry.template_id is None or entry.variant_id is None:
        return shown
    key = shown_key(entry.template_id, entry.variant_id)
    if not out:
        return {known: at for known, at in shown.items() if known != key} if shown.get(key) == entry.at else shown
    grown = {**shown, key: max(shown.get(key, entry.at), entry.at)}
    if len(grown) > _MOST_SHOWN:
        del grown[min(grown, key=grown.__getitem__)]
    return grown
