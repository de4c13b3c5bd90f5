"""The running product against its own document: whatever fits it, and whatever does not, gets a declared answer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from personalization.bootstrap import build_house, create_app
from personalization.clock import SystemClock
from personalization.security.identity import new_key
from personalization.settings import DEVELOPMENT, RateLimit, Settings
from personalization.storage.base import ApiKeyRecord
from tests.api.documents import unnamed
from tests.api.routes import LOCALES, PREFIX

#: A schema cannot say all that makes a request good: that an id is printable, that a Liquid text compiles, that exactly one of
#: three fields is given. Each of these is 422, so "schema-valid requests are accepted" cannot be asked.
SAID_IN_WORDS = positive_data_acceptance
#: Lists whose rows are judged one by one: a row against the schema is a row of the answer, not a refusal of the request.
JUDGED_BY_ROW = {"POST /personalization/batch", "POST /personalization/events", "POST /personalization/profiles"}
#: Routes without credential, body or parameter but X-Request-Id: nothing about them can be wrong.
NOTHING_TO_GET_WRONG = {"GET /management/live", "GET /management/ready"}
CREDENTIALS = ("X-API-Key", "Authorization")
QUIET = [HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    folder = tmp_path_factory.mktemp("schemathesis")
    config = Settings(
        app_env=DEVELOPMENT, database_url=f"sqlite:///{folder}/p.db", state_dir=Path(folder), rate_limit=RateLimit(1_000_000, 1)
    )
    house = build_house(config, SystemClock())
    yield create_app(house=house)
    house.close()


def fresh_key(app: Flask, tenant_id: str = "acme") -> dict[str, str]:
    house, key = app.extensions["personalization"], new_key()
    house.storage.tenants.create(tenant_id, house.clock.now())
    house.keys.add(
        ApiKeyRecord(
            key_id=key.key_id, tenant_id=tenant_id, role="admin", name="t", digest=key.digest, created_at=house.clock.now()
        )
    )
    return {"X-API-Key": key.api_key}


@pytest.fixture(scope="module")
def credential(app: Flask) -> dict[str, str]:
    """Of a tenant that has a person and a template already."""
    client, headers = app.test_client(), fresh_key(app)
    client.put(f"{PREFIX}/personalization/profiles/u", json={"attributes": {"first_name": "Ada"}}, headers=headers)
    client.post(f"{PREFIX}/personalization/templates", json={"template_id": "t", "variants": [LOCALES]}, headers=headers)
    return headers


@pytest.fixture(scope="module")
def document(app: Flask, credential: dict[str, str]) -> Any:
    """As its holder of a good credential sees it."""
    return loaded(app, auth={"openapi": {"X-API-Key": {"api_key": credential["X-API-Key"]}}})


@pytest.fixture(scope="module")
def strangers_document(app: Flask) -> Any:
    return loaded(app)


def loaded(app: Flask, **more: Any) -> Any:
    config = SchemathesisConfig.from_dict({"generation": {"allow-x00": False}, **more})
    return schemathesis.openapi.from_wsgi(f"{PREFIX}/openapi.json", app, config=config)


def operations(document: Any) -> Iterator[Any]:
    for found in document.get_all_operations():
        yield found.ok()


def bounded(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, suppress_health_check=QUIET, derandomize=True, database=None)


def hold_to(operation: Any, mode: GenerationMode, examples: int, expect: Callable[[schemathesis.Case], int]) -> Counter[int]:
    """Try the operation so often; how often it answered with which status."""
    statuses: Counter[int] = Counter()

    @bounded(examples)
    @given(operation.as_strategy(generation_mode=mode))
    def tried(case: schemathesis.Case) -> None:
        statuses[expect(case)] += 1

    tried()
    return statuses


def declared(document: Any, case: schemathesis.Case) -> int:
    """With the good credential, or a generated one where the case is about credentials."""
    response = case.call()
    case.validate_response(response, excluded_checks=left_out(case))
    told_in_full(document, case, response)
    return int(response.status_code)


def told_in_full(document: Any, case: schemathesis.Case, response: Any) -> None:
    """Nothing is answered that the document does not know."""
    answer = json.loads(response.content) if response.content else None
    missing = unnamed(document.raw_schema, case.operation.method, case.operation.path, response.status_code, answer)
    assert not missing, case.operation.label


def left_out(case: schemathesis.Case) -> list[Any]:
    return [SAID_IN_WORDS, *([negative_data_rejection] if case.operation.label in JUDGED_BY_ROW else [])]


@pytest.mark.parametrize("examples", [10, pytest.param(120, marks=pytest.mark.long)])
@pytest.mark.parametrize("mode", GenerationMode)
def test_every_route_keeps_to_its_document(document: Any, mode: GenerationMode, examples: int) -> None:
    for operation in operations(document):
        if mode is GenerationMode.NEGATIVE and operation.label in NOTHING_TO_GET_WRONG:
            continue
        statuses = hold_to(operation, mode, examples, partial(declared, document))
        assert statuses, operation.label


@pytest.mark.parametrize("sent", [{}, {"X-API-Key": "dpk_0123456789abcdef_wrong"}, {"Authorization": "Bearer a.b.c"}])
def test_a_missing_or_wrong_credential_opens_no_route(strangers_document: Any, sent: dict[str, str]) -> None:
    def refused(case: schemathesis.Case) -> int:
        case.headers = {name: value for name, value in (case.headers or {}).items() if name not in CREDENTIALS}
        response = case.call(headers=sent)
        case.validate_response(response, excluded_checks=[SAID_IN_WORDS, negative_data_rejection, ignored_auth])
        return int(response.status_code)

    for operation in operations(strangers_document):
        guarded = operation.label not in NOTHING_TO_GET_WRONG
        statuses = hold_to(operation, GenerationMode.POSITIVE, 12, refused)
        assert statuses.keys() <= ({401, 422} if guarded else {200}), (operation.label, statuses)
        assert statuses[401] or not guarded, operation.label


@pytest.mark.parametrize("examples", [30, pytest.param(200, marks=pytest.mark.long)])
def test_what_one_answer_leads_to_keeps_to_the_document_too(app: Flask, document: Any, examples: int) -> None:
    answered: Counter[tuple[str, int]] = Counter()
    lands = count(1)

    class Journey(document.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            # In a land of its own, so that the same steps find the same things; it may end the very key it travels with.
            self.key = fresh_key(app, f"land-{next(lands)}")

        def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, Any]:
            return {"headers": self.key}

        def validate_response(self, response: Any, case: schemathesis.Case, *_: Any, **__: Any) -> None:
            answered[case.operation.label, response.status_code] += 1
            case.validate_response(response, excluded_checks=[*left_out(case), ignored_auth])
            told_in_full(document, case, response)

    Journey.run(settings=settings(bounded(examples), stateful_step_count=8, suppress_health_check=list(HealthCheck)))
    assert sum(answered.values()) > 3 * examples
    assert {200, 201} <= {status for _, status in answered}
