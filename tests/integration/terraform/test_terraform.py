"""The real Terraform with the real AWS provider, against the emulator."""

import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from ray_platform.policy.policy_engine import PolicyEngine
from ray_platform.terraform.state_bucket_store import ensure_state_bucket
from ray_platform.terraform.terraform_version_process import terraform_version
from ray_platform.terraform.terraform_client import Terraform
from ray_platform.cost.estimate import Estimate, estimate
from ray_platform.cost.price_book import load_price_book
from ray_platform.text.errors import SettingsError, StalePlan, StateError, ToolError
from ray_platform.terraform.plan import Plan, read_plan
from ray_platform.config.settings import Environment, Settings
from tests.integration.conftest import ROOT, AppliedLocal, make_settings

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("terraform")]

TAGS = {"repo", "environment", "commit", "managed-by"}


def test_a_plan_straight_after_an_apply_is_empty_at_any_commit(
    applied_local: AppliedLocal, tmp_path: Path
) -> None:
    made = applied_local.at_commit("fffffff").plan(tmp_path / "again.tfplan")
    plan = read_plan(made.json)
    assert plan.variables["commit"] == "fffffff"
    assert plan.is_empty
    assert plan.drift == ()
    assert made.text.startswith("No changes.")


def test_a_first_plan_creates_every_module_that_holds_something(
    applied_local: AppliedLocal,
) -> None:
    plan = read_plan(applied_local.first_plan.json)
    assert plan.counts.create == plan.counts.total
    assert {change.top_module for change in plan.touched()} == {
        "vpc",
        "eks_cluster",
        "node_pools",
        "storage",
    }
    assert "will be created" in applied_local.first_plan.text


def test_the_state_holds_what_was_planned(applied_local: AppliedLocal) -> None:
    state = applied_local.terraform.state()
    planned = read_plan(applied_local.first_plan.json).touched()
    assert set(state.resources) == {change.address for change in planned}
    assert state.lineage and state.serial > 0
    assert state.outputs["cluster_name"] == "ray-platform-local"
    assert set(state.outputs["node_pools"]) == {"system", "cpu", "gpu"}


def test_resources_carry_the_four_tags_of_the_commit_that_created_them(
    applied_local: AppliedLocal,
) -> None:
    client = applied_local.emulator.client
    outputs = applied_local.terraform.state().outputs
    vpc = client("ec2").describe_vpcs(VpcIds=[outputs["vpc_id"]])["Vpcs"][0]
    cluster = client("eks").describe_cluster(name=outputs["cluster_name"])["cluster"]
    group = client("eks").describe_nodegroup(
        clusterName=outputs["cluster_name"], nodegroupName="gpu"
    )["nodegroup"]
    bucket = client("s3").get_bucket_tagging(Bucket=outputs["artifact_bucket"])
    role = client("iam").get_role(RoleName="ray-platform-local-ray")["Role"]
    found = [
        {tag["Key"]: tag["Value"] for tag in vpc["Tags"]},
        cluster["tags"],
        group["tags"],
        {tag["Key"]: tag["Value"] for tag in bucket["TagSet"]},
        {tag["Key"]: tag["Value"] for tag in role["Tags"]},
    ]
    assert all(set(tags) >= TAGS for tags in found)
    assert {tags["commit"] for tags in found} == {"0a1b2c3"}


def test_the_subnets_are_those_of_the_design(applied_local: AppliedLocal) -> None:
    outputs = applied_local.terraform.state().outputs
    ids = outputs["private_subnet_ids"] + outputs["public_subnet_ids"]
    subnets = applied_local.emulator.client("ec2").describe_subnets(SubnetIds=ids)["Subnets"]
    by_id = {subnet["SubnetId"]: subnet for subnet in subnets}
    assert [by_id[name]["CidrBlock"] for name in ids] == [
        *(f"10.0.{number}.0/24" for number in (1, 2, 3, 101, 102, 103))
    ]
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == 3
    assert not any(subnet["MapPublicIpOnLaunch"] for subnet in subnets)


def test_a_gpu_pool_without_nodes_tells_the_autoscaler_what_its_nodes_would_be(
    applied_local: AppliedLocal,
) -> None:
    groups = applied_local.emulator.client("autoscaling").describe_auto_scaling_groups()
    tags = {
        tag["Key"].removeprefix("k8s.io/cluster-autoscaler/node-template/"): tag["Value"]
        for group in groups["AutoScalingGroups"]
        for tag in group["Tags"]
    }
    assert tags["resources/nvidia.com/gpu"] == "1"
    assert tags["taint/nvidia.com/gpu"] == "true:NoSchedule"
    assert tags["label/ray-platform/pool"] == "gpu"


def test_a_plan_older_than_the_state_is_refused(applied_local: AppliedLocal) -> None:
    with pytest.raises(StalePlan):
        applied_local.terraform.apply(applied_local.first_plan.file)


def test_progress_is_told_resource_by_resource(applied_local: AppliedLocal) -> None:
    assert any(line.startswith("module.vpc.aws_vpc.this") for line in applied_local.progress)


def test_a_locked_state_names_the_holder(applied_local: AppliedLocal, tmp_path: Path) -> None:
    place = applied_local.terraform.environment.state
    s3 = applied_local.emulator.client("s3")
    lock = f"{place.key}.tflock"
    s3.put_object(
        Bucket=place.bucket,
        Key=lock,
        Body=b'{"ID":"11111111-2222","Operation":"OperationTypeApply","Who":"ann@host",'
        b'"Version":"1.11.4","Created":"2026-11-21T10:00:00Z","Path":"x","Info":""}',
    )
    patient = applied_local.at_commit("0a1b2c3")
    patient.lock_timeout = "0s"
    try:
        with pytest.raises(StateError, match="held by ann@host"):
            patient.plan(tmp_path / "locked.tfplan")
    finally:
        s3.delete_object(Bucket=place.bucket, Key=lock)


def test_the_state_bucket_is_versioned_encrypted_and_closed(applied_local: AppliedLocal) -> None:
    s3 = applied_local.emulator.client("s3")
    bucket = applied_local.terraform.environment.state.bucket
    assert ensure_state_bucket(s3, bucket, "us-east-1") is False
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    closed = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert all(closed.values())


def test_the_configuration_is_formatted_and_valid(applied_local: AppliedLocal) -> None:
    assert applied_local.terraform.fmt_check() == ()
    applied_local.terraform.validate()


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_every_environment_can_be_planned(
    name: str, applied_local: AppliedLocal, tmp_path: Path
) -> None:
    plan = read_plan(_on_local_backend(applied_local, name).plan(tmp_path / "e.tfplan").json)
    assert plan.variables["environment"] == name
    assert plan.counts.total == plan.counts.create > 0
    gateways = [change for change in plan.changes if change.type == "aws_nat_gateway"]
    assert len(gateways) == (3 if name == "prod" else 1)
    assert PolicyEngine(ROOT / "policies").check_plan(plan, name).violations == ()
    cost = estimate(plan, load_price_book())
    assert cost.unpriced == ()
    _check_platform(name, plan, cost)


def _check_platform(name: str, plan: Plan, cost: Estimate) -> None:
    """The database and Redis: none in dev, one of each in staging, with a standby and protected in prod."""
    own = {change.type: change.after for change in plan.changes if change.top_module == "platform"}
    if name == "dev":
        assert own == {}
        return
    prod = name == "prod"
    database = own["aws_db_instance"]
    assert (database["multi_az"], database["deletion_protection"]) == (prod, prod)
    assert database["backup_retention_period"] == (30 if prod else 7)
    assert database["skip_final_snapshot"] is False
    assert database.get("password") is None and database["manage_master_user_password"] is True
    assert own["aws_elasticache_replication_group"]["num_cache_clusters"] == (2 if prod else 1)
    assert own["aws_elasticache_user"]["access_string"] == "off ~* -@all"
    usd = sum(line.after_min for line in cost.lines if line.address.startswith("module.platform."))
    assert usd == Decimal("351.44" if prod else "74.51")


def test_a_wrong_value_is_told_with_the_file_and_the_rule(
    applied_local: AppliedLocal, tmp_path: Path
) -> None:
    terraform = _on_local_backend(applied_local, "dev")
    file = tmp_path / "dev.tfvars"
    text = terraform.environment.variables_file.read_text()
    file.write_text(text.replace('= "single"', '= "two"'))
    terraform.variables_file = file
    with pytest.raises(SettingsError, match="must be single or per_zone") as raised:
        terraform.plan(tmp_path / "e.tfplan")
    assert raised.value.where == str(file)


def test_init_leaves_the_checkout_as_it_was(applied_local: AppliedLocal) -> None:
    assert not (ROOT / "terraform" / ".terraform").exists()
    changed = subprocess.run(
        ["git", "status", "--porcelain", "terraform/.terraform.lock.hcl"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert changed.stdout == ""
    assert applied_local.terraform.init() is False


def test_a_missing_terraform_is_named_with_how_to_get_it(tmp_path: Path) -> None:
    settings = Settings(ROOT, tmp_path, {"RAY_PLATFORM_TERRAFORM": "no-such-terraform"})
    with pytest.raises(ToolError, match="no-such-terraform") as raised:
        terraform_version(settings)
    assert "install Terraform 1.10" in raised.value.fix


def test_a_terraform_that_is_too_old_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "old-terraform"
    old.write_text("""#!/bin/sh\necho '{"terraform_version": "1.9.8"}'\n""")
    old.chmod(0o755)
    settings = Settings(ROOT, tmp_path, {"RAY_PLATFORM_TERRAFORM": str(old)})
    with pytest.raises(ToolError, match=r"1\.9\.8"):
        terraform_version(settings)


def test_a_state_bucket_out_of_reach_is_told_at_once(tmp_path: Path) -> None:
    import boto3
    from botocore.config import Config

    nowhere = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"max_attempts": 0}, connect_timeout=1, proxies={}),
    )
    with pytest.raises(StateError, match="cannot be reached"):
        ensure_state_bucket(nowhere, "some-bucket", "us-east-1")


def _on_local_backend(applied: AppliedLocal, name: str) -> Terraform:
    """Terraform on a real environment's variables, its cloud being the emulator."""
    settings = make_settings(applied.settings.home, applied.settings.port_base)
    real = settings.environment(name)
    local = applied.terraform.environment
    environment = _stand_in(real, local)
    terraform = Terraform(settings, environment, env=applied.emulator.env)
    # The same backend and provider as `local`: no init of its own is needed.
    if not terraform.data_dir.exists():
        shutil.copytree(applied.terraform.data_dir, terraform.data_dir, symlinks=True)
        terraform.init()
    return terraform


def _stand_in(real: Environment, local: Environment) -> Environment:
    stand_in = object.__new__(Environment)
    stand_in.__dict__.update(real.__dict__)
    stand_in.cloud = local.cloud
    stand_in.state = local.state.model_copy(update={"key": f"{real.name}/check.tfstate"})
    return stand_in
