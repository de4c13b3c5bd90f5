"""What is to be seen: of one person, and of the whole tenant."""

from __future__ import annotations

from math import sqrt
from typing import Any

from personalization import telemetry
from personalization.clock import DAY, Clock, rfc3339, zone
from personalization.deciding.record import decode_record
from personalization.engines.analyses.channel import best_channels
from personalization.engines.analyses.timing import best_hours
from personalization.engines.behavior import ANALYSES
from personalization.errors import Invalid
from personalization.messages import LogEntry
from personalization.models.registry import PolicyBook
from personalization.operations.budgets import standings
from personalization.operations.configuration import Configuration
from personalization.operations.paging import number_of, page
from personalization.operations.profiles import Profiles, behavioral_patterns
from personalization.profile import DECIDED
from personalization.storage.base import Storage, Summary
from personalization.vocabulary import LogType

Document = dict[str, Any]

#: The two-sided 95 % point of the normal distribution.
_Z = 1.96
_KINDS = {LogType.PROFILE_UPDATED: "profile", LogType.CONSENT_CHANGED: "consent", DECIDED: "decision"}


class Insights:
    """One tenant's insights."""

    def __init__(
        self, tenant_id: str, storage: Storage, book: PolicyBook, profiles: Profiles, configuration: Configuration, clock: Clock
    ) -> None:
        self._tenant_id, self._storage, self._book, self._profiles = tenant_id, storage, book, profiles
        self._configuration, self._clock = configuration, clock

    def user(self, user_id: str, include_predictions: bool) -> Document:
        profile, now = self._profiles.find(user_id), self._clock.now()
        answer: Document = {
            "user_id": user_id,
            "behavioral_patterns": behavioral_patterns(profile, now),
            "best_channels": best_channels(profile, now),
            "best_hours_of_week": best_hours(profile, now),
            "triggers": [str(trigger) for trigger in profile.due_triggers()],
            "metadata": {
                "confidence_level": round(profile.confidence_level(now), 4),
                "data_quality_score": round(profile.data_quality_score(), 4),
                "last_updated": rfc3339(profile.updated_at),
            },
        }
        if include_predictions:
            answer["predictive_scores"] = self._profiles.scores(profile, now)
        return answer

    def timeline(self, user_id: str, limit: int, cursor: str | None) -> Document:
        """Newest first."""
        user_ref = self._profiles.user_ref(user_id)
        found = self._storage.log.timeline(self._tenant_id, user_ref, limit + 1, number_of(cursor))
        return page([_entry(row) for row in found], found, limit, lambda row: row.seq)

    def overview(self, since: int | None, until: int | None, timezone: str | None) -> Document:
        """Of the last 30 days unless told otherwise; `series` by local day. Budgets are those of the running periods."""
        config, now = self._configuration.current(), self._clock.now()
        until = now + 1 if until is None else until
        since = until - 30 * DAY if since is None else since
        if since >= until:
            raise Invalid.field("from", "must lie before to")
        try:
            place = zone(timezone or config.timezone).key
        except ValueError as unknown:
            raise Invalid.field("timezone", str(unknown)) from unknown
        found = self._storage.log.summary(self._tenant_id, since, until, place)
        return {
            "from": rfc3339(since),
            "to": rfc3339(until),
            "decisions": found.decisions,
            "sends": found.sends,
            "suppressions": dict(found.suppressions),
            "events": dict(found.events),
            "engagement_rate": _share(found.engaged_sends, found.sends),
            "conversion_rate": _share(found.converted_sends, found.sends),
            "revenue": {
                "total": found.revenue,
                "attributed": found.attributed_revenue,
                "incremental": _incremental(found),
                "currency": config.currency,
            },
            "lift": lift(found),
            "quality": {
                "mean": found.quality_mean,
                "below_threshold": sum(quality < config.min_quality_score for quality in found.qualities),
            },
            "budgets": standings(self._storage.log, self._book, self._tenant_id, config, now),
            "cache_hit_ratio": telemetry.cache_hit_ratio(),
            "latency_ms": _latency(),
            "series": [dict(row) for row in found.series],
        }

    def analysis(self, user_id: str, analysis_type: str | None) -> Document:
        """One kind of analysis, or all: patterns found, how strong, on what evidence, what they mean for the next message."""
        profile, now = self._profiles.find(user_id), self._clock.now()
        if analysis_type is not None and analysis_type not in ANALYSES:
            raise Invalid.field("analysis_type", f"must be one of {', '.join(ANALYSES)}")
        wanted = [analysis_type] if analysis_type else list(ANALYSES)
        scores = self._profiles.scores(profile, now)
        return {"user_id": user_id, "analyses": [{"type": name, **ANALYSES[name](profile, now, scores)} for name in wanted]}


def _entry(row: LogEntry) -> Document:
    kind = _KINDS.get(row.type, "event")
    entry: Document = {"at": rfc3339(row.recorded_at if kind == "decision" else row.at), "kind": kind}
    if kind == "decision":
        record = decode_record(row.record or b"")
        entry.update(
            decision_id=row.decision_id,
            action="send" if record.outcome.chosen is not None else "suppress",
            template_id=row.template_id,
            channel=row.channel,
            mode=record.mode,
            reason=record.inputs.refusal,
            slot_at=rfc3339(row.at) if row.channel else None,
        )
    elif kind == "event":
        entry.update(
            type=row.type,
            decision_id=row.decision_id,
            template_id=row.template_id,
            channel=row.channel,
            name=row.name,
            value=row.value,
            currency=row.currency,
        )
    else:
        entry.update(row.body or {})
    return entry


# -- of the tenant ---------------------------------------------------------------------------------------------------


def lift(found: Summary) -> Document:
    """Engagement rate of the treated minus that of the holdout, 95 % interval clustered by user (ratio estimator,
    delta method); null without both."""
    arms = {is_holdout: row for is_holdout, *row in found.arms}
    holdout_users = arms[True][0] if True in arms else 0
    if len(arms) < 2 or any(row[0] < 2 for row in arms.values()):
        return {"value": None, "low": None, "high": None, "holdout_users": holdout_users}
    (treated, treated_variance), (held, held_variance) = _rate(arms[False]), _rate(arms[True])
    value, spread = treated - held, _Z * sqrt(treated_variance + held_variance)
    return {
        "value": round(value, 6),
        "low": round(value - spread, 6),
        "high": round(value + spread, 6),
        "holdout_users": holdout_users,
    }


def _rate(arm: list[Any]) -> tuple[float, float]:
    """Engaged sends per send and its variance with users as clusters."""
    users, sends, engaged, squares, products, engaged_squares = arm
    rate = engaged / sends
    residual = engaged_squares - 2 * rate * products + rate * rate * squares
    return rate, users / (users - 1) * residual / sends**2


def _incremental(found: Summary) -> float | None:
    """Attributed revenue in proportion to the lift of the treated rate; null without a holdout."""
    measured = lift(found)["value"]
    arms = {is_holdout: row for is_holdout, *row in found.arms}
    if measured is None or not arms[False][2]:
        return None
    return float(round(found.attributed_revenue * measured * arms[False][1] / arms[False][2], 2))


def _latency() -> dict[str, float | None]:
    """Of this process, whatever the window."""
    found = telemetry.quantiles(telemetry.DECISION_SECONDS, (0.5, 0.95, 0.99))
    return {name: None if q is None else round(q * 1e3, 3) for name, q in zip(("p50", "p95", "p99"), found, strict=True)}


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None
