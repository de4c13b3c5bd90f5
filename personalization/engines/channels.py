"""The channels engine: one message by several channels is one message, and a channel that bounces is trusted less.

What it knows is what the followers of the log have seen. Two decisions for one message_id within that time (tens of
milliseconds, at most a second) do not see each other, and both may go out; nor do two of one batch.
"""

from __future__ import annotations

from personalization.clock import HOUR
from personalization.engines.reading import Reading
from personalization.messages import PersonalizationRequest
from personalization.profile import PersonalizationProfile, fading
from personalization.sent import REMEMBERED, SentMessage, message_key

#: An unread message goes by the next channel after this time, unless the request says otherwise.
DEFAULT_ESCALATION = 4 * HOUR
#: Sends believed to have arrived before anything was sent: so many bounces in a row halve the trust in a channel.
_TRUST = 4.0


class Sync(Reading, frozen=True, kw_only=True):
    """What the message's earlier sends mean for one more of it.

    taken      : whether there is a message_id of a person that may be looked up
    duplicate  : it may not go out (again) now
    due_at     : when it may go by the next channel; None: never, since it was read
    variant_id : the one it went out in, which every further send keeps
    used       : channels it went out by already
    counted    : it has its place under the frequency caps
    """

    taken: bool = False
    duplicate: bool = False
    due_at: int | None = None
    variant_id: str | None = None
    used: tuple[str, ...] = ()
    counted: bool = False


_NO_MESSAGE = Sync()
#: Of a message nothing is known of yet.
NOT_SENT = Sync(silent=(("message", "new"),), taken=True)


def read(profile: PersonalizationProfile | None, request: PersonalizationRequest, now: int) -> Sync:
    """A read message is never sent again; an unread one waits for `escalate_after` since its newest slot, and then goes by a
    channel not used for it. One that bounced everywhere it went need not wait. After 30 days it is forgotten."""
    if request.message_id is None or profile is None or not profile.user_ref:
        return _NO_MESSAGE
    messages = profile.patterns.messages
    key = message_key(profile.user_ref, request.message_id) if messages else b""
    found = next((message for message in messages if message.key == key), None)
    if found is None or found.first_at is None or found.touched_at < now - REMEMBERED:
        return NOT_SENT
    return _sync(found, request.escalate_after or DEFAULT_ESCALATION, now)


def _sync(message: SentMessage, escalate_after: int, now: int) -> Sync:
    unread_since = message.unread_since
    due_at = None if unread_since is None or message.read else unread_since + escalate_after
    waits = due_at is not None and now < due_at
    word = "read" if message.read else "waiting" if waits else "due"
    return Sync(
        silent=(("message", word), *(("sent_by", channel) for channel in message.channels)),
        taken=True,
        duplicate=message.read or waits,
        due_at=due_at,
        variant_id=message.variant_id,
        used=message.channels,
        counted=unread_since is not None,
    )


def delivery(profile: PersonalizationProfile | None, channel: str, now: int) -> float:
    """Chance that a send by this channel arrives, as bounces teach it: posterior mean under 4 pseudo-sends that all did,
    decayed like everything learned of a person. 1 without a bounce. A hard bounce closes the channel besides."""
    counts = profile.patterns.channels.get(channel) if profile is not None else None
    if not counts or "bounced" not in counts:
        return 1.0
    fade = fading(now)
    bounced = fade * counts["bounced"]
    return 1.0 - bounced / (max(fade * counts.get("sent", 0.0), bounced) + _TRUST)
