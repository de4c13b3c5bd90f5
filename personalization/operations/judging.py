"""What other policies would have earned, from a tenant's own log: every variant for all, and the policy learned until T.

Judged is the choice of the variant; channel and slot stay as the log's policy drew them after it. Only decisions the
policy drew itself count (mode online, trained from), and only once their reward's wait is over, whether they earned
something or not: rewards that come in sooner are the good ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from personalization.deciding.record import Candidate, decode_record
from personalization.errors import SupportThin
from personalization.learning.credit import CreditLedger
from personalization.learning.crossfit import cross_fitted, design, folds_of
from personalization.learning.earning import OpenDecision
from personalization.learning.encoding import Feature
from personalization.learning.evaluation import Array, ChoiceLog, Estimate, dr, on_policy
from personalization.learning.policy import Policy, decode_policy, encode_policy
from personalization.messages import LogEntry
from personalization.operations.learner import apply
from personalization.operations.projector import PAGE
from personalization.operations.rewarding import metrics
from personalization.profile import DECIDED
from personalization.storage.base import Storage
from personalization.vocabulary import LogType, Mode

Step = Callable[[int, int], None]

#: Decisions below which a template is not judged at all.
LEAST = 100
_FOLDS, _SEED = 5, 17


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A candidate on so many decisions. logged: what the log's own policy earned on the same decisions (mean reward).

    estimate : doubly robust, 95 % interval; None where `refusal` says why the log cannot tell
    """

    template_id: str
    candidate: str
    decisions: int
    logged: Estimate
    estimate: Estimate | None
    refusal: str | None = None

    def document(self) -> dict[str, Any]:
        estimate = None if self.estimate is None else asdict(self.estimate)
        return {
            "template_id": self.template_id,
            "candidate": self.candidate,
            "decisions": self.decisions,
            "logged": asdict(self.logged),
            "estimate": estimate,
            "refusal": self.refusal,
        }


def judge(
    storage: Storage,
    tenant_id: str,
    now: int,
    template_id: str | None = None,
    at: int | None = None,
    step: Step = lambda done, total: None,
) -> list[Judgement]:
    """Each template's variants, and the policy learned from the rows before `at` (by default the time at which half of the
    template's decisions were made) judged on the decisions from then on.

    Instants in microseconds. Raises SupportThin where no template has LEAST decisions whose wait is over at `now`.
    """
    until = storage.log.heads().get(tenant_id, 0)
    made = _made(storage, tenant_id, now, until, lambda done, _: step(done, 2 * until))
    judged = {name: rows for name, rows in sorted(made.items()) if template_id in (None, name) and len(rows) >= LEAST}
    if not judged:
        raise SupportThin(f"no such template has {LEAST} decisions that a policy drew and whose reward's wait is over")
    turns = {name: rows[len(rows) // 2].at if at is None else at for name, rows in judged.items()}
    policies = _policies_at(storage, tenant_id, turns, until, lambda done, _: step(until + done, 2 * until))
    found: list[Judgement] = []
    for name, rows in judged.items():
        lowest = min(row.decision.reward for row in rows)
        found += _variants(name, rows, lowest)
        later = [row for row in rows if row.at >= turns[name]]
        if len(later) >= LEAST and name in policies:
            found.append(_judged(name, "policy learned before T", later, _greedy(policies[name], later), lowest))
    step(1, 1)
    return found


# -- from the log ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """A decision that may be judged; `decision` carries its reward, brought up to date as the log is read."""

    at: int
    decision: OpenDecision
    candidates: tuple[Candidate, ...]
    chosen: int
    propensity: float


def _made(storage: Storage, tenant_id: str, now: int, until: int, step: Step) -> dict[str, list[_Row]]:
    """By template, in the log's order; discarded decisions and those whose wait is not over are left out."""
    rows: dict[int, tuple[str, _Row]] = {}
    ledger = CreditLedger()
    for entry in _read(storage, tenant_id, ledger, until, step):
        if entry.type == DECIDED and entry.seq in ledger.open and entry.template_id is not None:
            row = _row(entry, ledger.open[entry.seq])
            if row is not None:
                rows[entry.seq] = entry.template_id, row
        elif entry.type == LogType.DISCARDED and entry.body is not None:
            rows.pop(entry.body["seq"], None)
    made: dict[str, list[_Row]] = defaultdict(list)
    for template_id, row in rows.values():
        if row.decision.active and row.decision.matures_at <= now:
            made[template_id].append(row)
    return made


def _row(entry: LogEntry, decision: OpenDecision) -> _Row | None:
    record = decode_record(entry.record or b"")
    chosen = record.outcome.chosen
    if record.mode != Mode.ONLINE or chosen is None:
        return None
    return _Row(entry.recorded_at, decision, record.inputs.candidates, chosen.variant, record.outcome.variant)


def _policies_at(storage: Storage, tenant_id: str, turns: dict[str, int], until: int, step: Step) -> dict[str, Policy]:
    """What the product knew of each template just before its turn, learned anew from the rows before."""
    ledger, waiting = CreditLedger(), dict(turns)
    policies: dict[str, Policy] = {}
    for entry in _read(storage, tenant_id, ledger, until, step):
        for template_id in [name for name, turn in waiting.items() if entry.recorded_at >= turn]:
            del waiting[template_id]
            model_id = f"variants:{template_id}"
            if model_id in ledger.models:
                policies[template_id] = _policy(ledger, model_id)
        if not waiting:
            break
    return policies


def _policy(ledger: CreditLedger, model_id: str) -> Policy:
    model = ledger.models[model_id]
    return decode_policy(encode_policy(model.rewards, model.counts), 0, model_id)


def _read(storage: Storage, tenant_id: str, ledger: CreditLedger, until: int, step: Step) -> Iterator[LogEntry]:
    """Every row up to `until`, the ledger being brought up to it before it is handed out."""
    metric_of = metrics(storage, tenant_id)
    while ledger.seq < until and (page := storage.log.read(tenant_id, ledger.seq, PAGE)):
        for entry in page:
            apply(ledger, entry, metric_of)
            yield entry
        step(min(ledger.seq, until), until)


# -- judging ---------------------------------------------------------------------------------------------------------


def _variants(template_id: str, rows: Sequence[_Row], lowest: float) -> Iterator[Judgement]:
    """Each variant for all, on the decisions where it was feasible."""
    for variant_id in _variant_ids(rows):
        able = [row for row in rows if variant_id in [c.variant_id for c in row.candidates]]
        if len(able) >= LEAST:
            yield _judged(template_id, f"always {variant_id}", able, [variant_id] * len(able), lowest)


def _greedy(policy: Policy, rows: Sequence[_Row]) -> list[str]:
    """The feasible variant that the policy believes best, for each decision."""
    chosen = [""] * len(rows)
    alike: dict[tuple[Candidate, ...], list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        alike[row.candidates].append(i)
    for candidates, members in alike.items():
        choices = policy.variants([rows[i].decision.context for i in members], tuple(c.actions for c in candidates))
        for i, choice in zip(members, choices, strict=True):
            chosen[i] = candidates[choice.greedy].variant_id
    return chosen


def _judged(template_id: str, candidate: str, rows: Sequence[_Row], chosen: Sequence[str], lowest: float) -> Judgement:
    """chosen: the variant the candidate takes for each row    lowest: the least that any decision of the template earned"""
    names = {variant_id: i for i, variant_id in enumerate(_variant_ids(rows))}
    log, target = _choice_log(rows, names, lowest), np.eye(len(names))[[names[variant_id] for variant_id in chosen]]
    try:
        estimate, refusal = dr(log, target, _predictions(log, [row.decision.context for row in rows], len(names))), None
    except SupportThin as thin:
        estimate, refusal = None, thin.detail
    return Judgement(
        template_id=template_id,
        candidate=candidate,
        decisions=len(rows),
        logged=on_policy(log),
        estimate=estimate,
        refusal=refusal,
    )


def _choice_log(rows: Sequence[_Row], names: dict[str, int], lowest: float) -> ChoiceLog:
    """Decisions of one person are one cluster; those made for nobody in particular stand alone."""
    people: dict[object, int] = {}
    owners = [people.setdefault(row.decision.user_ref or row.decision.seq, len(people)) for row in rows]
    return ChoiceLog(
        actions=np.array([names[row.candidates[row.chosen].variant_id] for row in rows]),
        rewards=np.array([row.decision.reward for row in rows]),
        propensities=np.array([row.propensity for row in rows]),
        clusters=np.array(owners),
        lowest=lowest,
    )


def _predictions(log: ChoiceLog, contexts: Sequence[Sequence[Feature]], k: int) -> Array:
    rng = np.random.default_rng(_SEED)
    folds = folds_of(len(log), _FOLDS, rng, log.clusters)
    return cross_fitted(design(contexts), log.actions, log.rewards, k, folds)


def _variant_ids(rows: Sequence[_Row]) -> list[str]:
    return sorted({candidate.variant_id for row in rows for candidate in row.candidates})
