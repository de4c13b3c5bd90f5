"""The REST API: namespaces, errors, documentation and metrics put on one Flask application."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import flask_restx
from flask import Flask, Response, request, send_from_directory
from flask_jwt_extended.exceptions import JWTExtendedException
from flask_restx import apidoc
from jwt.exceptions import PyJWTError

from personalization import telemetry
from personalization.rest import ai, insights, management, personalization, privacy
from personalization.rest.answering import Finishing, answer
from personalization.rest.documentation import AUTHORIZATIONS, MODELS, SECURITY, completed, openapi
from personalization.rest.guards import Gate, Guard, House, admitted
from personalization.rest.paths import EncodedSlashes, IdConverter
from personalization.rest.problems import problem

PREFIX = "/api/v1"
NAMESPACES = (personalization.namespace, insights.namespace, ai.namespace, privacy.mount(management.namespace))

_ANY_CREDENTIAL = Guard(frozenset())
_SWAGGER_UI = Path(apidoc.apidoc.static_folder or "")
_DOCS_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"


def create_api(app: Flask, house: House) -> flask_restx.Api:
    """Serve `house` under /api/v1 of `app`, its documentation under /api/v1/docs and its metrics under /metrics.

    Raises MisconfiguredError when the token key is missing or too short.
    """
    Gate(app, house)
    app.url_map.converters["id"] = IdConverter
    # An empty id is no id: `/decisions//activate` must not become the decision "activate".
    app.url_map.merge_slashes = False
    app.wsgi_app = Finishing(EncodedSlashes(app.wsgi_app))  # type: ignore[method-assign]
    app.config.update(RESTX_INCLUDE_ALL_MODELS=True, RESTX_MASK_SWAGGER=False)
    _answer_errors(app)
    app.after_request(_counted)
    api = _mounted(app)
    _serve_documentation(app, api, open_to_all=house.settings.relaxed)
    app.add_url_rule("/metrics", "metrics", _metrics)
    return api


def _answer_errors(app: Flask) -> None:
    """Every error takes the way of `problem`, also those for which flask-jwt-extended has registered answers of its own."""
    ours: list[type[Exception]] = [Exception, JWTExtendedException, PyJWTError]
    theirs = [kind for kind in app.error_handler_spec[None][None] if issubclass(kind, (JWTExtendedException, PyJWTError))]
    for kind in (*ours, *theirs):
        app.register_error_handler(kind, problem)


class Api(flask_restx.Api):  # type: ignore[misc]
    """RESTX without its own error layer: every error takes the way of `problem`."""

    def error_router(self, original_handler: Callable[[Exception], Any], e: Exception) -> Any:
        return original_handler(e)

    @property
    def __schema__(self) -> dict[str, Any]:
        if self._completed is None:
            self._completed = completed(super().__schema__)
        return self._completed

    _completed: dict[str, Any] | None = None


def _mounted(app: Flask) -> Api:
    api = Api(
        app,
        version="1.0",
        title="Deep Personalization",
        description="Decides whether to send a notification, what to say, on which channel and when, and explains it.",
        prefix=PREFIX,
        doc=f"{PREFIX}/docs",
        authorizations=AUTHORIZATIONS,
        security=SECURITY,
        license="Apache-2.0",
    )
    api.error_handlers.clear()
    api.models.update(MODELS)
    for namespace in NAMESPACES:
        api.add_namespace(namespace, f"/{namespace.name}")
    return api


# -- documentation


def _serve_documentation(app: Flask, api: Api, open_to_all: bool) -> None:
    """The pages of Swagger UI under the prefix, with our own initialiser instead of an inline script."""
    api.documentation(_page)
    app.add_url_rule(f"{PREFIX}/docs/initializer.js", "docs_initializer", _initializer)
    app.add_url_rule(f"{PREFIX}/docs/<path:filename>", "docs_static", _static)
    app.add_url_rule(f"{PREFIX}/openapi.json", "openapi", lambda: answer(openapi(api.__schema__)))
    if not open_to_all:
        for endpoint in ("doc", "specs", "openapi"):
            app.view_functions[endpoint] = _for_any_credential(app.view_functions[endpoint])


def _for_any_credential(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def guarded(**path: Any) -> Any:
        admitted(_ANY_CREDENTIAL)
        return view(**path)

    return guarded


def _page() -> Response:
    return Response(_PAGE, mimetype="text/html", headers={"Content-Security-Policy": _DOCS_POLICY})


def _initializer() -> Response:
    return Response(_INITIALIZER, mimetype="text/javascript")


def _static(filename: str) -> Response:
    return send_from_directory(_SWAGGER_UI, filename, max_age=3600)


_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Deep Personalization</title>
<link rel="stylesheet" href="{PREFIX}/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="{PREFIX}/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{PREFIX}/docs/swagger-ui-bundle.js"></script>
<script src="{PREFIX}/docs/swagger-ui-standalone-preset.js"></script>
<script src="{PREFIX}/docs/initializer.js"></script>
</body>
</html>
"""

_INITIALIZER = f"""window.ui = SwaggerUIBundle({{
  url: "{PREFIX}/swagger.json",
  dom_id: "#swagger-ui",
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset.slice(1)],
  plugins: [SwaggerUIBundle.plugins.DownloadUrl],
  persistAuthorization: true,
  displayRequestDuration: true
}});
"""


# -- metrics


def _metrics() -> Response:
    return Response(telemetry.exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")


class _RequestCounters(dict[tuple[str, int], Any]):
    """Counters by route and status, their labels bound once."""

    def __missing__(self, key: tuple[str, int]) -> Any:
        rule, status = key
        counter = self[key] = telemetry.REQUESTS.labels(rule, str(status))
        return counter


_COUNTERS = _RequestCounters()


def _counted(response: Response) -> Response:
    rule = request.url_rule
    _COUNTERS[(rule.rule if rule is not None else "unmatched", response.status_code)].inc()
    return response
