"""Many thousand malformed requests over all routes: never a 5xx, always a problem."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from tests.api.malformed import malformed
from tests.api.raw import World, complaint
from tests.api.routes import routes

SEED = 20261123


@pytest.mark.parametrize("count", [20_000, pytest.param(50_000, marks=pytest.mark.long)])
def test_malformed_requests_are_the_callers_problem(world: World, count: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    statuses = refused(world, count)
    assert not caplog.records
    assert sum(n for status, n in statuses.items() if status >= 400) > 0.9 * count
    assert {400, 401, 404, 405, 413, 415, 422} <= statuses.keys()


@pytest.mark.parametrize("count", [2_000, pytest.param(20_000, marks=pytest.mark.long)])
def test_postgresql_has_no_words_of_its_own_for_them(postgres_world: World, count: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    refused(postgres_world, count)
    assert not caplog.records


def refused(world: World, count: int) -> Counter[int]:
    """How often each status was answered; every answer as it must be, every route asked."""
    statuses: Counter[int] = Counter()
    hit = set()
    known = list(routes(world.app))
    for number, request in enumerate(malformed(SEED + count, known, count)):
        answer = world.ask(request.method, request.target, request.headers, request.body)
        wrong = complaint(world, answer, request.method)
        assert wrong is None, (number, request, wrong)
        statuses[answer.status] += 1
        hit.add((request.method, request.target))
    assert {(route.method, route.path) for route in known if route.guard is not None} <= hit
    return statuses
