"""HCL is read as Terraform reads it, or not at all."""

import pytest

from ray_platform.hcl.hcl_blocks import Body, Expression, read_configuration, read_template
from ray_platform.hcl.hcl_tokens import Unreadable


def calls(body: Body) -> list[str]:
    values = [argument.value for argument in body.arguments.values()]
    values += [value for block in body.blocks for value in block.body.expressions()]
    return [node.name for value in values for node in value.walk() if node.kind == "call"]


def value_of(text: str) -> Expression:
    return read_configuration(f"a = {text}\n").arguments["a"].value


def test_blocks_have_their_labels_lines_and_what_is_inside() -> None:
    body = read_configuration(
        '# first\na "b" c {\n  d = 1 /* { */\n  e {\n    f = "}"\n  }\n}\ng { h = 2 }\n'
    )
    first, second = body.blocks
    assert (first.kind, first.labels, first.line) == ("a", ("b", "c"), 2)
    assert [block.kind for block in first.walk()] == ["a", "e"]
    assert first.body.blocks[0].body.arguments["f"].value.literal == "}"
    assert (second.kind, second.line, list(second.body.arguments)) == ("g", 8, ["h"])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("f(g(1), [h()]...)", ["f", "g", "h"]),
        ("a::b::c(1)", ["a::b::c"]),
        ('"x${f()}y%{ if g() }z%{ else }${h()}%{ endif }"', ["f", "g", "h"]),
        ('"%{ for x in f() }${g(x)}%{ endfor }"', ["f", "g"]),
        ('"a" == "b" ? f() : "c"', ["f"]),
        ("{ f() = g(), (h()) = 1 }", ["f", "g", "h"]),
        ("[for k, v in f() : g(k) if h(v)]", ["f", "g", "h"]),
        ("{for k in f() : g(k) => h(k)... if i(k)}", ["f", "g", "h", "i"]),
        ("-f()[g()].a[*].b", ["f", "g"]),
        ("<<E\n${f()}\n E ", ["f"]),
        ("<<-E\n  E x\n  ${<<F\n${g()}\nF\n}\n  E", ["g"]),
        ('"${"${f("}")}"}"', ["f"]),
        ("1 /* f() */ # g()", []),
        ('"$${f()} %%{ g() }"', []),
    ],
)
def test_calls_are_seen_wherever_they_stand(text: str, names: list[str]) -> None:
    assert sorted(calls(read_configuration(f"a = {text}\n"))) == names


@pytest.mark.parametrize("blank", ["", " ", "\t", "  \t "])
def test_a_heredoc_ends_at_its_mark_whatever_blanks_are_around_it(blank: str) -> None:
    body = read_configuration(f"a = <<E\nx\n{blank}E{blank}\nb {{\n}}\n")
    assert [block.kind for block in body.blocks] == ["b"]


def test_a_literal_is_its_value_and_a_template_has_none() -> None:
    assert value_of(r'"a\n\u0041\\$${b}"').literal == "a\nA\\${b}"
    assert value_of("<<E\nx\nE").literal == "x\n"
    assert value_of('"a${b}"').literal is None
    assert read_template("a ${upper(b)} %{ if c }d%{ endif }\n").kind == "text"


@pytest.mark.parametrize(
    "text",
    [
        "a = <<E\nx\nE\u00a0\n",
        "a = <<E\nx\n",
        "a = <<E\nx\nE",
        "a = <<E \nE\n",
        "a = <<E\n100%\nE\n",
        'a = "$$${b}"\n',
        'a = "$%{ if x }%{ endif }"\n',
        'a = "\\$"\n',
        'a = "\\ud800"\n',
        'a = "x\ny"\n',
        'a = "%{ if x }"\n',
        'a = "%{ else }"\n',
        "a = 1.2.3\n",
        "a = b.0.1\n",
        "a = 1 b = 2\n",
        "a = 1\na = 2\n",
        "a = { b = 1 c = 2 }\n",
        "a = { for = 1 }\n",
        "a = [for x in y : k => v]\n",
        "a = f(1, ...)\n",
        "a = f(1,, 2)\n",
        "a = b ~ c\n",
        "a = 'b'\n",
        "a = b; c = d\n",
        "a = /* b\n",
        "a {\n",
        "a { b = 1\n}\n",
        "a { b = 1, c = 2 }\n",
        'a "b${c}" {\n}\n',
        "a <<E\nE\n {\n}\n",
        "a {\n} b {\n}\n",
        "\ufeffa = 1\n",
        "a = 1\r\n",
        "# \x1b[2J\n",
        "# \u202e\n",
        "a = 1 \u2028\n",
        "a = " + "(" * 500 + "1" + ")" * 500 + "\n",
        "a {\n" * 500 + "}\n" * 500,
        'a = "' + '${"' * 500 + '"}' * 500 + '"\n',
    ],
)
def test_what_terraform_refuses_and_what_has_several_readings_is_refused(text: str) -> None:
    with pytest.raises(Unreadable) as raised:
        read_configuration(text)
    assert raised.value.line >= 1
    assert raised.value.why
