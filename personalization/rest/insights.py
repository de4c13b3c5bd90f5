"""/insights: what is known of people, and what the engine achieved."""

from __future__ import annotations

from flask import Response
from flask_restx import Namespace, Resource

from personalization.errors import Invalid
from personalization.rest import answers, schemas
from personalization.rest.answering import answer
from personalization.rest.conversion import preferences_of
from personalization.rest.documentation import described
from personalization.rest.guards import Call, guard
from personalization.rest.query import PAGE, PERIOD, PREDICTIONS
from personalization.vocabulary import Permission

namespace = Namespace("insights", description="What is known of people, and what the engine achieved")


@namespace.route("/users/<id:user_id>")
class UserResource(Resource):  # type: ignore[misc]
    @described(answers.UserInsights, refusals=(404,))
    @guard(Permission.READ_INSIGHTS, parameters=PREDICTIONS)
    def get(self, call: Call, user_id: str) -> Response:
        """One person's behaviour and, unless include_predictions=false, the models' forecasts."""
        return answer(call.service.user_insights(user_id, call.query["include_predictions"]))


@namespace.route("/users/<id:user_id>/preferences")
class PreferencesResource(Resource):  # type: ignore[misc]
    @described(answers.PreferencesDocument, refusals=(404,))
    @guard(Permission.UPDATE_PREFERENCES)
    def get(self, call: Call, user_id: str) -> Response:
        """Declared preferences, and what behaviour says beside them."""
        return answer(call.service.preferences(user_id))

    @described(answers.PreferencesDocument, body=schemas.Preferences, refusals=(404, 409))
    @guard(Permission.UPDATE_PREFERENCES)
    def put(self, call: Call, user_id: str) -> Response:
        """Replace some preference sections, and say what led to it."""
        sections, trigger = preferences_of(call.body())
        return answer(call.service.update_user_preferences(user_id, sections, trigger))


@namespace.route("/users/<id:user_id>/timeline")
class TimelineResource(Resource):  # type: ignore[misc]
    @described(answers.Timeline, refusals=(404,))
    @guard(Permission.READ_INSIGHTS, parameters=PAGE)
    def get(self, call: Call, user_id: str) -> Response:
        """One person's decisions, events and changes, newest first."""
        return answer(call.service.timeline(user_id, call.query["limit"], call.query["cursor"]))


@namespace.route("/templates/<id:template_id>")
class TemplateInsightsResource(Resource):  # type: ignore[misc]
    @described(answers.TemplateInsights, refusals=(404,))
    @guard(Permission.READ_INSIGHTS)
    def get(self, call: Call, template_id: str) -> Response:
        """What came of each variant of a template, how its success is counted, and where its guardrails stand."""
        return answer(call.service.template_insights(template_id))


@namespace.route("/overview")
class OverviewResource(Resource):  # type: ignore[misc]
    @described(answers.Overview)
    @guard(Permission.READ_INSIGHTS, parameters=PERIOD)
    def get(self, call: Call) -> Response:
        """Decisions, engagement, revenue and measured lift of a period."""
        since, until, timezone = (call.query[name] for name in PERIOD)
        if since is not None and until is not None and until <= since:
            raise Invalid.field("to", "must be after from")
        return answer(call.service.overview(since, until, timezone))
