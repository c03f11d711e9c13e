"""The emulator as a local service, by real processes."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ray_platform_sandbox.aws.service import Emulator, ensure_emulator, find_emulator, stop_emulator
from ray_platform_sandbox.kubernetes.service import ensure_kubernetes, stop_kubernetes
from ray_platform_sandbox.services import processes
from ray_platform_sandbox.services.members import members

from ray_platform.config.settings import Settings
from ray_platform.kubernetes.api_client import KubernetesApi
from ray_platform.kubernetes.eks_access_client import eks_access
from ray_platform.text.errors import LocalServiceError
from tests.integration.conftest import make_settings

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("terraform")]


def test_later_processes_find_the_running_emulator(emulator: Emulator) -> None:
    home = emulator.config_file.parent.parent
    program = (
        "import sys; from pathlib import Path; from tests.integration.conftest import make_settings; "
        "from ray_platform_sandbox.aws.service import ensure_emulator; "
        "print(ensure_emulator(make_settings(Path(sys.argv[1]), int(sys.argv[2]))).instance)"
    )
    asked = subprocess.run(
        [sys.executable, "-c", program, str(home), str(emulator.port)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.strip() == emulator.instance


def test_a_restart_forgets_resources_and_state_together_and_ends_all_processes(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path)
    with ThreadPoolExecutor(4) as pool:  # started by several at once, it is started once
        first, *others = pool.map(lambda _: ensure_emulator(settings), range(4))
    assert {other.pid for other in others} == {first.pid}
    first.client("s3").create_bucket(Bucket="state")
    first.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")
    assert stop_emulator(settings)
    assert find_emulator(settings) is None
    assert processes.process_started(first.pid) is None
    second = ensure_emulator(settings)
    try:
        assert second.instance != first.instance
        assert second.client("s3").list_buckets()["Buckets"] == []
        vpcs = second.client("ec2").describe_vpcs()["Vpcs"]
        assert "10.9.0.0/16" not in {vpc["CidrBlock"] for vpc in vpcs}
        os.kill(second.pid, signal.SIGKILL)  # a crash is noticed, and mended by the next start
        third = ensure_emulator(settings)
        assert third.pid != second.pid
    finally:
        assert stop_emulator(settings)
    assert not stop_emulator(settings)


def test_a_port_in_use_is_named_with_its_remedy(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalServiceError, match=f"port {port} is in use") as raised:
            ensure_emulator(make_settings(tmp_path, port))
    assert "RAY_PLATFORM_PORT_BASE" in raised.value.fix


def test_a_service_that_ends_by_itself_is_told_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(LocalServiceError, match="out of luck"):
        processes.start(
            tmp_path,
            "unlucky",
            [sys.executable, "-c", "raise SystemExit('out of luck')"],
            env=dict(os.environ),
            ports={},
            ready=lambda: False,
            timeout_seconds=10,
        )
    assert processes.find(tmp_path, "unlucky") is None


def test_what_a_service_started_is_gone_when_it_is_stopped(tmp_path: Path) -> None:
    """Also what left its group and goes on starting others, and nothing is still dying."""
    restless = "while :; do sleep 60 & sleep 0.02; done"
    program = f"for i in 1 2 3 4; do setsid sh -c '{restless}' & done; touch begun; wait"
    service = processes.start(
        tmp_path,
        "restless",
        ["sh", "-c", program],
        env=dict(os.environ),
        ports={},
        ready=(tmp_path / "begun").exists,
        timeout_seconds=10,
        cwd=tmp_path,
    )
    seen = members(service.instance)
    assert processes.stop(tmp_path, "restless")
    seen += members(service.instance)
    assert service.pid in seen
    assert [pid for pid in seen if processes.process_started(pid)] == []


def test_a_reused_process_id_is_never_taken_for_the_service(tmp_path: Path) -> None:
    mine = processes.Service("x", os.getpid(), "some other start", {}, "none")
    assert not processes.is_alive(mine)


def test_only_loopback_is_listened_on(emulator: Emulator) -> None:
    with socket.socket() as probe:
        probe.settimeout(2)
        # 127.0.0.2 is this machine too, but not the address that was asked for.
        assert probe.connect_ex(("127.0.0.2", emulator.port)) != 0


def test_no_credentials_of_the_user_reach_the_emulator(emulator: Emulator) -> None:
    users = {"AWS_PROFILE": "prod", "AWS_SESSION_TOKEN": "secret", "AWS_ENDPOINT_URL_S3": "x"}
    seen = emulator.environment({**users, "PATH": "/bin"})
    assert seen["PATH"] == "/bin"
    assert not {"prod", "secret", "x"} & set(seen.values())
    program = "import boto3; print(boto3.client('s3').meta.endpoint_url)"
    asked = subprocess.run(
        [sys.executable, "-c", program],
        env=emulator.environment({**os.environ, **users}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.strip() == emulator.url


def test_an_add_on_can_be_made_changed_and_removed(emulator: Emulator) -> None:
    eks = emulator.client("eks")
    role = "arn:aws:iam::123456789012:role/any"
    eks.create_cluster(name="add-ons", roleArn=role, resourcesVpcConfig={})
    made = eks.create_addon(clusterName="add-ons", addonName="some-driver")["addon"]
    assert made["status"] == "ACTIVE"
    eks.update_addon(clusterName="add-ons", addonName="some-driver", addonVersion="v9")
    seen = eks.describe_addon(clusterName="add-ons", addonName="some-driver")["addon"]
    assert seen["addonVersion"] == "v9"
    assert eks.list_addons(clusterName="add-ons")["addons"] == ["some-driver"]
    eks.delete_addon(clusterName="add-ons", addonName="some-driver")
    with pytest.raises(eks.exceptions.ResourceNotFoundException):
        eks.describe_addon(clusterName="add-ons", addonName="some-driver")
    eks.delete_cluster(name="add-ons")


def test_eks_tells_the_address_and_its_kind_of_token_is_taken_and_renewed(
    emulator_settings: Settings, emulator: Emulator
) -> None:
    from botocore.credentials import Credentials

    eks = emulator.client("eks")
    kubernetes = ensure_kubernetes(emulator_settings)
    try:
        eks.create_cluster(
            name="told", roleArn="arn:aws:iam::123456789012:role/x", resourcesVpcConfig={}
        )
        secrets = ["an old one", kubernetes.token]
        found = eks_access(eks, "told", "us-east-1", lambda: Credentials("told", secrets.pop(0)))
        assert found.endpoint == kubernetes.url
        # The first token is refused, as one that has ended is; the second is made for it.
        assert KubernetesApi(found, "test").version().startswith("v1.")
        assert secrets == []
    finally:
        eks.delete_cluster(name="told")
        stop_kubernetes(emulator_settings)
