"""/ai: the models, and what they say of behaviour."""

from __future__ import annotations

from flask import Response
from flask_restx import Namespace, Resource

from personalization.rest import answers, schemas
from personalization.rest.answering import answer
from personalization.rest.documentation import described
from personalization.rest.guards import Call, guard
from personalization.rest.query import PAGE
from personalization.vocabulary import Permission

namespace = Namespace("ai", description="The models, and what they say of behaviour")


@namespace.route("/models")
class ModelsResource(Resource):  # type: ignore[misc]
    @described(answers.ModelPage)
    @guard(Permission.READ_INSIGHTS, parameters=PAGE)
    def get(self, call: Call) -> Response:
        """The models at work."""
        return answer(call.service.models(call.query["limit"], call.query["cursor"]))


@namespace.route("/models/<id:model_id>")
class ModelResource(Resource):  # type: ignore[misc]
    @described(answers.ModelDocument, refusals=(404,))
    @guard(Permission.READ_INSIGHTS)
    def get(self, call: Call, model_id: str) -> Response:
        """One model, its version and its measured quality."""
        return answer(call.service.model(model_id))


@namespace.route("/analyze-behavior")
class BehaviorResource(Resource):  # type: ignore[misc]
    @described(answers.BehaviorAnalysis, body=schemas.AnalyzeBehavior, refusals=(404,))
    @guard(Permission.ANALYZE_BEHAVIOR)
    def post(self, call: Call) -> Response:
        """What one person's recorded behaviour says."""
        wanted = schemas.read(schemas.AnalyzeBehavior, call.body())
        return answer(call.service.analyze_behavior(wanted.user_id, wanted.analysis_type))
