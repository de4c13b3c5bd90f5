"""Words that follow a value as the language of the text has it: plural forms, chosen forms, lists, units, how long from now.

A filter takes the presentation and the value, then what the template writes. All raise formats.Unformattable.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from babel.dates import format_timedelta
from babel.lists import format_list
from babel.units import UnknownUnitError, format_unit
from liquid.undefined import is_undefined

from personalization.content.formats import Presentation, Unformattable, decimal_of

_ListStyle = Literal["standard", "or", "unit"]
_Length = Literal["short", "long", "narrow"]

#: What a template calls a list -> what CLDR calls it.
_LISTS: Mapping[str, _ListStyle] = {"and": "standard", "or": "or", "unit": "unit"}
_LENGTHS: Mapping[str, _Length] = {"short": "short", "long": "long", "narrow": "narrow"}
_LONGEST_LIST = 100
#: Where the number itself stands in a plural form, as in ICU's messages.
_NUMBER = "#"


def plural(
    shown: Presentation,
    value: object,
    *,
    other: object,
    zero: object = None,
    one: object = None,
    two: object = None,
    few: object = None,
    many: object = None,
) -> str:
    """The form for that number by CLDR's rules of the language, # replaced by the number; `other` where there is none.

    `zero` is taken for 0 in every language, since all of them can say "nothing".
    """
    number = _shortest(decimal_of(value))
    forms = {"zero": zero, "one": one, "two": two, "few": few, "many": many, "other": other}
    form = zero if number == 0 and zero is not None else forms[shown.locale.plural_form(number)]
    words = _words(other if form is None else form)
    return words.replace(_NUMBER, shown.number(number)) if _NUMBER in words else words


def select(_: Presentation, value: object, *, other: object, **forms: object) -> str:
    """The form named like the value, in any letter case; `other` for any other value and for none."""
    name = "" if value is None or is_undefined(value) else str(value).strip().lower()
    return _words(forms.get(name, other))


def listed(shown: Presentation, value: object, style: str = "and") -> str:
    """The items as the language lists them, joined by and, or, or neither ("unit"). A single value stands alone."""
    if style not in _LISTS:
        raise Unformattable("a list is joined by and, or, or unit")
    items = value if isinstance(value, list | tuple) else [value]
    if len(items) > _LONGEST_LIST or not all(isinstance(item, str | int | float | Decimal) for item in items):
        raise Unformattable(f"a list has at most {_LONGEST_LIST} texts and numbers")
    return str(format_list([str(item) for item in items], style=_LISTS[style], locale=shown.locale))


def unit(shown: Presentation, value: object, name: str, length: str = "short") -> str:
    """A measured number: 5 km, 21°C, 3 hours. `name` is CLDR's, such as kilometer or celsius."""
    try:
        return str(format_unit(_shortest(decimal_of(value)), str(name), length=_length(length), locale=shown.locale))
    except UnknownUnitError as unknown:
        raise Unformattable("CLDR knows no such unit; write one such as kilometer, kilogram or celsius") from unknown


def relative(shown: Presentation, value: object, length: str = "long") -> str:
    """How long from now: in 3 days, 2 hours ago. A day of the calendar is counted in days, a moment to its nearest unit."""
    moment, now = shown.moment_of(value), shown.moment()
    if (moment.hour, moment.minute, moment.second) == (0, 0, 0) and moment.date() != now.date():
        away = dt.timedelta(days=(moment.date() - now.date()).days)
    else:
        away = moment - now
    return str(format_timedelta(away, add_direction=True, format=_length(length), locale=shown.locale))


def _length(name: str) -> _Length:
    if name not in _LENGTHS:
        raise Unformattable(f"a length is one of {', '.join(_LENGTHS)}")
    return _LENGTHS[name]


def _shortest(number: Decimal) -> int | Decimal:
    """1.0 is the whole number 1: in many languages the zeros behind the point would ask for another form."""
    return int(number) if number == number.to_integral_value() else number.normalize()


def _words(form: object) -> str:
    """Literals of html parts keep being markup; a variable without a value says so."""
    return form if isinstance(form, str) else str(form)
