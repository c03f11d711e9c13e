"""The chart helm/ray: what it renders, what it refuses; Kubernetes' and KubeRay's own schemas accept it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ray_platform_sandbox.kuberay.job_status import problem_of, read_ray_job

from ray_platform.config.node_pools import NodePool
from ray_platform.kubernetes.helm_chart_process import RenderedChart, chart_digest, render_chart
from ray_platform.ray.spec import PODS_DIGEST, Redis, helm_values
from ray_platform.text.errors import SettingsError
from tests.support.charts import in_helm, kuberay_errors, pod_templates
from tests.support.scripts import load_script

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "helm" / "ray"
#: Kubernetes as terraform/environments names it, and the newest whose schemas are here.
VERSIONS = ("1.35", "1.37")
POOLS = (
    NodePool("cpu", ("m5.xlarge",), 2, 10, spot=True),
    NodePool(
        "gpu",
        ("g4dn.xlarge",),
        0,
        5,
        gpu=True,
        taints=({"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"},),
    ),
    NodePool("system", ("m6i.large",), 1, 3, ray_workers=False),
)
VALUES = helm_values("local", POOLS, ray_version="2.60.0", idle_timeout_seconds=6)
GROUP = {"minReplicas": 0, "maxReplicas": 1, "resources": {"cpu": 1, "memory": "1Gi"}}

#: Values with everything on that is off by default.
EVERYTHING = {
    **helm_values(
        "prod",
        POOLS,
        ray_version="2.60.0",
        head_volume_gib=20,
        role_arn="arn:aws:iam::000000000000:role/ray",
        redis=Redis("redis.example.com", 6380, "10.1.0.0/16", "ray-redis"),
    ),
    "labels": {"team": "research"},
    "ingress": {
        "enabled": True,
        "host": "ray.example.com",
        "className": "nginx",
        "tlsSecretName": "ray-tls",
        "annotations": {"example.com/a": "b"},
    },
    "metrics": {"podMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    "rayJob": {"enabled": True, "entrypoint": "python train.py", "runtimeEnvYAML": "pip: []"},
    "rayService": {
        "enabled": True,
        "serveConfigV2": "applications: []",
        "workerGroups": {"cpu": GROUP},
    },
}
#: Another way through the templates.
OTHERWISE = {
    **VALUES,
    "image": {"repository": "r/ray", "tag": "sha256:" + "0" * 64, "pullSecrets": ["login"]},
    "rayCluster": {"enabled": False},
    "serviceAccount": {"create": False, "name": "own"},
    "networkPolicy": {"enabled": False},
    "disruptionBudget": {"enabled": False},
    "limitRange": {"enabled": False},
    "metrics": {"annotations": False},
    "rayJob": {"enabled": True, "entrypoint": "python train.py", "ownCluster": True},
    "workerGroups": {
        "large": {
            **GROUP,
            "rayResources": {"disk": 1},
            "idleTimeoutSeconds": 30,
            "priorityClassName": "high",
            "spreadOverZones": False,
            "nodeAffinity": [{"key": "zone", "operator": "In", "values": ["a"]}],
        }
    },
    "head": {
        "resources": {"cpu": 1, "memory": "4Gi"},
        "priorityClassName": "high",
        "persistence": {"enabled": True, "existingClaim": "mine"},
    },
}


def render(values: Mapping[str, Any] = VALUES) -> RenderedChart:
    return render_chart(CHART, values, release="ray", namespace="ray")


@pytest.fixture(scope="module")
def rendered() -> RenderedChart:
    return render()


@pytest.fixture(scope="module")
def cluster(rendered: RenderedChart) -> dict[str, Any]:
    return one(rendered.documents, "RayCluster")


@pytest.fixture(scope="module")
def variants() -> dict[str, list[dict[str, Any]]]:
    """The objects of three sets of values: the platform's, everything on, and everything otherwise."""
    names = {"plain": VALUES, "everything": EVERYTHING, "otherwise": OTHERWISE}
    answers, _ = in_helm([(CHART, values) for values in names.values()])
    assert all(isinstance(answer, list) for answer in answers), answers
    return dict(zip(names, answers, strict=True))  # type: ignore[arg-type]


def one(documents: Any, kind: str, name: str = "") -> dict[str, Any]:
    (found,) = (d for d in documents if d["kind"] == kind and name in ("", d["metadata"]["name"]))
    return dict(found)


@pytest.mark.parametrize("variant", ["plain", "everything", "otherwise"])
def test_every_object_is_valid_for_kubernetes_or_kuberay(
    variants: dict[str, list[dict[str, Any]]], variant: str
) -> None:
    for document in variants[variant]:
        group = document["apiVersion"].partition("/")[0]
        if group == "ray.io":
            assert kuberay_errors(document) == []
        elif group != "monitoring.coreos.com":
            for version in VERSIONS if variant == "everything" else VERSIONS[:1]:
                kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_do_find_a_mistyped_key(variants: dict[str, list[dict[str, Any]]]) -> None:
    cluster = one(variants["plain"], "RayCluster")
    assert kuberay_errors({**cluster, "spec": {**cluster["spec"], "enableInTreeAutoscalin": 1}})
    policy = one(variants["plain"], "NetworkPolicy", "ray-head")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {**policy, "spec": {**policy["spec"], "policyType": []}}, VERSIONS[0], strict=True
        )


def test_helm_lint_finds_nothing() -> None:
    _, reports = in_helm(lints=[(CHART, VALUES), (CHART, EVERYTHING), (CHART, OTHERWISE)])
    for report in reports:
        assert report["errors"] == []
        assert [m["error"] for m in report["messages"]] == ["icon is recommended"]


def test_one_worker_group_for_each_pool_with_its_bounds(cluster: dict[str, Any]) -> None:
    groups = {group["groupName"]: group for group in cluster["spec"]["workerGroupSpecs"]}
    assert {
        name: (group["minReplicas"], group["maxReplicas"]) for name, group in groups.items()
    } == {"cpu": (2, 10), "gpu": (0, 5)}
    assert all("replicas" not in group for group in groups.values())


def test_gpu_workers_ask_for_a_gpu_and_tolerate_its_taint(cluster: dict[str, Any]) -> None:
    (gpu,) = (g for g in cluster["spec"]["workerGroupSpecs"] if g["groupName"] == "gpu")
    pod = gpu["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Equal", "value": "true", "effect": "NoSchedule"}
    ]
    (cpu,) = (g for g in cluster["spec"]["workerGroupSpecs"] if g["groupName"] == "cpu")
    assert "nvidia.com/gpu" not in cpu["template"]["spec"]["containers"][0]["resources"]["limits"]


def test_gpu_workers_take_the_image_with_cuda(
    cluster: dict[str, Any], variants: dict[str, list[dict[str, Any]]]
) -> None:
    images = [pod["containers"][0]["image"] for pod in pods(cluster)]
    ray = "rayproject/ray:2.60.0-py311"
    assert images == [ray, ray, f"{ray}-gpu"]
    # By digest, all groups have the one image.
    job = one(variants["otherwise"], "RayJob")["spec"]["rayClusterSpec"]
    assert {pod["containers"][0]["image"] for pod in pods({"spec": job})} == {
        f"r/ray@sha256:{'0' * 64}"
    }


def pods(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    specs = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    return [spec["template"]["spec"] for spec in specs]


def test_every_container_has_requests_equal_to_limits(cluster: dict[str, Any]) -> None:
    options = cluster["spec"]["autoscalerOptions"]
    for container in [*(c for pod in pods(cluster) for c in pod["containers"]), options]:
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert set(container["resources"]["limits"]) >= {"cpu", "memory"}


@pytest.mark.parametrize("variant", ["plain", "everything", "otherwise"])
def test_every_pod_runs_without_rights_on_a_read_only_root(
    variants: dict[str, list[dict[str, Any]]], variant: str
) -> None:
    templates = [pod for document in variants[variant] for pod in pod_templates(document)]
    assert templates
    for template in templates:
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            # What Ray writes goes to a volume.
            assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}  # noqa: S108


def test_every_node_asks_for_the_token_and_the_token_is_not_in_the_manifest(
    cluster: dict[str, Any],
) -> None:
    options = cluster["spec"]["autoscalerOptions"]
    for container in [*(c for pod in pods(cluster) for c in pod["containers"]), options]:
        by_name = {entry["name"]: entry for entry in container["env"]}
        assert by_name["RAY_AUTH_MODE"]["value"] == "token"
        assert set(by_name["RAY_AUTH_TOKEN"]) == {"name", "valueFrom"}


def test_the_head_runs_no_tasks_and_the_autoscaler_is_v2(cluster: dict[str, Any]) -> None:
    assert cluster["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["spec"]["enableInTreeAutoscaling"] is True
    assert cluster["spec"]["autoscalerOptions"]["version"] == "v2"
    assert cluster["spec"]["autoscalerOptions"]["idleTimeoutSeconds"] == 6


def test_the_head_stays_off_spot_and_workers_go_to_their_pool(cluster: dict[str, Any]) -> None:
    head, cpu, gpu = pods(cluster)
    assert head["nodeSelector"] == {"ray-platform/pool": "system"}
    (term,) = head["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term["matchExpressions"] == [
        {"key": "eks.amazonaws.com/capacityType", "operator": "NotIn", "values": ["SPOT"]}
    ]
    assert [pod["nodeSelector"] for pod in (cpu, gpu)] == [
        {"ray-platform/pool": "cpu"},
        {"ray-platform/pool": "gpu"},
    ]


def test_a_worker_that_must_go_drains_first_and_within_a_spot_notice(
    cluster: dict[str, Any],
) -> None:
    for group in cluster["spec"]["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        (_, _, script) = container["lifecycle"]["preStop"]["exec"]["command"]
        assert "ray drain-node" in script
        assert "--deadline-remaining-seconds=90" in script
        assert 90 < pod["terminationGracePeriodSeconds"] < 120
    spot = cluster["spec"]["workerGroupSpecs"][0]
    assert spot["labels"]["ray-platform/capacity"] == "spot"
    assert spot["template"]["metadata"]["labels"]["ray-platform/capacity"] == "spot"


def test_ray_nodes_tell_their_instance_type_as_the_local_ones_do(cluster: dict[str, Any]) -> None:
    cpu, gpu = (group["labels"] for group in cluster["spec"]["workerGroupSpecs"])
    assert cpu["node.kubernetes.io/instance-type"] == "m5.xlarge"
    assert gpu == {"node.kubernetes.io/instance-type": "g4dn.xlarge"}


def test_tasks_cannot_use_the_account_that_may_change_the_cluster(cluster: dict[str, Any]) -> None:
    head, *workers = pods(cluster)
    assert "automountServiceAccountToken" not in head  # the autoscaler beside it needs it
    assert all(pod["automountServiceAccountToken"] is False for pod in workers)


def test_health_is_asked_without_a_token_and_patiently(cluster: dict[str, Any]) -> None:
    for pod in pods(cluster):
        container = pod["containers"][0]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"] == {"path": "/api/healthz", "port": 52365}
        assert container["startupProbe"]["failureThreshold"] == 30
        assert (
            container["livenessProbe"]["failureThreshold"]
            > container["readinessProbe"]["failureThreshold"]
        )


def test_the_head_s_sessions_outlive_it_on_a_volume_when_asked(
    variants: dict[str, list[dict[str, Any]]],
) -> None:
    claim = one(variants["everything"], "PersistentVolumeClaim")
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"
    spec = one(variants["everything"], "RayCluster")["spec"]
    head = spec["headGroupSpec"]["template"]["spec"]
    assert head["volumes"][1]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    mount = {"name": "sessions", "mountPath": "/tmp/ray"}  # noqa: S108
    assert mount in head["containers"][0]["volumeMounts"]
    assert mount in spec["autoscalerOptions"]["volumeMounts"]
    assert not [d for d in variants["plain"] if d["kind"] == "PersistentVolumeClaim"]


def test_redis_carries_the_control_store_only_when_it_is_given(
    variants: dict[str, list[dict[str, Any]]],
) -> None:
    options = one(variants["everything"], "RayCluster")["spec"]["gcsFaultToleranceOptions"]
    assert (options["backend"], options["redisAddress"]) == (
        "redis",
        "rediss://redis.example.com:6380",
    )
    for key, told in (("redisUsername", "username"), ("redisPassword", "password")):
        assert options[key] == {"valueFrom": {"secretKeyRef": {"name": "ray-redis", "key": told}}}
    (rule,) = one(variants["everything"], "NetworkPolicy", "ray-redis")["spec"]["egress"]
    assert rule["ports"] == [{"port": 6380, "protocol": "TCP"}]
    assert rule["to"] == [{"ipBlock": {"cidr": "10.1.0.0/16"}}]
    assert "gcsFaultToleranceOptions" not in one(variants["plain"], "RayCluster")["spec"]
    assert "ray-redis" not in {d["metadata"]["name"] for d in variants["plain"]}


def test_no_two_clusters_share_their_keys_in_redis() -> None:
    redis = {**EVERYTHING["gcsFaultTolerance"], "storageNamespace": "ray-prod"}
    (documents,), _ = in_helm([(CHART, {**EVERYTHING, "gcsFaultTolerance": redis})])
    standing = one(documents, "RayCluster")["spec"]["gcsFaultToleranceOptions"]
    served = one(documents, "RayService")["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]
    assert standing["externalStorageNamespace"] == "ray-prod"
    assert served["redisAddress"] == standing["redisAddress"]
    assert "externalStorageNamespace" not in served


def with_cluster(document: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], str]]:
    """The pod templates of a document with the RayCluster that KubeRay makes of them; empty: none."""
    submitter = (document.get("spec") or {}).get("submitterPodTemplate")
    name = "ray" if document["kind"] == "RayCluster" else "ray-job-x7k2p"
    return [(t, "" if t == submitter else name) for t in pod_templates(document)]


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Kubernetes' own rule, of the operators that the chart uses."""
    for wanted in selector.get("matchExpressions") or []:
        value = labels.get(wanted["key"])
        holds = {
            "NotIn": value not in wanted.get("values", ()),
            "Exists": value is not None,
        }[wanted["operator"]]
        if not holds:
            return False
    return bool((selector.get("matchLabels") or {}).items() <= labels.items())


def selectors(node: Any) -> list[Mapping[str, Any]]:
    """Every selector of pods of the release in a document, however deep."""
    if isinstance(node, list):
        return [found for item in node for found in selectors(item)]
    if not isinstance(node, Mapping):
        return []
    own = [node] if "app.kubernetes.io/instance" in (node.get("matchLabels") or {}) else []
    return own + [found for value in node.values() for found in selectors(value)]


def test_every_selector_names_the_ray_cluster(variants: dict[str, list[dict[str, Any]]]) -> None:
    """The clusters of a RayJob and a RayService have the labels of the standing one: seen in the recording
    two-clusters-one-budget, where one budget counted two heads and let one of them be evicted."""
    seen = 0
    for documents in variants.values():
        for document in documents:
            for constraint in spread(document):
                labels = constraint["labelSelector"]["matchLabels"]
                assert ("ray.io/cluster" in labels) != ("matchLabelKeys" in constraint)
                assert constraint.get("matchLabelKeys", ["ray.io/cluster"]) == ["ray.io/cluster"]
            if document["kind"] in ("NetworkPolicy", "PodDisruptionBudget", "PodMonitor"):
                for selector in selectors(document["spec"]):
                    seen += 1
                    expressions = [e["key"] for e in selector.get("matchExpressions") or []]
                    assert "ray.io/cluster" in {*selector["matchLabels"], *expressions}
    assert seen > 20


def spread(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        constraint
        for template in pod_templates(document)
        for constraint in template["spec"].get("topologySpreadConstraints") or []
    ]


def test_a_suspended_cluster_can_be_resumed(variants: dict[str, list[dict[str, Any]]]) -> None:
    """KubeRay resumes on an explicit false alone (the recording suspend-resume)."""
    assert one(variants["plain"], "RayCluster")["spec"]["suspend"] is False


def pods_digests(documents: list[dict[str, Any]]) -> set[str]:
    return {
        template["metadata"]["annotations"][PODS_DIGEST]
        for template in pod_templates(one(documents, "RayCluster"))
    }


def test_the_pods_carry_a_digest_that_changes_where_kuberay_replaces_them() -> None:
    def group(**more: Any) -> dict[str, Any]:
        return {**VALUES, "workerGroups": {"cpu": {**GROUP, **more}}}

    toleration = {"key": "a", "operator": "Exists"}
    same = [
        group(),
        group(maxReplicas=7, minReplicas=1, replicas=3),
        group(tolerations=[toleration]),
        group(scaleStrategy={"workersToDelete": ["ray-cpu-worker-x"]}),
        {**group(), "head": {**VALUES["head"], "tolerations": [toleration]}},
    ]
    others = [
        group(idleTimeoutSeconds=5),
        {**group(), "autoscaler": {"idleTimeoutSeconds": 61}},
        {**group(), "rayCluster": {"suspend": True}},
        {**group(), "labels": {"team": "research"}},
    ]
    renders, _ = in_helm([(CHART, values) for values in (*same, *others)])
    found = [pods_digests(documents) for documents in renders]
    assert all(len(digests) == 1 for digests in found)
    (first,) = found[0]
    assert first
    assert found[: len(same)] == [{first}] * len(same)
    rest = [digest for digests in found[len(same) :] for digest in digests]
    assert len({first, *rest}) == 1 + len(others)


def test_nothing_passes_but_what_is_listed(variants: dict[str, list[dict[str, Any]]]) -> None:
    policies = {
        d["metadata"]["name"]: d["spec"]
        for d in variants["everything"]
        if d["kind"] == "NetworkPolicy"
    }
    denials = {name: spec for name, spec in policies.items() if name.endswith("-default-deny")}
    assert set(denials) == {"ray-default-deny", "ray-others-default-deny"}
    for deny in denials.values():
        assert set(deny) == {"podSelector", "policyTypes"}
        assert deny["policyTypes"] == ["Ingress", "Egress"]
    # One of them reaches each pod of the release, and no other release's.
    for document in variants["everything"]:
        for template, cluster in with_cluster(document):
            labels = template["metadata"]["labels"]
            assert labels["app.kubernetes.io/instance"] == "ray"
            seen = {**labels, **({"ray.io/cluster": cluster} if cluster else {})}
            reached = [name for name, deny in denials.items() if selects(deny["podSelector"], seen)]
            standing = document["kind"] == "RayCluster"
            assert reached == ["ray-default-deny" if standing else "ray-others-default-deny"]
    (rule,) = policies["ray-head"]["ingress"]
    assert rule["ports"] == [{"port": 8265, "protocol": "TCP"}]
    namespaces = [
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for peer in rule["from"]
        if "namespaceSelector" in peer
    ]
    # A job on the standing cluster is handed in by a pod of the release.
    assert [peer for peer in rule["from"] if "namespaceSelector" not in peer] == [
        {"podSelector": policies["ray-others-internal"]["podSelector"]}
    ]
    assert namespaces == ["ray", "kuberay-system", "ingress-nginx"]
    assert rule["from"][0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "dagster"}
    dns, https = policies["ray-egress"]["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert https["to"] == [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}]
    assert https["ports"] == [{"port": 443, "protocol": "TCP"}]


def test_a_drain_spares_the_head_and_all_but_one_of_the_least_workers(
    variants: dict[str, list[dict[str, Any]]],
) -> None:
    budgets = {
        d["metadata"]["name"]: d["spec"]["minAvailable"]
        for d in variants["plain"]
        if d["kind"] == "PodDisruptionBudget"
    }
    assert budgets == {"ray-head": 1, "ray-workers-cpu": 1}


def test_the_quota_holds_the_pools_and_is_never_too_small_for_them(
    variants: dict[str, list[dict[str, Any]]], cluster: dict[str, Any]
) -> None:
    hard = one(variants["plain"], "ResourceQuota")["spec"]["hard"]
    groups = cluster["spec"]["workerGroupSpecs"]
    wanted = sum(
        int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
        * group["maxReplicas"]
        for group in groups
    )
    assert int(hard["requests.cpu"]) > wanted
    assert int(hard["pods"]) > sum(group["maxReplicas"] for group in groups)
    assert hard["requests.nvidia.com/gpu"] == "5"


def test_the_dashboard_is_never_outside_without_tls(
    variants: dict[str, list[dict[str, Any]]],
) -> None:
    spec = one(variants["everything"], "Ingress")["spec"]
    assert spec["tls"] == [{"hosts": ["ray.example.com"], "secretName": "ray-tls"}]
    assert not [d for d in variants["plain"] if d["kind"] == "Ingress"]


def test_prometheus_finds_the_pods_by_annotation_or_by_monitor(
    variants: dict[str, list[dict[str, Any]]],
) -> None:
    for template in pod_templates(one(variants["plain"], "RayCluster")):
        assert template["metadata"]["annotations"]["prometheus.io/port"] == "8080"
    monitor = one(variants["everything"], "PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "metrics", "interval": "30s"}]


def test_a_job_runs_on_the_standing_cluster_or_on_its_own(
    variants: dict[str, list[dict[str, Any]]],
) -> None:
    standing = one(variants["everything"], "RayJob")["spec"]
    assert standing["clusterSelector"] == {"ray.io/cluster": "ray"}
    assert "rayClusterSpec" not in standing
    own = one(variants["otherwise"], "RayJob")["spec"]
    assert own["shutdownAfterJobFinishes"] is True
    (group,) = own["rayClusterSpec"]["workerGroupSpecs"]
    assert group["groupName"] == "large"
    assert group["rayStartParams"] == {"resources": "'{\"disk\":1}'"}
    assert not [d for d in variants["otherwise"] if d["kind"] == "RayCluster"]
    for variant in ("everything", "otherwise"):
        job = one(variants[variant], "RayJob")
        metadata = {**job["metadata"], "uid": "1"}
        assert problem_of(read_ray_job({**job, "metadata": metadata})) == ""


def test_a_service_has_a_cluster_of_its_own_without_the_head_in_it(
    variants: dict[str, list[dict[str, Any]]],
) -> None:
    spec = one(variants["everything"], "RayService")["spec"]
    assert spec["excludeHeadPodFromServeSvc"] is True
    (group,) = spec["rayClusterConfig"]["workerGroupSpecs"]
    assert group["maxReplicas"] == 1


def test_any_number_of_worker_groups_may_stand_in_the_values() -> None:
    groups = {f"group-{n}": {**GROUP, "nodeSelector": {"pool": "cpu"}} for n in range(20)}
    (documents,), _ = in_helm([(CHART, {**VALUES, "workerGroups": groups})])
    cluster = one(documents, "RayCluster")
    assert [g["groupName"] for g in cluster["spec"]["workerGroupSpecs"]] == sorted(groups)
    # What a group does not say, workerDefaults says.
    assert {g["numOfHosts"] for g in cluster["spec"]["workerGroupSpecs"]} == {1}


def test_without_a_selector_workers_go_to_the_pool_of_their_name() -> None:
    group = {**VALUES["workerGroups"]["cpu"], "nodeSelector": {}}
    (documents,), _ = in_helm([(CHART, {**VALUES, "workerGroups": {"cpu": group}})])
    (spec,) = one(documents, "RayCluster")["spec"]["workerGroupSpecs"]
    assert spec["template"]["spec"]["nodeSelector"] == {"ray-platform/pool": "cpu"}


def test_a_role_is_told_to_the_service_account_only_when_there_is_one(
    variants: dict[str, list[dict[str, Any]]],
) -> None:
    told = one(variants["everything"], "ServiceAccount")["metadata"]["annotations"]
    role = "eks.amazonaws.com/role-arn"
    assert told[role] == "arn:aws:iam::000000000000:role/ray"
    plain = one(variants["plain"], "ServiceAccount")["metadata"]["annotations"]
    assert role not in plain
    # KubeRay's clean-up of Redis runs as it after the release is gone.
    assert plain["helm.sh/resource-policy"] == "keep"


def test_a_digest_as_tag_makes_an_image_by_digest(
    variants: dict[str, list[dict[str, Any]]],
) -> None:
    (head, *_) = pod_templates(one(variants["otherwise"], "RayJob"))[1:]
    assert head["spec"]["containers"][0]["image"] == f"r/ray@sha256:{'0' * 64}"


# What it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"imag": {}}, "'imag'"),
        ({"head": {"resources": {"cpu": 1, "memory": "4Gi", "gpus": 1}}}, "head.resources"),
        ({"workerGroups": {"a": {**GROUP, "maxReplica": 1}}}, "workerGroups.a"),
        ({"autoscaler": {"idleTimeoutSeconds": "60"}}, "autoscaler.idleTimeoutSeconds"),
        (
            {"workerGroups": {"a": {**GROUP, "minReplicas": 3}}},
            "workerGroups.a: maxReplicas 1",
        ),
    ],
)
def test_a_wrong_value_is_named_by_its_key(values: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        render(values)
    assert key in caught.value.what


#: Values and what Helm's message must name.
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"rayVersion": 2.6}, "/rayVersion"),
    ({"image": {"repository": "rayproject/ray", "tag": "latest"}}, "/image/tag"),
    ({"image": {"repository": "rayproject/ray", "tag": 2}}, "/image/tag"),
    ({"workerGroups": {"A_b": GROUP}}, "A_b"),
    ({"workerGroups": {"a": {**GROUP, "maxReplicas": "9"}}}, "/workerGroups/a/maxReplicas"),
    ({"workerGroups": {"a": {"minReplicas": 0, "maxReplicas": 1}}}, "/workerGroups/a"),
    ({"workerGroups": {"a": {**GROUP, "drainSeconds": 110}}}, "drainSeconds 110 is not below"),
    ({"workerGroups": {"a": {**GROUP, "tolerations": [{"keys": ""}]}}}, "tolerations/0"),
    ({"security": {"runAsUser": 0}}, "/security/runAsUser"),
    ({"networkPolicy": {"operator": {"namespace": "Ku_be"}}}, "/networkPolicy/operator/namespace"),
    ({"networkPolicy": {"https": {"cidrs": ["everywhere"]}}}, "/networkPolicy/https/cidrs/0"),
    ({"gcsFaultTolerance": {"redisAddress": "redis"}}, "/gcsFaultTolerance/redisAddress"),
    ({"quota": {"hard": {"cpus": 1}}}, "cpus"),
    ({"ingress": {"enabled": True, "host": "a.example.com"}}, "/ingress/tlsSecretName"),
    ({"rayJob": {"enabled": True}}, "/rayJob/entrypoint"),
    ({"rayService": {"enabled": True}}, "/rayService/serveConfigV2"),
    (
        {"rayCluster": {"enabled": False}, "rayJob": {"enabled": True, "entrypoint": "a"}},
        "rayJob.ownCluster",
    ),
]


def test_every_wrong_value_is_refused_with_its_place() -> None:
    answers, _ = in_helm([(CHART, values) for values, _ in REFUSED])
    for (values, place), answer in zip(REFUSED, answers, strict=True):
        assert isinstance(answer, str), values
        assert place in answer, values


@pytest.mark.parametrize("chart", ["ray", "platform"])
def test_no_part_of_the_schema_lets_an_unknown_key_through(chart: str) -> None:
    path = ROOT / "helm" / chart / "values.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))

    def open_objects(part: Any, place: str) -> list[str]:
        found = []
        if isinstance(part, dict):
            free = "properties" not in part and "propertyNames" not in part
            closed = part.get("additionalProperties") not in (None, True) or "maxProperties" in part
            # Annotations have any name, their values are texts.
            if part.get("type") == "object" and (not closed or (free and "/then" in place)):
                found.append(place)
            for key, inner in part.items():
                found += open_objects(inner, f"{place}/{key}")
        return found

    assert open_objects(schema, "") == []


# Documentation ---------------------------------------------------------------------------------


def make_values() -> Any:
    return load_script(ROOT / "docs" / "make_values.py")


def leaves(schema: dict[str, Any], values: Any, path: str = "") -> set[str]:
    """The keys that a schema and the defaults name, by their paths."""
    found = {path} if path else set()
    for key, inner in {**schema.get("properties", {}), **(values or {})}.items():
        if key == "global":
            continue
        below = schema.get("properties", {}).get(key, {})
        deeper = values.get(key) if isinstance(values, dict) else None
        found |= leaves(
            below, deeper if isinstance(inner, dict) else None, f"{path}.{key}".strip(".")
        )
    return found


@pytest.mark.parametrize("chart", ["ray", "platform"])
def test_every_value_has_a_default_and_a_comment(chart: str) -> None:
    folder = ROOT / "helm" / chart
    text = (folder / "values.yaml").read_text(encoding="utf-8")
    told = {value.path: value.comment for value in make_values().read_values(text)}
    assert [path for path, comment in told.items() if not comment] == []
    schema = json.loads((folder / "values.schema.json").read_text(encoding="utf-8"))
    assert set(told) == leaves(schema, yaml.safe_load(text))


def test_the_tables_in_the_docs_are_those_of_the_charts() -> None:
    made = make_values()
    text = made.DOCUMENT.read_text(encoding="utf-8")
    assert [found[1] for found in made.MARKS.findall(text)] == ["ray", "platform"]
    assert text == made.with_tables(text), "run `python docs/make_values.py`"


# Digests ---------------------------------------------------------------------------------------


def test_a_chart_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        render_chart(tmp_path / "none", {}, release="ray", namespace="ray")
    assert str(tmp_path / "none") in str(caught.value)
    with pytest.raises(SettingsError):
        chart_digest(tmp_path / "none")


def test_the_digest_is_of_the_content_and_changes_with_a_value(rendered: RenderedChart) -> None:
    assert render().digest == rendered.digest
    other = helm_values("local", POOLS, ray_version="2.60.0", idle_timeout_seconds=7)
    assert render(other).digest != rendered.digest
    assert len(chart_digest(CHART)) == 64
