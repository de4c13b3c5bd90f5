"""A decision to make, and what it says before any rule is held against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from personalization.clock import DAY
from personalization.deciding.planning import Plan
from personalization.deciding.strategies import SYNC, Capabilities, switched
from personalization.engines import channels
from personalization.engines.channels import Sync
from personalization.messages import PersonalizationRequest
from personalization.models.prices import NO_PRICES, Pricing
from personalization.profile import PersonalizationProfile
from personalization.storage.base import Reservation
from personalization.tenant import FrequencyCap, TenantConfig
from personalization.vocabulary import Category, ConsentDefault


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One decision to make, with everything it may look at.

    bucket   : the user's stable place in [0, 1) for holdouts, 1 for nobody
    reserved : the user's cap reservations around the send window
    pricing  : shadow prices, where the tenant has budgets
    values   : what the template may use: {"user": {…}, context keys…}
    relaxed  : (name, subject) of constraints that are supposed not to hold, to see what would be decided then
    """

    request: PersonalizationRequest
    decision_id: str
    seed: bytes
    now: int
    config: TenantConfig
    level: str
    capabilities: Capabilities
    plan: Plan
    model_id: str
    snapshot_id: int
    user_ref: bytes | None = None
    profile: PersonalizationProfile | None = None
    bucket: float = 1.0
    reserved: Sequence[Reservation] = ()
    values: Mapping[str, Any] = msgspec.field(default_factory=dict)
    cache_hit: bool = False
    pricing: Pricing = NO_PRICES
    relaxed: frozenset[tuple[str, str]] = frozenset()

    def supposes(self, name: str, subject: str = "*") -> bool:
        """Whether that constraint is supposed not to hold."""
        return bool(self.relaxed) and (name, subject) in self.relaxed

    def allows(self, section: str) -> bool:
        """Whether the person consents to that, or the tenant on their behalf."""
        default = self.config.consent_default is ConsentDefault.GRANTED
        return self.profile.allows(section, default) if self.profile else default

    @property
    def personal(self) -> bool:
        return self.allows("personalization") or self.supposes("personalization_consent")

    @property
    def held(self) -> bool:
        """Whether the person is kept on the baseline to measure lift."""
        share = self.config.holdout_no_send + self.config.holdout
        return self.bucket < share and self.plan.category != Category.TRANSACTIONAL and not self.supposes("holdout")


def synced(question: Question) -> Sync:
    """What the message's earlier sends mean for this one; nothing where level or request leave it out."""
    request = question.request
    if request.message_id is None or not switched(question.capabilities, request.strategies) & SYNC:
        return Sync()
    return channels.read(question.profile, request, question.now)


def caps_of(question: Question) -> tuple[FrequencyCap, ...]:
    """The tenant's caps and the person's own; none for transactional messages, and for one that was counted before."""
    if question.plan.category == Category.TRANSACTIONAL or synced(question).counted:
        return ()
    own = question.profile.frequency_preferences if question.profile else None
    if own is None or (own.max_per_day is None and own.max_per_week is None):
        return question.config.frequency_caps
    wanted = ((own.max_per_day, DAY), (own.max_per_week, 7 * DAY))
    return (*question.config.frequency_caps, *(FrequencyCap(limit=n, period=p) for n, p in wanted if n is not None))
