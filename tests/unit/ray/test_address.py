"""Where a Ray cluster's head is reached from: the environment and where the platform runs decide."""

from pathlib import Path
from typing import Any

import pytest

from ray_platform.config.settings import Settings
from ray_platform.ray.clusters import RayOnKubernetes
from ray_platform.ray.upgrade.switch import BLUE, GREEN, Switch
from ray_platform.session.adapters import choose_adapters
from ray_platform.text.errors import KubernetesError

ROOT = Path(__file__).resolve().parents[3]
SET = "http://ray.example.com:8265"


class Cluster(RayOnKubernetes):
    """The first of two clusters takes new work."""

    def switch(self) -> Switch:
        return Switch(BLUE)


def cluster(home: Path, name: str, address: str = "", **variables: str) -> RayOnKubernetes:
    settings = Settings(ROOT, home, {"KUBECONFIG": str(home / "none"), **variables})
    environment = settings.environment(name)
    environment.ray = environment.ray.model_copy(update={"address": address})
    return Cluster(
        settings,
        environment,
        eks=lambda: None,
        cluster=lambda: "",
        local=choose_adapters(settings, environment).local_kubernetes,
    )


def ray(name: str = BLUE, ip: str = "10.244.1.7") -> dict[str, Any]:
    head = {"serviceIP": ip, "serviceName": f"{name}-head-svc"}
    status = {"head": head, "endpoints": {"dashboard": "6102"}}
    return {"metadata": {"name": name}, "status": status}


def test_on_one_machine_it_is_the_loopback_address_of_the_status(tmp_path: Path) -> None:
    local = cluster(tmp_path, "local", SET)
    assert local.address(ray(ip="127.0.0.1")) == "http://127.0.0.1:6102"


@pytest.mark.parametrize("name", ["kind", "prod"])
def test_in_a_pod_it_is_the_head_s_own_service(tmp_path: Path, name: str) -> None:
    inside = cluster(tmp_path, name, SET, KUBERNETES_SERVICE_HOST="10.96.0.1")
    for each in (BLUE, GREEN):
        service = f"http://{each}-head-svc.ray.svc.cluster.local:8265"
        assert inside.address(ray(each)) == inside.lasting_address(ray(each)) == service


def test_a_set_address_is_that_of_the_cluster_that_takes_new_work_alone(tmp_path: Path) -> None:
    """Else the other one's jobs would be looked for on the wrong cluster, and it would be ended with them."""
    outside = cluster(tmp_path, "kind", SET)
    assert outside.address(ray(BLUE)) == SET
    assert outside.lasting_address(ray(GREEN)).startswith("http://ray-green-head-svc.")
    with pytest.raises(KubernetesError, match="no kubeconfig file"):
        outside.address(ray(GREEN))


def test_from_a_laptop_it_is_forwarded_which_needs_the_cluster(tmp_path: Path) -> None:
    """No command to run by hand: what is missing is the cluster itself."""
    with pytest.raises(KubernetesError, match="no kubeconfig file"):
        cluster(tmp_path, "kind").address(ray())
