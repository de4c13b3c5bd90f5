"""Profiles as documents: declared sections in, the architecture's document out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from msgspec.structs import replace

from personalization.cache import CachedProfiles
from personalization.clock import Clock, rfc3339, zone
from personalization.content.locales import canonical_language
from personalization.errors import Conflict, Erased, Invalid, NotFound
from personalization.models.features import features_of
from personalization.models.scores import Serving, predictive_scores
from personalization.operations.merging import merged
from personalization.profile import (
    Consent,
    ContentPreferences,
    FrequencyPreferences,
    PersonalizationProfile,
    TimingPreferences,
    fading,
)
from personalization.storage.base import Storage
from personalization.tenant import QuietHours
from personalization.vocabulary import PersonalizationTrigger

#: How often a save that met another's is tried again on the fresh profile.
_TRIES = 20

Document = dict[str, Any]
Change = Callable[[PersonalizationProfile], PersonalizationProfile]


class Profiles:
    """One tenant's profiles by user id. `changed` is told of every declared change and why; `serving` are the models of scores."""

    def __init__(
        self,
        tenant_id: str,
        storage: Storage,
        profiles: CachedProfiles,
        clock: Clock,
        changed: Callable[[Document, PersonalizationTrigger], None],
        serving: Callable[[], Serving],
    ) -> None:
        self._tenant_id, self._storage, self._profiles, self._clock, self._changed = tenant_id, storage, profiles, clock, changed
        self._serving = serving

    def document(self, user_id: str) -> Document:
        """Raises NotFound when nothing was declared of the user."""
        return self.told(user_id, self.find(user_id), self._clock.now())

    def told(self, user_id: str, profile: PersonalizationProfile, now: int) -> Document:
        """The document of a profile that was found."""
        return document(user_id, profile, now, self.scores(profile, now))

    def scores(self, profile: PersonalizationProfile, now: int) -> Document:
        return predictive_scores(self._serving(), features_of(profile, now), now)

    def find(self, user_id: str) -> PersonalizationProfile:
        """As the store has it now, whichever process wrote it; only decisions read from memory. Raises NotFound."""
        user_ref = self.user_ref(user_id)
        profile = self._storage.profiles.load(self._tenant_id, [user_ref]).get(user_ref)
        if profile is None or not profile.declared:
            raise NotFound("profile")
        return profile

    def user_ref(self, user_id: str) -> bytes:
        """Raises NotFound for a user never heard of."""
        found = self._storage.users.resolve(self._tenant_id, [user_id], self._clock.now())
        if user_id not in found:
            raise NotFound("profile")
        return found[user_id]

    def put(self, user_id: str, sections: Mapping[str, Any]) -> tuple[Document, bool]:
        """Replace the declared sections, those not named emptied; True when the profile is new. An erased person begins
        afresh. Raises Invalid."""
        declared(sections)
        trigger = PersonalizationTrigger.USER_INTERACTION
        return self._change(user_id, lambda profile: with_sections(profile, sections), trigger, afresh=True)

    def patch(
        self,
        user_id: str,
        patch: Mapping[str, Any],
        trigger: PersonalizationTrigger = PersonalizationTrigger.USER_INTERACTION,
    ) -> tuple[Document, bool]:
        """Merge by RFC 7396. Raises Invalid, or Erased."""
        return self._change(user_id, lambda profile: with_sections(profile, merged(sections_of(profile), patch)), trigger)

    def put_many(self, rows: Sequence[tuple[str, Mapping[str, Any] | Invalid]]) -> list[Document]:
        """One result a row, in order; a bad row does not touch the others."""
        results: list[Document] = [{} for _ in rows]
        good: dict[str, tuple[int, Mapping[str, Any]]] = {}
        for i, (user_id, sections) in enumerate(rows):
            refusal = sections if isinstance(sections, Invalid) else _refusal(sections)
            if refusal is None and user_id in good:
                refusal = Invalid.field("user_id", "stands in this request twice")
            if refusal is not None:
                results[i] = {"user_id": user_id, "status": 422, "errors": [asdict(error) for error in refusal.errors]}
            elif not isinstance(sections, Invalid):
                good[user_id] = (i, sections)
        done = self._put_all({user_id: sections for user_id, (_, sections) in good.items()})
        for user_id in good.keys() - done.keys():
            errors = [{"field": "user_id", "message": f"erased: {Erased()}"}]
            results[good[user_id][0]] = {"user_id": user_id, "status": Erased.status, "errors": errors}
        for user_id, (document_, created) in done.items():
            i = good[user_id][0]
            results[i] = {"user_id": user_id, "status": 201 if created else 200}
            self._changed(document_, PersonalizationTrigger.USER_INTERACTION)
        return results

    def preferences(self, user_id: str) -> Document:
        """Raises NotFound."""
        return preferences_document(user_id, self.find(user_id))

    def prefer(self, user_id: str, data: Mapping[str, Any], trigger: PersonalizationTrigger) -> Document:
        """Merge the sections among `data`; other keys (engagement data) are only the reason. Raises Invalid."""
        wanted = {name: data[name] for name in _SECTIONS if name in data}
        if not wanted:
            profile = self.find(user_id)
            self._changed(self.told(user_id, profile, self._clock.now()), trigger)
            return preferences_document(user_id, profile)
        self.patch(user_id, wanted, trigger)
        return self.preferences(user_id)

    def set_consent(self, user_id: str, consent: Consent, source: str) -> PersonalizationProfile:
        return self._saved(user_id, lambda profile: replace(profile, consent=consent), source)[0]

    def consents(self, user_id: str) -> list[Document]:
        """Every consent ever given or withdrawn, oldest first."""
        found = self._profiles.consents(self._tenant_id, self.user_ref(user_id))
        return [{"at": rfc3339(at), "source": source, "consent": consent_document(consent)} for at, source, consent in found]

    def _put_all(self, wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[Document, bool]]:
        """Without those who were erased."""
        now = self._clock.now()
        done: dict[str, tuple[Document, bool]] = {}
        for _ in range(_TRIES):
            refs = self._storage.users.resolve(self._tenant_id, wanted, now, create=True)
            left = [user_id for user_id in refs if user_id not in done]
            if not left:
                return done
            self._profiles.forget(self._tenant_id, [refs[user_id] for user_id in left])
            known = self._profiles.load(self._tenant_id, [refs[user_id] for user_id in left])
            before = [known.get(refs[user_id]) or self._fresh(refs[user_id]) for user_id in left]
            after = [with_sections(profile, wanted[user_id]) for user_id, profile in zip(left, before, strict=True)]
            for user_id, saved in zip(left, self._profiles.save_many(after, "api", now), strict=True):
                if saved is not None:
                    done[user_id] = self.told(user_id, saved, now), saved.version == 1
        raise Conflict("These profiles keep changing; try again.")

    def _change(self, user_id: str, change: Change, trigger: PersonalizationTrigger, afresh: bool = False) -> tuple[Document, bool]:
        saved, created = self._saved(user_id, change, trigger, afresh)
        answer = self.told(user_id, saved, self._clock.now())
        self._changed(answer, trigger)
        return answer, created

    def _saved(self, user_id: str, change: Change, source: str, afresh: bool = False) -> tuple[PersonalizationProfile, bool]:
        """Read, change, save; again on the fresh profile when another was quicker. Raises Erased unless `afresh`."""
        now = self._clock.now()
        for _ in range(_TRIES):
            user_ref = self._storage.users.resolve(self._tenant_id, [user_id], now, create=True, afresh=afresh).get(user_id)
            if user_ref is None:
                raise Erased
            known = self._profiles.load(self._tenant_id, [user_ref]).get(user_ref) or self._fresh(user_ref)
            try:
                saved = self._profiles.save(change(known), source, now)
            except Conflict:
                self._profiles.forget(self._tenant_id, [user_ref])
                continue
            return saved, saved.version == 1
        raise Conflict("This profile keeps changing; try again.")

    def _fresh(self, user_ref: bytes) -> PersonalizationProfile:
        return PersonalizationProfile(tenant_id=self._tenant_id, user_ref=user_ref)


# -- sections --------------------------------------------------------------------------------------------------------


def sections_of(profile: PersonalizationProfile) -> Document:
    """The declared sections as a document, empty ones included."""
    timing = profile.timing_preferences
    return {
        "attributes": dict(profile.attributes),
        "traits": dict(profile.traits),
        "language": profile.language,
        "timezone": profile.timezone,
        "content_preferences": {**asdict(profile.content_preferences), "topics": list(profile.content_preferences.topics)},
        "channel_preferences": dict(profile.channel_preferences),
        "timing_preferences": {
            "preferred_hours": list(timing.preferred_hours),
            "quiet_hours": None if timing.quiet_hours is None else quiet_document(timing.quiet_hours),
        },
        "frequency_preferences": asdict(profile.frequency_preferences),
        "reachability": dict(profile.reachability),
    }


def with_sections(profile: PersonalizationProfile, sections: Mapping[str, Any]) -> PersonalizationProfile:
    """The profile with exactly these declared sections; consent and what was learned stay. Raises Invalid."""
    return replace(profile, **declared(sections))


def declared(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Sections as a profile's fields, those not named empty. Raises Invalid naming what to change."""
    content = sections.get("content_preferences") or {}
    timing = sections.get("timing_preferences") or {}
    frequency = sections.get("frequency_preferences") or {}
    return {
        "attributes": dict(sections.get("attributes") or {}),
        "traits": dict(sections.get("traits") or {}),
        "language": _checked("language", canonical_language, sections.get("language")),
        "timezone": _checked("timezone", lambda name: zone(name).key, sections.get("timezone")),
        "content_preferences": ContentPreferences(
            topics=tuple(content.get("topics") or ()), tone=content.get("tone"), length=content.get("length")
        ),
        "channel_preferences": dict(sections.get("channel_preferences") or {}),
        "timing_preferences": TimingPreferences(
            preferred_hours=tuple(sorted(set(timing.get("preferred_hours") or ()))),
            quiet_hours=quiet_hours("timing_preferences.quiet_hours", timing.get("quiet_hours")),
        ),
        "frequency_preferences": FrequencyPreferences(
            max_per_day=frequency.get("max_per_day"), max_per_week=frequency.get("max_per_week")
        ),
        "reachability": dict(sections.get("reachability") or {}),
    }


def quiet_hours(field: str, said: Mapping[str, str] | None) -> QuietHours | None:
    """Raises Invalid when an end is missing."""
    if not said or (said.get("start") is None and said.get("end") is None):
        return None
    if said.get("start") is None or said.get("end") is None:
        raise Invalid.field(field, "needs both start and end, like 22:00 and 07:00")
    return QuietHours(_minutes(said["start"]), _minutes(said["end"]))


def quiet_document(quiet: QuietHours) -> dict[str, str]:
    return {"start": f"{quiet.start // 60:02}:{quiet.start % 60:02}", "end": f"{quiet.end // 60:02}:{quiet.end % 60:02}"}


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _checked(field: str, check: Callable[[str], str], said: str | None) -> str | None:
    try:
        return None if said is None else check(said)
    except ValueError as wrong:
        raise Invalid.field(field, str(wrong)) from wrong


def _refusal(sections: Mapping[str, Any]) -> Invalid | None:
    try:
        declared(sections)
    except Invalid as refusal:
        return refusal
    return None


def preferences_document(user_id: str, profile: PersonalizationProfile) -> Document:
    sections = sections_of(profile)
    return {"user_id": user_id, **{name: sections[name] for name in _PREFERENCES}, "version": profile.version}


_PREFERENCES = (
    "language",
    "timezone",
    "content_preferences",
    "channel_preferences",
    "timing_preferences",
    "frequency_preferences",
    "reachability",
)
_SECTIONS = ("attributes", "traits", *_PREFERENCES)


# -- the document ----------------------------------------------------------------------------------------------------


def document(user_id: str, profile: PersonalizationProfile, now: int, scores: Document) -> Document:
    return {
        "user_id": user_id,
        "tenant_id": profile.tenant_id,
        **sections_of(profile),
        "consent": consent_document(profile.consent),
        "behavioral_patterns": behavioral_patterns(profile, now),
        "predictive_scores": scores,
        "metadata": {
            "last_updated": rfc3339(profile.updated_at),
            "created_at": rfc3339(profile.created_at),
            "confidence_level": round(profile.confidence_level(now), 4),
            "data_quality_score": round(profile.data_quality_score(), 4),
            "version": profile.version,
        },
    }


def consent_document(consent: Consent) -> Document:
    return {
        "personalization": consent.personalization,
        "learning": consent.learning,
        "marketing": consent.marketing,
        "channels": dict(consent.channels),
        "marketing_channels": dict(consent.marketing_channels),
    }


def behavioral_patterns(profile: PersonalizationProfile, now: int) -> Document:
    """Counts are decayed (half-life 28 days) as of now; hours of week are local, 0 = Monday 00:00."""
    patterns, fade = profile.patterns, fading(now)
    return {
        "engagement_score": round(profile.engagement_score(now), 4),
        "interaction_patterns": {
            "channels": {
                channel: {kind: round(fade * weight, 4) for kind, weight in sorted(counts.items())}
                for channel, counts in sorted(patterns.channels.items())
            },
            "events": patterns.events,
            "sends": patterns.sends,
            "frequency": round(fade * patterns.frequency, 4),
            "monetary": round(fade * patterns.monetary, 4),
            "last_event_at": None if patterns.last_event_at is None else rfc3339(patterns.last_event_at),
            "last_sent_at": None if patterns.last_sent_at is None else rfc3339(patterns.last_sent_at),
        },
        "timing_patterns": {
            "engaged_hours_of_week": {str(hour): round(fade * w, 4) for hour, w in sorted(patterns.engaged.items())},
            "sent_hours_of_week": {str(hour): round(fade * w, 4) for hour, w in sorted(patterns.sent.items())},
        },
    }
