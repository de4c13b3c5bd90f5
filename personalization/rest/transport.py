"""gunicorn's thread worker, whose own refusals (before any request reaches the application) are problem documents too.

`worker_class` of gunicorn.conf.py. What a caller sent is never repeated in the answer, and bad input is never a 5xx.
"""

from __future__ import annotations

import json
import os
from typing import Any

from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

#: (what gunicorn found, status, title, what to do); the first that fits. All else of its parser is 400.
_REFUSALS: tuple[tuple[type[Exception], int, str, str], ...] = (
    (errors.LimitRequestLine, 414, "URI Too Long", "The request line is too long; put less into the path and the query."),
    (
        errors.LimitRequestHeaders,
        431,
        "Request Header Fields Too Large",
        "The headers are too many or too long; send less of them.",
    ),
    (errors.ExpectationFailed, 417, "Expectation Failed", "Expect may ask for 100-continue only."),
    (errors.UnsupportedTransferCoding, 400, "Bad Request", "Transfer-Encoding may be chunked only."),
    (errors.InvalidRequestLine, 400, "Bad Request", "The request line is malformed."),
    (errors.InvalidRequestMethod, 400, "Bad Request", "The method is malformed."),
    (errors.InvalidHTTPVersion, 400, "Bad Request", "The HTTP version is not supported; send HTTP/1.1."),
    (errors.InvalidHeaderName, 400, "Bad Request", "The name of a header is malformed."),
    (errors.InvalidHeader, 400, "Bad Request", "A header is malformed, repeated, or contradicts another."),
    (errors.ParseException, 400, "Bad Request", "The request is malformed."),
)
_OUR_FAULT = (500, "Internal Server Error", "Something went wrong on our side; the log has it under this request_id.")


class ProblemWorker(ThreadWorker):  # type: ignore[misc]
    """A gthread worker."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        request_id = os.urandom(16).hex()
        status, title, detail = refusal(exc)
        if status == 500:
            self.log.exception("Error handling a request, request_id %s", request_id)
        else:
            self.log.warning("Invalid request from %s: %s, request_id %s", addr[0] if addr else "-", type(exc).__name__, request_id)
        try:
            util.write_nonblock(client, _answer(status, title, detail, request_id))
        except OSError:
            self.log.debug("The caller has gone before the answer was sent.")


def refusal(exc: Exception) -> tuple[int, str, str]:
    """(status, title, detail) of what gunicorn raised. A header the application sends is the application's fault."""
    if isinstance(exc, (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)):
        return _OUR_FAULT
    return next(((status, title, detail) for kind, status, title, detail in _REFUSALS if isinstance(exc, kind)), _OUR_FAULT)


def _answer(status: int, title: str, detail: str, request_id: str) -> bytes:
    document = {
        "type": f"urn:personalization:problem:{title.lower().replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
        "errors": [],
        "request_id": request_id,
    }
    body = json.dumps(document).encode()
    head = (
        f"HTTP/1.1 {status} {title}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nX-Request-Id: {request_id}\r\nX-Content-Type-Options: nosniff\r\n"
        "Cache-Control: no-store\r\n\r\n"
    )
    return head.encode() + body
