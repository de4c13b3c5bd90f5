"""Which keys may verify a token: the configured ones, and those that an identity provider publishes as a JWK set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from threading import Event, Lock, Thread

from personalization import telemetry
from personalization.clock import Clock
from personalization.errors import PersonalizationError
from personalization.security.signing_keys import HS256, VerificationKey, keys_of_set

#: Seconds: a key set this old is fetched again; fetches never begin closer together; the first need waits at most so long.
MAX_AGE, PAUSE, FIRST_WAIT = 300.0, 10.0, 2.0

log = logging.getLogger(__name__)


class PublishedKeys:
    """A JWK set, fetched again in the background when it is old or a token names a key it does not hold.

    Only the very first need waits, at most FIRST_WAIT; every later one is answered from what is here. A set goes on being
    used while its server is away. Random key ids cost the server one fetch in PAUSE seconds of each process.
    """

    def __init__(self, fetch: Callable[[], bytes], clock: Clock) -> None:
        self._fetch, self._clock = fetch, clock
        self._keys: tuple[VerificationKey, ...] = ()
        self._begun_at: float | None = None
        self._loaded_at: float | None = None
        self._tried, self._lock = Event(), Lock()
        #: Grows when a key has disappeared: what it verified should be forgotten.
        self.generation = 0

    def candidates(self, algorithm: str, kid: str | None) -> Iterator[VerificationKey]:
        """Those of the algorithm that carry this kid, or none; all of the algorithm for a token without kid."""
        self.refresh_when_old()
        if not self._tried.is_set():
            self._wait_for_the_first()
        held = self._keys
        if kid is not None and all(key.kid != kid for key in held):
            self._refresh()
        return (key for key in held if key.algorithm == algorithm and (kid is None or key.kid in (kid, None)))

    def refresh_when_old(self) -> None:
        """Never waits."""
        if self._loaded_at is None or self._clock.monotonic() - self._loaded_at >= MAX_AGE:
            self._refresh()

    def _refresh(self) -> None:
        with self._lock:
            now = self._clock.monotonic()
            if self._begun_at is not None and now - self._begun_at < PAUSE:
                return
            self._begun_at = now
        Thread(target=self._load, name="jwks", daemon=True).start()

    def _wait_for_the_first(self) -> None:
        waited = self._clock.monotonic() - (self._begun_at or 0.0)
        self._tried.wait(max(0.0, FIRST_WAIT - waited))

    def _load(self) -> None:
        try:
            self._take(keys_of_set(self._fetch()))
        except (PersonalizationError, ValueError) as failure:
            telemetry.JWKS_FAILURES.inc()
            log.warning("the key set of JWT_JWKS_URL stays as it was: %s", failure)
        finally:
            self._tried.set()

    def _take(self, keys: tuple[VerificationKey, ...]) -> None:
        kept = {(key.kid, key.algorithm, _fingerprint(key)) for key in keys}
        if any((key.kid, key.algorithm, _fingerprint(key)) not in kept for key in self._keys):
            self.generation += 1
        self._keys, self._loaded_at = keys, self._clock.monotonic()


class Keyring:
    """The keys in force."""

    def __init__(self, fixed: Sequence[VerificationKey], published: PublishedKeys | None = None) -> None:
        self._fixed, self._published = tuple(fixed), published

    def candidates(self, algorithm: str, kid: str | None) -> Iterator[VerificationKey]:
        """What a token of this algorithm may be verified with; kid only selects among published keys."""
        yield from (key for key in self._fixed if key.algorithm == algorithm)
        if self._published is not None and algorithm != HS256:
            yield from self._published.candidates(algorithm, kid)

    def refresh_when_old(self) -> int:
        """Begin a refresh where one is due; how often keys have disappeared so far. Never waits."""
        if self._published is None:
            return 0
        self._published.refresh_when_old()
        return self._published.generation


def _fingerprint(key: VerificationKey) -> object:
    return key.material.public_numbers()
