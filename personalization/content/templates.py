"""Contents compiled from Liquid: what they need, and their text for one person.

    compile_content(parts, path) -> CompiledContent -> missing(values), used(values), render(values, …)

A content is a few named parts (subject, text, html, title, body, …; the names are open). `values` holds the request's
context at the top and the profile as {"user": {…}}. Only the part named "html" is escaped; "subject" and "title" are
single lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import partial
from typing import Any

from liquid import Markup, Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import Filter, FilteredExpression, KeywordArgument, Literal, Path
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.comment_tag import CommentNode
from liquid.exceptions import LiquidError, LiquidValueError, ResourceLimitError, UndefinedError
from liquid.token import Token

from personalization.content.dialect import (
    BUILTIN_NAMES,
    ESCAPED,
    FILE_TAGS,
    MAX_CHARACTERS,
    MAX_ITERATIONS,
    MAX_STEPS,
    PLAIN,
    Absent,
    BoundPart,
    Dialect,
    Refused,
    dotted,
    item,
    too_long,
    written,
)
from personalization.content.direction import directed, inserted, without_isolates_in_tags
from personalization.content.formats import Presentation
from personalization.content.languages import right_to_left
from personalization.content.locales import babel_locale
from personalization.content.reading import Reading, Segments, length, read, static_path
from personalization.errors import MissingVariables, RenderingFailed, TemplateInvalid

ESCAPED_PARTS = frozenset({"html"})
SINGLE_LINE_PARTS = frozenset({"subject", "title"})

#: The longest source of a part, in characters. Mail readers cut at 102 KB.
MAX_SOURCE = 131_072
#: Longer runs make the library's tokenizer quadratic.
MAX_WHITESPACE = 256

_WHITESPACE_RUN = re.compile(rf"\s{{{MAX_WHITESPACE},}}")
_EMPTY_OUTPUT = re.compile(r"\{\{-?\s*-?\}\}")
_BREAKS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]+")
_PAIRED = (("{{", "}}"), ("{%", "%}"))
_VERBATIM = ("raw", "doc")
_TOO_DEEP = "an expression is nested too deeply; split it with assign"
_NO_TAG = re.compile(r"unexpected tag '(.+)'")

Values = Mapping[str, Any]


@dataclass(frozen=True)
class CompiledContent:
    """A content that compiled. Immutable, safe to share between threads and to cache for ever.

    required : dotted paths of the variables that must have a value, such as "user.first_name" or "city"
    optional : dotted paths of the other variables it knows what to do without
    """

    required: frozenset[str]
    optional: frozenset[str]
    _parts: Mapping[str, _Part] = field(repr=False)
    _required: tuple[tuple[str, Segments], ...] = field(repr=False)
    _used: tuple[Segments, ...] = field(repr=False)
    _shown: tuple[Segments, ...] = field(repr=False)

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self._parts)

    @property
    def variables(self) -> tuple[Segments, ...]:
        """The paths on which `missing` and `coverage` depend."""
        return tuple(dict.fromkeys((*(path for _, path in self._required), *self._shown)))

    def missing(self, values: Values) -> frozenset[str]:
        """The required paths that are absent or null. An empty text is a value."""
        return frozenset([name for name, path in self._required if _found(values, path) is None])

    def coverage(self, values: Values) -> float:
        """Share of the variables written in the text that have a real value, in 0..1; 1.0 when there are none."""
        if not self._shown:
            return 1.0
        return sum(_found(values, path) not in (None, "") for path in self._shown) / len(self._shown)

    def used(self, values: Values) -> dict[str, Any]:
        """`values` reduced to the variables the content may read; renders to the same text."""
        kept: dict[str, Any] = {}
        for path in self._used:
            _keep(kept, values, path)
        return kept

    def render(self, values: Values, *, locale: str, zone: tzinfo, now: int, currency: str) -> dict[str, str]:
        """Part name -> text. `now` in microseconds; `currency` is the default of the money filter.

        Raises MissingVariables for variables without a value, RenderingFailed for values of the wrong kind and limits.
        """
        missing = self.missing(values)
        if missing:
            raise MissingVariables(missing)
        presentation = Presentation(babel_locale(locale), zone, now, currency, right_to_left(locale))
        return {name: part.render(values, presentation) for name, part in self._parts.items()}

    def length(self, part: str) -> int:
        """Estimated characters of the part, 0 when there is none: its literal text plus 12 for each output."""
        return self._parts[part].length if part in self._parts else 0

    def words(self, part: str) -> str:
        """What the template itself says in the part, markup and all, with nothing where values stand."""
        return self._parts[part].words if part in self._parts else ""

    def plurals(self, part: str) -> tuple[frozenset[str], ...]:
        """The plural categories that each `plural` of the part offers."""
        return self._parts[part].plurals if part in self._parts else ()


def presence(values: Values, variables: Sequence[Segments]) -> bytes:
    """For each variable 0 where it is absent, 1 where it is empty, 2 where it has a value. People alike in this are alike
    in what is missing and in coverage."""
    found = [_found(values, path) for path in variables]
    return bytes([0 if value is None else 1 if value == "" else 2 for value in found])


def compile_content(parts: Mapping[str, str], path: str) -> CompiledContent:
    """Compile every part. Raises TemplateInvalid naming `path`.part, the line and what to change."""
    compiled, reading = {}, Reading()
    for name, source in parts.items():
        dialect = ESCAPED if name in ESCAPED_PARTS else PLAIN
        try:
            compiled[name] = _compiled(name, source, dialect, reading)
        except LiquidError as invalid:
            raise TemplateInvalid(f"{path}.{name}", _reason(invalid, source)) from invalid
        except RecursionError as deep:
            raise TemplateInvalid(f"{path}.{name}", _TOO_DEEP) from deep
    return CompiledContent(
        required=frozenset(map(dotted, reading.needed)),
        optional=frozenset(map(dotted, reading.seen - reading.needed)),
        _parts=compiled,
        _required=tuple((dotted(path), path) for path in sorted(reading.needed, key=dotted)),
        _used=tuple(_outermost(reading.seen)),
        _shown=tuple(sorted(reading.shown, key=dotted)),
    )


@dataclass(frozen=True)
class _Part:
    """`fill` writes what the interpreter would, without it; None where the template is not that simple."""

    name: str
    template: BoundPart
    iterations: int
    length: int
    words: str
    plurals: tuple[frozenset[str], ...]
    fill: Callable[[Values, Presentation], str] | None

    def render(self, values: Values, presentation: Presentation) -> str:
        try:
            text = self.fill(values, presentation) if self.fill else self.interpret(values, presentation)
        except UndefinedError as undefined:
            raise MissingVariables([str(undefined.message)]) from undefined
        except Exception as failed:  # a filter may raise anything on a value it was not made for
            raise RenderingFailed(f"The part {self.name} was not rendered: {_cause(failed)}.") from failed
        if self.name in SINGLE_LINE_PARTS:
            return _single_line(text)
        if presentation.rtl and self.name in ESCAPED_PARTS:
            return directed(without_isolates_in_tags(text))
        return without_isolates_in_tags(text) if self.name in ESCAPED_PARTS else text

    def interpret(self, values: Values, presentation: Presentation) -> str:
        return self.template.run(values, presentation, self.iterations)


def _compiled(name: str, source: str, dialect: Dialect, reading: Reading) -> _Part:
    _check_source(source)
    template = dialect.part(source)
    found = read(template.nodes, dialect)
    reading.seen |= found.seen
    reading.needed |= found.needed
    reading.shown |= found.shown
    return _Part(
        name=name,
        template=template,
        iterations=min(MAX_ITERATIONS, MAX_STEPS // max(found.nodes, 1)),
        length=length(template.nodes),
        words="".join(found.words),
        plurals=tuple(found.plurals),
        fill=_filling(template.nodes, dialect),
    )


def _check_source(source: str) -> None:
    """Refuse what the library's tokenizer would take quadratic time over, and what is plainly unfinished."""
    if len(source) > MAX_SOURCE:
        raise Refused(f"it is longer than {MAX_SOURCE:,} characters; shorten it", token=None)
    run = _WHITESPACE_RUN.search(source)
    if run:
        raise Refused(f"there are more than {MAX_WHITESPACE} blanks in a row; remove them", token=_at(source, run.start()))
    empty = _EMPTY_OUTPUT.search(source)
    if empty:
        raise Refused("an output is empty; name a variable in it", token=_at(source, empty.start()))
    for opening, closing in _PAIRED:
        last = source.rfind(opening)
        if last > source.rfind(closing):
            raise Refused(f"{opening} is never closed; add {closing}", token=_at(source, last))
    for tag in _VERBATIM:
        opened, closed = (_last(rf"\{{%-?\s*{word}\b", source) for word in (tag, f"end{tag}"))
        if opened > closed:
            raise Refused(f"{{% {tag} %}} is never closed; add {{% end{tag} %}}", token=_at(source, opened))


def _last(pattern: str, source: str) -> int:
    return max((found.start() for found in re.finditer(pattern, source)), default=-1)


def _at(source: str, index: int) -> Token:
    return Token("", "", index, source)


def _reason(invalid: LiquidError, source: str) -> str:
    if isinstance(invalid.__cause__, RecursionError):
        return _TOO_DEEP
    message = str(invalid.message)
    unknown = _NO_TAG.search(message)
    if unknown and unknown[1] in FILE_TAGS:
        message = f"the tag {unknown[1]!r} reads other files and does not exist here; write its text into this part"
    elif unknown:
        message = f"there is no tag {unknown[1]!r} here; remove it, or open its block before it"
    elif not isinstance(invalid, Refused) and ";" not in message:
        message = f"Liquid cannot read it ({message}); correct the expression"
    token = invalid.token
    if token is None or token.start_index < 0:
        return message
    return f"line {source.count(chr(10), 0, token.start_index) + 1}: {message}"


def _cause(failed: Exception) -> str:
    """A sentence without any value in it: messages of the library may quote people's data."""
    line = ""
    if isinstance(failed, LiquidError) and failed.token is not None and failed.token.start_index >= 0:
        line = f" in line {failed.token.source.count(chr(10), 0, failed.token.start_index) + 1}"
    if isinstance(failed, Refused | ResourceLimitError | LiquidValueError):
        return f"{failed.message}{line}"
    return f"a filter or comparison was given a value of the wrong kind{line} ({type(failed).__name__})"


def _single_line(text: str) -> str:
    """Without line breaks and control characters, so that no value can add a header to a mail."""
    return text if text.isprintable() or not _BREAKS.search(text) else _BREAKS.sub(" ", text).strip()


# -- values ----------------------------------------------------------------------------------------------------------


def _found(values: Values, path: Segments) -> Any:
    value: Any = values
    for segment in path:
        value = value.get(segment) if type(value) is dict else item(value, segment)
        if value is None:
            return None
    return value


def _keep(kept: dict[str, Any], values: Values, path: Segments) -> None:
    """Copy the value at `path` into `kept`: objects along the way hold nothing else, lists are kept whole."""
    if _found(values, path) is None:
        return
    value: Any = values
    for segment in path[:-1]:
        if not isinstance(value[segment], Mapping):
            kept[str(segment)] = value[segment]
            return
        kept, value = kept.setdefault(str(segment), {}), value[segment]
    kept[str(path[-1])] = value[path[-1]]


def _outermost(paths: Iterable[Segments]) -> list[Segments]:
    """The paths that lie in no other of them."""
    kept: set[Segments] = set()
    for path in sorted(paths, key=lambda path: (len(path), dotted(path))):
        if not any(path[:n] in kept for n in range(1, len(path))):
            kept.add(path)
    return sorted(kept, key=dotted)


# -- the short way ---------------------------------------------------------------------------------------------------


_Piece = Callable[[Values, Presentation], str]
_Step = Callable[[Any, Presentation], Any]


def _filling(nodes: Iterable[Node], dialect: Dialect) -> Callable[[Values, Presentation], str] | None:
    """A function that writes what the interpreter would, when there is only text and outputs of written-out paths.

    It takes a quarter of the interpreter's time on a subject and text with six outputs.
    """
    pieces: list[str | _Piece] = []
    for node in nodes:
        if isinstance(node, ContentNode):
            pieces.append(node.text)
        elif isinstance(node, OutputNode) and (piece := _output(node, dialect)):
            pieces.append(piece)
        elif not isinstance(node, CommentNode):
            return None
    return partial(_fill, tuple(pieces))


def _fill(pieces: tuple[str | _Piece, ...], values: Values, presentation: Presentation) -> str:
    text = "".join([piece if type(piece) is str else piece(values, presentation) for piece in pieces])  # type: ignore[operator]
    if len(text) > MAX_CHARACTERS:
        raise too_long()
    return text


def _output(node: OutputNode, dialect: Dialect) -> _Piece | None:
    expression = node.expression
    if not isinstance(expression, FilteredExpression) or not isinstance(expression.left, Path):
        return None
    segments = static_path(expression.left)
    if len(segments) < len(expression.left.path) or segments[0] in BUILTIN_NAMES:
        return None
    if any(not isinstance(argument, Literal) for used in expression.filters or () for argument in used.children()):
        return None
    absent, escaping, token = Absent(dotted(segments), token=expression.left.token), dialect.autoescape, node.token
    steps = [_step(used, dialect) for used in expression.filters or ()]

    def write(values: Values, presented: Presentation) -> str:
        value = _found(values, segments)
        if value is None:
            value = absent
        for step in steps:
            value = step(value, presented)
        if type(value) is str and not escaping:
            return inserted(value, presented.rtl)
        return written(value, escaping, presented.rtl, token)

    return write


def _step(used: Filter, dialect: Dialect) -> _Step:
    """One filter with its arguments, all literals."""
    func = dialect.filters[used.name]
    args, kwargs = [], {}
    for argument in used.args:
        value = _literal(argument.value, dialect)
        if isinstance(argument, KeywordArgument):
            kwargs[argument.name] = value
        else:
            args.append(value)
    if getattr(func, "with_environment", False):
        kwargs["environment"] = dialect
    if getattr(func, "with_context", False):
        return lambda value, presented: func(value, *args, context=presented, **kwargs)
    if used.name == "default":
        return lambda value, _: value if type(value) is str and value else func(value, *args, **kwargs)
    return lambda value, _: func(value, *args, **kwargs)


def _literal(literal: object, dialect: Dialect) -> object:
    value = literal.value if isinstance(literal, Literal) else literal
    return Markup(value) if dialect.autoescape and isinstance(value, str) else value
