"""The EKS calls that Terraform makes and moto 5.2.5 lacks, added to moto's own EKS.

- add-ons (create, describe, update, delete, list): moto answers 404 to `aws_eks_addon`;
- `DescribeUpdate`: Terraform waits for each update of a cluster, a node group or an add-on by it;
- `UpdateNodegroupVersion`, `UpdateClusterVersion`: a new launch template or Kubernetes version;
- `UpdateClusterConfig` answers an update, as EKS does; moto answers a cluster;
- the autoscaling group of a node group, without instances: moto names one that does not exist, so
  that it cannot be tagged for scaling from zero; and `updateConfig`, which moto drops;
- tags of node groups and add-ons: moto finds clusters only;
- `accessConfig` of a cluster: moto drops it, EKS returns it;
- the address and the certificate of a cluster: those of the Kubernetes API on this machine.

Shapes: https://docs.aws.amazon.com/eks/latest/APIReference/. Nothing here is asynchronous, so
every update is successful and every add-on active at once.
"""

import base64
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

#: What EKS installs by default for an add-on whose version nobody chose.
DEFAULT_ADDON_VERSION = "v1.0.0-eksbuild.1"

_CLUSTER = "{0}/clusters/(?P<name>[^/]+)"
_MORE_PATHS = (
    f"{_CLUSTER}/addons$",
    f"{_CLUSTER}/addons/(?P<addonName>[^/]+)$",
    f"{_CLUSTER}/addons/(?P<addonName>[^/]+)/update$",
    f"{_CLUSTER}/updates$",
    f"{_CLUSTER}/updates/(?P<updateId>[^/]+)$",
    f"{_CLUSTER}/node-groups/(?P<nodegroupName>[^/]+)/update-version$",
)


@dataclass(frozen=True)
class ControlPlane:
    """Where EKS says that a cluster's Kubernetes API is: ``authority`` is its certificate, PEM."""

    endpoint: str
    authority: str


def add_missing_eks_calls(control_plane: ControlPlane | None) -> None:
    """Route every EKS path through a response class that knows the missing calls."""
    from moto.autoscaling.models import autoscaling_backends
    from moto.core.responses import ActionResult, EmptyResult
    from moto.core.utils import utcnow
    from moto.eks import urls
    from moto.eks.exceptions import ResourceInUseException, ResourceNotFoundException
    from moto.eks.responses import EKSResponse

    updates: dict[str, dict[str, Any]] = {}

    def not_found(message: str, **names: str) -> Exception:
        keys = ("clusterName", "nodegroupName", "fargateProfileName", "addonName")
        error: Exception = ResourceNotFoundException(
            message=message, **{key: names.get(key) for key in keys}
        )
        return error

    def new_update(kind: str) -> ActionResult:
        update: dict[str, Any] = {
            "id": str(uuid4()),
            "status": "Successful",
            "type": kind,
            "params": [],
            "createdAt": utcnow(),
            "errors": [],
        }
        updates[update["id"]] = update
        return ActionResult({"update": update})

    class Responses(EKSResponse):
        def _cluster(self) -> Any:
            return self.eks_backend.describe_cluster(self._get_param("name"))

        def _nodegroup(self) -> Any:
            return self.eks_backend.describe_nodegroup(
                self._get_param("name"), self._get_param("nodegroupName")
            )

        def _addons(self) -> dict[str, dict[str, Any]]:
            addons: dict[str, dict[str, Any]] = self._cluster().__dict__.setdefault("_addons", {})
            return addons

        def _addon(self) -> dict[str, Any]:
            name = str(self._get_param("addonName"))
            if name not in self._addons():
                raise not_found(f"No addon: {name} found in cluster.", addonName=name)
            return self._addons()[name]

        def create_cluster(self) -> ActionResult:
            result = super().create_cluster()
            asked = self._get_param("accessConfig") or {}
            self._cluster().access_config = {"authenticationMode": "CONFIG_MAP", **asked}
            if control_plane:
                trusted = base64.b64encode(control_plane.authority.encode()).decode()
                self._cluster().endpoint = control_plane.endpoint
                self._cluster().certificate_authority = {"data": trusted}
            return result

        def create_nodegroup(self) -> ActionResult:
            result = super().create_nodegroup()
            group = self._nodegroup()
            group.update_config = self._get_param("updateConfig") or {"maxUnavailable": 1}
            autoscaling_backends[self.current_account][self.region].create_auto_scaling_group(
                **_empty_group(group.resources["autoScalingGroups"][0]["name"], group.subnets),
                launch_config_name="",
                launch_template={
                    "LaunchTemplateId": group.launch_template["id"],
                    "Version": str(group.launch_template.get("version", "$Default")),
                },
            )
            return result

        def delete_nodegroup(self) -> ActionResult:
            group = self._nodegroup()
            autoscaling_backends[self.current_account][self.region].delete_auto_scaling_group(
                group.resources["autoScalingGroups"][0]["name"]
            )
            return super().delete_nodegroup()

        def create_addon(self) -> ActionResult:
            cluster, name = self._cluster(), self._get_param("addonName")
            if name in self._addons():
                raise ResourceInUseException(
                    message="Addon already exists.",
                    clusterName=cluster.name,
                    nodegroupName=None,
                    addonName=name,
                )
            now = utcnow()
            addon = {
                "addonName": name,
                "clusterName": cluster.name,
                "status": "ACTIVE",
                "addonVersion": self._get_param("addonVersion") or DEFAULT_ADDON_VERSION,
                "health": {"issues": []},
                "addonArn": cluster.arn.replace(":cluster/", ":addon/") + f"/{name}/{uuid4()}",
                "createdAt": now,
                "modifiedAt": now,
                "serviceAccountRoleArn": self._get_param("serviceAccountRoleArn"),
                "configurationValues": self._get_param("configurationValues"),
                "tags": self._get_param("tags") or {},
            }
            self._addons()[name] = addon
            return ActionResult({"addon": addon})

        def describe_addon(self) -> ActionResult:
            return ActionResult({"addon": self._addon()})

        def update_addon(self) -> ActionResult:
            addon = self._addon()
            for field in ("addonVersion", "serviceAccountRoleArn", "configurationValues"):
                if (value := self._get_param(field)) is not None:
                    addon[field] = value
            addon["modifiedAt"] = utcnow()
            return new_update("AddonUpdate")

        def delete_addon(self) -> ActionResult:
            addon = self._addon()
            return ActionResult({"addon": self._addons().pop(addon["addonName"])})

        def list_addons(self) -> ActionResult:
            return ActionResult({"addons": sorted(self._addons()), "nextToken": None})

        def describe_update(self) -> ActionResult:
            # Of an update that moto itself made (a node group's), only its id is known: it is done.
            known = updates.get(self._get_param("updateId"))
            return ActionResult({"update": known}) if known else new_update("ConfigUpdate")

        def update_cluster_config(self) -> ActionResult:
            before = self._cluster().resources_vpc_config
            super().update_cluster_config()
            asked = self._get_param("resourcesVpcConfig") or {}
            self._cluster().resources_vpc_config = {**before, **asked}
            if asked := self._get_param("accessConfig"):
                self._cluster().access_config.update(asked)
            return new_update("ConfigUpdate")

        def update_cluster_version(self) -> ActionResult:
            self._cluster().version = self._get_param("version")
            return new_update("VersionUpdate")

        def update_nodegroup_version(self) -> ActionResult:
            group = self._nodegroup()
            group.version = self._get_param("version") or group.version
            if asked := self._get_param("launchTemplate"):
                group.launch_template = {**(group.launch_template or {}), **asked}
            return new_update("VersionUpdate")

        def _tags(self) -> Any:
            arn = self._extract_arn_from_path()
            for cluster in self.eks_backend.clusters.values():
                if cluster.arn == arn:
                    return cluster.tags
                for group in cluster.nodegroups.values():
                    if group.arn == arn:
                        return group.tags
                for addon in cluster.__dict__.get("_addons", {}).values():
                    if addon["addonArn"] == arn:
                        return addon["tags"]
            raise not_found("Resource was not found")

        def tag_resource(self) -> ActionResult:
            self._tags().update(self._get_param("tags"))
            return EmptyResult()

        def untag_resource(self) -> ActionResult:
            keys = self._get_param("tagKeys")
            for key in keys if isinstance(keys, list) else [keys]:
                self._tags().pop(key, None)
            return EmptyResult()

        def list_tags_for_resource(self) -> ActionResult:
            return ActionResult({"tags": self._tags()})

    for path in (*urls.url_paths, *_MORE_PATHS):
        urls.url_paths[path] = Responses.dispatch


def _empty_group(name: str, subnets: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "vpc_zone_identifier": ",".join(subnets),
        "availability_zones": [],
        "desired_capacity": 0,
        "min_size": 0,
        "max_size": 0,
        "default_cooldown": None,
        "health_check_period": None,
        "health_check_type": None,
        "load_balancers": [],
        "target_group_arns": [],
        "placement_group": None,
        "termination_policies": [],
        "tags": [],
    }
