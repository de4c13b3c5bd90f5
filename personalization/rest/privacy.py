"""/management, the privacy officer's part: to export, anonymise and erase people."""

from __future__ import annotations

from flask import Response
from flask_restx import Namespace, Resource

from personalization.rest import answers
from personalization.rest.answering import JSON, answer, encoded
from personalization.rest.documentation import described
from personalization.rest.guards import Call, guard
from personalization.vocabulary import Permission


class ExportResource(Resource):  # type: ignore[misc]
    @described(answers.PersonExport, refusals=(404,))
    @guard(Permission.MANAGE_PRIVACY)
    def post(self, call: Call, user_id: str) -> Response:
        """Everything held of one person: decisions and events newest first, consents newest last. Sent as it is read."""
        return Response(call.service.export(user_id).chunks(encoded), content_type=JSON)


class AnonymizationResource(Resource):  # type: ignore[misc]
    @described(answers.Anonymized, refusals=(404,))
    @guard(Permission.MANAGE_PRIVACY)
    def post(self, call: Call, user_id: str) -> Response:
        """Take away who a person was and leave what they did; the id is free for somebody new."""
        return answer(call.service.anonymize_user_data(user_id))


class ErasureResource(Resource):  # type: ignore[misc]
    @described(answers.ErasureBegun, status=202, refusals=(404,))
    @guard(Permission.MANAGE_PRIVACY)
    def post(self, call: Call, user_id: str) -> Response:
        """Forget a person. Their data are gone at once; the certificate follows when models and files are rid of them."""
        return answer(call.service.erase_user_data(user_id), 202)


class ErasureStateResource(Resource):  # type: ignore[misc]
    @described(answers.ErasureDocument, refusals=(404,))
    @guard(Permission.MANAGE_PRIVACY)
    def get(self, call: Call, erasure_id: str) -> Response:
        """How far an erasure has come, with its certificate once it is completed."""
        return answer(call.service.erasure(erasure_id))


def mount(namespace: Namespace) -> Namespace:
    """Put these routes into a namespace."""
    namespace.add_resource(ExportResource, "/users/<id:user_id>/export")
    namespace.add_resource(AnonymizationResource, "/users/<id:user_id>/anonymize")
    namespace.add_resource(ErasureResource, "/users/<id:user_id>/erase")
    namespace.add_resource(ErasureStateResource, "/erasures/<id:erasure_id>")
    return namespace
