"""An explanation in plain words: tables of sentences, filled from the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from personalization.clock import to_datetime, zone
from personalization.deciding.contributions import Part
from personalization.deciding.naming import doing
from personalization.deciding.record import Record, Triple, WhatIf
from personalization.deciding.slots import slot_time
from personalization.vocabulary import Mode, Suppression

#: Why nothing is sent, as the end of a sentence.
REASONS: Mapping[str, str] = {
    Suppression.FREQUENCY_CAPPED: "the frequency caps are reached",
    Suppression.QUIET_HOURS: "all of the send window lies in quiet hours",
    Suppression.NO_CONSENT: "consent is missing",
    Suppression.UNREACHABLE: "no channel reaches this person",
    Suppression.HOLDOUT: "this person is in the holdout that gets nothing",
    Suppression.LOW_UPLIFT: "sending is not expected to change what they do",
    Suppression.FATIGUE: "one more message is expected to cost more than it brings",
    Suppression.BUDGET: "the send would take more from a budget than it is expected to bring",
    Suppression.DUPLICATE: "they have this message already",
    Suppression.USER_DISABLED: "messages to this person are switched off",
    Suppression.INELIGIBLE: "no variant, channel and time fit together",
    Suppression.DEPENDENCY_UNAVAILABLE: "consent cannot be checked just now",
    "missing_variables": "no variant has all its variables",
}
#: How what goes out came about.
_MODES: Mapping[str, str] = {
    Mode.HOLDOUT: "the person is in the holdout, so the baseline goes out",
    Mode.APPRENTICE: "the policy watches while the baseline goes out",
    Mode.FALLBACK: "something failed, so the baseline goes out",
}
#: A constraint, as the subject of a sentence; {0}: its channel.
_CONSTRAINTS: Mapping[str, str] = {
    "quiet_hours": "quiet hours",
    "frequency_cap": "the frequency cap",
    "budget": "the budget of {0}",
    "no_consent": "missing consent for {0}",
    "unreachable": "that {0} does not reach this person",
    "duplicate": "that the message went out already",
    "send_window": "the send window",
    "channel_limit": "the limits of {0}",
    "missing_variables": "variables without a value",
    "min_quality_score": "the quality asked for",
    "holdout": "the holdout",
    "personalization_consent": "missing consent to personalization",
}
#: The condition of a counterfactual; {channels}, {time} and {feature} are filled in.
_CONDITIONS: Mapping[str, str] = {
    "quiet_hours": "there were no quiet hours",
    "quiet_hours_ended": "quiet hours ended at {time}",
    "quiet_hours_began": "quiet hours began at {time}",
    "frequency_cap": "the frequency cap did not hold for {channels}",
    "budget": "there were enough of {channels} for everybody",
    "no_consent": "there were consent for {channels}",
    "unreachable": "{channels} reached this person",
    "duplicate": "the message had not gone out before",
    "send_window": "the send window were open",
    "channel_limit": "every variant fitted {channels}",
    "missing_variables": "every variant had all its variables",
    "min_quality_score": "no quality were asked for",
    "holdout": "the person were not in the holdout",
    "personalization_consent": "the person consented to personalization",
    "no_apprentice": "the policy decided instead of watching",
    "no_exploration": "exploration were 0",
    "no_feature": "{feature} did not count",
    "unknown_person": "nothing were known of the person",
}
#: What speaks for an option; {0}: its name, {1}: a feature.
_CAUSES: Mapping[str, str] = {
    "": "how {0} does in general",
    "feature": "how {0} does with {1}",
    "preference": "this person's liking of {0}",
    "habit": "this person's habit at {0}",
    "cost": "the cost of {0}",
    "shadow price": "what a send by {0} takes from others",
    "reach": "how surely {0} arrives",
    "risk": "how few people {0} loses",
    "repeat": "how new {0} still is to this person",
}


def named(part: Part, names: Mapping[int, str]) -> str:
    """The name of a contribution: "variant b", "variant b x trait:plan=pro", "channel push: preference"."""
    option = f"{part.stage} {part.option}"
    if part.about == "feature":
        return f"{option} x {_feature(part.feature, names)}"
    return f"{option}: {part.about}" if part.about else option


def summary(record: Record, parts: Sequence[Part], names: Mapping[int, str]) -> str:
    """What is done and why, whether that was explored, and what bound it."""
    return " ".join(filter(None, (_done(record, parts, names), _explored(record), _bound(record))))


def _done(record: Record, parts: Sequence[Part], names: Mapping[int, str]) -> str:
    outcome, inputs = record.outcome, record.inputs
    if outcome.chosen is None:
        until = inputs.relieved_at if outcome.suppression == Suppression.FATIGUE else inputs.retry_at
        why = "the policy tries what not sending does" if outcome.held and outcome.greedy else _reason(outcome.suppression)
        return f"Nothing is sent{'' if until is None else f' until {_time(record, until)}'}: {why}."
    sent = _sentence(record, outcome.chosen)
    return f"{sent[0].upper()}{sent[1:]}: {_how(record, parts, names)}."


def _how(record: Record, parts: Sequence[Part], names: Mapping[int, str]) -> str:
    if record.mode in _MODES:
        return _MODES[record.mode]
    if record.inputs.forced or not record.inputs.stages:
        return "the baseline goes out" if record.inputs.forced else "what was declared decides"
    if record.outcome.chosen != record.outcome.greedy:
        return "the policy explores to learn"
    best = next((part for part in parts if part.effect > 0.0), None)
    cause = "" if best is None else ", mainly for " + _CAUSES[best.about].format(_option(best), _feature(best.feature, names))
    return f"the policy expects the most of it{cause}"


def _option(part: Part) -> str:
    return f"variant {part.option}" if part.stage == "variant" else part.option


def _explored(record: Record) -> str:
    outcome, inputs = record.outcome, record.inputs
    if inputs.forced or not inputs.stages or inputs.refusal is not None:
        return ""
    if outcome.chosen != outcome.greedy:
        chance = outcome.send if outcome.chosen is None else outcome.joint
        return f"That was drawn with probability {chance:.1%}; without exploration {_instead(record)}."
    return f"It explores other actions with probability {outcome.explored:.1%}." if outcome.explored else ""


def _instead(record: Record) -> str:
    greedy = record.outcome.greedy
    return "nothing would be sent" if greedy is None else f"{_sentence(record, greedy, 'would go')}"


def _bound(record: Record) -> str:
    """The constraints that changed the greedy action, each once; a refusal has said its reason."""
    if record.inputs.refusal is not None:
        return ""
    bound = [_CONSTRAINTS.get(c.name, c.name).format(c.subject) for c in record.constraints if c.binding]
    bound += [f"the guardrail on {one.event} by variant {one.variant_id}" for one in record.guarded if one.binding]
    return f"Bound by {_listed(list(dict.fromkeys(bound)))}." if bound else ""


# -- counterfactuals -------------------------------------------------------------------------------------------------


def supposed(record: Record, one: WhatIf, names: Mapping[int, str]) -> str:
    """The condition of a counterfactual."""
    return _CONDITIONS[one.kind].format(
        channels=_listed(one.subjects), time="" if one.at is None else _clock(record, one.at), feature=_feature(one.feature, names)
    )


def would(record: Record, one: WhatIf) -> str:
    """What would be done: "variant b by push at 19:00", or still would, where it is greedy as it is."""
    then = one.then
    still = (
        "still " if one.kind not in _RETURNS and then.same(doing(record.inputs, record.outcome.greedy, record.outcome.held)) else ""
    )
    if then.at is None:
        until = "" if then.retry_at is None else f" until {_time(record, then.retry_at)}"
        return f"{still}nothing would be sent{until}: {_reason(then.reason)}"
    return f"{still}variant {then.variant_id} by {then.channel} at {_time(record, then.at)}"


#: Conditions under which what is greedy would be returned.
_RETURNS = ("no_exploration", "no_apprentice", "holdout", "personalization_consent", "min_quality_score")


def _reason(reason: str | None) -> str:
    return REASONS.get(reason or "", str(reason).replace("_", " "))


def _sentence(record: Record, triple: Triple, verb: str = "goes") -> str:
    inputs = record.inputs
    at = slot_time(inputs.earliest, inputs.first_hour, triple.slot)
    variant, channel = inputs.candidates[triple.variant].variant_id, inputs.channels[triple.channel].name
    return f"variant {variant} {verb} by {channel} at {_time(record, at)}"


def _time(record: Record, at: int) -> str:
    """Local, with the day unless it is that of the decision."""
    day, today = (to_datetime(when, zone(record.zone)).date() for when in (at, record.inputs.now))
    return _clock(record, at) if day == today else f"{_clock(record, at)} on {day.isoformat()}"


def _clock(record: Record, at: int) -> str:
    return to_datetime(at, zone(record.zone)).strftime("%H:%M")


def _feature(key: int, names: Mapping[int, str]) -> str:
    return names.get(key, f"{key:08x}")


def _listed(words: Sequence[str]) -> str:
    """
    >>> _listed(["email"]), _listed(["email", "push", "sms"])
    ('email', 'email, push and sms')
    """
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
