"""What a parse tree says before it runs: which variables it needs, which it can do without, how long its text is.

A variable is needed when some branch writes, loops over or computes with it and nothing catches its absence. It can be
absent where a `default` filter follows, where it stands only in a condition, where the condition around it proves that
it is there, or where a `for` has an `else`. Assigned names stand for the variables they were made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from liquid import BoundTemplate, Node, RenderContext
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import Filter, FilteredExpression, KeywordArgument, Literal, Nil, Path, StringLiteral
from liquid.builtin.expressions.logical import (
    BooleanExpression,
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalAndExpression,
    LogicalOrExpression,
    LtExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import Blank, Empty, RangeLiteral
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.case_tag import CaseNode, MultiExpressionBlockNode
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.expression import Expression
from liquid.undefined import is_undefined

from personalization.content.dialect import BUILTIN_NAMES, PLAIN, Dialect, Refused
from personalization.content.filters import CATCHING

#: A variable's path from the top, such as ("user", "first_name").
Segments = tuple[str | int, ...]
Paths = frozenset[Segments]

#: Characters that an output is taken to write when its value is not known.
OUTPUT_LENGTH = 12
#: The longest path of a variable; bodies are not nested deeper than 20.
MAX_SEGMENTS = 24
#: The profile's object; nobody means to write out all of it.
_PROFILE: Segments = ("user",)

_NONE: Paths = frozenset()
#: Filters whose literals are words of the language.
_WORDED = frozenset({"default", "plural", "select", "append", "prepend"})
_ORDERINGS = (LtExpression, LeExpression, GtExpression, GeExpression, ContainsExpression)
_STATIC = RenderContext(BoundTemplate(PLAIN, []))


@dataclass
class Reading:
    """What was found. seen: every variable; needed: those that cannot be absent; shown: those that reach the text;
    words: what the template itself says, in its order; plurals: the categories each `plural` offers;
    nodes: the size of the tree."""

    seen: set[Segments] = field(default_factory=set)
    needed: set[Segments] = field(default_factory=set)
    shown: set[Segments] = field(default_factory=set)
    words: list[str] = field(default_factory=list)
    plurals: list[frozenset[str]] = field(default_factory=list)
    nodes: int = 0


def read(nodes: Iterable[Node], dialect: Dialect) -> Reading:
    """Read a freshly parsed tree, and mend its comparisons with nothing (see _IsBlank).

    Raises UnknownFilterError and Refused where it uses what does not exist or has no bound.
    """
    reader = _Reader(dialect)
    reader.nodes(nodes, _NONE, frozenset())
    return reader.found


def length(nodes: Iterable[Node]) -> int:
    """Characters of the literal text plus OUTPUT_LENGTH for each output, along the longest branches; loops turn once."""
    return sum(map(_length, nodes))


def static_path(path: Path) -> Segments:
    """The leading segments that are written out; Refused when not even the first is."""
    segments: list[str | int] = []
    for segment in path.path:
        if isinstance(segment, Path):
            break
        segments.append(segment)
    if not segments or not isinstance(segments[0], str):
        raise Refused("a variable must begin with its name", token=path.token)
    if len(segments) > MAX_SEGMENTS:
        raise Refused(f"a variable has more than {MAX_SEGMENTS} segments; shorten it", token=path.token)
    return tuple(segments)


def _length(node: Node) -> int:
    if isinstance(node, ContentNode):
        return len(node.text)
    if isinstance(node, OutputNode):
        return OUTPUT_LENGTH
    lengths = map(_length, _children(node))
    return max(lengths, default=0) if isinstance(node, IfNode | UnlessNode | CaseNode | ForNode) else sum(lengths)


def _children(node: Node) -> Iterable[Node]:
    return node.children(_STATIC, include_partials=False)


class _Reader:
    """Walks a tree in document order. `guarded`: paths that the conditions around prove present; `scope`: names that the
    blocks around define."""

    def __init__(self, dialect: Dialect) -> None:
        self.found = Reading()
        self._dialect = dialect
        #: assigned name -> the variables whose absence it would pass on
        self._sources: dict[str, Paths] = {}

    def nodes(self, nodes: Iterable[Node], guarded: Paths, scope: frozenset[str]) -> None:
        for node in nodes:
            self.found.nodes += 1
            self._node(node, guarded, scope)

    def _node(self, node: Node, guarded: Paths, scope: frozenset[str]) -> None:
        if isinstance(node, IfNode | UnlessNode):
            self._branches(node, guarded, scope)
        elif isinstance(node, CaseNode):
            self._case(node, guarded, scope)
        elif isinstance(node, ForNode):
            self._for(node, guarded, scope)
        elif isinstance(node, AssignNode):
            passed_on = self._written(node.expression, guarded, scope)
            self._sources[str(node.name)] = self._sources.get(str(node.name), _NONE) | passed_on
        else:
            self._other(node, guarded, scope)

    def _branches(self, node: IfNode | UnlessNode, guarded: Paths, scope: frozenset[str]) -> None:
        holds = isinstance(node, IfNode)
        self._condition(node.condition, scope)
        self.nodes([node.consequence], guarded | _proved(node.condition, holds), scope)
        guarded |= _proved(node.condition, not holds)
        for alternative in node.alternatives:
            self._condition(alternative.expression, scope)
            self.nodes([alternative.block], guarded | _proved(alternative.expression, True), scope)
            guarded |= _proved(alternative.expression, False)
        self.nodes([node.default] if node.default else [], guarded, scope)

    def _case(self, node: CaseNode, guarded: Paths, scope: frozenset[str]) -> None:
        self._condition(node.expression, scope)
        for block in node.blocks:
            if not isinstance(block, MultiExpressionBlockNode):
                self.nodes([block], guarded, scope)
                continue
            choices = block.expression.expressions
            for choice in choices:
                self._condition(choice, scope)
            certain = all(isinstance(choice, Literal) for choice in choices)
            self.nodes([block.block], guarded | (_present(node.expression) if certain else _NONE), scope)

    def _for(self, node: ForNode, guarded: Paths, scope: frozenset[str]) -> None:
        uncaught = self._written(node.expression, guarded, scope)
        self.nodes([node.block], guarded, scope | {str(name) for name in node.block_scope()})
        if node.default:
            self.nodes([node.default], guarded, scope)
        else:
            self.found.needed |= uncaught

    def _other(self, node: Node, guarded: Paths, scope: frozenset[str]) -> None:
        if isinstance(node, ContentNode):
            self.found.words.append(node.text)
        for expression in node.expressions():
            self.found.needed |= self._written(expression, guarded, scope)
            if isinstance(node, OutputNode) and "user" not in scope and _is_whole_profile(expression):
                raise Refused("user is the whole profile; name one of its fields, such as user.first_name", token=node.token)
        self.nodes(_children(node), guarded, scope | {str(name) for name in node.block_scope()})
        for name in node.template_scope():
            self._sources.setdefault(str(name), _NONE)

    def _condition(self, condition: Expression, scope: frozenset[str]) -> None:
        _mend(condition)
        for path in _paths(condition):
            self.found.seen |= self._behind(path, scope)

    def _written(self, expression: Expression, guarded: Paths, scope: frozenset[str]) -> Paths:
        """The variables of an expression whose absence neither a guard nor a `default` catches."""
        if not isinstance(expression, FilteredExpression):
            return self._uncaught(expression, guarded, scope)
        uncaught = self._uncaught(_bounded(expression.left), guarded, scope)
        for used in expression.filters or ():
            self._dialect.check(used)
            if used.name in CATCHING:
                uncaught = _NONE
            self._said(used)
            for argument in used.children():
                uncaught |= self._uncaught(_bounded(argument), guarded, scope)
        return uncaught

    def _said(self, used: Filter) -> None:
        """The words a filter's literals put into the text, and the plural categories they are for."""
        if used.name not in _WORDED:
            return
        self.found.words += [str(each.value.value) for each in used.args if isinstance(each.value, StringLiteral)]
        if used.name == "plural":
            self.found.plurals.append(frozenset(each.name for each in used.args if isinstance(each, KeywordArgument)))

    def _uncaught(self, expression: Expression, guarded: Paths, scope: frozenset[str]) -> Paths:
        uncaught: set[Segments] = set()
        for path in _paths(expression):
            behind = self._behind(path, scope)
            self.found.seen |= behind
            self.found.shown |= behind
            if not _present(path) <= guarded or not _present(path):
                uncaught |= behind - guarded
        return frozenset(uncaught)

    def _behind(self, path: Path, scope: frozenset[str]) -> Paths:
        """The variables that a path reads: itself, or what the name it begins with was made of."""
        segments = static_path(path)
        root = str(segments[0])
        if root in scope or root in BUILTIN_NAMES:
            return _NONE
        return self._sources.get(root, frozenset({segments}))


class _IsBlank(Expression):
    """`operand == blank`, or `!=` when not `wanted`, also true of an absent operand (the library's comparison is not)."""

    __slots__ = ("blank", "operand", "wanted")

    def __init__(self, operand: Expression, blank: Expression | str, wanted: bool) -> None:
        super().__init__(operand.token)
        self.operand, self.blank, self.wanted = operand, blank, wanted

    def evaluate(self, context: RenderContext) -> object:
        value = self.operand.evaluate(context)
        return (is_undefined(value) or bool(self.blank == value)) is self.wanted

    def children(self) -> list[Expression]:
        return [self.operand]


def _mend(expression: Any) -> None:
    """Put _IsBlank in the place of comparisons with blank, empty and ""."""
    for side in ("expression", "left", "right"):
        child = getattr(expression, side, None)
        if isinstance(child, EqExpression | NeExpression):
            setattr(expression, side, _mended(child))
        elif isinstance(child, LogicalAndExpression | LogicalOrExpression):
            _mend(child)


def _mended(comparison: EqExpression | NeExpression) -> Expression:
    for operand, other in ((comparison.left, comparison.right), (comparison.right, comparison.left)):
        if isinstance(other, Blank | Empty):
            return _IsBlank(operand, other, isinstance(comparison, EqExpression))
        if isinstance(other, StringLiteral) and not other.value:
            return _IsBlank(operand, "", isinstance(comparison, EqExpression))
    return comparison


def _proved(condition: Expression, holds: bool) -> Paths:
    """The paths that must have a value when the condition holds, or when it does not."""
    if isinstance(condition, BooleanExpression):
        return _proved(condition.expression, holds)
    if isinstance(condition, LogicalAndExpression | LogicalOrExpression):
        left, right = _proved(condition.left, holds), _proved(condition.right, holds)
        return left | right if isinstance(condition, LogicalAndExpression) is holds else left & right
    if isinstance(condition, _IsBlank):
        return _present(condition.operand) if holds is not condition.wanted else _NONE
    if isinstance(condition, EqExpression | NeExpression):
        return _compared(condition, holds is isinstance(condition, EqExpression))
    if isinstance(condition, _ORDERINGS):
        return _present(condition.left) | _present(condition.right) if holds else _NONE
    return _present(condition) if holds else _NONE


def _compared(comparison: EqExpression | NeExpression, equal: bool) -> Paths:
    for operand, other in ((comparison.left, comparison.right), (comparison.right, comparison.left)):
        if (isinstance(other, Literal) and equal) or (isinstance(other, Nil) and not equal):
            return _present(operand)
    return _NONE


def _present(expression: Expression) -> Paths:
    """A path that has a value, with the objects it lies in; nothing for other expressions and computed paths."""
    if not isinstance(expression, Path) or any(isinstance(segment, Path) for segment in expression.path):
        return _NONE
    segments = static_path(expression)
    return frozenset(segments[:n] for n in range(1, len(segments) + 1))


def _paths(expression: Expression) -> Iterator[Path]:
    if isinstance(expression, Path):
        yield expression
    for child in expression.children():
        yield from _paths(child)


def _bounded(expression: Expression) -> Expression:
    """A range is fine in a `for`, whose turns are counted; a filter would spell it out."""
    if isinstance(expression, RangeLiteral):
        raise Refused("a range such as (1..9) can stand in a for tag only", token=expression.token)
    return expression


def _is_whole_profile(expression: Expression) -> bool:
    return (
        isinstance(expression, FilteredExpression)
        and isinstance(expression.left, Path)
        and expression.left.path == list(_PROFILE)
        and not expression.filters
    )
