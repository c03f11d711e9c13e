"""A file of variables gives its values, and nothing else is taken for one."""

from pathlib import Path

import pytest

from ray_platform.hcl.hcl_tokens import Unreadable
from ray_platform.hcl.variables_file import read_values

ROOT = Path(__file__).resolve().parents[3]


def test_every_kind_of_value_is_read() -> None:
    text = """
a = -1
b = 1.5
c = null # a comment
d = [true, "x\\"$${y}",]
e = { "x y" = (2), f : [{}], null = 1 }
g = <<E
one
E
"""
    assert read_values(text) == {
        "a": -1,
        "b": 1.5,
        "c": None,
        "d": [True, 'x"${y}'],
        "e": {"x y": 2, "f": [{}], "null": 1},
        "g": "one\n",
    }


def test_our_own_files_are_read() -> None:
    files = list((ROOT / "terraform" / "environments").glob("*.tfvars"))
    assert len(files) == 5
    for file in files:
        assert read_values(file.read_text())["node_pools"]


@pytest.mark.parametrize(
    "text",
    ["a = f()", "a = b", 'a = "${b}"', "a {\n}", "a = 1 + 1", "a = !true", "a = -true.x"]
    + ["a = <<-E\n  x\nE", "a = { b.c = 1 }", "a = [for x in [] : x]", "a = true ? 1 : 2"],
)
def test_what_is_no_value_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(Unreadable) as raised:
        read_values(f"\n{text}\n")
    assert raised.value.line == 2
