"""What moto 5.2.5 lacks of ElastiCache for Terraform to make a Redis that is closed.

- `CreateUserGroup`, `DescribeUserGroups`, `ModifyUserGroup`, `DeleteUserGroup`: users that a group names must
  exist, one of them named ``default``, as AWS asks;
- the clusters that a replication group consists of, which `DescribeCacheClusters` must know;
- the end of a replication group that is deleted, and `DeleteCacheSubnetGroup`.
"""

import inspect
import weakref
from typing import Any

#: The groups of each backend (one an account and region), by id.
_GROUPS: weakref.WeakKeyDictionary[Any, dict[str, dict[str, Any]]] = weakref.WeakKeyDictionary()


def add_missing_elasticache_calls() -> None:
    """Add the calls to moto's response class, by which it finds them."""
    from moto.core.responses import ActionResult, EmptyResult
    from moto.elasticache.exceptions import ElastiCacheException
    from moto.elasticache.models import ElastiCacheBackend
    from moto.elasticache.responses import ElastiCacheResponse

    def groups(responses: Any) -> dict[str, dict[str, Any]]:
        return _GROUPS.setdefault(responses.elasticache_backend, {})

    def one(responses: Any) -> dict[str, Any]:
        name = responses._get_param("UserGroupId")
        if name not in groups(responses):
            raise ElastiCacheException("UserGroupNotFound", f"User group {name} not found.")
        return groups(responses)[name]

    def require_users(responses: Any, ids: list[str]) -> None:
        users = {user.id: user for user in responses.elasticache_backend.users.values()}
        if missing := [name for name in ids if name not in users]:
            raise ElastiCacheException("UserNotFound", f"User {missing[0]} not found.")
        if "default" not in {users[name].name for name in ids}:
            raise ElastiCacheException("DefaultUserRequired", "A user named default is required.")

    def create_user_group(self: Any) -> ActionResult:
        name, ids = self._get_param("UserGroupId"), self._get_param("UserIds", [])
        if name in groups(self):
            raise ElastiCacheException(
                "UserGroupAlreadyExists", f"User group {name} already exists."
            )
        require_users(self, ids)
        region, account = self.region, self.current_account
        group = {
            "UserGroupId": name,
            "Status": "active",
            "Engine": self._get_param("Engine").lower(),
            "UserIds": ids,
            "ReplicationGroups": [],
            "ARN": f"arn:aws:elasticache:{region}:{account}:usergroup:{name}",
        }
        groups(self)[name] = group
        if tags := self._get_param("Tags", []):
            self.elasticache_backend.tagging_service.tag_resource(group["ARN"], tags)
        return ActionResult(group)

    def describe_user_groups(self: Any) -> ActionResult:
        found = [one(self)] if self._get_param("UserGroupId") else list(groups(self).values())
        return ActionResult({"UserGroups": found})

    def modify_user_group(self: Any) -> ActionResult:
        group = one(self)
        leaving = self._get_param("UserIdsToRemove", [])
        ids = [name for name in group["UserIds"] if name not in leaving]
        ids += [name for name in self._get_param("UserIdsToAdd", []) if name not in ids]
        require_users(self, ids)
        group["UserIds"] = ids
        return ActionResult(group)

    def delete_user_group(self: Any) -> ActionResult:
        group = one(self)
        del groups(self)[group["UserGroupId"]]
        return ActionResult({**group, "Status": "deleting"})

    def delete_cache_subnet_group(self: Any) -> EmptyResult:
        self.elasticache_backend.cache_subnet_groups.pop(self._get_param("CacheSubnetGroupName"), 0)
        return EmptyResult()

    plain_tags = ElastiCacheBackend.list_tags_for_resource

    def list_tags(self: Any, arn: str) -> Any:
        if ":usergroup:" in arn:
            return self.tagging_service.list_tags_for_resource(arn)
        return plain_tags(self, arn)

    plain_create = ElastiCacheBackend.create_replication_group
    plain_delete = ElastiCacheBackend.delete_replication_group
    wanted = list(inspect.signature(ElastiCacheBackend.create_cache_cluster).parameters)[1:]

    def create_replication_group(self: Any, **asked: Any) -> Any:
        # moto counts the members by their replicas alone.
        replicas = (asked.get("num_cache_clusters") or 1) - 1
        asked["replicas_per_node_group"] = asked.get("replicas_per_node_group") or replicas
        group = plain_create(self, **asked)
        for name in group.member_clusters:
            given = {**asked, "cache_cluster_id": name, "log_delivery_configurations": []}
            cluster = self.create_cache_cluster(**{key: given.get(key) for key in wanted})
            cluster.at_rest_encryption_enabled = group.at_rest_encryption_enabled
            cluster.transit_encryption_mode = group.transit_encryption_mode
            cluster.security_groups = [
                {"security_group_id": id_, "status": "active"} for id_ in cluster.security_group_ids
            ]
            cluster.cache_parameter_group = {
                "cache_parameter_group_name": f"default.redis{str(group.engine_version)[0]}"
            }
        return group

    def delete_replication_group(self: Any, **asked: Any) -> Any:
        group = plain_delete(self, **asked)
        for name in group.member_clusters:
            self.cache_clusters.pop(name, None)
        # moto leaves it behind as one that is being deleted, for ever.
        self.replication_groups.pop(group.replication_group_id, None)
        return group

    backend: Any = ElastiCacheBackend
    backend.list_tags_for_resource = list_tags
    backend.create_replication_group = create_replication_group
    backend.delete_replication_group = delete_replication_group
    calls: tuple[Any, ...] = (
        create_user_group,
        describe_user_groups,
        modify_user_group,
        delete_user_group,
        delete_cache_subnet_group,
    )
    for call in calls:
        setattr(ElastiCacheResponse, call.__name__, call)
