"""The kinds of objects that the API knows: the built-in ones, and those that CRDs register."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CRD_GROUP = "apiextensions.k8s.io"
CRD_PLURAL = "customresourcedefinitions"
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
#: Kinds that are asked, not stored.
REVIEWS = "reviews"

#: apiVersion, plural, kind, scope (N: namespaced, C: of the cluster), short names, subresources.
_BUILT_IN = """
v1 namespaces Namespace C ns status,finalize
v1 pods Pod N po status,log,portforward
v1 services Service N svc status
v1 endpoints Endpoints N ep -
v1 configmaps ConfigMap N cm -
v1 secrets Secret N - -
v1 serviceaccounts ServiceAccount N sa -
v1 events Event N ev -
events.k8s.io/v1 events Event N ev -
v1 persistentvolumeclaims PersistentVolumeClaim N pvc status
v1 persistentvolumes PersistentVolume C pv status
v1 nodes Node C no status
v1 limitranges LimitRange N limits -
v1 resourcequotas ResourceQuota N quota status
apps/v1 deployments Deployment N deploy status
apps/v1 statefulsets StatefulSet N sts status
apps/v1 daemonsets DaemonSet N ds status
apps/v1 replicasets ReplicaSet N rs status
batch/v1 jobs Job N - status
batch/v1 cronjobs CronJob N cj status
networking.k8s.io/v1 networkpolicies NetworkPolicy N netpol -
networking.k8s.io/v1 ingresses Ingress N ing status
networking.k8s.io/v1 ingressclasses IngressClass C - -
policy/v1 poddisruptionbudgets PodDisruptionBudget N pdb status
autoscaling/v2 horizontalpodautoscalers HorizontalPodAutoscaler N hpa status
rbac.authorization.k8s.io/v1 roles Role N - -
rbac.authorization.k8s.io/v1 rolebindings RoleBinding N - -
rbac.authorization.k8s.io/v1 clusterroles ClusterRole C - -
rbac.authorization.k8s.io/v1 clusterrolebindings ClusterRoleBinding C - -
storage.k8s.io/v1 storageclasses StorageClass C sc -
scheduling.k8s.io/v1 priorityclasses PriorityClass C pc -
coordination.k8s.io/v1 leases Lease N - -
discovery.k8s.io/v1 endpointslices EndpointSlice N - -
admissionregistration.k8s.io/v1 mutatingwebhookconfigurations MutatingWebhookConfiguration C - -
admissionregistration.k8s.io/v1 validatingwebhookconfigurations ValidatingWebhookConfiguration C - -
apiregistration.k8s.io/v1 apiservices APIService C - status
apiextensions.k8s.io/v1 customresourcedefinitions CustomResourceDefinition C crd,crds status
authentication.k8s.io/v1 tokenreviews TokenReview C - -
authorization.k8s.io/v1 subjectaccessreviews SubjectAccessReview C - -
authorization.k8s.io/v1 selfsubjectaccessreviews SelfSubjectAccessReview C - -
authorization.k8s.io/v1 selfsubjectrulesreviews SelfSubjectRulesReview C - -
"""

_IN_ALL = {"pods", "services", "deployments", "statefulsets", "daemonsets", "replicasets", "jobs"}


@dataclass(frozen=True)
class Kind:
    """One kind in one version. ``schema`` and ``columns`` come from its CRD; built-ins have none."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    categories: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    columns: tuple[Mapping[str, Any], ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def stored_group(self) -> str:
        """The group under which its objects are kept: events are shown by two groups."""
        return "" if self.group == "events.k8s.io" else self.group

    @property
    def resource(self) -> str:
        """As messages spell it: ``pods``, ``rayclusters.ray.io``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def is_review(self) -> bool:
        return self.plural.endswith(REVIEWS)

    @property
    def verbs(self) -> tuple[str, ...]:
        return ("create",) if self.is_review else VERBS


class Kinds:
    """All kinds; changes with the CRDs that are stored."""

    def __init__(self) -> None:
        self._kinds = {
            (kind.group, kind.version, kind.plural): kind
            for kind in map(_built_in, _BUILT_IN.strip().splitlines())
        }

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        return self._kinds.get((group, version, plural))

    def of(self, group: str, plural: str) -> Kind | None:
        """The kind in any of its versions."""
        return next((k for k in self if (k.group, k.plural) == (group, plural)), None)

    def groups(self) -> dict[str, list[str]]:
        """The versions of each group, the preferred first."""
        found: dict[str, list[str]] = {}
        for kind in self:
            versions = found.setdefault(kind.group, [])
            if kind.version not in versions:
                versions.append(kind.version)
        return {group: sorted(versions, key=_maturity) for group, versions in found.items()}

    def register(self, crd: Mapping[str, Any]) -> None:
        """Serve the kinds of a CRD, in place of what an older content of it served."""
        self.forget(crd)
        for kind in _custom(crd):
            self._kinds[kind.group, kind.version, kind.plural] = kind

    def forget(self, crd: Mapping[str, Any]) -> None:
        """Serve the kinds of a CRD no more."""
        group, plural = crd["spec"]["group"], crd["spec"]["names"]["plural"]
        self._kinds = {
            key: kind
            for key, kind in self._kinds.items()
            if (kind.group, kind.plural) != (group, plural)
        }


def _built_in(line: str) -> Kind:
    api_version, plural, kind, scope, short, subresources = line.split()
    group, _, version = api_version.rpartition("/")
    return Kind(
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        namespaced=scope == "N",
        singular=kind.lower(),
        short_names=() if short == "-" else tuple(short.split(",")),
        subresources=frozenset() if subresources == "-" else frozenset(subresources.split(",")),
        categories=("all",) if plural in _IN_ALL else (),
    )


def _custom(crd: Mapping[str, Any]) -> Iterator[Kind]:
    spec, names = crd["spec"], crd["spec"]["names"]
    for version in spec["versions"]:
        if version.get("served", True):
            yield Kind(
                group=spec["group"],
                version=version["name"],
                plural=names["plural"],
                kind=names["kind"],
                namespaced=spec["scope"] == "Namespaced",
                singular=names.get("singular") or names["kind"].lower(),
                short_names=tuple(names.get("shortNames", ())),
                subresources=frozenset(version.get("subresources") or ()),
                categories=tuple(names.get("categories", ())),
                schema=(version.get("schema") or {}).get("openAPIV3Schema"),
                columns=tuple(version.get("additionalPrinterColumns", ())),
            )


def _maturity(version: str) -> tuple[int, int]:
    """Kubernetes' order of versions: v2, v1, v1beta2, v1beta1, v1alpha1."""
    level = 2 if "alpha" in version else 1 if "beta" in version else 0
    major = version[1:].partition("alpha")[0].partition("beta")[0]
    return level, -int(major) if major.isdigit() else 0
