from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from personalization.bootstrap import House, memory_house
from personalization.clock import DAY, ManualClock, instant
from personalization.lab.population import Simulation, click_probability, history, population, reactions, samples, settle
from personalization.rest.conversion import new_template, profile_row

NOW = instant("2026-03-02T12:00:00Z")


@pytest.fixture
def house() -> Iterator[House]:
    house = memory_house(clock=ManualClock(NOW))
    house.storage.tenants.create("demo", NOW)
    yield house
    house.orchestrator.close()
    house.close()


def test_the_same_seed_gives_the_same_people() -> None:
    assert population(50) == population(50)
    assert population(50, seed=1) != population(50, seed=2)


def test_every_person_and_template_is_one_that_the_api_takes() -> None:
    for person in population():
        assert profile_row({"user_id": person.user_id, **person.sections})[1] == person.sections
    assert {new_template(sample)["template_id"] for sample in samples()} == {"offer", "re-engagement", "welcome"}


def test_people_are_many_and_speak_five_languages() -> None:
    people = population()
    assert len({person.user_id for person in people}) == 500
    assert {person.sections["language"] for person in people} == {"en", "de", "fr", "es", "pt-BR"}


def test_the_hidden_chances_are_chances_and_differ_by_variant() -> None:
    person = population(2)[1]
    chances = [click_probability(person, variant, "email", hour) for variant in "abcd" for hour in range(24)]
    assert all(0.0 < chance < 1.0 for chance in chances)
    assert len(set(chances)) > 4


def test_nobody_clicks_without_opening() -> None:
    rng, person = np.random.default_rng(1), population(1)[0]
    for _ in range(300):
        kinds = [reaction.type for reaction in reactions(rng, person, "a", "email", 9)]
        assert kinds in ([], ["opened"], ["opened", "clicked"], ["opened", "clicked", "converted"], ["unsubscribed"])


def test_the_past_lies_in_the_past() -> None:
    assert all(NOW - 62 * DAY < event.occurred_at <= NOW for event in history(population(30), NOW))


def test_people_settle_once(house: House) -> None:
    people, service = population(20), house.service("demo")
    assert settle(service, house.clock, people)
    assert not settle(service, house.clock, people)
    assert len(service.templates(10, None)["items"]) == 3


def test_the_simulation_decides_and_reports_and_stops(house: House) -> None:
    people, service = population(20), house.service("demo")
    settle(service, house.clock, people)
    simulation = Simulation(service, house.clock, people, first=40)
    for _ in range(40):
        simulation.message()
    found = service.overview(NOW - DAY, NOW + DAY, None)
    assert found["decisions"] == 40
    assert found["sends"] > 30
    assert found["events"]
    simulation.start()
    simulation.close()
    assert not simulation._thread.is_alive()
