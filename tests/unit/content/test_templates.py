"""Contents: what they need, what they write, and what they refuse."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalization.clock import instant, zone
from personalization.content.formats import Presentation
from personalization.content.languages import right_to_left
from personalization.content.locales import babel_locale
from personalization.content.templates import MAX_SOURCE, CompiledContent, compile_content
from personalization.errors import MissingVariables, RenderingFailed, TemplateInvalid

NOW = instant("2026-11-23T22:30:00Z")
BERLIN = zone("Europe/Berlin")


def compiled(**parts: str) -> CompiledContent:
    return compile_content(parts, "variants.0.content.en")


def rendered(source: str, values: object = None, *, part: str = "text", locale: str = "en", where: str = "UTC") -> str:
    text = compiled(**{part: source}).render(values or {}, locale=locale, zone=zone(where), now=NOW, currency="EUR")
    return text[part]


def needs(source: str) -> tuple[set[str], set[str]]:
    content = compiled(text=source)
    return set(content.required), set(content.optional)


# -- safety ----------------------------------------------------------------------------------------------------------


def test_values_are_escaped_in_html_and_nowhere_else() -> None:
    content = compiled(html="<b>{{ user.first_name }}</b>", text="{{ user.first_name }}", body="{{ user.first_name }}")
    text = content.render({"user": {"first_name": "<i>Al & Jo</i>"}}, locale="en", zone=BERLIN, now=NOW, currency="EUR")
    assert text["html"] == "<b>&lt;i&gt;Al &amp; Jo&lt;/i&gt;</b>"
    assert text["text"] == text["body"] == "<i>Al & Jo</i>"


@pytest.mark.parametrize(
    "source",
    [
        "{{ v | append: v }}",
        "{{ '<p>' | append: v }}",
        "{{ v | default: 'x' | upcase }}",
        "{% assign w = v %}{{ w }}",
        "{% capture w %}{{ v }}{% endcapture %}{{ w }}",
        "{{ v | split: ',' | join: '<br>' }}",
        "{{ '<p>X</p>' | replace: 'X', v }}",
        "{{ v | newline_to_br }}",
        "{% for w in list %}{{ w }}{% endfor %}",
        "{{ list }}",
        "{% echo v %}",
        "{{ v | date: 'long' }}",
    ],
)
def test_no_filter_or_tag_lets_markup_of_a_value_into_html(source: str) -> None:
    text = rendered(source, {"v": "<SCRIPT>", "list": ["<SCRIPT>"]}, part="html")
    assert "<SCRIPT" not in text.upper().replace("&LT;SCRIPT", "")


@pytest.mark.parametrize("part", ["subject", "title"])
@pytest.mark.parametrize("line_break", ["\r\n", "\n", "\r", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1e"])
def test_a_line_break_in_a_name_cannot_add_a_header(part: str, line_break: str) -> None:
    text = rendered("Hi {{ name }}!", {"name": f"Ada{line_break}Bcc: all@example.org"}, part=part)
    assert text == "Hi Ada Bcc: all@example.org!"
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in (1..100000) %}x{% endfor %}",
        "{% for i in (1..200) %}{% for j in (1..200) %}x{% endfor %}{% endfor %}",
        "{% for i in (1..9000) %}{% endfor %}{% for i in (1..9000) %}{% endfor %}",
        "{% tablerow i in (1..100000) %}x{% endtablerow %}",
        "{% for i in (1..9999999999999999999999) %}x{% endfor %}",
        "{% assign s = 'abcdefgh' %}{% for i in (1..60) %}{% assign s = s | append: s %}{% endfor %}{{ s }}",
        "{% assign s = 'aaaaaaaaaa' %}{% assign r = 'aaaaaaaaaaaaaaaaaaaa' %}"
        + "{% assign s = s | replace: 'a', r %}" * 20
        + "{{ s }}",
        "{{ 'aaaaaaaaaa'" + " | replace: 'a', 'aaaaaaaaaaaaaaaaaaaa'" * 20 + " }}",
        "{% assign l = big | split: '§' %}{% for i in (1..16) %}{% assign l = l | concat: l %}{% endfor %}{{ l }}",
        "{% assign l = big | split: '§' %}{% for i in (1..16) %}{% assign l = l | concat: l %}{% endfor %}{{ l | join }}",
        "{% for i in (1..5000) %}{% capture c %}{{ big }}{% endcapture %}{% endfor %}",
        "{{ big }}" * 20,
    ],
)
def test_a_bomb_stops_with_a_clear_error(source: str) -> None:
    with pytest.raises(RenderingFailed, match=r"loops turn too often|more than 1,000,000|limit reached"):
        rendered(source, {"big": "x" * 100_000})


def test_the_fast_way_has_the_same_limit() -> None:
    with pytest.raises(RenderingFailed, match="more than 1,000,000"):
        rendered("{{ big }} {{ big }}", {"big": "x" * 600_000})


def test_a_failing_filter_is_reported_without_the_value_it_was_given() -> None:
    with pytest.raises(RenderingFailed) as failed:
        rendered("Pay\n{{ price | divided_by: 0 }}", {"price": 4242})
    assert "4242" not in failed.value.detail
    with pytest.raises(RenderingFailed, match="no number") as failed:
        rendered("{{ price | money }}", {"price": "ada@example.org"})
    assert "ada@" not in failed.value.detail


@pytest.mark.parametrize(
    "path", ["user.__class__", "user.first_name.__class__", "user.keys", "list.append", "now.tzinfo", "secret.key"]
)
def test_attributes_of_python_objects_are_not_variables(path: str) -> None:
    values = {"user": {"first_name": "Ada"}, "list": [1], "secret": SimpleNamespace(key="hidden")}
    assert rendered("{{ " + path + " | default: 'nothing' }}", values) == "nothing"
    assert rendered("{% if x %}{% endif %}{{ " + path + " | default: 'nothing' }}", values) == "nothing"
    with pytest.raises(MissingVariables):
        rendered("{{ " + path + " }}", values)


def test_an_object_is_never_spelled_out() -> None:
    with pytest.raises(TemplateInvalid, match=r"user\.first_name"):
        compiled(text="{{ user }}")
    with pytest.raises(RenderingFailed, match="name one of its fields"):
        rendered("{{ cart }}", {"cart": {"total": 3}})


def test_the_callers_own_variable_may_be_named_partial() -> None:
    assert rendered("{% if partial %}{{ partial }}{% endif %}", {"partial": "yes"}) == "yes"


# -- what does not compile -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("Hi\n{{ name | shout }}", "line 2: there is no filter 'shout'"),
        ("{{ name | upcas }}", "did you mean upcase"),
        ("{{ name | safe }}", "there is no filter 'safe'"),
        ("{% if a %}{{ b | nope }}{% endif %}", "there is no filter 'nope'"),
        ("{% assign a = b | nope %}", "there is no filter 'nope'"),
        ("{{ name | truncate: 1, '', 3 }}", "correct its arguments"),
        ("{% if a %}x", "endif"),
        ("Hi {{ name", "line 1: {{ is never closed; add }}"),
        ("a\nb\n{% if name", "line 3: {% is never closed; add %}"),
        ("{% raw %}x", "{% raw %} is never closed; add {% endraw %}"),
        ("{% comment %}" + "{% a " * 10, "never closed"),
        ("{% endif %}", "there is no tag 'endif' here"),
        ("{% nonsense %}", "there is no tag 'nonsense'"),
        ("{% include 'a' %}", "reads other files"),
        ("{% render 'a' %}", "reads other files"),
        ("{% extends 'a' %}", "reads other files"),
        ("{% liquid\ninclude 'a' %}", "reads other files"),
        ("{{ }}", "an output is empty"),
        ("{{ a | }}", "correct the expression"),
        ("{{ a" + ".b" * 100 + " }}", "segments"),
        ("{{ (1..1000000000) | join: ',' }}", "for tag only"),
        ("{% assign r = (1..1000000000) %}", "for tag only"),
        ("{{ [name] }}", "begin with its name"),
        ("x" * (MAX_SOURCE + 1), "shorten it"),
        ("{% if a" + " " * 5000 + "%}{% endif %}", "blanks in a row"),
        ("{% if a" + " or a" * 20_000 + " %}{% endif %}", "nested too deeply"),
        ("{{ a" + "[a" * 5_000 + "]" * 5_000 + " }}", "nested too deeply"),
    ],
)
def test_a_wrong_template_says_where_and_what_to_change(source: str, reason: str) -> None:
    with pytest.raises(TemplateInvalid) as invalid:
        compiled(subject="fine", text=source)
    assert invalid.value.errors[0].field == "variants.0.content.en.text"
    assert reason in invalid.value.errors[0].message


# -- what a content needs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "required", "optional"),
    [
        ("plain", set(), set()),
        ("{{ user.first_name }} {{ city }}", {"user.first_name", "city"}, set()),
        ("{{ user.first_name | default: 'you' }}", set(), {"user.first_name"}),
        ("{{ user.first_name | capitalize | default: 'you' }}", set(), {"user.first_name"}),
        ("{{ a | default: b }}", {"b"}, {"a"}),
        ("{{ a | default: b | default: 'c' }}", set(), {"a", "b"}),
        ("{{ a | append: b }}", {"a", "b"}, set()),
        ("{{ a | default: 'x' }} {{ a }}", {"a"}, set()),
        ("{% if user.vip %}gold{% else %}blue{% endif %}", set(), {"user.vip"}),
        ("{% if vip %}{{ manager }}{% endif %}", {"manager"}, {"vip"}),
        ("{% if city %}in {{ city }}{% endif %}", set(), {"city"}),
        ("{% if city %}{% else %}{{ city }}{% endif %}", {"city"}, set()),
        ("{% if city and name %}{{ city }}{{ name }}{% endif %}", set(), {"city", "name"}),
        ("{% if city or name %}{{ city }}{% endif %}", {"city"}, {"name"}),
        ("{% if city != blank %}{{ city }}{% endif %}", set(), {"city"}),
        ("{% if city != nil %}{{ city }}{% endif %}", set(), {"city"}),
        ("{% if city != '' %}{{ city }}{% endif %}", set(), {"city"}),
        ("{% if city == blank %}x{% else %}{{ city }}{% endif %}", set(), {"city"}),
        ("{% if city == 'Rome' %}{{ city }}{% endif %}", set(), {"city"}),
        ("{% if city != 'Rome' %}{{ city }}{% endif %}", {"city"}, set()),
        ("{% if n > 3 %}{{ n }}{% endif %}", set(), {"n"}),
        ("{% unless city %}x{% else %}{{ city }}{% endunless %}", set(), {"city"}),
        ("{% unless city == blank %}{{ city }}{% endunless %}", set(), {"city"}),
        ("{% if a %}x{% elsif b %}{{ b }}{% endif %}", set(), {"a", "b"}),
        ("{% if user.a.b %}{{ user.a.b }}{{ user.a.c }}{% endif %}", {"user.a.c"}, {"user.a.b"}),
        ("{% case plan %}{% when 'pro' %}{{ plan }}{% else %}x{% endcase %}", set(), {"plan"}),
        ("{% for p in products %}{{ p.name }}{{ forloop.index }}{% endfor %}", {"products"}, set()),
        ("{% for p in products %}{{ p.name }}{% else %}none{% endfor %}", set(), {"products"}),
        ("{% for p in ps %}{% for t in p.tags %}{{ t }}{{ shop }}{% endfor %}{% endfor %}", {"ps", "shop"}, set()),
        ("{% for i in (1..n) %}{{ i }}{% endfor %}", {"n"}, set()),
        ("{% for p in ps limit: most %}{{ p }}{% endfor %}{{ p }}", {"ps", "most", "p"}, set()),
        ("{% assign n = user.name %}{{ n }}", {"user.name"}, set()),
        ("{% assign n = user.name | capitalize %}{{ n | default: 'x' }}", set(), {"user.name"}),
        ("{% assign n = user.name | default: 'x' %}{{ n }}", set(), {"user.name"}),
        ("{% assign n = user.name %}{% if n %}{{ n }}{% endif %}", set(), {"user.name"}),
        ("{% capture c %}{{ city }}{% endcapture %}{{ c }}", {"city"}, set()),
        ("{% capture c %}{{ city | default: 'x' }}{% endcapture %}{{ c }}", set(), {"city"}),
        ("{{ now | date: 'long' }}{{ 'now' | date: '%Y' }}", set(), set()),
        ("{{ items[0].name }}", {"items.0.name"}, set()),
        ("{{ items.size }}", {"items.size"}, set()),
        ("{{ user[key] | default: '' }}", set(), {"user", "key"}),
        ("{% raw %}{{ city }}{% endraw %}{% comment %}{{ city }}{% endcomment %}", set(), set()),
        ("{% liquid\nassign x = city\necho x %}", {"city"}, set()),
        ("{% increment n %}{{ n }}", set(), set()),
    ],
)
def test_needed_and_dispensable_variables(source: str, required: set[str], optional: set[str]) -> None:
    assert needs(source) == (required, optional)


@pytest.mark.parametrize(
    "source",
    [
        "{% if city != blank %}in {{ city }}{% endif %}.",
        "{% if city != '' and city != nil %}in {{ city }}{% endif %}.",
        "{% unless city == empty %}in {{ city }}{% endunless %}.",
        "{% if city contains 'R' %}in {{ city }}{% endif %}.",
        "{% if city > 3 %}{{ city }}{% elsif city <= 3 %}{{ city }}{% endif %}.",
        "{% case city %}{% when 'Rome', 'Oslo' %}{{ city }}{% endcase %}.",
        "{% for c in city %}{{ c }}{% else %}{% endfor %}.",
        "{% assign c = city | upcase %}{% if c %}{{ c }}{% endif %}.",
        "{{ city | upcase | default: '' }}.",
    ],
)
@pytest.mark.parametrize("values", [{}, {"city": None}])
def test_what_is_dispensable_leaves_no_hole_when_it_is_absent(source: str, values: dict[str, None]) -> None:
    assert compiled(text=source).missing(values) == frozenset()
    assert rendered(source, values) == "."


def test_missing_names_what_is_absent_or_null_and_only_that() -> None:
    content = compiled(text="{{ user.first_name }} {{ user.address.city }} {{ items[1].name }} {{ zero }} {{ no }} {{ empty }}")
    values = {"user": {"first_name": None, "address": "x"}, "items": [{"name": "a"}], "zero": 0, "no": False, "empty": ""}
    assert content.missing(values) == {"user.first_name", "user.address.city", "items.1.name"}
    assert content.missing({}) == content.required


def test_rendering_without_a_needed_variable_names_it_and_writes_no_hole() -> None:
    with pytest.raises(MissingVariables) as missing:
        rendered("{{ user.first_name }}, {{ city }}", {"user": {}})
    assert missing.value.names == ("city", "user.first_name")


@pytest.mark.parametrize("note", [{}, {"note": None}])
def test_a_hole_inside_a_loop_is_an_error_too(note: dict[str, None]) -> None:
    for filters in ("", " | upcase", " | times: 2", " | size", " | date: 'long'"):
        with pytest.raises(MissingVariables, match=r"p\.note"):
            rendered("{% for p in ps %}{{ p.note" + filters + " }}{% endfor %}", {"ps": [note]})
    assert rendered("{% for p in ps %}{{ p.note | upcase | default: '-' }}{% endfor %}", {"ps": [note]}) == "-"


def test_used_keeps_what_is_used_and_renders_to_the_same_text() -> None:
    source = (
        "{{ user.first_name | default: 'you' }} {{ user.address.city }} {{ cart.items.size }} {% if user.vip %}*{% endif %}"
        "{% for i in cart.items %}{{ i.name }}{% endfor %} {{ absent | default: '' }} {{ cart.items[0].name }}"
    )
    values = {
        "user": {"first_name": "Ada", "email": "ada@example.org", "address": {"city": "Rome", "street": "x"}, "vip": None},
        "cart": {"items": [{"name": "a"}, {"name": "b"}], "total": 3},
        "other": 1,
    }
    used = compiled(text=source).used(values)
    assert used == {"user": {"first_name": "Ada", "address": {"city": "Rome"}}, "cart": {"items": [{"name": "a"}, {"name": "b"}]}}
    assert rendered(source, json.loads(json.dumps(used))) == rendered(source, values)


def test_a_whole_object_covers_its_fields_in_used() -> None:
    content = compiled(text="{{ user[key] | default: '' }}{{ user.first_name | default: '' }}")
    values = {"user": {"first_name": "Ada", "x": 1}, "key": "x"}
    assert content.used(values) == values


def test_used_does_not_alter_the_values() -> None:
    values = {"user": {"a": 1, "b": {"c": 2}}}
    compiled(text="{{ user.a }}{{ user.b.c }}").used(values)
    assert values == {"user": {"a": 1, "b": {"c": 2}}}


def test_coverage_is_the_share_of_written_variables_with_a_real_value() -> None:
    content = compiled(text="{{ a | default: 'x' }}{{ b | default: 'x' }}{% if c %}!{% endif %}")
    assert [content.coverage(v) for v in ({}, {"a": 1}, {"a": 1, "b": ""}, {"a": 1, "b": 2})] == [0.0, 0.5, 0.5, 1.0]
    assert compiled(text="plain").coverage({}) == 1.0


def test_length_counts_literals_and_twelve_for_each_output_along_the_longest_branch() -> None:
    content = compiled(
        text="Hi {{ a }}!", body="{% if a %}long {{ b }}{% else %}x{% endif %}", html="{% for i in l %}ab{% endfor %}"
    )
    assert [content.length(part) for part in ("text", "body", "html", "none")] == [16, 17, 2, 0]


# -- both ways of rendering ------------------------------------------------------------------------------------------

PATHS = ["name", "user.first_name", "user.plan", "n", "list", "list[0]", "list.first", "list.size", "gone", "deep.er.x", "flag"]
FILTERS = [
    "default: 'you'", "default: '<b>'", "default: false", "upcase", "downcase", "capitalize", "escape", "escape_once", "strip",
    "append: '<i>'", "prepend: 'a'", "truncate: 5", "truncate: 9, '&'", "size", "times: 2", "plus: 1.5", "round", "date: 'long'",
    "date: '%d.%m.%Y'", "money", "money: 'USD'", "number", "number: 2", "percent", "default: 0.2", "url_encode", "newline_to_br",
    "strip_html", "split: ','", "join: '&'", "first", "last", "default: 0, allow_false: true", "replace: 'a', '<'",
    "plural: one: '# <b>', other: '#s'", "select: a: '<b>', other: 'x'", "list", "list: 'or'", "unit: 'hour'", "relative",
]  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6) | st.text("aA<>&'\n é1א\u202e", max_size=6)
)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "name": SCALARS,
        "n": SCALARS,
        "flag": SCALARS,
        "list": st.lists(SCALARS, max_size=3) | SCALARS,
        "user": st.fixed_dictionaries({}, optional={"first_name": SCALARS, "plan": SCALARS}),
        "deep": st.fixed_dictionaries({}, optional={"er": SCALARS | st.just({"x": "<x>"})}),
    },
)
OUTPUT = st.builds(
    lambda path, filters: "{{ " + " | ".join([path, *filters]) + " }}",
    st.sampled_from(PATHS),
    st.lists(st.sampled_from(FILTERS), max_size=3),
)
SOURCE = st.lists(
    OUTPUT | st.sampled_from(["Hi ", "<p>&amp;</p>", "\r\n", "{% comment %}x{% endcomment %}", "{% raw %}{{ x }}{% endraw %}"]),
    max_size=4,
)


def outcome(write: object) -> object:
    try:
        return write()  # type: ignore[operator]
    except Exception as failed:
        return type(failed)


@settings(max_examples=300, deadline=None)
@given(SOURCE.map("".join), VALUES, st.sampled_from(["text", "html", "subject"]), st.sampled_from(["en", "ar", "pt-BR"]))
def test_the_fast_way_and_the_interpreter_write_the_same(source: str, values: dict[str, object], part: str, locale: str) -> None:
    presentation = Presentation(babel_locale(locale), BERLIN, NOW, "EUR", right_to_left(locale))
    written = compiled(**{part: source})._parts[part]
    assert written.fill is not None
    fill = written.fill
    assert outcome(lambda: fill(values, presentation)) == outcome(lambda: written.interpret(values, presentation))


@settings(max_examples=150, deadline=None)
@given(SOURCE.map("".join), VALUES, st.sampled_from(["text", "html"]))
def test_used_values_always_render_to_the_same_text(source: str, values: dict[str, object], part: str) -> None:
    source += "{% if user.plan %}{{ list }}{% endif %}"
    content = compiled(**{part: source})
    used = content.used(values)
    assert outcome(lambda: rendered(source, used, part=part)) == outcome(lambda: rendered(source, values, part=part))


def test_now_is_the_moment_handed_in() -> None:
    assert rendered("{{ now | date: '%Y-%m-%d %H:%M' }}", where="Europe/Berlin") == "2026-11-23 23:30"
    assert rendered("{{ 'today' | date: '%F' }} {{ x | default: '' }}", {"now": "1999-01-01"}, where="Asia/Tokyo") == "2026-11-24 "
    assert rendered("{{ now | date: '%Y' }}", {"now": "1999-01-01"}) == "2026"


NAMES = st.sampled_from(["a", "b", "user.c", "user.d", "n"])
LITERAL = st.sampled_from(["'x'", "''", "nil", "blank", "empty", "3", "true", "false"])
COMPARISON = st.one_of(
    NAMES,
    st.builds("{} {} {}".format, NAMES, st.sampled_from(["==", "!=", "<", ">=", "contains"]), LITERAL | NAMES),
    st.builds("{} {} {}".format, LITERAL, st.sampled_from(["==", "!="]), NAMES),
)
CONDITION = st.recursive(
    COMPARISON, lambda inner: st.builds("{} {} {}".format, inner, st.sampled_from(["and", "or"]), inner), max_leaves=3
)
WRITTEN = st.builds("{{{{ {}{} }}}}".format, NAMES, st.sampled_from(["", " | default: 'x'", " | upcase | default: b"]))
BLOCK = st.recursive(
    WRITTEN | st.just("text"),
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("{{% if {} %}}{}{{% elsif {} %}}{}{{% else %}}{}{{% endif %}}".format, CONDITION, inner, CONDITION, inner, inner),
        st.builds("{{% unless {} %}}{}{{% else %}}{}{{% endunless %}}".format, CONDITION, inner, inner),
        st.builds("{{% case {} %}}{{% when {} %}}{}{{% else %}}{}{{% endcase %}}".format, NAMES, LITERAL, inner, inner),
        st.builds("{{% for i in {} %}}{{{{ i }}}}{}{{% else %}}{}{{% endfor %}}".format, NAMES, inner, inner),
    ),
    max_leaves=8,
)
ASSIGNED = st.builds("{{% assign n = {}{} %}}".format, NAMES, st.sampled_from(["", " | upcase", " | default: 'x'", " | append: a"]))
FEW = st.sampled_from(["x", "", 3, True, False, None, ["x"], []])
SOME = st.fixed_dictionaries(
    {}, optional={"a": FEW, "b": FEW, "n": FEW, "user": st.fixed_dictionaries({}, optional={"c": FEW, "d": FEW})}
)


@settings(max_examples=300, deadline=None)
@given(st.builds("{}{}".format, ASSIGNED | st.just(""), BLOCK), SOME)
def test_when_nothing_needed_is_missing_no_text_has_a_hole(source: str, values: dict[str, object]) -> None:
    content = compiled(text=source)
    if not content.missing(values):
        written = outcome(lambda: rendered(source, values))
        assert isinstance(written, str) or written is RenderingFailed
        assert outcome(lambda: rendered(source, content.used(values))) == written


# -- tricks in values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["{{ secret }}", "{% include 'x' %}", "{{ 'a' | append: secret }}", "{% for i in (1..9) %}x"])
def test_liquid_in_a_value_is_text(value: str) -> None:
    for locale in ("en", "ar"):
        text = rendered("{{ name }}", {"name": value, "secret": "hidden"}, locale=locale)
        assert text.strip("\u2068\u2069") == value
    assert "hidden" not in rendered("{{ list | list }}", {"list": [value], "secret": "hidden"})


@pytest.mark.parametrize(
    "source",
    [
        "{{ v | list }}",
        "{{ l | list }}",
        "{{ l | list: 'or' }}",
        "{{ 2 | plural: one: 'x', other: v }}",
        "{{ n | select: a: 'x', other: v }}",
        "{{ 'A' | select: a: v, other: 'x' }}",
        "{{ v | prepend: '<b>' }}",
    ],
)
def test_no_worded_filter_lets_markup_of_a_value_into_html(source: str) -> None:
    for locale in ("en", "ar"):
        text = rendered(source, {"v": "<SCRIPT>", "l": ["<SCRIPT>", "b"]}, part="html", locale=locale)
        assert "<SCRIPT" not in text.upper()
        assert "&LT;SCRIPT" in text.upper()


@pytest.mark.parametrize("locale", ["en", "he"])
@pytest.mark.parametrize("part", ["subject", "title"])
def test_line_breaks_of_a_chosen_or_listed_value_cannot_add_a_header(part: str, locale: str) -> None:
    values = {"l": ["Ada\r\nBcc: x@example.org", "Bo\u2028Cc: y"], "f": "a\r\nb"}
    for source in ("{{ l | list }}", "{{ 1 | plural: other: f }}", "{{ n | select: other: f }}"):
        assert len(rendered(source, values, part=part, locale=locale).splitlines()) == 1


@pytest.mark.parametrize(
    "source", ["{{ l | list }}" * 60, "{{ 1 | plural: other: big }}" * 20, "{{ n | select: other: big }}" * 20]
)
def test_a_bomb_of_worded_filters_stops_with_a_clear_error(source: str) -> None:
    with pytest.raises(RenderingFailed, match="more than 1,000,000"):
        rendered(source, {"l": ["x" * 1_000] * 100, "big": "x" * 100_000})
