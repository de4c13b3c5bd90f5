"""/management: is it alive, who may come in, and how a tenant wants to be served."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_restx import Namespace, Resource

from personalization.clock import SECOND, rfc3339
from personalization.errors import Invalid, NotFound
from personalization.operations.paging import key_of, page
from personalization.rest import answers, schemas
from personalization.rest.answering import answer, nothing
from personalization.rest.documentation import described
from personalization.rest.guards import Call, guard, house
from personalization.rest.query import PAGE
from personalization.rest.repeats import once
from personalization.security.identity import TOKEN_LIFETIME, new_key
from personalization.storage.base import ApiKeyRecord
from personalization.vocabulary import Permission

namespace = Namespace("management", description="Liveness, credentials, configuration, consent")


@namespace.route("/live")
class LiveResource(Resource):  # type: ignore[misc]
    @described(answers.Live)
    def get(self) -> Response:
        """Whether the process answers at all."""
        return answer({"status": "alive"})


@namespace.route("/ready")
class ReadyResource(Resource):  # type: ignore[misc]
    @described(answers.Ready, also={503: answers.Ready})
    def get(self) -> Response:
        """Whether requests should be sent here now."""
        ready, document = house().ready()
        return answer(document) if ready else answer(document, 503, {"Retry-After": "2"})


@namespace.route("/health")
class HealthResource(Resource):  # type: ignore[misc]
    @described(answers.Health)
    @guard()
    def get(self, call: Call) -> Response:
        """How the parts are doing."""
        return answer(call.house.health())


@namespace.route("/stats")
class StatsResource(Resource):  # type: ignore[misc]
    @described(answers.Stats)
    @guard()
    def get(self, call: Call) -> Response:
        """Figures of the caller's tenant."""
        return answer(call.house.stats(call.tenant_id))


@namespace.route("/tokens")
class TokensResource(Resource):  # type: ignore[misc]
    @described(answers.Token)
    @guard(key_only=True)
    def post(self, call: Call) -> Response:
        """Exchange the X-API-Key for a bearer token of 15 minutes with the key's role."""
        token = call.credentials.issue(call.principal)
        return answer({"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIFETIME // SECOND})


@namespace.route("/tokens/revoke")
class RevocationResource(Resource):  # type: ignore[misc]
    @described(answers.Revoked, body=schemas.Revocation)
    @guard(key_only=True)
    def post(self, call: Call) -> Response:
        """End one of the tenant's tokens before its time, everywhere within 5 s and for good; one that has ended is no error."""
        wanted = schemas.read(schemas.Revocation, call.body())
        if wanted.token is not None:
            call.credentials.revoke_token(call.tenant_id, wanted.token)
        if wanted.jti is not None:
            call.credentials.revoke_jti(call.tenant_id, wanted.jti)
        return answer({"revoked": True})


@namespace.route("/api-keys")
class ApiKeysResource(Resource):  # type: ignore[misc]
    @described(answers.ApiKeyPage)
    @guard(Permission.ADMINISTER, parameters=PAGE)
    def get(self, call: Call) -> Response:
        """The tenant's standing keys, without their secrets."""
        limit = call.query["limit"]
        found = call.house.keys.list(call.tenant_id, limit + 1, key_of(call.query["cursor"]))
        return answer(page([_key_document(record) for record in found], found, limit, lambda record: record.key_id))

    @described(answers.CreatedApiKey, status=201, body=schemas.NewApiKey)
    @guard(Permission.ADMINISTER)
    @once()
    def post(self, call: Call, document: Any) -> Response:
        """Make a key; its secret is shown this once (to a repeated Idempotency-Key once more)."""
        record, api_key = _fresh_key(call, schemas.read(schemas.NewApiKey, document))
        call.house.keys.add(record)
        return answer({**_key_document(record), "api_key": api_key}, 201)


@namespace.route("/api-keys/<id:key_id>")
class ApiKeyResource(Resource):  # type: ignore[misc]
    @described(None, status=204, refusals=(404,))
    @guard(Permission.ADMINISTER)
    def delete(self, call: Call, key_id: str) -> Response:
        """Revoke a key, and every token it was exchanged for."""
        if not call.house.keys.revoke(call.tenant_id, key_id, call.house.clock.now()):
            raise NotFound("API key")
        call.credentials.forget_key(key_id)
        return nothing()


@namespace.route("/config")
class ConfigResource(Resource):  # type: ignore[misc]
    @described(answers.ConfigDocument)
    @guard(Permission.ADMINISTER)
    def get(self, call: Call) -> Response:
        """The tenant's configuration, defaults included."""
        return answer(call.service.config())

    @described(answers.ConfigDocument, body=schemas.ConfigPatch, refusals=(409,))
    @guard(Permission.ADMINISTER)
    def patch(self, call: Call) -> Response:
        """Change some of the configuration (RFC 7396)."""
        document = call.body()
        schemas.read(schemas.ConfigPatch, document)
        return answer(call.service.patch_config({name: document[name] for name in document if name != "version"}))


@namespace.route("/users/<id:user_id>/consent")
class ConsentResource(Resource):  # type: ignore[misc]
    @described(answers.ConsentDocument, refusals=(404,))
    @guard(Permission.UPDATE_PREFERENCES, Permission.MANAGE_PRIVACY)
    def get(self, call: Call, user_id: str) -> Response:
        """What one person agreed to."""
        return answer(call.service.consent(user_id))

    @described(answers.ConsentDocument, body=schemas.ConsentBody, refusals=(409,))
    @guard(Permission.UPDATE_PREFERENCES, Permission.MANAGE_PRIVACY)
    def put(self, call: Call, user_id: str) -> Response:
        """Replace what one person agreed to; what is left out is the tenant's default."""
        document = call.body()
        schemas.read(schemas.ConsentBody, document)
        return answer(call.service.put_consent(user_id, document))


def _fresh_key(call: Call, wanted: schemas.NewApiKey) -> tuple[ApiKeyRecord, str]:
    now, expires_at = call.house.clock.now(), schemas.microseconds_of(wanted.expires_at)
    if expires_at is not None and expires_at <= now:
        raise Invalid.field("expires_at", "must lie in the future")
    key = new_key()
    record = ApiKeyRecord(
        key_id=key.key_id,
        tenant_id=call.tenant_id,
        role=wanted.role,
        name=wanted.name,
        digest=key.digest,
        created_at=now,
        expires_at=expires_at,
    )
    return record, key.api_key


def _key_document(record: ApiKeyRecord) -> dict[str, Any]:
    return {
        "key_id": record.key_id,
        "tenant_id": record.tenant_id,
        "role": record.role,
        "name": record.name,
        "created_at": rfc3339(record.created_at),
        "expires_at": None if record.expires_at is None else rfc3339(record.expires_at),
    }
