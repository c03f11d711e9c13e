"""After a removal the cloud itself is asked what is left: nothing that bears the tags is overlooked."""

import pytest

from ray_platform.change.destroy import prove_nothing_left
from ray_platform.change.remains import weigh
from ray_platform.change.remains_client import tagged
from ray_platform.session.environment_session import open_session
from ray_platform.text.errors import StillThere
from tests.integration.conftest import AppliedLocal

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("terraform")]


def test_the_cloud_lists_every_resource_that_terraform_tagged(applied_local: AppliedLocal) -> None:
    state = applied_local.terraform.state()
    listed = tagged(
        applied_local.emulator.client, environment="local", cluster=state.outputs["cluster_name"]
    )
    names = {item.arn.split(":", 5)[5].rpartition("/")[2] for item in listed}
    arns = {item.arn for item in listed}
    overlooked = {
        address
        for address, attributes in state.resources.items()
        if (attributes.get("tags_all") or {}).get("environment") == "local"
        if attributes.get("arn") not in arns and attributes.get("id") not in names
    }
    assert overlooked == set()


def test_what_is_left_is_named_and_fails_the_removal(applied_local: AppliedLocal) -> None:
    session = open_session(applied_local.settings, "local")
    state = applied_local.terraform.state()
    with pytest.raises(StillThere) as left:
        prove_nothing_left(session, state)
    assert left.value.exit_code == 2
    assert f"vpc/{state.outputs['vpc_id']}" in left.value.what
    assert "destroy again" in left.value.fix


def test_a_key_that_waits_for_its_deletion_is_not_left(applied_local: AppliedLocal) -> None:
    kms = applied_local.emulator.client("kms")
    tags = {"environment": "gone", "managed-by": "terraform", "repo": "r"}
    pairs = [{"TagKey": key, "TagValue": value} for key, value in tags.items()]
    key = kms.create_key(Tags=pairs)["KeyMetadata"]

    def remains() -> tuple[tuple[str, ...], tuple[str, ...]]:
        found = tagged(applied_local.emulator.client, environment="gone", cluster="none")
        told = weigh(found, environment="gone", cluster="none", repositories={"r"})
        return told.left, told.ending

    assert remains() == ((key["Arn"],), ())
    kms.schedule_key_deletion(KeyId=key["KeyId"])
    left, (ending,) = remains()
    assert left == ()
    assert ending.startswith(f"{key['Arn']} (AWS deletes it on 20")
