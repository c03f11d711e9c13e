"""The audit chain: whatever is done to a stored record afterwards is found, and named."""

from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_platform.records.audit import (
    GENESIS,
    AuditEvent,
    AuditRecord,
    between,
    describe,
    faults,
    read_record,
)

Stored = list[tuple[int, dict[str, Any] | None]]


def event(number: int) -> AuditEvent:
    return AuditEvent(
        environment="prod",
        action="approve",
        decision="approved",
        asked_by=f"person {number}",
        at=f"2026-11-{number:02d}T10:00:00.000+00:00",
        plan_digest="ab" * 32,
        state_serial=number,
    )


def chain(length: int) -> list[AuditRecord]:
    records: list[AuditRecord] = []
    for number in range(1, length + 1):
        previous = records[-1].digest if records else GENESIS
        records.append(AuditRecord(number, previous, event(number)))
    return records


def stored(records: list[AuditRecord]) -> Stored:
    return [(record.sequence, record.to_json()) for record in records]


def head(records: list[AuditRecord]) -> tuple[int, str] | None:
    return (records[-1].sequence, records[-1].digest) if records else None


@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_whole_chain_has_no_fault(length: int) -> None:
    records = chain(length)
    assert faults(stored(records), head(records)) == ()


def test_a_record_comes_back_from_its_json() -> None:
    record = chain(3)[-1]
    assert read_record(record.to_json()) == record


@given(length=st.integers(1, 8), data=st.data())
def test_a_changed_field_is_found_where_it_is(length: int, data: st.DataObject) -> None:
    records = chain(length)
    at = data.draw(st.integers(1, length))
    name = data.draw(st.sampled_from(sorted(asdict(records[0].event))))
    written = stored(records)
    value = written[at - 1][1]
    assert value is not None
    value["event"][name] = 99 if name == "state_serial" else "another"
    assert at in {fault.sequence for fault in faults(written, head(records))}


@given(length=st.integers(2, 8), data=st.data())
def test_a_forged_record_with_a_digest_of_its_own_breaks_the_next(
    length: int, data: st.DataObject
) -> None:
    records = chain(length)
    at = data.draw(st.integers(1, length))
    record = records[at - 1]
    forged = AuditRecord(at, record.previous, replace(record.event, asked_by="nobody"))
    written = stored(records)
    written[at - 1] = (at, forged.to_json())
    assert faults(written, head(records))


@given(length=st.integers(1, 8), data=st.data())
def test_a_removed_record_is_missing_also_the_last(length: int, data: st.DataObject) -> None:
    records = chain(length)
    at = data.draw(st.integers(1, length))
    written = [item for item in stored(records) if item[0] != at]
    found = faults(written, head(records))
    assert (at, "is missing") in {(fault.sequence, fault.what) for fault in found}


def test_two_records_that_changed_places_are_found() -> None:
    records = chain(4)
    written = stored(records)
    written[1], written[2] = (2, written[2][1]), (3, written[1][1])
    assert {2, 3} <= {fault.sequence for fault in faults(written, head(records))}


def test_a_head_that_lags_is_no_fault_and_a_head_that_is_gone_is() -> None:
    records = chain(3)
    assert faults(stored(records), (2, records[1].digest)) == ()
    assert faults(stored(records), (2, "f" * 64)) != ()
    assert faults(stored(records), None) != ()


def test_a_record_that_is_not_one_is_named() -> None:
    written = stored(chain(3))
    written[1] = (2, None)
    assert (2, "cannot be read") in {(f.sequence, f.what) for f in faults(written, None)}


def test_days_are_chosen_with_both_ends() -> None:
    chosen = between(chain(9), "2026-11-03", "2026-11-05")
    assert [record.sequence for record in chosen] == [3, 4, 5]


def test_a_decision_reads_as_a_sentence() -> None:
    refused = replace(event(1), action="apply", decision="refused", reason="over budget")
    line = describe(AuditRecord(1, GENESIS, refused))
    assert line == "apply refused plan abababababab by person 1: over budget"
