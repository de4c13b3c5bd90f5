"""The one error layer: whatever goes wrong becomes a problem document (RFC 9457), and bad input never a 5xx."""

from __future__ import annotations

import logging
from typing import Any

from flask import Response, request
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import PyJWTError
from werkzeug.exceptions import HTTPException

from personalization.errors import (
    PersonalizationError,
    StorageUnavailable,
    Unauthenticated,
    Unparsable,
)
from personalization.rest.answering import encoded, request_id

PROBLEM_JSON = "application/problem+json"
#: Sent with 401: how to authenticate.
CHALLENGE = 'Bearer realm="personalization"'

_log = logging.getLogger("personalization.rest")


class Unexpected(PersonalizationError):
    """What nobody foresaw; the log knows more, the caller does not."""

    def __init__(self) -> None:
        super().__init__("Something went wrong on our side; the log has it under this request_id.")


class Refused(PersonalizationError):
    """What the web server's own layers refuse: unknown paths, wrong methods and the like."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.title = status, title


def problem_document(error: PersonalizationError, request_id: str) -> dict[str, Any]:
    return {
        "type": f"urn:personalization:problem:{error.title.lower().replace(' ', '-')}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "errors": [{"field": e.field, "message": e.message} for e in error.errors],
        "request_id": request_id,
    }


def problem(error: Exception) -> Response:
    """The answer to an exception; unforeseen ones are logged and told without detail."""
    if isinstance(error, HTTPException) and error.code is not None and error.code < 400:
        return Response(error.get_response().get_data(), error.code, error.get_headers())
    known = presentable(error)
    response = Response(encoded(problem_document(known, request_id(request.environ))), known.status, content_type=PROBLEM_JSON)
    response.headers.extend(_headers(error, known))
    return response


def presentable(error: Exception) -> PersonalizationError:
    """The error as a caller may see it: without SQL, secrets or stack."""
    if isinstance(error, StorageUnavailable):
        _log.warning("storage unavailable: %s", error.detail)
        return StorageUnavailable("see the log", error.retry_after or 2)
    if isinstance(error, PersonalizationError) and error.status != 500:
        return error
    if isinstance(error, HTTPException) and error.code is not None and error.code != 500:
        return Refused(error.code, error.name, error.description or error.name)
    if isinstance(error, (JWTExtendedException, PyJWTError)):
        return Unauthenticated("the token is not valid")
    if isinstance(error, RecursionError):
        return Unparsable("it is nested too deep")
    _log.error("unexpected error, request_id %s", _current_id(), exc_info=error)
    return Unexpected()


def _current_id() -> str:
    return request_id(request.environ) if request else "-"


def _headers(error: Exception, known: PersonalizationError) -> dict[str, str]:
    headers = {}
    if known.retry_after is not None:
        headers["Retry-After"] = str(known.retry_after)
    if known.status == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    if isinstance(error, HTTPException):
        headers.update({name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")})
    return headers
