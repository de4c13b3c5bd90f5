"""The closed lists of words the engine speaks, each word one meaning (see README, "Words")."""

from __future__ import annotations

from enum import StrEnum


class EventType(StrEnum):
    """What a person did with a message, as the caller reports it."""

    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    CONVERTED = "converted"
    REPLIED = "replied"
    DISMISSED = "dismissed"
    UNSUBSCRIBED = "unsubscribed"
    COMPLAINED = "complained"
    BOUNCED = "bounced"
    REWARDED = "rewarded"
    CUSTOM = "custom"


class LogType(StrEnum):
    """Rows of the event log that the engine writes itself, beside the engagement events.

    ERASED and ANONYMIZED say that a pseudonym is nobody's any more; BLANK is what stays of an erased person's rows.
    """

    EXPOSED = "exposed"
    REWARD_MATURED = "reward_matured"
    ACTIVATED = "activated"
    DISCARDED = "discarded"
    PROFILE_UPDATED = "profile_updated"
    CONSENT_CHANGED = "consent_changed"
    CONFIG_CHANGED = "config_changed"
    ERASED = "erased"
    ANONYMIZED = "anonymized"
    BLANK = "blank"


class Action(StrEnum):
    SEND = "send"
    SUPPRESS = "suppress"


class Mode(StrEnum):
    """How the returned action came about."""

    ONLINE = "online"
    GREEDY = "greedy"
    BASELINE = "baseline"
    HOLDOUT = "holdout"
    APPRENTICE = "apprentice"
    FALLBACK = "fallback"


class LearningMode(StrEnum):
    ONLINE = "online"
    APPRENTICE = "apprentice"
    OFF = "off"


class PolicyMethod(StrEnum):
    """How a policy explores: by posterior chance, by inverse gaps, or not at all but by upper bounds."""

    THOMPSON = "thompson"
    SQUARECB = "squarecb"
    LINUCB = "linucb"


class ModelStatus(StrEnum):
    """Where a version of a model stands: SHADOW is judged beside the LIVE one and serves nobody, FAILED says why in its report."""

    TRAINING = "training"
    READY = "ready"
    SHADOW = "shadow"
    LIVE = "live"
    RETIRED = "retired"
    FAILED = "failed"


class Suppression(StrEnum):
    """Why nothing is sent."""

    FREQUENCY_CAPPED = "frequency_capped"
    QUIET_HOURS = "quiet_hours"
    NO_CONSENT = "no_consent"
    UNREACHABLE = "unreachable"
    HOLDOUT = "holdout"
    LOW_UPLIFT = "low_uplift"
    FATIGUE = "fatigue"
    BUDGET = "budget"
    DUPLICATE = "duplicate"
    USER_DISABLED = "user_disabled"
    INELIGIBLE = "ineligible"
    DEPENDENCY_UNAVAILABLE = "dependency_unavailable"


class FallbackReason(StrEnum):
    """Which failure made the baseline the answer."""

    DEADLINE = "deadline_missed"
    MODEL = "model_failed"
    RENDERING = "rendering_failed"


class Category(StrEnum):
    PROMOTIONAL = "promotional"
    TRANSACTIONAL = "transactional"


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"
    CRITICAL = "critical"


class ServiceLevel(StrEnum):
    BASIC = "basic"
    STANDARD = "standard"
    PREMIUM = "premium"
    ENTERPRISE = "enterprise"
    QUANTUM = "quantum"


class Strategy(StrEnum):
    NEURAL_CONTENT = "neural_content"
    BEHAVIORAL_ADAPTIVE = "behavioral_adaptive"
    EMOTIONAL_RESONANCE = "emotional_resonance"
    CONTEXTUAL_INTELLIGENCE = "contextual_intelligence"
    PREDICTIVE_OPTIMIZATION = "predictive_optimization"
    CROSS_CHANNEL_SYNC = "cross_channel_sync"


class PersonalizationTrigger(StrEnum):
    """Why a profile was looked at anew."""

    USER_INTERACTION = "user_interaction"
    BEHAVIORAL_PATTERN = "behavioral_pattern"
    EMOTIONAL_STATE_CHANGE = "emotional_state_change"
    CONTEXT_SHIFT = "context_shift"
    ENGAGEMENT_THRESHOLD = "engagement_threshold"
    PREDICTIVE_SIGNAL = "predictive_signal"


class Hook(StrEnum):
    """The four places where a host program may listen or amend."""

    PRE_PERSONALIZATION = "pre_personalization"
    POST_PERSONALIZATION = "post_personalization"
    PROFILE_UPDATED = "profile_updated"
    QUALITY_THRESHOLD_FAILED = "quality_threshold_failed"


class Aggregation(StrEnum):
    """How several events of one decision become one reward."""

    FIRST_PER_TYPE = "first_per_type"
    SUM = "sum"
    MAX = "max"


class ConsentDefault(StrEnum):
    GRANTED = "granted"
    REQUIRED = "required"


class Role(StrEnum):
    ADMIN = "admin"
    SERVICE = "service"
    MARKETER = "marketer"
    ANALYST = "analyst"
    PRIVACY = "privacy"


class Permission(StrEnum):
    PERSONALIZE = "personalize"
    RECORD_EVENTS = "record_events"
    UPDATE_PREFERENCES = "update_preferences"
    GENERATE_CONTENT = "generate_content"
    ANALYZE_BEHAVIOR = "analyze_behavior"
    MANAGE_TEMPLATES = "manage_templates"
    READ_INSIGHTS = "read_insights"
    MANAGE_PRIVACY = "manage_privacy"
    READ_AUDIT = "read_audit"
    MANAGE_MODELS = "manage_models"
    ADMINISTER = "administer"


#: Channels the engine knows limits for; the set is open, a tenant may name others.
KNOWN_CHANNELS = ("email", "sms", "push", "in_app", "web_push", "whatsapp", "voice", "webhook")

#: Events that say "this message reached the person and they liked it".
ENGAGED_TYPES = frozenset({EventType.OPENED, EventType.CLICKED, EventType.CONVERTED, EventType.REPLIED})
