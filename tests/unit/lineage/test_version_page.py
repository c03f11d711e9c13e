"""An infra version's page says what it is, who approved it, what it costs and what ran on it."""

from dataclasses import replace
from pathlib import Path

import dagster as dg

from ray_platform.change import gates
from ray_platform.config.partitions import INFRA_VERSION_TAG
from ray_platform.lineage.version_markdown import version_page
from ray_platform.lineage.version_page import page_of
from ray_platform.records.infra_version import manifest
from ray_platform.text.canonical import short
from tests.unit.change.test_live_runs_gate import plan, session
from tests.unit.records.test_records_store import APPLIED


def test_the_page_of_a_version_is_made_from_the_records(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    here = session(tmp_path, instance)
    record = plan(here, ["update"]).record
    gates.give_approval(here, record, by="alice", source="cli")
    content = manifest("local", replace(APPLIED, plan_digest=record.plan_digest), None)
    version = here.artifacts.put_content("manifests", content)
    for at in range(22):
        tags = {INFRA_VERSION_TAG: version}
        instance.add_run(dg.DagsterRun("burst", run_id=f"run-{at:02}", tags=tags))
    other = {INFRA_VERSION_TAG: "elsewhere"}
    instance.add_run(dg.DagsterRun("burst", run_id="another", tags=other))
    text = page_of(here, version, instance)
    assert short(version) in text and short(record.plan_digest) in text
    assert "| approved by | alice at" in text
    assert "at the pools' minimum sizes" in text and "not known" not in text
    assert "[`run-21`](/runs/run-21)" in text and "- and more" in text
    assert "run-01" not in text and "another" not in text
    assert f"tag%3Aray_platform%2Finfra_version%3D{version}" in text
    assert '"state_serial": 5' in text


def test_a_page_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        text = page_of(session(tmp_path, instance), "f" * 64, instance)
    assert "could not be made" in text and "f" * 64 in text


def test_what_people_wrote_stays_text() -> None:
    text = version_page(
        "f" * 64,
        manifest("local", APPLIED, None),
        every_run="/runs",
        subject="a | b\n<img src=x> [c](d)",
    )
    assert r"a \| b \<img src=x> \[c](d)" in text
    assert "nobody that is recorded" in text and "not known" in text
