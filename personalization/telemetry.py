"""The closed list of metrics. Labels are bound where they are used, once."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

REQUESTS = Counter("personalization_requests", "Answers by route and status", ("route", "status"), registry=REGISTRY)
DECISIONS = Counter("personalization_decisions", "Decisions by action and mode", ("action", "mode"), registry=REGISTRY)
DECISION_SECONDS = Histogram(
    "personalization_decision_seconds", "From admission to acknowledgement", buckets=_SECONDS, registry=REGISTRY
)
FALLBACKS = Counter("personalization_fallbacks", "Baselines returned because something failed", ("reason",), registry=REGISTRY)
EVENTS = Counter("personalization_events", "Engagement events by outcome", ("outcome",), registry=REGISTRY)
QUEUE_DEPTH = Gauge("personalization_queue_depth", "Waiting requests", ("queue",), registry=REGISTRY)
QUEUE_WAIT = Histogram("personalization_queue_wait_seconds", "Time spent waiting", ("queue",), buckets=_SECONDS, registry=REGISTRY)
REJECTIONS = Counter(
    "personalization_rejections", "Requests refused by a full queue or at admission", ("queue",), registry=REGISTRY
)
CACHE = Counter("personalization_profile_cache", "Profile reads by layer and outcome", ("outcome",), registry=REGISTRY)
HOOK_FAILURES = Counter("personalization_hook_failures", "Hooks that raised", ("hook",), registry=REGISTRY)
FOLLOWER_SEQ = Counter("personalization_follower_rows", "Log rows applied", ("follower",), registry=REGISTRY)
FOLLOWER_FAILURES = Counter(
    "personalization_follower_failures", "Follower steps that raised and will be tried again", ("follower",), registry=REGISTRY
)
SNAPSHOTS = Counter("personalization_snapshots", "Policy snapshots published or loaded", ("what",), registry=REGISTRY)
MODELS = Counter(
    "personalization_models",
    "Models loaded, refused, trained, failed, failing, alarms",
    ("what",),
    registry=REGISTRY,
)
LIMITED = Counter("personalization_rate_limited", "Requests refused by a rate limit", ("limit",), registry=REGISTRY)
LIMITER_DEGRADED = Counter(
    "personalization_limiter_degraded", "Limits kept in memory because Redis did not answer", registry=REGISTRY
)
JWKS_FAILURES = Counter(
    "personalization_jwks_failures", "Fetches of JWT_JWKS_URL that failed; the keys before go on", registry=REGISTRY
)


def quantiles(histogram: Histogram, wanted: tuple[float, ...]) -> list[float | None]:
    """Estimates from the buckets, linear inside one; None before anything was observed."""
    buckets = [(float(s.labels["le"]), s.value) for m in histogram.collect() for s in m.samples if s.name.endswith("_bucket")]
    total = buckets[-1][1]
    return [_quantile(buckets, q * total) if total else None for q in wanted]


def _quantile(buckets: list[tuple[float, float]], rank: float) -> float:
    low, below = 0.0, 0.0
    for high, count in buckets:
        if count >= rank and count > below:
            return low if high == float("inf") else low + (high - low) * (rank - below) / (count - below)
        low, below = high, count
    return low


def cache_hit_ratio() -> float | None:
    """Share of profile reads answered from memory; None before the first."""
    hit, miss = (REGISTRY.get_sample_value("personalization_profile_cache_total", {"outcome": o}) or 0.0 for o in ("hit", "miss"))
    return round(hit / (hit + miss), 4) if hit + miss else None


def exposition() -> bytes:
    """The Prometheus text format."""
    return generate_latest(REGISTRY)
