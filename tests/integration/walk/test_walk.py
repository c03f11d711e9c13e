"""The whole walk, for real: Terraform against the emulator, Rego, an autoscaling Ray cluster, Dagster.

One environment's life, told in order: each test is a step of it, from `up` to `destroy`.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import time
from typing import Any

import pytest
from ray_platform_sandbox.github.client.person import Person
from ray_platform_sandbox.github.service import PORT as GITHUB_PORT
from ray_platform_sandbox.kubernetes.service import kubernetes_access

from ray_platform.config.settings import Settings
from ray_platform.kubernetes.api_client import KubernetesApi
from ray_platform.records.infra_version import MODULES
from tests.support.checkout import Checkout, Walked
from tests.support.openlineage_schema import OURS, check_run_event

pytestmark = [pytest.mark.real, pytest.mark.timeout(900), pytest.mark.xdist_group("walk")]


def test_up_reaches_the_workers_of_all_six_phases(walked: Walked) -> None:
    phases = walked.answer["phases"]
    assert [phase["workers_wanted"] for phase in phases] == [2, 5, 10, 8, 4, 2]
    assert [phase["workers_reached"] for phase in phases] == [2, 5, 10, 8, 4, 2]
    assert walked.answer["commit"] == walked.commit
    assert walked.answer["drift"] == "none"
    assert walked.answer["node_seconds"] > 0
    assert walked.answer["burst_usd"] > 0


def test_lineage_leads_from_the_run_to_its_infrastructure_and_back(walked: Walked) -> None:
    run_id, version = walked.answer["run_id"], walked.answer["infra_version"]
    lineage = walked.checkout.run("lineage", run_id[:8], "--json").json
    assert (lineage["run_id"], lineage["infra_version"]) == (run_id, version)
    assert lineage["commit"] == walked.commit
    assert len(lineage["plan_digest"]) == 64
    assert lineage["state_lineage"]
    assert lineage["state_serial"] > 0
    assert set(lineage["modules"]) == set(MODULES)
    assert len(lineage["ray"]["chart_digest"]) == 64
    assert lineage["ray"]["version"] == "2.60.0"
    found = walked.checkout.run("runs", "--infra-version", version[:12], "--json").json
    assert run_id in [run["run_id"] for run in found["runs"]]


def test_status_gives_the_addresses_of_what_runs(walked: Walked) -> None:
    status = walked.checkout.run("status", "--json").json
    assert status["infra_version"] == walked.answer["infra_version"]
    port = walked.checkout.port_base
    assert status["emulator"] == f"http://127.0.0.1:{port}"
    assert status["ray"] == f"http://127.0.0.1:{port + 2}"


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kubectl_shows_the_ray_cluster_and_its_release_stands_once(walked: Walked) -> None:
    kubeconfig = walked.checkout.home / "kubernetes" / "kubeconfig"
    command = ["kubectl", "--kubeconfig", str(kubeconfig), "get", "rayclusters", "--all-namespaces"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[1].split()[:2] == ["ray", "ray"]
    told = walked.checkout.run("ray", "status", "--json").json
    assert told["ready"]
    assert told["release"]["revision"] == 1
    assert told["address"] == f"http://127.0.0.1:{walked.checkout.port_base + 2}"


def test_the_days_cost_sums_to_the_cent(walked: Walked) -> None:
    report = walked.checkout.run("cost", "--json").json
    assert sum(part["cents"] for part in report["parts"]) == report["total_cents"]
    assert sum(report["cents_by_kind"].values()) == report["total_cents"]
    assert walked.answer["run_id"] in [part["run_id"] for part in report["parts"]]
    assert sum(report["month"]["days"].values()) == report["month_to_date_cents"]
    assert report["unit_costs"]["day"]["tasks"] >= 31  # 2, 5, 10, 8, 4 and 2 of one burst run


def test_a_what_if_replays_the_run_close_to_what_it_measured(walked: Walked) -> None:
    workers = "cpu=2:4,gpu=0:0"
    answer = walked.checkout.run("whatif", "--workers", workers, "--json").json
    print(f"replayed unchanged, off by: {answer['error']}")
    assert answer["run_id"] == walked.answer["run_id"]
    reached = [phase["seconds_to_reach"] for phase in answer["measured"]["phases"]]
    assert reached == [phase["seconds_to_reach"] for phase in walked.answer["phases"]]
    assert answer["unchanged"]["never_met"] == 0
    assert answer["error"]["seconds_to_reach"] < 0.3
    assert answer["proposed"]["never_met"] == 10 - 4  # the peak wants ten


def test_too_many_gpu_nodes_are_denied_and_nothing_is_applied(walked: Walked) -> None:
    checkout = walked.checkout
    before = checkout.run("status", "--json").json
    checkout.replace(
        "terraform/environments/local.tfvars", "max_size       = 5", "max_size       = 11"
    )
    try:
        denied = checkout.run("plan", "--env", "local", "--json")
        refused = checkout.run("apply", "--plan", denied.json["plan_digest"])
    finally:
        checkout.replace(
            "terraform/environments/local.tfvars", "max_size       = 11", "max_size       = 5"
        )
    assert denied.code == 2
    (violation,) = denied.json["violations"]
    assert "gpu" in violation["id"].lower()
    assert "11" in violation["message"]
    assert "node_group" in violation["resource"] or "node" in violation["resource"]
    assert refused.code == 2
    after = checkout.run("status", "--json").json
    assert (after["state_serial"], after["infra_version"]) == (
        before["state_serial"],
        before["infra_version"],
    )


TICK_AND_RUN = """
import json, sys
import dagster as dg
from ray_platform.cli.run_jobs import open_instance
from ray_platform.definitions import defs
from ray_platform.defs.git_pushes import git_pushes

instance = open_instance()
context = dg.build_sensor_context(
    instance=instance, cursor=sys.argv[1] or None, definitions=defs()
)
result = git_pushes(context)
ran = []
for request in result.run_requests or []:
    job = defs().resolve_job_def("up").get_subset(
        asset_selection=set(request.asset_selection),
        asset_check_selection=set(request.asset_check_keys),
    )
    done = job.execute_in_process(
        instance=instance,
        partition_key=request.partition_key,
        tags=request.tags,
        raise_on_error=False,
    )
    ran.append({"run_key": request.run_key, "run_id": done.run_id, "success": done.success})
print(json.dumps({"cursor": result.cursor, "ran": ran, "skip": str(result.skip_reason)}))
"""


def tick(checkout: Checkout, cursor: str = "") -> dict[str, Any]:
    """One tick of the sensor, whose run requests are executed as the daemon would."""
    done = checkout.python("-c", TICK_AND_RUN, cursor)
    assert done.code == 0, done.err
    answer: dict[str, Any] = json.loads(done.out.splitlines()[-1])
    return answer


def test_a_commit_that_resizes_a_pool_is_applied_by_itself_and_named_by_diff(
    walked: Walked,
) -> None:
    checkout = walked.checkout
    first = tick(checkout)
    assert first["ran"] == []
    checkout.replace("environments/local.toml", "[2, 5, 10, 8, 4, 2]", "[2, 3]")
    checkout.replace("environments/local.toml", "task_seconds = 6", "task_seconds = 1")
    checkout.replace(
        "environments/local.toml", "[watch]", '[lineage]\nopenlineage = "file"\n[watch]'
    )
    checkout.replace(
        "terraform/environments/local.tfvars", "max_size       = 10", "max_size       = 9"
    )
    commit = checkout.commit("A smaller CPU pool")
    second = tick(checkout, first["cursor"])
    assert [(ran["run_key"], ran["success"]) for ran in second["ran"]] == [
        (f"{commit}-local", True)
    ]
    assert tick(checkout, second["cursor"])["ran"] == []

    burst = checkout.run("burst", "--env", "local", "--json")
    assert burst.code == 0, burst.err
    after = burst.json
    assert after["infra_version"] != walked.answer["infra_version"]
    told = (checkout.home / "openlineage" / "local.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in told]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]
    for event in events:
        check_run_event(event)
        assert event["run"]["runId"] == after["run_id"]
        assert event["run"]["facets"][OURS]["infraVersion"] == after["infra_version"]
    lineage = checkout.run("lineage", after["run_id"], "--json").json
    assert lineage["commit"] == commit
    before = checkout.run("lineage", walked.answer["run_id"], "--json").json["modules"]
    changed = {name for name in before if before[name] != lineage["modules"][name]}
    assert changed == {"node_pools"}  # a module whose resources did not change keeps its version
    assert data_versions(checkout) == lineage["modules"]  # Dagster's lineage and ours agree

    diff = checkout.run("diff", walked.answer["run_id"], after["run_id"], "--json").json
    assert not diff["same"]
    named = {(d["subject"], d["attribute"]): (d["before"], d["after"]) for d in diff["differences"]}
    assert named.pop(("variables", "node_pools.cpu.max_size")) == (10, 9)
    assert named.pop(("ray values", "workerGroups.cpu.maxReplicas")) == (10, 9)
    # The quota of Ray's namespace follows its pools.
    for what in [what for what in named if what[1].startswith("quota.hard.")]:
        assert what[0] == "ray values"
        del named[what]
    sizes = {pair: what for what, pair in named.items() if what[1].endswith("max_size")}
    assert set(sizes) == {(10, 9)}
    assert all('["cpu"]' in subject for subject, _ in named), named


DATA_VERSIONS = """
import json
import dagster as dg
from ray_platform.cli.run_jobs import open_instance

instance = open_instance()
found = {}
for module in ("vpc", "eks_cluster", "node_pools", "storage", "platform"):
    record = instance.get_latest_data_version_record(dg.AssetKey(module), partition_key="local")
    found[module] = record.asset_materialization.tags["dagster/data_version"]
print(json.dumps(found))
"""


def data_versions(checkout: Checkout) -> dict[str, str]:
    """The data versions that Dagster shows for the infrastructure assets."""
    done = checkout.python("-c", DATA_VERSIONS)
    assert done.code == 0, done.err
    found: dict[str, str] = json.loads(done.out.splitlines()[-1])
    return found


def test_a_plan_that_is_killed_half_way_is_made_again_and_its_run_is_closed(walked: Walked) -> None:
    checkout = walked.checkout
    with subprocess.Popen(
        [sys.executable, "-m", "ray_platform.cli", "plan"],
        cwd=checkout.folder,
        env=checkout.variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as killed:
        assert killed.stderr is not None
        assert any(line.endswith(" Planning\n") for line in killed.stderr)
        killed.kill()
    again = checkout.run("plan", "--json")
    assert again.code == 0, again.err
    statuses = checkout.python("-c", STATUSES).out.split()
    assert "STARTED" not in statuses
    assert "FAILURE" in statuses


STATUSES = """
from ray_platform.cli.run_jobs import open_instance

print(*(run.status.value for run in open_instance().get_runs(limit=5)))
"""


def test_a_second_up_with_nothing_changed_keeps_the_infra_version(walked: Walked) -> None:
    checkout = walked.checkout
    before = checkout.run("status", "--json").json
    (checkout.folder / "README.md").write_text("another commit, the same content", encoding="utf-8")
    # How a burst run is made is no part of what it ran on.
    phases = "[2, 5, 10, 8, 4, 2]"
    if phases in (checkout.folder / "environments" / "local.toml").read_text(encoding="utf-8"):
        checkout.replace("environments/local.toml", phases, "[2, 3]")
    checkout.commit("A document")
    again = checkout.run("up", "--json")
    assert again.code == 0, again.err
    assert again.json["plan"] == "0 to create, 0 to update, 0 to replace, 0 to delete"
    assert again.json["infra_version"] == before["infra_version"]


def test_an_opened_security_group_and_network_policy_are_major_drift(walked: Walked) -> None:
    checkout = walked.checkout
    settings = Settings(
        checkout.folder, checkout.home, {"RAY_PLATFORM_PORT_BASE": str(checkout.port_base)}
    )
    api = KubernetesApi(kubernetes_access(settings), "kubectl-edit")
    policies = ("networking.k8s.io/v1", "networkpolicies")
    ec2 = emulator_client(checkout, "ec2")
    groups = ec2.describe_security_groups(
        Filters=[{"Name": "tag:environment", "Values": ["local"]}]
    )["SecurityGroups"]
    group = next(g for g in groups if g["IpPermissions"])
    opened = {
        "GroupId": group["GroupId"],
        "IpPermissions": [
            {
                "IpProtocol": "tcp",
                "FromPort": 22,
                "ToPort": 22,
                "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
            }
        ],
    }
    ec2.authorize_security_group_ingress(**opened)
    api.patch(policies, "ray-default-deny", "ray", {"spec": {"ingress": [{}]}})
    try:
        drifted = checkout.run("drift", "--env", "local", "--json")
    finally:
        ec2.revoke_security_group_ingress(**opened)
        api.patch(policies, "ray-default-deny", "ray", {"spec": {"ingress": None}})
    assert drifted.code == 2
    major = [item for item in drifted.json["items"] if item["severity"] == "major"]
    assert any("aws_security_group" in item["address"] for item in major)
    assert any("0.0.0.0/0" in json.dumps(item["after"]) for item in major)
    assert {item["cause"] for item in major} == {"by_hand"}
    incidents = checkout.run("incidents", "--env", "local", "--json").json["incidents"]
    assert {(i["open"], i["attribute"], i["who"]) for i in incidents} == {
        (True, "ingress", ""),
        (True, "spec", "kubectl-edit"),
    }


def test_a_rollback_waits_for_todays_approval_and_is_applied_once(walked: Walked) -> None:
    checkout = walked.checkout
    # The version that it goes back to was made when nobody had to approve: that does not count now.
    checkout.replace("environments/local.toml", "required = 0", "required = 1")
    planned = checkout.run("rollback", "--to", walked.answer["infra_version"][:12], "--json").json
    digest = planned["plan_digest"]
    assert {name: n for name, n in planned["counts"].items() if n} == {"update": 1}
    assert planned["losses"] == []
    assert planned["whatif"]["workers"]["proposed"]["cpu"]["max"] == 10
    assert planned["whatif"]["proposed"]["node_hours"]["cpu"] > 0
    refused = checkout.run("apply", "--plan", digest[:12])
    assert refused.code == 2
    assert "0 of 1 approvals" in refused.err
    assert f"ray-platform approve {digest[:12]} --env local --by NAME" in refused.err

    approved = checkout.run("approve", digest[:12], "--by", "alice", "--json").json
    assert (approved["approved_by"], approved["required"]) == (["alice"], 1)
    applied = checkout.run("apply", "--plan", digest[:12], "--json")
    assert applied.code == 0, applied.err
    assert applied.json["approved_by"] == "alice"
    assert applied.json["plan_digest"] == digest
    version = checkout.run("status", "--json").json["infra_version"]
    assert version == applied.json["infra_version"]

    again = checkout.run("apply", "--plan", digest[:12])
    assert again.code == 2
    assert "the plan was made from state serial" in again.err

    decided = checkout.run("audit", "show", "--limit", "50", "--json").json["records"][::-1]
    told = [(r["action"], r["decision"], r["rule"]) for r in decided if r["plan_digest"] == digest]
    assert told[0] == ("plan", "made", "")
    assert {("policy", "allowed", ""), ("budget", "allowed", "")} <= set(told)
    approved = [r for r in decided if r["action"] == "approve" and r["plan_digest"] == digest]
    assert [r["asked_by"] for r in approved] == ["alice"]
    assert [item for item in told if item[0] == "apply"] == [
        ("apply", "refused", "NotApproved"),
        ("apply", "admitted", ""),
        ("apply", "applied", ""),
    ]
    assert ("fresh", "denied", "") in told  # the second apply went no further
    verified = checkout.run("audit", "verify", "--json")
    assert (verified.code, verified.json["faults"]) == (0, [])
    checkout.replace("environments/local.toml", "required = 1", "required = 0")


def test_a_pull_request_is_applied_as_approved_and_the_run_names_it(walked: Walked) -> None:
    checkout = walked.checkout
    played = checkout.run("github", "local", "--json")
    assert played.code == 0, played.err
    told = played.json
    assert told["refused"] == "0 of 2 approvals"
    lineage = checkout.run("lineage", told["burst_run"], "--json").json
    # The month's cost is an issue of the same repository, so the number is not the first.
    assert lineage["pull_request"] == told["pull_request"]
    number = told["pull_request"].removeprefix("acme/ml-platform#")
    assert lineage["plan_digest"] == told["plan_digest"]

    report = checkout.run("pull-requests", "show", number, "--json").json["reports"]["local"]
    assert report["outcome"]["infra_version"] == told["infra_version"]
    assert "node group spot is ACTIVE" in report["outcome"]["verified"]
    person = person_of(checkout, "alice")
    comments = person.call("GET", f"/repos/{REPOSITORY}/issues/{number}/comments")
    (comment,) = [item for item in comments if item["user"]["type"] == "Bot"]
    assert f"infra version {told['infra_version'][:12]}" in comment["body"]
    assert "Approved by `bob`, `carol`" in comment["body"]
    checks = person.call("GET", f"/repos/acme/ml-platform/commits/{report['commit']}/check-runs")
    assert [item["conclusion"] for item in checks["check_runs"]] == ["success"]

    approvals = checkout.run("audit", "show", "--limit", "60", "--json").json["records"]
    said = [
        r
        for r in approvals
        if r["action"] == "approve" and r["plan_digest"] == report["plan_digest"]
    ]
    assert sorted(r["asked_by"] for r in said) == ["bob", "carol"]
    assert {r["rule"] for r in said} == {f"review of {told['pull_request']}"}


REPOSITORY = "acme/ml-platform"


def person_of(checkout: Checkout, login: str) -> Person:
    """Somebody who acts at the local GitHub."""
    people = json.loads((checkout.home / "github" / "people.json").read_text(encoding="utf-8"))
    return Person(f"http://127.0.0.1:{checkout.port_base + GITHUB_PORT}/api/v3", people[login])


def wait_for_the_second_after(moment: str) -> None:
    """GitHub's clock counts seconds: nobody reads a plan in the second in which it is shown."""
    while time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) <= moment:
        time.sleep(0.1)


def emulator_client(checkout: Checkout, service: str) -> Any:
    import boto3

    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{checkout.port_base}",
        aws_access_key_id="emulator",
        aws_secret_access_key="emulator",
    )


def test_an_issue_removes_the_environment_once_two_others_approved_its_plan(
    walked: Walked,
) -> None:
    checkout = walked.checkout
    refused = checkout.run("destroy", "--env", "local", "--confirm", "dev")
    assert refused.code == 2
    assert "nothing was removed" in refused.err
    alice, bob, carol = (person_of(checkout, name) for name in ("alice", "bob", "carol"))
    body = "environment: local\nconfirm: local\n"
    number = alice.open_issue(
        REPOSITORY, "Nobody needs it", body=body, labels=("ray-platform-destroy",)
    )

    def told() -> dict[str, Any]:
        done = checkout.run("pull-requests", "sync", "--json")
        assert done.code == 0, done.err
        at = f"/repos/{REPOSITORY}/issues/{number}/comments"
        (ours,) = [item for item in alice.call("GET", at) if item["user"]["type"] == "Bot"]
        return dict(ours)

    shown = told()
    digest = shown["body"].split("Plan `")[1].split("`")[0]
    assert "0 of 2 approvals" in shown["body"]
    wait_for_the_second_after(shown["updated_at"])
    alice.comment(REPOSITORY, number, f"approve {digest}")
    bob.comment(REPOSITORY, number, f"approve {digest}")
    assert "1 of 2 approvals: `bob`" in told()["body"]
    assert checkout.run("status", "--json").json["infra_version"]

    carol.comment(REPOSITORY, number, f"approve {digest}")
    assert "resources were removed; the state before is saved" in told()["body"]
    (backup,) = (checkout.home / "artifacts" / "backups" / "local").rglob("*.tfstate")
    assert len(json.loads(backup.read_text(encoding="utf-8"))["resources"]) > 30
    assert backup.stat().st_mode & 0o077 == 0
    with tarfile.open(backup.parent / "records.tar.gz") as records:
        kinds = {name.split("/")[0] for name in records.getnames()}
    assert {"plans", "environments", "manifests", "modules", "usage", "audit"} <= kinds
    audit = sorted((checkout.home / "artifacts" / "audit" / "local").glob("0*.json"))
    events = [json.loads(file.read_text(encoding="utf-8"))["event"] for file in audit]
    (proven,) = [event for event in events if event["decision"] == "proven"]
    # The cloud lists the keys, which wait for their deletion, and nothing else with these tags.
    assert "nothing tagged is left; arn:aws:kms:" in proven["reason"]
    incidents = (checkout.home / "artifacts" / "incidents" / "local").glob("*.json")
    assert all(json.loads(file.read_text(encoding="utf-8"))["closed_at"] for file in incidents)
    assert checkout.run("status", "--json").json["infra_version"] is None
    after = checkout.run("burst", "--env", "local")
    assert after.code == 1
    assert "nothing is applied in local" in after.err


def test_destroy_again_finds_nothing_to_remove(walked: Walked) -> None:
    done = walked.checkout.run("destroy", "--env", "local", "--confirm", "local", "--json")
    assert done.code == 0, done.err
    assert done.json["removed"] == 0
