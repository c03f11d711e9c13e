"""Worker groups, and what Helm and the local autoscaler get of them."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_platform.config.node_pools import INSTANCE_TYPES, NodePool
from ray_platform.ray.spec import (
    HEAD_NODE_TYPE,
    Redis,
    helm_values,
    local_autoscaling,
    pods_digest,
    ray_namespace,
    worker_groups,
)
from ray_platform.text.errors import SettingsError

TAINT = {"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}
SYSTEM = NodePool("system", ("m6i.large",), 1, 3, ray_workers=False)
CPU = NodePool("cpu", ("m5.xlarge",), 2, 10)
GPU = NodePool("gpu", ("g4dn.xlarge",), 0, 5, gpu=True, taints=(TAINT,))
POOLS = (SYSTEM, GPU, CPU)

pools = st.builds(
    NodePool,
    name=st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True),
    instance_types=st.sampled_from(sorted(INSTANCE_TYPES)).map(lambda kind: (kind,)),
    min_size=st.integers(0, 5),
    max_size=st.integers(5, 20),
    gpu=st.booleans(),
)


def test_each_pool_that_carries_ray_is_one_group_with_the_pools_bounds() -> None:
    groups = worker_groups(POOLS)
    assert [(group.name, group.min, group.max) for group in groups] == [
        ("cpu", 2, 10),
        ("gpu", 0, 5),
    ]


def test_a_worker_leaves_the_node_its_share() -> None:
    cpu, gpu = worker_groups(POOLS)
    assert (cpu.cpus, cpu.memory_gib, cpu.gpus) == (3, 13, 0)
    assert (gpu.cpus, gpu.memory_gib, gpu.gpus) == (3, 13, 1)


@given(pools)
def test_a_worker_always_fits_on_its_node(pool: NodePool) -> None:
    (group,) = worker_groups([pool])
    vcpus, memory_gib, gpus = INSTANCE_TYPES[group.instance_type]
    assert 1 <= group.cpus < vcpus
    assert 1 <= group.memory_gib < memory_gib
    assert group.gpus <= gpus


def test_an_unknown_instance_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"x9\.huge") as refused:
        worker_groups([replace(CPU, instance_types=("x9.huge",))])
    assert "m5.xlarge" in refused.value.fix


def test_pools_without_ray_workers_are_refused() -> None:
    with pytest.raises(SettingsError, match="no node pool carries Ray workers"):
        worker_groups([SYSTEM])


def test_helm_gets_bounds_resources_and_tolerations() -> None:
    values = helm_values("dev", POOLS, ray_version="2.60.0", idle_timeout_seconds=60)
    assert values["workerGroups"]["gpu"] == {
        "minReplicas": 0,
        "maxReplicas": 5,
        "instanceType": "g4dn.xlarge",
        "resources": {"cpu": 3, "memory": "13Gi", "gpu": 1},
        "nodeSelector": {"ray-platform/pool": "gpu"},
        "tolerations": [
            {
                "key": "nvidia.com/gpu",
                "operator": "Equal",
                "value": "true",
                "effect": "NoSchedule",
            }
        ],
        "spot": False,
        "imageTag": "2.60.0-py311-gpu",
    }
    assert values["workerGroups"]["cpu"]["tolerations"] == []
    assert values["autoscaler"] == {"idleTimeoutSeconds": 60}
    assert "latest" not in values["image"]["tag"]


@given(st.lists(pools, min_size=1, max_size=4, unique_by=lambda pool: pool.name))
def test_helm_and_the_local_autoscaler_agree_on_the_bounds(some: list[NodePool]) -> None:
    values = helm_values("dev", some, ray_version="2.60.0")
    local = local_autoscaling(
        worker_groups(some),
        provider="a.B",
        head_node_id="f",
        gcs_address="127.0.0.1:1",
        idle_timeout_seconds=6,
    )
    types = local["available_node_types"]
    assert {
        name: (t["min_workers"], t["max_workers"])
        for name, t in types.items()
        if t["resources"]["CPU"]
    } == {
        name: (group["minReplicas"], group["maxReplicas"])
        for name, group in values["workerGroups"].items()
    }
    assert types[HEAD_NODE_TYPE]["resources"] == {"CPU": 0}
    assert json.loads(json.dumps(values)) == values


def test_ten_local_workers_offer_one_cpu_each_and_a_gpu_in_name() -> None:
    local = local_autoscaling(
        worker_groups(POOLS),
        provider="a.B",
        head_node_id="f",
        gcs_address="127.0.0.1:1",
        idle_timeout_seconds=6,
    )
    assert local["available_node_types"]["cpu"]["resources"] == {"CPU": 1}
    assert local["available_node_types"]["gpu"]["resources"] == {"CPU": 1, "GPU": 1}
    assert local["idle_timeout_minutes"] == pytest.approx(0.1)


def test_pods_are_replaced_for_what_they_are_made_of_and_not_for_bounds_or_replicas() -> None:
    def spec(**group: object) -> dict[str, object]:
        workers = {"groupName": "cpu", "minReplicas": 1, "maxReplicas": 2, "template": {}, **group}
        return {"rayVersion": "2.60.0", "suspend": False, "workerGroupSpecs": [workers]}

    same = pods_digest(spec())
    assert pods_digest(spec(minReplicas=3, maxReplicas=4, replicas=3)) == same
    assert pods_digest({**spec(), "upgradeStrategy": {"type": "None"}}) == same
    assert pods_digest(spec(numOfHosts=1, scaleStrategy={"workersToDelete": ["a"]})) == same
    assert pods_digest({**spec(), "suspend": True}) != same
    assert pods_digest({**spec(), "autoscalerOptions": {"idleTimeoutSeconds": 5}}) != same
    assert pods_digest(spec(idleTimeoutSeconds=5)) != same
    assert pods_digest(spec(template={"spec": {}})) != same
    assert pods_digest(spec(groupName="gpu")) != same


def test_the_head_goes_where_no_workers_are_and_never_to_spot() -> None:
    def head(*pools: NodePool) -> dict[str, object]:
        return dict(helm_values("dev", [CPU, *pools], ray_version="2.60.0")["head"])

    assert head(SYSTEM)["nodeSelector"] == {"ray-platform/pool": "system"}
    assert head(replace(SYSTEM, taints=(TAINT,)))["tolerations"]
    for other in (GPU, replace(SYSTEM, spot=True), replace(SYSTEM, gpu=True)):
        assert "nodeSelector" not in head(other)


def test_a_spot_pool_makes_a_spot_group() -> None:
    values = helm_values("dev", [replace(CPU, spot=True)], ray_version="2.60.0")
    assert values["workerGroups"]["cpu"]["spot"] is True


def test_the_quota_is_the_pools_two_heads_and_room_for_dagster() -> None:
    hard = helm_values("dev", POOLS, ray_version="2.60.0")["quota"]["hard"]
    assert hard == {
        "pods": 10 + 5 + 2 + 40,
        "requests.cpu": 10 * 3 + 5 * 3 + 2 * 2 + 8,
        "limits.cpu": 10 * 3 + 5 * 3 + 2 * 2 + 8,
        "requests.memory": f"{15 * 13 + 2 * 5 + 32}Gi",
        "limits.memory": f"{15 * 13 + 2 * 5 + 32}Gi",
        "requests.nvidia.com/gpu": 5,
    }


@pytest.mark.parametrize("name", ["Ray", "-ray", "ray_1", "", "a" * 64, 7, "ray\n"])
def test_an_invalid_namespace_is_refused_with_what_is_valid(name: object) -> None:
    with pytest.raises(SettingsError, match="no name of a Kubernetes namespace") as refused:
        ray_namespace({"ray_namespace": name}, where="dev.tfvars")
    assert "lower-case" in refused.value.fix


def test_the_namespace_is_ray_unless_the_variables_say_otherwise() -> None:
    assert ray_namespace({}, where="") == "ray"
    assert ray_namespace({"ray_namespace": "research-1"}, where="") == "research-1"


def test_whoever_names_an_image_has_it_for_all_groups() -> None:
    values = helm_values("dev", POOLS, ray_version="2.60.0", image_tag="own-1")
    assert {group["imageTag"] for group in values["workerGroups"].values()} == {""}


def test_redis_is_reached_by_tls_with_its_own_user() -> None:
    redis = Redis("redis.example.com", 6379, "10.0.0.0/16", "ray-redis")
    values = helm_values("prod", POOLS, ray_version="2.60.0", redis=redis)
    assert values["gcsFaultTolerance"] == {
        "redisAddress": "rediss://redis.example.com:6379",
        "secretName": "ray-redis",
    }
    assert values["networkPolicy"] == {"redis": {"cidrs": ["10.0.0.0/16"]}}
    assert "gcsFaultTolerance" not in helm_values("prod", POOLS, ray_version="2.60.0")
