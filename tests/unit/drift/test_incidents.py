"""Major drift that lasts is one incident, through restarts and repetitions, and revert asks once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_platform.config.settings import load_settings
from ray_platform.defs.drift_report import drift_reverts
from ray_platform.drift.incidents.incident import Incident, follow
from ray_platform.drift.incidents.incident_store import incidents, update_incidents
from ray_platform.drift.items import DriftItem
from ray_platform.drift.release_items import not_asked
from ray_platform.records.records_store import Records
from ray_platform.store.artifact_store import Artifacts, FileStore
from ray_platform.text.errors import ArtifactError
from tests.unit.git.test_watch import checkout, committed
from tests.unit.records.test_records_store import APPLIED

__all__ = ["checkout"]

GROUP = "module.eks_cluster.aws_security_group.api"
OPENED = DriftItem(
    GROUP, "ingress[0]", None, {"from_port": 22}, "major", "by_hand", "open", who="ann"
)
START = datetime(2026, 11, 20, 10, tzinfo=UTC)


class Issues:
    """A board that keeps one issue a key, as one that looks before it makes a new one does."""

    def __init__(self) -> None:
        self.told: dict[str, list[bool]] = {}
        self.dies = False

    def tell(self, incident: Incident) -> str:
        self.told.setdefault(incident.key, []).append(incident.is_open)
        if self.dies:
            raise KeyboardInterrupt
        return f"issue/{incident.key}"


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(FileStore(tmp_path))


def look(
    artifacts: Artifacts, *items: DriftItem, hours: int = 0, board: Issues | None = None
) -> tuple[Incident, ...]:
    now = START + timedelta(hours=hours)
    return update_incidents(artifacts, "local", items, board=board, now=now)


def test_major_drift_opens_one_incident_and_the_rest_none(artifacts: Artifacts) -> None:
    minor = replace(OPENED, attribute="tags.a", severity="minor")
    (incident,) = look(artifacts, OPENED, minor)
    assert (incident.address, incident.attribute, incident.who) == (GROUP, "ingress", "ann")
    assert incident.opened_at == "2026-11-20T10:00:00+00:00"


def test_it_is_updated_while_it_lasts_closed_when_gone_and_opened_again(
    artifacts: Artifacts,
) -> None:
    look(artifacts, OPENED)
    moved = replace(OPENED, attribute="ingress[3].cidr_blocks[1]")
    (lasting,) = look(artifacts, moved, OPENED, hours=1)
    assert (lasting.seen, lasting.item_count, lasting.opened_at[:13]) == (2, 2, "2026-11-20T10")
    assert look(artifacts, hours=2) == ()
    (closed,) = incidents(artifacts, "local")
    assert closed.closed_at == "2026-11-20T12:00:00+00:00"
    look(artifacts, hours=3)
    assert incidents(artifacts, "local") == (closed,)
    (again,) = look(artifacts, OPENED, hours=4)
    assert (again.key, again.episode, again.seen) == (closed.key, 2, 1)
    assert len(incidents(artifacts, "local")) == 1


def test_a_look_that_was_cut_short_is_made_good_by_the_next(artifacts: Artifacts) -> None:
    board = Issues()
    board.dies = True
    with pytest.raises(KeyboardInterrupt):
        look(artifacts, OPENED, board=board)
    board.dies = False
    (incident,) = look(artifacts, OPENED, board=board)
    assert incident.reference == f"issue/{incident.key}"
    board.dies = True
    with pytest.raises(KeyboardInterrupt):
        look(artifacts, hours=1, board=board)
    assert incidents(artifacts, "local")[0].is_open
    board.dies = False
    look(artifacts, hours=2, board=board)
    assert not incidents(artifacts, "local")[0].is_open
    assert board.told == {incident.key: [True, True, False, False]}


@given(st.lists(st.sets(st.sampled_from(["ingress[0]", "ingress[2]", "egress", "", "tags.a"]))))
def test_whatever_comes_and_goes_each_place_has_one_incident_open_just_while_it_lasts(
    looks: list[set[str]],
) -> None:
    known: dict[str, Incident] = {}
    for hour, seen in enumerate(looks):
        items = [replace(OPENED, attribute=attribute) for attribute in sorted(seen)]
        now = (START + timedelta(hours=hour)).isoformat()
        for incident in follow("local", known.values(), items, now=now):
            known[incident.key] = Incident.from_json(incident.to_json())
        places = {attribute.split("[")[0].split(".")[0] for attribute in seen}
        assert {i.attribute for i in known.values() if i.is_open} == places
        assert len({i.attribute for i in known.values()}) == len(known)


def test_a_malformed_record_is_told_with_its_place(artifacts: Artifacts) -> None:
    artifacts.write("incidents/local/x.json", {"key": "x"})
    with pytest.raises(ArtifactError, match="malformed"):
        incidents(artifacts, "local")


# The response ----------------------------------------------------------------------------------


def tick() -> list[dg.RunRequest | dg.SkipReason]:
    answer = drift_reverts(dg.build_sensor_context())
    assert isinstance(answer, Iterator)
    return list(answer)


def respond(checkout: Path, response: str, *more: tuple[str, str]) -> None:
    file = checkout / "environments" / "local.toml"
    text = file.read_text(encoding="utf-8")
    for old, new in (('response = "report"', f'response = "{response}"'), *more):
        assert old in text
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def local_artifacts(checkout: Path) -> Artifacts:
    return Artifacts(FileStore(checkout.parent / "home" / "artifacts"))


def test_revert_asks_for_a_change_at_the_commit_that_was_applied(checkout: Path) -> None:
    applied = Records(local_artifacts(checkout), "local").applied()
    assert applied is not None
    respond(checkout, "revert")
    committed(checkout)
    (incident,) = look(local_artifacts(checkout), OPENED)
    (request,) = tick()
    assert isinstance(request, dg.RunRequest)
    assert (request.job_name, request.partition_key) == ("change", "local")
    assert request.run_key == f"revert-local-{incident.key}-1"
    assert request.tags["ray_platform/commit"] == applied.commit
    assert request.tags["ray_platform/change"] == "local"


def test_the_same_episode_asks_for_the_same_run_and_the_next_for_another(checkout: Path) -> None:
    respond(checkout, "revert")
    store = local_artifacts(checkout)
    keys = []
    for hours, items in ((0, (OPENED,)), (1, (OPENED,)), (2, ()), (3, (OPENED,))):
        look(store, *items, hours=hours)
        keys += [r.run_key for r in tick() if isinstance(r, dg.RunRequest)]
    assert keys[0] == keys[1] != keys[2]


def test_where_people_must_approve_only_the_plan_is_asked_for(checkout: Path) -> None:
    respond(checkout, "revert", ("required = 0", "required = 1"))
    look(local_artifacts(checkout), OPENED)
    (request,) = tick()
    assert isinstance(request, dg.RunRequest)
    assert request.job_name == "plan"


def test_report_and_what_an_apply_cannot_mend_ask_for_nothing(checkout: Path) -> None:
    beside = replace(OPENED, address="aws_instance.i-1", cause="unmanaged", attribute="(unmanaged)")
    look(local_artifacts(checkout), beside)
    (answer,) = tick()
    assert "no environment has" in str(answer)
    respond(checkout, "revert")
    load_settings.cache_clear()
    (answer,) = tick()
    assert "no major drift by hand" in str(answer)


def test_what_was_applied_with_uncommitted_changes_is_not_applied_away(checkout: Path) -> None:
    respond(checkout, "revert")
    store = local_artifacts(checkout)
    fields = {**APPLIED.to_json(), "changes_digest": "f" * 64}
    Records(store, "local").save_applied(APPLIED.__class__(**fields))
    look(store, OPENED)
    (answer,) = tick()
    assert "uncommitted changes" in str(answer)


# The release of Ray ----------------------------------------------------------------------------

GONE = DriftItem(
    "helm/ray/RayCluster/ray", "", "exists", "removed", "major", "by_hand", "the resource is gone"
)


def test_an_incident_of_ray_stays_as_it_is_while_its_api_does_not_answer(
    artifacts: Artifacts,
) -> None:
    look(artifacts, GONE, OPENED)
    lasting = look(artifacts, not_asked("the API is silent"), hours=1)
    assert [(i.address, i.seen) for i in lasting] == [("helm/ray/RayCluster/ray", 1)]
    assert look(artifacts, hours=2) == ()


def test_revert_deploys_ray_again_at_the_commit_that_was_deployed_also_where_people_approve_plans(
    checkout: Path,
) -> None:
    respond(checkout, "revert", ("required = 0", "required = 1"))
    store = local_artifacts(checkout)
    deployed = committed(checkout)
    store.write("environments/local/release.json", {"commit": deployed, "changes_digest": ""})
    look(store, GONE, OPENED)
    requests = [request for request in tick() if isinstance(request, dg.RunRequest)]
    assert [request.job_name for request in requests] == ["plan", "deploy_ray_cluster"]
    assert requests[1].tags["ray_platform/commit"] == deployed
    assert requests[1].tags["ray_platform/change"] == "local"


def test_what_ray_was_rolled_back_to_has_no_commit_to_go_back_to(checkout: Path) -> None:
    respond(checkout, "revert")
    store = local_artifacts(checkout)
    store.write("environments/local/release.json", {"commit": "", "changes_digest": ""})
    look(store, GONE)
    (answer,) = tick()
    assert "run ray-platform up --env local" in str(answer)
