"""What models read of a person: one definition, for a score now and for the examples a model is taught by.

Everything here is known at the moment it is asked for; nothing is read but the profile, so a profile rebuilt from the first
rows of the log gives the features as they were then. Names and their meaning stay: models in storage know columns by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from personalization.clock import DAY, utc_offset, zone
from personalization.learning.tables import Value
from personalization.models.days import day_features
from personalization.profile import HALF_LIFE, SHORT_HALF_LIFE, PersonalizationProfile, fading
from personalization.vocabulary import EventType

#: Shares of sends that each event follows, believed before any data; `deciding.forecast` begins with the same.
EXPECTED: Mapping[str, float] = MappingProxyType({"opened": 0.2, "clicked": 0.03, "converted": 0.01, "unsubscribed": 0.002})
#: Of an engagement whatever its kind: the Beta prior (1, 3) of `profile.engagement_score`.
ENGAGED, ENGAGED_PERSONAL = 0.25, 4.0
#: Sends that this belief weighs as much as, about one person.
PERSONAL = 10.0

#: Days after which silence says no more.
_LONGEST = 730.0
#: What the short half-life keeps of a steady rate, as a share of what the long one keeps.
_STEADY = SHORT_HALF_LIFE / HALF_LIFE
_OPENED, _CLICKED, _CONVERTED = str(EventType.OPENED), str(EventType.CLICKED), str(EventType.CONVERTED)
_REPLIED, _DISMISSED, _BOUNCED = str(EventType.REPLIED), str(EventType.DISMISSED), str(EventType.BOUNCED)
_UNSUBSCRIBED = str(EventType.UNSUBSCRIBED)


def features_of(profile: PersonalizationProfile, now: int) -> dict[str, Value]:
    """Behaviour as of `now`, one share of each channel with any history (`engaged:email`), and what was declared
    (`trait:plan`, `language`). None for unknown. Counts are decayed, half in 28 days, unless their name says otherwise.

    opened, clicked, converted, unsubscribed : share of sends, a Beta posterior mean; `sends` is its evidence
    momentum : engagements of late against those before, -1 gone quiet, 0 steady, 1 just begun
    """
    p, fade = profile.patterns, fading(now)
    totals, sends, engagements = p.totals, max(fade * p.exposures, 0.0), fade * p.engagements
    n, lately = PERSONAL + sends, p.engaged_lately(now)
    recent = lately / _STEADY
    found: dict[str, Value] = {
        "engagement_score": (engagements + _ENGAGE) / (max(sends, engagements) + ENGAGED_PERSONAL),
        "engaged_lately": lately,
        "momentum": (recent - engagements) / (recent + engagements + 1.0),
        "opened": (_OPEN + min(fade * totals.get(_OPENED, 0.0), sends)) / n,
        "clicked": (_CLICK + min(fade * totals.get(_CLICKED, 0.0), sends)) / n,
        "converted": (_CONVERT + min(fade * totals.get(_CONVERTED, 0.0), sends)) / n,
        "unsubscribed": (_UNSUBSCRIBE + min(fade * totals.get(_UNSUBSCRIBED, 0.0), sends)) / n,
        "dismissals": fade * totals.get(_DISMISSED, 0.0),
        "bounces": fade * totals.get(_BOUNCED, 0.0),
        "sends_in_1_day": float(p.load(now, DAY)),
        "sends_in_7_days": float(p.load(now)),
        "sends": sends,
        "engagements": engagements,
        "events": float(p.events),
        "days_since_engaged": _days(p.last_engaged_at, now),
        "days_since_sent": _days(p.last_sent_at, now),
        "days_known": _days(p.first_event_at, now),
        **day_features(p.active, p.bought, _today(profile, now)),
    }
    for channel, counts in p.channels.items():
        get = counts.get
        engaged = fade * (get(_OPENED, 0.0) + get(_CLICKED, 0.0) + get(_CONVERTED, 0.0) + get(_REPLIED, 0.0))
        found["engaged:" + channel] = (engaged + _ENGAGE) / (max(fade * get("sent", 0.0), engaged) + ENGAGED_PERSONAL)
    return found | declared_of(profile)


def declared_of(profile: PersonalizationProfile) -> dict[str, Value]:
    """What callers said of the person: what it was before it was last changed is not kept."""
    declared = {"trait:" + name: _plain(value) for name, value in profile.traits.items()}
    declared["language"] = profile.language
    return declared


_OPEN, _CLICK, _CONVERT, _UNSUBSCRIBE = (PERSONAL * share for share in EXPECTED.values())
_ENGAGE = ENGAGED_PERSONAL * ENGAGED


def _today(profile: PersonalizationProfile, now: int) -> int:
    """Their local day where a zone was declared, else that of UTC."""
    return (now + (utc_offset(now, zone(profile.timezone)) if profile.timezone else 0)) // DAY


def _days(at: int | None, now: int) -> float | None:
    return None if at is None else min(max(now - at, 0) / DAY, _LONGEST)


def _plain(value: object) -> Value:
    """Traits are numbers, truths and texts; anything else is text."""
    if value is None or isinstance(value, str):
        return value
    return float(value) if isinstance(value, (bool, int, float)) else str(value)
