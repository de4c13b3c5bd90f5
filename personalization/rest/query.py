"""Query parameters, read as strictly as bodies: an unknown, repeated or malformed one is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from werkzeug.datastructures import MultiDict

from personalization.clock import instant, zone
from personalization.errors import FieldError, Invalid


@dataclass(frozen=True)
class Parameter:
    """read: the value of the text, or ValueError with the sentence for the caller. type, limits: as Swagger has it."""

    read: Callable[[str], Any]
    description: str
    type: str = "string"
    default: Any = None
    limits: Mapping[str, Any] = field(default_factory=dict)


Parameters = Mapping[str, Parameter]


def read_query(parameters: Parameters, given: MultiDict[str, str]) -> dict[str, Any]:
    """Every parameter's value, the default where it is absent. Raises Invalid."""
    errors = [FieldError(name, "is not a known parameter") for name in given if name not in parameters]
    errors += [FieldError(name, "is given more than once") for name in parameters if len(given.getlist(name)) > 1]
    values = {name: parameter.default for name, parameter in parameters.items()}
    for name in parameters.keys() & given.keys():
        try:
            values[name] = parameters[name].read(given[name])
        except (ValueError, OverflowError) as wrong:
            errors.append(FieldError(name, str(wrong)))
    if errors:
        raise Invalid.fields(errors[:20])
    return values


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= 200):
        raise ValueError("must be a number from 1 to 200")
    return int(text)


def _version(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) >= 1):
        raise ValueError("must be a number from 1 on")
    return int(text)


def _cursor(text: str) -> str:
    if not 1 <= len(text) <= 1024 or not text.isprintable():
        raise ValueError("must be a next_cursor of an earlier answer")
    return text


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _instant(text: str) -> int:
    # A plus that nobody encoded reaches us as a space.
    written = text.replace(" ", "+")
    if not _RFC3339.fullmatch(written):
        raise ValueError("must be an RFC 3339 time with offset, like 2026-11-23T10:00:00Z")
    at = instant(written)
    if not _EARLIEST <= at < _LATEST:
        raise ValueError("must lie between the years 1900 and 2500")
    return at


def _zone(text: str) -> str:
    return zone(text).key


_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_DATE_TIME = {"format": "date-time"}
_EARLIEST, _LATEST = instant("1900-01-01T00:00:00Z"), instant("2500-01-01T00:00:00Z")

NOTHING: Parameters = MappingProxyType({})
PAGE: Parameters = {
    "limit": Parameter(_limit, "How many at most", "integer", 50, {"minimum": 1, "maximum": 200}),
    "cursor": Parameter(_cursor, "next_cursor of the answer before", limits={"minLength": 1, "maxLength": 1024}),
}
VERSION: Parameters = {
    "version": Parameter(_version, "Which version; the newest by default", "integer", limits={"minimum": 1, "maximum": 999_999_999})
}
REPLAY: Parameters = {"replay": Parameter(_boolean, "Recompute the decision and compare", "boolean", False)}
PREDICTIONS: Parameters = {"include_predictions": Parameter(_boolean, "With the models' forecasts", "boolean", True)}
PERIOD: Parameters = {
    "from": Parameter(_instant, "From then on, RFC 3339 with offset", limits=_DATE_TIME),
    "to": Parameter(_instant, "Until before then, RFC 3339 with offset", limits=_DATE_TIME),
    "timezone": Parameter(_zone, "IANA time zone of the series' days", limits={"minLength": 1, "maxLength": 64}),
}
