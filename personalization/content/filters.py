"""The filters that write for a person, by the names templates know them by, and a trial of the arguments a template gives them."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from babel import Locale
from liquid.builtin.expressions import Literal

from personalization.content import wording
from personalization.content.formats import Presentation, Unformattable

AnyFilter = Callable[..., Any]

#: name -> (presentation, value, *arguments) -> text, and a value to try arguments on.
PRESENTED: Mapping[str, tuple[AnyFilter, object]] = {
    "date": (Presentation.date, "now"),
    "time": (Presentation.time, "now"),
    "datetime": (Presentation.datetime, "now"),
    "relative": (wording.relative, "now"),
    "number": (Presentation.number, 1),
    "percent": (Presentation.percent, 1),
    "money": (Presentation.money, 1),
    "currency": (Presentation.money, 1),
    "unit": (wording.unit, 1),
    "plural": (wording.plural, 1),
    "select": (wording.select, ""),
    "list": (wording.listed, ()),
}
#: Filters after which a missing value is no hole.
CATCHING = frozenset({"default", "select"})

_TRIAL = Presentation(Locale("en"), dt.UTC, 0, "EUR")


def attempt(name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
    """Use a filter with the expressions a template gives it. Raises Unformattable where it does not take them.

    What is not literal is known only when the text is written; then names and number of the arguments are tried alone.
    """
    func, value = PRESENTED[name]
    try:
        bound = inspect.signature(func).bind(_TRIAL, value, *args, **kwargs)
    except TypeError as mismatch:
        raise Unformattable(str(mismatch)) from mismatch
    if not all(isinstance(argument, Literal) for argument in (*args, *kwargs.values())):
        return
    try:
        func(*map(_plain, bound.args), **{key: _plain(given) for key, given in bound.kwargs.items()})
    except Unformattable:
        raise
    except Exception as wrong:  # Babel raises anything on a pattern that CLDR does not have
        raise Unformattable("CLDR has no such pattern") from wrong


def _plain(argument: object) -> object:
    return argument.value if isinstance(argument, Literal) else argument
