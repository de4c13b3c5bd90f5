"""Query parameters, read as strictly as bodies: an unknown, repeated or malformed one is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from werkzeug.datastructures import MultiDict

from personalization.clock import instant, zone
from personalization.errors import FieldError, Invalid


@dataclass(frozen=True)
class Parameter:
    """read: the value of the text, or ValueError with the sentence for the caller. type: as Swagger has it."""

    read: Callable[[str], Any]
    description: str
    type: str = "string"
    default: Any = None


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
    at = instant(text.replace(" ", "+"))
    if not _EARLIEST <= at < _LATEST:
        raise ValueError("must lie between the years 1900 and 2500")
    return at


def _zone(text: str) -> str:
    return zone(text).key


_EARLIEST, _LATEST = instant("1900-01-01T00:00:00Z"), instant("2500-01-01T00:00:00Z")

NOTHING: Parameters = MappingProxyType({})
PAGE: Parameters = {
    "limit": Parameter(_limit, "How many at most, 1-200", "integer", 50),
    "cursor": Parameter(_cursor, "next_cursor of the answer before"),
}
VERSION: Parameters = {"version": Parameter(_version, "Which version; the newest by default", "integer")}
REPLAY: Parameters = {"replay": Parameter(_boolean, "Recompute the decision and compare", "boolean", False)}
PREDICTIONS: Parameters = {"include_predictions": Parameter(_boolean, "With the models' forecasts", "boolean", True)}
PERIOD: Parameters = {
    "from": Parameter(_instant, "From then on, RFC 3339 with offset"),
    "to": Parameter(_instant, "Until before then, RFC 3339 with offset"),
    "timezone": Parameter(_zone, "IANA time zone of the series' days"),
}
