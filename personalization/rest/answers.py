"""The answers, as the documentation shows them. Answers are not checked against these; the tests of the house are."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from personalization.learning.segments import Segment, Stage
from personalization.models.rhythm import Anomaly
from personalization.rest.schemas import (
    BudgetBody,
    CapBody,
    ConsentBody,
    Duration,
    FooterBody,
    Probability,
    QuietHoursBody,
    RewardPatch,
)
from personalization.vocabulary import (
    Action,
    Aggregation,
    ConsentDefault,
    FallbackReason,
    LearningMode,
    Mode,
    PersonalizationTrigger,
    PolicyMethod,
    Role,
    ServiceLevel,
    Suppression,
)

Time = Annotated[str, Meta(description="RFC 3339 with offset", examples=["2026-11-23T10:00:00Z"])]
Sentiment = Annotated[float, Meta(ge=-1, le=1)]
Share = Annotated[float, Meta(ge=0, le=1)]


class FieldProblem(Struct):
    field: Annotated[str, Meta(description="Dotted path into the body", examples=["variants.0.content"])]
    message: str


class Problem(Struct):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem]
    request_id: str


# -- personalization


class SuppressionReason(Struct):
    reason: Suppression
    retry_at: Time | None


class PredictedEngagement(Struct):
    open: Probability
    click: Probability
    convert: Probability
    unsubscribe: Probability


class Propensity(Struct):
    """Probability with which the policy chose, per stage given the stages before, and their product."""

    send: Probability
    variant: Probability
    channel: Probability
    timing: Probability
    joint: Probability


class Policy(Struct):
    model_id: str
    version: str
    mode: Mode
    profile: Annotated[str, Meta(description="known or unknown")]
    prices: Annotated[str, Meta(description="Version of the shadow prices, where budgets bind")] | None = None


class Contribution(Struct):
    feature: Annotated[
        str,
        Meta(
            description="A stage's option (`variant b`, `channel push`, `hour 19:00`), alone, `x` something known of the person or "
            "the moment (`variant b x trait:plan=pro`), or `:` what else speaks for it (preference, habit, cost, reach, "
            "shadow price, risk, repeat). Those after the weightiest eight are added up as `everything else`"
        ),
    ]
    value: Annotated[Any, Meta(description="Of the feature; of `everything else`, how many it adds up")]
    effect: Annotated[
        float,
        Meta(description="What it adds over the mean of the stage's options, in logits of the expected reward"),
    ]


class ExplainedStage(Struct):
    stage: Annotated[str, Meta(description="send, variant, channel or timing; each given the ones before it")]
    greedy: str | None
    chosen: Annotated[str | None, Meta(description="null when nothing is sent")]
    propensity: Probability | None
    greedy_probability: Annotated[Probability, Meta(description="With which the stage keeps to its greedy option")]


class Constraint(Struct):
    """variant_id and what follows: of a guardrail that the variant is over."""

    name: str
    channel: Annotated[str, Meta(description="* for all")]
    binding: Annotated[bool, Meta(description="Whether without it another action would be the greedy one")]
    retry_at: Annotated[Time | None, Meta(description="From when on it does not hold")]
    variant_id: str | None = None
    event: str | None = None
    rate: Probability | None = None
    limit: Probability | None = None
    probability: Annotated[float, Meta(ge=0, le=1, description="That the true rate is above the limit")] | None = None


class Counterfactual(Struct, rename={"if_": "if"}):
    """One input changed and the decision made again: what would be greedy then."""

    if_: str
    then: str


class Shadow(Struct):
    """What the policy drew where the baseline was returned instead."""

    action: Action
    variant_id: str
    channel: str
    timing: Time | None


class Explanation(Struct):
    summary: str
    contributions: Annotated[list[Contribution], Meta(description="`baseline_logit` and all effects add up to `greedy_logit`")]
    baseline_logit: Annotated[float | None, Meta(description="At the mean option of every stage; null where no model took part")]
    greedy_logit: float | None
    expected_reward: Annotated[float | None, Meta(description="Of the greedy action, in reward units, less the channel's cost")]
    greedy_action: Annotated[dict[str, Any], Meta(description="What certainty would do")]
    exploration_probability: Annotated[Probability, Meta(description="P(the action differs from the greedy one)")]
    stages: list[ExplainedStage]
    constraints: list[Constraint]
    counterfactuals: Annotated[list[Counterfactual], Meta(description="At most four; empty unless explain was asked")]


class Replay(Struct):
    identical: bool | None
    differences: list[str]
    reason: str | None


class Decision(Struct):
    decision_id: str
    user_id: str | None
    action: Action
    suppression: SuppressionReason | None
    template_id: str | None
    template_version: int | None
    variant_id: str | None
    personalized_content: dict[str, str] | None
    original_content: dict[str, str]
    language: str
    optimal_channels: Annotated[list[str], Meta(description="Best first, the chosen one first")]
    optimal_timing: Annotated[str, Meta(description="RFC 3339 in the user's zone")] | None
    strategies_applied: Annotated[list[str], Meta(description="Those that really took part in this decision")]
    personalization_level: ServiceLevel
    quality_score: Annotated[Probability | None, Meta(description="Of the chosen variant; null when nothing is sent")]
    confidence_score: Probability
    predicted_engagement: PredictedEngagement
    propensity: Propensity
    policy: Policy
    recommendations: Annotated[list[str], Meta(description="What would help, the most important first, at most five")]
    fallback: bool
    fallback_reason: FallbackReason | None
    cache_hit: bool
    processing_time_ms: float
    shadow: Shadow | None = None
    explanation: Annotated[Explanation, Meta(description="With explain")] | None = None


class RecordedDecision(Decision, kw_only=True):
    status: Annotated[str, Meta(description="active, inactive or discarded")]
    inputs_digest: str | None = None
    replay: Annotated[Replay, Meta(description="With replay=true")] | None = None


class BatchRow(Struct):
    status: int
    decision: Decision | None = None
    problem: Problem | None = None


class BatchAnswer(Struct):
    results: list[BatchRow]


class RejectedEvent(Struct):
    index: int
    errors: list[FieldProblem]


class Receipt(Struct):
    accepted: int
    duplicates: int
    rejected: list[RejectedEvent]


class BehavioralPatterns(Struct):
    engagement_score: Probability
    interaction_patterns: dict[str, Any]
    timing_patterns: dict[str, Any]


class ServingVersion(Struct):
    version: Annotated[int, Meta(description="0: published figures, nobody's data taught it")]
    trained_at: Time | None


class PredictiveScores(Struct):
    """Null where nothing can be said, such as of somebody never active. Models that you bring add their scores by name."""

    engagement_prediction: Annotated[Probability | None, Meta(description="Of the next send: engaged with in any way")]
    churn_risk: Annotated[Probability | None, Meta(description="No engagement in the coming 28 days")]
    lifetime_value: Annotated[float | None, Meta(description="Of the coming 12 months, discounted 1 % a month")]
    as_of: Time
    models: Annotated[dict[str, ServingVersion], Meta(description="By model_id, what scored")]
    open: Probability | None = None
    click: Probability | None = None
    convert: Probability | None = None
    unsubscribe: Probability | None = None
    churn: Annotated[Probability | None, Meta(description="By the classifier of who leaves, once it was taught")] = None
    active_days_expected: Annotated[float | None, Meta(description="Days with an engagement in the coming 28")] = None
    days_to_next_activity: Annotated[float | None, Meta(description="Until it has come with a chance of one half")] = None
    journey_stage: Stage | None = None
    purchases_expected: Annotated[float | None, Meta(description="Days with a purchase in the coming 28")] = None
    rfm_segment: Annotated[Segment | None, Meta(description="Among the people that the model was taught by")] = None
    anomaly: Annotated[Probability | None, Meta(description="How far a silence or a burst is beyond their own rhythm")] = None
    anomaly_kind: Annotated[Anomaly | None, Meta(description="Where anomaly is above 0.99")] = None


class ProfileMetadata(Struct):
    created_at: Time
    last_updated: Time
    confidence_level: Probability
    data_quality_score: Probability
    version: int


class ProfileDocument(Struct):
    user_id: str
    tenant_id: str
    attributes: dict[str, Any]
    traits: dict[str, Any]
    language: str | None
    timezone: str | None
    content_preferences: dict[str, Any]
    channel_preferences: dict[str, float]
    timing_preferences: dict[str, Any]
    frequency_preferences: dict[str, Any]
    reachability: dict[str, bool]
    consent: ConsentBody
    behavioral_patterns: BehavioralPatterns
    predictive_scores: PredictiveScores
    metadata: ProfileMetadata


class ProfileResult(Struct):
    user_id: str
    status: int
    errors: list[FieldProblem] | None = None


class ProfileResults(Struct):
    results: list[ProfileResult]


class VariantDocument(Struct):
    variant_id: str
    content: dict[str, dict[str, str]]
    features: dict[str, Any]


class TemplateDocument(Struct):
    template_id: str
    version: int
    name: str
    category: str
    channels: list[str]
    default_language: str
    topics: list[str]
    baseline_variant_id: str
    variants: list[VariantDocument]
    reward: Annotated[RewardPatch, Meta(description="What the template says of it; all else is the tenant's")] | None
    metadata: dict[str, Any]
    created_at: Time
    updated_at: Time


class TemplatePage(Struct):
    items: list[TemplateDocument]
    next_cursor: str | None


Direction = Literal["ltr", "rtl"]


class TranslationFinding(Struct):
    """script: letters of a script the language does not use; direction: html that says another dir than the language has;
    plural: categories of its numbers without a form (they take other);
    missing_part: there in the default language only; untranslated: reads as in the default language; length: too long for a
    channel that the default language fits; voice: breaks with the voice of the configuration; segments: an sms of more than one
    message. part is empty where the content as a whole is meant."""

    kind: Literal["script", "direction", "plural", "missing_part", "untranslated", "length", "voice", "segments"]
    part: str
    message: str


class VariantPreview(Struct):
    """language is what it is written in; falls_back_to names it where that is not the language wanted. content is null when
    variables are missing or it could not be rendered, as failure then says."""

    variant_id: str
    language: str
    direction: Direction
    falls_back_to: str | None
    content: dict[str, str] | None
    missing_variables: list[str]
    failure: str | None
    findings: list[TranslationFinding]
    quality_score: Probability
    quality_reasons: list[str]


class LocalePreview(Struct):
    """name is the language's own; script is ISO 15924."""

    language: str
    name: str
    script: str
    direction: Direction
    variants: list[VariantPreview]


class PreviewDocument(Struct):
    """variants: in the language of the person or the request; locales: that one, or with all_locales every one."""

    template_id: str
    template_version: int
    variants: list[VariantPreview]
    locales: list[LocalePreview]


# -- insights


class ChannelInsight(Struct):
    channel: str
    engagement_rate: Probability
    evidence: Annotated[float, Meta(description="Decayed sends")]


class HourInsight(Struct):
    hour_of_week: Annotated[int, Meta(description="Local, 0 = Monday 00:00", ge=0, le=167)]
    day: str
    hour: int
    engagements: float


class UserInsights(Struct):
    user_id: str
    behavioral_patterns: BehavioralPatterns
    best_channels: list[ChannelInsight]
    best_hours_of_week: list[HourInsight]
    triggers: list[PersonalizationTrigger]
    metadata: dict[str, Any]
    predictive_scores: Annotated[PredictiveScores, Meta(description="With include_predictions")] | None = None


class PreferencesDocument(Struct):
    user_id: str
    content_preferences: dict[str, Any]
    channel_preferences: dict[str, float]
    timing_preferences: dict[str, Any]
    frequency_preferences: dict[str, Any]
    language: str | None
    timezone: str | None
    reachability: dict[str, bool]
    version: int


class TimelineItem(Struct):
    at: Time
    kind: Annotated[str, Meta(description="decision, event, profile or consent; what else there is depends on it")]
    decision_id: str | None = None
    template_id: str | None = None
    channel: str | None = None
    action: Action | None = None
    mode: Mode | None = None
    reason: Annotated[Suppression, Meta(description="Of a decision not to send")] | None = None
    slot_at: Time | None = None
    type: Annotated[str, Meta(description="Of an event")] | None = None
    name: str | None = None
    value: float | None = None
    currency: str | None = None
    version: int | None = None
    source: str | None = None


class Timeline(Struct):
    items: list[TimelineItem]
    next_cursor: str | None


class Revenue(Struct):
    total: float
    attributed: float
    incremental: float | None
    currency: str


class Lift(Struct):
    value: float | None
    low: float | None
    high: float | None
    holdout_users: int


class Quality(Struct):
    mean: float | None
    below_threshold: int


class Latency(Struct):
    p50: float | None
    p95: float | None
    p99: float | None


class BudgetStanding(Struct):
    """A budget in its running period."""

    channel: str
    limit: int
    period: str
    since: Annotated[Time, Meta(description="Start of the running period, in the tenant's zone")]
    until: Time
    sent: Annotated[int, Meta(description="Sends decided since then")]
    price: Annotated[
        float, Meta(description="Shadow price of a send, in rewards: what it would bring elsewhere; 0 while there is plenty")
    ]


class Overview(Struct, rename={"from_": "from"}):
    from_: Time
    to: Time
    decisions: int
    sends: int
    suppressions: dict[str, int]
    events: dict[str, int]
    engagement_rate: float | None
    conversion_rate: float | None
    revenue: Revenue
    lift: Lift
    quality: Quality
    budgets: Annotated[list[BudgetStanding], Meta(description="In their running periods, whatever the window")]
    cache_hit_ratio: float | None
    latency_ms: Latency
    series: list[dict[str, Any]]


class GuardrailStanding(Struct):
    """A variant that is over is not chosen while another feasible one is not."""

    event: str
    rate: Annotated[float, Meta(ge=0, le=1, description="Of its sends that ended in the event")]
    limit: Annotated[float, Meta(ge=0, le=1, description="Highest acceptable rate a send")]
    probability: Annotated[float, Meta(ge=0, le=1, description="That its true rate is above the limit")]
    over: bool


class VariantOutcome(Struct):
    variant_id: str
    sends: Annotated[float, Meta(description="That were learned from, less for people who got very many")]
    rates: Annotated[dict[str, Probability], Meta(description="event type -> share of the sends that it followed")]
    guardrails: list[GuardrailStanding]


class TemplateInsights(Struct):
    """As the newest published policy has it."""

    template_id: str
    template_version: int
    baseline_variant_id: str
    model_id: str
    model_version: str
    sends: float
    reward: Annotated[RewardDocument, Meta(description="How success is counted now: the tenant's, the template's over it")]
    variants: list[VariantOutcome]


# -- ai


_METRICS = (
    "decisions, rates of events, reward_range; deviations: how far weights were found to differ (logits) for everybody, by "
    "segment, by moment and by person; repeats: what showing a variant again costs, and its half-life; losses: their size and "
    "chance by the sends of the last seven days"
)


_STATUS = "training, ready, shadow, live, retired, failed; untrained where no version is there and no prior serves"
_CURVES = "By outcome rows of: mean prediction, share it happened to, 95 % interval (low, high), cases"
_GATE = (
    "On cases neither had seen: against (the version that was live, 0: the prior), promotes, sentence, "
    "verdict (first, better, not worse, worse, thin)"
)


class ModelDocument(Struct):
    """Of a policy: model_id to deployment_config. What else there is belongs to versions of predictive models."""

    model_id: str
    model_type: str
    version: Annotated[str, Meta(description="0 is the prior, which nobody's data taught")]
    status: Annotated[str, Meta(description=_STATUS)]
    performance_metrics: Annotated[dict[str, Any], Meta(description=_METRICS)]
    deployment_config: dict[str, Any]
    base_rates: Annotated[dict[str, Any], Meta(description="The same figures of one prediction for all")] | None = None
    calibration: Annotated[dict[str, Any], Meta(description=_CURVES)] | None = None
    gate: Annotated[dict[str, Any], Meta(description=_GATE)] | None = None
    report: Annotated[list[str], Meta(description="What came of training, in plain sentences")] | None = None
    lineage: Annotated[dict[str, Any], Meta(description="Source, range of data, cases, code version, seed")] | None = None
    evaluation: Annotated[dict[str, Any], Meta(description="As POST evaluate found it last")] | None = None
    monitoring: Annotated[dict[str, Any], Meta(description="Drift of what it reads and of its losses, with alarms")] | None = None
    newest: Annotated[dict[str, Any], Meta(description="The newest version, where it is not the one that serves")] | None = None
    replaces: int | None = None
    asked_by: str | None = None
    created_at: Time | None = None
    changed_at: Time | None = None
    digest: Annotated[str, Meta(description="sha256 of the artifact")] | None = None


class ModelEvaluation(Struct):
    """Of a policy `off_policy`, of a predictive model the rest."""

    model_id: str
    model_type: str
    version: str
    status: str
    performance_metrics: dict[str, Any]
    deployment_config: dict[str, Any]
    cases: int | None = None
    people: int | None = None
    base_rates: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    gate: dict[str, Any] | None = None
    evaluated_at: Time | None = None
    off_policy: (
        Annotated[list[Any], Meta(description="What each variant for all, and what was learned, would have earned")] | None
    ) = None


class ModelCard(Struct):
    model_id: str
    version: str
    details: dict[str, Any]
    intended_use: str
    training_data: dict[str, Any]
    evaluation: dict[str, Any]
    promotion: dict[str, Any]
    monitoring: dict[str, Any]
    caveats: list[str]
    markdown: Annotated[str, Meta(description="The card for people to read")]


class ModelPage(Struct):
    items: list[ModelDocument]
    next_cursor: str | None


_PATTERNS = (
    "What was looked at, with its numbers; further members depend on `name`. engagement: momentum, saturation, fatigue, share, "
    "opened, clicked, converted, replied, spacing. timing: hour_of_day, part_of_day, day_of_week, kind_of_day, hour, day. "
    "channel: channel, difference, never_answered, bounces, unsubscribed, complained. lifecycle: stage, rhythm, spend."
)
_STRENGTH = (
    "0: the evidence says no more than what was believed before any; 1: certain. engagement: how much of the doubt about the share "
    "of sends engaged with is gone. timing: how far the probability that hours or days stand out rose from 1/2 to 1. channel: the "
    "same that channels differ, times the probability that the best is the best (one channel: the doubt gone). lifecycle: the "
    "probability of the stage, times how much of the doubt about the rhythm is gone."
)


class BehaviorPattern(Struct):
    name: Annotated[str, Meta(examples=["momentum", "hour_of_day", "channel", "rhythm"])]
    words: Annotated[
        str, Meta(description="One sentence", examples=["Engages with 25 % of sends (95 % interval 6 % to 52 %): now and then."])
    ]
    probability: Annotated[
        Probability | None, Meta(description="That the pattern is there; null where `words` only tell what was recorded")
    ]
    rate: Annotated[float | None, Meta(description="Posterior mean a send; null where no sends are known")] = None
    low: Annotated[float | None, Meta(description="Of the 95 % interval of the rate")] = None
    high: Annotated[float | None, Meta(description="Of the 95 % interval of the rate")] = None
    sends: Annotated[float, Meta(description="Decayed; of spacing those remembered, sent together counted once")] | None = None
    events: Annotated[float, Meta(description="Decayed, of that kind")] | None = None
    momentum: Annotated[str | None, Meta(description="rising, steady or falling, as decisions read it")] = None
    ratio: Annotated[float | None, Meta(description="Engagement of the last days over the long run, before doubt")] = None
    trend: Annotated[str | None, Meta(description="up or down, where it is sure")] = None
    rate_lately: Annotated[float, Meta(description="Engagements with a half-life of 7 days, for each `rate_of`")] | None = None
    rate_before: Annotated[float, Meta(description="What the half-life of 28 days counts beside them")] | None = None
    rate_of: Annotated[str, Meta(description="send, or day where no sends are known")] | None = None
    saturation: Annotated[str, Meta(description="under, on_target or over")] | None = None
    sends_in_7_days: int | None = None
    appetite_a_week: Annotated[float, Meta(description="Messages they engage with in a week")] | None = None
    fatigue: Annotated[str, Meta(description="rested, tiring or fatigued")] | None = None
    unanswered_in_3_days: int | None = None
    recovers_at: Time | None = None
    spacing: Annotated[str | None, Meta(description="bursty or regular, where it is sure")] = None
    rate_after_answer: Annotated[float, Meta(description="Share of sends answered, after an answered one")] | None = None
    rate_after_silence: Annotated[float, Meta(description="The same after an unanswered one")] | None = None
    start: (
        Annotated[int, Meta(description="Local hour of the day, or day of the week (0 = Monday), where the window begins")] | None
    ) = None
    length: Annotated[int, Meta(description="Of the window, in hours or days")] | None = None
    share: Annotated[float, Meta(description="Of the engagements, inside the window")] | None = None
    usual_share: Annotated[float, Meta(description="That the sends let expect")] | None = None
    hour_of_week: Annotated[int, Meta(description="Local, 0 = Monday 00:00", ge=0, le=167)] | None = None
    day: str | None = None
    hour: int | None = None
    engagements: Annotated[float, Meta(description="Decayed")] | None = None
    times_usual: Annotated[float, Meta(description="Rate there over the rate that is usual for them")] | None = None
    channel: str | None = None
    engagement_rate: Probability | None = None
    evidence: Annotated[float, Meta(description="Decayed sends")] | None = None
    stage: Annotated[str, Meta(description="Of lifecycle: new, active, won_back, at_risk or lapsed")] | None = None
    days_between: Annotated[float, Meta(description="Mean gap between hours with engagement, of the newest 32")] | None = None
    days_since: Annotated[float, Meta(description="Since they engaged last")] | None = None
    gaps: int | None = None
    spend: float | None = None
    mean_purchase: float | None = None
    purchases: Annotated[float, Meta(description="Decayed")] | None = None
    lifetime_value: float | None = None


class BehaviorFinding(Struct):
    type: Annotated[str, Meta(description="engagement, timing, channel or lifecycle")]
    summary: Annotated[
        str, Meta(description="What is sure, or (`seems`) at least 80 % probable", examples=["No hour stands out yet."])
    ]
    strength: Annotated[Probability, Meta(description=_STRENGTH)]
    evidence: Annotated[
        float, Meta(description="Decayed count (half-life 28 days): sends of engagement and channel, events of the others", ge=0)
    ]
    implication: Annotated[str, Meta(description="For the next message", examples=["Prefer email."])]
    patterns: Annotated[list[BehaviorPattern], Meta(description=_PATTERNS)]
    stage: Annotated[str, Meta(description="Of lifecycle: new, active, won_back, at_risk or lapsed")] | None = None


class BehaviorAnalysis(Struct):
    user_id: str
    analyses: Annotated[list[BehaviorFinding], Meta(description="The one asked for, or all four")]


class TextSentiment(Struct):
    language: Annotated[str, Meta(description="ISO 639-1; und where the text has no words", examples=["en"])]
    sentiment: Annotated[Sentiment, Meta(description="P(positive) less P(negative)")]
    label: Literal["negative", "neutral", "positive"]
    emotions: Annotated[
        dict[str, Share],
        Meta(
            description="Probability that the text shows it: anger, anticipation, disgust, fear, joy, sadness, surprise, trust; "
            "in English 21 finer ones besides",
            examples=[{"joy": 0.81, "anger": 0.02}],
        ),
    ]
    confidence: Annotated[Share, Meta(description="Probability of the label, calibrated on held-out texts")]


class SentimentAnalysis(Struct):
    results: Annotated[list[TextSentiment], Meta(description="One a text, in its order")]


# -- management


class Live(Struct):
    status: str


class Ready(Struct):
    status: str
    checks: dict[str, Any]


class Health(Struct):
    status: str
    checks: dict[str, Any]
    version: str
    environment: str
    queues: dict[str, int]


class Stats(Struct):
    tenant_id: str
    log_head: int
    models: int
    queues: dict[str, int]
    cache_hit_ratio: float | None


class Token(Struct):
    access_token: str
    token_type: str
    expires_in: Annotated[int, Meta(description="Seconds")]


class Revoked(Struct):
    revoked: bool


class ApiKey(Struct):
    key_id: str
    tenant_id: str
    role: Role
    name: str
    created_at: Time
    expires_at: Time | None


class CreatedApiKey(ApiKey, kw_only=True):
    api_key: Annotated[str, Meta(description="Shown this once")]


class ApiKeyPage(Struct):
    items: list[ApiKey]
    next_cursor: str | None


class ByValueDocument(Struct):
    per_value: float
    weight: float


class RewardDocument(Struct):
    weights: dict[str, float | ByValueDocument]
    wait_time: str
    default: float
    aggregation: Aggregation
    cost_weight: Annotated[float, Meta(description="reward units that a unit of currency spent on a message is worth")]
    guardrails: Annotated[dict[str, Probability], Meta(description="event type -> highest acceptable rate of them a send")]


class ChannelDocument(Struct):
    cost: float
    max_length: int | None


class RetrainingDocument(Struct):
    """When predictive models are trained anew, and whether a version that passes its gate serves without being asked."""

    automatic: bool
    every: Duration
    promote: bool


class ToneDocument(Struct):
    casual: float
    warm: float


class VoiceDocument(Struct):
    """How the tenant speaks; null asks for nothing."""

    personality: str
    tone: ToneDocument
    banned_phrases: list[str]
    required_phrases: list[str]
    max_emoji: int | None
    max_exclamations: int | None
    capitals: bool
    acronyms: list[str]
    max_grade: float | None
    max_lix: dict[str, float]
    footers: list[FooterBody]


class ConfigDocument(Struct):
    version: int
    service_level: ServiceLevel
    learning_mode: LearningMode
    policy: PolicyMethod
    exploration: Probability
    holdout: Probability
    holdout_no_send: Probability
    min_quality_score: Probability
    default_language: str
    timezone: str
    currency: str
    consent_default: ConsentDefault
    reward: RewardDocument
    frequency_caps: list[CapBody]
    budgets: list[BudgetBody]
    quiet_hours: QuietHoursBody | None
    channels: dict[str, ChannelDocument]
    retraining: RetrainingDocument
    voice: VoiceDocument


class ConsentState(Struct):
    """null: not said, the tenant's default holds."""

    personalization: bool | None
    learning: bool | None
    marketing: bool | None
    channels: dict[str, bool]
    marketing_channels: dict[str, bool]


class ConsentChange(Struct):
    at: Time
    source: Annotated[str, Meta(description="api, or the event that withdrew it", examples=["event:unsubscribed"])]
    consent: ConsentState


class ConsentDocument(ConsentBody, kw_only=True):
    user_id: str
    history: Annotated[list[ConsentChange], Meta(description="Newest last")]


class ExportedDecision(Decision, kw_only=True):
    decided_at: Time
    status: str


class ExportedEvent(Struct, kw_only=True):
    """event_id is not kept, only its HMAC."""

    type: Annotated[str, Meta(description="An event's type, or what the engine noted of the person")]
    occurred_at: Time
    recorded_at: Time
    decision_id: str | None
    template_id: str | None
    channel: str | None
    name: str | None
    value: float | None
    currency: str | None
    text: str | None
    metadata: dict[str, Any]
    details: dict[str, Any] = {}


class PersonExport(Struct):
    user_id: str
    profile: ProfileDocument | None
    consents: Annotated[list[ConsentChange], Meta(description="Newest last")]
    experiments: list[dict[str, Any]]
    generated_at: Time
    decisions: Annotated[list[ExportedDecision], Meta(description="With explanations, newest first")]
    events: Annotated[list[ExportedEvent], Meta(description="Newest first")]


class Anonymized(Struct):
    status: Annotated[str, Meta(examples=["completed"])]


class ErasureBegun(Struct):
    erasure_id: str
    status: Annotated[str, Meta(description="pending or completed")]


class Certificate(Struct):
    """Says that a person was forgotten, without saying who."""

    erasure_id: str
    tenant_id: str
    user_id_hmac: str
    requested_at: Time
    completed_at: Time
    swept: Annotated[dict[str, int], Meta(description="What -> how many rows of it went")]
    storage: Annotated[str, Meta(description="How the bytes went from the files: rewritten, overwritten or vacuumed")]
    code_version: str
    mac: Annotated[
        str, Meta(description="HMAC-SHA256 over the other members (compact JSON, sorted keys), under a key of the tenant")
    ]


class ErasureDocument(ErasureBegun, kw_only=True):
    requested_at: Time
    completed_at: Time | None
    certificate: Certificate | None = None
    genuine: bool | None = None
