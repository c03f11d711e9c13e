"""Prices come from one dated book, and what it lacks is said, never guessed."""

import copy
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ray_platform.config.node_pools import INSTANCE_TYPES
from ray_platform.cost import price_book
from ray_platform.cost.price_book import load_price_book, read_price_book
from ray_platform.text.errors import NotFoundError, SettingsError


@pytest.fixture
def data() -> dict[str, Any]:
    path = Path(price_book.__file__).with_suffix(".json")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def test_every_instance_type_that_a_pool_may_use_has_a_price() -> None:
    assert set(load_price_book().instances) >= set(INSTANCE_TYPES)


def test_prices_are_exact_decimals_with_a_source() -> None:
    book = load_price_book()
    assert book.hourly("m5.xlarge") == Decimal("0.192")
    every = (book.instances, book.services, book.databases, book.caches)
    for price in (price for prices in every for price in prices.values()):
        assert isinstance(price.usd, Decimal)
        assert price.source.startswith("https://aws.amazon.com/")


def test_a_larger_size_costs_in_proportion() -> None:
    book = load_price_book()
    for family in ("m5", "m6i", "c6i", "m6g", "c6g"):
        assert book.hourly(f"{family}.xlarge") == 2 * book.hourly(f"{family}.large")
        assert book.hourly(f"{family}.2xlarge") == 4 * book.hourly(f"{family}.large")


def test_spot_is_the_list_price_times_the_labelled_assumption() -> None:
    book = load_price_book()
    assert book.hourly("g4dn.xlarge", spot=True) == Decimal("0.526") * book.spot_factor
    assert "assumption" in book.spot_assumption.lower()


def test_an_unknown_instance_type_is_named_with_what_to_do() -> None:
    with pytest.raises(NotFoundError, match=r"x9\.huge") as caught:
        load_price_book().hourly("x9.huge")
    assert "price_book.json" in caught.value.where
    assert "regions.us-east-1.instances" in caught.value.fix


def test_an_unknown_region_is_an_error_and_not_a_neighbours_price() -> None:
    with pytest.raises(NotFoundError, match="eu-moon-1") as caught:
        load_price_book("eu-moon-1")
    assert "us-east-1" in caught.value.fix


def test_the_version_follows_the_prices_of_its_region_alone(data: dict[str, Any]) -> None:
    before = read_price_book(data, "us-east-1").version
    other = copy.deepcopy(data)
    other["regions"]["eu-west-1"] = copy.deepcopy(other["regions"]["us-east-1"])
    assert read_price_book(other, "us-east-1").version == before
    assert read_price_book(other, "eu-west-1").version != before
    other["regions"]["us-east-1"]["instances"]["prices"]["m5.large"] = "0.097"
    assert read_price_book(other, "us-east-1").version != before


def test_a_control_plane_past_standard_support_costs_the_extended_price() -> None:
    book = load_price_book()
    assert book.control_plane("1.33", on=date(2026, 7, 29)).usd == Decimal("0.10")
    assert book.control_plane("1.33", on=date(2026, 7, 30)).usd == Decimal("0.60")
    assert book.control_plane("9.99").usd == Decimal("0.10")


@pytest.mark.parametrize("wrong", [0.096, "cheap", "-1", "NaN", None])
def test_a_price_that_is_not_a_quoted_number_is_refused(
    data: dict[str, Any], wrong: object
) -> None:
    data["regions"]["us-east-1"]["instances"]["prices"]["m5.large"] = wrong
    with pytest.raises(SettingsError, match="malformed"):
        read_price_book(data, "us-east-1")
