"""The corpus is what the pinned Terraform and provider really say; the recorded schema is the provider's."""

import json
from pathlib import Path

import pytest

from ray_platform.cost.estimate import estimate
from ray_platform.cost.price_book import load_price_book
from ray_platform.terraform.plan import read_plan
from tests.support.corpus import essence, names, plan_aws, plan_builtin, recorded
from tests.support.provider_schema import RECORDED, computed_of, schema

pytestmark = pytest.mark.real
#: Throw-away credentials: to plan what is to be created, the provider asks AWS for nothing.
ENV = {
    "AWS_ACCESS_KEY_ID": "emulator",
    "AWS_SECRET_ACCESS_KEY": "emulator",
    "AWS_REGION": "us-east-1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
}


@pytest.mark.parametrize("name", names(aws=False))
def test_a_recorded_plan_is_what_terraform_says(name: str, tmp_path: Path) -> None:
    assert essence(plan_builtin(name, tmp_path)) == essence(recorded(name))


def test_the_recorded_plans_of_the_aws_provider_are_what_it_says(tmp_path: Path) -> None:
    for name, plan in plan_aws(tmp_path, ENV).items():
        assert essence(plan) == essence(recorded(name)), name
        costs, kept = (
            estimate(read_plan(data), load_price_book()) for data in (plan, recorded(name))
        )
        assert costs.to_json() == kept.to_json(), name


def test_the_recorded_computed_attributes_are_those_of_the_pinned_provider(tmp_path: Path) -> None:
    kept = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert computed_of(schema(tmp_path)) == kept
    assert RECORDED.stat().st_size < 1_000_000
