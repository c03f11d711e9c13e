"""How the fields of objects are compared: whose they are, which lists have names, what is filled in."""

from collections.abc import Mapping
from typing import Any

#: Nobody but the platform writes into the specs of these kinds, apart from `LEFT_OUT` and `FILLED_IN`.
WHOLLY_OURS = frozenset(
    {"RayCluster", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodDisruptionBudget", "Ingress"}
)
#: Ray's autoscaler and KubeRay write these.
LEFT_OUT: Mapping[str, frozenset[tuple[str, ...]]] = {
    "RayCluster": frozenset(
        {("spec", "workerGroupSpecs", name) for name in ("replicas", "scaleStrategy")}
    ),
    "Ingress": frozenset({("spec", "ingressClassName")}),
}
#: What the API fills in, by the field's name: KubeRay's CRDs and the built-in kinds.
FILLED_IN: Mapping[str, tuple[Any, ...]] = {
    "protocol": ("TCP",),
    "numOfHosts": (1,),
    "minReplicas": (0,),
    "maxReplicas": (2**31 - 1,),
    "priority": (0,),
}
#: The fields that name the elements of a list, by the list's name; the first that fits.
KEYS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "containers": (("name",),),
    "initContainers": (("name",),),
    "env": (("name",),),
    "volumes": (("name",),),
    "volumeMounts": (("mountPath",),),
    "imagePullSecrets": (("name",),),
    "ports": (("containerPort",), ("port",)),
    "topologySpreadConstraints": (("topologyKey", "whenUnsatisfiable"),),
    "workerGroupSpecs": (("groupName",),),
    "limits": (("type",),),
}
#: Lists whose order means something.
ORDERED = frozenset({"command", "args", "nameservers", "searches"})
#: Maps whose values are amounts, and fields that are one.
AMOUNTS = frozenset(
    {
        "limits",
        "requests",
        "hard",
        "default",
        "defaultRequest",
        "max",
        "min",
        "maxLimitRequestRatio",
    }
)
AMOUNT_FIELDS = frozenset({"sizeLimit", "storage"})
#: What names an object, and what its controller says of it.
IDENTITY = frozenset({"apiVersion", "kind", "metadata", "status"})
