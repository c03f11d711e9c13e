"""The plan of a record, read back."""

from ray_platform.records.records_store import PlanRecord, Records
from ray_platform.terraform.plan import Plan, read_plan
from ray_platform.text.canonical import short


def stored_plan(records: Records, record: PlanRecord) -> Plan:
    """The plan of a record, from its stored JSON (secrets masked)."""
    return read_plan(records.plan_json(record), where=f"plan {short(record.plan_digest)}")
