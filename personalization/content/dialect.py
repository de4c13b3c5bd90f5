"""The Liquid that templates are written in: python-liquid without the tags that reach files, strict and bounded.

An absent or null value passes through filters until `default` replaces it; in a condition it is false, equal to nil,
blank and empty; written out, it raises UndefinedError, so a text never has a hole. Paths see mappings, lists and the
length of texts, never attributes of Python objects. What one render may loop, write, assign and capture is limited.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from io import StringIO
from typing import Any, ClassVar, Protocol, TextIO

from liquid import BoundTemplate, Environment, RenderContext
from liquid.builtin.expressions import Filter, KeywordArgument
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.echo_tag import EchoNode, EchoTag
from liquid.exceptions import LiquidError, OutputStreamLimitError, UndefinedError, UnknownFilterError
from liquid.stringify import to_liquid_string
from liquid.token import Token
from liquid.undefined import UNDEFINED, Undefined

from personalization.content.direction import inserted
from personalization.content.filters import CATCHING, PRESENTED, AnyFilter, attempt
from personalization.content.formats import Presentation, Unformattable

#: Names that every template knows without anyone giving them.
BUILTIN_NAMES = frozenset({"now", "today"})
#: Tags of other Liquids that load files; they do not exist here.
FILE_TAGS = frozenset({"include", "render", "extends", "block", "layout", "section", "sections"})

#: Limits of rendering one part. A chapter of a book fits; a bomb does not.
MAX_CHARACTERS = 1_000_000
MAX_ITERATIONS = 10_000
#: Loop turns times nodes of the template, so that large templates may loop less.
MAX_STEPS = 400_000

#: `safe` would let a value's markup through the escaping of html parts.
_WITHDRAWN_FILTERS = ("safe",)


class Presented(Protocol):
    """What the formatting filters read of their context."""

    @property
    def presentation(self) -> Presentation: ...


class Refused(LiquidError):
    """A render stopped for a reason whose sentence names no value."""


class Absent(Undefined):
    """A variable without a value."""

    __slots__ = ()

    def __str__(self) -> str:
        raise UndefinedError(self.name, token=self.token)


def item(value: object, key: object) -> Any:
    """What a path segment finds in a value; None when there is nothing.

    Mappings answer to their keys only; lists to indexes, size, first and last; texts to size.
    """
    if isinstance(value, Mapping):
        try:
            return value[key]
        except (KeyError, TypeError):
            return None
    if isinstance(value, list | tuple):
        if key == "size":
            return len(value)
        index = {"first": 0, "last": -1}.get(key, key) if isinstance(key, str) else key
        if isinstance(index, int) and not isinstance(index, bool) and -len(value) <= index < len(value):
            return value[index]
    return len(value) if isinstance(value, str) and key == "size" else None


def written(value: object, autoescape: bool, rtl: bool, token: Token | None = None) -> str:
    """The text of a value as an output statement writes it into a text that is `rtl`. Raises UndefinedError and Refused."""
    if isinstance(value, Mapping) and not isinstance(value, Undefined):
        raise Refused("an object cannot be written out; name one of its fields", token=token)
    if _joined(value, "") > MAX_CHARACTERS:
        raise too_long()
    return inserted(to_liquid_string(value, autoescape), rtl)


class Context(RenderContext):
    """The state of one render. `presentation` and `iterations` are set right after construction."""

    __slots__ = ("iterations", "presentation", "room")

    def __init__(self, template: BoundTemplate, *, presentation: Presentation, iterations: int, **given: Any) -> None:
        super().__init__(template, **given)
        self.presentation = presentation
        self.iterations = iterations
        self.room = MAX_CHARACTERS

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        root = path[0]
        value = self.scope.get(root) if isinstance(root, str) else None
        for segment in path[1:]:
            value = item(value, segment)
        if value is not None:
            return value
        return Absent(dotted(path), token=token) if default is UNDEFINED else default

    def assign(self, key: str, val: Any) -> None:
        self.spend(sys.getsizeof(val, 1))
        self.locals[key] = val

    def raise_for_loop_limit(self, length: int = 1) -> None:
        self.iterations -= length
        if self.iterations < 0:
            raise Refused("its loops turn too often; loop over fewer items", token=None)

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        return _Buffer(self)

    def spend(self, characters: int) -> None:
        self.room -= characters
        if self.room < 0:
            raise too_long()


class _Buffer(StringIO):
    """Writes as long as its context has room."""

    def __init__(self, context: Context) -> None:
        super().__init__(newline="")
        self._context = context

    def write(self, text: str, /) -> int:
        self._context.spend(len(text))
        return super().write(text)


class BoundPart(BoundTemplate):
    def run(self, values: Mapping[str, Any], presentation: Presentation, iterations: int) -> str:
        """The text. Raises LiquidError, or whatever a filter raises on a value it cannot use."""
        moment = presentation.moment()
        names = {**values, "now": moment, "today": moment.date()}
        context = Context(self, presentation=presentation, iterations=iterations, globals=names)
        buffer = context.get_buffer()
        self.render_with_context(context, buffer)
        return buffer.getvalue()

    def make_partial_namespace(self, partial: bool, render_args: Mapping[str, object]) -> Mapping[str, object]:
        return {}  # the library would put a variable named "partial" before the caller's


def _output(node: OutputNode | EchoNode, context: RenderContext) -> str:
    rtl = isinstance(context, Context) and context.presentation.rtl
    return written(node.expression.evaluate(context), context.autoescape, rtl, node.token)


class _OutputNode(OutputNode):
    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        return buffer.write(_output(self, context))


class _EchoNode(EchoNode):
    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        return buffer.write(_output(self, context))


class _Output(Output):
    node_class = _OutputNode


class _Echo(EchoTag):
    node_class = _EchoNode


class Dialect(Environment):
    """One environment for parts that are escaped (html) and one for those that are not; both immutable after import."""

    template_class: ClassVar[type[BoundTemplate]] = BoundPart  # type: ignore[misc]  # a constant of this class

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        for name in FILE_TAGS & self.tags.keys():
            del self.tags[name]
        self.add_tag(_Output)
        self.add_tag(_Echo)
        for name in _WITHDRAWN_FILTERS:
            del self.filters[name]
        self.filters.update({name: _presented(name, func) for name, (func, _) in PRESENTED.items()})
        for name, cost in _COSTS.items():
            self.filters[name] = _bounded(self.filters[name], cost)
        for name in self.filters.keys() - CATCHING:
            self.filters[name] = _passing_absence(self.filters[name])

    def check(self, used: Filter) -> None:
        """Raises UnknownFilterError, or Refused when the filter takes other arguments."""
        if used.name not in self.filters:
            near = difflib.get_close_matches(used.name, self.filters, 1)
            hint = f"did you mean {near[0]}?" if near else "remove it"
            raise UnknownFilterError(f"there is no filter {used.name!r}; {hint}", token=used.token)
        positional = [arg for arg in used.args if not isinstance(arg, KeywordArgument)]
        named = {arg.name: arg for arg in used.args if isinstance(arg, KeywordArgument)}
        try:
            inspect.signature(self.filters[used.name]).bind_partial(None, *positional, **named)
        except TypeError as mismatch:
            raise Refused(f"the filter {used.name!r} has {mismatch}; correct its arguments", token=used.token) from mismatch
        if used.name in PRESENTED:
            self._try(used)

    def _try(self, used: Filter) -> None:
        """Raises Refused where the arguments cannot be meant, whatever the value."""
        args = [argument.value for argument in used.args if not isinstance(argument, KeywordArgument)]
        kwargs = {argument.name: argument.value for argument in used.args if isinstance(argument, KeywordArgument)}
        try:
            attempt(used.name, args, kwargs)
        except Unformattable as wrong:
            raise Refused(f"the filter {used.name!r} cannot be used like this: {wrong}", token=used.token) from wrong

    def part(self, source: str) -> BoundPart:
        """Parse. Raises LiquidError."""
        parsed = self.from_string(source)
        if not isinstance(parsed, BoundPart):
            raise TypeError(type(parsed))
        return parsed


def dotted(path: list[object] | tuple[object, ...]) -> str:
    return ".".join(map(str, path))


def _passing_absence(func: AnyFilter) -> AnyFilter:
    """The filter of something absent is absent."""

    @wraps(func)
    def filter_(left: object, *args: object, **kwargs: object) -> object:
        for value in (left, *args):
            if isinstance(value, Undefined):
                return value
        return func(left, *args, **kwargs)

    return filter_


def _presented(name: str, func: AnyFilter) -> AnyFilter:
    @wraps(func)
    def filter_(left: object, *args: object, context: Presented, **kwargs: object) -> object:
        try:
            return func(context.presentation, left, *args, **kwargs)
        except Unformattable as refused:
            raise Refused(f"the filter {name!r} failed: {refused}", token=None) from refused

    parameters = inspect.signature(func).parameters.values()
    filter_.__signature__ = inspect.Signature(list(parameters)[1:])  # type: ignore[attr-defined]  # read by inspect
    filter_.with_context = True  # type: ignore[attr-defined]  # read by python-liquid
    return filter_


def _bounded(func: AnyFilter, cost: Callable[..., int]) -> AnyFilter:
    """The filter, refused where its result (or for `uniq` its work) would be out of all proportion to its input."""

    @wraps(func)
    def filter_(left: object, *args: object, **kwargs: object) -> object:
        if cost(left, *args) > MAX_CHARACTERS:
            raise too_long()
        return func(left, *args, **kwargs)

    return filter_


def _replaced(left: object, seq: object = "", sub: object = "") -> int:
    text = "" if left is None else str(left)
    return len(text) + text.count(str(seq)) * len(str(sub))


def _joined(left: object, separator: object = " ") -> int:
    if not isinstance(left, list | tuple):
        return 0
    return sum(len(each) for each in left if isinstance(each, str)) + len(left) * len(str(separator))


def _compared(left: object, *_: object) -> int:
    return len(left) ** 2 if isinstance(left, list | tuple) else 0


_COSTS: dict[str, Callable[..., int]] = {"replace": _replaced, "join": _joined, "uniq": _compared}


def too_long() -> LiquidError:
    return OutputStreamLimitError(f"it makes more than {MAX_CHARACTERS:,} characters", token=None)


PLAIN, ESCAPED = Dialect(undefined=Absent), Dialect(undefined=Absent, autoescape=True)
