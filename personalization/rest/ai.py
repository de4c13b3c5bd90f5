"""/ai: the models, and what they say of behaviour and of texts."""

from __future__ import annotations

from flask import Response
from flask_restx import Namespace, Resource

from personalization.rest import answers, schemas
from personalization.rest.answering import answer
from personalization.rest.conversion import expect_few
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
        """The models at work: policies, and predictive models with their live versions."""
        return answer(call.service.models(call.query["limit"], call.query["cursor"]))


@namespace.route("/models/<id:model_id>")
class ModelResource(Resource):  # type: ignore[misc]
    @described(answers.ModelDocument, refusals=(404,))
    @guard(Permission.READ_INSIGHTS)
    def get(self, call: Call, model_id: str) -> Response:
        """One model, its version and its measured quality."""
        return answer(call.service.model(model_id))


@namespace.route("/models/<id:model_id>/versions")
class ModelVersionsResource(Resource):  # type: ignore[misc]
    @described(answers.ModelPage, refusals=(404,))
    @guard(Permission.READ_INSIGHTS, parameters=PAGE)
    def get(self, call: Call, model_id: str) -> Response:
        """The versions of a model, newest first; of a policy its snapshots."""
        return answer(call.service.model_versions(model_id, call.query["limit"], call.query["cursor"]))


@namespace.route("/models/<id:model_id>/card")
class ModelCardResource(Resource):  # type: ignore[misc]
    @described(answers.ModelCard, refusals=(404,))
    @guard(Permission.READ_INSIGHTS)
    def get(self, call: Call, model_id: str) -> Response:
        """What a model is for, what taught it, how it was judged, and what to beware of; made from the version that serves."""
        return answer(call.service.model_card(model_id))


@namespace.route("/models/<id:model_id>/train")
class ModelTrainingResource(Resource):  # type: ignore[misc]
    @described(answers.ModelDocument, status=202, refusals=(404, 409))
    @guard(Permission.MANAGE_MODELS)
    def post(self, call: Call, model_id: str) -> Response:
        """Ask for a new version, taught by the tenant's log. It is trained in the background; `versions` shows how it stands."""
        return answer(call.service.train_model(model_id), 202)


@namespace.route("/models/<id:model_id>/evaluate")
class ModelEvaluationResource(Resource):  # type: ignore[misc]
    @described(answers.ModelEvaluation, body=schemas.WhichVersion, optional=True, refusals=(404, 409))
    @guard(Permission.MANAGE_MODELS)
    def post(self, call: Call, model_id: str) -> Response:
        """Judge a version (the live one unless told) on what came after it was taught, beside the live one; a policy off-policy
        on the tenant's own log. The body may be left out."""
        wanted = schemas.read(schemas.WhichVersion, call.optional_body())
        return answer(call.service.evaluate_model(model_id, wanted.version))


@namespace.route("/models/<id:model_id>/promote")
class ModelPromotionResource(Resource):  # type: ignore[misc]
    @described(answers.ModelDocument, body=schemas.Promotion, optional=True, refusals=(404, 409))
    @guard(Permission.MANAGE_MODELS)
    def post(self, call: Call, model_id: str) -> Response:
        """Let a version (the newest unless told) serve in every process, or stand in the shadow of the one that does. Refused
        where it is worse on cases that neither has seen, or too few people tell. The body may be left out."""
        wanted = schemas.read(schemas.Promotion, call.optional_body())
        return answer(call.service.promote_model(model_id, wanted.version, wanted.status))


@namespace.route("/models/<id:model_id>/rollback")
class ModelRollbackResource(Resource):  # type: ignore[misc]
    @described(answers.ModelDocument, refusals=(404, 409))
    @guard(Permission.MANAGE_MODELS)
    def post(self, call: Call, model_id: str) -> Response:
        """Let the version serve again that the live one replaced."""
        return answer(call.service.rollback_model(model_id))


@namespace.route("/analyze-behavior")
class BehaviorResource(Resource):  # type: ignore[misc]
    @described(answers.BehaviorAnalysis, body=schemas.AnalyzeBehavior, refusals=(404,))
    @guard(Permission.ANALYZE_BEHAVIOR)
    def post(self, call: Call) -> Response:
        """What one person's recorded behaviour says."""
        wanted = schemas.read(schemas.AnalyzeBehavior, call.body())
        return answer(call.service.analyze_behavior(wanted.user_id, wanted.analysis_type))


@namespace.route("/analyze-sentiment")
class SentimentResource(Resource):  # type: ignore[misc]
    @described(answers.SentimentAnalysis, body=schemas.AnalyzeSentiment)
    @guard(Permission.ANALYZE_BEHAVIOR)
    def post(self, call: Call) -> Response:
        """How the writers of up to 1,000 texts feel: sentiment in many languages, emotions, and in which language it is. Nothing
        of the texts is kept."""
        document = call.body()
        expect_few(document, "texts")
        wanted = schemas.read(schemas.AnalyzeSentiment, document)
        return answer(call.service.analyze_sentiment(wanted.texts, wanted.language))
