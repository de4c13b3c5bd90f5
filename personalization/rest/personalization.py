"""/personalization: profiles, templates, decisions, events."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask_restx import Namespace, Resource

from personalization.errors import PersonalizationError
from personalization.messages import EventsReceipt, PersonalizationResponse
from personalization.rest import answers, schemas
from personalization.rest.answering import answer, nothing, request_id
from personalization.rest.conversion import (
    event_of,
    event_or_refusal,
    items,
    new_template,
    profile_patch,
    profile_row,
    profile_sections,
    request_of,
    request_or_refusal,
    template_of,
)
from personalization.rest.documentation import described
from personalization.rest.guards import Call, guard
from personalization.rest.problems import presentable, problem_document
from personalization.rest.query import PAGE, REPLAY, VERSION
from personalization.rest.repeats import REPLAYED, item_keys, keep_nothing, once, passing
from personalization.rest.strict import BULK
from personalization.vocabulary import Permission

namespace = Namespace("personalization", description="Profiles, templates, decisions, events")


@namespace.route("/personalize")
class PersonalizeResource(Resource):  # type: ignore[misc]
    @described(answers.Decision, body=schemas.Personalize, refusals=(404, 409), repeatable=True)
    @guard(Permission.PERSONALIZE, hot=True)
    def post(self, call: Call) -> Response:
        """Decide whether to send, what to say, on which channel, and when."""
        wanted = request_of(call.tenant_id, call.body(), call.idempotency_key())
        decided = call.service.personalize(wanted)
        repeated = wanted.idempotency_key is not None and not decided.created
        return answer(decided.document, headers=REPLAYED if repeated else None)


@namespace.route("/batch")
class BatchResource(Resource):  # type: ignore[misc]
    @described(answers.BatchAnswer, body=schemas.Batch)
    @guard(Permission.PERSONALIZE, hot=True)
    @once(BULK)
    def post(self, call: Call, document: Any) -> Response:
        """Decide for up to 1,000 requests; a bad one becomes its own problem."""
        given = items(document, "requests")
        call.charge_items(len(given))
        tenant_id = call.tenant_id
        keys = item_keys(call, document, len(given))
        asked = [request_or_refusal(tenant_id, each, key) for each, key in zip(given, keys, strict=True)]
        rows = [_row(each) for each in call.service.personalize_many(asked)]
        if any(passing(row["status"]) for row in rows):
            keep_nothing(call)
        return answer({"results": rows})


@namespace.route("/decisions/<id:decision_id>")
class DecisionResource(Resource):  # type: ignore[misc]
    @described(answers.RecordedDecision, refusals=(404,))
    @guard(Permission.PERSONALIZE, Permission.READ_INSIGHTS, parameters=REPLAY)
    def get(self, call: Call, decision_id: str) -> Response:
        """A recorded decision; with replay=true also recomputed and compared."""
        return answer(call.service.decision(decision_id, call.query["replay"]))


@namespace.route("/decisions/<id:decision_id>/activate")
class ActivationResource(Resource):  # type: ignore[misc]
    @described(answers.RecordedDecision, refusals=(404, 409))
    @guard(Permission.PERSONALIZE)
    def post(self, call: Call, decision_id: str) -> Response:
        """Let a decision made with activate=false into learning."""
        return answer(call.service.activate(decision_id))


@namespace.route("/decisions/<id:decision_id>/discard")
class DiscardResource(Resource):  # type: ignore[misc]
    @described(answers.RecordedDecision, refusals=(404, 409))
    @guard(Permission.PERSONALIZE)
    def post(self, call: Call, decision_id: str) -> Response:
        """Say that a decision will not be carried out; its place under the frequency caps is free again."""
        return answer(call.service.discard(decision_id))


@namespace.route("/events")
class EventsResource(Resource):  # type: ignore[misc]
    @described(answers.Receipt, status=202, body=schemas.Events)
    @guard(Permission.RECORD_EVENTS, hot=True)
    def post(self, call: Call) -> Response:
        """Record what people did: `{events: […]}` of up to 1,000, or one event. Acknowledged once it is durable."""
        document = call.body(BULK)
        if not isinstance(document, dict) or "events" not in document:
            return answer(_receipt(call.service.record([event_of(document)])), 202)
        given = items(document, "events")
        call.charge_items(len(given))
        return answer(_receipt(call.service.record([event_or_refusal(each) for each in given])), 202)


@namespace.route("/profiles")
class ProfilesResource(Resource):  # type: ignore[misc]
    @described(answers.ProfileResults, body=schemas.Profiles)
    @guard(Permission.UPDATE_PREFERENCES, hot=True)
    @once(BULK)
    def post(self, call: Call, document: Any) -> Response:
        """Put up to 1,000 profiles; a bad one is reported in its row."""
        given = items(document, "profiles")
        call.charge_items(len(given))
        return answer({"results": call.service.put_profiles([profile_row(each) for each in given])})


@namespace.route("/profiles/<id:user_id>")
class ProfileResource(Resource):  # type: ignore[misc]
    @described(answers.ProfileDocument, refusals=(404,))
    @guard(Permission.PERSONALIZE, Permission.READ_INSIGHTS, hot=True)
    def get(self, call: Call, user_id: str) -> Response:
        """What is declared and learned of one person."""
        return answer(call.service.profile(user_id))

    @described(answers.ProfileDocument, body=schemas.Profile, refusals=(409,), also={201: answers.ProfileDocument})
    @guard(Permission.UPDATE_PREFERENCES, hot=True)
    def put(self, call: Call, user_id: str) -> Response:
        """Replace the declared sections; 201 the first time."""
        document, created = call.service.put_profile(user_id, profile_sections(user_id, call.body(BULK)))
        return answer(document, 201 if created else 200)

    @described(answers.ProfileDocument, body=schemas.ProfilePatch, refusals=(409,), also={201: answers.ProfileDocument})
    @guard(Permission.UPDATE_PREFERENCES)
    def patch(self, call: Call, user_id: str) -> Response:
        """Change some declared sections (RFC 7396); 201 when the profile is new."""
        document, created = call.service.patch_profile(user_id, profile_patch(call.body(BULK)))
        return answer(document, 201 if created else 200)


@namespace.route("/templates")
class TemplatesResource(Resource):  # type: ignore[misc]
    @described(answers.TemplatePage)
    @guard(Permission.MANAGE_TEMPLATES, Permission.PERSONALIZE, parameters=PAGE)
    def get(self, call: Call) -> Response:
        """The newest versions, in order of their ids."""
        return answer(call.service.templates(call.query["limit"], call.query["cursor"]))

    @described(answers.TemplateDocument, status=201, body=schemas.NewTemplate, refusals=(409,))
    @guard(Permission.MANAGE_TEMPLATES)
    @once()
    def post(self, call: Call, document: Any) -> Response:
        """Make a template."""
        return answer(call.service.create_template(new_template(document)), 201)


@namespace.route("/templates/<id:template_id>")
class TemplateResource(Resource):  # type: ignore[misc]
    @described(answers.TemplateDocument, refusals=(404,))
    @guard(Permission.MANAGE_TEMPLATES, Permission.PERSONALIZE, parameters=VERSION)
    def get(self, call: Call, template_id: str) -> Response:
        """One version of a template, the newest by default."""
        return answer(call.service.template(template_id, call.query["version"]))

    @described(answers.TemplateDocument, body=schemas.TemplateBody, refusals=(404, 409))
    @guard(Permission.MANAGE_TEMPLATES)
    def put(self, call: Call, template_id: str) -> Response:
        """Store the next version of a template; earlier versions stay as they are."""
        return answer(call.service.put_template(template_id, template_of(template_id, call.body())))

    @described(None, status=204, refusals=(404,))
    @guard(Permission.MANAGE_TEMPLATES)
    def delete(self, call: Call, template_id: str) -> Response:
        """Take a template out of use; its versions stay readable for recorded decisions."""
        call.service.delete_template(template_id)
        return nothing()


@namespace.route("/templates/<id:template_id>/versions")
class VersionsResource(Resource):  # type: ignore[misc]
    @described(answers.TemplatePage, refusals=(404,))
    @guard(Permission.MANAGE_TEMPLATES, Permission.PERSONALIZE, parameters=PAGE)
    def get(self, call: Call, template_id: str) -> Response:
        """The versions of a template, newest first."""
        return answer(call.service.template_versions(template_id, call.query["limit"], call.query["cursor"]))


@namespace.route("/templates/<id:template_id>/preview")
class PreviewResource(Resource):  # type: ignore[misc]
    @described(answers.PreviewDocument, body=schemas.Preview, refusals=(404,))
    @guard(Permission.MANAGE_TEMPLATES)
    def post(self, call: Call, template_id: str) -> Response:
        """Render a template for someone, without deciding or recording anything."""
        document = call.body()
        schemas.read(schemas.Preview, document)
        return answer(call.service.preview_template(template_id, document))


def _row(decided: PersonalizationResponse | PersonalizationError) -> dict[str, Any]:
    if isinstance(decided, PersonalizationResponse):
        return {"status": 200, "decision": decided.document}
    known = presentable(decided)
    return {"status": known.status, "problem": problem_document(known, request_id(request.environ))}


def _receipt(receipt: EventsReceipt) -> dict[str, Any]:
    return {
        "accepted": receipt.accepted,
        "duplicates": receipt.duplicates,
        "rejected": [
            {"index": index, "errors": [{"field": e.field, "message": e.message} for e in errors]}
            for index, errors in receipt.rejected
        ],
    }
