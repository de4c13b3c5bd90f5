"""What would have been decided under one changed input: the deciding code itself is run again, nothing is guessed.

It costs a decision each time, so it is done for those who asked for an explanation, once; the record keeps what was found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from msgspec.structs import replace

from personalization.clock import HOUR, MINUTE, utc_offset
from personalization.deciding.contributions import weighed
from personalization.deciding.feasible import Prepared, prepare
from personalization.deciding.naming import doing
from personalization.deciding.paths import PolicyOf, paths
from personalization.deciding.question import Question
from personalization.deciding.record import Constraint, Doing, Inputs, Outcome, WhatIf
from personalization.deciding.stages import draw_many
from personalization.errors import MissingVariables
from personalization.tenant import QuietHours
from personalization.vocabulary import Mode

#: What-ifs of one decision, those about its constraints, and constraints whose part in it is looked into.
MOST, _MOST_CONSTRAINTS, _LOOKED_INTO = 4, 2, 12
_DAY_MINUTES = 1440
#: Instead of an action where no variant has all its variables.
NO_TEXT = "missing_variables"

Explained = tuple[tuple[Constraint, ...], tuple[WhatIf, ...]]


def explained(question: Question, prepared: Prepared, outcome: Outcome, policy_of: PolicyOf, failed: bool) -> Explained:
    """The constraints, with whether each changed the greedy action, and what would be done otherwise.

    failed : something broke already, so nothing is run again
    """
    inputs, found = prepared.inputs, prepared.constraints
    if not question.request.explain or failed:
        return (found if not found or inputs.refusal is not None else tuple(replace(c, binding=False) for c in found)), ()
    try:
        return _explained(question, prepared, outcome, policy_of)
    except Exception:  # an explanation must not cost the message
        return found, ()


def _explained(question: Question, prepared: Prepared, outcome: Outcome, policy_of: PolicyOf) -> Explained:
    trial = _Trial(question, policy_of)
    now = doing(prepared.inputs, outcome.greedy, outcome.held)
    returned = doing(prepared.inputs, outcome.chosen, outcome.held)
    constraints, otherwise = _constraints(trial, prepared, now, returned)
    found = (
        *otherwise[:_MOST_CONSTRAINTS],
        *([WhatIf("no_apprentice", now)] if prepared.mode is Mode.APPRENTICE and not now.same(returned) else []),
        *_certain(prepared.inputs, outcome, policy_of),
        *_without_feature(prepared.inputs, policy_of),
        *_unknown(trial),
    )
    return constraints, tuple(islice(found, MOST))


class _Trial:
    """Runs the deciding code on changed questions."""

    def __init__(self, question: Question, policy_of: PolicyOf) -> None:
        self.question, self._policy_of = question, policy_of

    def without(self, constraints: Iterable[Constraint]) -> Doing:
        relaxed = frozenset((c.name, c.subject) for c in constraints)
        return self.of(replace(self.question, relaxed=relaxed))

    def of(self, question: Question) -> Doing:
        """What would be greedy."""
        try:
            inputs = prepare(question).inputs
        except MissingVariables:
            return Doing(reason=NO_TEXT)
        return greedily(inputs, self._policy_of)


def greedily(inputs: Inputs, policy_of: PolicyOf) -> Doing:
    """What certainty does."""
    outcome = draw_many([inputs], policy_of)[0]
    return doing(inputs, outcome.greedy, outcome.held)


# -- constraints -----------------------------------------------------------------------------------------------------


def _constraints(trial: _Trial, prepared: Prepared, now: Doing, returned: Doing) -> tuple[tuple[Constraint, ...], list[WhatIf]]:
    """A rule that holds for several channels is supposed away for all of them at once, and then for each."""
    refused, judged, what_ifs = prepared.inputs.refusal is not None, list[Constraint](), list[WhatIf]()
    for members in _by_name(prepared.constraints):
        then = trial.without(members)
        instead = prepared.inputs.forced and members[0].name in _INSTEAD
        changes = not then.same(returned if instead else now)
        judged += _judged(trial, members, now, changes, refused)
        if changes:
            what_ifs.append(_relaxed(trial, members, then))
    return tuple(judged), what_ifs


#: Rules by which the baseline is returned instead of what is greedy.
_INSTEAD = ("holdout", "personalization_consent", "min_quality_score")


def _by_name(constraints: Iterable[Constraint]) -> list[list[Constraint]]:
    groups: dict[str, list[Constraint]] = {}
    for constraint in constraints:
        groups.setdefault(constraint.name, []).append(constraint)
    return list(groups.values())


def _judged(trial: _Trial, members: Sequence[Constraint], now: Doing, changes: bool, refused: bool) -> list[Constraint]:
    if len(members) == 1 or not changes:
        alone = [changes] * len(members)
    else:
        alone = [not trial.without([c]).same(now) for c in members[:_LOOKED_INTO]] + [False] * len(members[_LOOKED_INTO:])
        alone = alone if any(alone) else [True] * len(members)
    return [replace(c, binding=own or (refused and c.binding)) for c, own in zip(members, alone, strict=True)]


def _relaxed(trial: _Trial, members: Sequence[Constraint], then: Doing) -> WhatIf:
    name, subjects = members[0].name, tuple(c.subject for c in members if c.subject != "*")
    if name == "quiet_hours" and then.at is not None:
        shorter = _shorter(trial, then.at)
        if shorter is not None and trial.of(shorter[0]) == then:
            return WhatIf(shorter[1], then, (), then.at if shorter[1] == "quiet_hours_ended" else then.at + HOUR)
    return WhatIf(name, then, subjects)


def _shorter(trial: _Trial, at: int) -> tuple[Question, str] | None:
    """The question with quiet hours that end by that time, or begin after its hour, whichever changes less."""
    question = trial.question
    minute = (at + utc_offset(at, prepare(question).zone)) // MINUTE % _DAY_MINUTES
    ours, own = question.config.quiet_hours, question.profile.timing_preferences.quiet_hours if question.profile else None
    holding = [quiet for quiet in (ours, own) if quiet is not None and quiet.contains(minute)]
    if not holding or any(quiet.start == quiet.end for quiet in holding):
        return None
    ends = all((quiet.end - minute) % _DAY_MINUTES <= (minute - quiet.start) % _DAY_MINUTES + 60 for quiet in holding)
    shorter = _replaced(question, _cut(ours, minute, ends), _cut(own, minute, ends))
    return None if shorter is None else (shorter, "quiet_hours_ended" if ends else "quiet_hours_began")


def _cut(quiet: QuietHours | None, minute: int, ends: bool) -> QuietHours | None:
    if quiet is None or not quiet.contains(minute):
        return quiet
    return QuietHours(quiet.start, minute) if ends else QuietHours((minute + 60) % _DAY_MINUTES, quiet.end)


def _replaced(question: Question, ours: QuietHours | None, own: QuietHours | None) -> Question | None:
    if any(quiet is not None and quiet.start == quiet.end for quiet in (ours, own)):
        return None
    question = replace(question, config=dataclasses.replace(question.config, quiet_hours=ours))
    if question.profile is None:
        return question
    timing = dataclasses.replace(question.profile.timing_preferences, quiet_hours=own)
    return replace(question, profile=replace(question.profile, timing_preferences=timing))


# -- the other what-ifs ----------------------------------------------------------------------------------------------


def _certain(inputs: Inputs, outcome: Outcome, policy_of: PolicyOf) -> Iterator[WhatIf]:
    """Where the policy explored: what goes out at exploration 0."""
    if inputs.forced or outcome.chosen == outcome.greedy:
        return
    certain = draw_many([replace(inputs, exploration=0)], policy_of)[0]
    yield WhatIf("no_exploration", doing(inputs, certain.chosen, certain.held))


def _without_feature(inputs: Inputs, policy_of: PolicyOf) -> Iterator[WhatIf]:
    """Of what is known of the person and the moment, the one that speaks most for or against the greedy triple."""
    path = paths([inputs], policy_of)[0]
    found = None if path is None else weighed(inputs, path)
    key = next((part.feature for part in found.parts if part.about == "feature"), None) if found is not None else None
    if key is None:
        return
    without = replace(inputs, features=tuple(feature for feature in inputs.features if feature[0] != key))
    yield WhatIf("no_feature", greedily(without, policy_of), feature=key)


def _unknown(trial: _Trial) -> Iterator[WhatIf]:
    """Had nothing been known of the person but what the request says."""
    question = trial.question
    if question.profile is None:
        return
    nobody = replace(
        question, profile=None, user_ref=None, reserved=(), values={**question.values, "user": {}}, bucket=1.0, cache_hit=False
    )
    yield WhatIf("unknown_person", trial.of(nobody))
