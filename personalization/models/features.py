"""What models read of a person: one definition, for a score now and for the examples a model is taught by.

Everything here is known at the moment it is asked for; nothing is read but the profile, so a profile rebuilt from the first
rows of the log gives the features as they were then.
"""

from __future__ import annotations

from personalization.clock import DAY, utc_offset, zone
from personalization.learning.tables import Value
from personalization.models.days import day_features
from personalization.profile import PersonalizationProfile, fading

#: Days after which silence says no more.
_LONGEST = 730.0


def features_of(profile: PersonalizationProfile, now: int) -> dict[str, Value]:
    """Behaviour as of `now` and the declared traits (`trait:plan`). None for unknown."""
    p, fade = profile.patterns, fading(now)
    return {
        "engagement_score": p.engagement_score(now),
        "engaged_lately": p.engaged_lately(now),
        "sends_in_7_days": float(p.load(now)),
        "sends": fade * p.exposures,
        "engagements": fade * p.engagements,
        "events": float(p.events),
        "days_since_engaged": _days(p.last_engaged_at, now),
        "days_since_sent": _days(p.last_sent_at, now),
        "days_known": _days(p.first_event_at, now),
        **day_features(p.active, p.bought, _today(profile, now)),
        **{f"trait:{name}": _plain(value) for name, value in profile.traits.items()},
    }


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
