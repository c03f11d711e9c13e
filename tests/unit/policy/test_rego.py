"""Runs the Rego unit tests of policies/ (``test_...`` rules, as `opa test` does).

rego-cpp cannot evaluate ``with input as`` over rules that call functions. So each test is written as
``EXPRESSION with input as INPUT`` and run in two steps: INPUT is evaluated, set, and EXPRESSION asked.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ray_platform.policy.policy_engine import PolicyEngine, escaped

POLICIES = Path(__file__).resolve().parents[3] / "policies"
FILES = sorted(POLICIES.rglob("*_test.rego"))
ENGINE = PolicyEngine(POLICIES)

_TEST = re.compile(r"^(test_\w+) if \{\n\t(.+) with input as (.+)\n\}$", re.MULTILINE)
_NAME = re.compile(r"^(test_\w+)", re.MULTILINE)


def split_with(text: str) -> str:
    """The module with each test's input as a rule of its own, ``input_of_TEST``."""
    return _TEST.sub(r"\1 if {\n\t\2\n}\n\ninput_of_\1 := \3", text)


def package_of(path: Path) -> str:
    found = re.search(r"^package (\w+)", path.read_text(), re.MULTILINE)
    assert found
    return found.group(1)


CASES = [
    pytest.param(package_of(path), name, id=name)
    for path in FILES
    for name in _NAME.findall(path.read_text())
]


@cache
def compiled() -> tuple[Any, Any]:
    """All tests, compiled once: a query compiles everything again, which takes a hundred times as long."""
    interpreter = ENGINE.interpreter({path.name: split_with(path.read_text()) for path in FILES})
    entries = [f"{package}/{name}" for case in CASES for package, name in [case.values]]
    inputs = [entry.replace("/", "/input_of_") for entry in entries]
    bundle = interpreter.build(None, [*entries, *inputs])
    assert bundle.ok()
    return interpreter, bundle


def answer(package: str, rule: str, given: Any) -> Any:
    """What a rule of a package says; None when it is undefined."""
    interpreter, bundle = compiled()
    interpreter.set_input(escaped(given))
    output = interpreter.query_bundle_entrypoint(bundle, f"{package}/{rule}")
    assert output.ok(), rule
    expressions = output.results[0].expressions if output.results else []
    return expressions[0] if expressions else None


@pytest.mark.parametrize(("package", "test"), CASES)
def test_rego(package: str, test: str) -> None:
    given = answer(package, f"input_of_{test}", {})
    # A patch that fails makes an empty plan here (in OPA: no plan), of which any rule would approve.
    changed = given is not None and given.get("resource_changes", given.get("documents", True))
    assert changed or "none" in test, "its input is empty: a patch names a path that is not there"
    assert answer(package, test, given) is True


def test_every_test_has_the_form_that_the_runner_can_run() -> None:
    for path in FILES:
        text = path.read_text()
        assert _NAME.findall(text) == [match[0] for match in _TEST.findall(text)], path


@pytest.mark.parametrize("package", ["terraform", "ray", "kubernetes"])
def test_every_rule_is_seen_to_allow_and_to_deny(package: str) -> None:
    names = {str(case.values[1]) for case in CASES if case.values[0] == f"{package}_test"}
    for rule in ENGINE.rules(package):
        stem = f"test_{rule.replace('-', '_')}__"
        for verdict in ("allowed", "denied"):
            assert any(name.startswith(stem + verdict) for name in names), f"{rule} {verdict}"


#: What a negated call may be handed: values that the rules made themselves, or that are there by then.
_ALWAYS_THERE = re.compile(
    r"\w+\.change\.after\b|\bobject\.get\b|\b(pool|group|template|source)\.\w+|\bc\.container\b"
    r"|\bservice\.document\b|\bvalue\.image\b|\bpod\.path\b|\bsettings\.\w+|\bdata\.policy\.environments\b"
)


def test_no_call_is_negated_whose_arguments_may_be_undefined() -> None:
    """OPA calls `not f(x.y)` undefined while `x.y` is; rego-cpp calls it true."""
    for path in sorted(set(POLICIES.rglob("*.rego")) - set(FILES)):
        for call in re.findall(r"^\s*not (\w[\w.]*\(.*\))$", path.read_text(), re.MULTILINE):
            assert not re.search(r"\w[.\[]\w", _ALWAYS_THERE.sub("x", call)), f"{path.name}: {call}"
