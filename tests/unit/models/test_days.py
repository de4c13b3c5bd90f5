"""Laws of the families that read days: activity, value and rhythm."""

import math
from dataclasses import replace

import numpy as np
import pytest

from personalization.errors import ArrayInvalid, ArtifactRefused
from personalization.learning.tables import Value
from personalization.models import activity, artifact, rhythm, value
from personalization.models.base import Examples, Explained, Family, Features, Model
from personalization.models.days import newest
from tests.unit.models.lives import AHEAD, TODAY, cases, each, known, many

FAMILIES: tuple[Family, ...] = (activity.FAMILY, value.FAMILY, rhythm.FAMILY)
RNG = np.random.default_rng(0)
STRANGE: tuple[Features, ...] = (
    {},
    {"active_days": math.nan, "bought_days": math.inf},
    {"active_days": "text", "bought_days": None},
    {"active_days": 5.0, "bought_days": 5.0},
    {
        "active_days": 3.5,
        "active_span": -4.0,
        "active_age": math.nan,
        "active_burst": 900.0,
        "bought_days": 2,
        "bought_span": 1e300,
    },
    {"active_days": 1e9, "active_span": 1.0, "active_age": 1e9, "bought_days": 1e9, "bought_span": 1e9, "bought_again": 1e12},
)


@pytest.fixture(params=FAMILIES, ids=lambda family: str(family.model_id), scope="module")
def family(request: pytest.FixtureRequest) -> Family:
    found: Family = request.param
    return found


@pytest.fixture(scope="module")
def model(family: Family) -> Model:
    return family.fit(many(600, 1), RNG)


def prior(family: Family) -> Model:
    found = family.prior()
    assert found is not None
    return found


def body(family: Family, model: Model) -> bytes:
    return artifact.written(model.pack(), family.model_id)


def sane(family: Family, model: Model, of: Features) -> None:
    predicted, explained = model.predict(of), model.explain(of)
    assert tuple(predicted) == tuple(explained) == family.scores
    for name, found in predicted.items():
        told = explained[name]
        if not isinstance(found, float):
            assert told.value == found
            continue
        assert math.isfinite(found)
        assert found >= 0.0
        assert told.value == pytest.approx(found, rel=1e-9, abs=1e-12)
        assert told.low is not None
        assert told.high is not None
        assert told.low - 1e-9 <= found <= told.high + 1e-9
        assert all(math.isfinite(weight) for _, weight in told.reasons)


@pytest.mark.parametrize("of", STRANGE)
def test_every_answer_is_finite_whatever_is_known(family: Family, model: Model, of: Features) -> None:
    sane(family, model, of)
    sane(family, prior(family), of)


def test_people_as_they_live_are_scored_inside_their_intervals(family: Family, model: Model) -> None:
    for of in each(many(20, 5)):
        sane(family, model, of)
        sane(family, prior(family), of)


def test_the_same_cases_make_the_same_model_and_what_was_kept_predicts_to_the_bit(family: Family, model: Model) -> None:
    assert body(family, family.fit(many(600, 1), np.random.default_rng(7))) == body(family, model)
    for kept in (model, prior(family)):
        restored = family.unpack(artifact.read(body(family, kept), family.model_id))
        for of in each(many(30, 3)):
            assert restored.predict(of) == kept.predict(of)
        assert restored.explain(of) == kept.explain(of)
        assert body(family, restored) == body(family, kept)


def test_what_pack_did_not_make_is_refused(family: Family, model: Model) -> None:
    packed = model.pack()
    for broken in ({"nothing": 1}, {**packed, next(iter(packed)): {"logs": [1.0]}}, dict.fromkeys(packed)):
        with pytest.raises(ArtifactRefused):
            family.unpack(broken)


def test_of_nobody_nothing_can_be_said_or_learned(family: Family, model: Model) -> None:
    assert set(model.predict(known([])).values()) == {None}
    assert set(model.explain(known([])).values()) == {Explained(None, None, None)}
    judged = family.judge(model, cases([[], []]))
    assert judged.losses.tolist() == [0.0, 0.0]
    with pytest.raises(ArrayInvalid, match=r"wait|record"):
        family.fit(cases([[]] * 300), RNG)
    with pytest.raises(ArrayInvalid):
        family.fit(cases([]), RNG)


def test_a_loss_a_case_and_none_where_nothing_can_be_said(family: Family, model: Model) -> None:
    examples = many(200, 8)
    losses = family.judge(model, examples).losses
    assert len(losses) == len(examples)
    assert np.isfinite(losses).all()
    assert all(math.isfinite(figure) for figure in family.judge(model, examples).metrics.values())


def test_the_taught_beat_the_base_rate_and_the_prior_over_seeds(family: Family) -> None:
    for seed in range(3):
        later = many(1_000, 100 + seed)
        taught = family.judge(family.fit(many(600, seed), RNG), later)
        published = family.judge(prior(family), later)
        assert taught.metrics["log_loss"] < taught.base["log_loss"] - 0.05
        assert taught.metrics["log_loss"] < published.metrics["log_loss"] - 0.005


def test_a_hundred_people_leave_wider_intervals_than_many(family: Family, model: Model) -> None:
    name, few = family.scores[0], family.fit(many(100, 4), RNG)
    people = each(many(40, 6))

    def width(of_model: Model) -> float:
        told = [of_model.explain(of)[name] for of in people]
        return float(np.mean([(one.high or 0.0) - (one.low or 0.0) for one in told]))

    assert width(model) < width(few) < width(prior(family))


@pytest.mark.parametrize(
    "days",
    [
        [[TODAY - 30]] * 300,
        [[TODAY - 30, TODAY - 20, TODAY - 10]] * 300,
        [list(range(TODAY - 300, TODAY + 1))] * 150,
        [[TODAY - 90, TODAY - 3]] * 1 + [[TODAY - 50]] * 150,
    ],
    ids=["once only", "all alike", "daily", "one came back"],
)
def test_degenerate_people_end_finite_or_say_what_to_do(family: Family, days: list[list[int]]) -> None:
    examples = cases(days, [[10.0] * len(one) for one in days])
    if family is not activity.FAMILY and all(len(one) == 1 for one in days):
        with pytest.raises(ArrayInvalid, match="wait"):
            family.fit(examples, RNG)
        return
    taught = family.fit(examples, RNG)
    sane(family, taught, known(days[0], [10.0] * len(days[0])))
    assert np.isfinite(family.judge(taught, examples).losses).all()


def test_a_person_s_newest_case_alone_teaches(family: Family, model: Model) -> None:
    examples = many(600, 1)
    earlier = cases([[TODAY - 40]] * 600, [[5.0]] * 600)
    table: dict[str, list[Value]] = {name: [*earlier.table[name], *values] for name, values in examples.table.items()}
    both = Examples(
        table=table,
        outcomes={name: np.concatenate([earlier.outcomes[name], values]) for name, values in examples.outcomes.items()},
        at=np.concatenate([earlier.at - 1, examples.at]),
        people=np.concatenate([earlier.people, examples.people]),
        horizon=examples.horizon,
    )
    assert len(newest(both, "active")) == 600
    assert body(family, family.fit(both, RNG)) == body(family, model)


def test_a_model_of_another_family_is_not_judged(family: Family) -> None:
    other = FAMILIES[FAMILIES.index(family) - 1].prior()
    assert other is not None
    with pytest.raises(TypeError):
        family.judge(other, many(100, 2))


def test_columns_of_others_do_no_harm(family: Family, model: Model) -> None:
    examples = many(600, 1)
    more: dict[str, list[Value]] = {"trait:plan": ["pro"] * 600, "missing": [None] * 600, "infinite": [math.inf] * 600}
    assert body(family, family.fit(replace(examples, table={**examples.table, **more}), RNG)) == body(family, model)


def test_the_horizon_of_cases_is_that_of_the_scores() -> None:
    """So the reliability that is shown is that of what is served."""
    examples = many(100, 9)
    model = activity.FAMILY.fit(examples, RNG)
    served = [model.predict(of)["churn_risk"] for of in each(examples)]
    assert AHEAD == 28
    assert np.array(served, np.float64) == pytest.approx(activity.FAMILY.judge(model, examples).p["churn_risk"], abs=1e-9)
