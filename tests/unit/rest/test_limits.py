from __future__ import annotations

from typing import Any

import pytest

from personalization.clock import SECOND, ManualClock
from personalization.errors import RateLimited
from personalization.rest.answering import LIMIT_HEADERS
from personalization.rest.limits import Buckets
from personalization.settings import RateLimit


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(0)


def taken(buckets: Buckets, cost: int = 1, principal: str = "p") -> dict[str, str]:
    environ: dict[str, Any] = {}
    buckets.take(principal, cost, environ)
    return dict(environ[LIMIT_HEADERS])


def test_a_bucket_empties_and_fills_again(clock: ManualClock) -> None:
    buckets = Buckets(RateLimit(2, 1), clock)
    assert [taken(buckets)["X-RateLimit-Remaining"] for _ in range(2)] == ["1", "0"]
    with pytest.raises(RateLimited) as refused:
        taken(buckets)
    assert refused.value.retry_after == 1
    clock.advance(SECOND // 2)
    taken(buckets)


def test_principals_have_buckets_of_their_own(clock: ManualClock) -> None:
    buckets = Buckets(RateLimit(1, 1), clock)
    taken(buckets, principal="a")
    taken(buckets, principal="b")


def test_a_list_larger_than_the_bucket_waits_until_it_is_full_and_is_paid_off(clock: ManualClock) -> None:
    buckets = Buckets(RateLimit(10, 1), clock)
    taken(buckets, 25)
    with pytest.raises(RateLimited) as refused:
        taken(buckets)
    assert refused.value.retry_after == 2
    clock.advance(2 * SECOND)
    taken(buckets)


def test_a_slow_rate_gives_its_whole_allowance_at_once(clock: ManualClock) -> None:
    buckets = Buckets(RateLimit(5, 3600), clock)
    assert [taken(buckets)["X-RateLimit-Remaining"] for _ in range(5)] == ["4", "3", "2", "1", "0"]
    with pytest.raises(RateLimited) as refused:
        taken(buckets)
    assert refused.value.retry_after == 720
