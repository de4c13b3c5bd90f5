from __future__ import annotations

import pytest
from gunicorn.http import errors

from personalization.rest.transport import refusal


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (errors.LimitRequestLine(9000, 4094), 414),
        (errors.UnsupportedTransferCoding("gzip"), 400),
        (errors.InvalidChunkSize("zz"), 400),
        (errors.InvalidHeader("secret"), 400),
        (errors.InvalidResponseHeader("secret"), 500),
        (RuntimeError("secret"), 500),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_what_is_our_fault_is_a_5xx_and_nothing_is_repeated(found: Exception, status: int) -> None:
    answered, _, detail = refusal(found)
    assert answered == status
    assert "secret" not in detail
