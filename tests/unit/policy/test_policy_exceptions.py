"""An exception is whole, about one resource, named where it is used, and ends by itself."""

from datetime import date

import pytest

from ray_platform.policy.policy_exceptions import apply_exceptions, read_exceptions
from ray_platform.policy.verdict import Verdict, Violation
from ray_platform.text.errors import SettingsError

TODAY = date(2026, 11, 30)
RULES = ("open-security-group", "environment")
ENTRY = """
[[exception]]
rule = "open-security-group"
resource = "aws_security_group.web"
environment = "prod"
owner = "platform-team"
reason = "the public session"
until = 2026-12-31
"""
OPEN = Violation(
    "open-security-group", "aws_security_group.web", "it is open to 0.0.0.0/0", "close"
)


def judged(
    text: str = ENTRY, *, environment: str = "prod", today: date = TODAY, what: Violation = OPEN
) -> Verdict:
    entries = read_exceptions(text, rules=RULES, where="exceptions.toml")
    return apply_exceptions(Verdict((what,), "d"), entries, environment=environment, today=today)


def test_a_violation_with_an_entry_stops_nothing_and_is_named() -> None:
    verdict = judged()
    assert not verdict.denied
    (item,) = verdict.excepted
    assert str(item) == (
        "[open-security-group] aws_security_group.web: it is open to 0.0.0.0/0 "
        "(excepted by platform-team until 2026-12-31: the public session)"
    )
    assert verdict.to_json()["excepted"][0]["owner"] == "platform-team"
    assert "the public session" in verdict.to_markdown()


@pytest.mark.parametrize(
    ("day", "denied"),
    [(date(2026, 12, 31), False), (date(2027, 1, 1), True), (date(2030, 1, 1), True)],
)
def test_it_holds_through_its_last_day_and_then_denies_by_itself(day: date, denied: bool) -> None:
    verdict = judged(today=day)
    assert verdict.denied is denied
    if denied:
        assert "exception of platform-team ended on 2026-12-31" in verdict.violations[0].message


def test_it_is_of_one_environment_one_rule_and_one_resource() -> None:
    assert judged(environment="dev").denied
    assert judged(what=Violation("user-keys", OPEN.resource, "m", "f")).denied
    assert judged(what=Violation(OPEN.id, "aws_security_group.web2", "m", "f")).denied


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('owner = "platform-team"', "", "owner"),
        ('owner = "platform-team"', 'owner = " "', "owner"),
        ('reason = "the public session"', "", "reason"),
        ("until = 2026-12-31", "", "until"),
        ("until = 2026-12-31", 'until = "2026-12-31"', "until"),
        ("until = 2026-12-31", "until = 2026-12-31T00:00:00Z", "until"),
        ("aws_security_group.web", "aws_security_group.*", "pattern"),
        ('rule = "open-security-group"', 'rule = "no-such-rule"', "no-such-rule"),
        ('rule = "open-security-group"', 'rule = "environment"', "environment"),
        ("[[exception]]", "note = 1\n[[exception]]", "something else"),
        ('owner = "platform-team"', 'owner = "x"\nforever = true', "forever"),
        ("[[exception]]", "[[exception", "cannot be read"),
    ],
)
def test_an_entry_that_is_not_whole_is_refused(old: str, new: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        judged(ENTRY.replace(old, new))


def test_one_that_lasts_longer_than_a_year_is_refused() -> None:
    with pytest.raises(SettingsError, match="more than a year"):
        judged(ENTRY.replace("2026-12-31", "2099-12-31"))
