from __future__ import annotations

import threading
import time
from threading import Event

import pytest

from personalization.clock import SECOND, ManualClock
from personalization.errors import OutboundFailed
from personalization.security import keyring
from personalization.security.keyring import MAX_AGE, PAUSE, Keyring, PublishedKeys
from personalization.security.signing_keys import ES256, HS256, RS256, key_of_pem, key_of_secret
from tests.signing import jwk, key_set, public_pem


class Provider:
    """A key set to be changed, taken away or kept from answering; counts how often it was asked."""

    def __init__(self, *kids: str) -> None:
        self.kids, self.asked, self.away = list(kids), 0, False
        self.let_go = Event()
        self.let_go.set()

    def __call__(self) -> bytes:
        self.asked += 1
        self.let_go.wait(5)
        if self.away:
            raise OutboundFailed("https://idp.example/jwks", "does not answer")
        return key_set(*(jwk(f"rsa-{kid}", kid=kid) for kid in self.kids))


class Held:
    """What the published keys answer, after a refresh under way has ended."""

    def __init__(self, provider: Provider) -> None:
        self.clock = ManualClock(0)
        self.provider = provider
        self.keys = PublishedKeys(provider, self.clock)

    def kids(self, kid: str | None = None, after: float = 0.0) -> list[str | None]:
        self.clock.advance(int(after * SECOND))
        return [key.kid for key in self.keys.candidates(RS256, kid)]

    def settled(self, asked: int) -> None:
        until = time.monotonic() + 5
        while self.provider.asked < asked or any(thread.name == "jwks" for thread in threading.enumerate()):
            assert time.monotonic() < until
            time.sleep(0.002)


@pytest.fixture
def held() -> Held:
    return Held(Provider("a", "b"))


def test_the_first_need_fetches_and_later_ones_do_not(held: Held) -> None:
    assert held.kids("a") == ["a"]
    assert held.kids() == ["a", "b"]
    assert held.kids("b", after=MAX_AGE - 1) == ["b"]
    assert held.provider.asked == 1


def test_an_old_set_is_fetched_again_in_the_background(held: Held) -> None:
    held.kids()
    held.provider.kids = ["c"]
    held.provider.let_go.clear()
    assert held.kids(after=MAX_AGE) == ["a", "b"]  # does not wait for the fetch that it has begun
    held.provider.let_go.set()
    held.settled(2)
    assert held.kids() == ["c"]


def test_an_unknown_kid_brings_a_refresh_and_random_ones_only_one_in_a_while(held: Held) -> None:
    held.kids()
    held.provider.kids.append("new")
    assert held.kids("new", after=PAUSE) == []
    held.settled(2)
    assert held.kids("new") == ["new"]
    for n in range(2_000):
        assert held.kids(f"random {n}", after=0.01) == []
    held.settled(2)
    assert held.provider.asked <= 2 + 2


def test_a_stale_set_serves_while_its_server_is_away(held: Held) -> None:
    held.kids()
    held.provider.away = True
    for asked in range(2, 6):
        assert held.kids("a", after=MAX_AGE) == ["a"]
        held.settled(asked)
    held.provider.away = False
    held.provider.kids = ["z"]
    held.kids(after=PAUSE)
    held.settled(6)
    assert held.kids() == ["z"]


def test_a_server_away_from_the_start_is_waited_for_once_and_tried_again(held: Held) -> None:
    held.provider.away = True
    assert held.kids("a") == []
    began = time.perf_counter()
    assert [held.kids("a", after=0.1) for _ in range(20)] == [[]] * 20
    assert time.perf_counter() - began < 0.5
    assert held.provider.asked == 1
    held.provider.away = False
    held.kids("a", after=PAUSE)
    held.settled(2)
    assert held.kids("a") == ["a"]


def test_the_first_need_waits_no_longer_than_it_may(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "FIRST_WAIT", 0.1)
    held.provider.let_go.clear()
    began = time.perf_counter()
    assert held.kids("a") == []
    assert time.perf_counter() - began < 1.0
    held.provider.let_go.set()
    held.settled(1)
    assert held.kids("a") == ["a"]


def test_that_a_key_has_gone_is_noted(held: Held) -> None:
    held.kids()
    assert held.keys.generation == 0
    for asked, kids, generation in ((2, ["a", "b", "c"], 0), (3, ["a", "c"], 1)):
        held.provider.kids = kids
        held.kids(after=MAX_AGE)
        held.settled(asked)
        assert held.keys.generation == generation


def test_a_key_serves_its_own_algorithm_only() -> None:
    ring = Keyring([key_of_secret("x" * 32), key_of_pem(public_pem("ec"))])
    assert [[key.algorithm for key in ring.candidates(a, "any kid")] for a in (HS256, ES256, RS256, "none")] == [
        [HS256],
        [ES256],
        [],
        [],
    ]
