"""Stored facts come back as they were, in this schema and in the first, or are refused by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import dagster as dg
import pytest

from ray_platform.store.failure_facts import FailureFacts
from ray_platform.store.typed_facts import SCHEMA, SCHEMA_KEY, Facts
from ray_platform.text.errors import FactsError, NotApproved


@dataclass(frozen=True)
class Wheel:
    name: str
    spokes: int


@dataclass(frozen=True)
class BikeFacts(Facts):
    SUBJECT: ClassVar[str] = "bike"
    FIRST_KEYS: ClassVar[Mapping[str, str]] = {"owner": "the owner", "km": "km ridden"}

    owner: str
    km: float
    wheels: tuple[Wheel, ...]
    stolen_at: str | None
    more: Mapping[str, Any]


BIKE = BikeFacts("ada", 3.5, (Wheel("front", 32), Wheel("rear", 36)), None, {"a": [1, {"b": None}]})


def stored(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Metadata as Dagster's storage gives it back."""
    with dg.DagsterInstance.ephemeral() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("x", metadata=metadata))
        (record,) = instance.fetch_materializations(dg.AssetKey("x"), limit=1).records
        assert record.asset_materialization is not None
        return record.asset_materialization.metadata


def test_facts_come_back_from_dagsters_storage_as_they_were() -> None:
    metadata = {**BIKE.to_metadata(), "a picture": dg.MetadataValue.md("![](x)")}
    assert metadata[SCHEMA_KEY] == SCHEMA and "stolen_at" not in metadata
    assert BikeFacts.from_metadata(stored(metadata), where="here") == BIKE


def test_a_plain_dictionary_of_values_is_read_alike() -> None:
    assert BikeFacts.from_metadata(BIKE.to_metadata(), where="here") == BIKE


def test_a_later_schema_is_refused_by_name() -> None:
    metadata = {**BIKE.to_metadata(), SCHEMA_KEY: 9}
    with pytest.raises(FactsError, match=r"facts of bike have schema 9.*reads 1 and 2") as raised:
        BikeFacts.from_metadata(metadata, where="bike of local, run r")
    assert raised.value.where == "bike of local, run r"


def test_a_missing_or_malformed_field_is_named_and_its_value_is_not_quoted() -> None:
    metadata = BIKE.to_metadata()
    del metadata["km"]
    metadata["wheels"] = [{"name": "front", "spokes": "canary"}]
    with pytest.raises(FactsError, match=r"km: field required") as raised:
        BikeFacts.from_metadata(metadata, where="here")
    assert "wheels.0.spokes" in str(raised.value)
    assert "canary" not in str(raised.value) and raised.value.__cause__ is None


def test_an_event_that_a_person_reported_has_no_facts_and_says_so() -> None:
    assert not BikeFacts.are_in({"note": "by hand"})
    with pytest.raises(FactsError, match="the metadata holds no facts of bike"):
        BikeFacts.from_metadata({"note": "by hand"}, where="here")


def test_what_the_first_schema_lacks_is_named_and_not_made_up() -> None:
    with pytest.raises(FactsError, match="wheels: field required"):
        BikeFacts.from_metadata({"the owner": "ada", "km ridden": 1}, where="here")


def test_a_failure_is_read_in_both_schemas() -> None:
    error = NotApproved("0 of 2 approvals", where="prod", fix="ask two people")
    facts = FailureFacts.found_in(FailureFacts.of(error).to_metadata(), where="run r")
    assert facts == FailureFacts("0 of 2 approvals", "prod", "ask two people", 2, "NotApproved")
    first = {
        "what": "0 of 2 approvals",
        "where": "prod",
        "what to do": "ask two people",
        "exit_code": 2,
        "error": "NotApproved",
    }
    assert FailureFacts.found_in(first, where="run r") == facts
    assert FailureFacts.found_in({}, where="run r") is None
