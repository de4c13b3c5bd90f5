"""The only chooser of implementations: from Settings to a house that runs."""

from __future__ import annotations

import atexit
import gc
import json
import logging
import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
from flask import Flask
from threadpoolctl import threadpool_limits

from personalization import telemetry
from personalization.api import create_api
from personalization.cache import CachedProfiles, CachedTemplates, CachedTenants
from personalization.clock import Clock, SystemClock
from personalization.core import Answer, Ask, DeepPersonalizationEngine, PersonalizationOrchestrator
from personalization.errors import MisconfiguredError, NotFound, StorageUnavailable
from personalization.models.base import Case, Examples
from personalization.models.families import families
from personalization.models.registry import PolicyBook
from personalization.models.shelf import Shelf
from personalization.operations.budgets import Budgets
from personalization.operations.erasing import Eraser
from personalization.operations.examples import examples
from personalization.operations.followers import Followers
from personalization.operations.forgetting import Forgetting
from personalization.operations.learner import CHECKPOINT_EVERY, Learner
from personalization.operations.model_life import ModelLife
from personalization.operations.projector import Pages, Projector
from personalization.operations.trainer import Trainer
from personalization.operations.training import Step
from personalization.outbound import Outbound, expect_allowed
from personalization.profile import PersonalizationProfile
from personalization.sealing import Cipher
from personalization.security.cipher import EnvelopeCipher, PlainCipher
from personalization.service import PersonalizationService
from personalization.settings import DEVELOPMENT, MINIMUM_SECRET_BYTES, Settings, settings_from
from personalization.storage.base import ApiKeyStore, RepeatStore, RevocationStore, Storage
from personalization.storage.memory.open import open_memory_storage
from personalization.storage.sql.lock import ProcessLock
from personalization.storage.sql.open import open_sql_storage
from personalization.version import VERSION
from personalization.vocabulary import FallbackReason

log = logging.getLogger(__name__)

#: How long a starting process waits for the SQLite file to become free, in seconds (gunicorn's graceful timeout).
_LOCK_WAIT = 30.0
#: A tenant seen once is not looked up again.
_TENANTS_KEPT = 10_000


@dataclass
class House:
    """All rooms of one process, wired. `start` before use, `close` at the end; both may be called twice."""

    settings: Settings
    storage: Storage
    clock: Clock
    profiles: CachedProfiles
    book: PolicyBook
    shelf: Shelf
    engine: DeepPersonalizationEngine
    orchestrator: PersonalizationOrchestrator[Ask, Answer]
    outbound: Outbound
    new_id: Callable[[], str]
    lock: ProcessLock | None = None
    checkpoint_every: int = CHECKPOINT_EVERY
    followers: Followers = field(init=False)
    _services: dict[str, PersonalizationService] = field(default_factory=dict)
    _guard: Lock = field(default_factory=Lock)
    _starting: Lock = field(default_factory=Lock)
    _started_in: int = 0
    _closed: bool = False

    def __post_init__(self) -> None:
        pages = Pages(self.storage)
        self.projector = Projector(self.storage, self.profiles, pages, self._learned)
        self.learner = Learner(self.storage, self.book, pages, self.clock, self.checkpoint_every)
        self.forget = Forgetting(self.profiles, self.engine)
        eraser = Eraser(self.storage, self.book, self.projector, self.learner, pages, self.forget, self.clock)
        budgets = Budgets(self.storage, self.book, self.clock)
        self.followers = Followers(
            self.storage, self.profiles, self.book, self.shelf, self.projector, self.learner, eraser, budgets
        )
        self.trainer = Trainer(self.storage, self.shelf, self._life, self.clock, self.followers.leads)

    @property
    def keys(self) -> ApiKeyStore:
        return self.storage.keys

    @property
    def repeats(self) -> RepeatStore:
        return self.storage.repeats

    @property
    def revocations(self) -> RevocationStore:
        return self.storage.revocations

    def fetch(self, url: str) -> bytes:
        """A document from elsewhere. Raises OutboundFailed."""
        return self.outbound.get(url)

    def start(self) -> None:
        """Load the newest policies and follow the log, in this process."""
        with self._starting:
            if self._started_in == os.getpid():
                return
            _settle()
            self.book.refresh()
            self.shelf.refresh()
            self.followers.start()
            self.trainer.start()
            self._started_in = os.getpid()

    def rest(self) -> None:
        """Before a fork: the child follows the log, this process only watches over it."""
        if self._started_in == os.getpid():
            self._started_in = 0
            self.trainer.close()
            self.followers.close()

    def close(self) -> None:
        """Answer what waits, keep what was learned, let go of the store."""
        self._closed = True
        if self._started_in == os.getpid():
            self._started_in = 0
            self.orchestrator.close()
            self.trainer.close()
            self.followers.close()
        self.storage.life.close()
        if self.lock is not None:
            self.lock.release()

    def service(self, tenant_id: str) -> PersonalizationService:
        """Raises NotFound for an unknown tenant."""
        found = self._services.get(tenant_id)
        if found is None:
            if not self.storage.tenants.exists(tenant_id):
                raise NotFound("tenant")
            with self._guard:
                found = self._services.setdefault(tenant_id, self._new_service(tenant_id))
        return found

    def tenant_exists(self, tenant_id: str) -> bool:
        return tenant_id in self._services or self.storage.tenants.exists(tenant_id)

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether this process should get requests, and what each part says. A process that came up before `migrate` had run
        starts here, once it has."""
        checks: dict[str, Any] = {}
        try:
            self.storage.life.ping()
            checks["database"] = "ok"
            checks["schema"] = self.storage.life.schema()
            if checks["schema"] == "head" and not self._closed:
                self.start()
        except StorageUnavailable as away:
            checks["database"] = str(away)
        if checks.get("schema") == "older":
            checks["schema"] = "older: run `personalization migrate`"
        ready = checks["database"] == "ok" and checks["schema"] == "head" and self._started_in == os.getpid()
        return ready, {"status": "ready" if ready else "not ready", "checks": checks}

    def health(self) -> dict[str, Any]:
        ready, answer = self.ready()
        return {
            "status": "healthy" if ready else "degraded",
            "checks": answer["checks"],
            "version": VERSION,
            "environment": self.settings.app_env,
            "queues": self.orchestrator.depths(),
        }

    def stats(self, tenant_id: str) -> dict[str, Any]:
        """Of this process since it started, the tenant's log and models apart."""
        return {
            "tenant_id": tenant_id,
            "log_head": self.storage.log.heads().get(tenant_id, 0),
            "models": len(self.book.models(tenant_id)),
            "queues": self.orchestrator.depths(),
            "cache_hit_ratio": telemetry.cache_hit_ratio(),
        }

    def _new_service(self, tenant_id: str) -> PersonalizationService:
        return PersonalizationService(
            tenant_id,
            storage=self.storage,
            profiles=self.profiles,
            book=self.book,
            shelf=self.shelf,
            examine=self._examine,
            engine=self.engine,
            orchestrator=self.orchestrator,
            clock=self.clock,
            forget=self.forget,
            new_id=self.new_id,
            close=self.close,
        )

    def _life(self, tenant_id: str) -> ModelLife:
        return self.service(tenant_id).model_life

    def _examine(self, tenant_id: str, case: Case, now: int, step: Step) -> Examples:
        return examples(self.storage, tenant_id, case, now, step)

    def _learned(self, tenant_id: str, profiles: list[PersonalizationProfile]) -> None:
        service = self._services.get(tenant_id)
        if service is not None:
            service.profiles_learned(profiles)


def build_house(
    settings: Settings,
    clock: Clock | None = None,
    storage: Storage | None = None,
    new_id: Callable[[], str] | None = None,
    checkpoint_every: int = CHECKPOINT_EVERY,
) -> House:
    """Wire a house. Without `storage` it opens the database of the settings, made or migrated where that may be done
    unasked, and takes the lock of a SQLite file. new_id makes ids never used before. Raises MisconfiguredError."""
    clock = clock or SystemClock()
    if settings.jwt_jwks_url is not None:
        expect_allowed(settings.jwt_jwks_url, "JWT_JWKS_URL")
    lock = None
    if storage is None:
        settings = with_secrets(settings)
        lock = _locked(settings, clock, _LOCK_WAIT)
        storage = opened_storage(settings, clock)
    profiles = CachedProfiles(storage.profiles, clock)
    storage = replace(storage, tenants=CachedTenants(storage.tenants, clock), templates=CachedTemplates(storage.templates, clock))
    book = PolicyBook(storage.snapshots)
    new_id = new_id or _NewIds(clock)
    engine = DeepPersonalizationEngine(storage, profiles, book, clock, new_id)
    orchestrator = PersonalizationOrchestrator(engine.decide, _late, clock)
    return House(
        settings=settings,
        storage=storage,
        clock=clock,
        profiles=profiles,
        book=book,
        shelf=Shelf(storage.model_versions, families()),
        engine=engine,
        orchestrator=orchestrator,
        outbound=Outbound(clock),
        new_id=new_id,
        lock=lock,
        checkpoint_every=checkpoint_every,
    )


def memory_house(
    settings: Settings | None = None,
    clock: Clock | None = None,
    cipher: Cipher | None = None,
    token: Callable[[int], bytes] = os.urandom,
    new_id: Callable[[], str] | None = None,
    checkpoint_every: int = CHECKPOINT_EVERY,
) -> House:
    """A house that forgets: for tests, for replaying logs and for simulations.

    token            : makes pseudonyms, so many bytes
    new_id           : makes decision ids; where both repeat, so does every decision
    checkpoint_every : microseconds of the clock; where it flies, checkpoints would take most of the time
    """
    clock = clock or SystemClock()
    storage = open_memory_storage(cipher or PlainCipher(), token)
    settings = settings or Settings(app_env=DEVELOPMENT, jwt_secret_key=secrets.token_hex(MINIMUM_SECRET_BYTES))
    return build_house(settings, clock, storage, new_id, checkpoint_every)


def opened_storage(settings: Settings, clock: Clock) -> Storage:
    """The settings' database: an empty one is brought to head, an older one too unless in production."""
    storage = open_sql_storage(settings.database_url, EnvelopeCipher(settings.encryption_keys), clock)
    state = storage.life.schema()
    if state == "empty" or (state == "older" and settings.relaxed):
        storage.life.migrate()
    return storage


def with_secrets(settings: Settings) -> Settings:
    """In demo and development the missing secrets, made once and kept in the state folder; in production none are made.

    Raises MisconfiguredError saying what is weak and how to mend it.
    """
    if not settings.relaxed:
        weak = settings.weaknesses()
        if weak:
            raise MisconfiguredError("Production does not start: " + "; ".join(weak) + ". `personalization doctor` tells more.")
        return settings
    if not settings.weaknesses():
        return settings
    kept = _kept_secrets(settings.secrets_file)
    return replace(
        settings,
        jwt_secret_key=settings.jwt_secret_key or kept["jwt_secret_key"],
        encryption_keys=settings.encryption_keys or (("local", b64decode(kept["encryption_key"])),),
    )


def create_app(settings: Settings | None = None, house: House | None = None) -> Flask:
    """The WSGI application: `gunicorn 'app:create_app()'`."""
    house = house or build_house(settings or settings_from())
    logging.basicConfig(level=house.settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    app = Flask("personalization")
    app.extensions["personalization"] = house
    create_api(app, house)
    if house.storage.life.schema() == "head":
        house.start()
        os.register_at_fork(before=house.rest, after_in_child=house.start)
    atexit.register(house.close)
    return app


def create_personalization_service(
    tenant_id: str, config: Mapping[str, Any] | None = None, settings: Settings | None = None
) -> PersonalizationService:
    """A service for Python callers, in this process, on the settings' database (SQLite in the state folder by default).

    config : a patch of the tenant's configuration, as PATCH /management/config takes it
    """
    house = build_house(settings or settings_from(app_env=DEVELOPMENT))
    house.storage.tenants.create(tenant_id, house.clock.now())
    house.start()
    atexit.register(house.close)
    service = house.service(tenant_id)
    if config:
        service.patch_config(config)
    return service


def lone_lock(settings: Settings, clock: Clock) -> ProcessLock | None:
    """The lock of a SQLite file that nobody holds. Raises MisconfiguredError when somebody does."""
    return _locked(settings, clock, 0.0)


def _locked(settings: Settings, clock: Clock, wait: float) -> ProcessLock | None:
    if not settings.sqlite:
        return None
    path = Path(settings.database_url.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = ProcessLock(path.with_suffix(path.suffix + ".lock"), clock)
    lock.acquire(wait)
    return lock


def _kept_secrets(path: Path) -> dict[str, str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = {
        "jwt_secret_key": secrets.token_hex(MINIMUM_SECRET_BYTES),
        "encryption_key": b64encode(secrets.token_bytes(MINIMUM_SECRET_BYTES)).decode(),
    }
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(made, file)
        return made
    except FileExistsError:
        try:
            kept = json.loads(path.read_text())
            return {name: kept[name] for name in made}
        except (ValueError, KeyError) as broken:
            raise MisconfiguredError(f"{path} does not hold the secrets of this installation; restore it or remove it") from broken


def _settle() -> None:
    """Once everything is loaded: keep the collector off what stays, and matrix products of this size on one thread."""
    threadpool_limits(1, user_api="blas")
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)


class _NewIds:
    """Milliseconds and 80 bits nobody can guess: in order of time, so that the index grows at its end.

    The bits are a keyed hash of a count and the process, since asking the system for each would let go of the interpreter.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self._key, self._count = clock, os.urandom(32), count()

    def __call__(self) -> str:
        which = b"%d.%d" % (os.getpid(), next(self._count))
        return f"{self._clock.now() // 1000:012x}{blake2b(which, key=self._key, digest_size=10).hexdigest()}"


def _late(ask: Ask) -> Ask:
    return msgspec.structs.replace(ask, fallback=FallbackReason.DEADLINE)
